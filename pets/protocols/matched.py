"""What an intersection gives beside places: values that the sender's persons bring, and a word to the sender.

An intersection hashes an *element* for each entry of the sender, and the receiver has that of an entry if it has the
entry, too; else the element is one of 2^128 for it. So the sender *seals* the values of an entry under pads that are
hashes of its element, with another key than the output has; and the receiver *tells* which entries it found by their
bits and a hash of their elements, which nobody can make who has not found them.

Nothing here sends: arrays in, arrays out. Which protocol, which run and which purpose go into each key.

Source: pads: hashes of elements, as outputs are, with AES(z) + z for the hash; check: Wegman, Carter, JCSS 22 (1981), a
        polynomial over GF(2^128); docs/adr/0034.
"""

import hashlib
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pets.errors import PeerError
from pets.kernels import aes, binned, gf128
from pets.kernels.jit import I64Array, U8Array, U64Array
from pets.protocols.base import Array, Binding
from pets.secret import Secret

BoolArray = npt.NDArray[np.bool_]

CHECK_BYTES: Final = 8
"""Of a sealed entry. What is changed passes with probability at most blocks * 2^-64, a block being two words."""

PROOF_BYTES: Final = 16
"""Of a word to the sender: a hash of the elements that were found."""


class Found(NamedTuple):
    """A receiver's result: places of its persons who are in both sets, in order; their values, a column for each word.

    Shapes:  places (m,) int64; values (p, m) uint64.
    """

    places: I64Array
    values: U64Array


def seal(elements: U64Array, values: Array, tied: Binding, protocol: str) -> U8Array:
    """Values that only who has an entry's element can read, and nobody can change unseen.

    Shapes:  elements (n, 2) uint64; values (n, p) uint64 or int64; result (n, 8 p + 8) uint8.
    """
    words = np.ascontiguousarray(values).view(np.uint64)
    if words.shape != (len(elements), values.shape[1]):
        raise ValueError("values for each element")
    pads = _pads(elements, words.shape[1] + 1, tied, protocol)
    pads[:, -1] ^= _checks(elements, words, tied, protocol)
    pads[:, :-1] ^= words
    return pads.view(np.uint8)


def unseal(elements: U64Array, rows: Array, tied: Binding, protocol: str, *, label: str) -> U64Array:
    """The values of entries whose elements the receiver has.

    Shapes:  elements (m, 2) uint64; rows (m, 8 p + 8) uint8, those of the same entries; result (m, p) uint64.
    Raises:  PeerError peer.check if a row is not what its element's holder sealed.
    """
    opened = np.ascontiguousarray(rows).view(np.uint64)
    opened = opened ^ _pads(elements, opened.shape[1], tied, protocol)
    words = np.ascontiguousarray(opened[:, :-1])
    if not np.array_equal(_checks(elements, words, tied, protocol), opened[:, -1]):
        raise PeerError("peer.check", label=label)
    return words


def tell(found: BoolArray, elements: U64Array, tied: Binding, protocol: str) -> U8Array:
    """What the receiver says of the entries that were sent to it, in their order: a bit each, and a proof.

    Shapes:  found (n,) bool; elements (m, 2) uint64 of the m that were found, in the same order; result
             (ceil(n / 8) + 16, 1) uint8.
    """
    if np.count_nonzero(found) != len(elements):
        raise ValueError("an element for each entry that was found")
    bits = np.packbits(found, bitorder="little").tobytes()
    return np.frombuffer(bits + _proof(bits, elements, tied, protocol), np.uint8).reshape(-1, 1)


def told(rows: Array, elements: U64Array, tied: Binding, protocol: str, *, label: str) -> BoolArray:
    """Which entries the receiver found.

    Shapes:  rows (ceil(n / 8) + 16, 1) uint8; elements (n, 2) uint64, those of all entries in the order in which they
             were sent; result (n,) bool.
    Raises:  PeerError peer.check if the receiver has not the element of an entry that it says it found.
    """
    content = rows.tobytes()
    bits, proof = content[:-PROOF_BYTES], content[-PROOF_BYTES:]
    found = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").astype(np.bool_)
    count = len(elements)
    if found.size - count not in range(8):
        raise ValueError("a bit for each entry")
    if found[count:].any() or _proof(bits, elements[found[:count]], tied, protocol) != proof:
        raise PeerError("peer.check", label=label)
    return found[:count]


def _pads(elements: U64Array, words: int, tied: Binding, protocol: str) -> U64Array:
    """So many words for each element: hashes of the element plus 0, 1, 2, ... Shapes: (n, words)."""
    key, blocks = _key(tied, protocol, b"pad"), -(-words // 2)
    out = np.empty((len(elements), 2 * blocks), np.uint64)
    for block in range(blocks):
        out[:, 2 * block : 2 * block + 2] = binned.hashed(elements ^ np.array([block, 0], np.uint64), key)
    return np.ascontiguousarray(out[:, :words])


def _checks(elements: U64Array, words: U64Array, tied: Binding, protocol: str) -> U64Array:
    """A word for each element: the low one of m_1 r^k + ... + m_k r, of blocks m of two words and a secret r."""
    point = binned.hashed(elements, _key(tied, protocol, b"check"))
    total, more = np.zeros_like(elements), words.shape[1] % 2
    padded = np.pad(words, ((0, 0), (0, more))) if more else words
    for first in range(0, padded.shape[1], 2):
        total = gf128.multiply(total ^ padded[:, first : first + 2], point)
    return total[:, 0]


def _proof(bits: bytes, elements: U64Array, tied: Binding, protocol: str) -> bytes:
    key = _key(tied, protocol, b"told").expose("hash what was found")
    state = hashlib.blake2b(bits, key=key, digest_size=PROOF_BYTES)
    state.update(np.ascontiguousarray(elements).tobytes())
    return state.digest()


def _key(tied: Binding, protocol: str, label: bytes) -> Secret[bytes]:
    """A key that makes a hash another one for each purpose and run. Nothing rests on its secrecy."""
    said = b"pets/1-matched-" + protocol.encode() + b"-" + label + tied.digest + tied.run_id
    return Secret(hashlib.sha256(said).digest()[: aes.KEY_BYTES])
