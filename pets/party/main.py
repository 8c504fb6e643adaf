"""Put a party's server together from its configuration: state, node, the way to its peers, the listening door."""

import datetime as dt
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pets.errors import ConfigError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import postgres, sources
from pets.party.config import STATE_FILE, PartyConfig, read_config
from pets.party.database import Postgres, PostgresSource
from pets.party.files import FileSource
from pets.party.lifecycle import Outside, Settings
from pets.party.node import PartyNode
from pets.party.runs import Console
from pets.party.server import keep_memory, serve
from pets.party.state import State
from pets.party.warm import prepare_checks, prepare_kernels, prepare_sums, prepare_vectors
from pets.spec.pools import POOLS
from pets.spec.ways import WAYS
from pets.transport.calls import Uploaded
from pets.transport.grpc import Dialler, GrpcLink
from pets.transport.link import Link
from pets.transport.mailbox import Exchange
from pets.transport.remote import Remote

SNAPSHOTS = "snapshots"
LOCK_FILE = "serving"


@dataclass(frozen=True, slots=True)
class GrpcCarrier:
    """How a party's sessions reach the others: hellos and frames over its own dialler, the client's at its exchange."""

    me: PartyId
    dialler: Dialler
    exchange: Exchange
    run_s: float

    def hello(self, peer: PartyId, handle: RunHandle, body: bytes) -> None:
        Remote(self.dialler, peer).hello(handle, body)

    def conclude(self, peer: PartyId, handle: RunHandle, deadline_s: float) -> None:
        Remote(self.dialler, peer).conclude(handle, deadline_s)

    def abort(self, peer: PartyId, run_id: bytes, code: str) -> None:
        self.dialler.tell_abort(peer, run_id, code)

    def announcement(self, peer: PartyId, handle: RunHandle) -> bytes:
        return Remote(self.dialler, peer).announcement(handle)

    def upload(self, peer: PartyId, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded:
        return Remote(self.dialler, peer).upload(handle, run_id, part)

    def decline(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        Remote(self.dialler, peer).decline(handle, digest)

    def take_back(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        Remote(self.dialler, peer).withdraw(handle, digest)

    def link(
        self, run_id: bytes, peers: Sequence[PartyId], result: PartyId, collector: PartyId, *, keeps: bool
    ) -> Link:
        return GrpcLink(
            self.me,
            run_id,
            peers,
            self.dialler,
            self.exchange,
            collectors={result: collector},
            deadline_s=self.run_s,
            keeps=keeps,
        )


def open_node(config: PartyConfig, *, console: Console) -> PartyNode:
    """The node of a configuration, on its state folder. ``close`` it to flush the log."""
    snapshots = config.state / SNAPSHOTS
    state = state_of(config.state)
    snapshots.mkdir(mode=0o700, exist_ok=True)
    exchange = Exchange()
    dialler = Dialler(config.credentials, config.directory.addresses())
    return PartyNode(
        config.name,
        directory=config.directory,
        policy=config.policy,
        signing=config.signing_key,
        state=State(state),
        folder=snapshots,
        datasets=config.datasets,
        outside=Outside(
            GrpcCarrier(config.name, dialler, exchange, float(config.limits.run_s)), os.urandom, console, exchange
        ),
        settings=Settings(
            deadline_s=float(config.limits.step_s),
            run_s=float(config.limits.run_s),
            max_live=config.limits.runs,
            max_open=config.limits.uploads,
        ),
    )


def state_of(folder: Path) -> Path:
    """The state file in a folder: the first start makes it.

    Raises: ConfigError config.state if it is gone, or empty, where snapshots show that there was one: a new one has
            nothing spent, no run counted and no release remembered.
    """
    file, snapshots = folder / STATE_FILE, folder / SNAPSHOTS
    if not (file.exists() and file.stat().st_size) and snapshots.is_dir() and any(snapshots.iterdir()):
        advice = "restore a copy and hold its log against receipts (pets party log); to begin anew, empty the folder"
        raise ConfigError(
            "config.state", file=file.name, problem="it is gone, and its snapshots are here", advice=advice
        )
    return file


def serve_party(
    config_file: Path, *, console: Console, datasets: Mapping[str, FileSource] = MappingProxyType({})
) -> None:
    """``pets party serve``: read the configuration, warm up, serve until told to stop.

    ``datasets``: files that are brought in the place of what the configuration names.
    """
    keep_memory()
    config = read_config(config_file, now=dt.datetime.now(dt.UTC))
    config = replace(config, datasets={**config.datasets, **datasets})
    with alone(config.state):
        prepare_kernels()
        if intersects(config):
            console("preparing the kernels of intersections (on a new machine this takes a minute)")
            prepare_vectors()
        for name in sums(config):
            prepare_checks() if POOLS[name].checked else prepare_sums()
        sources.warm((config.state / SNAPSHOTS).resolve())
        for line in databases_of(config):
            console(line)
        serve(config, open_node(config, console=console))


def intersects(config: PartyConfig) -> bool:
    """Whether the policy lets this party take part in an intersection of two: a run may not wait for its kernels."""
    return any(name in WAYS and not WAYS[name].helper for name in config.policy.limits.protocols)


def sums(config: PartyConfig) -> tuple[str, ...]:
    """The protocols of sums over one table of many holders that the policy lets this party take part in."""
    return tuple(name for name in config.policy.limits.protocols if name in POOLS)


def databases_of(config: PartyConfig) -> tuple[str, ...]:
    """What an operator should know of the databases that datasets lie in: out of reach, no such table, too many rights.

    None of it keeps a server from starting: records are read when they are frozen, and not before.
    """
    found: dict[str, tuple[Postgres, dict[str, PostgresSource]]] = {}
    for name, source in config.datasets.items():
        if isinstance(source, PostgresSource):
            found.setdefault(source.database.name, (source.database, {}))[1][name] = source
    return tuple(line for database, held in found.values() for line in postgres.look(database, held))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a state folder for one server, until it ends however it ends. Raises: ConfigError config.in-use."""
    with (folder / LOCK_FILE).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError("config.in-use", folder=str(folder)) from None
        yield
