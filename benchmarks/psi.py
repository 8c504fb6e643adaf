"""How many ids two parties have in common: ``python -m benchmarks.psi [--size IDS] [--runs N] [--alone] [--json]``.

``dh_psi_cardinality`` between two processes with a party server each: mutual TLS over loopback gRPC, kernels warm,
every message through the gate that is projected from the card. Both have ids of ten digits in memory, all distinct,
half of them in common, and as many as are declared. A run starts when both are ready and ends when role a has the
number. ``bytes`` are those of all message bodies and have to equal the card's formula; ``cpu`` is seconds of processor
of both, with the digests of the receipt.

Peers, in the same run, from an environment of their own (``make bench-psi``), two processes over loopback each: SPU's
intersection by elliptic curves, which reads a CSV at each party and writes the rows in common at one, in clear brpc:
with its fastest curve, where a hash is taken for a coordinate as it is, and with a map to the curve as ours has; and
OpenMined's PSI, cardinality only, with lists in memory and messages as bytes through a pipe. The last two take a tenth
of the ids, and seconds an id are compared. ``ratio`` above 1 means that ours takes less; ``cpu_ratio`` is of processor
seconds, which others on the machine disturb less. A wrong number of anyone, and a peer that fails, is exit code 1.
"""

import argparse
import datetime as dt
import gc
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from benchmarks.common import DIGITS, Case, arguments, show
from benchmarks.peers.__main__ import ENVIRONMENT, asked_of
from benchmarks.peers.made_up import ids_of, shared_by
from benchmarks.rep3 import _Node, _san, _used
from pets.ids import PartyId
from pets.party import gate
from pets.party.config import Directory, DirectoryParty
from pets.party.drive import drive
from pets.party.identity import Authority, make_credentials
from pets.party.server import Server, keep_memory
from pets.party.warm import prepare_group
from pets.protocols import dh_psi
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.transport.grpc import Address, Credentials, Dialler, GrpcLink

PARTIES: Final = ("a", "b")
NAMES: Final = {role: PartyId(role) for role in PARTIES}
WARM: Final = 1
DEADLINE_S: Final = 600.0

SPU: Final = "SPU 0.9.5 ECDH, CURVE_25519"
ELLIGATOR: Final = "SPU 0.9.5 ECDH, CURVE_25519_ELLIGATOR2"
OPENMINED: Final = "openmined-psi 2.0.6, cardinality"
SHARE: Final = {SPU: 1, ELLIGATOR: 10, OPENMINED: 10}
"""Peers take our number of ids divided by this."""


def _party(pipe: Connection, me: int, certificate: bytes, key: bytes, ca: bytes) -> None:
    """One of the two processes: a server, and the runs that the parent asks for."""
    keep_memory()
    prepare_group()
    credentials = Credentials(certificate, Secret(key), ca)
    directory = Directory(tuple(DirectoryParty(name=n, organisation=n, san=_san(n)) for n in PARTIES), ca=ca)
    node: Any = _Node()
    server = Server(node, directory, credentials, "127.0.0.1:0")
    pipe.send(server.start())
    ports = pipe.recv()
    dialler = Dialler(credentials, {NAMES[n]: Address(f"127.0.0.1:{ports[n]}", _san(n)) for n in PARTIES})
    gc.freeze()  # as party servers do
    card, role = load_cards()[dh_psi.PROTOCOL], PARTIES[me]
    ids = np.empty((0, 10), np.uint8)
    while (asked := pipe.recv()) is not None:
        items, run = asked
        if len(ids) != items:
            ids = np.frombuffer("".join(ids_of(me, items)).encode(), np.uint8).reshape(items, 10)
        names = card.names({"n_a": items, "n_b": items})
        shape = dh_psi.Shape(**{name: names[name] for name in ("n_a", "n_b", "n_list_a", "n_list_b", "t")})
        peer = NAMES[PARTIES[1 - me]]
        link = GrpcLink(NAMES[role], run, [peer], dialler, node.exchange, deadline_s=DEADLINE_S)
        sequence = gate.project(card, {"n_a": items, "n_b": items}, NAMES, role)
        passage = gate.Gate(sequence, opening=Secret(os.urandom(32)))
        tied = dh_psi.Binding(digest=bytes(32), run_id=run)
        play = dh_psi.party_b if me else dh_psi.party_a
        part: Any = play(shape, ids, tied, Secret(os.urandom(dh_psi.ENTROPY_BYTES)))
        pipe.send("ready")
        pipe.recv()
        before, steps = _used(), dict[str, float]()
        found = drive(
            part, passage, link, deadline_s=DEADLINE_S, tick=lambda label, _, s, seen=steps: seen.update({label: s})
        )
        end = time.perf_counter()
        sent = sum(each.size for each in passage.finish())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        pipe.send(
            (end, peak, _used() - before, sent, found, {f"{role}, until {label}": s for label, s in steps.items()})
        )
        link.close()
    server.stop()
    dialler.close()


def measure(sizes: list[int], runs: int) -> Iterator[Case]:
    """Each size, ``runs`` times and once before."""
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create("benchmark", now=now)
    spawn = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for me, name in enumerate(PARTIES):
        own = make_credentials(authority, PartyId(name), _san(name), now=now)
        pipe, far = spawn.Pipe()
        given = (far, me, own.certificate, own.key.expose("give it to the child"), own.ca)
        child = spawn.Process(target=_party, args=given, daemon=True)
        child.start()
        pipes.append(pipe)
        children.append(child)
    ports = {name: pipe.recv() for name, pipe in zip(PARTIES, pipes, strict=True)}
    for pipe in pipes:
        pipe.send(ports)
    for items in sizes:
        yield _case(items, runs, pipes)
    for pipe, child in zip(pipes, children, strict=True):
        pipe.send(None)
        child.join(20)


def _case(items: int, runs: int, pipes: list[Any]) -> Case:
    card = load_cards()[dh_psi.PROTOCOL]
    names = card.names({"n_a": items, "n_b": items})
    formula = card.cost.bytes.evaluate(names)
    seconds, cpu, peak, right, steps, sent = [], [], 0, True, dict[str, float](), 0
    for number in range(WARM + runs):
        run = os.urandom(32)
        for pipe in pipes:
            pipe.send((items, run))
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        told = [pipe.recv() for pipe in pipes]
        peak = max(peak, *(each[1] for each in told))
        sent = sum(each[3] for each in told)
        right = right and told[0][4] == shared_by(items) and told[1][4] is None and sent == formula
        if number >= WARM:
            seconds.append(told[0][0] - start)
            cpu.append(sum(each[2] for each in told))
            steps = told[0][5] | told[1][5]
    more = {"formula": formula, "cpu": round(min(cpu), DIGITS), "best": round(min(seconds), DIGITS), "right": right}
    rounds = card.cost.rounds.evaluate(names)
    return Case("psi.cardinality", items, sorted(seconds), sent, rounds, peak, steps, {}, more)


def beside(case: Case, runs: int) -> Iterator[dict[str, Any] | str]:
    """What each peer took, in JSON, as it comes; as a text what is missing of it."""
    for peer, share in SHARE.items():
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


def asked() -> argparse.Namespace:
    parser = arguments(__doc__, size=0, what="ids a party; 0: 100,000 and then 2^20")
    parser.add_argument("--runs", type=int, default=3, help="runs that are counted, of ours and of SPU (default 3)")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    return parser.parse_args()


def main() -> None:
    given = asked()
    wrong: list[str] = []
    for case in measure([given.size] if given.size else [100_000, 1 << 20], given.runs):
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
