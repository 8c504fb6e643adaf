"""Three party servers as processes of their own, small and short-tempered, and what hostile tests do with them."""

import contextlib
import datetime as dt
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pets.approve import approvals
from pets.check.budget import Loss
from pets.demo import deploy as deploying
from pets.demo.deploy import Deployment, Process, deploy, start, wait_ready
from pets.ids import PartyId
from pets.network import Network
from pets.party.accounting import Account, Cap
from pets.party.config import PartyConfig, read_client, read_config
from pets.party.identity import Authority
from pets.party.ledger import Ledger
from pets.party.lifecycle import Outside, Settings
from pets.party.log import Log
from pets.party.main import GrpcCarrier
from pets.party.node import PartyNode
from pets.party.server import Server
from pets.party.state import State
from pets.party.warm import prepare_kernels
from pets.plan.review import Reviewed
from pets.remote import network
from pets.spec.parse import parse_toml
from pets.transport.grpc import Dialler, GrpcLink
from pets.transport.link import Link
from pets.transport.mailbox import Exchange
from tests.party.world import ANALYST, BOARD, COMPUTING, COUNCIL, altered, reviewed_of

TODAY = dt.datetime.now(dt.UTC).date()
STEP_S = 6
SECRET = "7203914"
"""A measure that occurs in the records of the board and nowhere else."""

BASE = altered(
    ("not_before = 2026-11-01", f"not_before = {TODAY - dt.timedelta(days=1)}"),
    ("not_after = 2027-10-31", f"not_after = {TODAY + dt.timedelta(days=300)}"),
    ("max = 100 }", "max = 9999999 }"),
)
SLOW = (("max_rows = 40", "max_rows = 400_000"),)
"""Declared sizes under which a run takes long enough to be met in its middle."""

PEOPLE = [f"IDENTITY-{number}" for number in range(30)]


def titled(title: str, *changes: tuple[str, str]) -> str:
    """A specification of its own: nothing that happens to others happens to it."""
    return altered(("A title", title), *changes, base=BASE)


class Running:
    """The servers, and everything on their disks. ``route`` may change a deployment before its servers start."""

    def __init__(self, folder: Path, *, route: Callable[[Deployment], None] = lambda deployment: None) -> None:
        self.folder = folder
        self.files = {"stays": folder / "stays.csv", "homes": folder / "homes.csv"}
        self.write_records()
        with pytest.MonkeyPatch.context() as patch:
            made: list[Authority] = []
            create = Authority.create

            def keep(*given: Any, **named: Any) -> Authority:
                made.append(create(*given, **named))
                return made[-1]

            patch.setattr(deploying.Authority, "create", keep)
            self.deployment: Deployment = deploy(folder / "parties", parse_toml(BASE), self.files)
            (self.authority,) = made
        route(self.deployment)
        for party in COMPUTING:
            file = self.deployment.config(party)
            limits = f"run_s = 60\nstep_s = {STEP_S}\nruns = 4"
            text = file.read_text()
            assert "run_s = 600" in text
            policy = file.with_name("policy.toml")
            policy.write_text(policy.read_text().replace("[limits]\n", "[limits]\nmin_count = 1\n"))
            file.write_text(text.replace("run_s = 600", limits))
        self.processes: dict[PartyId, Process] = {party: start(self.deployment, party) for party in COMPUTING}
        try:
            prepare_kernels()
            for process in self.processes.values():
                wait_ready(process, self.deployment)
        except BaseException:  # a test that takes too long too: nothing else would end them
            self.close()
            raise

    def write_records(self, extra: str = "") -> None:
        rows = [f"{pid},{'old' if i % 2 else 'young'},{SECRET},2026-05-01" for i, pid in enumerate(PEOPLE)]
        self.files["stays"].write_text("\n".join(["pid,band,minutes,arrival", *rows]) + "\n" + extra)
        rows = [f"{pid},{'own' if i % 3 else 'rent'}" for i, pid in enumerate(PEOPLE[10:])]
        self.files["homes"].write_text("\n".join(["pid,tenure", *rows]) + "\n")

    # -- people -------------------------------------------------------------------------------------------------------

    def net(self, party: PartyId = ANALYST, *, deadline_s: float = 60.0) -> Network:
        """The network as a party's own people reach it."""
        home = self.deployment.folder / party
        file = home / ("client.toml" if party == ANALYST else "party.toml")
        config = read_client(file, directory=home / "directory.toml", now=dt.datetime.now(dt.UTC))
        return network(config, deadline_s=deadline_s)

    def ready(self, toml: str, *, freeze: bool = True) -> Reviewed:
        """Submit, approve everywhere, take snapshots."""
        reviewed = reviewed_of(toml)
        self.net().submit(toml)
        for party, people in self.deployment.approvers.items():
            person, key = next(iter(people.items()))
            envelope = approvals.approve(
                digest=reviewed.digest,
                plan_digest=reviewed.plan_digest,
                party=party,
                approver=person,
                key=key,
                not_before=reviewed.spec.validity.not_before,
                not_after=reviewed.spec.validity.not_after,
                max_runs=reviewed.spec.validity.max_runs,
            )
            self.net(party).server(party).approve(envelope)
        if freeze:
            for party in (BOARD, COUNCIL):
                self.net(party).server(party).snapshot(reviewed.digest)
        return reviewed

    # -- processes ----------------------------------------------------------------------------------------------------

    def kill(self, party: PartyId) -> None:
        """kill -9."""
        self.processes[party].child.kill()
        self.processes[party].child.wait(20)
        self.processes[party].stop()

    def start(self, party: PartyId) -> None:
        self.processes[party] = start(self.deployment, party)
        wait_ready(self.processes[party], self.deployment)

    def alive(self, *parties: PartyId) -> bool:
        return all(self.processes[party].child.poll() is None for party in parties)

    def close(self) -> None:
        for process in self.processes.values():
            process.end()
        for process in self.processes.values():
            process.stop()

    # -- disks --------------------------------------------------------------------------------------------------------

    def state(self, party: PartyId) -> State:
        return State(self.deployment.folder / party / "state" / "party.sqlite")

    def log(self, party: PartyId) -> list[tuple[str, dict[str, Any]]]:
        with self.state(party) as state:
            return [(entry.kind, json.loads(entry.body)) for entry in Log(state).entries()]

    def verify_log(self, party: PartyId) -> None:
        with self.state(party) as state:
            Log(state).verify()

    def ends(self, party: PartyId, handle: str) -> list[str]:
        """How a run ended at a party: ``finished``, or the code of its abort."""
        found = []
        for kind, body in self.log(party):
            if body.get("handle") == handle and kind in ("run.finished", "run.aborted"):
                found.append("finished" if kind == "run.finished" else body["code"])
        return found

    def charges(self, dataset: str) -> tuple[str, list[str]]:
        """What a dataset has lost in all, and the states of its charges."""
        with self.state(BOARD if dataset == "stays" else COUNCIL) as state:
            with state.reading() as db:
                states = [each for (each,) in db.execute("SELECT state FROM charges WHERE dataset = ?", (dataset,))]
            return str(Ledger(state).spent(Account(dataset), Cap(Loss(), dt.date(2000, 1, 1))).epsilon), states

    def console(self, party: PartyId) -> str:
        return (self.deployment.folder / party / "console.log").read_text(errors="replace")

    # -- a hostile party ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hostile(self, party: PartyId, wrap: Callable[[GrpcLink, Dialler], Link]) -> Iterator[PartyNode]:
        """Play a party in this process, with its own keys and certificate and a link of the test's making."""
        self.processes[party].stop()
        config = read_config(self.deployment.config(party), now=dt.datetime.now(dt.UTC))
        dialler = Dialler(config.credentials, config.directory.addresses())
        exchange = Exchange()
        node = PartyNode(
            party,
            directory=config.directory,
            policy=config.policy,
            signing=config.signing_key,
            state=State(config.state / "party.sqlite"),
            folder=config.state / "snapshots",
            datasets=config.datasets,
            outside=Outside(_Hostile(party, dialler, exchange, 60.0, wrap), os.urandom, lambda line: None, exchange),
            settings=Settings(deadline_s=30.0, run_s=60.0),
        )
        server = Server(node, config.directory, config.credentials, config.listen)
        server.start()
        try:
            yield node
        finally:
            with contextlib.suppress(Exception):
                node.close()
            server.stop(0.0)
            dialler.close()
            self.start(party)

    def config(self, party: PartyId) -> PartyConfig:
        return read_config(self.deployment.config(party), now=dt.datetime.now(dt.UTC))


class _Hostile:
    """The carrier of a hostile party: honest hellos, and links as the test wraps them."""

    def __init__(self, me: PartyId, dialler: Dialler, exchange: Exchange, run_s: float, wrap: Any) -> None:
        self._honest = GrpcCarrier(me, dialler, exchange, run_s)
        self._dialler, self._wrap = dialler, wrap

    def hello(self, *given: Any) -> None:
        self._honest.hello(*given)

    def conclude(self, *given: Any) -> None:
        self._honest.conclude(*given)

    def abort(self, *given: Any) -> None:
        self._honest.abort(*given)

    def link(self, *given: Any, keeps: bool) -> Link:
        made: Link = self._wrap(self._honest.link(*given, keeps=keeps), self._dialler)
        return made


def meanwhile(act: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread
