"""What a party's policy says of programs: named or not, by digest or not, and which columns may go in."""

from pathlib import Path
from typing import Any

import pytest

from pets.approve.columns import BY_NAME, RULES, Use, needed, uses_of
from pets.approve.judgement import judge_policy
from pets.approve.permitting import permitting
from pets.approve.policy import Approver, Policy, parse_policy, policy_toml
from pets.errors import ConfigError
from pets.spec.parse import parse_toml
from pets.spec.programmed import programmed_of
from pets.spec.query import ColumnRef
from tests.approve.consortium import ANN
from tests.party.program_specs import OWN, altered, own_program

WHO = Approver(name="Ann", role="asset owner", key=ANN.text, organisation="A northern board")
SPEC = parse_toml(altered())
DIGEST = SPEC.computation.sha256 or ""


def policy(toml: str = "", **limits: Any) -> Policy:
    made = permitting(parse_toml(toml or altered()), "north", [WHO])
    return made.model_copy(update={"limits": made.limits.model_copy(update=limits)})


def refused(made: Policy, toml: str = "") -> list[str]:
    spec = parse_toml(toml or altered())
    return [found.rule for found in judge_policy(made, spec, programmed_of(spec)) if found.severity == "error"]


@pytest.mark.parametrize(
    ("programs", "allowed"),
    [
        ((), False),
        (("quantiles",), True),
        ((DIGEST,), True),
        (("secure_maximum", "survival_test"), False),
        (("0" * 64,), False),
        (("own",), False),
    ],
)
def test_a_program_that_comes_along_is_named_or_its_text_is(programs: tuple[str, ...], allowed: bool) -> None:
    assert refused(policy(programs=programs)) == ([] if allowed else ["policy.program"])


def test_a_text_of_ones_own_is_allowed_by_its_digest_alone() -> None:
    toml = own_program(OWN)
    digest = parse_toml(toml).computation.sha256
    assert refused(policy(toml, programs=(digest,)), toml) == []
    for programs in (("own",), ("quantiles",), ("source",), (DIGEST,)):
        assert refused(policy(toml, programs=programs), toml) == ["policy.program"]
    changed = own_program(OWN + "\n")
    assert refused(policy(toml, programs=(digest,)), changed) == ["policy.program"]


@pytest.mark.parametrize("name", ["Quantiles", "a b", "F" * 64, "f" * 63 + "g" * 9, ""])
def test_what_is_no_name_and_no_digest_is_no_policy(name: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\.programs"):
        parse_policy(policy_toml(policy()).replace(f'programs = ["{DIGEST}"]', f'programs = ["{name}"]'))


def test_columns_go_in_only_where_a_list_names_that_use() -> None:
    where = altered(
        (
            'inputs = { value = "waits.days" }',
            'inputs = { value = "waits.days" }\nwhere = "referred >= DATE \'2026-01-01\'"',
        )
    )
    spec = parse_toml(where)
    asked = programmed_of(spec)
    uses = uses_of(asked, spec)
    assert {column: set(each) for column, each in uses.items()} == {
        ColumnRef("waits", "days"): {Use.PROGRAM},
        ColumnRef("waits", "referred"): {Use.FILTER},
    }
    assert Use.PROGRAM in BY_NAME and not any(Use.PROGRAM in leaves for leaves in RULES.values())
    made = policy(where)
    for rule in ("any use", "aggregate column", "only sums"):
        columns = {"waits": {**made.columns["waits"], "days": (rule,)}}
        assert refused(made.model_copy(update={"columns": columns}), where) == ["policy.column"]
    columns = {"waits": dict(needed(asked, spec, "north")["waits"])}
    assert refused(made.model_copy(update={"columns": columns}), where) == []
    del columns["waits"]["referred"]
    assert refused(made.model_copy(update={"columns": columns}), where) == ["policy.column-not-listed"]


def test_a_minimum_of_persons_refuses_every_program() -> None:
    text = policy_toml(policy()) + "\n[constraints.waits]\nmin_persons = 5\nnoise_is_enough = true\n"
    assert refused(parse_policy(text)) == ["policy.min-persons"]


def test_the_protocol_is_one_that_the_policy_names_and_policies_are_written_as_they_are_read() -> None:
    assert refused(policy(protocols=("helper_join_a",))) == ["policy.protocol"]
    assert parse_policy(policy_toml(policy())) == policy()
    assert Path(__file__).name == "test_programs.py"
