"""BFV for tests, over Python's integers, with the secrets in sight: what whoever owns the key can see of a sum.

Takes nothing of SEAL, and of `pets/kernels/slots.py` only the parameters. `Owner` makes keys and ciphertexts that SEAL
takes, and opens what SEAL made; `Textbook` adds up as SEAL should, with or without an encryption of nothing.

Source: Fan, Vercauteren, eprint 2012/144; SEAL 4.1, native/src/seal/util/ntt.h and batchencoder.cpp (orders).
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

from pets.kernels import slots

N = slots.RING
Q = slots.modulus()
Poly = np.ndarray
"""(N,) object: Python integers, or (k, N) of them for k primes."""


def is_prime(number: int) -> bool:
    """Miller and Rabin, with bases that decide below 2^64."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % number
            if value == number - 1:
                break
        else:
            return False
    return True


@cache
def root_of(prime: int) -> int:
    """The smallest number whose N-th power is -1."""
    found = next(r for g in range(2, 1000) if pow(r := pow(g, (prime - 1) // (2 * N), prime), N, prime) == prime - 1)
    square, least = found * found % prime, found
    for _ in range(N):
        found = found * square % prime
        least = min(least, found)
    return least


@cache
def reversed_bits() -> np.ndarray:
    return np.array([int(f"{i:013b}"[::-1], 2) for i in range(N)])


@cache
def powers(base: int, prime: int) -> Poly:
    out, value = [], 1
    for _ in range(N):
        out.append(value)
        value = value * base % prime
    return np.array(out, object)


def values(poly: Poly, prime: int) -> Poly:
    """A polynomial at the odd powers of the root: entry k is its value at root^(2k + 1)."""
    root = root_of(prime)
    return _cyclic(poly * powers(root, prime) % prime, root * root % prime, prime)


def polynomial(at_powers: Poly, prime: int) -> Poly:
    """The polynomial with these values."""
    root = root_of(prime)
    found = _cyclic(at_powers, pow(root, -2, prime), prime)
    return found * powers(pow(root, -1, prime), prime) % prime * pow(N, -1, prime) % prime


def _cyclic(row: Poly, root: int, prime: int) -> Poly:
    """Entry k is the sum of row[j] root^(jk)."""
    size, out = 1, row[reversed_bits()] % prime
    table = powers(root, prime)
    while size < N:
        pairs = out.reshape(-1, 2, size)
        odd = pairs[:, 1] * table[:: N // (2 * size)][:size] % prime
        out = np.stack([(pairs[:, 0] + odd) % prime, (pairs[:, 0] - odd) % prime], axis=1).reshape(-1)
        size *= 2
    return out


@cache
def slot_places() -> np.ndarray:
    """Which of the odd powers each slot is the value at: 3^i for the first half, its negative for the second."""
    odd = [pow(3, i, 2 * N) for i in range(N // 2)]
    return np.array([(each - 1) // 2 for each in odd] + [(2 * N - each - 1) // 2 for each in odd])


def encode(row: np.ndarray, prime: int) -> Poly:
    """Slots to a polynomial, coefficients closest to 0."""
    at_powers = np.zeros(N, object)
    at_powers[slot_places()] = [int(each) for each in row]
    return centred(polynomial(at_powers, prime), prime)


def decode(poly: Poly, prime: int) -> np.ndarray:
    return values(poly % prime, prime)[slot_places()].astype(np.uint64)


def centred(poly: Poly, modulus: int) -> Poly:
    return (poly + modulus // 2) % modulus - modulus // 2


def times(one: Poly, other: Poly) -> Poly:
    """The product modulo X^N + 1 and Q, closest to 0."""
    parts = [polynomial(values(one % p, p) * values(other % p, p) % p, p) for p in slots.PRIMES]
    return centred(composed(np.stack(parts)), Q)


def composed(residues: Poly) -> Poly:
    """From residues modulo each prime to one number below Q."""
    out = np.zeros(residues.shape[-1], object)
    for prime, row in zip(slots.PRIMES, residues, strict=True):
        rest = Q // prime
        out = out + row * (rest * pow(rest, -1, prime))
    return out % Q


def polys_of(cipher: np.ndarray) -> tuple[Poly, Poly]:
    first, second = cipher.astype(object).reshape(2, len(slots.PRIMES), N)
    return composed(first), composed(second)


def cipher_of(first: Poly, second: Poly) -> np.ndarray:
    return np.concatenate([(poly % p).astype(np.uint64) for poly in (first, second) for p in slots.PRIMES])


class Owner:
    """Who has the key: `KeyOwner`, with everything in sight. ``errors``: of each ciphertext that it made, in order."""

    def __init__(self, seed: int, *, error: int = slots.FRESH) -> None:
        self._rng = np.random.default_rng(seed)
        self._error = error
        self.secret = self.small(1)
        self.errors: list[Poly] = []
        self.ciphers: list[np.ndarray] = []

    def small(self, most: int) -> Poly:
        return self._rng.integers(-most, most + 1, N).astype(object)

    def _uniform(self, prime: int) -> Poly:
        return self._rng.integers(0, prime, N).astype(object)

    def new_key(self, number: int) -> np.ndarray:
        """(-(a s + e), a) at the odd powers, in reversed order, modulo each prime and the special one."""
        error, first, second = self.small(self._error), [], []
        for prime in (*slots.PRIMES, slots.SPECIAL):
            drawn = self._uniform(prime)
            first.append(-(drawn * values(self.secret % prime, prime) + values(error % prime, prime)) % prime)
            second.append(drawn)
        return np.concatenate([row[reversed_bits()] for row in (*first, *second)]).astype(np.uint64)

    def encrypt(self, number: int, filled: np.ndarray) -> np.ndarray:
        plain, made = slots.PLAIN[number], []
        for row in filled:
            second, error = composed(np.stack([self._uniform(p) for p in slots.PRIMES])), self.small(self._error)
            scaled = np.array([(2 * Q * int(m) + plain) // (2 * plain) for m in encode(row, plain) % plain], object)
            self.errors.append(error)
            made.append(cipher_of(scaled + error - times(second, self.secret), second))
        self.ciphers += made
        return np.stack(made)

    def phase(self, cipher: np.ndarray) -> Poly:
        first, second = polys_of(cipher)
        return (first + times(second, self.secret)) % Q

    def decrypt(self, number: int, cipher: np.ndarray) -> np.ndarray:
        plain = slots.PLAIN[number]
        return decode((2 * plain * self.phase(cipher) + Q) // (2 * Q), plain)

    def noise(self, number: int, cipher: np.ndarray) -> Poly:
        """What is left of the phase beside the scaled plaintext, rounded down to whole numbers."""
        return self.noise_times_plain(number, cipher) // slots.PLAIN[number]

    def noise_times_plain(self, number: int, cipher: np.ndarray) -> Poly:
        """The same, exactly: times the modulus of slots it is whole, with the rounding of slots in it."""
        scaled = slots.PLAIN[number] * self.phase(cipher)
        return scaled - Q * ((2 * scaled + Q) // (2 * Q))


class Textbook:
    """`Summer` over Python's integers; ``zero``: with an encryption of nothing, or, as a mistake, without."""

    def __init__(self, seed: int, *, zero: bool) -> None:
        self._rng, self._zero = np.random.default_rng(seed), zero
        self._sums: dict[tuple[int, int], tuple[Poly, Poly]] = {}

    def block(self, number: int, ciphers: np.ndarray, masks: np.ndarray) -> None:
        for column, cipher in enumerate(ciphers):
            for cell, mask in enumerate(masks):
                poly = encode(mask, slots.PLAIN[number])
                made = [times(each, poly) for each in polys_of(cipher)]
                known = self._sums.get((column, cell), (0, 0))
                self._sums[column, cell] = (known[0] + made[0], known[1] + made[1])

    def sums(self, number: int, key: np.ndarray, covers: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        plain = slots.PLAIN[number]
        for (_, found), cover in zip(sorted(self._sums.items()), covers, strict=True):
            scaled = np.array([(2 * Q * int(m) + plain) // (2 * plain) for m in encode(cover, plain) % plain], object)
            nothing = self._nothing(key) if self._zero else (0, 0)
            yield cipher_of(found[0] + scaled + nothing[0], found[1] + nothing[1])
        self._sums = {}

    def _nothing(self, key: np.ndarray) -> tuple[Poly, Poly]:
        """u times the public key and errors, modulo all four primes, divided by the special one and rounded."""
        u = self._rng.integers(-1, 2, N).astype(object)
        out = []
        for rows in key.astype(object).reshape(2, len(slots.PRIMES) + 1, N):
            error, parts = self._rng.integers(-slots.FRESH, slots.FRESH + 1, N).astype(object), []
            for prime, row in zip((*slots.PRIMES, slots.SPECIAL), rows, strict=True):
                natural = row[reversed_bits()]
                parts.append((polynomial(natural * values(u % prime, prime) % prime, prime) + error) % prime)
            low = centred(parts.pop(), slots.SPECIAL)
            rest = [(row - low) * pow(slots.SPECIAL, -1, p) % p for p, row in zip(slots.PRIMES, parts, strict=True)]
            out.append(composed(np.stack(rest)))
        return out[0], out[1]
