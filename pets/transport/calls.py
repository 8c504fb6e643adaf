"""What callers and party servers say to each other besides frames, as plain values: the words of proto/pets/v1.

Both ends of the carriage use these, so that neither the node nor the client ever touches generated code.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from pets.ids import PartyId, PlanDigest, RunHandle, SpecDigest

MAX_TEXT: Final = 512 * 1024
"""Greatest size of a specification's text: as much as is parsed (pets/spec/parse.py)."""

MAX_ENVELOPE: Final = 1024 * 1024
"""Greatest size of a signed envelope."""

MAX_HELLO: Final = 64 * 1024
"""Greatest size of a hello body: who computes has a key in it for every holder, of whom there may be dozens."""

MAX_APPROVALS: Final = 1024
"""Most approvals that come with one start: several of every party, of whom there may be dozens."""

MAX_REQUEST: Final = 4 * 1024 * 1024
"""Greatest size of any request but a frame, all its parts together."""

MAX_ANSWER: Final = 32 * 1024 * 1024
"""Greatest size of any answer; evidence is the largest."""

UPLOAD_S: Final = 900.0
"""Longest that the upload of one part may take."""


def server_name(san: str) -> str:
    """The DNS name that a party's certificate carries beside its URI name, and that a dialler insists on.

    TLS libraries compare DNS names, our identities are URIs: the name is the hash of the URI, so a certificate of the
    right CA with another URI fails the handshake, before a byte is sent.
    """
    return f"{sha256(san.encode()).hexdigest()[:32]}.san.pets"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the URI name in the certificate, and the party that the directory says it is."""

    san: str
    party: PartyId


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset that a party would bring: its name and what may be asked of it, never its rows or their number."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What a party says of itself to anyone in its directory."""

    party: PartyId
    organisation: str
    version: str
    protocols: tuple[str, ...]
    datasets: tuple[DatasetEntry, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A specification was taken in and waits for this party's approvers. ``report`` is the check as canonical JSON."""

    digest: SpecDigest
    plan_digest: PlanDigest
    report: bytes


@dataclass(frozen=True, slots=True)
class Suspected:
    """A suspicion of the differencing guard, by the name under which approvers overrule it."""

    id: str
    problem: str
    overruled: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far this party's approval of one specification is: ``have`` of ``need`` approvers, and its state in words."""

    digest: SpecDigest
    title: str
    state: str
    have: int
    need: int
    received: str
    """ISO 8601 time."""
    suspicions: tuple[Suspected, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Named files that let an approver or an auditor check everything alone."""

    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """A dataset frozen for a specification."""

    dataset: str
    commitment: str
    """64 hex digits."""
    taken: str
    """ISO 8601 time."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Start an approved specification under a fresh handle; ``hello`` is the result party's (protocols.md 0.3)."""

    handle: RunHandle
    digest: SpecDigest
    hello: bytes
    approvals: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's progress. ``kind``: ``state``, ``step`` or ``end``; an end with a code was no good end."""

    kind: str
    name: str
    elapsed_ms: int
    moved: int = 0
    """Bytes that the step moved."""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A part of an upload is on disk, has been opened and is in the run. ``sha256``: of its bytes, 64 hex digits."""

    sha256: str
