"""The runs of one party: started, counted and charged, played in threads of their own, and ended.

Nothing that depends on records is sent before approvals are verified, the run is counted, its budget reserved and the
log written. Every decision is made by a pure function of the promise; here they are put in order and made durable.
"""

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pets import __version__
from pets.approve import approvals
from pets.approve.envelope import SigningKey, sign
from pets.check.budget import Loss, run_loss
from pets.check.releases import Entry
from pets.errors import CODES, ApprovalError, BudgetError, InternalError, PetsError, RunError, SourceError, public_code
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import hello, leaving, pairing, receipts, results, session, sources, uploads
from pets.party.accounting import Account, Cap, account_of, cap_of
from pets.party.cast import result_endpoint
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
from pets.party.state import RunEvent, RunState, State, StoredRun, StoredSnapshot, StoredSpec
from pets.plan.review import Reviewed
from pets.spec.ir import Read
from pets.spec.model import Spec
from pets.spec.pooled import is_pooled
from pets.transport.calls import Caller, StartRequest
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
    engine: sources.Shared | None = None
    """What parties of one process freeze their small frames with; a server opens one of its own each time."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a node uses of the world: clock and disk through ``State``, entropy, the network, its own console."""

    carrier: Carrier
    entropy: Entropy
    console: Console = field(default=lambda line: None)
    exchange: Exchange = field(default_factory=Exchange)


class Runs:
    """A party's runs. ``folder``: where its snapshots lie; uploads and results are beside it."""

    def __init__(
        self,
        party: PartyId,
        *,
        signing: SigningKey,
        state: State,
        folder: Path,
        consent: Consent,
        freezer: Freezer,
        guard: Guard,
        history: History,
        log: Log,
        outside: Outside,
        settings: Settings,
    ) -> None:
        self.party: Final = party
        self.ledger: Final = Ledger(state)
        self._signing = signing
        self._state = state
        self._results: Final = folder.parent / results.FOLDER
        self._uploads: Final = folder.parent / uploads.FOLDER / party
        uploads.clear(self._uploads)  # of runs that a crash has ended
        self._outside = outside
        self._settings = settings
        self._log = log
        self._history = history
        self._guard = guard
        self._consent = consent
        self._freezer = freezer
        self._lock = threading.RLock()
        self._admitting = threading.RLock()
        """Held while a run is counted and charged, which waits for the disk; ``_lock`` is for what is in memory."""
        self._runs: dict[RunHandle, LiveRun] = {}
        self._hellos = Hellos()
        self._leaving = leaving.Leaving(outside.carrier, self._told)
        self._closed = False
        for run in state.recover():
            log.append("run.aborted", handle=run.handle, code="run.crashed")
        freezer.clear()

    @property
    def exchange(self) -> Exchange:
        return self._outside.exchange

    # -- in memory ----------------------------------------------------------------------------------------------------

    def find(self, caller: Caller, handle: RunHandle) -> LiveRun:
        """A run that was started here, for a party of it. Raises: RunError run.unknown."""
        with self._lock:
            run = self._runs.get(handle)
        if run is None or caller.party not in run.parties:
            raise RunError("run.unknown", handle=handle)
        return run

    def of(self, digest: SpecDigest) -> list[LiveRun]:
        """Runs of a specification, or under its approvals, whether they are over or not."""
        with self._lock:
            return [run for run in self._runs.values() if digest in run.digests]

    def live(self) -> list[LiveRun]:
        """Runs that are under way."""
        with self._lock:
            return [run for run in self._runs.values() if not run.events.ended]

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

    def sent(self, digest: SpecDigest) -> dict[RunHandle, SpecDigest]:
        """Runs of a specification or under its approvals whose uploads this holder may take back still; their own ones.

        By the journal, so also of runs before a restart.
        """
        return {run.handle: run.digest for run in self._state.runs(digest) if self._may_come_back(run)}

    def left(self, handle: RunHandle) -> StoredRun | None:
        """A run that is in the journal only, as after a restart, if this holder may take its upload back still."""
        if not self._state.knows_run(handle):
            return None
        run = self._state.run(handle)
        return run if self._may_come_back(run) else None

    def _may_come_back(self, run: StoredRun) -> bool:
        """Whether this holder has uploaded in a run, and uploads may be taken still.

        Of a run that a crash has ended once it had agreed, or that others said to be over, parts may have left: all of
        them, for one. Runs that are in memory are not among them: of these ``LiveRun.withdraw`` knows whether.
        """
        with self._lock:
            here = run.handle in self._runs
        if here or (run.state is not RunState.SENT and (run.code not in leaving.UNTOLD or run.run_id is None)):
            return False
        spec = self._consent.known(run.digest)
        if spec is None or not is_pooled(spec) or self.party not in spec.holders(spec.datasets[0].name):
            return False
        since = self._state.clock() - dt.timedelta(seconds=leaving.open_s(spec) + self._settings.run_s)
        return run.started >= since.isoformat()

    def take_back(self, runs: Mapping[RunHandle, SpecDigest]) -> None:
        """Tell those who took this holder's uploads in these runs that it withdraws them; does not wait."""
        for handle, digest in runs.items():
            if (spec := self._consent.known(digest)) is not None:
                self._leaving.take_back(spec, handle, digest)

    def close(self) -> None:
        """Stop all runs and start no more."""
        with self._admitting, self._lock:
            self._closed = True
        live = self.live()
        for run in live:
            run.session.stop(session.stopped(self.party))
        for run in live:
            if run.thread is not None:
                run.thread.join(self._settings.deadline_s)
        self._leaving.close(self._settings.deadline_s)

    # -- starting and ending a run ------------------------------------------------------------------------------------

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
                self.tell(error)
                raise SourceError("source.not-ready", party=self.party) from error
            raise

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
        charges = self.charges(spec)
        self._state.check_count(*approved.counts)  # before records are read for it
        self.ledger.check(charges, self.caps(charges))
        frozen = self._freeze(reviewed, approved)
        with contextlib.ExitStack() as undo:
            undo.callback(self._freezer.drop, frozen)
            run = self._begin(stored, reviewed, request, frozen, charges, approved)
            self._unsuspected(run, reviewed, approved)
            self._admit(run, None if approved.covering is None else approved.signed)
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
            undo.pop_all()  # from here on they are the run's
        for peer, body in self._hellos.take(request.handle):
            if peer in run.session.peers:
                with contextlib.suppress(PetsError):  # the run ends of it, as of one that comes later
                    self._take_hello(run, peer, body)
        return run.session.hello_body

    def _admit(self, run: LiveRun, cover: SpecDigest | None) -> None:
        """Enter a run into the journal, if it could be counted and paid for beside those that are about to be.

        Two clients that start the last approved run at once would otherwise each use it up at other parties.
        Raises: BudgetError, as counting and reserving will; RunError run.busy if only runs under way are in the way.
        """
        busy = RunError("run.busy", party=self.party)
        with self._admitting:
            live = self.live()
            beside = sum(other.pooled == run.pooled for other in live)
            if self._closed or beside >= (self._settings.max_open if run.pooled else self._settings.max_live):
                raise busy
            before = [other for other in live if not other.charged]
            self._state.check_count(*run.counts)
            for count in run.counts:
                waiting = sum(count.digest in other.digests for other in before)
                if waiting and (count.turn is not None or self._state.runs_used(count.digest) + waiting >= count.most):
                    raise busy
            self.ledger.check(run.charges, self.caps(run.charges))
            try:
                self.ledger.check(run.charges, self.caps(run.charges), [other.charges for other in before])
            except BudgetError as error:
                raise busy from error
            self._state.start_run(run.handle, run.digest, cover)
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
        run.pooled, run.frozen = reviewed.plan.pool is not None, frozen
        if self._guard.holds(reviewed.asked, spec):
            versions, today = self._freezer.versions(frozen), self._state.today()
            run.about = Entry(request.digest, about(spec, reviewed.asked), versions, today)
        run.session = self._session(run, stored, reviewed, request, frozen, approved, bring)
        return run

    def _session(
        self,
        run: LiveRun,
        stored: StoredSpec,
        reviewed: Reviewed,
        request: StartRequest,
        frozen: Mapping[str, StoredSnapshot],
        approved: approvals.Approved,
        bring: Callable[[Read], sources.Table],
    ) -> session.Session | HolderSession:
        """The session of one run: of its kind of plan, and of this party's part in it."""
        carrier, entropy, who = self._outside.carrier, self._outside.entropy, (reviewed, self.party, request.handle)
        given: dict[str, Any] = {
            "result_hello": request.hello,
            "entropy": entropy,
            "run_s": self._settings.run_s,
            "tick": run.events.step,
            "cover": None if approved.covering is None else approved.signed,
            "check": lambda: self._still(approved),
            "agreed": lambda run_id: self._agreed(run, stored, reviewed, approved, run_id),
        }
        if self._only_brings(reviewed):
            return HolderSession(*who, collector=carrier, bring=bring, **given)
        given |= {
            "carrier": carrier,
            "deadline_s": self._settings.deadline_s,
            "sets": {name: entry.commitment for name, entry in frozen.items()},
        }
        if reviewed.plan.pool is not None:
            return PoolSession(*who, collector=carrier, folder=self._uploads / request.handle, **given)
        if reviewed.plan.program is not None:
            return ProgramSession(*who, bring=bring, **given)
        return session.Session(*who, play=JoinPlay(reviewed, self.party, bring, entropy), **given)

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
            self._state.count_run(*approved.counts, keep=run.frozen.values())
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
                self.ledger.settle(run.handle)
                self._log.append("budget.settled", handle=run.handle)
            receipt = self._receipt(run, reviewed, approved, frozen, run.charges, started, outcome)
            ended = receipts.outcome_of(reviewed.spec, self.party)
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
                self.tell(error)
            code, by = public_code(error), str(error.fields.get("by", ""))
            self._aborted(run, error, code)
        except Exception as error:  # whatever it is, the run has ended and says no more than that
            self._outside.console(f"run {run.handle}: {type(error).__name__} in {self.party}")
            self._aborted(run, InternalError("internal.bug", where=self.party), code)
        finally:
            try:
                if not run.charged:
                    self._freezer.drop(frozen)
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
        to = {result_endpoint(reviewed): receipts.people_of(reviewed.spec)}
        statement = receipts.build_receipt(
            party=self.party,
            spec=reviewed.digest,
            run=outcome.run_id.hex(),
            handle=run.handle,
            plan=reviewed.plan_digest,
            cards=reviewed.cards,
            software=__version__,
            started=started,
            ended=max(started, self._state.now()),  # a clock may be put back meanwhile
            outcome=receipts.outcome_of(reviewed.spec, self.party),
            author_key=self._consent.stored(reviewed.digest).author_key,
            approved=approved,
            commitments={name: entry.commitment for name, entry in frozen.items()},
            spend={account.dataset: loss for account, loss in charges.items()},
            sent=[
                receipts.SentMessage(
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
            self.ledger.reserve(handle, charges, self.caps(charges))
        except PetsError as error:
            dataset = str(error.fields.get("dataset", ""))
            self._log.append("budget.refused", handle=handle, dataset=dataset, code=error.code)
            raise
        self._log.append(
            "budget.reserved",
            handle=handle,
            charges={name: _logged(loss) for (name, _), loss in charges.items()},
        )

    def charges(self, spec: Spec) -> dict[Account, Loss]:
        """What one run costs each dataset that this party brings, or a part of."""
        costs = run_loss(spec)
        return {account_of(each): costs[each.name] for each in spec.datasets if self.party in each.parties}

    def caps(self, charges: Mapping[Account, Loss]) -> dict[Account, Cap]:
        """What may be spent of these today."""
        return dict.fromkeys(charges, cap_of(self._consent.policy.limits, self._state.today()))

    def _only_brings(self, reviewed: Reviewed) -> bool:
        """True if this party is one of many who bring a part of a table, and has no other part in a run."""
        pool = reviewed.plan.pool
        return pool is not None and self.party in pool.holders

    def _forget_old(self) -> None:
        ended = [handle for handle, run in self._runs.items() if run.events.ended]
        for handle in ended[: max(0, len(self._runs) - KEPT_RUNS)]:
            del self._runs[handle]

    def tell(self, error: SourceError) -> None:
        """Tell this party's own people what is wrong with their records, row by row."""
        self._outside.console(f"{error.text}\n  {error.hint}")
        for line in error.local:
            self._outside.console(f"  {line}")


def _logged(loss: Loss) -> list[str]:
    """A charge as the log has it: epsilon and delta, and rho where there is one."""
    return [str(part) for part in (loss.epsilon, loss.delta, *((loss.rho,) if loss.rho else ()))]


def _covered(approved: approvals.Approved) -> dict[str, object]:
    """What the log says of a run under a cover: the specification that covers it, and the envelopes that counted."""
    if approved.covering is None:
        return {}
    return {"cover": approved.signed, "envelopes": [digest for _, digest in approved.envelopes]}
