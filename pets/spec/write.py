"""Write a specification as TOML that a person can read: sections in the order of the format, one line a column."""

import datetime as dt
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pets.spec import grounds
from pets.spec.model import Spec

FEW: Final = 12
"""Parties up to which each has tables of its own; of more each has a line."""

COMMON: Final = "common"
"""How the ground is called that many parties share."""


def to_toml(spec: Spec) -> str:
    """TOML of a specification; ``parse_toml(to_toml(spec))`` equals it. Values at their default are left out.

    Of many parties each is one line, and what all state alike of their legal grounds stands once.
    """
    body = spec.model_dump(mode="python", by_alias=True, exclude_defaults=True, exclude_none=True)
    if len(spec.parties) <= FEW:
        return tables(body)
    if len(spec.legal) <= FEW:
        return tables(body, lines=("party",))
    ground, body["legal"] = grounds.folded(body["legal"], COMMON)
    if ground:
        body = {key: value for name in body for key, value in _before(name, body, ground)}
    return tables(body, lines=("party", "legal"))


def _before(name: str, body: Mapping[str, Any], ground: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A part of the format, with the common ground in front of the grounds that name it."""
    if name == "legal":
        yield grounds.GROUNDS, {COMMON: ground}
    yield name, body[name]


def tables(body: Mapping[str, Any], *, lines: Collection[str] = ()) -> str:
    """TOML of a document: its plain values first, then its tables in their order.

    ``lines``: tables of which each entry is one line, however many there are.
    """
    return "\n".join(_tables(body, lines))


def _tables(body: Mapping[str, Any], rows: Collection[str]) -> list[str]:
    plain = {name: value for name, value in body.items() if not isinstance(value, Mapping) and not _is_nested(value)}
    lines = [*(f"{_key(name)} = {toml_value(value)}" for name, value in plain.items()), ""]
    for name in rows:  # what is no table stands before all tables
        if isinstance(body.get(name), tuple | list) and name not in plain:
            plain[name] = body[name]
            lines += [f"{_key(name)} = [", *(f"  {toml_value(entry)}," for entry in body[name]), "]", ""]
    for name, value in body.items():
        if name in rows and isinstance(value, Mapping):
            lines += [f"[{_key(name)}]", *(f"{_key(key)} = {toml_value(entry)}" for key, entry in value.items()), ""]
            continue
        if isinstance(value, Mapping):
            _table(lines, f"[{_key(name)}]", _key(name), value)
        elif name not in plain:
            for entry in value:
                _table(lines, f"[[{_key(name)}]]", _key(name), entry)
    return lines


def _table(lines: list[str], header: str, path: str, body: Mapping[str, Any]) -> None:
    """A table with its plain values first, then its sub-tables; columns and other leaf tables stay on one line."""
    nested = {name: value for name, value in body.items() if _is_nested(value)}
    plain = {name: value for name, value in body.items() if name not in nested}
    if plain or not nested:
        lines.append(header)
        lines += [f"{_key(name)} = {toml_value(value)}" for name, value in plain.items()]
        lines.append("")
    elif header.startswith("[["):
        lines.append(header)
    for name, value in nested.items():
        inner = f"{path}.{_key(name)}"
        if isinstance(value, Mapping):
            if all(isinstance(leaf, Mapping) and not _has_tables(leaf) for leaf in value.values()):
                lines.append(f"[{inner}]")
                lines += [f"{_key(key)} = {toml_value(leaf)}" for key, leaf in value.items()]
                lines.append("")
            else:
                _table(lines, f"[{inner}]", inner, value)
        else:
            for entry in value:
                _table(lines, f"[[{inner}]]", inner, entry)


def _has_tables(value: Mapping[str, Any]) -> bool:
    return any(isinstance(inner, Mapping) for inner in value.values())


def _is_nested(value: Any) -> bool:
    """Whether a value gets a header of its own: tables of tables, long tables, lists of tables."""
    if isinstance(value, Mapping):
        return _has_tables(value) or len(value) > 2
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], Mapping)


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else json.dumps(name, ensure_ascii=False)


def toml_value(value: Any) -> str:
    """One value as TOML writes it; text on one line, unless its lines are worth reading as such."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    text = str(value)
    if "\n" in text and '"""' not in text and "\\" not in text and text.replace("\n", "").isprintable():
        return f'"""\n{text}"""'
    if "\n" in text and "'''" not in text and text.replace("\n", "").isprintable():
        return f"'''\n{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
