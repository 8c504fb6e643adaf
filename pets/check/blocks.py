"""The parts that a report is made of, and the words that numbers and values get in it.

A report is content, not layout: ``disclosure.py`` prints these parts as text, ``page.py`` as a page.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from pets.check.labels import Finding, Matrix, Row
from pets.ids import MISSING, PartyId
from pets.spec.model import Column

MANY: Final = 24
"""Levels of a column that are written out; of longer lists the first and the number."""

# -- blocks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """A list. ``title`` may be empty; ``tone`` is "plain", "good" or "warn"."""

    title: str
    points: tuple[str, ...]
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Pairs:
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Cases:
    """Findings under a heading, each with its place, its rule and the smallest change that would help."""

    title: str
    cases: tuple[Finding, ...]
    tone: str = "bad"

    @staticmethod
    def of(finding: Finding) -> tuple[tuple[str, str], ...]:
        """What is said of one, beside its message, under which word. Legal rules also say what they rest on."""
        rule = f"{finding.rule}, {finding.grade}" if finding.citation else finding.rule
        rests = (("Rests on", finding.citation),) if finding.citation else ()
        return (("Where", finding.path), ("Rule", rule), *rests, ("Help", finding.hint))


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; its first column names the row. ``numbers``: columns set to the right; ``code``: in the type of code.

    ``folded``: a page shows its caption, and its rows to whoever asks for them; printed it is open, if browsers can.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    code: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """A text that is signed. ``exact``: its lines are not folded, because how they begin says what they mean."""

    caption: str
    text: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """One arrow of the picture: everything that one party sends another."""

    sender: PartyId
    receiver: PartyId
    size: int
    what: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Who sends what to whom. ``boxes``: role, party and what it is."""

    caption: str
    boxes: tuple[tuple[str, PartyId, str], ...]
    flows: tuple[Flow, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the matrix under a readable name. ``own``: columns whose parties hold or receive the value anyway."""

    name: str
    row: Row
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Marks:
    """The disclosure matrix, its rows in groups under headings."""

    matrix: Matrix
    groups: tuple[tuple[str, tuple[Line, ...]], ...]


Block = Text | Points | Pairs | Cases | Grid | Code | Picture | Marks


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report. ``within``: it belongs to the numbered section before it, as 4.1 to 4."""

    id: str
    title: str
    question: str
    blocks: tuple[Block, ...]
    within: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report. ``state`` is two or three words, ``verdict`` one sentence.

    ``minute`` answers, on half a screen, what an approver asks first. ``omitted``: fields of the specification that are
    not written out in full, with the number of values that are left out of each.
    """

    title: str
    accepted: bool
    state: str
    verdict: str
    minute: tuple[tuple[str, str], ...]
    findings: tuple[Cases, ...]
    sections: tuple[Section, ...]
    omitted: tuple[tuple[str, int], ...]
    digest: str
    plan_digest: str | None
    validity: str

    @property
    def numbered(self) -> tuple[tuple[str, Section], ...]:
        """The sections under their numbers: 4, 4.1, 4.2, 5."""
        out, whole, part = [], 0, 0
        for section in self.sections:
            whole, part = (whole, part + 1) if section.within else (whole + 1, 0)
            out.append((f"{whole}.{part}" if part else str(whole), section))
        return tuple(out)


# -- words ------------------------------------------------------------------------------------------------------------


def size(count: int) -> str:
    """Bytes for people: 940 B, 12 kB, 94.1 MB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            tenths = (count * 10 + unit // 2) // unit
            return f"{tenths // 10}.{tenths % 10} {name}" if tenths < 1000 else f"{(count + unit // 2) // unit} {name}"
    return f"{count} B"


def duration(milliseconds: int) -> str:
    """A time for people: 240 ms, 1.8 s, 4 min, 2 h."""
    if milliseconds < 1000:
        return f"{(milliseconds + 5) // 10 * 10} ms"
    if milliseconds < 100_000:
        tenths = (milliseconds + 50) // 100
        return f"{tenths // 10}.{tenths % 10} s" if tenths < 100 else f"{(milliseconds + 500) // 1000} s"
    minutes = (milliseconds + 30_000) // 60_000
    return f"{minutes} min" if minutes < 120 else f"{(minutes + 30) // 60} h"


def about(value: Fraction) -> str:
    """A quantity to three significant digits, rounded up, with thousands set apart."""
    if value == 0:
        return "0"
    if value >= 1000:
        digits = len(str(int(value))) - 3
        step = 10**digits
        return f"{-(-value // step) * step:,}"
    places = 0
    while value * 10**places < 100 and places < 6:
        places += 1
    scaled = -(-value * 10**places // 1)
    return f"{Decimal(scaled).scaleb(-places).normalize():f}"


def odds(epsilon: Fraction) -> str:
    """e^epsilon to two digits: what a loss of epsilon means for somebody's suspicion."""
    context = Context(prec=30)
    factor = context.exp(context.divide(Decimal(epsilon.numerator), Decimal(epsilon.denominator)))
    if factor >= 1000:
        return "more than 1,000"
    return f"{factor.quantize(Decimal('0.1'), context=context).normalize():f}"


_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def day(date: dt.date) -> str:
    """A day as people write it, whatever the language of the machine: 1 December 2026."""
    return f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def plural(count: int, one: str, many: str = "") -> str:
    """one row; 1,250 rows."""
    return f"one {one}" if count == 1 else f"{count:,} {many or one + 's'}"


def grouped(digest: str) -> str:
    """A digest in groups of eight, so that two people can compare it by telephone."""
    return " ".join(digest[i : i + 8] for i in range(0, len(digest), 8))


def listed(names: Iterable[str]) -> str:
    """a; a and b; a, b and c."""
    items = list(names)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "nothing"


def levels(column: Column) -> str:
    """What values a column may have."""
    if column.role == "person id":
        return f"scheme {column.scheme}"
    if column.levels:
        shown = ", ".join(column.levels[:MANY])
        more = len(column.levels) - MANY
        return f"{shown}{f' and {more:,} more (in the specification)' if more > 0 else ''}; {MISSING}"
    if column.role == "measure":
        unit = f" {column.unit}" if column.unit else ""
        places = f", {column.places} decimal places" if column.places else ""
        clamp = ", values outside are moved to the edge" if column.clamp else ", values outside are refused"
        return f"{column.min} to {column.max}{unit}{places}{clamp}{', never empty' if column.required else ''}"
    return f"any {column.type}"
