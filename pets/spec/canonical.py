"""One text, one digest: the canonical form (RFC 8785) of specifications and plans, and its SHA-256.

What is signed is the *meaning* of a specification, so defaults are written out (leaving ``clamp`` away and writing
``clamp = false`` give one digest) and spelling is not part of it (comments, order of keys, line ends). There are no
floats in a signed document: exact quantities are text, fractions are ``"p/q"``.
"""

import dataclasses
import datetime as dt
import hashlib
import json
from enum import Enum
from fractions import Fraction
from typing import Any, Final

import rfc8785
from pydantic import BaseModel

from pets.ids import PlanDigest, SpecDigest
from pets.spec.ir import Plan
from pets.spec.model import Spec

MAX_INTEGER: Final = 2**53 - 1
"""The greatest whole number that every reader of JSON keeps exactly."""

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def plain(obj: object) -> Json:
    """Turn a model, a dataclass or a JSON value into a JSON value without floats.

    Form:   models under the names of the TOML file; a dataclass also says its class, as ``node``; fields that are None
            are left out; dates as ISO 8601, fractions as ``"p/q"`` or ``"p"``.
    Raises: TypeError on what has no exact form (floats, bytes, sets, times); ValueError on integers beyond 2^53 - 1.
    """
    if isinstance(obj, Enum):
        return plain(obj.value)
    if obj is None or isinstance(obj, bool | str):
        return obj
    if isinstance(obj, int):
        if abs(obj) > MAX_INTEGER:
            raise ValueError("an integer beyond 2^53 - 1 has no exact form in JSON")
        return obj
    if isinstance(obj, Fraction):
        return str(obj)
    if isinstance(obj, dt.date) and not isinstance(obj, dt.datetime):
        return obj.isoformat()
    if isinstance(obj, BaseModel):
        return _object((field.alias or name, getattr(obj, name)) for name, field in type(obj).model_fields.items())
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        pairs = [(field.name, getattr(obj, field.name)) for field in dataclasses.fields(obj)]
        if any(name == "node" for name, _ in pairs):
            raise TypeError(f"{type(obj).__name__} has a field called node, which names its class")
        return {"node": type(obj).__name__, **_object(pairs)}
    if isinstance(obj, dict):
        if not all(isinstance(key, str) for key in obj):
            raise TypeError("keys of a canonical object are text")
        return {str(key): plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [plain(item) for item in obj]
    raise TypeError(f"{type(obj).__name__} has no canonical form")


def _object(pairs: Any) -> dict[str, Json]:
    return {name: plain(value) for name, value in pairs if value is not None}


def canonical(obj: object) -> bytes:
    """The canonical form (RFC 8785, UTF-8) of a model, a dataclass or a JSON value; see ``plain`` for its rules.

    Of what is ASCII alone, and has no floats, Python's own encoder writes the same, 20 times as fast: it escapes the
    same characters in the same way, and orders keys as UTF-16 does. All else is left to the library.
    """
    value = plain(obj)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.encode("ascii") if text.isascii() else rfc8785.dumps(value)


def digest(obj: object) -> str:
    """SHA-256 of the canonical form, 64 lower-case hex digits."""
    return hashlib.sha256(canonical(obj)).hexdigest()


def spec_digest(spec: Spec) -> SpecDigest:
    """What approvals, receipts and run ids name."""
    return SpecDigest(digest(spec))


def plan_digest(plan: Plan) -> PlanDigest:
    """What parties compare in the hello round, beside the digest of the specification."""
    return PlanDigest(digest(plan))


def spec_json(spec: Spec) -> dict[str, Json]:
    """The specification as a JSON object, under the names of the TOML file."""
    return _object((field.alias or name, getattr(spec, name)) for name, field in Spec.model_fields.items())
