"""A release with discrete Gaussian noise over real servers, whose policies state caps in rho."""

import csv
import datetime as dt
import os
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from pets.check.budget import Loss
from pets.demo.deploy import Deployment
from pets.errors import LeakError
from pets.ids import RunHandle
from pets.party.accounting import Account, Cap
from pets.party.evidence import verify_evidence
from pets.party.ledger import Ledger
from pets.result import evidence_keys, recompute
from pets.spec.ir import AddNoise, GaussianColumn
from tests.e2e.running import Running, titled
from tests.party.world import BOARD, COMPUTING

pytestmark = pytest.mark.long

GAUSSIAN = ('epsilon = "1"', 'mechanism = "discrete gaussian"\nrho = "0.5"')


def caps_in_rho(deployment: Deployment) -> None:
    """Before servers start: policies that say how much rho a run and a year may cost."""
    for party in COMPUTING:
        policy = deployment.config(party).with_name("policy.toml")
        text = policy.read_text()
        old = 'max_epsilon_per_dataset = "1000000"\n'
        assert text.count(old) == 1
        new = 'max_rho_per_run = "1"\nmax_rho_per_dataset = "2"\nrho_at_delta = "2^-40"\n'
        policy.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    servers = Running(tmp_path_factory.mktemp("gaussian"), route=caps_in_rho)
    yield servers
    servers.close()


def test_a_release_with_gaussian_noise_the_whole_way(running: Running, tmp_path: Path) -> None:
    toml, handle = titled("A table with Gaussian noise", GAUSSIAN), RunHandle(os.urandom(16).hex())
    running.ready(toml)
    result = running.net().run(toml, handle=handle)
    assert result.receipts.keys() == set(COMPUTING)
    noise = result.plan.protection
    assert isinstance(noise, AddNoise) and all(isinstance(column, GaussianColumn) for column in noise.columns)
    with running.files["stays"].open() as stays, running.files["homes"].open() as homes:
        tenure = {row["pid"]: row["tenure"] for row in csv.DictReader(homes)}
        true = Counter((row["band"], tenure[row["pid"]]) for row in csv.DictReader(stays) if row["pid"] in tenure)
    (column, *_) = noise.columns
    reach = 8 * float(3 * column.variance) ** 0.5  # type: ignore[union-attr]
    errors = [
        int(row["n"]) - true[row["band"], row["tenure"]]
        for row in csv.DictReader(result.to_csv().decode().splitlines())
    ]
    assert len(errors) == 9 and 0 < max(map(abs, errors)) < reach
    folder = result.save(tmp_path / "result.csv")
    told = verify_evidence(folder, keys=evidence_keys(running.deployment.directory), recompute=recompute(toml))
    assert any("was charged epsilon 0.5, delta 2^-40, rho 0.5" in line for line in told)
    with running.state(BOARD) as state:
        cap = Cap(Loss(rho=Fraction(2)), dt.date(2000, 1, 1), told_at=Fraction(1, 2**40))
        assert Ledger(state).spent(Account("stays"), cap).rho == Fraction(5, 8), "0.5, and (1 / 2)^2 / 2 for the count"
    for party in COMPUTING:
        assert running.ends(party, handle) == ["finished"]
        running.verify_log(party)


def test_servers_whose_policies_allow_less_rho_do_not_keep_it(running: Running) -> None:
    greedy = titled("A table with less noise", (GAUSSIAN[0], GAUSSIAN[1].replace("0.5", "1.5")))
    with pytest.raises(LeakError, match=r"costs rho 1\.5, (board|council|helper) allows 1"):
        running.net().submit(greedy)
