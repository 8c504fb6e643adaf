"""One run at one party: hello, keys, what comes first, then the role, driven through the gate to its end.

Everything it needs from outside is an argument: the network (``Carrier``), what it plays (``Play``), entropy, the clock
of the host only through deadlines. It writes no state; ``node.py`` reserves before and settles after.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from pets.errors import CODES, InternalError, LinkError, PeerError, PetsError, RunError, public_code
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.kernels import prf
from pets.party import gate, hello
from pets.party.attendance import Attendance
from pets.party.cast import pairs_of, peers_of, role_of, roles_of
from pets.party.drive import Tick, drive, let_in
from pets.party.play import U64, Begun, Entropy, Play
from pets.plan.cost import join_card
from pets.plan.review import Reviewed
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.transport.link import Link
from pets.transport.mailbox import ends_all

TELL_S: Final = 1.0
"""How long a party whose run fails at its start waits for the hellos that give it the run id to tell its peers."""

WATCH_S: Final = 0.05
"""How often a party whose part is over looks whether its link has met a fault, while it waits for its peers."""

REASON_S: Final = 2.0
"""How long a party whose connection was cut waits for the word of the peer that says why."""


class Carrier(Protocol):
    """How a session reaches the other participants of its run."""

    def hello(self, peer: PartyId, handle: RunHandle, body: bytes) -> None:
        """Bring this party's hello to a computing peer; may take as long as the peer needs to be reached."""
        ...

    def conclude(self, peer: PartyId, handle: RunHandle, deadline_s: float) -> None:
        """Wait until the part of a computing peer is over; raises what it says of any other end."""
        ...

    def link(
        self, run_id: bytes, peers: Sequence[PartyId], result: PartyId, collector: PartyId, *, keeps: bool
    ) -> Link:
        """The network of the run, once its id is known: computing peers, and the endpoint of the result party's client.

        ``result``: the endpoint's name on the network; ``collector``: the party that it belongs to. ``keeps``: it may
        come back after a connection that broke off before it has collected anything.
        """
        ...

    def abort(self, peer: PartyId, run_id: bytes, code: str) -> None:
        """Tell a computing peer that a run has ended, when the link is closed; does not wait and does not raise."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a completed role leaves for the receipt."""

    run_id: bytes
    sent: tuple[gate.Sent, ...]
    opening: Secret[bytes]
    """What the digests in ``sent`` are hidden by: for this party's own log, to prove later what it sent."""
    found: U64 | None = None
    """Identifiers, in words, that an intersection tells this party besides the one who asks."""
    contributors: Attendance | None = None
    """At a computing party, the holders whose uploads are in a sum, and the others."""


class Session:
    """A run at a computing party, from its hello to its last message. ``sets``: commitments to what it will read.

    ``play``: this party's part in a run of this kind of plan. ``hello_body`` can be handed
    out at once; ``take_hello`` and ``stop`` may be called by any thread; ``run`` is called once. ``agreed`` is called
    with the run id when all participants are about to run the same, before any message that depends on records; it may
    refuse. What ends a run first is its cause, everywhere: what follows from it (the echo of an abort, a closed link)
    never hides it. A run is finished here when every computing party's part is over, and aborted here when any party
    ends it before that. A party that only brings rows waits for nobody: its part is over when all of it has arrived.
    """

    _keeps: ClassVar[bool] = False
    """Whether the run goes on without a connection to the result party's client, which may come back."""

    def __init__(
        self,
        reviewed: Reviewed,
        party: PartyId,
        handle: RunHandle,
        *,
        carrier: Carrier,
        play: Play,
        result_hello: bytes,
        entropy: Entropy,
        deadline_s: float,
        run_s: float,
        tick: Tick,
        cover: SpecDigest | None = None,
        sets: Mapping[str, str] | None = None,
        check: Callable[[], None] = lambda: None,
        agreed: Callable[[bytes], None] = lambda run_id: None,
    ) -> None:
        self._agreed: Final = agreed
        self.reviewed: Final = reviewed
        self.party: Final = party
        self.handle: Final = handle
        self._carrier, self._play, self._tick, self._check = carrier, play, tick, check
        self._deadline_s = deadline_s
        self._run_s = run_s
        self._labels = gate.labels_of(reviewed.plan)
        self._roles = roles_of(reviewed)
        self._role = role_of(reviewed, party)
        self._peers = peers_of(reviewed, party)
        self._computing = tuple(name for name in self._peers if name in reviewed.spec.computing)
        self._own_agreed = play.agreed(cover)
        self._private = {peer: Secret(entropy(32)) for peer in self._peers}
        self._own_hello = hello.make(
            self._own_agreed,
            entropy(16),
            {peer: prf.public_key(key) for peer, key in self._private.items()},
            sets,
            play.upload,
        )
        self._opening = Secret(entropy(32))
        self._result_hello = self._read(result_hello, hello.RESULT_ENDPOINT, keys=())
        self._hellos: dict[PartyId, hello.Hello] = {}
        self._changed = threading.Condition()
        self._until = time.monotonic() + run_s
        self._stopped: PetsError | None = None
        self._played = False
        self._over = False
        self.told = False
        """A result may come about without anything more from this party."""
        self._link: Link | None = None
        self._passage: gate.Gate | None = None

    @property
    def hello_body(self) -> bytes:
        return self._own_hello.body

    @property
    def bodies(self) -> dict[PartyId, bytes]:
        """The hellos of all who compute, in the order of the specification, once all are here."""
        return {
            name: self.hello_body if name == self.party else self._hellos[name].body
            for name in self.reviewed.spec.computing
        }

    @property
    def sets(self) -> dict[str, dict[str, str]]:
        """To which rows the others have committed, by party and dataset: those whose hello is here."""
        return {peer: dict(each.sets) for peer, each in self._hellos.items() if each.sets}

    @property
    def step(self) -> str:
        """Label of the message at which this party stands; "" before the run has agreed."""
        return self._passage.step if self._passage is not None else ""

    def refused(self, error: PetsError) -> str:
        """Label of the message that was not let through, if ``error`` is about one; else ""."""
        return gate.refused(error, self._labels)

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """The parties of the run that this one deals with: who may say hello."""
        return self._peers

    def take_hello(self, peer: PartyId, body: bytes) -> None:
        """A peer's hello. Raises: PeerError peer.hello; RunError run.other-* if it is about to run something else."""
        if peer not in self._peers:
            raise PeerError("peer.hello", peer=peer)
        read = self._read(body, peer, keys=peers_of(self.reviewed, peer))
        brings = {d.name for d in self.reviewed.spec.datasets if peer in d.parties}
        if set(read.sets) != brings:
            raise PeerError("peer.hello", peer=peer)
        with self._changed:
            if peer in self._hellos:
                raise PeerError("peer.hello", peer=peer)
            self._hellos[peer] = read
            self._changed.notify_all()

    def stop(self, error: PetsError) -> None:
        """End the run: nothing is sent or opened after the message that is under way. Too late, it does nothing."""
        with self._changed:
            if self._over:
                return
            met = gate.named(self._link.error, self._labels) if self._link is not None and self._link.error else None
            if self._stopped is None:
                explained = error.code == "peer.aborted" and met is not None and met.code == "link.cut"
                self._stopped = error if met is None or met.code == "link.closed" or explained else met
            cause, link = self._stopped, self._link
            self._changed.notify_all()
        if link is not None:
            link.abort(_passed_on(cause))

    def peer_ended(self, peer: PartyId, code: str) -> None:
        """A peer has ended the run for ``code``: it is over here, too, unless it goes on without that peer."""
        error = PeerError("peer.aborted", peer=peer, reason=code)
        if peer not in self._play.spared or ends_all(code):
            self.stop(error)
        elif (link := self._link) is not None:
            link.lose(peer, error)

    def withdraw(self, error: PetsError) -> None:
        """``stop``, by this party's own people or another party of the run: what they stop is not opened after that.

        If the run is over here it may not be at a peer, who has yet to hear so: then the peers are told.
        """
        self.stop(error)
        if self._over and time.monotonic() < self._until:
            for peer in self._peers:
                self._carrier.abort(peer, self._run_id(), public_code(error))

    def run(self) -> Outcome:
        """Play this party's role. Raises what ended the run, first of all; the peers have then been told."""
        try:
            return self._run()
        except PetsError as met:
            error = gate.named(met, self._labels)
            if error.code == "link.cut":  # a peer that stops cuts its streams: its reason may be on the way
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped is not None, REASON_S)
            self._end(error)
            cause = self._stopped or error
            if cause is met:
                raise
            raise cause from met
        except BaseException:
            self._end(InternalError("internal.bug", where=self.party))
            raise
        finally:
            self._private.clear()
            self._play.close()

    def _run(self) -> Outcome:
        posting = [threading.Thread(target=self._post, args=(peer,), daemon=True) for peer in self._peers]
        for thread in posting:
            thread.start()
        self._play.ahead(self._tick)
        self._await_hellos()
        self._tick("hello", 0, 0.0)
        run_id = self._run_id()
        link = self._open_link(run_id)
        self._may_go_on()
        begun = Begun(Binding(digest=bytes.fromhex(self.reviewed.digest), run_id=run_id), self._keys(run_id))
        passage = self._passage = gate.Gate(
            gate.project_plan(self.reviewed.plan, self._roles, self._role), opening=self._opening
        )
        try:
            # Counting and charging wait for the disk: meanwhile the role computes, and its first act waits for both.
            with ThreadPoolExecutor(1, thread_name_prefix="agreed") as disk:
                agreed = disk.submit(self._agreed, run_id)

                def may_act() -> None:
                    agreed.result()
                    self._may_go_on()

                self._allow(begun, link)
                let_in(passage, link)
                self._begin(begun, may_act)
                drive(
                    self._play.role(begun),
                    passage,
                    link,
                    deadline_s=lambda turn: self._play.patience(self._deadline_s, turn),
                    check=may_act,
                    tick=self._tick,
                )
            outcome = Outcome(run_id, self._sent(passage), self._opening, self._play.found, self._play.contributors)
        finally:
            self.told = self.told or passage.told
            passage.close()
            for family in begun.keys.values():
                family.erase()
        self._conclude(link)
        link.close()
        return outcome

    def _allow(self, begun: Begun, link: Link) -> None:
        """What peers may send beside the messages of the gate, said before they are let in: nothing."""

    def _sent(self, passage: gate.Gate) -> tuple[gate.Sent, ...]:
        """What has left, for the receipt."""
        return passage.finish()

    def _begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        """What comes between agreement and the first message."""
        self._play.begin(begun, may_act)

    def _conclude(self, link: Link) -> None:
        """This party's part is over: wait until that of everybody who computes is: so a run ends in one way everywhere.

        Who only brings rows does not wait, and nobody waits for it: the others go on without it.
        """
        if self.party not in self.reviewed.spec.computing:
            with self._changed:
                self._may_go_on()
                if link.error is not None:
                    raise link.error
                self._played = self._over = True
                self._changed.notify_all()
            return
        left = set(self._computing) - link.lost

        def ask(peer: PartyId) -> None:
            try:
                self._carrier.conclude(peer, self.handle, max(1.0, self._until - time.monotonic()))
            except PetsError as error:
                told = _as_told(error, peer)
                if peer in self._play.spared:
                    self.peer_ended(peer, _passed_on(told))
                else:
                    self.stop(told)
            except BaseException:
                self.stop(InternalError("internal.bug", where=f"the end of {peer}"))
                raise
            with self._changed:
                left.discard(peer)
                self._changed.notify_all()

        with self._changed:
            self._played = True
            self._changed.notify_all()
        for peer in tuple(left):
            threading.Thread(target=ask, args=(peer,), daemon=True, name=f"end of {peer}").start()
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._stopped is not None or not left, WATCH_S)
                if link.error is not None:
                    raise link.error
                if not left and self._stopped is None:
                    self._over = True
                    self._changed.notify_all()
                    return
                self._may_go_on()

    def await_end(self) -> None:
        """Return once this party's part is over. Raises: PeerError peer.aborted with the reason if the run has ended.

        A peer asks, in a thread of its own; it is answered at the latest when the time of the run is up.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._played or self._stopped is not None, max(0.0, self._until - time.monotonic())
            )
            if self._stopped is not None:
                raise PeerError("peer.aborted", peer=self.party, reason=_passed_on(self._stopped))
            if not self._played:
                raise LinkError("link.deadline", peer=self.party, seconds=self._run_s, step="the whole run")

    def _open_link(self, run_id: bytes) -> Link:
        collector = self.reviewed.spec.result_party
        link = self._carrier.link(run_id, self._peers, self._roles["result"], collector, keeps=self._keeps)
        link.spare(self._play.spared)
        with self._changed:
            self._link = link
        return link

    def _end(self, error: PetsError) -> None:
        """Note the cause and tell the peers, who may be about to send: they know the run by its id alone."""
        self.stop(error)
        with self._changed:
            untold = self._link is None and self._changed.wait_for(
                lambda: len(self._hellos) == len(self._peers), TELL_S
            )
        if untold:
            self._open_link(self._run_id()).abort(_passed_on(self._stopped or error))

    def _read(self, body: bytes, peer: str, *, keys: tuple[PartyId, ...]) -> hello.Hello:
        read = hello.read(body, peer=peer)
        hello.compare(self._own_agreed, read.agreed, peer=peer)
        if set(read.keys) != set(keys):
            raise PeerError("peer.hello", peer=peer)
        return read

    def _post(self, peer: PartyId) -> None:
        try:
            self._carrier.hello(peer, self.handle, self.hello_body)
        except PetsError as error:
            self.stop(error)
        except BaseException:
            self.stop(InternalError("internal.bug", where=f"hello to {peer}"))
            raise

    def _await_hellos(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped is not None or len(self._hellos) == len(self._peers), self._deadline_s
            )
            if self._stopped is not None:
                raise self._stopped
            missing = [peer for peer in self._peers if peer not in self._hellos]
        if missing:
            raise LinkError("link.deadline", peer=missing[0], seconds=self._deadline_s, step="hello")

    def _run_id(self) -> bytes:
        return hello.run_id([*self.bodies.values(), self._result_hello.body])

    def _keys(self, run_id: bytes) -> dict[str, prf.KeyFamily]:
        """The key families of this party's pairs. A peer whose key agrees on nothing is refused."""
        families = {}
        for pair, peer in pairs_of(self.reviewed, self.party):
            try:
                shared = prf.agree(self._private[peer], self._hellos[peer].keys[self.party])
            except ValueError as error:
                raise PeerError("peer.hello", peer=peer) from error
            first, second = sorted((self.party, peer), key=self.reviewed.spec.servers.index)
            families[pair] = prf.KeyFamily(
                shared,
                run_id=run_id,
                digest=bytes.fromhex(self.reviewed.digest),
                protocol=join_card(self.reviewed.plan).id,
                party_p=first,
                party_q=second,
            )
        return families

    def _may_go_on(self) -> None:
        if self._stopped is not None:
            raise self._stopped
        if time.monotonic() > self._until:
            raise LinkError("link.deadline", peer=self.party, seconds=self._run_s, step="the whole run")
        self._check()


def _passed_on(error: PetsError) -> str:
    """What peers are told: of a run that another peer ended, that peer's reason and not only that it did.

    A reason is a code of the table: no party passes on what another one made up.
    """
    if error.code != "peer.aborted":
        return public_code(error)
    reason = str(error.fields.get("reason", ""))
    return reason if reason in CODES else error.code


def _as_told(error: PetsError, peer: PartyId) -> PetsError:
    """What it means here that ``peer``, asked for its end, answered with ``error``: that it ended the run, and why."""
    if error.code == "peer.aborted" or isinstance(error, LinkError):
        return error
    return PeerError("peer.aborted", peer=peer, reason=public_code(error))


def stopped(by: str) -> RunError:
    """The error of a run that somebody ended."""
    return RunError("run.stopped", by=by)
