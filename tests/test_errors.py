"""The table of codes, read in both directions: from the code that raises and from the page that explains."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pets import errors
from pets.errors import CODES, PetsError

ROOT = Path(__file__).parents[1]
ADDED_BY_THE_CALLER = {"peer"}  # who sent it is known to the carriage, not to what reads the bytes


def kinds() -> list[type[PetsError]]:
    found: list[type[PetsError]] = list(PetsError.__subclasses__())
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


@cache
def sources() -> tuple[tuple[str, tuple[ast.AST, ...]], ...]:
    """Every module but the table's own, and all nodes of it."""
    files = [path for path in sorted((ROOT / "pets").rglob("*.py")) if path.name != "errors.py"]
    return tuple((str(path.relative_to(ROOT)), tuple(ast.walk(ast.parse(path.read_text())))) for path in files)


def calls() -> Iterator[tuple[str, ast.Call, type[PetsError]]]:
    """Every place that makes an error with a code written out."""
    by_name = {kind.__name__: kind for kind in kinds()}
    for file, nodes in sources():
        for node in nodes:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in by_name:
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                yield f"{file}:{node.lineno}", node, by_name[node.func.id]


def test_every_raised_code_is_in_the_table_and_belongs_to_its_class() -> None:
    wrong = [
        f"{where}: {node.args[0].value}"  # type: ignore[attr-defined]
        for where, node, kind in calls()
        if node.args[0].value not in CODES or not node.args[0].value.startswith(kind.prefixes)  # type: ignore[attr-defined]
    ]
    assert not wrong


def test_every_code_of_the_table_is_raised_somewhere() -> None:
    used: set[str] = set()
    for _, nodes in sources():
        compared = {id(part) for node in nodes if isinstance(node, ast.Compare) for part in ast.walk(node)}
        used |= {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in compared
        }
    assert not sorted(set(CODES) - used)


def test_every_error_fills_the_places_of_its_text_and_hint() -> None:
    wrong = []
    for where, node, _ in calls():
        said = CODES[node.args[0].value]  # type: ignore[attr-defined]
        places = set(re.findall(r"\{(\w+)", said.text + said.hint)) - ADDED_BY_THE_CALLER
        given = {keyword.arg for keyword in node.keywords}
        if None not in given and places - given:
            wrong.append(f"{where}: {sorted(places - given)}")
    assert not wrong


def test_every_code_has_exactly_one_class() -> None:
    for code in CODES:
        assert len([kind for kind in kinds() if code.startswith(kind.prefixes)]) == 1, code


@pytest.mark.parametrize("code", CODES)
def test_texts_are_lower_case_without_a_final_period_and_hints_say_what_to_do(code: str) -> None:
    said = CODES[code]
    assert not said.text.endswith(".")
    assert not said.hint.endswith(".")
    assert said.hint
    assert said.text[0] in "{" or said.text[0].islower()


def test_a_code_outside_the_table_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        PetsError("spec.nonsense")
    with pytest.raises(KeyError):
        errors.SpecError("run.busy", party="board")


def test_the_page_of_errors_is_the_table() -> None:
    written = (ROOT / "docs" / "errors.md").read_text()
    assert written == errors.catalogue(), "python -m pets.errors > docs/errors.md"
