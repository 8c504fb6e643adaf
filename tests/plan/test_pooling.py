"""Plans of sums over one table of many holders: what is in them, and that nobody else is needed to say it."""

import numpy as np
import pytest

from pets.kernels.packed import FIELD_BITS, RING_BITS, Layout, Numbers
from pets.plan.cost import join_card, join_numbers, parties_of, used_cards
from pets.plan.review import review
from pets.spec import lanes
from pets.spec.ir import AddNoise, Plan, Pool
from tests.pooled import pooled


def plan_of(*args: int, **options: object) -> Plan:
    found = review(pooled(*args, **options))
    assert found.accepted, found
    assert found.plan is not None
    return found.plan


def pool_of(plan: Plan) -> Pool:
    assert plan.pool is not None
    return plan.pool


def test_a_plan_says_who_plays_which_role_of_the_card() -> None:
    plan = plan_of(5, 3)
    pool = pool_of(plan)
    assert dict(pool.roles)["input5"] == "board-5"
    assert pool.computing == (("server1", "north"), ("server2", "south"), ("last", "west"))
    assert pool.holders == plan.reads[0].parties
    assert parties_of(plan) == {**dict(pool.roles), "result": "statistics"}
    assert set(join_card(plan).roles) == set(parties_of(plan))
    assert used_cards(plan) == ("secure_sum",)


def test_of_polynomials_as_many_are_seeded_as_may_be_corrupt() -> None:
    plan = plan_of(4, 5, protocol="secure_sum_shamir")
    pool = pool_of(plan)
    assert [role for role, _ in pool.computing] == ["seeded1", "seeded2", "given1", "given2", "given3"]
    assert dict(pool.public)["t"] == 2
    assert set(join_card(plan).roles) == set(parties_of(plan))


@pytest.mark.parametrize("computing", [2, 3, 5])
def test_every_computing_party_adds_the_whole_noise(computing: int) -> None:
    plan = plan_of(5, computing)
    safe, pool = plan.protection, pool_of(plan)
    assert isinstance(safe, AddNoise)
    assert pool.parts == 1 and safe.parties == tuple(party for _, party in pool.computing)
    widest = max(column.sensitivity / column.epsilon for column in safe.columns)
    assert pool.noise == computing * 64 * widest


@pytest.mark.parametrize("protocol", ["secure_sum", "secure_sum_shamir"])
@pytest.mark.parametrize("holders", [2, 7, 40])
def test_words_are_those_that_values_are_packed_into(protocol: str, holders: int) -> None:
    """The arithmetic of the promise is that of the kernel, which knows no plan."""
    sql = "SELECT ward, COUNT(*) AS n, VAR_SAMP(minutes) AS v, CORR(cost, age) AS c FROM visits GROUP BY ward"
    plan = plan_of(holders, 3, sql=sql, protocol=protocol)
    pool, cells = pool_of(plan), 4
    bits = RING_BITS if protocol == "secure_sum" else FIELD_BITS
    lists = [Numbers(moment.name, cells, *ends) for moment, ends in zip(pool.moments, pool.ranges, strict=True)]
    layout = Layout(lists, parties=holders, noise=pool.noise, bits=bits)
    assert tuple(layout.lane_of(moment.name) for moment in pool.moments) == pool.lanes
    assert layout.words == join_numbers(plan)["l"] == pool.parameter("l")


def test_lanes_are_those_of_the_kernel_whatever_the_range() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        low, high = sorted(int(n) for n in rng.integers(-(2**40), 2**40, 2) >> rng.integers(0, 40))
        holders, noise = int(rng.integers(1, 300)), int(rng.integers(0, 2**20))
        layout = Layout([Numbers("x", 9, low, high)], parties=holders, noise=noise)
        lane = lanes.lane(low, high, holders=holders, noise=noise)
        assert (lane, lanes.words(9, [lane], RING_BITS)) == (layout.lane_of("x"), layout.words)


def test_ranges_are_of_one_holder_and_one_cell() -> None:
    sql = "SELECT COUNT(*) AS n, COVAR_POP(cost, minutes) AS c FROM visits"
    pool = pool_of(plan_of(3, 2, sql=sql, rows=100))
    found = {moment.name: (ends, moment.a.unit) for moment, ends in zip(pool.moments, pool.ranges, strict=True)}
    rows = 102
    ends, unit = found["sum(visits.cost*visits.minutes)"]
    assert ends == (rows * ((-5000 * 600 + unit // 2) // unit), rows * ((95050 * 600 + unit // 2) // unit))
