"""Party servers in processes of their own, as benchmarks of protocols take them."""

import datetime as dt
import gc
import multiprocessing
import resource
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from pets.ids import PartyId
from pets.party.config import Directory, DirectoryParty
from pets.party.identity import Authority, make_credentials
from pets.party.server import Server, keep_memory
from pets.secret import Secret
from pets.transport.grpc import Address, Credentials, Dialler, GrpcLink
from pets.transport.mailbox import Exchange

_END_S = 20

Dial = Callable[[str, bytes, Sequence[str]], GrpcLink]
"""From a party's name in a run, the run id and its peers to a link."""


@contextmanager
def started(party: Callable[..., None], names: Sequence[str]) -> Iterator[list[Any]]:
    """Start ``party(pipe, number, folder, certificate, key, ca)`` for each name; gives a pipe to each, in their order.

    Each sends its port and is sent everybody's (``connected``). At the end each is sent None and has 20 seconds;
    ``folder``, which they share, is deleted after that.
    """
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create("benchmark", now=now)
    spawn = multiprocessing.get_context("spawn")
    pipes, children = [], []
    with tempfile.TemporaryDirectory() as folder:
        for me, name in enumerate(names):
            own = make_credentials(authority, PartyId(name), san_of(name), now=now)
            pipe, far = spawn.Pipe()
            given = (far, me, folder, own.certificate, own.key.expose("give it to the child"), own.ca)
            child = spawn.Process(target=party, args=given, daemon=True)
            child.start()
            pipes.append(pipe)
            children.append(child)
        ports = {name: pipe.recv() for name, pipe in zip(names, pipes, strict=True)}
        for pipe in pipes:
            pipe.send(ports)
        yield pipes
        for pipe, child in zip(pipes, children, strict=True):
            pipe.send(None)
            child.join(_END_S)


@contextmanager
def connected(
    pipe: Connection, names: Sequence[str], certificate: bytes, key: bytes, ca: bytes, *, deadline_s: float
) -> Iterator[Dial]:
    """In one of these processes: its server listens, and it dials the others. Whoever calls opens runs itself."""
    keep_memory()
    credentials = Credentials(certificate, Secret(key), ca)
    directory = Directory(tuple(DirectoryParty(name=n, organisation=n, san=san_of(n)) for n in names), ca=ca)
    node: Any = _Node()
    server = Server(node, directory, credentials, "127.0.0.1:0")
    pipe.send(server.start())
    ports: Mapping[str, int] = pipe.recv()
    addresses = {PartyId(name): Address(f"127.0.0.1:{ports[name]}", san_of(name)) for name in names}
    dialler = Dialler(credentials, addresses)
    gc.freeze()  # as party servers do

    def dial(me: str, run: bytes, peers: Sequence[str]) -> GrpcLink:
        return GrpcLink(PartyId(me), run, list(map(PartyId, peers)), dialler, node.exchange, deadline_s=deadline_s)

    yield dial
    server.stop()
    dialler.close()


def san_of(party: str) -> str:
    return f"spiffe://benchmark.example/{party}"


def used() -> float:
    """Seconds of processor time of this process."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


def peak_mb() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class _Node:
    """Only an exchange."""

    def __init__(self) -> None:
        self.exchange = Exchange()
