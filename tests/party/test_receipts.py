"""Receipts: what one says is read back, and what is no receipt is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from pets.approve.envelope import sign
from pets.errors import ReceiptError
from pets.ids import PartyId
from pets.party.receipts import Receipt, verify_receipt
from tests.approve.consortium import DIGEST
from tests.party.test_evidence import PLAN_DIGEST, RUN, SERVERS, SIGNING, approval, receipt, sent_by


def test_a_receipt_reads_back_as_it_was_built() -> None:
    party = PartyId("board")
    read = verify_receipt(sign(receipt(party, [approval(party)]), SERVERS[party]), SIGNING)
    assert isinstance(read, Receipt)
    assert (read.party, read.spec, read.run, read.plan) == (party, DIGEST, RUN, PLAN_DIGEST)
    assert read.sent == sent_by(party) and [each.column for each in read.shares_for("statistics")] == [0, 1]
    assert (read.log.seq, read.spend[0].epsilon, read.spend[0].delta) == (9, "3/2", "1/1099511627776")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].update(rows=100),
        lambda s: s["predicate"].pop("log"),
        lambda s: s["predicate"].update(sent=s["predicate"]["sent"] * 2),
        lambda s: s["predicate"].update(spend=s["predicate"]["spend"] * 2),
        lambda s: s["predicate"].update(started="yesterday"),
        lambda s: s["subject"][1]["digest"].update(sha256="00" * 32),
        lambda s: s["subject"].pop(),
        lambda s: s.update(predicateType="urn:pets:receipt:2"),
    ],
    ids=["extra field", "no log", "message twice", "spend twice", "time", "other run", "no run", "other type"],
)
def test_a_signed_statement_that_is_no_receipt_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    party = PartyId("board")
    body = receipt(party, [approval(party)])
    change(body)
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(sign(body, SERVERS[party]), SIGNING, party=party)
    assert caught.value.code == "receipt.statement"


def test_a_receipt_has_no_field_for_anything_computed_from_records() -> None:
    assert set(Receipt.model_fields) == {
        *("party", "spec", "run", "handle", "plan", "cards", "software", "started", "ended", "outcome"),
        *("submitted_by", "cover", "approvals", "commitments", "spend", "sent", "log", "contributors", "declined"),
        "unproved",
    }
