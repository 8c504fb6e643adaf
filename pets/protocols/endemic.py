"""First transfers that hold against who cheats: who offers or chooses as it likes has offered, or chosen, something.

Who offers draws t and gives T = t B, for all transfers; B is hashed for each run. Who chooses c gives two elements for
each transfer: u for the other side, drawn at random, and s B - H_c(u) for its own. Each side has a mask: m_0 is the
first element plus H_0 of the second, m_1 the second plus H_1 of the first. Keys are hashes of t m_0 and t m_1; who
chose knows s, so it has s T, which is t m_c.

What is given is two uniform elements whatever c is. H_0 and H_1 are random functions into the group: one of the two was
asked last, so its mask is an element that nobody could choose; to know t times it, too, is the computational
Diffie-Hellman problem. Which one was asked last says, at the time, what was chosen.

Source: Masny, Rindal, CCS 2019 (eprint 2019/706), "Endemic Oblivious Transfer", from Diffie-Hellman key agreement;
        one T for all transfers; keys also hash which run and transfer, and all that was sent.
"""

import hashlib
from typing import Final

import numpy as np

from pets.errors import PeerError
from pets.kernels import curve, prf
from pets.kernels.jit import U8Array
from pets.protocols import transfers
from pets.protocols.base import Binding

_BASE: Final = b"pets/1-endemic-base-"
_MASKS: Final = b"pets/1-endemic-masks-"
_FRESH: Final = b"pets/1-endemic-fresh-"
_KEYS: Final = b"pets/1-endemic-keys-"


class Offer:
    """The side that has two keys of each transfer, in one run: ``points``, one element, are to be sent."""

    def __init__(self, tied: Binding, own: prf.Stream) -> None:
        self._tied: Final = tied
        self._scalar: Final = transfers.scalar_of(own)
        self.points: Final[U8Array] = curve.multiply(_base(tied), self._scalar)

    def keys(self, chosen: U8Array, *, label: str) -> U8Array:
        """Both keys of each transfer.

        Shapes:  chosen (2 n, 32) uint8, what the other side sent; result (n, 2, 16) uint8, secret.
        Raises:  PeerError peer.element, with place and ``label``.
        """
        said = _said(self._tied, self.points, chosen)
        if (none := np.flatnonzero(~chosen.any(axis=1))).size:  # the identity, which sums may be made of
            raise PeerError("peer.element", place=int(none[0]), label=label)
        pairs = np.ascontiguousarray(chosen).reshape(-1, 2, curve.POINT_BYTES)
        sides = []
        for side in range(2):
            masks = curve.add(pairs[:, side], _hashes(self._tied, pairs[:, 1 - side], side), label=label)
            keys = curve.multiply(masks, self._scalar, label=label)
            sides.append(transfers.hashed(said, keys, np.full(len(keys), side, np.uint8)))
        return np.stack(sides, axis=1)


class Choice:
    """The other side: ``bits`` say which key of each it gets. ``points``, two elements each, are to be sent."""

    def __init__(self, tied: Binding, bits: U8Array, own: prf.Stream) -> None:
        self._tied: Final = tied
        self._bits: Final = bits
        self._scalars: Final = [transfers.scalar_of(own) for _ in range(bits.size)]
        drawn = own.words(8 * bits.size).view(np.uint8).reshape(-1, curve.UNIFORM_BYTES)
        other = curve.hash_to_group([row.tobytes() for row in drawn], tag=_FRESH + tied.digest + tied.run_id)
        known = self._multiplied(_base(tied), "base")
        masks = [_hashes(tied, other, side) for side in range(2)]  # of both sides, so that time says nothing
        own_of = curve.subtract(known, _either(masks[0], masks[1], bits))
        pairs = np.stack([_either(own_of, other, bits), _either(other, own_of, bits)], axis=1)
        self.points: Final[U8Array] = pairs.reshape(-1, curve.POINT_BYTES)

    def keys(self, offered: U8Array, *, label: str) -> U8Array:
        """The chosen key of each transfer.

        Shapes:  offered (1, 32) uint8, what the other side sent; result (n, 16) uint8, secret.
        Raises:  PeerError peer.element, with place and ``label``.
        """
        said = _said(self._tied, offered, self.points)
        return transfers.hashed(said, self._multiplied(offered, label), self._bits)

    def _multiplied(self, one: U8Array, label: str) -> U8Array:
        """An element times the scalar of each transfer."""
        return curve.multiply_each(np.repeat(one, len(self._scalars), axis=0), self._scalars, label=label)


def _either(first: U8Array, second: U8Array, bits: U8Array) -> U8Array:
    """The rows of the first where a bit is 0, else of the second; the same work for both."""
    mask: U8Array = (bits * np.uint8(255))[:, None]
    out: U8Array = first ^ np.bitwise_and(first ^ second, mask)
    return np.ascontiguousarray(out)


def _base(tied: Binding) -> U8Array:
    return curve.hash_to_group([b"\0"], tag=_BASE + tied.digest + tied.run_id)


def _hashes(tied: Binding, elements: U8Array, side: int) -> U8Array:
    """An element for each, as a random function that is another one for each transfer and side."""
    strings = [number.to_bytes(4, "big") + row.tobytes() for number, row in enumerate(elements)]
    return curve.hash_to_group(strings, tag=_MASKS + bytes([side]) + tied.digest + tied.run_id)


def _said(tied: Binding, offered: U8Array, chosen: U8Array) -> bytes:
    """A digest of all that both sides know of first transfers: who, which run, what was sent."""
    if offered.shape != (1, curve.POINT_BYTES) or len(chosen) % 2:
        raise ValueError("one element is offered, and two for each transfer are chosen")
    return hashlib.sha256(_KEYS + tied.digest + tied.run_id + offered.tobytes() + chosen.tobytes()).digest()
