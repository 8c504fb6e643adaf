"""The published rules are the rules that are applied."""

import re
from pathlib import Path

from pets.check import catalogue, flow, knowledge, pairs, pool_rules, programs, protection, shares, view
from pets.check.rules import RULES
from pets.spec.ir import Step

DOCS = Path(__file__).parents[2] / "docs" / "rules"
PAGE = (DOCS / "disclosure.md").read_text(encoding="utf-8")


def test_the_catalogue_is_the_registry() -> None:
    written = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    assert written == catalogue.catalogue(), "python -m pets.check.catalogue > docs/rules/catalogue.md"
    on_queries, rest = written.split("## Intersections")
    on_pairs, rest = rest.split("## Sums over one table of many holders")
    on_pools, on_programs = rest.split("## Programs")
    assert re.findall(r"^\| `([a-z.-]+)`", on_queries, re.MULTILINE) == list(RULES)
    assert re.findall(r"^\| `([a-z.-]+)`", on_pairs, re.MULTILINE) == list(pairs.RULES)
    assert re.findall(r"^\| `([a-z.-]+)`", on_pools, re.MULTILINE) == list(pool_rules.RULES)
    assert re.findall(r"^\| `([a-z.-]+)`", on_programs, re.MULTILINE) == list(programs.RULES)


def test_every_rule_says_what_it_is_for() -> None:
    assert all(rule.check.__doc__ and len(rule.check.__doc__) > 30 for rule in RULES.values())


def test_every_rule_of_the_checkers_is_published_and_applied() -> None:
    """Ids in the code are on the page, and ids on the page are in the code of the checker that they belong to."""
    sources = {module: Path(str(module.__file__)).read_text() for module in (flow, protection, knowledge, view)}

    def ids(text: str, letter: str) -> set[str]:
        found = set(re.findall(rf"\b{letter}\d+\b", text))
        for first, last in re.findall(rf"\b{letter}(\d+) to {letter}(\d+)\b", text):
            found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
        return found

    rows = set(re.findall(r"^\| ([PKC]\d+) \|", PAGE, re.MULTILINE))
    assert ids(sources[protection], "P") == {each for each in rows if each[0] == "P"}
    assert ids(sources[knowledge] + sources[view], "K") == {each for each in rows if each[0] == "K"}
    assert ids(sources[knowledge], "C") == {each for each in rows if each[0] == "C"}
    assert ids(sources[flow], "P") <= rows
    of_shares = set(re.findall(r"^\| (G\d+) \|", (DOCS / "programs.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert ids(Path(str(shares.__file__)).read_text(), "G") == of_shares


def test_every_step_of_a_plan_has_a_rule() -> None:
    names = {step.__name__ for step in Step.__args__}
    assert names == set(re.findall(r"^    T[1-9]  (\w+)", PAGE, re.MULTILINE))


def test_every_mark_and_grade_is_explained() -> None:
    from pets.check.labels import Grade, Mark

    assert all(f"`{mark.value}`" in PAGE and mark.meaning in PAGE for mark in Mark if mark is not Mark.NEVER)
    table = PAGE.split("## Steps")[0]
    assert all(grade.value in table for grade in Grade)
