"""disclosure_control: minimum counts and rounding on sums that two parties share, before anything is opened.

Three parties compute, alike (``protect``), and one opens (``result``). They go on where a join ends. The messages are
on protocols/disclosure_control/card.toml; protocols/disclosure_control/README.md has the argument. Whatever the counts
are, the same messages of the same sizes are sent: a cell of nobody, one of too few and one that is shown look alike to
all three.

Source: protocols.md 4.4 to 4.6 and 4.12.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError
from pets.kernels import prf
from pets.kernels.shares import PLANE, Zeros
from pets.protocols import dominance, known_totals
from pets.protocols.base import Role, Send, receive, receive_columns
from pets.protocols.rep3 import compare, rounding, sharing
from pets.protocols.rep3.sharing import Bits, Context, Words

PROTOCOL = "disclosure_control"

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

FIRST, SECOND, THIRD = range(3)
"""The two that hold the shares, and the third. Their order is that of the components of a share."""


@dataclass(frozen=True, slots=True)
class Count:
    """A count of persons that is held against the minimum: ``terms``, pairs of a sum's number and its factor, added.

    ``may_be_empty``: a count of zero is shown, too.
    """

    terms: tuple[tuple[int, int], ...]
    may_be_empty: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A sum that is shown where all counts of its set are enough. ``rounded``: it is a count, and shown in bands."""

    moment: int
    rests_on: int
    rounded: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """Public parameters: by the names of the card, and what is held against what.

    ``counts``: those that may be empty come first. ``sets``: numbers of counts, none empty. ``band``: width of the
    bands in which counts are shown, 1 for counts as they are; ``upwards``: a band ends at its multiple, else that is
    its middle. With ``lines``, the first count is that of everybody in a cell.
    """

    g: int
    h: int
    moments: int
    counts: tuple[Count, ...]
    sets: tuple[tuple[int, ...], ...]
    shown: tuple[Shown, ...]
    min_count: int
    band: int
    upwards: bool
    lines: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """Lines whose totals are known, each cut into blocks of cells, numbered as in a column: b-cell * g + a-cell."""
    ordered: tuple[int, ...] = ()
    """The set that each number computed on rows rests on; they are shown behind the sums, as they come."""
    against: dominance.Rules = dominance.NONE
    """What is held against rules on contributions; in ``sets`` the held sums have numbers behind those of counts."""

    @property
    def cells(self) -> int:
        return self.g * self.h

    @property
    def rows(self) -> int:
        """Cells, up to a whole number of planes: so every count starts at a word of its own."""
        return -(-self.cells // PLANE) * PLANE

    @property
    def empties(self) -> int:
        return sum(count.may_be_empty for count in self.counts)

    @property
    def rests_on(self) -> tuple[int, ...]:
        """The set of each number that is shown, sums first."""
        return (*(each.rests_on for each in self.shown), *self.ordered)

    @property
    def rounded(self) -> tuple[int, ...]:
        """Places in ``shown`` of the counts that are shown in bands of more than one."""
        return tuple(place for place, each in enumerate(self.shown) if each.rounded and self.band > 1)


def protect(
    shape: Shape,
    ctx: Context,
    own: U64 | None,
    before: prf.KeyFamily,
    after: prf.KeyFamily,
    statistics: Sequence[Words] = (),
    contributions: Sequence[Words] = (),
) -> Role[None]:
    """Play party ``ctx.me`` of three: from shares of sums to shares of what may be shown, which go to the result party.

    Shapes:  ``statistics`` and ``contributions``: shares of what is computed on rows, and what ``dominance.greatest``
             gives, (h * g,) each, that all three have computed before;
             own (moments * h, g) uint64 at the first two, None at the third; ``before`` and ``after`` are the key
             families that this party has with the party before it and the one after.
    Sizes:   first and second exchange Cf and Cs; then the operation ``protect`` of the card.
    Learned: nothing: every word that comes in is masked by a stream that this party lacks.
    Trust:   semi-honest, one corrupt party of three; a lying peer is not caught, a malformed message is.
    """
    sums = yield from _taken_over(shape, ctx.me, own, before, after, ctx.roles)
    columns = [
        _padded(sums[slice(at * shape.cells, (at + 1) * shape.cells)], shape.rows) for at in range(shape.moments)
    ]
    counts = [_added(count, columns) for count in shape.counts]
    if len(contributions) != len(shape.against.held) * len(shape.against.tops):
        raise InternalError("internal.bug", where="contributions that are taken over")
    held = [columns[moment] for moment, _ in shape.against.held]
    tops = [_padded(each, shape.rows) for each in contributions]
    compared = dominance.differences(shape.against, ctx, held, tops)
    enough = yield from _enough(ctx, shape, counts, compared)
    if shape.lines:
        enough = yield from known_totals.also_withheld(ctx, shape, counts, enough)
    (flags,) = yield from compare.to_words(ctx, enough)
    if len(statistics) != len(shape.ordered):
        raise InternalError("internal.bug", where="numbers of rows that are taken over")
    values = yield from _bands(ctx, shape, columns)
    values += [_padded(each, shape.rows) for each in statistics]
    chosen = sharing.joined(*(flags[_place(shape, number)] for number in shape.rests_on))
    kept = yield from sharing.multiply(ctx, chosen, sharing.joined(*values))
    part = np.ascontiguousarray(np.concatenate([kept.own, flags.own]).reshape(-1, shape.rows)[:, : shape.cells]).ravel()
    yield Send("result", "show", ctx.zeros.add(part), ctx.step("show"))


def context(me: int, before: prf.KeyFamily, after: prf.KeyFamily, roles: tuple[str, str, str]) -> Context:
    """One party's part in all that three compute in a run: streams and steps go on from one computation to the next.

    ``roles`` in the order of parties; ``before`` and ``after`` as in ``protect``.
    """
    keys = (family.key("shares", purpose="shares of zero") for family in (before, after))
    return Context(me, Zeros(*keys), roles=roles)


def result(shape: Shape, roles: tuple[str, str, str]) -> Role[tuple[U64, U64, U64]]:
    """Play the result party: receive the parts of all three; ``open_shown`` adds them once all are in.

    Learned: what ``open_shown`` gives, and nothing from any two of the parts.
    """
    parts: list[U64] = []
    for role in roles:
        parts.append((yield from receive(role, "show")))
    return parts[0], parts[1], parts[2]


def open_shown(shape: Shape, *parts: U64) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Add three parts modulo 2^64: the sums that are shown (o, h * g) int64, and which sets are enough (q, h * g) bool.

    A count is the number of its band if ``shape.band`` is more than one. Whatever rests on a set that is not enough is
    0. Raises: InternalError internal.bug if the parts are not three of one size.
    """
    many = len(shape.rests_on)
    wanted = (many + len(shape.sets)) * shape.cells
    if len(parts) != 3 or any(part.size != wanted for part in parts):
        raise InternalError("internal.bug", where="open_shown")
    words = (parts[0] + parts[1] + parts[2]).reshape(-1, shape.cells)
    shown = words[:many].view(np.int64)
    return shown, words[many:] == 1


def _taken_over(
    shape: Shape, me: int, own: U64 | None, before: prf.KeyFamily, after: prf.KeyFamily, roles: tuple[str, str, str]
) -> Role[Words]:
    """Shares of three from shares of two (protocols.md 4.4): each masks its own for the other, and both add up.

    The third holds the two masks: the first component from the first, the third component from the second.
    """
    count = shape.moments * shape.h

    def masks(family: prf.KeyFamily) -> U64:
        return np.concatenate([prf.words(family.key("two", column), shape.g) for column in range(count)])

    if me == THIRD:
        return Words(masks(before), masks(after))
    if own is None or own.shape != (count, shape.g):
        raise InternalError("internal.bug", where="shares that are taken over")
    mask = masks(before if me == FIRST else after)
    masked = own.reshape(-1) - mask
    label, other, peer = ("Cf", "Cs", roles[SECOND]) if me == FIRST else ("Cs", "Cf", roles[FIRST])
    for column in range(count):
        yield Send(peer, label, masked[column * shape.g : (column + 1) * shape.g].copy(), column)
    theirs = np.concatenate((yield from receive_columns(peer, other, count)))
    both = masked + theirs
    return Words(mask, both) if me == FIRST else Words(both, mask)


def _enough(ctx: Context, shape: Shape, counts: list[Words], compared: list[Words]) -> Role[Bits]:
    """One bit a set and cell, set after set: all its counts are at least the minimum, or are empty and may be.

    ``compared``: what is compared for sums whose contributions have to be right, too (``dominance.differences``).
    """
    least = sharing.public(ctx, shape.min_count, shape.rows)
    below = yield from compare.negative(ctx, sharing.joined(*(count - least for count in counts), *compared))
    width = shape.rows // PLANE
    passed = sharing.flipped(ctx, _planes(below, 0, len(counts) * width))
    empty: Bits | None = None
    if shape.empties:  # nothing is both at least the minimum and empty: the two bits add up
        empty = yield from compare.is_zero(ctx, sharing.joined(*counts[: shape.empties]))
        rest = Bits(*(np.zeros((1, passed.own.shape[1] - empty.own.shape[1]), np.uint64),) * 2, 0)
        passed ^= _beside(empty, rest)
    if compared:
        right = yield from dominance.allowed(shape.against, ctx, _planes(below, len(counts) * width, None))
        if empty is not None and shape.against.p is not None:  # of nobody the sum is 0, which p % withholds
            own = [_planes(empty, count * width, (count + 1) * width) for _, count in shape.against.held]
            right ^= _beside(*own)
        passed = _beside(passed, right)
    whole = _sets(shape, passed, 0)
    for place in range(1, max(map(len, shape.sets))):
        whole = yield from sharing.conjoin(ctx, whole, _sets(shape, passed, place))
    return whole


def _planes(bits: Bits, start: int, end: int | None) -> Bits:
    """Some words of a plane."""
    own, following = bits.own[:, start:end], bits.next[:, start:end]
    return Bits(np.ascontiguousarray(own), np.ascontiguousarray(following), own.shape[1] * PLANE)


def _beside(*parts: Bits) -> Bits:
    """Rows of one plane after each other."""
    own, following = (np.concatenate(each, axis=1) for each in zip(*((p.own, p.next) for p in parts), strict=True))
    return Bits(own, following, own.shape[1] * PLANE)


def _added(count: Count, columns: list[Words]) -> Words:
    first, *others = (columns[moment].times(factor) for moment, factor in count.terms)
    for other in others:
        first = first + other
    return first


def _sets(shape: Shape, bits: Bits, place: int) -> Bits:
    """The count at this place of every set, or its last one again where it has no more."""
    words = shape.rows // PLANE
    chosen = [own[min(place, len(own) - 1)] for own in shape.sets]
    own, following = (
        np.concatenate([plane[0, at * words : (at + 1) * words] for at in chosen])[None, :]
        for plane in (bits.own, bits.next)
    )
    return Bits(own, following, len(chosen) * shape.rows)


def _bands(ctx: Context, shape: Shape, columns: list[Words]) -> Role[list[Words]]:
    """What is shown, before anything is hidden: sums as they are, counts as the number of their band."""
    values = [columns[each.moment] for each in shape.shown]
    if shape.rounded:
        shift = sharing.public(ctx, shape.band - 1 if shape.upwards else shape.band // 2, shape.rows)
        moved = sharing.joined(*(values[place] + shift for place in shape.rounded))
        bands = yield from rounding.quotient(ctx, moved, shape.band)
        for number, place in enumerate(shape.rounded):
            values[place] = bands[_place(shape, number)]
    return values


def _place(shape: Shape, number: int) -> slice:
    return slice(number * shape.rows, (number + 1) * shape.rows)


def _padded(column: Words, rows: int) -> Words:
    """Zeros behind the last cell: shares of nothing."""
    more = np.zeros(rows - column.rows, np.uint64)
    return Words(np.concatenate([column.own, more]), np.concatenate([column.next, more]))
