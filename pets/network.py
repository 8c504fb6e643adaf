"""The parties of a directory, as one result party reaches them: what a notebook holds.

The parties are servers (``connect``) or objects in this process (``local_network``). What a run needs is loaded when
one is started: most commands only ask a server something.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pets.approve import approvals
from pets.approve.envelope import SigningKey
from pets.errors import LinkError, RunError, public_code
from pets.gathering import apart, failing
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.participation import missing_note, reason
from pets.plan.review import Review, Reviewed, review
from pets.spec.model import Spec
from pets.spec.parse import parse_toml, read_text
from pets.spec.write import to_toml
from pets.transport.calls import Description, Event, Evidence, SnapshotEntry, Standing, StartRequest, Submitted
from pets.transport.link import Link

if TYPE_CHECKING:
    from pets.result import Result

Progress = Callable[[PartyId, Event], None]
"""Called with each event of each party's run, from that party's own thread."""

LinkFactory = Callable[[bytes, Sequence[PartyId], Reviewed], Link]
"""Gives the result party's end of the network of a run: its id, the parties that send final shares, what is run."""


class Server(Protocol):
    """One party as its callers see it; ``pets.transport.remote.Remote`` and its twin in memory."""

    def describe(self) -> Description: ...
    def submit(self, toml: bytes, envelope: bytes) -> Submitted: ...
    def approve(self, envelope: bytes) -> Standing: ...
    def revoke(self, envelope: bytes) -> Standing: ...
    def pending(self) -> tuple[Standing, ...]: ...
    def evidence(self, digest: SpecDigest) -> Evidence: ...
    def snapshot(self, digest: SpecDigest) -> tuple[SnapshotEntry, ...]: ...
    def start(self, request: StartRequest) -> bytes: ...
    def watch(self, handle: RunHandle, deadline_s: float) -> Iterator[Event]: ...
    def stop(self, handle: RunHandle) -> None: ...
    def receipt(self, handle: RunHandle) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Analyst:
    """Who runs: the name that submissions carry, and the key that signs them."""

    party: PartyId
    key: SigningKey


class Network:
    """The parties of a directory, as one result party reaches them."""

    def __init__(
        self,
        servers: Mapping[PartyId, Server],
        analyst: Analyst,
        link: LinkFactory,
        *,
        directory_toml: str,
        deadline_s: float = 600.0,
    ) -> None:
        self.servers = dict(servers)
        self.analyst = analyst
        self.link = link
        self.directory_toml = directory_toml
        self.deadline_s = deadline_s

    def submit(self, spec: "Spec | Draft | str | Path") -> SpecDigest:
        """Send a specification to every party that computes or brings rows; each checks it alone. Returns its digest.

        Of sums over one table, holders whom it does not reach, or who refuse it, are named in a warning: it can be
        sent again, and a run does without them as long as the others are enough.
        Raises: the first refusal, with ``at`` naming the party.
        """
        toml, found = read(spec)
        reviewed = found.settled()
        author = reviewed.spec.purpose.author
        envelope = approvals.submit(digest=reviewed.digest, author=author, key=self.analyst.key)

        def send(party: PartyId) -> None:
            got = self.server(party).submit(toml.encode(), envelope)
            if (got.digest, got.plan_digest) != (reviewed.digest, reviewed.plan_digest):
                raise RunError("run.other-plan", peer=party)

        pool = reviewed.plan.pool
        for party in reviewed.spec.servers if pool is None else reviewed.spec.computing:
            send(party)
        if pool is not None:
            errors = failing(send, pool.holders)
            if errors and len(pool.holders) - len(errors) < pool.minimum:
                raise next(iter(errors.values()))
            if errors:
                missing = {party: reason(public_code(error)) for party, error in errors.items()}
                said = f"{len(errors)} holders did not take the specification; submit it again when they can."
                warnings.warn(f"{said}{missing_note(missing)}", stacklevel=2)
        return reviewed.digest

    def run(
        self, spec: "Spec | Draft | str | Path", *, progress: Progress | None = None, handle: RunHandle | None = None
    ) -> "Result":
        """Run an approved specification once and return the released table with its evidence.

        ``handle``: what ``stop`` knows the run by, 32 hex digits never used before; a fresh one if it is left out.

        Learned: the noised sums; nothing from one share alone.
        Raises:  what refused or ended the run; nothing is opened then. Never retried by itself.
        """
        from pets.client import Run

        toml, found = read(spec)
        return Run(self, found, toml, progress, handle or RunHandle(os.urandom(16).hex())).play()

    def stop(self, handle: RunHandle) -> None:
        """Stop a run at every party, whatever becomes of it at the others.

        Raises: if it could be stopped nowhere, what the first party said: that it does not know it, or that it is over.
        """
        asked = [apart(server.stop, handle) for server in self.servers.values()]
        errors = [error for each in asked if (error := each.exception()) is not None]
        if len(errors) == len(asked) and errors:
            raise errors[0]

    def server(self, party: PartyId) -> Server:
        """The server of a party. Raises: LinkError link.unreachable if the directory has none."""
        if party not in self.servers:
            raise LinkError("link.unreachable", peer=party)
        return self.servers[party]


@dataclass(frozen=True)
class Draft:
    """A specification with its text, as ``draft`` makes it and a person goes on writing it."""

    spec: Spec
    toml: str

    def check(self) -> Review:
        """Check it as every party would, but for their own policies. Once: what is here does not change."""
        return self._review

    @cached_property
    def _review(self) -> Review:
        return review(self.spec)

    def save(self, path: str | Path) -> Path:
        """Write the text to a file."""
        Path(path).write_text(self.toml, encoding="utf-8")
        return Path(path)

    def _repr_html_(self) -> str:
        return self.check()._repr_html_()

    def __repr__(self) -> str:
        return f"Draft({self.spec.title!r})"


def read(spec: "Spec | Draft | str | Path") -> tuple[str, Review]:
    """The text of a specification and its review. A string with a line break is text, else the name of a file."""
    if isinstance(spec, Draft):
        return spec.toml, spec.check()
    if isinstance(spec, Spec):
        return to_toml(spec), review(spec)
    if isinstance(spec, str) and "\n" in spec:
        return spec, review(parse_toml(spec))
    text = read_text(Path(spec))
    return text, review(parse_toml(text, file=str(spec)))
