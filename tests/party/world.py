"""Three nodes, or as many as asked, and an analyst in this process, with everything a hostile test wants to reach into.

Nodes, sessions, gate, roles and client are the real ones; what a deployment would decide is at hand: the clock, the
policies, the records, the network of every run with its taps, the hellos on their way, the consoles. State is in files
where a test restarts a party, else in memory.
"""

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from pets.approve import approvals
from pets.approve.envelope import SigningKey, keygen
from pets.approve.policy import Approval, Approver, Limits, Policy
from pets.check.budget import Loss
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.local import LocalServer
from pets.network import Analyst, Network, Server
from pets.party import hello, prepare
from pets.party.accounting import Account, Cap
from pets.party.cast import result_endpoint
from pets.party.config import Directory, DirectoryApprover, DirectoryParty, directory_toml
from pets.party.consent import CheckOnce
from pets.party.files import FrameSource, Source
from pets.party.joining import to_agree
from pets.party.ledger import Ledger
from pets.party.lifecycle import Outside, Settings
from pets.party.log import Log
from pets.party.node import PartyNode
from pets.party.state import Boundary, State
from pets.party.warm import prepare_kernels, prepare_vectors
from pets.plan.review import Reviewed
from pets.protocols.helper_join import Shape
from pets.result import Result
from pets.spec.cards import load_cards
from pets.spec.ir import AddNoise
from pets.spec.joins import MODE_A
from pets.spec.ways import WAYS
from pets.transport import frame
from pets.transport.calls import Caller, StartRequest, Uploaded
from pets.transport.link import Link
from pets.transport.memory import MemoryNetwork, Sent, Tap

NUMBER = {message.label: message.number for message in load_cards()[MODE_A].messages}
"""Messages of mode A by label: their numbers on the wire."""
FINAL = {NUMBER["M7a"], NUMBER["M7c"]}
"""The two shares that open the table."""
CHECK = CheckOnce()
"""Reading and checking are functions of the text: once for all tests. Each party asks, and judges by its own policy."""
BOARD, COUNCIL, HELPER, ANALYST, STRANGER = map(PartyId, ("board", "council", "helper", "statistics", "stranger"))
COMPUTING = (BOARD, COUNCIL, HELPER)
TODAY = dt.datetime(2027, 1, 15, 9, 0, tzinfo=dt.UTC)

SPEC = '''
pets = 1
title = "A title"
[purpose]
statement = "How long do people stay, by tenure?"
dpv = ["dpv:ScientificResearch"]
public_benefit = "None."
author = "analyst@statistics.example"
[[party]]
name = "board"
organisation = "A board"
roles = ["input", "computing"]
san = "spiffe://board.example/pets"
[[party]]
name = "council"
organisation = "A council"
roles = ["input", "computing"]
san = "spiffe://council.example/pets"
[[party]]
name = "helper"
organisation = "An office"
roles = ["computing"]
san = "spiffe://helper.example/pets"
[[party]]
name = "statistics"
organisation = "Analysts"
roles = ["result"]
san = "spiffe://statistics.example/pets"
[[dataset]]
name = "stays"
party = "board"
max_rows_per_person = 2
max_rows = 40
[dataset.columns]
pid = { role = "person id", scheme = "text" }
band = { role = "dimension", type = "category", levels = ["young", "old"] }
minutes = { role = "measure", type = "integer", min = 0, max = 100 }
arrival = { role = "filter only", type = "date" }
[[dataset]]
name = "homes"
party = "council"
max_rows_per_person = 1
max_rows = 40
[dataset.columns]
pid = { role = "person id", scheme = "text" }
tenure = { role = "dimension", type = "category", levels = ["own", "rent"] }
[legal.board]
controller = "A board"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e-public-interest"
dpia = { id = "1", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "none"
notice = "see the web site"
[legal.council]
controller = "A council"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e-public-interest"
dpia = { id = "2", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "none"
notice = "see the web site"
[linkage]
on = "pid"
normalise = []
version = "1"
[computation]
sql = """
SELECT s.band, h.tenure, COUNT(*) AS n, SUM(s.minutes) AS minutes
FROM stays s JOIN homes h ON s.pid = h.pid
WHERE s.arrival >= DATE '2020-01-01'
GROUP BY s.band, h.tenure
"""
[release]
to = ["statistics"]
[release.differential_privacy]
epsilon = "1"
neighbours = "one person's rows added or removed"
[security]
adversary = "semi-honest"
corrupt = 1
protocol = "helper_join_a"
[[security.leakage]]
learner = "helper"
item = "match_count"
noised = { epsilon = "0.5", delta = "2^-40" }
[[security.leakage]]
learner = "everyone"
item = "row_count"
of = ["stays", "homes"]
as = "declared maximum"
[validity]
not_before = 2026-11-01
not_after = 2027-10-31
max_runs = 3
'''

DAY = dt.date(2026, 5, 1)


def altered(*changes: tuple[str, str], base: str = SPEC) -> str:
    """The specification with some of its text replaced; a text that is not there is the test's slip."""
    for old, new in changes:
        assert base.count(old) >= 1, old
        base = base.replace(old, new)
    return base


MONTHLY = altered(("max_runs = 3", 'max_runs = 3\nschedule = "monthly"'))
"""The same, once in each month."""


def stays(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Rows of (pid, band, minutes) or (pid, band, minutes, arrival)."""
    full = [(*row, DAY) if len(row) == 3 else row for row in rows]
    frame = pd.DataFrame(full, columns=["pid", "band", "minutes", "arrival"])
    return frame.astype({"pid": "string", "band": "string", "minutes": "Int64"}).assign(
        arrival=pd.to_datetime(frame["arrival"])
    )


def homes(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Rows of (pid, tenure)."""
    return pd.DataFrame(rows, columns=["pid", "tenure"]).astype("string")


STAYS = stays(
    ("IDENTITY-ann", "young", 10),
    ("IDENTITY-ann", "old", 20),
    ("IDENTITY-bob", "old", 40),
    ("IDENTITY-cat", "young", 5),
)
HOMES = homes(("IDENTITY-ann", "own"), ("IDENTITY-bob", "rent"), ("IDENTITY-dan", "own"))


@cache
def reviewed_of(toml: str) -> Reviewed:
    return CHECK.review(CHECK.read(toml)).settled()


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every party draw zeros, so that the released table is the exact one."""

    def zeros(step: AddNoise, shape: Shape, own: object) -> npt.NDArray[np.uint64]:
        return np.zeros((shape.v, shape.g), np.uint64)

    monkeypatch.setattr(prepare, "noise_of", zeros)


@dataclass
class Hooks:
    """Where a test reaches in: each is called on the way, and may alter, hold up or raise."""

    hello: Callable[[PartyId, PartyId, bytes], bytes] = lambda sender, to, body: body
    link: Callable[[PartyId], None] = lambda party: None
    announcement: Callable[[PartyId, PartyId], None] = lambda sender, to: None
    upload: Callable[[PartyId, PartyId, bytes], bytes] = lambda sender, to, part: part
    """Of a holder's part on its way to a computing party."""
    uploaded: Callable[[PartyId, PartyId], None] = lambda sender, to: None
    """Of the answer to it on its way back."""
    decline: Callable[[PartyId, PartyId], None] = lambda sender, to: None
    entropy: Callable[[int], bytes] = os.urandom
    at: Callable[[PartyId, Boundary], None] = lambda party, boundary: None
    taps: list[Tap] = field(default_factory=list)


class World:
    """A deployment in memory. ``folder`` keeps snapshots; with ``durable`` also the state of each party.

    ``least``: from how many people on it releases without noise; ``minutes``: rules on that column. ``holders``: who
    has each dataset; a party's own part of it is the table "party/dataset", if given. ``computing``: who computes.
    ``asks``: who submits, runs and gets the result, and ``told`` who gets it, too. ``ids``, ``tenure``: rules on these.
    ``limits``: other limits of every policy.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Any] | None = None,
        *,
        k: int = 1,
        cap: str = "100",
        deadline_s: float = 5.0,
        run_s: float = 60.0,
        max_live: int = 8,
        durable: bool = False,
        protocols: Sequence[str] = ("helper_join_a",),
        least: int | None = None,
        minutes: Sequence[str | Mapping[str, Any]] = ("any use",),
        holders: Mapping[str, Sequence[PartyId]] = MappingProxyType({"stays": (BOARD,), "homes": (COUNCIL,)}),
        computing: Sequence[PartyId] = COMPUTING,
        asks: PartyId = ANALYST,
        told: Sequence[PartyId] = (),
        ids: Sequence[str | Mapping[str, Any]] = ("join key",),
        tenure: Sequence[str | Mapping[str, Any]] = ("any use",),
        limits: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        prepare_kernels()
        if any(name in WAYS and not WAYS[name].helper for name in protocols):
            prepare_vectors()
        self.asks, self.told, self.ids, self.tenure = asks, tuple(told), tuple(ids), tuple(tenure)
        self.holders, self.limits = holders, limits
        self.servers = tuple(dict.fromkeys((*computing, *(party for each in holders.values() for party in each))))
        self.protocols, self.least, self.minutes = tuple(protocols), least, tuple(minutes)
        folder.mkdir()
        self.folder = folder
        self.now = TODAY
        self.hooks = Hooks()
        self.cap, self.k, self.durable = cap, k, durable
        self.settings = Settings(deadline_s=deadline_s, run_s=run_s, max_live=max_live, check=CHECK)
        self.tables = {"stays": STAYS, "homes": HOMES, **(tables or {})}
        self.signing = {party: keygen() for party in (*self.servers, ANALYST, STRANGER)}
        self.people = {
            party: {f"{first} of {party}": keygen() for first in ("Ann", "Bob", "Cat")} for party in self.servers
        }
        self.directory = Directory(tuple(self._entry(party) for party in self.signing))
        self.consoles: dict[PartyId, list[str]] = {party: [] for party in self.servers}
        self.networks: dict[bytes, MemoryNetwork] = {}
        self.states: dict[PartyId, State] = {}
        self.nodes: dict[PartyId, PartyNode] = {}
        self._lock = threading.Lock()
        for party in self.servers:
            self.open(party)

    # -- the deployment -----------------------------------------------------------------------------------------------

    def open(self, party: PartyId) -> PartyNode:
        """Start a party's node on its state; a durable one finds there what an earlier one left."""
        path = self.folder / f"{party}.sqlite" if self.durable else ":memory:"
        self.states[party] = State(path, clock=lambda: self.now, at=lambda boundary: self.hooks.at(party, boundary))
        own = {
            name: self.tables.get(f"{party}/{name}", self.tables[name])
            for name, parties in self.holders.items()
            if party in parties
        }
        sources: dict[str, Source] = {
            name: table if isinstance(table, Source) else FrameSource(table) for name, table in own.items()
        }
        self.nodes[party] = PartyNode(
            party,
            directory=self.directory,
            policy=self.policy(party),
            signing=self.signing[party],
            state=self.states[party],
            folder=self.folder / party,
            datasets=sources,
            outside=Outside(_Carrier(self, party), lambda n: self.hooks.entropy(n), self.consoles[party].append),
            settings=self.settings,
        )
        return self.nodes[party]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something in another thread has happened; a minute without it is a failure."""
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.005)

    def settle(self) -> None:
        """Wait until no run is under way: a run whose client has gone still tells its peers."""
        for node in self.nodes.values():
            for run in tuple(node.runs._runs.values()):
                if run.thread is not None:
                    run.thread.join(30)
                    assert not run.thread.is_alive()

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()

    def policy(self, party: PartyId) -> Policy:
        columns = {
            "stays": {"pid": self.ids, "band": ("any use",), "minutes": self.minutes, "arrival": ("any use",)},
            "homes": {"pid": self.ids, "tenure": self.tenure, "size": ("any use",)},
            "schools": {"pid": self.ids, "marks": ("any use",)},
            "clinics": {"pid": self.ids},
        }
        return Policy(
            party=party,
            approval=Approval(
                k=self.k,
                approvers=tuple(
                    Approver(name=name, role="owner", key=key.text, organisation=f"Of {party}")
                    for name, key in self.people[party].items()
                ),
            ),
            limits=Limits.model_validate(
                {
                    "max_epsilon_per_run": "10",
                    "max_epsilon_per_dataset": self.cap,
                    "max_delta": "1/2",
                    "period": "year",
                    "recipients": tuple(map(_san, (self.asks, *self.told))),
                    "purposes": ("dpv:ScientificResearch",),
                    "protocols": self.protocols,
                    "adversaries": ("semi-honest",),
                    "min_count": self.least,
                    **self.limits,
                }
            ),
            columns={name: rules for name, rules in columns.items() if party in self.holders.get(name, ())},
        )

    def _entry(self, party: PartyId) -> DirectoryParty:
        people = tuple(
            DirectoryApprover(name=name, key=key.text, organisation=f"Of {party}")
            for name, key in self.people.get(party, {}).items()
        )
        return DirectoryParty(
            name=party,
            organisation=f"Of {party}",
            san=_san(party),
            signing_key=self.signing[party].text,
            approver=people,
        )

    # -- what people do -----------------------------------------------------------------------------------------------

    def caller(self, party: PartyId) -> Caller:
        return Caller(_san(party), party)

    def server(self, party: PartyId, caller: PartyId = ANALYST) -> Server:
        return LocalServer(self.nodes[party], self.caller(caller))

    def client(self, party: PartyId | None = None, *, deadline_s: float = 10.0) -> Network:
        party = party or self.asks
        return Network(
            {one: _Late(self, one, party) for one in self.servers},
            Analyst(party, self.signing[party]),
            self._result_link,
            directory_toml=directory_toml(self.directory.parties),
            deadline_s=deadline_s,
        )

    def submit(self, toml: str = SPEC) -> Reviewed:
        self.client().submit(toml)
        return reviewed_of(toml)

    def approval(self, reviewed: Reviewed, party: PartyId, who: str = "Ann", **changes: Any) -> bytes:
        """A signed approval, right in everything that is not given."""
        name = f"{who} of {party}"
        terms: dict[str, Any] = {
            "digest": reviewed.digest,
            "plan_digest": reviewed.plan_digest,
            "party": party,
            "approver": name,
            "key": self.people[party][name],
            "not_before": reviewed.spec.validity.not_before,
            "not_after": reviewed.spec.validity.not_after,
            "max_runs": reviewed.spec.validity.max_runs,
        }
        return approvals.approve(**{**terms, **changes})

    def approve(self, reviewed: Reviewed, *parties: PartyId, who: str = "Ann", **changes: Any) -> None:
        for party in parties or self.servers:
            self.nodes[party].approve(self.caller(party), self.approval(reviewed, party, who, **changes))

    def revocation(self, reviewed: Reviewed, party: PartyId, key: SigningKey | None = None) -> bytes:
        name = f"Bob of {party}"
        return approvals.revoke(digest=reviewed.digest, party=party, approver=name, key=key or self.people[party][name])

    def ready(self, toml: str = SPEC) -> Reviewed:
        """Submit and approve everywhere."""
        reviewed = self.submit(toml)
        self.approve(reviewed)
        return reviewed

    def run(self, toml: str = SPEC, **options: Any) -> Result:
        return self.client().run(toml, **options)

    def hello(self, reviewed: Reviewed, cover: SpecDigest | None = None) -> bytes:
        """A result party's hello, which may name a specification whose approvals cover this one."""
        shape = prepare.shape_of(reviewed.plan)
        return hello.make(to_agree(reviewed, shape, cover), os.urandom(16), {}).body

    def request(self, reviewed: Reviewed, hello: bytes, handle: str | None = None) -> StartRequest:
        """A start request with an approval of every party, made now."""
        bodies = tuple(self.approval(reviewed, party) for party in self.servers)
        return StartRequest(RunHandle(handle or os.urandom(16).hex()), reviewed.digest, hello, bodies)

    # -- what is left behind ------------------------------------------------------------------------------------------

    def log(self, party: PartyId) -> list[tuple[str, dict[str, Any]]]:
        return [(entry.kind, json.loads(entry.body)) for entry in Log(self.states[party]).entries()]

    def kinds(self, party: PartyId) -> list[str]:
        return [kind for kind, _ in self.log(party)]

    def codes(self, party: PartyId, kind: str = "run.aborted") -> list[str]:
        return [body["code"] for each, body in self.log(party) if each == kind]

    def spent(self, party: PartyId, dataset: str) -> str:
        cap = Cap(Loss(), dt.date(2026, 1, 1))
        return str(Ledger(self.states[party]).spent(Account(dataset), cap).epsilon)

    @property
    def transcript(self) -> list[Sent]:
        """Every message that any party handed to the network, in all runs."""
        return [sent for network in self.networks.values() for sent in network.transcript]

    def opened(self) -> bool:
        """Whether the analyst was ever sent both shares."""
        return any({sent.slot.message for sent in network.transcript} >= FINAL for network in self.networks.values())

    # -- the network --------------------------------------------------------------------------------------------------

    def network(self, run_id: bytes, endpoint: PartyId) -> MemoryNetwork:
        with self._lock:
            if run_id not in self.networks:
                self.networks[run_id] = MemoryNetwork(sorted((*self.servers, endpoint)), run_id, record=True)
                self.networks[run_id].taps.extend(self.hooks.taps)
            return self.networks[run_id]

    def _result_link(self, run_id: bytes, senders: Sequence[PartyId], reviewed: Reviewed) -> Link:
        endpoint = result_endpoint(reviewed)
        return self.network(run_id, endpoint).link(endpoint)


@dataclass(frozen=True)
class _Carrier:
    world: World
    party: PartyId

    def hello(self, peer: PartyId, handle: RunHandle, body: bytes) -> None:
        body = self.world.hooks.hello(self.party, peer, body)
        self.world.nodes[peer].hello(self.world.caller(self.party), handle, body)

    def conclude(self, peer: PartyId, handle: RunHandle, deadline_s: float) -> None:
        self.world.nodes[peer].conclude(self.world.caller(self.party), handle)

    def abort(self, peer: PartyId, run_id: bytes, code: str) -> None:
        self.world.nodes[peer].abort(self.world.caller(self.party), run_id, code)

    def announcement(self, peer: PartyId, handle: RunHandle) -> bytes:
        self.world.hooks.announcement(self.party, peer)
        return self.world.nodes[peer].announcement(self.world.caller(self.party), handle)

    def upload(self, peer: PartyId, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded:
        part = self.world.hooks.upload(self.party, peer, part)
        frames = frame.frames(run_id, frame.UPLOAD, memoryview(part))
        took = self.world.nodes[peer].upload(self.world.caller(self.party), handle, frames)
        self.world.hooks.uploaded(self.party, peer)
        return took

    def decline(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        self.world.hooks.decline(self.party, peer)
        self.world.nodes[peer].decline(self.world.caller(self.party), handle, digest)

    def take_back(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        self.world.hooks.decline(self.party, peer)
        self.world.nodes[peer].withdraw(self.world.caller(self.party), handle, digest)

    def link(
        self, run_id: bytes, peers: Sequence[PartyId], result: PartyId, collector: PartyId, *, keeps: bool
    ) -> Link:
        self.world.hooks.link(self.party)
        return self.world.network(run_id, result).link(self.party)


class _Late:
    """The node of a party at the time of each call: it may have been restarted since."""

    def __init__(self, world: World, party: PartyId, caller: PartyId) -> None:
        self._world, self._party, self._caller = world, party, caller

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.server(self._party, self._caller), name)


def _san(party: str) -> str:
    return f"spiffe://{party}.example/pets"
