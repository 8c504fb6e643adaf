"""A program's process as its server sees it: orders in, frames both ways, outputs out, over two pipes.

``ProgramProcess`` starts it (party/mpyc_worker.py), holds it to what it may send, and kills it when it takes too long.
Records have one form in both directions: kind, peer, number, length, body. What the process says is read as strictly as
what a peer says: a program that broke out of its language has this pipe, and the other end must not fall for it.
"""

import itertools
import json
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pets.errors import InternalError, PeerError, PetsError, RunError
from pets.ids import PartyId
from pets.party.confine import LIMITS, NO_FILES, NO_NETWORK
from pets.party.mpyc_codec import MAX_INT_BYTES, decode_int, encode_int
from pets.secret import Secret
from pets.spec.mpyc_terms import MAX_FRAME_BYTES, Budget, Input, Output, Terms

HEAD: Final = struct.Struct("<BBqI")
"""Kind of record, peer, number (a program counter), bytes of body."""

FRAME, IDLE, OUTPUT, DONE, FAILED = range(1, 6)
NOBODY: Final = 255
FORCES: Final = (LIMITS, NO_NETWORK, NO_FILES)
"""What the first byte of a process tells, a bit each."""

MAX_EARLY_FRAMES: Final = 65_536
MAX_EARLY_BYTES: Final = 1 << 26
"""Of one peer: how many frames, and bytes of them, are kept before the program asks for them."""

SAID_BYTES: Final = 2_000
MEMORY: Final = 1 << 30
"""Bytes of address space that a program may take, beside its libraries."""

MOST_ORDER_BITS: Final = 256
"""Of a field whose elements leave a server as shares: 160 bits of a number, and what its masks are wider."""

_START_S: Final = 60.0
KEY_BYTES: Final = 16
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
_NUMBER: Final = struct.Struct("<q")
_MAX_ORDERS: Final = 1 << 24

Subset = tuple[int, ...]


def subsets(parties: int, threshold: int) -> tuple[Subset, ...]:
    """The sets of parties that share a key of randomness: all but ``threshold`` of them."""
    return tuple(itertools.combinations(range(parties), parties - threshold))


@dataclass(frozen=True, slots=True, repr=False)
class Orders:
    """What a process is told, once: whose it is, the terms, the source, keys of shared randomness, its own numbers."""

    me: int
    terms: Terms
    source: str
    keys: Mapping[Subset, bytes]
    own: Mapping[str, Sequence[int]]
    design: bool


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One record that a process said."""

    kind: int
    peer: int
    number: int
    body: bytes


def pack_orders(orders: Orders) -> bytes:
    """Bytes of orders: a length and JSON, then keys in the order of subsets, then numbers in the order of inputs."""
    head = {
        "me": orders.me,
        "design": orders.design,
        "source": orders.source,
        "subsets": [list(subset) for subset in sorted(orders.keys)],
        "terms": asdict(orders.terms),
    }
    text = json.dumps(head, ensure_ascii=True).encode()
    keys = b"".join(orders.keys[subset] for subset in sorted(orders.keys))
    numbers = b"".join(
        _NUMBER.pack(value)
        for each in orders.terms.inputs
        if orders.terms.parties[orders.me] in each.holders
        for value in orders.own[each.name]
    )
    body = struct.pack("<I", len(text)) + text + keys + numbers
    return struct.pack("<I", len(body)) + body


def read_orders(source: int) -> Orders:
    """Take orders from a file descriptor, at the process. Raises: RunError run.program if they are none."""
    (size,) = struct.unpack("<I", _read_exactly(source, 4))
    if size > _MAX_ORDERS:
        raise RunError("run.program", problem="was given orders that are too long")
    body = _read_exactly(source, size)
    (length,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + length])
    terms = _terms(head["terms"])
    at = 4 + length
    keys = {}
    for subset in head["subsets"]:
        keys[tuple(subset)] = body[at : at + KEY_BYTES]
        at += KEY_BYTES
    own: dict[str, Sequence[int]] = {}
    for each in terms.inputs:
        if terms.parties[head["me"]] in each.holders:
            own[each.name] = [_NUMBER.unpack_from(body, at + 8 * row)[0] for row in range(each.rows)]
            at += 8 * each.rows
    check_own(terms, terms.parties[head["me"]], own)
    return Orders(head["me"], terms, head["source"], keys, own, head["design"])


def check_own(terms: Terms, party: PartyId, own: Mapping[str, Sequence[int]]) -> None:
    """Hold a party's own numbers against the terms. Raises: RunError run.program; never says a number."""
    expected = {each.name: each for each in terms.inputs if party in each.holders}
    if set(own) != set(expected):
        raise RunError("run.program", problem=f"needs the inputs {', '.join(expected) or 'of nobody'} of {party}")
    for name, values in own.items():
        given = expected[name]
        if len(values) != given.rows or any(type(value) is not int for value in values):
            raise RunError("run.program", problem=f"needs {given.rows} whole numbers of {name} of {party}")
        if any(not given.low <= value <= given.high for value in values):
            raise RunError("run.program", problem=f"was given a number of {name} outside its declared range")


def pack_numbers(name: str, values: Sequence[int]) -> bytes:
    """An output: its name and its numbers, each by its length."""
    coded = [encode_int(value) for value in values]
    said = name.encode()
    return bytes([len(said)]) + said + b"".join(bytes([len(each)]) + each for each in coded)


def read_numbers(body: bytes) -> tuple[str, list[int]]:
    """The name and the numbers of an output. Raises: PeerError or RunError if they are none."""
    at = 1 + body[0] if body else 0
    name, values = body[1:at].decode("ascii", "replace"), []
    while at < len(body):
        size = body[at]
        if size > 1 + MAX_INT_BYTES or at + 1 + size > len(body):
            raise RunError("run.program", problem="gave an output that is none")
        values.append(decode_int(body[at + 1 : at + 1 + size]))
        at += 1 + size
    return name, values


def output_bytes(output: Output) -> int:
    """Bytes of an output at most, with the order of its field."""
    return 1 + len(output.name) + (output.count + 1) * (2 + MAX_INT_BYTES)


class ProgramProcess:
    """A program's process. Everything that it raises is RunError run.program, or PeerError peer.program of a peer.

    ``design``: the numbers are made up, so that it may say what went wrong, and run where the kernel has no filter.
    """

    def __init__(self, orders: Orders, *, deadline_s: float, memory: int = MEMORY, cpu_s: int = 600) -> None:
        check_own(orders.terms, orders.terms.parties[orders.me], orders.own)
        self.orders: Final = orders
        self.records: Final[queue.SimpleQueue[Record | PetsError]] = queue.SimpleQueue()
        """What the process says, in its order, an error last."""
        self.sent: Final[dict[int, list[int]]] = {
            peer: [0, 0] for peer in range(len(orders.terms.parties)) if peer != orders.me
        }
        """By peer, frames and bytes of payload that the program has sent."""
        self._put, self._taken, self._room = 0, -1, sum(output_bytes(each) for each in orders.terms.outputs)
        self._late = False
        self._lock = threading.Lock()
        self._begun = threading.Event()
        package = Path(__file__).resolve().parents[2]
        self._process: Final = subprocess.Popen(
            [sys.executable, "-m", "pets.party.mpyc_worker", str(memory), str(cpu_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=package,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            | {"PYTHONPATH": os.pathsep.join([str(package), *filter(None, sys.path)])}
            | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "MPYC_MAXWORKERS": "0"},
            bufsize=0,
        )
        self._deadline_s = deadline_s
        self._timer = self._timed(_START_S)
        self._reader: Final = threading.Thread(target=self._read_all, daemon=True, name="program")
        self._reader.start()

    @property
    def process_id(self) -> int:
        """Of the process apart."""
        return self._process.pid

    def wait_until_begun(self) -> None:
        """Wait until the process has its orders, or has ended."""
        self._begun.wait(_START_S)

    def put_frame(self, peer: int, counter: int, payload: bytes | memoryview) -> None:
        """Hand a peer's frame to the program. Any thread may. A process that has ended takes nothing, without a fault:
        why it ended is among its records."""
        self._begun.wait(_START_S)
        with self._lock:
            self._put += 1
        self._write(b"".join((HEAD.pack(FRAME, peer, counter, len(payload)), payload)))

    def outputs(self, told: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
        """What the program released to this party, held against the terms.

        Of an output for a client the order of its field comes first, and a share of each number after it.
        """
        terms = self.orders.terms
        own = [o for o in terms.outputs if o.client or terms.parties[self.orders.me] in o.receivers]
        expected = {o.name: o.count + bool(o.client) for o in own}
        if {name: len(values) for name, values in told.items()} != expected:
            raise RunError("run.program", problem="released something else than the terms say")
        for output in own:
            order, *shares = told[output.name] if output.client else (1 << MOST_ORDER_BITS - 1,)
            if not 2 <= order < 1 << MOST_ORDER_BITS or not all(0 <= each < order for each in shares):
                raise RunError("run.program", problem=f"released shares of {output.name} that are none")
        return {name: tuple(told[name]) for name in expected}

    def close(self) -> None:
        """End the process, with the shares and keys that it has."""
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError, ValueError):
                    pipe.close()
        self._reader.join(1)

    def __enter__(self) -> "ProgramProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- over the pipes ------------------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        with self._lock, suppress(OSError, ValueError):
            rest = memoryview(data)
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]  # type: ignore[union-attr]

    def _read_all(self) -> None:
        """The reading thread: from the first byte to the end of the process."""
        try:
            self._begin()
            while True:
                record = self._record()
                if record.kind == IDLE and record.number == self._taken:
                    continue  # told before: whoever reads may be slow
                self._taken = record.number if record.kind == IDLE else self._taken
                self.records.put(record)
                if record.kind == DONE:
                    return
        except PetsError as error:
            self.records.put(error)
        except (OSError, ValueError, IndexError, UnicodeDecodeError):
            self.records.put(self._ended())
        finally:
            self._begun.set()

    def _begin(self) -> None:
        told = self._exactly(1)[0]
        in_force = {name for bit, name in enumerate(FORCES) if told >> bit & 1}
        needed = {LIMITS} if self.orders.design else set(FORCES)  # a server's keys are files
        if missing := sorted(needed - in_force):
            raise RunError("run.program", problem=f"cannot be confined by this kernel: {', '.join(missing)}")
        self._timer.cancel()
        self._timer = self._timed(self._deadline_s)
        self._write(pack_orders(self.orders))
        self._begun.set()

    def _record(self) -> Record:
        kind, peer, number, size = HEAD.unpack(self._exactly(HEAD.size))
        most = {FRAME: MAX_FRAME_BYTES, OUTPUT: 1 << 24, FAILED: SAID_BYTES}.get(kind, 0)
        if size > most or kind not in (FRAME, IDLE, OUTPUT, DONE, FAILED):
            raise RunError("run.program", problem="said something that is no record")
        body = self._exactly(size)
        if kind == FRAME:
            self._count(peer, size)
        if kind == OUTPUT:
            self._room -= size
        if self._room < 0 or (kind == IDLE and not self._taken <= number <= self._put):
            raise RunError("run.program", problem="says more than it was asked for")
        if kind == FAILED:
            said = body.decode(errors="replace")
            if peer in self.sent:
                raise PeerError("peer.program", peer=self.orders.terms.parties[peer], problem=said)
            raise RunError("run.program", problem=said)
        return Record(kind, peer, number, body)

    def _count(self, peer: int, size: int) -> None:
        if peer not in self.sent:
            raise RunError("run.program", problem="sends to a party that is not there")
        budget, sent = self.orders.terms.budget, self.sent[peer]
        sent[0] += 1
        sent[1] += size
        if sent[0] > budget.frames or sent[1] > budget.bytes:
            raise RunError("run.program", problem=f"sends more than {budget.frames} frames of {budget.bytes} bytes")

    def _exactly(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            data = self._process.stdout.read(min(left, 1 << 20))  # type: ignore[union-attr]
            if not data:
                raise self._ended()
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def _ended(self) -> RunError:
        early = "ended too early" if self._begun.is_set() else "did not start"
        return RunError("run.program", problem="took too long, and was ended" if self._late else early)

    def _timed(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._kill_late)
        timer.daemon = True
        timer.start()
        return timer

    def _kill_late(self) -> None:
        self._late = True
        self._process.kill()


def _terms(written: Mapping[str, Any]) -> Terms:
    numbers = {name: tuple(v) if isinstance(v, list) else v for name, v in written["parameters"].items()}
    return Terms(
        program=written["program"],
        source=written["source"],
        parties=tuple(written["parties"]),
        bits=written["bits"],
        parameters=numbers,
        inputs=tuple(Input(**{**each, "holders": tuple(each["holders"])}) for each in written["inputs"]),
        outputs=tuple(Output(**{**each, "receivers": tuple(each["receivers"])}) for each in written["outputs"]),
        budget=Budget(**written["budget"]),
    )


def _read_exactly(source: int, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        data = os.read(source, count - len(parts))
        if not data:
            raise RunError("run.program", problem="lost the server that it belongs to")
        parts += data
    return bytes(parts)


def agreed_keys(terms: Terms, me: int, pairwise: Mapping[int, Secret[bytes]]) -> dict[Subset, bytes]:
    """Of three parties, the keys of shared randomness: each pair has one, which the two agree on for the run."""
    if len(terms.parties) != 3 or set(pairwise) != {0, 1, 2} - {me}:
        raise InternalError("internal.bug", where="keys of pairs for another number of parties than three")
    return {
        (min(me, peer), max(me, peer)): key.expose("seed the program's shared randomness")
        for peer, key in pairwise.items()
    }
