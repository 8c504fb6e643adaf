"""The process in which SEAL reads a peer's ciphertexts: ``python -m pets.party.bfv_worker MEMORY CPU_S``.

It takes requests from standard input and answers on standard output, in arrays of words whose sizes both sides know;
`pets/party/bfv.py` is the other side. It loads SEAL, gives up everything else (`pets/party/confine.py`), says what of
that is in force, and computes until its input ends. It says nothing of what went wrong but that something did.
"""

import os
import sys
from typing import BinaryIO, Final

import numpy as np

from pets.kernels import he
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.slots import CIPHER, PUBLIC_KEY, RING
from pets.party import bfv
from pets.party.confine import confine


class Memory:
    """A file without a name, in memory, for SEAL to read by a path."""

    def __init__(self) -> None:
        self._file: Final = os.memfd_create("ciphertext", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self._file}"

    def write(self, *parts: bytes | memoryview) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self._file, rest) :]


def read_words(pipe: BinaryIO, count: int) -> U64Array:
    """So many words. Raises EOFError if there are fewer."""
    return np.frombuffer(read_bytes(pipe, 8 * count), np.uint64)


def read_bytes(pipe: BinaryIO, count: int) -> bytearray:
    """So many bytes. Raises EOFError if there are fewer."""
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        more = pipe.readinto(view[got:])  # type: ignore[attr-defined]
        if not more:
            raise EOFError
        got += more
    return data


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until there is none."""
    memory = Memory()
    owner, summer = he.KeyOwner(memory), he.Summer(memory)
    while len(asked := source.read(bfv.REQUEST.size)) == bfv.REQUEST.size:
        what, number, first, second = bfv.REQUEST.unpack(asked)
        match what:
            case bfv.NEW_KEY:
                _answer(target, owner.new_key(number))
            case bfv.ENCRYPT:
                _answer(target, owner.encrypt(number, read_words(source, first * RING).reshape(first, RING)))
            case bfv.DECRYPT:
                _answer(target, owner.decrypt(number, read_words(source, CIPHER)))
            case bfv.BLOCK:
                ciphers = read_words(source, first * CIPHER).reshape(first, CIPHER)
                masks: U8Array = np.frombuffer(read_bytes(source, second * RING), np.uint8).reshape(second, RING)
                summer.block(number, ciphers, masks)
                _answer(target)
            case bfv.SUMS:
                key = read_words(source, PUBLIC_KEY)
                for made in summer.sums(number, key, (read_words(source, RING) for _ in range(first * second))):
                    _answer(target, made)
            case _:
                raise ValueError("no such request")


def _answer(target: BinaryIO, words: U64Array | None = None) -> None:
    target.write(bfv.DONE)
    if words is not None:
        target.write(np.ascontiguousarray(words).data.cast("B"))
    target.flush()


def main() -> None:
    memory, cpu_s = map(int, sys.argv[1:])
    source, target = os.fdopen(0, "rb"), os.fdopen(1, "wb")
    for number in (0, 1):
        he.ready(number)
    found = confine(memory=memory, cpu_s=cpu_s)
    target.write(bytes([sum(1 << bit for bit, name in enumerate(bfv.FORCES) if name in found)]))
    target.flush()
    try:
        serve(source, target)
    except Exception:  # whatever SEAL says: one answer, and no more
        target.write(bfv.FAILED)
        target.flush()
        sys.exit(1)


if __name__ == "__main__":
    main()
