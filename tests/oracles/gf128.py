"""The slow twin of kernels/gf128.py: elements as whole numbers, bit i the coefficient of x^i."""

import numpy as np
import numpy.typing as npt

MODULUS = 1 << 128 | 0b10000111


def multiply(a: int, b: int) -> int:
    product = 0
    for bit in range(128):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(254, 127, -1):
        if product >> bit & 1:
            product ^= MODULUS << bit - 128
    return product


def power(a: int, exponent: int) -> int:
    out = 1
    for bit in f"{exponent:b}":
        out = multiply(out, out)
        if bit == "1":
            out = multiply(out, a)
    return out


def inverse(a: int) -> int:
    return power(a, 2**128 - 2)


def numbers(rows: npt.NDArray[np.uint64]) -> list[int]:
    return [low | high << 64 for low, high in rows.tolist()]


def rows(numbers: list[int]) -> npt.NDArray[np.uint64]:
    words = [[number & 2**64 - 1, number >> 64] for number in numbers]
    return np.array(words, np.uint64).reshape(-1, 2)
