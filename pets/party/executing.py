"""One run of a program for MPyC at one party: the process apart, its frames over the run's link, then what it gave.

All that a program may send is in its terms, and in the card's streams under the plan's numbers. The two are held
against each other; the process, the link and the reading of frames are held to both.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pets.errors import InternalError, PeerError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import execution, gate, hello
from pets.party.attendance import Attendance
from pets.party.drive import Tick
from pets.party.joining import to_agree
from pets.party.mpyc_relay import Relay
from pets.party.play import U64, Begun
from pets.party.session import Session
from pets.party.sources import Table
from pets.plan.review import Reviewed
from pets.protocols.base import Role
from pets.spec.ir import Read
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_terms import Budget
from pets.transport.link import Link


class ProgramPlay:
    """A ``pets.party.play.Play``. ``bring`` reads this party's rows for a step of the plan.

    The program itself runs before the first message, in a process apart (``ProgramSession``); the role then sends what
    it gave.
    """

    upload = b""
    found: U64 | None = None
    contributors: Attendance | None = None
    spared: frozenset[PartyId] = frozenset()

    def __init__(self, reviewed: Reviewed, party: PartyId, bring: Callable[[Read], Table]) -> None:
        if reviewed.program is None or reviewed.plan.program is None:
            raise InternalError("internal.bug", where="a plan of something else than a program")
        self.program: Final = reviewed.program
        self.step: Final = reviewed.plan.program
        self._reviewed, self._party, self._bring = reviewed, party, bring
        self.brought: execution.Numbers = {}
        self.released: Mapping[str, Sequence[int]] = {}

    def agreed(self, cover: SpecDigest | None) -> hello.Agreed:
        return to_agree(self._reviewed, None, cover)

    def ahead(self, tick: Tick) -> None:
        self.brought = execution.numbers_of(self._reviewed.plan, self.step, self._party, self._bring)
        if self.brought:
            tick("records", 0, 0.0)

    def begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        """The session runs the program, which needs its link."""

    def patience(self, deadline_s: float, turn: int) -> float:
        return deadline_s

    def role(self, begun: Begun) -> Role[None]:
        return execution.handed(self.step.terms, self.released)

    def close(self) -> None:
        self.brought, self.released = {}, {}


class ProgramSession(Session):
    """A ``Session`` that runs a program between agreement and the first message. ``bring``: reads this party's rows."""

    _play: ProgramPlay

    def __init__(
        self,
        reviewed: Reviewed,
        party: PartyId,
        handle: RunHandle,
        *,
        bring: Callable[[Read], Table],
        **given: Any,
    ) -> None:
        super().__init__(reviewed, party, handle, play=ProgramPlay(reviewed, party, bring), **given)
        self._relay: Relay | None = None
        self._executing = False

    @property
    def step(self) -> str:
        """Where this party stands: while the program runs at the stream, whose messages no plan lists."""
        return self._flows[0].label if self._executing else super().step

    @property
    def _flows(self) -> tuple[gate.Flow, ...]:
        """The streams that this party has with each other one."""
        return gate.project_streams(self.reviewed.plan, self._roles, self._role)

    def _allow(self, begun: Begun, link: Link) -> None:
        play = self._play
        budgets = {flow.peer: Budget(flow.frames, flow.bytes) for flow in self._flows}
        if budgets != dict.fromkeys(self._peers, play.step.terms.budget):
            raise InternalError("internal.bug", where="a program's terms and its streams")
        self._relay = Relay(
            play.program.terms,
            self.party,
            approved=terms_digest(play.step.terms),
            source=play.program.source.text,
            own=play.brought,
            link=link,
            families={peer: begun.keys[str(peer)] for peer in self._peers},
            opening=self._opening,
            deadline_s=max(1.0, self._until - time.monotonic()),
            check=self._may_go_on,
        )
        self._relay.expect()

    def _begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        super()._begin(begun, may_act)
        if self._relay is None:
            raise InternalError("internal.bug", where="a program before its peers are let in")
        may_act()  # counted and charged, on disk, before a share of any record leaves
        self.told = self._executing = True  # from here on the others may have all that they need
        began = time.perf_counter()
        try:
            self._play.released = self._relay.run()
        except PeerError as error:
            if error.code == "peer.program":  # of a frame inside the stream, which has no number of its own
                raise PeerError(error.code, **{**error.fields, "label": self.step}) from error
            raise
        sent = sum(size for _, size in self._relay.sent.values())
        self._tick(execution.STEP, sent, time.perf_counter() - began)
        self._executing = False

    def _sent(self, passage: gate.Gate) -> tuple[gate.Sent, ...]:
        return (*(() if self._relay is None else self._relay.receipt), *super()._sent(passage))
