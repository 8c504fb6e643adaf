"""What a party server does for its callers: the interface between carriage and the room where the towers meet.

``party/server.py`` carries these calls, ``party/node.py`` answers them. A caller is who its certificate says, already
mapped through this party's directory; sizes of all arguments are bounded. A method refuses with a ``PetsError``, whose
code, text and hint reach the caller; anything else reaches it as ``internal.bug`` and nothing more. Methods are called
from many threads.
"""

from collections.abc import Iterator
from typing import Protocol

from pets.ids import RunHandle, SpecDigest
from pets.transport.calls import (
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
from pets.transport.mailbox import Exchange

__all__ = [
    "Caller",
    "DatasetEntry",
    "Description",
    "Event",
    "Evidence",
    "Node",
    "SnapshotEntry",
    "Standing",
    "StartRequest",
    "Submitted",
    "Uploaded",
]


class Node(Protocol):
    """One party's answers."""

    @property
    def exchange(self) -> Exchange:
        """The runs that are open for frames here. A session opens and closes its own through its link."""
        ...

    def describe(self, caller: Caller) -> Description:
        """Who this party is, what it speaks and which datasets it would bring."""
        ...

    def submit(self, caller: Caller, toml: bytes, envelope: bytes) -> Submitted:
        """Check a specification alone and, if nothing refuses it, keep it for this party's approvers."""
        ...

    def approve(self, caller: Caller, envelope: bytes) -> Standing:
        """Verify and keep one approval."""
        ...

    def revoke(self, caller: Caller, envelope: bytes) -> Standing:
        """Verify and keep one revocation; it holds from now on."""
        ...

    def pending(self, caller: Caller) -> tuple[Standing, ...]:
        """Specifications that this party holds, newest first."""
        ...

    def evidence(self, caller: Caller, digest: SpecDigest) -> Evidence:
        """What an approver signs and what has been signed."""
        ...

    def snapshot(self, caller: Caller, digest: SpecDigest) -> tuple[SnapshotEntry, ...]:
        """Validate and freeze this party's datasets for a specification; the same entries if that was done before."""
        ...

    def start(self, caller: Caller, request: StartRequest) -> bytes:
        """Verify the approvals, begin the session of ``request.handle`` and return this party's hello body."""
        ...

    def watch(self, caller: Caller, handle: RunHandle) -> Iterator[Event]:
        """Events of a run from its beginning, as they happen; ends after the event of kind ``end``.

        Must look up at least once a second whether ``close`` was called on the iterator: yield an event of kind
        ``state`` named ``alive`` when nothing else happens.
        """
        ...

    def stop(self, caller: Caller, handle: RunHandle) -> None:
        """End a run; nothing is opened after that. Any party of the specification may."""
        ...

    def receipt(self, caller: Caller, handle: RunHandle) -> bytes:
        """The signed receipt of a run that ended here."""
        ...

    def hello(self, caller: Caller, handle: RunHandle, body: bytes) -> None:
        """A computing party's hello. One before the local start is kept a moment: at most 256 of one peer, for 30 s."""
        ...

    def abort(self, caller: Caller, run_id: bytes, code: str) -> None:
        """A peer ended the run. A run that is not open here, or not the caller's, is passed over in silence."""
        ...

    def conclude(self, caller: Caller, handle: RunHandle) -> None:
        """Return once this party's part of a run is over; raise what ended it otherwise. A computing peer asks."""
        ...

    def announcement(self, caller: Caller, handle: RunHandle) -> bytes:
        """What a holder makes its upload for (``pets.party.announcement``); for any party of the specification.

        Raises: RunError run.unknown before the run has agreed: ask again later; run.no-uploads if it takes none.
        """
        ...

    def upload(self, caller: Caller, handle: RunHandle, frames: Iterator[bytes]) -> Uploaded:
        """Take in one part of a holder's upload, frame by frame; it is on disk and in the run when this returns.

        Raises: PeerError peer.upload-*, peer.repeated, peer.bad-length and those of frames; nothing of it is kept then,
                and others are not harmed.
        """
        ...

    def decline(self, caller: Caller, handle: RunHandle, digest: SpecDigest) -> None:
        """A holder takes no part in a run of this specification: nobody waits for its upload.

        Raises: PeerError peer.uploaded, peer.upload-twice, peer.upload-late, peer.upload-holder; RunError run.unknown
                before the run has agreed: say it again later; run.no-uploads.
        """
        ...

    def withdraw(self, caller: Caller, handle: RunHandle, digest: SpecDigest) -> None:
        """A holder takes its upload back, and no part in the run; it may not have uploaded.

        Raises: PeerError peer.withdraw-late, peer.upload-twice, peer.upload-holder; RunError as ``decline``.
        """
        ...

    def close(self) -> None:
        """End all runs and flush all state: the server is shutting down. Called once."""
        ...
