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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pets.approve.envelope import SigningKey, keygen
from pets.errors import ConfigError, LinkError
from pets.ids import PartyId
from pets.party.identity import Authority, approver_entry, directory_entry, init_client, init_party, private_folder
from pets.spec.model import Spec

READY_S: Final = 120.0
STOP_S: Final = 10.0


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


def deploy(folder: Path, spec: Spec, datasets: Mapping[str, Path], *, k: int = 1) -> Deployment:
    """Make the folders of all parties of ``spec`` under ``folder``.

    ``datasets``: the file of each dataset; ``k``: how many of a party's two approvers have to sign.
    """
    now = dt.datetime.now(dt.UTC)
    private_folder(folder)
    authority = Authority.create("pets on one host", now=now)
    endpoints = dict(zip(spec.computing, _free_endpoints(len(spec.computing)), strict=True))
    approvers: dict[PartyId, dict[str, SigningKey]] = {}
    signing: dict[PartyId, str] = {}
    for party in spec.parties:
        name, home = PartyId(party.name), folder / party.name
        if name in endpoints:
            init_party(
                home,
                party.name,
                party.san,
                organisation=party.organisation,
                now=now,
                listen=endpoints[name],
                authority=authority,
            )
            people = {f"{title} of {party.name}": keygen() for title in ("asset owner", "data protection officer")}
            private_folder(home / "approvers")
            for person, key in people.items():
                key.save(home / "approvers" / f"{person.split(' of ')[0].replace(' ', '-')}.pem")
            approvers[name] = people
        else:
            init_client(home, party.name, party.san, organisation=party.organisation, now=now, authority=authority)
        signing[name] = SigningKey.load(home / "keys" / "signing.pem").text
    directory = _directory(spec, endpoints, signing, approvers)
    for party in spec.parties:
        home = folder / party.name
        _rewrite(home / "directory.toml", directory)
        if PartyId(party.name) in endpoints:
            _rewrite(home / "policy.toml", policy_toml(spec, PartyId(party.name), approvers[PartyId(party.name)], k))
            own = {d.name: datasets[d.name] for d in spec.datasets if d.party == party.name}
            _add_datasets(home / "party.toml", own)
    return Deployment(folder, spec, endpoints, approvers)


def policy_toml(spec: Spec, party: PartyId, approvers: Mapping[str, SigningKey], k: int) -> str:
    """A policy that allows what ``spec`` asks of ``party`` for as many runs as it may have, and nothing else."""
    people = ",\n".join(
        f"  {{ name = {_text(name)}, role = {_text(name.split(' of ')[0])}, key = {_text(key.text)},"
        f" organisation = {_text(spec.party(party).organisation)} }}"
        for name, key in approvers.items()
    )
    recipients = ", ".join(_text(spec.party(name).san) for name in spec.release.to)
    purposes = ", ".join(map(_text, spec.purpose.dpv))
    lines = [
        f"party = {_text(party)}",
        "[approval]",
        f"k = {k}",
        f"approvers = [\n{people},\n]",
        "[limits]",
        'max_epsilon_per_run = "1000"',
        'max_epsilon_per_dataset = "1000000"',
        'max_delta = "2^-10"',
        'period = "year"',
        f"recipients = [{recipients}]",
        f"purposes = [{purposes}]",
        'protocols = ["helper_join_a"]',
        'adversaries = ["semi-honest"]',
    ]
    for dataset in spec.datasets:
        if dataset.party == party:
            lines.append(f"[columns.{dataset.name}]")
            for name, column in dataset.columns.items():
                rule = "join key" if column.role == "person id" else "any use"
                lines.append(f"{name} = [{_text(rule)}]")
    return "\n".join(lines) + "\n"


def _directory(
    spec: Spec,
    endpoints: Mapping[PartyId, str],
    signing: Mapping[PartyId, str],
    approvers: Mapping[PartyId, Mapping[str, SigningKey]],
) -> str:
    parts = []
    for party in spec.parties:
        name = PartyId(party.name)
        parts.append(
            directory_entry(
                party.name,
                organisation=party.organisation,
                san=party.san,
                endpoint=endpoints.get(name),
                signing_key=signing[name],
            )
        )
        parts += [
            approver_entry(person, key=key.text, organisation=party.organisation)
            for person, key in approvers.get(name, {}).items()
        ]
    return "\n".join(parts)


def _add_datasets(file: Path, datasets: Mapping[str, Path]) -> None:
    text = file.read_text(encoding="utf-8")
    tables = "".join(f"\n[datasets.{name}]\nfile = {_text(str(path.resolve()))}\n" for name, path in datasets.items())
    _rewrite(file, text + tables)


def _rewrite(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


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
    """A party server as a child process. Its own console goes to ``console.log`` in its folder."""

    party: PartyId
    child: subprocess.Popen[bytes]
    console: IO[bytes] = field(repr=False)

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
    command = [sys.executable, "-m", "pets.cli", "party", "serve", "--config", str(deployment.config(party))]
    environment = dict(os.environ) | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=console, stdin=subprocess.DEVNULL, env=environment)
    return Process(party, child, console)


def wait_ready(process: Process, deployment: Deployment) -> None:
    """Wait for the line that says it listens. Raises: ConfigError with the end of its console if it ends before."""
    out = process.child.stdout
    until = time.monotonic() + READY_S
    line = b""
    while out is not None and time.monotonic() < until:
        if select.select([out], [], [], 0.2)[0]:
            line = out.readline()
            if b" ready on " in line:
                return
            if not line:
                break
        if process.child.poll() is not None:
            break
    said = (deployment.folder / process.party / "console.log").read_text(encoding="utf-8", errors="replace")
    if process.child.poll() is not None:
        raise ConfigError("config.local", problem=f"the server of {process.party} ended at once: {said[-500:].strip()}")
    raise LinkError("link.deadline", peer=process.party, seconds=READY_S, step="start of the server")
