"""The rules on specifications as a page: ``docs/rules/catalogue.md``, made by ``python -m pets.check.catalogue``."""

from collections.abc import Iterable
from typing import Protocol

from pets.check import flow, pairs, pool_rules, pools, programs
from pets.check.rules import GENERAL, RULES, SELECTING

__all__ = ["catalogue"]

HEAD = """# Rules on specifications

Every rule that a specification is held against, in the order in which findings are told. An error refuses; a warning is
shown to every approver; a note is for the author. This page is made from the registry by
`python -m pets.check.catalogue`; a test holds the two together. Each rule has specifications in the conformance corpus
that it refuses ([`tests/check/`](../../tests/check/)).

| id | severity | rule |
|---|---|---|
"""

PAIRS = """
## Intersections

Specifications that ask for an intersection and not for a query are held against these, and against those of the rules
above that look at no query: {general}.

| id | severity | rule |
|---|---|---|
"""

POOLS = """
## Sums over one table of many holders

Specifications that ask for these are held against the rules below, against those above that look at no query
({general}),
and against these of the rules on queries: {selecting}.

| id | severity | rule |
|---|---|---|
"""


PROGRAMS = """
## Programs

Specifications that ask for a program for MPyC are held against these, and against the same general rules.

| id | severity | rule |
|---|---|---|
"""


def catalogue() -> str:
    """The page. The rules of ``flow`` and of the modules it names are registered when they are imported."""
    assert flow.PARTS and pools
    general = ", ".join(f"`{id}`" for id in GENERAL)
    selecting = ", ".join(f"`{id}`" for id in SELECTING)
    of_pairs = PAIRS.format(general=general) + _rows(pairs.RULES.values())
    return (
        HEAD
        + _rows(RULES.values())
        + of_pairs
        + POOLS.format(general=general, selecting=selecting)
        + _rows(pool_rules.RULES.values())
        + PROGRAMS
        + _rows(programs.RULES.values())
    )


class Listed(Protocol):
    """A rule of any registry."""

    @property
    def id(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def check(self) -> object: ...


def _rows(listed: Iterable[Listed]) -> str:
    """A row of the table for each rule."""
    return "".join(f"| `{each.id}` | {each.severity} | {_first(each.check.__doc__ or '')} |\n" for each in listed)


def _first(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


if __name__ == "__main__":
    import sys

    sys.stdout.write(catalogue())
