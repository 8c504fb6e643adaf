"""OpenDP's opinion of what a release costs, asked before a specification is kept: a second one, and the one on rho.

Losses are added as exact fractions (``check/budget.py``), and the plan's own sums are rechecked (``plan/recheck.py``).
This is neither: another library's composition of the very columns that will be noised.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from pets.approve.judgement import few_runs
from pets.approve.policy import Policy
from pets.check import shared_noise
from pets.check.budget import bounded, release_loss, run_loss
from pets.check.labels import Finding
from pets.errors import InternalError
from pets.kernels import accountant
from pets.party.accounting import cap_of
from pets.spec.ir import AddNoise, GaussianColumn, Match, NoisedColumn, Plan
from pets.spec.model import Spec

ROUNDING: Final = 2**-40
"""OpenDP rounds upwards in floating point; more than this is no rounding."""


def second_opinion(plan: Plan, spec: Spec) -> None:
    """Hold the columns of a plan, and all of them together, against OpenDP's accountant.

    Raises: InternalError plan.noise if it finds that a column, or the release, costs more than it says.
    """
    if plan.program is not None:
        return  # nothing in it has noise
    privacy = spec.release.differential_privacy
    declared = privacy.loss if privacy else Fraction(0)
    said: dict[str, tuple[float, Fraction]] = {}
    columns = plan.protection.columns if plan.match is None and isinstance(plan.protection, AddNoise) else ()
    pure = [(c.moment.name, c.sensitivity, c.epsilon) for c in columns if isinstance(c, NoisedColumn)]
    for name, sensitivity, epsilon in pure if plan.match is None else _matched(plan.match):
        said[name] = (accountant.accounted_epsilon(sensitivity, epsilon), epsilon)
    if privacy is not None and privacy.gaussian:
        said |= {c.moment.name: (_rho(c), c.rho) for c in columns if isinstance(c, GaussianColumn)}
        said["all"] = (sum(found for found, _ in said.values()), declared)
    else:
        said["all"] = (accountant.accounted_total([epsilon for _, epsilon in said.values()]), declared)
    for name, (found, claimed) in said.items():
        if found > float(claimed) * (1 + ROUNDING):
            stated = "epsilon" if privacy is None else privacy.stated_in
            raise InternalError("plan.noise", column=name, problem=f"OpenDP accounts for {stated} {found}")


def _matched(match: Match) -> Iterator[tuple[str, int, Fraction]]:
    """The numbers of an intersection that have noise, as party/pairing.py draws it: name, sensitivity, epsilon.

    One person more or less changes a number of persons by one.
    """
    if match.outcome == "sum":
        for name, (sensitivity, epsilon) in zip(match.columns, match.noised, strict=bool(match.noised)):
            yield name, sensitivity, epsilon
    elif match.epsilon:
        yield match.outcome, 1, match.epsilon


def _rho(column: GaussianColumn) -> float:
    """OpenDP's rho of one noise as wide as the honest parts together, and by our bound what their sum costs beyond."""
    one = accountant.accounted_rho(column.squared, column.parts * column.variance)
    return one + float(column.squared * shared_noise.divergence(column.variance, column.parts))


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
            stated = "rho" if release_loss(spec).rho else "epsilon"
            path = f"release.differential_privacy.{stated}"
            yield Finding("policy.rho-per-dataset", "error", path, message, f"lower {stated}")
        elif asked.rho * spec.validity.max_runs > cap.most.rho:
            yield few_runs(policy, dataset.name, cap.most.rho // asked.rho, spec.validity.max_runs)
