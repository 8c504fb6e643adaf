"""vole_psi_malicious: which of its persons another organisation has, too, where either side may cheat.

protocols/vole_psi_malicious/card.toml has the messages and protocols/vole_psi_malicious/README.md the argument. It goes
as vole_psi does, with other first transfers (``endemic``), checks of transfers, products and trees (``checked``), trees
with all leaves that their depth has, a coin that both toss, and outputs that are hashes of an element, the coin and the
entry. Who cheats is caught, or has guessed; who brings other persons than its own is not caught.

Source: Rindal, Schoppmann, EUROCRYPT 2021 (eprint 2021/266), section 4; Raghuraman, Rindal, CCS 2022 (eprint 2022/320);
        docs/adr/0039.
"""

import hashlib
import hmac
from typing import Final

import numpy as np

from pets.errors import PeerError, RunError
from pets.kernels import aes, binned, blake2, gf128, ggm, join, prf, vole
from pets.kernels.jit import I64Array, U8Array, U64Array
from pets.kernels.okvs import Unsolvable
from pets.kernels.tags import Kind
from pets.protocols import checked, endemic, intersect, transfers, vole_psi
from pets.protocols.base import Array, Binding, Role, Send, receive
from pets.protocols.intersect import as_sent, as_words
from pets.protocols.matched import Found
from pets.protocols.vole_psi import Shape
from pets.secret import Secret

PROTOCOL: Final = "vole_psi_malicious"

ENTROPY_BYTES: Final = vole_psi.ENTROPY_BYTES + aes.KEY_BYTES
"""What a role draws for one run: as in vole_psi, and one more for its coin and for what hides what checks show."""

VALUES: Final = 2 * vole.NOISES + checked.HIDDEN
"""Products with delta: of the noises, of what hides each tree's check, and of what hides the check of products."""

_HIDING_BITS: Final = 128 * checked.HIDDEN
"""Transfers that serve for nothing but to hide the check of transfers."""

_PUBLIC: Final = b"pets/1-vole-psi-malicious-"


def receiver(shape: Shape, ids: U8Array, tied: Binding, entropy: Secret[bytes]) -> Role[Found]:
    """Play the input party that gets the result: whom both have, with their values.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; result ``Found``.
    Sizes:   out V1r, V5r, V5, V2, V2x, V3, V3x, Wr, V4r, V7; in V1s, V0, V4, V4c, V4x, Ws, V6, V6p; 5 rounds, or 6.
    Entropy: ``ENTROPY_BYTES`` that no other run has.
    Learned: the result, and of the sender's list no more than the declared size.
    Trust:   none; a sender can bring any persons, as many as declared, and end the run when it likes. Where it guesses
             places of the receiver's noise it may learn from a run that does not end that it was right.
    Raises:  as vole_psi; PeerError peer.check, too, if trees (V4x) or the coin (Ws) are not what they were before.
    """
    own, own_coin, size = vole_psi.Own(entropy, more=1), prf.Stream(_last(entropy)), shape.size
    blocks = vole_psi.entries(ids, shape.n_r, shape.fixed_ids, Kind.PADDING_A, tied, own)
    fill = prf.Stream(own.table)
    seed = Secret(fill.words(2).tobytes())
    hashes = binned.hashed(blocks, seed)
    try:
        table = binned.write(hashes, _elements_of(blocks, tied), size, fill)
    except Unsolvable as error:
        intersect.require_distinct(hashes)
        raise RunError("run.table") from error
    offer = endemic.Offer(tied, prf.Stream(own.transfers))
    yield Send("sender", "V1r", offer.points)
    yield Send("sender", "V5r", as_sent(np.frombuffer(seed.expose("the sender hashes with it"), np.uint64)))
    drawn, code = prf.Stream(own.vector), vole_psi.code_of(shape.vector.width)
    holes = vole.draw_holes(shape.vector, drawn)
    values = np.concatenate([drawn.words(2 * vole.NOISES), own_coin.words(2 * (VALUES - vole.NOISES))]).reshape(-1, 2)
    table ^= vole.noise(shape.vector, code, holes, values[: vole.NOISES])
    yield Send("sender", "V5", as_sent(table))
    del table
    chosen = yield from receive("sender", "V1s")
    keys, committed = offer.keys(chosen, label="V1s"), (yield from receive("sender", "V0"))
    few, rest = keys[: transfers.FEW], keys[transfers.FEW :]
    sides = ggm.sides(holes, shape.vector.leaves)
    bits = np.concatenate([sides.reshape(-1), _bits(own_coin.words(_HIDING_BITS // 64))])
    asked, pads = transfers.ask(few, bits, tied)
    yield Send("sender", "V2", asked)
    at, columns = checked.points(tied, "V2", offer.points, chosen, asked), transfers.streams(few[:, 0], bits.size // 64)
    yield Send("sender", "V2x", as_sent(checked.show(_columns(columns), _columns(_packed(bits))[0], at)))
    first, second = (vole_psi.drawn_from(rest[:, side], VALUES) for side in range(2))
    products, shares = vole.offer(values, first, second)
    yield Send("sender", "V3", as_sent(products))
    at = checked.points(tied, "V3", offer.points, chosen, asked, as_sent(products))
    yield Send("sender", "V3x", as_sent(checked.show(vole.scaled(first), values, at)))
    coin = own_coin.words(2)
    yield Send("sender", "Wr", as_sent(coin))
    levels = vole_psi.of_sides(as_words((yield from receive("sender", "V4"))), sides) ^ pads[: sides.size]
    corrections = as_words((yield from receive("sender", "V4c")))
    leaves, total = ggm.expand_but(
        holes, levels.reshape(vole.NOISES, -1, 2), _whole(shape), vole_psi.sides_of_trees(tied)
    )
    leaves[holes + _whole(shape) * np.arange(vole.NOISES)] = total ^ corrections ^ shares[: vole.NOISES]
    point, hidden = own_coin.words(2).reshape(1, 2), slice(vole.NOISES, 2 * vole.NOISES)
    weights = checked.weights_of(point, _whole(shape))
    shown = checked.weighed(holes, values[: vole.NOISES], values[hidden], weights)
    yield Send("sender", "V4r", as_sent(np.concatenate([point, shown])))
    expected = checked.answer(checked.sums(leaves, weights) ^ shares[hidden], tied)
    read = binned.read(code.encode(_used(leaves, shape))[: shape.vector.outputs], hashes, size)
    del leaves, hashes
    if not np.array_equal((yield from receive("sender", "V4x")), expected):
        raise PeerError("peer.check", label="V4x")
    theirs = yield from receive("sender", "Ws")
    if not hmac.compare_digest(_committed(theirs.tobytes(), tied), committed.tobytes()):
        raise PeerError("peer.check", label="Ws")
    read ^= coin ^ as_words(theirs).reshape(2)
    listed, outputs = (yield from receive("sender", "V6")), _hashed(read, blocks, tied, b"output")
    try:
        rows = join.match(outputs, listed)
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error), label="V6") from error
    elements = _sealing(read, blocks, shape, tied)[rows != join.UNMATCHED]
    ending = vole_psi.ending_of(shape, tied, len(ids), shape.n_list_r, PROTOCOL)
    return (yield from intersect.found(ending, rows, elements, len(listed)))


def sender(
    shape: Shape, ids: U8Array, tied: Binding, entropy: Secret[bytes], values: Array | None = None
) -> Role[I64Array | None]:
    """Play the other input party: nothing that depends on its persons leaves before all checks are over.

    Shapes:  ids (n, w) uint8, filled up with zero bytes, none empty, no two equal; values (p, n) uint64 or int64, if p
             is not 0; result None, or with ``both`` the places of its persons whom the receiver found, in order.
    Sizes:   out V1s, V0, V4, V4c, V4x, Ws, V6, V6p; in V1r, V5r, V5, V2, V2x, V3, V3x, Wr, V4r, V7; 5 rounds, or 6.
    Entropy: ``ENTROPY_BYTES`` that no other run has.
    Learned: the result, and of the receiver's list no more than the declared size.
    Trust:   none; a receiver can bring other persons, and more of them than it declares (README), end the run when it
             likes, and with ``both`` leave out persons that it found.
    Raises:  PeerError peer.element (V1r), peer.check (V2x, V3x, V7); RunError run.table if two persons have one hash by
             chance; InternalError for more persons than declared, or equal ones.
    """
    own, ending = vole_psi.Own(entropy, more=1), vole_psi.ending_of(shape, tied, len(ids), shape.n_list_s, PROTOCOL)
    given = intersect.given(ending, values)
    blocks = vole_psi.entries(ids, shape.n_s, shape.fixed_ids, Kind.PADDING_B, tied, own)
    drawn, stream, own_coin = prf.Stream(own.vector), prf.Stream(own.transfers), prf.Stream(_last(entropy))
    delta, coin = drawn.words(2).reshape(1, 2), own_coin.words(2)
    bits = _bits(np.concatenate([stream.words(2), delta[0]]))
    choice = endemic.Choice(tied, bits, stream)
    yield Send("receiver", "V1s", choice.points)
    yield Send("receiver", "V0", np.frombuffer(_committed(coin.tobytes(), tied), np.uint8).reshape(1, -1))
    seeds = drawn.words(2 * vole.NOISES).reshape(-1, 2)
    leaves, sums, total = ggm.expand(seeds, _whole(shape), vole_psi.sides_of_trees(tied))
    b = vole_psi.code_of(shape.vector.width).encode(_used(leaves, shape))[: shape.vector.outputs]
    less = gf128.multiply(_elements_of(blocks, tied), delta)
    offered = yield from receive("receiver", "V1r")
    keys = choice.keys(offered, label="V1r")
    hashes = binned.hashed(blocks, Secret((yield from receive("receiver", "V5r")).tobytes()))
    masked = as_words((yield from receive("receiver", "V5")))
    few = slice(0, transfers.FEW)
    asked = yield from receive("receiver", "V2")
    shown = as_words((yield from receive("receiver", "V2x")))
    at, rows = (
        checked.points(tied, "V2", offered, choice.points, asked),
        transfers.answered(keys[few], bits[few], asked),
    )
    checked.require(_columns(rows), bits[few], shown, at, label="V2x")
    products = yield from receive("receiver", "V3")
    shown = as_words((yield from receive("receiver", "V3x")))
    at = checked.points(tied, "V3", offered, choice.points, asked, products)
    pads = vole_psi.drawn_from(keys[transfers.FEW :], VALUES)
    parts = vole.parts(delta, pads, as_words(products).reshape(vole.BITS, -1, 2))
    checked.require(vole.scaled(parts), bits[transfers.FEW :], shown, at, label="V3x")
    shares = np.bitwise_xor.reduce(parts, axis=0)
    theirs = as_words((yield from receive("receiver", "Wr"))).reshape(2)
    pads = transfers.answer(keys[few], bits[few], asked, tied)[: shape.vector.transfers]
    yield Send("receiver", "V4", as_sent(sums.reshape(-1, 2, 2) ^ pads))
    yield Send("receiver", "V4c", as_sent(total ^ shares[: vole.NOISES]))
    b ^= gf128.multiply(masked, delta)
    del masked
    read = binned.read(b, hashes, shape.size)
    del b
    read ^= less
    read ^= coin ^ theirs
    order, listed = join.sort_tags(_hashed(read, blocks, tied, b"output"))
    if (listed[1:] == listed[:-1]).all(axis=1).any():
        intersect.require_distinct(hashes)
        raise RunError("run.table")
    shown = as_words((yield from receive("receiver", "V4r")))
    folds = checked.sums(leaves, checked.weights_of(shown[:1], _whole(shape))) ^ shares[vole.NOISES : 2 * vole.NOISES]
    del leaves
    yield Send("receiver", "V4x", checked.answer(folds ^ gf128.multiply(shown[1:], delta), tied))
    yield Send("receiver", "Ws", as_sent(coin))
    yield Send("receiver", "V6", listed)
    elements = _sealing(read, blocks, shape, tied)[order]
    return (yield from intersect.told(ending, given, elements, order))


def _last(entropy: Secret[bytes]) -> Secret[bytes]:
    return Secret(entropy.expose("a coin of its own")[-aes.KEY_BYTES :])


def _whole(shape: Shape) -> int:
    """Leaves of a whole tree. Where some were left out, who asks for the path of one of them would know all others, so
    their sum, and by it a product with delta."""
    return 1 << shape.vector.depth


def _used(leaves: U64Array, shape: Shape) -> U64Array:
    """The leaves that the code takes, as an array of their own: of each tree the first ones."""
    each = leaves.reshape(vole.NOISES, _whole(shape), 2)[:, : shape.vector.leaves]
    return np.array(each, order="C").reshape(-1, 2)


def _bits(words: U64Array) -> U8Array:
    return np.unpackbits(words.view(np.uint8), bitorder="little")


def _packed(bits: U8Array) -> U64Array:
    return np.packbits(bits, bitorder="little").view(np.uint64).reshape(1, -1)


def _columns(rows: U64Array) -> U64Array:
    """Rows of bits as rows of elements. Shapes: (k, n) uint64 to (k, n / 2, 2)."""
    return rows.reshape(len(rows), -1, 2)


def _committed(coin: bytes, tied: Binding) -> bytes:
    return hashlib.sha256(_PUBLIC + b"coin" + tied.digest + tied.run_id + coin).digest()


def _elements_of(blocks: U64Array, tied: Binding) -> U64Array:
    """What a table gives each entry: its BLAKE2b. A random function has to be one in both directions here."""
    rows = np.ones((len(blocks), aes.BLOCK_BYTES + 1), np.uint8)  # a hashed row ends with no zero byte
    rows[:, :-1] = blocks.view(np.uint8)
    return _blake2(rows, tied, b"entry")


def _hashed(read: U64Array, blocks: U64Array, tied: Binding, label: bytes) -> U8Array:
    """Hashes of what was read, with the coin, and of the entry. Shapes: (n, 2) uint64 each; (n, 16) uint8."""
    rows = np.ones((len(blocks), 2 * aes.BLOCK_BYTES + 1), np.uint8)
    rows[:, : aes.BLOCK_BYTES] = read.view(np.uint8)
    rows[:, aes.BLOCK_BYTES : -1] = blocks.view(np.uint8)
    return _blake2(rows, tied, label).view(np.uint8)


def _sealing(read: U64Array, blocks: U64Array, shape: Shape, tied: Binding) -> U64Array:
    """Elements under which values are sealed and which prove what was found; nothing if neither is asked for."""
    if not shape.p and not shape.both:
        return np.zeros_like(read)
    return _hashed(read, blocks, tied, b"element").view(np.uint64)


def _blake2(rows: U8Array, tied: Binding, label: bytes) -> U64Array:
    key = hashlib.sha256(_PUBLIC + label + tied.digest + tied.run_id).digest()[: blake2.KEY_BYTES]
    out = np.empty((len(rows), blake2.WIDE_BYTES), np.uint8)
    blake2.hash_rows(Secret(key), rows, out)
    return out.view(np.uint64)
