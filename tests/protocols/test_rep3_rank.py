"""The order of shuffled rows by opened comparisons: many steps, sizes that chance never exceeds, a uniform order."""

from collections import Counter
from itertools import permutations
from math import lgamma, log, log2
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pets.errors import PeerError
from pets.kernels import ranks
from pets.kernels.shares import Zeros
from pets.protocols.base import Role
from pets.protocols.rep3 import order, rank
from pets.protocols.rep3.sharing import PARTIES, Context, Words, joined
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.spec.operations import expanded
from tests.oracles.play import play
from tests.oracles.shared import run, split

U32 = npt.NDArray[np.uint32]
CARD = load_cards()["rep3"]


def _sorted(bits: int) -> Any:
    def act(ctx: Context, key: Words, payload: Words) -> Role[Words]:
        ordered, beside = yield from order.sorted_by(ctx, key, bits, [payload])
        return joined(ordered, *beside)

    return act


@pytest.mark.parametrize(("rows", "bits", "spread"), [(1100, 12, 12), (3000, 64, 60), (2000, 54, 3)])
def test_rows_beyond_the_first_step_are_put_in_order_as_the_card_lists(rows: int, bits: int, spread: int) -> None:
    """Also with keys that fill a word, where the number of a row lies in a second one, and with many equal keys."""
    rng = np.random.default_rng(rows)
    key, payload = (rng.integers(0, 2**spread, rows).astype(np.uint64) for _ in range(2))
    played = run(_sorted(bits), key, payload)
    at = np.argsort(key, kind="stable")
    assert np.array_equal(played.value, np.concatenate([key[at], payload[at]]))
    names = CARD.names({"n": rows, "bits": bits})
    listed = list(expanded(CARD.operations, "sorted_by", names))
    for party in range(3):
        assert played.sent_by(party) == [each for each in listed if each.sender == party]
    rounds = next(each for each in CARD.operations if each.name == "sorted_by").rounds.evaluate(names)
    assert rounds - 1 <= played.rounds <= rounds, "one party speaks alone in the first"


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 30, 31, 32, 200, 777])
def test_any_number_of_rows_goes_through_small_steps(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code with steps of 3, 7, 15, ... rows."""
    monkeypatch.setattr(rank, "FIRST", 2)
    monkeypatch.setattr(rank, "GROWTH", 1)
    rng = np.random.default_rng(rows)
    key, payload = (rng.integers(0, 50, rows).astype(np.uint64) for _ in range(2))
    at = np.argsort(key, kind="stable")
    assert np.array_equal(run(_sorted(6), key, payload).value, np.concatenate([key[at], payload[at]]))


@pytest.mark.parametrize("rows", [0, 1, 2, 1023, 1024, 16_383, 16_384, 10**6, 10**9, 2**32 - 1])
def test_steps_take_in_all_rows_and_are_those_of_the_card(rows: int) -> None:
    steps = list(rank.stages(rows))
    assert [before for before, _, _ in steps] == [0, *(after for _, after, _ in steps)][: len(steps)]
    assert sum(after - before for before, after, _ in steps) == rows
    assert all((before + 1).bit_count() == 1 for before, _, _ in steps)
    if rows:
        compared = sum((after - before) * (before + 1).bit_length() - (after - before) for before, after, _ in steps)
        compared += sum(count for _, _, count in steps)
        listed = expanded(CARD.operations, "sorted_by", CARD.names({"n": rows, "bits": 1}))
        words = sum(each.count for each in listed if each.label == "open" and each.sender == 0)
        assert compared / 64 <= words <= compared / 64 + 200


def test_more_pairs_than_the_card_has_are_met_with_a_chance_below_two_to_the_minus_60() -> None:
    """How many of N rows fall into each of G gaps is uniform over all ways; so many geometric numbers, given their sum.

    Chernoff's bound on the sum of pairs, with the number in one gap cut off where it is improbable in any.
    """
    for step in range(4):
        gaps = 2 ** (10 + 4 * step)
        for fresh in (gaps // 8, gaps, 4 * gaps, 15 * gaps):
            count = 17 * fresh**2 // (16 * gaps) + rank.SLACK
            assert count >= fresh * (fresh - 1) // 2 or _tail(gaps, fresh, count) < -60


def _tail(gaps: int, fresh: int, count: int) -> float:
    p = fresh / (fresh + gaps)
    given = lgamma(fresh + gaps) - lgamma(fresh + 1) - lgamma(gaps) + fresh * log(p) + gaps * log(1 - p)
    best = 0.0
    for cut in (int(f / (1 - p)) + 10 for f in (30, 40, 50, 60, 80)):
        k = np.arange(cut)
        chances, pairs = np.log1p(-p) + k * np.log(p), k * (k - 1) / 2
        beyond = log(gaps) + cut * log(p)
        for tilt in np.geomspace(1e-7, 1e-2, 100):
            terms = chances + tilt * pairs
            moment = terms.max() + np.log(np.exp(terms - terms.max()).sum())
            best = min(best, max(gaps * moment - tilt * count, beyond) + log(2) - given)
    return best * log2(np.e)


def test_the_opened_order_is_uniform_whatever_the_keys() -> None:
    """Orders of three shuffled rows under fresh keys, for equal and for different keys.

    False alarm: chi-squared with 5 degrees of freedom beyond 36, twice: below 1e-5.
    """
    for key in ([5, 5, 5], [1, 9, 4]):
        seen: Counter[tuple[int, ...]] = Counter()
        for number in range(240):
            seen[_order_of(key, number)] += 1
        assert sum((seen[each] - 40) ** 2 / 40 for each in permutations(range(3))) < 36


def _order_of(key: list[int], number: int) -> tuple[int, ...]:
    """The order in which the rows lie after the shuffle, by what is opened of a sort."""
    keys = [Secret(number.to_bytes(8, "big") + bytes([party] * 8)) for party in range(3)]
    parts = split(np.random.default_rng(number), np.array(key, np.uint64))
    seen: list[U32] = []

    def act(ctx: Context, column: Words) -> Role[Any]:
        found = yield from order.sorted_by(ctx, column, 4)
        return found

    original = ranks.merged

    def watched(*given: Any) -> U32:
        seen.append(original(*given))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "merged", watched)
        play(
            {
                PARTIES[party]: act(
                    Context(party, Zeros(keys[party], keys[(party + 1) % 3])),
                    Words(parts[party], parts[(party + 1) % 3]),
                )
                for party in range(3)
            }
        )
    assert all(np.array_equal(seen[0], each) for each in seen)
    return tuple(seen[0].tolist())


def test_comparisons_that_contradict_each_other_are_refused() -> None:
    """A peer that opens other outcomes than the shares say ends the run with a code, at whoever meets them."""
    column = np.random.default_rng(4).integers(0, 1000, 90).astype(np.uint64)

    def flipped(where: Any, array: Any) -> Any:
        return array ^ np.uint64(0x1111111111111111) if where[0] == "p1" and where[2] == "open" else array

    with pytest.raises(PeerError, match=r"peer\.positions"):
        run(_sorted(10), column, column, alter=flipped)


def test_rows_that_lie_closer_than_chance_puts_them_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "SLACK", 0)
    monkeypatch.setattr(rank, "FIRST", 3)
    column = np.arange(60, dtype=np.uint64)

    def all_low(where: Any, array: Any) -> Any:
        return array ^ np.uint64(2**64 - 1) if where[0] == "p1" and where[2] == "open" and where[3] else array

    with pytest.raises(PeerError, match=r"peer\.positions"):
        run(_sorted(10), column, column, alter=all_low)
