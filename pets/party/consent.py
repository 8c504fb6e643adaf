"""What a party has been asked and what its approvers said: specifications, approvals, revocations, how they stand.

Every decision is made by a pure function of the promise (``review``, ``verify_approvals``, ``judge_policy``); this
class gives it what the state file holds, and the log what was decided.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pets.approve import approvals, cover
from pets.approve.judgement import judge_policy
from pets.approve.policy import Policy
from pets.check.diff import Facts, compare_facts, facts
from pets.check.labels import Finding
from pets.check.terms import design_fields
from pets.errors import ApprovalError, BudgetError, PetsError, RunError
from pets.ids import PartyId, SpecDigest
from pets.party import account
from pets.party.config import Directory
from pets.party.history import Guard, asked_of
from pets.party.log import Log
from pets.party.state import State, StoredSpec
from pets.plan.review import Review, Reviewed, review
from pets.spec.canonical import canonical, spec_json
from pets.spec.model import DESIGN, Spec
from pets.spec.parse import parse_toml
from pets.transport.calls import Caller, Standing, Submitted, Suspected

APPROVED: Final = "approved"
"""How a specification stands that has enough approvals of its own, and runs left."""

HELD: Final = "held"
"""How one stands that could be combined with earlier releases, until this party's approvers overrule that by name."""

_OVER: Final = ("revoked", "used up", "spec-expired")
"""How one stands that will not run again, whatever the history says."""

MOST_REFUSED: Final = 64
"""Specifications that were refused and are known still, so that a run of one can be declined."""

MOST_COVERS: Final = 4
"""Covering specifications that are named for one: any of them will do, and each brings its text."""


class Check:
    """A specification read, checked before any party's own policy, and the report of what was found.

    All of it are functions of what they are given and of nothing else.
    """

    def read(self, text: str) -> Spec:
        """Raises: SpecError."""
        return parse_toml(text, file="specification")

    def canonical(self, spec: Spec) -> bytes:
        """The canonical form."""
        return canonical(spec_json(spec))

    def review(self, spec: Spec) -> Review:
        return review(spec)

    def facts(self, spec: Spec) -> Facts:
        """What a comparison with another specification looks at."""
        return facts(spec)

    def placeholders(self, spec: Spec) -> tuple[Finding, ...]:
        """What a draft leaves open, which no party server runs."""
        return tuple(_placeholders(spec))

    def report(self, found: Review) -> bytes:
        """The report as canonical JSON."""
        from pets.check.document import to_json

        return json.dumps(to_json(found), sort_keys=True).encode()


class CheckOnce(Check):
    """The same for many parties in one process, whom nothing keeps apart: what was found for one holds for the next.

    Each of them asks, and applies its own policy, directory and history to the answer.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._read: dict[str, Spec] = {}
        self._found: dict[tuple[str, int], tuple[Spec, Any]] = {}
        """By what was asked and the specification's place in memory, which it keeps as long as it stands here."""
        self._reports: dict[tuple[SpecDigest, tuple[Finding, ...]], bytes] = {}

    def read(self, text: str) -> Spec:
        with self._lock:
            if text not in self._read:
                self._read[text] = super().read(text)
            return self._read[text]

    def canonical(self, spec: Spec) -> bytes:
        found: bytes = self._once("canonical", spec, super().canonical)
        return found

    def review(self, spec: Spec) -> Review:
        found: Review = self._once("review", spec, super().review)
        return found

    def facts(self, spec: Spec) -> Facts:
        found: Facts = self._once("facts", spec, super().facts)
        return found

    def placeholders(self, spec: Spec) -> tuple[Finding, ...]:
        found: tuple[Finding, ...] = self._once("placeholders", spec, super().placeholders)
        return found

    def report(self, found: Review) -> bytes:
        with self._lock:
            asked = (found.digest, found.findings)
            if asked not in self._reports:
                self._reports[asked] = super().report(found)
            return self._reports[asked]

    def _once(self, what: str, spec: Spec, find: Callable[[Spec], Any]) -> Any:
        with self._lock:
            if (what, id(spec)) not in self._found:
                self._found[what, id(spec)] = (spec, find(spec))
            return self._found[what, id(spec)][1]


@dataclass(frozen=True, slots=True)
class Consent:
    """The specifications that a party holds. ``design``: placeholders of drafts are accepted (never at a server)."""

    party: PartyId
    directory: Directory
    policy: Policy
    state: State
    log: Log
    guard: Guard
    design: bool
    check: Check = field(default_factory=Check)
    _reviews: dict[SpecDigest, Review] = field(default_factory=dict)
    _facts: dict[SpecDigest, Facts] = field(default_factory=dict)
    _refused: dict[SpecDigest, Spec] = field(default_factory=dict)
    """Of the latest that were refused: who is in them. Their texts are not kept."""

    def submit(self, caller: Caller, toml: bytes, envelope: bytes) -> Submitted:
        """Check a specification alone and keep it for this party's approvers.

        Raises: SpecError on text that is none; LeakError leak.refused with the first refusal; ApprovalError if the
                submission is not signed by who says to be its author.
        """
        spec = self.check.read(toml.decode("utf-8", "strict") if _is_text(toml) else "")
        checked = self._check(spec)
        found = self._guarded(checked)
        try:
            reviewed = found.require()
            submission = approvals.verify_submission(
                envelope, digest=reviewed.digest, spec=spec, keys=self._authors(spec)
            )
        except PetsError as error:
            rules = sorted({f.rule for f in found.verdict.errors})
            self.log.append("spec.refused", digest=found.digest, caller=caller.san, code=error.code, rules=rules)
            self._remember_refused(found.digest, spec, envelope)
            raise
        account.second_opinion(reviewed.plan, spec)
        self._reviews[reviewed.digest] = checked
        stored = StoredSpec(
            digest=reviewed.digest,
            plan=reviewed.plan_digest,
            toml=toml,
            canonical=self.check.canonical(spec),
            submission=envelope,
            author=submission.author,
            author_key=submission.key,
        )
        if self.state.add_spec(stored):
            self.log.append(
                "spec.received",
                digest=reviewed.digest,
                plan=reviewed.plan_digest,
                author=submission.author,
                caller=caller.san,
            )
            for own in self.covers(stored, reviewed)[:1]:
                found_within = compare_facts(self._held(own.signed).facts, self._held(stored.digest).facts)
                self.log.append("spec.covered", digest=stored.digest, cover=own.signed, relation=found_within.relation)
        return Submitted(reviewed.digest, reviewed.plan_digest, self.check.report(found))

    def _remember_refused(self, digest: SpecDigest, spec: Spec, envelope: bytes) -> None:
        """Know who is in a specification that was refused, if who submitted it is its author."""
        with contextlib.suppress(PetsError):
            approvals.verify_submission(envelope, digest=digest, spec=spec, keys=self._authors(spec))
            while len(self._refused) >= MOST_REFUSED:
                del self._refused[next(iter(self._refused))]
            self._refused[digest] = spec

    def take_envelope(self, caller: Caller, envelope: bytes, kind: str) -> Standing:
        """Verify an approval or a revocation (``kind``), keep it, and say how the specification stands now.

        What the history holds against it is told to this party's own people alone, whoever brings the envelope.
        Raises: ApprovalError with the reason; it is logged, and nothing is kept.
        """
        digest = approvals.claim_of(envelope).digest
        try:
            stored = self.stored(digest)
            found = approvals.check_envelope(envelope, digest=digest, party=self.party, policy=self.policy)
            if found != kind:
                raise ApprovalError("approval.statement", problem="it is another kind of statement")
        except PetsError as error:
            self.log.append("approval.refused", digest=digest, caller=caller.san, code=error.code)
            raise
        _, _, _, approver = approvals.describe_envelope(envelope, self.policy.approval.keys)
        if self.state.add_envelope(digest, kind, approver, envelope):
            entry = "approval.recorded" if kind == approvals.APPROVAL else "approval.revoked"
            self.log.append(entry, digest=digest, approver=approver, envelope=approvals.envelope_digest(envelope))
        found_standing = self.standing(stored)
        return found_standing if caller.party == self.party else replace(found_standing, suspicions=())

    def standing(self, stored: StoredSpec) -> Standing:
        """How far the approval is, in a word and two numbers."""
        reviewed = self.review(stored.digest)
        need = self.policy.approval.k
        overruled: tuple[str, ...] = ()
        try:
            self._refuse_withdrawn(stored.digest)
            own = approvals.verify_approvals(
                self.state.envelopes(stored.digest),
                digest=stored.digest,
                plan_digest=stored.plan,
                party=self.party,
                policy=self.policy,
                spec=reviewed.spec,
                author_key=stored.author_key,
                now=self.state.today(),
            )
            left = own.max_runs - self.state.runs_used(stored.digest)
            state, have = (APPROVED if left > 0 else "used up"), len(own.approvers)
            overruled = own.overruled
        except ApprovalError as error:
            state = "pending" if error.code == "approval.too-few" else error.code.removeprefix("approval.")
            have = int(str(error.fields.get("have", 0)))
        if state not in (APPROVED, "revoked"):
            for covered in self._covers(stored)[:1]:
                state = "used up" if self._used_up(covered) else f"covered by {covered.signed[:16]}"
                have = len(covered.approvers)
        suspicions = () if state in _OVER else self._suspected(reviewed, overruled)
        if (state == APPROVED or state.startswith("covered")) and not all(each.overruled for each in suspicions):
            state = HELD
        return Standing(stored.digest, reviewed.spec.title, state, have, need, stored.received, suspicions)

    def _suspected(self, found: Review, overruled: tuple[str, ...]) -> tuple[Suspected, ...]:
        """What stands against a specification by the history of today, for this party's own people."""
        if found.asked is None or not self.guard.holds(found.asked, found.spec):
            return ()
        suspicions = self.guard.suspicions(asked_of(found.spec, found.asked, found.digest), found.spec)
        return tuple(
            Suspected(each.id, each.told, not self.guard.refuses and each.id in overruled) for each in suspicions
        )

    def stored(self, digest: SpecDigest) -> StoredSpec:
        """A specification as it was submitted. Raises: RunError run.no-spec."""
        return self.state.spec(digest)

    def known(self, digest: SpecDigest) -> Spec | None:
        """A specification that is held here, or was refused not long ago; None of any other."""
        try:
            return self.review(digest).spec
        except PetsError:
            return self._refused.get(digest)

    def review(self, digest: SpecDigest) -> Review:
        """The review of a specification that is held here; made once in the life of this process."""
        found = self._reviews.get(digest)
        if found is None:
            stored = self.stored(digest)
            found = self._check(self.check.read(stored.toml.decode()))
            if found.digest != digest:
                raise RunError("run.other-spec", peer=self.party)
            self._reviews[digest] = found
        return found

    def _authors(self, spec: Spec) -> dict[str, bytes]:
        """Who may submit: the signing keys of the result parties of the specification, as the directory has them."""
        keys = self.directory.signing_keys()
        return {name: keys[name] for name in spec.release.to if name in keys}

    def _check(self, spec: Spec) -> Review:
        """Review, then this party's own policy and directory; all refusals are findings of one verdict."""
        found = self.check.review(spec).lowered(self.policy.lint, party=self.party)
        more: list[Finding] = list(self._of_directory(spec))
        if not self.design:
            more += self.check.placeholders(spec)
        if found.asked is not None:
            more += judge_policy(self.policy, spec, found.asked)
            more += account.spend_findings(self.policy, spec)
        return replace(found, verdict=replace(found.verdict, findings=(*found.verdict.findings, *more)))

    def _guarded(self, found: Review) -> Review:
        """A review with what the differencing guard says of it today; never kept, because the history goes on."""
        if found.asked is None or not self.guard.holds(found.asked, found.spec):
            return found
        suspicions = self.guard.suspicions(asked_of(found.spec, found.asked, found.digest), found.spec)
        more = tuple(each.finding(refuse=self.guard.refuses) for each in suspicions)
        return replace(found, verdict=replace(found.verdict, findings=(*found.verdict.findings, *more)))

    def reviewed(self, stored: StoredSpec) -> Reviewed:
        """The review of a stored specification under today's policy, software and cards."""
        found = self.review(stored.digest)
        reviewed = found.require()
        if reviewed.plan_digest != stored.plan:
            raise RunError("run.plan-changed", digest=stored.digest)
        return reviewed

    def _of_directory(self, spec: Spec) -> Iterator[Finding]:
        """Every party is one that this party knows, under the same name."""
        for number, party in enumerate(spec.parties):
            known = self.directory.by_name.get(PartyId(party.name))
            if known is None or known.san != party.san:
                yield Finding(
                    "policy.directory",
                    "error",
                    f"party[{number}].san",
                    f"{party.name} with {party.san} is not in the directory of {self.party}",
                    "use names and SAN URIs of the directory, or have the party added to it",
                )

    def approved(
        self, stored: StoredSpec, reviewed: Reviewed, brought: tuple[bytes, ...], old: SpecDigest | None = None
    ) -> approvals.Approved:
        """This party's own k of n, and a valid approval of every other input and computing party.

        Of sums over one table of many holders of every computing party: a holder brings what its own server lets it
        bring, so that its approvers have to have signed there, and others need not wait for them.
        ``old``: the specification whose approvals the caller says cover this one. It is held to its word here.
        """
        today = self.state.today()
        own = self.approved_here(stored, reviewed, old)
        signed = stored if old is None else self.stored(old)
        claimed: dict[str, list[bytes]] = {}
        for body in brought:
            claimed.setdefault(approvals.claim_of(body).party, []).append(body)
        pooled = reviewed.plan.pool is not None
        for party in reviewed.spec.parties:
            if party.name == self.party or set(party.roles) == {"result"}:
                continue
            if pooled and "computing" not in party.roles:
                continue
            keys = self.directory.approver_keys(PartyId(party.name))
            approvals.verify_peer_approval(
                claimed.get(party.name, ()),
                digest=signed.digest,
                plan_digest=signed.plan,
                party=PartyId(party.name),
                keys=keys,
                author_key=signed.author_key,
                also_excluded=stored.author_key,
                now=today,
            )
        return own

    def approved_here(
        self, stored: StoredSpec, reviewed: Reviewed, old: SpecDigest | None = None
    ) -> approvals.Approved:
        """This party's own k of n today, revocations included; with ``old``, of the specification that covers this one.

        Raises: ApprovalError with the reason; of the old one whatever would keep it from running today.
        """
        self._refuse_withdrawn(stored.digest)
        if old is not None:
            self._refuse_withdrawn(old)
            self.reviewed(self.stored(old))
            now = self.state.today()
            return cover.verify_cover(
                self._held(old), self._held(stored.digest), party=self.party, policy=self.policy, now=now
            )
        return approvals.verify_approvals(
            self.state.envelopes(reviewed.digest),
            digest=reviewed.digest,
            plan_digest=reviewed.plan_digest,
            party=self.party,
            policy=self.policy,
            spec=reviewed.spec,
            author_key=stored.author_key,
            now=self.state.today(),
        )

    def _refuse_withdrawn(self, digest: SpecDigest) -> None:
        """Raise ApprovalError approval.revoked for what was withdrawn here, whoever is an approver by now.

        Of approvals today's policy says whether they count. A revocation counted when it came, and is for good.
        """
        if (revoker := self.state.withdrawn_by(digest)) is not None:
            raise ApprovalError("approval.revoked", approver=revoker, party=self.party)

    def covers(self, stored: StoredSpec, reviewed: Reviewed) -> tuple[approvals.Approved, ...]:
        """The specifications whose approvals let this one run here today, those with runs left first.

        One that is itself only covered has no approvals, and covers nothing; nor does one cover itself.
        """
        found: list[approvals.Approved] = []
        for other in self.state.signed():
            if len(found) == MOST_COVERS:
                break
            if other == stored.digest:
                continue
            with contextlib.suppress(PetsError):
                if self.review(other).spec.title == reviewed.spec.title:  # else the comparison would say so
                    found.append(self.approved_here(stored, reviewed, other))
        return tuple(sorted(found, key=lambda approved: not self._left(approved)))

    def _left(self, approved: approvals.Approved) -> bool:
        """True if a run is left, and due today, of all that a run would use up."""
        try:
            self.state.check_count(*approved.counts)
        except BudgetError:
            return False
        return True

    def _used_up(self, approved: approvals.Approved) -> bool:
        """True if no run will be left on any day."""
        both = [approved] if approved.covering is None else [approved, approved.covering.approved]
        return any(self.state.runs_used(each.digest) >= each.max_runs for each in both)

    def _covers(self, stored: StoredSpec) -> tuple[approvals.Approved, ...]:
        """``covers`` of a specification that may be refused by now."""
        try:
            return self.covers(stored, self.reviewed(stored))
        except PetsError:
            return ()

    def covering_files(self, digest: SpecDigest) -> list[tuple[str, bytes]]:
        """For callers: how the specification stands here, and the texts and envelopes of those that cover it."""
        stored = self.stored(digest)
        files = [("standing.txt", self.standing(stored).state.encode())]
        for approved in self._covers(stored):
            folder, envelopes = f"covering/{approved.signed}", self.state.envelopes(approved.signed)
            files.append((f"{folder}/spec.toml", self.stored(approved.signed).toml))
            files += [(f"{folder}/approvals/{number:02d}.json", body) for number, body in enumerate(envelopes, 1)]
        return files

    def _held(self, digest: SpecDigest) -> cover.Held:
        """A specification that is held here, as the cover looks at it."""
        stored = self.stored(digest)
        if digest not in self._facts:
            self._facts[digest] = self.check.facts(self.review(digest).spec)
        return cover.Held(self._facts[digest], stored.plan, stored.author_key, self.state.envelopes(digest))


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _placeholders(spec: Spec) -> Iterator[Finding]:
    """A draft's placeholders: a computation on real records states its purpose and its legal ground."""
    for path in design_fields(spec):
        yield Finding(
            "policy.design",
            "error",
            path,
            f"it is still the placeholder {DESIGN!r} of a draft",
            "write what is true of this computation before submitting it",
        )
