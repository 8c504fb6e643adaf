"""Formulas on cards: a closed grammar that checker, gate and cost forecast evaluate alike.

    sum     ::= product (("+" | "-") product)*
    product ::= atom (("*" | "//") atom)*
    atom    ::= NUMBER | NAME | "max" "(" sum "," sum ")" | "ceil_log2" "(" sum ")" | "(" sum ")"

Whole numbers only; multiplication is always written. There is no other function, no attribute, no call into Python.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pets.errors import SpecError

_TOKEN: Final = re.compile(r"\s*(?:([0-9]+)|([a-z][a-z0-9_]*)|(//|[+\-*(),]))")
_MAX_LENGTH: Final = 300
_MAX_DEPTH: Final = 20

Node = int | str | tuple[str, "Node", "Node"] | tuple[str, "Node"]


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula. ``text`` is what the card says; equality is by text."""

    text: str
    tree: Node

    def evaluate(self, names: Mapping[str, int]) -> int:
        """Value under ``names``. SpecError card.formula on an unknown name, division by zero or a negative result."""
        value = _evaluate(self.tree, names, self.text)
        if value < 0:
            raise SpecError("card.formula", formula=self.text, problem="comes out negative")
        return value

    @property
    def names(self) -> frozenset[str]:
        """The parameters that the formula mentions."""
        return frozenset(_names(self.tree))


def parse_formula(text: str) -> Formula:
    """Parse one formula; SpecError card.formula names what is wrong."""
    if len(text) > _MAX_LENGTH:
        raise SpecError("card.formula", formula=text[:40] + "...", problem=f"longer than {_MAX_LENGTH} characters")
    parser = _Parser(text)
    tree = parser.sum(0)
    parser.end()
    return Formula(text, tree)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if not found:
                raise SpecError("card.formula", formula=text, problem=f"unexpected {text[at:].strip()[:1]!r}")
            self.tokens.append(found.group().strip())
            at = found.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            expected = " or ".join(wanted) or "a number or a name"
            problem = f"expected {expected}, found {token or 'the end'}"
            raise SpecError("card.formula", formula=self.text, problem=problem)
        self.at += 1
        return token

    def end(self) -> None:
        if self.peek():
            raise SpecError("card.formula", formula=self.text, problem=f"unexpected {self.peek()!r}")

    def sum(self, depth: int) -> Node:
        tree = self.product(depth)
        while self.peek() in ("+", "-"):
            tree = (self.take(), tree, self.product(depth))
        return tree

    def product(self, depth: int) -> Node:
        tree = self.atom(depth)
        while self.peek() in ("*", "//"):
            tree = (self.take(), tree, self.atom(depth))
        return tree

    def atom(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise SpecError("card.formula", formula=self.text, problem="nested too deeply")
        word = self.take()
        if word.isdigit():
            return int(word)
        if word == "(":
            tree = self.sum(depth + 1)
            self.take(")")
            return tree
        if word == "max":
            self.take("(")
            left = self.sum(depth + 1)
            self.take(",")
            right = self.sum(depth + 1)
            self.take(")")
            return ("max", left, right)
        if word == "ceil_log2":
            self.take("(")
            only = self.sum(depth + 1)
            self.take(")")
            return ("ceil_log2", only)
        if not word[0].isalpha():
            raise SpecError("card.formula", formula=self.text, problem=f"unexpected {word!r}")
        return word


def _evaluate(tree: Node, names: Mapping[str, int], text: str) -> int:
    match tree:
        case int():
            return tree
        case str():
            if tree not in names:
                raise SpecError("card.formula", formula=text, problem=f"{tree} is not a parameter of the card")
            return names[tree]
        case ("ceil_log2", only):
            value = _evaluate(only, names, text)
            if value < 1:
                raise SpecError("card.formula", formula=text, problem="logarithm of a number below one")
            return (value - 1).bit_length()
        case (operator, left, right):
            a, b = _evaluate(left, names, text), _evaluate(right, names, text)
            if operator == "+":
                return a + b
            if operator == "-":
                return a - b
            if operator == "*":
                return a * b
            if operator == "max":
                return max(a, b)
            if b == 0:
                raise SpecError("card.formula", formula=text, problem="division by zero")
            return a // b
    raise AssertionError(tree)


def _names(tree: Node) -> set[str]:
    if isinstance(tree, str):
        return {tree}
    if isinstance(tree, int):
        return set()
    return set().union(*(_names(part) for part in tree[1:]))
