"""Events of a run for any number of watchers, and hellos that come early."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pets.errors import PeerError
from pets.ids import PartyId, RunHandle
from pets.party import runs
from pets.party.runs import EARLY_HELLOS, EARLY_OF_ONE, EARLY_S, Events, Hellos
from pets.transport.calls import Event

A, B, C = PartyId("a"), PartyId("b"), PartyId("c")


def told(events: Events) -> list[tuple[str, str, int, str]]:
    return [(e.kind, e.name, e.moved, e.code) for e in events.follow() if e.name != "alive"]


def test_who_comes_late_is_told_everything_from_the_beginning() -> None:
    events = Events()
    events.step("M1", 10, 0.1)
    events.step("M2", 20, 0.1)
    events.end("")
    assert told(events) == [("step", "M1", 10, ""), ("step", "M2", 20, ""), ("end", "finished", 0, "")]
    assert told(events) == told(events)
    assert events.last_step == "M2"


def test_a_bad_end_has_its_code() -> None:
    events = Events()
    events.end("link.deadline")
    assert told(events) == [("end", "aborted", 0, "link.deadline")]


def test_a_stop_says_who_stopped() -> None:
    events = Events()
    events.end("run.stopped", "b")
    assert told(events) == [("end", "b", 0, "run.stopped")]


def test_all_watchers_see_all_events_in_order_and_their_streams_end() -> None:
    events, ready = Events(), threading.Barrier(5)

    def watch(_: int) -> list[tuple[str, str, int, str]]:
        ready.wait(10)
        return told(events)

    with ThreadPoolExecutor(4) as pool:
        watchers = [pool.submit(watch, i) for i in range(4)]
        ready.wait(10)
        for number in range(200):
            events.step(f"M{number}", number, 0.0)
        events.end("")
        seen = [watcher.result(20) for watcher in watchers]
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert [name for _, name, _, _ in seen[0]] == [*(f"M{number}" for number in range(200)), "finished"]


def test_a_quiet_run_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ALIVE_S", 0.01)
    events = Events()
    following = events.follow()
    assert next(following).name == "alive"
    assert next(following).name == "alive"
    events.end("")
    assert [event.kind for event in following if event.name != "alive"] == ["end"]


def test_times_ascend() -> None:
    events = Events()
    for number in range(5):
        events.step(f"M{number}", 0, 0.0)
    events.end("")
    times = [event.elapsed_ms for event in events.follow() if isinstance(event, Event)]
    assert times == sorted(times)


def handle(number: int) -> RunHandle:
    return RunHandle(f"{number:032x}")


def test_an_early_hello_is_kept_for_its_run_and_taken_once() -> None:
    hellos = Hellos()
    hellos.keep(handle(1), A, b"of a")
    hellos.keep(handle(1), B, b"of b")
    hellos.keep(handle(2), A, b"other")
    assert sorted(hellos.take(handle(1))) == [(A, b"of a"), (B, b"of b")]
    assert hellos.take(handle(1)) == []
    assert hellos.take(handle(2)) == [(A, b"other")]


def test_one_peer_says_hello_once() -> None:
    hellos = Hellos()
    hellos.keep(handle(1), A, b"first")
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hellos.keep(handle(1), A, b"second")
    assert hellos.take(handle(1)) == [(A, b"first")]


def test_one_peer_cannot_take_the_room_of_the_others() -> None:
    hellos = Hellos()
    for number in range(EARLY_OF_ONE):
        hellos.keep(handle(number), A, b"flood")
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hellos.keep(handle(9_999), A, b"flood")
    hellos.keep(handle(9_999), B, b"welcome")
    assert hellos.take(handle(9_999)) == [(B, b"welcome")]


def test_there_is_room_for_so_many_in_all() -> None:
    hellos = Hellos()
    for number in range(EARLY_HELLOS):
        hellos.keep(handle(number), PartyId(f"p{number}"), b"hello")
    with pytest.raises(PeerError, match=r"peer\.hello"):
        hellos.keep(handle(999), C, b"hello")


def test_an_early_hello_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(runs.time, "monotonic", lambda: now[0])
    hellos = Hellos()
    for number in range(EARLY_OF_ONE):
        hellos.keep(handle(number), A, b"old")
    now[0] = EARLY_S + 1
    hellos.keep(handle(99), A, b"new")
    assert hellos.take(handle(1)) == []
    assert hellos.take(handle(99)) == [(A, b"new")]
