"""The legal rules, case by case: small changes of one specification, each with its exact verdict."""

import csv
import datetime as dt
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.approve.policy import parse_policy, policy_toml
from pets.check import iris, lawful, legal, lint
from pets.check.disclosure import render
from pets.check.labels import Finding, Matrix, Verdict
from pets.check.lint import RANK, RULES, Reviewed, blank, cites_section_64, cites_section_251, paragraphs
from pets.check.page import html
from pets.errors import ConfigError, LeakError
from pets.plan.review import review
from pets.spec.model import DESIGN, Spec, frozen
from pets.spec.parse import parse_toml, read_spec

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "legal"
BASE = (HERE / "base.spec.toml").read_text()
LOWERABLE = sorted(rule for rule, each in RULES.items() if each.severity == "error")


@dataclass(frozen=True)
class Case:
    """A change of the base, and what the rules say of it. Paths go through lists by the name of the entry."""

    rule: str
    name: str
    change: Mapping[str, Any]
    remove: tuple[str, ...]
    expect: tuple[str, ...]

    @property
    def spec(self) -> Spec:
        body = tomllib.loads(BASE)
        for path in self.remove:
            place, key = _at(body, path)
            del place[key]
        for path, value in self.change.items():
            place, key = _at(body, path)
            place[key] = value
        return Spec.model_validate(frozen(body), by_alias=True, by_name=False)

    def __str__(self) -> str:
        return f"{self.rule} {self.name}"


def _at(body: Any, path: str) -> tuple[Any, str]:
    *steps, key = path.split(".")
    for step in steps:
        body = next(entry for entry in body if entry["name"] == step) if isinstance(body, list) else body[step]
    return body, key


def _cases() -> list[Case]:
    return [
        Case(file.stem, one["name"], one.get("set", {}), tuple(one.get("remove", ())), tuple(one["expect"]))
        for file in sorted(HERE.glob("LL-*.toml"))
        for one in tomllib.loads(file.read_text())["case"]
    ]


CASES = _cases()


def told(spec: Spec) -> tuple[str, ...]:
    return tuple(f"{found.severity} {found.rule} {found.path}" for found in legal.findings(spec))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    assert told(case.spec) == case.expect


def test_the_base_has_nothing_to_be_said_of_it() -> None:
    assert told(parse_toml(BASE)) == ()


def test_there_are_cases_for_every_rule_and_a_pass_and_a_fall_of_each() -> None:
    assert [f"LL-{number:02}" for number in range(1, 36)] == sorted(RULES)
    assert len(CASES) >= 80 and {case.rule for case in CASES} == set(RULES)
    assert len({str(case) for case in CASES}) == len(CASES)
    for rule in RULES:
        own = [any(f" {rule} " in line for line in case.expect) for case in CASES if case.rule == rule]
        assert True in own and False in own, rule


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_that_is_taken_out_is_missed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, rule)
    assert any(told(case.spec) != case.expect for case in CASES if case.rule == rule)


@pytest.mark.parametrize("rule", [rule for rule, each in RULES.items() if each.starts])
def test_a_rule_applied_without_its_dates_is_noticed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, rule, replace(RULES[rule], starts=None))
    assert any(told(case.spec) != case.expect for case in CASES if case.rule == rule)


def test_a_rule_that_has_ended_is_not_applied_to_what_starts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = next(case for case in CASES if case.name == "no sharing agreement").spec
    for ends, applies in ((spec.validity.not_before, True), (spec.validity.not_before - dt.timedelta(days=1), False)):
        monkeypatch.setitem(RULES, "LL-30", replace(RULES["LL-30"], ends=ends))
        assert bool(told(spec)) is applies


def test_every_word_that_a_reader_needs_is_there() -> None:
    for case in CASES:
        for found in legal.findings(case.spec):
            assert found.message and found.hint and found.citation == RULES[found.rule].citation
            assert found.grade == f"{found.severity} (unreviewed)"
            assert not found.message.endswith(".") and not found.hint.endswith(".")
    unsure = {"LL-06", "LL-07", "LL-08", "LL-10", "LL-19", "LL-21", "LL-31", "LL-34"}
    assert {rule for rule, each in RULES.items() if lint.VERIFY in each.citation} == unsure


# -- specifications of ours -------------------------------------------------------------------------------------------

OURS = [
    ROOT / "parties" / "demo" / "ae_by_tenure.spec.toml",
    *sorted((HERE.parent / "should_pass").glob("*.toml")),
    *sorted((HERE.parent / "should_warn").glob("*.toml")),
]


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_what_we_give_as_examples_has_no_errors(file: Path) -> None:
    assert [found for found in legal.findings(read_spec(file)) if found.severity == "error"] == []


def test_of_the_demonstration_nothing_is_said() -> None:
    assert told(read_spec(OURS[0])) == ()


def _drafted(spec: Spec, *parts: str) -> Spec:
    """The specification with placeholders where a draft has them, in these parts."""
    changes: dict[str, Any] = {}
    if "purpose" in parts:
        purpose = spec.purpose.model_copy(update={"statement": DESIGN, "dpv": (DESIGN,), "public_benefit": DESIGN})
        changes["purpose"] = purpose
    texts = ("controller", "law", "jurisdiction", "article6", "retention", "notice")
    changes["legal"] = {
        party: ground.model_copy(update={**dict.fromkeys(texts, DESIGN), "article9": None})
        if party in parts
        else ground
        for party, ground in spec.legal.items()
    }
    return spec.model_copy(update=changes)


def test_a_draft_is_told_that_it_is_one_and_nothing_else() -> None:
    draft = _drafted(parse_toml(BASE), "purpose", "board", "council")
    assert told(draft) == ()
    found = review(draft)
    assert found.accepted and {each.rule for each in found.findings} == {"spec.design"}


def test_the_parts_of_a_draft_that_are_written_are_judged() -> None:
    case = next(case for case in CASES if case.name == "no notice")
    assert told(_drafted(case.spec, "board")) == case.expect
    assert told(_drafted(case.spec, "council")) == ()


# -- lowering ---------------------------------------------------------------------------------------------------------

SEVERITIES = st.dictionaries(st.sampled_from(sorted(RULES)), st.sampled_from(["warning", "note"]), max_size=35)


@given(st.sampled_from(CASES), SEVERITIES)
@settings(deadline=None, max_examples=150)
def test_lowering_hides_nothing_and_raises_nothing(case: Case, by: dict[str, Any]) -> None:
    before = legal.findings(case.spec)
    after = legal.lowered(before, by, party="board")

    def key(found: Finding) -> tuple[str, ...]:
        return found.rule, found.path, found.message, found.hint, found.citation

    assert sorted(map(key, before)) == sorted(map(key, after))
    old = {key(found): found for found in before}
    for found in after:
        was = old[key(found)]
        wanted = by.get(found.rule, was.severity)
        assert found.severity == max(was.severity, wanted, key=lambda severity: RANK[severity])
        assert (found == was) or f"lowered from {was.severity} by the policy of board" in found.grade


@given(st.lists(st.sampled_from(["error", "warning", "note"]), max_size=4), st.sampled_from(CASES), SEVERITIES)
@settings(deadline=None, max_examples=150)
def test_findings_of_the_law_never_make_a_refused_specification_accepted(
    severities: list[Any], case: Case, by: dict[str, Any]
) -> None:
    other = tuple(Finding(f"rule.{n}", severity, "x", "y", "z") for n, severity in enumerate(severities))
    verdict = Verdict(other, Matrix())
    judged = legal.judged(verdict, case.spec)
    assert set(other) <= set(judged.findings)
    lowered = replace(judged, findings=legal.lowered(judged.findings, by, party="board"))
    assert set(other) <= set(lowered.findings)
    if not verdict.accepted:
        assert not judged.accepted and not lowered.accepted


def test_the_findings_of_other_rules_are_not_lowered() -> None:
    other = Finding("leak.person-id", "error", "x", "y", "z")
    assert legal.lowered((other,), {"leak.person-id": "note"}, party="board") == (other,)


POLICY = """
party = "board"
[approval]
k = 1
approvers = [{ name = "Ann", role = "Caldicott guardian", key = "KEY", organisation = "A health board" }]
[limits]
max_epsilon_per_run = "2"
max_epsilon_per_dataset = "20"
max_delta = "2^-30"
period = "year"
[lint]
"""


def _policy(lines: str) -> str:
    from pets.approve.envelope import keygen

    return POLICY.replace("KEY", keygen().text) + lines


def test_a_policy_lowers_by_id_and_comes_back() -> None:
    policy = parse_policy(_policy('LL-15 = "warning"\nLL-30 = "note"'))
    assert policy.lint == {"LL-15": "warning", "LL-30": "note"}
    assert parse_policy(policy_toml(policy)) == policy


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('LL-99 = "warning"', "LL-99 is no legal rule"),
        ('ll-15 = "warning"', "ll-15 is no legal rule"),
        ('"leak.undeclared" = "note"', "leak.undeclared is no legal rule"),
        ('LL-05 = "warning"', "LL-05 is a warning; warning is not milder"),
        ('LL-35 = "note"', "LL-35 is a note; note is not milder"),
        ('LL-15 = "off"', "lint.LL-15"),
        ('LL-15 = "error"', "lint.LL-15"),
    ],
)
def test_a_policy_that_lowers_what_it_cannot_is_refused(line: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_policy(_policy(line))
    assert caught.value.code == "config.policy" and why in caught.value.text


def test_a_signed_error_is_shown_as_such_and_is_not_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = replace(RULES["LL-15"], reviewed=Reviewed("J. Solicitor", dt.date(2027, 1, 31)))
    monkeypatch.setitem(RULES, "LL-15", signed)
    spec = next(case for case in CASES if case.name == "no approval and no exemption").spec
    (found,) = legal.findings(spec)
    assert found.grade == "error"
    with pytest.raises(ConfigError, match="Solicitor signed on 2027-01-31"):
        parse_policy(_policy('LL-15 = "warning"'))
    assert "| J. Solicitor, 2027-01-31 |" in legal.catalogue() and "1 is signed" in legal.catalogue()


def test_a_review_is_refused_by_an_unreviewed_error_and_lowered_for_one_party_alone() -> None:
    spec = next(case for case in CASES if case.name == "no approval and no exemption").spec
    found = review(spec)
    assert not found.accepted and found.plan is not None
    with pytest.raises(LeakError, match="LL-15"):
        found.require()
    mild = found.lowered({"LL-15": "warning"}, party="board")
    assert mild.require().plan == found.plan and len(mild.findings) == len(found.findings)
    assert not found.accepted, "the other parties' view is as it was"
    assert found.settled().plan_digest == mild.require().plan_digest


def test_what_the_computation_tells_is_not_settled_by_anyone() -> None:
    bad = parse_toml(
        BASE.replace('item = "match_count"', 'item = "match_count"', 1).replace("corrupt = 1", "corrupt = 2")
    )
    with pytest.raises(LeakError, match=r"spec\.corrupt"):
        review(bad).lowered(dict.fromkeys(LOWERABLE, "note"), party="board").settled()


def test_the_report_says_that_a_server_may_lower_what_the_law_alone_refuses() -> None:
    by_law = next(case for case in CASES if case.name == "no approval and no exemption").spec
    by_both = by_law.model_copy(update={"security": by_law.security.model_copy(update={"corrupt": 2})})
    may = "whose own policy does not lower the legal rule"
    assert may in " ".join(render(review(by_law)).split())
    assert may not in " ".join(render(review(by_both)).split())


def test_the_report_shows_what_the_law_says_in_its_first_section() -> None:
    for name in ("no approval and no exemption", "no notice", "from when it is no longer personal is not said"):
        case = next(case for case in CASES if case.name == name)
        what = review(case.spec)
        for found in legal.findings(case.spec):
            for text in (render(what), html(what)):
                words = " ".join(unescape(re.sub(r"<wbr>|</?code>", "", text)).split())
                section = words[words.lower().index("safe project") :].partition("Who takes part")[0]
                assert found.rule in section and found.grade in section and lint.VERIFY not in section
                assert " ".join(found.message.split()) in section


# -- the catalogue, terms, and reading --------------------------------------------------------------------------------


def test_the_page_of_rules_is_the_catalogue() -> None:
    written = (ROOT / "docs" / "rules" / "legal.md").read_text()
    assert written == legal.catalogue(), "python -m pets.check.legal > docs/rules/legal.md"


def test_the_catalogue_is_printed_by_its_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pets.check.legal"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == legal.catalogue()


def test_jurisdictions_are_the_areas_of_the_demonstration_but_for_those_that_dpv_lacks() -> None:
    with (ROOT / "parties" / "demo" / "data" / "gb_areas.csv").open() as file:
        rows = list(csv.DictReader(file))
    codes = {row["code"] for row in rows}
    known = {term.removeprefix("loc:") for term in iris.JURISDICTIONS}
    assert codes - known == set(iris.NOT_IN_DPV) == {"GB-BFS", "GB-NNH", "GB-WNH"}
    assert known - codes == {"GB", "GB-EAW", "GB-GBN", "GB-UKM"}
    councils = {row["code"] for row in rows if row["category"] == "Council area"} | {"GB-EDH"}
    assert {f"GB-{area}" for area in iris.SCOTTISH_AREAS} == councils and len(councils) == 32


@pytest.mark.parametrize("kind", iris.GROUPS)
def test_terms_are_known_with_their_prefix_and_in_full(kind: str) -> None:
    assert len(set(iris.GROUPS[kind])) == len(iris.GROUPS[kind])
    for term in iris.GROUPS[kind]:
        prefix, _, name = term.partition(":")
        assert iris.short(term) == term == iris.short(iris.PREFIXES[prefix] + name)
        assert iris.is_term(term) and term in iris.KNOWN


def test_a_misspelt_term_is_answered_with_the_one_that_was_meant() -> None:
    case = next(case for case in CASES if case.name == "a misspelt purpose")
    (found,) = legal.findings(case.spec)
    assert "dpv:ProvideOfficialStatistics" in found.hint
    case = next(case for case in CASES if case.name == "an area that DPV lacks")
    assert "write loc:GB-NIR" in legal.findings(case.spec)[0].hint


@pytest.mark.parametrize(
    "text", ["s.251", "s 251 NHS Act 2006", "Section 251", "sect. 251", "(s251)", "pets:Section251"]
)
def test_section_251_is_recognised(text: str) -> None:
    assert cites_section_251(text)


@pytest.mark.parametrize("text", [None, "", "section 2511", "s.25", "251 patients", "paragraph 251"])
def test_what_is_not_section_251(text: str | None) -> None:
    assert not cites_section_251(text)


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("DEA 2017 s.64", True),
        ("section 64 of the Digital Economy Act 2017", True),
        ("urn:pets:terms:DEA2017ResearchPower", True),
        ("Digital Economy Act 2017 s.35", False),
        ("section 64 of another Act", False),
        (None, False),
    ],
)
def test_section_64_of_the_digital_economy_act(text: str | None, cited: bool) -> None:
    assert cites_section_64(text) is cited


def test_paragraphs_and_placeholders() -> None:
    assert paragraphs("Schedule 1 paragraph 4") == (4,) and paragraphs("Sch 1 Pt 2 paras 6, para. 10(1)") == (6, 10)
    assert paragraphs("Schedule 1 Part 1") == ()
    assert all(map(blank, (None, "", "  ", "TBC", "n/a", "Not  stated.", "None", "—")))
    assert not any(map(blank, ("nothing is kept", "0", "A-1")))


def test_the_table_says_all_of_it_within_its_width() -> None:
    for case in CASES:
        found = legal.lowered(legal.findings(case.spec), {"LL-15": "note"}, party="board")
        for width in (72, 100):
            text = lawful.table(found, width=width)
            assert all(len(line) <= width for line in text.splitlines())
            flat = " ".join(text.split())
            for each in found:
                assert each.rule in flat and each.path in flat and each.citation in flat
                assert " ".join(each.message.split()) in flat and " ".join(each.hint.split()) in flat
                assert "unreviewed" in flat
        assert lawful.counted(found) in lawful.summary(found, party=None)
