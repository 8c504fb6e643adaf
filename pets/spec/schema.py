"""The published JSON Schema of a specification, for editors and for whoever writes a second checker.

It has the names of the TOML file. What a schema cannot say (roles of columns, names that must agree) is said by
``model.py`` and by the rules of the checker.
"""

from typing import Any, Final

from pets.spec.model import FORMAT, Spec

SCHEMA_ID: Final = f"urn:pets:spec:{FORMAT}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every specification in JSON form fulfils; deterministic."""
    body = Spec.model_json_schema(by_alias=True, mode="validation")
    body.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "pets specification",
        **body,
    }
