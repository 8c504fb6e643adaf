"""Products in GF(2^128): every back end against the slow twin, and what holds in any field."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pytest

from pets.kernels import gf128
from pets.kernels.jit import seen
from tests.oracles import gf128 as twin

EVERY = pytest.mark.parametrize("backend", gf128.features())


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    gf128.select(gf128.PORTABLE)


def some(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)


EDGES = [0, 1, 2, 1 << 63, 1 << 64, 1 << 127, 2**128 - 1, 0x87, 0x87 << 120 & 2**128 - 1, int("5" * 32, 16)]


def test_portable_is_what_a_process_starts_with() -> None:
    code = "from pets.kernels import gf128; print(gf128.selected())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == (
        "portable\n"
    )


@EVERY
def test_self_test_passes_in_a_child_process(backend: str) -> None:
    code = f"from pets.kernels import gf128 as g; g.self_test({backend!r}); g.select({backend!r}); print(g.selected())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == backend


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda how, a, b: a, "reduces"),
        (lambda how, a, b: twin.rows([twin.MODULUS & 2**128 - 1] * len(a)), "another one"),
    ],
)
def test_self_test_notices_wrong_products(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., object], message: str
) -> None:
    monkeypatch.setattr(gf128, "_multiplied", wrong)
    with pytest.raises(RuntimeError, match=message):
        gf128.self_test(gf128.PORTABLE)


@EVERY
def test_products_are_those_of_the_slow_twin(backend: str) -> None:
    gf128.select(backend)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    for count in (0, 1, 2, 3, 4, 5, 7, 8, 9):
        a, b = some(count, count), some(count + 50, count)
        pairs += zip(twin.numbers(a), twin.numbers(b), strict=True)
        assert gf128.multiply(a, b).shape == (count, 2)
        assert twin.numbers(gf128.multiply(a, b)) == [twin.multiply(*p) for p in zip(*map(twin.numbers, (a, b)))]  # noqa: B905
    left, right = (twin.rows(list(side)) for side in zip(*pairs, strict=True))
    assert twin.numbers(gf128.multiply(left, right)) == [twin.multiply(a, b) for a, b in pairs]


@EVERY
def test_products_by_one_element(backend: str) -> None:
    gf128.select(backend)
    for count in (1, 2, 3, 6, 33):
        a, b = some(count, count), some(9, 1)
        assert np.array_equal(gf128.multiply(a, b), gf128.multiply(a, np.tile(b, (count, 1))))


@EVERY
def test_what_holds_in_any_field(backend: str) -> None:
    gf128.select(backend)
    a, b, c = (some(seed, 1000) for seed in range(3))
    one, zero = twin.rows([1]), twin.rows([0])
    assert np.array_equal(gf128.multiply(a, b), gf128.multiply(b, a))
    assert np.array_equal(gf128.multiply(gf128.multiply(a, b), c), gf128.multiply(a, gf128.multiply(b, c)))
    assert np.array_equal(gf128.multiply(a, b ^ c), gf128.multiply(a, b) ^ gf128.multiply(a, c))
    assert np.array_equal(gf128.multiply(a, one), a)
    assert not gf128.multiply(a, zero).any()
    square = gf128.multiply(a ^ b, a ^ b)
    assert np.array_equal(square, gf128.multiply(a, a) ^ gf128.multiply(b, b))
    assert np.array_equal(gf128.multiply(gf128.inverse(a), a), np.tile(one, (1000, 1)))
    assert not gf128.inverse(zero).any()


@EVERY
def test_all_back_ends_give_the_same_bytes(backend: str) -> None:
    a, b = some(1, 10_001), some(2, 10_001)
    expected = gf128.multiply(a, b)
    gf128.select(backend)
    assert np.array_equal(gf128.multiply(a, b), expected)


@EVERY
def test_a_back_end_is_made_of_its_instructions(backend: str) -> None:
    gf128.select(backend)
    kernel: Any = numba.njit(gf128._multiply_kernel.py_func)  # type: ignore[attr-defined]  # cached code has no text
    kernel(gf128.how(), seen(some(1, 5)), seen(some(2, 5)), 1, some(3, 5), np.zeros((3, 8), np.uint64))
    (text,) = kernel.inspect_asm().values()
    code = "".join(line for line in text.splitlines() if "pclmul" in line)
    assert ("pclmul" in code) == (backend != gf128.PORTABLE)
    assert ("zmm" in code) == (backend == gf128.CLMUL512)


def test_powers_sums_and_sums_of_products() -> None:
    a = some(4, 1)
    number = twin.numbers(a)[0]
    for count in (1, 2, 3, 7, 20):
        assert twin.numbers(gf128.powers(a, count)) == [twin.power(number, e) for e in range(count)]
    x, y = some(5, 21), some(6, 21)
    expected = 0
    for left, right in zip(twin.numbers(x), twin.numbers(y), strict=True):
        expected ^= twin.multiply(left, right)
    assert twin.numbers(gf128.dot(x, y)) == [expected]
    assert twin.numbers(gf128.dot(x[:0], y[:0])) == [0]


def test_nothing_is_written_beside_the_result() -> None:
    a, b, guarded = some(1, 5), some(2, 5), np.full((7, 2), 7, np.uint64)
    gf128._multiply_kernel(gf128.how(), seen(a), seen(b), 1, guarded[1:6], np.zeros((3, 8), np.uint64))
    assert (guarded[[0, 6]] == 7).all()
    assert np.array_equal(guarded[1:6], gf128.multiply(a, b))


def test_a_processor_without_the_instructions_gets_portable(monkeypatch: pytest.MonkeyPatch) -> None:
    host = dict.fromkeys(("sse2", "ssse3", "avx512f", "avx512vl", "avx512bw", "avx512dq"), True)
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: host)
    assert gf128.features() == (gf128.PORTABLE,)
    host["pclmul"] = True
    assert gf128.features() == (gf128.CLMUL, gf128.PORTABLE)
    host["vpclmulqdq"] = True
    assert gf128.features() == (gf128.CLMUL512, gf128.CLMUL, gf128.PORTABLE)
    monkeypatch.setattr("numba.config.CPU_NAME", "generic")
    assert gf128.features() == (gf128.PORTABLE,)
    with pytest.raises(ValueError, match="back end clmul on this processor"):
        gf128.select(gf128.CLMUL)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gf128.multiply(np.zeros((3, 3), np.uint64), some(1, 3)),
        lambda: gf128.multiply(np.zeros((3, 2), np.int64), some(1, 3)),  # type: ignore[arg-type]
        lambda: gf128.multiply(some(1, 3), some(1, 2)),
        lambda: gf128.dot(some(1, 3), some(1, 1)),
        lambda: gf128.powers(some(1, 1), 0),
        lambda: gf128.powers(some(1, 2), 3),
    ],
)
def test_wrong_shapes_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"elements|factors|products|power"):
        call()
