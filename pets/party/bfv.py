"""Computing with ciphertexts in a process apart: `Worker` is what roles of `psi_sum` are given.

SEAL reads what a peer sent, in C++. If that goes wrong, the process that it goes wrong in has the keys and masks of one
run, no network, no files, and limits (`pets/party/confine.py`); it is killed when it takes too long. Words have been
held against their primes before they come here, and nothing but words of known sizes goes either way.
"""

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import numpy as np

from pets.errors import RunError
from pets.kernels.jit import U8Array, U64Array
from pets.kernels.slots import CIPHER, PUBLIC_KEY, RING
from pets.party.confine import LIMITS, NO_FILES, NO_NETWORK

_START_S: Final = 60.0
_BASE: Final = 1 << 30
"""Bytes that SEAL takes for its tables and pools, with room to spare."""

_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "NUMBA_CACHE_DIR")
"""What of its surroundings a worker is told: no more than loading its libraries takes."""

REQUEST: Final = struct.Struct("<BBII")
"""What is asked for, for which of PLAIN, and two numbers: of rows; or of columns and cells."""
NEW_KEY, ENCRYPT, DECRYPT, BLOCK, SUMS = range(1, 6)
DONE, FAILED = b"\0", b"\1"
FORCES: Final = (LIMITS, NO_NETWORK, NO_FILES)
"""What the first byte of a worker tells, a bit each."""


def memory_for(*, columns: int, cells: int) -> int:
    """Bytes that a worker needs for sums of so many columns and cells, modulo one prime after the other."""
    return _BASE + 2 * 8 * CIPHER * (columns * cells + 4 * columns + 8)


class Worker:
    """`KeyOwner` and `Summer` of `psi_sum`, each call answered by the process apart.

    Every call raises RunError run.worker if the process refuses what it is given, ends, or takes longer than
    ``timeout_s``; it is of no use after that. It starts while its caller goes on.
    """

    def __init__(self, *, memory: int, cpu_s: int, timeout_s: float) -> None:
        self._timeout_s: Final = timeout_s
        self._late = False
        self._sums: Final[dict[int, tuple[int, int]]] = {}
        package = Path(__file__).resolve().parents[2]
        self._process: Final = subprocess.Popen(
            [sys.executable, "-m", "pets.party.bfv_worker", str(memory), str(cpu_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=package,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            | {"PYTHONPATH": os.pathsep.join([str(package), *filter(None, sys.path)])},
            bufsize=1 << 20,
        )
        self._told: frozenset[str] | None = None

    @property
    def in_force(self) -> frozenset[str]:
        """What the process has given up, of FORCES. The first call, or the first request, waits until it has."""
        if self._told is None:
            with _Limit(self, _START_S):
                told = self._read(1)[0]
            self._told = frozenset(name for bit, name in enumerate(FORCES) if told >> bit & 1)
        return self._told

    @property
    def process_id(self) -> int:
        """Of the process apart."""
        return self._process.pid

    def new_key(self, number: int) -> U64Array:
        """Make the key for PLAIN[number], and give the public one. (PUBLIC_KEY,) uint64."""
        return self._ask(NEW_KEY, number, 0, 0, answer=PUBLIC_KEY)

    def encrypt(self, number: int, slots: U64Array) -> U64Array:
        """Encrypt rows of slots, row by row: so the process holds one. (n, RING) uint64; (n, CIPHER) uint64."""
        out = np.empty((len(slots), CIPHER), np.uint64)
        for row, made in zip(slots, out, strict=True):
            made[:] = self._ask(ENCRYPT, number, 1, 0, row, answer=CIPHER)
        return out

    def decrypt(self, number: int, cipher: U64Array) -> U64Array:
        """The slots of one ciphertext. (CIPHER,) uint64; (RING,) uint64."""
        return self._ask(DECRYPT, number, 1, 0, cipher, answer=RING)

    def block(self, number: int, ciphers: U64Array, masks: U8Array) -> None:
        """Take one ciphertext of each column into the sum of each mask."""
        self._ask(BLOCK, number, len(ciphers), len(masks), ciphers, masks)
        self._sums[number] = (len(ciphers), len(masks))

    def sums(self, number: int, key: U64Array, covers: Iterable[U64Array]) -> Iterator[U64Array]:
        """Each sum plus a fresh encryption of nothing and a cover, column by column, cell by cell."""
        columns, cells = self._sums.pop(number)
        with _Limit(self, self._timeout_s):
            self._write(REQUEST.pack(SUMS, number, columns, cells), key)
        added = iter(covers)
        for _ in range(columns * cells):
            with _Limit(self, self._timeout_s):
                self._write(next(added))
                made = self._answer(CIPHER)
            yield made

    def close(self) -> None:
        """End the process, with the keys that it has."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was still to be written goes nowhere
                    pipe.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- over the pipes ------------------------------------------------------------------------------------------------

    def _ask(
        self, what: int, number: int, first: int, second: int, *arrays: U64Array | U8Array, answer: int = 0
    ) -> U64Array:
        if LIMITS not in self.in_force:
            raise RunError("run.worker", problem="has no limits")
        with _Limit(self, self._timeout_s):
            self._write(REQUEST.pack(what, number, first, second), *arrays)
            return self._answer(answer)

    def _write(self, *parts: bytes | U64Array | U8Array) -> None:
        pipe: IO[bytes] = _pipe(self._process.stdin)
        try:
            for part in parts:
                pipe.write(part if isinstance(part, bytes) else np.ascontiguousarray(part).data.cast("B"))
            pipe.flush()
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def _answer(self, count: int) -> U64Array:
        if self._read(1) != DONE:
            raise RunError("run.worker", problem="refused what it was given")
        return np.frombuffer(self._read(8 * count), np.uint64)

    def _read(self, count: int) -> bytes:
        pipe: IO[bytes] = _pipe(self._process.stdout)
        try:
            data = pipe.read(count)
        except (OSError, ValueError) as error:
            raise self._ended() from error
        if len(data) != count:
            raise self._ended()
        return data

    def _ended(self) -> RunError:
        return RunError(
            "run.worker", problem="took too long, and was ended" if self._late else "ended before its answer"
        )

    def _kill_late(self) -> None:
        self._late = True
        self._process.kill()


class _Limit:
    """Kill the process if what is inside takes longer than so many seconds."""

    def __init__(self, worker: Worker, seconds: float) -> None:
        self._timer: Final = threading.Timer(seconds, worker._kill_late)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *ended: object) -> None:
        self._timer.cancel()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RunError("run.worker", problem="has no pipes")
    return pipe
