"""Programs over real servers: three boards, each with its own process, policy, approver and records."""

import datetime as dt
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pets.approve import approvals
from pets.cli import app
from pets.demo.deploy import Deployment, deploy, servers
from pets.errors import LeakError, PetsError
from pets.network import Network
from pets.party.config import read_client
from pets.remote import network
from pets.spec.parse import parse_toml
from tests.party.program_specs import BOARDS, OWN, altered, own_program
from tests.party.world import reviewed_of

DAYS = {"north": [5, 10, 20, 40], "south": [1, 2, 3, 4], "west": [100, 200, 300, 400]}
TODAY = dt.datetime.now(dt.UTC).date()


def dated(toml: str) -> str:
    """The specification from yesterday on, so that real servers run it today."""
    return toml.replace("2026-11-01", f"{TODAY - dt.timedelta(days=1)}").replace(
        "2027-10-31", f"{TODAY + dt.timedelta(days=300)}"
    )


def net(deployment: Deployment, party: str) -> Network:
    home = deployment.folder / party
    file = home / "party.toml"
    return network(read_client(file, directory=home / "directory.toml", now=dt.datetime.now(dt.UTC)), deadline_s=60)


@pytest.mark.long
def test_a_program_between_three_servers_and_another_text_that_all_of_them_refuse(tmp_path: Path) -> None:
    toml = dated(altered())
    spec, files = parse_toml(toml), {}
    for place, (party, days) in enumerate(DAYS.items()):
        files[f"{party}/waits"] = tmp_path / f"{party}.csv"
        rows = [f"P{place}{n},{value},2026-02-01" for n, value in enumerate(days)]
        files[f"{party}/waits"].write_text("\n".join(["chi,days,referred", *rows]) + "\n")
    deployment = deploy(tmp_path / "parties", spec, files)
    reviewed = reviewed_of(toml)
    with servers(deployment):
        net(deployment, "north").submit(toml)
        for party, approvers in deployment.approvers.items():
            person, key = next(iter(approvers.items()))
            envelope = approvals.approve(
                digest=reviewed.digest,
                plan_digest=reviewed.plan_digest,
                party=party,
                approver=person,
                key=key,
                not_before=spec.validity.not_before,
                not_after=spec.validity.not_after,
                max_runs=1,
            )
            net(deployment, party).server(party).approve(envelope)
        result = net(deployment, "north").run(toml)
        assert result.outputs == {"quantile": (3, 10, 100)}
        with pytest.raises(PetsError):  # it was approved once
            net(deployment, "north").run(toml)
        other = dated(own_program(OWN))
        author = parse_toml(other).purpose.author
        for party in BOARDS:  # none of them has this text in its policy
            envelope = approvals.submit(
                digest=reviewed_of(other).digest, author=author, key=net(deployment, "north").analyst.key
            )
            with pytest.raises(LeakError, match="does not run a program of the author's own"):
                net(deployment, "north").server(next(p for p in deployment.endpoints if p == party)).submit(
                    other.encode(), envelope
                )
    folder = result.save(tmp_path / "waits_result.csv")
    asked = ["verify", str(folder / "receipts" / "north.json"), "--directory", str(deployment.directory)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "shares of north, south, west are what their receipts say" in done.output
