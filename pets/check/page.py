"""The disclosure report as one self-contained page, without script, for screen, print and screen reader."""

import re
from html import escape
from typing import Final

from pets.check.blocks import Block, Cases, Code, Grid, Marks, Pairs, Picture, Points, Report, Section, Text, grouped
from pets.check.checked import Checked
from pets.check.disclosure import OWN
from pets.check.labels import Coalition, Mark
from pets.check.labels import legend as legend_of
from pets.check.picture import svg, words
from pets.check.report import report
from pets.check.style import CSS, print_footer

_CLASS: Final = {
    Mark.VISIBLE: "v",
    Mark.PROGRAM: "i",
    Mark.MATCHED: "i",
    Mark.AGGREGATE: "a",
    Mark.SIZE: "s",
    Mark.NOISED: "n",
    Mark.HELD: "h",
    Mark.NEVER: "x",
}
_SAID: Final = {
    Mark.VISIBLE: "visible",
    Mark.PROGRAM: "as a program's outputs tell",
    Mark.MATCHED: "visible of persons in both",
    Mark.AGGREGATE: "in exact sums",
    Mark.SIZE: "size",
    Mark.NOISED: "noised",
    Mark.HELD: "held, protected",
    Mark.NEVER: "never",
}
"""What a screen reader says in the place of a letter."""


_LONG: Final = 28
"""Characters of a word that a column of a table has room for."""


_PAGE: Final = 32
"""Rows of a table that a printed page has room for; a longer one is divided between rows, a shorter one is not."""


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
    body = "".join(_section(number, section) for number, section in what.numbered)
    return (
        '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(what.title)}: disclosure report</title>"
        f"<style>{CSS}{print_footer(what.digest)}</style></head><body>"
        '<a class="skip" href="#main">Skip to the report</a>'
        f'<header class="{state}"><p class="kind">Disclosure report for approvers</p><h1>{escape(what.title)}</h1>'
        f'<p class="verdict"><strong>{escape(what.state)}</strong> {escape(what.verdict)}</p>'
        f"<dl><dt>Valid</dt><dd>{escape(what.validity)}</dd>"
        f"<dt>Digest</dt><dd><code>{grouped(what.digest)}</code></dd></dl></header>"
        '<main id="main" tabindex="-1"><section class="minute" aria-labelledby="minute"><h2 id="minute">In one minute'
        f"</h2>{_pairs(what.minute)}</section>"
        + "".join(_findings(place, cases) for place, cases in enumerate(what.findings, 1))
        + f'<nav aria-labelledby="contents"><h2 id="contents">On this page</h2><ol>{_contents(what)}</ol></nav>'
        f"{body}</main>{_footer(what)}</body></html>\n"
    )


def _contents(what: Report) -> str:
    """Links to all sections; those that belong to another stand below it."""
    out = ""
    for number, s in what.numbered:
        link = f'<a href="#{s.id}"><span class="number">{number}</span> {escape(s.title)}</a>'
        if s.within:
            nested = out.endswith("</ol></li>")
            out = out.removesuffix("</ol></li>" if nested else "</li>")
            out += f"{'' if nested else '<ol>'}<li>{link}</li></ol></li>"
        else:
            out += f"<li>{link}</li>"
    return out


def _footer(what: Report) -> str:
    plan = f"<br>plan <code>{what.plan_digest}</code>" if what.plan_digest else ""
    return (
        f"<footer><p>This page was made from the specification with digest<br><code>{what.digest}</code>{plan}<br>"
        "It holds no records and no result.</p></footer>"
    )


def _findings(place: int, cases: Cases) -> str:
    return (
        f'<section class="findings {cases.tone}" aria-labelledby="findings-{place}">'
        f'<h2 id="findings-{place}">{escape(cases.title)}</h2>{_cases(cases)}</section>'
    )


def _section(number: str, section: Section) -> str:
    return (
        f'<section id="{section.id}" aria-labelledby="{section.id}-h"><h2 id="{section.id}-h">'
        f'<span class="number">{number}</span> {escape(section.title)}</h2><p class="question">'
        f"{escape(section.question)}</p>"
        + "".join(_block(block, f"{section.id}-{place}") for place, block in enumerate(section.blocks, 1))
        + "</section>"
    )


def _block(block: Block, name: str) -> str:
    """One part. ``name``: an id that no other part of the page has."""
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Points(title, points, tone):
            heading = f"<h3>{escape(title)}</h3>" if title else ""
            return (
                f'<div class="points {tone}">{heading}<ul>{"".join(f"<li>{escape(p)}</li>" for p in points)}</ul></div>'
            )
        case Pairs(pairs):
            return _pairs(pairs)
        case Cases(title, _, tone):
            return f'<div class="points list {tone}"><h3>{escape(title)}</h3>{_cases(block)}</div>'
        case Code(caption, text):
            return (
                f'<figure><figcaption id="{name}">{escape(caption)}</figcaption><pre tabindex="0" role="region" '
                f'aria-labelledby="{name}"><code>{escape(text)}</code></pre></figure>'
            )
        case Grid():
            return _grid(block, name)
        case Picture():
            said = "".join(f"<li>{escape(line)}</li>" for line in words(block))
            return (
                f'<figure class="picture"><figcaption id="{name}">{escape(block.caption)}</figcaption>'
                f'{_wide(name, svg(block))}<ul class="words">{said}</ul></figure>'
            )
        case Marks():
            return _marks(block, name)


def _wide(name: str, inside: str, kind: str = "") -> str:
    """What may be wider than the window: it scrolls by itself, also by keyboard."""
    return f'<div class="wide{kind}" role="region" tabindex="0" aria-labelledby="{name}">{inside}</div>'


def _pairs(pairs: tuple[tuple[str, str], ...]) -> str:
    return f"<dl>{''.join(f'<div><dt>{escape(t)}</dt><dd>{_said(s)}</dd></div>' for t, s in pairs)}</dl>"


def _said(text: str) -> str:
    """Prose, with digests in the type of code and in groups."""
    if re.fullmatch("[0-9a-f]{64}", text):
        return f"<code>{grouped(text)}</code>"
    return re.sub(r"(?:[0-9a-f]{8} ){7}[0-9a-f]{8}", r"<code>\g<0></code>", escape(text))


def _cases(cases: Cases) -> str:
    def row(word: str, said: str) -> str:
        told = escape(said) if word in ("Help", "Rests on") else f"<code>{escape(said)}</code>"
        return f"<div><dt>{word}</dt><dd>{told}</dd></div>"

    return (
        '<ol class="cases">'
        + "".join(
            f'<li><p class="message">{escape(f.message)}</p>'
            f"<dl>{''.join(row(word, said) for word, said in cases.of(f))}</dl></li>"
            for f in cases.cases
        )
        + "</ol>"
    )


def _grid(grid: Grid, name: str) -> str:
    """A table. On a phone each row becomes a card, in which every cell says its column; roles keep it a table."""

    def cell(i: int, text: str) -> str:
        body = f"<code>{_breakable(text)}</code>" if i in grid.code and text else _cell(text)
        kind = f' class="number{" short" if len(text) < 16 else ""}"' if i in grid.numbers else ""
        if i == 0:
            return f'<th scope="row" role="rowheader"{kind}>{body}</th>'
        return f'<td role="cell"{kind} data-of="{escape(grid.head[i], quote=True)}">{body}</td>'

    head = "".join(
        f'<th scope="col" role="columnheader"{" class=number" if i in grid.numbers else ""}>{escape(text)}</th>'
        if text
        else '<td role="cell"></td>'
        for i, text in enumerate(grid.head)
    )
    rows = "".join(f'<tr role="row">{"".join(cell(i, t) for i, t in enumerate(row))}</tr>' for row in grid.rows)
    table = _wide(
        name,
        f'<table role="table"{" class=long" if len(grid.rows) > _PAGE else ""}>'
        f'<caption id="{name}">{escape(grid.caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>',
        " grid",
    )
    return f"<details><summary>{escape(grid.caption)}</summary>{table}</details>" if grid.folded else table


def _breakable(text: str) -> str:
    """Code: lines break after its own marks, and in words that are too long for a table."""
    return "<wbr>".join(
        escape(part[i : i + _LONG])
        for part in re.split(r"(?<=[/.*:_-])(?=\w)", text)
        for i in range(0, len(part), _LONG)
    )


def _cell(text: str) -> str:
    """Prose in a table, where words that are too long for a column can be broken."""
    parts = re.split(rf"(\S{{{_LONG + 1},}})", text)
    return "".join(_breakable(part) if i % 2 else _said(part) for i, part in enumerate(parts))


def _marks(marks: Marks, name: str) -> str:
    columns = marks.matrix.columns
    groups = (
        ("alone", [c for c in columns if len(c.parties) == 1]),
        ("together, and the protocol stands", [c for c in columns if len(c.parties) > 1 and not c.beyond_model]),
        ("together, beyond what it stands for", [c for c in columns if c.beyond_model]),
    )
    over = "".join(
        f'<th colspan="{len(of)}" scope="colgroup" class="{_side(of[0])}">{said}</th>' for said, of in groups if of
    )
    names = "".join(
        f'<th scope="col" class="{_side(c)}">{" +<wbr> ".join(_breakable(p) for p in c.parties)}</th>' for c in columns
    )
    body = "".join(
        f'<tbody><tr class="group"><th colspan="{len(columns) + 1}" scope="rowgroup">{escape(heading)}</th></tr>'
        + "".join(
            f'<tr><th scope="row">{_breakable(line.name)}</th>'
            + "".join(_mark(line.row.cells[c.label], c, c.label in line.own) for c in columns)
            + "</tr>"
            for line in lines
        )
        + "</tbody>"
        for heading, lines in marks.groups
    )
    legend = "".join(
        f"<div><dt>{_letter(mark)}</dt><dd>{escape(mark.meaning)}</dd></div>" for mark in legend_of(marks.matrix)
    )
    return (
        f'<h3 id="{name}-legend">What the letters mean</h3>'
        f'<dl class="legend" aria-labelledby="{name}-legend">{legend}'
        f"<div><dt>{_letter(Mark.VISIBLE, own=True)}</dt><dd>{OWN}</dd></div></dl>"
        + _wide(
            name,
            f'<table class="matrix{" long" if len(marks.matrix.rows) > _PAGE else ""}"><caption id="{name}">'
            "The disclosure matrix: what each party or group of parties sees of each value.</caption>"
            f'<thead><tr><td rowspan="2"></td>{over}</tr><tr>{names}</tr></thead>{body}</table>',
        )
    )


def _side(column: Coalition) -> str:
    return "beyond" if column.beyond_model else "group" if len(column.parties) > 1 else "alone"


def _mark(mark: Mark, column: Coalition, own: bool) -> str:
    """One cell. What somebody sees because it is theirs is set apart, by brackets, from what is told to others."""
    mine = own and mark is Mark.VISIBLE
    said = "visible, its own" if mine else _SAID[mark]
    return (
        f'<td class="{_side(column)}"><span aria-hidden="true">{_letter(mark, own=mine)}</span>'
        f'<span class="sr">{said}</span></td>'
    )


def _letter(mark: Mark, *, own: bool = False) -> str:
    if own:
        return f'<span class="m own">({mark.value})</span>'
    return f'<span class="m {_CLASS[mark]}">{"–" if mark is Mark.NEVER else mark.value}</span>'
