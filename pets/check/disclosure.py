"""The disclosure report as plain text of at most 100 columns, and as JSON."""

import re
from textwrap import wrap
from typing import Final

from pets.check.blocks import Block, Code, Grid, Marks, Pairs, Picture, Points, Text, size
from pets.check.checked import Checked
from pets.check.labels import Mark
from pets.check.report import report

WIDTH: Final = 100
_MARKS: Final = {"good": "+", "bad": "!", "warn": "!", "plain": "-"}


def render(review: Checked) -> str:
    """The report as text, without the list of all fields, which the page has. Same review, same bytes."""
    what = report(review)
    lines = ["=" * WIDTH, *_fold(what.title, ""), *_fold(what.verdict, ""), "=" * WIDTH, ""]
    for sentence in what.summary:
        lines += _fold(sentence, "  * ")
    lines += [""] * bool(what.summary)
    for points in what.findings:
        lines += [*_block(points), ""]
    for section in what.sections:
        if section.id == "fields":
            continue
        lines += [f"{section.title.upper()}: {section.question}", "-" * WIDTH]
        for block in section.blocks:
            lines += [*_block(block), ""]
    lines += [f"valid: {what.validity}", f"digest: {what.digest}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def to_json(review: Checked) -> dict[str, object]:
    """What ``pets check --json`` prints."""
    verdict = review.verdict
    return {
        "accepted": verdict.accepted and review.plan is not None,
        "digest": review.digest,
        "plan_digest": review.plan_digest,
        "findings": [
            {"rule": f.rule, "severity": f.severity, "path": f.path, "message": f.message, "hint": f.hint}
            for f in verdict.findings
        ],
        "matrix": verdict.matrix.to_json(),
        "losses": {
            name: {"epsilon": str(loss.epsilon), "delta": str(loss.delta)} for name, loss in verdict.losses.items()
        },
    }


def _fold(text: str, bullet: str, indent: int | None = None) -> list[str]:
    gap = " " * (len(bullet) if indent is None else indent)
    return wrap(text, WIDTH, initial_indent=bullet, subsequent_indent=gap) or [bullet]


def _block(block: Block) -> list[str]:
    match block:
        case Text(text):
            return _fold(text, "")
        case Points(title, points, tone):
            return [*([f"{title}:"] if title else []), *(x for p in points for x in _fold(p, f"  {_MARKS[tone]} "))]
        case Pairs(pairs):
            width = max(len(term) for term, _ in pairs)
            return [line for term, said in pairs for line in _fold(said, f"{term:<{width}}  ")]
        case Code(caption, text):
            return [f"{caption}:", *(part for line in text.splitlines() for part in _fold(line, "    ", 8))]
        case Grid():
            return _grid(block)
        case Picture(caption, _, flows):
            return [caption, *(f"  {f.sender} -> {f.receiver}: {size(f.size)}, {f.what}" for f in flows)]
        case Marks():
            return _marks(block)


def _grid(grid: Grid) -> list[str]:
    """Columns share the width by need: what is short keeps its own, what is long is folded."""
    rows = (grid.head, *grid.rows)
    count = len(grid.head)
    widest = [max(len(row[i]) for row in rows) for i in range(count)]
    room = WIDTH - 2 * (count - 1)
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
    return [*_fold(grid.caption, ""), *line(grid.head), "  ".join("-" * w for w in widths), *body]


def _code(text: str, width: int) -> list[str]:
    """Fold code after its own marks, so that names stay whole where they can."""
    lines = [""]
    for part in re.split(r"(?<=[*(/. ])", text):
        if len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in wrap(line, width)]


def _marks(marks: Marks) -> list[str]:
    columns = marks.matrix.columns
    beyond = "  (beyond the model)"
    lines = [f"{i:>3}  {c.label}{beyond if c.beyond_model else ''}" for i, c in enumerate(columns, 1)]
    room = WIDTH - 4 * len(columns) - 2
    lines += ["", " " * room + "".join(f"{i:>4}" for i in range(1, len(columns) + 1))]
    for heading, entries in marks.groups:
        lines.append(heading)
        for entry in entries:
            folded = wrap(entry.name, room - 4)
            cells = "".join(f"{entry.row.cells[c.label].value:>4}" for c in columns)
            lines += [*(f"  {part}" for part in folded[:-1]), f"  {folded[-1]:<{room - 2}}{cells}"]
    return [*lines, "", *(f"  {mark.value}  {mark.meaning}" for mark in Mark)]
