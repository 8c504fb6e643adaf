"""Operations on replicated shares, against numpy on edge values and random ones, and against their card."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pets.kernels import aes
from pets.kernels.shares import Zeros, unplanes
from pets.protocols.base import Role
from pets.protocols.rep3 import compare, order, sharing
from pets.protocols.rep3.sharing import PARTIES, Bits, Context, Words
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.spec.operations import Sent, expanded
from tests.oracles.play import Transcript, play
from tests.oracles.rep3_operations import MADE, PARTS

U64 = npt.NDArray[np.uint64]
Run = Callable[..., Role[Any]]

CARD = load_cards()["rep3"]
PLAIN = [each.name for each in CARD.operations if each.name not in MADE.keys() | PARTS]
KEYS = [Secret(bytes([number + 1] * 16)) for number in range(3)]
EDGES = np.array([0, 1, 2, 2**31, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1], np.uint64)
SIZES = (1, 2, 63, 64, 65, 130)


@dataclass
class Played:
    transcript: Transcript
    outputs: list[Any]
    positions: list[int]

    @property
    def value(self) -> U64:
        """What the parties' shares add up to; their common components must be equal."""
        for party in range(3):
            assert np.array_equal(self.outputs[party].next, self.outputs[(party + 1) % 3].own)
        own = [output.own for output in self.outputs]
        if isinstance(self.outputs[0], Bits):
            return unplanes(own[0] ^ own[1] ^ own[2], self.outputs[0].rows)
        return own[0] + own[1] + own[2]


def split(rng: np.random.Generator, values: U64) -> list[U64]:
    first, second = (rng.integers(0, 2**64, values.size, np.uint64) for _ in range(2))
    return [first, second, values - first - second]


def run(act: Run, *columns: U64, seed: int = 0) -> Played:
    """Share columns among three parties and play ``act`` at each."""
    rng = np.random.default_rng(seed)
    shared = [split(rng, column) for column in columns]
    contexts = [Context(party, Zeros(KEYS[party], KEYS[(party + 1) % 3])) for party in range(3)]
    roles = {
        PARTIES[party]: act(contexts[party], *(Words(each[party], each[(party + 1) % 3]) for each in shared))
        for party in range(3)
    }
    transcript = play(roles, seed=seed)
    return Played(transcript, [transcript.outputs[name] for name in PARTIES], [c.zeros.position for c in contexts])


def values(seed: int, rows: int) -> U64:
    """Edge values first, then uniform ones."""
    rng = np.random.default_rng(seed)
    return np.concatenate([EDGES[seed % 7 :], rng.integers(0, 2**64, rows, np.uint64)])[:rows]


def first_plane(act: Run) -> Run:
    """An operation on planes, with its plane as words."""

    def go(ctx: Context, *columns: Words) -> Role[Words]:
        bits = yield from act(ctx, *columns)
        (found,) = yield from compare.to_words(ctx, bits)
        return found

    return go


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
def test_products_sums_and_constants(rows: int) -> None:
    x, y = values(1, rows), values(2, rows)
    assert np.array_equal(run(sharing.multiply, x, y).value, x * y)

    def mixed(ctx: Context, x: Words, y: Words) -> Role[Words]:
        some = x.times(-3) + y - sharing.public(ctx, 2**64 - 5, x.rows)
        return (yield from sharing.inner_product(ctx, [(some, x), (y, y), (x, y)]))

    some = x * np.uint64(2**64 - 3) + y + np.uint64(5)
    assert np.array_equal(run(mixed, x, y).value, some * x + y * y + x * y)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_sign_order_and_equality(rows: int, seed: int) -> None:
    x, y = values(seed, rows), values(seed + 1, rows)
    assert np.array_equal(run(compare.negative, x).value, x >> np.uint64(63))
    small, other = x.view(np.int64) >> 1, y.view(np.int64) >> 1
    less = run(compare.less_than, small.view(np.uint64), other.view(np.uint64))
    assert np.array_equal(less.value, (small < other).astype(np.uint64))
    y[::3] = x[::3]
    assert np.array_equal(run(compare.equal, x, y).value, (x == y).astype(np.uint64))


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("bits", [1, 2, 7, 16, 33, 64])
def test_words_to_bits_and_back(rows: int, bits: int) -> None:
    x = values(bits, rows)
    low = x & np.uint64(2**bits - 1)
    assert np.array_equal(run(lambda ctx, x: compare.to_bits(ctx, x, bits), x).value, low)

    def there_and_back(ctx: Context, x: Words) -> Role[Words]:
        planes = yield from compare.to_bits(ctx, x, bits)
        columns = yield from compare.to_words(ctx, planes)
        whole = columns[0]
        for place, column in enumerate(columns[1:], 1):
            whole = whole + column.times(2**place)
        return whole

    assert np.array_equal(run(there_and_back, x).value, low)


def test_a_chosen_value() -> None:
    x, y, chosen = values(1, 50), values(2, 50), (values(3, 50) & np.uint64(1))
    assert np.array_equal(run(compare.select, chosen, x, y).value, np.where(chosen == 1, x, y))


@pytest.mark.parametrize("first", range(3))
def test_two_parts_become_shares(first: int) -> None:
    x, part = values(1, 70), values(2, 70)

    def act(ctx: Context) -> Role[Words]:
        own = {first: part, (first + 1) % 3: x - part}.get(ctx.me)
        return (yield from sharing.from_two(ctx, first, own, 70))

    assert np.array_equal(run(act).value, x)


@pytest.mark.parametrize("owner", range(3))
def test_input_of_any_party(owner: int) -> None:
    x = values(4, 70)
    assert np.array_equal(run(lambda ctx: sharing.given(ctx, owner, x if ctx.me == owner else None, 70)).value, x)


# -- opening and order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
def test_opening_gives_all_three_the_value(rows: int) -> None:
    x = values(1, rows)
    assert all(np.array_equal(output, x) for output in run(sharing.opened, x).outputs)

    def bits(ctx: Context, x: Words) -> Role[U64]:
        planes = yield from compare.to_bits(ctx, x, 5)
        return (yield from sharing.opened_planes(ctx, sharing.flipped(ctx, planes)))

    assert all(np.array_equal(output, ~x & np.uint64(31)) for output in run(bits, x).outputs)


def test_what_lies_beyond_the_last_row_is_not_opened() -> None:
    """NOT sets bits there; none of them may go on the wire."""

    def act(ctx: Context, x: Words) -> Role[U64]:
        return (yield from sharing.opened_planes(ctx, sharing.flipped(ctx, (yield from compare.negative(ctx, x)))))

    played = run(act, values(1, 3))
    assert all(int(array[0]) < 8 for (_, _, label, _), array in played.transcript.sent if label == "open")


@pytest.mark.parametrize("rows", SIZES)
def test_a_shuffle_keeps_rows_together_and_no_two_parties_orders_are_the_whole(rows: int) -> None:
    x = np.arange(rows, dtype=np.uint64)
    y = values(1, rows)

    def act(ctx: Context, x: Words, y: Words) -> Role[Words]:
        (a, b), _ = yield from order.shuffled(ctx, [x, y])
        return sharing.joined(a, b)

    got = run(act, x, y).value
    assert np.array_equal(np.sort(got[:rows]), x)
    assert np.array_equal(got[rows:], y[got[:rows].astype(np.int64)])
    if rows > 60:
        assert not np.array_equal(got[:rows], x)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_a_sort_is_stable_and_carries_its_payload(rows: int, bits: int) -> None:
    rng = np.random.default_rng(rows + bits)
    key, payload = rng.integers(0, 2**bits, rows).astype(np.uint64), values(rows, rows)

    def act(ctx: Context, key: Words, payload: Words) -> Role[Words]:
        ordered, (beside,) = yield from order.sorted_by(ctx, key, bits, [payload])
        return sharing.joined(ordered, beside)

    at = np.argsort(key, kind="stable")
    assert np.array_equal(run(act, key, payload).value, np.concatenate([key[at], payload[at]]))


# -- the card ---------------------------------------------------------------------------------------------------------


def _operation(name: str, bits: int) -> tuple[Run, int]:
    """How an operation of the card is run, and on how many columns."""

    def planes(act: Callable[[Context, Bits], Role[Any]], width: int = bits) -> Run:
        def go(ctx: Context, x: Words) -> Role[Any]:
            words = -(-x.rows // 64)
            zero = np.zeros((width, words), np.uint64)
            return (yield from act(ctx, Bits(zero, zero, x.rows)))

        return go

    table: dict[str, tuple[Run, int]] = {
        "given": (lambda ctx, x: sharing.given(ctx, 0, x.own if ctx.me == 0 else None, x.rows), 1),
        "from_two": (lambda ctx, x: sharing.from_two(ctx, 0, None if ctx.me == 2 else x.own, x.rows), 1),
        "multiply": (sharing.multiply, 2),
        "inner_product": (lambda ctx, x, y: sharing.inner_product(ctx, [(x, y), (y, x)]), 2),
        "conjoin": (planes(lambda ctx, b: sharing.conjoin(ctx, b, b)), 1),
        "opened": (sharing.opened, 1),
        "opened_planes": (planes(sharing.opened_planes), 1),
        "carry": (planes(lambda ctx, b: compare.carry(ctx, b, b)), 1),
        "negative": (compare.negative, 1),
        "is_zero": (compare.is_zero, 1),
        "to_bits": (lambda ctx, x: compare.to_bits(ctx, x, bits), 1),
        "to_words": (planes(compare.to_words), 1),
        "select": (compare.select, 3),
        "shuffled": (lambda ctx, x, y: order.shuffled(ctx, [x, y]), 2),
        "sorted_by": (lambda ctx, x, y: order.sorted_by(ctx, x, bits, [y]), 2),
    }
    return table[name]


@pytest.mark.parametrize("bits", [2, 3, 31, 63, 64])
@pytest.mark.parametrize("rows", [1, 64, 100])
@pytest.mark.parametrize("name", PLAIN)
def test_an_operation_sends_exactly_what_its_card_lists(name: str, rows: int, bits: int) -> None:
    """Label, sender, receiver and words of every message, in order, at every party."""
    act, columns = _operation(name, bits)
    played = run(act, *(np.zeros(rows, np.uint64) for _ in range(columns)))
    listed = list(expanded(CARD.operations, name, CARD.names({"n": rows, "bits": bits})))
    for party in range(3):
        own = [each for each in listed if each.sender == party]
        sent = [
            Sent(label, PARTIES.index(sender), PARTIES.index(receiver), array.size)
            for (sender, receiver, label, _), array in played.transcript.sent
            if sender == PARTIES[party]
        ]
        assert sent == own
    assert all(array.dtype == np.uint64 for _, array in played.transcript.sent)
    assert len(set(played.positions)) == 1, "the three count their streams alike"


def test_every_operation_of_the_card_is_tested() -> None:
    assert all(_operation(name, 2) for name in PLAIN)
    assert CARD.messages == () and CARD.learns == ()


# -- what one party sees ----------------------------------------------------------------------------------------------


def received(played: Played, party: str) -> U64:
    got = [array for (_, to, label, _), array in played.transcript.sent if to == party and label != "open"]
    return np.concatenate([np.empty(0, np.uint64), *got])


@pytest.mark.parametrize("name", ["multiply", "conjoin", "negative", "is_zero", "to_bits", "shuffled", "from_two"])
def test_what_a_party_gets_is_uniform_whatever_the_values(name: str) -> None:
    """Bits of all received words, under constant inputs: each of 64 positions is 1 about half the time.

    False alarm: 64 positions, 3 parties, 8 operations at 6 standard deviations, below 1e-5.
    """
    act, columns = _operation(name, 16)
    played = run(act, *(np.full(2000, 7, np.uint64) for _ in range(columns)), seed=5)
    for party in PARTIES:
        words = received(played, party)
        if words.size:
            ones = (words[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).sum(axis=0)
            assert np.abs(ones - words.size / 2).max() < 6 * np.sqrt(words.size / 4)


def test_no_word_is_masked_twice() -> None:
    """All words that a party gets in a long computation differ: a stream used twice would repeat one."""

    def act(ctx: Context, x: Words) -> Role[Any]:
        for _ in range(3):
            yield from sharing.multiply(ctx, x, x)
            yield from compare.negative(ctx, x)
            yield from order.shuffled(ctx, [x])
        return x

    played = run(act, np.zeros(500, np.uint64))
    for party in PARTIES:
        words = received(played, party)
        assert len(np.unique(words)) == words.size


# -- the processor's instructions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", aes.features())
def test_every_back_end_sends_the_same_bytes(backend: str) -> None:
    def act(ctx: Context, x: Words, y: Words) -> Role[Words]:
        product = yield from sharing.multiply(ctx, x, y)
        return (yield from first_plane(compare.negative)(ctx, product))

    before = aes.selected()
    try:
        aes.select("portable")
        plain = run(act, values(1, 1000), values(2, 1000))
        aes.select(backend)
        fast = run(act, values(1, 1000), values(2, 1000))
    finally:
        aes.select(before)
    a, b = (
        [(key, array.tobytes()) for key, array in sorted(p.transcript.sent, key=lambda s: s[0])] for p in (plain, fast)
    )
    assert a == b


@pytest.mark.parametrize("wrong", [np.zeros(3, np.int64), np.zeros((2, 2), np.uint64), np.zeros(8, np.uint64)[::2]])
def test_what_is_no_component_is_refused(wrong: Any) -> None:
    zeros = Zeros(KEYS[0], KEYS[1])
    with pytest.raises(ValueError, match="component"):
        zeros.multiply((wrong, wrong), (wrong, wrong))
    with pytest.raises(ValueError, match="one length"):
        zeros.multiply(
            (np.zeros(3, np.uint64), np.zeros(2, np.uint64)), (np.zeros(3, np.uint64), np.zeros(3, np.uint64))
        )
