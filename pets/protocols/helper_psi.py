"""helper_psi: which of its persons another organisation has, too, with a helper who sees one noisy count.

Both holders send the helper lists of tags (pets/protocols/tagged.py). The helper says of each entry of role a's list
whether role b's has it, and nothing about anybody else; to role b the same, where ``both`` says so. Columns of role b
travel to role a through the helper, each value under a pad that only holders can make, of the person it belongs to: the
helper passes on those of matched persons, and can read none. protocols/helper_psi/card.toml has the messages,
protocols/helper_psi/README.md the argument.

Source: Kamara, Mohassel, Raykova, Sadeghian, FC 2014; protocols.md 3; docs/adr/0037.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import join, prf
from pets.kernels.jit import I64Array, U8Array, U64Array
from pets.protocols import tagged
from pets.protocols.base import Array, Role, Send, receive
from pets.protocols.tagged import Flags

PROTOCOL: Final = "helper_psi"

CHECK_WORDS: Final = 2
"""Words behind a list of bits, by which its receiver sees that one was changed on the way."""

_PLANE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(tagged.Sizes):
    """Public parameters of a run. ``p_b``: columns of role b that role a gets; ``both``: role b gets a result, too."""

    p_b: int
    both: bool


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """Role a's result: the places of its persons whom b has, in order, and what b's columns say of each.

    Shapes: places (m,) int64; values: p_b arrays (m,) int64.
    """

    places: I64Array
    values: list[I64Array]

    def __repr__(self) -> str:
        return "Found(***)"


def party_a(shape: Shape, ids: U8Array, ab: prf.KeyFamily, ac: prf.KeyFamily) -> Role[Found]:
    """Play the input party that gets the result.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal.
    Sizes:   out H1a, n_list_a tags; in H2, a bit an entry and two words, and H2v, p_b columns of n_list_a words.
    Learned: the result, and nothing of persons of b whom it does not have.
    Trust:   semi-honest, one corrupt party of three; who brings made-up persons learns who of them is there.
    Raises:  PeerError peer.flags or peer.other-set (H2); RunError run.tags, by a chance that says nothing of persons;
             InternalError for more persons than declared, or equal ones.
    """
    mine = tagged.listed(shape, "a", ids, ab)
    yield Send("helper", "H1a", mine.tags)
    flags = _opened(shape.n_list_a, (yield from receive("helper", "H2")), ac, label="H2")
    places = tagged.places(mine, flags, label="H2")
    values = []
    for column in range(shape.p_b):
        words = (yield from receive("helper", "H2v", column)) + tagged.pads(shape, mine, ab, column)
        of_persons = np.zeros(len(mine.order), np.uint64)
        of_persons[mine.order] = words
        values.append(of_persons[places].view(np.int64))
    return Found(places, values)


def party_b(
    shape: Shape, ids: U8Array, values: Sequence[I64Array], ab: prf.KeyFamily, bc: prf.KeyFamily
) -> Role[I64Array | None]:
    """Play the other input party: send tags and padded values; the places of its persons whom a has, if ``both``.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; values: p_b arrays (n,) int64.
    Sizes:   out H1b, n_list_b tags, and H1v, p_b columns of n_list_b words; in H2b, if ``both``.
    Learned: nothing, or that result.
    Trust:   semi-honest, one corrupt party of three.
    Raises:  as ``party_a``, of H2b.
    """
    if len(values) != shape.p_b or any(column.shape != (len(ids),) for column in values):
        raise InternalError("internal.bug", where="columns of an intersection")
    mine = tagged.listed(shape, "b", ids, ab)
    yield Send("helper", "H1b", mine.tags)
    for column, words in enumerate(tagged.values_of(mine, [column.view(np.uint64) for column in values])):
        yield Send("helper", "H1v", words - tagged.pads(shape, mine, ab, column), column)
    if not shape.both:
        return None
    flags = _opened(shape.n_list_b, (yield from receive("helper", "H2b")), bc, label="H2b")
    return tagged.places(mine, flags, label="H2b")


def helper(shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily) -> Role[None]:
    """Play the helper: match tags, tell each holder which of its entries matched, pass on the values beside them.

    Sizes:   in H1a, H1b, H1v; out H2, H2b, H2v; counts on the card.
    Learned: the number of equal tags, which is that of persons in both plus a number of dummies that only holders know.
    Trust:   must not collude with a or with b: with the tag key it could try all identifiers.
    Raises:  PeerError peer.tags if a list repeats a tag or is not sorted.
    """
    tags_a = yield from receive("a", "H1a")
    tags_b = yield from receive("b", "H1b")
    brought = []
    for column in range(shape.p_b):
        brought.append((yield from receive("b", "H1v", column)))
    match = tagged.matched(tags_a, tags_b)
    flags = match != join.UNMATCHED
    there = match[flags]
    yield Send("a", "H2", _sealed(flags, ac))
    if shape.both:
        of_b = np.zeros(shape.n_list_b, np.bool_)
        of_b[there] = True
        yield Send("b", "H2b", _sealed(of_b, bc))
    for column, words in enumerate(brought):
        passed_on = np.zeros(shape.n_list_a, np.uint64)
        passed_on[flags] = words[there]
        yield Send("a", "H2v", passed_on, column)


def _sealed(flags: Flags, family: prf.KeyFamily) -> U64Array:
    """A bit for each entry, 64 to a word, and words of check that only the two ends can make."""
    bits = np.zeros(-(-flags.size // _PLANE) * _PLANE // 8, np.uint8)
    packed = np.packbits(flags, bitorder="little")
    bits[: packed.size] = packed
    return np.concatenate([bits.view(np.uint64), _check(bits, family)])


def _opened(count: int, words: Array, family: prf.KeyFamily, *, label: str) -> Flags:
    """The bits of ``_sealed``. Raises: PeerError peer.flags if they are not as they were sent."""
    bits = words[:-CHECK_WORDS].view(np.uint8)
    if not np.array_equal(_check(bits, family), words[-CHECK_WORDS:]):
        raise PeerError("peer.flags", label=label)
    return np.unpackbits(bits, count=count, bitorder="little").astype(np.bool_)


def _check(bits: Array, family: prf.KeyFamily) -> U64Array:
    key = family.key("flags", purpose="a check of bits").expose("words of check")
    return np.frombuffer(hashlib.blake2b(bits.data, key=key, digest_size=8 * CHECK_WORDS).digest(), np.uint64)
