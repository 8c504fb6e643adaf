"""A specification to change: the first of should_pass, its query, and the cards."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pets.spec.cards import Card, load_cards
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.query import Query
from pets.spec.sql import bind

DEMO = Path(__file__).parent / "should_pass" / "ae_by_tenure.toml"


@pytest.fixture
def spec() -> Spec:
    return parse_toml(DEMO.read_text())


@pytest.fixture
def query(spec: Spec) -> Query:
    return bind(spec)


@pytest.fixture
def cards() -> Mapping[str, Card]:
    return load_cards()
