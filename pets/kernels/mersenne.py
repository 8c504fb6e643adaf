"""The field of 2^61 - 1 elements, an element a word, for shares of polynomials: sums, streams, interpolation.

Elements are words below p = 2^61 - 1. A product of two is taken in halves of 30 and 31 bits, so that all of it stays in
words, eight side by side; 2^61 is 1, so what is above bit 61 is added to what is below.

A uniform element is a word of a stream without its upper three bits, unless that is p: then it is the word 2^40 further
on, and 0 if that is p too. So it is uniform but for 2^-122, and each stands at its own place in the stream.

Source: Shamir, CACM 1979; Lagrange interpolation; a Mersenne prime as in Carter, Wegman, JCSS 1979.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.kernels import aes, prf
from pets.kernels.aes import STEP_WORDS, ctr_step
from pets.kernels.jit import U64Array, inlined, kernel
from pets.kernels.summing import BATCH, PIECE, TILE
from pets.secret import Secret

BITS: Final = 61
P: Final = (1 << BITS) - 1

TOGETHER: Final = 6
"""Streams that are added before anything is reduced: as many elements and a total just above p are below 2^64."""

AGAIN: Final = 1 << 40
"""How much further on in a stream the word is that stands for one that is p. No vector has so many words."""

_P: Final = np.uint64(P)
_SIGN: Final = np.uint64((1 << 60) - 1)
_TOP: Final = np.uint64(63)
_ONE: Final = np.uint64(1)
_BITS: Final = np.uint64(BITS)
_HALF: Final = np.uint64(31)
_LOW: Final = np.uint64((1 << 31) - 1)
_REST: Final = np.uint64(30)
_LOW30: Final = np.uint64((1 << 30) - 1)


# -- public numbers: points and weights -------------------------------------------------------------------------------


def checked_points(points: Sequence[int]) -> tuple[int, ...]:
    """The points, if none is 0 and no two are equal, modulo p. Raises ValueError.

    A share at 0 is the secret, and of two at one point one is missing.
    """
    modulo = [point % P for point in points]
    if 0 in modulo:
        raise ValueError("a point is 0 modulo p, where the secret lies")
    if len(set(modulo)) != len(modulo):
        raise ValueError("two points are equal modulo p")
    if any(not 0 < point < P for point in points):
        raise ValueError("a point is not below p")
    return tuple(points)


def weights(points: Sequence[int], at: int) -> tuple[int, ...]:
    """What a polynomial of degree below the number of points is at ``at``: the sum of its values times these.

    ``points``: distinct modulo p, 0 allowed. Raises ValueError if they are not.
    """
    if len({point % P for point in points}) != len(points):
        raise ValueError("two points are equal modulo p")
    found = []
    for own in points:
        above = below = 1
        for other in points:
            if other != own:
                above, below = above * (at - other) % P, below * (own - other) % P
        found.append(above * pow(below, -1, P) % P)
    return tuple(found)


# -- vectors ----------------------------------------------------------------------------------------------------------


def outside(values: U64Array) -> int | None:
    """The place of the first word that is no element, or None."""
    at = np.flatnonzero(values >= _P)
    return int(at[0]) if at.size else None


def of_signed(values: npt.NDArray[np.int64]) -> U64Array | None:
    """Numbers with a sign as elements, those below zero in the upper half; None if one is not below 2^60 in size.

    Shapes:  (n,) int64; (n,) uint64.
    """
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError("numbers with a sign are a (n,) array of int64")
    out: U64Array = np.empty(values.size, np.uint64)
    return out if _of_signed(np.ascontiguousarray(values).view(np.uint64), out) else None


def elements(key: Secret[bytes], count: int) -> U64Array:
    """The first ``count`` elements of the stream of a key: (count,) uint64, uniform below p."""
    if aes.selected() == aes.PORTABLE:
        out: U64Array = np.zeros(count, np.uint64)
        add_streams([key], out)
        return out
    out = np.empty(count, np.uint64)
    if _draw(_round_keys(key), out, np.empty(STEP_WORDS, np.uint64)):
        _replace(key, out)
    return out


def add_streams(keys: Iterable[Secret[bytes]], total: U64Array) -> None:
    """Add the elements of the stream of each key to ``total`` in place.

    Shapes:  total (n,) uint64 below p, contiguous, writable; any number of keys of 16 bytes.
    Units:   memory beside ``total`` does not grow with the number of keys.
    """
    _vector(total)
    if not total.flags.writeable:
        raise ValueError("a total is writable")
    if aes.selected() == aes.PORTABLE:
        for key in keys:
            for start in range(0, total.size, 1 << 15):
                part = total[start : start + (1 << 15)]
                _add_words(prf.words(key, part.size, first=start), part)
            _replace(key, total)
        return
    waiting, pieces = iter(keys), np.zeros((TOGETHER, PIECE), np.uint64)
    while batch := list(islice(waiting, BATCH)):
        flagged = np.zeros(-(-len(batch) // TOGETHER), np.bool_)
        _streams_kernel(np.stack([_round_keys(key) for key in batch]), total, pieces, flagged)
        for group in np.flatnonzero(flagged).tolist():
            for key in batch[group * TOGETHER : (group + 1) * TOGETHER]:
                _replace(key, total)


def add(total: U64Array, values: U64Array) -> None:
    """Add elements to ``total`` in place. Shapes: both (n,) uint64 below p."""
    _vector(total, values)
    _add_words(values, total)


def add_checked(total: U64Array, values: U64Array) -> int | None:
    """Add words to ``total`` in place if all of them are elements; else the place of the first that is none.

    Shapes:  both (n,) uint64, total below p. ``total`` is as before if there is such a word.
    """
    _vector(total, values)
    if _add_checked(values, total):
        return None
    _undo_words(values, total)
    return outside(values)


def sub(total: U64Array, values: U64Array) -> None:
    """Take elements off ``total`` in place. Shapes: both (n,) uint64 below p."""
    _vector(total, values)
    _sub_words(values, total)


def interpolated(factors: Sequence[int], vectors: Sequence[U64Array]) -> U64Array:
    """The sum of the vectors, each times its factor: a polynomial at another point, by its ``weights``.

    Shapes:  each (n,) uint64 below p; (n,) uint64.
    """
    if len(factors) != len(vectors) or not vectors:
        raise ValueError("as many factors as vectors, and one at least")
    _vector(*vectors)
    parts = [(np.uint64(factor % P), vector) for factor, vector in zip(factors, vectors, strict=True)]
    out, begin = np.empty(vectors[0].size, np.uint64), True
    if len(parts) % 2:
        _multiply(*parts.pop(), out)
        begin = False
    for at in range(0, len(parts), 2):
        _add_products(*parts[at], *parts[at + 1], out, begin)
        begin = False
    return out


def warm_up() -> None:
    """Compile all kernels, for the back end that is selected, as runs call them: what came in is read-only."""
    total = elements(Secret(bytes(aes.KEY_BYTES)), 1)
    add_streams([Secret(bytes(aes.KEY_BYTES))], total)
    of_signed(np.zeros(1, np.int64))
    received = total.copy()
    received.flags.writeable = False
    for values in (total.copy(), received):
        interpolated([2], [values])
        for other in (total, received):
            interpolated([2, 3], [values, other])
        add(total, values)
        sub(total, values)
        add_checked(total, values)
    add_checked(total, np.full(1, _P, np.uint64))
    received = np.full(1, _P, np.uint64)
    received.flags.writeable = False
    add_checked(total, received)


def _vector(*vectors: U64Array) -> None:
    for each in vectors:
        if each.dtype != np.uint64 or each.ndim != 1 or not each.flags.c_contiguous or each.size != vectors[0].size:
            raise ValueError("elements are a contiguous (n,) array of uint64, all of one length")


def _round_keys(key: Secret[bytes]) -> U64Array:
    expanded = aes.expanded(key)
    if expanded is None:
        raise ValueError("the back end was changed while streams were added")
    return expanded


def _replace(key: Secret[bytes], total: U64Array) -> None:
    """Add what stands for words of a stream that are p, which so far count as 0. Almost never is there one."""
    for start in range(0, total.size, 1 << 15):
        drawn = prf.words(key, min(1 << 15, total.size - start), first=start)
        for at in np.flatnonzero((drawn & _P) == _P):
            place = start + int(at)
            again = int(prf.words(key, 1, first=AGAIN + place)[0]) & P
            total[place] = (int(total[place]) + again) % P


# -- kernels ----------------------------------------------------------------------------------------------------------


@inlined
def _folded(word: np.uint64) -> np.uint64:
    """A word below 2^64 as one below 2^61 + 8 that is the same modulo p."""
    return (word & _P) + (word >> _BITS)


@inlined
def _reduced(word: np.uint64) -> np.uint64:
    """The element that a word is modulo p, without a branch."""
    folded = _folded(word)
    return folded - _P * np.uint64(folded >= _P)


@inlined
def _product(a: np.uint64, b: np.uint64) -> np.uint64:
    """Two elements multiplied: not reduced, below 2^63."""
    a_high, a_low, b_high, b_low = a >> _HALF & _LOW, a & _LOW, b >> _HALF & _LOW, b & _LOW  # 32 bits, for compilers
    middle = a_high * b_low + a_low * b_high  # below 2^62: its 2^31 moves what is above bit 30 to the front
    high = a_high * b_high  # below 2^60, times 2^62, which is 2
    return (high << np.uint64(1)) + (middle >> _REST) + _folded(((middle & _LOW30) << _HALF) + a_low * b_low)


@kernel
def _draw(key: U64Array, out: U64Array, piece: U64Array) -> bool:
    """Fill ``out`` with the stream of a key, 0 where a word is p. Returns whether there is such a word."""
    found, whole = np.uint64(0), out.size - out.size % STEP_WORDS
    for start in range(0, whole, PIECE):
        stop = min(start + PIECE, whole)
        for at in range(start, stop, STEP_WORDS):
            ctr_step(key, out, 8 * at, np.uint64(at // 2))
        for i in range(start, stop):
            drawn = out[i] & _P
            found |= drawn + _ONE
            out[i] = drawn - _P * np.uint64(drawn == _P)
    if whole < out.size:
        ctr_step(key, piece, 0, np.uint64(whole // 2))
        for i in range(whole, out.size):
            drawn = piece[i - whole] & _P
            found |= drawn + _ONE
            out[i] = drawn - _P * np.uint64(drawn == _P)
    some: bool = found >> _BITS != np.uint64(0)
    return some


@kernel
def _streams_kernel(keys: U64Array, total: U64Array, pieces: U64Array, flagged: npt.NDArray[np.bool_]) -> None:
    """Add streams, ``TOGETHER`` of them to a word before it is folded. One that is p shows in bit 61 of it plus one."""
    for start in range(0, total.size, TILE):
        stop = min(start + TILE, total.size)
        for group in range(flagged.size):
            first = group * TOGETHER
            own, found = min(TOGETHER, keys.shape[0] - first), np.uint64(0)
            for number in range(own, TOGETHER):
                pieces[number] = np.uint64(0)
            for at in range(start, stop, PIECE):
                size = min(PIECE, stop - at)
                for number in range(own):
                    key, piece = keys[first + number], pieces[number]
                    for step in range(0, size, STEP_WORDS):
                        ctr_step(key, piece, 8 * step, np.uint64((at + step) // 2))
                for i in range(size):
                    a, b, c = pieces[0, i] & _P, pieces[1, i] & _P, pieces[2, i] & _P
                    d, e, f = pieces[3, i] & _P, pieces[4, i] & _P, pieces[5, i] & _P
                    found |= (a + _ONE) | (b + _ONE) | (c + _ONE) | (d + _ONE) | (e + _ONE) | (f + _ONE)
                    total[at + i] = _folded(total[at + i] + ((a + b) + (c + d)) + (e + f))
            if found >> _BITS != np.uint64(0):
                flagged[group] = True
        for i in range(start, stop):
            total[i] = _reduced(total[i])


@kernel
def _of_signed(values: U64Array, out: U64Array) -> bool:
    """From two's complement. A number is below 2^60 in size if 2^60 more, less one, is below 2^61 - 1."""
    wrong = np.uint64(0)
    for i in range(out.size):
        wrong |= np.uint64(values[i] + _SIGN >= _P)
        out[i] = values[i] + _P * (values[i] >> _TOP)
    fine: bool = wrong == np.uint64(0)
    return fine


@kernel
def _add_words(drawn: U64Array, total: U64Array) -> None:
    for i in range(total.size):
        total[i] = _reduced(total[i] + (drawn[i] & _P))


@kernel
def _sub_words(values: U64Array, total: U64Array) -> None:
    for i in range(total.size):
        total[i] = _reduced(total[i] + (_P - values[i]))


@kernel
def _add_checked(values: U64Array, total: U64Array) -> bool:
    """Add words, whatever they are. Returns whether all are elements."""
    wrong = np.uint64(0)
    for i in range(total.size):
        wrong |= np.uint64(values[i] >= _P)
        total[i] = _reduced(total[i] + _reduced(values[i]))
    fine: bool = wrong == np.uint64(0)
    return fine


@kernel
def _undo_words(values: U64Array, total: U64Array) -> None:
    """Take off what ``_add_checked`` has added."""
    for i in range(total.size):
        total[i] = _reduced(total[i] + (_P - _reduced(values[i])))


@kernel
def _multiply(factor: np.uint64, values: U64Array, out: U64Array) -> None:
    for i in range(out.size):
        out[i] = _reduced(_product(factor, values[i]))


@kernel
def _add_products(
    one: np.uint64, first: U64Array, two: np.uint64, second: U64Array, total: U64Array, begin: bool
) -> None:
    """Two factors times their vectors, added up before they are reduced: to ``total``, or in its place at the start."""
    if begin:
        for i in range(total.size):
            total[i] = _reduced(_product(one, first[i]) + _product(two, second[i]))
    else:
        for i in range(total.size):
            total[i] = _reduced(_folded(_product(one, first[i]) + _product(two, second[i])) + total[i])
