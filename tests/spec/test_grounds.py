"""Grounds that are written once for many parties: what they mean, and what is refused."""

import json

import pytest

from pets.errors import SpecError
from pets.plan.review import review
from pets.spec.canonical import canonical, spec_digest
from pets.spec.model import MAX_HOLDERS
from pets.spec.parse import MAX_JSON, MAX_TOML, parse_toml, spec_from_json
from pets.spec.schema import json_schema
from pets.spec.write import to_toml
from pets.transport.calls import MAX_TEXT
from tests.pooled import LEGAL, boards, pooled_toml

HOLDERS = boards(3)
WHOLE = pooled_toml(3)
LINES = tuple(LEGAL.splitlines(keepends=True))
OWN = 'controller = "A health board", agreement = "ISA-2026-08"'


def short(ground: str = "", own: str = OWN, name: str = "boards") -> str:
    """``WHOLE`` with what is shared in one ground; more lines of it, and what stands beside each name."""
    text = WHOLE
    for holder in HOLDERS:
        text = text.replace(f"[legal.{holder}]\n{LEGAL}", "")
    shared = "".join(line for line in LINES if not line.startswith(("controller ", "agreement =")))
    rows = "".join(f'{holder} = {{ ground = "{name}", {own} }}\n' for holder in HOLDERS)
    return text.replace("[computation]", f"[ground.boards]\n{shared}{ground}\n[legal]\n{rows}\n[computation]")


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    return caught.value


def test_two_ways_to_write_it_are_one_specification_with_one_digest() -> None:
    assert short() != WHOLE and "[legal.board-1]" not in short()
    assert parse_toml(short()) == parse_toml(WHOLE)
    assert spec_digest(parse_toml(short())) == spec_digest(parse_toml(WHOLE))
    assert b'"ground"' not in canonical(parse_toml(short()))


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        (short(name="practices"), "legal.board-1.ground", "is not the name of a ground"),
        (short().replace('ground = "boards"', "ground = 1"), "legal.board-1.ground", "is not the name of a ground"),
        (short(own=f'{OWN}, notice = "https://x"'), "legal.board-1.notice", "is said by ground.boards as well"),
        ("pets = 1\nground = {}\n", "title", "is missing"),
        ("pets = 1\nlegal = 5\nground = {}\n", "title", "is missing"),
        (short(ground='ground = "others"'), "ground.boards.ground", "is in a ground, which rests on no other"),
        (short(ground='[ground.more]\nlaw = "x"'), "ground.more", "is named by no party"),
        (WHOLE + '\n[ground.more]\nlaw = "x"\n', "ground.more", "is named by no party"),
        (WHOLE.replace("pets = 1", 'pets = 1\nground = "x"'), "ground", "must be tables with names"),
        (WHOLE.replace("pets = 1", "pets = 1\nground.boards = 1"), "ground", "must be tables with names"),
        (short().replace("agreement_until", "agreement_til"), "ground.boards", "is not a key"),
        (short(ground='atrs = "x"'), "ground.boards.atrs", "is not a key of the format"),
        (short(own='agreement = "ISA-2026-08"'), "legal.board-1.controller", "is missing"),
        (short().replace("public_authority = true", "public_authority = 1.5"), "ground.boards.public", "floating"),
        (short().replace('id = "HB-2026-114"', 'id = "\u202e"'), "ground.boards.dpia.id", "contains"),
        (short().replace('id = "HB-2026-114"', "id = 7"), "ground.boards.dpia.id", "must be text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_is_written(text: str, path: str, problem: str) -> None:
    error = refusal(text)
    assert error.code == "spec.field"
    assert error.text.startswith(f"spec.field: {path}") and problem in error.text


def test_a_mistake_in_a_ground_is_told_once_and_not_for_each_party() -> None:
    assert refusal(short().replace('id = "HB-2026-114"', "id = 7")).fields["others"] == ()


def test_grounds_are_for_the_text_that_people_write_and_not_for_the_canonical_form() -> None:
    body = json.loads(canonical(parse_toml(WHOLE)))
    stated = body["legal"]["board-1"]
    body["ground"] = {"boards": {"law": stated.pop("law")}}
    stated["ground"] = "boards"
    with pytest.raises(SpecError) as caught:
        spec_from_json(canonical(body))
    told = (caught.value.text, *caught.value.fields["others"])  # type: ignore[misc]
    assert any("legal.board-1.ground: is not a key of the format" in line for line in told)


def test_a_long_ground_of_very_many_parties_is_refused_before_it_is_written_out() -> None:
    """Each fits into the text; together they would be more than the canonical form may have."""
    text = "x" * 4000
    rows = "".join(f'p{number} = {{ ground = "g" }}\n' for number in range(MAX_JSON // 4000))
    error = refusal(f'pets = 1\n[ground.g]\nretention = "{text}"\n[legal]\n{rows}')
    assert error.code == "spec.too-large" and str(MAX_JSON) in error.text


def test_the_schema_knows_both_ways() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    body = json.loads(canonical(parse_toml(WHOLE)))
    jsonschema.validate(body, json_schema())
    stated = {holder: body["legal"][holder] for holder in HOLDERS}
    body["ground"] = {"boards": {"law": stated["board-1"]["law"]}}
    body["legal"] = {name: {**each, "ground": "boards"} for name, each in stated.items()}
    for each in body["legal"].values():
        del each["law"]
    jsonschema.validate(body, json_schema())
    del body["legal"]["board-1"]["ground"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, json_schema())


def test_of_many_parties_each_is_written_in_one_line() -> None:
    spec = parse_toml(pooled_toml(20))
    text = to_toml(spec)
    assert parse_toml(text) == spec and to_toml(parse_toml(text)) == text
    assert sum(line.startswith('  { name = "board-') for line in text.split("\n")) == 20
    assert 'board-07 = { ground = "common" }' in text and text.count("HB-2026-114") == 1
    apart = spec.model_copy(
        update={
            "legal": {
                name: each.model_copy(update={"controller": f"Board of {name}", "article9": None})
                if name == "board-07"
                else each.model_copy(update={"controller": name})
                for name, each in spec.legal.items()
            }
        }
    )
    text = to_toml(apart)
    assert parse_toml(text) == apart
    assert 'board-07 = { ground = "common", controller = "Board of board-07" }' in text
    assert 'board-08 = { ground = "common", controller = "board-08", article9 = "eu-gdpr:A9-2-j" }' in text


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_a_thousand_holders_fit_into_the_text_and_one_more_is_refused() -> None:
    spec = parse_toml(pooled_toml(20))
    party, (table,), stated = spec.parties[0], spec.datasets, spec.legal["board-01"]

    def of(count: int) -> str:
        """Each with long names, an agreement and an assessment of its own."""
        names = boards(count)
        own = {
            name: stated.model_copy(
                update={
                    "controller": f"The partners of the medical practice at {name} and its branches",
                    "dpia": stated.dpia.model_copy(update={"id": f"DPIA-2026-{name}"}),
                    "agreement": f"ISA-2026-{name}",
                }
            )
            for name in names
        }
        many = [
            party.model_copy(
                update={
                    "name": name,
                    "organisation": f"The medical practice at {name} and its branches",
                    "san": f"spiffe://{name}.practices.example/pets",
                }
            )
            for name in names
        ]
        return to_toml(
            spec.model_copy(
                update={
                    "parties": (*many, *spec.parties[20:]),
                    "datasets": (table.model_copy(update={"holders": dict.fromkeys(names, 20_000)}),),
                    "legal": own,
                }
            )
        )

    text = of(MAX_HOLDERS)
    assert MAX_TOML * 3 // 4 < len(text) < MAX_TOML
    again = parse_toml(text)
    assert len(again.legal) == 1000 and len(canonical(again)) < MAX_JSON // 2
    assert spec_from_json(canonical(again)) == again
    error = refusal(of(MAX_HOLDERS + 1))
    assert error.code == "spec.field"
    assert "dataset.visits: holders names 1,001 parties, and at most 1,000 may bring parts of one table" in error.text
    assert "may report through one" in error.hint


def test_seventeen_who_compute_are_refused_before_their_coalitions_are_looked_at() -> None:
    more = "".join(
        f'[[party]]\nname = "c{number}"\norganisation = "o{number}"\nroles = ["computing"]\n'
        f'san = "spiffe://c{number}.example/x"\n'
        for number in range(15)
    )
    found = review(parse_toml(WHOLE.replace("[[dataset]]", f"{more}[[dataset]]", 1)))
    assert [each.message for each in found.findings if each.rule == "pool.computing"] == [
        "secure_sum needs 2 to 16 computing parties that hold no part of visits, found 17"
    ]


def test_a_server_takes_as_much_text_as_is_parsed() -> None:
    assert MAX_TEXT == MAX_TOML


def test_more_parties_than_there_can_be_are_refused() -> None:
    more = "".join(
        f'[[party]]\nname = "p{number}"\norganisation = "o"\nroles = ["result"]\nsan = "spiffe://p{number}.example/x"\n'
        for number in range(1100)
    )
    error = refusal(WHOLE.replace("[[dataset]]", f"{more}[[dataset]]", 1))
    assert "party: has too many entries" in error.text
