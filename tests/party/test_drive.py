"""Driving one role: its acts in order, through gate and link, stopped at once by whatever says no."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, LinkError, PeerError, RunError
from pets.ids import PartyId
from pets.party.drive import drive
from pets.party.gate import Expected, Gate
from pets.protocols.base import Array, Role, Send, receive
from pets.secret import Secret
from pets.spec.cards import Element
from pets.transport import memory
from pets.transport.link import Slot
from pets.transport.memory import MemoryLink, MemoryNetwork

A, B = PartyId("a"), PartyId("b")
WORD = Element("word", 8)
COUNT = 5


def step(sending: bool, number: int, label: str, column: int = 0) -> Expected:
    return Expected(sending, "b", B, label, Slot(number, column), WORD, COUNT, number)


STEPS = (step(True, 1, "M1"), step(False, 2, "M2"), step(True, 3, "M3"))


def words(value: int) -> Array:
    return np.full(COUNT, value, np.uint64)


def role(closed: list[str] | None = None) -> Role[int]:
    """Send ones, receive, send what came plus one; return the first word that came."""
    try:
        yield Send("b", "M1", words(1))
        got = yield from receive("b", "M2")
        yield Send("b", "M3", got + np.uint64(1))
        return int(got[0])
    finally:
        if closed is not None:
            closed.append("closed")


class Pair:
    """Party a under test, and the link of b, which the test plays."""

    def __init__(self) -> None:
        self.network = MemoryNetwork((A, B), record=True)
        self.a: MemoryLink = self.network.link(A)
        self.b: MemoryLink = self.network.link(B)
        self.gate = Gate(STEPS, opening=Secret(bytes(32)))
        for number in (1, 3):
            self.b.expect(A, Slot(number, 0), 8 * COUNT)
        self.b.open()

    def answer(self, value: int = 7) -> None:
        self.b.send(A, Slot(2, 0), memoryview(words(value).tobytes()))

    def sent(self) -> list[int]:
        return [each.slot.message for each in self.network.transcript if each.sender == A]


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.gate.close()


def test_a_role_is_played_to_its_end_and_its_output_comes_back(pair: Pair) -> None:
    ticks: list[tuple[str, int]] = []
    pair.answer()
    got = drive(role(), pair.gate, pair.a, deadline_s=1, tick=lambda label, size, s: ticks.append((label, size)))
    assert got == 7
    assert pair.sent() == [1, 3]
    assert np.frombuffer(pair.b.receive(A, Slot(3, 0), 1), "<u8").tolist() == [8] * COUNT
    assert ticks == [("M1", 8 * COUNT), ("M2", 8 * COUNT), ("M3", 8 * COUNT)]


def test_the_link_is_open_with_all_it_expects_before_the_role_begins(pair: Pair) -> None:
    """A role may compute for seconds before its first act; a faster peer must find the door open."""

    def slow() -> Role[None]:
        assert pair.a._open
        pair.answer()
        assert pair.a.error is None
        yield Send("b", "M1", words(1))
        yield from receive("b", "M2")
        yield Send("b", "M3", words(1))

    drive(slow(), pair.gate, pair.a, deadline_s=1)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_stop_is_asked_for_before_every_act(pair: Pair, allowed: int) -> None:
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) > allowed:
            raise RunError("run.stopped", by="b")

    closed: list[str] = []
    pair.answer()
    with pytest.raises(RunError, match=r"run\.stopped"):
        drive(role(closed), pair.gate, pair.a, deadline_s=1, check=check)
    assert pair.sent() == [1, 3][: (allowed + 1) // 2]
    assert closed == ["closed"]


def other_roles() -> dict[str, Any]:
    def early() -> Role[None]:
        yield Send("b", "M3", words(1))

    def twice() -> Role[None]:
        yield Send("b", "M1", words(1))
        yield Send("b", "M1", words(1))

    def receives() -> Role[None]:
        yield from receive("b", "M2")

    def elsewhere() -> Role[None]:
        yield Send("c", "M1", words(1))

    def wide() -> Role[None]:
        yield Send("b", "M1", np.zeros(COUNT + 1, np.uint64))

    return {f.__name__: f for f in (early, twice, receives, elsewhere, wide)}


@pytest.mark.parametrize("name", other_roles())
def test_a_role_that_leaves_its_sequence_is_stopped_before_it_sends(pair: Pair, name: str) -> None:
    with pytest.raises(InternalError):
        drive(other_roles()[name](), pair.gate, pair.a, deadline_s=1)
    assert pair.sent() == ([1] if name == "twice" else [])


def test_a_role_that_goes_on_after_the_plan_is_stopped(pair: Pair) -> None:
    def more() -> Role[None]:
        yield Send("b", "M1", words(1))
        yield from receive("b", "M2")
        yield Send("b", "M3", words(1))
        yield Send("b", "M4", words(1))

    pair.answer()
    with pytest.raises(InternalError, match=r"internal\.gate"):
        drive(more(), pair.gate, pair.a, deadline_s=1)
    assert pair.sent() == [1, 3]


def test_what_never_comes_ends_at_the_deadline_and_closes_the_role(pair: Pair) -> None:
    closed: list[str] = []
    with pytest.raises(LinkError, match=r"link\.deadline"):
        drive(role(closed), pair.gate, pair.a, deadline_s=0.05)
    assert closed == ["closed"]


def test_what_was_not_expected_ends_the_role_at_its_next_act(pair: Pair) -> None:
    pair.a.open()
    pair.b.send(A, Slot(9, 0), memoryview(b"surprise"))
    with pytest.raises(PeerError, match=r"peer\.unexpected"):
        drive(role(), pair.gate, pair.a, deadline_s=1)
    assert pair.sent() == []


def test_a_cut_connection_ends_the_role(pair: Pair) -> None:
    pair.network.taps.append(memory.on(A, B, Slot(1, 0), memory.cut))
    with pytest.raises(LinkError, match=r"link\.cut"):
        drive(role(), pair.gate, pair.a, deadline_s=1)


def test_a_bug_in_the_role_passes_through(pair: Pair) -> None:
    def broken() -> Role[None]:
        yield Send("b", "M1", words(1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(broken(), pair.gate, pair.a, deadline_s=1)
