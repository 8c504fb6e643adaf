"""Oblivious transfers of random keys: a few by a group, many from these few.

Who *offers* has two keys for each transfer, who *chooses* has one of the two; the other side does not learn which.
Nothing here sends: arrays in, arrays out.

The first ones. Two elements B_0, B_1 are hashed for each run, so nobody knows what multiple of one the other is. The
side that offers draws scalars y_0, y_1 and gives y_0 B_0 and y_1 B_1, for all transfers; the side that chooses draws a
scalar x for each and gives x B_c. The two keys are hashes of y_0 x B_c and y_1 x B_c: that of c is x (y_c B_c). What is
given is uniform whatever c is. Who knows the other key, too, knows y_i B_c of B_i, y_i B_i and B_c, which is the
computational Diffie-Hellman problem. Neither needs a sum of elements, nor waits for the other.

Many of these few: IKNP. A side that offers many chooses in 128 first ones, so roles are exchanged.

Source: the first ones are ours, near Chu and Tzeng, PKC 2005 (there the answer is the blinded choice times a scalar);
        argument and comparison: docs/adr/0034. Ishai, Kilian, Nissim, Petrank, CRYPTO 2003, semi-honest; hash: Guo,
        Katz, Wang, Yu, IEEE S&P 2020 (eprint 2019/074), 7.4.
"""

import hashlib
from typing import Final

import numpy as np

from pets.kernels import aes, curve, prf
from pets.kernels.jit import U8Array, U64Array
from pets.protocols.base import Binding
from pets.secret import Secret

FEW: Final = 128
"""First transfers behind many: bits of what hides a key that was not chosen."""

_BASES: Final = b"pets/1-transfers-"
_KEYS: Final = b"pets/1-transfers-keys-"
_HASH: Final = b"pets/1-transfers-hash-"


class Offer:
    """One side of first transfers, in one run: ``points`` are to be sent."""

    def __init__(self, tied: Binding, own: prf.Stream) -> None:
        self._tied: Final = tied
        self._scalars: Final = [scalar_of(own) for _ in range(2)]
        self.points: Final[U8Array] = curve.multiply_each(_bases(tied), self._scalars)

    def keys(self, chosen: U8Array, *, label: str) -> U8Array:
        """Both keys of each transfer.

        Shapes:  chosen (n, 32) uint8, what the other side sent; result (n, 2, 16) uint8, secret.
        Raises:  PeerError peer.element, with place and ``label``.
        """
        said = _said(self._tied, self.points, chosen)
        sides = [curve.multiply(chosen, scalar, label=label) for scalar in self._scalars]
        return np.stack([hashed(said, rows, np.full(len(rows), i, np.uint8)) for i, rows in enumerate(sides)], axis=1)


class Choice:
    """The other side of first transfers: ``bits`` say which key of each it gets. ``points`` are to be sent."""

    def __init__(self, tied: Binding, bits: U8Array, own: prf.Stream) -> None:
        self._tied: Final = tied
        self._bits: Final = bits
        self._scalars: Final = [scalar_of(own) for _ in range(bits.size)]
        self.points: Final[U8Array] = self._multiplied(_bases(tied), "bases")

    def keys(self, offered: U8Array, *, label: str) -> U8Array:
        """The chosen key of each transfer.

        Shapes:  offered (2, 32) uint8, what the other side sent; result (n, 16) uint8, secret.
        Raises:  PeerError peer.element, with place and ``label``: both are looked at, whatever was chosen.
        """
        said = _said(self._tied, offered, self.points)
        return hashed(said, self._multiplied(offered, label), self._bits)

    def _multiplied(self, two: U8Array, label: str) -> U8Array:
        """Of two elements that of each bit, times the scalar of its transfer. Both are, so that time says nothing."""
        each = [scalar for scalar in self._scalars for _ in range(2)]
        both = curve.multiply_each(np.tile(two, (len(self._scalars), 1)), each, label=label)
        first, second = both[0::2], both[1::2]
        mask: U8Array = (self._bits * np.uint8(255))[:, None]
        chosen: U8Array = first ^ np.bitwise_and(first ^ second, mask)
        return chosen


def scalar_of(own: prf.Stream) -> Secret[bytes]:
    return curve.new_scalar(Secret(own.words(curve.UNIFORM_BYTES // 8).tobytes()))


def _bases(tied: Binding) -> U8Array:
    return curve.hash_to_group([b"\0", b"\1"], tag=_BASES + tied.digest + tied.run_id)


def _said(tied: Binding, offered: U8Array, chosen: U8Array) -> bytes:
    """A digest of all that both sides know of first transfers: who, which run, what was sent."""
    if offered.shape != (2, curve.POINT_BYTES):
        raise ValueError("two elements are offered")
    return hashlib.sha256(_KEYS + tied.digest + tied.run_id + offered.tobytes() + chosen.tobytes()).digest()


def hashed(said: bytes, points: U8Array, sides: U8Array) -> U8Array:
    """The key that each element gives, as that of a transfer and of one of its sides. Shapes: (n, 16) uint8."""
    keys = [
        hashlib.sha256(said + number.to_bytes(4, "big") + side.tobytes() + point.tobytes()).digest()[: aes.KEY_BYTES]
        for number, (point, side) in enumerate(zip(points, sides, strict=True))
    ]
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, aes.KEY_BYTES)


# -- many from few ----------------------------------------------------------------------------------------------------


def ask(both: U8Array, bits: U8Array, tied: Binding) -> tuple[U8Array, U64Array]:
    """Choose in many transfers, with both keys of 128: what to send, and the chosen pad of each.

    Shapes:  both (128, 2, 16) uint8; bits (n,) uint8, n a multiple of 64; result (n, 16) uint8 and (n, 2) uint64.
    """
    if both.shape != (FEW, 2, aes.KEY_BYTES) or bits.size % 64:
        raise ValueError("many transfers are made of 128, some whole words of them")
    first, second = (streams(both[:, side], bits.size // 64) for side in range(2))
    wanted = np.packbits(bits, bitorder="little").view(np.uint64)
    message = (first ^ second ^ wanted).view(np.uint8).reshape(-1, aes.BLOCK_BYTES)
    return message, _pads(_turned(first), tied)


def answer(chosen: U8Array, bits: U8Array, message: U8Array, tied: Binding) -> U64Array:
    """Offer many transfers, with the keys that ``bits`` chose in 128: both pads of each.

    Shapes:  chosen (128, 16) uint8; bits (128,) uint8; message (n, 16) uint8; result (n, 2, 2) uint64: side, word.
    """
    if chosen.shape != (FEW, aes.KEY_BYTES) or bits.shape != (FEW,) or len(message) % 64:
        raise ValueError("many transfers are made of 128, some whole words of them")
    turned = _turned(answered(chosen, bits, message))
    apart = np.packbits(bits, bitorder="little").view(np.uint64)
    return np.stack([_pads(turned, tied), _pads(turned ^ apart, tied)], axis=1)


def answered(chosen: U8Array, bits: U8Array, message: U8Array) -> U64Array:
    """The matrix that pads are hashes of, with a row for each of the 128: that of the other side, and its choices where
    the bit is 1. Shapes: as in ``answer``; result (128, n / 64) uint64."""
    rows = streams(chosen, len(message) // 64)
    rows ^= np.ascontiguousarray(message).view(np.uint64).reshape(FEW, -1) * bits[:, None].astype(np.uint64)
    return rows


def streams(keys: U8Array, count: int) -> U64Array:
    """So many words of each key: (keys, count)."""
    return np.stack([prf.words(Secret(key.tobytes()), count) for key in keys])


def _turned(rows: U64Array) -> U64Array:
    """A matrix of bits, rows for columns. Shapes: (128, n / 64) uint64 to (n, 2)."""
    bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")
    return np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little").view(np.uint64)


def _pads(rows: U64Array, tied: Binding) -> U64Array:
    """What hides a key that was not chosen, and breaks the difference between two: AES(AES(row) + i) + AES(row)."""
    key = Secret(hashlib.sha256(_HASH + tied.run_id).digest()[: aes.KEY_BYTES])
    once = rows.copy()
    aes.encrypt_blocks(key, once.view(np.uint8))
    twice = once.copy()
    twice[:, 0] ^= np.arange(len(rows), dtype=np.uint64)
    aes.encrypt_blocks(key, twice.view(np.uint8))
    return once ^ twice
