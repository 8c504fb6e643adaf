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

``--packed`` has two values in a word, which ranges allow if each is below 2^21 in size: half the bytes. ``--shamir`` is
``secure_sum_shamir`` with three computing parties of which any two open the sum: it has no ``--packed``.

Peers in the same run, where each manages the size that it says: MPyC's own sum, three processes over its own TCP
without TLS, and Flower's SecAgg+ (its own functions for all clients and the server, in one process, no network).
Seconds a value are compared, of all of the servers' side; ``ratio`` above 1 means that ours takes less. A wrong result
of anyone is exit code 1, and so is a peer that fails; ``--alone`` leaves them out.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import Case, arguments, show
from benchmarks.peers import aggregates
from benchmarks.processes import connected, peak_mb, started, used
from pets.ids import PartyId
from pets.kernels import prf
from pets.party import gate
from pets.party.drive import drive
from pets.party.warm import prepare_sums
from pets.protocols import secure_sum as ss
from pets.protocols import secure_sum_shamir as sh
from pets.protocols.base import Binding, Role
from pets.protocols.inbox import Inbox
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import with_so_many

HOLDERS: Final = 1000
WORDS: Final = 1_000_000
RUNS: Final = 3
FEW: Final = 10
DEADLINE_S: Final = 600
DIGEST: Final = b"\2" * 32
IN_MEMORY: Final = "/dev/shm"


def values_of(number: int, words: int, *, packed: bool) -> Any:
    """The vector of an input party: ``words`` words, one value of 32 bits in each, or two of 21 bits and a sign."""
    rng = np.random.default_rng(number)
    if not packed:
        return rng.integers(-(2**31), 2**31, words, dtype=np.int64).view(np.uint64)
    low, high = (rng.integers(-(2**21), 2**21, words, dtype=np.int64) for _ in range(2))
    return ((high << 32) + low).view(np.uint64)


class Additive:
    """``secure_sum`` with two computing parties."""

    protocol = ss.PROTOCOL
    parties: tuple[str, ...] = ("server1", "last", "result")
    counts: Mapping[str, int] = {"server": 1}
    public: Mapping[str, int] = {"m": 2}

    def shape(self, holders: int, words: int) -> Any:
        return ss.Shape(holders=holders, computing=2, words=words, minimum=holders)

    def kept(self, shape: Any, at: int, tied: Binding) -> Any:
        return ss.words(shape, _again) if at == shape.seeded else ss.seeds(shape, at, tied)

    def address(self, shape: Any, tied: Binding, number: int, at: int) -> Any:
        return shape.delivery.address(tied, number, at)

    def sealed_parts(
        self, shape: Any, number: int, values: Any, tied: Binding, drawn: prf.Stream, publics: list[bytes]
    ) -> list[bytes]:
        return ss.sealed_parts(shape, number, values, tied, drawn, publics)

    def role(self, shape: Any, at: int, kept: Any, tied: Binding) -> Role[Any]:
        family, noise = _family(self.protocol), np.zeros(shape.words, np.uint64)
        if at == len(self.parties) - 1:
            return ss.result(shape)
        return (
            ss.server(shape, 0, kept, tied, family(tied), noise)
            if at == 0
            else ss.last(shape, kept, tied, [family(tied)], noise)
        )

    def total(self, found: Any) -> Any:
        return found.total


class Shamir(Additive):
    """``secure_sum_shamir`` with three computing parties, of which one gets seeds."""

    protocol = sh.PROTOCOL
    parties = ("seeded1", "given1", "given2", "result")
    counts: Mapping[str, int] = {"seeded": 1, "given": 2}
    public: Mapping[str, int] = {"m": 3, "t": 1}

    def shape(self, holders: int, words: int) -> Any:
        return sh.Shape(holders=holders, computing=3, degree=1, words=words, minimum=holders, quorum=3)

    def kept(self, shape: Any, at: int, tied: Binding) -> Any:
        return sh.words(shape, _again) if at >= shape.degree else sh.seeds(shape, at, tied)

    def sealed_parts(
        self, shape: Any, number: int, values: Any, tied: Binding, drawn: prf.Stream, publics: list[bytes]
    ) -> list[bytes]:
        return sh.sealed_parts(shape, number, sh.field_of(values.view(np.int64)), tied, drawn, publics)

    def role(self, shape: Any, at: int, kept: Any, tied: Binding) -> Role[Any]:
        if at == len(self.parties) - 1:
            return sh.result(shape)
        drawn = prf.Stream(Secret(os.urandom(16)))
        return sh.computing(shape, at, kept, tied, np.zeros(shape.words, np.uint64), drawn)

    def total(self, found: Any) -> Any:
        return sh.signed(found.total).view(np.uint64)


ADDITIVE: Final = Additive()


def _again(number: int) -> Any:
    raise AssertionError(f"everybody counts, and {number} is taken off")


def _family(protocol: str) -> Callable[[Binding], prf.KeyFamily]:
    return lambda tied: prf.KeyFamily(
        Secret(b"\3" * 32), run_id=tied.run_id, digest=DIGEST, protocol=protocol, party_p="server1", party_q="last"
    )


def whole_card(way: Additive, holders: int) -> Card:
    return with_so_many(load_cards()[way.protocol], {"input": holders, **way.counts})


def card_of(holders: int, way: Additive = ADDITIVE) -> Card:
    """The card of such a run without uploads, which are taken before it."""
    card = whole_card(way, holders)
    return replace(card, messages=tuple(message for message in card.messages if message.label[0] != "U"))


def public(holders: int, words: int, way: Additive = ADDITIVE) -> dict[str, int]:
    return {"h": holders, "l": words, **way.public}


# -- a computing party, or the result party ---------------------------------------------------------------------------


class Taken:
    """The uploads of a run at one computing party, and what reading and opening them took."""

    def __init__(self, way: Additive, shape: Any, at: int, tied: Binding, private: Secret[bytes]) -> None:
        self.kept: Any = way.kept(shape, at, tied)
        names = [f"input{number + 1}" for number in range(shape.holders)]
        numbers = {name: number for number, name in enumerate(names)}
        self._inbox = Inbox(
            names, lambda name: way.address(shape, tied, numbers[name], at), private, self.kept.keep, deadline=1
        )
        self.seconds = self.cpu = 0.0

    def add(self, number: int, path: str) -> None:
        begun, before = time.perf_counter(), used()
        with Path(path).open("rb", buffering=0) as part:
            self._inbox.add(f"input{number + 1}", part, now=0)
        self.cpu += used() - before
        self.seconds += time.perf_counter() - begun


def _party(way: Additive, pipe: Connection, me: int, folder: str, certificate: bytes, key: bytes, ca: bytes) -> None:
    """One of the processes: a server, and the runs that the parent asks for."""
    prepare_sums()
    role = way.parties[me]
    with connected(pipe, way.parties, certificate, key, ca, deadline_s=DEADLINE_S) as dial:
        private = Secret(os.urandom(32))
        while (asked := pipe.recv()) is not None:
            holders, words, run = asked
            tied = Binding(digest=DIGEST, run_id=run)
            shape = way.shape(holders, words)
            taken = Taken(way, shape, me, tied, private) if role != "result" else None
            held = peak_mb()
            pipe.send(prf.public_key(private))
            while taken is not None and (upload := pipe.recv()) is not None:
                taken.add(*upload)
                pipe.send("taken")
            card = card_of(holders, way)
            link = dial(role, run, [name for name in way.parties if name != role])
            players = {name: PartyId(name) for name in (*way.parties, *card.roles)}
            projected = gate.project(card, public(holders, words, way), players, role)
            passage = gate.Gate(projected, opening=Secret(os.urandom(32)))
            pipe.send("ready")
            pipe.recv()
            before = used()
            part = way.role(shape, me, None if taken is None else taken.kept, tied)
            found = drive(part, passage, link, deadline_s=DEADLINE_S)
            end, cpu = time.perf_counter(), used() - before
            sent = sum(each.size for each in passage.finish())
            peak = peak_mb()
            spent = (0.0, 0.0) if taken is None else (taken.seconds, taken.cpu)
            pipe.send((end, cpu, spent, (held, peak), sent, way.total(found) if role == "result" else None))
            link.close()


# -- all input parties, and what is measured --------------------------------------------------------------------------


def _uploads(
    way: Additive, pipes: list[Any], shape: Any, tied: Binding, publics: list[bytes], *, packed: bool
) -> tuple[Any, list[float], int]:
    """Every input party once: the sum in the clear, seconds of each, and bytes of an upload."""
    total, seconds, size = np.zeros(shape.words, np.uint64), [], 0
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if Path(IN_MEMORY).is_dir() else None) as folder:
        paths = [Path(folder) / role for role in way.parties[:-1]]
        for number in range(shape.holders):
            values = values_of(number, shape.words, packed=packed)
            total += values
            begun = time.perf_counter()
            drawn = prf.Stream(Secret(os.urandom(16)))
            parts = way.sealed_parts(shape, number, values, tied, drawn, publics)
            seconds.append(time.perf_counter() - begun)
            size = sum(map(len, parts))
            for path, part, pipe in zip(paths, parts, pipes[:-1], strict=True):
                path.write_bytes(part)
                pipe.send((number, str(path)))
            for pipe in pipes[:-1]:
                pipe.recv()
    return total, seconds, size


def _run(way: Additive, pipes: list[Any], holders: int, words: int, *, packed: bool) -> dict[str, Any]:
    run = os.urandom(32)
    shape = way.shape(holders, words)
    for pipe in pipes:
        pipe.send((holders, words, run))
    publics = [pipe.recv() for pipe in pipes]
    tied = Binding(digest=DIGEST, run_id=run)
    total, of_inputs, size = _uploads(way, pipes, shape, tied, publics[:-1], packed=packed)
    for pipe in pipes[:-1]:
        pipe.send(None)
    for pipe in pipes:
        pipe.recv()
    begun = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    ends, cpus, spent, memory, sent, found = zip(*(pipe.recv() for pipe in pipes), strict=True)
    return {
        "uploads": dict(zip(way.parties, (seconds for seconds, _ in spent), strict=True)),
        "run": max(ends) - begun,
        "cpu": {role: cpu + own[1] for role, cpu, own in zip(way.parties, cpus, spent, strict=True)},
        "memory": max(memory[:-1], key=lambda pair: pair[1]),
        "grew": max(after - before for before, after in memory[:-1]),
        "sent": sum(sent),
        "input": of_inputs,
        "size": size,
        "right": bool(np.array_equal(found[-1], total)),
    }


def measure(way: Additive, holders: int, words: int, runs: int, *, packed: bool) -> Iterator[Case]:
    """One case: a warm run with few input parties, which shows what memory they take, then the real ones."""
    with started(partial(_party, way), way.parties) as pipes:
        few = _run(way, pipes, min(FEW, holders), words, packed=packed)
    with started(partial(_party, way), way.parties) as pipes:
        _run(way, pipes, 2, 1000, packed=packed)  # compiles, and opens connections
        done = [_run(way, pipes, holders, words, packed=packed) for _ in range(runs)]
    card = whole_card(way, holders)
    names = card.names(public(holders, words, way))
    formula = card.cost.bytes.evaluate(names)
    inside = sum(
        each.count.evaluate(names) * each.element_under(names).width for each in card.messages if each.label[0] == "U"
    )
    wrong = not all(each["right"] and each["sent"] + inside == formula for each in [*done])
    longest = [max(each["uploads"].values()) + each["run"] for each in done]
    middle = {
        **{f"{role}, uploads": statistics.median(each["uploads"][role] for each in done) for role in way.parties[:-1]},
        "run": statistics.median(each["run"] for each in done),
        "input party": statistics.median(seconds for each in done for seconds in each["input"]),
    }
    yield Case(
        name="aggregate.packed" if packed else "aggregate.shamir" if isinstance(way, Shamir) else "aggregate",
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
            "cpu_s": {role: round(statistics.median(each["cpu"][role] for each in done), 3) for role in way.parties},
        },
    )


def main() -> None:
    parser = arguments(__doc__, size=WORDS, what="words of a vector")
    parser.add_argument("--holders", type=int, default=HOLDERS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--packed", action="store_true", help="two values in a word")
    parser.add_argument("--shamir", action="store_true", help="on polynomials, with three computing parties")
    parser.add_argument("--alone", action="store_true", help="without peers")
    asked = parser.parse_args()
    if asked.shamir and asked.packed:
        parser.error("two values of 21 bits from 1,000 parties have no room in an element")
    failed, way = False, Shamir() if asked.shamir else ADDITIVE
    for case in measure(way, asked.holders, asked.size, asked.runs, packed=asked.packed):
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
