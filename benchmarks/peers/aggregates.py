"""Sums of vectors by MPyC and Flower, as ``benchmarks.aggregate`` shows them beside ours.

Each peer adds up what it manages in a minute or so; its seconds are scaled to as many values as ours had, and what was
measured is told beside that.
"""

import statistics
from pathlib import Path
from typing import Any, Final

from benchmarks.common import DIGITS
from benchmarks.peers.__main__ import ENVIRONMENT, asked_of

HERE: Final = Path(__file__).parent
FLOWER_ENVIRONMENT: Final = HERE.parent.parent / ".venv-flower" / "bin" / "python"

MPYC: Final = "MPyC 0.11 sum, scaled"
FLOWER: Final = "Flower 1.42 SecAgg+ server, scaled"
MPYC_SIZE: Final = (30, 10_000)
"""Vectors, and values of each."""
FLOWER_SIZE: Final = (100, 100_000)
RUNS: Final = 2


def beside(values: int) -> tuple[dict[str, float], dict[str, Any], list[str]]:
    """Seconds by peer for so many values, what was measured, and what is missing or wrong."""
    peers: dict[str, float] = {}
    facts: dict[str, Any] = {}
    missing = []
    vectors, size = MPYC_SIZE
    command = [str(HERE / "mpyc_sum.py"), str(vectors), str(size), str(RUNS), "-M3"]
    found, problem = asked_of(ENVIRONMENT, MPYC, command)
    if (told := found.get("sum")) is not None:
        seconds = statistics.median(told["seconds"])
        peers[MPYC] = seconds * values / (vectors * size)
        facts["mpyc"] = {
            **told,
            "seconds": round(seconds, DIGITS),
            "cpu": round(statistics.median(told["cpu"]), DIGITS),
        }
    missing += [problem] if problem else []
    clients, size = FLOWER_SIZE
    command = [str(HERE / "flower_secagg.py"), str(clients), str(size)]
    found, problem = asked_of(FLOWER_ENVIRONMENT, FLOWER, command)
    if (told := found.get("secagg+")) is not None:
        peers[FLOWER] = told["server"] * values / (clients * size)
        facts["flower"] = told
    missing += [problem] if problem else []
    missing += [f"wrong result: {name}" for name in ("mpyc", "flower") if name in facts and not facts[name]["ok"]]
    return peers, facts, missing
