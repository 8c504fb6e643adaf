"""One party: takes in specifications, keeps approvals, runs what is approved, refuses everything else.

The room where the three towers meet. Every decision is made by a pure function of the promise (``review``,
``verify_approvals``, ``judge_policy``); this module orders them, makes them durable and answers callers. Nothing that
depends on records is sent before: approvals verified, the run counted, the budget reserved, the log written.
"""

import contextlib
import datetime as dt
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pets import __version__
from pets.approve import approvals
from pets.approve.envelope import SigningKey, sign
from pets.approve.policy import Policy
from pets.check.budget import Loss, run_loss, total
from pets.check.releases import Entry
from pets.errors import (
    CODES,
    ApprovalError,
    BudgetError,
    InternalError,
    PetsError,
    RunError,
    SourceError,
)
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import evidence, hello, leaving, outlook, pairing, results, session, sources, uploads
from pets.party.accounting import Account, Cap, account_of, cap_of
from pets.party.cast import result_endpoint
from pets.party.config import Directory
from pets.party.consent import Check, Consent
from pets.party.executing import ProgramSession
from pets.party.freezer import Freezer
from pets.party.history import Guard, History, about
from pets.party.holder import Carrier, HolderSession
from pets.party.joining import JoinPlay
from pets.party.ledger import Ledger
from pets.party.log import Log
from pets.party.play import Entropy
from pets.party.pooling import PoolSession, prepare_kernels
from pets.party.runs import Console, Hellos, LiveRun
from pets.party.state import RunEvent, RunState, State, StoredSnapshot, StoredSpec
from pets.plan.review import Reviewed
from pets.spec.ir import Read
from pets.spec.model import Dataset, Spec
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

KEPT_RUNS: Final = 64
"""Runs whose events are kept in memory for those who watch; the journal keeps all."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the deployment decides. ``design``: accept drafts with placeholders (in memory, never at a server)."""

    deadline_s: float = 30.0
    """Longest wait for one message of a peer."""
    run_s: float = 600.0
    """From the start of a run to its end."""
    max_live: int = 8
    """Runs under way at one time, without those that take uploads."""
    max_open: int = 64
    """Runs under way at one time of sums over a table of many holders: most of their time they wait for uploads."""
    design: bool = False
    check: Check = field(default_factory=Check)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a node uses of the world: clock and disk through ``State``, entropy, the network, its own console."""

    carrier: Carrier
    entropy: Entropy
    console: Console = field(default=lambda line: None)
    exchange: Exchange = field(default_factory=Exchange)


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
        datasets: Mapping[str, sources.Source],
        outside: Outside,
        settings: Settings = Settings(),
    ) -> None:
        self.party: Final = party
        self._signing = signing
        self._state = state
        self._results: Final = folder.parent / results.FOLDER
        self._uploads: Final = folder.parent / uploads.FOLDER / party
        uploads.clear(self._uploads)  # of runs that a crash has ended
        self._outside = outside
        self._settings = settings
        self._ledger = Ledger(state)
        self._log = Log(state)
        self._history = History(state)
        self._guard = Guard(policy, self._history)
        self._consent = Consent(
            party, directory, policy, state, self._log, self._guard, settings.design, settings.check
        )
        self._freezer = Freezer(party, dict(datasets), folder, state, self._log, outside.entropy, outside.console)
        self._lock = threading.RLock()
        self._admitting = threading.RLock()
        """Held while a run is counted and charged, which waits for the disk; ``_lock`` is for what is in memory."""
        self._runs: dict[RunHandle, LiveRun] = {}
        self._hellos = Hellos()
        self._leaving = leaving.Leaving(outside.carrier, self._told)
        self._closed = False
        for run in state.recover():
            self._log.append("run.aborted", handle=run.handle, code="run.crashed")
        self._log.append("server.started", software=__version__, party=party)

    @property
    def exchange(self) -> Exchange:
        return self._outside.exchange

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
        with self._lock:
            runs = [run for run in self._runs.values() if standing.digest in run.digests]
        for run in runs:
            run.session.withdraw(ApprovalError("approval.revoked", approver="an approver", party=self.party))
        self._take_back({run.handle: run.digest for run in runs if _has_sent(run)} | self._sent(standing.digest))
        return standing

    def pending(self, caller: Caller) -> tuple[Standing, ...]:
        """All specifications that this party holds, newest first; for its own people."""
        self._own(caller)
        return tuple(self._consent.standing(stored) for stored in reversed(self._state.specs()))

    def evidence(self, caller: Caller, digest: SpecDigest) -> Evidence:
        """The specification, its submission and all approvals here: what other parties and approvers verify alone.

        With it come how it stands here, when it would run next, and the text and approvals of specifications that cover
        it.
        """
        stored = self._consent.stored(digest)
        spec = self._consent.review(digest).spec
        self._named(caller, spec)
        files = [("spec.toml", stored.toml), ("submission.json", stored.submission)]
        envelopes = self._state.envelopes(digest)
        files += [(f"approvals/{number:02d}.json", body) for number, body in enumerate(envelopes, 1)]
        files += self._consent.covering_files(digest)
        charges = self._charges(spec)
        files += outlook.files(
            self._consent, self._state, self._ledger, stored, charges=charges, caps=self._caps(charges)
        )
        return Evidence(tuple(files))

    def snapshot(self, caller: Caller, digest: SpecDigest) -> tuple[SnapshotEntry, ...]:
        """Validate and freeze this party's datasets for a specification; for its own people."""
        self._own(caller)
        reviewed = self._consent.review(digest)
        try:
            taken = self._freezer.freeze_all(reviewed, again=True)
        except SourceError as error:
            self._tell(error)
            raise
        return tuple(SnapshotEntry(s.dataset, s.commitment, s.taken) for s in taken.values())

    # -- runs ---------------------------------------------------------------------------------------------------------

    def start(self, caller: Caller, request: StartRequest) -> bytes:
        """Start a run: everything is verified here and now, then counted, reserved and logged, then said hello.

        Raises: whatever refuses; the log then says which code. Nothing was sent that depends on records.
        """
        try:
            return self._start(caller, request)
        except PetsError as error:
            self._log.append(
                "run.refused", handle=request.handle, digest=request.digest, caller=caller.san, code=error.code
            )
            spec = None if self._state.knows_run(request.handle) else self._consent.known(request.digest)
            if spec is not None and leaving.refused(spec, self.party, caller.party, error):
                self._leaving.decline(spec, request.handle, request.digest)
            if isinstance(error, SourceError):
                self._tell(error)
                raise SourceError("source.not-ready", party=self.party) from error
            raise

    def watch(self, caller: Caller, handle: RunHandle) -> Iterator[Event]:
        """Events of a run from its beginning, as they happen; ends after the event ``end``."""
        run = self._run(caller, handle)
        return run.events.follow()

    def stop(self, caller: Caller, handle: RunHandle) -> None:
        """End a run; nothing is opened after that. Any party of the specification may.

        Raises: RunError run.order if it has ended here. If its end was good, the peers are told all the same;
                run.not-yours to one holder of many at another: it would choose whose numbers are in a sum.
        """
        run = self._run(caller, handle)
        if isinstance(run.session, HolderSession) and caller.party not in (self.party, *run.ends):
            raise RunError("run.not-yours", party=caller.party)
        if caller.party == self.party and _has_sent(run):
            self._take_back({handle: run.digest})  # which may be too late; the run is over here either way
        if run.events.ended:
            run.session.withdraw(session.stopped(caller.party))
            raise RunError("run.order", handle=handle, state=self._state.run(handle).state.value, event="be stopped")
        self._log.append("run.stopped", handle=handle, caller=caller.san)
        run.session.withdraw(session.stopped(caller.party))

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
        """A computing party's hello; one that arrives before the local start is kept for a moment.

        A hello of anybody else is no part of the run and does nothing to it.
        """
        with self._lock:
            run = self._runs.get(handle)
            if run is None:
                self._hellos.keep(handle, caller.party, body)
                return
        if caller.party not in run.session.peers:
            raise RunError("run.unknown", handle=handle)
        self._take_hello(run, caller.party, body)

    def abort(self, caller: Caller, run_id: bytes, code: str) -> None:
        """A peer ended the run. If it is about to open here, it will meet that when it does.

        Who has no part in what is sent from here on says nothing by that, a holder of many for one; it may stop a run.
        """
        self.exchange.abort(run_id, caller.party, code)
        for run in self._live():
            if run.run_id == run_id and caller.party in (*run.session.peers, *run.ends):
                run.session.peer_ended(caller.party, code)

    def conclude(self, caller: Caller, handle: RunHandle) -> None:
        """Return once this party's part of a run is over, and raise if the run has ended otherwise; for its peers."""
        run = self._run(caller, handle)
        if caller.party not in run.session.peers:
            raise RunError("run.unknown", handle=handle)
        run.session.await_end()

    def announcement(self, caller: Caller, handle: RunHandle) -> bytes:
        """What a holder makes its upload for. Raises: RunError run.unknown before a run has agreed,
        run.order when it is over, run.no-uploads."""
        pool = self._pool(caller, handle)
        if self._run(caller, handle).events.ended:
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
        with self._admitting, self._lock:
            self._closed = True
        live = self._live()
        for run in live:
            run.session.stop(session.stopped(self.party))
        for run in live:
            if run.thread is not None:
                run.thread.join(self._settings.deadline_s)
        self._leaving.close(self._settings.deadline_s)
        self._log.append("server.stopped")
        self._state.close()

    # -- starting and ending a run ------------------------------------------------------------------------------------

    def _start(self, caller: Caller, request: StartRequest) -> bytes:
        stored = self._consent.stored(request.digest)
        reviewed = self._consent.reviewed(stored)
        spec = reviewed.spec
        if caller.party != spec.result_party:
            raise RunError("run.not-yours", party=caller.party)
        if self.party not in spec.servers:
            raise RunError("run.not-yours", party=self.party)
        named = hello.read(request.hello, peer=hello.RESULT_ENDPOINT).agreed.cover
        approved = self._consent.approved(stored, reviewed, request.approvals, named)
        charges = self._charges(spec)
        self._state.check_count(*approved.counts)  # before records are read for it
        self._ledger.check(charges, self._caps(charges))
        frozen = self._freeze(reviewed, approved)
        run = self._begin(stored, reviewed, request, frozen, charges, approved)
        self._unsuspected(run, reviewed, approved)
        self._admit(run)
        try:
            self._log.append(
                "run.started", handle=request.handle, digest=request.digest, caller=caller.san, **_covered(approved)
            )
            self._outside.console(f"started run {request.handle}: {reviewed.spec.title}, for {caller.party}")
            run.thread = threading.Thread(
                target=self._play, args=(run, reviewed, approved, frozen), daemon=True, name=f"run {request.handle}"
            )
            run.thread.start()
        except BaseException:
            self._state.abort_run(request.handle, "internal.bug")
            run.events.end("internal.bug")
            raise
        for peer, body in self._hellos.take(request.handle):
            if peer in run.session.peers:
                with contextlib.suppress(PetsError):  # the run ends of it, as of one that comes later
                    self._take_hello(run, peer, body)
        return run.session.hello_body

    def _admit(self, run: LiveRun) -> None:
        """Enter a run into the journal, if it could be counted and paid for beside those that are about to be.

        Two clients that start the last approved run at once would otherwise each use it up at other parties.
        Raises: BudgetError, as counting and reserving will; RunError run.busy if only runs under way are in the way.
        """
        busy = RunError("run.busy", party=self.party)
        with self._admitting:
            live = self._live()
            beside = sum(other.pooled == run.pooled for other in live)
            if self._closed or beside >= (self._settings.max_open if run.pooled else self._settings.max_live):
                raise busy
            before = [other for other in live if not other.charged]
            self._state.check_count(*run.counts)
            for count in run.counts:
                waiting = sum(count.digest in other.digests for other in before)
                if waiting and (count.turn is not None or self._state.runs_used(count.digest) + waiting >= count.most):
                    raise busy
            self._ledger.check(run.charges, self._caps(run.charges))
            together = {
                name: total([loss, *(other.charges[name] for other in before if name in other.charges)])
                for name, loss in run.charges.items()
            }
            try:
                self._ledger.check(together, self._caps(together))
            except BudgetError as error:
                raise busy from error
            self._state.start_run(run.handle, run.digest)
            with self._lock:
                self._forget_old()
                self._runs[run.handle] = run

    def _take_hello(self, run: LiveRun, peer: PartyId, body: bytes) -> None:
        try:
            run.session.take_hello(peer, body)
        except PetsError as error:
            run.session.stop(error)
            raise

    def _begin(
        self,
        stored: StoredSpec,
        reviewed: Reviewed,
        request: StartRequest,
        frozen: Mapping[str, StoredSnapshot],
        charges: Mapping[Account, Loss],
        approved: approvals.Approved,
    ) -> LiveRun:
        spec = reviewed.spec
        if reviewed.plan.match is not None:  # before peers and the client wait for this party
            pairing.prepare(reviewed.plan.match)
        if reviewed.plan.pool is not None:
            prepare_kernels(reviewed.plan.pool)

        def bring(read: Read) -> sources.Table:
            dataset = spec.dataset(read.dataset).part(self.party)
            return sources.read(self._freezer.loaded(frozen[read.dataset]), read, dataset)

        parties = frozenset(PartyId(p.name) for p in spec.parties)
        run = LiveRun(request.handle, request.digest, parties, charges, approved.counts)
        run.ends = frozenset((*spec.computing, spec.result_party))
        run.pooled = reviewed.plan.pool is not None
        if self._guard.holds(reviewed.asked, spec):
            versions, today = self._freezer.versions(frozen), self._state.today()
            run.about = Entry(request.digest, about(spec, reviewed.asked), versions, today)
        if self._only_brings(reviewed):
            run.session = HolderSession(
                reviewed,
                self.party,
                request.handle,
                collector=self._outside.carrier,
                bring=bring,
                result_hello=request.hello,
                entropy=self._outside.entropy,
                run_s=self._settings.run_s,
                tick=run.events.step,
                cover=None if approved.covering is None else approved.signed,
                check=lambda: self._still(approved),
                agreed=lambda run_id: self._agreed(run, stored, reviewed, approved, run_id),
            )
            return run
        common: dict[str, Any] = {
            "carrier": self._outside.carrier,
            "result_hello": request.hello,
            "entropy": self._outside.entropy,
            "deadline_s": self._settings.deadline_s,
            "run_s": self._settings.run_s,
            "tick": run.events.step,
            "cover": None if approved.covering is None else approved.signed,
            "sets": {name: entry.commitment for name, entry in frozen.items()},
            "check": lambda: self._still(approved),
            "agreed": lambda run_id: self._agreed(run, stored, reviewed, approved, run_id),
        }
        if reviewed.plan.pool is not None:
            folder, collector = self._uploads / request.handle, self._outside.carrier
            run.session = PoolSession(
                reviewed, self.party, request.handle, collector=collector, folder=folder, **common
            )
            return run
        if reviewed.plan.program is not None:
            run.session = ProgramSession(reviewed, self.party, request.handle, bring=bring, **common)
            return run
        play = JoinPlay(reviewed, self.party, bring, self._outside.entropy)
        run.session = session.Session(reviewed, self.party, request.handle, play=play, **common)
        return run

    def _agreed(
        self,
        run: LiveRun,
        stored: StoredSpec,
        reviewed: Reviewed,
        approved: approvals.Approved,
        run_id: bytes,
    ) -> None:
        """All are about to run the same: count and charge it, on disk before the first message that depends on records.

        Not earlier: a run that fails at the hello has told nobody anything, and costs nothing. Approvals are verified
        once more, because one may have been revoked before this run could be found, and the history is asked once more,
        because another run may have been released since.
        """
        run.run_id = run_id
        self._state.agree_run(run.handle, run_id.hex())
        old = None if approved.covering is None else approved.signed
        still = self._consent.approved_here(stored, reviewed, old)
        with self._admitting:
            self._unsuspected(run, reviewed, still)
            self._state.count_run(*approved.counts)
            self._reserve(run.handle, run.charges)
            if run.about is not None:
                self._history.remember(run.handle, run.about)
            run.charged = True
        self._log.append(
            "run.agreed",
            handle=run.handle,
            run=run_id.hex(),
            digest=reviewed.digest,
            plan=reviewed.plan_digest,
            cards=reviewed.cards,
            sets=run.session.sets,
            **({} if approved.covering is None else {"cover": approved.signed}),
        )

    def _play(
        self,
        run: LiveRun,
        reviewed: Reviewed,
        approved: approvals.Approved,
        frozen: Mapping[str, StoredSnapshot],
    ) -> None:
        code, by = "internal.bug", ""
        try:
            started = self._state.now()
            outcome = run.session.run()
            self._keep_found(run, reviewed, outcome)
            if run.charges:
                self._ledger.settle(run.handle)
                self._log.append("budget.settled", handle=run.handle)
            receipt = self._receipt(run, reviewed, approved, frozen, run.charges, started, outcome)
            ended = evidence.outcome_of(reviewed.spec, self.party)
            self._state.finish_run(run.handle, receipt, RunEvent.SEND if ended == "sent" else RunEvent.FINISH)
            self._log.append(
                f"run.{ended}",
                handle=run.handle,
                run=outcome.run_id.hex(),
                receipt=approvals.envelope_digest(receipt),
                opening=outcome.opening.expose("this party's own log").hex(),
            )
            self._outside.console(f"{ended}{' all of' if ended == 'sent' else ''} run {run.handle}")
            code, by = "", ended
        except PetsError as error:
            if isinstance(error, SourceError):
                self._tell(error)
            code, by = session.public_code(error), str(error.fields.get("by", ""))
            self._aborted(run, error, code)
        except Exception as error:  # whatever it is, the run has ended and says no more than that
            self._outside.console(f"run {run.handle}: {type(error).__name__} in {self.party}")
            self._aborted(run, InternalError("internal.bug", where=self.party), code)
        finally:
            run.events.end(code, by)

    def _keep_found(self, run: LiveRun, reviewed: Reviewed, outcome: session.Outcome) -> None:
        """Write down which of this party's persons an intersection tells it, for its own people and nobody else."""
        if outcome.found is None:
            return
        column = reviewed.plan.reads[1].columns[0]
        file = results.write(self._results, f"{self.party}-{run.handle}.csv", column, pairing.ids_of(outcome.found))
        self._outside.console(f"which persons of {self.party} are in both: {file}")

    def _unsuspected(self, run: LiveRun, reviewed: Reviewed, approved: approvals.Approved) -> None:
        """Hold a run against the releases so far. Raises: LeakError or ApprovalError, as ``Guard.require`` does."""
        if run.about is not None:
            self._guard.require(run.about, reviewed.spec, approved.overruled)

    def _aborted(self, run: LiveRun, error: PetsError, code: str) -> None:
        peer = str(error.fields.get("peer", ""))
        if run.about is not None and not run.session.told:
            self._history.forget(run.handle)
        with contextlib.suppress(RunError):  # the journal has closed it before: this thread outlived its server
            self._state.abort_run(run.handle, code)
        step, refused = run.session.step or run.events.last_step, run.session.refused(error)
        told = str(error.fields.get("reason", "")) if error.code == "peer.aborted" else ""
        self._log.append(
            "run.aborted",
            handle=run.handle,
            code=code,
            peer=peer,
            step=step,
            refused=refused,
            reason=told if told in CODES else "",
        )
        self._outside.console(f"run {run.handle} ended at {step or 'its start'}: {error.text}")
        if isinstance(run.session, HolderSession) and leaving.ended(self.party, error):
            leave = self._leaving.take_back if run.session.told else self._leaving.decline
            leave(run.session.reviewed.spec, run.handle, run.digest)

    def _told(self, handle: RunHandle, told: Sequence[PartyId], missed: Sequence[PartyId], *, back: bool) -> None:
        """Computing parties know that this holder is not in a run, or they do not, because it was too late."""
        self._log.append("run.withdrawn" if back else "run.declined", handle=handle, told=list(told))
        self._outside.console(leaving.line(handle, told, missed, back=back))

    def _sent(self, digest: SpecDigest) -> dict[RunHandle, SpecDigest]:
        """Runs of a specification for which this holder has uploaded and may withdraw still, by the journal."""
        spec = self._consent.known(digest)
        if spec is None or not evidence.is_pooled(spec):
            return {}
        since = (self._state.clock() - dt.timedelta(seconds=leaving.open_s(spec) + self._settings.run_s)).isoformat()
        runs = self._state.runs(digest)
        return {run.handle: digest for run in runs if run.state is RunState.SENT and run.started >= since}

    def _take_back(self, runs: Mapping[RunHandle, SpecDigest]) -> None:
        for handle, digest in runs.items():
            if (spec := self._consent.known(digest)) is not None:
                self._leaving.take_back(spec, handle, digest)

    def _receipt(
        self,
        run: LiveRun,
        reviewed: Reviewed,
        approved: approvals.Approved,
        frozen: Mapping[str, StoredSnapshot],
        charges: Mapping[Account, Loss],
        started: str,
        outcome: session.Outcome,
    ) -> bytes:
        to = {result_endpoint(reviewed): evidence.people_of(reviewed.spec)}
        statement = evidence.build_receipt(
            party=self.party,
            spec=reviewed.digest,
            run=outcome.run_id.hex(),
            handle=run.handle,
            plan=reviewed.plan_digest,
            cards=reviewed.cards,
            software=__version__,
            started=started,
            ended=self._state.now(),
            outcome=evidence.outcome_of(reviewed.spec, self.party),
            author_key=self._consent.stored(reviewed.digest).author_key,
            approved=approved,
            commitments={name: entry.commitment for name, entry in frozen.items()},
            spend={account.dataset: loss for account, loss in charges.items()},
            sent=[
                evidence.SentMessage(
                    label=s.label, column=s.column, to=to.get(s.to, s.to), bytes=s.size, sha256=s.sha256
                )
                for s in outcome.sent
            ],
            log=self._log.head(),
            contributors=outcome.contributors,
        )
        return sign(statement, self._signing)

    def _freeze(self, reviewed: Reviewed, approved: approvals.Approved) -> dict[str, StoredSnapshot]:
        """What this party brings. A covered run reads the snapshots of the covering specification, and no others:

        those are the rows that its approvers let be asked about, frozen once or refreshed when its rule allows it.
        """
        signed = reviewed if approved.covering is None else self._consent.review(approved.signed)
        only = {dataset.name for dataset in reviewed.spec.datasets}
        return self._freezer.freeze_all(signed, again=False, only=only)

    # -- checks -------------------------------------------------------------------------------------------------------

    def _still(self, approved: approvals.Approved) -> None:
        """Before every message: the approval has not run out on the way."""
        if self._state.today() > approved.not_after:
            raise ApprovalError("approval.spec-expired", not_after=approved.not_after.isoformat())

    def _reserve(self, handle: RunHandle, charges: Mapping[Account, Loss]) -> None:
        if not charges:
            return
        try:
            self._ledger.reserve(handle, charges, self._caps(charges))
        except PetsError as error:
            dataset = str(error.fields.get("dataset", ""))
            self._log.append("budget.refused", handle=handle, dataset=dataset, code=error.code)
            raise
        self._log.append(
            "budget.reserved",
            handle=handle,
            charges={name: _logged(loss) for (name, _), loss in charges.items()},
        )

    def _charges(self, spec: Spec) -> dict[Account, Loss]:
        """What one run costs each dataset that this party brings, or a part of."""
        costs = run_loss(spec)
        return {account_of(each): costs[each.name] for each in spec.datasets if self.party in each.parties}

    def _caps(self, charges: Mapping[Account, Loss]) -> dict[Account, Cap]:
        return dict.fromkeys(charges, cap_of(self._consent.policy.limits, self._state.today()))

    # -- small things -------------------------------------------------------------------------------------------------

    def _holds(self, dataset: Dataset) -> bool:
        return self.party in dataset.parties

    def _only_brings(self, reviewed: Reviewed) -> bool:
        """True if this party is one of many who bring a part of a table, and has no other part in a run."""
        pool = reviewed.plan.pool
        return pool is not None and self.party in pool.holders

    def _own(self, caller: Caller) -> None:
        if caller.party != self.party:
            raise RunError("run.not-yours", party=caller.party)

    def _named(self, caller: Caller, spec: Spec) -> None:
        if caller.party not in {p.name for p in spec.parties}:
            raise RunError("run.not-yours", party=caller.party)

    def _run(self, caller: Caller, handle: RunHandle) -> LiveRun:
        with self._lock:
            run = self._runs.get(handle)
        if run is None or caller.party not in run.parties:
            raise RunError("run.unknown", handle=handle)
        return run

    def _pool(self, caller: Caller, handle: RunHandle) -> PoolSession:
        """The session of a run that takes uploads here, or did. Raises: RunError run.unknown, run.no-uploads."""
        run = self._run(caller, handle)
        if not isinstance(run.session, PoolSession):
            raise RunError("run.no-uploads", handle=handle)
        return run.session

    def _live(self) -> list[LiveRun]:
        with self._lock:
            return [run for run in self._runs.values() if not run.events.ended]

    def _forget_old(self) -> None:
        ended = [handle for handle, run in self._runs.items() if run.events.ended]
        for handle in ended[: max(0, len(self._runs) - KEPT_RUNS)]:
            del self._runs[handle]

    def _tell(self, error: SourceError) -> None:
        self._outside.console(f"{error.text}\n  {error.hint}")
        for line in error.local:
            self._outside.console(f"  {line}")


def _has_sent(run: LiveRun) -> bool:
    """Whether all parts of a holder's upload are where they belong."""
    return isinstance(run.session, HolderSession) and run.session.sent


def _logged(loss: Loss) -> list[str]:
    """A charge as the log has it: epsilon and delta, and rho where there is one."""
    return [str(part) for part in (loss.epsilon, loss.delta, *((loss.rho,) if loss.rho else ()))]


def _covered(approved: approvals.Approved) -> dict[str, object]:
    """What the log says of a run under a cover: the specification that covers it, and the envelopes that counted."""
    if approved.covering is None:
        return {}
    return {"cover": approved.signed, "envelopes": [digest for _, digest in approved.envelopes]}
