"""Vectors whose bounds are proved (card ``checked_sum``): which kind of vector it is, and the public numbers of it.

The sizes are those of Prio3's circuits (draft-irtf-cfrg-vdaf-20, 7.4): the kernels compute them too, and
tests/spec/test_proofs.py holds both to be equal.
"""

from typing import Final

MAX_ELEMENTS: Final = 1 << 24
"""Of one vector as it is encoded, a bit each: 256 MiB."""

WORD_BITS: Final = 64


def public(*, holders: int, computing: int, length: int, greatest: int, one_cell: bool = False) -> dict[str, int]:
    """The public numbers of ``checked_sum`` for vectors of ``length`` numbers from 0 to ``greatest``.

    ``one_cell``: each vector is a one in one cell and zeros in all others; ``greatest`` is 1 then. Numbers from a least
    to a greatest value are handed in less the least: ``greatest`` is the difference, the widest of all numbers.
    Raises: ValueError if a vector has more bits than ``MAX_ELEMENTS``, or a number has more than a word.
    """
    if length < 1 or not 1 <= greatest < 1 << WORD_BITS or (one_cell and greatest != 1):
        raise ValueError("a vector has a number at least, and each of them some room and no more than a word")
    elements = length * greatest.bit_length()
    if elements > MAX_ELEMENTS:
        raise ValueError(f"a vector has at most {MAX_ELEMENTS} bits")
    single = length == 1 and greatest == 1 and not one_cell
    chunk = 1 if single else best_chunk(elements)
    return {
        "h": holders,
        "m": computing,
        "l": length,
        "u": greatest,
        "x": int(one_cell),
        "c": chunk,
        "p": 1 << (-(-elements // chunk)).bit_length(),
        "w": 1 if single else 2,
        "j": 0 if single else 32,
    }


def best_chunk(elements: int) -> int:
    """The chunk that makes the proof of so many elements shortest; the larger one of two that do."""
    choices = []
    for bits in range(1, elements.bit_length() + 1):
        chunk = -(-elements // ((1 << bits) - 1))
        choices.append((2 * chunk + 2 * (1 << bits) - 1, -chunk))
    return -min(choices)[1]


def room(*, w: int) -> int:
    """A sum with all noise has to be less than this in size: half of the prime of elements of ``w`` words."""
    return ((1 << 64) - (1 << 32) + 1) // 2 if w == 1 else ((1 << 128) - 7 * (1 << 66) + 1) // 2
