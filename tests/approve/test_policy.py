"""Policies: every field changes a verdict somewhere, and empty means no."""

import datetime as dt
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pets.approve.columns import Use, uses_of
from pets.approve.policy import (
    Approval,
    Policy,
    UnsafeAllowAll,
    UnsafePolicyWarning,
    judge_policy,
    parse_policy,
    permitting,
    person,
    policy_toml,
    refuse_unsafe,
)
from pets.check.budget import Loss
from pets.errors import ConfigError
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.query import Aggregate, AnyOf, ColumnRef, Compare, IsNull, Not, Output, Query, Statistic
from pets.spec.sql import bind
from tests.approve.consortium import ANN, POLICY, POLICY_TOML, QUERY, SPEC, SPEC_TOML


def rules(policy: str = POLICY_TOML, spec: Spec = SPEC, query: Query = QUERY) -> list[str]:
    return [finding.rule for finding in judge_policy(parse_policy(policy), spec, query)]


def edit(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def test_a_specification_within_the_policy_has_no_findings() -> None:
    assert rules() == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('max_epsilon_per_run = "2"', 'max_epsilon_per_run = "1.49"', "policy.epsilon-per-run"),
        ('max_epsilon_per_dataset = "20"', 'max_epsilon_per_dataset = "1.49"', "policy.epsilon-per-dataset"),
        ('max_epsilon_per_dataset = "20"', 'max_epsilon_per_dataset = "17"', "policy.epsilon-per-dataset"),
        ('max_delta = "2^-30"', 'max_delta = "2^-41"', "policy.delta"),
        ('recipients = ["spiffe://statistics.example/pets"]', "recipients = []", "policy.recipient"),
        ("statistics.example/pets", "statistics.example/other", "policy.recipient"),
        ('purposes = ["dpv:ProvideOfficialStatistics"]', "", "policy.purpose"),
        ('protocols = ["helper_join_a"]', 'protocols = ["rep3"]', "policy.protocol"),
        ('adversaries = ["semi-honest"]', 'adversaries = ["malicious"]', "policy.adversary"),
        ('period = "year"', 'period = "year"\nmin_max_rows = 1001', "policy.max-rows"),
        ('period = "year"', 'period = "year"\nmax_runs = 11', "policy.max-runs"),
        ('period = "year"', 'period = "year"\nmax_days = 364', "policy.max-days"),
        ('minutes = ["any use", "no group by"]', "", "policy.column-not-listed"),
        ('minutes = ["any use", "no group by"]', "minutes = []", "policy.column"),
        ('minutes = ["any use", "no group by"]', 'minutes = ["any use", "only count"]', "policy.column"),
        ('arrival = ["filter only"]', 'arrival = ["any use", "no filter"]', "policy.column"),
        ('nhs_number = ["join key"]', 'nhs_number = ["filter only"]', "policy.column"),
    ],
)
def test_each_field_changes_a_verdict(old: str, new: str, rule: str) -> None:
    assert set(rules(edit(POLICY_TOML, old, new))) == {rule}


def test_limits_at_their_exact_value_allow() -> None:
    policy = edit(POLICY_TOML, 'max_epsilon_per_run = "2"', 'max_epsilon_per_run = "1.5"')
    policy = edit(policy, 'max_epsilon_per_dataset = "20"', 'max_epsilon_per_dataset = "18"')
    policy = edit(policy, 'period = "year"', 'period = "year"\nmin_max_rows = 1000\nmax_runs = 12\nmax_days = 365')
    assert rules(edit(policy, 'max_delta = "2^-30"', 'max_delta = "2^-40"')) == []


def test_more_runs_than_the_period_pays_for_are_a_warning() -> None:
    policy = parse_policy(edit(POLICY_TOML, 'max_epsilon_per_dataset = "20"', 'max_epsilon_per_dataset = "17"'))
    (finding,) = judge_policy(policy, SPEC, QUERY)
    assert finding.severity == "warning" and "11 of 12 runs" in finding.message


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('protocol = "helper_join_a"\n', 'protocol = "helper_join_b"\n', "policy.protocol"),
        (
            '[release.differential_privacy]\nepsilon = "1"\nneighbours = "one person\'s rows added or removed"\n',
            "[release.disclosure_control]\nmin_count = 10\n",
            "policy.no-noise",
        ),
        ('dpv = ["dpv:Pro', 'dpv = ["dpv:ScientificResearch", "dpv:Pro', "policy.purpose"),
        ('adversary = "semi-honest"', 'adversary = "malicious"', "policy.adversary"),
        ('epsilon = "1"', 'epsilon = "1.6"', "policy.epsilon-per-run"),
        ('noised = { epsilon = "0.5"', 'noised = { epsilon = "1.2"', "policy.epsilon-per-run"),
    ],
)
def test_each_part_of_the_specification_is_judged(old: str, new: str, rule: str) -> None:
    assert rule in rules(spec=parse_toml(edit(SPEC_TOML, old, new)))


def test_a_party_without_records_holds_the_release_to_its_limits() -> None:
    policy = POLICY_TOML.replace('party = "board"', 'party = "helper"')
    assert rules(policy) == []
    low = edit(policy, 'max_epsilon_per_run = "2"', 'max_epsilon_per_run = "0.9"')
    assert rules(low) == ["policy.epsilon-per-run"]


def test_columns_of_other_parties_are_their_own_business() -> None:
    policy = POLICY_TOML.replace('party = "board"', 'party = "council"')
    assert set(rules(policy)) == {"policy.column-not-listed"}
    listed = policy + '\n[columns.housing]\nnhs_number = ["join key"]\ntenure = ["any use"]\n'
    assert rules(listed) == []


def test_a_refused_column_names_its_rule_and_its_use() -> None:
    policy = parse_policy(edit(POLICY_TOML, '["any use", "no group by"]', '["any use", "only count", "no filter"]'))
    (finding,) = judge_policy(policy, SPEC, QUERY)
    assert finding.severity == "error" and finding.path == "dataset.attendances.columns.minutes"
    assert finding.message == (
        'board does not allow attendances.minutes for sum (output minutes <- sum <- attendances.minutes): "only count"'
    )
    assert finding.hint == "leave output minutes out, or make it one of: count"


def test_every_use_of_a_query_is_found() -> None:
    where = AnyOf((Not(IsNull("arrival")), Compare("minutes", ">", 5)))
    pair = (ColumnRef("attendances", "minutes"), ColumnRef("housing", "rent"))
    spread = Output("v", Aggregate(Statistic.VAR_SAMP, (ColumnRef("attendances", "minutes"),)))
    query = replace(
        QUERY,
        where_left=where,
        outputs=(*QUERY.outputs, Output("r", Aggregate(Statistic.CORR, pair)), spread),
    )
    uses = uses_of(query, SPEC)
    assert set(uses[ColumnRef("attendances", "minutes")]) == {Use.SUM, Use.FILTER, Use.RELATION, Use.SPREAD}
    assert set(uses[ColumnRef("attendances", "arrival")]) == {Use.FILTER}
    assert set(uses[ColumnRef("attendances", "nhs_number")]) == {Use.JOIN, Use.COUNT_PEOPLE}
    assert set(uses[ColumnRef("housing", "nhs_number")]) == {Use.JOIN}
    assert set(uses[ColumnRef("housing", "tenure")]) == {Use.GROUP}
    assert set(uses[ColumnRef("housing", "rent")]) == {Use.RELATION}


def test_every_statistic_has_a_use() -> None:
    for statistic in Statistic:
        query = replace(QUERY, outputs=(Output("x", Aggregate(statistic, (ColumnRef("attendances", "minutes"),))),))
        assert uses_of(query, SPEC)[ColumnRef("attendances", "minutes")]


def test_unsafe_allow_all_warns_says_so_and_is_refused_by_a_server() -> None:
    with pytest.warns(UnsafePolicyWarning):
        unsafe = UnsafeAllowAll("board", POLICY.approval)
    (finding,) = judge_policy(unsafe, SPEC, QUERY)
    assert (finding.rule, finding.severity) == ("policy.unsafe", "warning")
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


def test_a_permitting_policy_permits_that_specification_and_no_other_column() -> None:
    policy = permitting(SPEC, POLICY.party, POLICY.approval.approvers, k=1)
    assert judge_policy(policy, SPEC, QUERY) == ()
    stranger = SPEC.model_copy(update={"release": SPEC.release.model_copy(update={"to": (SPEC.parties[0].name,)})})
    assert {finding.rule for finding in judge_policy(policy, stranger, QUERY)} == {"policy.recipient"}


@pytest.mark.parametrize("policy", [POLICY, permitting(SPEC, POLICY.party, POLICY.approval.approvers)])
def test_a_policy_comes_back_from_its_text(policy: Policy) -> None:
    assert parse_policy(policy_toml(policy)) == policy


POOLED = (Path(__file__).parents[1] / "check" / "pools" / "should_warn" / "registered_at_one_practice.toml").read_text()
"""Five holders, min_contributors 5, upload_minutes 60, and everybody at one holder."""


def pooled(limits: str, text: str = POOLED) -> set[str]:
    """What the limits on sums of many holders say, of a party without records."""
    policy = POLICY_TOML.replace('period = "year"', f'period = "year"\n{limits}')
    said = rules(policy, spec := parse_toml(text), bind(spec))
    return set(said) & {"policy.least-contributors", "policy.max-upload-minutes", "policy.holders-per-person"}


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ("least_contributors = 5", None),
        ("least_contributors = 6", "policy.least-contributors"),
        ("max_upload_minutes = 60", None),
        ("max_upload_minutes = 59", "policy.max-upload-minutes"),
        ("trust_max_holders_per_person = false", "policy.holders-per-person"),
    ],
)
def test_sums_of_many_holders_keep_to_a_policy_s_limits(limits: str, rule: str | None) -> None:
    trusted = "" if "trust" in limits else "trust_max_holders_per_person = true\n"
    assert pooled(trusted + limits) == ({rule} if rule else set())


def test_nobody_s_word_on_holders_per_person_is_taken_unless_the_policy_says_so() -> None:
    for declared, refused in (("1", True), ("4", True), ("5", False)):
        text = edit(POOLED, "max_holders_per_person = 1", f"max_holders_per_person = {declared}")
        assert pooled("", text) == ({"policy.holders-per-person"} if refused else set())
    assert pooled("", edit(POOLED, "max_holders_per_person = 1\n", "")) == set()


def test_what_a_researcher_prototypes_with_is_permitted() -> None:
    spec = parse_toml(POOLED)
    for party in ("board-1", "north", "statistics"):
        policy = permitting(spec, party, POLICY.approval.approvers)
        assert judge_policy(policy, spec, bind(spec)) == ()
        assert parse_policy(policy_toml(policy)) == policy
    said = parse_toml(edit(POOLED, "max_holders_per_person = 1\n", ""))
    assert not permitting(said, "board-1", POLICY.approval.approvers).limits.trust_max_holders_per_person


FLOORS = {
    "min_count = 10": ("policy.min-count", "raise min_count to 12"),
    'min_count = 12\nzeros = "shown"': ("policy.zeros", 'write zeros = "hidden"'),
    "min_count = 12\nround_to = 4": ("policy.rounding", 'write round_to = 12 and rounding = "nearest"'),
    'min_count = 12\nround_to = 6\nrounding = "midpoint"': ("policy.rounding", 'write rounding = "nearest"'),
    "min_count = 12\nround_to = 6": ("policy.dominance", "add to dominance: { largest = 2, percent = 85 }"),
    "min_count = 12\nround_to = 6\ndominance = [{ largest = 2, percent = 90 }]": ("policy.dominance", "percent = 85"),
    "min_count = 12\nround_to = 6\ndominance = [{ largest = 3, percent = 85 }]\np_percent = 9": (
        "policy.p-percent",
        "write p_percent = 15",
    ),
    "min_count = 12\nround_to = 6\ndominance = [{ largest = 3, percent = 85 }]\np_percent = 15": (
        "policy.appetite",
        'with party = "board" and appetite = "local"',
    ),
}
FLOOR = """min_count = 12
zeros = "hidden"
round_to = 6
rounding = "nearest"
dominance = [{ largest = 2, percent = 85 }]
p_percent = 15
appetite = "local"
"""


@pytest.mark.parametrize("control", FLOORS)
def test_each_floor_of_disclosure_control_is_held(control: str) -> None:
    """What is missing is told knob by knob, and whoever writes what the hint says is told so no more."""
    noised = SPEC_TOML[SPEC_TOML.index("[release.differential_privacy]") : SPEC_TOML.index("[security]")]
    spec = parse_toml(SPEC_TOML.replace(noised, f"[release.disclosure_control]\n{control}\n"))
    policy = parse_policy(edit(POLICY_TOML, 'period = "year"', f'period = "year"\n{FLOOR}'))
    found = {finding.rule: finding.hint for finding in judge_policy(policy, spec, QUERY)}
    rule, hint = FLOORS[control]
    assert hint in found[rule]
    place = list(FLOORS).index(control)
    done = {rule for rule, _ in list(FLOORS.values())[:place]} - {rule}
    assert not done & set(found) - ({"policy.rounding"} if "midpoint" in control else set())
    met = FLOOR.replace(
        'appetite = "local"\n', '[[release.disclosure_control.holder]]\nparty = "board"\nappetite = "local"'
    )
    enough = parse_toml(SPEC_TOML.replace(noised, f"[release.disclosure_control]\n{met}\n"))
    assert judge_policy(policy, enough, QUERY) == ()


def test_a_helper_has_no_people_of_its_own_to_count() -> None:
    noised = SPEC_TOML[SPEC_TOML.index("[release.differential_privacy]") : SPEC_TOML.index("[security]")]
    spec = parse_toml(SPEC_TOML.replace(noised, "[release.disclosure_control]\nmin_count = 12\n"))
    text = POLICY_TOML.replace('party = "board"', 'party = "helper"')
    policy = parse_policy(edit(text, 'period = "year"', 'period = "year"\nmin_count = 12\nappetite = "local"'))
    assert judge_policy(policy, spec, QUERY) == ()


def test_one_person_s_value_is_allowed_by_name_only() -> None:
    """No named rule and no preset leaves it; a list that has that very word does, and for no other statistic."""
    uses = {"MIN(a.minutes)": "min", "MAX(a.minutes)": "max", "MEDIAN(a.minutes)": "quantile"}
    uses["QUANTILE_DISC(a.minutes, 0.25)"] = "quantile"
    noised = SPEC_TOML[SPEC_TOML.index("[release.differential_privacy]") : SPEC_TOML.index("[security]")]
    exact = SPEC_TOML.replace(noised, "[release.disclosure_control]\nmin_count = 12\n")
    for text, use in uses.items():
        spec = parse_toml(exact.replace("SUM(a.minutes)", text))
        for rule, allowed in {
            '"any use"': False,
            '"aggregate column"': False,
            '{ allow = ["sum", "average", "filter"] }': False,
            **{f'{{ allow = ["{each}"] }}': each == use for each in ("min", "max", "quantile")},
        }.items():
            policy = parse_policy(edit(POLICY_TOML, '["any use", "no group by"]', f"[{rule}]"))
            found = [
                f for f in judge_policy(policy, spec, bind(spec)) if f.path == "dataset.attendances.columns.minutes"
            ]
            assert (not found) == allowed, (text, rule)


def test_a_floor_on_the_steps_of_values_is_held_where_they_are_shown() -> None:
    noised = SPEC_TOML[SPEC_TOML.index("[release.differential_privacy]") : SPEC_TOML.index("[security]")]
    floor = 'min_count = 12\nround_values_to = { "attendances.minutes" = 10 }'
    policy = parse_policy(edit(POLICY_TOML, 'period = "year"', f'period = "year"\n{floor}'))

    def hints(control: str, statistic: str) -> list[str]:
        text = SPEC_TOML.replace(noised, f"[release.disclosure_control]\nmin_count = 12\n{control}\n")
        spec = parse_toml(text.replace("SUM(a.minutes)", statistic))
        return [f.hint for f in judge_policy(policy, spec, bind(spec)) if f.rule == "policy.values"]

    assert hints("", "SUM(a.minutes)") == []
    assert hints("", "MEDIAN(a.minutes)") == ['write round_values_to = { "attendances.minutes" = "10" }']
    four = hints('round_values_to = { "attendances.minutes" = 4 }', "MEDIAN(a.minutes)")
    assert four == ['write round_values_to = { "attendances.minutes" = "20" }']
    assert hints('round_values_to = { "attendances.minutes" = "20" }', "MEDIAN(a.minutes)") == []
