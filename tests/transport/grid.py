"""Party servers on loopback for tests: real gRPC with mutual TLS in this process, and a node that only notes calls."""

import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from pets.errors import ApprovalError
from pets.ids import PartyId, PlanDigest, RunHandle, SpecDigest
from pets.party.config import Directory, DirectoryParty
from pets.party.identity import Authority, make_credentials
from pets.party.server import Server
from pets.party.service import (
    Caller,
    DatasetEntry,
    Description,
    Event,
    Evidence,
    SnapshotEntry,
    Standing,
    StartRequest,
    Submitted,
    Uploaded,
)
from pets.transport.grpc import Address, Credentials, Dialler, GrpcLink, ResultLink
from pets.transport.mailbox import Exchange

NOW = dt.datetime.now(dt.UTC)
A, B, HELPER, ANALYST, STRANGER = (PartyId(name) for name in ("a", "b", "helper", "analyst", "stranger"))
SERVERS = (A, B, HELPER)
AUTHORITY = Authority.create("test CA", now=NOW)
OTHER = Authority.create("test CA", now=NOW)  # the same name, another key
RUN = bytes(range(32))
DEADLINE_S = 5.0
HANDLE = RunHandle("0f" * 16)
DIGEST = SpecDigest("1e" * 32)


def san(party: str) -> str:
    return f"spiffe://test.example/{party}"


CREDENTIALS = {
    party: make_credentials(AUTHORITY, party, san(party), now=NOW) for party in (*SERVERS, ANALYST, STRANGER)
}
DIRECTORY = Directory(
    tuple(DirectoryParty(name=name, organisation=name.title(), san=san(name)) for name in (*SERVERS, ANALYST)),
    ca=AUTHORITY.certificate,
)


@dataclass
class NotingNode:
    """Answers every call with something recognisable and notes who called what."""

    exchange: Exchange = field(default_factory=lambda: Exchange(wait_s=0.3))
    calls: list[tuple[str, Caller, object]] = field(default_factory=list)
    closed: int = 0
    aborted: threading.Event = field(default_factory=threading.Event)

    def _note(self, name: str, caller: Caller, what: object = None) -> None:
        self.calls.append((name, caller, what))

    def describe(self, caller: Caller) -> Description:
        self._note("describe", caller)
        return Description(A, "Board A", "1.2", ("helper_join_a",), (DatasetEntry("attendances", ("minutes", "site")),))

    def submit(self, caller: Caller, toml: bytes, envelope: bytes) -> Submitted:
        self._note("submit", caller, (toml, envelope))
        return Submitted(DIGEST, PlanDigest("2d" * 32), b"{}")

    def approve(self, caller: Caller, envelope: bytes) -> Standing:
        self._note("approve", caller, envelope)
        if envelope == b"expired":
            raise ApprovalError("approval.expired", party="a", approver="Ann")
        if envelope == b"bug":
            raise KeyError("record of Ann Smith")
        return STANDING

    def revoke(self, caller: Caller, envelope: bytes) -> Standing:
        self._note("revoke", caller, envelope)
        return STANDING

    def pending(self, caller: Caller) -> tuple[Standing, ...]:
        self._note("pending", caller)
        return (STANDING, STANDING)

    def evidence(self, caller: Caller, digest: SpecDigest) -> Evidence:
        self._note("evidence", caller, digest)
        return Evidence((("spec.toml", b"pets = 1"), ("plan.json", b"{}")))

    def snapshot(self, caller: Caller, digest: SpecDigest) -> tuple[SnapshotEntry, ...]:
        self._note("snapshot", caller, digest)
        return (SnapshotEntry("attendances", "3c" * 32, "2026-01-01T00:00:00+00:00"),)

    def start(self, caller: Caller, request: StartRequest) -> bytes:
        self._note("start", caller, request)
        return b"hello of a"

    def watch(self, caller: Caller, handle: RunHandle) -> Iterator[Event]:
        self._note("watch", caller, handle)
        yield Event("state", "running", 1)
        yield Event("step", "M1", 12, 4096)
        yield Event("end", "ended", 20, code="run.stopped")

    def stop(self, caller: Caller, handle: RunHandle) -> None:
        self._note("stop", caller, handle)

    def receipt(self, caller: Caller, handle: RunHandle) -> bytes:
        self._note("receipt", caller, handle)
        return b"receipt"

    def hello(self, caller: Caller, handle: RunHandle, body: bytes) -> None:
        self._note("hello", caller, (handle, body))

    def abort(self, caller: Caller, run_id: bytes, code: str) -> None:
        self._note("abort", caller, (run_id, code))
        self.exchange.abort(run_id, caller.party, code)
        self.aborted.set()

    def conclude(self, caller: Caller, handle: RunHandle) -> None:
        self._note("conclude", caller, handle)

    def announcement(self, caller: Caller, handle: RunHandle) -> bytes:
        self._note("announcement", caller, handle)
        return b"announced"

    def upload(self, caller: Caller, handle: RunHandle, frames: Iterator[bytes]) -> Uploaded:
        taken = list(frames)
        self._note("upload", caller, (handle, taken))
        return Uploaded(sha256(b"".join(taken)).hexdigest())

    def close(self) -> None:
        self.closed += 1


STANDING = Standing(DIGEST, "A&E by tenure", "pending", 1, 2, "2026-01-01T00:00:00+00:00")


class Grid:
    """A server for each of a, b and helper, and diallers for anyone."""

    def __init__(self, *, credentials: dict[PartyId, Credentials] | None = None) -> None:
        shown = {**CREDENTIALS, **(credentials or {})}
        self.nodes = {party: NotingNode() for party in SERVERS}
        self.servers = {party: Server(self.nodes[party], DIRECTORY, shown[party], "127.0.0.1:0") for party in SERVERS}
        self.addresses = {
            party: Address(f"127.0.0.1:{server.start()}", san(party)) for party, server in self.servers.items()
        }
        self.diallers: list[Dialler] = []

    def dialler(self, party: PartyId, credentials: Credentials | None = None) -> Dialler:
        made = Dialler(credentials or CREDENTIALS[party], self.addresses)
        self.diallers.append(made)
        return made

    def link(
        self, party: PartyId, run_id: bytes = RUN, deadline_s: float = DEADLINE_S, *, keeps: bool = False
    ) -> GrpcLink:
        peers = [peer for peer in SERVERS if peer != party]
        return GrpcLink(
            party,
            run_id,
            peers,
            self.dialler(party),
            self.nodes[party].exchange,
            collectors={PartyId("analyst:result"): ANALYST},
            deadline_s=deadline_s,
            keeps=keeps,
        )

    def result_link(self, run_id: bytes = RUN, party: PartyId = ANALYST, *, away_s: float = 0.0) -> ResultLink:
        return ResultLink(party, run_id, SERVERS, self.dialler(party), DEADLINE_S, away_s=away_s)

    def close(self) -> None:
        for dialler in self.diallers:
            dialler.close()
        for server in self.servers.values():
            server.stop(0.0)
