"""Receipts: what a party signs about a run, and how anyone checks a folder of them offline.

A receipt is a statement about two digests, of the specification and of the run. Of a party that computes it says that
the run was finished; of one that only brings rows, and may leave then, that all its messages had arrived. It binds
plan, cards, software, approvals, the older specification whose approvals they are if they cover this one, dataset
commitments, spend, a digest of every message that its signer sent, and the head of its log. It holds names, digests,
dates and sizes that follow from the plan. Of what was computed from records it has digests of the final shares, which
the result party holds, and digests that are hidden by bytes that the signer keeps.

The client of a run keeps a folder::

    spec.toml  plan.json  directory.toml  approvals/*.json  receipts/<party>.json  shares/<party>.bin  result.csv
    covering/spec.toml (of a run under the approvals of an older specification)

``verify_evidence`` checks that all of it belongs together. The keys decide: give it your own directory where you have
one, because a folder that brings its own keys proves only that it agrees with itself.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

from pydantic import Field, model_validator

from pets import __version__
from pets.approve.approvals import Approved, describe_envelope, verify_peer_approval
from pets.approve.envelope import Digest, public_bytes, public_text, read, statement, verify
from pets.approve.policy import KeyText
from pets.check.budget import Loss, exact, run_loss
from pets.check.diff import compare
from pets.errors import ApprovalError, PetsError, ReceiptError
from pets.ids import PartyId, PlanDigest, RunHandle, SpecDigest
from pets.party.attendance import Attendance
from pets.party.log import Head
from pets.plan.review import review
from pets.spec.canonical import spec_digest
from pets.spec.model import Model, Name, PartyName, Spec, Text
from pets.spec.parse import read_spec

RECEIPT: Final = "urn:pets:receipt:1"

Recompute = Callable[[bytes, Mapping[PartyId, bytes]], bytes]
"""From the bytes of plan.json and the final shares by party to the bytes of result.csv."""

Counted = Callable[[bytes, Mapping[PartyId, bytes]], tuple[PartyId, ...]]
"""From the same to the holders whose uploads are in sums over one table."""

LOSES_SERVERS: Final = "secure_sum_shamir"
"""The protocol whose sums survive lost computing parties."""

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


@dataclass(frozen=True, slots=True)
class PartyKeys:
    """The public keys of one party: of its server, and of its approvers by name."""

    signing: bytes
    approvers: Mapping[str, bytes]


# -- making a receipt -------------------------------------------------------------------------------------------------


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
        spend=tuple(_spend(name, loss) for name, loss in sorted(spend.items())),
        sent=tuple(sent),
        log=LogHead(seq=log.seq, hash=log.hash.hex()),
        contributors=None if contributors is None else contributors.counted,
        declined=() if contributors is None else contributors.declined,
        unproved=() if contributors is None else contributors.unproved,
    )
    said = receipt.model_dump(mode="json", exclude=set(_OF_HOLDERS) if contributors is None else None)
    return statement(RECEIPT, {"specification": spec, "run": run}, said)


def _spend(dataset: str, loss: Loss) -> Spend:
    return Spend(dataset=dataset, epsilon=str(loss.epsilon), delta=str(loss.delta), rho=str(loss.rho))


def _cover_of(approved: Approved) -> Cover | None:
    if approved.covering is None:
        return None
    old = approved.covering
    return Cover(spec=old.approved.digest, plan=old.approved.plan, submitted_by=public_text(old.author_key))


# -- verifying one ----------------------------------------------------------------------------------------------------


def verify_receipt(envelope: bytes, keys: Mapping[str, bytes], *, party: str = "?") -> Receipt:
    """Check the signature of a receipt and that its signer is the party that it speaks for.

    ``keys``: signing keys of the servers by party; ``party``: whose receipt this should be, for the error text.
    Raises:   ReceiptError ``receipt.signature``, ``.statement``, ``.other-party``.
    """
    try:
        signed = verify(envelope, keys)
    except ApprovalError as error:
        raise ReceiptError("receipt.signature", party=party, problem=_text(error)) from None
    try:
        subject, receipt = read(signed, RECEIPT, Receipt)
    except ApprovalError as error:
        raise ReceiptError("receipt.statement", party=party, problem=_text(error)) from None
    if subject != {"specification": receipt.spec, "run": receipt.run}:
        raise ReceiptError("receipt.statement", party=party, problem="its subject is not what it speaks of")
    if signed.signers != (keys.get(receipt.party),):
        signer = next(name for name, public in keys.items() if public == signed.signers[0])
        raise ReceiptError("receipt.other-party", party=receipt.party, signer=signer)
    return receipt


def verify_beside(
    envelope: bytes,
    first: Receipt,
    *,
    party: PartyId,
    spec: Spec,
    plan: bytes,
    keys: PartyKeys,
    approvals: Mapping[str, bytes],
) -> Receipt:
    """Check the receipt of a holder, who may be anybody of hundreds, before it is put with those of a run.

    One that does not hold would spoil the evidence of all. ``first``: of a computing party; ``plan``: bytes of
    plan.json; ``approvals``: the envelopes that are here, by digest.
    Raises: ReceiptError, as verifying the folder with it would.
    """
    receipt = _own(verify_receipt(envelope, {party: keys.signing}, party=party), party, spec)
    _agree(spec, plan, {PartyId(first.party): first, party: receipt})
    _dates(spec, receipt)
    _charges(spec, receipt)
    if receipt.contributors is not None or receipt.left_out:
        raise ReceiptError("receipt.contributors", party=party, problem="a holder does not know who took part")
    if receipt.shares_for(people_of(spec)):
        raise ReceiptError("receipt.statement", party=party, problem="a holder sends the result party nothing")
    for approval in receipt.approvals:
        if (body := approvals.get(approval.sha256)) is None:
            raise ReceiptError("receipt.approval-missing", party=party, digest=approval.sha256)
        _valid_then("an approval", body, party, receipt, keys.approvers)
    if not receipt.approvals:
        raise ReceiptError("receipt.unapproved", party=party)
    return receipt


# -- verifying a folder -----------------------------------------------------------------------------------------------


def verify_evidence(
    folder: Path, *, keys: Mapping[str, PartyKeys], recompute: Recompute, counted: Counted | None = None
) -> list[str]:
    """Check everything that a client keeps of a run, and recompute its table from the shares.

    ``counted``: says whose uploads the shares are of, for sums over one table of many holders, which need it.
    Returns: a line for each thing that holds, and for each receipt that may be missing and is.
    Raises:  ReceiptError that names the first thing that does not.
    """
    spec = _spec(folder)
    for party in spec.servers:
        if party not in keys:
            raise ReceiptError("receipt.no-key", party=party)
    plan = _bytes(folder / "plan.json")
    receipts = _receipts(folder, spec, keys)
    _agree(spec, plan, receipts)
    took = _contributors(spec, receipts)
    for receipt in receipts.values():
        _dates(spec, receipt)
        _charges(spec, receipt)
    covered = _covered(folder, spec, receipts)
    approvals, uncounted = _approvals(folder, receipts, keys)
    shares = _shares(folder, spec, receipts)
    if recompute(plan, shares) != _bytes(folder / "result.csv"):
        made_by = next(iter(receipts.values())).software
        if made_by != __version__:
            raise ReceiptError("receipt.other-version", file="result.csv", got=made_by, own=__version__)
        raise ReceiptError("receipt.result-differs", file="result.csv")
    many: list[str] = []
    if took is not None:
        if counted is None or counted(plan, shares) != took:
            party = next(party for party, receipt in receipts.items() if receipt.contributors is not None)
            raise ReceiptError("receipt.contributors", party=party, problem="the shares are of other holders")
        many = list(_of_holders(spec, receipts, took))
    lines = list(_lines(spec, receipts, approvals, shares))
    more = (f"{file} is genuine, and no receipt counts it" for file in uncounted)
    return [*lines[:-1], *many, *covered, *more, lines[-1]]


def _spec(folder: Path) -> Spec:
    try:
        return read_spec(folder / "spec.toml")
    except PetsError as error:
        raise ReceiptError("receipt.unreadable", file="spec.toml", problem=_text(error)) from None


def _receipts(folder: Path, spec: Spec, keys: Mapping[str, PartyKeys]) -> dict[PartyId, Receipt]:
    """One receipt of every party that computes or brings rows, and no other file; some may be missing."""
    expected = {f"{party}.json": party for party in spec.servers}
    for path in sorted((folder / "receipts").glob("*")):
        if path.name not in expected:
            raise ReceiptError("receipt.stray", file=f"receipts/{path.name}")
    signing = {name: party.signing for name, party in keys.items()}
    found = {}
    for file, party in expected.items():
        path = folder / "receipts" / file
        if not path.exists():
            if may_be_missing(spec, party):
                continue
            raise ReceiptError("receipt.missing", party=party)
        found[party] = _own(verify_receipt(_bytes(path), signing, party=party), party, spec)
    return found


def _own(receipt: Receipt, party: PartyId, spec: Spec) -> Receipt:
    """The receipt, if it is this party's and about a run that ended well for it."""
    if receipt.party != party:
        raise ReceiptError("receipt.other-party", party=party, signer=receipt.party)
    if receipt.outcome != (good := outcome_of(spec, party)):
        problem = f"it is about a run that was {receipt.outcome}, and not {good}"
        raise ReceiptError("receipt.statement", party=party, problem=problem)
    return receipt


def _agree(spec: Spec, plan: bytes, receipts: Mapping[PartyId, Receipt]) -> None:
    """All receipts are about the files of this folder, and about the same run."""
    digest, plan_sha256 = spec_digest(spec), sha256(plan).hexdigest()
    first = next(iter(receipts.values()))
    commitments: dict[tuple[str, str], tuple[str, str]] = {}
    several = {dataset.name for dataset in spec.datasets if dataset.several}
    for party, receipt in receipts.items():
        if receipt.spec != digest:
            fields = {"file": "spec.toml", "got": digest, "party": party, "expected": receipt.spec}
            raise ReceiptError("receipt.spec-differs", **fields)
        if receipt.plan != plan_sha256:
            fields = {"file": "plan.json", "got": plan_sha256, "party": party, "expected": receipt.plan}
            raise ReceiptError("receipt.plan-differs", **fields)
        for what in ("run", "handle", "cards", "software", "submitted_by", "cover"):
            if getattr(receipt, what) != getattr(first, what):
                raise ReceiptError("receipt.differs", party=first.party, other=party, what=what)
        for dataset, commitment in receipt.commitments.items():
            part = (dataset, party if dataset in several else "")  # each holder has its own part
            other, value = commitments.setdefault(part, (party, commitment))
            if value != commitment:
                raise ReceiptError("receipt.differs", party=other, other=party, what=f"the commitment to {dataset}")


def is_pooled(spec: Spec) -> bool:
    """True of sums over one table of many holders, who upload: only these say how many of them are the least."""
    return spec.computation.min_contributors is not None


def takes_uploads(spec: Spec) -> tuple[PartyId, ...]:
    """Who takes uploads. Under disclosure control the third of those who compute gets nothing of any."""
    return spec.computing if spec.release.disclosure_control is None else spec.computing[:2]


def may_be_missing(spec: Spec, party: PartyId) -> bool:
    """Whether a run may have ended well without this party: a holder that did not upload, or left before it signed.

    Of sums on polynomials also a computing party that was lost; that enough of them are there shows when they open.
    """
    if not is_pooled(spec):
        return False
    return party not in spec.computing or spec.security.protocol == LOSES_SERVERS


def _contributors(spec: Spec, receipts: Mapping[PartyId, Receipt]) -> tuple[PartyId, ...] | None:
    """Whose uploads counted, as every computing party signed it that takes uploads; None where no holder uploads.

    Raises: ReceiptError receipt.contributors, receipt.differs, receipt.missing if no computing party signed anything.
    """
    if not is_pooled(spec):
        for party, receipt in receipts.items():
            if receipt.contributors is not None or receipt.left_out:
                raise ReceiptError("receipt.contributors", party=party, problem="nobody uploads in such a run")
        return None
    takes, holders = takes_uploads(spec), spec.holders(spec.datasets[0].name)
    signed = {party: receipt for party, receipt in receipts.items() if party in takes}
    if not signed:
        raise ReceiptError("receipt.missing", party=takes[0])
    first = next(iter(signed))
    for party, receipt in receipts.items():
        if (receipt.contributors is None) != (party not in signed):
            problem = "it is missing" if party in signed else "that is not for it to say"
            raise ReceiptError("receipt.contributors", party=party, problem=problem)
        said = (receipt.contributors, receipt.unproved)
        if party in signed and said != (signed[first].contributors, signed[first].unproved):
            raise ReceiptError("receipt.differs", party=first, other=party, what="who took part")
        others = set(holders) - set(receipt.contributors or holders)
        if len(set(receipt.left_out)) != len(receipt.left_out) or not set(receipt.left_out) <= others:
            problem = "it says of others than holders who do not count why they do not, or twice"
            raise ReceiptError("receipt.contributors", party=party, problem=problem)
    took = tuple(map(PartyId, signed[first].contributors or ()))
    if tuple(party for party in holders if party in took) != took:
        raise ReceiptError("receipt.contributors", party=first, problem="it names who is no holder, or one twice")
    if len(took) < (least := spec.computation.min_contributors or 0):
        problem = f"{len(took)} holders took part, and the specification asks for {least}"
        raise ReceiptError("receipt.contributors", party=first, problem=problem)
    return took


_UNPROVED: Final = "its numbers were not proved to be within their bounds"


def _of_holders(spec: Spec, receipts: Mapping[PartyId, Receipt], took: Sequence[PartyId]) -> Iterable[str]:
    """Who took part, and of whom there is no receipt."""
    holders, least = spec.holders(spec.datasets[0].name), spec.computation.min_contributors
    missed = {party: "it declined" for receipt in receipts.values() for party in receipt.declined}
    missed |= {party: _UNPROVED for receipt in receipts.values() for party in receipt.unproved}
    yield f"{len(took)} of {len(holders)} holders took part, {least} are the least; who, all signed that took uploads"
    for party in (party for party in spec.servers if party not in receipts):
        counts = "its numbers are in the table" if party in took else missed.get(party, "it did not take part")
        yield f"{party}: no receipt is here; {counts if party in holders else 'it was lost on the way'}"
    for party in (party for party in holders if party in receipts and party not in took):
        why = missed.get(party, "its upload was late, or did not reach everybody")
        yield f"{party}: it uploaded, and is not in the table: {why}"


def _covered(folder: Path, spec: Spec, receipts: Mapping[PartyId, Receipt]) -> list[str]:
    """The comparison that let every party run this under older approvals, made again from the two texts.

    Raises: ReceiptError receipt.cover, .stray.
    """
    party, first = next(iter(receipts.items()))
    file = folder / "covering" / "spec.toml"
    for path in sorted((folder / "covering").glob("*")):
        if first.cover is None or path.name != file.name:
            raise ReceiptError("receipt.stray", file=f"covering/{path.name}")
    if first.cover is None:
        return []

    def wrong(problem: str) -> NoReturn:
        raise ReceiptError("receipt.cover", party=party, problem=problem)

    try:
        old = read_spec(file)
        plan = review(old).settled().plan_digest
    except PetsError as error:
        wrong(_text(error))
    if spec_digest(old) != first.cover.spec:
        wrong(f"it has digest {spec_digest(old)}, and {party} signed {first.cover.spec}")
    if plan != first.cover.plan:
        wrong(f"version {__version__} makes another plan of it than {party}, which ran version {first.software}")
    found = compare(old, spec)
    if not found.within or found.old == found.new:
        wrong(f"spec.toml is {found.relation}, compared with it")
    for receipt in receipts.values():
        _dates(old, receipt)
    return [f"specification {found.new} is {found.relation}, compared with {found.old}, whose approvals cover it"]


def _dates(spec: Spec, receipt: Receipt) -> None:
    def wrong(problem: str) -> NoReturn:
        raise ReceiptError("receipt.dates", party=receipt.party, problem=problem)

    if receipt.ended < receipt.started:
        wrong("the run ended before it started")
    if not spec.validity.not_before <= _day(receipt) <= spec.validity.not_after:
        wrong("the run was outside the dates of the specification")


def _charges(spec: Spec, receipt: Receipt) -> None:
    """A holder commits to each of its datasets, and charges each what the specification costs."""
    own = sorted(dataset.name for dataset in spec.datasets if receipt.party in dataset.parties)
    known = {dataset.name for dataset in spec.datasets}
    for dataset in own:
        if dataset not in receipt.commitments:
            raise ReceiptError("receipt.commitment", party=receipt.party, problem=f"no commitment to {dataset}")
    for dataset in sorted(set(receipt.commitments) - known):
        problem = f"a commitment to {dataset}, which the specification does not name"
        raise ReceiptError("receipt.commitment", party=receipt.party, problem=problem)
    costs, spend = run_loss(spec), {each.dataset: each for each in receipt.spend}
    for dataset in sorted({*own, *spend}):
        expected = _spend(dataset, costs[dataset]) if dataset in own else None
        if spend.get(dataset) != expected:
            fields = {"dataset": dataset, "got": _told(spend.get(dataset)), "expected": _told(expected)}
            raise ReceiptError("receipt.spend", party=receipt.party, **fields)


def _told(spend: Spend | None) -> str:
    return "nothing" if spend is None else spend.told


def _approvals(
    folder: Path, receipts: Mapping[PartyId, Receipt], keys: Mapping[str, PartyKeys]
) -> tuple[dict[PartyId, list[str]], list[str]]:
    """Every file is genuine; what a receipt names is here, and was a valid approval of its party on that day.

    Returns: who approved, by party, and the files that no receipt names: withdrawn, outdated or for somebody else.
    """
    everyone = {f"{party}/{name}": key for party, each in keys.items() for name, key in each.approvers.items()}
    files: dict[str, tuple[str, bytes, str]] = {}
    for path in sorted((folder / "approvals").glob("*")):
        body, file = _bytes(path), f"approvals/{path.name}"
        try:
            _, _, _, approver = describe_envelope(body, everyone)
        except ApprovalError as error:
            raise ReceiptError("receipt.approval", file=file, party="some party", problem=_text(error)) from None
        files[sha256(body).hexdigest()] = (file, body, approver)
    names: dict[PartyId, list[str]] = {}
    for party_id, receipt in receipts.items():
        for approval in receipt.approvals:
            if approval.sha256 not in files:
                raise ReceiptError("receipt.approval-missing", party=party_id, digest=approval.sha256)
            file, body, approver = files[approval.sha256]
            _valid_then(file, body, party_id, receipt, keys[party_id].approvers)
            names.setdefault(party_id, []).append(approver)
        if party_id not in names:
            raise ReceiptError("receipt.unapproved", party=party_id)
    named = {approval.sha256 for receipt in receipts.values() for approval in receipt.approvals}
    return names, [file for digest, (file, _, _) in files.items() if digest not in named]


def _valid_then(file: str, body: bytes, party: PartyId, receipt: Receipt, keys: Mapping[str, bytes]) -> None:
    signed = receipt if receipt.cover is None else receipt.cover
    try:
        verify_peer_approval(
            [body],
            digest=SpecDigest(signed.spec),
            plan_digest=PlanDigest(signed.plan),
            party=party,
            keys=keys,
            author_key=public_bytes(signed.submitted_by),
            also_excluded=public_bytes(receipt.submitted_by),
            now=_day(receipt),
        )
    except ApprovalError as error:
        raise ReceiptError("receipt.approval", file=file, party=party, problem=_text(error)) from None


def _shares(folder: Path, spec: Spec, receipts: Mapping[PartyId, Receipt]) -> dict[PartyId, bytes]:
    """The share files are what their senders signed, column after column."""
    shares: dict[PartyId, bytes] = {}
    for party, receipt in receipts.items():
        messages = receipt.shares_for(people_of(spec))
        path = folder / "shares" / f"{party}.bin"
        if not messages:
            continue
        if not path.exists():
            raise ReceiptError("receipt.share-missing", party=party)
        body, expected = _bytes(path), sum(message.bytes for message in messages)
        if len(body) != expected:
            raise ReceiptError("receipt.share-size", party=party, got=len(body), expected=expected)
        start = 0
        for message in messages:
            if sha256(body[start : start + message.bytes]).hexdigest() != message.sha256:
                name = f"{message.label} column {message.column}"
                raise ReceiptError("receipt.share-differs", party=party, message=name)
            start += message.bytes
        shares[party] = body
    for path in sorted((folder / "shares").glob("*")):
        if path.suffix != ".bin" or path.stem not in shares:
            raise ReceiptError("receipt.stray", file=f"shares/{path.name}")
    if not shares:
        raise ReceiptError("receipt.share-missing", party="any party")
    return shares


def _lines(
    spec: Spec,
    receipts: Mapping[PartyId, Receipt],
    approvals: Mapping[PartyId, Sequence[str]],
    shares: Mapping[PartyId, bytes],
) -> Iterable[str]:
    first = next(iter(receipts.values()))
    yield f"specification {first.spec}: {spec.title}"
    yield f"run {first.run} of plan {first.plan}, software {first.software}"
    for party, receipt in receipts.items():
        sent = sum(message.bytes for message in receipt.sent)
        ended = "" if receipt.outcome == "finished" else ", when they had arrived"
        yield f"{party}: receipt is signed by its server{ended}; {len(receipt.sent)} messages, {sent} bytes sent"
        yield f"{party}: approved by {', '.join(sorted(approvals[party]))}, valid on {_day(receipt)}"
        for dataset, commitment in sorted(receipt.commitments.items()):
            if party in spec.dataset(dataset).parties:
                yield f"{party}: {dataset} was frozen as {commitment}"
        for spend in receipt.spend:
            cost = run_loss(spec)[spend.dataset]
            rho = f", rho {exact(cost.rho)}" if cost.rho else ""
            yield f"{party}: {spend.dataset} was charged epsilon {exact(cost.epsilon)}, delta {exact(cost.delta)}{rho}"
    yield f"shares of {', '.join(shares)} are what their receipts say"
    yield "result.csv is what the shares add up to"


def _day(receipt: Receipt) -> dt.date:
    return dt.datetime.fromisoformat(receipt.started).date()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = error.strerror or "unknown"
        raise ReceiptError("receipt.unreadable", file=path.name, problem=problem.lower()) from None


def _text(error: PetsError) -> str:
    """An error's text without its code."""
    return error.text.split(": ", 1)[1]
