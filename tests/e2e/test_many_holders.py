"""Tables of many holders over real servers: each holder uploads its part, three others compute."""

import csv
import datetime as dt
import random
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pets.approve import approvals
from pets.cli import app
from pets.demo.deploy import Deployment, deploy, servers
from pets.ids import PartyId
from pets.network import Network
from pets.party.config import read_client
from pets.remote import network
from pets.spec.parse import parse_toml
from pets.transport.calls import Event
from tests.oracles.many import boards, councils, many_toml, nhs_numbers
from tests.party.world import reviewed_of

SQL = """SELECT h.tenure, COUNT(*) AS n, COUNT(DISTINCT a.nhs_number) AS people
FROM attendances a JOIN housing h USING (nhs_number) GROUP BY h.tenure"""
CONTROL = "[release.disclosure_control]\nmin_count = 5\n"
TENURES = ("owner", "private rent", "social rent", "temporary")
ONCE = (("max_runs = 60", "max_runs = 1"), ('schedule = "monthly"\n', ""))


def net(deployment: Deployment, party: str) -> Network:
    """The network as a party's own people reach it."""
    home = deployment.folder / party
    file = home / ("party.toml" if PartyId(party) in deployment.endpoints else "client.toml")
    return network(read_client(file, directory=home / "directory.toml", now=dt.datetime.now(dt.UTC)), deadline_s=120)


@pytest.mark.long
def test_two_boards_and_two_councils_the_whole_way(tmp_path: Path) -> None:
    """Seven servers, of which those of the holders are killed once they have sent and signed: the three go on.

    What comes out is what SQL gives of the records of all, and the folder verifies.
    """
    toml = many_toml(2, 2, sql=SQL, protection=CONTROL, truncate=False, edits=ONCE, rows=(30_000, 30_000))
    spec, rng, people = parse_toml(toml), random.Random(1), nhs_numbers(60)
    stays = {board: [rng.choice(people) for _ in range(70)] for board in boards(2)}
    stays = {
        board: [one for one in dict.fromkeys(rows) for _ in range(min(4, rows.count(one)))]
        for board, rows in stays.items()
    }
    homes = {council: {one: rng.choice(TENURES) for one in rng.sample(people, 40)} for council in councils(2)}
    files = {}
    for holder, rows in stays.items():
        files[f"{holder}/attendances"] = tmp_path / f"{holder}.csv"
        with files[f"{holder}/attendances"].open("w") as file:
            file.write("nhs_number,age_band,minutes,arrival\n")
            file.writelines(f"{one},16-24,5,2026-03-01\n" for one in rows)
    for holder, homed in homes.items():
        files[f"{holder}/housing"] = tmp_path / f"{holder}.csv"
        with files[f"{holder}/housing"].open("w") as file:
            file.write("nhs_number,tenure\n")
            file.writelines(f"{one},{tenure}\n" for one, tenure in homed.items())
    deployment = deploy(tmp_path / "parties", spec, files)
    reviewed = reviewed_of(toml)
    with servers(deployment) as running:
        net(deployment, "statistics").submit(toml)
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
            server = net(deployment, party).server(party)
            server.approve(envelope)
            if party in (*stays, *homes):
                server.snapshot(reviewed.digest)

        def leave(party: PartyId, event: Event) -> None:
            if party in (*stays, *homes) and event.kind == "end":
                running[party].child.kill()
                running[party].child.wait(20)

        result = net(deployment, "statistics").run(toml, progress=leave)
        assert {party for party, process in running.items() if process.child.poll() is not None} == {*stays, *homes}
    rows: Counter[str] = Counter()
    met: dict[str, set[str]] = {tenure: set() for tenure in TENURES}
    for homed in homes.values():
        for held in stays.values():
            for one in held:
                if one in homed:
                    rows[homed[one]] += 1
                    met[homed[one]].add(one)
    shown = {row["tenure"]: row for row in csv.DictReader(result.to_csv().decode().splitlines())}
    for tenure in TENURES:
        enough = len(met[tenure]) >= 5
        assert shown[tenure]["n"] == (str(rows[tenure]) if enough else "withheld")
        assert shown[tenure]["people"] == (str(len(met[tenure])) if enough else "withheld")
    assert set(result.receipts) == {PartyId(name) for name in (*stays, *homes, "north", "south", "west")}
    folder = result.save(tmp_path / "result.csv")
    asked = ["verify", str(folder / "receipts" / "board-01.json"), "--directory", str(deployment.directory)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert done.output.count("when they had arrived") == 4
