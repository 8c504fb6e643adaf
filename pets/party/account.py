"""A second opinion on what a release costs: OpenDP's, asked before a specification is kept.

Losses are added as exact fractions (``check/budget.py``), and the plan's own sums are rechecked (``plan/recheck.py``).
This is neither: another library's composition of the very columns that will be noised.
"""

from fractions import Fraction
from typing import Final

from pets.errors import InternalError
from pets.kernels import opinion
from pets.spec.ir import AddNoise, Plan
from pets.spec.model import Spec, quantity

ROUNDING: Final = 2**-40
"""OpenDP rounds upwards in floating point; more than this is no rounding."""


def second_opinion(plan: Plan, spec: Spec) -> None:
    """Hold the columns of a plan, and all of them together, against OpenDP's accountant.

    Raises: InternalError plan.noise if it finds that a column, or the release, costs more than it says.
    """
    if plan.match is not None:
        return  # nothing in it has noise
    columns = plan.protection.columns if isinstance(plan.protection, AddNoise) else ()
    privacy = spec.release.differential_privacy
    declared = quantity(privacy.epsilon) if privacy else Fraction(0)
    said = {c.moment.name: (opinion.accounted_epsilon(c.sensitivity, c.epsilon), c.epsilon) for c in columns}
    said["all"] = (opinion.accounted_total([c.epsilon for c in columns]), declared)
    for name, (found, claimed) in said.items():
        if found > float(claimed) * (1 + ROUNDING):
            raise InternalError("plan.noise", column=name, problem=f"OpenDP accounts for epsilon {found}")
