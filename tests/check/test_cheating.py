"""The second checker of intersections where a party may cheat: what checks tell, and whether they hold anybody.

The slow twin is tests/oracles/counted_checks.py. Which cheating is caught is played in tests/protocols.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, product

import pytest

from pets.check import traced
from pets.check.labels import Mark
from pets.check.sides import pair_of
from pets.errors import InternalError
from pets.spec.cards import Card, Learns, load_cards
from pets.spec.formula import parse_formula
from tests.check.edits import (
    DH,
    KKRT,
    READ,
    V6,
    V8,
    VALUES,
    VOLE,
    WHERE,
    Edit,
    cards_with,
    copied,
    held,
    helped,
    judged,
    planned,
    refused,
    rewritten,
    says,
    sends,
)
from tests.check.test_traced import BOARD, BOTH, COUNCIL, HELPER, INTERSECTION, first_and_second
from tests.oracles.counted_checks import CountedChecks

CHEAT = "vole_psi_malicious"


def counts(label: str, count: str) -> Edit:
    """A message has another number of entries."""

    def edit(card: Card) -> Card:
        changed = (replace(m, count=parse_formula(count)) if m.label == label else m for m in card.messages)
        return replace(card, messages=tuple(changed))

    return edit


def comes(label: str, round_: int) -> Edit:
    """A message is sent in another round."""

    def edit(card: Card) -> Card:
        assert any(each.label == label for each in card.messages)
        changed = (replace(m, round=round_) if m.label == label else m for m in card.messages)
        return replace(card, messages=tuple(changed))

    return edit


def without(label: str) -> Edit:
    """A message is not sent."""

    def edit(card: Card) -> Card:
        assert any(each.label == label for each in card.messages)
        return replace(card, messages=tuple(each for each in card.messages if each.label != label))

    return edit


EDITS: Mapping[str, Edit] = {
    "V5 without a vector": rewritten("V5", " + vector(own_r)", ""),
    "the vector goes alone": sends("V8", "receiver", "sender", "vector(own_r)"),
    "a second table under the vector": sends("V9", "receiver", "sender", V8),
    "V6 unsorted": rewritten("V6", "sort(cut", "(cut"),
    "V6 in an order of the sender": says("V6", f"permute(perm(own_s, order), {V6})"),
    "V6 again": sends("V10", "sender", "receiver", V6),
    "own_s is the receiver's, too": held("own_s", "receiver"),
    "own_r is the sender's, too": held("own_r", "sender"),
    "own_s is the helper's, too": held("own_s", "helper"),
    "own_r is the helper's, too": held("own_r", "helper"),
    "the helper gets V5": copied("V5", "receiver"),
    "the helper gets V6": copied("V6", "sender"),
    "the receiver passes V6 on": sends("V11h", "receiver", "helper", "V6"),
    "the sender is told": sends("V12", "receiver", "sender", "told(V6, keys(receiver), agreed(receiver))"),
    "the helper is told": sends("V13h", "receiver", "helper", "told(V6, keys(receiver), agreed(receiver))"),
    "values go to the helper": sends("V14h", "sender", "helper", f"sealed({READ}, payload(sender))"),
    "V2 has nothing to hide what is shown": counts("V2", "transfers"),
    "V3 has nothing to hide what is shown": counts("V3", "128 * 2 * 256"),
    "V3 has nothing to hide what is weighed": counts("V3", "128 * (256 + 2)"),
    "V2 is shown at other points, too": sends("V15", "receiver", "sender", "shown(own_r, V1s, V2)"),
    "V3 is shown at other points, too": sends("V16", "receiver", "sender", "shown(own_r, V1s, V3)"),
    "trees are weighed at two points": sends("V17", "receiver", "sender", "weighed(own_r, V4c)"),
    "the helper gets V2x": sends("V18h", "receiver", "helper", "V2x"),
    "V2 is shown to the helper, too": sends("V19h", "receiver", "helper", "shown(own_r, V1s, V2)"),
    "the helper gets V4r": sends("V20h", "sender", "helper", "V4r"),
    "trees are weighed for the helper, too": sends("V21h", "receiver", "helper", "weighed(own_r, V4c)"),
    "the sender's coin again": sends("V22h", "sender", "helper", "coin(own_s)"),
    "the helper gets V4x": sends("V23h", "receiver", "helper", "V4x"),
}


def followed(card: Card) -> Card:
    """A card that says that nobody cheats."""
    return replace(card, adversary=replace(card.adversary, behaviour="semi-honest"))


def edits_of(seed: int) -> tuple[tuple[str, ...], Card]:
    """One to six edits, drawn from a seed, of the card with a helper."""
    draw = random.Random(f"cheating {seed}")
    chosen, card = draw.sample(sorted(EDITS), draw.choice([1, 2, 3, 4, 5, 6])), helped(CHEAT)
    for each in chosen:
        card = EDITS[each](card)
    return tuple(chosen), card


def learners(card: Card) -> set[str]:
    """Parties that learn more than their outcome, counted out."""
    found = set()
    for role, party in {"receiver": "board", "sender": "council", "helper": "helper"}.items():
        own = frozenset({role, "result"} if role == "receiver" else {role})
        if CountedChecks(card, own, ("receiver", "sender"), who=True).learns():
            found.add(party)
    return found


# -- who follows the protocol -----------------------------------------------------------------------------------------


def test_the_matrix_is_that_of_vole_psi() -> None:
    _, second = first_and_second(CHEAT, WHERE, ("board",))
    assert second.findings == ()
    columns, _, marks = second.matrix.text.partition("\n\n")
    assert columns == " 1  board\n 2  council\n 3  board+council  (beyond the model)"
    assert marks.partition("\n")[2] == INTERSECTION.lstrip("\n")
    _, second = first_and_second(CHEAT, WHERE + VALUES, ("board", "council"))
    assert second.findings == ()
    assert second.matrix.text.partition("\n\n")[2].partition("\n")[2] == BOTH.lstrip("\n")


@pytest.mark.parametrize("to", [("board",), ("board", "council"), ("statistics",), ("statistics", "council")])
@pytest.mark.parametrize("asked", ["", WHERE, VALUES, WHERE + VALUES])
def test_both_checkers_come_to_one_matrix(asked: str, to: tuple[str, ...]) -> None:
    first, second = first_and_second(CHEAT, asked, to)
    assert first.matrix.differences(second.matrix) == ()
    assert first.accepted == second.accepted == (to[0] == "board")
    assert first.matrix.differences(first_and_second(VOLE, asked, to)[1].matrix) == ()


def test_what_the_card_says_of_itself_is_not_believed() -> None:
    card = helped(CHEAT)
    silent = replace(
        card,
        learns=(Learns(("helper",), "match", "membership", False, "all of it"),),
        outputs=(),
        messages=tuple(replace(each, carries=("nothing",)) for each in card.messages),
    )
    assert judged(silent) == judged(card)
    assert refused(card) == learners(card) == set()


LEAKS: Mapping[str, set[str]] = {
    "V5 without a vector": COUNCIL,
    "the vector goes alone": COUNCIL,
    "a second table under the vector": COUNCIL,
    "V6 unsorted": BOARD,
    "V6 again": BOARD,
    "own_s is the receiver's, too": BOARD,
    "own_r is the sender's, too": COUNCIL,
    "the sender is told": COUNCIL,
    "the helper is told": HELPER,
    "V2 has nothing to hide what is shown": COUNCIL,
    "V3 has nothing to hide what is shown": COUNCIL,
    "V3 has nothing to hide what is weighed": COUNCIL,
    "V2 is shown at other points, too": COUNCIL,
    "V3 is shown at other points, too": COUNCIL,
    "trees are weighed at two points": COUNCIL,
}
"""Who learns something by one edit; by others nobody does. Most that make a helper learn take two."""
TOGETHER = [
    (("the helper gets V2x", "the helper gets V5"), set()),
    (("the helper gets V2x", "V2 is shown to the helper, too"), set()),
    (("the helper gets V2x", "V2 is shown to the helper, too", "the helper gets V5"), HELPER),
    (("the helper gets V4r", "trees are weighed for the helper, too", "the helper gets V6"), HELPER),
    (("the helper gets V4r", "the helper gets V2x", "the helper gets V5", "the helper gets V6"), set()),
    (("V2 has nothing to hide what is shown", "the helper gets V2x", "the helper gets V5"), HELPER | COUNCIL),
    (("own_s is the helper's, too", "the receiver passes V6 on"), HELPER),
    (("own_r is the helper's, too", "values go to the helper"), HELPER),
]


@pytest.mark.parametrize("edit", EDITS)
def test_each_planted_leak_is_found_and_nothing_else(edit: str) -> None:
    card = EDITS[edit](helped(CHEAT))
    assert refused(card) == learners(card) == LEAKS.get(edit, set())


@pytest.mark.parametrize(("chosen", "who"), TOGETHER)
def test_edits_that_leak_together(chosen: tuple[str, ...], who: set[str]) -> None:
    card = helped(CHEAT)
    for each in chosen:
        card = EDITS[each](card)
    assert refused(card) == learners(card) == who


def hold(seed: int) -> set[str]:
    """Random edits of the card: whoever learns something is found, and nobody else."""
    chosen, card = edits_of(seed)
    found = learners(card)
    assert refused(card) == found, (seed, chosen)
    return found


def test_random_edits_are_judged_as_views_are_counted() -> None:
    found = [hold(seed) for seed in range(40)]
    assert all(sum(who in each for each in found) >= 1 for who in ("board", "council", "helper"))
    assert found.count(set()) >= 3


@pytest.mark.long
@pytest.mark.parametrize("block", range(12))
def test_many_random_edits_are_judged_as_views_are_counted(block: int) -> None:
    for seed in range(1000 + 250 * block, 1000 + 250 * (block + 1)):
        hold(seed)


def test_a_party_more_never_knows_less() -> None:
    for seed in range(20):
        _, card = edits_of(seed)
        spec, plan = planned(CHEAT, WHERE)
        pair = pair_of(plan, spec, cards_with(card))
        some = [frozenset(each) for count in range(1, 4) for each in combinations(pair.parties, count)]
        marks = {each: traced.marks_of(pair, each) for each in some}
        for fewer, more in product(some, repeat=2):
            if fewer < more:
                assert all(marks[more].get(item, Mark.NEVER).rank >= mark.rank for item, mark in marks[fewer].items())


@pytest.mark.parametrize(
    ("label", "term"),
    [
        ("V2", "asked(own_r, V1r)"),
        ("V2", "asked(own_r, choices(own_s))"),
        ("V2", "asked(own_s, V1s)"),
        ("V2x", "shown(own_r, V1s, V5)"),
        ("V2x", "shown(own_s, V1s, V2)"),
        ("V2x", "shown(own_r, V1s, asked(own_r2, V1s))"),
        ("V2x", "shown(own_r, picks(own_s2), asked(own_r, picks(own_s2)))"),
        ("V4", "levels(own_s, V1r, V3)"),
        ("V4", "levels(own_s, V1r, asked(own_r, picks(own_s2)))"),
        ("V4", "levels(own_s, half(own_r2), V2)"),
        ("V4", "levels(own_s, offers(own_r), V2)"),
        ("V4c", "leaves(own_s, V1r, V2)"),
        ("V4c", "leaves(own_s, V1r, products(own_r, picks(own_s2)))"),
        ("V4r", "weighed(own_r, V4)"),
        ("V4r", "weighed(own_s, V4c)"),
        ("V4x", "answered(own_r, V4r)"),
        ("V4x", "answered(own_s, V4c)"),
    ],
)
def test_what_no_rule_is_about_is_refused(label: str, term: str) -> None:
    card = says(label, term)(helped(CHEAT))
    for each in (card, followed(card)):
        with pytest.raises(InternalError) as error:
            judged(each)
        assert error.value.code == "plan.terms"


def test_nobody_asks_itself() -> None:
    card = sends("V24", "sender", "receiver", "asked(own_s, V1s)")(helped(CHEAT))
    for each in (card, followed(card)):
        with pytest.raises(InternalError) as error:
            judged(each)
        assert error.value.code == "plan.terms"


# -- who does not -----------------------------------------------------------------------------------------------------


UNHELD: Mapping[str, tuple[Edit, set[str] | None]] = {
    "V2 is not shown": (without("V2x"), BOARD),
    "V3 is not shown": (without("V3x"), BOARD),
    "V2 is shown to the helper alone": (lambda card: _sent_to(card, "V2x", "helper"), BOARD),
    "V2 is shown when it is answered": (comes("V2x", 3), BOARD),
    "V3 is shown when it is answered": (comes("V3x", 3), BOARD),
    "pads go before what is asked is shown": (comes("V4", 2), BOARD),
    "V6 goes before the trees are weighed": (comes("V6", 4), None),
    "V6 goes before anything is shown": (comes("V6", 2), None),
    "the coin goes early, and V6 before the trees are weighed": (
        lambda card: comes("V6", 4)(comes("Ws", 4)(card)),
        BOARD,
    ),
    "the trees are not weighed": (lambda card: without("V4x")(without("V4r")(card)), COUNCIL),
    "the trees are weighed before they are there": (comes("V4r", 3), COUNCIL),
    "the trees are weighed for the helper alone": (lambda card: _sent_to(card, "V4r", "helper"), COUNCIL),
    "the weighing is not answered": (without("V4x"), COUNCIL),
    "the helper alone is answered": (lambda card: _sent_to(card, "V4x", "helper"), COUNCIL),
    "no transfers": (lambda card: without("V4")(without("V2x")(without("V2")(card))), None),
    "the sender does not commit to its coin": (without("V0"), None),
    "the receiver has no coin": (without("Wr"), None),
    "the sender has no coin": (without("Ws"), None),
    "the receiver's coin is there before the commitment": (comes("Wr", 1), None),
    "the sender's coin is shown before the table": (comes("V5", 5), None),
    "the sender's coin is shown after what is read with it": (comes("Ws", 6), None),
    "two vectors, of one nobody knows how": (rewritten("V5", "vector(own_r)", "vector(own_r) + vector(own_r2)"), None),
    "tags, of which no rule is": (
        sends("T1h", "receiver", "helper", "sort(tags(own_t, keys(receiver), fillers(receiver)))"),
        None,
    ),
}
"""Edits by which a party that cheats is not caught: who learns what is not declared; None where the card is refused."""


def _sent_to(card: Card, label: str, receiver: str) -> Card:
    changed = (replace(each, receiver=receiver) if each.label == label else each for each in card.messages)
    return replace(card, messages=tuple(changed))


@pytest.mark.parametrize("name", UNHELD)
def test_whoever_is_held_to_nothing_is_found(name: str) -> None:
    edit, who = UNHELD[name]
    card = edit(helped(CHEAT))
    if who is None:
        with pytest.raises(InternalError) as error:
            judged(card)
        assert error.value.code == "plan.terms"
    else:
        assert {each for each in refused(card) if "+" not in each} == who


@pytest.mark.parametrize("name", UNHELD)
def test_who_follows_the_protocol_learns_nothing_from_a_check_that_is_not_there(name: str) -> None:
    """The same edits, on a card that says that nobody cheats: they matter for that alone, and the twin finds none."""
    edit, _ = UNHELD[name]
    card = followed(edit(helped(CHEAT)))
    assert refused(card) == learners(card) == set()


def test_trees_are_answered_before_who_gave_them_is_told_of_them() -> None:
    spec, plan = planned(CHEAT, "", ("board", "council"))
    cards = [edit(load_cards()[CHEAT]) for edit in (comes("V4x", 5), comes("V4x", 6), comes("V7", 5))]
    found = [traced.judge(plan, spec, cards_with(card)) for card in cards]
    who = [{each.path.split(" <- ")[1] for each in one.errors} for one in found]
    assert [{each for each in one if "+" not in each} for one in who] == [set(), COUNCIL, COUNCIL]


@pytest.mark.parametrize("name", [DH, VOLE, KKRT])
def test_a_card_for_who_follows_it_does_not_withstand_who_does_not(name: str) -> None:
    card = helped(name)
    with pytest.raises(InternalError) as error:
        judged(replace(card, adversary=replace(card.adversary, behaviour="malicious")))
    assert error.value.code == "plan.terms"
