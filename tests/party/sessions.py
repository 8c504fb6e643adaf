"""Whole runs without nodes: the real sessions, gate, drive, roles and network, and records that a test draws.

Faster than ``world``, because nothing is approved, charged or kept: what is left is what can put a byte on the wire.
"""

import os
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pets.ids import PartyId, RunHandle
from pets.party import cast, gate, hello, joining, opening, prepare, session
from pets.party.drive import drive
from pets.party.gate import Expected, Gate
from pets.party.sources import Table
from pets.plan.cost import join_of
from pets.plan.review import Reviewed
from pets.protocols.base import Send
from pets.spec.cards import load_cards
from pets.spec.ir import Read
from pets.spec.joins import MODE_A
from pets.transport.link import Link
from pets.transport.memory import MemoryNetwork, Passing

HANDLE = RunHandle("ab" * 16)
CARD = load_cards()[MODE_A]


Tables = Mapping[tuple[str, Any], Table]
"""What each holder brings of each dataset."""


@dataclass(frozen=True)
class Draw:
    """What one input is like, as shares of what is declared. ``pool``: of persons, how many both tables may have."""

    full: float
    nulls: float
    pool: float


def table_of(read: Read, fixed: bool, like: Draw, draw: random.Random) -> Table:
    """Records for one step of the plan: never more than declared, persons, rows, cells, values and NULLs at random."""
    cells = int(np.prod([len(dimension.levels) for dimension in read.dimensions], dtype=np.int64))
    room, people = int(read.max_rows * like.full), list[int]()
    for person in sorted(draw.sample(range(2 * read.max_rows), read.max_rows)):
        shared = person if draw.random() < like.pool else person + 10**6 * (1 + read.per_person)
        rows = min(draw.randint(1, read.rows_per_person), room - len(people))
        people += [shared] * rows
    people.sort()
    n = len(people)
    names = {name for factor in read.factors for name in (*factor.values, *factor.present)}
    return Table(
        ids=np.array([list(b"%010d" % person) for person in people], np.uint8).reshape(n, 10),
        fixed=fixed,
        person=np.array(people, np.uint32),
        cell=np.array([draw.randrange(cells) for _ in people], np.uint32),
        values={name: np.array([draw.randint(0, 9) for _ in people], np.int64) for name in names},
        present={name: np.array([draw.random() >= like.nulls for _ in people], np.bool_) for name in names},
        compared=tuple(np.array([draw.randint(-9, 9) for _ in people], np.int64) for _ in read.compared),
        tests=tuple(np.array([draw.random() >= like.nulls for _ in people], np.bool_) for _ in read.tests),
        chosen={
            each: np.array([draw.random() >= like.nulls for _ in people], np.bool_)
            for factor in read.factors
            for each in factor.when
        },
    )


def draw_tables(reviewed: Reviewed, draw: random.Random) -> Tables:
    """An input of every holder: empty, full or between, all or nobody matched, without or with only NULLs."""
    fixed = join_of(reviewed.plan).fixed_ids
    pool = draw.choice([0.0, 1.0, draw.random()])

    def some() -> float:
        return draw.choice([0.0, 1.0, draw.random()])

    found = {}
    for step in reviewed.plan.steps:
        if isinstance(step, Read):
            parts = reviewed.spec.dataset(step.dataset).holders or {step.party: step.max_rows}
            for party, most in parts.items():
                own = replace(step, max_rows=most)
                found[step.dataset, party] = table_of(own, fixed, Draw(some(), some(), pool), draw)
    return found


@dataclass
class Played:
    """What was on the wire: every frame, and what each role handed to its gate."""

    frames: list[Passing] = field(default_factory=list)
    hellos: dict[tuple[str, str], int] = field(default_factory=dict)
    acts: dict[str, list[tuple[str, str, int, str, tuple[int, ...]]]] = field(default_factory=dict)
    """By sending role: to which role, label, column, dtype, shape."""
    opened: Any = None

    def traffic(self, rounds: Mapping[int, int]) -> dict[tuple[int, str, str], tuple[int, int]]:
        """Messages and bytes, headers included, by round and direction; ``rounds``: message number to round."""
        found: dict[tuple[int, str, str], tuple[int, int]] = {(0, *way): (1, size) for way, size in self.hellos.items()}
        for each in self.frames:
            way = (rounds[each.head.slot.message], str(each.sender), str(each.to))
            messages, size = found.get(way, (0, 0))
            found[way] = (messages + (each.head.index == 0), size + len(each.data))
        return found


class _Carrier:
    def __init__(self, run: "_Run", party: PartyId) -> None:
        self.run, self.party = run, party

    def hello(self, peer: PartyId, handle: RunHandle, body: bytes) -> None:
        self.run.played.hellos[self.party, peer] = len(body)
        self.run.sessions[peer].take_hello(self.party, body)

    def conclude(self, peer: PartyId, handle: RunHandle, deadline_s: float) -> None:
        self.run.sessions[peer].await_end()

    def abort(self, peer: PartyId, run_id: bytes, code: str) -> None:
        raise AssertionError("an honest run is not aborted")

    def link(self, run_id: bytes, peers: Any, result: PartyId, collector: PartyId, *, keeps: bool) -> Link:
        return self.run.network(run_id).link(self.party)


class _Run:
    def __init__(self, reviewed: Reviewed) -> None:
        self.reviewed, self.played = reviewed, Played()
        self.sessions: dict[PartyId, session.Session] = {}
        self.networks: dict[bytes, MemoryNetwork] = {}
        self.lock = threading.Lock()

    def network(self, run_id: bytes) -> MemoryNetwork:
        with self.lock:
            if run_id not in self.networks:
                endpoint = cast.result_endpoint(self.reviewed)
                made = MemoryNetwork([*self.reviewed.spec.servers, endpoint], run_id)
                made.taps.append(self.note)
                self.networks[run_id] = made
            return self.networks[run_id]

    def note(self, passing: Passing) -> Iterable[bytes]:
        with self.lock:
            self.played.frames.append(passing)
        return (passing.data,)


class _Noting(Gate):
    """The gate, which notes the arrays that were asked to pass."""

    noted: list[tuple[str, str, int, str, tuple[int, ...]]]

    def pass_out(self, act: Send) -> tuple[Expected, memoryview]:
        self.noted.append((act.to, act.label, act.column, str(act.array.dtype), act.array.shape))
        return super().pass_out(act)


def run(reviewed: Reviewed, tables: Tables) -> Played:
    """One honest run; what came of it, opened, and everything that was on the wire."""
    made = _Run(reviewed)
    shape = prepare.shape_of(reviewed.plan)
    agreed = joining.to_agree(reviewed, shape)
    own = hello.make(agreed, os.urandom(16), {})
    roles = {party: role for role, party in cast.roles_of(reviewed).items()}
    failed: list[BaseException] = []
    for party in reviewed.spec.servers:
        made.sessions[party] = session.Session(
            reviewed,
            party,
            HANDLE,
            carrier=_Carrier(made, party),
            play=joining.JoinPlay(
                reviewed,
                party,
                lambda read, party=party: tables[read.dataset, party],  # type: ignore[misc]
                os.urandom,
            ),
            result_hello=own.body,
            entropy=os.urandom,
            deadline_s=30.0,
            run_s=60.0,
            tick=lambda *_: None,
            sets={d.name: "0" * 64 for d in reviewed.spec.datasets if party in d.parties},
        )

    def play(party: PartyId) -> None:
        try:
            made.sessions[party].run()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=play, args=(party,)) for party in reviewed.spec.servers]
    for thread in threads:
        thread.start()
    bodies = [made.sessions[party].hello_body for party in reviewed.spec.computing]
    link = made.network(hello.run_id([*bodies, own.body])).link(cast.result_endpoint(reviewed))
    passage = Gate(gate.project_plan(reviewed.plan, cast.roles_of(reviewed), "result"))
    try:
        shares = drive(opening.receive(reviewed.plan, cast.roles_of(reviewed)), passage, link, deadline_s=30.0)
        made.played.opened = opening.opened(reviewed.plan, shares)
    finally:
        passage.close()
        for thread in threads:
            thread.join(60)
    if failed:
        raise failed[0]
    for party, each in made.sessions.items():
        noted = each._passage
        made.played.acts[roles[party]] = noted.noted if isinstance(noted, _Noting) else []
    return made.played


def noting(monkeypatch: Any) -> None:
    """Let every party's gate note the arrays that pass."""

    def make(*given: Any, **named: Any) -> Gate:
        passage = _Noting(*given, **named)
        passage.noted = []
        return passage

    monkeypatch.setattr(session.gate, "Gate", make)
