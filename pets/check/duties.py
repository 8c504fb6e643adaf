"""Legal rules LL-17 to LL-35: the Digital Economy Act, impact assessments, sharing, transfers, what is said to people.

Source: vocabulary.md section 6 of the design, whose citations these are. Where a citation was not checked against its
        source it says so, to the reader too.
"""

import re
from typing import Final

from pets.check import iris
from pets.check.lint import VERIFY, Found, Ground, Problem, blank, cites_section_64, of_ground, of_spec, words
from pets.spec.model import Dataset, Party, Spec

# -- the research power of the Digital Economy Act 2017 ---------------------------------------------------------------


@of_ground(
    "LL-17",
    "error",
    "section 64 of the DEA 2017 without accredited environment, project, processors and researchers",
    "Digital Economy Act 2017 Part 5 chapter 5; Research Code of Practice",
)
def accreditation(g: Ground) -> Found:
    if not cites_section_64(g.legal.gateway):
        return
    stated = g.legal.accreditation
    parts = ("environment", "project", "processors", "researchers")
    if missing := [part for part in parts if stated is None or blank(getattr(stated, part))]:
        yield Problem(
            f"{g.place}.accreditation",
            f"section 64 of the Digital Economy Act is the gateway, and no accreditation is stated of: "
            f"{', '.join(missing)}",
            "add their references under accreditation",
        )


@of_ground(
    "LL-18",
    "error",
    "section 64 of the DEA 2017 with an output from which identity is specified or deducible (no disclosure control)",
    "Digital Economy Act 2017 s.64",
)
def deducible(g: Ground) -> Found:
    release = g.spec.release
    bare = release.differential_privacy is None and release.disclosure_control is None
    if cites_section_64(g.legal.gateway) and bare:
        yield Problem(
            f"{g.place}.gateway",
            "under section 64 no identity may be specified in the output or deducible from it, and nothing protects it",
            "add [release.differential_privacy]",
        )


@of_ground(
    "LL-19",
    "warning",
    "section 64 of the DEA 2017 over data of health or adult social care bodies",
    f"said to be outside section 64; {VERIFY}",
)
def health_bodies(g: Ground) -> Found:
    if cites_section_64(g.legal.gateway) and (tables := g.patient_tables):
        yield Problem(
            f"{g.place}.gateway",
            f"{', '.join(tables)} is patient information: data of health bodies is said to be outside section 64",
            "ask whoever signs for the law which gateway holds",
        )


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


# -- who works for whom -----------------------------------------------------------------------------------------------


def _helpers(spec: Spec) -> tuple[Party, ...]:
    """Computing parties that bring no records."""
    holders = {dataset.party for dataset in spec.datasets}
    return tuple(p for p in spec.parties if "computing" in p.roles and p.name not in holders)


@of_ground(
    "LL-28",
    "warning",
    "a flow from controller to processor described as sharing; no processing agreement",
    "ICO Data Sharing Code, which covers controller to controller only; UK GDPR Art 28",
)
def processors(g: Ground) -> Found:
    working = [p.name for p in _helpers(g.spec) if p.acts_as in (None, "processor")]
    if g.tables and working and blank(g.legal.processing_agreement):
        shared = blank(g.legal.agreement)
        what = "no contract with it" if shared else "a sharing agreement, but no contract with it"
        yield Problem(
            f"{g.place}.processing_agreement",
            f"{', '.join(working)} computes on masked records of {g.party}, and {g.party} states {what}",
            "add processing_agreement; or say what the helper is instead, with acts_as",
        )


@of_ground(
    "LL-29",
    "warning",
    "secret shares or ciphertexts labelled as anonymised data",
    "ICO guidance on PETs (19 June 2023): not a silver bullet; an Estonian opinion of 2015 does not carry over",
)
def shares(g: Ground) -> Found:
    if g.legal.shares_are is not None and iris.short(g.legal.shares_are) == "dpv:AnonymisedData":
        yield Problem(
            f"{g.place}.shares_are",
            f"{g.party} takes shares and tags to be anonymised; whoever puts them together has the records",
            "write dpv:PseudonymisedData, or give the reason in the impact assessment",
        )


@of_ground(
    "LL-30",
    "warning",
    "no reference to a data sharing or information sharing agreement",
    "ICO Data Sharing Code (DPA 2018 s.121, in force 5 October 2021); Scottish Information Sharing Toolkit",
)
def agreement(g: Ground) -> Found:
    if blank(g.legal.agreement):
        yield Problem(
            f"{g.place}.agreement",
            f"{g.party} refers to no sharing agreement",
            "write the reference of the agreement between the parties",
        )


@of_spec(
    "LL-31",
    "error",
    "a computing party outside the United Kingdom without a ground for the transfer",
    f"UK GDPR Art 44-49; {VERIFY}",
)
def transfers(spec: Spec) -> Found:
    abroad = [p.name for p in spec.parties if "computing" in p.roles and p.country not in (None, "GB")]
    holders = dict.fromkeys(dataset.party for dataset in spec.datasets)
    for party in holders:
        others = [name for name in abroad if name != party]
        if others and blank(spec.legal[party].transfer):
            yield Problem(
                f"legal.{party}.transfer",
                f"{', '.join(others)} computes outside the United Kingdom, and {party} states no ground for it",
                "add transfer: adequacy regulations, or the safeguards agreed on",
            )
    if silent := [p.name for p in spec.parties if "computing" in p.roles and p.country is None]:
        yield Problem(
            "party.country",
            f"it is not said in which country {', '.join(silent)} computes, so transfers cannot be judged",
            'add country = "GB" to each, if that is so',
            "note",
        )


@of_spec("LL-32", "warning", "an algorithmic tool of the public sector without a draft ATRS record", "ATRS")
def transparency(spec: Spec) -> Found:
    public = [party for party, legal in spec.legal.items() if legal.public_authority]
    tool = spec.purpose.use in ("algorithmic tool", "decisions on individuals")
    if tool and public and blank(spec.purpose.atrs):
        yield Problem(
            "purpose.atrs",
            f"the result is for {spec.purpose.use} of {', '.join(public)}, and no record of it is drafted",
            "draft a record under the Algorithmic Transparency Recording Standard, and write its reference",
        )


# -- what the catalogue of a dataset says ------------------------------------------------------------------------------

_HEALTH: Final = frozenset({"dpv:ImproveHealthcare"})
_NOT_COMMERCIAL: Final = frozenset(iris.PURPOSES) - {"dpv:ScientificResearch", "dpv:ImproveHealthcare"}


@of_spec(
    "LL-33",
    "error",
    "a specification that contradicts a dataset's access rights, data use codes or applicable law",
    "DCAT-AP 3; GA4GH Data Use Ontology",
)
def catalogue(spec: Spec) -> Found:
    for table in spec.datasets:
        yield from _rights(spec, table)
        for place, code in enumerate(table.data_use or ()):
            if why := _against_code(spec, iris.short(code)):
                yield Problem(
                    f"dataset.{table.name}.data_use.{place}",
                    f"{code}: {why}",
                    "ask the holder, or change the purpose to one that the data may be used for",
                )


def _rights(spec: Spec, table: Dataset) -> Found:
    legal = spec.legal[table.party]
    right = None if table.access_rights is None else iris.short(table.access_rights)
    if table.law is not None and iris.short(table.law) != iris.short(legal.law):
        yield Problem(
            f"dataset.{table.name}.law",
            f"its catalogue says {table.law}, and legal.{table.party}.law says {legal.law}",
            "find out which law applies",
        )
    if right == "access-right:PUBLIC" and any(column.sensitivity != "none" for column in table.columns.values()):
        yield Problem(
            f"dataset.{table.name}.access_rights",
            "its catalogue says that it is public, and its columns are declared to be personal",
            "find out which is so",
        )
    if (
        right in ("access-right:RESTRICTED", "access-right:NON_PUBLIC")
        and blank(legal.agreement)
        and blank(legal.gateway)
    ):
        yield Problem(
            f"dataset.{table.name}.access_rights",
            f"its catalogue restricts access, and {table.party} refers to no agreement or gateway that opens it",
            f"add agreement or gateway under legal.{table.party}",
        )


def _against_code(spec: Spec, code: str) -> str | None:
    """Why the stated purposes contradict a code; nothing for codes that no stated purpose can contradict."""
    stated = {iris.short(term) for term in spec.purpose.dpv}
    if code == "DUO:0000042" and not stated <= iris.RESEARCH:
        return "general research use, and a stated purpose is not research"
    if code in ("DUO:0000006", "DUO:0000007") and not (stated <= iris.RESEARCH | _HEALTH and stated & _HEALTH):
        return "research on health or a disease only, and the stated purposes are not that alone"
    if code in ("DUO:0000018", "DUO:0000046") and not stated & _NOT_COMMERCIAL:
        return "non-commercial use only, and no stated purpose says that it is"
    if code == "DUO:0000021" and blank(spec.purpose.ethics):
        return "ethics approval is required, and purpose.ethics refers to none"
    return None


@of_ground(
    "LL-34",
    "warning",
    "a public body without a stated statutory power",
    f"ICO Data Sharing Code; {VERIFY}",
)
def powers(g: Ground) -> Found:
    if g.legal.public_authority and g.legal.power is None and blank(g.legal.gateway):
        yield Problem(
            f"{g.place}.power",
            f"{g.party} is a public authority and names no power to do this",
            'add power = { act = "...", of = "..." }',
        )


@of_spec(
    "LL-35",
    "note",
    "prompts that are not answered: from when is it no longer personal data; who is controller, who processor",
    "HRA toolkit 5.1",
)
def prompts(spec: Spec) -> Found:
    for party in dict.fromkeys(dataset.party for dataset in spec.datasets):
        if blank(spec.legal[party].not_personal_from):
            yield Problem(
                f"legal.{party}.not_personal_from",
                f"{party} does not say from which point on the data is no longer personal",
                "answer it in not_personal_from",
            )
    if silent := [p.name for p in spec.parties if "computing" in p.roles and p.acts_as is None]:
        yield Problem(
            "party.acts_as",
            f"it is not said whether {', '.join(silent)} is controller or processor",
            "add acts_as to each party that computes",
        )
