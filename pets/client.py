"""The result party's side of a run: start it everywhere, receive the final shares, open, and keep the evidence.

The result party needs no server: this client says hello under its own certificate, collects the final shares of the two
parties that hold them, and opens nothing before all are in. ``pets.network`` starts it.
"""

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pets.approve import approvals
from pets.approve.envelope import claimed
from pets.errors import ApprovalError, LinkError, PeerError, PetsError, ReceiptError, RunError
from pets.gathering import Gathering, Holder, apart
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.participation import SENT, missing_note, reason
from pets.party import contribute, gate, hello, opening, prepare, totals
from pets.party.cast import roles_of
from pets.party.config import parties_of
from pets.party.drive import drive
from pets.party.evidence import Files, PartyKeys, verify_beside
from pets.party.joining import to_agree
from pets.party.receipts import Receipt, verify_receipt
from pets.plan.review import Review, Reviewed
from pets.result import Result, StepCost
from pets.spec.canonical import canonical, spec_digest
from pets.spec.ir import Pool
from pets.spec.parse import parse_toml
from pets.transport.calls import Event, StartRequest
from pets.transport.link import Link
from pets.transport.mailbox import ends_all

if TYPE_CHECKING:
    from pets.network import Network, Progress, Server

END_S: Final = 15.0
"""How long a client whose run is over waits for the parties to say so, and to hand out their receipts."""

AGAIN_S: Final = 2.0
"""Before the events of a party are asked for again, when they have broken off."""

TELL_S: Final = 1.0
"""How long parties have to tell each other that one of them has ended the run, before the client stops it at all."""

_TOLD: Final = ("", "peer.aborted", "run.ended")
"""Ends of a party that are no cause: a good one, and those that follow from another's."""


@dataclass(slots=True)
class _Seen:
    """How many events of a party's run were taken in, and how long after its start the last step was, in ms."""

    count: int = 0
    last_ms: int = 0


class Run:
    """One run from the result party's side."""

    def __init__(
        self, network: "Network", found: Review, toml: str, progress: "Progress | None", handle: RunHandle
    ) -> None:
        self._network = network
        self._found = found
        self._reviewed: Reviewed = found.settled()
        self._toml = toml
        self._progress: Progress = progress or _silent
        self._handle = handle
        self._began = time.perf_counter()
        self._steps: list[StepCost] = []
        self._ends: dict[PartyId, str] = {}
        self._early: dict[PartyId, bytes] = {}
        """Receipts of parties whose part was over, and who may have left by the end."""
        self._starts: dict[PartyId, Future[bytes]] = {}
        self._link: Link | None = None
        self._gathering: Gathering | None = None
        self._stopping = False
        self._over = threading.Event()
        """All shares are here, or will not come: events that have broken off are not asked for again."""
        self._cover: SpecDigest | None = None
        self._lock = threading.Lock()
        plan = self._reviewed.plan
        spared = plan.pool is not None and totals.may_lose(plan)
        self._spared = frozenset(self._reviewed.spec.computing) if spared else frozenset[PartyId]()
        """Parties without any of whom the sums can be opened, as long as enough others are there."""

    def play(self) -> Result:
        try:
            return self._play()
        finally:
            if self._gathering is not None:
                self._gathering.close(0.0)

    def _play(self) -> Result:
        pool = self._reviewed.plan.pool
        parties = self._reviewed.spec.servers if pool is None else self._reviewed.spec.computing
        held = {party: dict(self._server(party).evidence(self._reviewed.digest).files) for party in parties}
        self._cover = agreed_cover(self._reviewed.digest, held)
        within = f"covering/{self._cover}/" if self._cover else ""
        covering = held[parties[0]][f"{within}spec.toml"].decode(errors="replace") if within else ""
        if within and spec_digest(parse_toml(covering)) != self._cover:
            raise RunError("run.other-spec", peer=parties[0])
        envelopes = tuple(
            body
            for party in parties
            for name, body in held[party].items()
            if name.startswith(f"{within}approvals/") and approvals.claim_of(body).party == party
        )
        self._began = time.perf_counter()
        watchers: list[Future[None]] = []
        try:
            run_id = self._start(parties, envelopes)
            watchers += [apart(self._watch, party) for party in parties]
            if pool is not None:
                self._gathering = self._gather(pool, self._request, within)
            shares = self._receive(run_id)
        except BaseException as error:  # Ctrl-C too: nobody goes on computing for a client that is gone
            told = isinstance(error, PetsError) and error.code == "peer.aborted"
            if told or any(self._ends.values()):  # the party that ended it tells the others itself, and says why
                wait(watchers, TELL_S)
            self._over.set()
            self._stop_all()
            wait(watchers, END_S)
            raise self._cause(error) from error
        opened_after = time.perf_counter() - self._began
        self._over.set()
        wait(watchers, END_S)
        self._require_good_ends(parties)
        receipts = self._receipts(parties)
        if self._gathering is not None:
            for holder in self._genuine(self._gathering.close(END_S).values(), receipts):
                envelopes = (*envelopes, *holder.approvals)
                receipts[holder.party] = holder.receipt or b""
        named = _named_in(receipts.values())
        signed = tuple(body for body in envelopes if approvals.envelope_digest(body) in named)
        return Result(
            review=self._found,
            toml=self._toml,
            directory_toml=self._network.directory_toml,
            shares=shares,
            receipts=receipts,
            approvals=signed,
            steps=tuple(self._steps),
            seconds=opened_after,
            covering=covering,
            away={} if self._gathering is None else self._gathering.away,
        )

    def _start(self, parties: Sequence[PartyId], envelopes: tuple[bytes, ...]) -> bytes:
        """Start at all parties at once; their hellos and ours give the run id."""
        plan = self._reviewed.plan
        joins = plan.match is None and plan.pool is None and plan.program is None
        shape = prepare.shape_of(plan) if joins else None
        own = hello.make(to_agree(self._reviewed, shape, self._cover), os.urandom(16), {})
        self._request = StartRequest(self._handle, self._reviewed.digest, own.body, envelopes)
        for party in parties:
            self._starts[party] = apart(self._server(party).start, self._request)
        bodies = []
        for party in parties:
            body = self._starts[party].result()
            hello.compare(own.agreed, hello.read(body, peer=party).agreed, peer=party)
            if party in self._reviewed.spec.computing:
                bodies.append(body)
        return hello.run_id([*bodies, own.body])

    def _gather(self, pool: Pool, request: StartRequest, within: str) -> Gathering:
        """Start all holders, who upload while computing parties take uploads."""
        return Gathering(
            self._network.servers,
            pool.holders,
            request,
            seconds=contribute.upload_s(self._reviewed.plan),
            within=within,
            tell=self._tell,
        )

    def _receive(self, run_id: bytes) -> Mapping[PartyId, opening.Share]:
        plan, roles = self._reviewed.plan, roles_of(self._reviewed)
        passage = gate.Gate(gate.project_plan(plan, roles, "result"))
        senders = list(dict.fromkeys(expected.peer for expected in passage.incoming))
        link = self._network.link(run_id, senders, self._reviewed)
        with self._lock:
            self._link = link
            ends = tuple(self._ends.items())
        link.spare(self._spared)
        try:
            for party, code in ends:
                if code and self._is_spared(party, code):
                    link.lose(party, PeerError("peer.aborted", peer=party, reason=code))
            if any(code and not self._is_spared(party, code) for party, code in ends):
                raise LinkError("link.closed")
            shares = drive(opening.receive(plan, roles), passage, link, deadline_s=self._deadline_s)
        except BaseException as error:
            link.abort(error.code if isinstance(error, PetsError) else "link.closed")
            if isinstance(error, PetsError):
                raise gate.named(error, gate.labels_of(plan)) from error
            raise
        finally:
            passage.close()
        link.close()
        return shares

    @property
    def _deadline_s(self) -> float:
        """Longest wait for a message: as long as uploads are taken, no final share comes."""
        plan = self._reviewed.plan
        return self._network.deadline_s + (0.0 if plan.pool is None else contribute.upload_s(plan))

    def _watch(self, party: PartyId) -> None:
        """Follow a party's run. While uploads are taken, events that break off are asked for anew: nothing hangs on it.

        What cannot be heard ends nothing: in the end the party is asked for its receipt.
        """
        seen = _Seen()
        while True:
            try:
                self._follow(party, seen)
                return
            except LinkError:
                if self._reviewed.plan.pool is None or self._over.wait(AGAIN_S):
                    raise

    def _follow(self, party: PartyId, seen: "_Seen") -> None:
        """Take in events of a party's run, without those that were seen before."""
        number = 0
        for event in self._server(party).watch(self._handle, self._deadline_s):
            if event.kind != "state":
                number += 1
                if number <= seen.count:
                    continue
                seen.count = number
            if event.kind == "step":
                self._steps.append(StepCost(party, event.name, (event.elapsed_ms - seen.last_ms) / 1000, event.moved))
                seen.last_ms = event.elapsed_ms
            elif event.kind == "end":
                if not event.code and party not in self._reviewed.spec.computing:
                    with contextlib.suppress(PetsError):  # it is asked again at the end
                        self._early[party] = self._server(party).receipt(self._handle)
                self._ended(party, event)
            self._tell(party, event)

    def _require_good_ends(self, parties: Sequence[PartyId]) -> None:
        """Both shares are here: hold that every party stands by the run, by its word or by its receipt, else no table.

        A party that does not say how the run ended for it may leave the others waiting for the same, and then aborting.
        Raises: the cause; the run is stopped wherever it is not over.
        """
        for party in parties:
            code = self._ends.get(party)
            if party in self._spared and (code is None or self._is_spared(party, code)):
                continue
            if code:
                raise self._cause(PeerError("peer.aborted", peer=party, reason=code))
            if code is None:  # its events broke off, or it stalls
                try:
                    self._server(party).receipt(self._handle)
                except PetsError as error:
                    self._stop_all()
                    late = LinkError("link.deadline", peer=party, seconds=END_S, step="the end of the run")
                    raise self._cause(late) from error

    def _tell(self, party: PartyId, event: Event) -> None:
        try:
            self._progress(party, event)
        except Exception as error:
            self._progress = _silent
            warnings.warn(f"progress is shown no more: {error!r}", stacklevel=2)

    def _ended(self, party: PartyId, end: Event) -> None:
        """A party's run is over. If that was no good end, what we wait for will not come."""
        with self._lock:
            echo = self._stopping and (end.code, end.name) == ("run.stopped", self._network.analyst.party)
            self._ends[party] = "run.ended" if echo else end.code
            link = self._link if end.code else None
        if link is not None and self._is_spared(party, end.code):
            link.lose(party, PeerError("peer.aborted", peer=party, reason=end.code))
        elif link is not None:
            link.abort("run.ended")

    def _is_spared(self, party: PartyId, code: str) -> bool:
        """Whether the sums can be opened without a party whose run has ended for this reason."""
        return party in self._spared and not ends_all(code)

    def _stop_all(self) -> None:
        """Stop wherever the run was started, also where the start is still under way; wait a moment for it."""
        with self._lock:
            self._stopping = True

        def stop(party: PartyId, start: Future[bytes]) -> None:
            wait([start])
            self._server(party).stop(self._handle)  # raises where it never started or has ended, which is as well

        wait([apart(stop, party, start) for party, start in self._starts.items()], END_S)
        if self._gathering is not None:
            self._gathering.stop()

    def _cause(self, error: BaseException) -> BaseException:
        """What ended the run, rather than what it looked like from here: a party's own code where there is one.

        A party that ended of its own accord comes before one that met a fault of a peer or of the network; one that was
        merely told, by a peer or by this client, is not the cause.
        """
        if not isinstance(error, LinkError | PeerError):
            return error

        told = [(party, code) for party, code in self._ends.items() if code not in _TOLD]
        if error.code == "peer.aborted":
            told.append((PartyId(str(error.fields["peer"])), str(error.fields["reason"])))
        if not told:
            return error
        party, code = min(told, key=lambda each: each[1].startswith(("peer.", "link.")))
        if code == "run.contributors" and self._gathering is not None:
            return self._too_few(self._gathering)
        return RunError("run.ended", party=party, reason=code)

    def _too_few(self, gathering: Gathering) -> RunError:
        """What computing parties mean that ended a run for want of holders, with what is known here of who is missing.

        They tell nobody how many they have; of those who said here that they handed in their upload some may be late.
        """
        pool = self._reviewed.plan.pool
        minimum = 0 if pool is None else pool.minimum
        took = gathering.sent if gathering.sent < minimum else f"at most {minimum - 1}"
        error = RunError("run.contributors", took=took, minimum=minimum)
        missing = {party: reason(code) for party, code in gathering.away.items() if code != SENT}
        error.add_note(f"what is known of the holders:{missing_note(missing) or ' all of them handed in an upload.'}")
        return error

    def _receipts(self, parties: Sequence[PartyId]) -> dict[PartyId, bytes]:
        """The receipts of a run that was opened. A missing one is no reason to lose the table: it says so itself."""
        receipts, until = {}, time.monotonic() + END_S
        for party in parties:
            while True:
                try:
                    receipts[party] = self._early.get(party) or self._server(party).receipt(self._handle)
                except PetsError as error:
                    if error.code == "run.no-receipt" and not self._ends.get(party) and time.monotonic() < until:
                        time.sleep(0.05)
                        continue
                    code = self._ends.get(party) or error.code
                    warnings.warn(f"no receipt of {party} ({code}): the evidence is not complete", stacklevel=2)
                break
        return receipts

    def _genuine(self, holders: Iterable[Holder], receipts: Mapping[PartyId, bytes]) -> list[Holder]:
        """The holders whose receipts hold beside those of computing parties: no holder spoils a table for the others.

        The others are named in a warning; a receipt of a holder may be missing.
        """
        known = parties_of(self._network.directory_toml)
        files = Files.of(self._reviewed.spec, canonical(self._reviewed.plan))
        signing = known.signing_keys()
        first: Receipt | None = None
        for party in self._reviewed.spec.computing:
            if first is None and party in receipts:
                with contextlib.suppress(ReceiptError):  # for ``pets verify`` to say
                    first = verify_receipt(receipts[party], signing, party=party)
        found, left_out = list[Holder](), list[str]()
        for holder in holders:
            if (body := holder.receipt) is None:
                continue
            try:
                if first is None or (key := signing.get(holder.party)) is None:
                    raise ReceiptError("receipt.no-key", party=holder.party)
                verify_beside(
                    body,
                    first,
                    party=holder.party,
                    of=files,
                    keys=PartyKeys(key, known.approver_keys(holder.party)),
                    approvals={approvals.envelope_digest(each): each for each in holder.approvals},
                )
            except PetsError as error:
                left_out.append(f"{holder.party} ({error.code})")
                continue
            found.append(holder)
        if left_out:
            more = f" and {len(left_out) - 8} more" if len(left_out) > 8 else ""
            said = f"receipts that do not hold are left out: {', '.join(left_out[:8])}{more}"
            warnings.warn(said, stacklevel=2)
        return found

    def _server(self, party: PartyId) -> "Server":
        return self._network.server(party)


def agreed_cover(digest: SpecDigest, evidence: Mapping[PartyId, Mapping[str, bytes]]) -> SpecDigest | None:
    """The specification whose approvals all parties say let this one run; None if it has its own, or nothing does.

    It is only a proposal: each party verifies it alone when the run starts.
    Raises: ApprovalError approval.no-cover if parties name specifications that cover it, and no one of them is common.
    """
    standings = {files.get("standing.txt") for files in evidence.values()}
    if standings == {b"approved"}:
        return None
    named = {
        party: [name.split("/")[1] for name in files if name.startswith("covering/") and name.endswith("/spec.toml")]
        for party, files in evidence.items()
    }
    first, *others = named.values()
    for each in first:
        if all(each in other for other in others):
            return SpecDigest(each)
    if any(named.values()):
        told = (f"{party} names {', '.join(each[:16] for each in own) or 'none'}" for party, own in named.items())
        found = "; ".join(told)
        raise ApprovalError("approval.no-cover", digest=digest, found=found)
    return None


def _named_in(receipts: Iterable[bytes]) -> set[str]:
    """Digests of the approvals that receipts name: what belongs into the folder of evidence.

    One that cannot be read names none, and is no reason to lose the table: ``pets verify`` says whose it is.
    """
    found: set[str] = set()
    for receipt in receipts:
        with contextlib.suppress(ApprovalError, KeyError, TypeError):
            found |= {str(each["sha256"]) for each in claimed(receipt)["predicate"]["approvals"]}
    return found


def _silent(party: PartyId, event: Event) -> None:
    return None
