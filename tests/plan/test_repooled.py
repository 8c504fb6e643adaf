"""The recheck of sums over one table of many holders: every field of a plan, changed alone, is found out."""

from dataclasses import replace
from itertools import islice

import pytest

from pets.check import pools
from pets.errors import InternalError
from pets.plan import pooling
from pets.plan.repooled import recheck
from pets.spec.cards import load_cards
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.pooled import Pooled
from pets.spec.sql import bind
from tests.check import corpus
from tests.plan.test_recheck import changes

PASS = [
    corpus.HERE / "pools" / f"{name}.toml"
    for name in (
        *("should_pass/two_who_compute", "should_pass/polynomials_of_a_low_degree", "should_pass/proved_inputs"),
        *("should_pass/to_a_holder", "should_pass/variance", "should_pass/all_or_nothing"),
        *("should_pass/rows_left_out_by_having", "should_pass/several_rows_of_a_person"),
        *("should_warn/held_by_three", "should_warn/held_sums_of_persons_with_several_rows"),
    )
]
PARTS = 3


def asked(text: str) -> tuple[Spec, Pooled, Plan]:
    spec = parse_toml(text)
    query = bind(spec)
    assert isinstance(query, Pooled)
    return spec, query, pooling.lower(spec, query)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, PARTS))])
@pytest.mark.parametrize("file", PASS, ids=lambda file: file.stem)
def test_a_plan_changed_in_one_field_is_refused(file: object, part: int) -> None:
    """All changes in all parts; the first part of each plan has others than that of the next."""
    assert file in PASS
    spec, query, plan = asked(PASS[PASS.index(file)].read_text())  # type: ignore[arg-type]
    cards = load_cards()
    approved = pools.judge(spec, query, cards).matrix
    recheck(plan, approved, spec, query, cards)
    missed = []
    first = (part + PASS.index(file)) % PARTS  # type: ignore[arg-type]
    for where, changed in islice(changes(plan, "plan"), first, None, PARTS):
        assert isinstance(changed, Plan) and changed != plan
        try:
            recheck(changed, approved, spec, query, cards)
        except InternalError as error:
            assert error.code.startswith("plan.")
        else:
            missed.append(where)
    assert not missed
