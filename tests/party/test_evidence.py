"""The folder of evidence: what verifies, and a test for each way in which it does not."""

import base64
import datetime as dt
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pets import __version__
from pets.approve.approvals import Approved, approve, envelope_digest, revoke
from pets.approve.envelope import keygen, sign
from pets.check.budget import Loss, run_loss
from pets.errors import ReceiptError
from pets.ids import PartyId, PlanDigest, RunHandle
from pets.party.evidence import PartyKeys, verify_evidence
from pets.party.log import Head
from pets.party.receipts import SentMessage, build_receipt
from pets.spec.parse import parse_toml
from tests.approve.consortium import AUTHOR, DAY, DIGEST, SPEC, SPEC_TOML

PARTIES = [PartyId("board"), PartyId("council"), PartyId("helper")]
SERVERS = {party: keygen() for party in PARTIES}
APPROVERS = {party: keygen() for party in PARTIES}
KEYS = {p: PartyKeys(SERVERS[p].public, {f"Approver of {p}": APPROVERS[p].public}) for p in PARTIES}
SIGNING = {p: key.public for p, key in SERVERS.items()}
PLAN = b'{"node":"Plan"}'
PLAN_DIGEST = PlanDigest(sha256(PLAN).hexdigest())
RUN = "77" * 32
SHARES = {PartyId("board"): bytes(range(48)), PartyId("helper"): bytes(range(48, 96))}
COMMITMENTS = {"board": {"attendances": "aa" * 32}, "council": {"housing": "bb" * 32}, "helper": {}}


def recompute(plan: bytes, shares: Mapping[PartyId, bytes]) -> bytes:
    """A stand-in for the client's own: adds the bytes of the shares."""
    assert plan == PLAN
    return bytes(sum(pair) % 256 for pair in zip(*shares.values(), strict=True))


def approval(party: PartyId, **changes: Any) -> bytes:
    terms: dict[str, Any] = {
        "digest": DIGEST,
        "plan_digest": PLAN_DIGEST,
        "party": party,
        "approver": f"Approver of {party}",
        "key": APPROVERS[party],
        "not_before": dt.date(2026, 12, 1),
        "not_after": dt.date(2027, 6, 30),
        "max_runs": 3,
    }
    return approve(**{**terms, **changes})


def sent_by(party: PartyId) -> tuple[SentMessage, ...]:
    share = SHARES.get(party, b"")
    final = [
        SentMessage(
            label="M7", column=n, to="statistics", bytes=24, sha256=sha256(share[24 * n : 24 * n + 24]).hexdigest()
        )
        for n in range(2 if share else 0)
    ]
    other = SentMessage(label="M1", column=0, to="helper", bytes=100, sha256="11" * 32)
    return (other, *final)


def receipt(party: PartyId, envelopes: list[bytes], **changes: Any) -> dict[str, Any]:
    name = f"Approver of {party}"
    approved = Approved(
        party=party,
        digest=DIGEST,
        plan=PLAN_DIGEST,
        approvers=(name,),
        max_runs=3,
        not_after=dt.date(2027, 6, 30),
        envelopes=tuple((name, envelope_digest(envelope)) for envelope in envelopes),
    )
    own = {dataset.name for dataset in SPEC.datasets if dataset.party == party}
    values: dict[str, Any] = {
        "party": party,
        "spec": DIGEST,
        "run": RUN,
        "handle": RunHandle("0f" * 16),
        "plan": PLAN_DIGEST,
        "cards": "cc" * 32,
        "software": __version__,
        "started": f"{DAY}T10:00:00+00:00",
        "ended": f"{DAY}T10:00:02+00:00",
        "outcome": "finished",
        "author_key": AUTHOR.public,
        "approved": approved,
        "commitments": COMMITMENTS[party],
        "spend": {name: loss for name, loss in run_loss(SPEC).items() if name in own},
        "sent": sent_by(party),
        "log": Head(9, bytes(32)),
    }
    return build_receipt(**{**values, **changes})


def write_receipt(folder: Path, party: PartyId, **changes: Any) -> None:
    envelope = (folder / "approvals" / f"{party}-1.json").read_bytes()
    (folder / "receipts" / f"{party}.json").write_bytes(sign(receipt(party, [envelope], **changes), SERVERS[party]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("approvals", "receipts", "shares"):
        (tmp_path / name).mkdir()
    (tmp_path / "spec.toml").write_text(SPEC_TOML)
    (tmp_path / "plan.json").write_bytes(PLAN)
    for party in PARTIES:
        (tmp_path / "approvals" / f"{party}-1.json").write_bytes(approval(party))
        write_receipt(tmp_path, party)
    for party, share in SHARES.items():
        (tmp_path / "shares" / f"{party}.bin").write_bytes(share)
    (tmp_path / "result.csv").write_bytes(recompute(PLAN, SHARES))
    return tmp_path


def verified(folder: Path) -> list[str]:
    return verify_evidence(folder, keys=KEYS, recompute=recompute)


def refused(folder: Path) -> ReceiptError:
    with pytest.raises(ReceiptError) as caught:
        verified(folder)
    assert "<" not in caught.value.text + caught.value.hint, "a field is missing from the error"
    return caught.value


def test_a_folder_that_belongs_together_verifies(folder: Path) -> None:
    text = "\n".join(verified(folder))
    for part in (DIGEST, RUN, "board: receipt is signed", "approved by Approver of council", "aa" * 32):
        assert part in text
    assert "attendances was charged epsilon 1.5, delta 2^-40" in text
    assert text.endswith("result.csv is what the shares add up to")


def test_a_genuine_approval_that_did_not_count_is_said_to_be_so(folder: Path) -> None:
    (folder / "approvals/old.json").write_bytes(approval(BOARD, not_after=DAY - dt.timedelta(days=1)))
    (folder / "approvals/veto.json").write_bytes(veto())
    lines = verified(folder)
    for name in ("old", "veto"):
        assert f"approvals/{name}.json is genuine, and no receipt counts it" in lines


def flip(path: Path, place: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


def edit_payload(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what was signed, and leave the signature."""
    body = json.loads(path.read_bytes())
    payload = json.loads(base64.b64decode(body["payload"]))
    change(payload["predicate"])
    body["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(body))


def swap(one: Path, two: Path) -> None:
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def strip(path: Path) -> None:
    body = json.loads(path.read_bytes())
    path.write_text(json.dumps({**body, "signatures": []}))


def both_again(folder: Path, **changes: Any) -> None:
    for party in PARTIES:
        write_receipt(folder, party, **changes)


TAMPERED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "title of the specification": (
        lambda f: (f / "spec.toml").write_text(SPEC_TOML.replace("by tenure", "by Tenure")),
        "receipt.spec-differs",
        "spec.toml",
    ),
    "specification is gone": (lambda f: (f / "spec.toml").unlink(), "receipt.unreadable", "spec.toml"),
    "plan": (lambda f: flip(f / "plan.json", 4), "receipt.plan-differs", "plan.json"),
    "plan is gone": (lambda f: (f / "plan.json").unlink(), "receipt.unreadable", "plan.json"),
    "spend in a receipt": (
        lambda f: edit_payload(f / "receipts/board.json", lambda r: r["spend"].clear()),
        "receipt.signature",
        "board",
    ),
    "receipt without signature": (lambda f: strip(f / "receipts/council.json"), "receipt.signature", "council"),
    "receipt of another key": (
        lambda f: (f / "receipts/board.json").write_bytes(
            sign(receipt(PartyId("board"), [approval(PartyId("board"))]), SERVERS[PartyId("council")])
        ),
        "receipt.other-party",
        "council",
    ),
    "receipts swapped": (
        lambda f: swap(f / "receipts/board.json", f / "receipts/helper.json"),
        "receipt.other-party",
        "helper",
    ),
    "receipt is gone": (lambda f: (f / "receipts/helper.json").unlink(), "receipt.missing", "helper"),
    "receipt of a stranger": (lambda f: (f / "receipts/eve.json").write_bytes(b"{}"), "receipt.stray", "eve.json"),
    "approval in place of a receipt": (
        lambda f: (f / "receipts/board.json").write_bytes(sign({**_approval_body()}, SERVERS[PartyId("board")])),
        "receipt.statement",
        "board",
    ),
    "receipt of another run": (
        lambda f: write_receipt(f, PartyId("council"), run="78" * 32),
        "receipt.differs",
        "values of run",
    ),
    "other cards": (lambda f: write_receipt(f, PartyId("helper"), cards="00" * 32), "receipt.differs", "cards"),
    "other software": (lambda f: write_receipt(f, PartyId("helper"), software="9"), "receipt.differs", "software"),
    "another commitment than peers saw": (
        lambda f: write_receipt(f, PartyId("helper"), commitments={"attendances": "ee" * 32}),
        "receipt.differs",
        "commitment to attendances",
    ),
    "no commitment": (
        lambda f: write_receipt(f, PartyId("board"), commitments={}),
        "receipt.commitment",
        "no commitment to attendances",
    ),
    "commitment to nothing": (
        lambda f: write_receipt(f, PartyId("helper"), commitments={"pensions": "ee" * 32}),
        "receipt.commitment",
        "pensions",
    ),
    "spent too little": (
        lambda f: write_receipt(f, PartyId("board"), spend={"attendances": Loss(Fraction(1))}),
        "receipt.spend",
        "attendances",
    ),
    "spent nothing": (lambda f: write_receipt(f, PartyId("council"), spend={}), "receipt.spend", "housing"),
    "ended before it started": (
        lambda f: write_receipt(f, PartyId("board"), ended=f"{DAY}T09:00:00+00:00"),
        "receipt.dates",
        "ended before",
    ),
    "outside the dates": (
        lambda f: both_again(f, started="2026-11-30T23:59:59+00:00"),
        "receipt.dates",
        "outside the dates",
    ),
    "aborted run": (lambda f: write_receipt(f, PartyId("board"), outcome="aborted"), "receipt.statement", "aborted"),
    "approval edited": (
        lambda f: edit_payload(f / "approvals/board-1.json", lambda a: a.update(max_runs=99)),
        "receipt.approval",
        "board-1.json",
    ),
    "approval stripped": (lambda f: strip(f / "approvals/helper-1.json"), "receipt.approval", "helper-1.json"),
    "approval is gone": (
        lambda f: (f / "approvals/council-1.json").unlink(),
        "receipt.approval-missing",
        "council",
    ),
    "approval for another specification": (
        lambda f: approved_by(f, approval(BOARD, digest="00" * 32)),
        "receipt.approval",
        "board-1.json",
    ),
    "approval of another plan": (
        lambda f: approved_by(f, approval(BOARD, plan_digest="00" * 32)),
        "receipt.approval",
        "another plan",
    ),
    "expired approval": (
        lambda f: approved_by(f, approval(BOARD, not_after=DAY - dt.timedelta(days=1))),
        "receipt.approval",
        "valid until",
    ),
    "approval of a party by another's approver": (
        lambda f: approved_by(f, approval(BOARD, key=APPROVERS[PartyId("helper")])),
        "receipt.approval",
        "board-1.json",
    ),
    "approval for another party": (
        lambda f: approved_by(f, approval(PartyId("helper"))),
        "receipt.approval",
        "helper-1.json, an approval of board",
    ),
    "approval by the author": (
        lambda f: both_again(f, author_key=APPROVERS[PartyId("council")].public),
        "receipt.approval",
        "submitted",
    ),
    "revocation in place of an approval": (
        lambda f: approved_by(f, veto()),
        "receipt.approval",
        "board-1.json",
    ),
    "approval of a stranger": (
        lambda f: (f / "approvals/x.json").write_bytes(approval(BOARD, key=AUTHOR)),
        "receipt.approval",
        "x.json",
    ),
    "no approval named": (
        lambda f: (f / "receipts/board.json").write_bytes(sign(receipt(BOARD, []), SERVERS[BOARD])),
        "receipt.unapproved",
        "board",
    ),
    "byte of a share": (lambda f: flip(f / "shares/board.bin", 30), "receipt.share-differs", "M7 column 1"),
    "share cut": (
        lambda f: (f / "shares/board.bin").write_bytes(SHARES[PartyId("board")][:-8]),
        "receipt.share-size",
        "40",
    ),
    "share is gone": (lambda f: (f / "shares/helper.bin").unlink(), "receipt.share-missing", "helper"),
    "share of nobody": (lambda f: (f / "shares/council.bin").write_bytes(b""), "receipt.stray", "council.bin"),
    "shares swapped": (
        lambda f: swap(f / "shares/board.bin", f / "shares/helper.bin"),
        "receipt.share-differs",
        "board",
    ),
    "result of another version": (
        lambda f: (
            [write_receipt(f, party, software="0.0.9") for party in PARTIES],
            flip(f / "result.csv", 7),
        ),
        "receipt.other-version",
        "0.0.9",
    ),
    "byte of the result": (lambda f: flip(f / "result.csv", 7), "receipt.result-differs", "result.csv"),
    "result is gone": (lambda f: (f / "result.csv").unlink(), "receipt.unreadable", "result.csv"),
}


BOARD = PartyId("board")


def approved_by(folder: Path, envelope: bytes) -> None:
    """The board's server counted this one."""
    (folder / "approvals/board-1.json").write_bytes(envelope)
    write_receipt(folder, BOARD)


def veto() -> bytes:
    return revoke(digest=DIGEST, party="board", approver="Approver of board", key=APPROVERS[BOARD])


def _approval_body() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(base64.b64decode(json.loads(approval(PartyId("board")))["payload"]))
    return body


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_and_named(folder: Path, name: str) -> None:
    change, code, part = TAMPERED[name]
    change(folder)
    error = refused(folder)
    assert error.code == code and part in error.text, error.text


@pytest.mark.parametrize("file", ["plan.json", "receipts/board.json", "approvals/board-1.json", "shares/board.bin"])
def test_any_flipped_byte_is_found(folder: Path, file: str) -> None:
    data = (folder / file).read_bytes()
    for place in range(0, len(data), max(1, len(data) // 40)):
        flip(folder / file, place, 4)
        with pytest.raises(ReceiptError):
            verified(folder)
        (folder / file).write_bytes(data)
    verified(folder)


def test_a_party_without_keys_cannot_be_checked(folder: Path) -> None:
    keys = {party: each for party, each in KEYS.items() if party != "helper"}
    with pytest.raises(ReceiptError) as caught:
        verify_evidence(folder, keys=keys, recompute=recompute)
    assert caught.value.code == "receipt.no-key"


def test_keys_of_another_consortium_verify_nothing(folder: Path) -> None:
    keys = {party: PartyKeys(keygen().public, KEYS[party].approvers) for party in PARTIES}
    with pytest.raises(ReceiptError) as caught:
        verify_evidence(folder, keys=keys, recompute=recompute)
    assert caught.value.code == "receipt.signature"


def test_a_folder_without_any_receipt_is_refused_also_where_each_of_them_may_be_missing(tmp_path: Path) -> None:
    """Of sums on polynomials any computing party may have been lost, but not all of them."""
    text = (Path(__file__).parents[1] / "check/pools/should_pass/polynomials_of_a_low_degree.toml").read_text()
    (tmp_path / "spec.toml").write_text(text)
    (tmp_path / "plan.json").write_bytes(PLAN)
    spec = parse_toml(text)
    keys = {party: PartyKeys(keygen().public, {}) for party in spec.servers}
    with pytest.raises(ReceiptError, match=rf"receipt\.missing: no receipt of {spec.computing[0]}"):
        verify_evidence(tmp_path, keys=keys, recompute=recompute)
