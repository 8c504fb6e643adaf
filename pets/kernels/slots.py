"""Numbers in the slots of homomorphic ciphertexts: how they lie there, what hides their sums, how large all may become.

The scheme is BFV with the parameters below and no others; `pets/kernels/he.py` computes with it. A ciphertext is two
polynomials of ``RING`` coefficients modulo the product of ``PRIMES``, here a row of ``CIPHER`` words: polynomial by
polynomial, prime by prime. It holds ``RING`` numbers modulo one of ``PLAIN``, and slot 0 of each holds a number that
nobody brings: 1 in values, taken by every mask, and taken off before a sum is sent. So no mask is empty, all sums take
the same work, and who opens a sum finds 0 there unless something went wrong on the way.

Who holds the key sees the noise of what it decrypts, and the noise of a masked sum is made of the mask. `drown` adds a
uniform number to each coefficient, so large that the rest makes no difference beyond 2**-40: `worst_noise` has the
bound on that rest, `require_drowned` refuses sizes for which it does not hold. protocols/psi_sum/README.md derives
both.

Source: Fan, Vercauteren, eprint 2012/144; HomomorphicEncryption.org, table of 2018 (8192: 218 bits, ternary secrets).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pets.kernels import prf
from pets.kernels.jit import I64Array, U8Array, U64Array

RING: Final = 8192
PRIMES: Final = (1152921504606683137, 1152921504606748673, 1152921504606830593)
"""Of ciphertexts: the three largest below 2^60 that are 1 modulo 2^14, as SEAL orders them."""
SPECIAL: Final = 274877562881
"""One more for public keys alone, of 38 bits: all four have 218 bits, the most that give 128 bits of security."""
PLAIN: Final = (1099511480321, 1099510890497)
"""What slots are modulo: the two largest primes below 2^40 that are 1 modulo 2^14."""

CIPHER: Final = 2 * len(PRIMES) * RING
PUBLIC_KEY: Final = 2 * (len(PRIMES) + 1) * RING
"""Words of a ciphertext; of a public key, which has the special prime too."""
FREE: Final = RING - 1
"""Numbers that a ciphertext takes in."""

FRESH: Final = 21
"""A coefficient of an error that SEAL draws is at most that, by the length of its centred binomial law."""
FLOOD_BITS: Final = 128
"""Flooding is uniform among so many bits, from -2**127."""
LAMBDA: Final = 40
SPARE_BITS: Final = 8
"""What is left of the noise budget after everything, at least."""

_PLAIN_BITS: Final = 40
_SPARE: Final = 64
"""Words drawn beyond those needed: one in 2**22 is refused."""


# -- sizes -------------------------------------------------------------------------------------------------------------


def blocks_of(entries: int) -> int:
    """Ciphertexts that so many numbers take."""
    return -(-entries // FREE)


def worst_noise(blocks: int) -> int:
    """What no coefficient of the noise of a masked sum over `blocks` fresh ciphertexts exceeds, before it is drowned.

    For each block RING products of (t - 1) / 2, the largest coefficient of a mask, and FRESH + 1/2, an error with the
    rounding of its slots; for the encryption of nothing half of RING + 1, and 1 for what its own errors leave after
    they are divided by SPECIAL; 1/2 for the rounding of the numbers that hide the sum.
    """
    masked = blocks * RING * (max(PLAIN) - 1) * (2 * FRESH + 1)
    zero = 2 * (RING + 1) + 4 * (1 + FRESH * (2 * RING + 1) // SPECIAL) + 2
    return -(-(masked + zero) // 4)


def require_drowned(*, entries: int, sums: int) -> None:
    """Refuse sizes for which flooding does not hide masks, or leaves too little for decryption.

    All coefficients of all sums of a run together differ from uniform ones by at most 2**-LAMBDA.

    Raises: ValueError, from public sizes alone.
    """
    noise = worst_noise(blocks_of(entries))
    if (sums * RING * noise) << LAMBDA > 1 << FLOOD_BITS:
        raise ValueError(f"the noise of {sums} sums over {entries} entries is too large to be drowned")
    if 2 * max(PLAIN) * ((1 << (FLOOD_BITS - 1)) + noise) << SPARE_BITS > modulus():
        raise ValueError("too little is left for decryption")


def modulus() -> int:
    """What coefficients of ciphertexts are modulo."""
    product = 1
    for prime in PRIMES:
        product *= prime
    return product


def primes_for(greatest: int) -> int:
    """How many of PLAIN tell all numbers from -greatest to greatest apart.

    Raises: ValueError if all together do not.
    """
    product = 1
    for number, prime in enumerate(PLAIN, 1):
        product *= prime
        if 2 * greatest < product:
            return number
    raise ValueError(f"sums up to {greatest} are larger than {len(PLAIN)} primes can tell apart")


# -- in and out of slots -----------------------------------------------------------------------------------------------


def packed(values: U64Array, plain: int) -> U64Array:
    """Signed numbers as slots modulo `plain`, in their order, 1 in slot 0 of each block, 0 behind the last number.

    Shapes: values (n,) uint64, two's complement; (blocks, RING) uint64.
    """
    out = np.zeros((blocks_of(len(values)), FREE), np.uint64)
    out.reshape(-1)[: len(values)] = values.view(np.int64) % plain
    return np.concatenate([np.ones((len(out), 1), np.uint64), out], axis=1)


def masks(cells: I64Array, count: int, block: int) -> U8Array:
    """For each of `count` cells the slots of one block that are in it, slot 0 always. An entry in no cell has -1.

    Its time does not depend on who is in which cell.

    Shapes: cells (n,) int64, of all entries; (count, RING) uint8.
    """
    out = np.zeros((count, RING), np.uint8)
    out[:, 0] = 1
    here = cells[block * FREE : (block + 1) * FREE]
    np.equal(here, np.arange(count)[:, None], out=out[:, 1 : 1 + len(here)].view(np.bool_))
    return out


def summed(slots: U64Array, plain: int) -> int:
    """The sum of all slots but slot 0."""
    return int(slots[1:].sum()) % plain


def signed(residues: Sequence[int]) -> int:
    """The number closest to 0 that has these residues modulo the first primes of PLAIN."""
    value, product = 0, 1
    for residue, prime in zip(residues, PLAIN, strict=False):
        value += product * ((residue - value) * pow(product, -1, prime) % prime)
        product *= prime
    return value - product if 2 * value > product else value


# -- what hides sums ---------------------------------------------------------------------------------------------------


def cover(stream: prf.Stream, plain: int, blocks: int) -> U64Array:
    """What is added to the slots of one sum: uniform modulo `plain`, in slot 0 what takes the blocks' ones off."""
    drawn = stream.words(FREE + _SPARE) >> np.uint64(64 - _PLAIN_BITS)
    out = np.empty(RING, np.uint64)
    out[0] = -blocks % plain
    out[1:] = drawn[drawn < plain][:FREE]  # a ValueError once in 2**1000
    return out


def share_of_zero(stream: prf.Stream, plain: int, count: int) -> U64Array:
    """Uniform numbers modulo `plain`; whoever has the same stream takes the same ones off."""
    drawn = stream.words(count + _SPARE) >> np.uint64(64 - _PLAIN_BITS)
    found: U64Array = drawn[drawn < plain][:count]
    return found


def drown(cipher: U64Array, stream: prf.Stream) -> U64Array:
    """The ciphertext with a uniform number of FLOOD_BITS bits, centred, on each coefficient of its first polynomial.

    Shapes: cipher (CIPHER,) uint64; the same, new.
    """
    low, high = stream.words(2 * RING).reshape(2, RING)
    out = cipher.copy().reshape(2, len(PRIMES), RING)
    for prime, residues in zip(PRIMES, out[0], strict=True):
        residues += _modulo(low, high, prime)
        residues %= np.uint64(prime)
    return out.reshape(CIPHER)


def _modulo(low: U64Array, high: U64Array, prime: int) -> U64Array:
    """(low + 2^64 high - 2^127) modulo a prime a little below 2^60: 2^60 is then what it lacks, of 18 bits at most."""
    lacks, half = np.uint64((1 << 60) - prime), np.uint64(30)
    below, tail = np.uint64((1 << 60) - 1), np.uint64((1 << 30) - 1)
    middle = ((high << np.uint64(4)) | (low >> np.uint64(60))) & below
    upper = (middle >> half) * lacks
    total = (low & below) + (middle & tail) * lacks + ((upper & tail) << half) + (upper >> half) * lacks
    total += (high >> np.uint64(56)) * lacks * lacks + np.uint64(-(1 << (FLOOD_BITS - 1)) % prime)
    reduced: U64Array = total % np.uint64(prime)
    return reduced


# -- what comes in -----------------------------------------------------------------------------------------------------


def first_too_large(words: U64Array, primes: Sequence[int]) -> int:
    """The place of the first word that is not below its prime, or -1.

    Shapes: words (n,) uint64, in ciphertexts or keys one after another, RING of each of `primes` in turn.
    """
    rows = words.reshape(-1, len(primes), RING)
    wrong = rows >= np.array(primes, np.uint64)[:, None]
    return int(np.argmax(wrong)) if wrong.any() else -1


def first_transparent(words: U64Array, size: int) -> int:
    """The first ciphertext, or public key, that hides nothing because its second polynomial is 0; or -1.

    Shapes: words (n,) uint64, in rows of `size`.
    """
    seen = words.reshape(-1, 2, size // 2)[:, 1].any(axis=1)
    return -1 if seen.all() else int(np.argmin(seen))
