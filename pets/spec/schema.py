"""The published JSON Schema of a specification, for editors and for whoever writes a second checker.

It has the names of the TOML file. What a schema cannot say (roles of columns, names that must agree) is said by
``model.py`` and by the rules of the checker.
"""

from typing import Any, Final

from pets.spec.grounds import GROUNDS
from pets.spec.model import FORMAT, Spec

SCHEMA_ID: Final = f"urn:pets:spec:{FORMAT}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every specification in JSON form fulfils; deterministic."""
    body = Spec.model_json_schema(by_alias=True, mode="validation")
    body.pop("title", None)
    _with_grounds(body)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "pets specification",
        **body,
    }


def _with_grounds(body: dict[str, Any]) -> None:
    """What people may write and the canonical form has not: ``ground``, and grounds of parties that name one."""
    whole = body["$defs"]["Legal"]
    part = {key: value for key, value in whole.items() if key != "required"}
    named = {**part["properties"], GROUNDS: {"type": "string"}}
    body["$defs"]["Ground"] = {**part, "title": "Ground", "description": "What several parties state alike."}
    body["$defs"]["Own"] = {
        **part,
        "title": "Own",
        "description": "The ground of a party that names one: what is in neither is refused.",
        "properties": named,
        "required": [GROUNDS],
    }
    body["properties"][GROUNDS] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Ground"}}
    parties = body["properties"]["legal"]["patternProperties"]
    for pattern in parties:
        parties[pattern] = {"anyOf": [{"$ref": "#/$defs/Legal"}, {"$ref": "#/$defs/Own"}]}
