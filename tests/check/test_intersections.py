"""The rules on intersections: what each refuses, what is told of what passes, how a change of a field is judged."""

import math
from pathlib import Path
from typing import Final

import pytest

from pets.approve.policy import judge_policy, parse_policy
from pets.check import diff, pairs
from pets.check.catalogue import catalogue
from pets.check.differencing import Terms, judge
from pets.check.disclosure import render
from pets.check.labels import Finding, Mark
from pets.check.page import html
from pets.check.releases import Entry, release_of_pairing
from pets.check.withstood import most_brought
from pets.errors import SpecError
from pets.plan.review import Review, review
from pets.spec.canonical import canonical, spec_digest
from pets.spec.cards import load_cards
from pets.spec.pairing import pairing_of
from pets.spec.parse import parse_toml
from tests.check import corpus

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


def said(found: Review) -> set[str]:
    return {each.rule for each in found.findings}


COUNTED: Final[Edit] = ('psi = "intersection"', 'psi = "cardinality"')
HELPER: Final[Edit] = (
    '[[dataset]]\nname = "register"',
    '[[party]]\nname = "third"\norganisation = "A third"\nroles = ["computing"]\nsan = "spiffe://third.example/pets"\n'
    '\n[[dataset]]\nname = "register"',
)
HELPED: Final[Edit] = (HELPER[0], HELPER[1])
REFUSED: Final[dict[str, list[tuple[Edit, ...]]]] = {
    "psi.holders": [
        (('party = "board"', 'party = "council"'),),
        (('name = "board"\norganisation = "A health board"\nroles = ["input", "computing"]',
          'name = "board"\norganisation = "A health board"\nroles = ["input"]'),),
        (HELPER, ("corrupt = 1\n", 'corrupt = 1\nprotocol = "vole_psi"\n')),
        (("corrupt = 1\n", 'corrupt = 1\nprotocol = "helper_psi"\n'),),
    ],
    "psi.protocol": [
        (("corrupt = 1\n", 'corrupt = 1\nprotocol = "dh_psi_cardinality"\n'),),
        (("corrupt = 1\n", 'corrupt = 1\nprotocol = "helper_join_b"\n'),),
        (("corrupt = 1\n", 'corrupt = 1\nprotocol = "rsa_psi"\n'),),
    ],
    "psi.to": [
        (('to = ["council"]', 'to = ["board"]'),
         ('roles = ["input", "computing"]', 'roles = ["input", "computing", "result"]')),
    ],
    "psi.columns": [
        (("asks = \"register\"", 'asks = "register"\ncolumns = ["attendances.arrival"]'),),
        (("asks = \"register\"", 'asks = "register"\ncolumns = ["attendances.injury", "attendances.injury"]'),),
        (("asks = \"register\"", 'asks = "register"\ncolumns = ["attendances.injury"]'),
         ("max_rows_per_person = 1\nmax_rows = 200_000", "max_rows_per_person = 4\nmax_rows = 200_000")),
    ],
    "psi.least": [
        (("asks = \"register\"", 'asks = "register"\nmin_result = 10'),
         ("corrupt = 1\n", 'corrupt = 1\nprotocol = "vole_psi"\n')),
        (COUNTED, HELPER, ("corrupt = 1\n", 'corrupt = 1\nprotocol = "helper_psi_threshold"\n')),
    ],
    "psi.release": [
        (("[security]\n", '[release.disclosure_control]\nmin_count = 10\n\n[security]\n'),),
        (COUNTED, ("corrupt = 1\n", 'corrupt = 1\nprotocol = "dh_psi_cardinality"\n'),
         ("[security]\n", '[release.differential_privacy]\nepsilon = "1"\n'
                   "neighbours = \"one person's rows added or removed\"\n\n[security]\n")),
    ],
    "psi.size": [
        (("max_rows = 200_000", "max_rows = 70_000_000"),),
        (("max_rows = 5_000", "max_rows = 5_000\ntruncate = true"),),
    ],
    "psi.noise": [
        (HELPED, COUNTED, ("[validity]\n", '[[security.leakage]]\nlearner = "third"\nitem = "match_count"\n'
                           'as = "exact"\n\n[validity]\n')),
        (HELPED, COUNTED, ("[validity]\n", '[[security.leakage]]\nlearner = "board"\nitem = "match_count"\n'
                           'noised = { epsilon = "50", delta = "2^-40" }\n\n[validity]\n')),
        (('psi = "intersection"', 'psi = "sum"'), ("[security]\n", '[release.differential_privacy]\nepsilon = "1"\n'
                   "neighbours = \"one person's rows added or removed\"\n\n[security]\n")),
    ],
    "psi.undeclared": [(('of = ["register", "attendances"]', 'of = ["register"]'),)],
    "psi.guessing": [(("max_rows = 5_000", "max_rows = 60_000_000"), ("max_rows = 200_000", "max_rows = 50_000"))],
    "psi.helper": [
        (HELPED, ('name = "third"\norganisation = "A third"\nroles = ["computing"]',
                  'name = "third"\norganisation = "A third"\nroles = ["computing", "input"]')),
        (HELPED, ('organisation = "A third"', 'organisation = "A Council"')),
        (HELPED, COUNTED, ('to = ["council"]', 'to = ["third"]'), ('organisation = "A third"\nroles = ["computing"]',
                  'organisation = "A third"\nroles = ["computing", "result"]')),
    ],
    "psi.sum": [
        (('psi = "intersection"', 'psi = "sum"'),),
        (('psi = "intersection"', 'psi = "sum"'), ('asks = "register"', 'asks = "register"\nby = ["register.open"]')),
        (('psi = "intersection"', 'psi = "sum"'),
         ('asks = "register"', 'asks = "register"\ncolumns = ["attendances.minutes"]')),
    ],
    "psi.record-level": [()],
    "psi.surplus": [
        (("[validity]\n", '[[security.leakage]]\nlearner = "board"\nitem = "match_count"\n'
          'noised = { epsilon = "1", delta = "2^-40" }\n\n[validity]\n'),),
    ],
    "psi.idle-party": [
        (("[[dataset]]\nname = \"register\"",
          '[[party]]\nname = "third"\norganisation = "A third"\nroles = ["result"]\nsan = "spiffe://third.example/pets"\n'
          '\n[[dataset]]\nname = "register"'),),
    ],
}  # fmt: skip
"""By rule, changes of the specification that it finds."""


@pytest.mark.parametrize("psi", ["intersection", "cardinality"])
def test_what_is_sound_is_accepted(psi: str) -> None:
    found = checked(('psi = "intersection"', f'psi = "{psi}"'))
    assert found.accepted and found.checkers == ("flow", "knowledge")
    assert said(found) - {"psi.record-level"} == {each.rule for each in found.findings if each.rule.startswith("LL-")}


@pytest.mark.parametrize(("rule", "edits"), [(rule, edits) for rule, every in REFUSED.items() for edits in every])
def test_every_rule_finds_what_it_is_for(rule: str, edits: tuple[Edit, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_toml(edited(*edits))
    found = [each for each in pairs.judge(spec, pairing_of(spec), load_cards()).findings if each.rule == rule]
    assert found and all(each.path and each.hint and each.severity == pairs.RULES[rule].severity for each in found)
    monkeypatch.setattr(pairs, "RULES", {id: each for id, each in pairs.RULES.items() if id != rule})
    assert rule not in {each.rule for each in pairs.judge(spec, pairing_of(spec), load_cards()).findings}


def test_every_rule_has_its_cases_and_its_line() -> None:
    assert set(pairs.RULES) == set(REFUSED)
    page = catalogue()
    assert all(f"| `{rule}` |" in page for rule in pairs.RULES)
    assert all(each.check.__doc__ for each in pairs.RULES.values())


@pytest.mark.parametrize(
    ("edits", "path"),
    [
        ((("asks = \"register\"", 'asks = "nobody"'),), "computation.asks"),
        ((("asks = \"register\"", 'asks = "register"\ncolumns = ["register.open"]'),), "computation.columns.0"),
        ((('2026-01-01\'"', '2026-01-01\' OR register.open IS NULL"'),), "computation.where"),
        ((('2026-01-01\'"', '2026-01-01\') GROUP BY (attendances.injury"'),), "computation.where"),
        ((('2026-01-01\'"', '2026-01-01\'; DROP TABLE x"'),), "computation.where"),
        ((('on = "chi"', 'on = "person"'),), "linkage.on"),
        (((COUNTED[0], 'psi = "union"'),), "computation.psi"),
        ((("asks = \"register\"", ""),), "computation"),
        (((COUNTED[0], 'psi = "threshold"'),), "computation"),
        ((("asks = \"register\"", 'asks = "register"\nsql = "SELECT 1"'),), "computation"),
        ((COUNTED, ("asks = \"register\"", 'asks = "register"\ncolumns = ["attendances.injury"]')), "computation"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where(edits: tuple[Edit, ...], path: str) -> None:
    try:
        found: tuple[Finding, ...] = checked(*edits).verdict.errors
        assert next(each.path for each in found).startswith(path)
    except SpecError as error:
        assert str(error.fields.get("path", "")).startswith(path)


def test_the_matrix_says_who_learns_what() -> None:
    matrix = checked().verdict.matrix
    assert matrix.mark("which persons are in both tables", "council") is Mark.VISIBLE
    assert matrix.mark("which persons are in both tables", "board") is Mark.NEVER
    assert matrix.mark("attendances.chi", "council") is Mark.MATCHED
    assert matrix.mark("attendances.arrival", "council") is Mark.MATCHED
    assert matrix.mark("attendances.injury", "council") is Mark.NEVER
    assert matrix.mark("register.chi as tags", "board") is Mark.HELD
    counted = checked(COUNTED).verdict.matrix
    assert counted.mark("which persons are in both tables", "council") is Mark.NEVER
    assert counted.mark("number of matched rows", "council") is Mark.SIZE
    assert counted.mark("number of matched rows", "board") is Mark.NEVER


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


POLICY: Final = (
    corpus.APPROVER
    + """
[limits]
max_epsilon_per_run = "1"
max_epsilon_per_dataset = "1"
max_delta = "2^-40"
period = "year"
recipients = ["spiffe://council.example/pets"]
purposes = ["dpv:ServiceProvision"]
protocols = ["vole_psi", "dh_psi_cardinality"]
adversaries = ["semi-honest"]

[columns.attendances]
arrival = ["filter only"]
"""
)


@pytest.mark.parametrize(
    ("rule", "edits", "refused"),
    [
        ('chi = ["join key"]', (), "policy.column"),
        ('chi = ["any use"]', (), "policy.column"),
        ('chi = [{ allow = ["join", "reveal"] }]', (), ""),
        ('chi = [{ allow = ["join", "reveal"] }]', (COUNTED,), "policy.column"),
        ('chi = [{ allow = ["join", "exact count"] }]', (COUNTED,), ""),
        ('chi = ["any use"]', (COUNTED,), "policy.column"),
        ("", (), "policy.column-not-listed"),
    ],
)
def test_a_policy_allows_single_persons_and_exact_numbers_by_name_only(
    rule: str, edits: tuple[Edit, ...], refused: str
) -> None:
    spec = parse_toml(edited(*edits))
    policy = parse_policy('party = "board"\n' + POLICY + rule + "\n")
    found = judge_policy(policy, spec, pairing_of(spec))
    assert [each.rule for each in found] == ([refused] if refused else [])


def test_a_floor_of_persons_refuses_single_persons() -> None:
    text = 'party = "board"\n' + POLICY + 'chi = [{ allow = ["join", "reveal", "exact count"] }]\n'
    policy = parse_policy(text + "[constraints.attendances]\nmin_persons = 10\n")
    for edits in ((), (COUNTED,)):
        spec = parse_toml(edited(*edits))
        assert [each.rule for each in judge_policy(policy, spec, pairing_of(spec))] == ["policy.min-persons"]
