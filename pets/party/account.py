"""OpenDP's opinion of what a release costs, asked before a specification is kept: a second one, and the one on rho.

Losses are added as exact fractions (``check/budget.py``), and the plan's own sums are rechecked (``plan/recheck.py``).
This is neither: another library's composition of the very columns that will be noised.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from pets.approve.policy import Policy, few_runs
from pets.check.budget import bounded, run_loss
from pets.check.labels import Finding
from pets.errors import InternalError
from pets.kernels import opinion
from pets.party.accounting import cap_of
from pets.spec.ir import AddNoise, Plan
from pets.spec.model import Spec, quantity

ROUNDING: Final = 2**-40
"""OpenDP rounds upwards in floating point; more than this is no rounding."""


def second_opinion(plan: Plan, spec: Spec) -> None:
    """Hold the columns of a plan, and all of them together, against OpenDP's accountant.

    Raises: InternalError plan.noise if it finds that a column, or the release, costs more than it says.
    """
    if plan.match is not None or plan.program is not None:
        return  # nothing in it has noise
    columns = plan.protection.columns if isinstance(plan.protection, AddNoise) else ()
    privacy = spec.release.differential_privacy
    declared = quantity(privacy.epsilon) if privacy else Fraction(0)
    said = {c.moment.name: (opinion.accounted_epsilon(c.sensitivity, c.epsilon), c.epsilon) for c in columns}
    said["all"] = (opinion.accounted_total([c.epsilon for c in columns]), declared)
    for name, (found, claimed) in said.items():
        if found > float(claimed) * (1 + ROUNDING):
            raise InternalError("plan.noise", column=name, problem=f"OpenDP accounts for epsilon {found}")


def spend_findings(policy: Policy, spec: Spec) -> Iterator[Finding]:
    """Hold one run, and all of them, against a policy's cap in rho: what epsilon is as rho only the accountant says.

    The cap in epsilon is held by ``judge_policy``, which knows no accountant.
    """
    limits = policy.limits
    if limits.told_at is None:
        return
    cap = cap_of(limits, spec.validity.not_before)
    for dataset in spec.datasets:
        if policy.party not in dataset.parties:
            continue
        asked = cap.counted([(run_loss(spec)[dataset.name], 1)])
        if asked.rho > cap.most.rho:
            once = "the policy" if limits.period == "none" else f"a {limits.period}"
            message = (
                f"one run costs {dataset.name} rho {bounded(asked.rho, up=True)}, {once} allows "
                f"{bounded(cap.most.rho, up=False)}"
            )
            path, hint = "release.differential_privacy.epsilon", "lower epsilon"
            yield Finding("policy.rho-per-dataset", "error", path, message, hint)
        elif asked.rho * spec.validity.max_runs > cap.most.rho:
            yield few_runs(policy, dataset.name, cap.most.rho // asked.rho, spec.validity.max_runs)
