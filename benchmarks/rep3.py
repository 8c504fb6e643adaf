"""Operations on replicated shares, on three servers: ``python -m benchmarks.rep3 [--size ROWS] [--json]``.

Three processes with a party server each, mutual TLS over loopback gRPC, kernels warm, every message through the gate
that is projected from the card. One case an operation; a run starts when all three are ready and ends when the last has
its shares. ``bytes`` are those of all message bodies, which equal the card's formula. The peer is numpy on the values
in the clear in one process: what secrecy costs. A sort has a tenth of the rows.
"""

import datetime as dt
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.common import Case, arguments, show
from pets.ids import PartyId
from pets.kernels.shares import Zeros
from pets.party import gate
from pets.party.config import Directory, DirectoryParty
from pets.party.drive import drive
from pets.party.identity import Authority, make_credentials
from pets.party.server import Server, keep_memory
from pets.party.warm import prepare_kernels
from pets.protocols.base import Role
from pets.protocols.rep3 import compare, order, sharing
from pets.protocols.rep3.sharing import PARTIES, Bits, Context, Words
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.spec.operations import expanded
from pets.transport.grpc import Address, Credentials, Dialler, GrpcLink
from pets.transport.mailbox import Exchange

U64 = npt.NDArray[np.uint64]

ROUNDS: Final = 7
WARM: Final = 2
DEADLINE_S: Final = 120.0
NAMES: Final = {role: PartyId(role) for role in PARTIES}


@dataclass(frozen=True)
class Operation:
    """One case: how it is run on columns of words, and the same on values in the clear."""

    act: Callable[..., Role[Any]]
    columns: int
    plain: Callable[..., Any]
    bits: int = 64
    rows: int = 1
    """Rows are ``--size`` divided by this."""
    work: int = 1
    """Gates or products a row, for ``per_second``."""


def _conjoin(ctx: Context, x: Words, y: Words) -> Role[Bits]:
    """64 ANDs a row: words taken as planes, whose shape is the same."""
    planes = [column.reshape(64, -1) for column in (x.own, x.next, y.own, y.next)]
    return (yield from sharing.conjoin(ctx, Bits(planes[0], planes[1], x.rows), Bits(planes[2], planes[3], x.rows)))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "multiply": Operation(sharing.multiply, 2, lambda x, y: x * y),
    "conjoin": Operation(_conjoin, 2, lambda x, y: x & y, work=64),
    "negative": Operation(compare.negative, 1, lambda x: x >> np.uint64(63)),
    "is_zero": Operation(compare.is_zero, 1, lambda x: x == 0),
    "divided": Operation(lambda ctx, x: compare.divided(ctx, x, 5), 1, lambda x: x // np.uint64(5), bits=5),
    "shuffled": Operation(lambda ctx, x, y: order.shuffled(ctx, [x, y]), 2, lambda x, y: (x[::-1], y[::-1])),
    "sorted_by": Operation(
        lambda ctx, x, y: order.sorted_by(ctx, x, 32, [y]), 2, lambda x, y: y[np.argsort(x)], bits=32, rows=10
    ),
}


def _component(column: int, number: int, rows: int) -> U64:
    """One component of a made-up column, the same at both parties that hold it."""
    return np.random.default_rng([column, number]).integers(0, 2**64, rows, np.uint64)


def _san(party: str) -> str:
    return f"spiffe://benchmark.example/{party}"


def _public(operation: Operation, rows: int) -> dict[str, int]:
    return {"n": rows, "bits": operation.bits}


class _Node:
    """Only an exchange: the benchmark opens runs itself."""

    def __init__(self) -> None:
        self.exchange = Exchange()


def _party(pipe: Connection, me: int, certificate: bytes, key: bytes, ca: bytes, keys: tuple[bytes, bytes]) -> None:
    """One of the three processes: a server, and the runs that the parent asks for."""
    keep_memory()
    prepare_kernels()
    credentials = Credentials(certificate, Secret(key), ca)
    directory = Directory(tuple(DirectoryParty(name=n, organisation=n, san=_san(n)) for n in PARTIES), ca=ca)
    node: Any = _Node()
    server = Server(node, directory, credentials, "127.0.0.1:0")
    pipe.send(server.start())
    ports = pipe.recv()
    dialler = Dialler(credentials, {NAMES[n]: Address(f"127.0.0.1:{ports[n]}", _san(n)) for n in PARTIES})
    while (asked := pipe.recv()) is not None:
        name, rows, run = asked
        operation = OPERATIONS[name]
        columns = [_component(i, (me + j) % 3, rows) for i in range(operation.columns) for j in range(2)]
        peers = [NAMES[n] for n in PARTIES if n != PARTIES[me]]
        link = GrpcLink(NAMES[PARTIES[me]], run, peers, dialler, node.exchange, deadline_s=DEADLINE_S)
        program = [(name, _public(operation, rows))]
        passage = gate.Gate(
            gate.project_operations(load_cards()["rep3"], program, NAMES, PARTIES[me]), opening=Secret(os.urandom(32))
        )
        ctx = Context(me, Zeros(Secret(keys[0]), Secret(keys[1])))
        inputs = [Words(columns[2 * i], columns[2 * i + 1]) for i in range(operation.columns)]
        pipe.send("ready")
        pipe.recv()
        drive(operation.act(ctx, *inputs), passage, link, deadline_s=DEADLINE_S)
        pipe.send((time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
        passage.finish()
        link.close()
    server.stop()
    dialler.close()


def measure(size: int) -> list[Case]:
    """Every operation on ``size`` rows, ``ROUNDS`` times."""
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create("benchmark", now=now)
    keys = [os.urandom(16) for _ in PARTIES]
    spawn = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for me, name in enumerate(PARTIES):
        own = make_credentials(authority, PartyId(name), _san(name), now=now)
        pipe, far = spawn.Pipe()
        secret = own.key.expose("give it to the child")
        given = (far, me, own.certificate, secret, own.ca, (keys[me], keys[(me + 1) % 3]))
        child = spawn.Process(target=_party, args=given, daemon=True)
        child.start()
        pipes.append(pipe)
        children.append(child)
    ports = {name: pipe.recv() for name, pipe in zip(PARTIES, pipes, strict=True)}
    for pipe in pipes:
        pipe.send(ports)
    cases = [_case(name, operation, size // operation.rows, pipes) for name, operation in OPERATIONS.items()]
    for pipe, child in zip(pipes, children, strict=True):
        pipe.send(None)
        child.join(20)
    return cases


def _case(name: str, operation: Operation, rows: int, pipes: list[Any]) -> Case:
    rows = max(64, rows // 64 * 64)
    runs, peak = [], 0
    for _ in range(ROUNDS):
        run = os.urandom(32)
        for pipe in pipes:
            pipe.send((name, rows, run))
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        ends = [pipe.recv() for pipe in pipes]
        runs.append(max(end for end, _ in ends) - start)
        peak = max(peak, *(rss for _, rss in ends))
    rng = np.random.default_rng(7)
    columns = [rng.integers(0, 2**31, rows).astype(np.uint64) for _ in range(operation.columns)]
    plain = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        operation.plain(*columns)
        plain.append(time.perf_counter() - start)
    card = load_cards()["rep3"]
    names = card.names(_public(operation, rows))
    sent = sum(8 * each.count for each in expanded(card.operations, name, names))
    seconds = sorted(runs[WARM:])
    rounds = next(each for each in card.operations if each.name == name).rounds.evaluate(names)
    return Case(
        name=f"rep3.{name}",
        size=rows,
        runs=seconds,
        bytes=sent,
        rounds=rounds,
        peak_rss_mb=peak,
        steps={},
        peers={"numpy, in the clear": sorted(plain)[len(plain) // 2]},
        more={"per_second": round(rows * operation.work / seconds[len(seconds) // 2])},
    )


def main() -> None:
    asked = arguments(__doc__, size=1_000_000, what="rows").parse_args()
    for case in measure(asked.size):
        show(case, as_json=asked.json)


if __name__ == "__main__":
    main()
