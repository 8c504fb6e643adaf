"""What follows from counts that are shown together: nothing small, if all that has to be enough is."""

import random
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog, nnls

from pets.plan.lower import lower
from pets.spec.control import Control, effective
from pets.spec.ir import Protect
from pets.spec.model import DisclosureControl, Spec
from pets.spec.protected import MAX_PARTS, Protected, follows, overlapping, protected
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn

COLUMNS = ("xa", "ya", "za", "xb", "yb")


def spec_of(sql: str, control: dict[str, Any], *, rows: tuple[int, int] = (1, 1), most: int = 100) -> Spec:
    """Two tables whose measures may all be NULL but the last, ``r``."""
    datasets = []
    for place, (name, party, side) in enumerate((("stays", "board", "a"), ("homes", "council", "b"))):
        columns: dict[str, Any] = {"id": {"role": "person id", "scheme": "text"}}
        for column in "xyz":
            columns[column + side] = {"role": "measure", "type": "integer", "min": -9, "max": 9}
        columns["r" + side] = {"role": "measure", "type": "integer", "min": -9, "max": 9, "required": True}
        columns["f" + side] = {"role": "measure", "type": "integer", "min": 0, "max": 1, "required": True}
        datasets.append(
            {"name": name, "party": party, "max_rows_per_person": rows[place], "max_rows": most, "columns": columns}
        )
    spec = drawn.spec_of(drawn.World((datasets[0], datasets[1]), {}, ("id", "id"), (), "1"), sql)
    asked = DisclosureControl.model_validate(control)
    release = spec.release.model_copy(update={"disclosure_control": asked, "differential_privacy": None})
    return spec.model_copy(update={"release": release})


def counts(found: Protected, moment: str) -> set[str]:
    """The counts of persons that a sum rests on."""
    numbers = {m.name: n for n, m in enumerate(found.moments)}
    (shown,) = [each for each in found.shown if each.moment == numbers[moment]]
    return {found.counts[place].name for place in found.sets[shown.rests_on]}


def patterns(columns: list[str]) -> list[frozenset[str]]:
    """Everybody there can be: who has which values."""
    return [
        frozenset(name for name, there in zip(columns, flags, strict=True) if there)
        for flags in product((True, False), repeat=len(columns))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_no_count_follows_that_is_not_a_sum_of_what_has_to_be_enough(seed: int) -> None:
    """Every count that can be made of those that are shown, and that is nowhere below nothing, is such a sum.

    The counts that can be made are a cone; its edges are found by linear programmes with random aims.
    """
    draw = random.Random(f"counts {seed}")
    pool = draw.sample(COLUMNS, draw.choice([2, 3, 4]))
    asked = ["COUNT(*)"] if draw.random() < 0.7 else []
    for _ in range(draw.choice([1, 2, 3, 4])):
        pair = draw.sample(pool, 2)
        asked.append(draw.choice([f"CORR({', '.join(pair)})", f"AVG({pair[0]})"]))
    join = draw.choice(["JOIN", "LEFT JOIN"])
    names = ", ".join(f"{text} AS s{n}" for n, text in enumerate(dict.fromkeys(asked)))
    spec = spec_of(f"SELECT {names} FROM stays a {join} homes b ON a.id = b.id", {"min_count": 10})
    query, control = bind(spec), effective(spec)
    assert control is not None
    assert overlapping(query, spec) <= MAX_PARTS
    found = protected(query, spec, control)
    columns = [*pool, "matched"]
    people = [who for who in patterns(columns) if "matched" in who or not any(c.endswith("b") for c in who)]
    if join == "JOIN":
        people = [who for who in people if "matched" in who]

    def members(moment: int) -> np.ndarray:
        m = found.moments[moment]
        needs = {*m.factors[0].present, *m.factors[1].present} | (set() if m.outer or join == "JOIN" else {"matched"})
        return np.array([needs <= who for who in people], float)

    shown = np.array(
        [
            members(each.moment)
            for each in found.shown
            if found.moments[each.moment].name.startswith(("count", "people"))
        ]
    )
    enough = np.array([sum(factor * members(moment) for moment, factor in count.terms) for count in found.counts])
    assert enough.min() >= 0
    rng = np.random.default_rng(seed)
    for _ in range(12):
        best = linprog(
            rng.normal(size=len(shown)),
            A_ub=-shown.T,
            b_ub=np.zeros(len(people)),
            A_eq=[shown.sum(1)],
            b_eq=[1],
            bounds=(None, None),
        )
        assert best.status == 0
        _, distance = nnls(enough.T, best.x @ shown)
        assert distance < 1e-7, [m.name for m in found.moments]


# -- attacks ----------------------------------------------------------------------------------------------------------

FROM = "FROM stays a JOIN homes b ON a.id = b.id"
LEFT = "FROM stays a LEFT JOIN homes b ON a.id = b.id"


def held(sql: str, control: dict[str, Any] | None = None, **other: Any) -> Protected:
    spec = spec_of(sql, control or {"min_count": 10}, **other)
    found = effective(spec)
    assert found is not None
    return protected(bind(spec), spec, found)


def test_persons_who_lack_both_values_follow_from_three_counts_and_that_of_all() -> None:
    """n - n_x - n_y + n_xy: four numbers that are shown, each of them and each difference of two large."""
    found = held(f"SELECT COUNT(*) AS n, AVG(a.xa) AS x, AVG(b.yb) AS y, CORR(a.xa, b.yb) AS r {FROM}")
    everybody, x, y, both = (
        "count(*)",
        "count(stays.xa)",
        "count(homes.yb)",
        "count(*) where stays.xa, homes.yb present",
    )
    terms = [{found.moments[m].name: factor for m, factor in count.terms} for count in found.counts]
    assert {everybody: 1, x: -1, y: -1, both: 1} in terms
    assert counts(found, x) - {x} == counts(found, y) - {y}
    assert counts(found, everybody) == {everybody}


def test_counts_of_pairs_need_the_count_of_all_three() -> None:
    """1 - xy - yz + xz is nowhere below 0: the count of who has all three is summed, too, though nobody asks for it."""
    found = held(f"SELECT COUNT(*) AS n, CORR(a.xa, a.ya) AS r, CORR(a.ya, a.za) AS s, CORR(a.xa, a.za) AS t {FROM}")
    extra = [m.name for m in found.moments if m.name.count("stays.") == 3 and m.name.startswith("count")]
    assert extra == ["count(*) where stays.xa, stays.ya, stays.za present"]
    assert all(found.moments[each.moment].name not in extra for each in found.shown)


@pytest.mark.parametrize(("control", "shows"), [((2, 1), True), ((2, 2), False), ((8, 5), False), ((10, 4), True)])
def test_differences_are_held_to_a_minimum_of_two(control: tuple[int, int], shows: bool) -> None:
    """Twice a base of 1 reaches a minimum of 2, but exact counts blur nothing."""
    least, base = control
    assert follows(Control(least, round_to=base)) == shows
    found = held(f"SELECT COUNT(*) AS n, AVG(a.xa) AS x {FROM}", {"min_count": least, "round_to": base})
    assert ("count(*) less count(stays.xa)" in counts(found, "count(stays.xa)")) == shows


def test_second_rows_follow_from_rows_beside_persons() -> None:
    """With two rows at most, rows less persons is the number of persons with two, and the rest have one."""
    found = held(f"SELECT COUNT(*) AS n, COUNT(DISTINCT a.id) AS p {FROM}", rows=(2, 1))
    assert counts(found, "count(*)") == {"people", "count(*) less people", "2 times people less count(*)"}
    alone = held(f"SELECT COUNT(*) AS n {FROM}", rows=(2, 1))
    assert counts(alone, "count(*)") == {"people"}


def test_unmatched_persons_are_a_difference_of_two_counts() -> None:
    found = held(f"SELECT COUNT(*) AS n, COUNT(DISTINCT b.id) AS p {LEFT}")
    assert counts(found, "count(*) where matched") == {"count(*) where matched", "count(*) less count(*) where matched"}


def test_all_have_a_value_looks_like_all_but_one_where_zeros_are_hidden() -> None:
    """Nobody without a value, and nine: the policy says that the two look alike."""
    for zeros in ("shown", "hidden"):
        found = held(f"SELECT COUNT(*) AS n, AVG(a.xa) AS x {FROM}", {"min_count": 10, "zeros": zeros})
        assert {count.may_be_empty for count in found.counts} == {zeros == "shown"}


def test_a_holder_on_the_right_of_a_left_join_counts_those_who_match() -> None:
    """Rows without a match are none of its own: it asks for ten of its own people (appetite local)."""
    own = {"min_count": 10, "holder": ({"party": "council", "min_count": 10, "appetite": "local"},)}
    assert counts(held(f"SELECT COUNT(*) AS n {LEFT}", own), "count(*)") == {"count(*)", "count(*) where matched"}
    assert counts(held(f"SELECT AVG(a.xa) AS n {LEFT}", own), "sum(stays.xa)") == {
        "count(stays.xa)",
        "count(stays.xa) where matched",
    }
    assert counts(held(f"SELECT COUNT(*) AS n {FROM}", own), "count(*)") == {"count(*)"}
    theirs = {"min_count": 10, "holder": ({"party": "board", "min_count": 10, "appetite": "local"},)}
    assert counts(held(f"SELECT COUNT(*) AS n {LEFT}", theirs), "count(*)") == {"count(*)"}


def test_counts_that_are_rounded_are_in_range_whatever_each_side_brings() -> None:
    """Rows after a join are as many as those of one side times the greatest number of the other's: 2^31 and more."""
    control = {"min_count": 10, "round_to": 5}
    text = f"SELECT COUNT(*) AS n {FROM}"
    spec = spec_of(text, control, rows=(1, 300), most=2**23)
    assert isinstance(lower(spec, bind(spec)).protection, Protect)
