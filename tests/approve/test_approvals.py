"""Approvals: each attack has its test and its code."""

import base64
import datetime as dt
import itertools
import json

import pytest

from pets.approve.approvals import (
    APPROVAL,
    REVOCATION,
    Approved,
    Count,
    Turn,
    approve,
    check_envelope,
    claim_of,
    describe_envelope,
    envelope_digest,
    revoke,
    submit,
    turn_of,
    verify_approvals,
    verify_peer_approval,
    verify_submission,
)
from pets.approve.envelope import SigningKey, sign, statement
from pets.approve.policy import AnyPolicy, Policy, parse_policy
from pets.errors import ApprovalError
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.spec.model import Spec
from pets.spec.periods import Schedule
from tests.approve.consortium import (
    ANN,
    ANN_NEW,
    AUTHOR,
    BOARD,
    BOB,
    CAT,
    DAY,
    DIGEST,
    PLAN,
    POLICY,
    POLICY_TOML,
    SPEC,
    STRANGER,
    approval,
)

OTHER = SpecDigest("cd" * 32)


def decide(*envelopes: bytes, policy: AnyPolicy = POLICY, author: SigningKey = AUTHOR, now: dt.date = DAY) -> Approved:
    return verify_approvals(
        envelopes,
        digest=DIGEST,
        plan_digest=PLAN,
        party=BOARD,
        policy=policy,
        spec=SPEC,
        author_key=author.public,
        now=now,
    )


def refused(*envelopes: bytes, policy: AnyPolicy = POLICY, author: SigningKey = AUTHOR, now: dt.date = DAY) -> str:
    with pytest.raises(ApprovalError) as caught:
        decide(*envelopes, policy=policy, author=author, now=now)
    assert "<" not in caught.value.text + caught.value.hint, "a field is missing from the error"
    return caught.value.code


def changed(text: str, old: str, new: str) -> Policy:
    assert old in text
    return parse_policy(text.replace(old, new, 1))


def test_two_approvers_of_two_needed_are_enough_and_the_strictest_terms_hold() -> None:
    ann = approval(ANN, "Ann", max_runs=3)
    bob = approval(BOB, "Bob", not_after=dt.date(2027, 2, 1))
    approved = decide(ann, bob)
    assert approved.approvers == ("Ann", "Bob")
    assert (approved.max_runs, approved.not_after) == (3, dt.date(2027, 2, 1))
    assert approved.envelopes == (("Ann", envelope_digest(ann)), ("Bob", envelope_digest(bob)))
    assert (approved.party, approved.digest, approved.plan) == (BOARD, DIGEST, PLAN)


def test_no_approval_widens_the_specification() -> None:
    wide = {"max_runs": 1000, "not_after": dt.date(2030, 1, 1)}
    approved = decide(approval(ANN, "Ann", **wide), approval(BOB, "Bob", **wide))  # type: ignore[arg-type]
    assert (approved.max_runs, approved.not_after) == (12, dt.date(2027, 11, 30))


def test_expired() -> None:
    late = approval(BOB, "Bob", not_after=DAY - dt.timedelta(days=1))
    assert refused(approval(ANN, "Ann"), late) == "approval.expired"
    assert decide(approval(ANN, "Ann"), approval(BOB, "Bob", not_after=DAY))


def test_not_yet_valid() -> None:
    early = approval(BOB, "Bob", not_before=DAY + dt.timedelta(days=1))
    assert refused(approval(ANN, "Ann"), early) == "approval.not-yet-valid"
    assert decide(approval(ANN, "Ann"), approval(BOB, "Bob", not_before=DAY))


def test_outside_the_dates_of_the_specification() -> None:
    both = approval(ANN, "Ann"), approval(BOB, "Bob")
    assert refused(*both, now=dt.date(2026, 11, 30)) == "approval.spec-not-yet-valid"
    assert refused(*both, now=dt.date(2027, 12, 1)) == "approval.spec-expired"


def test_forged() -> None:
    body = json.loads(approval(BOB, "Bob"))
    for field in ("payload", "sig"):
        holder = body if field == "payload" else body["signatures"][0]
        data = bytearray(base64.b64decode(holder[field]))
        data[11] ^= 4
        forged = json.loads(json.dumps(body))
        (forged if field == "payload" else forged["signatures"][0])[field] = base64.b64encode(data).decode()
        assert refused(approval(ANN, "Ann"), json.dumps(forged).encode()) == "approval.forged"


def test_terms_edited_after_signing_are_forged() -> None:
    body = json.loads(approval(BOB, "Bob"))
    payload = base64.b64decode(body["payload"]).replace(b'"max_runs":6', b'"max_runs":9')
    body["payload"] = base64.b64encode(payload).decode()
    assert refused(approval(ANN, "Ann"), json.dumps(body).encode()) == "approval.forged"


def test_duplicated_signature() -> None:
    body = json.loads(approval(BOB, "Bob"))
    body["signatures"] *= 2
    assert refused(approval(ANN, "Ann"), json.dumps(body).encode()) == "approval.duplicate-signature"


def test_one_key_under_two_key_ids() -> None:
    body = json.loads(approval(BOB, "Bob"))
    body["signatures"].append({**body["signatures"][0], "keyid": "other"})
    assert refused(approval(ANN, "Ann"), json.dumps(body).encode()) == "approval.one-key-two-ids"


def test_unknown_payload_type() -> None:
    body = json.loads(approval(BOB, "Bob"))
    body["payloadType"] = "application/vnd.in-toto+xml"
    assert refused(approval(ANN, "Ann"), json.dumps(body).encode()) == "approval.payload-type"


def test_stripped_signature() -> None:
    body = json.loads(approval(BOB, "Bob"))
    body["signatures"] = []
    assert refused(approval(ANN, "Ann"), json.dumps(body).encode()) == "approval.stripped"


def test_for_another_digest() -> None:
    assert refused(approval(ANN, "Ann"), approval(BOB, "Bob", digest=OTHER)) == "approval.other-digest"


def test_for_another_plan_of_the_same_specification() -> None:
    other = approval(BOB, "Bob", plan=PlanDigest("ef" * 32))
    assert refused(approval(ANN, "Ann"), other) == "approval.other-plan"


def test_from_a_non_approver() -> None:
    assert refused(approval(ANN, "Ann"), approval(STRANGER, "Bob")) == "approval.not-an-approver"


def test_under_the_name_of_another_approver() -> None:
    assert refused(approval(ANN, "Ann"), approval(ANN_NEW, "Bob")) == "approval.other-name"


def test_by_the_author() -> None:
    policy = changed(POLICY_TOML, 'name = "Bob"', 'name = "alex  AUTHOR"')
    assert refused(approval(ANN, "Ann"), approval(BOB, "Alex Author"), policy=policy) == "approval.by-author"
    lenient = changed(
        POLICY_TOML.replace('name = "Bob"', 'name = "Alex Author"'), "k = 2", "k = 2\nexclude_author = false"
    )
    assert decide(approval(ANN, "Ann"), approval(BOB, "Alex Author"), policy=lenient)


def test_by_the_submission_key() -> None:
    both = approval(ANN, "Ann"), approval(BOB, "Bob")
    assert refused(*both, author=BOB) == "approval.by-submission-key"
    lenient = changed(POLICY_TOML, "k = 2", "k = 2\nexclude_author = false")
    assert refused(*both, author=BOB, policy=lenient) == "approval.by-submission-key"


def test_revoked_by_any_approver_whoever_else_approved() -> None:
    both = approval(ANN, "Ann"), approval(BOB, "Bob")
    veto = revoke(digest=DIGEST, party="board", approver="Cat", key=CAT, reason="the notice is not out yet")
    for envelopes in itertools.permutations((*both, veto)):
        assert refused(*envelopes) == "approval.revoked"


def test_revocations_of_strangers_of_other_specifications_and_of_other_parties_do_nothing() -> None:
    both = approval(ANN, "Ann"), approval(BOB, "Bob")
    for veto in (
        revoke(digest=DIGEST, party="board", approver="Cat", key=STRANGER),
        revoke(digest=OTHER, party="board", approver="Cat", key=CAT),
        revoke(digest=DIGEST, party="council", approver="Cat", key=CAT),
        revoke(digest=DIGEST, party="board", approver="Bob", key=CAT),
    ):
        assert decide(*both, veto)


def test_fewer_than_k() -> None:
    assert refused() == "approval.too-few"
    assert refused(approval(ANN, "Ann")) == "approval.too-few"


def test_one_person_with_two_keys() -> None:
    assert refused(approval(ANN, "Ann"), approval(ANN_NEW, "Ann")) == "approval.one-person-two-keys"


def test_one_approval_twice_and_two_approvals_of_one_key() -> None:
    ann = approval(ANN, "Ann")
    assert refused(ann, ann) == "approval.duplicate"
    assert refused(ann, approval(ANN, "Ann", max_runs=2)) == "approval.duplicate"


def test_of_two_approvals_of_one_person_the_wider_counts() -> None:
    approved = decide(approval(ANN, "Ann", max_runs=1), approval(ANN, "Ann", max_runs=5), approval(BOB, "Bob"))
    assert approved.max_runs == 5


def test_envelope_of_another_party() -> None:
    assert refused(approval(ANN, "Ann"), approval(BOB, "Bob", party="council")) == "approval.other-party"


def test_a_policy_of_another_party_decides_nothing() -> None:
    policy = changed(POLICY_TOML, 'party = "board"', 'party = "council"')
    assert refused(approval(ANN, "Ann"), approval(BOB, "Bob"), policy=policy) == "approval.other-party"


def test_two_signatures_in_one_envelope_are_not_two_approvals() -> None:
    predicate = {
        "party": "board",
        "approver": "Ann",
        "plan": PLAN,
        "not_before": "2026-12-01",
        "not_after": "2027-06-30",
        "max_runs": 1,
    }
    both = sign(statement(APPROVAL, {"specification": DIGEST}, predicate), ANN, BOB)
    assert refused(both) == "approval.statement"


@pytest.mark.parametrize(
    "change",
    [
        {"max_runs": 0},
        {"max_runs": "6"},
        {"max_runs": True},
        {"not_after": 20270630},
        {"not_after": "30.6.2027"},
        {"extra": 1},
        {"plan": "AB" * 32},
    ],
    ids=str,
)
def test_a_signed_statement_with_wrong_terms_does_not_count(change: dict[str, object]) -> None:
    predicate = {
        "party": "board",
        "approver": "Bob",
        "plan": PLAN,
        "not_before": "2026-12-01",
        "not_after": "2027-06-30",
        "max_runs": 6,
        **change,
    }
    odd = sign(statement(APPROVAL, {"specification": DIGEST}, predicate), BOB)
    assert refused(approval(ANN, "Ann"), odd) == "approval.statement"


def test_a_statement_about_two_specifications_does_not_count() -> None:
    body = json.loads(base64.b64decode(json.loads(approval(BOB, "Bob"))["payload"]))
    body["subject"].append({"name": "other", "digest": {"sha256": OTHER}})
    assert refused(approval(ANN, "Ann"), sign(body, BOB)) == "approval.statement"


def test_a_submission_is_no_approval() -> None:
    paper = submit(digest=DIGEST, author="Bob", key=BOB)
    assert refused(approval(ANN, "Ann"), paper) == "approval.statement"


def test_rubbish_among_enough_good_approvals_blocks_nothing() -> None:
    good = [approval(ANN, "Ann"), approval(BOB, "Bob")]
    rubbish = [b"", approval(STRANGER, "Ann"), approval(CAT, "Cat", not_after=dt.date(2027, 1, 1)), good[0]]
    for envelopes in itertools.permutations(good + rubbish[:3]):
        assert decide(*envelopes).approvers == ("Ann", "Bob")


@pytest.mark.parametrize(
    ("line", "signers", "code"),
    [
        ("min_roles = 2", "Bob Cat", "approval.roles"),
        ("min_roles = 2", "Ann Cat", None),
        ("min_organisations = 2", "Ann Bob", "approval.roles"),
        ("min_organisations = 2", "Ann Cat", None),
        ('required_roles = ["information governance"]', "Bob Cat", "approval.roles"),
        ('required_roles = ["information governance"]', "Ann Bob", None),
        ("exclude_author = true", "Bob Cat", None),
    ],
)
def test_roles_and_organisations(line: str, signers: str, code: str | None) -> None:
    policy = changed(POLICY_TOML, "k = 2", f"k = 2\n{line}")
    keys = {"Ann": ANN, "Bob": BOB, "Cat": CAT}
    envelopes = [approval(keys[name], name) for name in signers.split()]
    if code is None:
        assert decide(*envelopes, policy=policy).approvers == tuple(signers.split())
    else:
        assert refused(*envelopes, policy=policy) == code


def test_an_envelope_is_checked_before_it_is_stored() -> None:
    def check(envelope: bytes) -> str:
        return check_envelope(envelope, digest=DIGEST, party=BOARD, policy=POLICY)

    assert check(approval(ANN, "Ann")) == APPROVAL
    assert check(revoke(digest=DIGEST, party="board", approver="Ann", key=ANN)) == REVOCATION
    for envelope, code in (
        (approval(STRANGER, "Ann"), "approval.not-an-approver"),
        (approval(ANN, "Ann", digest=OTHER), "approval.other-digest"),
        (submit(digest=DIGEST, author="Ann", key=ANN), "approval.statement"),
        (revoke(digest=OTHER, party="board", approver="Ann", key=ANN), "approval.other-digest"),
    ):
        with pytest.raises(ApprovalError) as caught:
            check(envelope)
        assert caught.value.code == code


def test_a_submission_names_the_author_and_its_key() -> None:
    keys = {"analyst": AUTHOR.public, "Ann": ANN.public}
    paper = submit(digest=DIGEST, author="Alex Author", key=AUTHOR)
    submission = verify_submission(paper, digest=DIGEST, spec=SPEC, keys=keys)
    assert (submission.author, submission.key) == ("Alex Author", AUTHOR.public)
    for wrong, code in (
        (submit(digest=OTHER, author="Alex Author", key=AUTHOR), "approval.submission"),
        (submit(digest=DIGEST, author="Somebody", key=AUTHOR), "approval.submission"),
        (submit(digest=DIGEST, author="Alex Author", key=STRANGER), "approval.unknown-key"),
        (approval(ANN, "Ann"), "approval.statement"),
    ):
        with pytest.raises(ApprovalError) as caught:
            verify_submission(wrong, digest=DIGEST, spec=SPEC, keys=keys)
        assert caught.value.code == code


def peer(*envelopes: bytes, author: SigningKey = AUTHOR) -> str:
    return verify_peer_approval(
        envelopes,
        digest=DIGEST,
        plan_digest=PLAN,
        party=PartyId("council"),
        keys={"Dan": CAT.public, "Eve": BOB.public},
        author_key=author.public,
        now=DAY,
    ).approver


@pytest.mark.parametrize(
    ("envelopes", "code"),
    [
        ([], "approval.no-peer"),
        ([approval(CAT, "Dan", party="board")], "approval.other-party"),
        ([approval(CAT, "Eve", party="council")], "approval.other-name"),
        ([approval(ANN, "Dan", party="council")], "approval.unknown-key"),
        ([approval(CAT, "Dan", party="council", digest=OTHER)], "approval.other-digest"),
        ([approval(CAT, "Dan", party="council", plan=PlanDigest("00" * 32))], "approval.other-plan"),
        ([approval(CAT, "Dan", party="council", not_after=dt.date(2027, 1, 14))], "approval.expired"),
        ([approval(CAT, "Dan", party="council", not_before=dt.date(2027, 1, 16))], "approval.not-yet-valid"),
        ([revoke(digest=DIGEST, party="council", approver="Dan", key=CAT)], "approval.statement"),
    ],
)
def test_an_approval_of_a_peer_that_does_not_count(envelopes: list[bytes], code: str) -> None:
    with pytest.raises(ApprovalError) as caught:
        peer(*envelopes)
    assert caught.value.code == code


def test_one_valid_approval_of_a_peer_is_found_among_others() -> None:
    assert peer(approval(CAT, "Dan", party="board"), approval(BOB, "Eve", party="council")) == "Eve"
    with pytest.raises(ApprovalError) as caught:
        peer(approval(BOB, "Eve", party="council"), author=BOB)
    assert caught.value.code == "approval.by-submission-key"


def test_a_claim_is_read_unverified_and_must_still_be_one() -> None:
    claim = claim_of(approval(STRANGER, "Ann", party="council"))
    assert (claim.digest, claim.party) == (DIGEST, "council")
    for body in ({}, {"subject": []}, {"subject": [{"digest": {"sha256": "x" * 64}}], "predicate": {"party": "board"}}):
        with pytest.raises(ApprovalError) as caught:
            claim_of(sign({**body, "_type": "x"}, ANN))
        assert caught.value.code == "approval.statement"
    with pytest.raises(ApprovalError) as caught:
        claim_of(b"{}")
    assert caught.value.code == "approval.envelope"


def test_describing_an_envelope_verifies_it() -> None:
    keys = {"a": ANN.public}
    assert describe_envelope(approval(ANN, "Ann"), keys) == (APPROVAL, DIGEST, "board", "Ann")
    veto = revoke(digest=DIGEST, party="board", approver="Ann", key=ANN)
    assert describe_envelope(veto, keys)[0] == REVOCATION
    with pytest.raises(ApprovalError):
        describe_envelope(approval(BOB, "Ann"), keys)


def test_a_suspicion_is_overruled_once_as_many_persons_name_it_as_have_to_approve() -> None:
    name, other = "0123456789abcdef", "fedcba9876543210"

    def signed(key: SigningKey, who: str, *overrules: str) -> bytes:
        return approve(
            digest=DIGEST,
            plan_digest=PLAN,
            party="board",
            approver=who,
            key=key,
            not_before=dt.date(2026, 12, 1),
            not_after=dt.date(2027, 6, 30),
            max_runs=6,
            overrules=overrules,
        )

    ann, bob = signed(ANN, "Ann", name, other), signed(BOB, "Bob")
    assert decide(ann, bob).overruled == ()
    assert decide(ann, signed(ANN, "Ann", name), bob).overruled == (), "one person twice is one person"
    assert decide(ann, bob, signed(BOB, "Bob", name)).overruled == (name,)
    assert decide(ann, signed(BOB, "Bob", other, name)).overruled == (name, other)
    expired = dt.date(2027, 7, 1)
    assert refused(ann, signed(BOB, "Bob", name), now=expired) == "approval.expired"


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        ("min_roles = 2", "Ann Cat"),
        ("min_organisations = 2", "Ann Cat"),
        ('required_roles = ["information governance"]', "Ann Bob"),
    ],
)
def test_who_overrules_is_of_the_roles_and_organisations_that_have_to_approve(rule: str, enough: str) -> None:
    """Two owners, or two people of one house, cannot wave through together what they could not approve together."""
    name, keys = "0123456789abcdef", {"Ann": ANN, "Bob": BOB, "Cat": CAT}
    policy = parse_policy(POLICY_TOML.replace("k = 2", f"k = 2\n{rule}"))

    def overruled_by(people: str) -> tuple[str, ...]:
        signed = [
            approve(
                digest=DIGEST,
                plan_digest=PLAN,
                party="board",
                approver=who,
                key=key,
                not_before=dt.date(2026, 12, 1),
                not_after=dt.date(2027, 6, 30),
                max_runs=6,
                overrules=[name] if who in people.split() else [],
            )
            for who, key in keys.items()
        ]
        return decide(*signed, policy=policy).overruled

    too_few = "Ann Bob" if rule == "min_organisations = 2" else "Bob Cat"
    assert overruled_by(too_few) == ()
    assert overruled_by(enough) == (name,)
    assert overruled_by("Ann Bob Cat") == (name,)


@pytest.mark.parametrize(
    ("schedule", "day", "since", "due"),
    [
        ("daily", dt.date(2026, 12, 1), dt.date(2026, 12, 1), dt.date(2026, 12, 2)),
        ("weekly", dt.date(2026, 12, 6), dt.date(2026, 11, 30), dt.date(2026, 12, 7)),
        ("weekly", dt.date(2026, 12, 7), dt.date(2026, 12, 7), dt.date(2026, 12, 14)),
        ("monthly", dt.date(2026, 12, 31), dt.date(2026, 12, 1), dt.date(2027, 1, 1)),
        ("quarterly", dt.date(2027, 3, 31), dt.date(2027, 1, 1), dt.date(2027, 4, 1)),
        ("quarterly", dt.date(2027, 11, 30), dt.date(2027, 10, 1), None),
        ("yearly", dt.date(2026, 12, 31), dt.date(2026, 1, 1), dt.date(2027, 1, 1)),
        ("yearly", dt.date(2027, 11, 30), dt.date(2027, 1, 1), None),
    ],
)
def test_a_schedule_has_one_run_in_each_period_of_the_calendar(
    schedule: Schedule, day: dt.date, since: dt.date, due: dt.date | None
) -> None:
    spec = scheduled(schedule)
    assert turn_of(spec, day) == Turn(schedule, since, due)
    assert decided(spec, day).counts == (Count(DIGEST, 6, Turn(schedule, since, due)),)


def test_without_a_schedule_all_runs_may_come_on_one_day() -> None:
    assert decided(scheduled(None), dt.date(2026, 12, 1)).counts == (Count(DIGEST, 6),)


def scheduled(schedule: Schedule | None) -> Spec:
    validity = SPEC.validity.model_copy(update={"schedule": schedule})
    return SPEC.model_copy(update={"validity": validity})


def decided(spec: Spec, day: dt.date) -> Approved:
    return verify_approvals(
        [approval(key, who, not_after=dt.date(2027, 11, 30)) for key, who in ((ANN, "Ann"), (BOB, "Bob"))],
        digest=DIGEST,
        plan_digest=PLAN,
        party=BOARD,
        policy=POLICY,
        spec=spec,
        author_key=AUTHOR.public,
        now=day,
    )


@pytest.mark.parametrize("name", ["", "all", "0123456789ABCDEF", "0123456789abcdef0", "*"])
def test_what_is_no_suspicion_is_not_overruled(name: str) -> None:
    envelope = approve(
        digest=DIGEST,
        plan_digest=PLAN,
        party="board",
        approver="Ann",
        key=ANN,
        not_before=dt.date(2026, 12, 1),
        not_after=dt.date(2027, 6, 30),
        max_runs=6,
        overrules=[name],
    )
    assert refused(envelope, approval(BOB, "Bob")) == "approval.statement"
