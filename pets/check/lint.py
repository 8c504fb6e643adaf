"""What a legal rule is, its dates and territory, and the registry of all of them; legal.py tells what they say.

A rule has a stable id, a severity, a citation, a territory, the dates from and to which it is law, and the name of the
competent person who signed it. Nobody has signed one yet. A rule applies to a specification if one day of its validity
falls within the rule's dates: what counts is when runs may happen, never when somebody looks.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from pets.check import iris
from pets.check.labels import Finding, Severity
from pets.check.terms import design_fields
from pets.spec.model import Dataset, Legal, Spec

Territory = Literal["United Kingdom", "Scotland"]

COMMENCED: Final = dt.date(2026, 2, 5)
"""Sections 67 and 70 of the Data (Use and Access) Act 2025 came into force: SI 2026/82, regulation 2(a) and (c)."""

VERIFY: Final = "verify before relying on it"
RANK: Final[Mapping[str, int]] = {"error": 0, "warning": 1, "note": 2}


class Problem(NamedTuple):
    """One thing that a rule found. ``severity``: milder than the rule's own, where it found something lesser."""

    place: str
    message: str
    hint: str
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Who signed a rule, being competent in data protection law of the United Kingdom, and when."""

    by: str
    on: dt.date


@dataclass(frozen=True, slots=True)
class Ground:
    """One party's ground within its specification: what most rules look at."""

    spec: Spec
    party: str
    legal: Legal

    @property
    def place(self) -> str:
        return f"legal.{self.party}"

    @property
    def tables(self) -> tuple[Dataset, ...]:
        return tuple(dataset for dataset in self.spec.datasets if self.party in dataset.parties)

    @property
    def article6(self) -> str:
        return iris.short(self.legal.article6)

    @property
    def article9(self) -> str | None:
        return None if self.legal.article9 is None else iris.short(self.legal.article9)

    @property
    def starts(self) -> dt.date:
        return self.spec.validity.not_before

    def sensitive(self, *kinds: str) -> tuple[str, ...]:
        """This party's columns that are declared to be of these kinds, as table.column."""
        return tuple(
            f"{table.name}.{name}"
            for table in self.tables
            for name, column in table.columns.items()
            if column.sensitivity in kinds
        )

    @property
    def patient_tables(self) -> tuple[str, ...]:
        """Tables of confidential patient information: as declared, else all that hold special category data."""
        return tuple(table.name for table in self.tables if _of_patients(table))

    def within(self, territory: Territory) -> bool:
        """False only if the jurisdiction is known and is elsewhere."""
        where = iris.short(self.legal.jurisdiction)
        return territory == "United Kingdom" or where not in iris.JURISDICTIONS or where in iris.SCOTLAND


def _of_patients(table: Dataset) -> bool:
    if table.patient_information is not None:
        return table.patient_information
    return any(column.sensitivity == "special category" for column in table.columns.values())


Found = Iterator[Problem]
OfGround = Callable[[Ground], Found]
OfSpec = Callable[[Spec], Found]


@dataclass(frozen=True, slots=True)
class LegalRule:
    """A rule of the catalogue. ``fires``: when, in words; ``starts`` and ``ends``: the dates within which it is law."""

    id: str
    severity: Severity
    fires: str
    citation: str
    territory: Territory
    starts: dt.date | None
    ends: dt.date | None
    of_ground: OfGround | None
    of_spec: OfSpec | None
    reviewed: Reviewed | None = None

    @property
    def standing(self) -> str:
        return "" if self.reviewed else "unreviewed"

    def applies(self, spec: Spec) -> bool:
        """True if a run could happen while this rule is law."""
        validity = spec.validity
        return (self.starts is None or validity.not_after >= self.starts) and (
            self.ends is None or validity.not_before <= self.ends
        )

    def findings(self, spec: Spec, drafted: tuple[str, ...]) -> Iterator[Finding]:
        """Everything that this rule says of a specification, but of places that begin with one of ``drafted``."""
        if not self.applies(spec):
            return
        for found in self._problems(spec):
            if not found.place.startswith(drafted):
                severity = found.severity or self.severity
                yield Finding(self.id, severity, found.place, found.message, found.hint, self.citation, self.standing)

    def _problems(self, spec: Spec) -> Found:
        if self.of_spec is not None:
            yield from self.of_spec(spec)
        if self.of_ground is not None:
            for party, legal in spec.legal.items():
                ground = Ground(spec, party, legal)
                if ground.within(self.territory):
                    yield from self.of_ground(ground)


def drafted_of(spec: Spec) -> tuple[str, ...]:
    """Beginnings of places that a draft leaves open. A part with a placeholder is not judged: no server runs it."""
    parts = {".".join(path.split(".")[: 2 if path.startswith("legal.") else 1]) for path in design_fields(spec)}
    grounds = ("party", "dataset.") if any(part.startswith("legal.") for part in parts) else ()
    return (*(f"{part}." for part in sorted(parts)), *grounds)


RULES: Final[dict[str, LegalRule]] = {}
"""The catalogue, in the order of ids."""


def _enter(rule: LegalRule) -> None:
    if rule.id in RULES:
        raise ValueError(f"two rules are called {rule.id}")
    RULES[rule.id] = rule


def of_ground(
    id: str,
    severity: Severity,
    fires: str,
    citation: str,
    *,
    territory: Territory = "United Kingdom",
    starts: dt.date | None = None,
    ends: dt.date | None = None,
) -> Callable[[OfGround], OfGround]:
    """Enter a rule that looks at each party's ground."""

    def enter(check: OfGround) -> OfGround:
        _enter(LegalRule(id, severity, fires, citation, territory, starts, ends, check, None))
        return check

    return enter


def of_spec(
    id: str,
    severity: Severity,
    fires: str,
    citation: str,
    *,
    starts: dt.date | None = None,
    ends: dt.date | None = None,
) -> Callable[[OfSpec], OfSpec]:
    """Enter a rule that looks at the whole specification, wherever its parties are."""

    def enter(check: OfSpec) -> OfSpec:
        _enter(LegalRule(id, severity, fires, citation, "United Kingdom", starts, ends, None, check))
        return check

    return enter


# -- reading what people wrote ----------------------------------------------------------------------------------------

_NOTHING: Final = frozenset(
    (
        *("none", "nil", "no", "n/a", "na", "not applicable", "not stated", "not known", "unknown", "pending", "todo"),
        *("tbc", "tbd", "to be confirmed", "to be decided", "to be determined", "x", "?", "-", "—"),
    )
)
_PARAGRAPH: Final = re.compile(r"\bpara(?:graph)?s?\b\.?\s*(\d+)", re.IGNORECASE)
_SECTION_251: Final = re.compile(r"\b(?:s|sec|sect|section)\.?\s*251\b|\bpets:Section251\b", re.IGNORECASE)
_SECTION_64: Final = re.compile(
    r"(?:digital economy act|\bDEA\b).*?\b(?:s|sec|sect|section)\.?\s*64\b|"
    r"\b(?:s|sec|sect|section)\.?\s*64\b.*?(?:digital economy act|\bDEA\b)",
    re.IGNORECASE | re.DOTALL,
)


def words(text: str) -> str:
    """A text as it is compared: small letters, single spaces, no final stop."""
    return " ".join(text.casefold().split()).rstrip(".")


def blank(text: str | None) -> bool:
    """True if a text says nothing: left out, or a placeholder such as "tbc" or "none"."""
    return text is None or words(text) in _NOTHING or not words(text)


def paragraphs(text: str) -> tuple[int, ...]:
    """Paragraphs of a schedule that a text names: ``Schedule 1 paragraph 4`` gives (4,)."""
    return tuple(int(number) for number in _PARAGRAPH.findall(text))


def cites_section_251(text: str | None) -> bool:
    return text is not None and _SECTION_251.search(text) is not None


def cites_section_64(text: str | None) -> bool:
    """True if a text names section 64 of the Digital Economy Act 2017, the research power."""
    return text is not None and (iris.DEA_RESEARCH in iris.short(text) or _SECTION_64.search(text) is not None)
