"""One party's whole check of a specification: bind, check, lower, recheck, check again. Pure, and every party's own.

``review`` never raises on what an author wrote: every refusal is a finding, and a review that was refused before
lowering has no plan. What opens a session calls ``require`` and gets a ``Reviewed`` with nothing missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from pets.check import flow, gathered, knowledge, legal, pairs, pools, programs, shares, traced
from pets.check.labels import Finding, Matrix, Severity, Verdict
from pets.check.page import frame
from pets.errors import InternalError, LeakError, SpecError
from pets.ids import PlanDigest, SpecDigest
from pets.plan import execute, match, pooling, repooled
from pets.plan.cost import Forecast, forecast, used_cards
from pets.plan.lower import lower
from pets.plan.recheck import recheck
from pets.spec.canonical import plan_digest, spec_digest
from pets.spec.cards import Card, cards_digest, load_cards
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.pairing import Pairing, is_pairing, pairing_of
from pets.spec.pooled import Pooled, Statement
from pets.spec.programmed import Programmed, is_program, programmed_of
from pets.spec.sql import bind

FIRST: Final = "flow"
SECOND: Final = "knowledge"
"""The two checkers, after their modules in ``pets.check``."""


@dataclass(frozen=True, slots=True, repr=False)
class Review:
    """What the check of one specification found. ``plan`` and what follows from it are None if refused early.

    ``checkers``: who came to this matrix, each by itself.
    """

    spec: Spec
    digest: SpecDigest
    query: Statement | None
    plan: Plan | None
    plan_digest: PlanDigest | None
    verdict: Verdict
    cards: Mapping[str, Card]
    forecast: Forecast | None
    checkers: tuple[str, ...] = ()
    pairing: Pairing | None = None
    """What is asked for instead of a query: an intersection."""
    program: Programmed | None = None
    """Or a program for MPyC."""

    @property
    def asked(self) -> Statement | Pairing | Programmed | None:
        """What the specification asks for, a query, an intersection or a program, if that is clear."""
        return self.query or self.pairing or self.program

    @property
    def accepted(self) -> bool:
        return self.verdict.accepted and self.plan is not None

    def lowered(self, by: Mapping[str, Severity], *, party: str) -> "Review":
        """The review as a party sees it whose policy lowers legal rules; no finding goes missing."""
        return replace(self, verdict=replace(self.verdict, findings=legal.lowered(self.findings, by, party=party)))

    def settled(self) -> "Reviewed":
        """What would run, as ``require`` gives it, whatever the legal rules say: those are for each server to apply.

        For whoever asks the servers, or checks afterwards what they ran. Raises: LeakError for all other refusals.
        """
        rest = tuple(found for found in self.findings if found.rule not in legal.RULES)
        return replace(self, verdict=replace(self.verdict, findings=rest)).require()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.verdict.findings

    def require(self) -> "Reviewed":
        """The accepted review. Raises: LeakError leak.refused with the first refusal."""
        self.verdict.require()
        if self.asked is None or self.plan is None or self.plan_digest is None or self.forecast is None:
            raise LeakError("leak.refused", rule="plan", problem="no plan", advice="check it", refusals=1)
        return Reviewed(
            spec=self.spec,
            digest=self.digest,
            query=self.query,
            plan=self.plan,
            plan_digest=self.plan_digest,
            verdict=self.verdict,
            forecast=self.forecast,
            pairing=self.pairing,
            program=self.program,
        )

    def __repr__(self) -> str:
        """What a person at a prompt needs: accepted or not, and why not."""
        state = "accepted" if self.accepted else "refused"
        found = "".join(f"\n  {f.severity} {f.rule} at {f.path}: {f.message}" for f in self.verdict.findings)
        return f"Review({self.spec.title!r}, {state}){found}"

    def _repr_html_(self) -> str:
        return frame(self)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An accepted specification with its plan, of a query, a pairing or a program: the only thing that can be run."""

    spec: Spec
    digest: SpecDigest
    query: Statement | None
    plan: Plan
    plan_digest: PlanDigest
    verdict: Verdict
    forecast: Forecast
    pairing: Pairing | None = None
    program: Programmed | None = None

    @property
    def asked(self) -> Statement | Pairing | Programmed:
        """What runs: a query, an intersection or a program."""
        asked = self.query or self.pairing or self.program
        if asked is None:
            raise InternalError("internal.bug", where="a plan of nothing")
        return asked

    @property
    def cards(self) -> str:
        """Digest of the cards that the plan uses."""
        return cards_digest(used_cards(self.plan))


def review(spec: Spec) -> Review:
    """Check a specification: who learns what, the plan, and what the legal rules say; a party may lower those."""
    found = _of_computation(spec)
    return replace(found, verdict=legal.judged(found.verdict, spec))


def _of_computation(spec: Spec) -> Review:
    """Rules over the query, lowering, the recheck of the plan, and the second checker.

    Raises: InternalError plan.matrix-differs if the plan tells anyone anything else than the check of the query said;
            plan.checkers-differ if the second checker comes to another matrix or finds what the first did not.
    """
    if is_pairing(spec):
        return _of_pairing(spec)
    if is_program(spec):
        return _of_program(spec)
    cards, digest = load_cards(), spec_digest(spec)
    try:
        query = bind(spec)
    except SpecError as error:
        return _refused(spec, digest, None, (finding_of(error),), Matrix(), cards)
    if isinstance(query, Pooled):
        return _of_pool(spec, query)
    verdict = flow.judge(spec, query, cards)
    if not verdict.accepted:
        return Review(spec, digest, query, None, None, verdict, cards, None, (FIRST,))
    try:
        plan = lower(spec, query)
    except SpecError as error:
        return _refused(spec, digest, query, (*verdict.findings, finding_of(error)), verdict.matrix, cards)
    recheck(plan, verdict.matrix, spec, cards)
    agree(verdict, knowledge.judge(plan, spec, cards))
    told = forecast(plan, cards)
    return Review(spec, digest, query, plan, plan_digest(plan), verdict, cards, told, (FIRST, SECOND))


def _of_pool(spec: Spec, query: Pooled) -> Review:
    """The same for sums over one table of many holders."""
    cards, digest = load_cards(), spec_digest(spec)
    verdict = pools.judge(spec, query, cards)
    if not verdict.accepted:
        return Review(spec, digest, query, None, None, verdict, cards, None, (FIRST,))
    try:
        plan = pooling.lower(spec, query)
    except SpecError as error:
        return _refused(spec, digest, query, (*verdict.findings, finding_of(error)), verdict.matrix, cards)
    repooled.recheck(plan, verdict.matrix, spec, query, cards)
    agree(verdict, gathered.judge(plan, spec, cards))
    told = forecast(plan, cards)
    return Review(spec, digest, query, plan, plan_digest(plan), verdict, cards, told, (FIRST, SECOND))


def _of_pairing(spec: Spec) -> Review:
    """The same for an intersection: the rules on two sets, its plan, the recheck, and the second checker."""
    cards, digest = load_cards(), spec_digest(spec)
    try:
        pairing = pairing_of(spec)
    except SpecError as error:
        return _refused(spec, digest, None, (finding_of(error),), Matrix(), cards)
    verdict = pairs.judge(spec, pairing, cards)
    if not verdict.accepted:
        return Review(spec, digest, None, None, None, verdict, cards, None, (FIRST,), pairing)
    try:
        plan = match.lower(spec, pairing)
    except SpecError as error:
        findings = (*verdict.findings, finding_of(error))
        return replace(_refused(spec, digest, None, findings, verdict.matrix, cards), pairing=pairing)
    match.recheck(plan, verdict.matrix, spec, pairing)
    agree(verdict, traced.judge(plan, spec, cards))
    told = forecast(plan, cards)
    return Review(spec, digest, None, plan, plan_digest(plan), verdict, cards, told, (FIRST, SECOND), pairing)


def _of_program(spec: Spec) -> Review:
    """The same for a program: the rules on programs, its plan, the recheck, and the second checker."""
    cards, digest = load_cards(), spec_digest(spec)
    try:
        program = programmed_of(spec)
    except SpecError as error:
        return _refused(spec, digest, None, (finding_of(error),), Matrix(), cards)
    verdict = programs.judge(spec, program, cards)
    if not verdict.accepted:
        return Review(spec, digest, None, None, None, verdict, cards, None, (FIRST,), program=program)
    plan = execute.lower(spec, program)
    execute.recheck(plan, verdict.matrix, spec, program)
    agree(verdict, shares.judge(plan, spec, cards))
    told = forecast(plan, cards)
    return Review(spec, digest, None, plan, plan_digest(plan), verdict, cards, told, (FIRST, SECOND), program=program)


def agree(first: Verdict, second: Verdict) -> None:
    """Hold two checkers' verdicts on an accepted specification against each other.

    Raises: InternalError plan.checkers-differ: one of the two is wrong, and nobody can say which by looking at one.
    """
    differences = [*first.matrix.differences(second.matrix), *(finding.message for finding in second.errors)]
    if differences:
        raise InternalError("plan.checkers-differ", cells="; ".join(differences[:8]), count=len(differences))


def finding_of(error: SpecError) -> Finding:
    """A refusal as a finding: its code is the rule, the place is whatever the error names."""
    named = (error.fields.get(name) for name in ("path", "column", "dataset"))
    place = next(filter(None, named), "computation.sql")
    if error.code.startswith("sql."):  # "column" is a place in the text there, and "path" the way to the input column
        place = error.fields.get("path", "computation.sql")
    if error.code == "spec.program":
        place = "computation.source"
    elif error.code == "spec.program-terms":
        place = "party" if place == "parties" else f"computation.{place}"
    message = error.text.removeprefix(f"{error.code}: ").removeprefix(f"{place}: ")
    return Finding(error.code, "error", str(place), message, error.hint)


def _refused(
    spec: Spec,
    digest: SpecDigest,
    query: Statement | None,
    findings: tuple[Finding, ...],
    matrix: Matrix,
    cards: Mapping[str, Card],
) -> Review:
    return Review(spec, digest, query, None, None, Verdict(findings, matrix), cards, None)
