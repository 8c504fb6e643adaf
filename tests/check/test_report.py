"""What the report says: in plain words, of every field, and item by item what is declared of what is computed."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pets.check import document
from pets.check.blocks import MANY, Points, Report, Text
from pets.check.checked import card_ids
from pets.check.declared import declared
from pets.check.disclosure import render
from pets.check.document import to_json
from pets.check.labels import Mark
from pets.check.page import html
from pets.check.report import report
from pets.errors import SpecError
from pets.plan.cost import used_cards
from pets.plan.review import Review, review
from pets.spec.canonical import spec_digest, spec_json
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from tests.check import corpus
from tests.check.readability import grade, sentences, syllables
from tests.thinned import thinned

HERE = Path(__file__).parent
PASS = sorted((HERE / "should_pass").glob("*.toml"))[::7]
WARN = sorted((HERE / "should_warn").glob("*.toml"))
FAIL = sorted((HERE / "should_fail").glob("*.toml"))[::7]
"""One in seven of the corpus, which the checker itself runs whole: these tests take a second a file."""


@cache
def of(file: Path) -> Review | None:
    """The review of a file of the corpus, or None of what is no specification."""
    try:
        return review(parse_toml(file.read_text()))
    except SpecError:
        return None


def certain(file: Path) -> Review:
    found = of(file)
    assert found is not None
    return found


def short(file: Path) -> str:
    return file.stem


# -- in plain words ---------------------------------------------------------------------------------------------------

GRADE = 7.5
"""The school grade of our prose at most, read at 12 to 13 years: plain enough for whoever signs."""
WORDS = 42
"""The longest sentence, names of columns included."""


@pytest.mark.parametrize(("word", "count"), [("made", 1), ("table", 2), ("needed", 2), ("codes", 1), ("computing", 3)])
def test_syllables_are_counted(word: str, count: int) -> None:
    assert syllables(word) == count


def test_the_measure_tells_plain_from_hard() -> None:
    plain = "The cat sat on the mat. It was a big cat."
    hard = (
        "Notwithstanding methodological considerations, institutional confidentiality necessitates probabilistic "
        "perturbation of individually identifiable administrative information."
    )
    assert grade([plain]) < 0 and grade([hard]) > 25
    # 11 words, 2 sentences, 11 syllables
    assert grade([plain]) == pytest.approx(0.39 * 11 / 2 + 11.8 - 15.59)


def prose(what: Report) -> list[str]:
    texts = [what.verdict, *(text for pair in what.minute for text in pair)]
    for section in what.sections:
        texts.append(section.question)
        texts += [block.text for block in section.blocks if isinstance(block, Text)]
        texts += [point for block in section.blocks if isinstance(block, Points) for point in block.points]
    return texts


@pytest.mark.parametrize("file", [*PASS, *WARN], ids=short)
def test_what_we_write_can_be_read_by_anyone(file: Path) -> None:
    texts = prose(report(certain(file)))
    assert grade(texts) <= GRADE
    assert max(len(words) for text in texts for words in sentences(text)) <= WORDS


@pytest.mark.parametrize("file", PASS, ids=short)
def test_one_minute_is_one_minute(file: Path) -> None:
    """People read 238 words a minute (Brysbaert, Journal of Memory and Language 109, 2019). The digest is not read."""
    answers = report(certain(file)).minute
    digest = 8
    assert len(answers) == 10
    assert sum(len(answer.split()) for _, answer in answers) - digest <= 1.25 * 238
    assert grade(answer for _, answer in answers) <= GRADE


def test_one_minute_answers_what_approvers_ask(spec: Spec) -> None:
    answers = dict(report(review(spec)).minute)
    assert answers["What is computed?"].startswith("One table of 25 rows, one for every tenure and age_band.")
    assert "mean of attendances.minutes" in answers["What is computed?"]
    assert "A council (council): housing, up to 200,000 rows with 2 columns." in answers["Who brings what?"]
    assert answers["Who gets what?"].startswith("The analysts (statistics): that table, with noise in every number.")
    assert "Of each other's records, board and council learn nothing." in answers["Who gets what?"]
    assert "how many rows match, give or take 24." in answers["What does the helper see?"]
    assert "board with helper all of housing, council with helper all of attendances" in answers["Who could cheat?"]
    assert "helper with statistics" not in answers["Who could cheat?"]
    assert answers["Until when, how often?"] == "From 1 December 2026 to 30 November 2027. At most 12 runs, monthly."
    assert "a factor of 4.5 at most (epsilon 1.5, delta 2^-40)" in answers["At what cost in privacy?"]
    assert "epsilon 18" in answers["At what cost in privacy?"]
    assert review(spec).digest in answers["What do I sign?"].replace(" ", "")
    assert "board, council and helper" in answers["What if I refuse?"]


@pytest.mark.parametrize("name", ["match_count_undeclared", "edge_distinct", "no_helper", "two_results"])
def test_what_is_refused_says_first_that_there_is_nothing_to_sign(name: str) -> None:
    answers = dict(report(certain(HERE / "should_fail" / f"{name}.toml")).minute)
    assert answers["What do I sign?"].startswith("Nothing.") and "Why is it refused?" in answers
    assert "What does the helper see?" not in answers and "Who could cheat?" not in answers


def test_what_only_the_legal_rules_refuse_is_told_in_full(spec: Spec) -> None:
    """Approvers judge the computation all the same: a party's policy may lower a rule that nobody has signed."""
    broken = spec.legal["board"].model_copy(update={"article9": None, "schedule1": None})
    table = spec.datasets[0]
    special = {
        **table.columns,
        "minutes": table.columns["minutes"].model_copy(update={"sensitivity": "special category"}),
    }
    found = review(
        spec.model_copy(
            update={
                "legal": {**spec.legal, "board": broken},
                "datasets": (table.model_copy(update={"columns": special}), spec.datasets[1]),
            }
        )
    )
    assert found.verdict.errors and all(f.rule.startswith("LL-") for f in found.verdict.errors)
    questions = [question for question, _ in report(found).minute]
    assert questions[0] == "Why is it refused?" and questions[-1] == "What do I sign?"
    assert {"What does the helper see?", "Who could cheat?", "At what cost in privacy?"} <= set(questions)
    assert dict(report(found).minute)["What do I sign?"].startswith("Nothing, as it stands.")


def test_who_could_cheat_is_read_off_the_matrix(spec: Spec) -> None:
    """A made-up matrix in which the helper alone sees a record is not called safe."""
    found = review(spec)
    row = next(r for r in found.verdict.matrix.rows if r.value == "housing.tenure")
    told = copy.copy(row.cells) | {"helper": Mark.VISIBLE}
    rows = tuple(r if r is not row else type(row)(row.value, row.kind, told) for r in found.verdict.matrix.rows)
    matrix = type(found.verdict.matrix)(found.verdict.matrix.columns, rows)
    verdict = type(found.verdict)(found.verdict.findings, matrix, found.verdict.losses)
    worse = type(found)(*(verdict if name == "verdict" else getattr(found, name) for name in found.__slots__))
    cheats = dict(report(worse).minute)["Who could cheat?"]
    assert cheats.startswith("helper could see every record of housing") and "No party alone" not in cheats


def test_a_holder_that_gets_the_table_is_not_said_to_learn_nothing() -> None:
    answers = dict(report(certain(HERE / "should_pass" / "result_to_the_council.toml")).minute)
    assert "Of the other's records, board learns nothing." in answers["Who gets what?"]


def test_sections_are_in_the_order_of_the_five_safes(spec: Spec) -> None:
    numbered = report(review(spec)).numbered
    assert [f"{number} {s.title}" for number, s in numbered if not s.within] == [
        *("1 Safe projects", "2 Safe people", "3 Safe data", "4 Safe settings", "5 Safe outputs"),
        *("6 What is signed", "7 Every field, as signed"),
    ]
    assert [number for number, s in numbered if s.within] == ["4.1", "4.2", "4.3"]


# -- declared against computed ----------------------------------------------------------------------------------------


def test_each_item_is_shown_with_what_declares_it(spec: Spec) -> None:
    found = declared(review(spec))
    assert found is not None and found.whole and not found.bare
    told = {(e.who, e.item): (e.computed, e.declared, e.places, e.terms) for e in found.items}
    noised, size = Mark.NOISED, Mark.SIZE
    assert told == {
        (("helper",), "match_count"): (noised, noised, ("security.leakage[0]",), "epsilon 0.5, delta 2^-40"),
        (("everyone",), "row_count"): (size, size, ("security.leakage[1]",), "declared maximum"),
        (("statistics",), "sums"): (noised, noised, ("release",), "epsilon 1"),
    }


@pytest.mark.parametrize("place", [0, 1])
def test_an_item_that_is_taken_out_is_shown_as_not_covered(spec: Spec, place: int) -> None:
    kept = tuple(entry for i, entry in enumerate(spec.security.leakage) if i != place)
    less = spec.model_copy(update={"security": spec.security.model_copy(update={"leakage": kept})})
    found = declared(review(less))
    assert found is not None and not found.whole and found.bare
    assert [e.item for e in found.items if not e.covered] == [spec.security.leakage[place].item]
    assert "NO" in [row[-1] for s in report(review(less)).sections if s.id == "leakage" for row in s.blocks[1].rows]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "who", "words"),
    [
        ("should_pass/ae_by_tenure", ["flow", "knowledge"], "Two checkers, written separately, agree on this table."),
        ("should_fail/match_count_undeclared", ["flow"], "One checker made this table."),
        ("should_fail/edge_distinct", [], None),
    ],
)
def test_the_table_says_who_vouches_for_it(name: str, who: list[str], words: str | None) -> None:
    what = certain(HERE / f"{name}.toml")
    said = [b.text for s in report(what).sections if s.id == "matrix" for b in s.blocks if isinstance(b, Text)]
    assert [text.split(". ")[0] + "." for text in said] == ([words] if words else [])
    assert to_json(what)["checkers"] == who


def test_an_item_that_nobody_is_told_is_shown_as_not_needed(spec: Spec) -> None:
    more = spec.security.leakage[0].model_copy(update={"learner": "statistics"})
    wider = spec.model_copy(
        update={"security": spec.security.model_copy(update={"leakage": (*spec.security.leakage, more)})}
    )
    found = declared(review(wider))
    assert found is not None and found.whole
    assert [(e.who, e.computed, e.places) for e in found.items if e.whose == "nobody"] == [
        (("statistics",), Mark.NEVER, ("security.leakage[2]",))
    ]
    rows = [row for s in report(review(wider)).sections if s.id == "leakage" for row in s.blocks[1].rows]  # type: ignore[union-attr]
    assert [row[-1] for row in rows] == ["yes", "yes", "yes", "not needed"]


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_the_list_and_the_rule_agree(file: Path) -> None:
    """What the rule leak.undeclared refuses is what the list shows as not covered, and the other way round."""
    reviewed = of(file)
    found = declared(reviewed) if reviewed is not None else None
    if reviewed is not None and found is not None and reviewed.spec.release.differential_privacy is not None:
        assert found.whole is not any(f.rule == "leak.undeclared" for f in reviewed.verdict.findings)


# -- every field ------------------------------------------------------------------------------------------------------


def canaries(number: int) -> tuple[Any, ...]:
    """Values that stand nowhere else, of every form that a leaf may have; the last are for whole numbers."""
    text = (f"zqcanary{number}", f"Zqcanary{number}", f"spiffe://zqcanary{number}.example/pets", f"zqcanary:{number}")
    return (
        *text,
        f"0.7{number}1",
        f"2^-{40 + number % 60}",
        70_000 + number,
        900 + number % 99,
        7,
        3,
        1,
        0,
        True,
        False,
    )


OTHERS = (
    *("decimal", "integer", "date", "text", "category", "filter only", "measure", "dimension", "special category"),
    *("nhs-number", "upper-case", "yearly", "daily", "frozen", "exact", "declared maximum", "malicious"),
    *("result", "computing", "input", "row_count", "match_count", "2027-03-17", "2026-12-24"),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every leaf of a document with its path."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from places(part, (*path, place))
    elif value is not None:
        yield path, value


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    node = changed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return changed


def renamed(value: Any, old: str, new: str) -> Any:
    """The whole document with one name changed wherever it stands: keys, values, and words of the query."""
    if isinstance(value, dict):
        return {renamed(key, old, new): renamed(part, old, new) for key, part in value.items()}
    if isinstance(value, list):
        return [renamed(part, old, new) for part in value]
    return re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", new, value) if isinstance(value, str) else value


def mutants(body: Any, path: tuple[Any, ...], value: Any, number: int) -> Iterator[Any]:
    """Documents with a canary in the place of one leaf, the most telling first."""
    for canary in (*canaries(number), *OTHERS):
        if canary != value and isinstance(canary, type(value)):
            yield put(body, path, canary)
            if str(canary).lower() == f"zqcanary{number}":
                yield renamed(body, value, canary)


def specification(body: Any) -> Spec | None:
    try:
        return Spec.model_validate_json(json.dumps(body))
    except ValueError:
        return None


def shown(spec: Spec) -> tuple[str, str, str]:
    """The three forms as running text."""
    what = review(spec)
    page = unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html(what).replace("<wbr>", ""), flags=re.DOTALL))
    return " ".join(render(what).split()), " ".join(page.split()), json.dumps(to_json(what), ensure_ascii=False)


def said(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else " ".join(str(value).split())


@pytest.mark.parametrize("file", thinned([*PASS, *WARN, *FAIL[::10]], one_in=3), ids=short)
def test_every_leaf_that_is_changed_is_changed_on_the_report(file: Path) -> None:
    """Put a canary of its own into each leaf, wherever the model takes one, and look for all in text, page and JSON.

    A leaf that has few values, or one (a role, a type, the format), is looked for beside its name.
    """
    if (reviewed := of(file)) is None:
        return
    body = json.loads(reviewed.spec.model_dump_json(by_alias=True, exclude_none=True))
    count, changed = len(list(places(body))), 0
    for number in range(count):
        path, value = list(places(body))[number]
        if (found := next((m for m in mutants(body, path, value, number) if specification(m)), None)) is not None:
            body, changed = found, changed + 1
    assert changed > count * 0.7
    spec = specification(body)
    assert spec is not None
    text, page, told = shown(spec)
    assert json.loads(told)["specification"] == json.loads(json.dumps(spec_json(spec)))
    squeezed = text.replace(" ", "")
    for path, value in places(body):
        word = said(value)
        if "zqcanary" in word.lower():
            assert word in page and word.replace(" ", "") in squeezed, path
        else:
            named = path[:-1] if isinstance(path[-1], int) else path
            name = re.escape(re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, named))))
            assert re.search(rf"{name} (?:[^.]*, )?{re.escape(word)}(?!\w)", page), path
            name, word = name.replace(r"\ ", ""), word.replace(" ", "")
            alone = word if word.isdigit() and int(word) > 900 else None
            assert alone in squeezed if alone else re.search(rf"{name}(?:[^.]*,)?{re.escape(word)}", squeezed), path


def test_what_is_left_out_is_listed_with_its_number(spec: Spec) -> None:
    table = spec.datasets[1]
    many = tuple(f"area {i}" for i in range(MANY + 1000))
    wide = table.columns["tenure"].model_copy(update={"levels": many})
    spec = spec.model_copy(
        update={"datasets": (spec.datasets[0], table.model_copy(update={"columns": {**table.columns, "tenure": wide}}))}
    )
    field = "dataset[1].columns.tenure.levels"
    assert report(review(spec)).omitted == ((field, 1000),)
    text, page, told = shown(spec)
    for form in (text, page):
        assert (
            f"{field} has {MANY + 1000:,} values; the first {MANY} are on this page, the other 1,000 are not." in form
        )
        assert f"area {MANY - 1} and" in form and f"area {MANY}," not in form
    assert json.loads(told)["omitted"] == [{"field": field, "values": 1000}]
    assert f"area {MANY + 999}" in told


# -- as JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [*PASS, *WARN, *FAIL], ids=short)
def test_the_json_form_fulfils_its_schema(file: Path) -> None:
    what = of(file)
    if what is None:
        return
    out = json.loads(json.dumps(to_json(what)))
    jsonschema.validate(out, document.json_schema())
    assert out["accepted"] is what.accepted and out["digest"] == what.digest
    assert len(out["matrix"]["rows"]) == len(what.verdict.matrix.rows)
    assert [f["rule"] for f in out["findings"]] == [f.rule for f in what.verdict.findings]


def test_the_schema_is_one_and_refuses_what_is_not_a_report(spec: Spec) -> None:
    schema = document.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.dumps(schema) == json.dumps(document.json_schema()) and schema["$id"] == "urn:pets:report:1"
    good: Any = to_json(review(spec))
    for path, value in (
        (("surprise",), 1),
        (("digest",), "12"),
        (("matrix", "rows", 0, "cells", "board"), "X"),
        (("leakage", "items", 0, "covered"), "yes"),
        (("findings",), [{"rule": "x"}]),
        (("sections", 0, "blocks", 0, "kind"), "marks"),
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(put(json.loads(json.dumps(good)), path, value), schema)


def test_the_specification_in_the_json_form_is_the_one_that_is_signed(spec: Spec) -> None:
    out: Any = json.loads(json.dumps(to_json(review(spec))))
    assert spec_digest(Spec.model_validate_json(json.dumps(out["specification"]))) == out["digest"]


@pytest.mark.parametrize("name", ["ae_by_tenure", "exact_with_known_totals"])
def test_the_cards_that_are_signed_are_those_of_the_plan(name: str) -> None:
    found = review(parse_toml((corpus.HERE / "should_pass" / f"{name}.toml").read_text()))
    assert found.plan is not None
    assert card_ids(found) == used_cards(found.plan)
    told = render(found)
    assert all(f"Card {card}" in told for card in used_cards(found.plan))
    assert ("Known totals" in told) == (name == "exact_with_known_totals")
