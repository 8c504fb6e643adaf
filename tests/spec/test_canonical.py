"""One specification, one digest; another meaning, another digest."""

import datetime as dt
import json
from dataclasses import dataclass
from fractions import Fraction

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from pets.errors import SpecError
from pets.ids import PartyId, SpecDigest
from pets.spec.canonical import canonical, digest, plan_digest, spec_digest, spec_json
from pets.spec.ir import Open, Plan, Read
from pets.spec.model import Spec
from pets.spec.parse import parse_toml, spec_from_json
from pets.spec.query import Compare, In
from pets.spec.write import to_toml

LEGAL_KEYS = [
    ('author = "author@example"', 'use = "algorithmic tool"'),
    ('author = "author@example"', 'atrs = "draft 3"'),
    ('author = "author@example"', 'ethics = "REC 26/1"'),
    ('san = "spiffe://helper.example/pets"', 'country = "GB"'),
    ('san = "spiffe://helper.example/pets"', 'acts_as = "processor"'),
    ("max_rows = 1000", "patient_information = false"),
    ("max_rows = 1000", 'access_rights = "access-right:RESTRICTED"'),
    ("max_rows = 1000", 'data_use = ["DUO:0000042", "DUO:0000021"]'),
    ("max_rows = 1000", 'law = "legal-gb:law-GDPR"'),
    ('controller = "A council"', "agreement_until = 2027-12-31"),
    ('controller = "A council"', "basis_recorded = 2025-12-31"),
    ('controller = "A council"', "public_authority = false"),
    ('controller = "A council"', 'power = { act = "an Act", of = "A council" }'),
    ('controller = "A council"', 'annex1 = "paragraph 1"'),
    ('controller = "A council"', 'article10 = "official authority"'),
    ('controller = "A council"', 'joint_with = ["A board"]'),
    ('controller = "A council"', 'arrangement = "JC-1"'),
    ('controller = "A council"', 'processing_agreement = "PA-1"'),
    ('controller = "A council"', 'transfer = "adequacy regulations"'),
    ('controller = "A council"', 'recipients = ["office"]'),
    ('controller = "A council"', 'pbpp = { approval = "2026-1", form = ["people", "overview 3.1"] }'),
    ('controller = "A council"', 'pbpp = { exemption = "not NHS data" }'),
    ('controller = "A council"', 'accreditation = { environment = "E", project = "P" }'),
    ('controller = "A council"', 'shares_are = "dpv:PseudonymisedData"'),
    ('controller = "A council"', 'not_personal_from = "the release"'),
]

LEAF = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8"))
ASCII = st.text(st.characters(max_codepoint=127))
LEAF_ASCII = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | ASCII
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
)


def leaves(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, item in enumerate(value) for leaf in leaves(item, (*path, key))]
    return [(path, value)]


def changed(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, str)
    try:
        return (dt.date.fromisoformat(value) + dt.timedelta(days=1)).isoformat()
    except ValueError:
        return value + "0"


def replaced(value: object, path: tuple[str | int, ...], leaf: object) -> object:
    if not path:
        return leaf
    step, *rest = path
    if isinstance(value, dict):
        return {key: replaced(item, tuple(rest), leaf) if key == step else item for key, item in value.items()}
    assert isinstance(value, list)
    return [replaced(item, tuple(rest), leaf) if key == step else item for key, item in enumerate(value)]


@given(VALUE)
def test_json_values_survive_the_canonical_form(value: object) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(VALUE, st.data())
def test_another_leaf_is_another_digest(value: object, data: st.DataObject) -> None:
    found = leaves(value)
    if found:
        path, old = data.draw(st.sampled_from(found))
        new = data.draw(LEAF.filter(lambda leaf: leaf != old or type(leaf) is not type(old)))
        assert digest(replaced(value, path, new)) != digest(value)


def test_specification_comes_back_from_its_canonical_form(spec: Spec, demo: Spec) -> None:
    for one in (spec, demo):
        again = spec_from_json(canonical(one))
        assert again == one
        assert spec_digest(again) == spec_digest(one) == digest(spec_json(one))


def test_every_leaf_of_a_specification_is_in_its_digest(demo: Spec) -> None:
    """Each leaf changed on its own: the specification is refused, or has another digest."""
    before, body = spec_digest(demo), spec_json(demo)
    accepted = 0
    for path, value in leaves(body):
        altered = replaced(body, path, changed(value))
        assert digest(altered) != before
        try:
            spec = spec_from_json(canonical(altered))
        except SpecError:
            continue
        accepted += 1
        assert spec_digest(spec) != before
    assert accepted > 40


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_the_digest(demo: Spec, place: int, bit: int) -> None:
    body = bytearray(canonical(demo))
    body[place % len(body)] ^= 1 << bit
    try:
        spec = spec_from_json(bytes(body))
    except SpecError:
        return
    assert spec_digest(spec) != spec_digest(demo)


def test_spelling_is_not_meaning(toml: str, spec: Spec) -> None:
    spellings = [
        "# a comment\n" + toml,
        toml.replace("\n", "\r\n"),
        toml.replace('name = "board"\norganisation = "A board"', "organisation = 'A board'\nname = \"board\""),
        toml.replace("max_rows = 1000", "max_rows = 1_000"),
        toml.replace("max_rows = 1000", "max_rows = 1000\ntruncate = false\nrefresh = 'frozen'"),
    ]
    for text in spellings:
        assert text != toml
        assert spec_digest(parse_toml(text)) == spec_digest(spec)


def test_defaults_are_written_out_and_absent_fields_are_not(spec: Spec) -> None:
    body = spec_json(spec)
    dataset = body["dataset"][0]  # type: ignore[index]
    assert dataset["truncate"] is False
    assert dataset["refresh"] == "frozen"
    assert "parties" not in body
    assert "disclosure_control" not in body["release"]  # type: ignore[operator]
    assert body["security"]["leakage"][0]["as"] == "declared maximum"  # type: ignore[index, call-overload]
    assert body["validity"]["not_before"] == "2026-01-01"  # type: ignore[index, call-overload]


def test_optional_legal_keys_that_are_left_out_change_no_digest(spec: Spec) -> None:
    """As it was before the keys that the legal rules ask for were part of the format."""
    assert spec_digest(spec) == "b34d05d9a6f37fdf853ca3afeaa90def71c0a6a2ed5ec95564cfd8f9b97894f5"


def test_every_optional_legal_key_is_in_the_digest_and_comes_back(toml: str, spec: Spec) -> None:
    seen = {spec_digest(spec)}
    for old, new in LEGAL_KEYS:
        assert toml.count(old) == 1
        altered = parse_toml(toml.replace(old, f"{old}\n{new}"))
        assert spec_from_json(canonical(altered)) == altered
        assert parse_toml(to_toml(altered)) == altered
        seen.add(spec_digest(altered))
    assert len(seen) == len(LEGAL_KEYS) + 1


def test_nodes_say_their_class_and_fractions_are_exact() -> None:
    assert canonical(Compare("x", "=", Fraction(1, 3))) == b'{"column":"x","node":"Compare","op":"=","value":"1/3"}'
    assert canonical(Fraction(4, 2)) == b'"2"'
    assert canonical(In("day", (dt.date(2026, 1, 31),))) == (
        b'{"column":"day","negated":false,"node":"In","values":["2026-01-31"]}'
    )
    assert digest(Compare("x", "=", 1)) != digest(Compare("x", "=", "1"))


def test_plans_have_digests() -> None:
    read = Read("t", PartyId("a"), "d", ("id",), None, (), (), 10, 1, False, False)
    plan = Plan(SpecDigest("0" * 64), (read, Open("r", "t", PartyId("b"))))
    other = Plan(SpecDigest("0" * 64), (read, Open("r", "t", PartyId("c"))))
    assert plan_digest(plan) == digest(plan)
    assert plan_digest(plan) != plan_digest(other)
    assert len(plan_digest(plan)) == 64


def test_known_digest() -> None:
    """What ``sha256sum`` says of the bytes."""
    assert canonical({"b": [1, True, None], "a": "é"}) == b'{"a":"\xc3\xa9","b":[1,true,null]}'
    assert digest({"b": [1, True, None], "a": "é"}) == (
        "170409917e32971e79e71df2c0a04cc84c3c089ef0c7c2a94dbde72cafebd52d"
    )


@pytest.mark.parametrize("value", [0.5, 1.0, float("nan"), b"x", {1}, dt.datetime(2026, 1, 1), object(), {1: 2}])
def test_what_has_no_exact_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical([value])


def test_integers_that_json_cannot_keep_are_refused() -> None:
    assert canonical(2**53 - 1) == b"9007199254740991"
    for value in (2**53, -(2**53)):
        with pytest.raises(ValueError, match="2\\^53"):
            canonical({"n": value})


def test_a_field_cannot_pass_for_the_name_of_a_class() -> None:
    @dataclass
    class Liar:
        node: str

    with pytest.raises(TypeError, match="node"):
        canonical(Liar("Compare"))


@given(VALUE)
def test_the_canonical_form_is_what_the_library_of_the_standard_writes(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(st.recursive(LEAF_ASCII, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ASCII, inner)))
def test_the_short_way_for_ascii_writes_the_same(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]
