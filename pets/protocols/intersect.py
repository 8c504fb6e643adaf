"""What intersections of two organisations share: entries of a list, and what both sides say once matches are found.

A list has the declared size and one entry more: persons, entries of nobody that the side draws by itself, and one that
both bring, which stands for nobody and shows that both are in one run. What a receiver finds are rows of the sender's
list; then come the values of the sender, if any, and the word to it, if it is to learn whom both have, too.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import aes, join, prf, tags
from pets.kernels.jit import I64Array, U8Array, U32Array, U64Array
from pets.kernels.tags import Kind
from pets.protocols import matched
from pets.protocols.base import Array, Binding, Role, Send, receive
from pets.protocols.matched import Found
from pets.secret import Secret

UNMATCHED: Final = join.UNMATCHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Public parameters of one run. ``n_list_r``, ``n_list_s``: entries of each list; ``t``: bytes of an output.

    ``fixed_ids``: identifiers have at most 13 bytes on both sides, and go in as they are; else they are hashed.
    ``p``: words that the sender gives with each person; ``both``: 1 if the sender learns, too, whom both have.
    """

    n_r: int
    n_s: int
    n_list_r: int
    n_list_s: int
    t: int
    fixed_ids: bool
    p: int = 0
    both: int = 0


class Ending(NamedTuple):
    """What goes with an intersection, and under which labels: words of the sender, the word to it; the list itself.

    ``persons``: of the side whose ending it is; its list has ``entries``.
    """

    protocol: str
    tied: Binding
    p: int
    both: int
    listed: str
    values: str
    told: str
    persons: int
    entries: int


def entries(ids: U8Array, declared: int, padding: Kind, nobody: Secret[bytes], key: Secret[bytes] | None) -> U64Array:
    """Persons in their order, entries of nobody up to the declared number, and last the one that both bring.

    Shapes:  ids (n, w) uint8, filled up with zero bytes; result (declared + 1, 2) uint64: a byte that says which, and
             what tells entries of its kind apart. ``key`` hashes identifiers; without it they go in as they are.
    Raises:  InternalError for more persons than declared, or identifiers that are empty or too long.
    """
    if len(ids) > declared:
        raise InternalError("internal.bug", where="persons outside the declared size")
    out = np.zeros((declared + 1, aes.BLOCK_BYTES), np.uint8)
    known, drawn = out[: len(ids)], out[len(ids) : declared]
    try:
        known[:, -tags.ID_BYTES :] = tags.id_blocks(ids, fixed=key is None, key=key)
    except ValueError as error:
        raise InternalError("internal.bug", where="identifiers of an intersection") from error
    drawn[:] = prf.words(nobody, 2 * len(drawn)).view(np.uint8).reshape(-1, aes.BLOCK_BYTES)
    known[:, 0], drawn[:, 0], out[declared, 0] = Kind.ROW, padding, Kind.COMMON_DUMMY
    return out.view(np.uint64)


def require_distinct(hashes: U64Array) -> None:
    """Raise InternalError if two entries are equal: sets were promised, and chance is not to blame."""
    _, listed = join.sort_tags(hashes.view(np.uint8))
    if (listed[1:] == listed[:-1]).all(axis=1).any():
        raise InternalError("internal.bug", where="a person twice in an intersection")


def given(ending: Ending, values: Array | None) -> U64Array:
    """Words to give with each entry of the sender: 0 where it is nobody. Shapes: (entries, p)."""
    out = np.zeros((ending.entries, ending.p), np.uint64)
    if values is None:
        values = np.empty((0, ending.persons), np.uint64)
    if values.shape != (ending.p, ending.persons) or values.dtype not in (np.uint64, np.int64):
        raise ValueError("as many columns of 64-bit words as the card says, a word for each person")
    out[: ending.persons] = np.ascontiguousarray(values).view(np.uint64).T
    return out


def found(ending: Ending, at: U32Array, elements: U64Array, rows: int) -> Role[Found]:
    """What the receiver has in common with the sender's list; values of these; its word.

    Shapes:  at (entries,) uint32: the row of each of its entries in the list of ``rows``, or UNMATCHED; elements
             (m, 2) uint64, those of its entries that have a row, in the order of its entries; not needed if nothing
             goes with the result. The entry that both bring is the last, and in no result.
    Raises:  PeerError peer.other-set, peer.check.
    """
    mine = np.flatnonzero(at != UNMATCHED)
    if not mine.size or mine[-1] != len(at) - 1:
        raise PeerError("peer.other-set", label=ending.listed)
    values = np.empty((0, mine.size), np.uint64)
    if ending.p:
        sealed = (yield from receive("sender", ending.values))[at[mine]]
        values = matched.unseal(elements, sealed, ending.tied, ending.protocol, label=ending.values).T
    if ending.both:
        theirs = np.zeros(rows, np.bool_)
        theirs[at[mine]] = True
        in_order = elements[np.argsort(at[mine])]
        yield Send("sender", ending.told, matched.tell(theirs, in_order, ending.tied, ending.protocol))
    return Found(mine[:-1], np.ascontiguousarray(values[:, :-1]))


def told(ending: Ending, given: U64Array, elements: U64Array, order: U32Array) -> Role[I64Array | None]:
    """What the sender gives with its list, and what it learns.

    Shapes:  given (entries, p) uint64; order (entries,) uint32: which entry each row of the list is; elements
             (entries, 2) uint64 in the order of the list; not needed if nothing goes with the result.
    Raises:  PeerError peer.check. Nobody has its entries of nobody: who names one, or does not name the entry that both
             bring, is wrong.
    """
    tied, protocol = ending.tied, ending.protocol
    if ending.p:
        yield Send("receiver", ending.values, matched.seal(elements, given[order], tied, protocol))
    if not ending.both:
        return None
    seen = np.zeros(len(order), np.bool_)
    said = yield from receive("receiver", ending.told)
    seen[order] = matched.told(said, elements, tied, protocol, label=ending.told)
    if seen[ending.persons : -1].any() or not seen[-1]:
        raise PeerError("peer.check", label=ending.told)
    return np.flatnonzero(seen[: ending.persons])


def as_sent(elements: U64Array) -> U8Array:
    """Elements of 16 bytes as they are sent: a row each."""
    return np.ascontiguousarray(elements).reshape(-1).view(np.uint8).reshape(-1, aes.BLOCK_BYTES)


def as_words(rows: Array) -> U64Array:
    """The same, as received, two words each. Kernels are compiled for words that lie where words do."""
    words: U64Array = np.ascontiguousarray(rows).view(np.uint64)
    return words if words.flags.aligned else words.copy()
