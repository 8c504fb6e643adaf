"""What is particular to intersections in the corpus: what it has to cover, and what no matrix of theirs may say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pets.check import legal, pairs
from pets.check.labels import Mark
from pets.plan.review import review
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.ways import WAYS
from tests.check import corpus

Entry = Mapping[str, Any]

LISTED = tuple(corpus.listed("intersections"))
MAPPED = [each for each in LISTED if "matrix" in each]


def short(each: Entry) -> str:
    return Path(each["file"]).stem


def spec_of(each: Entry) -> Spec:
    return parse_toml((corpus.HERE / each["file"]).read_text())


def test_every_rule_has_a_file_of_its_own() -> None:
    assert set(pairs.RULES) <= {each["rule"] for each in LISTED if "rule" in each}


def test_every_protocol_is_there_with_all_that_it_can_do() -> None:
    """Each outcome; of those that can, to both, with columns, with noise and without; to whom an outcome is opened."""
    done = {
        (said["protocol"], said["outcome"], *more)
        for said in (each["matrix"] for each in MAPPED)
        for more in (
            (),
            (["alone", "both"][said.get("both", False)],),
            (["exact", "noise"][said.get("noise", False)],),
            ("columns",) if any("told" in use for use in said["b"]["columns"].values()) else (),
            ("to", {said["a"]["party"]: "a", said["b"]["party"]: "b"}.get(said["result"], "apart")),
        )
    }
    wanted = {
        (name, outcome, *more)
        for name, way in WAYS.items()
        for outcome in way.outcomes
        for more in (
            (),
            *([("alone",), ("both",)] if way.both else []),
            *([("exact",), ("noise",)] if way.noise else []),
            *([("columns",)] if way.columns else []),
            *([("to", to) for to in ("a", "b", "apart")] if way.opens and outcome != "cardinality" else [("to", "a")]),
            *([("to", "apart")] if way.opens else []),
        )
    }
    assert wanted <= done


@pytest.mark.parametrize("each", [each for each in LISTED if "spec" not in each], ids=short)
def test_the_whole_check_says_the_same(each: Entry) -> None:
    """No file makes the check of a party's server fail; on what it accepts, both checkers come to one matrix."""
    try:
        spec = spec_of(each)
    except corpus.SpecError:
        assert each["expect"] == "refused"
        return
    found = review(spec)
    refusals = [said.rule for said in found.verdict.errors if said.rule not in legal.RULES]
    assert bool(refusals) is (each["expect"] == "refused")
    if not refusals:
        assert found.checkers == ("flow", "knowledge")


@pytest.mark.parametrize("each", MAPPED, ids=short)
def test_nobody_within_the_model_sees_more_than_the_outcome(each: Entry) -> None:
    """Stated on the matrix alone: a column is V for its holder; what else is told is told to who gets the outcome.

    But for the helper's noisy count, and the asker's exact counts of groups, which its card declares.
    """
    spec = spec_of(each)
    matrix = corpus.verdict(corpus.HERE / each["file"]).matrix
    persons = spec.computation.psi == "intersection"
    holder = {dataset.name: dataset.party for dataset in spec.datasets}
    for row in matrix.rows:
        for label in matrix.columns:
            mark = row.cells[label.label]
            told = bool(set(label.parties) & set(spec.release.to))
            if label.beyond_model or mark.rank <= Mark.HELD.rank or row.kind == "size":
                continue
            if row.kind in ("column", "tags") and holder[row.value.split(".")[0]] in label.parties:
                assert mark is Mark.VISIBLE
                continue
            assert told or (mark is Mark.NOISED and each["matrix"]["helper"] in label.parties)
            assert row.kind != "tags"
            if row.kind == "column":
                assert mark is not Mark.VISIBLE and (mark is not Mark.MATCHED or persons)
            assert persons or mark is not Mark.VISIBLE
