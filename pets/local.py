"""A whole network in this process, for notebooks: the same nodes, sessions, gate and roles, over memory.

What is missing beside real servers is what keeps organisations apart: processes, certificates, approvers. Approvals are
signed by keys made on the spot, drafts with placeholders are accepted, and no budget is kept from one specification to
the next. Results, receipts and reports are the same objects.
"""

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pets.approve import approvals
from pets.approve.envelope import SigningKey, keygen
from pets.approve.permitting import permitting
from pets.approve.policy import Approval, Approver, Policy
from pets.draft import Given, draft, draft_psi
from pets.errors import ConfigError
from pets.ids import NAME, PartyId, RunHandle, SpecDigest
from pets.network import Analyst, Draft, Network, Progress, read
from pets.party import results
from pets.party.cast import result_endpoint
from pets.party.config import Directory, DirectoryApprover, DirectoryParty, directory_toml
from pets.party.consent import CheckOnce
from pets.party.files import FileSource, FrameSource, Source
from pets.party.lifecycle import Outside, Settings
from pets.party.node import PartyNode
from pets.party.sources import Shared
from pets.party.state import State
from pets.party.warm import prepare_kernels
from pets.plan.review import Review, Reviewed
from pets.result import Result
from pets.spec.model import Spec
from pets.transport import frame
from pets.transport.calls import (
    Caller,
    Description,
    Event,
    Evidence,
    SnapshotEntry,
    Standing,
    StartRequest,
    Submitted,
    Uploaded,
)
from pets.transport.link import Link
from pets.transport.memory import MemoryNetwork, Sent

ANALYST: Final = PartyId("analyst")
MOST_TOLD: Final = 12
"""Parties that a network names when it is printed."""

APPROVER: Final = "demo approver of {party}"


def san_of(party: str) -> str:
    """The name that a party of a local network has: nobody can have a certificate for it."""
    return f"spiffe://local.invalid/{party}"


def local_network(parties: Mapping[str, Mapping[str, Any]], *, deadline_s: float = 300.0) -> "LocalNetwork":
    """Make a network of ``parties`` in this process.

    ``parties``: for each party its tables by name: a pandas, polars or Arrow table, a CSV or Parquet file's name, or a
                 ``pets.party.database.PostgresSource``.
                 A party without tables is the helper.
    """
    return LocalNetwork(parties, deadline_s=deadline_s)


def _shape(parties: object) -> None:
    """Refuse what is not parties with tables, before a table is read. Raises: ConfigError config.local."""
    problem = ""
    if not isinstance(parties, Mapping):
        problem = 'the parties are no mapping: write {"clinic": {"visits": frame}, ...}'
    elif ANALYST in parties:
        problem = f"{ANALYST} is the name of the one who asks, not of a party"
    for party, tables in parties.items() if isinstance(parties, Mapping) and not problem else ():
        if not (isinstance(party, str) and NAME.fullmatch(party)):
            problem = f"{party!r} is no name of a party: small letters, digits, - and _, beginning with a letter"
        elif not isinstance(tables, Mapping):
            problem = f'the tables of {party} have no names: write "{party}": {{"visits": frame}}'
    if problem:
        raise ConfigError("config.local", problem=problem)


class LocalNetwork(Network):
    """Parties in memory. ``draft`` writes a specification, ``run`` approves and runs it."""

    def __init__(self, parties: Mapping[str, Mapping[str, Any]], *, deadline_s: float) -> None:
        _shape(parties)
        self._tables = {
            PartyId(party): {name: _source(table) for name, table in tables.items()}
            for party, tables in parties.items()
        }
        self._wires = _Wires()
        analyst = Analyst(ANALYST, keygen())
        super().__init__({}, analyst, self._wires.result_link, directory_toml="", deadline_s=deadline_s)

    def __repr__(self) -> str:
        told = [f"{party}: {', '.join(tables) or 'helper'}" for party, tables in self._tables.items()]
        more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        return f"LocalNetwork({'; '.join(told[:MOST_TOLD])}{more})"

    def draft(
        self,
        sql: str | None = None,
        *,
        psi: str | None = None,
        program: str | Path | None = None,
        **options: Any,
    ) -> Draft:
        """Write a specification over the tables of this network: of a query, of a private set intersection, or of a
        program for MPyC.

        ``sql``: the query; options as ``pets.draft.draft`` has them. ``psi``: "intersection", "cardinality" or
        "threshold"; options as ``pets.draft.draft_psi`` has them. ``program``: the name of one that comes along, a file
        or the text of one's own; options as ``pets.draft_program.draft_program`` has them.

        ``epsilon="1"`` protects the table with noise, which is what is done if nothing is said; ``rho="0.1"`` with
        discrete Gaussian noise, which is less where many sums are released together;
        ``control={"preset": "ons-10"}`` with disclosure control.

        Levels, ranges and sizes are read off the tables, which a real specification declares without looking. Purpose
        and legal ground are placeholders marked "design".
        """
        given = [
            Given(party, name, source) for party, tables in self._tables.items() for name, source in tables.items()
        ]
        if sum(each is not None for each in (sql, psi, program)) != 1:
            raise ConfigError("config.local", problem="write a query, psi= or program=, and one of them alone")
        if program is not None:
            from pets.draft_program import draft_program

            return draft_program(program, parties=list(self._tables), given=given, **options)
        if psi is not None:
            return draft_psi(psi, parties=list(self._tables), given=given, **options)
        assert sql is not None
        return draft(sql, parties=list(self._tables), given=given, **options)

    def run(
        self,
        spec: "Spec | Draft | str | Path",
        *,
        progress: Progress | None = None,
        handle: RunHandle | None = None,
        record: bool = False,
    ) -> Result:
        """Approve and run. With ``record`` the result has the transcript: every message, with its body, in memory."""
        toml, found = read(spec)
        self._all_here(found.settled().spec)
        with tempfile.TemporaryDirectory(prefix="pets-") as folder:
            prepare_kernels()
            world = self.world(found, Path(folder))
            self.servers, self.directory_toml = dict(world.servers), world.directory_toml
            self._wires.record = record
            try:
                super().submit(toml)
                world.approve()
                result = super().run(toml, progress=progress, handle=handle)
            finally:
                world.close()
            kept = sorted((Path(folder) / results.FOLDER).glob("*.csv"))
            told = {PartyId(file.name.rpartition("-")[0]): tuple(results.read(file)) for file in kept}
        result = replace(result, told=told) if told else result
        return replace(result, transcript=self._wires.transcript) if record else result

    def world(self, found: Review, folder: Path) -> "World":
        """Nodes for one specification, which keep what they have in ``folder``. Whoever makes them closes them."""
        return World(self._tables, self._wires, self.analyst, found, folder, self.deadline_s)

    def _all_here(self, spec: Spec) -> None:
        """A party or a table that the network does not have is the caller's slip, so say which before anything runs."""
        for party in spec.servers:
            if party not in self._tables:
                raise ConfigError("config.local", problem=f"the specification names {party}, which is not here")
        for dataset in spec.datasets:
            for party in sorted(dataset.parties):
                if dataset.name not in self._tables[party]:
                    raise ConfigError("config.local", problem=f"{party} has no table {dataset.name}")


def _source(table: Any) -> Source:
    if isinstance(table, Source):
        return table
    return FileSource(Path(table)) if isinstance(table, str | Path) else FrameSource(table)


class World:
    """Nodes made for one specification: their policies allow what it asks for, their approvers sign it."""

    def __init__(
        self,
        tables: Mapping[PartyId, Mapping[str, Source]],
        wires: "_Wires",
        analyst: Analyst,
        found: Review,
        folder: Path,
        deadline_s: float,
    ) -> None:
        self._found: Reviewed = found.settled()
        self._names = {party.name: party.san for party in self._found.spec.parties}
        self._keys = {party: keygen() for party in tables}
        self._permitting: dict[tuple[str, ...], Policy] = {}
        """By what a party brings: hundreds of holders of one table are asked the same."""
        signing = {party: keygen() for party in tables}
        asks = self._found.spec.result_party
        known = [self._entry(party, signing[party], self._keys[party]) for party in tables if party != asks]
        known.append(self._entry(asks, analyst.key, self._keys.get(asks)))
        directory = Directory(tuple(known))
        self.directory_toml = directory_toml(known)
        self.nodes: dict[PartyId, PartyNode] = {}
        check, talking = CheckOnce(), _talking(self._found)
        self._engine = Shared(folder)
        for party, datasets in tables.items():
            self.nodes[party] = PartyNode(
                party,
                directory=directory,
                policy=self._policy(party),
                signing=analyst.key if party == asks else signing[party],
                state=State(":memory:"),
                folder=folder / party,
                datasets=datasets,
                outside=Outside(wires.carrier(party, self.nodes, talking), os.urandom, console=_Console()),
                settings=Settings(deadline_s=deadline_s, design=True, check=check, engine=self._engine),
            )
        caller = Caller(self._san(asks), asks)
        self.servers = {party: LocalServer(node, caller) for party, node in self.nodes.items()}

    def approve(self) -> None:
        """Sign for every party, as its approvers would after reading the report."""
        validity, servers = self._found.spec.validity, frozenset(self._found.spec.servers)
        for party, key in self._keys.items():
            if party not in servers:
                continue
            envelope = approvals.approve(
                digest=self._found.digest,
                plan_digest=self._found.plan_digest,
                party=party,
                approver=APPROVER.format(party=party),
                key=key,
                not_before=validity.not_before,
                not_after=validity.not_after,
                max_runs=validity.max_runs,
            )
            self.nodes[party].approve(Caller(self._san(party), party), envelope)

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
        self._engine.close()

    def _entry(self, party: PartyId, signing: SigningKey, approver: SigningKey | None) -> DirectoryParty:
        name = APPROVER.format(party=party)
        people = (DirectoryApprover(name=name, key=approver.text, organisation=party),) if approver else ()
        return DirectoryParty(
            name=party, organisation=party, san=self._san(party), signing_key=signing.text, approver=people
        )

    def _san(self, party: PartyId) -> str:
        return self._names.get(party, san_of(party))

    def _policy(self, party: PartyId) -> Policy:
        name = APPROVER.format(party=party)
        approver = Approver(name=name, role="demo", key=self._keys[party].text, organisation=party)
        brings = tuple(dataset.name for dataset in self._found.spec.datasets if party in dataset.parties)
        if brings not in self._permitting:
            self._permitting[brings] = permitting(self._found.spec, party, [approver])
        approval = Approval(k=1, approvers=(approver,))
        return self._permitting[brings].model_copy(update={"party": party, "approval": approval})


class _Console:
    """Lines for a party's own people. In a notebook they are the same person as the analyst: show what went wrong."""

    def __call__(self, line: str) -> None:
        if line.startswith(("run ", "source.", "  ")):  # the last: the rows and counts that follow a source's fault
            print(line)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A node as one caller sees it: the same methods as a remote server."""

    node: PartyNode
    caller: Caller

    def describe(self) -> Description:
        return self.node.describe(self.caller)

    def submit(self, toml: bytes, envelope: bytes) -> Submitted:
        return self.node.submit(self.caller, toml, envelope)

    def approve(self, envelope: bytes) -> Standing:
        return self.node.approve(self.caller, envelope)

    def revoke(self, envelope: bytes) -> Standing:
        return self.node.revoke(self.caller, envelope)

    def pending(self) -> tuple[Standing, ...]:
        return self.node.pending(self.caller)

    def evidence(self, digest: SpecDigest) -> Evidence:
        return self.node.evidence(self.caller, digest)

    def snapshot(self, digest: SpecDigest) -> tuple[SnapshotEntry, ...]:
        return self.node.snapshot(self.caller, digest)

    def start(self, request: StartRequest) -> bytes:
        return self.node.start(self.caller, request)

    def watch(self, handle: RunHandle, deadline_s: float) -> Iterator[Event]:
        return self.node.watch(self.caller, handle)

    def stop(self, handle: RunHandle) -> None:
        self.node.stop(self.caller, handle)

    def receipt(self, handle: RunHandle) -> bytes:
        return self.node.receipt(self.caller, handle)


class _Wires:
    """The networks of runs under way, by run id; whoever comes first makes one."""

    def __init__(self) -> None:
        self.record = False
        self._networks: dict[bytes, MemoryNetwork] = {}
        self._lock = threading.Lock()

    @property
    def transcript(self) -> tuple[Sent, ...]:
        """Every message of the latest run, if it was recorded."""
        return tuple(sent for network in self._networks.values() for sent in network.transcript)

    def network(self, run_id: bytes, participants: Sequence[PartyId]) -> MemoryNetwork:
        with self._lock:
            if run_id not in self._networks:
                self._networks.clear()
                self._networks[run_id] = MemoryNetwork(sorted(participants), run_id, record=self.record)
            return self._networks[run_id]

    def result_link(self, run_id: bytes, senders: Sequence[PartyId], reviewed: Reviewed) -> Link:
        endpoint = result_endpoint(reviewed)
        return self.network(run_id, [*_talking(reviewed), endpoint]).link(endpoint)

    def carrier(self, party: PartyId, nodes: Mapping[PartyId, PartyNode], talking: Sequence[PartyId]) -> "_Carrier":
        return _Carrier(self, party, nodes, talking)


def _talking(reviewed: Reviewed) -> tuple[PartyId, ...]:
    """Servers that send each other frames in a run: holders that upload, of whom there may be hundreds, do not."""
    return reviewed.spec.servers if reviewed.plan.pool is None else reviewed.spec.computing


@dataclass(frozen=True, slots=True)
class _Carrier:
    """How a node of this process reaches the others."""

    wires: _Wires
    party: PartyId
    nodes: Mapping[PartyId, PartyNode]
    talking: Sequence[PartyId]

    def hello(self, peer: PartyId, handle: RunHandle, body: bytes) -> None:
        self.nodes[peer].hello(Caller(san_of(self.party), self.party), handle, body)

    def conclude(self, peer: PartyId, handle: RunHandle, deadline_s: float) -> None:
        self.nodes[peer].conclude(Caller(san_of(self.party), self.party), handle)

    def abort(self, peer: PartyId, run_id: bytes, code: str) -> None:
        self.nodes[peer].abort(Caller(san_of(self.party), self.party), run_id, code)

    def announcement(self, peer: PartyId, handle: RunHandle) -> bytes:
        return self.nodes[peer].announcement(Caller(san_of(self.party), self.party), handle)

    def upload(self, peer: PartyId, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded:
        frames = frame.frames(run_id, frame.UPLOAD, memoryview(part))
        return self.nodes[peer].upload(Caller(san_of(self.party), self.party), handle, frames)

    def decline(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        self.nodes[peer].decline(Caller(san_of(self.party), self.party), handle, digest)

    def take_back(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        self.nodes[peer].withdraw(Caller(san_of(self.party), self.party), handle, digest)

    def link(
        self, run_id: bytes, peers: Sequence[PartyId], result: PartyId, collector: PartyId, *, keeps: bool
    ) -> Link:
        return self.wires.network(run_id, [*self.talking, result]).link(self.party)
