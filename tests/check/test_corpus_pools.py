"""What is particular to sums of many holders in the corpus: what it covers, and what no matrix of theirs may say."""

import itertools
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pets.check import gathered, legal, pool_rules
from pets.check.gathering import gathering_of
from pets.check.labels import Mark
from pets.plan.review import Review, review
from pets.spec.cards import load_cards
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.pools import POOLS
from tests.check import corpus

Entry = Mapping[str, Any]

LISTED = tuple(corpus.listed("pools"))
MAPPED = [each for each in LISTED if "matrix" in each]


def short(each: Entry) -> str:
    return Path(each["file"]).stem


def spec_of(each: Entry) -> Spec:
    return parse_toml((corpus.HERE / each["file"]).read_text())


@cache
def reviewed(file: str) -> Review:
    return review(parse_toml((corpus.HERE / file).read_text()))


def test_every_rule_has_a_file_of_its_own() -> None:
    assert set(pool_rules.RULES) <= {each["rule"] for each in LISTED if "rule" in each}


def test_every_protocol_is_there_to_a_holder_and_to_a_party_of_its_own() -> None:
    """Where it goes with noise; exact sums go to nobody who brings a part of them."""
    done = {(said["protocol"], said["result"] in said["holders"]) for said in (each["matrix"] for each in MAPPED)}
    assert done == {(name, to) for name, way in POOLS.items() for to in (False, True) if not (way.controlled and to)}


@pytest.mark.parametrize("each", [each for each in LISTED if "spec" not in each], ids=short)
def test_the_whole_check_says_the_same(each: Entry) -> None:
    """No file makes the check of a party's server fail; on what it accepts, both checkers come to one matrix."""
    try:
        found = reviewed(each["file"])
    except corpus.SpecError:
        assert each["expect"] == "refused"
        return
    refusals = [said.rule for said in found.verdict.errors if said.rule not in legal.RULES]
    assert bool(refusals) is (each["expect"] == "refused")
    if not refusals:
        assert len(found.checkers) == 2 and found.plan is not None


@pytest.mark.parametrize("each", MAPPED, ids=short)
def test_the_second_checker_has_the_matrix_of_the_file(each: Entry) -> None:
    plan = reviewed(each["file"]).plan
    assert plan is not None
    assert gathered.judge(plan, spec_of(each), load_cards()).matrix.text == corpus.matrix_of(each).read_text()


@pytest.mark.parametrize("each", MAPPED, ids=short)
def test_nobody_within_the_model_sees_more_than_the_release(each: Entry) -> None:
    """Stated on the matrix alone: without the result party nothing of another holder is known; with it no record."""
    said, matrix = each["matrix"], reviewed(each["file"]).verdict.matrix
    told = Mark.AGGREGATE if "protected" in said else Mark.NOISED
    for row, label in itertools.product(matrix.rows, matrix.columns):
        mark = row.cells[label.label]
        if label.beyond_model or mark.rank <= Mark.HELD.rank or row.kind == "size":
            continue
        own = any(row.value.endswith(f" of {party}") for party in label.parties if party in said["holders"])
        if own:
            assert mark is (Mark.VISIBLE if row.kind == "column" else Mark.AGGREGATE)
        else:
            assert said["result"] in label.parties
            assert mark is told or (row.kind == "released" and said["released"][row.value] == "group")


@pytest.mark.parametrize("each", MAPPED, ids=short)
def test_a_larger_coalition_works_out_no_less(each: Entry) -> None:
    """Of the second checker, within the model and beyond it."""
    plan = reviewed(each["file"]).plan
    assert plan is not None
    about = gathering_of(plan, spec_of(each), load_cards())
    known = {
        frozenset(group): gathered.marks_of(about, frozenset(group))
        for size in range(len(about.parties) + 1)
        for group in itertools.combinations(about.parties, size)
    }
    for large, more in known.items():
        for party in large:
            less = known[large - {party}]
            assert all(more.get(item, Mark.NEVER).rank >= mark.rank for item, mark in less.items())
