"""What a party has been asked and what its approvers said: specifications, approvals, revocations, how they stand.

Every decision is made by a pure function of the promise (``review``, ``verify_approvals``, ``judge_policy``); this
class gives it what the state file holds, and the log what was decided.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pets.approve import approvals
from pets.approve.policy import Policy, judge_policy
from pets.check.labels import Finding
from pets.check.terms import design_fields
from pets.errors import ApprovalError, PetsError, RunError
from pets.ids import PartyId, SpecDigest
from pets.party import account
from pets.party.config import Directory
from pets.party.log import Log
from pets.party.state import State, StoredSpec
from pets.plan.review import Review, Reviewed, review
from pets.spec.canonical import canonical, spec_json
from pets.spec.model import DESIGN, Spec
from pets.spec.parse import parse_toml
from pets.transport.calls import Caller, Standing, Submitted


@dataclass(frozen=True, slots=True)
class Consent:
    """The specifications that a party holds. ``design``: placeholders of drafts are accepted (never at a server)."""

    party: PartyId
    directory: Directory
    policy: Policy
    state: State
    log: Log
    design: bool
    _reviews: dict[SpecDigest, Review] = field(default_factory=dict)

    def submit(self, caller: Caller, toml: bytes, envelope: bytes) -> Submitted:
        """Check a specification alone and keep it for this party's approvers.

        Raises: SpecError on text that is none; LeakError leak.refused with the first refusal; ApprovalError if the
                submission is not signed by who says to be its author.
        """
        spec = parse_toml(toml.decode("utf-8", "strict") if _is_text(toml) else "", file="specification")
        found = self._check(spec)
        try:
            reviewed = found.require()
            submission = approvals.verify_submission(
                envelope, digest=reviewed.digest, spec=spec, keys=self._authors(spec)
            )
        except PetsError as error:
            rules = sorted({f.rule for f in found.verdict.errors})
            self.log.append("spec.refused", digest=found.digest, caller=caller.san, code=error.code, rules=rules)
            raise
        account.second_opinion(reviewed.plan, spec)
        stored = StoredSpec(
            digest=reviewed.digest,
            plan=reviewed.plan_digest,
            toml=toml,
            canonical=canonical(spec_json(spec)),
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
        self._reviews[reviewed.digest] = found
        return Submitted(reviewed.digest, reviewed.plan_digest, _report(found))

    def take_envelope(self, caller: Caller, envelope: bytes, kind: str) -> Standing:
        """Verify an approval or a revocation (``kind``), keep it, and say how the specification stands now.

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
        return self.standing(stored)

    def standing(self, stored: StoredSpec) -> Standing:
        """How far the approval is, in a word and two numbers."""
        reviewed = self.review(stored.digest)
        need = self.policy.approval.k
        try:
            own = approvals.verify_approvals(
                self.state.envelopes(stored.digest),
                digest=stored.digest,
                plan_digest=stored.plan,
                party=self.party,
                policy=self.policy,
                spec=reviewed.spec,
                author_key=stored.author_key,
                now=self.state.clock().date(),
            )
            left = own.max_runs - self.state.runs_used(stored.digest)
            state, have = ("approved" if left > 0 else "used up"), len(own.approvers)
        except ApprovalError as error:
            state = "pending" if error.code == "approval.too-few" else error.code.removeprefix("approval.")
            have = int(str(error.fields.get("have", 0)))
        return Standing(stored.digest, reviewed.spec.title, state, have, need, stored.received)

    def stored(self, digest: SpecDigest) -> StoredSpec:
        """A specification as it was submitted. Raises: RunError run.no-spec."""
        return self.state.spec(digest)

    def review(self, digest: SpecDigest) -> Review:
        """The review of a specification that is held here; made once in the life of this process."""
        found = self._reviews.get(digest)
        if found is None:
            stored = self.stored(digest)
            found = self._check(parse_toml(stored.toml.decode(), file="specification"))
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
        found = review(spec).lowered(self.policy.lint, party=self.party)
        more: list[Finding] = list(self._of_directory(spec))
        if not self.design:
            more += _placeholders(spec)
        if found.query is not None:
            more += judge_policy(self.policy, spec, found.query)
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

    def approved(self, stored: StoredSpec, reviewed: Reviewed, brought: tuple[bytes, ...]) -> approvals.Approved:
        """This party's own k of n, and a valid approval of every other input and computing party."""
        today = self.state.clock().date()
        own = self.approved_here(stored, reviewed)
        for party in reviewed.spec.parties:
            if party.name == self.party or set(party.roles) == {"result"}:
                continue
            keys = self.directory.approver_keys(PartyId(party.name))
            theirs = [body for body in brought if approvals.claim_of(body).party == party.name]
            approvals.verify_peer_approval(
                theirs,
                digest=reviewed.digest,
                plan_digest=reviewed.plan_digest,
                party=PartyId(party.name),
                keys=keys,
                author_key=stored.author_key,
                now=today,
            )
        return own

    def approved_here(self, stored: StoredSpec, reviewed: Reviewed) -> approvals.Approved:
        """This party's own k of n today, revocations included. Raises: ApprovalError with the reason."""
        return approvals.verify_approvals(
            self.state.envelopes(reviewed.digest),
            digest=reviewed.digest,
            plan_digest=reviewed.plan_digest,
            party=self.party,
            policy=self.policy,
            spec=reviewed.spec,
            author_key=stored.author_key,
            now=self.state.clock().date(),
        )


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


def _report(found: Review) -> bytes:
    from pets.check.document import to_json

    return json.dumps(to_json(found), sort_keys=True).encode()
