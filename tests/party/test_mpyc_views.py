"""What one party sees of a program that tells it nothing: the same for every data, and bytes of chance.

Party b brings zeros, receives no output, and keeps every frame that comes. Whoever holds what, number and sizes of
frames are equal, and the elements in them are not told from uniform ones.
"""

import itertools
import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache

import pytest
from scipy import stats

from pets.party.mpyc_local import _Steps
from pets.party.mpyc_process import Orders, ProgramProcess, Record
from pets.spec.mpyc_terms import Terms
from tests.party.programs import terms_of

ROWS = 150
WIDTH = 10
"""Bytes of an element: 32 bits, 43 more of a mask, two of the comparison."""

PROGRAM = """
from mpyc.runtime import mpc

async def main():
    a, b, c = mpc.inputs("x", mpc.SecInt())
    products = [x * y for x, y in zip(a, c)]
    less = [x < y for x, y in zip(a[:3], c[:3])]
    mpc.release("total", mpc.sum(products) + mpc.sum(less) + mpc.sum(b))
"""


class Watching(_Steps):
    """All parties in step, and what comes to the second of them."""

    def __init__(self, terms: Terms, processes: Sequence[ProgramProcess]) -> None:
        super().__init__(terms, processes)
        self.seen: list[tuple[int, bytes]] = []

    def _until_all_wait(self) -> list[tuple[int, Record]]:
        waiting = super()._until_all_wait()
        self.seen += [(sender, record.body) for sender, record in waiting if record.peer == 1]
        return waiting


@cache
def view(value: int) -> tuple[tuple[int, bytes], ...]:
    """What b sees where the others bring ``value``, over and over."""
    terms = terms_of(source=PROGRAM, outputs={"total": 1}, rows=ROWS, receivers=("c",))
    every = {subset: secrets.token_bytes(16) for subset in itertools.combinations(range(3), 2)}
    with ExitStack() as stack:
        processes = []
        for me in range(3):
            keys = {subset: key for subset, key in every.items() if me in subset}
            own = {"x": [0 if me == 1 else value] * ROWS}
            orders = Orders(me, terms, PROGRAM, keys, own, design=True)
            processes.append(stack.enter_context(ProgramProcess(orders, deadline_s=100)))
        watching = Watching(terms, processes)
        played = watching.played()
        products = ROWS * value * value
        assert played.outputs[terms.parties[2]] == {"total": (products,)} and not played.outputs[terms.parties[1]]
    return tuple(watching.seen)


def elements(seen: Sequence[tuple[int, bytes]]) -> list[int]:
    found = []
    for _, body in seen:
        assert body[:1] == b"\x02" and (len(body) - 1) % WIDTH == 0
        found += [int.from_bytes(body[at : at + WIDTH], "little") for at in range(1, len(body), WIDTH)]
    return found


def far_from_uniform(values: Sequence[int]) -> bool:
    counts = Counter(value & 0xFF for value in values)
    expected = len(values) / 256
    chi = sum((counts[byte] - expected) ** 2 / expected for byte in range(256))
    return bool(chi > stats.chi2.isf(1e-6, 255))


@pytest.mark.long
def test_number_order_and_sizes_of_frames_are_the_same_for_all_data() -> None:
    assert [(sender, len(body)) for sender, body in view(0)] == [(sender, len(body)) for sender, body in view(1000)]


@pytest.mark.long
@pytest.mark.parametrize("value", [0, 1000])
def test_elements_are_not_told_from_chance(value: int) -> None:
    found = elements(view(value))
    assert len(found) > 1_000 and not far_from_uniform(found)
    assert len(set(found)) > 0.99 * len(found), "shares repeat"


@pytest.mark.long
def test_two_runs_on_the_same_data_share_nothing() -> None:
    first = elements(view(1000))
    view.cache_clear()
    assert not set(first) & set(elements(view(1000)))


def test_a_value_in_the_clear_would_be_seen() -> None:
    """The test bites: of the frames that it looks at, a tenth in the clear is enough."""
    honest = [secrets.randbelow(2**77) for _ in range(2_000)]
    assert not far_from_uniform(honest) and far_from_uniform([*honest, *[1000] * 200])
