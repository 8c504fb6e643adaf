"""Outputs that belong to one entry in each bin, against hashlib and Python's integers."""

import hashlib
from collections.abc import Iterator
from math import comb, log2

import numpy as np
import pytest

from pets.kernels import aes, oprf, prf
from pets.secret import Secret
from tests.oracles import terms

BACKENDS = [aes.VAES512, aes.AESNI, aes.PORTABLE]


@pytest.fixture(autouse=True, scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    aes.select(request.param)
    yield request.param
    aes.select(aes.PORTABLE)


def public(width: int = 11, *, elements: bool = True) -> oprf.Public:
    return oprf.Public([Secret(bytes([i] * 16)) for i in range(4)], Secret(bytes(range(32))), width, elements)


def words(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)


class Made:
    """Both sides of so many bins, each with a block."""

    def __init__(self, bins: int, seed: int = 1, **how: object) -> None:
        rng = np.random.default_rng(seed)
        self.keys = rng.integers(0, 256, (512, 2, 16), dtype=np.uint8)
        bits = rng.integers(0, 2, 512, dtype=np.uint8)
        self.choice = np.packbits(bits, bitorder="little").view(np.uint64)
        self.blocks, self.public = words(seed, bins, 2), public(**how)  # type: ignore[arg-type]
        both = [oprf.Columns(np.ascontiguousarray(self.keys[:, side])) for side in range(2)]
        self.message, self.hashed = oprf.asked(both[0], both[1], self.blocks, self.public)
        self.rows = oprf.received(oprf.Columns(self.keys[np.arange(512), bits]), self.choice, self.message)

    def evaluated(self, blocks: np.ndarray, places: np.ndarray) -> oprf.Hashed:
        return oprf.evaluated(self.rows, self.choice, blocks, places.astype(np.uint32), self.public)


def code(block: np.ndarray) -> bytes:
    return b"".join(terms.aes(bytes([i] * 16), block.tobytes()) for i in range(4))


@pytest.mark.parametrize("bins", [1, 63, 64, 65, 4095, 4096, 4097, 33_000])
def test_entries_of_bins_have_the_outputs_that_were_asked_for_and_others_have_not(bins: int) -> None:
    made, places = Made(bins), np.arange(bins)[:, None]
    same, others = made.evaluated(made.blocks, places), made.evaluated(words(2, bins, 2), places)
    assert np.array_equal(same.outputs[0], made.hashed.outputs)
    assert np.array_equal(same.elements[0], made.hashed.elements)
    assert not (others.outputs[0] == made.hashed.outputs).all(axis=1).any()
    assert not (others.elements[0] == made.hashed.elements).all(axis=1).any()
    if bins > 1:
        elsewhere = made.evaluated(made.blocks, (places + 1) % bins)
        assert not (elsewhere.outputs[0] == made.hashed.outputs).all(axis=1).any()


def test_what_is_sent_and_hashed_is_what_the_paper_says() -> None:
    """t and u of figure 1, column by column; q = t + (code and choice); hashes by hashlib."""
    made, bins = Made(100), 100
    streams = [
        np.stack([prf.words(Secret(key.tobytes()), 2) for key in made.keys[:, side]]).view(np.uint8)
        for side in range(2)
    ]
    t, other = (np.unpackbits(each, axis=1, bitorder="little")[:, :bins].T for each in streams)
    for i in range(bins):
        row = np.packbits(t[i], bitorder="little").tobytes()
        hidden = bytes(a ^ b for a, b in zip(row, np.packbits(other[i], bitorder="little").tobytes(), strict=True))
        sent = bytes(a ^ b for a, b in zip(hidden, code(made.blocks[i]), strict=True))
        assert made.message[i].tobytes() == sent
        chosen = bytes(a & b for a, b in zip(code(made.blocks[i]), made.choice.tobytes(), strict=True))
        assert made.rows[i].tobytes() == bytes(a ^ b for a, b in zip(row, chosen, strict=True))
        whole = hashlib.blake2s(row, key=bytes(range(32))).digest()
        assert made.hashed.outputs[i].tobytes() == whole[:11]
        assert made.hashed.elements[i].tobytes() == whole[16:]


@pytest.mark.parametrize("width", [1, 6, 7, 8, 9, 13, 15])
def test_outputs_of_every_width_are_the_first_bytes(width: int) -> None:
    made, wide = Made(40, width=width, elements=False), Made(40, width=15)
    assert np.array_equal(made.hashed.outputs, wide.hashed.outputs[:, :width])
    assert made.hashed.elements.shape == (0, 2)
    found = made.evaluated(made.blocks, np.arange(40)[:, None])
    assert np.array_equal(found.outputs[0], made.hashed.outputs) and found.elements.shape == (1, 0, 2)


def test_entries_have_several_bins() -> None:
    made, places = Made(500), np.random.default_rng(3).integers(0, 500, (77, 3))
    found = made.evaluated(made.blocks[:77], places)
    for number in range(3):
        one = made.evaluated(made.blocks[:77], places[:, number : number + 1])
        assert np.array_equal(found.outputs[number], one.outputs[0])
        assert np.array_equal(found.elements[number], one.elements[0])


def test_codes_are_far_apart() -> None:
    """Two codes of random bits differ in fewer than 128 places with a probability of 2^-102: less than 2^-74 for 3
    times 2^26 pairs, where 448 bits would leave 2^-38."""
    near = {bits: log2(sum(comb(bits, i) for i in range(oprf.LEAST))) - bits for bits in (448, oprf.COLUMNS)}
    assert near[oprf.COLUMNS] + log2(3 * 2**26) < -74
    assert near[448] + log2(3 * 2**26) > -40
    blocks = np.concatenate([words(5, 300, 2), np.array([[i, 0] for i in range(300)], np.uint64)])
    rows = np.unpackbits(np.frombuffer(b"".join(map(code, blocks)), np.uint8).reshape(600, 64), axis=1)
    apart = 512 - (rows @ rows.T.astype(np.int32) + (1 - rows) @ (1 - rows).T.astype(np.int32))
    apart = apart[~np.eye(600, dtype=bool)]
    assert (apart > 170).all() and (apart < 345).all()


def test_wrong_shapes_are_refused() -> None:
    made = Made(10)
    for wrong in (
        lambda: public(16),
        lambda: public(0),
        lambda: oprf.Columns(np.zeros((511, 16), np.uint8)),
        lambda: made.evaluated(made.blocks, np.full((10, 3), 10)),
        lambda: made.evaluated(made.blocks, np.zeros((9, 3))),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_all_back_ends_give_the_same_bytes() -> None:
    digests = set()
    for each in BACKENDS:
        aes.select(each)
        made = Made(9_001)
        found = made.evaluated(made.blocks[:5000], np.random.default_rng(4).integers(0, 9_001, (5000, 3)))
        said = (made.message, *made.hashed, made.rows, *found)
        digests.add(hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in said)).digest())
    assert len(digests) == 1
