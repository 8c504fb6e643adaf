"""The corpus and its manifest agree; expectations were worked out by hand; each refusal names the way and the change.

What the checker says of each file is held golden in test_flow.py; here is what makes the corpus worth believing.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pets.check.labels import Finding
from pets.spec.parse import parse_toml
from tests.check import corpus
from tests.oracles import matrix, matrix_pairs, matrix_pools

KEYS = {"file", "spec", "expect", "rule", "golden", "shows", "of", "names", "spares", "fix", "stays", "matrix"}
EXPECT = {"should_pass": "accepted", "should_fail": "refused", "should_warn": "warned"}
ACCEPTED = [each for each in corpus.MANIFEST if "matrix" in each]
FIXED = [each for each in corpus.MANIFEST if "fix" in each]
NAMING = [each for each in corpus.MANIFEST if "names" in each]

Entry = Mapping[str, Any]


def short(each: Entry) -> str:
    return Path(each["file"]).name.removesuffix(".toml")


def text_of(each: Entry) -> str:
    return (corpus.HERE / each.get("spec", each["file"])).read_text()


def said(each: Entry, text: str) -> tuple[Finding, ...]:
    """What is said of a specification under the entry's file: by the check, or by the policy that the file is."""
    return _said((corpus.HERE / each["file"]).read_text() if "spec" in each else None, text)


@functools.cache
def _said(policy: str | None, text: str) -> tuple[Finding, ...]:
    return corpus.findings(text) if policy is None else corpus.by_policy(policy, text)


# -- manifest and files --


def test_manifest_and_files_agree() -> None:
    """Every file is listed once, with its expectation, its rule and what it shows; goldens are there, and no others."""
    found = [*corpus.PASSING, *corpus.FAIL, *corpus.WARN, *corpus.POLICY]
    assert Counter(each["file"] for each in corpus.MANIFEST) == Counter(
        file.relative_to(corpus.HERE).as_posix() for file in found
    )
    goldens = {
        file.relative_to(corpus.HERE).as_posix()
        for part, suffix in itertools.product(corpus.PARTS, ("message", "matrix"))
        for file in (corpus.HERE / part).glob(f"*/*.{suffix}")
    }
    goldens = {file for file in goldens if not file.startswith("programs/")}  # test_programs.py
    matrices = {corpus.matrix_of(each).relative_to(corpus.HERE).as_posix() for each in ACCEPTED}
    assert {each["golden"] for each in corpus.MANIFEST} | matrices == goldens
    for each in corpus.MANIFEST:
        assert set(each) <= KEYS, each["file"]
        folder = Path(each["file"]).parent.name
        assert each["expect"] == EXPECT.get(folder, each["expect"]) and each["expect"] in EXPECT.values()
        assert ("rule" in each) == (each["expect"] != "accepted")
        head = [line.removeprefix("# ") for line in _head(corpus.HERE / each["file"])]
        if "rule" in each:
            assert head.pop(0) == each["rule"]
        assert " ".join(head) == each["shows"], each["file"]


def _head(file: Path) -> list[str]:
    lines = file.read_text().splitlines()
    return lines[: next(place for place, line in enumerate(lines) if not line.startswith("#"))]


@pytest.mark.parametrize(
    ("part", "passing", "refused", "policies"), [("", 60, 80, 20), ("intersections", 20, 80, 15), ("pools", 20, 30, 8)]
)
def test_the_corpus_is_as_large_as_it_says(part: str, passing: int, refused: int, policies: int) -> None:
    own = list(corpus.listed(part))
    by = Counter("policy" if "spec" in each else each["expect"] for each in own)
    assert by["accepted"] >= passing and by["refused"] >= refused and by["policy"] >= policies


@pytest.mark.parametrize(
    "of",
    [
        *(f"CCL 0.9.4 hole_{name}" for name in ("a_extremes", "b_count", "c_unset", "d_unbounded", "e_public")),
        *("CCL 0.9.4 hole_f_semihonest", "CCL 0.9.4 hole_g_input", "CCL 0.9.4 edge_distinct"),
        *(f"CCL 0.9.4 edge_{name}" for name in ("global_agg", "binary_search", "group_key_level", "partition")),
        *(f"CCL 0.9.4 edge_{name}" for name in ("sort_pushdown", "threshold_override", "overwrite", "error_cause")),
        *(f"scql#{number}" for number in (36, 184, 268, 428, 446, 472, 671)),
        *(
            "min/max/quantile releasing one person",
            "count released where nothing may be",
            "AVG of one",
            "K understated",
        ),
        *("filter column leaking through the result", "group count leaking through absence", "noise without clipping"),
        "two aggregates whose difference is one person inside one query",
    ],
)
def test_what_others_got_wrong_is_in_the_corpus(of: str) -> None:
    own = [each for each in corpus.MANIFEST if of in each.get("of", "")]
    assert own
    if of.startswith("CCL"):
        name = of.removeprefix("CCL 0.9.4 ")
        assert any(short(each).removesuffix(".policy") == name for each in own)


# -- expectations that do not come from the checker --


@pytest.mark.parametrize("each", ACCEPTED, ids=short)
def test_the_matrix_is_the_one_worked_out_by_hand(each: Entry) -> None:
    """The manifest says by hand who plays which role and what each column is for; tables by hand give the marks."""
    by_hand = matrix_pairs.matrix if "outcome" in each["matrix"] else matrix.matrix
    by_hand = matrix_pools.matrix if "holders" in each["matrix"] else by_hand
    assert corpus.matrix_of(each).read_text() == by_hand(each["matrix"]).text


@pytest.mark.parametrize("file", corpus.POLICY, ids=lambda file: file.name)
def test_policy(file: Path) -> None:
    """What a policy says of a specification that the check itself accepts, in the golden words."""
    each = corpus.entry(file)
    told = corpus.told_by_policy(file)
    assert told == (corpus.HERE / each["golden"]).read_text()
    assert told.splitlines()[0] == each.get("rule", "accepted")


# -- the cause, the way to it, and the smallest change --


@pytest.mark.parametrize("each", [each for each in corpus.MANIFEST if "rule" in each], ids=short)
def test_a_message_begins_with_its_rule_and_has_a_way_and_a_hint(each: Entry) -> None:
    golden = (corpus.HERE / each["golden"]).read_text()
    if each["expect"] == "refused":
        assert golden.splitlines()[0] == each["rule"]
    for finding in said(each, text_of(each)):
        assert finding.path and finding.hint and finding.message
        assert finding.path != "the specification"


WAYS = {
    *("leak.person-id", "leak.filter-only", "leak.group-by-measure", "sql.type", "sql.person-id", "sql.function"),
    *("sql.cross-type", "sql.argument", "sql.level", "sql.literal"),
}


@pytest.mark.parametrize("each", [each for each in corpus.MANIFEST if each.get("rule") in WAYS], ids=short)
def test_the_way_goes_back_to_a_column_of_the_specification(each: Entry) -> None:
    spec = parse_toml(text_of(each))
    columns = {f"{dataset.name}.{name}" for dataset in spec.datasets for name in dataset.columns}
    first = said(each, text_of(each))[0]
    start, _, end = first.path.rpartition(" <- ")
    assert start.split(": ")[0] in ("computation.sql", "computation.where"), first.path
    assert set(end.split(", ")) <= columns, first.path


@pytest.mark.parametrize("each", NAMING, ids=short)
def test_the_column_at_fault_is_named_and_no_other(each: Entry) -> None:
    findings = [finding for finding in said(each, text_of(each)) if finding.severity == "error"]
    told = " ".join(f"{finding.path} {finding.message}" for finding in findings)
    assert all(re.search(rf"\b{re.escape(name)}\b", told) for name in each["names"]), told
    assert not any(re.search(rf"\b{re.escape(name)}\b", told) for name in each.get("spares", ())), told


@pytest.mark.parametrize("each", FIXED, ids=short)
def test_the_smallest_change_passes_and_no_part_of_it_can_be_left_out(each: Entry) -> None:
    """After the change nothing refuses or warns, the rule or another; with any part left undone something does.

    What is said of a specification however right it is (``stays``) plays no part.
    """
    text, stays = text_of(each), set(each.get("stays", ()))

    def against(changed: str) -> list[str]:
        return [f.text for f in said(each, changed) if f.severity != "note" and f.rule not in stays]

    changed = corpus.fixed(text, each["fix"])
    assert against(changed) == []
    assert stays <= {f.rule for f in said(each, changed) if f.severity == "warning"}
    for place in range(len(each["fix"])):
        assert against(corpus.fixed(text, each["fix"], without=place)), each["fix"][place]


def test_every_refused_specification_has_a_smallest_change() -> None:
    assert [
        each["file"] for each in corpus.MANIFEST if "rule" in each and "fix" not in each and "spec" not in each
    ] == []


WRITE = re.compile(r'write ([a-z_]+ = (?:"[^"]*"|\{[^}]*\}|\d+))')


@pytest.mark.parametrize("each", [each for each in FIXED if "spec" not in each], ids=short)
def test_what_a_hint_tells_to_write_is_in_the_change(each: Entry) -> None:
    """A hint that gives text gives the text that passes, up to the value that the author had in mind."""
    first = next(f for f in said(each, text_of(each)) if f.rule == each["rule"])
    if (written := WRITE.search(first.hint)) is None:
        return
    key, _, value = written.group(1).partition(" = ")
    assert any(f"{key} = " in part["new"] for part in each["fix"])
    old = re.compile(rf'{key} = (?:"[^"]*"|\{{[^}}]*\}}|[\w-]+)')
    literal = [{"old": part["old"], "new": old.sub(f"{key} = {value}", part["new"])} for part in each["fix"]]
    assert each["rule"] not in {f.rule for f in said(each, corpus.fixed(text_of(each), literal))}


UNDECLARED = {"leak.undeclared", "psi.undeclared"}
PASTED = [
    each for each in FIXED if each["rule"] in UNDECLARED and "  add [[" in (corpus.HERE / each["golden"]).read_text()
]


@pytest.mark.parametrize("each", PASTED, ids=short)
def test_a_declaration_that_a_hint_gives_passes_as_it_stands(each: Entry) -> None:
    """Paste what the refusal says, and the rule has nothing more to say."""
    text = text_of(each)
    for finding in [f for f in said(each, text) if f.rule in UNDECLARED]:
        start, head, rest = finding.hint.partition("[[security.leakage]]")
        pairs = re.findall(r'(\w+ = (?:"[^"]*"|\[[^\]]*\]|\{[^}]*\}))', rest)
        assert start == "add " and head and len(pairs) >= 3
        text = text.replace("[validity]", "\n".join([head, *pairs, "", "[validity]"]))
    assert [f.text for f in said(each, text) if f.severity == "error"] == []
