"""The disclosure report as plain text of at most 100 columns, or as many as the terminal has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pets.check.blocks import (
    Block,
    Cases,
    Code,
    Grid,
    Marks,
    Pairs,
    Picture,
    Points,
    Report,
    Section,
    Text,
    grouped,
    size,
)
from pets.check.checked import Checked
from pets.check.fold import columns, fold, pad, width
from pets.check.labels import Mark
from pets.check.labels import legend as legend_of
from pets.check.report import report

WIDTH: Final = 100
NARROWEST: Final = 72
_BULLETS: Final = {"good": "+", "bad": "!", "warn": "!", "plain": "-"}
_TERM: Final = 26
"""The widest first column of a list of terms."""
_NAME: Final = 20
"""Columns that a name of the matrix has at least."""


def render(review: Checked, *, width: int | None = None, brief: bool = False) -> str:
    """The report as text. Same review and width, same bytes.

    ``width``: columns of the terminal; 72 to 100 of them are used, 100 if it is left out.
    ``brief``: for an author who goes on writing. A refusal and its reasons, without the sections; else all but the list
               of fields. The last line says where the rest is.
    """
    return _Layout(max(NARROWEST, min(WIDTH, width or WIDTH))).text(report(review), brief=brief)


def render_sections(sections: Sequence[Section], *, width: int | None = None) -> str:
    """Sections that are no whole report, as text."""
    layout, lines = _Layout(max(NARROWEST, min(WIDTH, width or WIDTH))), list[str]()
    for number, section in enumerate(sections, 1):
        lines += [*layout.fold(f"{number}  {section.title.upper()}: {section.question}"), "-" * layout.width]
        for block in section.blocks:
            lines += [*layout.block(block), ""]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The parts of a report as lines of at most ``width`` columns."""

    width: int

    def text(self, what: Report, *, brief: bool) -> str:
        rule = "=" * self.width
        lines = [rule, *self.fold(what.title), *self.fold(f"{what.state.upper()}. {what.verdict}"), rule, ""]
        lines += ["IN ONE MINUTE", "-" * self.width, *self.block(Pairs(what.minute)), ""]
        for cases in what.findings:
            lines += [*self.block(cases), ""]
        for number, section in self.shown(what, brief):
            lines += [*self.fold(f"{number}  {section.title.upper()}: {section.question}"), "-" * self.width]
            for block in section.blocks:
                lines += [*self.block(block), ""]
        lines += [rule, *self.fold(f"{what.state.upper()}: {what.title}")]
        lines += [*self.fold(f"valid: {what.validity}"), f"digest: {what.digest}"]
        if brief:
            lines += self.fold("The whole report, with every field: pets explain SPEC")
        return "\n".join(line.rstrip() for line in lines) + "\n"

    @staticmethod
    def shown(what: Report, brief: bool) -> tuple[tuple[str, Section], ...]:
        """The sections that are printed."""
        if not brief:
            return what.numbered
        return what.numbered[:-1] if what.accepted else ()

    def fold(self, text: str, bullet: str = "") -> list[str]:
        return fold(text, self.width, bullet)

    def block(self, block: Block) -> list[str]:
        match block:
            case Text(text):
                return self.fold(text)
            case Points(title, points, tone):
                said = [line for point in points for line in self.fold(point, f"  {_BULLETS[tone]} ")]
                return [*([f"{title}:"] if title else []), *said]
            case Pairs(pairs):
                return self.pairs(pairs)
            case Cases():
                return self.cases(block)
            case Code(caption, text, exact=True):
                return [f"{caption}:", *(f"    {line}".rstrip() for line in text.splitlines())]
            case Code(caption, text):
                return [
                    f"{caption}:",
                    *(p for line in text.splitlines() for p in fold(line, self.width, "    ", " " * 8)),
                ]
            case Grid():
                return self.grid(block)
            case Picture(caption, _, flows):
                sent = [f"{f.sender} -> {f.receiver}: {size(f.size)}, {f.what}" for f in flows]
                return [*self.fold(caption), *(line for each in sent for line in self.fold(each, "  "))]
            case Marks():
                return self.marks(block)

    def pairs(self, pairs: tuple[tuple[str, str], ...]) -> list[str]:
        """Terms on the left, what is said of them on the right; a long term has lines of its own."""
        room = min(_TERM, max(width(term) for term, _ in pairs))
        lines = []
        for term, plain in pairs:
            said = grouped(plain) if re.fullmatch("[0-9a-f]{64}", plain) else plain
            if width(term) > room:
                lines += [*self.fold(term), *self.fold(said, " " * (room + 2))]
            else:
                lines += self.fold(said, pad(term, room + 2))
        return lines

    def cases(self, cases: Cases) -> list[str]:
        """Each finding: what is wrong, then where, by which rule, and what would help."""
        lines = [f"{cases.title}:"]
        for case in cases.cases:
            lines += self.fold(case.message, f"  {_BULLETS[cases.tone]} ")
            for word, said in cases.of(case):
                lines += self.fold(said, f"      {word.lower():<10}")
        return lines

    def grid(self, grid: Grid) -> list[str]:
        head, *rows = columns((grid.head, *grid.rows), self.width, numbers=grid.numbers)
        rule = "-" * max(width(line) for row in (head, *rows) for line in row)
        return [*self.fold(grid.caption), *head, rule, *(line for row in rows for line in row)]

    def marks(self, marks: Marks) -> list[str]:
        """The matrix under numbered columns; a mark in brackets is of what the column's parties hold anyway."""
        parties = marks.matrix.columns
        lines = [f"{i:>3}  {c.label}{'  (beyond the model)' * c.beyond_model}" for i, c in enumerate(parties, 1)]
        tables = -(-len(parties) // ((self.width - 2 - _NAME) // 4))  # of so many columns as there is room for
        most = -(-len(parties) // tables)
        for first in range(0, len(parties), most):
            lines += self.marks_of(marks, range(first, min(first + most, len(parties))))
        legend = [*((mark.value, mark.meaning) for mark in legend_of(marks.matrix)), ("(V)", OWN)]
        return [*lines, "", *(line for sign, said in legend for line in self.fold(said, f"  {sign:<5}"))]

    def marks_of(self, marks: Marks, numbers: range) -> list[str]:
        """The lines of the matrix with some of its columns, from number 0."""
        parties = marks.matrix.columns[numbers.start : numbers.stop]
        room = self.width - 4 * len(parties) - 2
        lines = ["", " " * room + "".join(f"{i + 1:>3} " for i in numbers)]
        for heading, entries in marks.groups:
            lines += self.fold(heading)
            for entry in entries:
                folded = fold(entry.name, room, "  ")
                cells = "".join(
                    f"({entry.row.cells[c.label].value})".rjust(4)
                    if c.label in entry.own and entry.row.cells[c.label] is Mark.VISIBLE
                    else f"{entry.row.cells[c.label].value:>3} "
                    for c in parties
                )
                lines += [*folded[:-1], pad(folded[-1], room) + cells]
        return lines


OWN: Final = "visible, and its own: records it holds, or the table that is released to it"
"""What a V in brackets means."""
