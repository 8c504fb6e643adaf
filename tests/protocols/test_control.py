"""Disclosure control under sharing: what is opened is what clear counts give, and no message depends on them."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pets.kernels.prf import KeyFamily
from pets.protocols import control, known_totals
from pets.protocols.control import Count, Shape, Shown
from pets.protocols.rep3.sharing import Context, Words
from pets.secret import Secret
from pets.spec import handover, operations
from pets.spec.cards import load_cards
from tests.oracles.play import Transcript, play

ROLES = ("first", "second", "third")
CARD = load_cards()["disclosure_control"]


def families(seed: int) -> dict[str, KeyFamily]:
    return {
        pair: KeyFamily(
            Secret(bytes([1 + seed % 251, number] * 16)),
            run_id=bytes(32),
            digest=bytes(32),
            protocol="test",
            party_p=pair[0],
            party_q=pair[1],
        )
        for number, pair in enumerate(("12", "13", "23"))
    }


def context(me: int, keys: dict[str, KeyFamily], before: str, after: str) -> Context:
    return control.context(me, keys[before], keys[after], ROLES)


def run(
    shape: Shape, sums: np.ndarray[Any, Any], seed: int = 1, tops: Sequence[np.ndarray[Any, Any]] = ()
) -> Transcript:
    """All four roles; ``sums`` (moments * h, g) are split at random, and so is what was read of contributions."""
    rng = np.random.default_rng(seed)
    part = rng.integers(0, 2**64, sums.shape, dtype=np.uint64)
    more: list[list[Words]] = [[], [], []]
    for each in tops:
        x, y = (rng.integers(0, 2**64, shape.cells, dtype=np.uint64) for _ in range(2))
        parts = (x, y, each.view(np.uint64) - x - y)
        for me in range(3):
            more[me].append(Words(parts[me], parts[(me + 1) % 3]))
    own = (part, sums.view(np.uint64) - part, None)
    roles: dict[str, Any] = {"result": control.result(shape, ROLES)}
    for me, (before, after) in enumerate((("13", "12"), ("12", "23"), ("23", "13"))):
        keys = families(seed)
        ctx = context(me, keys, before, after)
        roles[ROLES[me]] = control.protect(shape, ctx, own[me], keys[before], keys[after], (), more[me])
    return play(roles, seed=seed)


def public(shape: Shape) -> dict[str, int]:
    return {
        "g": shape.g,
        "h": shape.h,
        "v": shape.moments * shape.h,
        "f": len(shape.counts),
        "e": shape.empties,
        "q": len(shape.sets),
        "m": max(map(len, shape.sets)),
        "o": len(shape.shown),
        "c": len(shape.rounded),
        "d": shape.band,
        "s_d": len(shape.against.held),
        "u_d": len(shape.against.held) * shape.against.comparisons if shape.against.held else 0,
        "t_d": conjunctions(shape),
        "b_k": int(bool(shape.lines)),
        "b_y": int(bool(shape.lines) and shape.empties > 0),
        "b_n": known_totals.padded(sum(map(len, shape.lines))),
        "l_n": known_totals.padded(len(shape.lines)),
    }


def conjunctions(shape: Shape) -> int:
    """Of n rules on shares all n - 1 after the first; p % is one more, and needs to know of 0 where it is alone."""
    shares, p = len(shape.against.shares), shape.against.p
    return 0 if not shape.against.held else shares - 1 if p is None else max(shares, 1)


def clear(shape: Shape, sums: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The same on clear sums."""
    by_moment = [[int(v) for v in sums[at * shape.h : (at + 1) * shape.h].reshape(-1)] for at in range(shape.moments)]

    def fine(count: Count, cell: int) -> bool:
        n = sum(factor * by_moment[moment][cell] for moment, factor in count.terms)
        return n >= shape.min_count or (n == 0 and count.may_be_empty)

    cells = range(shape.cells)
    flags = [[all(fine(shape.counts[c], cell) for c in own) for cell in cells] for own in shape.sets]
    values = []
    for each in shape.shown:
        row = []
        for cell in cells:
            value = by_moment[each.moment][cell]
            if each.rounded and shape.band > 1:
                value = (value + (shape.band - 1 if shape.upwards else shape.band // 2)) // shape.band
            row.append(value if flags[each.rests_on][cell] else 0)
        values.append(row)
    return np.array(values, np.int64), np.array(flags)


def some_shape(seed: int) -> tuple[Shape, np.ndarray[Any, Any]]:
    """Three moments: a count of persons, a count of those with a value, a sum; any minimum, band and sets."""
    rng = random.Random(f"control {seed}")
    g, h = rng.choice([1, 2, 7, 64, 65]), rng.choice([1, 2, 3])
    least = rng.choice([1, 2, 8, 10])
    zeros = rng.random() < 0.5
    counts = [Count(((1, 1),), zeros), Count(((0, 1),), zeros)]
    if rng.random() < 0.7:
        counts.append(Count(((0, 1), (1, -1)), True))
    counts.sort(key=lambda count: not count.may_be_empty)
    place = {count.terms: number for number, count in enumerate(counts)}
    sets = ((place[((0, 1),)],), tuple(sorted(set(place.values()) - {place[((0, 1),)]})))
    band = rng.choice([1, 2, 5, 6, 10])
    shape = Shape(
        g,
        h,
        3,
        tuple(counts),
        sets,
        (Shown(0, 0, True), Shown(1, 1, True), Shown(2, 1, False)),
        least,
        band,
        rng.random() < 0.5,
    )
    people = np.array([rng.choice([0, 1, least - 1, least, least + 1, rng.randrange(200)]) for _ in range(g * h)])
    there = np.array([max(0, n - rng.choice([0, 0, 1, least, n])) for n in people.tolist()])
    money = np.array([rng.randrange(-(2**40), 2**40) for _ in range(g * h)])
    return shape, np.stack([people, there, money]).reshape(3 * h, g).astype(np.int64)


@pytest.mark.parametrize("seed", range(25))
def test_what_is_opened_is_what_clear_counts_give(seed: int) -> None:
    shape, sums = some_shape(seed)
    shown, enough = control.open_shown(shape, *run(shape, sums, seed).outputs["result"])
    expected, flags = clear(shape, sums)
    assert np.array_equal(enough, flags)
    assert np.array_equal(shown, expected)


@pytest.mark.parametrize("seed", range(8))
def test_the_messages_are_those_of_the_card(seed: int) -> None:
    shape, sums = some_shape(seed)
    names = CARD.names(public(shape))
    ring = (*ROLES, "result")
    expected: list[tuple[str, str, str, int]] = [
        (m.sender, m.receiver, m.label, m.count.evaluate(names))
        for m in CARD.messages
        for _ in range(m.columns.evaluate(names))
    ]
    steps = list(operations.steps(CARD.operations, "protect", names, handover.Cards()))
    expected += [(ring[s.sender], ring[s.receiver], s.label, s.count) for step in steps for s in step]
    sent = [(key[0], key[1], key[2], array.size) for key, array in run(shape, sums, seed).sent]
    assert sorted(sent) == sorted(expected)
    assert CARD.operations[-1].rounds.evaluate(names) == len(steps)


def test_every_minimum_and_zero_at_its_edges() -> None:
    """Counts from 0 to beyond the minimum, in one table: shown from the minimum on, and 0 only where it may be."""
    for zeros in (True, False):
        counts = np.arange(24, dtype=np.int64)[None, :]
        shape = Shape(24, 1, 1, (Count(((0, 1),), zeros),), ((0,),), (Shown(0, 0, True),), 10, 5, False)
        shown, enough = control.open_shown(shape, *run(shape, counts).outputs["result"])
        expected = [n >= 10 or (zeros and n == 0) for n in range(24)]
        assert enough[0].tolist() == expected
        assert shown[0].tolist() == [(n + 2) // 5 if fine else 0 for n, fine in enumerate(expected)]


def test_traffic_is_the_same_whatever_the_counts_are() -> None:
    shape, sums = some_shape(3)
    zero = np.zeros_like(sums)
    assert run(shape, sums).shape_of_traffic() == run(shape, zero).shape_of_traffic()
