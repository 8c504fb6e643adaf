"""When approvals of one specification cover another: who, when, how often, and what both must say."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from pets.approve.approvals import Count, revoke
from pets.approve.cover import Held, verify_cover, within
from pets.approve.envelope import SigningKey
from pets.check.diff import facts
from pets.errors import ApprovalError
from pets.ids import PlanDigest
from pets.spec.canonical import spec_digest
from pets.spec.parse import parse_toml
from tests.approve.consortium import (
    ANN,
    AUTHOR,
    BOARD,
    BOB,
    CAT,
    DAY,
    DIGEST,
    PLAN,
    POLICY,
    SPEC_TOML,
    STRANGER,
    approval,
)

LEAK = """[[security.leakage]]
learner = "everyone"
item = "row_count"
of = ["attendances", "housing"]
as = "declared maximum"
"""
OLD_TOML = SPEC_TOML.replace("[validity]", f"{LEAK}[validity]")
OLD = parse_toml(OLD_TOML)
OLD_DIGEST = spec_digest(OLD)
NEW_PLAN = PlanDigest("cd" * 32)


def signed(key: SigningKey, name: str, **changes: Any) -> bytes:
    return approval(key, name, **{"digest": OLD_DIGEST, **changes})


def old(*envelopes: bytes, author: SigningKey = AUTHOR) -> Held:
    return Held(facts(OLD), PLAN, author.public, envelopes or (signed(ANN, "Ann"), signed(BOB, "Bob")))


def new(*changes: tuple[str, str], author: SigningKey = AUTHOR, envelopes: tuple[bytes, ...] = ()) -> Held:
    text = OLD_TOML
    for before, after in changes or (('epsilon = "1"', 'epsilon = "1/2"'),):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return Held(facts(parse_toml(text)), NEW_PLAN, author.public, envelopes)


def check(one: Held, other: Held, now: dt.date = DAY) -> Any:
    return verify_cover(one, other, party=BOARD, policy=POLICY, now=now)


def test_the_approvals_of_the_old_one_cover_the_new_one() -> None:
    other = new(("max_runs = 12", "max_runs = 4"))
    found = check(old(), other)
    assert (found.digest, found.plan, found.signed) == (other.facts.digest, NEW_PLAN, OLD_DIGEST)
    assert found.approvers == ("Ann", "Bob")
    assert found.counts == (Count(other.facts.digest, 4), Count(OLD_DIGEST, 6))
    assert found.covering.author_key == AUTHOR.public and found.covering.approved.plan == PLAN


@pytest.mark.parametrize(
    ("changes", "day"),
    [
        ((), dt.date(2027, 6, 30)),
        ((("not_after = 2027-11-30", "not_after = 2027-05-31"),), dt.date(2027, 5, 31)),
        ((("not_after = 2027-11-30", "not_after = 2027-08-31"),), dt.date(2027, 6, 30)),
    ],
)
def test_the_last_day_is_the_first_of_all(changes: tuple[tuple[str, str], ...], day: dt.date) -> None:
    other = new(*changes)
    assert check(old(), other, day).not_after == day
    with pytest.raises(ApprovalError, match=r"expired"):
        check(old(), other, day + dt.timedelta(days=1))


def test_before_the_first_day_of_either_nothing_is_covered() -> None:
    later = new(("not_before = 2026-12-01", "not_before = 2027-02-01"))
    with pytest.raises(ApprovalError, match=r"approval\.spec-not-yet-valid"):
        check(old(), later, dt.date(2027, 1, 31))
    check(old(), later, dt.date(2027, 2, 1))
    with pytest.raises(ApprovalError, match=r"approval\.spec-not-yet-valid"):
        check(old(), new(), dt.date(2026, 11, 30))


@pytest.mark.parametrize(
    "change",
    [
        ('epsilon = "1"', 'epsilon = "2"'),
        ("max_runs = 12", "max_runs = 13"),
        ("2027-11-30", "2027-12-01"),
        ("to plan for?", "to plan against?"),
        ("DATE '2026-01-01'", "DATE '2026-01-02'"),
        ("max_rows_per_person = 4", "max_rows_per_person = 3"),
        ('author = "Alex Author"', 'author = "Ann"'),
    ],
)
def test_what_is_wider_or_incomparable_is_not_covered(change: tuple[str, str]) -> None:
    with pytest.raises(ApprovalError, match=r"approval\.not-covered"):
        check(old(), new(change))
    with pytest.raises(ApprovalError, match=r"approval\.not-covered"):
        within(old().facts, new(change).facts, party=BOARD)


def test_a_party_may_have_every_text_signed() -> None:
    policy = POLICY.model_copy(update={"approval": POLICY.approval.model_copy(update={"reuse": False})})
    with pytest.raises(ApprovalError, match=r"approval\.no-reuse"):
        verify_cover(old(), new(), party=BOARD, policy=policy, now=DAY)


def test_a_specification_does_not_cover_itself() -> None:
    with pytest.raises(ApprovalError, match=r"approval\.not-covered"):
        check(old(), old())


def test_the_order_of_old_and_new_decides() -> None:
    """What is covered does not cover: the wider of the two has to be the signed one."""
    narrow = replace(new(), envelopes=(signed(ANN, "Ann", digest=new().facts.digest, plan=NEW_PLAN),) * 2)
    with pytest.raises(ApprovalError, match=r"approval\.not-covered"):
        check(narrow, old())


def test_too_few_approvals_of_the_old_one_are_too_few() -> None:
    """One that is itself only covered has none at all."""
    for envelopes in ((signed(ANN, "Ann"),), (signed(ANN, "Ann"), signed(STRANGER, "Bob"))):
        with pytest.raises(ApprovalError):
            check(old(*envelopes), new())
    with pytest.raises(ApprovalError, match=r"approval\.too-few"):
        check(replace(old(), envelopes=()), new())


def test_the_key_of_either_submission_does_not_count() -> None:
    check(old(), new())
    for one, other in ((old(author=BOB), new()), (old(), new(author=BOB))):
        with pytest.raises(ApprovalError, match=r"approval\.by-submission-key"):
            check(one, other)
    three = (signed(ANN, "Ann"), signed(BOB, "Bob"), signed(CAT, "Cat"))
    assert check(old(*three), new(author=BOB)).approvers == ("Ann", "Cat")


def test_a_revocation_of_either_ends_it() -> None:
    with pytest.raises(ApprovalError, match=r"approval\.revoked"):
        check(old(*old().envelopes, revoke(digest=OLD_DIGEST, party=BOARD, approver="Cat", key=CAT)), new())
    body = revoke(digest=new().facts.digest, party=BOARD, approver="Cat", key=CAT)
    with pytest.raises(ApprovalError, match=r"approval\.revoked"):
        check(old(), new(envelopes=(body,)))


@pytest.mark.parametrize(
    "body",
    [
        revoke(digest=DIGEST, party=BOARD, approver="Cat", key=CAT),
        revoke(digest=new().facts.digest, party="council", approver="Cat", key=CAT),
        revoke(digest=new().facts.digest, party=BOARD, approver="Cat", key=STRANGER),
        b"rubbish",
    ],
    ids=["of another", "of another party", "by a stranger", "rubbish"],
)
def test_what_is_no_revocation_ends_nothing(body: bytes) -> None:
    assert check(old(), new(envelopes=(body,))).approvers == ("Ann", "Bob")


def test_approvals_of_the_new_one_do_not_count_for_the_old_one() -> None:
    mine = [signed(key, name, digest=new().facts.digest, plan=NEW_PLAN) for key, name in ((ANN, "Ann"), (BOB, "Bob"))]
    with pytest.raises(ApprovalError, match=r"approval\.other-digest"):
        check(old(*mine), new())
