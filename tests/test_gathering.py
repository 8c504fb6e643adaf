"""The holders of a run as their client reaches them: side by side, again and again, and nobody keeps the others."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pets import gathering
from pets.errors import ApprovalError, LinkError, PetsError, RunError
from pets.gathering import Gathering, Holder, failing
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.participation import SENT
from pets.transport.calls import Event, Evidence, StartRequest

REQUEST = StartRequest(RunHandle("1" * 32), SpecDigest("2" * 64), b"hello")
END = Event("end", "sent", 1)


class Fake:
    """A holder's server. ``starts``: what each start raises, in turn; then it works. ``watches``: what is seen."""

    def __init__(self, party: str, starts: tuple[str, ...] = (), watches: Callable[[], Iterator[Event]] | None = None):
        self.party, self.left = PartyId(party), list(starts)
        self.watches = watches or (lambda: iter([END]))
        self.started = self.stopped = 0
        self.signed = True

    def start(self, request: StartRequest) -> bytes:
        self.started += 1
        if self.left:
            raise error(self.left.pop(0), self.party)
        return b""

    def watch(self, handle: RunHandle, deadline_s: float) -> Iterator[Event]:
        return self.watches()

    def receipt(self, handle: RunHandle) -> bytes:
        if not self.signed:
            raise RunError("run.no-receipt", handle=handle)
        return b"receipt"

    def evidence(self, digest: SpecDigest) -> Evidence:
        return Evidence(())

    def stop(self, handle: RunHandle) -> None:
        self.stopped += 1


def error(code: str, party: PartyId) -> PetsError:
    if code.startswith("link."):
        return LinkError(code, peer=party, seconds=1, step="x")
    if code.startswith("approval."):
        return ApprovalError(code, party=party, need=1, have=0)
    return RunError(code, party=party, handle=REQUEST.handle)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(gathering, "LONGEST_PAUSE_S", 0.02)


def gather(*servers: Fake, seconds: float = 5.0) -> Gathering:
    known: Any = {server.party: server for server in servers}
    return Gathering(known, tuple(known), REQUEST, seconds=seconds)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def told(holders: Any) -> dict[str, str | None]:
    found: dict[str, str | None] = {party: each.code for party, each in holders.items()}
    return found


def test_each_ends_as_it_says() -> None:
    silent = Fake("d")
    silent.signed = False
    servers = [
        Fake("a"),
        Fake("b", ("approval.too-few",)),
        Fake("c", watches=lambda: iter([Event("end", "x", 1, 0, "peer.upload-late")])),
        silent,
    ]
    made = gather(*servers)
    until(lambda: len(made.away) == 4)
    assert told(made.close(1.0)) == {"a": SENT, "b": "approval.too-few", "c": "peer.upload-late", "d": "run.crashed"}
    assert made.sent == 1


def test_who_is_away_is_asked_again_and_who_refuses_is_not() -> None:
    late, no = Fake("late", ("link.unreachable", "link.busy", "run.busy")), Fake("no", ("run.no-spec",))
    made = gather(late, no)
    until(lambda: made.sent == 1)
    made.close(1.0)
    assert (late.started, no.started) == (4, 1)


def test_when_uploads_are_over_nobody_new_is_asked() -> None:
    away = Fake("away", ("link.unreachable",) * 10_000)
    made = gather(away, seconds=0.1)
    time.sleep(0.3)
    asked = away.started
    time.sleep(0.1)
    assert away.started == asked >= 1, "it was asked while there was time, and at least once"
    assert made.away == {"away": "link.unreachable"}
    assert told(made.close(1.0)) == {"away": None}
    assert away.started <= asked + 1, "what became of a start whose answer may have been lost is asked once more"


def test_one_server_less_in_the_directory_is_a_holder_away() -> None:
    made = Gathering({}, (PartyId("gone"),), REQUEST, seconds=1.0)
    until(lambda: made.away == {"gone": "link.unreachable"})
    made.close(0.1)


def test_who_never_ends_keeps_nobody_else_from_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """More stuck holders than threads, all before the ones that work."""
    monkeypatch.setattr(gathering, "TURN_S", 0.1)

    def stuck() -> Iterator[Event]:
        while True:
            time.sleep(0.02)
            yield Event("state", "alive", 1)

    bad = [Fake(f"bad{number}", watches=stuck) for number in range(gathering.THREADS + 8)]
    good = [Fake(f"good{number}") for number in range(5)]
    made = gather(*bad, *good, seconds=30.0)
    until(lambda: made.sent == 5)
    assert all(each.started == 1 for each in (*bad, *good)), "watching again is no second start"
    made.stop()
    until(lambda: all(each.stopped for each in bad))
    assert not any(each.stopped for each in good)


def test_no_more_than_so_many_at_one_time() -> None:
    now, most, lock = [0], [0], threading.Lock()

    def busy() -> Iterator[Event]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        yield END

    made = gather(*(Fake(f"h{number}", watches=busy) for number in range(100)))
    until(lambda: made.sent == 100)
    made.close(1.0)
    assert 1 < most[0] <= gathering.THREADS


def test_what_goes_wrong_for_some_of_many_is_said_of_them() -> None:
    def act(party: PartyId) -> None:
        if party == "b":
            raise LinkError("link.unreachable", peer=party)

    found = failing(act, [PartyId(name) for name in "abc"])
    assert {party: each.code for party, each in found.items()} == {"b": "link.unreachable"}
    assert Holder(PartyId("a")).code is None


@pytest.mark.parametrize("said", ["<b>counts twice</b>", "run.crashed\nboard-2 did not pay"])
def test_what_a_holder_s_server_makes_up_is_not_passed_on_as_a_code(said: str) -> None:
    one = Fake("board-1", watches=lambda: iter([Event("end", "aborted", 1, 0, said)]))
    found = gather(one)
    until(lambda: bool(found.away))
    assert told(found.close(1.0)) == {"board-1": "peer.answer"}
    assert found.sent == 0
