"""Legal rules LL-28 to LL-35: who works for whom and where, what datasets allow, what public bodies owe.

Source: vocabulary.md section 6 of the design, whose citations these are. Where a citation was not checked against its
        source it says so, to the reader too.
"""

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
)
from pets.spec.model import Dataset, Party, Spec

# -- who works for whom -----------------------------------------------------------------------------------------------


def holders_of(spec: Spec) -> tuple[str, ...]:
    """Everybody who brings a table or a part of one, table by table."""
    return tuple(dict.fromkeys(party for dataset in spec.datasets for party in spec.holders(dataset.name)))


def _helpers(spec: Spec) -> tuple[Party, ...]:
    """Computing parties that bring no records."""
    holders = {party for dataset in spec.datasets for party in dataset.parties}
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
    for party in holders_of(spec):
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
        for party in spec.holders(table.name):
            yield from _rights(spec, table, party)
        for place, code in enumerate(table.data_use or ()):
            if why := _against_code(spec, iris.short(code)):
                yield Problem(
                    f"dataset.{table.name}.data_use.{place}",
                    f"{code}: {why}",
                    "ask the holder, or change the purpose to one that the data may be used for",
                )


def _rights(spec: Spec, table: Dataset, party: str) -> Found:
    legal = spec.legal[party]
    right = None if table.access_rights is None else iris.short(table.access_rights)
    if table.law is not None and iris.short(table.law) != iris.short(legal.law):
        yield Problem(
            f"dataset.{table.name}.law",
            f"its catalogue says {table.law}, and legal.{party}.law says {legal.law}",
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
            f"its catalogue restricts access, and {party} refers to no agreement or gateway that opens it",
            f"add agreement or gateway under legal.{party}",
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
    for party in holders_of(spec):
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
