"""The demonstration with one's own small files: what a person sees, what is left behind, and what bad input gets."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from pets.check.blocks import Picture
from pets.check.picture import standalone
from pets.check.report import report
from pets.cli import app
from pets.commands import tables
from pets.commands.tables import Cell, statistic
from pets.demo import show
from pets.demo.data import demo_folder
from pets.demo.people import make_people
from pets.demo.show import EXACT, MARK
from pets.errors import ConfigError
from pets.ids import MISSING
from pets.plan.review import review
from pets.spec.parse import read_spec

ROOT = Path(__file__).parents[2]
SPEC = demo_folder() / "ae_by_tenure.spec.toml"


def demo(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pets.cli", "demo", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
        check=False,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A Parquet and a CSV file of 300 people each, and a specification of their size."""
    folder = tmp_path_factory.mktemp("own")
    made = make_people(folder, people=300, seed=3)
    health = folder / "health.parquet"
    pd.read_csv(made.health, dtype={"nhs_number": str}, parse_dates=["arrival"]).to_parquet(health)
    spec = folder / "own.spec.toml"
    spec.write_text(SPEC.read_text().replace("250_000", "3_000").replace("200_000", "2_000"))
    return SimpleNamespace(folder=folder, health=health, council=made.council, spec=spec)


@pytest.mark.timeout(300)
def test_own_files_from_report_to_receipts(own: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "made"
    words = ("--health", own.health, "--council", own.council, "--spec", own.spec, "--out", out)
    said = demo(*words).stdout
    for heading in ("Party servers", "Records", "Disclosure report", "Approvals", "Snapshots", "Result", "Receipts"):
        assert re.search(f"^{heading}", said, re.MULTILINE), heading
    assert str(own.health) in said
    assert re.search(r"^\(missing\) +16-24", said, re.MULTILINE), "no row is removed"
    assert re.search(r"^owner +16-24 +-?\d+ ± \d+ ", said, re.MULTILINE)
    assert re.search(r"^M3 +council +board +[\d.]+ [kM]B", said, re.MULTILINE)
    assert not list(out.glob("records/*")), "nothing was made up"
    receipts = re.findall(r"\S+receipts/(?:board|council|helper)\.json", said)
    line = re.search(r"^  pets verify (\S+)$", said, re.MULTILINE)
    assert len(receipts) == 4
    assert line is not None
    verified = subprocess.run(
        [sys.executable, "-m", "pets.cli", "verify", line.group(1)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "verified" in verified.stdout
    assert (out / "result.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "report.html").read_text()


@pytest.mark.timeout(300)
@pytest.mark.long
def test_the_exact_demonstration_withholds_small_groups_and_says_so(tmp_path: Path) -> None:
    out, spec = tmp_path / "made", tmp_path / "smaller.toml"
    smaller = (demo_folder() / EXACT).read_text().replace("250_000", "70_000").replace("200_000", "40_000")
    spec.write_text(smaller)
    said = demo("--spec", spec, "--people", 40_000, "--out", out).stdout
    assert re.search(r"^owner +16-24 +\d+ \[\d+ to \d+\] +[\d,]+$", said, re.MULTILINE)
    assert re.search(r"^temporary +16-24 +withheld +withheld$", said, re.MULTILINE)
    assert "'withheld': fewer than 10 people or nobody" in said
    assert "carries noise" not in said
    table = pd.read_csv(out / "result.csv", dtype=str)
    assert 0 < (table["people"] == "withheld").sum() < len(table)
    health = pd.read_csv(out / "records" / "health.csv", dtype=str)
    tenure = pd.read_csv(out / "records" / "council.csv", dtype=str).dropna().set_index("nhs_number")["tenure"]
    summer = health[(health["arrival"] >= "2026-07-01") & (health["department"] == "single specialty")]
    known = summer.assign(tenure=summer["nhs_number"].map(tenure)).dropna()
    people = known.groupby(["tenure", "age_band"])["nhs_number"].nunique()
    for row in table[(table["tenure"] != MISSING) & (table["age_band"] != MISSING)].itertuples():
        true = people.get((row.tenure, row.age_band), 0)
        assert row.people == (str((true + 2) // 5 * 5) if true >= 10 else "withheld")


def test_exact_takes_the_exact_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[Path] = []

    def stop(file: Path) -> None:
        read.append(file)
        raise ConfigError("config.output", file=file.name, problem="enough")

    monkeypatch.setattr(show, "read_spec", stop)
    for words in (["--exact"], []):
        assert isinstance(CliRunner().invoke(app, ["demo", *words, "--out", str(tmp_path)]).exception, ConfigError)
    assert read == [demo_folder() / EXACT, SPEC]
    review(read_spec(demo_folder() / EXACT)).require()


def test_a_bad_row_is_named_on_the_terminal_of_the_one_who_holds_it(own: SimpleNamespace, tmp_path: Path) -> None:
    frame = pd.read_csv(own.council, dtype=str)
    frame.loc[7, "tenure"] = "squatted"
    bad = tmp_path / "bad.csv"
    frame.to_csv(bad, index=False)
    words = ("--health", own.health, "--council", bad, "--spec", own.spec, "--out", tmp_path / "made")
    done = demo(*words, code=2)
    assert "bad.csv, column tenure: no declared level in 1 row: 9" in done.stdout
    assert "refused source.level" in done.stderr
    assert "squatted" not in done.stdout + done.stderr
    assert not (tmp_path / "made" / "result.csv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--health", "nowhere.csv", "--council", "nowhere.csv"], "file 'nowhere.csv' does not exist"),
        (["--health", str(SPEC)], "both --health and --council"),
        (["--people", "0"], "--people"),
        (["--exact", "--spec", str(SPEC)], "--exact or --spec"),
        (["--overlap", "1.5"], "--overlap"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_made(words: list[str], said: str, tmp_path: Path) -> None:
    assert said in demo(*words, "--out", tmp_path / "made", code=1).stderr.replace('"', "'")
    assert not (tmp_path / "made").exists()


def test_a_refused_specification_makes_nothing(own: SimpleNamespace, tmp_path: Path) -> None:
    spec = tmp_path / "refused.toml"
    spec.write_text(own.spec.read_text().replace('as = "declared maximum"', 'as = "exact"'))
    demo("--spec", spec, "--out", tmp_path / "made", code=2)
    assert not (tmp_path / "made").exists()


def test_a_folder_of_other_things_is_not_cleared(tmp_path: Path) -> None:
    from pets.demo.show import _fresh

    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"config\.output"):
        _fresh(tmp_path)
    assert (tmp_path / "records" / "thesis.txt").exists()
    _fresh(tmp_path / "new")
    (tmp_path / "new" / "records").mkdir()
    _fresh(tmp_path / "new")
    assert [file.name for file in (tmp_path / "new").iterdir()] == [MARK]


# -- the table --------------------------------------------------------------------------------------------------------


def test_even_bounds_are_one_number_and_uneven_ones_two() -> None:
    assert _plain(statistic([Cell(2798, 2754, 2842), Cell(-3, -47, 41)])) == ["2,798 ± 44", "-3 ± 44"]
    assert _plain(statistic([Cell(138.43, 115.72, 160.29)])) == ["138 [116 to 160]"]
    assert _plain(statistic([Cell(0.12345, 0.11, 0.14)])) == ["0.123 [0.110 to 0.140]"]


def test_what_the_noise_leaves_open_has_no_number() -> None:
    nan = float("nan")
    cells = statistic([Cell(77.5, nan, nan), Cell(nan, nan, nan), Cell(5, 4, 6)])
    assert _plain(cells) == ["not determined", "not determined", "5 ± 1"]


def test_what_is_withheld_says_so_and_exact_numbers_stand_alone() -> None:
    nan = float("nan")
    cells = statistic([Cell(1500, 1500, 1500), Cell(nan, nan, nan), Cell(nan, nan, nan)], [False, True, False])
    assert _plain(cells) == ["1,500", "withheld", "not determined"]


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_no_word_of_the_table_is_broken_at_any_width(width: int) -> None:
    names = [f"statistic_{i}" for i in range(5)]
    frame = pd.DataFrame({"tenure": ["owner", "private rent", MISSING] * 2, "[bold]": list("aaabbb")})
    for i, name in enumerate(names):
        frame[name] = [10.0**i * k for k in range(6)]
        frame[f"{name}_low"], frame[f"{name}_high"] = frame[name] - 44, frame[name] + 44
    parts = tables.released(_result(frame, ["tenure", "[bold]"], names), width, most=40)
    text = "".join(_printed(part, width) for part in parts)
    for word in [*names, "[bold]", "private rent", MISSING, "50,000 ± 44"]:
        assert word in text, word
    assert len(parts) == 1 if width >= 100 else len(parts) > 1
    assert all(text.count(name) == 1 for name in names)


def test_rows_of_a_missing_level_are_there_and_dim() -> None:
    frame = pd.DataFrame({"tenure": ["owner", MISSING], "n": [5, 6], "n_low": [4, 5], "n_high": [6, 7]})
    (table,) = tables.released(_result(frame, ["tenure"], ["n"]), 80, most=40)
    assert [row.style for row in table.rows] == [None, "dim"]


def test_the_picture_in_the_readme_is_of_the_demonstration() -> None:
    found = review(read_spec(SPEC))
    blocks = [block for section in report(found).sections for block in section.blocks]
    picture = next(block for block in blocks if isinstance(block, Picture))
    assert (ROOT / "docs" / "images" / "flow.svg").read_text() == standalone(picture)


def _result(frame: pd.DataFrame, grouping: list[str], statistics: list[str]) -> Any:
    gone = pd.DataFrame(False, frame.index, statistics)
    return SimpleNamespace(to_pandas=lambda: frame, grouping=grouping, statistics=statistics, withheld=gone)


def _printed(table: Any, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def _plain(cells: list[str]) -> list[str]:
    from rich.text import Text

    return [Text.from_markup(cell).plain for cell in cells]
