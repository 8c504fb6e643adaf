"""What ``pip install .`` brings: the wheel is built here, looked through, and used from where it was unpacked alone."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=100)
    (built,) = folder.glob("pets-*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def in_wheel(unpacked: Path, *words: str) -> str:
    """Run Python with the unpacked wheel as the only ``pets`` there is, in a folder of nothing."""
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); sys.argv = {['pets', *words]!r}; " + (
        "import pets; assert pets.__file__.startswith(sys.path[0]), pets.__file__; from pets.cli import main; main()"
    )
    empty = unpacked.parent / "empty"
    empty.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=100, cwd=empty, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_code_cards_and_demo_and_nothing_of_the_workshop(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {f"pets/{file.relative_to(ROOT / 'pets')}" for file in (ROOT / "pets").rglob("*.py")}
    wanted |= {
        f"pets/_data/protocols/{card.parent.name}/card.toml" for card in (ROOT / "protocols").glob("*/card.toml")
    }
    wanted |= {f"pets/_data/demo/{name}" for name in ("ae_by_tenure.spec.toml", "data/gb_areas.csv", "data/README.md")}
    assert wanted <= names
    assert not {name for name in names if name.startswith(("tests/", "docs/", "benchmarks/", "notebooks/"))}
    assert not {name for name in names if name.endswith((".pyc", ".nbi", ".nbc", ".pem", ".sqlite"))}
    assert sum("entry_points" in name for name in names) == 1


def test_the_command_is_an_entry_point(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (file,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "pets = pets.cli:main" in archive.read(file).decode()


def test_cards_schema_and_demonstration_load_from_the_wheel_alone(unpacked: Path) -> None:
    spec = unpacked / "pets" / "_data" / "demo" / "ae_by_tenure.spec.toml"
    said = json.loads(in_wheel(unpacked, "check", str(spec), "--json"))
    assert said["accepted"] is True
    assert json.loads(in_wheel(unpacked, "schema"))["type"] == "object"
    assert "demo" in in_wheel(unpacked, "--help")


def test_the_wheel_knows_its_own_data_not_that_of_the_clone(unpacked: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        "from pets.demo.data import data_file, demo_folder\nfrom pets.spec.cards import cards_folder\n"
        "print(demo_folder()); print(cards_folder()); print(data_file('ae_attendances.csv'))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=100)
    lines = done.stdout.split()
    assert len(lines) == 3
    assert all(line.startswith(str(unpacked)) for line in lines)
