"""vole_psi: which of its persons another organisation has, too, without a third party.

protocols/vole_psi/card.toml has the messages and protocols/vole_psi/README.md the argument. The receiver writes a
table from which each of its persons reads its own hash, and sends it plus a vector a that looks random. Both have made
vectors with c = a delta + b: the receiver knows a and c, the sender delta and b. So the sender can read for any person
what the receiver reads in c, if the person is in the table, and something else if it is not. It sends hashes of
what its own persons read, in the order of their bytes; the receiver looks for its own among them. With each it can
send values that only who has the person can read, and be told which were found.

Lists have the declared sizes, filled up with entries of nobody, and one entry that both bring.

Source: Raghuraman, Rindal, CCS 2022 (eprint 2022/320); protocols.md 5; docs/adr/0032, docs/adr/0034.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from pets.errors import PeerError, RunError
from pets.kernels import aes, binned, gf128, ggm, join, prf, vole
from pets.kernels.blkacc import Code
from pets.kernels.jit import I64Array, U8Array, U64Array
from pets.kernels.okvs import Unsolvable
from pets.kernels.tags import Kind
from pets.protocols import intersect, transfers
from pets.protocols.base import Array, Binding, Role, Send, receive
from pets.protocols.intersect import Ending, Sizes, as_sent, as_words
from pets.protocols.matched import Found
from pets.secret import Secret

PROTOCOL: Final = "vole_psi"

ENTROPY_BYTES: Final = 4 * aes.KEY_BYTES
"""What a role draws for one run: for transfers, its vector, its table, its entries of nobody."""

_FIRST: Final = transfers.FEW + vole.BITS
"""First transfers: those behind the sums of levels, and one for each bit of delta."""

_PUBLIC: Final = b"pets/1-vole-psi-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Sizes):
    """Public parameters of one run."""

    @property
    def size(self) -> binned.Size:
        return binned.Size(self.n_list_r)

    @property
    def vector(self) -> vole.Shape:
        return vole.Shape(self.size.slots)


def receiver(shape: Shape, ids: U8Array, tied: Binding, entropy: Secret[bytes]) -> Role[Found]:
    """Play the input party that gets the result: the places of its persons who are in the other set, in order.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; result ``Found``.
    Sizes:   out V1r, V5r, V5, V2, V3, V7; in V1s, V4, V4c, V6, V6p; three rounds, or four; counts on the card.
    Entropy: ``ENTROPY_BYTES`` that no other run has.
    Learned: the result, and of the sender's list no more than the declared size.
    Trust:   semi-honest, one corrupt party of two; who brings made-up persons learns who of them is there.
    Raises:  PeerError peer.element (V1s), peer.tags (V6), peer.check (V6p), or peer.other-set if not even the entry
             that both bring is in common; RunError run.table if the table cannot be written, by a chance that says
             nothing of persons: the run ends, and another seed must not be tried. InternalError for more persons than
             declared, or equal ones.
    """
    own, size = Own(entropy), shape.size
    blocks = entries(ids, shape.n_r, shape.fixed_ids, Kind.PADDING_A, tied, own)
    fill = prf.Stream(own.table)
    seed = Secret(fill.words(2).tobytes())
    hashes = binned.hashed(blocks, seed)
    try:
        table = binned.write(hashes, binned.hashed(blocks, public_key(tied, b"read")), size, fill)
    except Unsolvable as error:
        intersect.require_distinct(hashes)
        raise RunError("run.table") from error
    del blocks
    offer = transfers.Offer(tied, prf.Stream(own.transfers))
    yield Send("sender", "V1r", offer.points)
    yield Send("sender", "V5r", as_sent(np.frombuffer(seed.expose("the sender hashes with it"), np.uint64)))
    drawn, code = prf.Stream(own.vector), code_of(shape.vector.width)
    holes = vole.draw_holes(shape.vector, drawn)
    values = drawn.words(2 * vole.NOISES).reshape(-1, 2)
    table ^= vole.noise(shape.vector, code, holes, values)
    yield Send("sender", "V5", as_sent(table))
    del table
    keys = offer.keys((yield from receive("sender", "V1s")), label="V1s")
    sides = ggm.sides(holes, shape.vector.leaves)
    message, pads = transfers.ask(keys[: transfers.FEW], sides.reshape(-1), tied)
    yield Send("sender", "V2", message)
    first, second = (drawn_from(keys[transfers.FEW :, side], vole.NOISES) for side in range(2))
    products, shares = vole.offer(values, first, second)
    yield Send("sender", "V3", as_sent(products))
    asked = of_sides(as_words((yield from receive("sender", "V4"))), sides) ^ pads
    corrections = as_words((yield from receive("sender", "V4c")))
    asked = asked.reshape(vole.NOISES, -1, 2)
    c = vole.receive(shape.vector, code, holes, shares, asked, corrections, sides_of_trees(tied))
    read = binned.read(c, hashes, size)
    del c, hashes
    listed = yield from receive("sender", "V6")
    try:
        at = join.match(_outputs(read, shape.t, tied), listed)
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error), label="V6") from error
    ending = ending_of(shape, tied, len(ids), shape.n_list_r)
    return (yield from intersect.found(ending, at, read[at != join.UNMATCHED], len(listed)))


def sender(
    shape: Shape, ids: U8Array, tied: Binding, entropy: Secret[bytes], values: Array | None = None
) -> Role[I64Array | None]:
    """Play the other input party: read for each person what the receiver has if it has that person, and send hashes.

    What takes long waits for nothing, so both sides compute at the same time.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; values (p, n) uint64 or int64, if p
             is not 0; result None, or with ``both`` the places of its persons who are in both sets, in order.
    Sizes:   out V1s, V4, V4c, V6, V6p; in V1r, V5r, V5, V2, V3, V7; three rounds, or four; counts on the card.
    Entropy: ``ENTROPY_BYTES`` that no other run has: with one delta in two runs, what a run hides is known.
    Learned: the result, and of the receiver's list no more than the declared size.
    Trust:   semi-honest, one corrupt party of two.
    Raises:  PeerError peer.element (V1r), peer.check (V7); RunError run.table if two persons have one hash by chance;
             InternalError for more persons than declared, or equal ones.
    """
    own, size, ending = Own(entropy), shape.size, ending_of(shape, tied, len(ids), shape.n_list_s)
    given = intersect.given(ending, values)
    blocks = entries(ids, shape.n_s, shape.fixed_ids, Kind.PADDING_B, tied, own)
    drawn, stream = prf.Stream(own.vector), prf.Stream(own.transfers)
    delta = drawn.words(2).reshape(1, 2)
    bits = np.unpackbits(np.concatenate([stream.words(2), delta[0]]).view(np.uint8), bitorder="little")
    choice = transfers.Choice(tied, bits, stream)
    yield Send("receiver", "V1s", choice.points)
    seeds = drawn.words(2 * vole.NOISES).reshape(-1, 2)
    b, sums, total = vole.send(shape.vector, code_of(shape.vector.width), seeds, sides_of_trees(tied))
    less = gf128.multiply(binned.hashed(blocks, public_key(tied, b"read")), delta)
    keys = choice.keys((yield from receive("receiver", "V1r")), label="V1r")
    hashes = binned.hashed(blocks, Secret((yield from receive("receiver", "V5r")).tobytes()))
    del blocks
    masked = as_words((yield from receive("receiver", "V5")))
    few = slice(0, transfers.FEW)
    pads = transfers.answer(keys[few], bits[few], (yield from receive("receiver", "V2")), tied)
    products = as_words((yield from receive("receiver", "V3"))).reshape(vole.BITS, -1, 2)
    yield Send("receiver", "V4", as_sent(sums.reshape(-1, 2, 2) ^ pads))
    yield Send(
        "receiver", "V4c", as_sent(total ^ vole.take(delta, drawn_from(keys[transfers.FEW :], vole.NOISES), products))
    )
    b ^= gf128.multiply(masked, delta)
    del masked
    read = binned.read(b, hashes, size)
    del b
    read ^= less
    order, listed = join.sort_tags(_outputs(read, shape.t, tied))
    if (listed[1:] == listed[:-1]).all(axis=1).any():
        intersect.require_distinct(hashes)
        raise RunError("run.table")
    yield Send("receiver", "V6", listed)
    return (yield from intersect.told(ending, given, read[order], order))


def ending_of(shape: Shape, tied: Binding, persons: int, entries: int, protocol: str = PROTOCOL) -> Ending:
    return Ending(protocol, tied, shape.p, shape.both, "V6", "V6p", "V7", persons, entries)


class Own:
    """A party's own secrets of one run. ``more``: keys behind these, which are not for here."""

    def __init__(self, entropy: Secret[bytes], *, more: int = 0) -> None:
        value, size = entropy.expose("keys of its own"), ENTROPY_BYTES + more * aes.KEY_BYTES
        if len(value) != size:
            raise ValueError(f"a role draws {size} bytes for a run")
        keys = (value[at : at + aes.KEY_BYTES] for at in range(0, ENTROPY_BYTES, aes.KEY_BYTES))
        self.transfers, self.vector, self.table, self.nobody = map(Secret, keys)


def entries(ids: U8Array, declared: int, fixed: bool, padding: Kind, tied: Binding, own: Own) -> U64Array:
    return intersect.entries(ids, declared, padding, own.nobody, None if fixed else public_key(tied, b"ids"))


@lru_cache(maxsize=1)
def code_of(width: int) -> Code:
    """The code of the last width: its tables are public and the same in all runs, and take as long as a run."""
    return Code(width)


def public_key(tied: Binding, label: bytes) -> Secret[bytes]:
    """A key that makes a hash another one in each run. Nothing rests on its secrecy: both have it, and the network."""
    return Secret(hashlib.sha256(_PUBLIC + label + tied.digest + tied.run_id).digest()[: aes.KEY_BYTES])


def sides_of_trees(tied: Binding) -> ggm.Keys:
    return public_key(tied, b"left"), public_key(tied, b"right")


def _outputs(read: U64Array, width: int, tied: Binding) -> U8Array:
    """What is compared: hashes of elements, which no difference that the receiver can choose survives."""
    return np.ascontiguousarray(binned.hashed(read, public_key(tied, b"output")).view(np.uint8)[:, :width])


def of_sides(both: U64Array, sides: U8Array) -> U64Array:
    """Of two elements of each transfer the one of its side. Shapes: (2 n, 2) and n in all; (n, 2)."""
    mask: U64Array = np.uint64(0) - sides.reshape(-1, 1)
    chosen: U64Array = both[0::2] ^ np.bitwise_and(both[0::2] ^ both[1::2], mask)
    return chosen


def drawn_from(keys: U8Array, count: int) -> U64Array:
    """So many elements from each key. Shapes: (128, 16) uint8; (128, count, 2)."""
    return np.stack([prf.words(Secret(key.tobytes()), 2 * count).reshape(-1, 2) for key in keys])
