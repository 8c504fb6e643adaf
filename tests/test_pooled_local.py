"""Sums over one table in one process, as a notebook has them: drafted, run, drawn, saved, verified, audited."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

import pets
from pets.cli import app
from pets.commands.tables import price
from pets.errors import ConfigError, SpecError
from pets.local import LocalNetwork
from pets.spec.parse import MAX_TOML
from tests.party.pool_world import without_noise

SQL = "SELECT ward, COUNT(*) AS n, AVG(minutes) AS minutes FROM visits GROUP BY ward"


def tables(holders: int, rows: int = 30, seed: int = 1) -> dict[str, dict[str, pd.DataFrame]]:
    rng = np.random.default_rng(seed)
    return {
        f"board-{number:03}": {
            "visits": pd.DataFrame(
                {
                    "id": [f"{number}-{person}" for person in range(rows)],
                    "ward": rng.choice(["medical", "surgical"], rows),
                    "minutes": rng.integers(0, 300, rows),
                }
            )
        }
        for number in range(1, holders + 1)
    }


def network(parts: Any, computing: int = 2) -> LocalNetwork:
    own: dict[str, Any] = {**parts, **{name: {} for name in ("north", "south", "west")[:computing]}}
    return pets.local_network(own)


def pooled(parts: Any) -> pd.DataFrame:
    return pd.concat([each["visits"] for each in parts.values()], ignore_index=True)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)


@pytest.mark.usefixtures("exact")
def test_a_draft_of_one_table_of_many_runs_and_its_folder_verifies(tmp_path: Path) -> None:
    parts = tables(5)
    net = network(parts)
    draft = net.draft(SQL, epsilon="4", upload_minutes=2)
    assert draft.check().accepted and draft.spec.computation.min_contributors == 5
    result = net.run(draft)
    found = result.to_pandas().set_index("ward")
    by = pooled(parts).groupby("ward").minutes
    for ward in ("medical", "surgical"):
        assert (found.n[ward], found.minutes[ward]) == (by.size()[ward], pytest.approx(by.mean()[ward]))
    assert result.participation is not None and repr(result.participation) == "Participation(5 of 5 holders)"
    result.plot(tmp_path / "table.png")
    assert (tmp_path / "table.png").stat().st_size > 10_000
    page = result._repr_html_()
    assert "5 of 5 holders took part" in page and "north, south and 5 holders" in page
    lines = io.StringIO()
    Console(file=lines, width=120).print(price(result))
    assert "uploads" in lines.getvalue() and "holders" in lines.getvalue() and "board-001" not in lines.getvalue()
    counts = result.counts("n")
    assert counts.law is not None and counts.law.times == 2, "two computing parties add noise of full strength"
    folder = result.save(tmp_path / "table.csv")
    done = CliRunner().invoke(app, ["verify", str(folder)])
    assert done.exit_code == 0, done.output
    assert "5 of 5 holders took part, 5 are the least" in " ".join(done.output.split())


@pytest.mark.usefixtures("exact")
def test_an_exact_table_of_many_is_audited_as_any_other(tmp_path: Path) -> None:
    parts = tables(3, rows=8)
    parts["board-001"]["visits"].loc[0, "ward"] = "rare"
    net = network(parts, computing=3)
    sql = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"
    draft = net.draft(sql, control={"min_count": 5}, max_runs=1, upload_minutes=2)
    folder = net.run(draft).save(tmp_path / "table.csv")
    assert "rare,withheld" in (folder / "result.csv").read_text()
    done = CliRunner().invoke(app, ["audit", str(folder)])
    assert done.exit_code == 0, done.output


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["secure_sum", "secure_sum_shamir", "checked_sum"])
def test_each_protocol_gives_the_same_table(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    without_noise(monkeypatch)
    parts = tables(4)
    net = network(parts, computing=3)
    found = net.run(net.draft(SQL, epsilon="4", protocol=protocol, upload_minutes=2)).to_pandas().set_index("ward")
    assert found.n.loc[["medical", "surgical"]].tolist() == pooled(parts).groupby("ward").size().tolist()


def test_a_draft_says_what_it_lacks() -> None:
    parts = tables(3)
    with pytest.raises(ConfigError, match="1 parties are without tables; sums over one table take two or more"):
        network(parts, computing=1).draft(SQL)
    renamed = {name: {"visits": each["visits"].rename(columns={"id": "who"})} for name, each in parts.items()}
    with pytest.raises(ConfigError, match="name the person id with on="):
        network(renamed).draft(SQL)
    assert network(renamed).draft(SQL, on="who").check().accepted


def test_a_network_of_many_is_printed_shortly() -> None:
    assert repr(network(tables(40, rows=1))).endswith("; and 30 more)")


def test_a_thousand_and_one_holders_are_refused_with_a_text_that_says_so() -> None:
    (one,) = tables(1, rows=1).values()
    many = {f"board-{number:04}": one for number in range(1001)}
    with pytest.raises(SpecError, match="holders names 1,001 parties, and at most 1,000 may bring parts of one table"):
        network(many).draft(SQL, min_contributors=900)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("exact")
def test_a_thousand_holders_from_the_specification_to_a_table_that_is_verified(tmp_path: Path) -> None:
    """Drafted, checked, submitted, approved, frozen, uploaded, opened, saved, verified: measured 50 s of processor."""
    parts = tables(1000, rows=12)
    net = network(parts, computing=3)
    began = time.process_time()
    draft = net.draft(SQL, epsilon="4", min_contributors=900, upload_minutes=10)
    assert draft.check().accepted and time.process_time() - began < 5, "two checkers, a thousand holders"
    assert len(draft.toml.encode()) < MAX_TOML // 2
    result = net.run(draft)
    assert result.participation is not None and len(result.participation.counted) == 1000
    found = result.to_pandas().set_index("ward")
    by = pooled(parts).groupby("ward").minutes
    for ward in ("medical", "surgical"):
        assert (found.n[ward], found.minutes[ward]) == (by.size()[ward], pytest.approx(by.mean()[ward]))
    folder = result.save(tmp_path / "table.csv")
    assert len(list((folder / "receipts").glob("*.json"))) == 1003
    began = time.process_time()
    done = CliRunner().invoke(app, ["verify", str(folder)])
    assert done.exit_code == 0, done.output
    assert time.process_time() - began < 20, "signatures of a thousand are tried with the key that they name"
    told = " ".join(done.output.split())
    assert "1000 of 1000 holders took part, 900 are the least" in told
    assert "1,000 holders: each one's receipt, approvals, frozen part and charge" in told and "board-500:" not in told
    assert (
        "board-500: receipt is signed by its server" in CliRunner().invoke(app, ["verify", str(folder), "--all"]).output
    )


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_hundred_and_twenty_holders_in_one_process() -> None:
    """Made, submitted, approved, frozen, run: measured half a minute on two busy cores."""
    parts = tables(220)
    net = network(parts, computing=3)
    draft = net.draft(SQL, epsilon="4", min_contributors=200, upload_minutes=10)
    began = time.perf_counter()
    result = net.run(draft)
    seconds = time.perf_counter() - began
    assert result.participation is not None and len(result.participation.counted) == 220
    assert len(result.receipts) == 223 and seconds < 300
