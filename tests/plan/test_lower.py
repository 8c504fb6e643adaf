"""Lowering: roles, merged moments, rounding units, shares of epsilon, and every refusal of a plan."""

from fractions import Fraction
from pathlib import Path

import pytest

from pets.check import noised as columns
from pets.errors import LeakError, SpecError
from pets.kernels.noise import MAX_TERM
from pets.plan import lower as module
from pets.plan.cost import join_of, opening_of, parties_of
from pets.plan.lower import lower
from pets.spec.canonical import plan_digest
from pets.spec.ir import AddNoise, Derive, Plan, Read
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn

DEMO = (Path(__file__).parents[1] / "check" / "should_pass" / "ae_by_tenure.toml").read_text()


def plan_of(spec: Spec) -> Plan:
    return lower(spec, bind(spec))


def world_plan(
    select: str, *, join: str = "JOIN", group: str = "", wide: bool = False, k: tuple[int, int] = (1, 1)
) -> Plan:
    world = drawn.world(1, wide=wide)
    for dataset, most in zip(world.datasets, k, strict=True):
        dataset["max_rows_per_person"] = most
    a, b = world.keys
    text = f"SELECT {group + ', ' if group else ''}{select} FROM stays a {join} homes b ON a.{a} = b.{b}"
    return plan_of(drawn.spec_of(world, text + (f" GROUP BY {group}" if group else "")))


def noised(plan: Plan) -> AddNoise:
    return next(step for step in plan.steps if isinstance(step, AddNoise))


def reads(plan: Plan) -> dict[str, Read]:
    join = join_of(plan)
    by_out = {step.out: step for step in plan.steps if isinstance(step, Read)}
    return {"a": by_out[join.a], "b": by_out[join.b]}


def changed(*replacements: tuple[str, str]) -> Spec:
    text = DEMO
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return parse_toml(text)


def test_the_same_specification_gives_the_same_plan() -> None:
    assert plan_digest(plan_of(parse_toml(DEMO))) == plan_digest(plan_of(parse_toml(DEMO)))


def test_the_preserved_side_of_a_left_join_is_role_a_however_few_its_groups() -> None:
    plan = world_plan("COUNT(*)", join="LEFT JOIN", group="b.d0b, b.d1b")
    assert parties_of(plan) == {"a": "board", "b": "council", "helper": "helper", "result": "office"}


def test_the_larger_group_domain_is_role_a_of_an_inner_join() -> None:
    assert parties_of(world_plan("COUNT(*)", group="b.d0b, b.d1b"))["a"] == "council"
    assert parties_of(world_plan("COUNT(*)", group="a.d0a, a.d1a"))["a"] == "board"
    assert parties_of(world_plan("COUNT(*)"))["a"] == "board"


def test_moments_that_several_statistics_share_are_noised_once() -> None:
    plan = world_plan("COUNT(*) AS n, SUM(a.na) AS s, AVG(a.na) AS m, VAR_SAMP(a.na) AS v".replace("na", "ia"))
    names = [column.moment.name for column in noised(plan).columns]
    assert len(names) == len(set(names))
    assert sum("stays.ia" in name for name in names) <= 3
    outputs = {o.name: o.moments for o in next(s for s in plan.steps if isinstance(s, Derive)).outputs}
    assert outputs["s"][0] == outputs["m"][0] == outputs["v"][1]


def test_epsilon_is_split_equally_or_by_weight_and_adds_up() -> None:
    equal = noised(plan_of(parse_toml(DEMO))).columns
    assert {column.epsilon for column in equal} == {Fraction(1, len(equal))}
    weighted = changed(
        ("neighbours = \"one person's rows added or removed\"",
         "neighbours = \"one person's rows added or removed\"\nweights = { \"count(*)\" = 2 }")
    )  # fmt: skip
    shares = {column.moment.name: column.epsilon for column in noised(plan_of(weighted)).columns}
    assert shares["count(*)"] == 2 * min(shares.values())
    assert sum(shares.values()) == 1


def test_wide_ranges_get_rounding_units_until_the_noise_fits() -> None:
    plan = world_plan("VAR_POP(a.wa) AS v, CORR(a.wa, b.wb) AS r", wide=True)
    units = {c.moment.name: (c.moment.a.unit, c.moment.b.unit) for c in noised(plan).columns}
    assert any(a > 1 for a, _ in units.values())
    for column in noised(plan).columns:
        assert column.sensitivity / column.epsilon <= 2**20
        assert column.moment.scale == column.moment.a.unit * column.moment.b.unit
        for unit in (column.moment.a.unit, column.moment.b.unit):
            assert str(unit).rstrip("0") in ("1", "2", "5")


def test_decimals_keep_their_scale() -> None:
    plan = world_plan("SUM(a.ea) AS s, SUM(b.eb) AS t")
    places = {read.dataset: 1 for read in reads(plan).values()}
    assert len(places) == 2
    for column in noised(plan).columns:
        assert column.moment.scale in (Fraction(1, 10), Fraction(1, 100))


def test_persons_are_rows_where_nobody_has_two() -> None:
    one = world_plan(f"COUNT(DISTINCT a.{drawn.world(1).keys[0]}) AS n", k=(1, 2))
    column = noised(one).columns[0]
    assert (column.moment.a.people, column.moment.b.people) == (False, True)
    assert column.sensitivity == 1


def test_everything_about_sizes_is_the_declared_maximum() -> None:
    spec = parse_toml(DEMO)
    plan = plan_of(spec)
    of = {role: spec.dataset(read.dataset) for role, read in reads(plan).items()}
    public = dict(join_of(plan).public)
    assert (public["n_a"], public["n_b"]) == (of["a"].max_rows, of["b"].max_rows)
    assert public["k"] == of["a"].max_rows_per_person
    assert opening_of(plan).to == spec.result_party


def test_the_limit_on_terms_is_that_of_the_sampler() -> None:
    assert columns.MAX_TERM == MAX_TERM


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('epsilon = "1"\n', 'epsilon = "0.123456789012345678"\n', "dp.digits"),
        ('epsilon = "1"\n', 'epsilon = "0.000000001"\n', "dp.scale"),
        ('noised = { epsilon = "0.5", delta = "2^-40" }', 'noised = { epsilon = "0.00000001", delta = "2^-40" }',
         "dp.match-count"),
        ('noised = { epsilon = "0.5", delta = "2^-40" }', 'noised = { epsilon = "0.5", delta = "2^-999" }',
         "dp.match-count"),
        ('noised = { epsilon = "0.5", delta = "2^-40" }', 'noised = { epsilon = "5000", delta = "2^-40" }',
         "dp.match-count"),
        ('noised = { epsilon = "0.5", delta = "2^-40" }', 'noised = { epsilon = "0.00005", delta = "2^-40" }',
         "spec.dummies"),
    ],
)  # fmt: skip
def test_what_no_noise_can_carry_is_refused_with_its_reason(old: str, new: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan_of(changed((old, new)))
    assert caught.value.code == code


def levels(count: int) -> str:
    return "levels = [" + ", ".join(f'"{n}"' for n in range(count)) + "]"


TENURES = 'levels = ["owner", "private rent", "social rent", "temporary"]'
AGES = 'levels = ["16-24", "25-44", "45-64", "65+"]'


def test_too_many_cells_on_one_side_or_in_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CELLS", 32 * 41)
    assert plan_of(changed((TENURES, levels(31)), (AGES, levels(40))))
    rows = ("max_rows_per_person = 1\n", "max_rows_per_person = 2\n")
    for tenures, ages, code in ((32, 40, "spec.b-cells"), (31, 41, "spec.cells")):
        with pytest.raises(SpecError) as caught:
            plan_of(changed((TENURES, levels(tenures)), (AGES, levels(ages)), rows))
        assert caught.value.code == code


def test_without_declared_noise_or_helper_there_is_no_plan() -> None:
    spec = parse_toml(DEMO)
    silent = spec.model_copy(update={"release": spec.release.model_copy(update={"differential_privacy": None})})
    with pytest.raises(SpecError) as refused:
        lower(silent, bind(spec))
    assert refused.value.code == "spec.no-noise"
    untold = spec.model_copy(update={"security": spec.security.model_copy(update={"leakage": ()})})
    with pytest.raises(LeakError) as caught:
        lower(untold, bind(spec))
    assert caught.value.code == "leak.undeclared"
