"""KangarooTwelve against the vectors of RFC 9861 and a slow twin over whole numbers."""

import numpy as np
import pytest

from pets.kernels import kangaroo

WORD = 2**64


def pattern(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """ptn(size) of the RFC: 00 to FA, again and again."""
    return np.resize(np.arange(251, dtype=np.uint8), size) if size else np.empty(0, np.uint8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "1ac2d450fc3b4205d19da7bfca1b37513c0803577ac7167f06fe2ce1f0ef39e5"),
        (1, "2bda92450e8b147f8a7cb629e784a058efca7cf7d8218e02d345dfaa65244a1f"),
        (17, "6bf75fa2239198db4772e36478f8e19b0f371205f6a9a93a273f51df37122888"),
        (17**2, "0c315ebcdedbf61426de7dcf8fb725d1e74675d7f5327a5067f367b108ecb67c"),
        (17**3, "cb552e2ec77d9910701d578b457ddf772c12e322e4ee7fe417f92c758f0d59d0"),
        (17**4, "8701045e22205345ff4dda05555cbb5c3af1a771c2b89baef37db43d9998b9fe"),
        (17**5, "844d610933b1b9963cbdeb5ae3b6b05cc7cbd67ceedf883eb678a0a8e0371682"),
    ],
)
def test_vectors_of_the_rfc(size: int, expected: str) -> None:
    """Source: RFC 9861, section 5."""
    assert kangaroo.digest(pattern(size)).hex() == expected


def turned(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) % WORD if bits else word


def permuted(state: list[list[int]]) -> list[list[int]]:
    """The last twelve rounds of Keccak-f[1600], step by step as FIPS 202 has them; state[x][y]."""
    register, bits = 1, []
    for _ in range(7 * 24):
        bits.append(register & 1)
        register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    for number in range(12, 24):
        sums = [s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] for s in state]
        state = [[w ^ sums[(x - 1) % 5] ^ turned(sums[(x + 1) % 5], 1) for w in s] for x, s in enumerate(state)]
        x, y, current = 1, 0, state[1][0]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, state[x][y] = state[x][y], turned(current, (step + 1) * (step + 2) // 2 % 64)
        for y in range(5):
            row = [state[x][y] for x in range(5)]
            for x in range(5):
                state[x][y] = row[x] ^ (~row[(x + 1) % 5] % WORD & row[(x + 2) % 5])
        state[0][0] ^= sum(bits[7 * number + j] << (2**j - 1) for j in range(7))
    return state


def sponge(message: bytes, last: int) -> bytes:
    padded = bytearray(message + bytes([last]))
    padded += bytes(-len(padded) % 168)
    padded[-1] ^= 0x80
    state = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), 168):
        for word in range(21):
            part = padded[start + 8 * word : start + 8 * word + 8]
            state[word % 5][word // 5] ^= int.from_bytes(part, "little")
        state = permuted(state)
    return b"".join(state[word % 5][word // 5].to_bytes(8, "little") for word in range(4))


def slow(message: bytes) -> bytes:
    whole = message + b"\0"
    chunks = [whole[start : start + 8192] for start in range(0, len(whole), 8192)]
    if len(chunks) == 1:
        return sponge(whole, 7)
    count = len(chunks) - 1
    size = (count.bit_length() + 7) // 8
    inner = b"".join(sponge(chunk, 11) for chunk in chunks[1:])
    return sponge(chunks[0] + b"\3" + bytes(7) + inner + count.to_bytes(size, "big") + bytes([size, 255, 255]), 6)


@pytest.mark.parametrize("size", [7, 8191, 8192, 8193, 16_383, 16_384, 16_385, 9 * 8192 + 5, 10 * 8192 - 1])
def test_every_length_equals_the_slow_twin(size: int) -> None:
    message = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    message.flags.writeable = bool(size % 2)
    assert kangaroo.digest(message) == slow(message.tobytes())


def test_a_message_of_many_chunks_counts_them_in_two_bytes() -> None:
    size = 260 * 8192
    assert kangaroo.digest(np.zeros(size, np.uint8)) != kangaroo.digest(np.zeros(size + 8192, np.uint8))
    assert kangaroo._length(260) == bytes([1, 4, 2]) and kangaroo._length(255) == bytes([255, 1])


@pytest.mark.parametrize("wrong", [np.zeros(4, np.uint64), np.zeros((2, 2), np.uint8), np.zeros(8, np.uint8)[::2]])
def test_what_is_no_message_is_refused(wrong: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        kangaroo.digest(wrong)
