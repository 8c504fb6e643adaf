"""Policies as they are read: every field has its form, and what cannot be met is refused."""

import datetime as dt
import warnings
from fractions import Fraction

import pytest

from pets.approve.permitting import permitting
from pets.approve.policy import (
    Approval,
    Policy,
    UnsafeAllowAll,
    UnsafePolicyWarning,
    parse_policy,
    person,
    policy_toml,
    refuse_unsafe,
)
from pets.check.budget import Loss
from pets.errors import ConfigError
from tests.approve.consortium import ANN, POLICY, POLICY_TOML, SPEC, edit


def test_unsafe_allow_all_warns_and_is_refused_by_a_server() -> None:
    with pytest.warns(UnsafePolicyWarning):
        unsafe = UnsafeAllowAll("board", POLICY.approval)
    with pytest.raises(ConfigError) as caught:
        refuse_unsafe(unsafe)
    assert caught.value.code == "config.unsafe-policy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refuse_unsafe(POLICY) is POLICY


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("k = 2", "k = 4", "approval"),
        ("k = 2", "k = 0", "approval.k"),
        ("k = 2", 'k = "2"', "approval.k"),
        ("k = 2", "k = 2.0", "approval.k"),
        ("k = 2", "k = 2\nunsafe = true", "approval.unsafe"),
        ("k = 2", "k = 2\nmin_roles = 3", "approval"),
        ("k = 2", "k = 2\nmin_organisations = 3", "approval"),
        ("k = 2", 'k = 2\nrequired_roles = ["king"]', "approval"),
        ("k = 2", "", "approval.k"),
        pytest.param(ANN.text, "ed25519:AAAA", "approval.approvers.0.key", id="short key"),
        ('max_delta = "2^-30"', "max_delta = 0.1", "limits.max_delta"),
        ('max_delta = "2^-30"', 'max_delta = "0"', "limits.max_delta"),
        ('period = "year"', 'period = "week"', "limits.period"),
        ('arrival = ["filter only"]', 'arrival = ["whatever"]', "columns.attendances.arrival.0"),
        ("[columns.attendances]", "[columns.attendances", "TOML"),
        ('party = "board"', "", "party"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_path(old: str, new: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_policy(edit(POLICY_TOML, old, new), file="p.toml")
    assert caught.value.code == "config.policy"
    assert caught.value.fields["path"] == path and "p.toml" in caught.value.text


def test_one_key_for_two_approvers_is_refused() -> None:
    first = POLICY.approval.approvers[0]
    with pytest.raises(ValueError, match="one key is listed twice"):
        Approval(k=1, approvers=(first, first.model_copy(update={"name": "Zoe"})))


def test_two_keys_of_one_person_do_not_make_two_persons() -> None:
    with pytest.raises(ConfigError):
        parse_policy(edit(POLICY_TOML, "k = 2", "k = 4"))
    assert parse_policy(edit(POLICY_TOML, "k = 2", "k = 3")).approval.k == 3


def test_names_are_compared_as_people_read_them() -> None:
    assert person("  Ann   LEE ") == person("ann lee")
    assert person("Zoe\u0308") == person("Zoë")
    assert person("Ann") != person("Anna")


@pytest.mark.parametrize(
    ("period", "day", "since", "returns"),
    [
        ("day", dt.date(2027, 12, 31), dt.date(2027, 12, 31), dt.date(2028, 1, 1)),
        ("month", dt.date(2028, 2, 29), dt.date(2028, 2, 1), dt.date(2028, 3, 1)),
        ("month", dt.date(2028, 3, 1), dt.date(2028, 3, 1), dt.date(2028, 4, 1)),
        ("quarter", dt.date(2027, 6, 30), dt.date(2027, 4, 1), dt.date(2027, 7, 1)),
        ("quarter", dt.date(2027, 12, 31), dt.date(2027, 10, 1), dt.date(2028, 1, 1)),
        ("year", dt.date(2027, 1, 1), dt.date(2027, 1, 1), dt.date(2028, 1, 1)),
        ("year", dt.date(2027, 12, 31), dt.date(2027, 1, 1), dt.date(2028, 1, 1)),
        ("none", dt.date(2027, 5, 17), dt.date.min, None),
    ],
)
def test_the_period_starts_and_ends_where_the_calendar_says(
    period: str, day: dt.date, since: dt.date, returns: dt.date | None
) -> None:
    policy = parse_policy(edit(POLICY_TOML, 'period = "year"', f'period = "{period}"'))
    assert (policy.limits.since(day), policy.limits.returns(day)) == (since, returns)


RHO = 'max_rho_per_dataset = "1/2"\nrho_at_delta = "2^-30"'


def test_a_cap_is_stated_in_epsilon_or_in_rho() -> None:
    limits = parse_policy(edit(POLICY_TOML, 'max_epsilon_per_dataset = "20"', RHO)).limits
    assert limits.cap == Loss(delta=Fraction(1, 2**30), rho=Fraction(1, 2))
    assert limits.told_at == Fraction(1, 2**30)
    assert POLICY.limits.cap == Loss(Fraction(20), Fraction(1, 2**30)) and POLICY.limits.told_at is None


@pytest.mark.parametrize(
    ("caps", "problem"),
    [
        ("", "a dataset has one cap"),
        ('max_epsilon_per_dataset = "20"\n' + RHO, "a dataset has one cap"),
        ('max_rho_per_dataset = "1/2"', "write both"),
        ('max_epsilon_per_dataset = "20"\nrho_at_delta = "2^-30"', "write both"),
        ('max_rho_per_dataset = "1/2"\nrho_at_delta = "1"', "below one"),
        ('max_rho_per_dataset = 0.5\nrho_at_delta = "2^-30"', "valid string"),
    ],
)
def test_a_cap_that_says_two_things_or_half_of_one_is_refused(caps: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_policy(edit(POLICY_TOML, 'max_epsilon_per_dataset = "20"', caps))


@pytest.mark.parametrize("policy", [POLICY, permitting(SPEC, POLICY.party, POLICY.approval.approvers)])
def test_a_policy_comes_back_from_its_text(policy: Policy) -> None:
    assert parse_policy(policy_toml(policy)) == policy
