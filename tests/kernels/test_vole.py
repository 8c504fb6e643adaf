"""c = a delta + b, both parties' local parts together; and with tables, what makes an intersection of it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from pets.kernels import aes, binned, gf128, ggm, vole
from pets.kernels.blkacc import Code
from pets.kernels.prf import Stream
from pets.secret import Secret
from tests.kernels.test_ggm import KEYS, asked_for, some
from tests.oracles.noises import algebraic_bits, places_free_at_most, sum_that_leaves_out
from tests.oracles.play import words


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    aes.select(aes.PORTABLE)
    gf128.select(gf128.PORTABLE)


@dataclass
class Made:
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    delta: np.ndarray


def products(values: np.ndarray, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of products: pads as transfers would give them."""
    pads = some(77, 2 * vole.BITS * len(values)).reshape(2, vole.BITS, len(values), 2)
    message, c = vole.offer(values, pads[0], pads[1])
    bits = np.unpackbits(delta.view(np.uint8), bitorder="little").astype(np.intp)
    return vole.take(delta, pads[bits, np.arange(vole.BITS)], message), c


def made(outputs: int) -> Made:
    shape = vole.Shape(outputs)
    code, rng = Code(shape.width), np.random.default_rng(outputs)
    delta, values, holes = some(1, 1), some(2, vole.NOISES), rng.integers(0, shape.leaves, vole.NOISES)
    shares_b, shares_c = products(values, delta)
    b, sums, total = vole.send(shape, code, some(3, vole.NOISES), KEYS)
    asked = asked_for(sums, holes, shape.leaves)
    c = vole.receive(shape, code, holes, shares_c, asked, total ^ shares_b, KEYS)
    return Made(vole.noise(shape, code, holes, values), b, c, delta)


@pytest.mark.parametrize("values", [1, 5, vole.NOISES])
def test_products_are_shared(values: int) -> None:
    for delta in (some(9, 1), np.array([[1, 0]], np.uint64), np.array([[0, 1 << 63]], np.uint64)):
        b, c = products(some(4, values), delta)
        assert np.array_equal(c, gf128.multiply(some(4, values), delta) ^ b)
        assert b.any(axis=1).all()


@pytest.mark.parametrize("outputs", [1, 2, 511, 512, 513, *(binned.Size(n).slots for n in (1, 2, 1000, 2**14 + 1))])
def test_c_is_a_delta_plus_b(outputs: int) -> None:
    x = made(outputs)
    assert x.a.shape == x.b.shape == x.c.shape == (outputs, 2)
    assert np.array_equal(x.c, gf128.multiply(x.a, x.delta) ^ x.b)
    assert x.a.any(axis=1).all()
    assert len({row.tobytes() for vector in (x.a, x.b, x.c) for row in vector}) == 3 * outputs


@pytest.mark.parametrize(
    "keys", [2**16, pytest.param(2**20, marks=pytest.mark.long), pytest.param(2**24, marks=pytest.mark.long)]
)
def test_c_is_a_delta_plus_b_at_every_size_of_the_design(keys: int) -> None:
    aes.select(aes.features()[0])
    gf128.select(gf128.features()[0])
    x = made(binned.Size(keys).slots)
    assert np.array_equal(x.c ^ x.b, gf128.multiply(x.a, x.delta))
    assert x.a.any(axis=1).all() and x.b.any(axis=1).all()


def test_all_back_ends_give_the_same_vectors() -> None:
    expected = made(3000)
    for cipher, field in zip(aes.features(), gf128.features(), strict=False):
        aes.select(cipher)
        gf128.select(field)
        found = made(3000)
        assert all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in "abc")


def test_noise_is_one_in_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, seen = vole.Shape(20_000), []
    monkeypatch.setattr(Code, "encode", lambda self, values: seen.append(values.copy()) or values[: self.width])
    holes = np.random.default_rng(1).integers(0, shape.leaves, vole.NOISES)
    vole.noise(shape, Code(shape.width), holes, some(2, vole.NOISES))
    places = np.flatnonzero(seen[0].any(axis=1))
    assert np.array_equal(places // shape.leaves, np.arange(vole.NOISES))
    assert np.array_equal(places % shape.leaves, holes)


@pytest.mark.parametrize("outputs", [1, 600, 700, 20_000])
def test_holes_are_drawn_evenly(outputs: int) -> None:
    shape, draws = vole.Shape(outputs), 4000
    stream = Stream(Secret(b"holes for a test"))
    holes = np.stack([vole.draw_holes(shape, stream) for _ in range(draws)])
    assert holes.shape == (draws, vole.NOISES)
    assert holes.dtype == np.int64
    expected = holes.size / shape.leaves
    hits = np.bincount(holes.ravel(), minlength=shape.leaves)
    assert hits.size == shape.leaves
    degrees = shape.leaves - 1
    assert abs(float(((hits - expected) ** 2).sum() / expected) - degrees) < 6 * math.sqrt(2 * degrees)
    first_and_second = np.corrcoef(holes[:, 0], holes[:, 1])[0, 1]
    assert abs(first_and_second) < 6 / math.sqrt(draws)


def intersection(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Which keys of ``mine`` are in ``theirs``, by the messages of protocols.md 5.3 without hashes and wires."""
    size = binned.Size(len(mine))
    x, seed = made(size.slots), Secret(b"a seed both know")
    own, other = (gf128.multiply(keys, keys) for keys in (mine, theirs))  # stands for H_B: an element that a key says
    table = binned.write(binned.hashed(mine, seed), own, size, Stream(Secret(bytes(16))))
    sent = table ^ x.a
    key = x.b ^ gf128.multiply(sent, x.delta)
    at_sender = binned.read(key, binned.hashed(theirs, seed), size) ^ gf128.multiply(other, x.delta)
    at_receiver = binned.read(x.c, binned.hashed(mine, seed), size)
    known = {row.tobytes() for row in at_sender}
    return np.array([row.tobytes() in known for row in at_receiver])


@pytest.mark.parametrize(("mine", "theirs", "common"), [(1, 1, 1), (1, 1, 0), (300, 40, 17), (40, 900, 40)])
def test_reading_two_tables_finds_what_both_have(mine: int, theirs: int, common: int) -> None:
    keys = some(mine + theirs, mine + theirs - common)
    found = intersection(keys[:mine], keys[mine - common :])
    assert np.array_equal(np.flatnonzero(found), np.arange(mine - common, mine))


@pytest.mark.long
def test_a_million_keys() -> None:
    aes.select(aes.features()[0])
    gf128.select(gf128.features()[0])
    keys = some(1, 2**20 + 1000)
    found = intersection(keys[: 2**20], keys[2**20 - 5000 :])
    assert np.array_equal(np.flatnonzero(found), np.arange(2**20 - 5000, 2**20))


def test_noises_are_enough_for_what_is_known() -> None:
    """A sum of outputs tells noise from chance if it leaves out all noises: one place in each of 256 blocks."""
    free = places_free_at_most()
    assert 0.595 < free < 0.605
    assert vole.NOISES * -math.log2(free) > 185
    assert vole.NOISES * -math.log2(1 - 0.3) > 131, "and should sums be found that leave out as much as 0.7"
    assert 128 * -math.log2(free) < 95, "which is why there are not 128"
    for block in (4, 8, vole.Shape(20_000).leaves, vole.Shape(1_352_944).leaves):
        assert algebraic_bits(vole.NOISES, block) > 270


@pytest.mark.parametrize("width", [128, pytest.param(512, marks=pytest.mark.long)])
def test_sums_that_leave_out_so_much_are_there(width: int) -> None:
    """The number of noises rests on no guess: such a sum is made, and leaves out what it should, and no more."""
    expected, found = sum_that_leaves_out(width, 0.8)
    assert found == expected
    assert 0.55 < found < 0.65


def test_shapes_follow_from_the_number_of_outputs() -> None:
    for outputs in (1, 511, 512, 513, 10**6, binned.Size(2**20).slots):
        shape = vole.Shape(outputs)
        assert shape.width >= outputs
        assert outputs < 512 or shape.width - outputs < 128
        assert 2 * shape.width == vole.NOISES * shape.leaves
        assert shape.transfers == vole.NOISES * ggm.depth_of(shape.leaves)


@pytest.mark.parametrize(
    "call",
    [
        lambda: vole.Shape(0),
        lambda: vole.noise(vole.Shape(600), Code(512), np.zeros(256, np.int64), some(1, 256)),
        lambda: vole.noise(vole.Shape(512), Code(512), np.full(256, 4), some(1, 256)),
        lambda: vole.noise(vole.Shape(512), Code(512), np.zeros(255, np.int64), some(1, 256)),
        lambda: vole.noise(vole.Shape(512), Code(512), np.zeros(256, np.int64), some(1, 255)),
        lambda: vole.offer(some(1, 2), np.zeros((128, 3, 2), np.uint64), np.zeros((128, 3, 2), np.uint64)),
        lambda: vole.take(some(1, 2), np.zeros((128, 3, 2), np.uint64), np.zeros((128, 3, 2), np.uint64)),
    ],
)
def test_wrong_shapes_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"output|width|block|noise|bit of delta"):
        call()


def test_rows_over_powers_of_x_come_from_what_was_taken() -> None:
    """A value that is times x^i in row i is the same in all rows then."""
    value, powers = words(7, 3, 2), gf128.powers(np.array([[2, 0]], np.uint64), 128)
    rows = np.stack([gf128.multiply(value, powers[i : i + 1]) for i in range(128)])
    assert all(np.array_equal(row, value) for row in vole.scaled(rows))
