"""BFV by Microsoft SEAL, through TenSEAL: keys, slots encrypted, masked sums, slots decrypted. Slow to load.

Ciphertexts and keys come and go as words (`pets/kernels/slots.py`). What SEAL is given to load is written here around
them: header, parameters, sizes and form are ours, uncompressed, so a peer chooses nothing but the words, and those are
held against their primes before. SEAL's own checks come on top; `unsafe_load` is never called.

SEAL is C++ that reads what a peer sent. Nobody but `pets/party/bfv_worker.py` uses this, in a process of its own.

Source: SEAL 4.1, native/src/seal/ciphertext.cpp and dynarray.h (what is saved), encryptor.cpp, util/rlwe.cpp.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, Protocol

import numpy as np
from tenseal import sealapi as seal

from pets.kernels.jit import U8Array, U64Array
from pets.kernels.slots import CIPHER, PLAIN, PRIMES, PUBLIC_KEY, RING, SPECIAL

_VERSION: Final = (4, 3)
"""As SEAL writes it into headers: 4.1 has 4 and 3 there, in TenSEAL's build."""
_MAGIC: Final = 0xA15E
_HEADER: Final = struct.Struct("<HBBBBHQ")


class Scratch(Protocol):
    """A file that SEAL reads: it takes a path, not bytes."""

    path: str

    def write(self, *parts: bytes | memoryview) -> None:
        """Let the file hold these parts, and nothing else."""


class KeyOwner:
    """Who makes keys, one for each of PLAIN that is used, encrypts slots with them and decrypts sums."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch: Final = scratch
        self._secrets: Final[dict[int, Any]] = {}

    def new_key(self, number: int) -> U64Array:
        """Make the key for PLAIN[number]: the public one. (PUBLIC_KEY,) uint64."""
        maker = seal.KeyGenerator(_context(number))
        public = seal.PublicKey()
        maker.create_public_key(public)
        self._secrets[number] = maker.secret_key()
        return _words(public.data(), PUBLIC_KEY)

    def encrypt(self, number: int, slots: U64Array) -> U64Array:
        """Encrypt with the secret key, whose ciphertexts have the least noise. (n, RING) uint64; (n, CIPHER) uint64."""
        encryptor = seal.Encryptor(_context(number), self._secrets[number])
        out = np.empty((len(slots), CIPHER), np.uint64)
        for row, made in zip(slots, out, strict=True):
            cipher = seal.Ciphertext()
            encryptor.encrypt_symmetric(_plain(number, row), cipher)
            made[:] = _words(cipher, CIPHER)
        return out

    def decrypt(self, number: int, cipher: U64Array) -> U64Array:
        """The slots of one ciphertext. (CIPHER,) uint64; (RING,) uint64."""
        plain = seal.Plaintext()
        seal.Decryptor(_context(number), self._secrets[number]).decrypt(_cipher(number, cipher, self._scratch), plain)
        return np.array(seal.BatchEncoder(_context(number)).decode_uint64(plain), np.uint64)


class Summer:
    """Who adds up masked slots under somebody else's key."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch: Final = scratch
        self._sums: Final[dict[int, list[list[Any]]]] = {}

    def block(self, number: int, ciphers: U64Array, masks: U8Array) -> None:
        """Take one ciphertext of each column into the sum of each mask.

        Shapes: ciphers (columns, CIPHER) uint64; masks (cells, RING) uint8, none of them all 0.
        """
        context = _context(number)
        evaluator, form = seal.Evaluator(context), context.first_parms_id()
        loaded = []
        for words in ciphers:
            cipher = _cipher(number, words, self._scratch)
            evaluator.transform_to_ntt_inplace(cipher)
            loaded.append(cipher)
        sums = self._sums.setdefault(number, [[None] * len(masks) for _ in loaded])
        for cell, mask in enumerate(masks):
            plain = _plain(number, mask)
            evaluator.transform_to_ntt_inplace(plain, form)
            for column, cipher in enumerate(loaded):
                product = seal.Ciphertext()
                evaluator.multiply_plain(cipher, plain, product)
                if sums[column][cell] is None:
                    sums[column][cell] = product
                else:
                    evaluator.add_inplace(sums[column][cell], product)

    def sums(self, number: int, key: U64Array, covers: Iterable[U64Array]) -> Iterator[U64Array]:
        """Each sum plus a fresh encryption of nothing and a cover, column by column, cell by cell; forget them.

        Shapes: key (PUBLIC_KEY,) uint64; covers and what is given (RING,) and (CIPHER,) uint64.
        """
        context = _context(number)
        evaluator = seal.Evaluator(context)
        encryptor = seal.Encryptor(context, _public_key(number, key, self._scratch))
        added = iter(covers)
        for column in self._sums.pop(number, []):
            for found in column:
                evaluator.transform_from_ntt_inplace(found)
                nothing = seal.Ciphertext()
                encryptor.encrypt_zero(nothing)
                evaluator.add_inplace(found, nothing)
                evaluator.add_plain_inplace(found, _plain(number, next(added)))
                yield _words(found, CIPHER)


def ready(number: int) -> None:
    """Make SEAL's tables for PLAIN[number], once, before the first call needs them."""
    _context(number)


# -- SEAL's objects ----------------------------------------------------------------------------------------------------


@cache
def _context(number: int) -> Any:
    """The parameters of PLAIN[number], and no others.

    Raises: RuntimeError if SEAL does not take them for what they are.
    """
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
    parameters.set_poly_modulus_degree(RING)
    parameters.set_coeff_modulus([seal.Modulus(prime) for prime in (*PRIMES, SPECIAL)])
    parameters.set_plain_modulus(PLAIN[number])
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
    data = context.first_context_data
    found = tuple(each.value() for each in (data() if callable(data) else data).parms().coeff_modulus())
    if not context.parameters_set() or found != PRIMES:
        raise RuntimeError(f"SEAL does not take the parameters: {context.parameters_error_message()}")
    return context


def _plain(number: int, slots: U64Array | U8Array) -> Any:
    plain = seal.Plaintext()
    seal.BatchEncoder(_context(number)).encode(slots.tolist(), plain)
    return plain


def _cipher(number: int, words: U64Array, scratch: Scratch) -> Any:
    context = _context(number)
    form = context.first_parms_id()
    scratch.write(*_written(form, words, primes=len(PRIMES), ntt=False))
    cipher = seal.Ciphertext()
    cipher.load(context, scratch.path)
    if cipher.parms_id() != form or cipher.size() != 2 or cipher.is_ntt_form() or cipher.is_transparent():
        raise ValueError("SEAL takes a ciphertext for something else")
    return cipher


def _public_key(number: int, words: U64Array, scratch: Scratch) -> Any:
    context = _context(number)
    scratch.write(*_written(context.key_parms_id(), words, primes=len(PRIMES) + 1, ntt=True))
    key = seal.PublicKey()
    key.load(context, scratch.path)
    return key


def _written(form: list[int], words: U64Array, *, primes: int, ntt: bool) -> tuple[bytes, memoryview]:
    """As SEAL saves two polynomials, without compression: header, parameters, sizes, scale; header, words."""
    body = np.ascontiguousarray(words, "<u8")
    inner = _header(_HEADER.size + 8 + body.nbytes) + struct.pack("<Q", body.size)
    outer = struct.pack("<4Q?QQQdQ", *form, ntt, 2, RING, primes, 1.0, 1) + inner
    return _header(_HEADER.size + len(outer) + body.nbytes) + outer, body.data.cast("B")


def _header(size: int) -> bytes:
    return _HEADER.pack(_MAGIC, _HEADER.size, *_VERSION, 0, 0, size)


def _words(cipher: Any, count: int) -> U64Array:
    array = cipher.dyn_array()
    if array.size() != count:
        raise RuntimeError("SEAL made a ciphertext of another size")
    return np.fromiter(map(array.at, range(count)), np.uint64, count)
