"""Write a specification as TOML that a person can read: sections in the order of the format, one line a column."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from pets.spec.model import Spec


def to_toml(spec: Spec) -> str:
    """TOML of a specification; ``parse_toml(to_toml(spec))`` equals it. Values at their default are left out."""
    return tables(spec.model_dump(mode="python", by_alias=True, exclude_defaults=True, exclude_none=True))


def tables(body: Mapping[str, Any]) -> str:
    """TOML of a document: its plain values first, then its tables in their order."""
    plain = {name: value for name, value in body.items() if not isinstance(value, Mapping) and not _is_nested(value)}
    lines = [*(f"{_key(name)} = {toml_value(value)}" for name, value in plain.items()), ""]
    for name, value in body.items():
        if isinstance(value, Mapping):
            _table(lines, f"[{_key(name)}]", _key(name), value)
        elif name not in plain:
            for entry in value:
                _table(lines, f"[[{_key(name)}]]", _key(name), entry)
    return "\n".join(lines)


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
