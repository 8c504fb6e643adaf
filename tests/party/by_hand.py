"""Runs of sums over one table whose holders and client are played by hand, so that a test says who does what, when."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pets.ids import PartyId, RunHandle, SpecDigest
from pets.kernels.prf import Stream
from pets.party import announcement, contribute, gate, hello, totals
from pets.party.announcement import Announced
from pets.party.cast import result_endpoint, roles_of
from pets.party.drive import drive
from pets.party.joining import to_agree
from pets.plan.review import Reviewed
from pets.protocols import secure_sum_shamir
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.pooled import takes_uploads
from pets.transport import frame
from pets.transport.calls import Uploaded
from pets.transport.link import Link
from tests.party.pool_world import PoolWorld
from tests.party.world import ANALYST

I64 = npt.NDArray[np.int64]


class Reached(Protocol):
    """A computing party as a holder reaches it."""

    def announcement(self, handle: RunHandle) -> bytes: ...
    def upload(self, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded: ...
    def decline(self, handle: RunHandle, digest: SpecDigest) -> None: ...
    def withdraw(self, handle: RunHandle, digest: SpecDigest) -> None: ...


class InMemory:
    """A node, called by ``caller``."""

    def __init__(self, world: PoolWorld, party: PartyId, caller: PartyId) -> None:
        self.world, self.party, self.caller = world, party, world.caller(caller)

    def announcement(self, handle: RunHandle) -> bytes:
        return self.world.nodes[self.party].announcement(self.caller, handle)

    def upload(self, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded:
        return self.frames(handle, frame.frames(run_id, frame.UPLOAD, memoryview(part)))

    def decline(self, handle: RunHandle, digest: SpecDigest) -> None:
        self.world.nodes[self.party].decline(self.caller, handle, digest)

    def withdraw(self, handle: RunHandle, digest: SpecDigest) -> None:
        self.world.nodes[self.party].withdraw(self.caller, handle, digest)

    def frames(self, handle: RunHandle, frames: Iterator[bytes]) -> Uploaded:
        return self.world.nodes[self.party].upload(self.caller, handle, frames)


def announced(reviewed: Reviewed, servers: Mapping[PartyId, Reached], handle: RunHandle) -> Announced:
    """What a holder relies on. Raises: whatever the check of it does."""
    computing = reviewed.spec.computing
    said = {party: announcement.decode(servers[party].announcement(handle), peer=party) for party in computing}
    return announcement.check(said, to_agree(reviewed, None), computing)


def sealed(reviewed: Reviewed, party: PartyId, values: I64, run: Announced) -> dict[PartyId, bytes]:
    """A holder's upload: a part for each computing party that takes one. ``values``: its vector, (words,) int64."""
    tied = Binding(digest=bytes.fromhex(reviewed.digest), run_id=run.run_id)
    publics = {name: each.upload for name, each in run.hellos.items()}
    drawn = Stream(Secret(os.urandom(16)))
    made = contribute.parts(reviewed.plan, party, values, tied=tied, drawn=drawn, publics=publics)
    return {part.to: part.body for part in made}


class HandRun:
    """A run of a ``PoolWorld``: started at computing parties, and at nobody else."""

    def __init__(self, world: PoolWorld, reviewed: Reviewed) -> None:
        self.world, self.reviewed = world, reviewed
        self._spared: tuple[PartyId, ...] = ()
        self.handle = RunHandle(os.urandom(16).hex())
        self.hello = hello.make(to_agree(reviewed, None), os.urandom(16), {})
        request = world.request(reviewed, self.hello.body, self.handle)
        for party in reviewed.spec.computing:
            world.nodes[party].start(world.caller(ANALYST), request)

    def server(self, party: PartyId, caller: PartyId) -> InMemory:
        return InMemory(self.world, party, caller)

    def announced(self, by: PartyId) -> Announced:
        """What computing parties announce, as soon as all of them have agreed."""
        servers = {party: self.server(party, by) for party in self.reviewed.spec.computing}
        self.world.wait_for(lambda: all(self.agreed(party) for party in servers))
        return announced(self.reviewed, servers, self.handle)

    @cached_property
    def announced_once(self) -> Announced:
        """The same, for a holder. The result party waits from then on."""
        found = self.announced(contribute.pool_of(self.reviewed.plan).holders[0])
        if contribute.pool_of(self.reviewed.plan).card == secure_sum_shamir.PROTOCOL:
            self.spare()
        return found

    def agreed(self, party: PartyId) -> bool:
        session = self.world.nodes[party].runs._runs[self.handle].session
        return getattr(session, "uploading", False) is True

    def upload(self, board: PartyId, values: I64, to: Sequence[PartyId] = ()) -> dict[PartyId, bytes]:
        """Play a holder: fetch, check, seal, hand in. Returns: its parts."""
        run = self.announced_once
        parts = sealed(self.reviewed, board, values, run)
        for party, body in parts.items():
            if not to or party in to:
                self.server(party, board).upload(self.handle, run.run_id, body)
        return parts

    def decline(self, board: PartyId, to: Sequence[PartyId] = ()) -> None:
        """Play a holder that takes no part."""
        for party in to or takes_uploads(self.reviewed.spec):
            self.server(party, board).decline(self.handle, self.reviewed.digest)

    def withdraw(self, board: PartyId, to: Sequence[PartyId] = ()) -> None:
        """Play a holder that takes its upload back."""
        for party in to or takes_uploads(self.reviewed.spec):
            self.server(party, board).withdraw(self.handle, self.reviewed.digest)

    def spare(self) -> None:
        """Let the result party do without any of the computing parties."""
        self._spared = self.reviewed.spec.computing
        endpoint = result_endpoint(self.reviewed)
        for network in self.world.networks.values():
            network.link(endpoint).spare(self._spared)

    def link(self, run_id: bytes) -> Link:
        endpoint = result_endpoint(self.reviewed)
        return self.world.network(run_id, endpoint).link(endpoint)

    def result(self, run_id: bytes) -> totals.Totals:
        """Play the result party."""
        plan, roles = self.reviewed.plan, roles_of(self.reviewed)
        passage, link = gate.Gate(gate.project_plan(plan, roles, "result")), self.link(run_id)
        link.spare(self._spared)
        sent = drive(totals.take(plan, roles), passage, link, deadline_s=30.0)
        passage.close()
        return totals.again(plan, sent)

    def ended(self, party: PartyId) -> str:
        """How the run has ended at a party, once it has."""
        run = self.world.nodes[party].runs._runs[self.handle]
        self.world.wait_for(lambda: run.events.ended)
        last = run.events._events[-1]
        return last.code or last.name
