"""Set up all parties of a specification on one host, and run their servers as processes of their own.

For the demonstration, tests and benchmarks, where one person plays everybody: each party has its own folder, keys,
certificate, policy, approvers and state, as it would on hosts of its own. Policies allow what the specification asks
for and nothing else; in a real deployment each organisation writes its own.
"""

import datetime as dt
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pets.approve import approvals
from pets.approve.envelope import SigningKey, keygen
from pets.approve.permitting import permitting
from pets.approve.policy import Approver, policy_toml
from pets.errors import ConfigError, LinkError
from pets.ids import PartyId
from pets.network import Server
from pets.party.config import DirectoryApprover, DirectoryParty, directory_toml, read_client
from pets.party.files import FileSource
from pets.party.folder import SIGNING_KEY, init_client, init_party
from pets.party.identity import Authority, private_folder
from pets.plan.review import Reviewed
from pets.remote import network
from pets.spec.model import Spec
from pets.spec.write import tables
from pets.transport.calls import Standing

READY_S: Final = 120.0
STOP_S: Final = 10.0
ROLES: Final = ("asset owner", "data protection officer")
"""Of the two approvers of each party."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The folders of all parties of a specification. ``approvers``: the keys of two people for each computing party."""

    folder: Path
    spec: Spec
    endpoints: Mapping[PartyId, str]
    approvers: Mapping[PartyId, Mapping[str, SigningKey]]

    def config(self, party: PartyId) -> Path:
        return self.folder / party / "party.toml"

    @property
    def directory(self) -> Path:
        """The result party's directory file; its ``client.toml`` lies beside it."""
        return self.folder / self.spec.result_party / "directory.toml"


def deploy(folder: Path, spec: Spec, datasets: Mapping[str, Path | FileSource], *, k: int = 1) -> Deployment:
    """Make the folders of all parties of ``spec`` under ``folder``.

    ``datasets``: the file of each dataset, or of one party's part as "party/dataset", maybe with other names of its
    columns; what is left out its holder names later. ``k``: how many of a party's two approvers have to sign.
    """
    now = dt.datetime.now(dt.UTC)
    private_folder(folder)
    authority = Authority.create("pets on one host", now=now)
    endpoints = dict(zip(spec.servers, _free_endpoints(len(spec.servers)), strict=True))
    keys = {party: {f"{role} of {party}": keygen() for role in ROLES} for party in endpoints}
    known = []
    for party in spec.parties:
        home, listen = folder / party.name, endpoints.get(PartyId(party.name))
        words = party.organisation
        if listen is None:
            init_client(home, party.name, party.san, organisation=words, now=now, authority=authority)
        else:
            init_party(home, party.name, party.san, organisation=words, now=now, authority=authority, listen=listen)
        people = keys.get(PartyId(party.name), {})
        _save(people, home / "approvers")
        known.append(
            DirectoryParty(
                name=party.name,
                organisation=words,
                san=party.san,
                endpoint=listen,
                signing_key=SigningKey.load(home / SIGNING_KEY).text,
                approver=tuple(
                    DirectoryApprover(name=name, key=key.text, organisation=words) for name, key in people.items()
                ),
            )
        )
    for one in known:
        _rewrite(folder / one.name / "directory.toml", directory_toml(known))
    for party_id in endpoints:
        words = spec.party(party_id).organisation
        approvers = [
            Approver(name=name, role=role, key=key.text, organisation=words)
            for role, (name, key) in zip(ROLES, keys[party_id].items(), strict=True)
        ]
        _rewrite(folder / party_id / "policy.toml", policy_toml(permitting(spec, party_id, approvers, k=k)))
        brought = {
            d.name: datasets[place]
            for d in spec.datasets
            if party_id in d.parties and (place := f"{party_id}/{d.name}" if d.several else d.name) in datasets
        }
        _add_datasets(folder / party_id / "party.toml", brought)
    return Deployment(folder, spec, endpoints, keys)


def _save(people: Mapping[str, SigningKey], folder: Path) -> None:
    """The private keys of a party's approvers, which would be with these people and not on the server's host."""
    if people:
        private_folder(folder)
    for role, key in zip(ROLES, people.values(), strict=False):
        key.save(folder / f"{role.replace(' ', '-')}.pem")


def server_of(deployment: Deployment, party: PartyId) -> Server:
    """A party's server as its own people reach it."""
    config = deployment.config(party)
    client = read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC))
    return network(client).server(party)


def sign(deployment: Deployment, reviewed: Reviewed) -> Iterator[tuple[PartyId, str, Standing]]:
    """Sign a submitted specification for every party, by one of its approvers each, as specified.

    Yields: the party, who signed, and how the specification stands at the party's own server then.
    """
    validity = reviewed.spec.validity
    for party, people in deployment.approvers.items():
        person, key = next(iter(people.items()))
        envelope = approvals.approve(
            digest=reviewed.digest,
            plan_digest=reviewed.plan_digest,
            party=party,
            approver=person,
            key=key,
            not_before=validity.not_before,
            not_after=validity.not_after,
            max_runs=validity.max_runs,
        )
        yield party, person, server_of(deployment, party).approve(envelope)


def _add_datasets(file: Path, datasets: Mapping[str, Path | FileSource]) -> None:
    files = {}
    for name, given in datasets.items():
        source = given if isinstance(given, FileSource) else FileSource(given)
        files[name] = {"file": str(source.path.resolve())} | (
            {"columns": dict(source.columns)} if source.columns else {}
        )
    added = {"datasets": files} if files else {}
    _rewrite(file, f"{file.read_text(encoding='utf-8')}\n{tables(added)}")


def _rewrite(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _free_endpoints(count: int) -> list[str]:
    """Ports of loopback that are free now; a server that finds its port taken says so."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(slots=True)
class Process:
    """A party server as a child process. In a deployment its own console goes to ``console.log`` in its folder."""

    party: PartyId
    child: subprocess.Popen[bytes]
    console: IO[bytes] | None = field(repr=False)

    def end(self) -> None:
        """Ask it to end; ``stop`` waits for it."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it and wait; a server that does not end is killed."""
        self.end()
        try:
            self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(STOP_S)
        if self.console is not None:
            self.console.close()


@contextmanager
def servers(deployment: Deployment) -> Iterator[dict[PartyId, Process]]:
    """Run all party servers of a deployment; they are ready inside and gone afterwards."""
    with starting(deployment) as running:
        for process in running.values():
            wait_ready(process, deployment)
        yield running


@contextmanager
def starting(deployment: Deployment) -> Iterator[dict[PartyId, Process]]:
    """Start all party servers of a deployment; inside, call ``wait_ready`` for each one. They are gone afterwards."""
    running: dict[PartyId, Process] = {}
    try:
        for party in deployment.endpoints:
            running[party] = start(deployment, party)
        yield running
    finally:
        for process in running.values():
            process.end()
        for process in running.values():
            process.stop()


def start(deployment: Deployment, party: PartyId) -> Process:
    """Start one party server; ``wait_ready`` waits for it."""
    console = (deployment.folder / party / "console.log").open("ab")
    return launch(party, ["party", "serve", "--config", str(deployment.config(party))], console)


def launch(party: PartyId, words: Sequence[str], console: IO[bytes] | None = None) -> Process:
    """Give a ``pets`` command that serves a party. Without ``console`` its own people's lines go where ours go."""
    command = [sys.executable, "-m", "pets.cli", *words]
    environment = dict(os.environ) | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=console, stdin=subprocess.DEVNULL, env=environment)
    return Process(party, child, console)


def wait_ready(process: Process, deployment: Deployment) -> None:
    """Wait for the line that says it listens. Raises: ConfigError with the end of its console if it ends before."""
    if not listens(process):
        log = deployment.folder / process.party / "console.log"
        said = log.read_text(encoding="utf-8", errors="replace")[-500:].strip()
        raise ConfigError("config.local", problem=f"the server of {process.party} ended at once: {said}")


def listens(process: Process) -> bool:
    """Wait for the line that says it listens. False: it has ended. Raises: LinkError if it does neither."""
    out = process.child.stdout
    until = time.monotonic() + READY_S
    while out is not None and time.monotonic() < until:
        if select.select([out], [], [], 0.2)[0]:
            line = out.readline()
            if b" ready on " in line:
                return True
            if not line:
                process.child.wait(STOP_S)
        if process.child.poll() is not None:
            return False
    raise LinkError("link.deadline", peer=process.party, seconds=READY_S, step="start of the server")
