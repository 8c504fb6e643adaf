"""Replicated shares of three parties, and the steps in which one of them speaks: input, product, opening.

All operations are generators that the three parties run alike; a party is its number, 0 to 2. What a party sends masks
every word by a stream that the receiver lacks, or is opened on purpose. Sizes and order depend on public numbers only.

Trust:   semi-honest, one corrupt party of three. A lying peer is not caught; a malformed message is.
Source:  Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016; Mohassel, Rindal, CCS 2018 (ABY3); protocols.md 4.1 to 4.4.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pets.kernels import shares
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.shares import PLANE, Zeros
from pets.protocols.base import Role, Send, receive

PARTIES: Final[tuple[str, str, str]] = ("p0", "p1", "p2")
"""Roles of the card, in the order of the components."""


@dataclass(frozen=True, slots=True, repr=False)
class Words:
    """A column under sharing, as one party holds it: components i and i + 1, each (n,) uint64."""

    own: U64Array
    next: U64Array

    @property
    def rows(self) -> int:
        return self.own.size

    def __add__(self, other: "Words") -> "Words":
        return Words(self.own + other.own, self.next + other.next)

    def __sub__(self, other: "Words") -> "Words":
        return Words(self.own - other.own, self.next - other.next)

    def times(self, factor: int) -> "Words":
        """Multiply by a public number."""
        word = np.uint64(factor % 2**64)
        return Words(self.own * word, self.next * word)

    def __getitem__(self, rows: slice) -> "Words":
        return Words(np.ascontiguousarray(self.own[rows]), np.ascontiguousarray(self.next[rows]))

    def __repr__(self) -> str:
        return f"Words({self.rows} rows)"


@dataclass(frozen=True, slots=True, repr=False)
class Bits:
    """Bits under sharing with XOR: planes of ``rows`` rows, each component (bits, ceil(rows / 64)) uint64."""

    own: U64Array
    next: U64Array
    rows: int

    @property
    def bits(self) -> int:
        return len(self.own)

    def __xor__(self, other: "Bits") -> "Bits":
        return Bits(self.own ^ other.own, self.next ^ other.next, self.rows)

    def __getitem__(self, planes: slice) -> "Bits":
        return Bits(self.own[planes], self.next[planes], self.rows)

    def __repr__(self) -> str:
        return f"Bits({self.bits} x {self.rows})"


def stacked(*parts: Bits) -> Bits:
    """Planes of several values above each other, so that one round serves all."""
    return Bits(np.concatenate([p.own for p in parts]), np.concatenate([p.next for p in parts]), parts[0].rows)


def joined(*parts: Words) -> Words:
    """Rows of several columns after each other."""
    return Words(np.concatenate([p.own for p in parts]), np.concatenate([p.next for p in parts]))


@dataclass(slots=True)
class Context:
    """One party's part in a run: its number, and the keys that it shares with the party before and the one after."""

    me: int
    zeros: Zeros
    steps: Counter[str] = field(default_factory=Counter)
    roles: tuple[str, str, str] = PARTIES
    """What the parties are called on the card of the protocol that they are in."""

    @property
    def before(self) -> str:
        return self.roles[(self.me + 2) % 3]

    @property
    def after(self) -> str:
        return self.roles[(self.me + 1) % 3]

    def step(self, label: str) -> int:
        """Number of this message among those of its label: all three count alike, whoever speaks."""
        self.steps[label] += 1
        return self.steps[label] - 1

    def knows(self, component: int) -> bool:
        """True if this party holds that component of every value."""
        return component % 3 in (self.me, (self.me + 1) % 3)


# -- public and known values ------------------------------------------------------------------------------------------


def public(ctx: Context, value: int, rows: int) -> Words:
    """A public number in every row: component 0 of a share."""
    word, zero = np.full(rows, value % 2**64, np.uint64), np.zeros(rows, np.uint64)
    return Words(word if ctx.me == 0 else zero, word if ctx.me == 2 else zero)


def flipped(ctx: Context, bits: Bits) -> Bits:
    """NOT of every bit, also beyond the last row: what lies there is never opened."""
    ones = np.uint64(2**64 - 1)
    own = bits.own ^ ones if ctx.me == 0 else bits.own
    return Bits(own, bits.next ^ ones if ctx.me == 2 else bits.next, bits.rows)


def known_to_two(ctx: Context, component: int, value: U64Array | None, rows: int) -> Words:
    """A value that the two holders of a component know, as that component; the third holds zeros. No message."""
    zero = np.zeros(rows, np.uint64)
    mine = zero if value is None else value
    return Words(mine if ctx.me == component else zero, mine if (ctx.me + 1) % 3 == component else zero)


def planes_known_to_two(ctx: Context, component: int, value: U64Array | None, bits: int, rows: int) -> Bits:
    """The same for planes: ``value`` (bits, ceil(rows / 64)) at the two holders."""
    zero = np.zeros((bits, -(-rows // PLANE)), np.uint64)
    mine = zero if value is None else value
    return Bits(mine if ctx.me == component else zero, mine if (ctx.me + 1) % 3 == component else zero, rows)


# -- steps with a message ---------------------------------------------------------------------------------------------


def given(ctx: Context, owner: int, value: U64Array | None, rows: int) -> Role[Words]:
    """Input of one party, word by word.

    Sizes:   ``in``: one word a row, from the owner to the party after it.
    Learned: nothing: the word is masked by a stream that the receiver lacks.
    """
    shared, sent = yield from _given(ctx, owner, value, rows, xor=False)
    return Words(*_placed(ctx, owner, shared, sent, np.zeros(rows, np.uint64)))


def given_planes(ctx: Context, owner: int, value: U64Array | None, bits: int, rows: int) -> Role[Bits]:
    """Input of one party, bit by bit: planes (bits, ceil(rows / 64)).

    Sizes:   ``in``: one word a plane and 64 rows, from the owner to the party after it.
    """
    width = -(-rows // PLANE)
    flat = None if value is None else value.reshape(-1)
    shared, sent = yield from _given(ctx, owner, flat, bits * width, xor=True)
    own, following = _placed(ctx, owner, shared, sent, np.zeros(bits * width, np.uint64))
    return Bits(own.reshape(bits, width), following.reshape(bits, width), rows)


def _given(
    ctx: Context, owner: int, value: U64Array | None, count: int, *, xor: bool
) -> Role[tuple[U64Array | None, U64Array | None]]:
    """The two components of an input that are not zero, as far as this party has them."""
    column = ctx.step("in")
    if ctx.me == owner:
        assert value is not None
        mask = ctx.zeros.before(count)
        rest = value ^ mask if xor else value - mask
        yield Send(ctx.after, "in", rest, column)
        return mask, rest
    if ctx.me == (owner + 1) % 3:
        ctx.zeros.take(count)
        return None, (yield from receive(ctx.before, "in", column))
    return ctx.zeros.after(count), None


def _placed(
    ctx: Context, owner: int, shared: U64Array | None, sent: U64Array | None, zero: U64Array
) -> tuple[U64Array, U64Array]:
    """Components: ``owner``'s own is the mask, the one after is what was sent, the third is zero."""
    if ctx.me == owner:
        assert shared is not None and sent is not None
        return shared, sent
    if ctx.me == (owner + 1) % 3:
        assert sent is not None
        return sent, zero
    assert shared is not None
    return zero, shared


def from_two(ctx: Context, first: int, part: U64Array | None, rows: int, *, xor: bool = False) -> Role[Words]:
    """Shares of what parties ``first`` and ``first + 1`` hold in two parts that add up, or XOR.

    Sizes:   ``two``: one word a row each way between the two; the third is silent.
    Learned: nothing: each part is masked by a stream that the other lacks.
    Source:  our design (protocols.md 4.4): it takes over where helper_join ends.
    """
    return Words(*(yield from _from_two(ctx, first, part, rows, xor=xor)))


def planes_from_two(ctx: Context, first: int, part: U64Array | None, bits: int, rows: int) -> Role[Bits]:
    """The same for planes that add up with XOR: ``part`` (bits, ceil(rows / 64)) at the two.

    Sizes:   ``two``: one word a plane and 64 rows each way between the two; the third is silent. Learned: nothing.
    """
    width = -(-rows // PLANE)
    flat = None if part is None else part.reshape(-1)
    own, following = yield from _from_two(ctx, first, flat, bits * width, xor=True)
    return Bits(own.reshape(bits, width), following.reshape(bits, width), rows)


def _from_two(
    ctx: Context, first: int, part: U64Array | None, count: int, *, xor: bool
) -> Role[tuple[U64Array, U64Array]]:
    column = ctx.step("two")
    before, after = ctx.zeros.both(count)
    if ctx.me == (first + 2) % 3:
        return before, after
    assert part is not None
    mask, peer = (before, ctx.after) if ctx.me == first else (after, ctx.before)
    own = part ^ mask if xor else part - mask
    yield Send(peer, "two", own, column)
    theirs = yield from receive(peer, "two", column)
    both = own ^ theirs if xor else own + theirs
    return (mask, both) if ctx.me == first else (both, mask)


def multiply(ctx: Context, x: Words, y: Words) -> Role[Words]:
    """x y, word by word modulo 2^64. Sizes: ``mul``: one word a row to the party before; 1 round. Learned: nothing."""
    part = ctx.zeros.multiply((x.own, x.next), (y.own, y.next))
    return Words(part, (yield from _passed_on(ctx, "mul", part)))


def conjoin(ctx: Context, x: Bits, y: Bits) -> Role[Bits]:
    """x AND y, bit by bit. Sizes: ``and``: one word for 64 bits to the party before; 1 round. Learned: nothing."""
    flat = [np.ascontiguousarray(plane).reshape(-1) for plane in (x.own, x.next, y.own, y.next)]
    part = ctx.zeros.conjoin((flat[0], flat[1]), (flat[2], flat[3]))
    got = yield from _passed_on(ctx, "and", part)
    return Bits(part.reshape(x.own.shape), got.reshape(x.own.shape), x.rows)


def inner_product(ctx: Context, pairs: list[tuple[Words, Words]]) -> Role[Words]:
    """Sum of products of columns, row by row: one message, however many products.

    Sizes:   ``dot``: one word a row to the party before; 1 round. Learned: nothing.
    """
    part = np.zeros(pairs[0][0].rows, np.uint64)
    for x, y in pairs:
        part += x.own * (y.own + y.next) + x.next * y.own
    return (yield from added_up(ctx, part))


def added_up(ctx: Context, part: U64Array) -> Role[Words]:
    """What the parties' own parts add up to: of sums of products that each has summed by itself. ``part`` is taken.

    Sizes:   ``dot``: one word a row to the party before; 1 round. Learned: nothing.
    """
    part = ctx.zeros.add(part)
    return Words(part, (yield from _passed_on(ctx, "dot", part)))


def masked_planes(ctx: Context, part: U64Array, rows: int) -> Role[Bits]:
    """What the parties' own planes add up to with XOR: of sums of products that each has summed by itself.

    ``part``: (bits, ceil(rows / 64)) uint64, contiguous; it is taken.

    Sizes:   ``and``: one word for 64 bits to the party before; 1 round. Learned: nothing.
    """
    flat = ctx.zeros.xor(part.reshape(-1))
    got = yield from _passed_on(ctx, "and", flat)
    return Bits(flat.reshape(part.shape), got.reshape(part.shape), rows)


def opened(ctx: Context, x: Words) -> Role[U64Array]:
    """The value, to all three. Sizes: ``open``: one word a row to the party after; 1 round. Learned: the value."""
    column = ctx.step("open")
    yield Send(ctx.after, "open", x.own, column)
    missing = yield from receive(ctx.before, "open", column)
    return x.own + x.next + missing


def opened_planes(ctx: Context, x: Bits) -> Role[U64Array]:
    """The bits, to all three: words (rows,) of ``x.bits`` bits each.

    Sizes:   ``open``: one word a plane and 64 rows to the party after; 1 round. Learned: the bits of every row.
    """
    return shares.unplanes((yield from _opened_planes(ctx, x)), x.rows)


def opened_flags(ctx: Context, x: Bits) -> Role[U8Array]:
    """One plane, to all three: (rows,) uint8, 0 or 1. Sizes: as ``opened_planes``. Learned: the bit of every row."""
    planes = yield from _opened_planes(ctx, x)
    return np.unpackbits(planes[0].view(np.uint8), count=x.rows, bitorder="little")


def _opened_planes(ctx: Context, x: Bits) -> Role[U64Array]:
    clean = Bits(_trimmed(x.own, x.rows), _trimmed(x.next, x.rows), x.rows)
    column = ctx.step("open")
    yield Send(ctx.after, "open", clean.own.reshape(-1), column)
    missing = (yield from receive(ctx.before, "open", column)).reshape(clean.own.shape)
    return clean.own ^ clean.next ^ missing


def _trimmed(planes: U64Array, rows: int) -> U64Array:
    """Planes with nothing beyond the last row: what lies there is nobody's."""
    out = planes.copy()
    if rows % PLANE:
        out[:, -1] &= np.uint64(2 ** (rows % PLANE) - 1)
    return out


def _passed_on(ctx: Context, label: str, part: U64Array) -> Role[U64Array]:
    """Every party's part of a product goes to the party before, which lacks it."""
    column = ctx.step(label)
    yield Send(ctx.before, label, part, column)
    got: U64Array = yield from receive(ctx.after, label, column)
    return got
