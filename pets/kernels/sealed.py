"""Messages sealed to one reader, for a sender that is offline when they are read: whoever carries them learns sizes.

A short head is sealed by HPKE to the reader's public key of the run, in one shot; what is long follows under a fresh
key that is part of the head, in chunks, so that it is opened into memory that is there already.

    head    HPKE, mode base: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM; aad is empty, info says what for
    words   AES-128-GCM, chunks of 256 KiB; nonce: number of the chunk (11 bytes, big-endian), then 1 for the last, or 0

Mode base says nothing of who sealed: that is for whoever carries it to show (docs/adr/0040-secure-sum.md).

Source: RFC 9180, 5.1.1 and 6.1; chunks after STREAM of Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015, as age has it.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from pets.kernels.jit import U64Array
from pets.secret import Secret

TAG_BYTES: Final = 16
HEAD_EXTRA: Final = 32 + TAG_BYTES
"""Bytes that sealing adds to a head: the ephemeral public key and the tag."""

KEY_BYTES: Final = 16
CHUNK_BYTES: Final = 1 << 18
"""256 KiB: a chunk and what it is added to stay in the second-level cache."""

_SUITE: Final = (KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


def seal_head(public: bytes, info: bytes, head: Secret[bytes]) -> bytes:
    """Seal ``head`` to the holder of ``public`` (32 bytes), for what ``info`` says, and for nothing else.

    Units:   ``HEAD_EXTRA`` bytes longer than ``head``. The ephemeral key is drawn by the operating system.
    Raises:  ValueError if ``public`` is no public key, or one that gives the all-zero secret.
    """
    key = X25519PublicKey.from_public_bytes(public)
    try:
        return Suite(*_SUITE).encrypt(head.expose("seal"), key, info)
    except InvalidTag as error:
        raise ValueError("nothing can be sealed to this public key") from error


def open_head(private: Secret[bytes], info: bytes, sealed: bytes) -> Secret[bytes]:
    """Give what was sealed to the public key of ``private`` for what ``info`` says.

    Raises:  ValueError if it was sealed to another key or for something else, or is not what was sealed.
    """
    own = X25519PrivateKey.from_private_bytes(private.expose("HPKE"))
    try:
        return Secret(Suite(*_SUITE).decrypt(sealed, own, info))
    except (InvalidTag, ValueError) as error:
        raise ValueError("this was not sealed to this key for this purpose") from error


def sealed_words_bytes(words: int) -> int:
    """How many bytes so many words are when they are sealed."""
    size = 8 * words
    return size + TAG_BYTES * max(1, -(-size // CHUNK_BYTES))


def seal_words(key: Secret[bytes], words: U64Array) -> bytes:
    """Seal words under a key of 16 bytes that seals nothing else.

    Shapes:  words (n,) uint64; ``sealed_words_bytes(n)`` bytes.
    """
    cipher, body = AESGCM(_key(key)), np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    out = bytearray(sealed_words_bytes(words.size))
    target, at = memoryview(out), 0
    for number, (start, stop, last) in enumerate(_chunks(body.size)):
        size = stop - start + TAG_BYTES
        cipher.encrypt_into(_nonce(number, last), body[start:stop].data, None, target[at : at + size])
        at += size
    return bytes(out)


Combine = Callable[[U64Array, U64Array], None]
"""Changes the first vector in place by the second."""


class SpoiltError(RuntimeError):
    """A total that has a part of some words in it, which nobody can take off again."""


def add_opened(key: Secret[bytes], sealed: BinaryIO, total: U64Array, *, add: Combine, sub: Combine) -> None:
    """Open words and ``add`` them to ``total``, a chunk at a time: no second vector is in memory.

    Shapes:  total (n,) uint64, contiguous. ``sub`` undoes ``add``. ``sealed``: read from where it is to its end, and
             from there again if what has been added has to be taken off.
    Raises:  ValueError if ``sealed`` is not ``seal_words`` of n words under this key, and what ``add`` and reading
             raise: ``total`` is as before then. SpoiltError if what was added could not be read once more.
    """
    begin, done = sealed.tell(), 0
    try:
        for start, stop, chunk in _opened(key, sealed, total):
            add(total[start:stop], chunk)
            done = stop
    except Exception:
        try:
            sealed.seek(begin)
            _take_off(key, sealed, total, done, sub)
        except Exception as error:
            raise SpoiltError("sealed words changed, or cannot be read again") from error
        raise


def sub_opened(key: Secret[bytes], sealed: BinaryIO, total: U64Array, *, sub: Combine) -> None:
    """Open words that have been added before, and take them off ``total``. Raises ValueError as ``add_opened``."""
    _take_off(key, sealed, total, total.size, sub)


def _take_off(key: Secret[bytes], sealed: BinaryIO, total: U64Array, until: int, sub: Combine) -> None:
    if until:
        for start, stop, chunk in _opened(key, sealed, total):
            sub(total[start:stop], chunk)
            if stop >= until:
                break


def _opened(key: Secret[bytes], sealed: BinaryIO, target: U64Array) -> Iterator[tuple[int, int, U64Array]]:
    """Each chunk of the words: of as many as ``target`` has, and no byte more. Raises ValueError."""
    if target.dtype != np.dtype("<u8") or target.ndim != 1 or not target.flags.c_contiguous:
        raise ValueError("words are opened into a contiguous (n,) array of uint64")
    cipher, piece = AESGCM(_key(key)), np.empty(CHUNK_BYTES // 8, np.uint64)
    read, body = memoryview(bytearray(CHUNK_BYTES + TAG_BYTES)), piece.view(np.uint8)
    for number, (start, stop, last) in enumerate(_chunks(target.nbytes)):
        size = stop - start + TAG_BYTES
        _fill(sealed, read[:size])
        if last and sealed.read(1):
            raise ValueError("so many bytes are not so many words")
        try:
            cipher.decrypt_into(_nonce(number, last), read[:size], None, body[: stop - start].data)
        except InvalidTag as error:
            raise ValueError("these words were not sealed under this key") from error
        yield start // 8, stop // 8, piece[: (stop - start) // 8]


def _fill(source: BinaryIO, target: memoryview) -> None:
    """Read as many bytes as ``target`` has; a file may give them a few at a time."""
    done = 0
    while done < len(target):
        got = source.readinto(target[done:])  # type: ignore[attr-defined]
        if not got:
            raise ValueError("so many bytes are not so many words")
        done += got


def _chunks(size: int) -> list[tuple[int, int, bool]]:
    """Where each chunk starts and stops, and whether it is the last; of nothing there is one, which is empty."""
    starts = range(0, max(1, size), CHUNK_BYTES)
    return [(start, min(start + CHUNK_BYTES, size), start + CHUNK_BYTES >= size) for start in starts]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _key(key: Secret[bytes]) -> bytes:
    value = key.expose("AES-GCM")
    if len(value) != KEY_BYTES:
        raise ValueError("words are sealed under 16 bytes")
    return value
