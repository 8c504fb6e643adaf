"""The second checker of intersections: its matrices, planted leaks (edits.py), and random edits against views.

The slow twin is tests/oracles/counted.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import combinations, product

import pytest

from pets.check import pairs, traced
from pets.check.labels import Item, Mark, Verdict
from pets.check.sides import pair_of
from pets.errors import InternalError
from pets.plan.match import lower
from pets.spec.cards import Card, Key, Learns, load_cards
from pets.spec.formula import parse_formula
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.pairing import pairing_of
from pets.spec.parse import parse_toml
from tests.check.edits import (
    DH,
    EDITS,
    KKRT,
    OUTCOME,
    TEXT,
    VALUES,
    VOLE,
    WHERE,
    cards_with,
    edits_of,
    held,
    helped,
    judged,
    planned,
    refused,
    rewritten,
    says,
    sends,
)
from tests.oracles.counted import Counted


def learners(card: Card) -> set[str]:
    """Parties that learn more than their outcome, counted out."""
    _, plan = planned(card.id)
    assert plan.match is not None
    asker, other, _ = roles = dict(plan.match.roles)
    found = set()
    for role, party in roles.items():
        own = frozenset({role, "result"} if role == asker else {role})
        if Counted(card, own, (asker, other), who=OUTCOME[card.id] == "intersection").learns():
            found.add(str(party))
    return found


CARDS = [DH, VOLE, KKRT]
INTERSECTION = """
column  attendances.nhs_number                 V   -  | V
column  attendances.age_band                   V   -  | V
column  attendances.minutes                    V   -  | V
column  attendances.arrival                    V   -  | V
column  housing.nhs_number                     M   V  | V
column  housing.tenure                         M   V  | V
tags  attendances.nhs_number as tags           V   H  | V
tags  housing.nhs_number as tags               H   V  | V
membership  which persons are in both tables   V   -  | V
count  number of matched rows                  S   -  | S
size  greatest number of rows of attendances   S   S  | S
size  greatest number of rows of housing       S   S  | S
released  which persons are in both            V   -  | V
"""
MATRIX = {
    VOLE: INTERSECTION,
    KKRT: INTERSECTION,
    DH: """
column  attendances.nhs_number                 V   -  | V
column  attendances.age_band                   V   -  | V
column  attendances.minutes                    V   -  | V
column  attendances.arrival                    V   -  | V
column  housing.nhs_number                     S   V  | V
column  housing.tenure                         S   V  | V
tags  attendances.nhs_number as tags           V   H  | V
tags  housing.nhs_number as tags               H   V  | V
membership  which persons are in both tables   -   -  | V
count  number of matched rows                  S   -  | S
size  greatest number of rows of attendances   S   S  | S
size  greatest number of rows of housing       S   S  | S
released  how many persons are in both         S   -  | S
""",
}


BOTH = """
column  attendances.nhs_number                 V   M  | V
column  attendances.age_band                   V   -  | V
column  attendances.minutes                    V   -  | V
column  attendances.arrival                    V   M  | V
column  housing.nhs_number                     M   V  | V
column  housing.tenure                         M   V  | V
tags  attendances.nhs_number as tags           V   H  | V
tags  housing.nhs_number as tags               H   V  | V
membership  which persons are in both tables   V   V  | V
count  number of matched rows                  S   S  | S
size  greatest number of rows of attendances   S   S  | S
size  greatest number of rows of housing       S   S  | S
released  which persons are in both            V   V  | V
"""


def first_and_second(card: str, asked: str, to: tuple[str, ...]) -> tuple[Verdict, Verdict]:
    """Both checkers on a specification without a helper."""
    spec, _ = planned(card, asked, to)
    left = [party for party in spec.parties if party.name in (*to, "board", "council")]
    spec = spec.model_copy(update={"parties": tuple(left)})
    plan = lower(spec, pairing_of(spec))
    return pairs.judge(spec, pairing_of(spec), load_cards()), traced.judge(plan, spec, load_cards())


@pytest.mark.parametrize("card", CARDS)
def test_the_matrix_of_a_card(card: str) -> None:
    _, second = first_and_second(card, WHERE, ("board",))
    assert second.findings == ()
    columns, _, marks = second.matrix.text.partition("\n\n")
    assert columns == " 1  board\n 2  council\n 3  board+council  (beyond the model)"
    assert marks.partition("\n")[2] == MATRIX[card].lstrip("\n")


def test_the_matrix_of_values_for_the_asker_and_persons_for_both() -> None:
    _, second = first_and_second(VOLE, WHERE + VALUES, ("board", "council"))
    assert second.findings == ()
    assert second.matrix.text.partition("\n\n")[2].partition("\n")[2] == BOTH.lstrip("\n")


ASKED = [(card, asked) for card in CARDS for asked in ("", WHERE, VALUES, WHERE + VALUES)]


@pytest.mark.parametrize("to", [("board",), ("board", "council"), ("statistics",), ("statistics", "council")])
@pytest.mark.parametrize(("card", "asked"), [each for each in ASKED if each[0] != DH or VALUES not in each[1]])
def test_both_checkers_come_to_one_matrix(card: str, asked: str, to: tuple[str, ...]) -> None:
    first, second = first_and_second(card, asked, to)
    assert first.matrix.differences(second.matrix) == ()
    assert first.accepted == (to[0] == "board" and (card != DH or len(to) == 1))
    assert second.accepted == (to[0] == "board")  # else the asker learns what is not for it


@pytest.mark.parametrize("name", CARDS)
def test_what_a_card_says_of_itself_is_not_believed(name: str) -> None:
    card = helped(name)
    silent = replace(
        card,
        learns=(Learns(("helper",), "match", "membership", False, "all of it"),),
        outputs=(),
        messages=tuple(replace(each, carries=("nothing",)) for each in card.messages),
    )
    assert judged(silent) == judged(card)


@pytest.mark.parametrize("name", CARDS)
def test_nobody_learns_more_from_a_card_as_it_is(name: str) -> None:
    assert refused(helped(name)) == learners(helped(name)) == set()


BOARD, COUNCIL, HELPER = {"board"}, {"council"}, {"helper"}
LEAKS: Mapping[str, set[str]] = {
    "D3 unpermuted": BOARD,
    "D2 unsorted": BOARD,
    "D2 in b's own order": BOARD,
    "D1 without a scalar": COUNCIL,
    "D3 without a scalar": BOARD,
    "D3 by D1's scalar": BOARD | COUNCIL,
    "D3 in D1's order": BOARD,
    "scalar_a is b's, too": COUNCIL,
    "scalar_b is a's, too": BOARD,
    "own_b is a's, too": BOARD,
    "b gets D3 again": COUNCIL,
    "b gets D3 again, sorted": COUNCIL,
    "a gets D1 again": BOARD,
    "b gets keys": COUNCIL,
    "a gets D1 again in D3's order": BOARD,
    "a gets its points in D3's order": BOARD,
    "V5 without a vector": COUNCIL,
    "V5 with a vector twice": COUNCIL,
    "V5 with the sender's vector": BOARD | COUNCIL,
    "the vector goes alone": COUNCIL,
    "a second table under the vector": COUNCIL,
    "V6 unsorted": BOARD,
    "V6 again": BOARD,
    "own_s is the receiver's, too": BOARD,
    "own_r is the sender's, too": COUNCIL,
    "the helper gets the outcome": HELPER,
    "a second table under the same streams": COUNCIL,
    "K3 unsorted": BOARD,
    "K3 again": BOARD,
    "the sender is told": COUNCIL,
    "the helper is told": HELPER,
}
"""Who learns something by one edit; by others nobody does. Most that make a helper learn take two."""
TOGETHER = [
    (DH, ("the helper gets D2", "the helper gets D3 again"), HELPER),
    (
        DH,
        ("the helper gets D2", "the helper gets D3 again", "D2 unsorted", "own_a is the helper's, too"),
        HELPER | BOARD,
    ),
    (DH, ("the helper gets D3", "scalar_b is the helper's, too"), HELPER),
    (DH, ("the helper gets tags of a", "the helper gets tags of b"), HELPER),
    (DH, ("the helper gets a's rows", "the helper gets b's rows"), set()),
    (DH, ("D2 in an order of b", "D3 unpermuted"), BOARD),
    (DH, ("D1 unpermuted", "D2 in an order of b"), set()),
    (DH, ("a gets its points in D3's order", "D3 sorted"), set()),
    (VOLE, ("own_s is the helper's, too", "the helper gets V6"), HELPER),
    (VOLE, ("own_r is the helper's, too", "the helper gets V6"), HELPER),
    (VOLE, ("own_r is the helper's, too", "the helper gets V5"), HELPER),
    (VOLE, ("the helper gets V5", "the helper gets V6", "the helper gets V2"), set()),
    (VOLE, ("V6 in an order of the sender", "V6 again"), BOARD),
    (VOLE, ("own_r is the helper's, too", "values go to the helper"), HELPER),
    (VOLE, ("the helper gets V5", "values go to the helper"), set()),
    (KKRT, ("own_s is the helper's, too", "the receiver passes K3 on"), HELPER),
    (KKRT, ("own_r is the helper's, too", "the helper gets K2"), HELPER),
    (KKRT, ("own_r is the helper's, too", "values go to the helper"), HELPER),
    (KKRT, ("the helper gets K2", "the helper gets K3"), set()),
]


@pytest.mark.parametrize(("name", "edit"), [(name, edit) for name in CARDS for edit in EDITS[name]])
def test_each_planted_leak_is_found_and_nothing_else(name: str, edit: str) -> None:
    card = EDITS[name][edit](helped(name))
    assert refused(card) == learners(card) == LEAKS.get(edit, set())


@pytest.mark.parametrize(("name", "chosen", "who"), TOGETHER)
def test_edits_that_leak_together(name: str, chosen: tuple[str, ...], who: set[str]) -> None:
    card = helped(name)
    for each in chosen:
        card = EDITS[name][each](card)
    assert refused(card) == learners(card) == who


def hold(name: str, seed: int) -> set[str]:
    """Random edits of a card: whoever learns something is found, and nobody else."""
    chosen, card = edits_of(name, seed)
    found = learners(card)
    assert refused(card) == found, (name, seed, chosen)
    return found


@pytest.mark.parametrize("name", CARDS)
def test_random_edits_are_judged_as_views_are_counted(name: str) -> None:
    found = [hold(name, seed) for seed in range(52)]
    assert all(sum(who in each for each in found) >= 1 for who in ("board", "council", "helper"))
    assert found.count(set()) >= 5


@pytest.mark.long
@pytest.mark.parametrize("block", range(12))
@pytest.mark.parametrize("name", CARDS)
def test_many_random_edits_are_judged_as_views_are_counted(name: str, block: int) -> None:
    for seed in range(1000 + 250 * block, 1000 + 250 * (block + 1)):
        hold(name, seed)


@pytest.mark.parametrize("name", CARDS)
def test_a_party_more_never_knows_less(name: str) -> None:
    for seed in range(40):
        _, card = edits_of(name, seed)
        spec, plan = planned(name, WHERE)
        pair = pair_of(plan, spec, cards_with(card))
        some = [frozenset(each) for count in range(1, 4) for each in combinations(pair.parties, count)]
        marks = {each: traced.marks_of(pair, each) for each in some}
        for fewer, more in product(some, repeat=2):
            if fewer < more:
                assert all(marks[more].get(item, Mark.NEVER).rank >= mark.rank for item, mark in marks[fewer].items())


def test_what_a_sorted_list_without_its_order_tells() -> None:
    """Rows of the other's dataset are told even where who is in both may be known."""
    (found,) = judged(EDITS[VOLE]["V6 unsorted"](helped(VOLE))).errors
    assert (found.rule, found.path) == (
        "leak.undeclared",
        "security.leakage <- board <- in which rows of housing persons are",
    )


def test_dummies_of_a_key_that_is_not_held_make_a_count_noised() -> None:
    count: list[Mark] = []
    for more in ([], [held("s_ab", "helper")]):
        card = helped(DH)
        card = replace(card, keys=(*card.keys, Key("s_ab", ("a", "b"), "run")))
        for role in ("a", "b"):
            card = sends(f"T{role}", role, "helper", f"sort(tags(s_ab, keys({role}), dummies(s_ab), fillers({role})))")(
                card
            )
        for each in more:
            card = each(card)
        count.append(judged(card).matrix.mark("number of matched rows", "helper"))
    assert count == [Mark.NOISED, Mark.SIZE]


def test_a_message_of_nothing_is_not_sent() -> None:
    card = EDITS[DH]["b gets keys"](helped(DH))
    assert refused(card) == COUNCIL
    none = (replace(m, count=parse_formula("0 * n_a")) if m.label == "D11" else m for m in card.messages)
    assert refused(replace(card, messages=tuple(none))) == set()


@pytest.mark.parametrize(
    ("name", "label", "term"),
    [
        (DH, "D3", "match"),
        (DH, "D3", "values(b, gathered)"),
        (DH, "D3", "D4"),
        (DH, "D3", "times(scalar_b, points(keys(b), agreed(b)))"),
        (DH, "D3", "times(scalar_b, points(groups(b), fillers(b)))"),
        (DH, "D3", "times(scalar_b, cut(D1))"),
        (DH, "D3", "D1 * D1"),
        (DH, "D2", "unheard(D1)"),
        (VOLE, "V2", "asked(own_r, V1r)"),
        (VOLE, "V2", "asked(own_s, V1s)"),
        (VOLE, "V4", "levels(own_s, V1r, V3)"),
        (VOLE, "V4", "levels(own_s, V1s, V2)"),
        (VOLE, "V4c", "leaves(own_s, V1r, V2)"),
        (VOLE, "V4c", "leaves(own_r, V1r, V3)"),
        (VOLE, "V5", "written(V5r, keys(receiver), fillers(receiver)) + V1r"),
        (KKRT, "K2", "coded(own_r, K1r, keys(receiver), fillers(receiver))"),
        (KKRT, "K2", "coded(own_s, K1s, keys(receiver), fillers(receiver))"),
        (KKRT, "K3", "abreast(cut(evaluated(own_s, K1s, K2, keys(sender), fillers(sender))))"),
        (KKRT, "K3", "abreast(cut(evaluated(own_r, K1r, K2, keys(sender), fillers(sender))))"),
    ],
)
def test_what_no_rule_is_about_is_refused(name: str, label: str, term: str) -> None:
    with pytest.raises(InternalError) as error:
        judged(says(label, term)(helped(name)))
    assert error.value.code == "plan.terms"


def test_who_may_know_whether_enough_are_in_both_may_not_know_how_many() -> None:
    spec, plan = planned(DH)
    assert plan.match is not None
    other = replace(plan.match, outcome="threshold")
    found = traced.judge(replace(plan, steps=(*plan.reads, other, plan.steps[-1])), spec, load_cards())
    assert found.matrix.mark("whether enough persons are in both", "board") is Mark.SIZE
    assert "number of matched rows" in {each.path.split(" <- ")[-1] for each in found.errors}


def test_nothing_but_what_is_declared_may_be_known() -> None:
    """Without the entry on sizes everybody learns sizes that nobody declared; and nobody else gets the outcome."""
    spec, plan = planned(VOLE)
    bare = spec.model_copy(update={"security": spec.security.model_copy(update={"leakage": ()})})
    found = {
        (each.path.split(" <- ")[1], each.path.split(" <- ")[2])
        for each in traced.judge(plan, bare, load_cards()).errors
    }
    sizes = {f"greatest number of rows of {name}" for name in ("attendances", "housing")}
    alone = {(who, what) for who, what in found if "+" not in who}
    assert alone == {(party.name, each) for party in spec.parties for each in sizes}
    office = spec.model_copy(update={"release": spec.release.model_copy(update={"to": ("statistics",)})})
    who = {each.path.split(" <- ")[1] for each in traced.judge(plan, office, load_cards()).errors}
    assert {each for each in who if "+" not in each} == BOARD


def test_where_persons_lie_is_no_row_of_the_matrix() -> None:
    rows = {Item(row.kind, row.value) for row in judged(helped(VOLE)).matrix.rows}
    assert not any(item.kind == "places" for item in rows)


# -- with a helper ----------------------------------------------------------------------------------------------------

COUNTED = """[[security.leakage]]
learner = "helper"
item = "match_count"
noised = { epsilon = "0.5", delta = "2^-40" }
"""
NOISE = """[release.differential_privacy]
epsilon = "1"
neighbours = "one person's rows added or removed"
"""
PSI, COUNT, ENOUGH = "helper_psi", "helper_psi_cardinality", "helper_psi_threshold"


@cache
def with_helper(card: str, asked: str, to: tuple[str, ...], noise: bool = False) -> tuple[Spec, Plan]:
    """The demonstration's two datasets in an intersection with a helper, whose noised count is declared."""
    text = TEXT.replace('roles = ["input", "computing"]', 'roles = ["input", "computing", "result"]')
    text = text.replace("max_rows_per_person = 4", "max_rows_per_person = 1").replace("helper_join_a", card)
    head, rest = text.split("[computation]")
    rest = rest[rest.index("[release]") :].replace('["statistics"]', str(list(to)))
    privacy, security = rest.index("[release.differential_privacy]"), rest.index("[security]")
    rest = rest[:privacy] + (NOISE if noise else "") + rest[security:]
    first, second = (rest.index(f'[[security.leakage]]\nlearner = "{who}"') for who in ("helper", "everyone"))
    spec = parse_toml(f'{head}[computation]\nasks = "attendances"\n{asked}\n{rest[:first]}{COUNTED}{rest[second:]}')
    return spec, lower(spec, pairing_of(spec))


WAYS = [
    (PSI, 'psi = "intersection"\n' + WHERE + VALUES, ("board",), False),
    (PSI, 'psi = "intersection"\n' + WHERE, ("board", "council"), False),
    (COUNT, 'psi = "cardinality"\n' + WHERE, ("statistics",), False),
    (COUNT, 'psi = "cardinality"\n' + WHERE, ("council",), True),
    (COUNT, 'psi = "cardinality"\n' + WHERE, ("statistics",), True),
    (ENOUGH, 'psi = "threshold"\nat_least = 10\n' + WHERE, ("statistics",), False),
    (ENOUGH, 'psi = "threshold"\nat_least = 10\n' + WHERE, ("board",), False),
    (ENOUGH, 'psi = "cardinality"\nmin_result = 10\n' + WHERE, ("statistics",), False),
]


@pytest.mark.parametrize(("card", "asked", "to", "noise"), WAYS)
def test_both_checkers_come_to_one_matrix_with_a_helper(
    card: str, asked: str, to: tuple[str, ...], noise: bool
) -> None:
    spec, plan = with_helper(card, asked, to, noise)
    first, second = pairs.judge(spec, pairing_of(spec), load_cards()), traced.judge(plan, spec, load_cards())
    assert first.matrix.differences(second.matrix) == ()
    assert first.accepted and second.accepted


def test_what_a_helper_and_others_learn() -> None:
    """The number of matches: with noise for the helper, as it is for who gets it, in shares for others."""
    expected = {
        (PSI, "helper"): "N",
        (PSI, "board"): "S",
        (PSI, "council"): "-",
        (PSI, "council+helper"): "S",
        (COUNT, "helper"): "N",
        (COUNT, "statistics"): "S",
        (COUNT, "board"): "H",
        (ENOUGH, "helper"): "N",
        (ENOUGH, "statistics"): "H",
    }
    found = {}
    for (card, who), _ in expected.items():
        spec, plan = with_helper(*next(way[:3] for way in WAYS if way[0] == card))
        found[card, who] = traced.judge(plan, spec, load_cards()).matrix.mark("number of matched rows", who).value
    assert found == expected


HELPED = {
    "the helper has the key of tags": (PSI, held("tag", "helper"), HELPER),
    "the helper has the key of dummies": (PSI, held("s_ab", "helper"), HELPER),
    "the helper has the key of pads": (PSI, held("pad", "helper"), HELPER),
    "tags of b's rows": (PSI, rewritten("H1b", "sort(tags", "(tags"), HELPER),
    "no dummies": (PSI, rewritten("H1b", "dummies(s_ab), ", ""), HELPER),
    "values without pads": (PSI, says("H1v", "values(b, brought)"), HELPER),
    "values before they are matched": (PSI, sends("H3", "b", "a", "H1v"), BOARD),
    "values for b": (PSI, sends("H4", "helper", "b", "gather(H1v, match)"), COUNCIL),
    "b is told": (PSI, sends("H5", "helper", "b", "flags(s_bc, b, match)"), COUNCIL),
    "a is told again": (PSI, sends("H6", "helper", "a", "flags(s_ac, a, match)"), set()),
    "a pad twice": (PSI, sends("H7", "a", "helper", "values(b, brought) - pads(pad, a, brought)"), None),
    "no noise of a": (COUNT, rewritten("Na", " + noise(a, summed)", ""), {"council+statistics"}),
    "no noise of b": (COUNT, rewritten("Nb", "noise(b, summed) + ", ""), {"board+statistics"}),
    "no noise of a and b": (
        COUNT,
        lambda card: rewritten("Na", " + noise(a, summed)", "")(rewritten("Nb", "noise(b, summed) + ", "")(card)),
        {"statistics", "board+statistics", "council+statistics"},
    ),
    "no zeros between b and the helper": (
        COUNT,
        lambda card: rewritten("Nb", " + zero(s_bc, summed)", "")(rewritten("Nc", " - zero(s_bc, summed)", "")(card)),
        {"board+statistics"},
    ),
    "a gets the helper's share": (COUNT, sends("N4", "helper", "a", "Nc"), set()),
    "a gets the helper's share and its zero": (
        COUNT,
        lambda card: held("s_bc", "a")(sends("N4", "helper", "a", "Nc")(card)),
        BOARD,
    ),
    "a mask twice": (COUNT, rewritten("Nc", "- zero(s_bc, summed)", "- zero(s_bc, summed) - zero(s_bc, summed)"), None),
    "a has all keys of parts": (ENOUGH, held("s_bc", "a"), BOARD),
    "a gets b's part": (ENOUGH, sends("R4", "b", "a", "Rb"), set()),
    "the helper gets b's part": (ENOUGH, sends("R5", "b", "helper", "Rb"), set()),
}
"""Edits of cards with a helper: who learns what is not declared; None where the card is refused outright."""


@pytest.mark.parametrize("name", HELPED)
def test_each_planted_leak_with_a_helper_is_found(name: str) -> None:
    card, edit, who = HELPED[name]
    noise = card == COUNT
    spec, plan = with_helper(
        *next(way for way in WAYS if way[0] == card and way[3] == noise and "council" not in way[2])
    )
    if who is None:
        with pytest.raises(InternalError):
            traced.judge(plan, spec, cards_with(edit(load_cards()[card])))
        return
    found = {
        each.path.split(" <- ")[1] for each in traced.judge(plan, spec, cards_with(edit(load_cards()[card]))).errors
    }
    assert {each for each in found if "+" not in each} | (found & who) == who
