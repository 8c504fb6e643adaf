"""The disclosure report as plain text of at most 100 columns, or as many as the terminal has, and as JSON."""

import re
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from pets.check.blocks import Block, Code, Grid, Marks, Pairs, Picture, Points, Report, Text, size
from pets.check.checked import Checked
from pets.check.labels import Mark
from pets.check.report import report

WIDTH: Final = 100
NARROWEST: Final = 72
_MARKS: Final = {"good": "+", "bad": "!", "warn": "!", "plain": "-"}


def render(review: Checked, *, width: int | None = None) -> str:
    """The report as text, without the list of all fields, which the page has. Same review and width, same bytes.

    ``width``: columns of the terminal; 72 to 100 of them are used, 100 if it is left out.
    """
    return _Layout(max(NARROWEST, min(WIDTH, width or WIDTH))).text(report(review))


def to_json(review: Checked) -> dict[str, object]:
    """What ``pets check --json`` prints."""
    verdict = review.verdict
    return {
        "accepted": verdict.accepted and review.plan is not None,
        "digest": review.digest,
        "plan_digest": review.plan_digest,
        "findings": [found.to_json() for found in verdict.findings],
        "matrix": verdict.matrix.to_json(),
        "losses": {
            name: {"epsilon": str(loss.epsilon), "delta": str(loss.delta)} for name, loss in verdict.losses.items()
        },
    }


@dataclass(frozen=True, slots=True)
class _Layout:
    """The parts of a report as lines of at most ``width`` columns."""

    width: int

    def text(self, what: Report) -> str:
        rule = "=" * self.width
        lines = [rule, *self.fold(what.title, ""), *self.fold(what.verdict, ""), rule, ""]
        for sentence in what.summary:
            lines += self.fold(sentence, "  * ", 4)
        lines += [""] * bool(what.summary)
        for points in what.findings:
            lines += [*self.block(points), ""]
        for section in what.sections:
            if section.id == "fields":
                continue
            lines += [*self.fold(f"{section.title.upper()}: {section.question}", ""), "-" * self.width]
            for block in section.blocks:
                lines += [*self.block(block), ""]
        lines += [f"valid: {what.validity}", f"digest: {what.digest}"]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def fold(self, text: str, bullet: str, indent: int | None = None) -> list[str]:
        gap = " " * (len(bullet) if indent is None else indent)
        return wrap(text, self.width, initial_indent=bullet, subsequent_indent=gap) or [bullet]

    def block(self, block: Block) -> list[str]:
        match block:
            case Text(text):
                return self.fold(text, "")
            case Points(title, points, tone):
                return [
                    *([f"{title}:"] if title else []),
                    *(x for p in points for x in self.fold(p, f"  {_MARKS[tone]} ")),
                ]
            case Pairs(pairs):
                width = max(len(term) for term, _ in pairs)
                return [line for term, said in pairs for line in self.fold(said, f"{term:<{width}}  ")]
            case Code(caption, text):
                return [f"{caption}:", *(part for line in text.splitlines() for part in self.fold(line, "    ", 8))]
            case Grid():
                return self.grid(block)
            case Picture(caption, _, flows):
                return [caption, *(f"  {f.sender} -> {f.receiver}: {size(f.size)}, {f.what}" for f in flows)]
            case Marks():
                return self.marks(block)

    def grid(self, grid: Grid) -> list[str]:
        """Columns share the width by need: what is short keeps its own, what is long is folded."""
        rows = (grid.head, *grid.rows)
        count = len(grid.head)
        widest = [max(len(row[i]) for row in rows) for i in range(count)]
        room = self.width - 2 * (count - 1)
        widths = list(widest)
        while sum(widths) > room:
            widths[widths.index(max(widths))] -= 1

        def line(row: tuple[str, ...]) -> list[str]:
            cells = [
                (_code(cell, width) if i in grid.code else wrap(cell, width)) or [""]
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            height = max(map(len, cells))
            return [
                "  ".join(
                    f"{part:>{w}}" if i in grid.numbers else f"{part:<{w}}"
                    for i, (part, w) in enumerate(zip(parts, widths, strict=True))
                )
                for parts in zip(*(cell + [""] * (height - len(cell)) for cell in cells), strict=True)
            ]

        body = [text for row in grid.rows for text in line(row)]
        return [*self.fold(grid.caption, ""), *line(grid.head), "  ".join("-" * w for w in widths), *body]

    def marks(self, marks: Marks) -> list[str]:
        columns = marks.matrix.columns
        beyond = "  (beyond the model)"
        lines = [f"{i:>3}  {c.label}{beyond if c.beyond_model else ''}" for i, c in enumerate(columns, 1)]
        room = self.width - 4 * len(columns) - 2
        lines += ["", " " * room + "".join(f"{i:>4}" for i in range(1, len(columns) + 1))]
        for heading, entries in marks.groups:
            lines.append(heading)
            for entry in entries:
                folded = wrap(entry.name, room - 4)
                cells = "".join(f"{entry.row.cells[c.label].value:>4}" for c in columns)
                lines += [*(f"  {part}" for part in folded[:-1]), f"  {folded[-1]:<{room - 2}}{cells}"]
        return [*lines, "", *(f"  {mark.value}  {mark.meaning}" for mark in Mark)]


def _code(text: str, width: int) -> list[str]:
    """Fold code after its own marks, so that names stay whole where they can."""
    lines = [""]
    for part in re.split(r"(?<=[*(/. ])", text):
        if len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in wrap(line, width)]
