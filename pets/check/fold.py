"""Lines of a terminal: how wide a text is there, how it is folded and set in columns.

Chinese, Japanese and Korean characters take two columns, combining marks none (Unicode Standard Annex 11).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

_BREAKS: Final = re.compile(r"(?<=[-/.*(:_@,])(?=.)")
"""Where a word that does not fit is broken first."""
_SHORT: Final = 12
"""A column of a table keeps words whole up to this width, while another column has room to give."""


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, room: int, *, right: bool = False) -> str:
    """The text with spaces up to ``room`` columns, set to the right if asked."""
    space = " " * max(0, room - width(text))
    return space + text if right else text + space


def fold(text: str, room: int, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most ``room`` columns. ``first`` starts the first line, ``rest`` (default: as wide) the others."""
    follow = " " * width(first) if rest is None else rest
    lines, line, start = [], first, True
    for word in text.split():
        inside = room - width(follow)
        pieces = [word] if width(word) <= inside else _pieces(word, inside)
        for place, piece in enumerate(pieces):
            gap = "" if start or place else " "
            if not start and width(line) + len(gap) + width(piece) > room:
                lines.append(line)
                line, gap = follow, ""
            line += gap + piece
            start = False
    return [*lines, line]


def _pieces(word: str, room: int) -> list[str]:
    """A word in parts that fit: after its own marks where that is enough, in mid word where it is not."""
    parts = [""]
    for piece in _BREAKS.split(word):
        for character in [piece] if width(piece) <= room else piece:
            if width(parts[-1]) + width(character) > room and parts[-1]:
                parts.append("")
            parts[-1] += character
    return parts


def columns(rows: Sequence[Sequence[str]], room: int, *, numbers: Iterable[int] = ()) -> list[list[str]]:
    """Rows of cells as lines, for each row: columns share ``room`` by need, two spaces apart.

    What is short keeps its own width, what is long is folded; a word is broken if it takes more than its share.
    ``numbers``: columns that are set to the right.
    """
    right = frozenset(numbers)
    widths = _widths(rows, room)
    out = []
    for row in rows:
        cells = [fold(cell, w) for cell, w in zip(row, widths, strict=True)]
        height = max(map(len, cells))
        out.append(
            [
                "  ".join(
                    pad(cell[line] if line < len(cell) else "", w, right=i in right)
                    for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
                ).rstrip()
                for line in range(height)
            ]
        )
    return out


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """Widths of the columns: a narrower one each time where it makes the table least longer."""
    count = len(rows[0])
    needs = [[width(cell) for cell in row] for row in rows]
    widths = [max(1, *(row[i] for row in needs)) for i in range(count)]
    words = [max([1, *(width(word) for row in rows for word in row[i].split())]) for i in range(count)]
    spare = room - 2 * (count - 1)
    fair = max(_SHORT, spare // count)

    def lines(i: int) -> int:
        return sum(-(-row[i] // max(1, widths[i] - 1)) for row in needs)

    for floors in ([min(word, fair) for word in words], [min(word, _SHORT) for word in words], [1] * count):
        while sum(widths) > spare and (loose := [i for i in range(count) if widths[i] > floors[i]]):
            widths[min(loose, key=lambda i: (lines(i), -widths[i]))] -= 1
    return widths
