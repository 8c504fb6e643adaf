"""Keys of a run and the words they give: X25519, HKDF, one AES-CTR stream a label, and a party's own randomness.

Two parties hold one `KeyFamily` a run and draw from it, without a message, the masks and permutations that the third
must not know. A label names one purpose; a family refuses the same label for a second one.
"""

import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from pets.kernels import aes
from pets.kernels.jit import U64Array, kernel, swap64
from pets.secret import Secret

_TILE_WORDS: Final = 1 << 15
"""256 KiB: keystream and data of one step stay in the second-level cache."""


# -- agreement ---------------------------------------------------------------------------------------------------------


def public_key(private: Secret[bytes]) -> bytes:
    """Give the X25519 public key of 32 private bytes."""
    return X25519PrivateKey.from_private_bytes(private.expose("X25519")).public_key().public_bytes_raw()


def agree(private: Secret[bytes], public: bytes) -> Secret[bytes]:
    """Agree on 32 bytes with the holder of `public`, by X25519.

    Raises:  ValueError if `public` has a wrong length or would give the all-zero secret: the peer's doing.
    Source:  RFC 7748, section 6.1; protocols.md 0.5.
    """
    own = X25519PrivateKey.from_private_bytes(private.expose("X25519"))
    shared = own.exchange(X25519PublicKey.from_public_bytes(public))
    if not any(shared):
        raise ValueError("the shared secret is all zero")
    return Secret(shared)


class KeyFamily:
    """All keys that one pair of parties shares in one run of one protocol; `s_PQ` of the protocol's text.

    `party_p` comes before `party_q` in the order of the specification. `run_id` and `digest` are 32 raw bytes.
    """

    def __init__(
        self, shared: Secret[bytes], *, run_id: bytes, digest: bytes, protocol: str, party_p: str, party_q: str
    ) -> None:
        if len(run_id) != 32 or len(digest) != 32:
            raise ValueError("run id and specification digest have 32 bytes")
        if party_p == party_q:
            raise ValueError("a key family belongs to two parties")
        secret = shared.expose("HKDF-Extract")
        if len(secret) != 32 or not any(secret):
            raise ValueError("the shared secret has 32 bytes and is not all zero")
        self._prk: Secret[bytes] | None = Secret(hmac.digest(run_id, secret, "sha256"))
        self._context: Final = b"".join(
            _prefixed(item)
            for item in (b"pets/1", digest, run_id, protocol.encode(), party_p.encode(), party_q.encode())
        )
        self._purposes: Final[dict[str, str]] = {}

    def key(self, label: str, column: int | None = None, *, purpose: str = "words") -> Secret[bytes]:
        """Derive the 16-byte key of `label`, or of column `column` of `label`.

        Raises:  ValueError if the label, with this column or another, has served another purpose, or if one label is
                 used both with and without columns: our bug.
        """
        if not label or "." in label:
            raise ValueError("a label is not empty and has no full stop")
        if column is not None and column < 0:
            raise ValueError("columns are numbered from 0")
        use = purpose if column is None else f"{purpose} by column"
        if self._purposes.setdefault(label, use) != use:
            raise ValueError(f"label {label} has served another purpose: {self._purposes[label]}")
        if self._prk is None:
            raise ValueError("the keys of this run have been erased")
        full = label if column is None else f"{label}.{column}"
        expand = HKDFExpand(SHA256(), aes.KEY_BYTES, self._context + _prefixed(full.encode()))
        return Secret(expand.derive(self._prk.expose("HKDF-Expand")))

    @property
    def purposes(self) -> Mapping[str, str]:
        """What each label has been used for so far."""
        return MappingProxyType(self._purposes)

    def erase(self) -> None:
        """Forget the family; keys already given are their holders' to drop."""
        self._prk = None

    def __repr__(self) -> str:
        return "KeyFamily(***)"


def _prefixed(item: bytes) -> bytes:
    return len(item).to_bytes(4, "big") + item


# -- words of a key ----------------------------------------------------------------------------------------------------


def words(key: Secret[bytes], count: int, *, first: int = 0) -> U64Array:
    """Give words `first` ... `first + count - 1` of the AES-CTR stream of `key`; `F` of the protocol's text."""
    out = np.empty(count, np.uint64)
    aes.ctr_words(key, first, out)
    return out


def add_words(key: Secret[bytes], values: U64Array, *, first: int = 0) -> None:
    """Add the stream of `key` to `values` in place, mod 2**64. `values` is contiguous."""
    _combine(key, values, first, subtract=False)


def sub_words(key: Secret[bytes], values: U64Array, *, first: int = 0) -> None:
    """Subtract the stream of `key` from `values` in place, mod 2**64. `values` is contiguous."""
    _combine(key, values, first, subtract=True)


def _combine(key: Secret[bytes], values: U64Array, first: int, *, subtract: bool) -> None:
    if values.dtype != np.uint64 or values.ndim != 1 or not values.flags.c_contiguous:
        raise ValueError("masked values are a contiguous (n,) array of uint64")
    tile = np.empty(min(_TILE_WORDS, values.size), np.uint64)
    for start in range(0, values.size, _TILE_WORDS):
        part = values[start : start + _TILE_WORDS]
        mask = tile[: part.size]
        aes.ctr_words(key, first + start, mask)
        if subtract:
            np.subtract(part, mask, out=part)
        else:
            np.add(part, mask, out=part)


def words_at(key: Secret[bytes], index: npt.NDArray[np.unsignedinteger]) -> U64Array:
    """Give word `index[i]` of the stream of `key` for each i, without the words between.

    Shapes:  index (n,) uint32 or uint64, any order, repeats allowed; (n,) uint64.
    Units:   one AES block a word: for dense indices `words` is cheaper.
    """
    if index.ndim != 1 or index.dtype not in (np.dtype(np.uint32), np.dtype(np.uint64)):
        raise ValueError("positions in a stream are an (n,) array of uint32 or uint64")
    out = np.empty(index.size, np.uint64)
    tile = np.empty((min(_TILE_WORDS // 2, index.size), 16), np.uint8)
    for start in range(0, index.size, len(tile) or 1):
        part = np.ascontiguousarray(index[start : start + len(tile)])
        blocks = tile[: part.size]
        _counters(part, blocks.reshape(-1).view(np.uint64))
        aes.encrypt_blocks(key, blocks)
        _pick_words(part, blocks.reshape(-1).view(np.uint64), out[start : start + part.size])
    return out


@kernel
def _counters(index: npt.NDArray[np.unsignedinteger], blocks: U64Array) -> None:
    for i in range(index.size):
        blocks[2 * i] = np.uint64(0)
        blocks[2 * i + 1] = swap64(np.uint64(index[i]) >> np.uint64(1))


@kernel
def _pick_words(index: npt.NDArray[np.unsignedinteger], blocks: U64Array, out: U64Array) -> None:
    for i in range(index.size):
        out[i] = blocks[2 * i + np.intp(index[i] & np.uint64(1))]


# -- a party's own randomness ------------------------------------------------------------------------------------------


class Stream:
    """A party's own randomness in one run, from 16 bytes of entropy: the AES-CTR stream of `seed`, each word once."""

    def __init__(self, seed: Secret[bytes]) -> None:
        if len(seed.expose("length")) != aes.KEY_BYTES:
            raise ValueError("a seed has 16 bytes")
        self._seed: Final = seed
        self._position = 0

    def words(self, count: int) -> U64Array:
        """Give the next `count` words; no call returns a word that another has returned."""
        out = words(self._seed, count, first=self._position)
        self._position += count
        return out

    def __repr__(self) -> str:
        return "Stream(***)"
