"""Faults made from the card: for every message of every role, what a party or the network could do wrong with it.

A fault of a *role* is committed inside one party, before its gate, by wrapping the generator that plays its role. A
fault on the *way* is committed behind the gate, by whoever has a hostile link, and met by the receiver. Nothing here is
listed by hand but the kinds of fault: steps, peers, labels and sizes are read off the projection of the plan.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pets.ids import PartyId
from pets.party import gate
from pets.party.cast import roles_of
from pets.party.gate import Expected
from pets.plan.review import Reviewed
from pets.protocols.base import Act, Array, Role, Send
from pets.transport import frame
from pets.transport.link import Slot
from pets.transport.memory import Passing

FRESH = "M0"
"""A label that no card has."""


@dataclass(frozen=True)
class Subject:
    """A plan in which faults are committed: what each role sends and receives, as its gate has it."""

    reviewed: Reviewed

    @cached_property
    def labels(self) -> Mapping[int, str]:
        found = gate.labels_of(self.reviewed.plan)
        assert FRESH not in found.values()
        return found

    @cached_property
    def players(self) -> Mapping[str, PartyId]:
        return roles_of(self.reviewed)

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """The roles that parties' servers play: all but the result party's."""
        return tuple(role for role in self.players if role != gate.RESULT)

    @cached_property
    def bringing(self) -> frozenset[str]:
        """Of these, roles of parties that only bring rows, and leave when theirs have arrived."""
        return frozenset(role for role in self.servers if self.players[role] not in self.reviewed.spec.computing)

    @cached_property
    def _projections(self) -> dict[str, tuple[Expected, ...]]:
        return {role: gate.project_plan(self.reviewed.plan, self.players, role) for role in self.servers}

    def projection(self, role: str) -> tuple[Expected, ...]:
        return self._projections[role]

    def sends(self, role: str) -> list[Expected]:
        return [expected for expected in self.projection(role) if expected.sending]

    def steps(self) -> Iterator[tuple[str, Expected]]:
        """Every message of every role, in the classes of its columns: the first and the last one."""
        for role in self.servers:
            own = self.sends(role)
            for label in dict.fromkeys(expected.label for expected in own):
                columns = [expected for expected in own if expected.label == label]
                yield from ((role, each) for each in dict.fromkeys((columns[0], columns[-1])))

    @property
    def used(self) -> set[str]:
        """Labels of the messages that the plan sends."""
        return {each.label for role in self.servers for each in self.sends(role)}


# -- inside a party ---------------------------------------------------------------------------------------------------

Commit = Callable[[Send, Role[Any]], Generator[Act, Array | None, None]]
"""What a role does instead of one send; ``Role`` is the honest rest of it."""


@dataclass(frozen=True)
class Fault:
    """``sent``: the message itself still goes out before. ``refused``: the label that the gate has to name."""

    name: str
    commit: Commit
    sent: bool
    refused: str


def _instead(*made: Callable[[Send], Send]) -> Commit:
    def commit(act: Send, rest: Role[Any]) -> Generator[Act, Array | None, None]:
        for make in made:
            yield make(act)

    return commit


def _reordered(act: Send, rest: Role[Any]) -> Generator[Act, Array | None, None]:
    following = rest.send(None)
    yield following
    yield act


def faults_of(subject: Subject, role: str, step: Expected) -> Iterator[Fault]:
    """Every fault that ``role`` can commit at ``step``."""
    own = subject.projection(role)
    following = own[own.index(step) + 1 :][:1]
    label = step.label
    others = [name for name in subject.players if name not in (role, step.role)]

    def same(act: Send) -> Send:
        return act

    def to(other: str) -> Callable[[Send], Send]:
        return lambda act: Send(other, act.label, act.array, act.column)

    def as_(change: Callable[[Array], Array]) -> Commit:
        return _instead(lambda act: Send(act.to, act.label, change(act.array), act.column))

    for other in others:
        yield Fault(f"opened to {other}, too", _instead(same, to(other)), True, label)
        yield Fault(f"sent to {other}", _instead(to(other)), False, label)
    yield Fault("one value more", _instead(same, lambda a: Send(a.to, FRESH, a.array[:1])), True, gate.NOT_ON_THE_CARD)
    yield Fault("sent twice", _instead(same, same), True, label)
    if following:
        yield Fault("after the next", _reordered, False, following[0].label)
    yield Fault("left out", _instead(), False, following[0].label if following else label)
    yield Fault("one element more", as_(lambda array: np.concatenate([array, array[:1]])), False, label)
    yield Fault("one element less", as_(lambda array: array[:-1].copy()), False, label)
    yield Fault("as floating point", as_(lambda array: array.astype(np.float64)), False, label)
    yield Fault("as signed words", as_(lambda array: array.view(f"i{array.itemsize}")), False, label)
    yield Fault("in rows", as_(lambda array: array[None]), False, label)
    for known in sorted(set(subject.labels.values()) - {label}):
        wrong = _instead(lambda act, known=known: Send(act.to, known, act.array, act.column))  # type: ignore[misc]
        yield Fault(f"under the label {known}", wrong, False, known)
        break
    yield Fault(
        "under no label of the card",
        _instead(lambda act: Send(act.to, FRESH, act.array, act.column)),
        False,
        gate.NOT_ON_THE_CARD,
    )
    wrong = _instead(lambda act: Send(act.to, act.label, act.array, act.column + 1_000))
    yield Fault("of another column", wrong, False, label)


def faulty(honest: Callable[..., Role[Any]], step: Expected, commit: Commit) -> Callable[..., Role[Any]]:
    """The role, which commits a fault where it would send ``step``."""

    def role(*given: Any) -> Role[Any]:
        played = honest(*given)
        answer: Array | None = None
        while True:
            try:
                act = played.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(act, Send) and (act.label, act.column) == (step.label, step.slot.column):
                yield from commit(act, played)
                answer = None
            else:
                answer = yield act

    return role


# -- on the way -------------------------------------------------------------------------------------------------------

Deliver = Callable[[str, bytes], None]
"""Bring a frame of the same sender to the party that plays a role."""

Bend = Callable[[Passing, Deliver], Iterable[bytes]]


@dataclass(frozen=True)
class Bent:
    """``met``: the role whose mailbox meets it, what it says, the label that it names; or another one, if first."""

    name: str
    bend: Bend
    met: tuple[tuple[str, str, str], ...]


def remade(passing: Passing, change: Callable[[bytes], bytes] = bytes, slot: Slot | None = None) -> bytes:
    """The frame with another body, or under another header."""
    body = change(frame.read(passing.data)[1].tobytes())
    return next(iter(frame.frames(passing.head.run_id, slot or passing.head.slot, memoryview(body))))


def bends_of(subject: Subject, role: str, step: Expected) -> Iterator[Bent]:
    """Every fault of a hostile link that carries ``step`` of ``role``."""
    label, at, slot, width = step.label, step.role, step.slot, step.element.width
    on_this_way = [expected for expected in subject.sends(role) if expected.role == at]
    following = on_this_way[on_this_way.index(step) + 1 :][:1]

    def bent(name: str, bend: Bend, code: str, refused: str = label) -> Bent:
        return Bent(name, bend, ((at, code, refused),))

    yield bent("twice", lambda p, _: [p.data, p.data], "peer.repeated")
    yield bent("enlarged", lambda p, _: [remade(p, lambda b: b + bytes(width))], "peer.bad-length")
    yield bent("shrunk", lambda p, _: [remade(p, lambda b: b[:-width])], "peer.bad-length")
    yield bent("one byte more", lambda p, _: [remade(p, lambda b: b + b"x")], "peer.bad-length")
    yield bent("of another column", lambda p, _: [remade(p, slot=Slot(slot.message, 9_999))], "peer.unexpected")
    strange = Slot(999, 0)
    yield bent(
        "under no number of the card", lambda p, _: [remade(p, slot=strange)], "peer.unexpected", gate.NOT_ON_THE_CARD
    )
    yield bent(
        "with one more behind it",
        lambda p, _: [p.data, remade(p, slot=strange)],
        "peer.unexpected",
        gate.NOT_ON_THE_CARD,
    )
    for other in subject.players:
        if other in (role, at) or other in subject.bringing:  # who may have left, and then meets nothing
            continue
        for name, stays in ((f"to {other} as well", True), (f"to {other} instead", False)):

            def sent_on(p: Passing, deliver: Deliver, other: str = other, stays: bool = stays) -> Iterable[bytes]:
                deliver(other, p.data)
                return (p.data,) if stays else ()

            missed = () if stays else tuple((at, "peer.order", each.label) for each in following)
            yield Bent(name, sent_on, ((other, "peer.unexpected", label), *missed))
    if following and following[0].round == step.round:
        yield bent("after the next", _held_back(), "peer.order", following[0].label)


def _held_back() -> Bend:
    held: list[bytes] = []

    def bend(passing: Passing, deliver: Deliver) -> Iterable[bytes]:
        held.append(passing.data)
        return ()

    def release(passing: Passing) -> Iterable[bytes]:
        waiting, held[:] = tuple(held), []
        return (passing.data, *waiting)

    bend.release = release  # type: ignore[attr-defined]
    return bend


def tap_of(step: Expected, sender: str, bent: Bent, deliver: Callable[[bytes, str, bytes], None]) -> Any:
    """A tap that bends the frames of one step; ``deliver`` takes run id, role and frame."""
    release: Callable[[Passing], Iterable[bytes]] | None = getattr(bent.bend, "release", None)

    def tap(passing: Passing) -> Iterable[bytes]:
        if (passing.sender, passing.to) != (sender, step.peer):
            return (passing.data,)
        if passing.head.slot == step.slot:
            return bent.bend(passing, lambda role, data: deliver(passing.head.run_id, role, data))
        return release(passing) if release is not None else (passing.data,)

    return tap


def sizes(expected: Iterable[Expected]) -> list[tuple[str, Slot, int]]:
    """Receiver, place and bytes of a list of messages."""
    return [(each.peer, each.slot, each.size) for each in expected]
