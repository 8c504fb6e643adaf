"""One run at one holder of a table of many: its own vector, what computing parties announce, one upload, and it may go.

A holder says no hello and waits for no other holder. It fetches the announcement of the run from every computing party,
over channels that show their certificates, makes the run id itself, and goes on only if all of them are about to run
what it has reviewed and approved. Then the run is counted, charged and logged, and only then does a part leave.

There is one upload for each run, in parts that are sealed once: a connection that breaks is tried again with the same
bytes. When the process ends they are gone, and a run id that was seen before is refused, so no vector is ever split
twice under one run. Like ``session.py``, this writes no state; ``node.py`` reserves before and settles after.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from pets.errors import InternalError, LinkError, PeerError, PetsError, RunError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.kernels import prf
from pets.party import announcement, contribute, gate, hello, leaving
from pets.party.drive import Tick
from pets.party.joining import to_agree
from pets.party.play import Entropy
from pets.party.session import Carrier as SessionCarrier
from pets.party.session import Outcome
from pets.party.sources import Table
from pets.plan.review import Reviewed
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.ir import Read
from pets.transport.calls import Uploaded

UPLOAD: Final = "upload"
"""How a receipt and the progress of a run call a part of an upload, which holds several messages of the card."""

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0
"""Between two attempts; each pause is twice as long as the one before."""

AWAY: Final = frozenset({"link.unreachable", "link.cut", "link.deadline", "link.busy", "peer.upload-twice"})
"""What an attempt may end with that is worth another one: nobody has refused anything."""


Given = TypeVar("Given")
Found = TypeVar("Found")


class Collector(Protocol):
    """How a holder reaches computing parties."""

    def announcement(self, peer: PartyId, handle: RunHandle) -> bytes:
        """What a computing party announces of a run. Raises: RunError run.unknown before it has agreed there."""
        ...

    def upload(self, peer: PartyId, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded:
        """Hand in one part: it is on disk there when this returns. Raises: PeerError peer.repeated if it was before."""
        ...

    def decline(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        """Say that there will be no part. Raises: PeerError peer.uploaded if there was one before."""
        ...

    def take_back(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        """Have a part taken off again that may be there. Raises: PeerError peer.withdraw-late when uploads are over."""
        ...


class Carrier(SessionCarrier, Collector, Protocol):
    """How a party's sessions reach the others, whatever their part in a run is."""


class HolderSession:
    """A run at a holder, from its start to its last part. ``hello_body`` is empty: a holder says none.

    ``stop`` and ``withdraw`` may be called by any thread, ``run`` is called once. ``agreed`` is called with the run id
    when every computing party has announced what this holder has approved, before any part is made; it may refuse.
    """

    hello_body: Final = b""
    sets: Final[Mapping[str, Mapping[str, str]]] = {}

    def __init__(
        self,
        reviewed: Reviewed,
        party: PartyId,
        handle: RunHandle,
        *,
        collector: Collector,
        bring: Callable[[Read], Table],
        result_hello: bytes,
        entropy: Entropy,
        run_s: float,
        tick: Tick,
        cover: SpecDigest | None = None,
        check: Callable[[], None] = lambda: None,
        agreed: Callable[[bytes], None] = lambda run_id: None,
    ) -> None:
        self.reviewed: Final = reviewed
        self.party: Final = party
        self.handle: Final = handle
        self._collector, self._bring, self._tick = collector, bring, tick
        self._check, self._agreed = check, agreed
        self._own_agreed = to_agree(reviewed, None, cover)
        self._result_hello = result_hello
        hello.compare(
            self._own_agreed,
            hello.read(result_hello, peer=hello.RESULT_ENDPOINT).agreed,
            peer=hello.RESULT_ENDPOINT,
        )
        self._computing: Final = reviewed.spec.computing
        self._seed = Secret(entropy(16))
        self._drawn = prf.Stream(Secret(entropy(16)))
        self._opening = Secret(entropy(32))
        self._until = time.monotonic() + run_s
        self._uploading_s: Final = contribute.upload_s(reviewed.plan) + run_s
        self._changed = threading.Condition()
        self._stopped: PetsError | None = None
        self._over = self._failed = False
        self.told = False
        """A part may have left, so a result may come about without anything more from this party."""
        self._step = ""

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """Nobody: computing parties say hello to each other alone, and ask no holder how its run ended."""
        return ()

    @property
    def step(self) -> str:
        return self._step

    @property
    def sent(self) -> bool:
        """All parts are there."""
        return self._over

    def refused(self, error: PetsError) -> str:
        """A holder takes no message in."""
        return ""

    def take_hello(self, peer: PartyId, body: bytes) -> None:
        """Raises: PeerError peer.hello."""
        raise PeerError("peer.hello", peer=peer)

    def await_end(self) -> None:
        """Raises: RunError run.unknown: nobody waits for a holder."""
        raise RunError("run.unknown", handle=self.handle)

    def peer_ended(self, peer: PartyId, code: str) -> None:
        """A computing party has ended the run, for ``code``."""
        self.stop(PeerError("peer.aborted", peer=peer, reason=code))

    def stop(self, error: PetsError) -> None:
        """End this holder's part: no part leaves after the one that is under way. Too late, it does nothing."""
        with self._changed:
            if not self._over and self._stopped is None:
                self._stopped = error
            self._changed.notify_all()

    def withdraw(self, error: PetsError) -> bool:
        """``stop``, and what this party decides comes before what others have said: it has its parts taken back.

        Returns: whether parts may be left of which nobody is told when this session ends, or was told when it did. That
                 is so once all are where they belong, or others have said that the run is over, who may have lied.
        """
        with self._changed:
            own = self._stopped is not None and leaving.ended(self.party, self._stopped)
            if self._over or self._failed:
                return self.sent or (self.told and not own)
            if self._stopped is None or (not own and leaving.ended(self.party, error)):
                self._stopped = error
            self._changed.notify_all()
            return False

    def run(self) -> Outcome:
        """Read, wait for the announcement, be charged, upload. Raises what ended it, first of all."""
        try:
            return self._run()
        except PetsError as met:
            cause = self._fail(met)
            if cause is met:
                raise
            raise cause from met
        except BaseException:
            self._fail(InternalError("internal.bug", where=self.party))
            raise

    def _fail(self, error: PetsError) -> PetsError:
        """The end, and no good one. Returns: what ended it, which nothing changes any more."""
        with self._changed:
            self._stopped, self._failed = self._stopped or error, True
            self._changed.notify_all()
            return self._stopped

    def _run(self) -> Outcome:
        plan = self.reviewed.plan
        values = contribute.vector(plan, self._bring(plan.reads[0]), prf.Stream(self._seed))
        self._tick("records", 0, 0.0)
        announced = self._announced()
        self._tick("announcement", 0, 0.0)
        self._may_go_on()
        self._agreed(announced.run_id)
        self._may_go_on()
        self._until = time.monotonic() + self._uploading_s
        tied = Binding(digest=bytes.fromhex(self.reviewed.digest), run_id=announced.run_id)
        publics = {party: each.upload for party, each in announced.hellos.items()}
        parts = contribute.parts(plan, self.party, values, tied=tied, drawn=self._drawn, publics=publics)
        del values
        self._step = UPLOAD
        sent = self._all(lambda part: self._upload(announced.run_id, part), parts)
        with self._changed:
            if self._stopped is not None:  # while the last parts were on their way: they are to come back
                raise self._stopped
            self._over = True
        return Outcome(announced.run_id, tuple(sent), self._opening)

    # -- the announcement ---------------------------------------------------------------------------------------------

    def _announced(self) -> announcement.Announced:
        """What all computing parties announce, once all do: held against what this holder has reviewed.

        Raises: PeerError peer.announcement, peer.hello, peer.upload-late if one of them takes uploads no more;
                RunError run.other-*; LinkError of who stayed away.
        """
        said = dict(self._all(self._ask, self._computing))
        found = announcement.check(said, self._own_agreed, self._computing)
        if found.result.body != self._result_hello:
            problem = "has another hello of the result party than the one that it was started with here"
            raise PeerError("peer.announcement", peer=self._computing[0], problem=problem)
        if found.closed:
            raise PeerError("peer.upload-late", peer=self.party)
        return found

    def _ask(self, peer: PartyId) -> tuple[PartyId, announcement.Announcement]:
        """What one computing party announces; before all of them have agreed it knows no such run."""
        body = self._again(lambda: self._collector.announcement(peer, self.handle), AWAY | {"run.unknown"})
        return peer, announcement.decode(body, peer=peer)

    # -- the upload ---------------------------------------------------------------------------------------------------

    def _upload(self, run_id: bytes, part: contribute.Part) -> gate.Sent:
        """Hand in one part, again and again until it is there. An answer that was lost shows as a part that repeats."""
        attempts = 0

        def attempt() -> None:
            nonlocal attempts
            attempts += 1
            self._check()
            self.told = True
            try:
                took = self._collector.upload(part.to, self.handle, run_id, part.body)
            except PeerError as error:
                if error.code != "peer.repeated" or attempts == 1:
                    raise
                return
            if took.sha256 != part.sha256:
                raise PeerError("peer.answer", peer=part.to, problem="the digest of another part than was handed in")

        began = time.perf_counter()
        self._again(attempt, AWAY)
        self._tick(UPLOAD, len(part.body), time.perf_counter() - began)
        column = self._computing.index(part.to)
        hidden = gate.opened_by(self._opening, UPLOAD, column)
        return gate.Sent(UPLOAD, column, part.to, len(part.body), gate.told_of(hidden, memoryview(part.body)))

    # -- small things -------------------------------------------------------------------------------------------------

    def _all(self, act: Callable[[Given], Found], given: Sequence[Given]) -> list[Found]:
        """Act on each, side by side. Raises: the first error; the others go no further than their next attempt."""
        with ThreadPoolExecutor(len(given), thread_name_prefix=UPLOAD) as side_by_side:
            doing: list[Future[Found]] = [side_by_side.submit(self._guarded, act, each) for each in given]
        return [each.result() for each in doing]

    def _guarded(self, act: Callable[[Given], Found], each: Given) -> Found:
        try:
            return act(each)
        except PetsError as error:
            self.stop(error)
            raise self._stopped or error from error
        except BaseException:
            self.stop(InternalError("internal.bug", where=self.party))
            raise

    def _again(self, attempt: Callable[[], Found], away: frozenset[str]) -> Found:
        """Try until it works, the time is up, or it fails with something else than ``away``."""
        pause = FIRST_PAUSE_S
        while True:
            self._may_go_on()
            try:
                return attempt()
            except PetsError as error:
                if error.code not in away or time.monotonic() + pause > self._until:
                    raise
            with self._changed:
                self._changed.wait_for(lambda: self._stopped is not None, pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _may_go_on(self) -> None:
        if self._stopped is not None:
            raise self._stopped
        if time.monotonic() > self._until:
            raise LinkError("link.deadline", peer=self.party, seconds=self._uploading_s, step="the upload")
        self._check()
