"""One run at one computing party: hello, keys, own rows, then the role, driven through the gate to its end.

Everything it needs from outside is an argument: the network (``Carrier``), the rows (``bring``), entropy, the clock of
the host only through deadlines. It writes no state; ``node.py`` reserves before and settles after.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from pets.errors import CODES, InternalError, LinkError, PeerError, PetsError, RunError, SourceError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.kernels import prf
from pets.party import execution, gate, hello, pairing, prepare
from pets.party.drive import Tick, drive
from pets.party.mpyc_relay import Relay
from pets.party.sources import Table
from pets.plan.cost import join_card, parties_of, ring_of
from pets.plan.review import Reviewed
from pets.protocols import control, helper_join, helper_join_b, shared_join, star_join, upload
from pets.protocols.base import Binding, Role
from pets.protocols.rep3.sharing import Context
from pets.secret import Secret
from pets.spec.ir import Execute, Protect, Read
from pets.spec.model import Spec
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_terms import Budget
from pets.transport.link import Link

Entropy = Callable[[int], bytes]
"""Gives that many fresh bytes of the operating system."""

TELL_S: Final = 1.0
"""How long a party whose run fails at its start waits for the hellos that give it the run id to tell its peers."""

WATCH_S: Final = 0.05
"""How often a party whose part is over looks whether its link has met a fault, while it waits for its peers."""

REASON_S: Final = 2.0
"""How long a party whose connection was cut waits for the word of the peer that says why."""


_FAMILY: Final = "s_"
"""How the families of keys that two parties agree on for one run are called on cards; others come from them."""

Brought = (
    helper_join.RowsOfA
    | helper_join.PeopleOfB
    | shared_join.LeftRows
    | shared_join.RightRows
    | pairing.Persons
    | execution.Numbers
)
"""What a party that holds a table puts in."""


class Carrier(Protocol):
    """How a session reaches the other participants of its run."""

    def hello(self, peer: PartyId, handle: RunHandle, body: bytes) -> None:
        """Bring this party's hello to a computing peer; may take as long as the peer needs to be reached."""
        ...

    def conclude(self, peer: PartyId, handle: RunHandle, deadline_s: float) -> None:
        """Wait until the part of a computing peer is over; raises what it says of any other end."""
        ...

    def link(self, run_id: bytes, peers: Sequence[PartyId], result: PartyId, collector: PartyId) -> Link:
        """The network of the run, once its id is known: computing peers, and the endpoint of the result party's client.

        ``result``: the endpoint's name on the network; ``collector``: the party that it belongs to.
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
    found: prepare.U64 | None = None
    """Identifiers, in words, that an intersection tells this party besides the one who asks."""


def roles_of(reviewed: Reviewed) -> dict[str, PartyId]:
    """Which participant plays which role of the card; the result party under the name of its endpoint."""
    return parties_of(reviewed.plan) | {"result": result_endpoint(reviewed)}


def peers_of(spec: Spec, party: PartyId) -> tuple[PartyId, ...]:
    """With whom a party says hello: who computes with everybody, who only brings rows with those who compute."""
    others = spec.servers if party in spec.computing else spec.computing
    return tuple(name for name in others if name != party)


def result_endpoint(reviewed: Reviewed) -> PartyId:
    """Name of the result party's client on the network: its own, also where the same party runs a server."""
    return PartyId(f"{reviewed.spec.result_party}:result")


def to_agree(
    reviewed: Reviewed,
    shape: helper_join.Sizes | shared_join.Shape | None,
    cover: SpecDigest | None = None,
) -> hello.Agreed:
    """What this party is about to run, for the hello. ``cover``: the older specification whose approvals let it run."""
    dummies = shape.dummies.digest if isinstance(shape, helper_join.Shape) else hello.NO_DUMMIES
    if reviewed.plan.match is not None:
        dummies = pairing.dummies_of(reviewed.plan.match) or hello.NO_DUMMIES
    return hello.Agreed(reviewed.digest, reviewed.plan_digest, reviewed.cards, dummies, cover=cover)


class Session:
    """A run at a computing party, from its hello to its last message. ``sets``: commitments to what it will read.

    ``bring`` reads this party's rows for a step of the plan; the helper is never asked. ``hello_body`` can be handed
    out at once; ``take_hello`` and ``stop`` may be called by any thread; ``run`` is called once. ``agreed`` is called
    with the run id when all participants are about to run the same, before any message that depends on records; it may
    refuse. What ends a run first is its cause, everywhere: what follows from it (the echo of an abort, a closed link)
    never hides it. A run is finished here when every computing party's part is over, and aborted here when any party
    ends it before that. A party that only brings rows waits for nobody: its part is over when all of it has arrived.
    """

    def __init__(
        self,
        reviewed: Reviewed,
        party: PartyId,
        handle: RunHandle,
        *,
        carrier: Carrier,
        bring: Callable[[Read], Table],
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
        self._carrier, self._bring, self._tick, self._check = carrier, bring, tick, check
        self._deadline_s = deadline_s
        self._run_s = run_s
        self._match = reviewed.plan.match
        self._labels = gate.labels_of(reviewed.plan)
        self._program = reviewed.plan.program
        joins = self._match is None and self._program is None
        self._shape = prepare.shape_of(reviewed.plan) if joins else None
        self._roles = roles_of(reviewed)
        self._role = next(role for role, name in self._roles.items() if name == party)
        self._peers = peers_of(reviewed.spec, party)
        self._computing = tuple(name for name in self._peers if name in reviewed.spec.computing)
        self._own_agreed = to_agree(reviewed, self._shape, cover)
        self._private = {peer: Secret(entropy(32)) for peer in self._peers}
        self._own_hello = hello.make(
            self._own_agreed,
            entropy(16),
            {peer: prf.public_key(key) for peer, key in self._private.items()},
            sets,
        )
        self._seed = Secret(entropy(16))
        self._noise_seed = Secret(entropy(16))
        self._opening = Secret(entropy(32))
        self._own_entropy = Secret(entropy(0 if self._match is None else pairing.entropy_bytes(self._match)))
        self._found: prepare.U64 | None = None
        self._result_hello = self._read(result_hello, hello.RESULT_ENDPOINT, keys=())
        self._hellos: dict[PartyId, hello.Hello] = {}
        self._changed = threading.Condition()
        self._until = time.monotonic() + run_s
        self._stopped: PetsError | None = None
        self._played = False
        self._over = False
        self.told = False
        """A result may come about without anything more from this party."""
        self._executing = False
        """While a program runs: what it sends is no message that the plan lists."""
        self._link: Link | None = None
        self._passage: gate.Gate | None = None

    @property
    def hello_body(self) -> bytes:
        return self._own_hello.body

    @property
    def sets(self) -> dict[str, dict[str, str]]:
        """To which rows the others have committed, by party and dataset: those whose hello is here."""
        return {peer: dict(each.sets) for peer, each in self._hellos.items() if each.sets}

    @property
    def step(self) -> str:
        """Label of the message at which this party stands; "" before the run has agreed."""
        if self._executing:
            return next(flow.label for flow in self._flows())
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
        read = self._read(body, peer, keys=peers_of(self.reviewed.spec, peer))
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

    def _run(self) -> Outcome:
        posting = [threading.Thread(target=self._post, args=(peer,), daemon=True) for peer in self._peers]
        for thread in posting:
            thread.start()
        # How long the sampler takes tells of what it drew: so not between the start of a run and its hello, where peers
        # could time it, but beside their hellos and the reading of rows.
        noise = None
        if self._shape is not None and self.party in ring_of(self.reviewed.plan):
            noise = prepare.noise_of(self.reviewed.plan.protection, self._shape, prf.Stream(self._noise_seed))
        elif self._match is not None:
            noise = pairing.noise_of(self._match, prf.Stream(self._noise_seed))
        brought = self._own_rows()
        if brought is not None:
            self._tick("records", 0, 0.0)
        self._await_hellos()
        self._tick("hello", 0, 0.0)
        run_id = self._run_id()
        link = self._open_link(run_id)
        self._may_go_on()
        keys = self._keys(run_id)
        passage = self._passage = gate.Gate(
            gate.project_plan(self.reviewed.plan, self._roles, self._role), opening=self._opening
        )
        if self._program is not None:
            return self._execute(self._program, keys, brought, link, passage, run_id)
        try:
            # Counting and charging wait for the disk: meanwhile the role computes, and its first act waits for both.
            with ThreadPoolExecutor(1, thread_name_prefix="agreed") as disk:
                agreed = disk.submit(self._agreed, run_id)

                def may_act() -> None:
                    agreed.result()
                    self._may_go_on()

                drive(
                    self._play(keys, brought, noise, run_id),
                    passage,
                    link,
                    deadline_s=self._deadline_s,
                    check=may_act,
                    tick=self._tick,
                )
            outcome = Outcome(run_id, passage.finish(), self._opening, self._found)
        finally:
            self.told = passage.told
            passage.close()
            for family in keys.values():
                family.erase()
        self._conclude(link)
        link.close()
        return outcome

    def _flows(self) -> tuple[gate.Flow, ...]:
        """The streams that this party has with each other one."""
        return gate.project_streams(self.reviewed.plan, self._roles, self._role)

    def _execute(
        self,
        step: Execute,
        keys: Mapping[str, prf.KeyFamily],
        brought: Brought | None,
        link: Link,
        passage: gate.Gate,
        run_id: bytes,
    ) -> Outcome:
        """Run a program in a process apart, and send the client this party's shares of what it released.

        All that the program may send is in its terms and in the card's streams under the plan's numbers: both are held
        against each other, the process and the link to both.
        """
        asked = self.reviewed.program
        budgets = {flow.peer: Budget(flow.frames, flow.bytes) for flow in self._flows()}
        if asked is None or budgets != dict.fromkeys(self._peers, step.terms.budget):
            raise InternalError("internal.bug", where="a program's terms and its streams")
        try:
            self._agreed(run_id)  # counted and charged, on disk, before a share of any record leaves
            self._may_go_on()
            self.told = self._executing = True  # from here on the others may have all that they need
            relay = Relay(
                asked.terms,
                self.party,
                approved=terms_digest(step.terms),
                source=asked.source.text,
                own=brought if isinstance(brought, Mapping) else {},
                link=link,
                families={peer: keys[peer] for peer in self._peers},
                opening=self._opening,
                deadline_s=max(1.0, self._until - time.monotonic()),
                check=self._may_go_on,
            )
            began = time.perf_counter()
            try:
                released = relay.run()
            except PeerError as error:
                if error.code == "peer.program":  # of a frame inside the stream, which has no number of its own
                    raise PeerError(error.code, **{**error.fields, "label": self.step}) from error
                raise
            sent = sum(size for _, size in relay.sent.values())
            self._tick(execution.STEP, sent, time.perf_counter() - began)
            self._executing = False
            role = execution.handed(step.terms, released)
            drive(role, passage, link, deadline_s=self._deadline_s, check=self._may_go_on, tick=self._tick)
            outcome = Outcome(run_id, (*relay.receipt, *passage.finish()), self._opening)
        finally:
            passage.close()
            for family in keys.values():
                family.erase()
        self._conclude(link)
        link.close()
        return outcome

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
        left = set(self._computing)

        def ask(peer: PartyId) -> None:
            try:
                self._carrier.conclude(peer, self.handle, max(1.0, self._until - time.monotonic()))
            except PetsError as error:
                self.stop(_as_told(error, peer))
            except BaseException:
                self.stop(InternalError("internal.bug", where=f"the end of {peer}"))
                raise
            with self._changed:
                left.discard(peer)
                self._changed.notify_all()

        with self._changed:
            self._played = True
            self._changed.notify_all()
        for peer in self._computing:
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
        link = self._carrier.link(run_id, self._peers, self._roles["result"], self.reviewed.spec.result_party)
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
        bodies = [
            self.hello_body if name == self.party else self._hellos[name].body for name in self.reviewed.spec.computing
        ]
        return hello.run_id([*bodies, self._result_hello.body])

    def _keys(self, run_id: bytes) -> dict[str, prf.KeyFamily]:
        """The key families of this party's pairs. A peer whose key agrees on nothing is refused."""
        families = {}
        for pair, peer in self._pairs():
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

    def _pairs(self) -> Iterator[tuple[str, PartyId]]:
        """The families that this party has a part in, by name, and with whom; of a program one a peer."""
        if self._program is not None:
            yield from ((peer, peer) for peer in self._peers)
            return
        for key in join_card(self.reviewed.plan).keys:
            if key.name.startswith(_FAMILY) and self._role in key.holders:
                yield key.name, next(self._roles[role] for role in key.holders if role != self._role)

    def _own_rows(self) -> Brought | None:
        plan = self.reviewed.plan
        if self._program is not None:
            return execution.numbers_of(plan, self._program, self.party, self._bring)
        read = next((step for step in plan.steps if isinstance(step, Read) and self.party in step.parties), None)
        if read is None:
            return None
        table = self._bring(read)
        if self._match is not None:
            return pairing.persons(read, self._match, table)
        own = prf.Stream(self._seed)
        if isinstance(self._shape, shared_join.Shape):
            to_left = self._role.startswith("left")
            return prepare.left_rows(plan, table, own) if to_left else prepare.right_rows(plan, table, own)
        if self._shape is None:
            raise InternalError("internal.bug", where="a plan of no kind")
        if self._role == "a":
            return prepare.rows_of_a(read, plan.join, self._shape, table, own)
        return prepare.people_of_b(read, plan.join, self._shape, table, own)

    def _play(
        self,
        keys: Mapping[str, prf.KeyFamily],
        brought: Brought | None,
        noise: prepare.U64 | None,
        run_id: bytes,
    ) -> Role[None]:
        plan = self.reviewed.plan
        if self._match is not None:
            own = brought if isinstance(brought, pairing.Persons) else None
            tied = Binding(digest=bytes.fromhex(self.reviewed.digest), run_id=run_id)
            part = pairing.Part(self._role, own, tied, self._own_entropy, keys, noise)
            self._found = yield from pairing.play(plan, self._match, part)
            return
        if isinstance(self._shape, shared_join.Shape):
            yield from self._play_shared(self._shape, keys, brought, noise, run_id[: shared_join.HASH_BYTES])
            return
        if isinstance(brought, shared_join.LeftRows | shared_join.RightRows | pairing.Persons | Mapping):
            raise InternalError("internal.bug", where="rows of another protocol")
        rows, safe = prepare.rows_shape(plan.join), plan.protection
        on_rows: helper_join.OnRows | None = None
        if rows is None and not isinstance(safe, Protect):
            yield from self._play_join(keys, brought, noise, on_rows)
            return
        if self.party not in ring_of(plan):  # a further table of a join: it is sent, and its holder computes nothing
            yield from self._play_join(keys, brought, noise, on_rows)
            return
        ctx, before, after = self._together(keys)
        if rows is not None:
            shapes = (prepare.order_shape(plan.join), prepare.against_shape(plan.join), prepare.models_of(plan.join))
            on_rows = helper_join.OnRows(rows, ctx, *shapes)
        share = yield from self._play_join(keys, brought, noise, on_rows)
        if isinstance(safe, Protect):
            statistics, tops = ((), ()) if on_rows is None else (on_rows.found, on_rows.tops)
            yield from control.protect(prepare.control_shape(safe), ctx, share, before, after, statistics, tops)

    def _together(self, keys: Mapping[str, prf.KeyFamily]) -> tuple[Context, prf.KeyFamily, prf.KeyFamily]:
        """This party's part in what the three compute in a run, and its families with the one before and after it."""
        ring = ring_of(self.reviewed.plan)
        roles = {party: role for role, party in self._roles.items() if party in ring and role != "result"}
        me = ring.index(self.party)
        before, after = (self._family(keys, ring[(me + step) % 3]) for step in (2, 1))
        return control.context(me, before, after, (roles[ring[0]], roles[ring[1]], roles[ring[2]])), before, after

    def _play_shared(
        self,
        shape: shared_join.Shape,
        keys: Mapping[str, prf.KeyFamily],
        brought: Brought | None,
        noise: prepare.U64 | None,
        hashed_by: bytes,
    ) -> Role[None]:
        """This party's part where the tables have any number of holders."""
        number = int("".join(filter(str.isdigit, self._role)) or 1) - 1
        if isinstance(brought, shared_join.LeftRows):
            yield from shared_join.left(shape, number, brought, keys[f"s_l{number + 1}"], hashed_by)
            return
        if isinstance(brought, shared_join.RightRows):
            yield from shared_join.right(shape, number, brought, keys[f"s_r{number + 1}"], hashed_by)
            return
        share: prepare.U64 | None = None
        if self._role == upload.FIRST:
            lefts = [keys[f"s_l{place + 1}"] for place in range(len(shape.left))]
            rights = [keys[f"s_r{place + 1}"] for place in range(len(shape.right))]
            share = yield from shared_join.first(shape, (lefts, rights), keys["s_12"], keys["s_13"], noise)
        elif self._role == upload.SECOND:
            share = yield from shared_join.second(shape, keys["s_12"], keys["s_23"], noise)
        else:
            yield from shared_join.third(shape, keys["s_13"], keys["s_23"], noise)
        safe = self.reviewed.plan.protection
        if isinstance(safe, Protect):
            ctx, before, after = self._together(keys)
            yield from control.protect(prepare.control_shape(safe), ctx, share, before, after)

    def _play_join(
        self,
        keys: Mapping[str, prf.KeyFamily],
        brought: helper_join.RowsOfA | helper_join.PeopleOfB | None,
        noise: prepare.U64 | None,
        on_rows: helper_join.OnRows | None,
    ) -> Role[prepare.U64 | None]:
        """The join alone; what is returned is this party's share of the sums, where another protocol takes it over."""
        if brought is None and self._role != "helper":
            raise InternalError("internal.bug", where="a party without rows plays an input role")
        if self._shape is None or isinstance(self._shape, shared_join.Shape):
            raise InternalError("internal.bug", where="a join with a helper of tables of many holders")
        if isinstance(self._shape, star_join.Shape):
            return (yield from self._play_star(self._shape, keys, brought, noise, on_rows))
        if isinstance(self._shape, helper_join_b.Shape):
            return (yield from self._play_mode_b(self._shape, keys, brought, noise, on_rows))
        if isinstance(brought, helper_join.RowsOfA):
            return (yield from helper_join.party_a(self._shape, brought, keys["s_ab"], keys["s_ac"], noise, on_rows))
        if isinstance(brought, helper_join.PeopleOfB):
            yield from helper_join.party_b(self._shape, brought, keys["s_ab"], keys["s_bc"], noise, on_rows)
            return None
        return (yield from helper_join.helper(self._shape, keys["s_ac"], keys["s_bc"], noise, on_rows))

    def _play_mode_b(
        self,
        shape: helper_join_b.Shape,
        keys: Mapping[str, prf.KeyFamily],
        brought: helper_join.RowsOfA | helper_join.PeopleOfB | None,
        noise: prepare.U64 | None,
        on_rows: helper_join.OnRows | None,
    ) -> Role[prepare.U64 | None]:
        if isinstance(brought, helper_join.RowsOfA):
            return (yield from helper_join_b.party_a(shape, brought, keys["s_ab"], keys["s_ac"], noise, on_rows))
        if isinstance(brought, helper_join.PeopleOfB):
            yield from helper_join_b.party_b(shape, brought, keys["s_ab"], keys["s_bc"], noise, on_rows)
            return None
        return (yield from helper_join_b.helper(shape, keys["s_ac"], keys["s_bc"], noise, on_rows))

    def _play_star(
        self,
        shape: star_join.Shape,
        keys: Mapping[str, prf.KeyFamily],
        brought: helper_join.RowsOfA | helper_join.PeopleOfB | None,
        noise: prepare.U64 | None,
        on_rows: helper_join.OnRows | None,
    ) -> Role[prepare.U64 | None]:
        further = {star_join.role_of(number): number for number in range(len(shape.beside))}
        if self._role in further and isinstance(brought, helper_join.PeopleOfB):
            number = further[self._role]
            yield from star_join.party_d(shape, number, brought, keys[f"s_ad{number + 1}"])
            return None
        if on_rows is None:
            raise InternalError("internal.bug", where="more than two tables are joined and nothing is computed on rows")
        if isinstance(brought, helper_join.RowsOfA):
            families = [keys[f"s_ad{number + 1}"] for number in further.values()]
            return (yield from star_join.party_a(shape, brought, keys["s_ab"], families, keys["s_ac"], noise, on_rows))
        if isinstance(brought, helper_join.PeopleOfB):
            yield from star_join.party_b(shape, brought, keys["s_ab"], keys["s_bc"], noise, on_rows)
            return None
        return (yield from star_join.helper(shape, keys["s_ac"], keys["s_bc"], noise, on_rows))

    def _family(self, keys: Mapping[str, prf.KeyFamily], peer: PartyId) -> prf.KeyFamily:
        """The keys that this party shares with ``peer``."""
        return next(keys[name] for name, other in self._pairs() if other == peer)

    def _may_go_on(self) -> None:
        if self._stopped is not None:
            raise self._stopped
        if time.monotonic() > self._until:
            raise LinkError("link.deadline", peer=self.party, seconds=self._run_s, step="the whole run")
        self._check()


def public_code(error: PetsError) -> str:
    """What others are told of an error: its code, but of records never which of all things is wrong with them."""
    return "source.not-ready" if isinstance(error, SourceError) else error.code


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
