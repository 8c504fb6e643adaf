"""The corpus, rule by rule; the matrix against what is known to be true of any matrix."""

import importlib.util
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pets.check import flow, matched, pairs, pool_rules, rules, subject, summed
from pets.check.checked import place_of
from pets.check.labels import MATCHES, MEMBERSHIP, Fact, Grade, Item, Mark, Matrix
from pets.errors import LeakError, SpecError
from pets.ids import PartyId
from pets.spec.cards import Card, Learns
from pets.spec.model import Dataset, Spec
from pets.spec.pairing import is_pairing, pairing_of
from pets.spec.pooled import Pooled
from pets.spec.query import Aggregate, ColumnRef, Output, Query, Statistic
from pets.spec.sql import bind


def _corpus() -> ModuleType:
    at = importlib.util.spec_from_file_location("corpus", Path(__file__).with_name("corpus.py"))
    assert at is not None and at.loader is not None
    module = importlib.util.module_from_spec(at)
    at.loader.exec_module(module)
    return module


corpus = _corpus()

Marks = Mapping[Item, Mark]


def short(file: Path) -> str:
    return file.stem


# -- the corpus --


@pytest.mark.parametrize("file", corpus.FAIL, ids=short)
def test_should_fail(file: Path) -> None:
    """Refused, by the rule in the first line, in the golden words."""
    told = corpus.told(file)
    assert told == file.with_suffix(".message").read_text()
    rule = file.read_text().splitlines()[0].removeprefix("# ")
    assert told.startswith(f"{rule}\nerror {rule}: ")


@pytest.mark.parametrize("file", corpus.WARN, ids=short)
def test_should_warn(file: Path) -> None:
    """Accepted, with a warning by the rule in the first line, in the golden words."""
    told = corpus.told(file)
    assert told == file.with_suffix(".message").read_text()
    rule = file.read_text().splitlines()[0].removeprefix("# ")
    assert f"warning {rule}: " in told
    verdict = corpus.verdict(file)
    assert verdict.accepted
    if "matrix" in corpus.entry(file):
        assert verdict.matrix.text == file.with_suffix(".matrix").read_text()


@pytest.mark.parametrize("file", corpus.PASSING, ids=short)
def test_should_pass(file: Path) -> None:
    verdict = corpus.verdict(file)
    assert [finding for finding in verdict.findings if finding.severity != "note"] == []
    assert verdict.require() is verdict
    assert verdict.matrix.text == file.with_suffix(".matrix").read_text()


def test_every_corpus_file_has_its_golden_file_and_no_other() -> None:
    for folder, files, suffix in (
        ("should_fail", corpus.FAIL, ".message"),
        ("should_warn", corpus.WARN, ".message"),
        ("should_pass", corpus.PASSING, ".matrix"),
    ):
        golden = [f for part in corpus.PARTS for f in (corpus.HERE / part / folder).glob(f"*{suffix}")]
        assert {file.with_suffix(suffix) for file in files} == set(golden)
    assert len(corpus.FAIL) >= 30 and len(corpus.PASS) >= 6


REGISTRIES = {"queries": rules.RULES, "both": rules.GENERAL, "intersections": pairs.RULES, "pools": pool_rules.RULES}
"""Rules on queries, those of them that hold for intersections too, rules on these, and on sums of many holders."""


@pytest.mark.parametrize(("of", "rule"), [(of, rule) for of, every in REGISTRIES.items() for rule in every])
def test_a_rule_that_is_taken_out_is_missed(of: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(REGISTRIES[of], rule)
    own = [file for file in (*corpus.FAIL, *corpus.WARN) if f" {rule}: " in file.with_suffix(".message").read_text()]
    assert any(corpus.told(file) != file.with_suffix(".message").read_text() for file in own)


@pytest.mark.parametrize(
    "name",
    [
        *("hole_a_extremes", "hole_b_count", "hole_d_unbounded", "hole_e_public", "hole_f_semihonest"),
        *("edge_distinct", "edge_binary_search", "edge_group_key_level", "edge_partition", "edge_sort_pushdown"),
        *("edge_overwrite", "edge_error_cause"),
    ],
)
def test_the_holes_of_other_systems_are_in_the_corpus(name: str) -> None:
    assert name in [file.stem for file in corpus.FAIL]


# -- what the checker refuses whoever built the query --


def test_a_grouping_column_that_is_not_shown_is_checked_too(spec: Spec, query: Query) -> None:
    hidden = replace(query, group_by=(*query.group_by, ColumnRef("attendances", "arrival")))
    paths = [f.path for f in flow.check_query(spec, hidden) if f.rule == "leak.filter-only"]
    assert paths == ["computation.sql: GROUP BY <- attendances.arrival"]


@pytest.mark.parametrize("statistic", [Statistic.SUM, Statistic.COUNT_VALUES, Statistic.AVG])
def test_a_person_id_is_counted_and_nothing_else(spec: Spec, query: Query, statistic: Statistic) -> None:
    wrong = replace(query, outputs=(Output("x", Aggregate(statistic, (ColumnRef("attendances", "nhs_number"),))),))
    assert "leak.person-id" in {f.rule for f in flow.check_query(spec, wrong) if f.severity == "error"}


def test_a_card_that_tells_more_is_refused(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    """Computed must be within declared for everything on the card, not only for the leaks of today."""
    join = cards["helper_join_a"]
    for who, item, grade in (
        (("helper",), "match", "membership"),
        (("a",), "b.key", "membership"),
        (("helper",), "match_count", "count"),
        (("result", "a"), "b.values", "record"),
        (("everyone",), "sums", "aggregate"),
    ):
        loud = replace(join, learns=(*join.learns, Learns(who, item, grade, False, "more than it should of {b}")))
        verdict = flow.judge(spec, query, {**cards, join.id: loud})
        assert [f.rule for f in verdict.errors] == ["leak.undeclared"], (who, item)
        assert "more than it should of housing" in verdict.errors[0].message
        with pytest.raises(LeakError, match=r"leak\.refused: 1 rule"):
            verdict.require()


def test_a_word_on_a_card_that_nobody_knows_is_no_silence(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    join = cards["helper_join_a"]
    odd = replace(join, learns=(Learns(("helper",), "b.weather", "record", False, ""),))
    with pytest.raises(ValueError, match=r"b\.weather"):
        flow.judge(spec, query, {**cards, join.id: odd})


def test_no_roles_no_matrix_but_an_error(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    alone = spec.model_copy(update={"parties": tuple(p for p in spec.parties if p.name != "helper")})
    verdict = flow.judge(alone, query, cards)
    assert verdict.matrix == Matrix() and "spec.helper" in {f.rule for f in verdict.errors}
    with pytest.raises(SpecError, match=r"spec\.helper"):
        subject.of(alone, query)


def test_a_verdict_is_not_true_or_false(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    with pytest.raises(TypeError):
        bool(flow.judge(spec, query, cards))


# -- properties of every matrix --


def _join_and_release(cards: Mapping[str, Card]) -> tuple[Card, ...]:
    return cards["helper_join_a"], cards["release"]


MAPPED = [corpus.HERE / each["file"] for each in corpus.MANIFEST if corpus.matrix_of(each).exists()]
"""Files with a matrix: those that pass, and intersections that are warned of for telling who is in both."""


def _known_of(spec: Spec, cards: Mapping[str, Card]) -> tuple[Sequence[PartyId], Callable[[frozenset[PartyId]], Marks]]:
    """Who takes part, and what each coalition of them knows."""
    if is_pairing(spec):
        told = matched.about(spec, pairing_of(spec))
        card = cards[told.protocol]
        facts = matched.facts(told, card)
        return told.parties, lambda group: matched.knowledge(told, card, facts, group)
    asked = corpus.bind(spec)
    if isinstance(asked, Pooled):
        summed_up = summed.about(spec, asked)
        used = summed.cards_of(summed_up, cards)
        learnt = summed.facts(summed_up, used)
        return summed_up.parties, lambda group: summed.knowledge(summed_up, used, learnt, group)
    about, both = subject.of(spec, asked), _join_and_release(cards)
    if about.shared:
        safe = cards["disclosure_control" if about.controlled else "release"]
        both = subject.cards_of(subject.join_card(cards["shared_join"], about), safe)
    learned = flow.facts(about, both)
    return about.parties, lambda group: flow.knowledge(about, both, learned, group)


@pytest.mark.parametrize("file", MAPPED, ids=short)
def test_a_larger_coalition_knows_no_less(file: Path, cards: Mapping[str, Card]) -> None:
    parties, knows = _known_of(corpus.parse_toml(file.read_text()), cards)
    known = {
        frozenset(group): knows(frozenset(group))
        for size in range(len(parties) + 1)
        for group in itertools.combinations(parties, size)
    }
    for small, large in itertools.permutations(known, 2):
        if small < large:
            assert all(known[large].get(item, Mark.NEVER).rank >= mark.rank for item, mark in known[small].items())


def test_one_more_fact_lowers_no_mark(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    about, both = subject.of(spec, query), _join_and_release(cards)
    learned = flow.facts(about, both)
    everything = {fact.item for fact in learned} | {MEMBERSHIP, MATCHES}
    for party, item, grade in itertools.product(about.parties, sorted(everything), Grade):
        coalition = frozenset({party})
        before = flow.knowledge(about, both, learned, coalition)
        after = flow.knowledge(about, both, (*learned, Fact(coalition, item, grade)), coalition)
        assert all(after.get(each, Mark.NEVER).rank >= mark.rank for each, mark in before.items())


@pytest.mark.parametrize("file", corpus.PASS, ids=short)
def test_nobody_within_the_model_sees_a_record_of_another(file: Path) -> None:
    """Stated on the matrix alone: V of a column only for coalitions with its holder; no exact sums, no membership.

    Aggregates, which no noise blurs, are for the result party alone, and only under disclosure control.
    """
    spec = corpus.parse_toml(file.read_text())
    verdict = corpus.verdict(file)
    for row, label in itertools.product(verdict.matrix.rows, verdict.matrix.columns):
        if label.beyond_model:
            continue
        mark = row.cells[label.label]
        if row.kind in ("column", "tags"):
            holder = place_of(spec, row)[2]
            assert (mark is Mark.VISIBLE) == (holder in label.parties)
        if row.kind in ("exact sum", "membership"):
            assert mark in (Mark.HELD, Mark.NEVER)
        exact = spec.release.disclosure_control is not None and spec.result_party in label.parties
        assert mark is not Mark.AGGREGATE or exact


@pytest.mark.parametrize("file", corpus.PASS, ids=short)
def test_the_secrecy_of_both_tables_rests_on_the_helper(file: Path) -> None:
    spec = corpus.parse_toml(file.read_text())
    matrix = corpus.verdict(file).matrix
    if spec.datasets[0].several:
        for one, two in itertools.combinations(spec.computing, 2):
            label = next(c for c in matrix.columns if set(c.parties) == {one, two})
            assert label.beyond_model
            assert all(r.cells[label.label] is Mark.VISIBLE for r in matrix.rows if r.kind in ("column", "membership"))
        return
    for table in spec.datasets:
        others = [d.party for d in spec.datasets if d.party != table.party]
        columns = [c for other in others for c in matrix.columns if set(c.parties) == {other, "helper"}]
        seen = [matrix.mark(f"{table.name}.{table.key}", c.label) is Mark.VISIBLE for c in columns]
        assert any(seen) and len(seen) == len(others)
        assert all(c.beyond_model for c in columns)


def test_coalitions_follow_the_card(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    about, both = subject.of(spec, query), _join_and_release(cards)
    assert [(c.label, c.beyond_model) for c in flow.coalitions(about, both)] == [
        ("board", False),
        ("council", False),
        ("helper", False),
        ("statistics", False),
        ("board+statistics", False),
        ("council+statistics", False),
        ("board+council", True),
        ("board+helper", True),
        ("council+helper", True),
        ("helper+statistics", True),
    ]


def test_what_is_released_is_what_is_paid_for(spec: Spec, query: Query, cards: Mapping[str, Card]) -> None:
    losses = flow.judge(spec, query, cards).losses
    assert {name: str(loss.epsilon) for name, loss in losses.items()} == {"attendances": "3/2", "housing": "3/2"}


def test_how_often_a_table_is_searched_for_its_key_does_not_grow_with_its_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the time of a check grows with the square of the number of columns: seconds for a few thousand."""
    text = (corpus.HERE / "should_pass" / "ae_by_tenure.toml").read_text()
    found, asked = Dataset.key.fget, []  # type: ignore[attr-defined]
    monkeypatch.setattr(Dataset, "key", property(lambda table: asked.append(table.name) or found(table)))
    times = []
    for more in (0, 50):
        columns = "".join(f'more{n} = {{ role = "filter only", type = "date" }}\n' for n in range(more))
        spec = corpus.parse_toml(text.replace("nhs_number = {", columns + "nhs_number = {", 1))
        query = bind(spec)
        asked.clear()
        subject.of(spec, query)
        times.append(len(asked))
    assert times[0] == times[1]
