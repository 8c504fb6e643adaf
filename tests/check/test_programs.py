"""Specifications that ask for a program: the corpus, its two checkers, and cards on which these have to differ."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from pets.check import disclosure, document, executed, programs, shares
from pets.check.diff import compare
from pets.check.differencing import Terms, judge
from pets.check.labels import Mark
from pets.check.releases import Entry as Entry_
from pets.check.releases import release_of_program
from pets.errors import InternalError, SpecError
from pets.plan import execute
from pets.plan.review import Review, agree, review
from pets.spec.canonical import spec_json
from pets.spec.cards import Card, load_cards
from pets.spec.formula import parse_formula
from pets.spec.ir import Execute
from pets.spec.joins import PROGRAM
from pets.spec.parse import parse_toml
from pets.spec.programmed import programmed_of
from pets.spec.schema import json_schema
from pets.spec.write import to_toml
from tests.check.corpus import fixed, golden
from tests.check.programs_corpus import FILES, HERE, REFUSED, WARNED, findings, matrix, text_of
from tests.party.program_specs import survival_spec

Entry = Mapping[str, Any]


def named(each: Entry) -> str:
    return str(each["file"])


@contextmanager
def without(rule: str) -> Iterator[None]:
    """The registry without one rule, wherever it is entered."""
    before = dict(programs.RULES)
    del programs.RULES[rule]
    try:
        yield
    finally:
        programs.RULES.clear()
        programs.RULES.update(before)


# -- the corpus --------------------------------------------------------------------------------------------------------


def test_manifest_files_and_goldens_agree() -> None:
    listed = {each["file"] for each in FILES} | {each["golden"] for each in FILES}
    listed |= {each["matrix"] for each in FILES if "matrix" in each}
    there = {file.relative_to(HERE).as_posix() for file in HERE.rglob("*") if file.is_file()}
    assert there == listed | {"manifest.json"}
    for each in FILES:
        first, *rest = text_of(each).splitlines()
        said = " ".join(line.removeprefix("# ") for line in rest if line.startswith("# "))
        assert (first, said) == (f"# {each['rule']}", each["shows"])


@pytest.mark.parametrize("each", FILES, ids=named)
def test_every_message_is_golden(each: Entry) -> None:
    found = findings(text_of(each))
    assert golden(found) == (HERE / each["golden"]).read_text()
    assert each["rule"] in {finding.rule for finding in found}
    assert any(finding.severity == "error" for finding in found) is (each["expect"] == "refused")


@pytest.mark.parametrize("each", [each for each in FILES if "fix" in each], ids=named)
def test_after_its_fix_nothing_refuses(each: Entry) -> None:
    found = {finding.rule for finding in findings(fixed(text_of(each), each["fix"]))}
    assert found == set(each["stays"])
    for place in range(len(each["fix"])):
        assert {f.rule for f in findings(fixed(text_of(each), each["fix"], without=place))} != found


@pytest.mark.parametrize("each", WARNED, ids=named)
def test_what_is_accepted_is_so_by_the_whole_check(each: Entry) -> None:
    """Both checkers, the recheck of the plan, the report, the format: of everything that may run."""
    found = review(parse_toml(text_of(each)))
    assert found.accepted and found.checkers == ("flow", "knowledge"), found
    if "matrix" in each:
        assert found.verdict.matrix.text == matrix(text_of(each)) == (HERE / each["matrix"]).read_text()
    assert parse_toml(to_toml(found.spec)) == found.spec
    jsonschema.validate(spec_json(found.spec), json_schema())
    jsonschema.validate(document.to_json(found), document.json_schema())
    assert found.spec.title in found._repr_html_()


@pytest.mark.parametrize("rule", sorted(programs.RULES))
def test_a_rule_that_is_taken_out_is_missed(rule: str) -> None:
    with without(rule):
        missed = [each for each in FILES if golden(findings(text_of(each))) != (HERE / each["golden"]).read_text()]
    assert missed


# -- the report --------------------------------------------------------------------------------------------------------


def accepted(name: str) -> Review:
    return review(parse_toml(text_of(next(each for each in WARNED if name in each["file"]))))


def test_the_report_has_the_whole_text_with_numbered_lines() -> None:
    found = accepted("program_of_ones_own")
    assert found.program is not None
    text = disclosure.render(found)
    for number, line in enumerate(found.program.source.text.rstrip("\n").split("\n"), 1):
        assert f"\n    {number}  {line}".rstrip() + "\n" in text
    assert "Nobody declares what it tells" in " ".join(text.split())


def test_the_report_says_who_gets_what_and_where_it_ends() -> None:
    text = " ".join(disclosure.render(accepted("to_analysts")).split())
    assert "A university (analysts): what the program releases, exactly" in text
    assert "Any 2 of north, south and west: every number that anybody brings" in text
    assert "analysts's people a fresh share" in text
    five = " ".join(disclosure.render(accepted("five_who_compute")).split())
    assert "Up to 2 of them together: random numbers. Any 3 of them together" in five


def test_a_specification_that_cannot_be_bound_has_a_report_too() -> None:
    for each in REFUSED:
        if each["rule"] != "spec.field" or "another_text" in each["file"]:
            found = review(parse_toml(text_of(each)))
            assert not found.accepted and "Refused" in json.dumps(document.to_json(found))
            assert disclosure.render(found)


# -- two checkers ------------------------------------------------------------------------------------------------------


def changed(**what: Any) -> dict[str, Card]:
    return {**load_cards(), PROGRAM: replace(load_cards()[PROGRAM], **what)}


def streams(**what: Any) -> Any:
    return tuple(replace(each, **what) for each in load_cards()[PROGRAM].streams)


CARDS = {
    "shares of a lower degree": {"streams": streams(degree=parse_formula("t - 1"))},
    "shares of a higher degree": {"streams": streams(degree=parse_formula("2 * t"))},
    "who learns nothing together": {"learns": load_cards()[PROGRAM].learns[:1]},
    "nobody knows how many": {"learns": load_cards()[PROGRAM].learns[1:]},
    "nothing comes out": {"outputs": ()},
    "one more may be corrupt": {
        "adversary": replace(load_cards()[PROGRAM].adversary, threshold=parse_formula("(party - 1) // 2 + 1"))
    },
}


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("file", ["quantiles_of_three_boards", "five_who_compute", "to_analysts"])
def test_a_card_that_promises_something_else_makes_the_checkers_differ(name: str, file: str) -> None:
    """What the first reads off the card is not what the second works out of its streams."""
    found, cards = accepted(file), changed(**CARDS[name])
    assert found.program is not None and found.plan is not None
    first = programs.judge(found.spec, found.program, cards)
    with pytest.raises(InternalError, match=r"plan\.checkers-differ"):
        agree(first, shares.judge(found.plan, found.spec, cards))


@pytest.mark.parametrize(
    "what",
    [
        {"streams": load_cards()[PROGRAM].streams[:1]},
        {"streams": load_cards()[PROGRAM].streams[1:]},
        {"streams": streams(among="result")},
        {"streams": streams(element="number")},
    ],
)
def test_streams_that_no_rule_is_about_are_refused(what: dict[str, Any]) -> None:
    found = accepted("quantiles_of_three_boards")
    assert found.plan is not None
    with pytest.raises(InternalError, match=r"plan\.terms"):
        shares.judge(found.plan, found.spec, changed(**what))


@pytest.mark.parametrize("parties", range(3, 10))
def test_both_checkers_agree_however_many_compute(parties: int) -> None:
    """Up to t together hold shares, one more sees everything, whoever they are."""
    text = text_of(next(each for each in WARNED if "quantiles_of_three_boards" in each["file"]))
    more = "".join(
        f'[[party]]\nname = "p{n}"\norganisation = "Office {n}"\nroles = ["computing"]\n'
        f'san = "spiffe://p{n}.example/pets"\ncountry = "GB"\nacts_as = "processor"\n\n'
        for n in range(parties - 3)
    )
    t = (parties - 1) // 2
    text = text.replace("[[dataset]]", more + "[[dataset]]", 1).replace("corrupt = 1", f"corrupt = {t}")
    found = review(parse_toml(text))
    assert found.accepted, found
    for column in found.verdict.matrix.columns:
        seen = found.verdict.matrix.mark("waits.days of south", column.label)
        if column.beyond_model:
            assert len(column.parties) == t + 1 and seen is Mark.VISIBLE
        elif "south" not in column.parties:
            assert seen is (Mark.PROGRAM if "north" in column.parties else Mark.HELD)


def test_every_coalition_within_the_model_knows_no_more_than_those_that_are_shown() -> None:
    """Neighbours stand for all sets: what any set of two of five knows is the same but for own rows."""
    found = accepted("five_who_compute")
    assert found.program is not None
    about, card = executed.about(found.spec, found.program), load_cards()[PROGRAM]
    facts = executed.facts(about, card)
    for one in about.computing:
        for other in about.computing:
            marks = executed.knowledge(about, card, facts, frozenset({one, other}))
            for each in about.brought:
                for item in each.items(each.told):
                    own, result = each.holder in (one, other), about.result in (one, other)
                    assert marks[item] is (Mark.VISIBLE if own else Mark.PROGRAM if result else Mark.HELD)


# -- releases that could be combined -----------------------------------------------------------------------------------


def entry(name: str, version: str) -> Entry_:
    found = accepted(name)
    assert found.program is not None
    return Entry_(found.digest, release_of_program(found.spec, found.program), {"waits": version})


def test_a_program_is_an_exact_release_of_every_column_that_goes_in() -> None:
    """Over records that changed, and over rows that another condition chooses, it can be combined with itself."""
    terms = Terms(holder="north", minimum=10)
    first = entry("quantiles_of_three_boards", "1")
    assert first.release.exact and first.release.min_count == 1
    assert {part.family for part in first.release.parts} == {"count", "value waits.days"}
    again = replace(first, digest="0" * 64)
    for other in (replace(again, versions={"waits": "2"}), entry("rows_that_are_chosen", "1")):
        assert judge((first,), other, terms), other
    assert not judge((first,), again, terms)


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_recheck_finds_every_step_that_was_changed() -> None:
    """What decides who gets what, or how much is sent, is held against the specification anew."""
    spec = accepted("rows_that_are_chosen").spec
    asked = programmed_of(spec)
    plan = execute.lower(spec, asked)
    approved = programs.judge(spec, asked, load_cards()).matrix
    execute.recheck(plan, approved, spec, asked)
    *reads, step, opened = plan.steps
    terms = asked.terms
    (told,), (given,) = terms.outputs, terms.inputs
    wrong_terms = (
        replace(terms, bits=terms.bits + 1),
        replace(terms, source="0" * 64),
        replace(terms, parties=terms.parties[::-1]),
        replace(terms, parameters={**terms.parameters, "ranks": (1, 2, 3)}),
        replace(terms, budget=replace(terms.budget, bytes=terms.budget.bytes + 1)),
        replace(terms, outputs=(replace(told, client="", receivers=("south",)),)),
        replace(terms, outputs=(replace(told, client="south:result"),)),
        replace(terms, outputs=(replace(told, fraction=1),)),
        replace(terms, inputs=(replace(given, high=given.high - 1),)),
        replace(terms, inputs=(replace(given, holders=given.holders[:2]),)),
    )
    wrong = [replace(plan, steps=(*reads, replace(step, terms=each), opened)) for each in wrong_terms]
    wrong += [
        replace(plan, steps=(*reads, step, replace(opened, to="south"))),
        replace(plan, steps=(replace(reads[0], where=None), step, opened)),
        replace(plan, steps=(replace(reads[0], max_rows=13), step, opened)),
        replace(plan, steps=(*reads, replace(step, columns=(("value", "rows_1", "referred"),)), opened)),
        replace(plan, steps=(*reads, replace(step, public=(*step.public[:-1], ("w", 17))), opened)),
        replace(plan, spec="0" * 64),
    ]
    for each in wrong:
        with pytest.raises(InternalError, match=r"plan\.(wiring|matrix-differs)"):
            execute.recheck(each, approved, spec, asked)


def test_a_program_of_no_column_is_none() -> None:
    """Nobody has all of nothing, and with it what the program gives: no specification and no checker lets it pass."""
    text = text_of(next(each for each in WARNED if "program_of_ones_own" in each["file"]))
    spec, cards = parse_toml(text), load_cards()
    asked = programmed_of(spec)
    start = text.index("inputs = {")
    with pytest.raises(SpecError, match="inputs"):
        parse_toml(text[:start] + "inputs = {}" + text[text.index("}", start) + 1 :])
    with pytest.raises(SpecError, match="are none"):
        replace(asked.terms, inputs=())
    *reads, step, opened = execute.lower(spec, asked).steps
    assert isinstance(step, Execute)
    bare = replace(execute.lower(spec, asked), steps=(*reads, replace(step, columns=()), opened))
    with pytest.raises(InternalError, match="no column"):
        shares.judge(bare, spec, cards)
    told = executed.about(spec, replace(asked, columns=()))
    known = executed.knowledge(told, cards[PROGRAM], (), frozenset({told.parties[0]}))
    assert known[told.released[0]] is Mark.HELD


def test_the_order_in_which_inputs_are_written_means_nothing() -> None:
    """One digest, one plan: whoever reads the canonical form comes to the same as who reads the text."""
    toml = survival_spec(3)
    start = toml.index("inputs = { ") + len("inputs = { ")
    end = toml.index(" }", start)
    turned = toml[:start] + ", ".join(reversed(toml[start:end].split(", "))) + toml[end:]
    first, second = review(parse_toml(toml)), review(parse_toml(turned))
    assert turned != toml and first.accepted
    assert (first.digest, first.plan_digest) == (second.digest, second.plan_digest)
    fewer = review(parse_toml(toml.replace("west = 3", "west = 2")))
    assert [finding.message for finding in fewer.verdict.errors] == [
        f"west brings 3 numbers of intervals.{name}, and at most 2 rows"
        for name in ("events_1", "events_2", "at_risk_1", "at_risk_2")
    ]


# -- what a change means -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "relation"),
    [
        ("max_runs = 1", "max_runs = 1", "equal"),
        ("not_after = 2027-10-31", "not_after = 2027-09-30", "narrower"),
        ("ranks = [3, 6, 9]", "ranks = [3, 6]", "incomparable"),
        ("bytes = 120_000", "bytes = 110_000", "incomparable"),
        ("corrupt = 1", 'corrupt = 1\nprotocol = "mpyc_program"', "narrower"),
    ],
)
def test_another_program_or_other_numbers_need_approvals_of_their_own(old: str, new: str, relation: str) -> None:
    text = text_of(next(each for each in WARNED if "quantiles_of_three_boards" in each["file"]))
    assert text.count(old) == 1
    found = compare(parse_toml(text), parse_toml(text.replace(old, new)))
    assert found.relation == relation, found.reasons


def test_ones_own_text_is_not_within_what_was_signed_before() -> None:
    found = compare(accepted("quantiles_of_three_boards").spec, accepted("program_of_ones_own").spec)
    assert found.relation == "incomparable"
