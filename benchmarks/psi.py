"""What ids two parties have in common: ``python -m benchmarks.psi [--size IDS] [--of WHAT] [--runs N] [--alone]``.

``dh_psi_cardinality`` (how many), ``vole_psi`` and ``kkrt_psi`` (which), ``vole_psi_malicious`` (where either of the
two may cheat) and, ``psi.sum``, ``psi_sum`` (how many and a sum, in each of eight groups that are filled up to an
eighth of the ids; SEAL in a process apart of each side) between two processes with a party server each: mutual TLS over
loopback gRPC, kernels warm, every message through the gate that is projected from the card. Both have ids of ten
digits, all distinct, half of them in common, and as many as are declared: in memory or, ``*.files``, in a CSV each,
from which another one is made of what is in common. A run starts when both are ready and ends when the party that gets
the result has it. ``bytes`` are those of all message bodies and have to equal the card's formula; ``cpu`` is seconds of
processor of both, with the digests of the receipt; ``rss_before_mb`` is what a process held before its first run of
that size, ids and kernels, the larger of the two.

Peers, in the same run, from an environment of their own (``make bench-psi``), two processes over loopback each. SPU
reads a CSV at each party and writes the rows in common at one, in clear brpc: its intersection by elliptic curves, with
its fastest curve, where a hash is taken for a coordinate as it is, and with a map to the curve as ours has; and its
RR22 and KKRT, beside files. OpenMined's PSI, cardinality only, has lists in memory and messages as bytes
through a pipe. It and the map to the curve take a tenth of the ids, and seconds an id are compared. ``ratio`` above 1
means that ours takes less; ``cpu_ratio`` is of processor seconds, which others on the machine disturb less. A wrong
result of anyone, and a peer that fails, is exit code 1.
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import csv

from benchmarks.common import DIGITS, Case, arguments, show
from benchmarks.peers.__main__ import ENVIRONMENT, asked_of
from benchmarks.peers.made_up import ids_of, shared_by
from benchmarks.processes import connected, peak_mb, started, used
from pets.ids import PartyId
from pets.party import gate
from pets.party.bfv import Worker, memory_for
from pets.party.drive import drive
from pets.party.warm import prepare_bins, prepare_vectors
from pets.protocols import dh_psi, kkrt_psi, psi_sum, vole_psi, vole_psi_malicious
from pets.protocols.base import Binding, Role
from pets.secret import Secret
from pets.spec.cards import Card, load_cards

PARTIES: Final = ("a", "b")
NAMES: Final = {role: PartyId(role) for role in PARTIES}
CARDINALITY: Final = "psi.cardinality"
INTERSECTION: Final = "psi.intersection"
FILES: Final = "psi.files"
SUM: Final = "psi.sum"
TRANSFERS: Final = "psi.transfers"
TRANSFERS_FILES: Final = "psi.transfers.files"
MALICIOUS: Final = "psi.malicious"
CARDS: Final = {
    CARDINALITY: dh_psi.PROTOCOL,
    INTERSECTION: vole_psi.PROTOCOL,
    FILES: vole_psi.PROTOCOL,
    TRANSFERS: kkrt_psi.PROTOCOL,
    TRANSFERS_FILES: kkrt_psi.PROTOCOL,
    SUM: psi_sum.PROTOCOL,
    MALICIOUS: vole_psi_malicious.PROTOCOL,
}
IN_FILES: Final = (FILES, TRANSFERS_FILES)
GROUPS: Final = 8
WARM: Final = 1
DEADLINE_S: Final = 600.0

HELPED: Final = tuple(
    f"helper.{name}" for name in ("count", "count.files", "which", "which.files", "which.values", "enough")
)
"""Modes of benchmarks/helper_psi.py."""

SPU: Final = "SPU 0.9.5 ECDH, CURVE_25519"
ELLIGATOR: Final = "SPU 0.9.5 ECDH, CURVE_25519_ELLIGATOR2"
OPENMINED: Final = "openmined-psi 2.0.6, cardinality"
RR22: Final = "SPU 0.9.5 RR22"
KKRT: Final = "SPU 0.9.5 KKRT"
SHARE: Final = {
    CARDINALITY: {SPU: 1, ELLIGATOR: 10, OPENMINED: 10},
    FILES: {RR22: 1, KKRT: 1},
    TRANSFERS_FILES: {KKRT: 1},
}
"""Peers take our number of ids divided by this."""
PUBLISHED: Final = {(SUM, 10_000): ("Private Join and Compute, one sum, its paper", 7.47)}
"""Seconds that others report of themselves, on their machines."""


def _public(card: Card, items: int) -> dict[str, int]:
    """The same declared size for both lists; of sums, one column in GROUPS groups."""
    if card.id == psi_sum.PROTOCOL:
        return {"m_a": -(-items // GROUPS), "n_b": items, "g": GROUPS, "v": 1, "primes": 1}
    return dict.fromkeys(set(card.public) - set(card.defaults), items)


def _read(source: Path) -> Any:
    """The ids of a CSV with one column, as rows of ten bytes."""
    kept = csv.read_csv(source, convert_options=csv.ConvertOptions(column_types={"id": pa.string()}))["id"]
    column = kept.combine_chunks()
    _, offsets, text = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[: len(column) + 1]
    if not np.array_equal(ends, 10 * np.arange(len(column) + 1)):
        raise ValueError("not all ids have ten digits")
    return np.frombuffer(text, np.uint8)[: 10 * len(column)].reshape(-1, 10)


def _write(target: Path, ids: Any) -> None:
    lines = np.full((len(ids), 11), ord("\n"), np.uint8)
    lines[:, :10] = ids
    target.write_bytes(b"id\n" + lines.tobytes())


def _resident_mb() -> int:
    """What this process holds of the machine's memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20


def _spent() -> float:
    """Seconds of processor of this process and of those that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used() + ended.ru_utime + ended.ru_stime


def _part(what: str, me: int, ids: Any, run: bytes) -> Role[Any]:
    """The role of this party: the first of a card has the result."""
    card = load_cards()[CARDS[what]]
    names, tied = card.names(_public(card, len(ids))), Binding(digest=bytes(32), run_id=run)
    if what == CARDINALITY:
        shape = dh_psi.Shape(**{name: names[name] for name in ("n_a", "n_b", "n_list_a", "n_list_b", "t")})
        count = dh_psi.party_b if me else dh_psi.party_a
        return count(shape, ids, tied, Secret(os.urandom(dh_psi.ENTROPY_BYTES)))
    if what == SUM:
        return _sums(me, ids, names, tied)
    sizes = {name: names[name] for name in ("n_r", "n_s", "n_list_r", "n_list_s", "t")}
    protocol: Any = {each.PROTOCOL: each for each in (vole_psi, kkrt_psi, vole_psi_malicious)}[card.id]
    own, shape = Secret(os.urandom(protocol.ENTROPY_BYTES)), protocol.Shape(**sizes, fixed_ids=True)
    find: Role[Any] = (protocol.sender if me else protocol.receiver)(shape, ids, tied, own)
    return find


def _sums(me: int, ids: Any, names: dict[str, int], tied: Binding) -> Role[Any]:
    """Its role, with a process for SEAL that starts and ends with it. Noise is 0, so that the result can be checked."""
    shape = psi_sum.Shape(**{each.name: names[each.name] for each in dataclasses.fields(psi_sum.Shape)})
    number, drawn = np.arange(len(ids)), Secret(os.urandom(psi_sum.ENTROPY_BYTES))
    with Worker(memory=memory_for(columns=1, cells=GROUPS), cpu_s=3600, timeout_s=DEADLINE_S) as worker:
        if me:
            people = psi_sum.PeopleOfB(ids, [number % 1000 - 300])
            noise = np.zeros((1, GROUPS), np.uint64)
            return (yield from psi_sum.party_b(shape, people, tied, worker, drawn, noise))
        grouped = psi_sum.PeopleOfA(ids, (number % GROUPS).astype(np.uint32))
        return (yield from psi_sum.party_a(shape, grouped, tied, worker, drawn))


def _is_right(what: str, found: Any, items: int) -> bool:
    """Whether the result is the number in common, or the places of these: the last ones of the first party."""
    if what == CARDINALITY:
        return bool(found == shared_by(items))
    if what == SUM:  # of b the first ones are shared, of a the last, in the same order
        number = np.arange(shared_by(items))
        group = (items - len(number) + number) % GROUPS
        sums = np.bincount(group, number % 1000 - 300, GROUPS)
        return (found.counts, found.sums) == (tuple(np.bincount(group, minlength=GROUPS)), (tuple(sums),))
    return bool(np.array_equal(found.places, np.arange(items - shared_by(items), items)))


def _party(pipe: Connection, me: int, folder: str, certificate: bytes, key: bytes, ca: bytes) -> None:
    """One of the two processes: a server, and the runs that the parent asks for."""
    prepare_vectors()
    prepare_bins()
    with connected(pipe, PARTIES, certificate, key, ca, deadline_s=DEADLINE_S) as dial:
        ids = np.empty((0, 10), np.uint8)
        while (asked := pipe.recv()) is not None:
            what, items, run = asked
            if len(ids) != items:
                ids = np.frombuffer("".join(ids_of(me, items)).encode(), np.uint8).reshape(items, 10)
            card = load_cards()[CARDS[what]]
            role, players = list(card.roles)[me], dict(zip(card.roles, NAMES.values(), strict=True))
            link = dial(players[role], run, [PARTIES[1 - me]])
            sequence = gate.project(card, _public(card, items), players, role)
            passage = gate.Gate(sequence, opening=Secret(os.urandom(32)))
            source, target = Path(folder) / f"in{me}.csv", Path(folder) / "out.csv"
            if what in IN_FILES:
                _write(source, ids)
            held = _resident_mb()
            pipe.send("ready")
            pipe.recv()
            before, steps = _spent(), dict[str, float]()
            found = drive(
                _part(what, me, _read(source) if what in IN_FILES else ids, run),
                passage,
                link,
                deadline_s=DEADLINE_S,
                tick=lambda label, _, s, seen=steps: seen.update({label: s}),
            )
            if what in IN_FILES and not me:
                _write(target, ids[found.places])
            end = time.perf_counter()
            sent = sum(each.size for each in passage.finish())
            peak = peak_mb()
            right = found is None if me else _is_right(what, found, items)
            pipe.send(
                (
                    end,
                    (held, peak),
                    _spent() - before,
                    sent,
                    right,
                    {f"{role}, until {label}": s for label, s in steps.items()},
                )
            )
            link.close()


def measure(asked: list[tuple[str, int]], runs: int) -> Iterator[Case]:
    """Each protocol and size, ``runs`` times and once before."""
    with started(_party, PARTIES) as pipes:
        for what, items in asked:
            yield _case(what, items, runs, pipes)


def _case(what: str, items: int, runs: int, pipes: list[Any]) -> Case:
    card = load_cards()[CARDS[what]]
    case = case_of((what, items, runs), pipes, card, card.names(_public(card, items)))
    if (what, items) not in PUBLISHED:
        return case
    who, took = PUBLISHED[what, items]
    told = {"published": who, "published_s": took, "published_ratio": round(took / min(case.runs), 1)}
    return dataclasses.replace(case, more=dict(case.more) | told)


def case_of(
    asked: tuple[str, int, int], pipes: list[Any], card: Card, names: dict[str, int], *, warm: int = WARM, last: int = 0
) -> Case:
    """Run what is asked (mode, ids a party, how often) on all processes; number ``last`` is the one with the result."""
    what, items, runs = asked
    formula = card.cost.bytes.evaluate(names)
    seconds, cpu, held, peak, right, steps, sent = [], [], 0, 0, True, dict[str, float](), 0
    for number in range(warm + runs):
        run = os.urandom(32)
        for pipe in pipes:
            pipe.send((what, items, run))
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        told = [pipe.recv() for pipe in pipes]
        peak = max(peak, *(each[1][1] for each in told))
        held = held or max(each[1][0] for each in told)
        sent = sum(each[3] for each in told)
        right = right and all(each[4] for each in told) and sent == formula
        if number >= warm:
            seconds.append(told[last][0] - start)
            cpu.append(sum(each[2] for each in told))
            steps = {name: s for each in told for name, s in each[5].items()}
    more = {"formula": formula, "cpu": round(min(cpu), DIGITS), "best": round(min(seconds), DIGITS), "right": right}
    more["rss_before_mb"] = held
    return Case(what, items, sorted(seconds), sent, card.cost.rounds.evaluate(names), peak, steps, {}, more)


def beside(case: Case, runs: int) -> Iterator[dict[str, Any] | str]:
    """What each peer took, in JSON, as it comes; as a text what is missing of it."""
    for peer, share in SHARE.get(case.name, {}).items():
        items = max(1, case.size // share)
        if peer == OPENMINED:
            command = ["-m", "benchmarks.peers.openmined", json.dumps([[items, 0, 1]])]
        else:
            command = ["-m", "benchmarks.peers.spu_psi", json.dumps([[peer.rpartition(" ")[2], items, WARM, runs]])]
        found, problem = asked_of(ENVIRONMENT, peer, command)
        if problem:
            yield problem
        for told in found.values():
            took, used = min(told["seconds"]), min(told["cpu"])
            yield {
                "peer": peer,
                "items": told["items"],
                "seconds": round(took, DIGITS),
                "median": round(statistics.median(told["seconds"]), DIGITS),
                "cpu": round(used, DIGITS),
                "right": told["ok"],
                "ratio": round(took / told["items"] / (case.more["best"] / case.size), 2),
                "cpu_ratio": round(used / told["items"] / (case.more["cpu"] / case.size), 2),
            }


def helped(asked: list[tuple[str, int]], runs: int) -> Iterator[Case]:
    """The same with a helper: modes of another module, with processes of its own, and ids and files of this one."""
    from benchmarks import helper_psi

    yield from helper_psi.measure(asked, runs)


def asked() -> argparse.Namespace:
    parser = arguments(__doc__, size=0, what="ids a party; 0: 100,000 and then 2^20")
    parser.add_argument("--of", choices=[*CARDS, *HELPED], help="one of them alone; helper.*: with a helper, no peers")
    parser.add_argument("--runs", type=int, default=3, help="runs that are counted, of ours and of SPU (default 3)")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    return parser.parse_args()


def main() -> None:
    given = asked()
    wrong: list[str] = []
    sizes = [given.size] if given.size else [100_000, 1 << 20]
    cases = [(what, n) for what in ([given.of] if given.of else CARDS) for n in sizes]
    for case in helped(cases, given.runs) if given.of in HELPED else measure(cases, given.runs):
        show(case, as_json=given.json)
        wrong += [] if case.more["right"] else ["wrong result of ours"]
        for line in () if given.alone else beside(case, given.runs):
            if isinstance(line, str):
                wrong.append(line)
                continue
            print(json.dumps(line) if given.json else "  " + ", ".join(f"{k} {v}" for k, v in line.items()), flush=True)
            wrong += [] if line["right"] else [f"wrong result of {line['peer']}"]
    for problem in wrong:
        print(problem, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
