"""What is told of an intersection that passes, and how a change of a field is judged.

What the rules and policies refuse, and who learns what, are whole files of the corpus (tests/check/intersections).
"""

import math
from pathlib import Path
from typing import Final

import pytest

from pets.check import diff, pairs
from pets.check.catalogue import catalogue
from pets.check.differencing import Terms, judge
from pets.check.disclosure import render
from pets.check.page import html
from pets.check.releases import Entry, release_of_pairing
from pets.check.withstood import most_brought
from pets.plan.review import Review, review
from pets.spec.canonical import canonical, spec_digest
from pets.spec.pairing import pairing_of
from pets.spec.parse import parse_toml

TEXT: Final = (Path(__file__).parent / "psi.toml").read_text()

Edit = tuple[str, str]


def edited(*edits: Edit) -> str:
    text = TEXT
    for old, new in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return text


def checked(*edits: Edit) -> Review:
    return review(parse_toml(edited(*edits)))


COUNTED: Final[Edit] = ('psi = "intersection"', 'psi = "cardinality"')


def test_every_rule_has_its_line() -> None:
    page = catalogue()
    assert all(f"| `{rule}` |" in page for rule in pairs.RULES)
    assert all(each.check.__doc__ for each in pairs.RULES.values())


@pytest.mark.parametrize("edits", [(), (COUNTED,)])
def test_text_and_page_say_it_in_plain_words(edits: tuple[Edit, ...]) -> None:
    found = checked(*edits)
    for told in (render(found), html(found)):
        assert "attendances, too" in told and "Made-up persons" in told and "Who could cheat?" in told
        assert ("visible of each person who is in both" in told) is (not edits)
        assert "add up" not in told and "noised sums" not in told.replace("with noise", "")


def test_the_report_says_what_withstands_a_party_that_cheats_and_what_does_not() -> None:
    assert '"semi-honest"' in TEXT
    cheats: Edit = ('adversary = "semi-honest"', 'adversary = "malicious"')
    found = checked(cheats)
    assert found.verdict.accepted and found.plan is not None and found.plan.match is not None
    slots = found.cards["vole_psi_malicious"].names(dict(found.plan.match.public))["slots"]
    text = " ".join(render(found).split())
    for said in (
        "Neither council nor board can read more of the other's set than the outcome tells",
        f"council could look for up to {slots:,} persons in the place of 5,000",
        f"for fewer than {most_brought(slots):,} with 2^80 hashes",
        "Either can end it, council when it has the outcome.",
        "Made-up persons, persons that are left out",
        "Errors in the protocol's own proof",
    ):
        assert said in text, said
    assert "leave out persons that it found" not in text
    assert "What that does not prevent" in html(found)
    assert "What that does not prevent" not in render(checked())


def test_how_many_persons_a_receiver_that_cheats_can_bring() -> None:
    """The figures of ADR 0039: 1.9 m with 2^80 hashes, 6 m with 2^128."""
    slots = 1_354_322
    for hashes, most in ((80, 1.9), (128, 6.0)):
        found = most_brought(slots, hashes)
        assert most - 0.06 < found / slots < most
        enough = [
            n * (128 - hashes - math.log2(math.e) + math.log2(n)) >= 128 * slots + 168 for n in (found - 1, found)
        ]
        assert enough == [False, True]


def test_the_plan_is_canonical_and_the_same_for_every_party() -> None:
    one, two = checked(), checked()
    assert one.plan is not None and two.plan is not None
    assert canonical(one.plan) == canonical(two.plan) and one.plan_digest == two.plan_digest


@pytest.mark.parametrize(
    ("edits", "relation"),
    [
        ((COUNTED,), "incomparable"),
        ((("asks = \"register\"", 'asks = "attendances"'), ('to = ["council"]', 'to = ["board"]'),
          ('roles = ["input", "computing"]', 'roles = ["input", "computing", "result"]')), "incomparable"),
        ((("max_runs = 1", "max_runs = 2"), ), "wider"),
        ((("not_after = 2027-10-31", "not_after = 2027-09-30"),), "narrower"),
        ((("2026-01-01", "2026-02-01"),), "incomparable"),
        ((("Children known to both services", "Children known to both services"),), "equal"),
    ],
)  # fmt: skip
def test_changes_are_compared(edits: tuple[Edit, ...], relation: str) -> None:
    assert diff.compare(parse_toml(TEXT), parse_toml(edited(*edits))).relation == relation


@pytest.mark.parametrize("edits", [(), (COUNTED,)])
def test_lists_that_differ_in_few_persons_are_suspicious(edits: tuple[Edit, ...]) -> None:
    """Whoever has two exact numbers, or lists, of almost the same persons has the few between them."""

    def entry(*more: Edit) -> Entry:
        spec = parse_toml(edited(*edits, *more))
        return Entry(str(spec_digest(spec)), release_of_pairing(spec, pairing_of(spec)), {"attendances": "v1"})

    terms = Terms(holder="board", minimum=10)
    assert judge([], entry(), terms) == () and judge([entry()], entry(), terms) == ()
    assert judge([entry()], entry(("2026-01-01", "2026-01-02")), terms)
