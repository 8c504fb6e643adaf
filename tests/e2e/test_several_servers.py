"""Three tables and five, each of another holder, on real servers: what comes out, and whose receipts there are."""

import csv
import datetime as dt
import random
from pathlib import Path

import pytest

from pets.approve import approvals
from pets.demo.deploy import Deployment, deploy, servers
from pets.ids import PartyId
from pets.network import Network
from pets.party.config import read_client
from pets.party.warm import prepare_kernels
from pets.plan.review import review
from pets.remote import network
from pets.spec.model import Spec
from pets.spec.write import to_toml
from tests.test_controlled import spec_of
from tests.test_several_tables import JOINED, people

MORE = {3: "", 5: " JOIN visits u ON b.id = u.id JOIN courts v ON a.id = v.id"}


def written(folder: Path, persons: int, tables: int) -> tuple[Spec, dict[str, Path]]:
    """A specification of so many tables with so many persons, and their files."""
    found = people(0, tables)
    draw = random.Random("four servers")
    files = {}
    for table in found.datasets:
        name, columns = table["name"], list(table["columns"])
        table["max_rows"] = persons
        table["columns"][columns[2]]["required"] = True
        files[name] = folder / f"{name}.csv"
        with files[name].open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(columns)
            for person in range(persons):
                if draw.random() < 0.9:
                    out.writerow([f"p{person}", draw.choice("ns"), draw.randint(-7, 40)])
    text = f"SELECT a.da, c.dc, COUNT(*) AS n, SUM(b.xb) AS s {JOINED}{MORE[tables]} GROUP BY a.da, c.dc"
    return spec_of(found, text, {"min_count": 6}), files


def net_of(deployment: Deployment, party: PartyId) -> Network:
    home = deployment.folder / party
    file = home / ("client.toml" if party == deployment.spec.result_party else "party.toml")
    config = read_client(file, directory=home / "directory.toml", now=dt.datetime.now(dt.UTC))
    return network(config, deadline_s=120.0)


def ready(deployment: Deployment, toml: str) -> None:
    """Submit, approve everywhere, take snapshots."""
    reviewed = review(deployment.spec).require()
    net_of(deployment, deployment.spec.result_party).submit(toml)
    for party, persons in deployment.approvers.items():
        person, key = next(iter(persons.items()))
        server = net_of(deployment, party).server(party)
        server.approve(
            approvals.approve(
                digest=reviewed.digest,
                plan_digest=reviewed.plan_digest,
                party=party,
                approver=person,
                key=key,
                not_before=reviewed.spec.validity.not_before,
                not_after=reviewed.spec.validity.not_after,
                max_runs=reviewed.spec.validity.max_runs,
            )
        )
        if any(table.party == party for table in deployment.spec.datasets):
            server.snapshot(reviewed.digest)


def counted(files: dict[str, Path]) -> dict[tuple[str, str], tuple[int, int]]:
    """The table in the clear: rows and the sum, by both groups."""
    tables = {name: {row[0]: row[1:] for row in csv.reader(file.open())} for name, file in files.items()}
    stays, homes, schools = (tables[name] for name in ("stays", "homes", "schools"))
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for person in set.intersection(*(set(table) for table in tables.values())) - {"id"}:
        cell = (stays[person][0], schools[person][0])
        n, s = found.get(cell, (0, 0))
        found[cell] = n + 1, s + int(homes[person][1])
    return found


@pytest.mark.long
@pytest.mark.parametrize("tables", [3, 5])
def test_so_many_holders_and_a_helper_over_the_network(tables: int, tmp_path: Path) -> None:
    spec, files = written(tmp_path, 2000, tables)
    deployment = deploy(tmp_path / "parties", spec, files)
    prepare_kernels()
    with servers(deployment):
        ready(deployment, to_toml(spec))
        client = net_of(deployment, spec.result_party)
        result = client.run(to_toml(spec))
        assert set(result.receipts) == {table.party for table in spec.datasets} | {"helper"}
        frame = result.to_pandas().set_index(["da", "dc"])
        for cell, (n, s) in counted(files).items():
            assert tuple(frame.loc[cell, ["n", "s"]]) == (n, s)
