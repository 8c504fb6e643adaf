"""Programs for MPyC between three servers, beside MPyC with its own sockets: ``python -m benchmarks.programs``.

Three processes with a party server each, mutual TLS over loopback gRPC, and a program's process at each; the peer are
three processes of MPyC 0.11 as it comes: plain TCP, the same ``sec_param``, the same interpreter. Both run once a
process, so both find their primes. ``size``: numbers of each party. Seconds are from when a process has its orders, or
its connections, until party 0 has its outputs; ``start`` is what ours takes before. ``ratio`` below 1: so much longer
ours takes. ``latency`` is seconds a round. A result that is not the plain one is exit code 1.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from benchmarks.common import DIGITS, Case, arguments, show
from benchmarks.processes import connected, started
from pets.ids import PartyId
from pets.kernels.prf import KeyFamily
from pets.party.mpyc_local import play
from pets.party.mpyc_relay import Relay
from pets.secret import Secret
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_source import check_source
from pets.spec.mpyc_terms import MOST, Input, Output, Terms

PARTIES: Final = ("a", "b", "c")
DEADLINE_S: Final = 600.0
RUNS: Final = 3
STOCK: Final = Path(__file__).parent / "peers" / "mpyc_programs.py"
MPYC: Final = "MPyC 0.11 as it comes"

SOURCES: Final[Mapping[str, str]] = {
    "sum": """
from mpyc.runtime import mpc

async def main():
    values = mpc.inputs("x", mpc.SecInt())
    told = [mpc.sum([value for holder in values for value in holder])]
    mpc.release("found", told + [a * b * c for a, b, c in zip(values[0], values[1], values[2])])
""",
    "quantile": """
from mpyc.runtime import mpc

async def main():
    values = [value for holder in mpc.inputs("x", mpc.SecInt()) for value in holder]
    mpc.release("found", mpc.sorted(values)[(len(values) + 1) // 2 - 1])
""",
}


def own_numbers(party: int, rows: int) -> list[int]:
    return [(7 * party + 3 * row) % 101 for row in range(rows)]


def plain(name: str, rows: int) -> list[int]:
    values = [own_numbers(party, rows) for party in range(3)]
    flat = sorted(value for each in values for value in each)
    if name == "quantile":
        return [flat[(3 * rows + 1) // 2 - 1]]
    return [sum(flat), *(a * b * c for a, b, c in zip(*values, strict=True))]


def terms_of(name: str, rows: int) -> Terms:
    names = tuple(map(PartyId, PARTIES))
    count = 1 if name == "quantile" else rows + 1
    return Terms(
        program="own",
        source=check_source(SOURCES[name].encode()).sha256,
        parties=names,
        bits=64,
        parameters={},
        inputs=(Input("x", names, rows, 0, 100),),
        outputs=(Output("found", names, count),),
        budget=MOST,
    )


def _party(pipe: Connection, me: int, folder: str, certificate: bytes, key: bytes, ca: bytes) -> None:
    """One of the three processes: a server, and the runs that the parent asks for."""
    names = tuple(map(PartyId, PARTIES))
    with connected(pipe, PARTIES, certificate, key, ca, deadline_s=DEADLINE_S) as dial:
        while (asked := pipe.recv()) is not None:
            name, rows, run = asked
            terms = terms_of(name, rows)
            link = dial(names[me], run, [peer for peer in names if peer != names[me]])
            relay = Relay(
                terms,
                names[me],
                approved=terms_digest(terms),
                source=SOURCES[name],
                own={"x": own_numbers(me, rows)},
                link=link,
                families=_families(names, me, run),
                opening=Secret(os.urandom(32)),
                deadline_s=DEADLINE_S,
            )
            told = relay.run()
            link.close()
            pipe.send((relay.seconds, list(told["found"]), sum(size for _, size in relay.sent.values())))


def _families(names: tuple[PartyId, ...], me: int, run: bytes) -> dict[PartyId, KeyFamily]:
    """Keys of the run, from a secret that nobody needs to keep here."""
    made = {}
    for peer in names:
        if peer != names[me]:
            p, q = sorted((names[me], peer))
            made[peer] = KeyFamily(
                Secret(b"\1" * 32), run_id=run, digest=run, protocol="mpyc_program", party_p=p, party_q=q
            )
    return made


def measure(name: str, rows: int, runs: int = RUNS) -> Case:
    """One program at one size, ours and the peer's."""
    terms = terms_of(name, rows)
    counted = play(
        terms,
        SOURCES[name],
        {party: {"x": own_numbers(me, rows)} for me, party in enumerate(terms.parties)},
        deadline_s=DEADLINE_S,
    )
    seconds, starts, sent, right = [], [], 0, True
    with started(_party, PARTIES) as pipes:
        for _ in range(runs):
            run = os.urandom(32)
            for pipe in pipes:
                pipe.send((name, rows, run))
            told = [pipe.recv() for pipe in pipes]
            seconds.append(told[0][0]["run"])
            starts.append(told[0][0]["start"])
            sent = sum(each[2] for each in told)
            right = right and all(each[1] == plain(name, rows) for each in told)
    peers = [stock(name, rows, terms.sec_param) for _ in range(runs)]
    right = right and all(found == plain(name, rows) for _, found in peers)
    middle = sorted(took for took, _ in peers)[runs // 2]
    more = {
        "best": round(min(seconds), DIGITS),
        "right": right,
        "counted_bytes": counted.total_bytes,
        "latency": round(sorted(seconds)[runs // 2] / counted.rounds, DIGITS),
        "peer_runs": [round(took, DIGITS) for took, _ in peers],
    }
    steps = {"start": sorted(starts)[runs // 2]}
    return Case(f"programs.{name}", rows, sorted(seconds), sent, counted.rounds, 0, steps, {MPYC: middle}, more)


def stock(name: str, rows: int, sec_param: int) -> tuple[float, list[int]]:
    """Seconds and outputs of MPyC with its own sockets."""
    base = 12_000 + int(time.time() * 10) % 20_000
    command = [sys.executable, str(STOCK), name, str(rows), "-M3", "-K", str(sec_param), "--no-log", "-B", str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    return float(said["seconds"]), list(said["found"])


def main() -> None:
    parser = arguments(__doc__, size=10, what="numbers of each party")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(SOURCES)} (default: all)")
    given = parser.parse_args()
    wrong = False
    for name in given.name or SOURCES:
        case = measure(name, given.size)
        show(case, as_json=given.json)
        wrong = wrong or not case.more["right"]
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
