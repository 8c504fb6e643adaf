"""Specifications held against a policy: every field of either changes a verdict, and empty means no."""

from dataclasses import replace
from pathlib import Path

import pytest

from pets.approve.columns import Use, uses_of
from pets.approve.judgement import judge_policy
from pets.approve.policy import (
    UnsafeAllowAll,
    UnsafePolicyWarning,
    parse_policy,
)
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.query import Aggregate, AnyOf, ColumnRef, Compare, IsNull, Not, Output, Query, Statistic
from pets.spec.sql import bind
from tests.approve.consortium import POLICY, POLICY_TOML, QUERY, SPEC, SPEC_TOML, edit


def rules(policy: str = POLICY_TOML, spec: Spec = SPEC, query: Query = QUERY) -> list[str]:
    return [finding.rule for finding in judge_policy(parse_policy(policy), spec, query)]


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


def test_unsafe_allow_all_says_that_it_refuses_nothing() -> None:
    with pytest.warns(UnsafePolicyWarning):
        unsafe = UnsafeAllowAll("board", POLICY.approval)
    (finding,) = judge_policy(unsafe, SPEC, QUERY)
    assert (finding.rule, finding.severity) == ("policy.unsafe", "warning")


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
