"""Keyed BLAKE2b of many rows against hashlib."""

import hashlib

import numpy as np
import pytest

from pets.kernels import blake2, jit
from pets.secret import Secret


def hashed(key: bytes, rows: blake2.U8Array, size: int = 13) -> list[bytes]:
    out = np.full((len(rows) + 1, size), 7, np.uint8)
    blake2.hash_rows(Secret(key), rows, out[:-1])
    assert (out[-1] == 7).all()
    return [row.tobytes() for row in out[:-1]]


def test_every_length_equals_hashlib() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        key = rng.bytes(16)
        texts = [rng.integers(1, 256, length, dtype=np.uint8).tobytes() for length in range(1, 65)]
        rows = np.array([list(text.ljust(64, b"\0")) for text in texts], np.uint8)
        for size in (13, 16):
            expected = [hashlib.blake2b(text, key=key, digest_size=size).digest() for text in texts]
            assert hashed(key, rows, size) == expected


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1023, 1024, 1025, 4099])
def test_every_number_of_rows_equals_hashlib(count: int) -> None:
    rng = np.random.default_rng(count)
    key = rng.bytes(16)
    width = int(rng.integers(3, 65))
    rows = rng.integers(0, 256, (count, width), dtype=np.uint8)
    rows[:, 0] = 1
    rows[rng.random(rows.shape) < 0.3] = 0
    rows[:, 0] = 1
    texts = [row.tobytes().rstrip(b"\0") for row in rows]
    for size in (13, 16):
        assert hashed(key, rows, size) == [hashlib.blake2b(text, key=key, digest_size=size).digest() for text in texts]


def test_an_empty_row_is_refused_wherever_it_is() -> None:
    for place in (0, 7, 8, 19):
        rows = np.ones((20, 5), np.uint8)
        rows[place] = 0
        with pytest.raises(ValueError, match="empty"):
            hashed(bytes(16), rows)


def test_wrong_shapes_and_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        hashed(bytes(16), np.ones((1, 65), np.uint8))
    with pytest.raises(ValueError, match="13"):
        blake2.hash_rows(Secret(bytes(16)), np.ones((2, 5), np.uint8), np.empty((2, 12), np.uint8))
    with pytest.raises(ValueError, match="16 bytes"):
        hashed(bytes(32), np.ones((1, 5), np.uint8))


@jit.kernel
def _hashed_rows(state: blake2.U32Array, lanes: blake2.U32Array) -> None:
    blake2.hash_lanes(state, lanes)


def test_sixteen_rows_equal_hashlib() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        key, rows = rng.bytes(32), rng.integers(0, 2**32, (16, 16), dtype=np.uint32)
        lanes = np.ascontiguousarray(rows.T)
        _hashed_rows(blake2.state_of_rows(Secret(key)), lanes)
        for row, digest in zip(rows, lanes[:8].T, strict=True):
            assert digest.tobytes() == hashlib.blake2s(row.tobytes(), key=key).digest()


def test_a_key_of_rows_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        blake2.state_of_rows(Secret(bytes(16)))
