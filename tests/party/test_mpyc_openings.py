"""What protocols of MPyC open on their way tells nothing of the numbers that it is made of.

Three parties in step, and every frame between them is kept. A number is opened where a sender tells each peer the same:
of a sharing of degree t each tells one peer, of degree 2 t both. So what is opened can be put together again, as every
party does, with the polynomial that its shares lie on.
"""

import itertools
import secrets
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from pets.party.mpyc_import import finfields
from pets.party.mpyc_local import _Steps
from pets.party.mpyc_process import Orders, ProgramProcess, Record, Subset
from pets.spec.mpyc_terms import Terms
from tests.party.programs import terms_of

MASKED = 43
"""Bits that a mask of three parties is wider than what it covers, before one part of it is known."""

X = 5


class Listening(_Steps):
    """All parties in step, and every frame: by counter, sender and receiver."""

    def __init__(self, terms: Terms, processes: Sequence[ProgramProcess]) -> None:
        super().__init__(terms, processes)
        self.heard: dict[int, dict[tuple[int, int], bytes]] = {}

    def _until_all_wait(self) -> list[tuple[int, Record]]:
        waiting = super()._until_all_wait()
        for sender, record in waiting:
            self.heard.setdefault(record.number, {})[sender, record.peer] = record.body
        return waiting


def heard(body: str, bits: int, fraction: int = 0) -> tuple[int, dict[int, dict[tuple[int, int], list[int]]]]:
    """The order of the field of numbers of ``bits`` bits, and all elements of it that are sent where each party brings
    X; ``body`` makes ``y``, of ``x``."""
    kind = f"mpc.SecFxp({bits}, {fraction})" if fraction else f"mpc.SecInt({bits})"
    source = f"""
from mpyc.runtime import mpc

async def main():
    kind = {kind}
    (x,), (other,), (third,) = mpc.inputs("x", kind)
    {body}
    mpc.release("total", mpc.convert(y, mpc.SecInt()) if {bool(fraction)} else y)
"""
    terms = terms_of(source=source, outputs={"total": 1}, receivers=("c",))
    every: dict[Subset, bytes] = {subset: secrets.token_bytes(16) for subset in itertools.combinations(range(3), 2)}
    with ExitStack() as stack:
        processes = []
        for me in range(3):
            keys = {subset: key for subset, key in every.items() if me in subset}
            orders = Orders(me, terms, source, keys, {"x": [X]}, design=True)
            processes.append(stack.enter_context(ProgramProcess(orders, deadline_s=25)))
        listening = Listening(terms, processes)
        listening.played()
    order = int(finfields.find_prime_root(bits + fraction + MASKED + 2)[0])
    width = ((order - 1).bit_length() + 7) // 8
    found = {
        counter: {
            way: [int.from_bytes(body[at : at + width], "little") for at in range(1, len(body), width)]
            for way, body in bodies.items()
        }
        for counter, bodies in listening.heard.items()
        if all((len(body) - 1) % width == 0 for body in bodies.values())
    }
    return order, found


def opened(order: int, frames: dict[int, dict[tuple[int, int], list[int]]]) -> list[int]:
    """Every number that is opened of a sharing of degree 1: each party tells the next its share."""
    found = []
    for sent in frames.values():
        if set(sent) == {(0, 1), (1, 2), (2, 0)}:
            found += [(2 * one - two) % order for one, two in zip(sent[0, 1], sent[1, 2], strict=True)]
    return found


def polynomials(order: int, frames: dict[int, dict[tuple[int, int], list[int]]]) -> list[tuple[int, int, int]]:
    """Of every number that is opened of a sharing of degree 2: the polynomial, lowest coefficient first."""
    found = []
    half = pow(2, -1, order)
    for sent in frames.values():
        if len(sent) == 6 and all(sent[p, (p + 1) % 3] == sent[p, (p + 2) % 3] for p in range(3)):
            for one, two, three in zip(sent[0, 1], sent[1, 2], sent[2, 0], strict=True):
                c = (one - 2 * two + three) * half % order
                b = (two - one - 3 * c) % order
                found.append(((one - b - c) % order, b, c))
    return found


def square(value: int, order: int) -> bool:
    return pow(value, (order - 1) // 2, order) in (0, 1)


MANY = 40


def test_a_product_is_opened_on_a_polynomial_that_is_not_that_of_its_factors() -> None:
    """A product of two sharings has the roots of both, and with its own share a party has the number."""
    order, frames = heard(f"y = mpc.sum([1 / x for i in range({MANY})])", 32)
    found = polynomials(order, frames)
    assert len(found) == MANY
    assert not all(square(b * b - 4 * a * c, order) for a, b, c in found)


BIG = "other * 2.0**60 * 0.7"
PRODUCT = int(X * 0.3 * 2**64) * int(X * 0.7 * 2**124)

WIDE: dict[str, tuple[str, int, int, int]] = {
    "a scaled vector": (f"y = mpc.scalar_mul(x * 0.3, [{BIG}])[0] * 2.0**-60", 128, 64, PRODUCT),
    "products of two vectors": (f"y = mpc.schur_prod([x * 0.3], [{BIG}])[0] * 2.0**-60", 128, 64, PRODUCT),
    "a product of a list": (f"y = mpc.prod([x * 0.3, {BIG}]) * 2.0**-60", 128, 64, PRODUCT),
    "a product of matrices": (f"y = mpc.matrix_prod([[x * 0.3]], [[{BIG}]])[0][0] * 2.0**-60", 128, 64, PRODUCT),
    "a narrower type": ("y = mpc.convert(x * 2**100, mpc.SecInt())", 128, 0, X << 100),
    "a remainder": ("y = (x * 2**100) % 3 + mpc.mod(x * 2**100, 3)", 128, 0, 2**128 + (X << 100)),
}
"""What makes ``y``, of numbers of how many bits, places after the point, and what would be seen of it."""


@pytest.mark.parametrize("what", WIDE)
def test_a_mask_covers_all_of_a_number(what: str) -> None:
    body, bits, fraction, number = WIDE[what]
    found = opened(*heard(body, bits, fraction))
    assert found and all(abs(each - number) > number >> 10 for each in found)
