"""A deployment in memory, looked over when its test is done: logs verify, and no identifier was left anywhere."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pets import network
from pets.party import consent, session
from pets.party.log import Log
from pets.plan.review import Review, review
from pets.spec.canonical import spec_digest
from pets.spec.model import Spec
from tests.party.cluster import Cluster, cluster
from tests.party.world import World

_REVIEWS: dict[str, Review] = {}


def _review(spec: Spec) -> Review:
    """Checking is pure: one specification is checked once for all tests, and not by every party in every one."""
    digest = spec_digest(spec)
    if digest not in _REVIEWS:
        _REVIEWS[digest] = review(spec)
    return _REVIEWS[digest]


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    monkeypatch.setattr(consent, "review", _review)
    monkeypatch.setattr(network, "review", _review)
    monkeypatch.setattr(session, "TELL_S", 0.2)
    made: list[World] = []

    def make(tables: dict[str, Any] | None = None, **options: Any) -> World:
        made.append(World(tmp_path / f"world{len(made)}", tables, **options))
        return made[-1]

    yield make
    for world in made:
        look_over(world)
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


def look_over(world: World) -> None:
    """What holds after every test, however its runs ended."""
    for party in world.servers:
        log = Log(world.states[party])
        log.verify()
        said = b"".join(entry.body for entry in log.entries()) + "\n".join(world.consoles[party]).encode()
        with world.states[party].reading() as db:
            kept = "\n".join(db.iterdump()).encode()
        # What an asker's server hands to its own people is the list that they asked for.
        between = (sent.body for sent in world.transcript if sent.to != f"{sent.sender}:result")
        for bytes_left in (said, kept, *between):
            assert b"IDENTITY-" not in bytes_left, f"an identifier was left at {party}"
            assert b"IDENTITY-".hex().upper().encode() not in bytes_left, f"an identifier was left at {party}"


@pytest.fixture(scope="session")
def database() -> Iterator[Cluster]:
    """A PostgreSQL server of this test session."""
    with cluster() as running:
        yield running
