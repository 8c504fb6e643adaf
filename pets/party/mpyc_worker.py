"""The process in which a program runs: ``python -m pets.party.mpyc_worker MEMORY CPU_S``.

It talks over its standard input and output in records (party/mpyc_process.py has their form and is the other side). It
loads MPyC, gives up everything else (party/confine.py), says what of that is in force, takes its orders once, and runs
one program to its end. Frames to peers are records like the rest: there is no socket in this process.
"""

import asyncio
import builtins
import logging
import os
import selectors
import sys
from collections.abc import Callable
from typing import Any, Final

from pets.errors import PeerError, PetsError, RunError
from pets.party import mpyc_runtime
from pets.party.confine import confine
from pets.party.mpyc_facade import Facade, released
from pets.party.mpyc_process import (
    DONE,
    FAILED,
    FORCES,
    FRAME,
    HEAD,
    IDLE,
    MAX_EARLY_BYTES,
    MAX_EARLY_FRAMES,
    NOBODY,
    OUTPUT,
    SAID_BYTES,
    Orders,
    pack_numbers,
    read_orders,
)
from pets.spec.mpyc_source import BUILTINS, FACADE, MAIN, check_source, tree_of

_FLUSH_BYTES: Final = 1 << 16
_READ_BYTES: Final = 1 << 18


class Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type, unused-ignore]
    """Tells when everything that could be computed has been: before waiting, what is to be sent goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[bool], None] = lambda idle: None

    def select(self, timeout: float | None = None) -> list[Any]:
        self.before(timeout is None or timeout > 0)
        return super().select(timeout)


class Pipe:
    """The two pipes of this process: frames of all peers, by peer and program counter."""

    def __init__(self, source: int, target: int, selector: Selector, loop: asyncio.AbstractEventLoop) -> None:
        self._source, self._target, self._loop = source, target, loop
        self._out: list[bytes] = []
        self._size = 0
        self._in = bytearray()
        self._taken = 0
        self.wires: dict[int, PeerWire] = {}
        self.fault: PetsError | None = None
        self.stop: Callable[[], None] = lambda: None
        selector.before = self._before

    def put(self, kind: int, peer: int, number: int, body: bytes = b"") -> None:
        self._out.append(HEAD.pack(kind, peer, number, len(body)) + body)
        self._size += HEAD.size + len(body)
        if self._size >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        data, self._out, self._size = b"".join(self._out), [], 0
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._target, rest) :]

    def listen(self) -> None:
        self._loop.add_reader(self._source, self._arrived)

    def _before(self, idle: bool) -> None:
        if idle:
            self.put(IDLE, NOBODY, self._taken)
        if self._out:
            self.flush()

    def _arrived(self) -> None:
        data = os.read(self._source, _READ_BYTES)
        try:
            if not data:
                raise RunError("run.program", problem="lost the server that it belongs to")
            self._in += data
            at = 0
            while len(self._in) - at >= HEAD.size:
                _, peer, counter, size = HEAD.unpack_from(self._in, at)
                end = at + HEAD.size + size
                if len(self._in) < end:
                    break
                self.wires[peer].deliver(counter, bytes(self._in[at + HEAD.size : end]))
                self._taken += 1
                at = end
            del self._in[:at]
        except PetsError as error:
            self._loop.remove_reader(self._source)
            self.fault = error
            self.stop()

    @property
    def left_over(self) -> bool:
        """Whether frames are here that nothing has asked for."""
        return any(wire.early for wire in self.wires.values())


class PeerWire:
    """Frames to and from one peer. A frame may come before it is asked for, up to a cap, and once."""

    def __init__(self, peer: int, pipe: Pipe, loop: asyncio.AbstractEventLoop) -> None:
        self._peer, self._pipe, self._loop = peer, pipe, loop
        self.early: dict[int, bytes] = {}
        self._early_bytes = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._seen: set[int] = set()

    def send(self, counter: int, payload: bytes) -> None:
        self._pipe.put(FRAME, self._peer, counter, payload)

    def receive(self, counter: int) -> "bytes | asyncio.Future[bytes]":
        if counter in self.early:
            payload = self.early.pop(counter)
            self._early_bytes -= len(payload)
            return payload
        if counter in self._waiting or counter in self._seen:
            raise RunError("run.program", problem="waits for one frame twice")
        self._waiting[counter] = self._loop.create_future()
        return self._waiting[counter]

    def deliver(self, counter: int, payload: bytes) -> None:
        if counter in self._seen:
            raise PeerError("peer.program", peer=self._peer, problem="a frame twice")
        self._seen.add(counter)
        if counter in self._waiting:
            self._waiting.pop(counter).set_result(payload)
            return
        self._early_bytes += len(payload)
        if len(self.early) >= MAX_EARLY_FRAMES or self._early_bytes > MAX_EARLY_BYTES:
            raise PeerError("peer.program", peer=self._peer, problem="more frames ahead than are kept")
        self.early[counter] = payload


def main_of(orders: Orders, facade: Facade) -> Callable[[], Any]:
    """The program's ``main``, compiled with the functions of Python that there are, and ``mpc``."""
    source = check_source(orders.source.encode())
    if source.sha256 != orders.terms.source:
        raise RunError("run.program", problem="was given another source than the terms name")
    names: dict[str, Any] = {"__builtins__": {name: getattr(builtins, name) for name in BUILTINS}, FACADE: facade}
    exec(compile(tree_of(source), "program", "exec"), names)  # noqa: S102 - a checked tree, in a confined process
    main: Callable[[], Any] = names[MAIN]
    return main


class Run:
    """One program from its orders to its outputs; ``fault`` is the first thing that went wrong."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: Pipe, orders: Orders) -> None:
        self._loop, self._pipe, self._orders = loop, pipe, orders
        self._fault: BaseException | None = None
        terms = orders.terms
        for peer in range(len(terms.parties)):
            if peer != orders.me:
                pipe.wires[peer] = PeerWire(peer, pipe, loop)
        self._runtime = mpyc_runtime.Runtime(
            orders.me,
            pipe.wires,
            sec_param=terms.sec_param,
            bits=terms.bits,
            keys=orders.keys,
        )
        mpyc_runtime.install(self._runtime)
        loop.set_exception_handler(self._met)
        pipe.stop = loop.stop

    def outputs(self) -> dict[str, list[int]]:
        """Run it. Raises: whatever ended it first: of the pipe, of a protocol, or of the program."""
        self._pipe.listen()
        try:
            told: dict[str, list[int]] = self._loop.run_until_complete(self._whole())
        except BaseException as error:
            raise self._pipe.fault or self._fault or error from None
        if self._fault is not None:
            raise self._fault
        if self._pipe.left_over:
            raise RunError("run.program", problem="ends while frames are left that nothing asked for")
        return told

    async def _whole(self) -> dict[str, list[int]]:
        facade = Facade(self._runtime, self._orders.terms, self._orders.me, self._orders.own)
        await main_of(self._orders, facade)()
        told = await released(facade)
        own = asyncio.current_task()
        while pending := asyncio.all_tasks(self._loop) - {own}:
            await asyncio.wait(pending)
        return told

    def _met(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A protocol failed, in a task that nobody awaits: MPyC's placeholders would wait for ever."""
        self._fault = self._fault or context.get("exception") or RunError("run.program", problem="failed")
        loop.stop()


def say(error: BaseException, *, design: bool) -> tuple[int, str]:
    """Peer, and what the server is told: codes of ours in full; of anything else the line, and on made-up data all."""
    if isinstance(error, PeerError):
        peer = error.fields.get("peer")
        return (peer if isinstance(peer, int) else NOBODY), str(error.fields.get("problem", ""))
    if isinstance(error, PetsError):
        return NOBODY, str(error.fields.get("problem", error.code))
    line = 0
    trace = error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "program" else line
        trace = trace.tb_next
    what = f": {type(error).__name__}: {error}" if design else ""
    return NOBODY, f"failed at line {line} of the program{what}" if line else f"failed{what}"


def main() -> None:
    memory, cpu_s = map(int, sys.argv[1:])
    source, target = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)  # what a library prints goes nowhere
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    logging.root.addHandler(logging.NullHandler())
    logging.disable(logging.CRITICAL)
    selector = Selector()
    loop = asyncio.SelectorEventLoop(selector)
    asyncio.set_event_loop(loop)
    found = confine(memory=memory, cpu_s=cpu_s)
    os.write(target, bytes([sum(1 << bit for bit, name in enumerate(FORCES) if name in found)]))
    pipe = Pipe(source, target, selector, loop)
    orders: Orders | None = None
    try:
        orders = read_orders(source)
        for number, (name, values) in enumerate(Run(loop, pipe, orders).outputs().items()):
            pipe.put(OUTPUT, NOBODY, number, pack_numbers(name, values))
        pipe.put(DONE, NOBODY, 0)
    except BaseException as error:
        peer, said = say(error, design=orders is not None and orders.design)
        pipe.put(FAILED, peer, 0, said.encode()[:SAID_BYTES])
    pipe.flush()
    os._exit(0)  # nothing to tidy up: what is here ends with the process


if __name__ == "__main__":
    main()
