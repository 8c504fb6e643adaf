"""The fence before the SQL parser: a small scanner that knows every character a query may contain.

The parser is a library that reads some thirty dialects; nested input makes it fail in its own way. So the text is cut
into tokens here first, with a cap on bytes, tokens and depth, and what has no place in the language (brackets, casts,
comments that can hide text, prefixed strings) is refused with its line and column before the library sees it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pets.errors import SpecError
from pets.spec.hidden import HIDDEN, shown

MAX_BYTES: Final = 16 * 1024
MAX_TOKENS: Final = 4_000
MAX_DEPTH: Final = 32

_PATTERN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+|--[^\n]*)
      |(?P<string>'(?:[^'\x00-\x1f\x7f]|'')*')
      |(?P<name>"(?:[^"\x00-\x1f\x7f]|"")*")
      |(?P<number>\d+(?:\.\d+)?)
      |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<mark><>|!=|<=|>=|[=<>(),.*;+-])""",
    re.VERBOSE | re.ASCII,
)

_ADVICE: Final[Mapping[str, str]] = {
    "'": "close the quotation mark, on the same line",
    '"': "close the quotation mark, on the same line",
    "/": "write comments after -- and no arithmetic: prepare such a column in the dataset",
    ":": "write DATE '2026-01-31' for a date; other casts are not in the language",
    "[": "write lists in parentheses: IN ('a', 'b')",
    "$": "write text in single quotes",
    "%": "prepare such a column in the dataset",
    "|": "prepare such a column in the dataset",
    "?": "write the value itself: an approver has to see it",
}

_OUTSIDE: Final[Mapping[str, str]] = {
    "ORDER": "leave it out: sort the released table",
    "LIMIT": "leave it out: every group of the domain is always released",
    "OFFSET": "leave it out: every group of the domain is always released",
    "FETCH": "leave it out: every group of the domain is always released",
    "UNION": "write one SELECT over two tables",
    "INTERSECT": "write one SELECT over two tables",
    "EXCEPT": "write one SELECT over two tables",
    "WITH": "name the two tables after FROM and JOIN directly",
    "WINDOW": "leave it out: the language has sums per group only",
    "QUALIFY": "leave it out: the language has sums per group only",
    "LATERAL": "name the two tables after FROM and JOIN directly",
    "INTO": "leave it out: the table goes to the result party",
    "PIVOT": "leave it out: turn the released table round",
    "UNPIVOT": "leave it out: turn the released table round",
    "LIKE": "list the values: column IN ('a', 'b')",
    "ILIKE": "list the values: column IN ('a', 'b')",
    "SIMILAR": "list the values: column IN ('a', 'b')",
    "GLOB": "list the values: column IN ('a', 'b')",
}
"""Reserved words of SQL that the language lacks. Where they name a column (after a dot or AS) they are none."""

_SETS: Final = ("UNION", "INTERSECT", "EXCEPT")


@dataclass(frozen=True, slots=True)
class Token:
    kind: Literal["word", "name", "string", "number", "mark"]
    text: str
    start: int


def refuse(code: str, text: str, offset: int, construct: str, **fields: object) -> SpecError:
    """The error ``code`` at a place of the query; ``construct`` is what stands there, in the author's words."""
    before = text[:offset]
    line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
    return SpecError(code, construct=construct, line=line, column=column, **fields)


def scan(text: str) -> tuple[Token, ...]:
    """Cut a query into tokens and refuse what cannot be part of one.

    Raises: SpecError ``sql.too-long``, ``sql.character``, ``sql.literal``, ``sql.too-deep``, ``sql.syntax`` or
            ``sql.unsupported``; in time linear in the text.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise SpecError("sql.too-long", size=size, limit=MAX_BYTES, unit="bytes")
    tokens = tuple(_shallow(text, _tokens(text)))
    _refuse_outside(text, tokens)
    return tokens


def find(tokens: Sequence[Token], *words: str) -> int | None:
    """Offset of the first place where these words stand in a row."""
    for number in range(len(tokens) - len(words) + 1):
        part = tokens[number : number + len(words)]
        if all(t.kind == "word" and t.text.upper() == word for t, word in zip(part, words, strict=True)):
            return part[0].start
    return None


def _tokens(text: str) -> Iterator[Token]:
    previous: Token | None = None
    count, offset, glued = 0, 0, False
    while offset < len(text):
        match = _PATTERN.match(text, offset)
        if match is None:
            raise _bad_character(text, offset)
        if hidden := HIDDEN.search(match.group()):
            raise _bad_character(text, offset + hidden.start())
        kind, piece = match.lastgroup, match.group()
        if glued and previous and kind == "string" and previous.kind == "word" and previous.text.upper() != "DATE":
            problem, advice = "is not a plain string", "write text in single quotes, with nothing before them"
            raise refuse(
                "sql.literal", text, previous.start, f"{previous.text[:9]}'...'", problem=problem, advice=advice
            )
        if glued and previous and kind == "word" and previous.kind == "number":
            problem, advice = "is not a plain number", "write digits and at most one point: 1500 or 12.5"
            number = (previous.text + piece)[:40]
            raise refuse("sql.literal", text, previous.start, number, problem=problem, advice=advice)
        if kind in ("word", "name", "string", "number", "mark"):
            previous, count = Token(kind, piece, offset), count + 1  # type: ignore[arg-type]  # narrowed above
            if count > MAX_TOKENS:
                raise SpecError(
                    "sql.too-long", size=f"more than {MAX_TOKENS}", limit=MAX_TOKENS, unit="words and marks"
                )
            yield previous
        glued, offset = kind != "space", match.end()


def _bad_character(text: str, offset: int) -> SpecError:
    character = text[offset]
    construct = f'"{character}"' if character.isprintable() and character != '"' else "a quotation mark"
    if text.startswith("/*", offset):
        construct = "/*"
    elif not character.isprintable():
        construct = shown(character)
    advice = _ADVICE.get(character, "remove it; text and names with other characters stand in quotation marks")
    return refuse("sql.character", text, offset, construct, advice=advice)


def _shallow(text: str, tokens: Iterable[Token]) -> Iterator[Token]:
    """Parentheses, and words and signs that stand before what they apply to, may nest ``MAX_DEPTH`` deep."""
    depth, prefixes = 0, 0
    for token in tokens:
        word = token.text.upper()
        prefixes = prefixes + 1 if token.kind in ("word", "mark") and word in ("NOT", "-", "+", "(") else 0
        depth += (token.kind == "mark") * ((word == "(") - (word == ")"))
        if depth > MAX_DEPTH or prefixes > MAX_DEPTH:
            construct = "a parenthesis" if word == "(" else word
            raise refuse("sql.too-deep", text, token.start, construct, limit=MAX_DEPTH)
        if depth < 0:
            problem, advice = "nothing was opened", "remove it, or open a parenthesis before it"
            raise refuse("sql.syntax", text, token.start, ")", problem=problem, advice=advice)
        yield token


def _refuse_outside(text: str, tokens: Sequence[Token]) -> None:
    """Name what the language lacks by the author's own word, before a parser gives it another name."""
    if not tokens or tokens[0].text.upper() != "SELECT" or tokens[0].kind != "word":
        first = tokens[0] if tokens else None
        if first and first.kind == "word" and first.text.upper() == "WITH":
            raise refuse("sql.unsupported", text, first.start, "WITH", advice=_OUTSIDE["WITH"])
        start, construct = (first.start, first.text[:40]) if first else (0, "its start")
        problem, advice = "a query starts with SELECT", "write SELECT ... FROM ... JOIN ... ON ... GROUP BY ..."
        raise refuse("sql.syntax", text, start, construct, problem=problem, advice=advice)
    inside = False
    for number, token in enumerate(tokens[1:], start=1):
        word, previous = token.text.upper(), tokens[number - 1].text.upper()
        if token.kind == "mark" and word == ";" and number != len(tokens) - 1:
            raise refuse(
                "sql.unsupported", text, tokens[number + 1].start, "a second statement", advice="write one SELECT"
            )
        if token.kind != "word" or previous in (".", "AS"):
            continue
        if word == "SELECT":
            construct = "a second SELECT" if previous in (*_SETS, "ALL") else "a subquery"
            raise refuse("sql.unsupported", text, token.start, construct, advice="write one SELECT over two tables")
        inside = inside or word in ("OVER", "WITHIN")
        if word in _OUTSIDE and not (word == "ORDER" and inside):  # there it is part of a call, which is named instead
            construct = "ORDER BY" if word == "ORDER" else word
            raise refuse("sql.unsupported", text, token.start, construct, advice=_OUTSIDE[word])
