"""What authors get wrong, and what they are told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.errors import SpecError
from pets.spec.canonical import canonical, spec_json
from pets.spec.model import Spec
from pets.spec.parse import MAX_JSON, MAX_TOML, parse_toml, read_spec, spec_from_json
from pets.spec.query import Aggregate, ColumnRef
from pets.spec.sql import bind

WRONG = [
    ('max_rows = 1000', 'max_rows = "1000"', "dataset.stays.max_rows", "whole number", "without quotes"),
    ("max_rows = 1000", "max_rows = 1000.0", "dataset.stays.max_rows", "floating-point", "in quotes"),
    ("max_rows = 1000", "max_rows = true", "dataset.stays.max_rows", "whole number", "without quotes"),
    ("max_rows = 1000", "max_rows = 0", "dataset.stays.max_rows", "at least 1", "another number"),
    ("max_rows = 1000", "max_row = 1000", "dataset.stays.max_rows", "missing", "add it"),
    ("max_rows = 1000", "max_rows = 1000\nmax_rowz = 1", "dataset.stays.max_rowz", "not a key", "mean max_rows?"),
    ("min = 0, max = 30", "min = 0, maxx = 30", "dataset.stays.columns.nights.maxx", "not a key", "mean max?"),
    ("min = 0, max = 30", "min = 0", "dataset.stays.columns.nights", "needs min and max", "add min and max"),
    ("min = 0, max = 30", "min = 0, max = 30.5", "dataset.stays.columns.nights.max", "floating-point", "in quotes"),
    ("min = 0, max = 30", "min = 0, max = 'x'", "dataset.stays.columns.nights.max", "fits none", "documentation"),
    ('epsilon = "1"', "epsilon = 1", "release.differential_privacy.epsilon", "must be text", "in quotes"),
    ('epsilon = "1"', "epsilon = 0.5", "release.differential_privacy.epsilon", "floating-point", '"0.5"'),
    ('epsilon = "1"', 'epsilon = "\u0661"', "release.differential_privacy.epsilon", "positive decimal", "change"),
    ('epsilon = "1"', 'epsilon = "1/0"', "release.differential_privacy.epsilon", "denominator", "change"),
    ('epsilon = "1"', 'epsilon = "0"', "release.differential_privacy.epsilon", "above zero", "change"),
    ('epsilon = "1"', 'epsilon = "inf"', "release.differential_privacy.epsilon", "positive decimal", "change"),
    ('"semi-honest"', '"honest"', "security.adversary", "must be one of 'semi-honest' or 'malicious'", "choose"),
    ("corrupt = 1", "corrupt = nan", "security.corrupt", "floating-point", "in quotes"),
    ('name = "helper"', 'name = "The Helper"', "party[3].name", "not a party's name", "rename"),
    ("spiffe://helper.example/pets", "https://helper.example", "party.helper.san", "spiffe://", "certificate"),
    ('to = ["office"]', 'to = "office"', "release.to", "must be a list", "brackets"),
    ('to = ["office"]', 'to = ["board"]', "release.to", 'board needs the role "result"', "give it the role"),
    ("not_before = 2026-01-01", 'not_before = "2026-01-01"', "validity.not_before", "must be a date", "without quotes"),
    (
        'not_before = 2026-01-01',
        'not_before = 2026-01-01T10:00:00',
        'validity.not_before',
        'must be a date',
        '2026-12-31',
    ),
    ("not_before = 2026-01-01", "not_before = 2028-01-01", "validity", "not_before is after", "change"),
    ('[linkage]\non = "id"', '[linkage]\non = "id"\nnormalise = ["hash"]', "linkage.normalise[1]", "one of", "choose"),
    (
        'dpia = { id = "2", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }',
        'dpia = 2',
        'legal.council.dpia',
        'must be a table',
        'header',
    ),
    ('as = "declared maximum"', 'extent = "declared maximum"', "security.leakage[1].extent", "not a key", "remove"),
    ("[[party]]", "[[parties]]", "party", "missing", "add it"),
    ('title = "Stays', 'title = "Stays\u202e', "title", "hidden character U+202E", "cannot see"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "problem", "advice"), WRONG)
def test_mistakes_are_named_with_their_path(
    toml: str, old: str, new: str, path: str, problem: str, advice: str
) -> None:
    assert old in toml
    with pytest.raises(SpecError) as caught:
        parse_toml(toml.replace(old, new))
    everything = [caught.value.text, *caught.value.fields["others"]]  # type: ignore[misc]
    assert caught.value.code == "spec.field"
    if f"spec.field: {path}: " in caught.value.text:
        assert problem in caught.value.text
        assert advice in caught.value.hint
    else:
        assert any(line.startswith(f"{path}: ") and problem in line for line in everything)


def test_all_mistakes_are_reported_at_once(toml: str) -> None:
    text = toml.replace("corrupt = 1", "corrupt = 0").replace("max_runs = 3", "max_runs = -3\nmax_run = 2")
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    assert caught.value.fields["path"] == "security.corrupt"
    others = caught.value.fields["others"]
    assert isinstance(others, tuple)
    assert [line.split(":")[0] for line in others] == ["validity.max_runs", "validity.max_run"]


def test_a_refusal_of_a_union_is_one_problem(toml: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_toml(toml.replace('on = "id"', "on = 7"))
    assert caught.value.fields["path"] == "linkage.on"
    assert caught.value.fields["others"] == ()


@pytest.mark.parametrize(
    "text",
    [
        "pets = ",
        "pets = 1\npets = 1",
        "a = " + "[" * 5_000,
        "a = " + "{ a = " * 5_000,
        "a = " + "9" * 10_000,
        "\x00",
        "pets = 2026-13-01",
    ],
)
def test_what_is_not_toml_is_a_typed_refusal(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_toml(text, file="some.toml")
    assert caught.value.code == "spec.toml"
    assert "some.toml" in caught.value.text


def test_size_is_capped(tmp_path: Path) -> None:
    long = "# " + "x" * MAX_TOML
    with pytest.raises(SpecError, match=r"spec\.too-large"):
        parse_toml(long)
    with pytest.raises(SpecError, match=r"spec\.too-large"):
        spec_from_json(b" " * (MAX_JSON + 1))
    file = tmp_path / "long.toml"
    file.write_text(long)
    with pytest.raises(SpecError, match=r"long\.toml is larger than"):
        read_spec(file)


def test_files_are_read_and_unreadable_ones_are_named(tmp_path: Path, toml: str, spec: Spec) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbf" + toml.encode())
    assert read_spec(file) == spec
    file.write_bytes(b"title = '\xff'")
    with pytest.raises(SpecError, match=r"spec\.unreadable: cannot read .*a\.toml: it is not UTF-8"):
        read_spec(file)
    with pytest.raises(SpecError, match=r"spec\.unreadable: cannot read .*none\.toml"):
        read_spec(tmp_path / "none.toml")
    with pytest.raises(SpecError, match=r"spec\.unreadable"):
        read_spec(tmp_path)


@given(st.text(max_size=200))
def test_any_text_is_a_typed_refusal(text: str) -> None:
    with pytest.raises(SpecError):
        parse_toml(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_typed_refusal(body: bytes) -> None:
    with pytest.raises(SpecError):
        spec_from_json(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body + b"\n", "spec.not-canonical"),
        (lambda body: b" " + body, "spec.not-canonical"),
        (lambda body: body.replace(b'"pets":1', b'"pets":1,"pets":1'), "spec.not-canonical"),
        (lambda body: body.replace(b'"pets":1', b'"pets":1.0'), "spec.field"),
        (lambda body: body.replace(b',"truncate":false', b"", 1), "spec.not-canonical"),
        (lambda body: body.replace(b"2026-01-01", b"2026-01-99"), "spec.field"),
        (lambda body: body.replace(b"Stays", b"\\u0053tays"), "spec.not-canonical"),
        (lambda body: b"[" * 100_000, "spec.not-canonical"),
        (lambda body: b"[]", "spec.not-canonical"),
        (lambda body: b"{}", "spec.field"),
        (lambda body: b"\xff", "spec.not-canonical"),
    ],
)
def test_json_is_accepted_in_canonical_form_only(spec: Spec, change: object, code: str) -> None:
    body = canonical(spec)
    altered = change(body)  # type: ignore[operator]
    assert altered != body
    with pytest.raises(SpecError) as caught:
        spec_from_json(altered)
    assert caught.value.code == code


def test_hidden_characters_are_refused_in_json_too(spec: Spec) -> None:
    body = spec_json(spec)
    body["title"] = "a\u2066b"
    with pytest.raises(SpecError, match=r"title: contains the hidden character U\+2066"):
        spec_from_json(canonical(body))


def test_joiners_that_scripts_need_are_kept(toml: str) -> None:
    assert parse_toml(toml.replace("Stays and homes", "\u0915\u094d\u200d\u0937")).title == "\u0915\u094d\u200d\u0937"


def test_the_demonstration_says_what_it_should(demo: Spec) -> None:
    """The bounds that the demonstration's people are made for, and what its approvers are told."""
    query = bind(demo)
    assert [party.name for party in demo.parties] == ["board", "council", "helper", "statistics"]
    assert demo.computing == ("board", "council", "helper")
    assert (query.left, query.right, query.join) == ("attendances", "housing", "inner")
    assert query.group_by == (ColumnRef("housing", "tenure"), ColumnRef("attendances", "age_band"))
    assert sum(isinstance(output.what, Aggregate) for output in query.outputs) == 3
    attendances = demo.dataset("attendances")
    assert (attendances.max_rows, attendances.max_rows_per_person, attendances.truncate) == (250_000, 4, True)
    assert (attendances.columns["minutes"].required, attendances.columns["minutes"].clamp) == (True, True)
    assert demo.dataset("housing").max_rows == 200_000
    assert demo.validity.max_runs > 12
    assert {item.item for item in demo.security.leakage} == {"match_count", "row_count"}


@pytest.mark.parametrize("part", ["a", '"a"', "'a'", "a ", " - ", "1"])
@pytest.mark.parametrize("line", ["{}", "[{}]", "x = {{ {} }}"])
def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed(part: str, line: str) -> None:
    """The parser of the standard library takes minutes for 200 KB of it."""
    key = ".".join([part] * (MAX_TOML // (len(part) + 1) - 20))
    with pytest.raises(SpecError, match="more than 32 parts"):
        parse_toml(line.format(f"{key} = 1" if line != "[{}]" else key))


@pytest.mark.parametrize("text", ["a" * 200_000, '"' * 200_000, "'a" * 100_000, '"a ' * 60_000, "a." * 31 + "a = 1"])
def test_other_text_is_not_taken_for_such_a_key(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    assert "32 parts" not in caught.value.text


@pytest.mark.parametrize(
    "text", ["\n".join(f"k{n} = 1" for n in range(20_000)), "\n".join(f"k{n} = 1.5" for n in range(20_000))]
)
def test_of_very_many_mistakes_the_first_hundred_are_told(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    others = caught.value.fields["others"]
    assert isinstance(others, tuple) and len(others) == 99
