"""The XOF against the slow twin; elements that are not below the modulus are left out, wherever they come."""

import numpy as np
import pytest

from pets.kernels import xof
from pets.kernels.jit import U8Array
from pets.kernels.prime import FIELD64, FIELD128, Prime
from tests.oracles import prio3 as twin

RANDOM = np.random.default_rng(11)
BOTH = pytest.mark.parametrize("field", [FIELD64, FIELD128], ids=lambda field: field.name)


def rows(count: int, width: int) -> U8Array:
    return RANDOM.integers(0, 256, (count, width), dtype=np.uint8)


@BOTH
@pytest.mark.parametrize("count", [0, 1, 20, 64])
def test_elements_are_those_of_the_twin(field: Prime, count: int) -> None:
    seeds, contexts, binders = rows(9, 32), rows(9, 21), rows(9, 17)
    got = xof.expand(field, seeds, xof.tags(3, 5, contexts), binders, count)
    assert got.shape == ((9, count) if field.words == 1 else (9, count, 2))
    for i in range(9):
        stream = twin.xof(seeds[i].tobytes(), 3, 5, contexts[i].tobytes(), binders[i].tobytes())
        assert field.integers(got[i]) == twin.elements(stream, field.modulus, count)


def test_seeds_are_those_of_the_twin() -> None:
    seeds, contexts, binders, bodies = rows(5, 32), rows(5, 8), rows(5, 1), rows(5, 400)
    got = xof.derive(seeds, xof.tags(1, 7, contexts), binders, bodies)
    for i in range(5):
        binder = binders[i].tobytes() + bodies[i].tobytes()
        assert got[i].tobytes() == twin.taken(twin.xof(seeds[i].tobytes(), 1, 7, contexts[i].tobytes(), binder), 32)


def test_every_part_of_a_message_counts() -> None:
    """No two of seed, usage, algorithm, context and binder can stand for each other."""
    seed, context, binder = bytes(32), b"context", b"binder"
    outputs = [
        xof.derive(row(s), xof.tags(a, u, row(c)), row(b)).tobytes()
        for s, a, u, c, b in (
            (seed, 1, 1, context, binder),
            (b"\1" + seed[1:], 1, 1, context, binder),
            (seed, 2, 1, context, binder),
            (seed, 1, 2, context, binder),
            (seed, 1, 1, context + b"b", b"inder"),
            (seed, 1, 1, b"contex", b"t" + binder),
            (seed, 1, 1, context, binder + b"\0"),
        )
    ]
    assert len(set(outputs)) == len(outputs)


def row(data: bytes) -> U8Array:
    return np.frombuffer(data, np.uint8)[None]


@BOTH
@pytest.mark.parametrize("dropped", [[], [0], [3], [0, 1, 2], [2, 5, 6], [9, 10, 11, 12]])
def test_numbers_not_below_the_modulus_are_dropped(field: Prime, dropped: list[int]) -> None:
    """Streams that say p and more at these places, which no seed will be found to do in Field128."""
    p = field.modulus
    above = [p, p + 1, 2 ** (8 * field.bytes) - 1, (p >> 64) + 1 << 64 if field.words > 1 else p]
    kept = [0, p - 1, 1, p - 2, 5, p // 2, (p >> 64) << 64 if field.words > 1 else p - 2**32, 7, 8, 9]
    numbers, rest = [], list(kept)
    for place in range(len(kept) + len(dropped)):
        numbers.append(above[place % 4] if place in dropped else rest.pop(0))
    data = b"".join(n.to_bytes(field.bytes, "little") for n in [*numbers, *[p] * 50])

    def stream(size: int) -> U8Array:
        return np.frombuffer(data[:size], np.uint8)

    assert field.integers(xof.accepted(field, stream, len(kept))) == kept
    assert field.integers(xof.accepted(field, stream, 4)) == kept[:4]


def test_a_row_that_is_told_is_made_again_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a modulus of our own, far below 2^64, most rows are told: the twin drops the same numbers."""
    small = Prime("small", 2**63 - 2**40 + 1, 1, 40, 1)
    monkeypatch.setitem(twin.SIZES, small.modulus, 8)
    seeds, contexts, binders = rows(9, 32), rows(9, 3), rows(9, 2)
    got = xof.expand(small, seeds, xof.tags(1, 1, contexts), binders, 40)
    for i in range(9):
        stream = twin.xof(seeds[i].tobytes(), 1, 1, contexts[i].tobytes(), binders[i].tobytes())
        assert small.integers(got[i]) == twin.elements(stream, small.modulus, 40)


def test_wrong_shapes_are_refused() -> None:
    tags, binders = xof.tags(1, 1, rows(2, 3)), rows(2, 1)
    for seeds in (rows(2, 31), rows(3, 32), rows(2, 32).astype(np.uint16)):
        with pytest.raises(ValueError, match="seed"):
            xof.derive(seeds, tags, binders)
