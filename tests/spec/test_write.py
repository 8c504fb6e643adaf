"""Specifications as TOML: what is written reads back as the same specification, whatever its texts hold."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.spec.canonical import spec_digest
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.write import to_toml
from tests.oracles import random_queries as drawn

CHECK = Path(__file__).parents[1] / "check"
PASS = sorted((CHECK / "should_pass").glob("*.toml"))


def same(spec: Spec) -> None:
    text = to_toml(spec)
    again = parse_toml(text)
    assert again == spec
    assert spec_digest(again) == spec_digest(spec)
    assert to_toml(again) == text


@pytest.mark.parametrize("file", PASS, ids=lambda file: file.stem)
def test_accepted_specifications_survive(file: Path) -> None:
    same(parse_toml(file.read_text()))


def test_every_part_of_the_format_survives(toml: str) -> None:
    same(parse_toml(toml))


@pytest.mark.parametrize("seed", range(30))
def test_random_specifications_survive(seed: int) -> None:
    world = drawn.world(seed)
    same(drawn.spec_of(world, drawn.ask(seed, world)))


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60).filter(lambda t: t.strip())


@given(texts, texts, texts)
def test_any_text_survives(title: str, level: str, sql: str) -> None:
    spec = parse_toml(PASS[0].read_text())
    dataset = spec.datasets[0]
    name, column = next((n, c) for n, c in dataset.columns.items() if c.levels)
    changed = {**dataset.columns, name: column.model_copy(update={"levels": (level, level + "x")})}
    other = spec.model_copy(
        update={
            "title": title,
            "datasets": (dataset.model_copy(update={"columns": changed}), *spec.datasets[1:]),
            "computation": spec.computation.model_copy(update={"sql": sql}),
        }
    )
    written = tomllib.loads(to_toml(other))
    assert written["title"] == title
    assert written["dataset"][0]["columns"][name]["levels"] == [level, level + "x"]
    assert written["computation"]["sql"] == sql


def test_a_column_stands_on_one_line_and_the_query_on_its_own() -> None:
    text = to_toml(parse_toml(PASS[0].read_text()))
    lines = text.split("\n")
    assert sum(line.startswith("age_band = {") for line in lines) == 1
    assert '"""' in text and any(line.startswith("FROM ") for line in lines)
    assert text.index("[purpose]") < text.index("[[party]]") < text.index("[[dataset]]") < text.index("[validity]")


def test_defaults_are_left_out() -> None:
    text = to_toml(parse_toml(PASS[0].read_text()))
    assert "delegation" not in text and "mechanism" not in text and "clamp = false" not in text
