"""Noise is drawn before a party knows that all others are there, and nothing on the wire depends on what was drawn."""

import random
import threading
from typing import Any

import pytest

from pets.party import prepare, session
from pets.party.warm import prepare_kernels
from pets.plan.review import Reviewed
from tests.check.corpus import PASS
from tests.party import sessions
from tests.party.test_traffic import shrunk

EXAMPLE = next(file for file in PASS if file.name == "ae_by_tenure.toml")


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare_kernels()


@pytest.fixture(scope="module")
def reviewed() -> Reviewed:
    return shrunk(EXAMPLE)


@pytest.fixture(scope="module")
def tables(reviewed: Reviewed) -> sessions.Tables:
    return sessions.draw_tables(reviewed, random.Random(1))


class Order:
    """What each party did when, by its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[int, str]] = []
        self.drawn: list[Any] = []
        draw, wait = prepare.noise_of, session.Session._await_hellos

        def drawing(*given: Any) -> Any:
            found = draw(*given)
            self.events.append((threading.get_ident(), "drawn"))
            self.drawn.append(found.tobytes())
            return found

        def waiting(party: session.Session) -> None:
            self.events.append((threading.get_ident(), "waits"))
            wait(party)
            self.events.append((threading.get_ident(), "agreed"))

        monkeypatch.setattr(prepare, "noise_of", drawing)
        monkeypatch.setattr(session.Session, "_await_hellos", waiting)


def test_every_party_has_drawn_its_noise_before_it_looks_whether_all_are_there(
    reviewed: Reviewed, tables: sessions.Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(monkeypatch)
    sessions.run(reviewed, tables)
    by_thread: dict[int, list[str]] = {}
    for thread, event in order.events:
        by_thread.setdefault(thread, []).append(event)
    assert list(by_thread.values()) == [["drawn", "waits", "agreed"]] * len(reviewed.spec.computing)


def test_other_noise_sends_the_same_arrays_in_the_same_order(
    reviewed: Reviewed, tables: sessions.Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(monkeypatch)
    sessions.noting(monkeypatch)
    first, second = (sessions.run(reviewed, tables) for _ in range(2))
    assert len(set(order.drawn)) == len(order.drawn) == 2 * len(reviewed.spec.computing)
    assert first.acts == second.acts
    assert all(first.acts[role] for role in ("a", "b", "helper"))
