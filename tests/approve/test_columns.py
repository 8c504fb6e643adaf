"""Column rules: they compose to what all of them leave, and what users of SCQL asked for can be said with them."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from pets.approve.columns import BY_NAME, RULES, ColumnRule, Rule, Use, allowed, needed, refusals, rule_of
from pets.approve.judgement import judge_policy
from pets.approve.policy import Policy, parse_policy
from pets.errors import ConfigError
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.query import Query
from pets.spec.sql import bind
from tests.approve.consortium import POLICY, POLICY_TOML, QUERY, SPEC, SPEC_TOML

STATISTICS, OTHER = "spiffe://statistics.example/pets", "spiffe://university.example/pets"
OFFICIAL, RESEARCH = "dpv:ProvideOfficialStatistics", "dpv:ScientificResearch"
TOWARDS = [(recipient, purpose) for recipient in (STATISTICS, OTHER) for purpose in (OFFICIAL, RESEARCH)]

SCOPES = st.fixed_dictionaries(
    {
        "recipients": st.sampled_from([None, (STATISTICS,), (OTHER,), (STATISTICS, OTHER)]),
        "purposes": st.sampled_from([None, (OFFICIAL,), (RESEARCH,)]),
    }
)
ANY_RULE: st.SearchStrategy[Rule] = st.one_of(
    st.sampled_from(tuple(RULES)),  # type: ignore[arg-type]
    st.builds(
        lambda rule, allow, scope: ColumnRule(rule=rule, allow=allow, **scope),
        st.none() | st.sampled_from(tuple(RULES)),
        st.none() | st.sets(st.sampled_from([use.value for use in Use])).map(sorted).map(tuple),
        SCOPES,
    ),
)
LISTS = st.lists(ANY_RULE, max_size=4).map(tuple)


def board(columns: str) -> Policy:
    """The board's policy with other rules on its columns."""
    head = POLICY_TOML.split("[columns.attendances]")[0]
    return parse_policy(head + "[columns.attendances]\n" + columns)


def asked(sql: str, spec: str = SPEC_TOML) -> tuple[Spec, Query]:
    """The consortium's specification with another query."""
    parts = spec.split('"""')
    changed = parse_toml(f'{parts[0]}"""{sql}"""{parts[2]}')
    return changed, bind(changed)


# -- properties -------------------------------------------------------------------------------------------------------


@seed(61)
@settings(max_examples=200, deadline=None)
@given(LISTS, ANY_RULE)
def test_adding_a_rule_never_widens(rules: tuple[Rule, ...], more: Rule) -> None:
    for recipient, purpose in TOWARDS:
        before, after = allowed(rules, recipient, purpose), allowed((*rules, more), recipient, purpose)
        if any(rule_of(each).applies(recipient, purpose) for each in rules):
            assert after <= before
        else:  # nothing was allowed; the first rule that applies says what is, and no more than it says
            assert before == frozenset() and after <= rule_of(more).leaves
        if not rule_of(more).applies(recipient, purpose):
            assert after == before


@seed(62)
@settings(max_examples=100, deadline=None)
@given(LISTS.filter(lambda rules: len(rules) > 1))
def test_the_order_of_rules_never_matters(rules: tuple[Rule, ...]) -> None:
    for recipient, purpose in TOWARDS:
        assert len({allowed(order, recipient, purpose) for order in itertools.permutations(rules)}) == 1


@seed(63)
@settings(max_examples=60, deadline=None)
@given(LISTS, ANY_RULE)
def test_adding_a_rule_to_a_policy_never_accepts_what_was_refused(rules: tuple[Rule, ...], more: Rule) -> None:
    one, two = (
        POLICY.model_copy(update={"columns": {"attendances": POLICY.columns["attendances"] | {"minutes": each}}})
        for each in (rules, (*rules, more))
    )
    before, after = ({f.message.split(" (")[0] for f in judge_policy(p, SPEC, QUERY)} for p in (one, two))
    if any(rule_of(each).applies(STATISTICS, OFFICIAL) for each in rules):
        assert before <= after
    else:
        assert before


@pytest.mark.parametrize("extreme", sorted(BY_NAME))
def test_a_value_of_one_person_is_allowed_by_name_only(extreme: Use) -> None:
    for name in RULES:
        assert extreme not in allowed((name,), STATISTICS, OFFICIAL)  # type: ignore[arg-type]
    listed = ColumnRule(allow=(extreme.value, "sum"))
    assert allowed((listed,), STATISTICS, OFFICIAL) == {extreme, Use.SUM}
    assert allowed((listed, "any use"), STATISTICS, OFFICIAL) == {Use.SUM}


def test_rules_compose_to_what_all_of_them_allow_and_nothing_allows_nothing() -> None:
    assert allowed((), STATISTICS, OFFICIAL) == frozenset()
    assert allowed((ColumnRule(),), STATISTICS, OFFICIAL) == frozenset()
    assert allowed((ColumnRule(allow=()),), STATISTICS, OFFICIAL) == frozenset()
    for one, two in itertools.product(RULES, repeat=2):
        both = allowed((one, two), STATISTICS, OFFICIAL)  # type: ignore[arg-type]
        assert both == RULES[one] & RULES[two] and both <= RULES[one]


def test_a_use_has_to_be_allowed_for_every_purpose_that_is_stated() -> None:
    spec = parse_toml(SPEC_TOML.replace('dpv = ["', 'dpv = ["dpv:ScientificResearch", "'))
    rules: tuple[Rule, ...] = (ColumnRule(allow=("sum",), purposes=(OFFICIAL,)),)
    (refusal,) = refusals(rules, {Use.SUM}, spec)
    assert (refusal.purpose, refusal.rules) == (RESEARCH, ())
    assert refusals((*rules, ColumnRule(allow=("sum",), purposes=(RESEARCH,))), {Use.SUM}, spec) == ()


# -- what users of SCQL asked for -------------------------------------------------------------------------------------

KEYS = 'nhs_number = ["join key"]\narrival = ["filter only"]\n'


def test_scql_184_one_column_is_filtered_and_grouped_by_and_the_rules_a_query_needs_are_derived() -> None:
    """One column in WHERE and in GROUP BY; and a way to see which grants a query needs."""
    toml = SPEC_TOML.replace(
        "minutes = {", 'age = { role = "dimension", type = "category", levels = ["0-15", "16+"] }\nminutes = {'
    )
    spec, query = asked(
        "SELECT a.age, COUNT(DISTINCT a.nhs_number) AS people FROM attendances a JOIN housing h "
        "ON a.nhs_number = h.nhs_number WHERE a.age <> '0-15' GROUP BY a.age",
        toml,
    )
    policy = board(KEYS + 'age = ["dimension column"]')
    assert judge_policy(policy, spec, query) == ()
    derived = needed(query, spec, "board")
    assert derived["attendances"]["age"] == (
        ColumnRule(allow=("filter", "group by"), recipients=(STATISTICS,), purposes=(OFFICIAL,)),
    )
    granted = policy.model_copy(update={"columns": derived})
    assert judge_policy(granted, spec, query) == ()
    assert {f.rule for f in judge_policy(granted, SPEC, QUERY)} == {"policy.column-not-listed"}, "and nothing else"
    only_filter = board(KEYS + 'age = ["filter only"]')
    (finding,) = judge_policy(only_filter, spec, query)
    assert "attendances.age for group by (output age <- attendances.age)" in finding.message
    assert finding.hint == "take attendances.age out of SELECT and GROUP BY"


def test_scql_268_several_rules_for_one_column_and_one_party() -> None:
    """Two constraints towards one recipient are both kept: neither overwrites the other."""
    spec, query = asked(QUERY_SUM.replace("SUM(a.minutes)", "SUM(a.minutes) AS total, VAR_SAMP(a.minutes)"))
    sums = f'{{ allow = ["sum", "average"], recipients = ["{STATISTICS}"] }}'
    spread = f'{{ allow = ["sum", "variance"], recipients = ["{STATISTICS}"] }}'
    for order in ((sums, spread), (spread, sums)):
        (finding,) = judge_policy(board(KEYS + f"minutes = [{', '.join(order)}]"), spec, query)
        assert "attendances.minutes for variance" in finding.message and "only sum, average" in finding.message
    both = f'{{ allow = ["sum", "variance", "average"], recipients = ["{STATISTICS}"] }}'
    assert judge_policy(board(KEYS + f"minutes = [{both}, {spread}]"), spec, query) == ()


def test_scql_428_a_join_key_is_used_and_never_shown() -> None:
    spec, query = asked(QUERY_SUM)
    for rule in ('["join key", "never output"]', '[{ allow = ["join"] }]'):
        assert judge_policy(board(f"nhs_number = {rule}\nminutes = ['any use']\n"), spec, query) == ()
    shown = replace(query, group_by=(replace(query.group_by[0], dataset="attendances", column="nhs_number"),))
    (finding,) = judge_policy(board("nhs_number = ['join key', 'never output']\nminutes = ['any use']\n"), spec, shown)
    assert "attendances.nhs_number for group by (GROUP BY <- attendances.nhs_number)" in finding.message


def test_scql_472_a_column_chooses_rows_and_is_not_shown() -> None:
    spec, query = asked(QUERY_SUM.replace("GROUP", "WHERE a.minutes > 5 GROUP"))
    rules = KEYS + "minutes = ['filter only']"
    (finding,) = judge_policy(board(rules), spec, query)
    assert "attendances.minutes for sum" in finding.message and '"filter only"' in finding.message
    where, query = asked(
        "SELECT h.tenure, COUNT(*) AS n FROM attendances a JOIN housing h ON a.nhs_number = h.nhs_number "
        "WHERE a.minutes > 5 GROUP BY h.tenure"
    )
    assert judge_policy(board(rules), where, query) == ()


def test_scql_671_one_column_for_two_uses_and_another_one_towards_somebody_else() -> None:
    """Several grants on one column: each towards its own recipient and purpose, and to nobody else."""
    spec, query = asked(QUERY_SUM)
    rules = (
        f'minutes = [{{ allow = ["sum", "filter"], recipients = ["{STATISTICS}"], purposes = ["{OFFICIAL}"] }}, '
        f'{{ allow = ["count"], recipients = ["{OTHER}"] }}]'
    )
    policy = board(KEYS + rules)
    assert judge_policy(policy, spec, query) == ()
    rules_of = policy.columns["attendances"]["minutes"]
    assert allowed(rules_of, OTHER, OFFICIAL) == {Use.COUNT}
    assert allowed(rules_of, STATISTICS, RESEARCH) == frozenset()
    assert allowed(rules_of, "spiffe://nobody.example/pets", OFFICIAL) == frozenset()
    stranger = parse_toml(spec_toml := SPEC_TOML.replace("statistics.example", "nobody.example"))
    assert spec_toml != SPEC_TOML
    messages = [f for f in judge_policy(policy, stranger, query) if f.rule == "policy.column"]
    (finding,) = messages
    assert "no rule applies to a release to spiffe://nobody.example/pets" in finding.message
    assert f"release to {STATISTICS} or {OTHER}" in finding.hint


QUERY_SUM = (
    "SELECT h.tenure, SUM(a.minutes) AS minutes FROM attendances a JOIN housing h "
    "ON a.nhs_number = h.nhs_number GROUP BY h.tenure"
)


def test_the_constraint_of_clean_rooms() -> None:
    """Columns to aggregate, to group by and to join on, and a least number of distinct persons in every row."""
    rules = """
nhs_number = ["join key", "never output"]
minutes = ["aggregate column"]
age = ["dimension column"]
[constraints.attendances]
min_persons = 25
"""
    toml = SPEC_TOML.replace(
        "minutes = {", 'age = { role = "dimension", type = "category", levels = ["0-15", "16+"] }\nminutes = {'
    )
    policy = board(rules)
    policy = policy.model_copy(update={"limits": policy.limits.model_copy(update={"min_count": 10})})
    noised = toml[toml.index("[release.differential_privacy]") : toml.index("[security]")]
    control = toml.replace(noised, "[release.disclosure_control]\nmin_count = 25\n")
    sql = QUERY_SUM.replace("h.tenure", "a.age")
    assert judge_policy(policy, *asked(sql, control)) == ()
    (few,) = judge_policy(policy, *asked(sql, control.replace("min_count = 25", "min_count = 24")))
    assert few.rule == "policy.min-persons" and few.hint == "raise min_count to 25"
    (noise,) = judge_policy(policy, *asked(sql, toml))
    assert noise.rule == "policy.min-persons", "noise makes no group larger"
    enough = board(rules + "noise_is_enough = true")
    assert judge_policy(enough, *asked(sql, toml)) == ()
    (grouped,) = judge_policy(policy, *asked(sql.replace("GROUP", "WHERE a.minutes > 5 GROUP"), control))
    assert '"aggregate column"' in grouped.message


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("{ allow = ['median'] }", "columns.attendances.minutes.0.allow.0"),
        ("{ rule = 'any' }", "columns.attendances.minutes.0.rule"),
        ("{ rule = 'any use', recipients = [] }", "columns.attendances.minutes.0.recipients"),
        ("{ rule = 'any use', purposes = [] }", "columns.attendances.minutes.0.purposes"),
        ("{ rule = 'any use', deny = ['sum'] }", "columns.attendances.minutes.0.deny"),
        ("'any'", "columns.attendances.minutes.0"),
        ("1", "columns.attendances.minutes.0"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_path(rule: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        board(f"minutes = [{rule}]")
    assert caught.value.fields["path"] == path
