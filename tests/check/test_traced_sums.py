"""The second checker on sums over an intersection: matrices, planted leaks (edits_sums.py), views (counted_sums.py)."""

from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import pytest

from pets.check import traced
from pets.check.labels import MATCHES, MEMBERSHIP, Item, Mark, column, noised, protected, released, tags
from pets.check.sides import pair_of
from pets.errors import InternalError
from pets.spec.cards import Card, Learns, load_cards
from pets.spec.ir import Match, Plan
from tests.check.counted_sums import learners
from tests.check.edits import Edit, cards_with, held, rewritten, says, sends
from tests.check.edits_sums import CONTROL, EDITS, NOISE, edits_of, helped, judged, refused, summed, together

KINDS = [NOISE, CONTROL]
RENT, IDS, AGE = column("housing.rent"), column("attendances.nhs_number"), column("attendances.age_band")
SUMS = {NOISE: noised("sum(housing.rent)"), CONTROL: protected("sum(housing.rent)")}
TABLE = released("sums of persons in both, by group")

MATRIX = """
column  attendances.nhs_number                 V   -  | V
column  attendances.age_band                   V   H  | V
column  attendances.minutes                    V   -  | V
column  attendances.arrival                    V   -  | V
column  housing.nhs_number                     S   V  | V
column  housing.rent                           {0}   V  | V
column  housing.tenure                         S   V  | V
tags  attendances.nhs_number as tags           V   H  | V
tags  housing.nhs_number as tags               H   V  | V
membership  which persons are in both tables   -   -  | V
count  number of matched rows                  S   -  | S
size  greatest number of rows of attendances   S   S  | S
size  greatest number of rows of housing       S   S  | S
"""
ROWS = {
    (NOISE, "rent"): """noised sum  sum(housing.rent)                  N   H  | A
released  sums of persons in both, by group    N   H  | A
""",
    (CONTROL, "rent"): """protected sum  sum(housing.rent)               A   H  | A
released  sums of persons in both, by group    A   H  | A
""",
    (NOISE, ""): "released  sums of persons in both, by group    S   -  | S\n",
    (CONTROL, ""): "released  sums of persons in both, by group    S   -  | S\n",
}


@pytest.mark.parametrize(("kind", "of"), ROWS)
def test_the_matrix_of_sums(kind: str, of: str) -> None:
    spec, plan = summed(kind, (of,) if of else (), helper=False)
    found = traced.judge(plan, spec, load_cards())
    assert found.findings == ()
    columns, _, marks = found.matrix.text.partition("\n\n")
    assert columns == " 1  board\n 2  council\n 3  board+council  (beyond the model)"
    at_board = {NOISE: "N", CONTROL: "A"}[kind] if of else "-"
    assert marks.partition("\n")[2] == MATRIX.lstrip("\n").format(at_board) + ROWS[kind, of]


def changed(plan: Plan, **fields: object) -> Plan:
    assert isinstance(plan.match, Match)
    other = replace(plan.match, **fields)  # type: ignore[arg-type]
    return replace(plan, steps=tuple(other if step is plan.match else step for step in plan.steps))


def marks(card: Card, kind: str, *roles: str) -> traced.Marks:
    spec, plan = summed(kind)
    pair = pair_of(plan, spec, cards_with(card))
    return traced.marks_of(pair, frozenset(pair.cast[role] for role in roles))


# -- planted leaks ----------------------------------------------------------------------------------------------------

A, B, HELPER = {"a"}, {"b"}, {"helper"}
LEAKS: dict[str, set[str]] = {
    "D1 without a scalar": B,
    "D3 and Y unpermuted": A,
    "D3 without a scalar": A,
    "D3 by D1's scalar": A | B,
    "D2 unsorted": A,
    "scalar_a is b's, too": B,
    "scalar_b is a's, too": A,
    "own_b is a's, too": A,
    "secret_b is a's, too": A,
    "cover_a is b's, too": B,
    "S covered by b's own": A | B,
    "b gets the covers": B,
    "b gets the covers under noise of a": B,
    "b gets D3 again": B,
    "b gets D3 again, sorted": B,
    "a gets D1 again": A,
    "b gets keys": B,
    "the helper gets the outcome": HELPER,
}
"""Who learns something by one edit, with noise or without; by others nobody does, or but where there is noise."""
EXACT = {"R without noise", "a gets the noise", "a gets R with the noise taken off"}
"""By these role a learns exact sums, which it may not know where there is noise."""


def both(card: Card) -> tuple[set[str] | None, set[str] | None]:
    return refused(card, NOISE), refused(card, CONTROL)


@pytest.mark.parametrize("edit", EDITS)
def test_each_planted_leak_is_found_and_nothing_else(edit: str) -> None:
    card, who = EDITS[edit](helped()), LEAKS.get(edit, set())
    assert both(card) == learners(card) == (A if edit in EXACT else who, who)


TOGETHER = [
    (("the helper gets R", "the helper gets the covers"), HELPER),
    (("the helper gets S", "the helper gets the covers"), set()),
    (("the helper gets S", "secret_b is the helper's, too"), set()),
    (("the helper gets S", "secret_b is the helper's, too", "the helper gets the covers"), HELPER),
    (("the helper gets S", "cover_a is the helper's, too"), set()),
    (("the helper gets S", "cover_a is the helper's, too", "the helper gets Y"), HELPER),
    (("the helper gets Y", "secret_b is the helper's, too"), HELPER),
    (("the helper gets D2", "the helper gets D3 again"), HELPER),
]


@pytest.mark.parametrize(("chosen", "who"), TOGETHER)
def test_edits_that_leak_together(chosen: tuple[str, ...], who: set[str]) -> None:
    card = together(*(EDITS[each] for each in chosen))(helped())
    assert both(card) == learners(card) == (who, who)


def hold(seed: int) -> set[str]:
    """Random edits of the card: whoever learns something is found, and nobody else."""
    chosen, card = edits_of(seed)
    found = learners(card)
    assert both(card) == found, (seed, chosen)
    return found[0]


def test_random_edits_are_judged_as_views_are_counted() -> None:
    found = [hold(seed) for seed in range(12)]
    assert all(any(who in each for each in found) for who in ("a", "b"))


@pytest.mark.long
@pytest.mark.parametrize("block", range(8))
def test_many_random_edits_are_judged_as_views_are_counted(block: int) -> None:
    found = [hold(seed) for seed in range(1000 + 250 * block, 1000 + 250 * (block + 1))]
    assert all(any(who in each for each in found) for who in ("a", "b", "helper"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_party_more_never_knows_less(kind: str) -> None:
    spec, plan = summed(kind)
    for seed in range(40):
        pair = pair_of(plan, spec, cards_with(edits_of(seed)[1]))
        some = [frozenset(each) for count in range(1, 4) for each in combinations(pair.parties, count)]
        known = {each: traced.marks_of(pair, each) for each in some}
        for fewer, more in product(some, repeat=2):
            if fewer < more:
                assert all(known[more].get(item, Mark.NEVER).rank >= mark.rank for item, mark in known[fewer].items())


# -- what is learned, in which mark -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("edit", "role", "expected"),
    [
        ("D2 unsorted", "a", {MEMBERSHIP: "V", column("housing.nhs_number"): "M", RENT: "as before"}),
        ("own_b is a's, too", "a", {MEMBERSHIP: "V", column("housing.tenure"): "M"}),
        ("scalar_b is a's, too", "a", {column("housing.nhs_number"): "V", MEMBERSHIP: "V", MATCHES: "S"}),
        ("secret_b is a's, too", "a", {RENT: "V", "sums": "A", TABLE: "A", MEMBERSHIP: "-"}),
        ("R without noise", "a", {RENT: "A", "sums": "A", TABLE: "A", MATCHES: "S"}),
        ("b gets the covers", "b", {"sums": "A", TABLE: "A", IDS: "S", AGE: "S", MATCHES: "-", MEMBERSHIP: "-"}),
        ("cover_a is b's, too", "b", {"sums": "A", IDS: "M", AGE: "M", MATCHES: "S", MEMBERSHIP: "V"}),
        ("scalar_a is b's, too", "b", {"sums": "A", IDS: "V", AGE: "V", MEMBERSHIP: "V"}),
        ("b gets D3 again", "b", {"sums": "A", IDS: "M", AGE: "M", MEMBERSHIP: "V"}),
        ("b gets keys", "b", {IDS: "V", AGE: "S", MEMBERSHIP: "V", "sums": "H"}),
        ("the helper gets the outcome", "helper", {RENT: "as before", IDS: "S", AGE: "S", MATCHES: "S"}),
        ("the helper gets S", "helper", {RENT: "H", IDS: "-", AGE: "H", "sums": "H", MATCHES: "-"}),
        ("the helper gets D1", "helper", {RENT: "-", AGE: "H", tags("attendances", "nhs_number"): "H", "sums": "-"}),
    ],
)
def test_what_is_learned_by_an_edit(edit: str, role: str, expected: dict[object, str], kind: str) -> None:
    found = marks(EDITS[edit](helped()), kind, role)
    before = {NOISE: "N", CONTROL: "A"}[kind]
    for what, mark in expected.items():
        item = SUMS[kind] if what == "sums" else what
        assert isinstance(item, Item)
        assert found.get(item, Mark.NEVER).value == (before if mark == "as before" else mark), item


@pytest.mark.parametrize(
    ("edits", "role", "mark"),
    [
        ((), "a", "N"),
        ((EDITS["b gets the covers under noise of a"],), "b", "N"),
        ((EDITS["b gets the covers"],), "b", "A"),
        ((says("R", "opened(secret_b, S) + noise(b, summed) + noise(b, summed)"),), "a", "A"),
        ((says("R", "opened(secret_b, S) + noise(b, summed) - noise(b, summed)"),), "a", "A"),
        ((EDITS["a gets R again"],), "a", "N"),
        ((EDITS["a gets R with the noise taken off"],), "a", "A"),
        ((EDITS["the helper gets R"], EDITS["the helper gets the covers"]), "helper", "N"),
        ((EDITS["the helper gets R"], EDITS["the helper gets the covers under noise of a"]), "helper", "N"),
        ((EDITS["the helper gets R"],), "helper", "H"),
    ],
)
def test_noise_hides_as_far_as_it_is_there(edits: tuple[Edit, ...], role: str, mark: str) -> None:
    assert marks(together(*edits)(helped()), NOISE, role)[SUMS[NOISE]].value == mark


def test_noise_that_the_plan_does_not_ask_for_is_none() -> None:
    assert marks(helped(), CONTROL, "a")[SUMS[CONTROL]] is Mark.AGGREGATE


def test_doubled_sums_are_not_noised_enough() -> None:
    card = sends("X", "b", "a", "opened(secret_b, S) + opened(secret_b, S) + noise(b, summed) - covers(cover_a)")
    assert marks(together(held("cover_a", "b"), card)(helped()), NOISE, "a")[SUMS[NOISE]] is Mark.AGGREGATE


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_knows_persons_groups_and_values_adds_up(kind: str) -> None:
    some = [each for each in helped().messages if each.label in ("D1", "D3")]
    card = replace(helped(), messages=tuple(some))
    assert marks(card, kind, "a", "b")[SUMS[kind]] is Mark.AGGREGATE
    assert marks(card, kind, "a")[SUMS[kind]] is Mark.HELD  # as the outcome that it hands on


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_reads_words_beside_persons_that_it_finds_adds_up(kind: str) -> None:
    some = [each for each in held("secret_b", "a")(helped()).messages if each.label not in ("S", "R")]
    card = replace(held("secret_b", "a")(helped()), messages=tuple(some))
    found = marks(card, kind, "a")
    assert (found[SUMS[kind]], found.get(MEMBERSHIP)) == (Mark.AGGREGATE, None)
    apart = rewritten("Y", "own_b", "own_b2")(card)
    assert marks(apart, kind, "a")[SUMS[kind]] is Mark.HELD


@pytest.mark.parametrize("kind", KINDS)
def test_a_finding_names_the_sums(kind: str) -> None:
    found = judged(EDITS["b gets the covers"](helped()), kind).errors
    path = f"security.leakage <- council <- {SUMS[kind].value}"
    assert path in {each.path for each in found if each.rule == "leak.undeclared"}


# -- what may be known ------------------------------------------------------------------------------------------------


def test_counts_of_groups_have_to_be_declared_exactly() -> None:
    for kind in KINDS:
        spec, plan = summed(kind)
        less = spec.security.model_copy(update={"leakage": spec.security.leakage[:-1]})
        found = traced.judge(plan, spec.model_copy(update={"security": less}), cards_with(helped())).errors
        assert "number of matched rows" in {each.path.split(" <- ")[-1] for each in found}


def test_sums_are_for_those_to_whom_they_are_released() -> None:
    """The result party gets what the asker has; and the asker has what is not for it."""
    spec, plan = summed(NOISE, to="statistics", helper=False)
    found = traced.judge(plan, spec, load_cards())
    for item in (SUMS[NOISE], TABLE, RENT, MATCHES, column("housing.tenure")):
        first, second = (found.matrix.mark(item.value, who, kind=item.kind) for who in ("statistics", "board"))
        assert first is second is (Mark.NOISED if item in (SUMS[NOISE], TABLE, RENT) else Mark.SIZE)
    assert found.matrix.mark(MEMBERSHIP.value, "statistics") is Mark.NEVER
    who = {(each.path.split(" <- ")[1], each.path.split(" <- ")[2]) for each in found.errors}
    assert {("board", SUMS[NOISE].value), ("statistics", MATCHES.value)} <= who


def test_a_release_with_noise_allows_no_exact_sums() -> None:
    spec, plan = summed(NOISE)
    exact = changed(plan, epsilon=Fraction(0), min_count=10)
    found = traced.judge(exact, spec, cards_with(helped())).errors
    assert {each.path.split(" <- ")[-1] for each in found if " <- board <- " in each.path} == {
        "housing.rent",
        "sum(housing.rent)",
        TABLE.value,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"epsilon": Fraction(0), "min_count": 0},
        {"columns": ()},
        {"columns": ("rent",), "public": (("m_a", 9), ("n_b", 9), ("g", 2), ("v", 0), ("primes", 0))},
    ],
)
def test_plans_that_no_rule_is_about_are_refused(fields: dict[str, object]) -> None:
    spec, plan = summed(NOISE, helper=False)
    with pytest.raises(InternalError) as error:
        traced.judge(changed(plan, **fields), spec, load_cards())
    assert error.value.code == "plan.terms"


def test_what_a_card_says_of_itself_is_not_believed() -> None:
    silent = replace(
        helped(),
        learns=(Learns(("helper",), "match", "membership", False, "all of it"),),
        outputs=(),
        messages=tuple(replace(each, carries=("nothing",)) for each in helped().messages),
    )
    assert judged(silent, NOISE) == judged(helped(), NOISE)


D3 = "permute(perm(own_b, order), times(scalar_b, points(keys(b), fillers(b), agreed(b))))"


@pytest.mark.parametrize(
    "edit",
    [
        rewritten("D1", "groups(a), ", ""),
        rewritten("D1", "fillers(a), ", ""),
        rewritten("D1", "groups(a)", "groups(b)"),
        rewritten("D1", "permute_within", "permute"),
        rewritten("D3", "permute(", "permute_within("),
        rewritten("D2", "sort_within", "sort"),
        rewritten("Y", "permute(perm(own_b, order), ", "("),
        rewritten("Y", "own_b", "own_b2"),
        rewritten("Y", "secret_b", "own_b"),
        rewritten("Y", "values(b, summed)", "values(b, gathered)"),
        rewritten("Y", "values(b, summed)", "values(a, summed)"),
        rewritten("R", "opened(secret_b, S)", "opened(own_b, S)"),
        rewritten("R", "opened(secret_b, S)", "opened(secret_b, Y)"),
        rewritten("R", "opened(secret_b, S)", "opened(secret_b, S) * S"),
        sends("X", "a", "b", "covered(cover_a, K, Y, times(scalar_a, D3), sort_within(D1))"),
        sends("X", "a", "helper", "marks(times(scalar_a, D3), D2)"),
        sends("X", "a", "helper", "tally(times(scalar_a, D3), D2)"),
        sends("X", "a", "helper", "groups(a)"),
        sends("X", "b", "a", "values(b, summed)"),
        sends("X", "a", "b", "covers(cover_a) + covers(cover_a)"),
    ],
)
def test_what_no_rule_is_about_is_refused(edit: Edit) -> None:
    assert refused(edit(helped()), NOISE) is None
