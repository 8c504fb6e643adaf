"""The recheck of sums over one table: every field of their plan, changed alone, is found out."""

from collections.abc import Mapping
from itertools import islice

import pytest

from pets.check import pools
from pets.errors import InternalError
from pets.plan import pooling, repooled
from pets.plan.review import review
from pets.spec.cards import load_cards
from pets.spec.ir import Plan
from pets.spec.sql import bind_pooled
from tests.plan.test_recheck import changes
from tests.pooled import CONTROL, NOISE, pooled

PARTS = 6

MOMENTS = (
    "SELECT ward, COUNT(age) AS n, CORR(cost, age) AS r, SUM(CASE WHEN age > 17 THEN minutes END) AS s "
    "FROM visits WHERE minutes > 5 GROUP BY ward HAVING COUNT(age) > 3"
)

FEW = """nhs_number = { role = "person id", scheme = "nhs-number" }
died = { role = "measure", type = "integer", min = 0, max = 1, sensitivity = "personal", required = true }
care = { role = "measure", type = "integer", min = 1, max = 3, sensitivity = "personal" }
"""

SPECS: Mapping[str, dict[str, object]] = {
    "noise": {"sql": MOMENTS, "minimum": 2, "partial": "end the run"},
    "polynomials": {"protocol": "secure_sum_shamir", "to": "board-2"},
    "proved": {"protocol": "checked_sum", "sql": MOMENTS},
    "held": {"protection": CONTROL, "per_person": 3},
    "model": {"sql": "SELECT LOGISTIC_REGRESSION(died, care) AS fit FROM visits", "columns": FEW, "per_person": 2},
}
"""Plans that differ."""


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, PARTS))])
@pytest.mark.parametrize("name", SPECS)
def test_a_plan_changed_in_one_field_is_refused(name: str, part: int) -> None:
    spec, cards = pooled(4, 3, **SPECS[name]), load_cards()
    query = bind_pooled(spec)
    plan, approved = pooling.lower(spec, query), pools.judge(spec, query, cards).matrix
    repooled.recheck(plan, approved, spec, query, cards)
    missed = []
    for where, changed in islice(changes(plan, "plan"), part, None, PARTS):
        assert isinstance(changed, Plan) and changed != plan
        try:
            repooled.recheck(changed, approved, spec, query, cards)
        except InternalError:
            continue
        missed.append(where)
    assert not missed


@pytest.mark.parametrize("epsilon", ["100", "7", "1/7", "0.3"])
def test_a_loss_that_does_not_divide_the_width_of_noise_is_no_error_of_ours(epsilon: str) -> None:
    """Noise of several parties was rounded up for each of them here, and once in the plan: an internal error."""
    assert review(pooled(3, 3, protection=NOISE.replace('"4"', f'"{epsilon}"'))).plan is not None
