"""The published schema says what the model says."""

import copy
import json
from typing import Any

import jsonschema
import pytest

from pets.spec.canonical import spec_json
from pets.spec.model import Spec
from pets.spec.schema import json_schema


def test_specifications_fulfil_the_schema(spec: Spec, demo: Spec) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for one in (spec, demo):
        jsonschema.validate(spec_json(one), schema)


def test_schema_is_the_same_every_time_and_is_json() -> None:
    assert json.dumps(json_schema()) == json.dumps(json_schema())
    assert json_schema()["$id"] == "urn:pets:spec:1"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("pets",), 2),
        (("parties",), []),
        (("dataset", 0, "columns", "nights", "role"), "secret"),
        (("dataset", 0, "columns", "cost", "min"), "1.5.0"),
        (("dataset", 0, "max_rows"), 0),
        (("release", "differential_privacy", "epsilon"), 1.5),
        (("release", "differential_privacy", "epsilon"), "-1"),
        (("party", 0, "san"), "https://board.example"),
        (("validity", "max_runs"), True),
    ],
)
def test_what_the_model_refuses_the_schema_refuses(demo: Spec, spec: Spec, path: tuple[Any, ...], value: Any) -> None:
    body: Any = copy.deepcopy(spec_json(spec))
    node = body
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, json_schema())
