"""Terms on cards: what a message is made of, in a closed grammar that both checkers read.

    sum     ::= ["-"] product (("+" | "-") product)*
    product ::= atom ("*" atom)*
    atom    ::= NAME | NAME "(" sum ("," sum)* ")" | "(" sum ")"

A term says *what* a message is, never how it is computed; docs/rules has the meaning of every head. ``HEADS`` lists
them with the kinds of their arguments, and a term that uses anything else is refused when its card is loaded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pets.errors import SpecError

_TOKEN: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*|[-+*(),])")
_MAX_LENGTH: Final = 400
_MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class Call:
    """A head with its arguments."""

    head: str
    args: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """Signed parts, added word by word modulo 2^64."""

    parts: tuple[tuple[int, "Term"], ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Factors, multiplied word by word modulo 2^64."""

    factors: tuple["Term", ...]


Term = str | Call | Sum | Product
"""A name is a message of the same card, ``match``, or an argument."""

HEADS: Final[Mapping[str, tuple[str, ...]]] = {
    # vectors of words
    "values": ("role", "index"),
    "local": ("role", "index"),
    "noise": ("role", "index"),
    "mask": ("key", "label", "index"),
    "zero": ("key", "index"),
    "share": ("role", "shared"),
    "part": ("key", "shared", "index"),
    "checks": ("key", "role"),
    "numbers": ("index", "list", "list*"),
    "table": ("key", "list", "term"),
    "computed": ("index", "role*"),
    "outcome": ("role",),
    "pads": ("key", "role", "index"),
    "flags": ("key", "role", "term"),
    "count": ("term",),
    "number": ("list",),
    "reached": ("term",),
    "permute": ("order", "term"),
    "order": ("order", "term"),
    "gather": ("term", "term"),
    "prefix": ("term",),
    "sum_cells": ("term",),
    "diff": ("term",),
    # orders
    "perm": ("key", "label"),
    # what is no vector of words
    "tags": ("key", "list", "list*"),
    "points": ("list", "list*"),
    "times": ("key", "term"),
    "cut": ("term",),
    "offers": ("key",),
    "choices": ("key",),
    "seed": ("key",),
    "vector": ("key",),
    "written": ("term", "list", "list*"),
    "asked": ("key", "term"),
    "products": ("key", "term"),
    "levels": ("key", "term", "term"),
    "leaves": ("key", "term", "term"),
    "read": ("key", "term", "term", "list", "list*"),
    "coded": ("key", "term", "list", "list*"),
    "evaluated": ("key", "term", "term", "list", "list*"),
    "abreast": ("term",),
    "apart": ("term",),
    "half": ("key",),
    "picks": ("key",),
    "commits": ("key",),
    "coin": ("key",),
    "shown": ("key", "term", "term"),
    "weighed": ("key", "term"),
    "answered": ("key", "term"),
    "sealed": ("term", "list"),
    "told": ("term", "list", "list*"),
    "public": ("key",),
    "under": ("key", "term"),
    "covered": ("key", "term", "term", "term", "term"),
    "covers": ("key",),
    "opened": ("key", "term"),
    "marks": ("term", "term"),
    "tally": ("term", "term"),
    "sort": ("term",),
    "sort_within": ("term",),
    "permute_within": ("order", "term"),
    "keys": ("role",),
    "dummies": ("key",),
    "fillers": ("role",),
    "agreed": ("role",),
    "payload": ("role",),
    "ends": ("list",),
    "groups": ("role",),
    # many parties that play one role, and what is there of whom
    "over": ("role", "term"),
    "each": ("role", "term"),
    "handed": ("key",),
    "marked": ("role",),
    "heard": ("role",),
    "confirmed": ("role",),
    "present": ("role",),
    "curve": ("term", "term*"),
    "dealt": ("term",),
    "dealings": ("role",),
    "proved": ("role", "index"),
    "truncated": ("term",),
    "verifying": ("role",),
    "verifier": ("role",),
    "verified": ("role",),
}
"""Every head with the kinds of its arguments; ``*``: any number of that kind, none included."""

INDEX: Final[Mapping[str, str]] = {
    "v_g": "gathered",
    "v_t": "gathered",
    "x": "factor",
    "z": "gathered",
    "p": "product",
    "v": "summed",
    "r": "summed",
    "checks": "check",
    "words": "word",
    "ends": "end",
    "v_m": "summed",
    "v_c": "summed",
    "v_k": "summed",
    "own_t": "gathered",
    "p_b": "brought",
    "e": "summed",
    "primes": "prime",
    "residues": "summed",
}
"""What the columns of a message are counted by, from the formula of their number. One column has no index."""

OWN: Final = "own"
"""In formulas about one of many who play a role: how many rows that party brings at most."""

OWN_COLUMNS: Final = "own_t"
"""In the same: columns that travel of its table."""


def index_of(columns: str) -> str:
    """What the columns are counted by whose number is this formula; "" for one column."""
    own = columns.startswith(f"{OWN_COLUMNS}_")  # of one of many, by its role
    return INDEX.get(OWN_COLUMNS if own else columns, "")


def parse_term(text: str) -> Term:
    """Parse one term; SpecError card.term says what is wrong."""
    if len(text) > _MAX_LENGTH:
        raise SpecError("card.term", term=text[:40] + "...", problem=f"longer than {_MAX_LENGTH} characters")
    parser = _Parser(text)
    term = parser.sum(0)
    if parser.peek():
        raise parser.error(f"unexpected {parser.peek()!r}")
    return term


@lru_cache(maxsize=1 << 14)
def calls(term: Term) -> tuple[Call, ...]:
    """Every call in a term, outermost first."""
    own = (term,) if isinstance(term, Call) else ()
    return (*own, *(call for part in parts(term) for call in calls(part)))


@lru_cache(maxsize=1 << 14)
def names(term: Term) -> tuple[str, ...]:
    """Every bare name in a term that stands for something: messages and ``match``, not arguments of other kinds."""
    own = (term,) if isinstance(term, str) else ()
    return (*own, *(name for part in operands(term) for name in names(part)))


def operands(term: Term) -> tuple[Term, ...]:
    """The parts of a term, one level down, less the arguments of a call that are roles, keys, labels and the like."""
    if not isinstance(term, Call):
        return parts(term)
    return tuple(arg for kind, arg in zip(kinds_of(term), term.args, strict=True) if kind in ("term", "list", "order"))


def parts(term: Term) -> tuple[Term, ...]:
    """The parts of a term, one level down."""
    match term:
        case Sum():
            return tuple(part for _, part in term.parts)
        case Product():
            return term.factors
        case Call():
            return term.args
        case _:
            return ()


def arguments(term: Term, kind: str) -> Iterator[str]:
    """Every argument of one kind, as written: the roles, keys or shared values that a term speaks of."""
    for call in calls(term):
        for wanted, arg in zip(kinds_of(call), call.args, strict=True):
            if wanted == kind and isinstance(arg, str):
                yield arg


def check_heads(term: Term, text: str) -> None:
    """Refuse a head that is not listed, and arguments that are not of its kinds."""
    for call in calls(term):
        kinds = HEADS.get(call.head)
        if kinds is None:
            raise SpecError("card.term", term=text, problem=f"{call.head} is not a head of the grammar")
        many = kinds[-1].endswith("*")
        if len(call.args) < len(kinds) - many or (len(call.args) > len(kinds) and not many):
            raise SpecError("card.term", term=text, problem=f"{call.head} takes {', '.join(kinds)}")
        for kind, arg in zip(kinds_of(call), call.args, strict=True):
            if kind in ("role", "key", "label", "index", "shared") and not isinstance(arg, str):
                raise SpecError("card.term", term=text, problem=f"{call.head} takes a {kind}, a bare name")
            if kind == "order" and not (isinstance(arg, Call) and arg.head == "perm"):
                raise SpecError("card.term", term=text, problem=f"{call.head} takes a perm(key, label)")


def kinds_of(call: Call) -> tuple[str, ...]:
    """The kind of each argument."""
    kinds = HEADS[call.head]
    if kinds[-1].endswith("*"):
        return (*kinds[:-1], *[kinds[-1][:-1]] * (len(call.args) - len(kinds) + 1))
    return kinds


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if not found:
                raise self.error(f"unexpected {text[at:].strip()[:1]!r}")
            self._tokens.append(found.group(1))
            at = found.end()
        self._at = 0

    def error(self, problem: str) -> SpecError:
        return SpecError("card.term", term=self._text, problem=problem)

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def sum(self, depth: int) -> Term:
        sign = -1 if self.peek() == "-" and self._take() else 1
        found = [(sign, self._product(depth))]
        while self.peek() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            found.append((sign, self._product(depth)))
        return found[0][1] if len(found) == 1 and found[0][0] == 1 else Sum(tuple(found))

    def _product(self, depth: int) -> Term:
        factors = [self._atom(depth)]
        while self.peek() == "*":
            self._take()
            factors.append(self._atom(depth))
        return factors[0] if len(factors) == 1 else Product(tuple(factors))

    def _atom(self, depth: int) -> Term:
        if depth > _MAX_DEPTH:
            raise self.error("nested too deeply")
        word = self._take()
        if word == "(":
            inner = self.sum(depth + 1)
            self._close()
            return inner
        if not word[:1].isalpha():
            raise self.error(f"expected a name, found {word or 'the end'}")
        if self.peek() != "(":
            return word
        self._take()
        args = [self.sum(depth + 1)]
        while self.peek() == ",":
            self._take()
            args.append(self.sum(depth + 1))
        self._close()
        return Call(word, tuple(args))

    def _close(self) -> None:
        if (token := self._take()) != ")":
            raise self.error(f"expected ), found {token or 'the end'}")
