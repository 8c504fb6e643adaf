"""The rules on specifications as a page: ``docs/rules/catalogue.md``, made by ``python -m pets.check.catalogue``."""

from pets.check import flow, pairs, programs
from pets.check.rules import GENERAL, RULES

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


PROGRAMS = """
## Programs

Specifications that ask for a program for MPyC are held against these, and against the same general rules.

| id | severity | rule |
|---|---|---|
"""


def catalogue() -> str:
    """The page. The rules of ``flow`` and of the modules it names are registered when they are imported."""
    assert flow.PARTS
    lines = [f"| `{each.id}` | {each.severity} | {_first(each.check.__doc__ or '')} |" for each in RULES.values()]
    of_pairs = [
        f"| `{each.id}` | {each.severity} | {_first(each.check.__doc__ or '')} |" for each in pairs.RULES.values()
    ]
    of_programs = [
        f"| `{each.id}` | {each.severity} | {_first(each.check.__doc__ or '')} |" for each in programs.RULES.values()
    ]
    general = ", ".join(f"`{id}`" for id in GENERAL)
    pages = (HEAD, lines), (PAIRS.format(general=general), of_pairs), (PROGRAMS, of_programs)
    return "".join(head + "\n".join(rows) + "\n" for head, rows in pages)


def _first(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


if __name__ == "__main__":
    import sys

    sys.stdout.write(catalogue())
