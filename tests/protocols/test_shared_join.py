"""shared_join against a plaintext twin of its functionality, its card, and peers that send what no honest one does."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, PeerError
from pets.ids import PartyId
from pets.party import gate
from pets.plan.cost import listed
from pets.protocols import helper_join, shared_join
from pets.protocols.base import Send
from pets.protocols.rep3.sharing import Words
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import shared_join as oracle
from tests.oracles import shared_join_vectors as vectors
from tests.oracles.gated import OPENING, gated
from tests.oracles.make_vectors import text_of
from tests.oracles.play import Key, Transcript, play, words
from tests.oracles.shared_join import Case, Row, random_case

CARD = oracle.load_cards()["shared_join"]
Summed = shared_join.Summed


def run(case: Case, seed: int = 1, **kwargs: Any) -> Transcript:
    alter = kwargs.pop("alter", lambda key, array: array)
    return play(oracle.roles(case, seed, **kwargs), seed=seed, alter=alter)


def opened(transcript: Transcript) -> np.ndarray:
    return helper_join.open_shares(*transcript.outputs["result"])


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_sums_are_those_of_the_plaintext_twin(seed: int) -> None:
    case = random_case(seed)
    assert np.array_equal(opened(run(case, seed)), case.oracle())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 2500))
def test_sums_are_those_of_the_plaintext_twin_many(seed: int) -> None:
    case = random_case(seed, most=40, holders=5)
    assert np.array_equal(opened(run(case, seed)), case.oracle())


ANN, BEN, CYD = (b"%010d" % number for number in (0, 17, 9_999_999_999))
"""The least number, one between, and the greatest."""


def table(*rows: tuple[bytes, int, int]) -> list[Row]:
    return [(one, cell, (1, value)) for one, cell, value in rows]


def case(left: list[list[Row]], right: list[list[Row]], **other: Any) -> Case:
    summed = [Summed(0), Summed(1), Summed(1, 1), Summed(0, None, True)]
    given = {"cells": 3, "right_cells": 1, "x": 2, "v_g": 2, "once": frozenset({0}), "fixed": True} | other
    return Case(
        left, right, [max(len(rows), 1) for rows in left], [max(len(rows), 1) for rows in right], summed=summed, **given
    )


EDGES = {
    "one person at two holders of each side": case(
        [table((ANN, 0, 5)), table((ANN, 2, 7))], [table((ANN, 0, 11)), table((ANN, 0, 13))]
    ),
    "nobody in common": case([table((ANN, 0, 5), (BEN, 1, 6))], [table((CYD, 0, 1))]),
    "one person with all rows": case([table(*[(ANN, 1, k) for k in range(9)])] * 3, [table((ANN, 0, 3))] * 4),
    "holders with nothing": case([[], table((BEN, 2, 1)), []], [[], table((BEN, 0, 2))]),
    "nothing at all": case([[]], [[]]),
    "the least and the greatest number": case([table((ANN, 0, 1), (CYD, 2, 2))], [table((CYD, 0, 3), (ANN, 0, 4))]),
    "rows twice in one cell of one holder": case([table((BEN, 1, 4), (BEN, 1, 4))], [table((BEN, 0, 2))] * 2),
    "one cell": case([table((BEN, 0, 4))], [table((BEN, 0, 2))], cells=1),
    "64 holders": case([table((ANN, 0, 1))] * 32, [table((ANN, 0, 1))] * 32),
    "the greatest values": case([table((ANN, 0, 2**63 - 1))], [table((ANN, 0, -(2**63)))]),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    assert np.array_equal(opened(run(EDGES[name])), EDGES[name].oracle())


def test_what_a_person_has_at_many_holders_is_what_union_all_gives() -> None:
    """By hand: 14 rows of one person on the left, 32 on the right: 14 * 32 pairs, one person."""
    both = case([table((ANN, 0, 2))] * 14, [table((ANN, 0, 3))] * 32, once=frozenset())
    assert opened(run(both))[:, 0].tolist() == [14 * 32, 14 * 32 * 3, 14 * 32 * 6, 32]
    both = case([table((ANN, 0, 2))] * 14, [table((ANN, 0, 3))] * 32)
    assert opened(run(both))[:, 0].tolist() == [14, 14 * 32 * 3, 14 * 32 * 6, 1], "column 0 counts persons of the right"


def test_noise_of_all_three_is_in_the_sums_once() -> None:
    one = random_case(3)
    drawn = words(5, 3, len(one.summed), one.cells)
    plain, other = opened(run(one)), opened(run(one, noise_words=drawn))
    assert np.array_equal((other - plain).view(np.uint64), drawn[0] + drawn[1] + drawn[2])


def test_without_a_release_two_parties_have_shares_of_the_sums() -> None:
    one = random_case(4)
    done = run(one, release=False)
    assert np.array_equal((done.outputs["first"] + done.outputs["second"]).view(np.int64), one.oracle())
    assert done.outputs["third"] is None


# -- identifiers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 20, 63, 64, 65, 80])
def test_identifiers_are_cut_to_their_bits(bits: int) -> None:
    """Persons who share the bits that are left are one person: with 80 of them, none do."""
    people = [f"person {number}".encode() for number in range(24)]
    one = case([table(*[(who, 0, 1) for who in people])], [table(*[(who, 0, 1) for who in people])], fixed=False)
    shape = one.shape()
    cut = shared_join.Shape(**{name: getattr(shape, name) for name in shape.__dataclass_fields__} | {"id_bits": bits})
    low, high = shared_join._numbers(cut, oracle.ids(people), oracle.HASHED_BY)
    numbers = [a | b << 64 for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    assert max(numbers) < 2**bits
    assert len(set(numbers)) == len(people) if bits > 20 else len(set(numbers)) <= 2**bits


def test_a_key_that_does_not_fit_two_words_is_refused() -> None:
    shape = case([table((ANN, 0, 1))], [table((ANN, 0, 1))]).shape()
    with pytest.raises(InternalError, match="two words"):
        shared_join.Shape(**{name: getattr(shape, name) for name in shape.__dataclass_fields__} | {"id_bits": 123})


# -- code, gate and card ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_the_gate_s_projection_is_the_order_of_each_role(seed: int) -> None:
    """The roles pass their gates to the last message, the two ends of each project it alike, bytes are the forecast."""
    one = random_case(seed)
    card, public = oracle.card(one), oracle.public(one)
    names, parties = card.names(public), {role: PartyId(role) for role in card.roles}
    gates = {
        role: gate.Gate(gate.project(card, public, parties, role), opening=Secret(OPENING.expose("test")))
        for role in card.roles
    }
    done = play({name: gated(role, gates[name]) for name, role in oracle.roles(one, seed).items()}, seed=seed)
    outgoing = {
        (name, str(sent.to), sent.label, sent.column, sent.size)
        for name, (_, left) in done.outputs.items()
        for sent in left
    }
    incoming = {
        (str(e.peer), name, e.label, e.slot.column, e.size) for name, gate in gates.items() for e in gate.incoming
    }
    assert outgoing == incoming
    messages = listed(card, names, parties)
    assert sum(size for *_, size in outgoing) == sum(message.size for message in messages)
    own = [message for message in messages if message.term]
    assert sum(message.size for message in own) == card.cost.bytes.evaluate(names), "the card's formula"
    slots = [(e.peer, e.slot) for e in gates["second"].incoming]
    assert len(set(slots)) == len(slots), "two messages from one peer are one on the wire"
    assert np.array_equal(helper_join.open_shares(*done.outputs["result"][0]), one.oracle())


def test_an_input_party_hears_nothing_and_ends_before_anybody_computes() -> None:
    one = random_case(2)
    sent = run(one).sent
    inputs = {role for role in oracle.roles(one) if role.startswith(("left", "right"))}
    assert not [key for key, _ in sent if key[1] in inputs]
    assert {key[1] for key, _ in sent if key[0] in inputs} == {"second"}


def filled(seed: int) -> Case:
    """Tables of one declared size, 2 and 3 holders: empty or full, one person or many, on one side only or on both."""
    draw = random.Random(seed)
    people = [b"%010d" % draw.randrange(10**10) for _ in range(draw.choice([1, 2, 9]))]
    others = people if draw.random() < 0.7 else [b"%010d" % draw.randrange(10**10) for _ in range(9)]

    def rows(of: list[bytes], cells: int, most: int) -> list[Row]:
        some = draw.choice([0, most, draw.randrange(most)])
        return [(draw.choice(of), draw.randrange(cells), (1, draw.randrange(-9, 10))) for _ in range(some)]

    one = case([rows(people, 3, 7) for _ in range(2)], [rows(others, 2, 5) for _ in range(3)], right_cells=2)
    one.most_left, one.most_right = [7, 7], [5, 5, 5]
    return one


def test_traffic_does_not_depend_on_the_records() -> None:
    """Same declared sizes, other rows: the same messages of the same sizes, in the same order."""
    told, sums = set(), set()
    for seed in range(12):
        done = play(oracle.roles(filled(seed), 1, reach=32), seed=1)
        told.add(str([(key, str(array.dtype), array.shape) for key, array in done.sent]))
        sums.add(opened(done).tobytes())
    assert len(told) == 1
    assert len(sums) > 6, "the tables are the same"


def test_a_second_run_shares_nothing_with_the_first() -> None:
    """The same tables under other keys: no word is there again. (Planes of few rows are short words by themselves.)"""
    runs = [[array for _, array in run(filled(3), seed).sent] for seed in (1, 1, 2)]
    first, same, other = (np.unique(np.concatenate(arrays)) for arrays in runs)
    first, same, other = (words[words >> np.uint64(40) > 0] for words in (first, same, other))
    assert len(first) > 4000 and np.array_equal(first, same)
    assert not np.intersect1d(first, other).size


# -- what one party sees ----------------------------------------------------------------------------------------------


def test_what_a_computing_party_gets_is_uniform_whatever_the_rows() -> None:
    """Bits of all received words but opened ones, when all persons are one and all values 7: half of each are 1.

    False alarm: 64 positions, 3 parties at 6.5 standard deviations, below 1e-7.
    """
    rows = [(ANN, 1, (7, 7))] * 300
    one = case([rows, rows], [rows], once=frozenset())
    done = run(one)
    for party in shared_join.PARTIES:
        got = [array for (_, to, label, _), array in done.sent if to == party and label != "jopen"]
        found = np.concatenate(got)
        ones = (found[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).sum(axis=0)
        assert np.abs(ones - found.size / 2).max() < 6.5 * np.sqrt(found.size / 4)
        assert len(np.unique(found)) == found.size, "no word is masked twice"


def noted(patch: pytest.MonkeyPatch) -> dict[tuple[str, int, int], list[Words]]:
    """Every column that an operation leaves with the three, by operation, turn and column: party by party."""
    found: dict[tuple[str, int, int], list[Words]] = {}
    turns: Counter[tuple[str, int]] = Counter()

    def noting(name: str, honest: Any) -> Any:
        def act(ctx: Any, *given: Any, **named: Any) -> Any:
            made = yield from honest(ctx, *given, **named)
            turn = turns[name, ctx.me]
            turns[name, ctx.me] += 1
            columns = made if isinstance(made, list) else [made]
            if name == "sorted_keys":  # keys, then what goes with them
                columns = [*made[0], *made[1]]
            for number, column in enumerate(columns):
                found.setdefault((name, turn, number), []).append(column)
            return made

        return act

    for name in ("from_two", "sorted_keys", "multiply", "running", "put_back", "picked"):
        patch.setattr(shared_join, name, noting(name, getattr(shared_join, name)))
    return found


def test_no_part_of_the_three_shows_a_value() -> None:
    """After every operation: no part is a value, nor as small as values are, and all bits of parts are as good as even.

    False alarm: 64 positions of two parts and of their sum, 3 parties, at 6.5 standard deviations, below 1e-7.
    """
    rows = [(b"%010d" % (number // 3), number % 3, (7, 7)) for number in range(200)]
    one = case([rows, rows], [rows])
    with pytest.MonkeyPatch.context() as patch:
        found = noted(patch)
        run(one)
    assert {name for name, _, _ in found} == {"from_two", "sorted_keys", "multiply", "running", "put_back", "picked"}
    of_party: dict[int, list[np.ndarray]] = {}
    for (name, turn, number), parts in found.items():
        by_bits = (name, turn) == ("from_two", 0) or (name == "sorted_keys" and number == 0)
        add = np.bitwise_xor if by_bits else np.add
        value = add(add(parts[0].own, parts[1].own), parts[2].own)
        if not by_bits:
            assert value.view(np.int64).max() < 2**24, "no value is great"
        for party, part in enumerate(parts):
            for own in (part.own, part.next, add(part.own, part.next)):
                assert not np.any(own == value), (name, party)
                assert not np.any(own < np.uint64(2**32)), (name, party)
                of_party.setdefault(party, []).append(own)
    for all_parts in of_party.values():
        for kind in range(3):
            words = np.concatenate(all_parts[kind::3])
            ones = (words[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).sum(axis=0)
            assert words.size > 7_000
            assert np.abs(ones - words.size / 2).max() < 6.5 * np.sqrt(words.size / 4)


def test_what_is_opened_of_where_cells_end_is_the_same_set_whatever_the_rows() -> None:
    for rows in ([table((ANN, 0, 1))] * 2, [table((BEN, 2, 5)), []]):
        one = case(rows, [table((ANN, 0, 1))])
        one.most_left = [4, 4]
        done = run(one)
        last = max(key[3] for key, _ in done.sent if key[2] == "jopen")
        parts = {key[0]: array for key, array in done.sent if key[2:] == ("jopen", last)}
        found = parts["first"] + parts["second"] + parts["third"]
        assert sorted(found.tolist()) == [0] * 8 + [1, 2, 3, 4, 5, 6]


# -- malformed --------------------------------------------------------------------------------------------------------


def at(sender: str, label: str, change: Callable[[Any], Any]) -> Callable[[Key, Any], Any]:
    return lambda key, array: change(array) if (key[0], key[2]) == (sender, label) else array


@pytest.mark.parametrize("sender", ["left1", "left2"])
def test_a_list_that_does_not_end_every_cell_is_refused(sender: str) -> None:
    """Whoever sends it: the number of an entry more or less, or one that is there twice."""
    one = case([table((ANN, 0, 5), (BEN, 1, 6))] * 2, [table((ANN, 0, 1))])
    for change in (1, 2, 2**40):
        moved = np.array([change, 0, 0, 0, 0], np.uint64)
        with pytest.raises(PeerError, match=r"peer\.positions"):
            run(one, alter=at(sender, f"Le{sender[-1]}", lambda array, moved=moved: array + moved))


def test_a_holder_that_writes_numbers_of_rows_into_its_keys_changes_nothing() -> None:
    """Else it could make a key equal to another holder's, and an order would not hide that the two are one person."""
    one = case([table((ANN, 0, 5), (BEN, 1, 6))] * 2, [table((ANN, 0, 1))] * 2)
    low = np.uint64((1 << one.shape().number_bits) - 1)
    for sender, label in (("left2", "Lk2"), ("right1", "Rk1")):
        for word in (low, np.uint64(1)):
            done = run(one, alter=at(sender, label, lambda array, word=word: array ^ word))
            assert np.array_equal(opened(done), one.oracle())


@pytest.mark.parametrize("reach", [2, 3, 4, 7, 16])
def test_a_row_is_added_to_fewer_rows_than_the_bound_however_many_a_holder_makes_up(reach: int) -> None:
    """protocols/shared_join/README.md: fewer than the next power of two of the declared rows a person."""
    one = case([table(*[(ANN, 0, 1)] * 40)], [table((ANN, 0, 3))], once=frozenset())
    pairs = opened(play(oracle.roles(one, 1, reach=reach), seed=1))[0, 0]
    assert pairs == 2 ** (reach - 1).bit_length() - 1


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(PeerError, match=r"peer\.positions"):
        run(random_case(5), alter=at("second", "jopen", lambda array: array + np.uint64(1)))


def test_rows_outside_the_declared_sizes_are_our_bug_and_are_not_sent() -> None:
    one = case([table((ANN, 0, 5), (BEN, 1, 6))], [table((ANN, 0, 1))])
    one.most_left = [1]
    with pytest.raises(InternalError, match="declared sizes"):
        run(one)
    one = case([table((ANN, 0, 5))], [table((ANN, 0, 1), (BEN, 0, 1))])
    one.most_right = [1]
    with pytest.raises(InternalError, match="declared sizes"):
        run(one)


def test_a_message_of_the_wrong_size_does_not_pass_the_gate() -> None:
    one = random_case(6)
    card, public = oracle.card(one), oracle.public(one)
    parties = {role: PartyId(role) for role in card.roles}
    passage = gate.Gate(gate.project(card, public, parties, "left1"), opening=OPENING)
    with pytest.raises(InternalError, match="wrong-array"):
        passage.pass_out(Send("second", "Lk1", np.zeros(1, np.uint64)))
    passage.close()


# -- vectors ----------------------------------------------------------------------------------------------------------


def test_the_generator_writes_the_vectors_of_the_card_and_no_others() -> None:
    written = vectors.files()
    assert sorted(written) == sorted((cards_folder() / "shared_join" / "vectors").glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == text_of(content), path.name
