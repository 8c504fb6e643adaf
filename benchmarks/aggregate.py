"""The sum of many vectors: ``python -m benchmarks.aggregate [--size WORDS] [--holders N] [--runs N] [--alone]``.

``secure_sum`` with two computing parties and a result party, processes with a party server each: mutual TLS over
loopback gRPC, kernels warm, every message through the gate that is projected from the card. All input parties are one
process, one after another: each has ``--size`` signed values of 32 bits, one to a word, draws, splits and seals them,
and is gone; the two parts of its upload, sealed to the two computing parties, lie in files in memory, as a server
stores what arrives before the deadline. Uploads differ, and so does every seed.

``seconds`` is the servers' side: reading, opening, checking and adding up all uploads at the computing party that
takes longer, then the run, from the deadline until the result party has the sum. ``steps`` has both, for each party,
and the median second of an input party (``input party``, to be compared with 0.1). ``bytes`` are those of what is
inside uploads and of all messages, and have to equal the card's formula; ``upload_bytes`` is an input party's upload
as it travels. ``peak_rss_mb`` is that of the computing party that took most; ``grew_mb`` is how much of it came with
the uploads, and is measured with ten input parties too, in processes of their own (``ten_grew_mb``): it is to be the
same. ``cpu_s`` is processor time by party, uploads and run, which others on the machine disturb less.

``--packed`` has two values in a word, which ranges allow if each is below 2^21 in size: half the bytes.

Peers in the same run, where each manages the size that it says: MPyC's own sum, three processes over its own TCP
without TLS, and Flower's SecAgg+ (its own functions for all clients and the server, in one process, no network).
Seconds a value are compared, of all of the servers' side; ``ratio`` above 1 means that ours takes less. A wrong result
of anyone is exit code 1, and so is a peer that fails; ``--alone`` leaves them out.
"""

import gc
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import Case, arguments, show
from benchmarks.peers import aggregates
from benchmarks.processes import started
from benchmarks.rep3 import _Node, _san, _used
from pets.ids import PartyId
from pets.kernels import prf
from pets.party import gate
from pets.party.config import Directory, DirectoryParty
from pets.party.drive import drive
from pets.party.server import Server, keep_memory
from pets.party.warm import prepare_sums
from pets.protocols import secure_sum as ss
from pets.protocols.base import Binding, Role
from pets.protocols.inbox import Inbox
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import with_so_many
from pets.transport.grpc import Address, Credentials, Dialler, GrpcLink

PARTIES: Final = ("server1", "last", "result")
NAMES: Final = {role: PartyId(role) for role in PARTIES}
HOLDERS: Final = 1000
WORDS: Final = 1_000_000
RUNS: Final = 3
FEW: Final = 10
DEADLINE_S: Final = 600
DIGEST: Final = b"\2" * 32
MIB: Final = 1024
IN_MEMORY: Final = "/dev/shm"


def values_of(number: int, words: int, *, packed: bool) -> Any:
    """The vector of an input party: ``words`` words, one value of 32 bits in each, or two of 21 bits and a sign."""
    rng = np.random.default_rng(number)
    if not packed:
        return rng.integers(-(2**31), 2**31, words, dtype=np.int64).view(np.uint64)
    low, high = (rng.integers(-(2**21), 2**21, words, dtype=np.int64) for _ in range(2))
    return ((high << 32) + low).view(np.uint64)


def card_of(holders: int) -> Card:
    """The card of such a run without uploads, which are taken before it."""
    card = with_so_many(load_cards()[ss.PROTOCOL], {"input": holders, "server": 1})
    return replace(card, messages=tuple(message for message in card.messages if message.label[0] != "U"))


def public(holders: int, words: int) -> dict[str, int]:
    return {"h": holders, "m": 2, "l": words}


# -- a computing party, or the result party ---------------------------------------------------------------------------


class Taken:
    """The uploads of a run at one computing party, and what reading and opening them took."""

    def __init__(self, shape: ss.Shape, at: int, tied: Binding, private: Secret[bytes]) -> None:
        self.kept: Any = ss.words(shape, self._again) if at == shape.seeded else ss.seeds(shape, at, tied)
        names = [f"input{number + 1}" for number in range(shape.holders)]
        numbers = {name: number for number, name in enumerate(names)}
        self._inbox = Inbox(
            names, lambda name: ss.address(shape, tied, numbers[name], at), private, self.kept.keep, deadline=1
        )
        self.seconds = self.cpu = 0.0

    def add(self, number: int, path: str) -> None:
        begun, before = time.perf_counter(), _used()
        with Path(path).open("rb", buffering=0) as part:
            self._inbox.add(f"input{number + 1}", part, now=0)
        self.cpu += _used() - before
        self.seconds += time.perf_counter() - begun

    @staticmethod
    def _again(number: int) -> Any:
        raise AssertionError(f"everybody counts, and {number} is taken off")


def _part(role: str, shape: ss.Shape, taken: Taken | None, tied: Binding) -> Role[Any]:
    family = prf.KeyFamily(
        Secret(b"\3" * 32), run_id=tied.run_id, digest=DIGEST, protocol=ss.PROTOCOL, party_p="server1", party_q="last"
    )
    noise = np.zeros(shape.words, np.uint64)
    if taken is None:
        return ss.result(shape)
    if role == "last":
        return ss.last(shape, taken.kept, tied, [family], noise)
    return ss.server(shape, 0, taken.kept, tied, family, noise)


def _party(pipe: Connection, me: int, folder: str, certificate: bytes, key: bytes, ca: bytes) -> None:
    """One of the processes: a server, and the runs that the parent asks for."""
    keep_memory()
    prepare_sums()
    role, credentials = PARTIES[me], Credentials(certificate, Secret(key), ca)
    directory = Directory(tuple(DirectoryParty(name=n, organisation=n, san=_san(n)) for n in PARTIES), ca=ca)
    node: Any = _Node()
    server = Server(node, directory, credentials, "127.0.0.1:0")
    pipe.send(server.start())
    ports = pipe.recv()
    dialler = Dialler(credentials, {NAMES[n]: Address(f"127.0.0.1:{ports[n]}", _san(n)) for n in PARTIES})
    gc.freeze()  # as party servers do
    private = Secret(os.urandom(32))
    while (asked := pipe.recv()) is not None:
        holders, words, run = asked
        tied = Binding(digest=DIGEST, run_id=run)
        shape = ss.Shape(holders=holders, computing=2, words=words, minimum=holders)
        taken = Taken(shape, me, tied, private) if role != "result" else None
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB
        pipe.send(prf.public_key(private))
        while taken is not None and (upload := pipe.recv()) is not None:
            taken.add(*upload)
            pipe.send("taken")
        card = card_of(holders)
        link = GrpcLink(
            NAMES[role], run, [NAMES[n] for n in PARTIES if n != role], dialler, node.exchange, deadline_s=600
        )
        players = NAMES | {name: PartyId(name) for name in card.roles if name not in PARTIES}
        passage = gate.Gate(gate.project(card, public(holders, words), players, role), opening=Secret(os.urandom(32)))
        pipe.send("ready")
        pipe.recv()
        before = _used()
        found = drive(_part(role, shape, taken, tied), passage, link, deadline_s=DEADLINE_S)
        end, cpu = time.perf_counter(), _used() - before
        sent = sum(each.size for each in passage.finish())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB
        spent = (0.0, 0.0) if taken is None else (taken.seconds, taken.cpu)
        pipe.send((end, cpu, spent, (held, peak), sent, found.total if role == "result" else None))
        link.close()
    server.stop()
    dialler.close()


# -- all input parties, and what is measured --------------------------------------------------------------------------


def _uploads(
    pipes: list[Any], shape: ss.Shape, tied: Binding, publics: list[bytes], *, packed: bool
) -> tuple[Any, list[float], int]:
    """Every input party once: the sum in the clear, seconds of each, and bytes of an upload."""
    total, seconds, size = np.zeros(shape.words, np.uint64), [], 0
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if Path(IN_MEMORY).is_dir() else None) as folder:
        paths = [Path(folder) / role for role in PARTIES[:2]]
        for number in range(shape.holders):
            values = values_of(number, shape.words, packed=packed)
            total += values
            begun = time.perf_counter()
            drawn = prf.Stream(Secret(os.urandom(16)))
            parts = ss.sealed_parts(shape, number, values, tied, drawn, publics)
            seconds.append(time.perf_counter() - begun)
            size = sum(map(len, parts))
            for path, part, pipe in zip(paths, parts, pipes[:2], strict=True):
                path.write_bytes(part)
                pipe.send((number, str(path)))
            for pipe in pipes[:2]:
                pipe.recv()
    return total, seconds, size


def _run(pipes: list[Any], holders: int, words: int, *, packed: bool) -> dict[str, Any]:
    run = os.urandom(32)
    shape = ss.Shape(holders=holders, computing=2, words=words, minimum=holders)
    for pipe in pipes:
        pipe.send((holders, words, run))
    publics = [pipe.recv() for pipe in pipes]
    total, of_inputs, size = _uploads(pipes, shape, Binding(digest=DIGEST, run_id=run), publics[:2], packed=packed)
    for pipe in pipes[:2]:
        pipe.send(None)
    for pipe in pipes:
        pipe.recv()
    begun = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    ends, cpus, spent, memory, sent, found = zip(*(pipe.recv() for pipe in pipes), strict=True)
    return {
        "uploads": dict(zip(PARTIES, (seconds for seconds, _ in spent), strict=True)),
        "run": max(ends) - begun,
        "cpu": {role: cpu + own[1] for role, cpu, own in zip(PARTIES, cpus, spent, strict=True)},
        "memory": max(memory[:2], key=lambda pair: pair[1]),
        "grew": max(after - before for before, after in memory[:2]),
        "sent": sum(sent),
        "input": of_inputs,
        "size": size,
        "right": bool(np.array_equal(found[2], total)),
    }


def measure(holders: int, words: int, runs: int, *, packed: bool) -> Iterator[Case]:
    """One case: a warm run with few input parties, which shows what memory they take, then the real ones."""
    with started(_party, PARTIES) as pipes:
        few = _run(pipes, min(FEW, holders), words, packed=packed)
    with started(_party, PARTIES) as pipes:
        _run(pipes, 2, 1000, packed=packed)  # compiles, and opens connections
        done = [_run(pipes, holders, words, packed=packed) for _ in range(runs)]
    card = with_so_many(load_cards()[ss.PROTOCOL], {"input": holders, "server": 1})
    names = card.names(public(holders, words))
    formula = card.cost.bytes.evaluate(names)
    inside = sum(
        each.count.evaluate(names) * each.element_under(names).width for each in card.messages if each.label[0] == "U"
    )
    wrong = not all(each["right"] and each["sent"] + inside == formula for each in [*done])
    longest = [max(each["uploads"].values()) + each["run"] for each in done]
    middle = {
        **{f"{role}, uploads": statistics.median(each["uploads"][role] for each in done) for role in PARTIES[:2]},
        "run": statistics.median(each["run"] for each in done),
        "input party": statistics.median(seconds for each in done for seconds in each["input"]),
    }
    yield Case(
        name="aggregate.packed" if packed else "aggregate",
        size=words,
        runs=longest,
        bytes=formula,
        rounds=card.cost.rounds.evaluate(names),
        peak_rss_mb=max(each["memory"][1] for each in done),
        steps=middle,
        peers={},
        more={
            "holders": holders,
            "values": holders * words * (2 if packed else 1),
            "right": not wrong,
            "input_slowest_s": round(max(seconds for each in done for seconds in each["input"]), 4),
            "upload_bytes": done[0]["size"],
            "grew_mb": max(each["grew"] for each in done),
            "ten_grew_mb": few["grew"],
            "cpu_s": {role: round(statistics.median(each["cpu"][role] for each in done), 3) for role in PARTIES},
        },
    )


def main() -> None:
    parser = arguments(__doc__, size=WORDS, what="words of a vector")
    parser.add_argument("--holders", type=int, default=HOLDERS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--packed", action="store_true", help="two values in a word")
    parser.add_argument("--alone", action="store_true", help="without peers")
    asked = parser.parse_args()
    failed = False
    for case in measure(asked.holders, asked.size, asked.runs, packed=asked.packed):
        told = case
        if not asked.alone:
            peers, facts, missing = aggregates.beside(case.more["values"])
            told, failed = replace(case, peers=peers, more={**case.more, **facts}), failed or bool(missing)
            print(*missing, sep="\n", file=sys.stderr)
        show(told, as_json=asked.json)
        failed = failed or not case.more["right"]
    sys.exit(failed)


if __name__ == "__main__":
    main()
