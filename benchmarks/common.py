"""What every benchmark prints: one case, as a JSON object or as lines for a person.

``name``, ``size`` (what it counts is said by the benchmark), ``seconds`` (median of several), ``bytes`` on the wire,
``rounds``, ``peak_rss_mb`` of the process that took most, ``steps`` (seconds by step), ``peers`` (name to seconds, in
the same run), ``ratio`` (the first peer's seconds divided by ours). What else a benchmark knows comes after these.
"""

import argparse
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DIGITS: Final = 4
"""Decimal places of seconds."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of output. ``runs``: seconds of each repetition; ``more``: facts that only this benchmark has."""

    name: str
    size: int
    runs: Sequence[float]
    bytes: int
    rounds: int
    peak_rss_mb: int
    steps: Mapping[str, float]
    peers: Mapping[str, float]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return statistics.median(self.runs)

    @property
    def ratio(self) -> float | None:
        """How many times our seconds go into the first peer's: above 1 we are faster."""
        return next(iter(self.peers.values())) / self.seconds if self.peers else None

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "name": self.name,
            "size": self.size,
            "seconds": round(self.seconds, DIGITS),
            "bytes": self.bytes,
            "rounds": self.rounds,
            "peak_rss_mb": self.peak_rss_mb,
            "steps": {step: round(seconds, DIGITS) for step, seconds in self.steps.items()},
            "peers": {peer: round(seconds, DIGITS) for peer, seconds in self.peers.items()},
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "runs": [round(seconds, DIGITS) for seconds in self.runs],
            **self.more,
        }


def arguments(doc: str | None, *, size: int, what: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark has; ``what`` says what ``--size`` counts."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=size, help=f"{what} (default {size:,})")
    parser.add_argument("--json", action="store_true", help="one JSON object per case and nothing else")
    return parser


def show(case: Case, *, as_json: bool) -> None:
    """Print a case."""
    told = case.to_json()
    if as_json:
        print(json.dumps(told), flush=True)
        return
    print(f"{case.name}  size {case.size:,}  on {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for name, value in told.items():
        if name in ("name", "size"):
            continue
        if isinstance(value, Mapping):
            print(f"  {name}")
            for key, inner in value.items():
                print(f"    {key:<24} {inner}")
        else:
            print(f"  {name:<26} {value:,}" if isinstance(value, int) else f"  {name:<26} {value}")
    print(flush=True)
