"""One run of sums over one table of many holders at one computing party: uploads first, then lists, then one sum.

When computing parties have agreed on a run, each announces it and takes uploads until all holders have uploaded or
declined, or its own time is up, by a clock that nobody can set. Who waits no longer tells nobody: it sends its list,
and the lists of others are waited for as long as they may take uploads. Noise is drawn before anything of an upload is
looked at.

A run that takes uploads may do so for days. It can be stopped meanwhile, ends when an approval is revoked or runs out,
and looks now and then whether its peers still know it. A restart of a server ends it: it is never resumed.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from pets.errors import InternalError, PeerError, PetsError, RunError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.kernels import prf
from pets.kernels.sealed import SpoiltError
from pets.party import announcement, contribute, hello, prepare, warm
from pets.party.attendance import Attendance
from pets.party.cast import role_of
from pets.party.drive import Tick
from pets.party.joining import to_agree, together
from pets.party.play import U64, Begun, Entropy
from pets.party.session import Session
from pets.party.uploads import Expected, Kept, Uploads
from pets.plan.review import Reviewed
from pets.protocols import checked_sum, control, secure_sum, secure_sum_held, secure_sum_shamir
from pets.protocols.base import Binding, Role
from pets.protocols.checked_inputs import Uploads as Proved
from pets.protocols.contributions import Present
from pets.protocols.inbox import Address, SealedWords, Seeds, Words
from pets.secret import Secret
from pets.spec.ir import INPUT, Plan, Pool, Protect
from pets.spec.pools import POOLS
from pets.transport.calls import Uploaded

OPENED: Final = "uploads open"
CLOSED: Final = "uploads"
"""What watchers are told when uploads may come, and when no more are taken."""

LOOK_S: Final = 15.0
"""How often a party that takes uploads looks whether its peers still know the run."""

FIRST_ROUND: Final = 2
LAST_ROUND: Final = 4
"""Of cards of sums: the round after uploads, and the last one between computing parties."""

PAUSE_S: Final = 1.0
"""How often it looks whether its own approval still holds."""

SKEW: Final = 2
"""How many times the longest wait for a message peers may be later with the end of uploads: all have agreed within one
such wait, and a list takes another."""


def prepare_kernels(pool: Pool) -> None:
    """Make the kernels of a protocol ready: on a new machine that takes longer than a run may wait."""
    (warm.prepare_checks if POOLS[pool.card].checked else warm.prepare_sums)()


class Collector(Protocol):
    """How a party reaches what its peers announce."""

    def announcement(self, peer: PartyId, handle: RunHandle) -> bytes:
        """What a peer announces of a run. Raises: RunError run.unknown if it knows no such run."""
        ...


class PoolPlay:
    """A ``pets.party.play.Play``. ``folder``: where parts are stored, for this run alone."""

    found: U64 | None = None

    def __init__(self, reviewed: Reviewed, party: PartyId, entropy: Entropy, folder: Path) -> None:
        plan = reviewed.plan
        self._reviewed, self._folder = reviewed, folder
        self._pool = contribute.pool_of(plan)
        self._shape = contribute.shape_of(plan)
        self._party, self._role = party, role_of(reviewed, party)
        self._holders = {holder: role for role, holder in self._pool.roles if role.startswith(INPUT)}
        self._numbers = {role: number for number, role in enumerate(self._holders.values())}
        self._private = Secret(entropy(32))
        self._noise_seed, self._dealing_seed = Secret(entropy(16)), Secret(entropy(16))
        self._noise: U64 | None = None
        self._tick: Tick = lambda label, size, seconds: None
        self._until: float | None = None
        self.uploads: Uploads | None = None
        """Set as soon as uploads may come, until the run is over; None of a party that gets no part of them."""
        self.over = False
        self.took: frozenset[PartyId] = frozenset()
        """Once the run is over: of whom there was an upload."""
        self._attendance: Attendance | None = None

    @property
    def upload(self) -> bytes:
        return prf.public_key(self._private)

    def agreed(self, cover: SpecDigest | None) -> hello.Agreed:
        return to_agree(self._reviewed, None, cover)

    def ahead(self, tick: Tick) -> None:
        self._tick = tick
        self._noise = noise_of(self._reviewed.plan, prf.Stream(self._noise_seed))

    def begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        """Take uploads until all are here, or until it is too late. Who gets no part of them goes on, and waits."""
        may_act()
        until = time.monotonic() + contribute.upload_s(self._reviewed.plan)
        if self._role not in self._shape.servers:
            self._until = until
            return
        expected = Expected(
            run_id=begun.tied.run_id,
            holders=self._holders,
            to=lambda role: self._address(begun.tied, role),
            private=self._private,
            minimum=self._shape.minimum,
        )
        taking = Uploads(self._folder, expected, partial(self._kept, begun.tied), deadline=until)
        self.uploads, self._until = taking, until  # in this order: who is told of a run finds that it takes uploads
        self._tick(OPENED, 0, 0.0)
        began = time.perf_counter()
        while not taking.wait(PAUSE_S):
            may_act()
        taking.finish()
        self._tick(CLOSED, sum(taking.sizes.values()), time.perf_counter() - began)

    @property
    def contributors(self) -> Attendance | None:
        return self._attendance

    @property
    def left(self) -> float | None:
        """Seconds for which uploads are taken; None before this party has agreed, and when the run is over."""
        return None if self._until is None or self.over else max(0.0, self._until - time.monotonic())

    @property
    def open(self) -> bool:
        """Whether uploads may come now."""
        if (taking := self.uploads) is not None:
            return taking.open
        return bool(self.left)

    @property
    def spared(self) -> frozenset[PartyId]:
        """Of polynomials all peers: any of them may be lost, as long as a quorum is left until they have agreed."""
        if not isinstance(self._shape, secure_sum_shamir.Shape):
            return frozenset()
        return frozenset(party for _, party in self._pool.computing if party != self._party)

    def patience(self, deadline_s: float, turn: int) -> float:
        """Peers may take uploads to the end of their time, which by their clocks may be a little later.

        Where some of them may be lost, others wait for these as well, in every round before: so later rounds wait for
        as many such waits as there may be lost parties, and one more.
        """
        left = 0.0 if self._until is None else max(0.0, self._until - time.monotonic())
        wait = SKEW * deadline_s
        if isinstance(self._shape, secure_sum_shamir.Shape):
            losses = self._shape.computing - self._shape.quorum
            for _ in range(turn - FIRST_ROUND):
                wait = losses * wait + SKEW * deadline_s
        return left + wait

    def require_quorum(self, lost: int) -> None:
        """Hold that computing parties can still agree without so many of them. Raises: RunError run.quorum."""
        if isinstance(self._shape, secure_sum_shamir.Shape):
            got, needed = self._shape.computing - lost, self._shape.quorum
            if got < needed:
                raise RunError("run.quorum", got=got, needed=needed)

    def role(self, begun: Begun) -> Role[None]:
        shape, kept = self._shape, None if self.uploads is None else self.uploads.kept
        if isinstance(shape, secure_sum_held.Shape):
            present = yield from self._held(shape, begun, kept)
            if kept is not None:  # the third hears nothing of uploads
                self._attend(present)
            return
        if kept is None or self._noise is None:
            raise InternalError("internal.bug", where="a sum before its uploads")
        unproved: Present | None = None
        if isinstance(shape, checked_sum.Shape):
            found = yield from self._proved(shape, begun, kept, self._noise)
            present, unproved = found.present, found.unproved
        elif isinstance(kept, Proved):
            raise InternalError("internal.bug", where="uploads of another kind")
        elif isinstance(shape, secure_sum_shamir.Shape):
            dealing = prf.Stream(self._dealing_seed)
            present = yield from secure_sum_shamir.computing(shape, self._at, kept, begun.tied, self._noise, dealing)
        elif isinstance(kept, Seeds):
            (with_last,) = begun.keys.values()
            present = yield from secure_sum.server(shape, self._at, kept, begun.tied, with_last, self._noise)
        else:
            present = yield from secure_sum.last(shape, kept, begun.tied, tuple(begun.keys.values()), self._noise)
        self._attend(present[: shape.holders], unproved)

    def _attend(self, present: Present, unproved: Present | None = None) -> None:
        """Note who counts, who has said here that it takes no part, and whose numbers are not proved to be in range."""
        said = frozenset[PartyId]() if self.uploads is None else self.uploads.declined
        declined = tuple(party for party in self._holders if party in said)
        failed = () if unproved is None else contribute.named(self._reviewed.plan, unproved)
        self._attendance = Attendance(contribute.named(self._reviewed.plan, present), declined, failed)

    def _proved(self, shape: checked_sum.Shape, begun: Begun, kept: Kept, noise: U64) -> Role[checked_sum.Counted]:
        """Sums of vectors that are proved to be within their bounds."""
        families = tuple(begun.keys.values())
        if not isinstance(kept, Proved):
            raise InternalError("internal.bug", where="uploads of another kind")
        if self._at == shape.seeded:
            return (yield from checked_sum.last(shape, kept, begun.tied, families, noise))
        return (yield from checked_sum.server(shape, self._at, kept, begun.tied, families[0], noise))

    def _held(self, shape: secure_sum_held.Shape, begun: Begun, kept: Kept | None) -> Role[Present]:
        """Sums that do not leave as they are: disclosure control takes them over. Returns: who counts, if it knows."""
        safe, share, present = self._reviewed.plan.protection, None, np.zeros(shape.holders, np.bool_)
        if not isinstance(safe, Protect):
            raise InternalError("internal.bug", where="sums that are held, and nothing takes them over")
        if isinstance(kept, Seeds):
            present, share = yield from secure_sum_held.first(shape, kept, begun.tied)
        elif isinstance(kept, Words):
            present, share = yield from secure_sum_held.second(shape, kept, begun.tied)
        ctx, before, after = together(self._reviewed, self._party, begun.keys)
        yield from control.protect(prepare.control_shape(safe), ctx, share, before, after)
        return present

    def wake(self) -> None:
        """The run has been ended, or may have been: look at once."""
        if (taking := self.uploads) is not None:
            taking.wake()

    def close(self) -> None:
        taking, self._noise, self.uploads, self.over = self.uploads, None, None, True
        if taking is not None:
            self.took = taking.takers
            taking.close()

    @property
    def _at(self) -> int:
        """Which of those who get a part of uploads this party is."""
        return self._shape.servers.index(self._role)

    def _address(self, tied: Binding, role: str) -> Address:
        number, shape = self._numbers[role], self._shape
        if isinstance(shape, checked_sum.Shape):
            return checked_sum.address(shape, tied, number, self._at)
        return shape.delivery.address(tied, number, self._at)

    def _kept(self, tied: Binding, again: Callable[[int], SealedWords]) -> Kept:
        shape = self._shape
        if isinstance(shape, checked_sum.Shape):
            return checked_sum.uploads(shape, self._at)
        if isinstance(shape, secure_sum_shamir.Shape):
            if self._at < shape.degree:
                return secure_sum_shamir.seeds(shape, self._at, tied)
            return secure_sum_shamir.words(shape, again)
        if isinstance(shape, secure_sum_held.Shape):
            return secure_sum_held.seeds(shape, tied) if self._at == 0 else secure_sum_held.words(shape, again)
        if self._at < shape.seeded:
            return secure_sum.seeds(shape, self._at, tied)
        return secure_sum.words(shape, again)


def noise_of(plan: Plan, own: prf.Stream) -> U64 | None:
    """One computing party's noise on a vector, (words,) uint64 of the ring or the field: drawn in one batch.

    None under disclosure control, which adds none.
    Raises: InternalError internal.bug if a number is beyond what lanes have room for, by a chance that the plan makes
            less than 2^-100; if parts are asked for that lost parties would take away.
    """
    pool, safe = contribute.pool_of(plan), plan.protection
    if isinstance(safe, Protect):
        return None
    if safe.moments != pool.moments:
        raise InternalError("internal.bug", where="noise on other numbers than are summed")
    shamir = pool.card == secure_sum_shamir.PROTOCOL
    if shamir and pool.parts != 1:
        raise InternalError("internal.bug", where="parts of noise where computing parties may be lost")
    cells = contribute.cells_of(plan)
    drawn = [prepare.part_of(column, pool.parts, cells, own) for column in safe.columns]
    if any(np.any(np.abs(each) > pool.noise) for each in drawn):
        raise InternalError("internal.bug", where="noise that no sum has room for")
    if pool.card in contribute.PLAIN:
        return np.concatenate(drawn).view(np.uint64)
    noised = contribute.layout_of(plan).noised({str(number): each for number, each in enumerate(drawn)})
    return secure_sum_shamir.field_of(noised) if shamir else noised.view(np.uint64)


class PoolSession(Session):
    """A ``Session`` that takes uploads between agreement and the first message.

    ``collector``: reaches peers' announcements. ``run_s``: as of any run, beside the time in which uploads are taken.
    """

    _play: PoolPlay
    _keeps = True
    """Uploads may take days, which no connection need last."""

    def __init__(
        self,
        reviewed: Reviewed,
        party: PartyId,
        handle: RunHandle,
        *,
        collector: Collector,
        folder: Path,
        entropy: Entropy,
        run_s: float,
        **given: Any,
    ) -> None:
        play = PoolPlay(reviewed, party, entropy, folder)
        open_s = contribute.upload_s(reviewed.plan)
        super().__init__(reviewed, party, handle, play=play, entropy=entropy, run_s=run_s + open_s, **given)
        self._collector, self._computing_s = collector, run_s
        self._looked = time.monotonic()
        self._known: set[PartyId] = set()

    @property
    def uploading(self) -> bool:
        """Whether it takes uploads now."""
        return self._play.open

    def announcement(self, now: dt.datetime) -> bytes:
        """What is announced of this run; ``now``: of a clock with a time zone. Raises: RunError run.unknown."""
        if (left := self._play.left) is None:
            raise self._unknown()
        return announcement.encode(
            announcement.Announcement(
                run_id=self._run_id(),
                digest=self.reviewed.digest,
                hellos=self.bodies,
                result=self._result_hello.body,
                deadline=now + dt.timedelta(seconds=left),
                open=self._play.open,
            )
        )

    def take(self, peer: PartyId, frames: Iterator[bytes]) -> Uploaded:
        """Take in one part of a holder's upload. Raises: RunError run.unknown before agreement; as ``Uploads`` does.

        If reading a part fails half-way, and again, the sum is worth nothing: the run ends.
        """
        if (taking := self._play.uploads) is None:
            if peer in self._play.took:
                raise PeerError("peer.repeated", peer=peer, message="its upload")
            if self._play.over:
                raise PeerError("peer.upload-late", peer=peer)
            raise self._unknown() if self._play.left is None else RunError("run.no-uploads", handle=self.handle)
        try:
            return taking.take(peer, frames)
        except SpoiltError as error:
            self.stop(InternalError("internal.bug", where=self.party))
            raise _unread() from error

    def decline(self, peer: PartyId) -> bool:
        """Note that a holder takes no part. Returns: whether that is new.

        Raises: RunError run.unknown before agreement, run.no-uploads; PeerError peer.upload-late when the run is over;
                as ``Uploads`` does.
        """
        if (taking := self._play.uploads) is None:
            if self._play.over:
                raise PeerError("peer.upload-late", peer=peer)
            raise self._unknown() if self._play.left is None else RunError("run.no-uploads", handle=self.handle)
        return taking.decline(peer)

    def give_back(self, peer: PartyId) -> bool:
        """Take a holder's upload off again. Returns: whether that is new. Raises: as ``decline``, peer.withdraw-late.

        If that fails half-way, what is left of the sum is worth nothing: the run ends.
        """
        if (taking := self._play.uploads) is None:
            if self._play.over:
                raise PeerError("peer.withdraw-late", peer=peer)
            raise self._unknown() if self._play.left is None else RunError("run.no-uploads", handle=self.handle)
        try:
            return taking.withdraw(peer)
        except PeerError as error:
            if error.code == "peer.upload-sealed":
                self.stop(error)
            raise
        except Exception as error:
            self.stop(InternalError("internal.bug", where=self.party))
            raise _unread() from error

    def _unknown(self) -> RunError:
        return RunError("run.unknown", handle=self.handle)

    def stop(self, error: PetsError) -> None:
        super().stop(error)
        self._play.wake()

    def _begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        def may_wait() -> None:
            may_act()
            if self._link is not None and self._link.error is not None:  # a peer has ended the run
                raise self._link.error
            if self._link is not None:
                self._play.require_quorum(len(self._link.lost))
            self._look()

        super()._begin(begun, may_wait)
        self._until = time.monotonic() + self._play.patience(self._deadline_s, LAST_ROUND) + self._computing_s

    def _look(self) -> None:
        """Ask peers whether they know the run still: a server that was restarted has ended it and can tell nobody."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for peer in self._computing:
            threading.Thread(target=self._ask, args=(peer,), daemon=True, name=f"look at {peer}").start()

    def _ask(self, peer: PartyId) -> None:
        try:
            self._collector.announcement(peer, self.handle)
        except PetsError as error:
            if error.code in ("run.unknown", "run.order") and peer in self._known:
                self.peer_ended(peer, "run.crashed")
            return
        self._known.add(peer)


def _unread() -> RunError:
    return RunError("run.no-room", problem="an upload that was stored cannot be read")
