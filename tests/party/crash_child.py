"""A process that works on a state file and kills itself with SIGKILL at a named boundary.

Run as a script: ``crash_child.py FILE BOUNDARY ACTION``. What it had acknowledged before, it wrote to its output.
"""

import datetime as dt
import os
import signal
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from pets.approve.approvals import Count
from pets.check.budget import Loss
from pets.check.releases import Entry, Release
from pets.ids import PlanDigest, RunHandle, SpecDigest
from pets.party.accounting import Account, Cap
from pets.party.history import History
from pets.party.ledger import Ledger
from pets.party.log import Log
from pets.party.state import Boundary, State, StoredSnapshot, StoredSpec

DIGEST = SpecDigest("ab" * 32)
ASKED = Loss(Fraction(1, 3), Fraction(1, 2**40))
ACCOUNT = Account("t")
CAP = Cap(Loss(Fraction(10), Fraction(1)), dt.date(2000, 1, 1))
SPEC = StoredSpec(DIGEST, PlanDigest("cd" * 32), b"toml", b"{}", b"envelope", "Alex", b"key")
COVERING = replace(SPEC, digest=SpecDigest("12" * 32))
ENTRY = Entry(
    "ab" * 32,
    Release(records=(), dimensions=(), parts=(), exact=True, min_count=10, round_to=1, runs=1),
    {"t": "version"},
    dt.date(2027, 1, 1),
)
SNAPSHOT = StoredSnapshot(DIGEST, "t", "2027-01-01", "t.parquet", "aa" * 32, "bb" * 32, "cc" * 32, bytes(32), 10)
PASSING = replace(SNAPSHOT, dataset="u", file="u.parquet", kept=False)
"""Taken for one run alone."""


def act(state: State, action: str) -> None:
    """One durable action."""
    match action:
        case "spec":
            state.add_spec(SPEC)
        case "envelope":
            state.add_envelope(DIGEST, "approval", "Ann", b"signed")
        case "snapshot":
            state.add_snapshot(SNAPSHOT)
        case "passing":
            state.add_snapshot(PASSING)
        case "drop":
            state.drop_snapshot(PASSING)
        case "keep":
            state.count_run(Count(DIGEST, 5), keep=[PASSING])
        case "count":
            state.count_run(Count(DIGEST, 5))
        case "covering":
            state.add_spec(COVERING)
        case "count both":
            state.count_run(Count(DIGEST, 5), Count(COVERING.digest, 5))
        case "reserve":
            Ledger(state).reserve(RunHandle("r"), {ACCOUNT: ASKED}, {ACCOUNT: CAP})
        case "settle":
            Ledger(state).settle(RunHandle("r"))
        case "spend":
            state.use_once("pool", b"index 7")
        case "history":
            History(state).remember(RunHandle("r"), ENTRY)
        case "log":
            Log(state).append("server.started", software="0", party="board")


def main(file: str, boundary: str, action: str) -> None:
    def stop(at: Boundary) -> None:
        if at.value == boundary:
            os.kill(os.getpid(), signal.SIGKILL)

    with State(Path(file), at=stop) as state:
        act(state, action)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
