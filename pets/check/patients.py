"""Legal rules LL-13 to LL-19: patient information, and the research power of the Digital Economy Act 2017.

Source: vocabulary.md section 6 of the design, whose citations these are. Where a citation was not checked against its
        source it says so, to the reader too.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pets.check.lint import (
    VERIFY,
    Found,
    Ground,
    Problem,
    blank,
    cites_section_64,
    cites_section_251,
    of_ground,
)

# -- patient information ----------------------------------------------------------------------------------------------


@of_ground(
    "LL-13",
    "error",
    "section 251 of the NHS Act 2006 cited for Scottish data",
    "HSC-PBPP: section 251 does not apply in Scotland",
    territory="Scotland",
)
def section_251(g: Ground) -> Found:
    """Wherever it is cited; in the purpose too, if every party that states a ground is in Scotland."""
    texts = [(f"{g.place}.{path}", text) for path, text in _texts(g.legal.model_dump(), "")]
    first = next(iter(g.spec.legal))
    if first == g.party and all(Ground(g.spec, *other).within("Scotland") for other in g.spec.legal.items()):
        texts += [(f"purpose.{path}", text) for path, text in _texts(g.spec.purpose.model_dump(), "")]
    for place, text in texts:
        if cites_section_251(text):
            yield Problem(
                place,
                f"cites section 251 of the NHS Act 2006 for data under {g.legal.jurisdiction}; it does not apply there",
                "state the route that holds in Scotland: consent, the privacy panel (PBPP), statute, public interest",
            )


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a part of the specification, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(part, f"{path}.{key}" if path else key)
    elif isinstance(value, tuple | list):
        for place, part in enumerate(value):
            yield from _texts(part, f"{path}.{place}")


_ROUTE: Final = re.compile(
    r"\bconsent|\bpbpp\b|privacy panel|public benefit and privacy|\bstatut|\bact\b|\bregulations?\b|\bdirections?\b|"
    r"public interest|\bpets:(?:Consent|Section251|PBPP|Statute|PublicInterest)\b",
    re.IGNORECASE,
)


@of_ground(
    "LL-14",
    "error",
    "confidential patient information with no route in common law",
    "common law duty of confidentiality; HRA toolkit 5.1",
)
def confidentiality(g: Ground) -> Found:
    """Data protection law does not lift the duty of confidence: a route that does is stated beside it."""
    stated = g.legal.confidentiality
    named = not blank(stated) and (_ROUTE.search(stated or "") or cites_section_251(stated))
    if (tables := g.patient_tables) and not named:
        yield Problem(
            f"{g.place}.confidentiality",
            f"{', '.join(tables)} is confidential patient information, and no route in common law is stated",
            "say in confidentiality what lifts the duty: consent, section 251 (England and Wales), PBPP, a statute or "
            "the public interest; or declare patient_information = false where that is so",
        )


@of_ground(
    "LL-15",
    "error",
    "NHS Scotland data within the scope of the panel with no approval reference or recorded exemption",
    "HSC-PBPP terms of reference",
    territory="Scotland",
)
def panel(g: Ground) -> Found:
    asked = g.legal.pbpp
    if (tables := g.patient_tables) and (asked is None or (blank(asked.approval) and blank(asked.exemption))):
        yield Problem(
            f"{g.place}.pbpp",
            f"{', '.join(tables)} is NHS Scotland data; neither an approval of the panel nor an exemption is recorded",
            'add pbpp = { approval = "..." }, or { exemption = "..." } with the reason; or declare '
            "patient_information = false where that is so",
        )


_FORM: Final = (
    *("people", "organisations", "overview 3.1", "overview 3.2", "overview 3.3", "overview 3.4"),
    "data and methodology",
)


@of_ground(
    "LL-16",
    "warning",
    "sections of the panel's form not filled in (People, Organisations, Overview 3.1-3.4, Data and methodology)",
    "HSC-PBPP application form",
    territory="Scotland",
)
def form(g: Ground) -> Found:
    asked = g.legal.pbpp
    if asked is None or blank(asked.approval):
        return
    if missing := [section for section in _FORM if section not in (asked.form or ())]:
        yield Problem(
            f"{g.place}.pbpp.form",
            f"the panel is named, and its form lacks: {', '.join(missing)}",
            "fill the sections in, and list them in form",
        )


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
