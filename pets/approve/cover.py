"""When approvals of an older specification let a newer one run: the new one is equal to it or narrower.

A holder that refreshes its records, or an analyst who asks for less, need not trouble the approvers again; whoever asks
for more must. Each party decides alone, from both texts (``check/diff.py``); nobody's word counts for it. What was
signed stays the measure:

    who       only a specification with enough signatures of its own covers; one that is covered does not (no chains)
    when      the days that both specifications and the approvals allow
    how often each run uses up a run of both, so variants share one count, and both schedules hold
    how much  the ledger is one per dataset, and a run of the new one costs no more
    no more   revoking the old one ends the cover; revoking the new one ends the new one
    own work  the author is the same person, and neither submission's key counts as an approval

ADR 0013 says why any mixture of runs under one count shows no more than as many runs of the old specification.
"""

import datetime as dt
from dataclasses import dataclass, replace

from pets.approve import approvals
from pets.approve.approvals import Approved, Covering
from pets.approve.policy import AnyPolicy
from pets.check.diff import Difference, Facts, compare_facts
from pets.errors import ApprovalError
from pets.ids import PartyId, PlanDigest


@dataclass(frozen=True, slots=True)
class Held:
    """A specification as one party holds it: what it says, its plan here, who submitted it, all its envelopes."""

    facts: Facts
    plan: PlanDigest
    author_key: bytes
    envelopes: tuple[bytes, ...]


def within(old: Facts, new: Facts, *, party: str) -> Difference:
    """The comparison, if the new specification is equal to the old one or narrower.

    Raises: ApprovalError approval.not-covered with the first reason why not; so too for one and the same specification.
    """
    found = compare_facts(old, new)
    if old.digest != new.digest and found.within:
        return found
    reason = next((r for r in found.reasons if r.direction not in ("equal", "narrower")), None)
    raise ApprovalError(
        "approval.not-covered",
        party=party,
        got=new.digest,
        cover=old.digest,
        relation=found.relation,
        reason=f"{reason.path}: {reason.sentence}" if reason else "it is the same specification",
    )


def verify_cover(old: Held, new: Held, *, party: PartyId, policy: AnyPolicy, now: dt.date) -> Approved:
    """Decide whether this party's approvals of ``old`` let ``new`` run today.

    Raises: ApprovalError: ``approval.no-reuse`` if the policy has every text signed; ``approval.not-covered`` if the
            new one is not within; ``approval.revoked`` if either was withdrawn; else as ``verify_approvals`` does of
            the old specification.
    """
    if not policy.approval.reuse:
        raise ApprovalError("approval.no-reuse", party=party)
    within(old.facts, new.facts, party=party)
    approvals.refuse_revoked(new.envelopes, digest=new.facts.digest, party=party, policy=policy)
    approvals.refuse_out_of_date(new.facts.spec, now)
    approved = approvals.verify_approvals(
        old.envelopes,
        digest=old.facts.digest,
        plan_digest=old.plan,
        party=party,
        policy=policy,
        spec=old.facts.spec,
        author_key=old.author_key,
        also_excluded=new.author_key,
        now=now,
    )
    validity = new.facts.spec.validity
    return replace(
        approved,
        digest=new.facts.digest,
        plan=new.plan,
        max_runs=min(approved.max_runs, validity.max_runs),
        not_after=min(approved.not_after, validity.not_after),
        covering=Covering(approved, old.author_key),
        turn=approvals.turn_of(new.facts.spec, now),
    )
