"""Approvals: what an approver signs, and when it is enough. Knows no file, socket or clock.

Three statements, each about the digest of one specification: a *submission* by its author, an *approval* by an approver
of one party, with dates and a number of runs, and a *revocation*. ``verify_approvals`` turns a heap of envelopes into
an ``Approved`` or raises; what opens a session takes an ``Approved`` and nothing else.

An envelope counts if its one signature verifies against the party's policy, and it names this specification, this
plan, this party and the holder of the key, and today is within its dates. Counted are persons: one who signs twice,
or with two keys, counts once. The author does not count, by name (``exclude_author``) or by the key of the submission
(always). A revocation by any approver of the party ends the specification there for good: it is a veto, and what it
met with is answered by a new specification with a digest of its own. An envelope that does not count spoils nothing, so
nobody can block a run by handing in rubbish; but if too few count, the refusal says why those did not.

    approved = verify_approvals(envelopes, digest=..., plan_digest=..., party=..., policy=..., spec=...,
                                author_key=submission.key, now=today)
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, NamedTuple, TypeVar

from pydantic import Field

from pets.approve.envelope import Digest, Signed, SigningKey, claimed, read, sign, statement, verify
from pets.approve.policy import AnyPolicy, Approval, Approver, person
from pets.errors import ApprovalError
from pets.ids import NAME, PartyId, PlanDigest, SpecDigest
from pets.spec.model import Model, PartyName, Spec, Text
from pets.spec.periods import UNIT, Schedule, span

APPROVAL: Final = "urn:pets:approval:1"
REVOCATION: Final = "urn:pets:revocation:1"
SUBMISSION: Final = "urn:pets:submission:1"

SuspicionId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""The name of a suspicion: ``Suspicion.id`` of check/differencing.py."""

_SUBJECT: Final = "specification"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class ApprovalPredicate(Model):
    """What an approver agrees to, besides the specification itself: this plan of it, these days, so many runs.

    ``overrules``: suspicions of the differencing guard that the approver has read and overrules, by their names.
    """

    party: PartyName
    approver: Text
    plan: Digest
    not_before: dt.date
    not_after: dt.date
    max_runs: Annotated[int, Field(ge=1, le=1_000_000)]
    overrules: Annotated[tuple[SuspicionId, ...], Field(max_length=1000)] = ()


class RevocationPredicate(Model):
    party: PartyName
    approver: Text
    reason: Annotated[str, Field(max_length=1000)] = ""


class SubmissionPredicate(Model):
    author: Text


@dataclass(frozen=True, slots=True)
class Approved:
    """What ``verify_approvals`` verified: this party lets this specification run, so often, until then.

    ``max_runs`` and ``not_after`` are the strictest of the specification and all approvals that counted; ``turn``: the
    period of its schedule that today is in, if it has one. ``envelopes``: SHA-256 of each envelope that counted, by
    approver, for the receipt. ``overruled``: the suspicions that as many persons overrule as have to approve, of as
    many roles and organisations. ``covering``: the older specification whose approvals these are, if it is not this
    one's own that count (approve/cover.py).
    """

    party: PartyId
    digest: SpecDigest
    plan: PlanDigest
    approvers: tuple[str, ...]
    max_runs: int
    not_after: dt.date
    envelopes: tuple[tuple[str, str], ...]
    overruled: tuple[str, ...] = ()
    covering: "Covering | None" = None
    turn: "Turn | None" = None

    @property
    def counts(self) -> "tuple[Count, ...]":
        """What a run uses up: one run of each of these specifications, its own first."""
        under = () if self.covering is None else self.covering.approved.counts
        return (Count(self.digest, self.max_runs, self.turn), *under)

    @property
    def signed(self) -> SpecDigest:
        """The specification that the approvers signed: this one, or the one that covers it."""
        return self.digest if self.covering is None else self.covering.approved.digest


class Turn(NamedTuple):
    """A period of a schedule, in which one run is due. ``due``: when the next one begins; None if none does in time."""

    schedule: Schedule
    since: dt.date
    due: dt.date | None


class Count(NamedTuple):
    """A specification that a run uses up one run of: ``most`` in all and, of one with a schedule, one in this turn."""

    digest: SpecDigest
    most: int
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Covering:
    """An approved older specification that lets a newer one run: its approvals, and the key that submitted it."""

    approved: Approved
    author_key: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """A verified submission: the author's name, and the key that never counts as an approval."""

    digest: SpecDigest
    author: str
    key: bytes


@dataclass(frozen=True, slots=True)
class PeerApproval:
    """One valid approval of another party, verified with the keys of this party's own directory."""

    party: PartyId
    digest: SpecDigest
    approver: str
    not_after: dt.date


@dataclass(frozen=True, slots=True)
class _Vote:
    approver: Approver
    key: bytes
    terms: ApprovalPredicate
    envelope: str


# -- making them ------------------------------------------------------------------------------------------------------


def approve(
    *,
    digest: SpecDigest,
    plan_digest: PlanDigest,
    party: str,
    approver: str,
    key: SigningKey,
    not_before: dt.date,
    not_after: dt.date,
    max_runs: int,
    overrules: Sequence[str] = (),
) -> bytes:
    """Sign an approval. Returns the envelope."""
    predicate: dict[str, object] = {
        "party": party,
        "approver": approver,
        "plan": plan_digest,
        "not_before": not_before.isoformat(),
        "not_after": not_after.isoformat(),
        "max_runs": max_runs,
    }
    if overrules:
        predicate["overrules"] = sorted(set(overrules))
    return sign(statement(APPROVAL, {_SUBJECT: digest}, predicate), key)


def revoke(*, digest: SpecDigest, party: str, approver: str, key: SigningKey, reason: str = "") -> bytes:
    """Sign a revocation: the specification does not run at this party again, whoever approves it."""
    predicate = {"party": party, "approver": approver, "reason": reason}
    return sign(statement(REVOCATION, {_SUBJECT: digest}, predicate), key)


def submit(*, digest: SpecDigest, author: str, key: SigningKey) -> bytes:
    """Sign a submission as its author."""
    return sign(statement(SUBMISSION, {_SUBJECT: digest}, {"author": author}), key)


def envelope_digest(envelope: bytes) -> str:
    """SHA-256 of an envelope's bytes in hex: how receipts and the state refer to it."""
    return sha256(envelope).hexdigest()


@dataclass(frozen=True, slots=True)
class Claim:
    """What an envelope says that it is about, unverified: good for finding what to hold it against, no more."""

    digest: SpecDigest
    party: str


def claim_of(envelope: bytes) -> Claim:
    """Read the claim of an approval or revocation. Raises: ApprovalError ``approval.envelope`` or ``.statement``."""
    body = claimed(envelope)
    try:
        digest, party = body["subject"][0]["digest"]["sha256"], body["predicate"]["party"]
    except (KeyError, IndexError, TypeError):
        digest, party = None, None
    if not (isinstance(digest, str) and isinstance(party, str) and _DIGEST.fullmatch(digest) and NAME.fullmatch(party)):
        raise ApprovalError("approval.statement", problem="it is no approval or revocation")
    return Claim(SpecDigest(digest), party)


# -- verifying them ---------------------------------------------------------------------------------------------------


def verify_submission(envelope: bytes, *, digest: SpecDigest, spec: Spec, keys: Mapping[str, bytes]) -> Submission:
    """Check who submitted a specification. ``keys``: public keys of those who may, by name.

    Raises: ApprovalError, as ``verify`` does, or ``approval.submission``.
    """
    signed = verify(envelope, keys)
    about, predicate = _read(signed, SUBMISSION, SubmissionPredicate)
    if about != digest:
        raise ApprovalError("approval.submission", problem="it is for another specification")
    if len(signed.signers) != 1:
        raise ApprovalError("approval.submission", problem="it has more than one signature")
    if person(predicate.author) != person(spec.purpose.author):
        raise ApprovalError("approval.submission", problem="it names another author than the specification")
    return Submission(digest, predicate.author, signed.signers[0])


def check_envelope(envelope: bytes, *, digest: SpecDigest, party: PartyId, policy: AnyPolicy) -> str:
    """Say what an envelope is that someone hands in, ``APPROVAL`` or ``REVOCATION``, before it is stored.

    Everything is checked that will not change: signature, holder, digest, party. Dates are checked when a run starts.
    Raises: ApprovalError with the reason.
    """
    signed = _verify(envelope, policy.approval, party)
    if signed.kind == APPROVAL:
        _vote(envelope, signed, digest, party, policy.approval)
        return APPROVAL
    _revoker(signed, digest, party, policy.approval)
    return REVOCATION


def refuse_revoked(envelopes: Iterable[bytes], *, digest: SpecDigest, party: PartyId, policy: AnyPolicy) -> None:
    """Raise ApprovalError approval.revoked if an approver of this party withdrew the specification."""
    for envelope in envelopes:
        try:
            signed = _verify(envelope, policy.approval, party)
            revoker = _revoker(signed, digest, party, policy.approval) if signed.kind == REVOCATION else ""
        except ApprovalError:
            continue
        if revoker:
            raise ApprovalError("approval.revoked", approver=revoker, party=party)


def verify_approvals(
    envelopes: Iterable[bytes],
    *,
    digest: SpecDigest,
    plan_digest: PlanDigest,
    party: PartyId,
    policy: AnyPolicy,
    spec: Spec,
    author_key: bytes,
    now: dt.date,
    also_excluded: bytes | None = None,
) -> Approved:
    """Decide whether this party's approvers let this specification run today.

    ``envelopes``: all that were stored for the digest, approvals and revocations together, in any order: whoever
    passes the approvals and forgets the revocations cannot be written. ``also_excluded``: a second key whose approval
    does not count, that of the submission of a specification which these approvals are to cover.
    Raises: ApprovalError. If any envelope was refused, the reason is that of the most telling one; otherwise
            ``approval.too-few``, ``.one-person-two-keys``, ``.duplicate`` or ``.roles``.
    """
    if policy.party != party:
        raise ApprovalError("approval.other-party", approver="the policy", got=policy.party, party=party)
    refuse_out_of_date(spec, now)
    votes: list[_Vote] = []
    refusals: list[ApprovalError] = []
    for envelope in envelopes:
        try:
            signed = _verify(envelope, policy.approval, party)
            if signed.kind == REVOCATION:
                revoker = _revoker(signed, digest, party, policy.approval)
                refusals.append(ApprovalError("approval.revoked", approver=revoker, party=party))
                continue
            vote = _vote(envelope, signed, digest, party, policy.approval)
            own_work = (author_key, also_excluded)
            _counts(vote, spec, policy.approval, plan_digest=plan_digest, own_work=own_work, now=now)
            votes.append(vote)
        except ApprovalError as refusal:
            refusals.append(refusal)
    if revoked := [each for each in refusals if each.code == "approval.revoked"]:
        raise revoked[0]
    people = _people(votes)
    if len(people) < policy.approval.k:
        raise _explain(votes, people, refusals, policy.approval, party)
    if lacking := _lacking(people, policy.approval):
        raise ApprovalError("approval.roles", party=party, lacking=", ".join(lacking))
    chosen = sorted(people.values(), key=lambda vote: person(vote.approver.name))
    return Approved(
        party=party,
        digest=digest,
        plan=plan_digest,
        approvers=tuple(vote.approver.name for vote in chosen),
        max_runs=min(spec.validity.max_runs, *(vote.terms.max_runs for vote in chosen)),
        not_after=min(spec.validity.not_after, *(vote.terms.not_after for vote in chosen)),
        envelopes=tuple((vote.approver.name, vote.envelope) for vote in chosen),
        overruled=_overruled(votes, policy.approval),
        turn=turn_of(spec, now),
    )


def verify_peer_approval(
    envelopes: Iterable[bytes],
    *,
    digest: SpecDigest,
    plan_digest: PlanDigest,
    party: PartyId,
    keys: Mapping[str, bytes],
    author_key: bytes,
    now: dt.date,
    also_excluded: bytes | None = None,
) -> PeerApproval:
    """Find one valid approval of another party. ``keys``: its approvers in this party's own directory, by name.

    How many approvals the other party needs is its own policy, which it enforces itself; this makes sure that its
    approvers, and not its server alone, agreed.
    Raises: ApprovalError with the reason why the first envelope does not count; ``approval.no-peer`` if there is none.
    """
    refusals: list[ApprovalError] = []
    for envelope in envelopes:
        try:
            signed = verify(envelope, keys)
            about, terms = _approval(signed)
            holder = next(name for name, public in keys.items() if public == signed.signers[0])
            _fits(about, terms, holder, digest=digest, party=party)
            _valid(terms, plan_digest=plan_digest, now=now)
            if signed.signers[0] in (author_key, also_excluded):
                raise ApprovalError("approval.by-submission-key", approver=terms.approver)
        except ApprovalError as refusal:
            refusals.append(refusal)
            continue
        return PeerApproval(party, digest, terms.approver, terms.not_after)
    raise refusals[0] if refusals else ApprovalError("approval.no-peer", party=party)


def describe_envelope(envelope: bytes, keys: Mapping[str, bytes]) -> tuple[str, SpecDigest, str, str]:
    """Kind, specification digest, party and signer's name of a verified approval or revocation."""
    signed = verify(envelope, keys)
    if signed.kind == APPROVAL:
        about, terms = _approval(signed)
        return APPROVAL, about, terms.party, terms.approver
    about, revocation = _read(signed, REVOCATION, RevocationPredicate)
    return REVOCATION, about, revocation.party, revocation.approver


def refuse_out_of_date(spec: Spec, now: dt.date) -> None:
    """Raise ApprovalError if the specification does not run today, whoever approved it."""
    if now < spec.validity.not_before:
        raise ApprovalError("approval.spec-not-yet-valid", not_before=spec.validity.not_before.isoformat())
    if now > spec.validity.not_after:
        raise ApprovalError("approval.spec-expired", not_after=spec.validity.not_after.isoformat())


def turn_of(spec: Spec, now: dt.date) -> Turn | None:
    """The period of the schedule that a day is in; None without a schedule.

    Periods are the calendar's (spec/periods.py). One run is due in each; one that was left out is not made up for.
    """
    validity = spec.validity
    if validity.schedule is None:
        return None
    period = span(UNIT[validity.schedule], now)
    following = period.after if period.after is not None and period.after <= validity.not_after else None
    return Turn(validity.schedule, period.first, following)


M = TypeVar("M", bound=Model)


def _read(signed: Signed, kind: str, model: type[M]) -> tuple[SpecDigest, M]:
    """The specification that a statement is about, and its predicate."""
    subject, predicate = read(signed, kind, model)
    if set(subject) != {_SUBJECT}:
        raise ApprovalError("approval.statement", problem="its subject is no specification")
    return SpecDigest(subject[_SUBJECT]), predicate


def _approval(signed: Signed) -> tuple[SpecDigest, ApprovalPredicate]:
    if len(signed.signers) != 1:
        raise ApprovalError("approval.statement", problem="an approval has one signature: one person, one envelope")
    return _read(signed, APPROVAL, ApprovalPredicate)


def _holder(signed: Signed, policy: Approval, party: PartyId) -> Approver:
    holder = policy.holder(signed.signers[0])
    if holder is None or len(signed.signers) != 1:
        raise ApprovalError("approval.not-an-approver", party=party)
    return holder


def _verify(envelope: bytes, policy: Approval, party: PartyId) -> Signed:
    """Verify with the policy's keys; a good envelope of anybody else is refused as from no approver."""
    try:
        return verify(envelope, policy.keys)
    except ApprovalError as error:
        if error.code == "approval.unknown-key":
            raise ApprovalError("approval.not-an-approver", party=party) from None
        raise


def _vote(envelope: bytes, signed: Signed, digest: SpecDigest, party: PartyId, policy: Approval) -> _Vote:
    """What holds of an approval for ever: its holder, specification and party."""
    about, terms = _approval(signed)
    holder = _holder(signed, policy, party)
    _fits(about, terms, holder.name, digest=digest, party=party)
    return _Vote(holder, signed.signers[0], terms, envelope_digest(envelope))


def _revoker(signed: Signed, digest: SpecDigest, party: PartyId, policy: Approval) -> str:
    if len(signed.signers) != 1:
        raise ApprovalError("approval.statement", problem="a revocation has one signature")
    about, terms = _read(signed, REVOCATION, RevocationPredicate)
    holder = _holder(signed, policy, party)
    _fits(about, terms, holder.name, digest=digest, party=party)
    return holder.name


def _fits(
    about: SpecDigest,
    terms: ApprovalPredicate | RevocationPredicate,
    holder: str,
    *,
    digest: SpecDigest,
    party: PartyId,
) -> None:
    if person(terms.approver) != person(holder):
        raise ApprovalError("approval.other-name", got=terms.approver, approver=holder)
    if about != digest:
        raise ApprovalError("approval.other-digest", approver=holder, got=about, expected=digest)
    if terms.party != party:
        raise ApprovalError("approval.other-party", approver=holder, got=terms.party, party=party)


def _valid(terms: ApprovalPredicate, *, plan_digest: PlanDigest, now: dt.date) -> None:
    """The plan that will run, and today."""
    if terms.plan != plan_digest:
        raise ApprovalError("approval.other-plan", approver=terms.approver, got=terms.plan, expected=plan_digest)
    if now < terms.not_before:
        raise ApprovalError("approval.not-yet-valid", approver=terms.approver, not_before=terms.not_before.isoformat())
    if now > terms.not_after:
        raise ApprovalError("approval.expired", approver=terms.approver, not_after=terms.not_after.isoformat())


def _counts(
    vote: _Vote,
    spec: Spec,
    policy: Approval,
    *,
    plan_digest: PlanDigest,
    own_work: tuple[bytes | None, ...],
    now: dt.date,
) -> None:
    if vote.key in own_work:
        raise ApprovalError("approval.by-submission-key", approver=vote.approver.name)
    if policy.exclude_author and person(vote.approver.name) == person(spec.purpose.author):
        raise ApprovalError("approval.by-author", approver=vote.approver.name)
    _valid(vote.terms, plan_digest=plan_digest, now=now)


def _people(votes: Sequence[_Vote]) -> dict[str, _Vote]:
    """One vote a person; of several the widest, for all are their own and valid."""
    people: dict[str, _Vote] = {}
    for vote in votes:
        name = person(vote.approver.name)
        if name not in people or _width(vote) > _width(people[name]):
            people[name] = vote
    return people


def _overruled(votes: Sequence[_Vote], policy: Approval) -> tuple[str, ...]:
    """The suspicions that as many persons overrule, of as many roles and organisations, as have to approve.

    Each may do so in any of their approvals that count.
    """
    found = []
    for name in sorted({name for vote in votes for name in vote.terms.overrules}):
        people = _people([vote for vote in votes if name in vote.terms.overrules])
        if len(people) >= policy.k and not _lacking(people, policy):
            found.append(name)
    return tuple(found)


def _width(vote: _Vote) -> tuple[int, dt.date, str]:
    return vote.terms.max_runs, vote.terms.not_after, vote.envelope


_TELLING: Final = (
    "approval.by-submission-key",
    "approval.by-author",
    "approval.expired",
    "approval.not-yet-valid",
    "approval.other-plan",
    "approval.other-digest",
    "approval.other-party",
    "approval.other-name",
    "approval.not-an-approver",
)
"""Refusals of genuine envelopes, the most telling first; the rest is about envelopes that are not genuine."""


def _explain(
    votes: Sequence[_Vote],
    people: Mapping[str, _Vote],
    refusals: Sequence[ApprovalError],
    policy: Approval,
    party: PartyId,
) -> ApprovalError:
    """Why too few count."""
    have = {"have": len(people), "need": policy.k, "party": party}
    if refusals:
        order = {code: place for place, code in enumerate(_TELLING)}
        return min(refusals, key=lambda refusal: order.get(refusal.code, len(order)))
    for name, counted in people.items():
        own = [vote for vote in votes if person(vote.approver.name) == name]
        if len({vote.key for vote in own}) > 1:
            return ApprovalError("approval.one-person-two-keys", approver=counted.approver.name, **have)
        if len(own) > 1:
            return ApprovalError("approval.duplicate", approver=counted.approver.name, **have)
    return ApprovalError("approval.too-few", **have)


def _lacking(people: Mapping[str, _Vote], policy: Approval) -> list[str]:
    """Roles and organisations that the policy wants and these persons do not have."""
    roles = {vote.approver.role for vote in people.values()}
    lacking = [role for role in policy.required_roles if role not in roles]
    if len(roles) < policy.min_roles:
        lacking.append(f"{policy.min_roles} roles")
    if len({vote.approver.organisation for vote in people.values()}) < policy.min_organisations:
        lacking.append(f"{policy.min_organisations} organisations")
    return lacking
