"""The disclosure report as one self-contained page, without script, for screen, print and screen reader."""

import re
from html import escape
from typing import Final

from pets.check.blocks import Block, Code, Grid, Marks, Pairs, Picture, Points, Report, Section, Text
from pets.check.checked import Checked
from pets.check.labels import Coalition, Mark
from pets.check.picture import svg
from pets.check.report import report
from pets.check.style import CSS

_CLASS: Final = {
    Mark.VISIBLE: "v",
    Mark.AGGREGATE: "a",
    Mark.SIZE: "s",
    Mark.NOISED: "n",
    Mark.HELD: "h",
    Mark.NEVER: "x",
}


def frame(review: Checked, *, height: int = 640) -> str:
    """The page in a frame, for notebooks: its style ends there, it runs no script and reaches nothing outside."""
    title = escape(f"Disclosure report: {review.spec.title}", quote=True)
    return (
        f'<iframe title="{title}" sandbox srcdoc="{escape(html(review), quote=True)}" '
        f'style="width:100%;height:{height}px;border:1px solid #c3cad3;border-radius:8px;background:#fff"></iframe>'
    )


def html(review: Checked) -> str:
    """The report as a page. Same review, same bytes; everything that an author wrote is escaped."""
    what = report(review)
    state = "accepted" if what.accepted else "refused"
    body = "".join(_section(number, section) for number, section in enumerate(what.sections, 1))
    contents = "".join(f'<li><a href="#{s.id}">{escape(s.title)}</a></li>' for s in what.sections)
    findings = "".join(_block(points) for points in what.findings)
    summary = "".join(f"<li>{escape(sentence)}</li>" for sentence in what.summary)
    return (
        '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(what.title)}: disclosure report</title><style>{CSS}</style></head><body>"
        '<a class="skip" href="#main">Skip to the report</a>'
        f'<header class="{state}"><p class="kind">Disclosure report for approvers</p><h1>{escape(what.title)}</h1>'
        f'<p class="verdict"><strong>{"Ready for approval" if what.accepted else "Refused"}</strong> '
        f"{escape(what.verdict)}</p><dl><dt>Valid</dt><dd>{escape(what.validity)}</dd>"
        f"<dt>Digest</dt><dd><code>{_digest(what.digest)}</code></dd></dl></header>"
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav><main id="main">'
        + (
            f'<section class="short" aria-labelledby="short"><h2 id="short">In short</h2><ul>{summary}</ul></section>'
            if summary
            else ""
        )
        + (f'<section class="findings" aria-label="Findings">{findings}</section>' if findings else "")
        + f"{body}</main>{_footer(what)}</body></html>\n"
    )


def _footer(what: Report) -> str:
    plan = f"<br>plan <code>{what.plan_digest}</code>" if what.plan_digest else ""
    return (
        f"<footer>This page was made from the specification with digest<br><code>{what.digest}</code>{plan}<br>"
        "It holds no records and no result.</footer>"
    )


def _digest(digest: str) -> str:
    """In groups of eight, so that two people can compare it by telephone."""
    return " ".join(digest[i : i + 8] for i in range(0, len(digest), 8))


def _section(number: int, section: Section) -> str:
    return (
        f'<section id="{section.id}" aria-labelledby="{section.id}-h"><h2 id="{section.id}-h">'
        f'<span class="number">{number}</span>{escape(section.title)}</h2>'
        f'<p class="question">{escape(section.question)}</p>{"".join(map(_block, section.blocks))}</section>'
    )


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Points(title, points, tone):
            heading = f"<h3>{escape(title)}</h3>" if title else ""
            return (
                f'<div class="points {tone}">{heading}<ul>{"".join(f"<li>{escape(p)}</li>" for p in points)}</ul></div>'
            )
        case Pairs(pairs):
            return f"<dl>{''.join(f'<dt>{escape(t)}</dt><dd>{_said(s)}</dd>' for t, s in pairs)}</dl>"
        case Code(caption, text):
            return f"<figure><figcaption>{escape(caption)}</figcaption><pre><code>{escape(text)}</code></pre></figure>"
        case Grid():
            return _grid(block)
        case Picture():
            return f'<figure class="picture"><figcaption>{escape(block.caption)}</figcaption>{svg(block)}</figure>'
        case Marks():
            return _marks(block)


def _said(text: str) -> str:
    return (
        f"<code>{_digest(text)}</code>" if len(text) == 64 and not set(text) - set("0123456789abcdef") else escape(text)
    )


def _grid(grid: Grid) -> str:
    def cell(i: int, text: str, row_head: bool) -> str:
        body = f"<code>{_breakable(text)}</code>" if i in grid.code and text else escape(text)
        kind = ' class="number"' if i in grid.numbers else ""
        return f'<th scope="row"{kind}>{body}</th>' if row_head else f"<td{kind}>{body}</td>"

    head = "".join(
        f'<th scope="col"{" class=number" if i in grid.numbers else ""}>{escape(text)}</th>' if text else "<td></td>"
        for i, text in enumerate(grid.head)
    )
    rows = "".join(f"<tr>{''.join(cell(i, text, i == 0) for i, text in enumerate(row))}</tr>" for row in grid.rows)
    return (
        f'<div class="wide"><table><caption>{escape(grid.caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _breakable(text: str) -> str:
    """Code that may be long: lines break after its own marks first."""
    return "<wbr>".join(map(escape, re.split(r"(?<=[/.*_])(?=\w)", text)))


def _marks(marks: Marks) -> str:
    columns = marks.matrix.columns
    groups = (
        ("alone", [c for c in columns if len(c.parties) == 1]),
        ("together, and the protocol stands", [c for c in columns if len(c.parties) > 1 and not c.beyond_model]),
        ("together, beyond what it stands for", [c for c in columns if c.beyond_model]),
    )
    over = "".join(
        f'<th colspan="{len(of)}" scope="colgroup" class="{_side(of[0])}">{words}</th>' for words, of in groups if of
    )
    names = "".join(
        f'<th scope="col" class="{_side(c)}"><span>{"<wbr>+ ".join(escape(p) for p in c.parties)}</span></th>'
        for c in columns
    )
    body = "".join(
        f'<tbody><tr class="group"><th colspan="{len(columns) + 1}" scope="rowgroup">{escape(heading)}</th></tr>'
        + "".join(
            f'<tr><th scope="row">{escape(line.name)}</th>'
            + "".join(_mark(line.row.cells[c.label], c, c.label in line.own) for c in columns)
            + "</tr>"
            for line in lines
        )
        + "</tbody>"
        for heading, lines in marks.groups
    )
    legend = "".join(
        f'<li><span class="m {_CLASS[mark]}">{_sign(mark)}</span> <span>{escape(mark.meaning)}</span></li>'
        for mark in Mark
    )
    return (
        f'<ul class="legend" aria-label="Marks">{legend}</ul><div class="wide"><table class="matrix">'
        "<caption>The disclosure matrix: what each party or group of parties sees of each value.</caption>"
        f'<thead><tr><td rowspan="2"></td>{over}</tr><tr>{names}</tr></thead>{body}</table></div>'
    )


def _side(column: Coalition) -> str:
    return "beyond" if column.beyond_model else "group" if len(column.parties) > 1 else "alone"


def _mark(mark: Mark, column: Coalition, own: bool) -> str:
    """One cell. What somebody sees because it is theirs is set apart from what is told to others."""
    shown = "own" if own and mark is Mark.VISIBLE else _CLASS[mark]
    told = f'<span class="m {shown}" title="{escape(mark.meaning)}">{_sign(mark)}</span>'
    return f'<td class="{_side(column)}">{told}</td>'


def _sign(mark: Mark) -> str:
    return "–" if mark is Mark.NEVER else mark.value
