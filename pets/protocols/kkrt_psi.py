"""kkrt_psi: which of its persons another organisation has, too, without a third party and without codes of noise.

protocols/kkrt_psi/card.toml has the messages and protocols/kkrt_psi/README.md the argument. The receiver puts each of
its entries into one of three bins that a public hash names, no two into one. With oblivious transfers of 512 keys it
has for each bin a hash that belongs to the entry in it; the sender can make it for any entry and any bin. So the sender
makes that of each of its entries for each of the three bins, and sends them in an order that says nothing; the receiver
looks for its own among those of the same function. With each entry the sender can send values that only who has the
person can read, and be told which were found.

Lists have the declared sizes, filled up with entries of nobody, and one entry that both bring.

Source: Kolesnikov, Kumaresan, Rosulek, Trieu, CCS 2016 (eprint 2016/799); protocols.md 5.7; docs/adr/0034, 0035.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.errors import PeerError, RunError
from pets.kernels import aes, binned, cuckoo, join, oprf, prf, tags
from pets.kernels.jit import I64Array, U8Array, U32Array, U64Array
from pets.kernels.tags import Kind
from pets.protocols import intersect, transfers
from pets.protocols.base import Array, Binding, Role, Send, receive
from pets.protocols.intersect import Ending, Sizes, as_sent, as_words
from pets.protocols.matched import Found
from pets.secret import Secret

PROTOCOL: Final = "kkrt_psi"

ENTROPY_BYTES: Final = 3 * aes.KEY_BYTES
"""What a role draws for one run: for transfers, its entries of nobody, what lies in bins that stay free."""

_PUBLIC: Final = b"pets/1-kkrt-psi-"
_HASHES: Final = cuckoo.HASHES


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Sizes):
    """Public parameters of one run."""

    @property
    def size(self) -> cuckoo.Size:
        return cuckoo.Size(self.n_list_r)

    @property
    def more(self) -> bool:
        """Whether something goes with the result."""
        return bool(self.p or self.both)


def receiver(shape: Shape, ids: U8Array, tied: Binding, entropy: Secret[bytes]) -> Role[Found]:
    """Play the input party that gets the result: the places of its persons who are in the other set, in order.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; result ``Found``.
    Sizes:   out K1r, K2, K4; in K1s, K3, K3k, K3p; three rounds, or four; counts on the card.
    Entropy: ``ENTROPY_BYTES`` that no other run has.
    Learned: the result, and of the sender's list no more than the declared size.
    Trust:   semi-honest, one corrupt party of two; who brings made-up persons learns who of them is there.
    Raises:  PeerError peer.element (K1s), peer.tags (K3), peer.check (K3p), or peer.other-set if not even the entry
             that both bring is in common; RunError run.table if entries cannot be placed, by a chance that says nothing
             of persons: the run ends, and another hash must not be tried. InternalError for more persons than declared,
             or equal ones.
    """
    own, bins = Own(entropy), shape.size.bins
    blocks = _entries(ids, shape.n_r, shape.fixed_ids, Kind.PADDING_A, tied, own)
    at = cuckoo.places(binned.hashed(blocks, _key(tied, b"bins")), shape.size)
    try:
        where = cuckoo.placed(at, bins)
    except cuckoo.Unplaceable as error:
        intersect.require_distinct(blocks)
        raise RunError("run.table") from error
    if cuckoo.twice(at, where, bins).size:
        intersect.require_distinct(blocks)
    offer = transfers.Offer(tied, prf.Stream(own.transfers))
    yield Send("sender", "K1r", offer.points)
    filled = prf.words(own.free, 2 * bins).reshape(bins, 2)
    filled.view(np.uint8)[:, 0] = Kind.FILLER_A
    filled[where] = blocks
    del blocks
    keys = offer.keys((yield from receive("sender", "K1s")), label="K1s")
    first, second = (oprf.Columns(np.ascontiguousarray(keys[:, side])) for side in range(2))
    message, hashed = oprf.asked(first, second, filled, _public(shape, tied))
    yield Send("sender", "K2", as_sent(message))
    del message, filled, first, second
    number = where // np.uint32(shape.size.third)
    rows = _matched(hashed.outputs, where, number, (yield from receive("sender", "K3")))
    mine, elements = np.flatnonzero(rows != join.UNMATCHED), np.empty((0, 2), np.uint64)
    if shape.more:
        apart = as_words((yield from receive("sender", "K3k"))).reshape(_HASHES - 1, -1, 2)
        elements = _first(hashed.elements[where[mine]], number[mine], rows[mine], apart)
    ending = _ending(shape, tied, len(ids), shape.n_list_r)
    return (yield from intersect.found(ending, rows, elements, shape.n_list_s))


def sender(
    shape: Shape, ids: U8Array, tied: Binding, entropy: Secret[bytes], values: Array | None = None
) -> Role[I64Array | None]:
    """Play the other input party: make for each person and bin what the receiver has if the person lies there.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; values (p, n) uint64 or int64, if p
             is not 0; result None, or with ``both`` the places of its persons who are in both sets, in order.
    Sizes:   out K1s, K3, K3k, K3p; in K1r, K2, K4; three rounds, or four; counts on the card.
    Entropy: ``ENTROPY_BYTES`` that no other run has: with one choice in two runs, what a run hides is known.
    Learned: the result, and of the receiver's list no more than the declared size.
    Trust:   semi-honest, one corrupt party of two.
    Raises:  PeerError peer.element (K1r), peer.check (K4); RunError run.table if two persons have one hash by chance;
             InternalError for more persons than declared, or equal ones.
    """
    own, ending = Own(entropy), _ending(shape, tied, len(ids), shape.n_list_s)
    given = intersect.given(ending, values)
    blocks = _entries(ids, shape.n_s, shape.fixed_ids, Kind.PADDING_B, tied, own)
    stream = prf.Stream(own.transfers)
    choice = stream.words(oprf.WORDS)
    bits = np.unpackbits(choice.view(np.uint8), bitorder="little")
    few = transfers.Choice(tied, bits, stream)
    yield Send("receiver", "K1s", few.points)
    at = cuckoo.places(binned.hashed(blocks, _key(tied, b"bins")), shape.size)
    chosen = oprf.Columns(few.keys((yield from receive("receiver", "K1r")), label="K1r"))
    message = as_words((yield from receive("receiver", "K2"))).reshape(-1, oprf.WORDS)
    rows = oprf.received(chosen, choice, message)
    del message, chosen
    hashed = oprf.evaluated(rows, choice, blocks, at, _public(shape, tied))
    del rows
    order, first = join.sort_tags(hashed.outputs[0])
    if (first[1:] == first[:-1]).all(axis=1).any():
        intersect.require_distinct(blocks)
        raise RunError("run.table")
    yield Send("receiver", "K3", np.concatenate([first, *(tags.take(each, order) for each in hashed.outputs[1:])]))
    elements = np.empty((0, 2), np.uint64)
    if shape.more:
        elements, *others = (each[order] for each in hashed.elements)
        yield Send("receiver", "K3k", as_sent(np.concatenate([elements ^ each for each in others])))
    return (yield from intersect.told(ending, given, elements, order))


def _matched(outputs: U8Array, where: U32Array, number: U32Array, listed: Array) -> U32Array:
    """The row of the sender's list for each own entry, or UNMATCHED: looked for among those of its own function.

    Shapes:  outputs (bins, t) uint8; where, number (n,) uint32; listed (3 rows, t) uint8; result (n,) uint32.
    Raises:  PeerError peer.tags.
    """
    rows = len(listed) // _HASHES
    out = np.full(len(where), join.UNMATCHED, np.uint32)
    theirs = np.ascontiguousarray(listed).reshape(_HASHES, rows, -1)
    try:
        for each in range(_HASHES):
            mine = np.flatnonzero(number == each)
            wanted = tags.take(outputs, where[mine])
            if each == 0:  # sorted by its sender
                out[mine] = join.match(wanted, theirs[0])
                continue
            order, ordered = join.sort_tags(wanted)
            found = join.match(theirs[each], ordered)
            seen = np.flatnonzero(found != join.UNMATCHED)
            out[mine[order[found[seen]]]] = seen
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error), label="K3") from error
    return out


def _first(elements: U64Array, number: U32Array, rows: U32Array, apart: U64Array) -> U64Array:
    """The element by the first function of each entry that was found, from that of its own function.

    Shapes:  elements (m, 2) uint64; number, rows (m,) uint32; apart (2, rows of the list, 2) uint64; result (m, 2).
    """
    out = elements.copy()
    for each in range(1, _HASHES):
        mine = number == each
        out[mine] ^= apart[each - 1][rows[mine]]
    return out


def _ending(shape: Shape, tied: Binding, persons: int, entries: int) -> Ending:
    return Ending(PROTOCOL, tied, shape.p, shape.both, "K3", "K3p", "K4", persons, entries)


class Own:
    """A party's own secrets of one run."""

    def __init__(self, entropy: Secret[bytes]) -> None:
        value = entropy.expose("keys of its own")
        if len(value) != ENTROPY_BYTES:
            raise ValueError(f"a role draws {ENTROPY_BYTES} bytes for a run")
        keys = (value[at : at + aes.KEY_BYTES] for at in range(0, ENTROPY_BYTES, aes.KEY_BYTES))
        self.transfers, self.nobody, self.free = map(Secret, keys)


def _entries(ids: U8Array, declared: int, fixed: bool, padding: Kind, tied: Binding, own: Own) -> U64Array:
    return intersect.entries(ids, declared, padding, own.nobody, None if fixed else _key(tied, b"ids"))


def _public(shape: Shape, tied: Binding) -> oprf.Public:
    code = [_key(tied, b"code" + bytes([part])) for part in range(oprf.PARTS)]
    return oprf.Public(code, Secret(_said(tied, b"hash")), shape.t, shape.more)


def _key(tied: Binding, label: bytes) -> Secret[bytes]:
    """A key that makes a hash another one in each run. Nothing rests on its secrecy: both have it, and the network."""
    return Secret(_said(tied, label)[: aes.KEY_BYTES])


def _said(tied: Binding, label: bytes) -> bytes:
    return hashlib.sha256(_PUBLIC + label + tied.digest + tied.run_id).digest()
