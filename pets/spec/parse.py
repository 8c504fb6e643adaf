"""From bytes to a ``Spec``, or to an error that names the path, the problem and what to do.

Two ways in: the TOML that people write, and the canonical JSON that servers keep and send. Both end in the same strict
model. Refused before the model sees them: text that is too large or too deep, floats, and characters that make a reader
see something else than what is signed (control characters, invisible characters, changes of writing direction).
"""

import contextlib
import datetime as dt
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pets.errors import SpecError
from pets.spec import grounds
from pets.spec.canonical import canonical
from pets.spec.hidden import HIDDEN, shown
from pets.spec.model import Dataset, Spec, frozen
from pets.spec.schema import json_schema

MAX_TOML: Final = 512 * 1024
"""Bytes: a thousand holders, each with long names, an agreement and an assessment of its own, take some 460 KiB."""

MAX_JSON: Final = 8 * MAX_TOML
"""Bytes. The canonical form writes every default out, and every party's ground, so it may be much longer than the text
it came from."""

MAX_TOLD: Final = 100
"""Problems that are told of one text: whoever made more has made one mistake many times over."""

_DOTTED: Final = re.compile(r"""(?<![\w-])(?:(?>[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*+\.[ \t]*+){32}""")
"""A key of more parts than the format has levels, many times over: the parser's time grows with their square."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_NAMED: Final = re.compile(r"([a-z_]+(?:\.[A-Za-z0-9_-]+)*): ", re.ASCII)
"""The path in front of a complaint of the whole model, which has none of its own."""

Path_ = tuple[str | int, ...]

_ADVICE: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("is missing", "add it"),
    "string_type": ("must be text", "put it in quotes"),
    "int_type": ("must be a whole number", "write it without quotes and without a point"),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "date_type": ("must be a date", "write it as 2026-12-31, without quotes"),
    "tuple_type": ("must be a list", "put it in square brackets"),
    "dict_type": ("must be a table", "write it as { key = value } or under a [header]"),
    "model_type": ("must be a table", "write it as { key = value } or under a [header]"),
    "too_long": ("has too many entries", "take some out"),
    "too_short": ("has too few entries", "add what is missing"),
    "string_too_short": ("must not be empty", "fill it in"),
    "string_too_long": ("is too long", "shorten it"),
}
"""By the type of the validator's complaint: the problem and the advice, in the author's words."""

_AGREE: Final[Mapping[str, str]] = {
    "a measure needs min and max": "add min and max, the range that values are held to",
    "min is above max": "exchange min and max",
    "max, clamp and required belong to a measure": 'take them out: only a "measure" has them',
    "a dimension is a category with declared levels": "add levels, the list of all groups",
    "is always there and is not declared": "take it out of levels",
    "not_before is after not_after": "exchange the dates, or mend one",
    "states its legal ground": "add a table of this name",
    'needs the role "result"': 'give it the role "result", or name a party that has it',
    'its party needs the role "input"': 'give its party the role "input"',
    "exactly one column with the role person id": "give one column of the table this role, and no other",
    "security.leakage: no ": "write a name that the specification declares",
    "holders says it of each": "take it out: with holders there is neither party nor max_rows",
    "holders names nobody": "name at least two parties, each with the greatest number of its rows",
    "may bring parts of one table": "name fewer: several of them may report through one",
}
"""By a part of the model's own complaint: what to change. The path is in front of it where two keys do not agree."""

_WRITTEN: Final = {name: field.alias for name, field in Dataset.model_fields.items() if field.alias is not None}
"""How keys of a dataset are written whose fields are called otherwise: what is missing is told by the field."""

_PATTERNS: Final[Mapping[str, str]] = {
    r"^[A-Za-z][A-Za-z0-9_]{0,62}$": "is not a name: a letter, then letters, digits and underscores, at most 63 in all",
    r"^[a-z][a-z0-9_-]{0,62}$": "is not a party's name: a small letter, then small letters, digits, - and _",
}


def read_spec(path: Path) -> Spec:
    """Read a specification file. Raises ``SpecError`` (``spec.*``) that names the file and the path in it."""
    return parse_toml(read_text(path), file=str(path))


def read_text(path: Path) -> str:
    """The text of a specification file, not yet parsed. Raises: SpecError spec.unreadable or spec.too-large."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_TOML + 1)
        if len(body) > MAX_TOML:
            raise SpecError("spec.too-large", file=str(path), limit=MAX_TOML)
        return body.decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise SpecError("spec.unreadable", file=str(path), problem=error.strerror or "it cannot be opened") from error
    except UnicodeDecodeError as error:
        raise SpecError("spec.unreadable", file=str(path), problem="it is not UTF-8") from error


def parse_toml(text: str, *, file: str = "<text>") -> Spec:
    """Parse the TOML that authors write.

    Raises: SpecError; where several things are wrong, the first in the order of the file, the rest in
            ``fields["others"]`` as lines of text.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TOML:
        raise SpecError("spec.too-large", file=file, limit=MAX_TOML)
    if _DOTTED.search(text):
        raise SpecError("spec.toml", file=file, problem="it has a key of more than 32 parts")
    try:
        data = tomllib.loads(text)
        return _spec_of(data, grounds.expanded)
    except RecursionError as error:
        raise SpecError("spec.toml", file=file, problem="it is nested too deep") from error
    except ValueError as error:  # TOMLDecodeError, and numbers with too many digits
        raise SpecError("spec.toml", file=file, problem=_lower(str(error))) from error


def spec_from_json(body: bytes) -> Spec:
    """Take a specification back from its canonical form; anything but that very form is refused.

    Raises: SpecError ``spec.not-canonical`` if one byte differs from the canonical form of what was read.
    """
    if len(body) > MAX_JSON:
        raise SpecError("spec.too-large", file="<json>", limit=MAX_JSON)
    try:
        data = json.loads(body.decode("utf-8"))
        if not isinstance(data, dict):
            raise SpecError("spec.not-canonical", problem="it is not an object")
        spec = spec_of(_dated(data))
        again = canonical(spec)
    except RecursionError as error:
        raise SpecError("spec.not-canonical", problem="it is nested too deep") from error
    except ValueError as error:
        raise SpecError("spec.not-canonical", problem="it is not JSON in UTF-8") from error
    if again != body:
        raise SpecError("spec.not-canonical", problem="its bytes differ from the canonical form")
    return spec


def spec_of(data: dict[str, Any]) -> Spec:
    """The specification that values say, as JSON gives them. Raises: SpecError ``spec.field``."""
    return _spec_of(data, lambda data, most: data)


def _spec_of(data: dict[str, Any], expand: Callable[[dict[str, Any], int], dict[str, Any]]) -> Spec:
    problems = [*islice(_forbidden(data, ()), MAX_TOLD)]
    if not problems:
        whole = expand(data, MAX_JSON)
        try:
            return Spec.model_validate(frozen(whole), by_alias=True, by_name=False)
        except ValidationError as error:
            problems = _problems(error, whole)
        if whole is not data:
            problems = grounds.written(problems, data)
    (path, problem, advice), *others = problems
    rest = tuple(f"{_dotted(p, data)}: {what}" for p, what, _ in others)
    raise SpecError("spec.field", path=_dotted(path, data), problem=problem, advice=advice, others=rest)


def _forbidden(value: object, path: Path_) -> Iterator[tuple[Path_, str, str]]:
    """Floats and hidden characters, wherever they are."""
    if isinstance(value, float):
        yield path, "is a floating-point number", 'write it in quotes, for example "0.5": what is signed is exact'
    elif isinstance(value, str) and (found := HIDDEN.search(value)):
        yield path, f"contains {shown(found.group())}", "remove it: approvers cannot see it"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _forbidden(item, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            if HIDDEN.search(key):
                yield path, "has a key with a hidden character", "remove the character: approvers cannot see it"
            yield from _forbidden(item, (*path, key))


def _dated(data: dict[str, Any]) -> dict[str, Any]:
    """The dates of a specification, which JSON has as text, as TOML has them."""
    validity, legal = data.get("validity"), data.get("legal")
    dated = dict(data)
    if isinstance(validity, dict):
        dated["validity"] = _with_dates(validity, ("not_before", "not_after"))
    if isinstance(legal, dict):
        dated["legal"] = {
            party: _with_dates(part, ("agreement_until", "basis_recorded")) if isinstance(part, dict) else part
            for party, part in legal.items()
        }
    return dated


def _with_dates(table: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    dated = dict(table)
    for key in keys:
        text = dated.get(key)
        if isinstance(text, str) and _DATE.fullmatch(text):
            with contextlib.suppress(ValueError):  # the model complains of a day that does not exist
                dated[key] = dt.date.fromisoformat(text)
    return dated


def _problems(error: ValidationError, data: dict[str, Any]) -> list[tuple[Path_, str, str]]:
    """One problem per path: a union complains once for each of its members, the author made one mistake."""
    found: dict[Path_, tuple[str, str]] = {}
    for detail in error.errors(include_url=False, include_input=False)[:MAX_TOLD]:
        path, whole = _in_data(detail, data)
        said = _said(detail, path)
        if not path and (named := _NAMED.match(said[0])):
            path, said = tuple(named.group(1).split(".")), (said[0][named.end() :], said[1])
        if path in found and not whole:
            found[path] = ("fits none of the forms this key can have", "compare it with the documentation of the key")
        else:
            found.setdefault(path, said)
    return [(path, *said) for path, said in found.items()]


def _in_data(detail: ErrorDetails, data: Any) -> tuple[Path_, bool]:
    """The part of a validator's location that exists in the data, and whether that is all of it."""
    path: list[str | int] = []
    for name in detail["loc"]:
        step = _WRITTEN.get(name, name) if isinstance(name, str) else name
        if not _has(data, step):
            missing = detail["type"] == "missing" and name == detail["loc"][-1]
            return (*path, step) if missing else tuple(path), missing
        path.append(step)
        data = data[step]
    return tuple(path), True


def _has(data: Any, step: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(step, int) and step < len(data)
    return isinstance(data, dict) and step in data


def _said(detail: ErrorDetails, path: Path_) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a key of the format", _instead(str(path[-1]), path)
    if kind == "literal_error":
        return f"must be one of {context.get('expected', '')}", "choose one of these, spelt exactly so"
    if kind == "string_pattern_mismatch":
        problem = _PATTERNS.get(str(context.get("pattern")), "is not of the form spiffe://organisation/path")
        return problem, "rename it" if "name" in problem else "write the URI that is in the party's certificate"
    if kind in _ADVICE:
        return _ADVICE[kind]
    if kind == "value_error":
        problem = str(context.get("error", detail["msg"]))
        advice = next((advice for part, advice in _AGREE.items() if part in problem), None)
        return problem, advice or "change it, or what it has to agree with"
    if kind in ("greater_than_equal", "less_than_equal"):
        most = "least" if kind.startswith("greater") else "most"
        return f"must be at {most} {context.get('ge', context.get('le'))}", "write another number"
    return _lower(detail["msg"]), "change it"


def _instead(key: str, path: Path_) -> str:
    near = difflib.get_close_matches(key, _keys_at(path[:-1]), n=1, cutoff=0.7)
    return f"did you mean {near[0]}? otherwise remove it" if near else "remove it"


_schema = lru_cache(1)(json_schema)
"""Made once: of a text with very many mistakes it is asked a hundred times."""


def _keys_at(path: Path_) -> list[str]:
    """Keys that the schema has at a path."""
    schema = _schema()
    definitions, node = schema["$defs"], schema
    for step in path:
        node = (
            node.get("items", {})
            if isinstance(step, int)
            else node.get("properties", {}).get(step)
            or (node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), {}))
        )
        choices = [node, *node.get("anyOf", [])]
        reference = next((choice["$ref"] for choice in choices if "$ref" in choice), None)
        node = {**node, **definitions[reference.rpartition("/")[2]]} if reference else node
    return list(node.get("properties", {}))


def _dotted(path: Path_, data: Any) -> str:
    """``dataset.housing.columns.rent.max``: entries of a list by their name, or by their place from 1."""
    text = ""
    for step in path:
        inside = data[step] if _has(data, step) else None
        name = inside.get("name") if isinstance(inside, dict) else None
        if isinstance(step, str):
            text += f".{step}" if text else step
        elif isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
            text += f".{name}"
        else:
            text += f"[{step + 1}]"
        data = inside
    return text or "the specification"


def _lower(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")
