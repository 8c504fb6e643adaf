"""Receipts: what a party signs about a run.

A receipt is a statement about two digests, of the specification and of the run. Of a party that computes it says that
the run was finished; of one that only brings rows, and may leave then, that all its messages had arrived. It binds
plan, cards, software, approvals, the older specification whose approvals they are if they cover this one, dataset
commitments, spend, a digest of every message that its signer sent, and the head of its log. It holds names, digests,
dates and sizes that follow from the plan. Of what was computed from records it has digests of the final shares, which
the result party holds, and digests that are hidden by bytes that the signer keeps.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from pets.approve.approvals import Approved
from pets.approve.envelope import Digest, public_text, read, statement, verify
from pets.approve.policy import KeyText
from pets.check.budget import Loss
from pets.errors import ApprovalError, PetsError, ReceiptError
from pets.ids import PartyId, PlanDigest, RunHandle, SpecDigest
from pets.party.attendance import Attendance
from pets.party.log import Head
from pets.spec.model import Model, Name, PartyName, Spec, Text

RECEIPT: Final = "urn:pets:receipt:1"

_OF_HOLDERS: Final = ("contributors", "declined", "unproved")
"""What only computing parties of sums over one table of many holders say."""

Instant = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]


Outcome = Literal["finished", "sent", "aborted"]
"""How a run ended at a party. ``sent``: all that it had to send arrived, and what became of the run it does not say."""


def outcome_of(spec: Spec, party: PartyId) -> Literal["finished", "sent"]:
    """How a run ends well at a party: who computes stays until it is finished, who only brings rows need not."""
    return "finished" if party in spec.computing else "sent"


class SentMessage(Model):
    """One column of one message that the signer sent: its place in the plan, its size and its digest.

    ``sha256``: of the bytes if they went to the result party, who has them; else of 32 bytes that the signer keeps and
    then the bytes' BLAKE3 digest, so that it can prove later what it sent and nobody can test guesses
    (``gate.opened_by``, ``gate.told_of``).
    """

    label: Text
    column: Annotated[int, Field(ge=0)]
    to: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}(:result)?$")]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Digest


class SignedApproval(Model):
    """An approval that counted: SHA-256 of its envelope."""

    approver: Text
    sha256: Digest


Exact = Annotated[str, Field(pattern=r"^\d+(/\d+)?$")]


class Spend(Model):
    """What the run was charged to one dataset, exactly: ``"3/2"``, ``"1/1099511627776"``."""

    dataset: Name
    epsilon: Exact
    delta: Exact
    rho: Exact = "0"

    @classmethod
    def of(cls, dataset: str, loss: Loss) -> Self:
        """The charge of a loss to a dataset."""
        return cls(dataset=dataset, epsilon=str(loss.epsilon), delta=str(loss.delta), rho=str(loss.rho))

    @property
    def told(self) -> str:
        """The charge in words."""
        return f"epsilon {self.epsilon} delta {self.delta}" + (f" rho {self.rho}" if self.rho != "0" else "")


class LogHead(Model):
    seq: Annotated[int, Field(ge=0)]
    hash: Digest


class Cover(Model):
    """The specification whose approvals let this one run: its digest, its plan, the key that submitted it."""

    spec: Digest
    plan: Digest
    submitted_by: KeyText


class Receipt(Model):
    """What one party says of one run. Made by ``verify_receipt`` from a signed envelope."""

    party: PartyName
    spec: Digest
    run: Digest
    handle: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    plan: Digest
    cards: Digest
    software: Text
    started: Instant
    ended: Instant
    outcome: Outcome
    submitted_by: KeyText
    cover: Cover | None = None
    approvals: tuple[SignedApproval, ...]
    commitments: dict[Name, Digest]
    spend: tuple[Spend, ...]
    sent: tuple[SentMessage, ...]
    log: LogHead
    contributors: tuple[PartyName, ...] | None = None
    """Of sums over one table of many holders, at a computing party: the holders whose uploads counted."""
    declined: tuple[PartyName, ...] = ()
    """And those that told it that they take no part. Another one may have been told by others."""
    unproved: tuple[PartyName, ...] = ()
    """And those whose numbers were not proved to be within their bounds, as all computing parties found."""

    @property
    def left_out(self) -> tuple[PartyName, ...]:
        """All of whom it says why they do not count."""
        return (*self.declined, *self.unproved)

    @model_validator(mode="after")
    def _once_each(self) -> "Receipt":
        places = [(message.to, message.label, message.column) for message in self.sent]
        if len(set(places)) != len(places):
            raise ValueError("sent: a message is listed twice")
        if len({spend.dataset for spend in self.spend}) != len(self.spend):
            raise ValueError("spend: a dataset is listed twice")
        return self

    def shares_for(self, party: str) -> tuple[SentMessage, ...]:
        """What the signer sent to one party, in the order of its share file."""
        return tuple(message for message in self.sent if message.to == party)


def people_of(spec: Spec) -> str:
    """How receipts call the client that opens the table: the result party, told apart from its server if it has one."""
    to = spec.result_party
    return f"{to}:result" if to in spec.servers else to


def build_receipt(
    *,
    party: PartyId,
    spec: SpecDigest,
    run: str,
    handle: RunHandle,
    plan: PlanDigest,
    cards: str,
    software: str,
    started: str,
    ended: str,
    outcome: Outcome,
    author_key: bytes,
    approved: Approved,
    commitments: Mapping[str, str],
    spend: Mapping[str, Loss],
    sent: Sequence[SentMessage],
    log: Head,
    contributors: Attendance | None = None,
) -> dict[str, object]:
    """The statement of a receipt, ready for ``envelope.sign``. Times as ``State.now`` writes them.

    ``contributors``: at a computing party of sums over one table of many holders, whose uploads counted, and who
    declined.
    """
    receipt = Receipt(
        party=party,
        spec=spec,
        run=run,
        handle=handle,
        plan=plan,
        cards=cards,
        software=software,
        started=started,
        ended=ended,
        outcome=outcome,
        submitted_by=public_text(author_key),
        cover=_cover_of(approved),
        approvals=tuple(SignedApproval(approver=name, sha256=digest) for name, digest in approved.envelopes),
        commitments=dict(commitments),
        spend=tuple(Spend.of(name, loss) for name, loss in sorted(spend.items())),
        sent=tuple(sent),
        log=LogHead(seq=log.seq, hash=log.hash.hex()),
        contributors=None if contributors is None else contributors.counted,
        declined=() if contributors is None else contributors.declined,
        unproved=() if contributors is None else contributors.unproved,
    )
    said = receipt.model_dump(mode="json", exclude=set(_OF_HOLDERS) if contributors is None else None)
    return statement(RECEIPT, {"specification": spec, "run": run}, said)


def _cover_of(approved: Approved) -> Cover | None:
    if approved.covering is None:
        return None
    old = approved.covering
    return Cover(spec=old.approved.digest, plan=old.approved.plan, submitted_by=public_text(old.author_key))


def verify_receipt(envelope: bytes, keys: Mapping[str, bytes], *, party: str = "?") -> Receipt:
    """Check the signature of a receipt and that its signer is the party that it speaks for.

    ``keys``: signing keys of the servers by party; ``party``: whose receipt this should be, for the error text.
    Raises:   ReceiptError ``receipt.signature``, ``.statement``, ``.other-party``.
    """
    try:
        signed = verify(envelope, keys)
    except ApprovalError as error:
        raise ReceiptError("receipt.signature", party=party, problem=reason(error)) from None
    try:
        subject, receipt = read(signed, RECEIPT, Receipt)
    except ApprovalError as error:
        raise ReceiptError("receipt.statement", party=party, problem=reason(error)) from None
    if subject != {"specification": receipt.spec, "run": receipt.run}:
        raise ReceiptError("receipt.statement", party=party, problem="its subject is not what it speaks of")
    if signed.signers != (keys.get(receipt.party),):
        signer = next(name for name, public in keys.items() if public == signed.signers[0])
        raise ReceiptError("receipt.other-party", party=receipt.party, signer=signer)
    return receipt


def reason(error: PetsError) -> str:
    """An error's text without its code."""
    return error.text.split(": ", 1)[1]
