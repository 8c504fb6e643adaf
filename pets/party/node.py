"""One party: takes in specifications, keeps approvals, runs what is approved, refuses everything else.

The room where the three towers meet. Every decision is made by a pure function of the promise (``review``,
``verify_approvals``, ``judge_policy``); this module says who may ask, and answers. lifecycle.py has the runs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pets import __version__
from pets.approve import approvals
from pets.approve.envelope import SigningKey
from pets.approve.policy import Policy
from pets.errors import ApprovalError, RunError, SourceError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import outlook, session
from pets.party.config import Directory
from pets.party.consent import Consent
from pets.party.files import Source
from pets.party.freezer import Freezer
from pets.party.history import Guard, History
from pets.party.holder import HolderSession
from pets.party.lifecycle import Outside, Runs, Settings
from pets.party.log import Log
from pets.party.pooling import PoolSession
from pets.party.state import State
from pets.spec.model import Spec
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


class PartyNode:
    """A party's answers to its callers: a ``pets.party.service.Node``."""

    def __init__(
        self,
        party: PartyId,
        *,
        directory: Directory,
        policy: Policy,
        signing: SigningKey,
        state: State,
        folder: Path,
        datasets: Mapping[str, Source],
        outside: Outside,
        settings: Settings | None = None,
    ) -> None:
        self.party: Final = party
        settings = settings or Settings()
        self._state = state
        self._log = Log(state)
        history = History(state)
        guard = Guard(policy, history)
        self._consent = Consent(party, directory, policy, state, self._log, guard, settings.design, settings.check)
        self._freezer = Freezer(
            party, dict(datasets), folder, state, self._log, outside.entropy, outside.console, settings.engine
        )
        self.runs: Final = Runs(
            party,
            signing=signing,
            state=state,
            folder=folder,
            consent=self._consent,
            freezer=self._freezer,
            guard=guard,
            history=history,
            log=self._log,
            outside=outside,
            settings=settings,
        )
        self._log.append("server.started", software=__version__, party=party)

    @property
    def exchange(self) -> Exchange:
        return self.runs.exchange

    # -- what anyone may know -----------------------------------------------------------------------------------------

    def describe(self, caller: Caller) -> Description:
        """Who this party is and what it would bring; no row, no number of rows."""
        return Description(
            party=self.party,
            organisation=self._consent.directory.by_name[self.party].organisation,
            version=__version__,
            protocols=self._consent.policy.limits.protocols,
            datasets=tuple(DatasetEntry(name, ()) for name in sorted(self._freezer.datasets)),
        )

    # -- specifications and approvals ---------------------------------------------------------------------------------

    def submit(self, caller: Caller, toml: bytes, envelope: bytes) -> Submitted:
        """Check a specification alone and keep it for this party's approvers."""
        return self._consent.submit(caller, toml, envelope)

    def approve(self, caller: Caller, envelope: bytes) -> Standing:
        """Verify and keep one approval of this party's own approvers; who brings it does not matter."""
        return self._consent.take_envelope(caller, envelope, approvals.APPROVAL)

    def revoke(self, caller: Caller, envelope: bytes) -> Standing:
        """Verify and keep a revocation; runs under way of that specification end before their next message."""
        standing = self._consent.take_envelope(caller, envelope, approvals.REVOCATION)
        revoked = ApprovalError("approval.revoked", approver="an approver", party=self.party)
        left = {run.handle: run.digest for run in self.runs.of(standing.digest) if run.withdraw(revoked)}
        self.runs.take_back(left | self.runs.sent(standing.digest))
        return standing

    def pending(self, caller: Caller) -> tuple[Standing, ...]:
        """All specifications that this party holds, newest first; for its own people."""
        self._own(caller)
        return tuple(self._consent.standing(stored) for stored in reversed(self._state.specs()))

    def evidence(self, caller: Caller, digest: SpecDigest) -> Evidence:
        """The specification, its submission and all approvals here: what other parties and approvers verify alone.

        With it come how it stands here, and the text and approvals of specifications that cover it. Who may start it is
        also told when it would run next, and what would refuse it.
        """
        stored = self._consent.stored(digest)
        spec = self._consent.review(digest).spec
        self._named(caller, spec)
        files = [("spec.toml", stored.toml), ("submission.json", stored.submission)]
        envelopes = self._state.envelopes(digest)
        files += [(f"approvals/{number:02d}.json", body) for number, body in enumerate(envelopes, 1)]
        files += self._consent.covering_files(digest)
        if caller.party in (self.party, spec.result_party):
            charges = self.runs.charges(spec)
            files += outlook.files(
                self._consent, self._state, self.runs.ledger, stored, charges=charges, caps=self.runs.caps(charges)
            )
        return Evidence(tuple(files))

    def snapshot(self, caller: Caller, digest: SpecDigest) -> tuple[SnapshotEntry, ...]:
        """Validate and freeze this party's datasets for a specification; for its own people."""
        self._own(caller)
        reviewed = self._consent.review(digest)
        try:
            taken = self._freezer.freeze_all(reviewed, again=True)
        except SourceError as error:
            self.runs.tell(error)
            raise
        return tuple(SnapshotEntry(s.dataset, s.commitment, s.taken) for s in taken.values())

    # -- runs ---------------------------------------------------------------------------------------------------------

    def start(self, caller: Caller, request: StartRequest) -> bytes:
        """Start a run, for its result party. Raises: whatever refuses; see ``Runs.start``."""
        return self.runs.start(caller, request)

    def watch(self, caller: Caller, handle: RunHandle) -> Iterator[Event]:
        """Events of a run from its beginning, as they happen; ends after the event ``end``."""
        run = self.runs.find(caller, handle)
        return run.events.follow()

    def stop(self, caller: Caller, handle: RunHandle) -> None:
        """End a run; nothing is opened after that. Any party of the specification may.

        Raises: RunError run.order if it has ended here. If its end was good, the peers are told all the same;
                run.not-yours to one holder of many at another: it would choose whose numbers are in a sum.
        """
        if caller.party == self.party and (left := self.runs.left(handle)) is not None:
            self.runs.take_back({handle: left.digest})
            raise RunError("run.order", handle=handle, state=left.state.value, event="be stopped")
        run = self.runs.find(caller, handle)
        if isinstance(run.session, HolderSession) and caller.party not in (self.party, *run.ends):
            raise RunError("run.not-yours", party=caller.party)
        ended = run.events.ended
        if not ended:
            self._log.append("run.stopped", handle=handle, caller=caller.san)
        if run.withdraw(session.stopped(caller.party)) and caller.party == self.party:
            self.runs.take_back({handle: run.digest})  # which may be too late; the run is over here either way
        if ended:
            raise RunError("run.order", handle=handle, state=self._state.run(handle).state.value, event="be stopped")

    def receipt(self, caller: Caller, handle: RunHandle) -> bytes:
        """The signed receipt of a run that ended here: for the result party, who passes it on, and this party itself.

        Not for peers: it has digests of the final shares, from which one who lacks few bits could find the sums.
        """
        stored = self._state.run(handle)
        if caller.party not in (self.party, self._consent.review(stored.digest).spec.result_party):
            raise RunError("run.not-yours", party=caller.party)
        if stored.receipt is None:
            raise RunError("run.no-receipt", handle=handle)
        return stored.receipt

    def hello(self, caller: Caller, handle: RunHandle, body: bytes) -> None:
        """A computing party's hello; one that arrives before the local start is kept for a moment."""
        self.runs.hello(caller, handle, body)

    def abort(self, caller: Caller, run_id: bytes, code: str) -> None:
        """A peer ended the run. If it is about to open here, it will meet that when it does.

        Who has no part in what is sent from here on says nothing by that, a holder of many for one; it may stop a run.
        """
        self.exchange.abort(run_id, caller.party, code)
        for run in self.runs.live():
            if run.run_id == run_id and caller.party in (*run.session.peers, *run.ends):
                run.session.peer_ended(caller.party, code)

    def conclude(self, caller: Caller, handle: RunHandle) -> None:
        """Return once this party's part of a run is over, and raise if the run has ended otherwise; for its peers."""
        run = self.runs.find(caller, handle)
        if caller.party not in run.session.peers:
            raise RunError("run.unknown", handle=handle)
        run.session.await_end()

    def announcement(self, caller: Caller, handle: RunHandle) -> bytes:
        """What a holder makes its upload for. Raises: RunError run.unknown before a run has agreed,
        run.order when it is over, run.no-uploads."""
        pool = self._pool(caller, handle)
        if self.runs.find(caller, handle).events.ended:
            state = self._state.run(handle).state.value
            raise RunError("run.order", handle=handle, state=state, event="take uploads")
        return pool.announcement(self._state.clock())

    def upload(self, caller: Caller, handle: RunHandle, frames: Iterator[bytes]) -> Uploaded:
        """Take in one part of a holder's upload. Raises: RunError run.no-uploads, and what refuses the part."""
        return self._pool(caller, handle).take(caller.party, frames)

    def decline(self, caller: Caller, handle: RunHandle, digest: SpecDigest) -> None:
        """A holder takes no part in a run. Raises: RunError run.unknown, run.no-uploads, and what refuses that."""
        if (pool := self._pool(caller, handle)).reviewed.digest != digest:
            raise RunError("run.unknown", handle=handle)
        if pool.decline(caller.party):
            self._log.append("holder.declined", handle=handle, caller=caller.san)

    def withdraw(self, caller: Caller, handle: RunHandle, digest: SpecDigest) -> None:
        """A holder takes its upload back. Raises: as ``decline``; PeerError peer.withdraw-late."""
        if (pool := self._pool(caller, handle)).reviewed.digest != digest:
            raise RunError("run.unknown", handle=handle)
        if pool.give_back(caller.party):
            self._log.append("holder.withdrew", handle=handle, caller=caller.san)

    def close(self) -> None:
        """Stop all runs and the log: the server is shutting down."""
        self.runs.close()
        self._log.append("server.stopped")
        self._state.close()

    # -- small things -------------------------------------------------------------------------------------------------

    def _own(self, caller: Caller) -> None:
        if caller.party != self.party:
            raise RunError("run.not-yours", party=caller.party)

    def _named(self, caller: Caller, spec: Spec) -> None:
        if caller.party not in {p.name for p in spec.parties}:
            raise RunError("run.not-yours", party=caller.party)

    def _pool(self, caller: Caller, handle: RunHandle) -> PoolSession:
        """The session of a run that takes uploads here, or did. Raises: RunError run.unknown, run.no-uploads."""
        run = self.runs.find(caller, handle)
        if not isinstance(run.session, PoolSession):
            raise RunError("run.no-uploads", handle=handle)
        return run.session
