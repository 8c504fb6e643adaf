"""Operations on shares beside SPU's ABY3 and MPyC: ``make bench-peers``, ``python -m benchmarks.peers [--json]``.

Three processes over loopback for each system, one after another on the same machine, the first run discarded (but of
SPU's sort, which takes minutes). Ours are three party servers with mutual TLS and the gate (benchmarks/rep3.py), and
our sort carries a second column along; SPU has brpc without TLS, MPyC its own TCP.
Each runs at a size that it manages, and seconds a row are compared: ``ratio`` above 1 means that ours takes less;
``cpu_ratio`` is the same of seconds of processor, summed over the parties, which others on the machine disturb less.
``bytes`` and ``rounds`` are ours, as the card's formulas give them and the gate enforces them.

A wrong result of anyone is exit code 1. A peer that is not installed, or fails, is named, and is exit code 1 too.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import rep3
from benchmarks.common import DIGITS, Case, arguments

HERE: Final = Path(__file__).parent
ENVIRONMENT: Final = HERE.parent.parent / ".venv-peers" / "bin" / "python"
DEADLINE_S: Final = 3600
RUNS: Final = 3

SPU: Final = "SPU 0.9.5 ABY3"
MPYC: Final = "MPyC 0.11"


@dataclass(frozen=True, slots=True)
class Pairing:
    """One operation of ours beside one of a peer. ``divisor``: the peer has ``--size`` rows divided by this."""

    ours: str
    peer: str
    theirs: str
    divisor: int
    target: int
    """How many times as fast ours is to be."""
    warm: int = 1
    """Runs of the peer that are not counted."""
    runs: int = RUNS


PAIRINGS: Final = (
    Pairing("multiply", SPU, "multiply", 1, 10),
    Pairing("less_than", SPU, "compare", 1, 10),
    Pairing("equal", SPU, "equality", 1, 3),
    Pairing("sorted_by", SPU, "sort", 1, 40, warm=0, runs=1),
    Pairing("less_than", MPYC, "compare", 100, 500),
)


def commands(size: int) -> Iterator[tuple[str, list[str]]]:
    """How each peer is started, with all its cases."""
    cases = [(p.theirs, size // p.divisor, p.warm, p.runs) for p in PAIRINGS if p.peer == SPU]
    yield SPU, [str(HERE / "spu_aby3.py"), json.dumps(cases)]
    for each in PAIRINGS:
        if each.peer == MPYC:
            yield MPYC, [str(HERE / "mpyc_compare.py"), str(max(1, size // each.divisor)), str(RUNS), "-M3"]


def results(printed: str) -> Iterator[dict[str, Any]]:
    """The JSON objects among what a peer printed; peers log to the same place."""
    for line in printed.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def asked_of(python: Path, peer: str, command: list[str]) -> tuple[dict[str, dict[str, Any]], str | None]:
    """What a peer's cases took, by name, and what is missing of it."""
    if not python.exists():
        return {}, f"{peer} is not installed: make bench-peers makes its environment"
    done = subprocess.run([str(python), *command], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    found = {each["name"]: each for each in results(done.stdout)}
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "nothing was printed").splitlines()[-1]
        return found, f"{peer} ended with {done.returncode}: {last}"
    return found, None


def row(pairing: Pairing, case: Case, told: dict[str, Any] | None) -> dict[str, Any]:
    """One line of the table, as JSON has it."""
    line: dict[str, Any] = {
        "operation": pairing.ours,
        "rows": case.size,
        "seconds": round(case.seconds, DIGITS),
        "cpu": case.more["cpu"],
        "bytes": case.bytes,
        "bytes_a_row": round(case.bytes / case.size, 1),
        "rounds": case.rounds,
        "right": case.more["right"],
        "peer": pairing.peer,
        "peer_rows": None,
        "peer_seconds": None,
        "peer_right": None,
        "ratio": None,
        "peer_cpu": None,
        "cpu_ratio": None,
        "target": pairing.target,
    }
    if told is not None:
        seconds = statistics.median(told["seconds"])
        line["peer_rows"], line["peer_seconds"], line["peer_right"] = told["rows"], round(seconds, DIGITS), told["ok"]
        line["ratio"] = round(seconds / told["rows"] / (case.seconds / case.size), 2)
        line["peer_cpu"] = round(statistics.median(told["cpu"]), DIGITS)
        line["cpu_ratio"] = round(line["peer_cpu"] / told["rows"] / (case.more["cpu"] / case.size), 2)
    return line


def table(lines: list[dict[str, Any]]) -> str:
    """The lines for a person."""
    names = ("operation", "rows", "seconds", "cpu", "bytes_a_row", "rounds")
    names += ("peer", "peer_rows", "peer_seconds", "peer_cpu", "ratio", "cpu_ratio", "target")
    cells = [names, *(tuple("-" if line[name] is None else f"{line[name]}" for name in names) for line in lines)]
    widths = [max(len(each[place]) for each in cells) for place in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip() for each in cells
    )


def main() -> None:
    asked = arguments(__doc__, size=1_000_000, what="rows").parse_args()
    ours = {case.name.removeprefix("rep3."): case for case in rep3.measure({p.ours: asked.size for p in PAIRINGS})}
    theirs: dict[str, dict[str, dict[str, Any]]] = {}
    missing = []
    for peer, command in commands(asked.size):
        theirs[peer], problem = asked_of(ENVIRONMENT, peer, command)
        if problem:
            missing.append(problem)
    lines = [row(each, ours[each.ours], theirs[each.peer].get(each.theirs)) for each in PAIRINGS]
    if asked.json:
        for line in lines:
            print(json.dumps(line), flush=True)
    else:
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n{table(lines)}", flush=True)
    for problem in missing:
        print(problem, file=sys.stderr)
    wrong = [line for line in lines if line["right"] is not True or line["peer_right"] is False]
    for line in wrong:
        print(f"wrong result: {line['operation']} beside {line['peer']}", file=sys.stderr)
    sys.exit(bool(wrong or missing))


if __name__ == "__main__":
    main()
