"""The holders of a run of sums over one table, as its client reaches them: started side by side, asked again, named.

There may be hundreds. Each is started by the same request as computing parties, has nothing to wait for but what these
announce, and is gone when it has handed in its upload. Whoever cannot be reached is tried again until uploads are over;
whoever refuses is left out with the code of its refusal. Neither ends the run.
"""

import heapq
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pets.approve import approvals
from pets.errors import CODES, LinkError, PetsError, public_code
from pets.ids import PartyId
from pets.participation import SENT
from pets.transport.calls import Event, StartRequest

if TYPE_CHECKING:
    from pets.network import Server

THREADS: Final = 32
"""Holders that are dealt with at one time."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
"""Between two attempts at one holder; each pause is twice as long as the one before."""

TURN_S: Final = 60.0
"""How long one holder is watched at a time: who takes longer waits for its next turn, and keeps nobody from theirs."""

STOP_S: Final = 1.0
"""How long calls that are under way when the run is stopped may take to come back."""

AWAY: Final = frozenset({"link.unreachable", "link.cut", "link.deadline", "link.busy", "run.busy"})
"""What an attempt may end with that is worth another one."""


def apart(act: Callable[..., Any], *args: Any) -> Future[Any]:
    """Call in a thread of its own that does not keep the process from ending."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(act(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def failing(act: Callable[[PartyId], None], parties: Sequence[PartyId]) -> dict[PartyId, PetsError]:
    """Do the same for each of many parties, some at one time. Returns: what went wrong, by party, in their order."""

    def attempt(party: PartyId) -> PetsError | None:
        try:
            act(party)
        except PetsError as error:
            return error
        return None

    with ThreadPoolExecutor(THREADS, thread_name_prefix="holders") as side_by_side:
        found = zip(parties, side_by_side.map(attempt, parties), strict=True)
        return {party: error for party, error in found if error is not None}


@dataclass(slots=True, repr=False)
class Holder:
    """What is known of one holder. ``code``: how its part ended, None as long as it has not."""

    party: PartyId
    code: str | None = None
    tried: str | None = None
    """How the last attempt ended that is made again."""
    asked: bool = False
    """It may have been started: it was asked to."""
    started: bool = False
    """It has said that it was."""
    receipt: bytes | None = None
    approvals: tuple[bytes, ...] = ()
    pause_s: float = 0.0
    """How long it is left alone before the next attempt."""


class Gathering:
    """Starts the holders of a run, in threads that do not keep the process from ending."""

    def __init__(
        self,
        servers: "Mapping[PartyId, Server]",
        holders: Sequence[PartyId],
        request: StartRequest,
        *,
        seconds: float,
        within: str = "",
        tell: Callable[[PartyId, Event], None] = lambda party, event: None,
    ) -> None:
        self._servers, self._request, self._tell, self._within = servers, request, tell, within
        self._until = time.monotonic() + seconds
        self._holders = {party: Holder(party, pause_s=FIRST_PAUSE_S) for party in holders}
        self._due = [(0.0, number, party) for number, party in enumerate(holders)]
        self._numbered = len(self._due)
        self._busy = 0
        self._closed = False
        self._last = 0
        """Once uploads are over: holders who were asked to start and are asked once more what became of it."""
        self._changed = threading.Condition()
        for _ in range(min(THREADS, len(holders))):
            threading.Thread(target=self._work, daemon=True, name="holders").start()

    def close(self, wait_s: float) -> Mapping[PartyId, Holder]:
        """Uploads are over: start nobody more, wait a moment for those who were asked to start, and say what is known.

        Returns: every holder; with a receipt and its approvals if it has handed in its upload and said so.
        """
        until = time.monotonic() + wait_s
        with self._changed:
            if self._closed:
                return self._holders
            self._closed = True
            self._due = [(0.0, number, party) for _, number, party in self._due if self._holders[party].asked]
            self._last = len(self._due)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._busy and not self._last, max(0.0, until - time.monotonic()))
        return self._holders

    def stop(self) -> None:
        """End the run at every holder that may have been started and has not ended, as far as they can be reached."""
        with self._changed:
            self._closed = True
            self._last = 0
            going = [each.party for each in self._holders.values() if each.asked and each.code is None]
            self._changed.notify_all()
        work = [threading.Thread(target=self._stop, args=(going[n::THREADS],), daemon=True) for n in range(THREADS)]
        for each in work:
            each.start()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, STOP_S)

    @property
    def sent(self) -> int:
        """How many holders have said that they handed in their uploads."""
        return sum(each.code == SENT for each in self._holders.values())

    @property
    def away(self) -> dict[PartyId, str]:
        """Of each holder what is known of the reason why it does not count, if it does not."""
        codes = ((each.party, each.tried if each.code is None else each.code) for each in self._holders.values())
        return {party: code for party, code in codes if code is not None}

    # -- one after another --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (holder := self._next()) is not None:
            again = False
            try:
                again = self._deal(holder)
            finally:
                with self._changed:
                    self._busy -= 1
                    if again and not self._closed:
                        self._numbered += 1
                        heapq.heappush(self._due, (time.monotonic() + holder.pause_s, self._numbered, holder.party))
                        holder.pause_s = min(2 * holder.pause_s, LONGEST_PAUSE_S)
                    self._changed.notify_all()

    def _next(self) -> Holder | None:
        """The holder whose turn it is; None if there is nothing more to do."""
        with self._changed:
            while not self._closed and (self._due or self._busy):
                now, due = time.monotonic(), self._due[0][0] if self._due else None
                if due is not None and due <= now and (now < self._until or not due):  # 0: it was never tried
                    self._busy += 1
                    return self._holders[heapq.heappop(self._due)[2]]
                self._changed.wait(None if due is None or now >= self._until else max(0.0, due - now))
            if self._closed and self._last:
                self._last -= 1
                self._busy += 1
                return self._holders[self._due[self._last][2]]
        return None

    def _deal(self, holder: Holder) -> bool:
        """Start a holder, or go on watching one that was started. Returns: whether to try again later."""
        if (server := self._servers.get(holder.party)) is None:
            holder.code = "link.unreachable"
            return False
        try:
            if not holder.started:
                before, holder.asked = holder.asked, True
                self._start(server, asked=before)
                holder.started = True
            self._follow(holder, server)
        except PetsError as error:
            code = public_code(error)
            if holder.code is not None:  # its part is over; only papers of it are missing
                return False
            if code in AWAY:
                holder.tried = code
                return True
            holder.code = code
        return False

    def _start(self, server: "Server", *, asked: bool) -> None:
        try:
            server.start(self._request)
        except PetsError as error:
            if not (asked and error.code == "run.handle-used"):  # else it had begun, and its answer was lost
                raise

    def _follow(self, holder: Holder, server: "Server") -> None:
        """Watch a holder's part to its end, then fetch its receipt, and the approvals that the receipt may name."""
        try:
            over = time.monotonic() + TURN_S
            for event in server.watch(self._request.handle, TURN_S):
                self._tell(holder.party, event)
                if event.kind == "end" and event.code:
                    holder.code = event.code if event.code in CODES else "peer.answer"  # it may write what it likes
                    return
                if event.kind != "end" and time.monotonic() > over:
                    raise LinkError("link.deadline", peer=holder.party, seconds=TURN_S, step="its upload")
        except PetsError as error:
            if error.code != "run.unknown":  # it was restarted: what it has signed is still there
                raise
        try:
            holder.receipt = server.receipt(self._request.handle)
        except PetsError as error:
            if error.code not in ("run.no-receipt", "run.unknown"):
                raise
            holder.code = "run.crashed"
            return
        holder.code = SENT
        files = server.evidence(self._request.digest).files
        bodies = (body for name, body in files if name.startswith(f"{self._within}approvals/"))
        holder.approvals = tuple(body for body in bodies if approvals.claim_of(body).party == holder.party)

    def _stop(self, parties: Sequence[PartyId]) -> None:
        for party in parties:
            try:
                self._servers[party].stop(self._request.handle)
            except PetsError:
                continue
