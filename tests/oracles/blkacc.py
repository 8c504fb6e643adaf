"""The slow twin of kernels/blkacc.py: its matrix, product by product; and what becomes of it without factors.

A matrix is a (rows, columns, 2) array of elements. ``found_without_factors`` is Metzner's and Kapturowski's decoder of
interleaved codes (IEEE Trans. Inf. Theory 36, 1990): bits of outputs of a binary code are 128 syndromes of errors at
the same places, and places follow from them by linear algebra.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pets.kernels import gf128, permute, prf
from pets.secret import Secret
from tests.oracles.gf128 import numbers

U64 = npt.NDArray[np.uint64]
PI = "243f6a8885a308d313198a2e03707344"


def key(purpose: int, number: int, width: int) -> Secret[bytes]:
    block = (purpose * 256 + number).to_bytes(8, "little") + width.to_bytes(8, "little")
    return Secret(Cipher(algorithms.AES128(bytes.fromhex(PI)), modes.ECB()).encryptor().update(block))


def round_matrix(number: int, width: int) -> U64:
    """Row p: the factor of sum r at the columns 0 to r, where the permutation brings r to p."""
    factors = prf.words(key(0, number, width), 4 * width).reshape(2 * width, 2)
    matrix = np.zeros((2 * width, 2 * width, 2), np.uint64)
    for place, last in enumerate(permute.permutation(key(1, number, width), 2 * width).tolist()):
        matrix[place, : last + 1] = factors[last]
    return matrix


def block_matrix(width: int) -> U64:
    choices = prf.words(key(2, 0, width), width // 2).view(np.uint32).tolist()
    matrix = np.zeros((width, 2 * width, 2), np.uint64)
    for row, choice in enumerate(choices):
        matrix[row, row, 0] = 1
        for bit in range(32):
            matrix[row, width + row // 32 * 32 + bit, 0] = choice >> bit & 1
    return matrix


def product(a: U64, b: U64) -> U64:
    out = np.zeros((a.shape[0], b.shape[1], 2), np.uint64)
    for row, left in zip(out, a, strict=True):
        for element, others in zip(left, b, strict=True):
            row ^= gf128.multiply(others, element[None])
    return out


@cache
def matrix(width: int) -> U64:
    """The whole matrix: (width, 2 width, 2)."""
    return product(product(block_matrix(width), round_matrix(1, width)), round_matrix(0, width))


def encoded(matrix: U64, values: U64) -> U64:
    return product(matrix, values[:, None])[:, 0]


def relations(outputs: U64) -> list[list[int]]:
    """Sets of outputs whose sum is 0: one for each output whose bits are no news."""
    basis: dict[int, tuple[int, int]] = {}  # highest bit: (output, which outputs it is a sum of)
    found = []
    for row, value in enumerate(numbers(outputs)):
        which = 1 << row
        while value and (top := value.bit_length()) in basis:
            value, which = value ^ basis[top][0], which ^ basis[top][1]
        if value:
            basis[value.bit_length()] = value, which
        else:
            found.append([i for i in range(row + 1) if which >> i & 1])
    return found


def found_without_factors(outputs: U64, matrix: U64) -> set[int]:
    """Columns in the span of the bits of the outputs: if the matrix has only 0 and 1, these are the noises' places.

    Every sum of outputs that is 0 leaves columns of noises 0, too; few others stay 0.
    """
    left = np.ones(matrix.shape[1], bool)
    for rows in relations(outputs)[:100]:
        left &= ~np.bitwise_xor.reduce(matrix[rows], axis=0).any(axis=1)
    return set(np.flatnonzero(left).tolist())
