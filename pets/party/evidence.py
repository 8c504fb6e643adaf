"""The offline check of a folder of evidence: what a client keeps of a run, and that all of it belongs together.

The folder::

    spec.toml  plan.json  directory.toml  approvals/*.json  receipts/<party>.json  shares/<party>.bin  result.csv
    covering/spec.toml (of a run under the approvals of an older specification)

The keys decide: give ``verify_evidence`` your own directory where you have one, because a folder that brings its own
keys proves only that it agrees with itself.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

from pets import __version__
from pets.approve.approvals import describe_envelope, verify_peer_approval
from pets.approve.envelope import public_bytes
from pets.check.budget import exact, run_loss
from pets.check.diff import compare
from pets.errors import ApprovalError, PetsError, ReceiptError
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.party.receipts import Receipt, Spend, outcome_of, people_of, reason, verify_receipt
from pets.plan.review import review
from pets.spec.canonical import spec_digest
from pets.spec.model import Spec
from pets.spec.parse import read_spec
from pets.spec.pooled import is_pooled, takes_uploads
from pets.spec.pools import SHAMIR

Recompute = Callable[[bytes, Mapping[PartyId, bytes]], bytes]
"""From the bytes of plan.json and the final shares by party to the bytes of result.csv."""

Counted = Callable[[bytes, Mapping[PartyId, bytes]], tuple[PartyId, ...]]
"""From the same to the holders whose uploads are in sums over one table."""


@dataclass(frozen=True, slots=True)
class PartyKeys:
    """The public keys of one party: of its server, and of its approvers by name."""

    signing: bytes
    approvers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Files:
    """What all receipts of a run have to be about: worked out once, for hundreds of them."""

    spec: Spec
    digest: SpecDigest
    plan_sha256: str

    @classmethod
    def of(cls, spec: Spec, plan: bytes) -> "Files":
        """``plan``: bytes of plan.json."""
        return cls(spec, spec_digest(spec), sha256(plan).hexdigest())


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
    _agree(Files.of(spec, plan), receipts)
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


def verify_beside(
    envelope: bytes,
    first: Receipt,
    *,
    party: PartyId,
    of: Files,
    keys: PartyKeys,
    approvals: Mapping[str, bytes],
) -> Receipt:
    """Check the receipt of a holder, who may be anybody of hundreds, before it is put with those of a run.

    One that does not hold would spoil the evidence of all. ``first``: of a computing party; ``approvals``: the
    envelopes that are here, by digest.
    Raises: ReceiptError, as verifying the folder with it would.
    """
    spec = of.spec
    receipt = _own(verify_receipt(envelope, {party: keys.signing}, party=party), party, spec)
    _agree(of, {PartyId(first.party): first, party: receipt})
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


def _spec(folder: Path) -> Spec:
    try:
        return read_spec(folder / "spec.toml")
    except PetsError as error:
        raise ReceiptError("receipt.unreadable", file="spec.toml", problem=reason(error)) from None


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
    if not found:
        raise ReceiptError("receipt.missing", party=spec.computing[0])
    return found


def _own(receipt: Receipt, party: PartyId, spec: Spec) -> Receipt:
    """The receipt, if it is this party's and about a run that ended well for it."""
    if receipt.party != party:
        raise ReceiptError("receipt.other-party", party=party, signer=receipt.party)
    if receipt.outcome != (good := outcome_of(spec, party)):
        problem = f"it is about a run that was {receipt.outcome}, and not {good}"
        raise ReceiptError("receipt.statement", party=party, problem=problem)
    return receipt


def _agree(files: Files, receipts: Mapping[PartyId, Receipt]) -> None:
    """All receipts are about the files of this folder, and about the same run."""
    digest, plan_sha256 = files.digest, files.plan_sha256
    first = next(iter(receipts.values()))
    commitments: dict[tuple[str, str], tuple[str, str]] = {}
    several = {dataset.name for dataset in files.spec.datasets if dataset.several}
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


def may_be_missing(spec: Spec, party: PartyId) -> bool:
    """Whether a run may have ended well without this party: a holder that did not upload, or left before it signed.

    Of sums on polynomials also a computing party that was lost; that enough of them are there shows when they open.
    """
    if not is_pooled(spec):
        return False
    return party not in spec.computing or spec.security.protocol == SHAMIR


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
        wrong(reason(error))
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
        expected = Spend.of(dataset, costs[dataset]) if dataset in own else None
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
            raise ReceiptError("receipt.approval", file=file, party="some party", problem=reason(error)) from None
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
        raise ReceiptError("receipt.approval", file=file, party=party, problem=reason(error)) from None


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
