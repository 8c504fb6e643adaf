"""The same deployment over real servers on loopback, all in this process: mutual TLS, frames, calls, refusals."""

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pets.ids import PartyId
from pets.party.config import Directory, DirectoryParty
from pets.party.identity import Authority, make_credentials
from pets.party.lifecycle import Outside
from pets.party.main import GrpcCarrier
from pets.party.node import PartyNode
from pets.party.server import Server
from pets.transport.grpc import Address, Dialler, ResultLink
from pets.transport.link import Link
from pets.transport.mailbox import Exchange
from pets.transport.remote import Remote
from tests.party.by_hand import HandRun
from tests.party.pool_world import PoolWorld
from tests.party.world import ANALYST, STRANGER

NOW = dt.datetime.now(dt.UTC)


class _Late:
    """A carrier that is there before its dialler is: addresses are known when all servers listen."""

    inner: GrpcCarrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class LoopbackWorld(PoolWorld):
    """``servers`` listen once ``listen`` was called; parties reach each other through them."""

    def __init__(self, folder: Path, toml: str, frames: Any, **options: Any) -> None:
        self.carriers: dict[PartyId, _Late] = {}
        self.exchanges: dict[PartyId, Exchange] = {}
        self.listening: dict[PartyId, Server] = {}
        self.diallers: dict[PartyId, Dialler] = {}
        super().__init__(folder, toml, frames, **options)
        authority = Authority.create("loopback", now=NOW)
        everybody = (*self.servers, ANALYST, STRANGER)
        credentials = {party: make_credentials(authority, party, _san(party), now=NOW) for party in everybody}
        known = tuple(
            DirectoryParty(name=party, organisation=str(party), san=_san(party)) for party in (*self.servers, ANALYST)
        )
        directory = Directory(known, ca=authority.certificate)
        ports = {}
        for party in self.servers:
            self.listening[party] = Server(self.nodes[party], directory, credentials[party], "127.0.0.1:0")
            ports[party] = Address(f"127.0.0.1:{self.listening[party].start()}", _san(party))
        for party in everybody:
            self.diallers[party] = Dialler(credentials[party], ports)
        for party in self.servers:
            self.carriers[party].inner = GrpcCarrier(party, self.diallers[party], self.exchanges[party], 60.0)

    def open(self, party: PartyId) -> PartyNode:
        node = super().open(party)
        self.carriers[party], self.exchanges[party] = _Late(), Exchange()
        node.runs._outside = Outside(
            self.carriers[party],  # type: ignore[arg-type]
            os.urandom,
            self.consoles[party].append,
            self.exchanges[party],
        )
        return node

    def remote(self, party: PartyId, caller: PartyId) -> Remote:
        return Remote(self.diallers[caller], party)

    def close(self) -> None:
        super().close()
        for dialler in self.diallers.values():
            dialler.close()
        for server in self.listening.values():
            server.stop(0.0)


class LoopbackRun(HandRun):
    """A run whose holders and client use the network."""

    world: LoopbackWorld

    def server(self, party: PartyId, caller: PartyId) -> Any:
        return self.world.remote(party, caller)

    def link(self, run_id: bytes) -> Link:
        computing: Sequence[PartyId] = self.reviewed.spec.computing
        return ResultLink(ANALYST, run_id, computing, self.world.diallers[ANALYST], 60.0)


def _san(party: str) -> str:
    return f"spiffe://loopback.example/{party}"
