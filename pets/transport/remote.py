"""One party's server as a caller sees it: the calls of proto/pets/v1 as methods, with plain values.

The same names as ``pets.party.service.Node``, without the caller, who is the owner of the dialler's certificate. A
refusal comes back as the typed error that the server raised, with the field ``at`` naming the party; the network's
failures are LinkError.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from pets.errors import LinkError
from pets.ids import PartyId, PlanDigest, RunHandle, SpecDigest
from pets.transport import frame
from pets.transport.calls import (
    UPLOAD_S,
    DatasetEntry,
    Description,
    Event,
    Evidence,
    SnapshotEntry,
    Standing,
    StartRequest,
    Submitted,
    Suspected,
    Uploaded,
)
from pets.transport.grpc import Dialler
from pets.wire import party_pb2 as wire

CALL_S: Final = 10.0
"""Deadline of calls that look something up or keep something."""

HELLO_S: Final = 5.0
"""How long a peer may take to be reached and to take a hello; a channel waits up to 2 s between two attempts."""

CHECK_S: Final = 120.0
"""Deadline of calls that check, lower or read a whole table."""


class Remote:
    """Calls to the server of ``party``."""

    def __init__(self, dialler: Dialler, party: PartyId) -> None:
        self._dialler = dialler
        self.party: Final = party

    def describe(self) -> Description:
        got = self._dialler.call(self.party, "Catalogue/Describe", wire.Empty(), wire.Description.FromString, CALL_S)
        datasets = tuple(DatasetEntry(entry.name, tuple(entry.columns)) for entry in got.datasets)
        return Description(PartyId(got.party), got.organisation, got.version, tuple(got.protocols), datasets)

    def submit(self, toml: bytes, envelope: bytes) -> Submitted:
        request = wire.Submission(toml=toml, envelope=envelope)
        got = self._dialler.call(self.party, "Approvals/Submit", request, wire.Submitted.FromString, CHECK_S)
        return Submitted(SpecDigest(got.digest), PlanDigest(got.plan_digest), got.report)

    def approve(self, envelope: bytes) -> Standing:
        request = wire.Envelope(envelope=envelope)
        return _standing(self._dialler.call(self.party, "Approvals/Approve", request, wire.Standing.FromString, CALL_S))

    def revoke(self, envelope: bytes) -> Standing:
        request = wire.Envelope(envelope=envelope)
        return _standing(self._dialler.call(self.party, "Approvals/Revoke", request, wire.Standing.FromString, CALL_S))

    def pending(self) -> tuple[Standing, ...]:
        got = self._dialler.call(self.party, "Approvals/Pending", wire.Empty(), wire.Standings.FromString, CALL_S)
        return tuple(_standing(one) for one in got.standings)

    def evidence(self, digest: SpecDigest) -> Evidence:
        request = wire.Digest(digest=digest)
        got = self._dialler.call(self.party, "Approvals/Evidence", request, wire.EvidenceFolder.FromString, CHECK_S)
        return Evidence(tuple((file.name, file.content) for file in got.files))

    def snapshot(self, digest: SpecDigest) -> tuple[SnapshotEntry, ...]:
        request = wire.Digest(digest=digest)
        got = self._dialler.call(self.party, "Approvals/Snapshot", request, wire.Snapshots.FromString, CHECK_S)
        return tuple(SnapshotEntry(one.dataset, one.commitment, one.taken) for one in got.snapshots)

    def start(self, request: StartRequest) -> bytes:
        asked = wire.StartRequest(
            handle=request.handle, digest=request.digest, hello=request.hello, approvals=request.approvals
        )
        return self._dialler.call(self.party, "Runs/Start", asked, wire.Hello.FromString, CHECK_S).body

    def watch(self, handle: RunHandle, deadline_s: float) -> Iterator[Event]:
        """Events as they happen; close the iterator to stop watching."""
        request = wire.Handle(handle=handle)
        for got in self._dialler.stream(self.party, "Runs/Watch", request, wire.Event.FromString, deadline_s):
            yield Event(got.kind, got.name, got.elapsed_ms, got.moved, got.code)

    def stop(self, handle: RunHandle) -> None:
        self._dialler.call(self.party, "Runs/Stop", wire.Handle(handle=handle), wire.Empty.FromString, CALL_S)

    def receipt(self, handle: RunHandle) -> bytes:
        request = wire.Handle(handle=handle)
        return self._dialler.call(self.party, "Runs/Receipt", request, wire.Envelope.FromString, CALL_S).envelope

    def hello(self, handle: RunHandle, body: bytes) -> None:
        """Say hello. A peer whose server has just been restarted is waited for; one that stays away is unreachable."""
        request = wire.PeerHello(handle=handle, body=body)
        try:
            self._dialler.call(self.party, "Exchange/Hello", request, wire.Empty.FromString, HELLO_S, patient=True)
        except LinkError as error:
            if error.code != "link.deadline":
                raise
            raise LinkError("link.unreachable", peer=self.party) from None

    def conclude(self, handle: RunHandle, deadline_s: float) -> None:
        """Wait until the peer's part of a run is over."""
        request = wire.Handle(handle=handle)
        self._dialler.call(self.party, "Exchange/Conclude", request, wire.Empty.FromString, deadline_s)

    def announcement(self, handle: RunHandle) -> bytes:
        """What a holder makes its upload for; RunError run.unknown as long as the run has not agreed."""
        request = wire.Handle(handle=handle)
        got = self._dialler.call(
            self.party, "Uploads/Announcement", request, wire.AnnouncementBody.FromString, CALL_S, patient=True
        )
        return got.body

    def upload(self, handle: RunHandle, run_id: bytes, part: bytes, deadline_s: float = UPLOAD_S) -> Uploaded:
        """Hand in one part of an upload: it is on disk there, and in the run, when this returns.

        If the answer does not come, the part may be there or not: the same part may be sent again, and is refused as
        repeated (peer.repeated) if it had arrived.
        """
        first = wire.Handle(handle=handle).SerializeToString()
        frames = frame.frames(run_id, frame.UPLOAD, memoryview(part))
        got = self._dialler.hand_in(
            self.party, "Uploads/Upload", chain((first,), frames), wire.Uploaded.FromString, deadline_s
        )
        return Uploaded(got.sha256)

    def decline(self, handle: RunHandle, digest: SpecDigest) -> None:
        """Say that this holder takes no part in a run. PeerError peer.uploaded if its upload was taken before."""
        request = wire.Leaving(handle=handle, digest=digest)
        self._dialler.call(self.party, "Uploads/Decline", request, wire.Empty.FromString, CALL_S)

    def withdraw(self, handle: RunHandle, digest: SpecDigest) -> None:
        """Take this holder's upload back, and no part. PeerError peer.withdraw-late if uploads are over."""
        request = wire.Leaving(handle=handle, digest=digest)
        self._dialler.call(self.party, "Uploads/Withdraw", request, wire.Empty.FromString, CHECK_S)

    def abort(self, run_id: bytes, code: str) -> None:
        request = wire.AbortRequest(run_id=run_id, code=code)
        self._dialler.call(self.party, "Exchange/Abort", request, wire.Empty.FromString, CALL_S)


def _standing(got: wire.Standing) -> Standing:
    suspicions = tuple(Suspected(one.id, one.problem, one.overruled) for one in got.suspicions)
    return Standing(SpecDigest(got.digest), got.title, got.state, got.have, got.need, got.received, suspicions)
