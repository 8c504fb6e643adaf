"""Sums over one table of many holders with server processes: one is killed after it sent, one never comes."""

import csv
import datetime as dt
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pets.cli import app
from pets.demo.deploy import deploy, server_of, sign, start, wait_ready
from pets.ids import PartyId
from pets.party.config import read_client
from pets.party.state import RunState, State
from pets.party.warm import prepare_kernels, prepare_sums
from pets.remote import network
from pets.spec.parse import parse_toml
from tests.party.pool_world import parts, pooled
from tests.party.world import reviewed_of
from tests.pooled import pooled_toml

TODAY = dt.datetime.now(dt.UTC).date()
DATES = (
    ("not_before = 2026-01-01", f"not_before = {TODAY - dt.timedelta(days=1)}"),
    ("not_after = 2026-12-31", f"not_after = {TODAY + dt.timedelta(days=300)}"),
)
SQL = "SELECT ward, COUNT(*) AS n, SUM(minutes) AS total FROM visits GROUP BY ward"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_three_boards_and_two_computing_parties_the_whole_way(tmp_path: Path) -> None:
    """Submitted, run and verified by commands; uploads are taken for a whole minute, because one is away."""
    toml = pooled_toml(3, 2, sql=SQL, minimum=2, minutes=1, edits=DATES)
    spec, frames = parse_toml(toml), parts(3, rows=50)
    (tmp_path / "visits.spec.toml").write_text(toml)
    files = {}
    for board, frame in frames.items():
        files[f"{board}/visits"] = tmp_path / f"{board}.csv"
        frame.to_csv(files[f"{board}/visits"], index=False)
    deployment = deploy(tmp_path / "parties", spec, files)
    first, away = PartyId("board-1"), PartyId("board-3")
    prepare_kernels()
    prepare_sums()
    up = {party: start(deployment, party) for party in deployment.endpoints}
    try:
        for process in up.values():
            wait_ready(process, deployment)
        asked = ["--directory", str(deployment.directory)]
        done = CliRunner().invoke(app, ["submit", str(tmp_path / "visits.spec.toml"), *asked])
        assert done.exit_code == 0, done.output
        reviewed = reviewed_of(toml)
        assert {standing.state for _, _, standing in sign(deployment, reviewed)} == {"approved"}
        for board in frames:
            server_of(deployment, board).snapshot(reviewed.digest)
        up[away].stop()

        def kill_when_sent() -> None:
            file = deployment.folder / first / "state" / "party.sqlite"
            while True:
                with State(file) as state:
                    if any(run.state is RunState.SENT for run in state.runs()):
                        break
                time.sleep(0.1)
            time.sleep(2)  # its receipt is fetched by then
            up[first].child.kill()

        killing = threading.Thread(target=kill_when_sent, daemon=True)
        killing.start()
        out = tmp_path / "out.csv"
        done = CliRunner().invoke(app, ["run", str(tmp_path / "visits.spec.toml"), *asked, "--out", str(out)])
        assert done.exit_code == 0, done.output
        said = " ".join(done.output.split())
        assert "2 of 3 holders took part; at least 2 had to. Missing: board-3 (could not be reached)." in said
        assert "Inputs are not validated" in said
        killing.join(5)
        assert up[first].child.poll() is not None
    finally:
        for process in up.values():
            process.end()
        for process in up.values():
            process.stop()
    by = pooled({board: frame for board, frame in frames.items() if board != away}).groupby("ward")
    shown = {row["ward"]: row for row in csv.DictReader(out.read_text().splitlines())}
    for ward, count in by.size().items():
        assert abs(int(shown[str(ward)]["n"]) - count) < 100, "noise of a scale of 1/2"
    folder = tmp_path / "out.evidence"
    done = CliRunner().invoke(app, ["verify", str(folder), *asked])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "2 of 3 holders took part, 2 are the least" in said
    assert "board-3: no receipt is here; it did not take part" in said
    home = deployment.folder / "statistics"
    client = read_client(home / "client.toml", directory=home / "directory.toml", now=dt.datetime.now(dt.UTC))
    assert network(client).analyst.party == "statistics"
