"""Legal rules LL-01 to LL-12: controller, terms, lawful basis, special categories, definitions.

Source: vocabulary.md section 6 of the design, whose citations these are. Where a citation was not checked against its
        source it says so, to the reader too.
"""

import re
from typing import Final

from pets.check import iris
from pets.check.lint import (
    COMMENCED,
    VERIFY,
    Found,
    Ground,
    Problem,
    blank,
    of_ground,
    of_spec,
    paragraphs,
    words,
)
from pets.spec.model import Spec

# -- controllers and terms --------------------------------------------------------------------------------------------


@of_ground("LL-01", "error", "no controller; or joint controllers without an arrangement", "UK GDPR Art 4(7), Art 26")
def controller(g: Ground) -> Found:
    """Somebody answers for the data, and several who answer together have written down who does what."""
    if blank(g.legal.controller):
        yield Problem(
            f"{g.place}.controller",
            f"{g.party} names no controller",
            "name who decides on purposes and means, by its name in law",
        )
    if g.legal.joint_with is not None and blank(g.legal.arrangement):
        yield Problem(
            f"{g.place}.arrangement",
            f"{g.legal.controller} is controller jointly with {', '.join(g.legal.joint_with) or 'nobody named'}, and "
            "no arrangement between them is referred to",
            "add arrangement, or leave out joint_with if each decides alone",
        )
    roles = {p.name: p.acts_as for p in g.spec.parties}
    if roles.get(g.party) == "joint controller" and g.legal.joint_with is None:
        yield Problem(
            f"{g.place}.joint_with",
            f"{g.party} acts as a joint controller, and does not say with whom",
            "add joint_with and arrangement",
        )


@of_ground("LL-02", "error", "a controller has no basis of Article 6(1)", "UK GDPR Art 6(1)")
def basis(g: Ground) -> Found:
    if g.article6 not in iris.ARTICLE_6:
        what = "is a term, but no basis of Article 6(1)" if g.article6 in iris.KNOWN else "is no basis of Article 6(1)"
        yield Problem(
            f"{g.place}.article6",
            f"{g.legal.article6} {what}, and {g.legal.controller} needs one",
            f"write the one that holds, such as eu-gdpr:A6-1-e-public-interest{_meant(g.article6, iris.ARTICLE_6)}",
        )


def _meant(term: str, terms: tuple[str, ...]) -> str:
    near = None if iris.short(term) in iris.KNOWN else iris.nearest(term, terms)
    return f"; perhaps {near} is meant" if near else ""


def _stands_in(term: str) -> str:
    other = iris.NOT_IN_DPV.get(term.removeprefix("loc:"))
    return f"; DPV lacks this code, write loc:{other}" if other else ""


@of_spec("LL-03", "error", "a term that is unknown or misspelt, or of another kind", "DPV 2.3; docs/rules/legal.md")
def terms(spec: Spec) -> Found:
    """Terms are compared by machines: a misspelt one means nothing, and nobody notices."""
    asked: list[tuple[str, str | None, str]] = [
        (f"purpose.dpv.{place}", term, "purpose") for place, term in enumerate(spec.purpose.dpv)
    ]
    for party, legal in spec.legal.items():
        at = f"legal.{party}"
        asked += [
            (f"{at}.law", legal.law, "law"),
            (f"{at}.jurisdiction", legal.jurisdiction, "jurisdiction"),
            (f"{at}.article9", legal.article9, "condition of Article 9"),
            (f"{at}.shares_are", legal.shares_are, "status of data"),
        ]
        free = {
            "gateway": (legal.gateway, "gateway"),
            "confidentiality": (legal.confidentiality, "route in common law"),
        }
        asked += [(f"{at}.{key}", text, kind) for key, (text, kind) in free.items() if text and iris.is_term(text)]
        owned = {"article6": legal.article6, "dpia.outcome": legal.dpia.outcome}  # of another kind: LL-02, LL-20
        kinds = {"article6": "basis of Article 6", "dpia.outcome": "outcome of a DPIA"}
        asked += [
            (f"{at}.{key}", term, kinds[key]) for key, term in owned.items() if iris.short(term) not in iris.KNOWN
        ]
    for table in spec.datasets:
        at = f"dataset.{table.name}"
        asked += [(f"{at}.law", table.law, "law"), (f"{at}.access_rights", table.access_rights, "access right")]
        asked += [
            (f"{at}.data_use.{place}", code, "code of the Data Use Ontology")
            for place, code in enumerate(table.data_use or ())
        ]
    for place, term, kind in asked:
        if term is None or (name := iris.short(term)) in iris.GROUPS[kind]:
            continue
        if name in iris.KNOWN:
            yield Problem(place, f"{term} is a known term, but no {kind}", f"write a {kind}, as listed in the rules")
        else:
            hint = f"write a {kind} as listed in the rules{_meant(term, iris.GROUPS[kind])}{_stands_in(name)}"
            yield Problem(place, f"{term} is not among the known terms for a {kind}", hint)


# -- conditions -------------------------------------------------------------------------------------------------------


_SENSITIVE: Final = re.compile(
    r"diagnos|(?:^|_)icd|ethnic|(?:^|_)race(?:_|$)|religio|(?:^|_)faith|disabilit|sexual|(?:^|_)genetic|genom|biometric|"
    r"trade_?union|political|(?:^|_)hiv|mental_health|prescri|medication|pregnan|symptom|patholog",
    re.IGNORECASE,
)
_OF_CARE: Final = re.compile(r"attendance|admission|discharge|patient|hospital|clinic|screening|vaccin", re.IGNORECASE)
"""Names of columns and of tables that are seldom anything else than special category data."""


@of_ground("LL-04", "error", "special category data without a condition of Article 9(2)", "UK GDPR Art 9")
def special(g: Ground) -> Found:
    """What is declared counts. A name that suggests more than is declared is a warning: a default is soon forgotten."""
    columns = g.sensitive("special category")
    if columns and g.article9 not in iris.ARTICLE_9:
        yield Problem(
            f"{g.place}.article9",
            f"{', '.join(columns)} is special category data, and {g.party} states no condition of Article 9(2)",
            "add article9: eu-gdpr:A9-2-j for statistics and research, A9-2-h for care, A9-2-i for public health",
        )
    suspect = [c for c in g.sensitive("none", "personal") if _SENSITIVE.search(c.partition(".")[2])]
    if g.article9 is None and not columns:
        suspect += [table.name for table in g.tables if _SENSITIVE.search(table.name) or _OF_CARE.search(table.name)]
    for name in suspect:
        yield Problem(
            f"{g.place}.article9",
            f"{name} sounds like special category data, and is not declared to be",
            'declare the sensitivity of its columns as "special category"; or rename it if it is something else',
            "warning",
        )


@of_ground(
    "LL-05",
    "warning",
    "explicit consent under Article 9(2)(a) beside a basis of Article 6 that is not consent, or the reverse",
    "UK GDPR Art 6(1)(a), Art 9(2)(a)",
)
def consents(g: Ground) -> Found:
    by_consent = g.article6.startswith("eu-gdpr:A6-1-a")
    if g.article9 is not None and by_consent != (g.article9 == "eu-gdpr:A9-2-a"):
        yield Problem(
            f"{g.place}.article9",
            f"one of {g.legal.article6} and {g.legal.article9} is consent and the other is not",
            "check which one holds: consent that can be withdrawn seldom stands beside another ground",
        )


_COUNTERPART: Final = {
    "b": (range(1, 2), "paragraph 1"),
    "g": (range(6, 29), "a paragraph of Part 2, 6 to 28"),
    "h": (range(2, 3), "paragraph 2"),
    "i": (range(3, 4), "paragraph 3"),
    "j": (range(4, 5), "paragraph 4"),
}
"""DPA 2018 s.10(2) and (3): conditions of Article 9(2) that need one of Schedule 1, Part 1 or 2."""


@of_ground(
    "LL-06",
    "error",
    "Article 9(2)(b), (g), (h), (i) or (j) without its condition of Schedule 1",
    f"DPA 2018 s.10, Sch 1; {VERIFY}",
)
def schedule(g: Ground) -> Found:
    letter = (g.article9 or "").removeprefix("eu-gdpr:A9-2-")
    if letter not in _COUNTERPART:
        return
    numbers, name = _COUNTERPART[letter]
    stated = paragraphs(g.legal.schedule1 or "")
    if not any(number in numbers for number in stated):
        what = f'"{g.legal.schedule1}" does not name it' if g.legal.schedule1 else "none is stated"
        yield Problem(
            f"{g.place}.schedule1",
            f"Article 9(2)({letter}) needs {name} of Schedule 1 to the DPA 2018, and {what}",
            f'write schedule1 = "DPA 2018 Schedule 1 {name if len(numbers) == 1 else "paragraph ..."}", if it holds',
        )


@of_ground(
    "LL-07",
    "error",
    "criminal offence data without official authority or a condition of Schedule 1",
    f"UK GDPR Art 10, DPA 2018 s.10(5); {VERIFY}",
)
def offences(g: Ground) -> Found:
    columns = g.sensitive("criminal offence")
    stated = g.legal.article10 or ""
    parts = (*range(1, 5), *range(6, 38))
    if columns and words(stated) != "official authority" and not any(n in parts for n in paragraphs(stated)):
        yield Problem(
            f"{g.place}.article10",
            f"{', '.join(columns)} is criminal offence data, and {g.party} states no condition for it",
            'add article10: "official authority", or the paragraph of Schedule 1 to the DPA 2018',
        )


# -- bases that not everyone may use ----------------------------------------------------------------------------------


@of_ground(
    "LL-08",
    "error",
    "legitimate interests claimed by a public authority for its tasks",
    f"UK GDPR Art 6(1), closing words; {VERIFY}",
)
def interests(g: Ground) -> Found:
    """Who claims legitimate interests says that it is no public authority; not to say so counts as being one."""
    if g.article6.startswith("eu-gdpr:A6-1-f") and g.legal.public_authority is not False:
        is_one = (
            "is a public authority" if g.legal.public_authority else "does not say whether it is a public authority"
        )
        yield Problem(
            f"{g.place}.article6",
            f"{g.party} claims legitimate interests and {is_one}; public authorities cannot, for their tasks",
            "rest it on the task (eu-gdpr:A6-1-e), or state public_authority = false if that is so",
        )


@of_ground(
    "LL-09",
    "error",
    "Article 6(1)(ea) without a condition of Annex 1, or before 5 February 2026",
    "Data (Use and Access) Act 2025 s.70; in force by SI 2026/82 reg 2(c)",
)
def recognised(g: Ground) -> Found:
    if g.article6 != iris.RECOGNISED:
        return
    if blank(g.legal.annex1):
        yield Problem(
            f"{g.place}.annex1",
            f"{g.party} claims a recognised legitimate interest and names no condition of Annex 1",
            "add annex1 with the condition that is met",
        )
    if g.starts < COMMENCED:
        yield Problem(
            f"{g.place}.article6",
            f"runs may start on {g.starts}, before Article 6(1)(ea) was law ({COMMENCED})",
            f"set not_before to {COMMENCED} or later, or state another basis",
        )


@of_ground(
    "LL-10",
    "warning",
    "Article 6(1)(ea) claimed by a public authority",
    f"ICO guidance: public authorities keep using public task; {VERIFY}",
    starts=COMMENCED,
)
def recognised_by_authority(g: Ground) -> Found:
    if g.article6 == iris.RECOGNISED and g.legal.public_authority:
        yield Problem(
            f"{g.place}.article6",
            f"{g.party} is a public authority and claims a recognised legitimate interest",
            "rest it on the task: eu-gdpr:A6-1-e-public-interest",
        )


@of_ground(
    "LL-11",
    "error",
    "Article 6(1)(e) where the task is not the named controller's",
    'Data (Use and Access) Act 2025 s.70: "a task of the controller"; in force by SI 2026/82 reg 2(c)',
    starts=COMMENCED,
)
def task(g: Ground) -> Found:
    own = {words(name) for name in (g.legal.controller, *(g.legal.joint_with or ()))}
    if g.article6.startswith("eu-gdpr:A6-1-e") and g.legal.power is not None and words(g.legal.power.of) not in own:
        yield Problem(
            f"{g.place}.power.of",
            f"the task is one of {g.legal.power.of}; the controller is {g.legal.controller}",
            "name the controller's own task, or the controller whose task it is",
        )


@of_spec(
    "LL-12",
    "warning",
    "a research or statistical purpose outside the statutory definition; a public health study without public interest",
    "Data (Use and Access) Act 2025 s.67; in force by SI 2026/82 reg 2(a)",
    starts=COMMENCED,
)
def definition(spec: Spec) -> Found:
    stated = {iris.short(term) for term in spec.purpose.dpv}
    articles = {iris.short(legal.article9) for legal in spec.legal.values() if legal.article9}
    special = stated & (iris.RESEARCH | iris.STATISTICS) or "eu-gdpr:A9-2-j" in articles
    if special and spec.purpose.use == "decisions on individuals":
        yield Problem(
            "purpose.use",
            "the purpose is research or statistics, and the result is for decisions on individuals",
            "state the purpose that it really has: research and statistics support no decision on a particular person",
        )
    if stated & iris.RESEARCH and "eu-gdpr:A9-2-i" in articles and blank(spec.purpose.public_benefit):
        yield Problem(
            "purpose.public_benefit",
            "a study of public health is scientific research only if it is in the public interest, and none is stated",
            "say in public_benefit what the public gains",
        )
