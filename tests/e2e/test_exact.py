"""An exact release over real servers: the whole way, and the evidence by the command line."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pets.cli import app
from pets.errors import ReceiptError
from pets.ids import RunHandle
from tests.e2e.running import BASE, SECRET, Running, titled
from tests.party.world import COMPUTING

NOISE = BASE[BASE.index("[release.differential_privacy]") : BASE.index("[security]")]
CONTROL = """[release.disclosure_control]
min_count = 5
round_to = 2
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Servers of its own: beside the noised runs of other tests on the same rows, the guard would suspect this one."""
    servers = Running(tmp_path_factory.mktemp("exact"))
    yield servers
    servers.close()


def test_an_exact_release_the_whole_way(running: Running, tmp_path: Path) -> None:
    """Three servers compare and round; what comes out is the true table, less the groups of fewer than five."""
    toml = titled("An exact table", (NOISE, CONTROL), ("max = 9999999 }", "max = 9999999, required = true }"))
    running.ready(toml)
    handle = RunHandle(os.urandom(16).hex())
    result = running.net().run(toml, handle=handle)
    assert result.receipts.keys() == result.shares.keys() == set(COMPUTING)
    with running.files["stays"].open() as stays, running.files["homes"].open() as homes:
        tenure = {row["pid"]: row["tenure"] for row in csv.DictReader(homes)}
        true = Counter((row["band"], tenure[row["pid"]]) for row in csv.DictReader(stays) if row["pid"] in tenure)
    shown = 0
    for row in csv.DictReader(result.to_csv().decode().splitlines()):
        n = true[row["band"], row["tenure"]]
        shown += n >= 5
        assert row["n"] == (str((2 * n + 2) // 4 * 2) if n >= 5 else "withheld")
        assert row["minutes"] == (str(n * int(SECRET)) if n >= 5 else "withheld")
    assert 0 < shown < 9 and max(true.values()) >= 5 > min(true.values())
    for party in COMPUTING:
        assert running.ends(party, handle) == ["finished"]
    folder = result.save(tmp_path / "result.csv")
    directory = str(running.deployment.directory)
    receipt = str(folder / "receipts" / "board.json")
    asked = ["verify", receipt, "--directory", directory]
    assert CliRunner().invoke(app, asked).exit_code == 0
    for party in COMPUTING:
        share = folder / "shares" / f"{party}.bin"
        body = share.read_bytes()
        share.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
        assert isinstance(CliRunner().invoke(app, asked).exception, ReceiptError), party
        share.write_bytes(body)
