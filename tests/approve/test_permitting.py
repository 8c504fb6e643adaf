"""Policies made from a specification: they permit that one and no other column."""

from pets.approve.judgement import judge_policy
from pets.approve.permitting import permitting
from pets.approve.policy import parse_policy, policy_toml
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from tests.approve.consortium import POLICY, QUERY, SPEC, edit
from tests.approve.test_judgement import POOLED


def test_a_permitting_policy_permits_that_specification_and_no_other_column() -> None:
    policy = permitting(SPEC, POLICY.party, POLICY.approval.approvers, k=1)
    assert judge_policy(policy, SPEC, QUERY) == ()
    stranger = SPEC.model_copy(update={"release": SPEC.release.model_copy(update={"to": (SPEC.parties[0].name,)})})
    assert {finding.rule for finding in judge_policy(policy, stranger, QUERY)} == {"policy.recipient"}


def test_what_a_researcher_prototypes_with_is_permitted() -> None:
    spec = parse_toml(POOLED)
    for party in ("board-1", "north", "statistics"):
        policy = permitting(spec, party, POLICY.approval.approvers)
        assert judge_policy(policy, spec, bind(spec)) == ()
        assert parse_policy(policy_toml(policy)) == policy
    said = parse_toml(edit(POOLED, "max_holders_per_person = 1\n", ""))
    assert not permitting(said, "board-1", POLICY.approval.approvers).limits.trust_max_holders_per_person
