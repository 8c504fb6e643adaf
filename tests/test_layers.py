"""Who may import whom: the list in docs/ARCHITECTURE.md, held against every import of the package."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import FIRST

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()

WORDS = ("ids", "errors", "secret")
TOWERS = {
    "promise": ("spec", "check", "plan", "approve"),
    "performance": ("kernels", "protocols"),
    "carriage": ("wire", "transport"),
}
PURE = ("spec", "check", "plan", "approve", "kernels", "protocols", "ids", "errors", "secret")
IMPURE = {"asyncio", "socket", "threading", "time", "random", "os", "logging", "grpc", "pandas", "pickle"}
IMPURE |= {"secrets", "tempfile", "subprocess", "multiprocessing", "concurrent"}
LOADS_A_LIBRARY = {"pets/kernels/sodium.py": {"os", "tempfile"}}
"""The one pure module that touches the system: it gets libsodium out of a wheel without leaving a file behind."""
IMPORT_NAME = {"grpcio": "grpc", "protobuf": "google"}
COMES_WITH = {"Crypto": "pycryptodome", "llvmlite": "numba", "pydantic_core": "pydantic"}
"""Libraries that are half of another one, and may stand where it stands."""

IMPORTED_AS = {"openmined-psi": "private_set_intersection"}
"""Peers of benchmarks that are imported under another name than they are installed by."""


def listed() -> list[str]:
    return re.findall(r"^- `(pets/[\w/]+\.py)`: \S", PAGE, re.MULTILINE)


def homes() -> dict[str, list[str]]:
    table = PAGE.split("## One library, one home")[1]
    rows = re.findall(r"^\| ([\w-]+) \| (`pets/.+`) \|$", table, re.MULTILINE)
    return {IMPORT_NAME.get(name, name): re.findall(r"`(pets/[\w/.]+)`", places) for name, places in rows}


@cache
def files() -> tuple[str, ...]:
    return tuple(sorted(str(path.relative_to(ROOT)) for path in (ROOT / "pets").rglob("*.py")))


@cache
def imported(file: str) -> tuple[tuple[str, int], ...]:
    """Every module that a file imports, anywhere in it, with its line; what only type checkers see is left out."""
    tree = ast.parse((ROOT / file).read_text())
    unseen = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    return tuple(found for node in ast.walk(tree) if id(node) not in unseen for found in _names(node))


def _names(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports say the whole name"
        module = node.module or ""
        for alias in node.names:
            inner = f"{module}.{alias.name}"
            yield (inner if _file(inner) else module), node.lineno
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "find_spec":
        for argument in node.args:  # taken from where it is installed, not imported
            assert isinstance(argument, ast.Constant), "a library is named where it is found"
            yield argument.value, node.lineno


@cache
def _file(module: str) -> str | None:
    if module.partition(".")[0] != "pets":
        return None
    stem = module.replace(".", "/")
    return next((f for f in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / f).is_file()), None)


def part(file: str) -> str:
    """The package of a file, or its module's name if it lies at the top."""
    return file.split("/")[1].removesuffix(".py")


def tower(file: str) -> str | None:
    return next((name for name, parts in TOWERS.items() if part(file) in parts), None)


@cache
def ours() -> tuple[tuple[str, str, int], ...]:
    """(file, what it imports of ours, line)."""
    return tuple(
        (file, target, line) for file in files() for module, line in imported(file) if (target := _file(module))
    )


def test_the_page_lists_every_module_once() -> None:
    assert sorted(listed()) == list(files())


def test_every_module_imports_only_what_stands_above_it() -> None:
    place = {file: number for number, file in enumerate(listed())}
    version = "pets/__init__.py"  # a version and names that load nothing
    wrong = [
        f"{file}:{line} imports {target}"
        for file, target, line in ours()
        if target != version and place[target] >= place[file]
    ]
    assert not wrong


def test_words_import_nothing_of_ours() -> None:
    assert not [found for found in ours() if part(found[0]) in WORDS]


def test_towers_do_not_import_each_other_nor_what_stands_on_them() -> None:
    wrong = [
        f"{file}:{line} imports {target}"
        for file, target, line in ours()
        if (own := tower(file)) and part(target) not in (*WORDS, *TOWERS[own])
    ]
    assert not wrong


def test_plan_and_approve_are_siblings() -> None:
    assert not [f for f in ours() if {part(f[0]), part(f[1])} == {"plan", "approve"}]


def test_the_room_imports_nothing_of_its_users() -> None:
    allowed = (*WORDS, *(name for parts in TOWERS.values() for name in parts), "party", "__init__")
    assert not [f for f in ours() if part(f[0]) == "party" and part(f[1]) not in allowed]


def test_pure_towers_have_no_clock_no_entropy_and_no_network() -> None:
    wrong = [
        f"{file}:{line} imports {module}"
        for file in files()
        if part(file) in PURE
        for module, line in imported(file)
        if module.partition(".")[0] in IMPURE - LOADS_A_LIBRARY.get(file, set())
    ]
    assert not wrong


def test_one_library_has_one_home() -> None:
    known = homes()
    wrong = []
    for file in files():
        for module, line in imported(file):
            top = module.partition(".")[0]
            if top == "pets" or top in sys.stdlib_module_names:
                continue
            places = known.get(COMES_WITH.get(top, top), [])
            if not any(file == place or (place.endswith("/") and file.startswith(place)) for place in places):
                wrong.append(f"{file}:{line} imports {module}")
    assert not wrong


def test_the_base_install_is_exactly_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    assert names == {name for name, _ in re.findall(r"^\| ([\w-]+) \| (`pets/.+`) \|$", PAGE, re.MULTILINE)}


def test_what_tests_import_is_in_the_test_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=\[]", line)[0].replace("-", "_") for line in declared} | {"grpc", "google", *COMES_WITH}
    apart = (
        ROOT / "benchmarks" / "peers",
        ROOT / "tests" / "acro",
    )  # run by interpreters of their own, which have these
    theirs = {
        folder: {IMPORTED_AS.get(name, name) for line in lines for name in [line.partition("==")[0]]}
        for folder in apart
        for lines in [[line for file in folder.glob("requirements*.txt") for line in file.read_text().splitlines()]]
    }
    tops = set()
    for file in (*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")):
        allowed = set() if file.name.startswith("__") else theirs.get(file.parent, set())
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names} - allowed
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                tops |= {(node.module or "").partition(".")[0]} - allowed
    ours = {"pets", "tests", "benchmarks", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    assert not sorted(tops - names - ours - set(sys.stdlib_module_names))


def test_every_home_is_lived_in() -> None:
    """A row of the table that no import needs is a row that allows too much."""
    used = {
        (COMES_WITH.get(m.partition(".")[0], m.partition(".")[0]), file) for file in files() for m, _ in imported(file)
    }
    empty = [
        f"{library} in {place}"
        for library, places in homes().items()
        for place in places
        if not any(name == library and (file == place or file.startswith(place)) for name, file in used)
    ]
    assert not empty


def test_files_of_tests_that_are_begun_first_are_there() -> None:
    assert all((ROOT / file).is_file() for file in FIRST)


@pytest.mark.parametrize("library", ["pandas", "matplotlib", "mpyc", "opendp", "rich", "tenseal", "typer"])
def test_a_party_server_does_not_load(library: str) -> None:
    loaded = loaded_by("pets.party.main")
    assert "pets.party.node" in loaded and library not in loaded


@pytest.mark.parametrize("library", ["duckdb", "matplotlib", "numba", "opendp", "pandas", "pyarrow", "scipy"])
def test_who_asks_a_server_does_not_load(library: str) -> None:
    """What ``pets pending``, ``approve``, ``submit`` and others need of ours is this."""
    loaded = loaded_by("pets.remote")
    assert "pets.network" in loaded and library not in loaded


@cache
def loaded_by(module: str) -> frozenset[str]:
    """What is loaded in a new process that imports a module."""
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=100, capture_output=True, check=True)
    return frozenset(done.stdout.decode().split())
