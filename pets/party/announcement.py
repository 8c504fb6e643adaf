"""What computing parties announce of a run that takes uploads, and what a holder checks before it makes one.

An announcement is canonical JSON: run id, digest of the specification, the bodies of the hellos of all computing
parties and of the result party, when the last upload is taken, and whether uploads are taken still. A holder fetches it
from every computing party, over a channel that shows that party's certificate; ``check`` makes the run id itself from
the hellos, holds these against what the holder has reviewed, and insists that all announce the same. So each computing
party has said, on its own channel, that the hello under its name is its own, and so is the key that uploads are sealed
to.

Pure: no clock, no network. Times in it are for people and for planning; each computing party decides by its own clock
what is too late.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pets.errors import PeerError
from pets.ids import RUN_ID_BYTES, PartyId, SpecDigest
from pets.party import hello
from pets.spec.canonical import canonical

MAX_BYTES: Final = 4 << 20
"""Greatest size of an announcement: a hello of every computing party, of whom there are a few dozen at most."""

_FIELDS: Final = ("deadline", "hellos", "open", "pets", "result", "run", "spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What one computing party says. ``hellos``: bodies, by computing party; ``result``: that of the result party.

    ``deadline``: with a time zone, whole seconds; ``open``: whether uploads are taken still.
    """

    run_id: bytes
    digest: SpecDigest
    hellos: Mapping[PartyId, bytes]
    result: bytes
    deadline: dt.datetime
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a holder relies on once ``check`` has passed. ``hellos``: in the order of computing parties."""

    run_id: bytes
    hellos: Mapping[PartyId, hello.Hello]
    result: hello.Hello
    deadline: dt.datetime
    """The earliest that any of them announced."""
    closed: tuple[PartyId, ...]
    """Computing parties that take uploads no more."""

    @property
    def uploads(self) -> tuple[bytes, ...]:
        """The keys that parts are sealed to, X25519, 32 bytes each, in the order of computing parties."""
        return tuple(each.upload for each in self.hellos.values())


def encode(said: Announcement) -> bytes:
    """An announcement as bytes; one has one form."""
    if len(said.run_id) != RUN_ID_BYTES or said.deadline.tzinfo is None:
        raise ValueError("an announcement has a run id of 32 bytes, and a time with a zone")
    return canonical(
        {
            "pets": 1,
            "run": said.run_id.hex(),
            "spec": said.digest,
            "hellos": {party: body.decode() for party, body in said.hellos.items()},
            "result": said.result.decode(),
            "deadline": said.deadline.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "open": said.open,
        }
    )


def decode(body: bytes, *, peer: PartyId) -> Announcement:
    """Read what ``peer`` announced. Raises: PeerError peer.announcement if it is not in its one form."""
    if len(body) > MAX_BYTES:
        raise _wrong(peer, "is longer than an announcement may be")
    try:
        fields = json.loads(body)
        if sorted(fields) != list(_FIELDS) or canonical(fields) != body:
            raise ValueError
        if type(fields["pets"]) is not int or fields["pets"] != 1 or type(fields["open"]) is not bool:
            raise ValueError
        texts = [fields["run"], fields["spec"], fields["result"], *fields["hellos"].values()]
        if not all(isinstance(text, str) for text in texts) or len(fields["spec"]) != 64:
            raise ValueError
        made = Announcement(
            run_id=bytes.fromhex(fields["run"]),
            digest=SpecDigest(fields["spec"]),
            hellos={PartyId(name): text.encode() for name, text in fields["hellos"].items()},
            result=fields["result"].encode(),
            deadline=dt.datetime.fromisoformat(fields["deadline"]),
            open=fields["open"],
        )
        if encode(made) != body:  # times and digests have one form, too
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise _wrong(peer, "cannot be read") from error
    return made


def check(said: Mapping[PartyId, Announcement], own: hello.Agreed, computing: Sequence[PartyId]) -> Announced:
    """Hold what computing parties announce against each other and against what this holder has reviewed.

    ``said``: what each of them announced, by the party whose certificate its channel showed; ``own``: what this holder
    would run; ``computing``: all computing parties, as the specification orders them.
    Raises: PeerError peer.announcement if one is missing, differs, or does not hang together; peer.hello;
            RunError run.other-* if they are about to run something else than this holder has reviewed.
    """
    first, *_ = computing
    for party in computing:
        if party not in said:
            raise _wrong(party, "was not asked for: all computing parties have to announce it")
        _alone(said[party], party, own, computing)
    one = said[first]
    for party in computing:
        each = said[party]
        if (each.run_id, each.hellos, each.result) != (one.run_id, one.hellos, one.result):
            raise _wrong(party, f"is another one than {first} announced")
    return Announced(
        run_id=one.run_id,
        hellos={party: hello.read(one.hellos[party], peer=party) for party in computing},
        result=hello.read(one.result, peer=hello.RESULT_ENDPOINT),
        deadline=min(said[party].deadline for party in computing),
        closed=tuple(party for party in computing if not said[party].open),
    )


def _alone(said: Announcement, party: PartyId, own: hello.Agreed, computing: Sequence[PartyId]) -> None:
    """One announcement alone: its hellos are those of this run, and give its run id."""
    if said.digest != own.spec:
        raise _wrong(party, "is of another specification")
    if set(said.hellos) != set(computing):
        raise _wrong(party, "has other computing parties than the specification")
    for name in computing:
        read = hello.read(said.hellos[name], peer=name)
        hello.compare(own, read.agreed, peer=name)
        if not read.upload or read.sets or set(read.keys) != set(computing) - {name}:
            raise PeerError("peer.hello", peer=name)
    result = hello.read(said.result, peer=hello.RESULT_ENDPOINT)
    hello.compare(own, result.agreed, peer=hello.RESULT_ENDPOINT)
    if result.upload or result.sets or result.keys:
        raise PeerError("peer.hello", peer=hello.RESULT_ENDPOINT)
    if said.run_id != hello.run_id([*(said.hellos[name] for name in computing), said.result]):
        raise _wrong(party, "has a run id that its hellos do not give")


def _wrong(peer: PartyId, problem: str) -> PeerError:
    return PeerError("peer.announcement", peer=peer, problem=problem)
