"""Legal rules LL-20 to LL-27: impact assessments, purpose, recipients, time, notices.

Source: vocabulary.md section 6 of the design, whose citations these are. Where a citation was not checked against its
        source it says so, to the reader too.
"""

import re
from typing import Final

from pets.check import iris
from pets.check.lint import (
    VERIFY,
    Found,
    Ground,
    Problem,
    blank,
    of_ground,
    of_spec,
    words,
)
from pets.spec.model import Spec

# -- impact assessments -----------------------------------------------------------------------------------------------


@of_ground(
    "LL-20",
    "error",
    "an impact assessment that is required and absent; a note advises one where it is not required",
    "ICO Data Sharing Code; UK GDPR Art 35",
)
def assessment(g: Ground) -> Found:
    outcome, dpia = iris.short(g.legal.dpia.outcome), g.legal.dpia
    columns = g.sensitive("special category", "criminal offence")
    if outcome == "eu-gdpr:DPIARequired":
        yield Problem(
            f"{g.place}.dpia.outcome",
            f"{g.party} says that an impact assessment is required, and not what came out of it",
            "complete it, and write its outcome",
        )
    elif outcome == "eu-gdpr:DPIANotRequired" and columns:
        yield Problem(
            f"{g.place}.dpia.outcome",
            f"{g.party} says that no impact assessment is required, and matches {', '.join(columns)} with the records "
            "of others",
            "make one: sensitive data from two sources is matched",
        )
    elif outcome == "eu-gdpr:DPIANotRequired":
        yield Problem(
            f"{g.place}.dpia.outcome",
            f"{g.party} says that no impact assessment is required; one is advised wherever data is shared",
            "consider one",
            "note",
        )
    elif outcome in iris.KNOWN and outcome not in iris.DPIA:
        yield Problem(
            f"{g.place}.dpia.outcome",
            f"{dpia.outcome} is a known term, but no outcome of an impact assessment",
            "write its outcome, such as eu-gdpr:DPIAOutcomeRisksMitigated",
        )
    elif blank(dpia.id):
        yield Problem(
            f"{g.place}.dpia.id",
            f"{g.party} refers to no impact assessment",
            "write the reference under which it is kept",
        )


@of_ground(
    "LL-21",
    "error",
    "high residual risk; or consultation of the regulator without a reference",
    f"UK GDPR Art 36; {VERIFY}",
)
def residual(g: Ground) -> Found:
    outcome = iris.short(g.legal.dpia.outcome)
    if outcome == "eu-gdpr:DPIAOutcomeHighResidualRisk":
        yield Problem(
            f"{g.place}.dpia.outcome",
            f"{g.party}'s impact assessment ends in high residual risk",
            "lower the risk, or consult the Information Commissioner before anything runs",
        )
    if outcome == "eu-gdpr:DPIAOutcomeDPAConsultation" and blank(g.legal.dpia.consultation):
        yield Problem(
            f"{g.place}.dpia.consultation",
            f"{g.party}'s impact assessment asks for consultation of the regulator, and no reference of it is given",
            "add consultation to dpia, with the reference of the answer",
        )


@of_ground(
    "LL-22",
    "error",
    "an impact assessment that the processing does not conform to, or that recommends not to continue",
    "UK GDPR Art 35",
)
def against(g: Ground) -> Found:
    outcome = iris.short(g.legal.dpia.outcome)
    if outcome in ("eu-gdpr:DPIANonConformant", "eu-gdpr:DPIARecommendsProcessingNotContinue"):
        yield Problem(
            f"{g.place}.dpia.outcome",
            f"{g.party}'s impact assessment speaks against it: {g.legal.dpia.outcome}",
            "do not run it; change it until the assessment allows it",
        )


# -- purpose, basis, recipients, time ---------------------------------------------------------------------------------

_FEW_WORDS: Final = 5


@of_spec("LL-23", "error", "a purpose that is missing or not specific", 'ICO Data Sharing Code: "in precise terms"')
def purpose(spec: Spec) -> Found:
    """A machine cannot tell a good purpose; it can tell one of a few words, which never says who wants to know what."""
    said = spec.purpose.statement
    if blank(said) or len(said.split()) < _FEW_WORDS:
        yield Problem(
            "purpose.statement",
            f'"{said}" does not say in precise terms what is to be found out, and for what',
            f"write a sentence, of {_FEW_WORDS} words at least: the question, and who acts on the answer",
        )


@of_ground(
    "LL-24", "error", "a lawful basis recorded after the first run", "ICO Data Sharing Code: identified before sharing"
)
def recorded(g: Ground) -> Found:
    if g.legal.basis_recorded is not None and g.legal.basis_recorded > g.starts:
        yield Problem(
            f"{g.place}.basis_recorded",
            f"the basis is recorded on {g.legal.basis_recorded}, and runs may start on {g.starts}",
            "record it first, or start later",
        )


@of_ground(
    "LL-25",
    "error",
    "a recipient that is missing, or that is none of the result parties",
    "UK GDPR Art 13-14; the specification itself",
)
def recipients(g: Ground) -> Found:
    named = g.legal.recipients
    if named is None:
        return
    for party in g.spec.release.to:
        if party not in named:
            yield Problem(
                f"{g.place}.recipients",
                f"{g.party} does not name {party}, which receives the result",
                f"name {party}, in the notice too, or release it to whom the notice names",
            )
    for party in named:
        if party not in g.spec.release.to:
            yield Problem(
                f"{g.place}.recipients",
                f"{g.party} names {party} as a recipient, which receives no result here",
                f"take {party} out: the notice and the specification say the same",
            )


_UNLIMITED: Final = re.compile(
    r"\b(?:indefinite(?:ly)?|for ?ever|unlimited|no limit|permanent(?:ly)?)\b", re.IGNORECASE
)


@of_ground(
    "LL-26",
    "error",
    "retention or expiry that is missing, or later than the agreement's",
    "UK GDPR Art 5(1)(e)",
)
def retention(g: Ground) -> Found:
    """``none`` says that nothing is kept, which is an answer."""
    kept = g.legal.retention
    if (blank(kept) and words(kept) not in ("none", "nil")) or _UNLIMITED.search(kept):
        yield Problem(
            f"{g.place}.retention",
            f'"{kept}" sets no end to what {g.party} keeps',
            "say what is kept and until when",
        )
    last, until = g.spec.validity.not_after, g.legal.agreement_until
    if until is not None and last > until:
        yield Problem(
            f"{g.place}.agreement_until",
            f"runs may take place until {last}, and the agreement ends on {until}",
            "end the specification with the agreement, or renew the agreement first",
        )


@of_ground("LL-27", "warning", "no reference to a privacy notice", "UK GDPR Art 13-14; HRA toolkit 5.1 Appendix 1")
def notice(g: Ground) -> Found:
    if blank(g.legal.notice):
        yield Problem(
            f"{g.place}.notice",
            f"{g.party} does not say where people can read of this",
            "publish a notice, and write its address",
        )
