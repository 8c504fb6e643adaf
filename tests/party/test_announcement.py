import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pets.errors import PeerError, RunError
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.party import announcement, hello
from pets.party.announcement import Announcement
from pets.spec.canonical import canonical

ONE, TWO = PartyId("one"), PartyId("two")
COMPUTING = (ONE, TWO)
AGREED = hello.Agreed(SpecDigest("1a" * 32), PlanDigest("2b" * 32), "3c" * 32, hello.NO_DUMMIES)
HELLOS = {
    ONE: hello.make(AGREED, bytes(16), {TWO: bytes([1] * 32)}, upload=bytes([3] * 32)),
    TWO: hello.make(AGREED, bytes(16), {ONE: bytes([2] * 32)}, upload=bytes([4] * 32)),
}
RESULT = hello.make(AGREED, bytes([9] * 16), {})
WHEN = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def said(hellos: dict[PartyId, hello.Hello] = HELLOS, result: hello.Hello = RESULT) -> Announcement:
    bodies = {party: each.body for party, each in hellos.items()}
    run = hello.run_id([*bodies.values(), result.body])
    return Announcement(run_id=run, digest=AGREED.spec, hellos=bodies, result=result.body, deadline=WHEN, open=True)


SAID = said()
FIELDS = json.loads(announcement.encode(SAID))


def test_an_announcement_reads_back_as_it_was_made() -> None:
    assert announcement.decode(announcement.encode(SAID), peer=ONE) == SAID


def test_a_time_has_one_form() -> None:
    elsewhere = replace(SAID, deadline=WHEN.astimezone(dt.timezone(dt.timedelta(hours=2))))
    assert announcement.encode(elsewhere) == announcement.encode(SAID)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[" * 9000,
        b"\xff",
        json.dumps(FIELDS).encode(),
        canonical({**FIELDS, "pets": 2}),
        canonical({**FIELDS, "pets": True}),
        canonical({**FIELDS, "open": 1}),
        canonical({**FIELDS, "run": "ab"}),
        canonical({**FIELDS, "run": "AB" * 32}),
        canonical({**FIELDS, "spec": 5}),
        canonical({**FIELDS, "spec": "ab"}),
        canonical({**FIELDS, "hellos": []}),
        canonical({**FIELDS, "hellos": {"one": 5}}),
        canonical({**FIELDS, "result": None}),
        canonical({**FIELDS, "deadline": "2026-03-01T12:00:00"}),
        canonical({**FIELDS, "deadline": "2026-03-01T12:00:00+02:00"}),
        canonical({**FIELDS, "deadline": "tomorrow"}),
        canonical({**FIELDS, "deadline": 5}),
        canonical({**FIELDS, "more": 1}),
        canonical({name: FIELDS[name] for name in FIELDS if name != "open"}),
        canonical({**FIELDS, "result": "x" * announcement.MAX_BYTES}),
    ],
    ids=lambda body: body[:40].decode("utf-8", "replace"),
)
def test_what_is_not_the_one_form_is_no_announcement(body: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        announcement.decode(body, peer=ONE)
    assert caught.value.code == "peer.announcement"
    assert caught.value.fields["peer"] == ONE


def test_what_all_announce_is_what_a_holder_relies_on() -> None:
    later = replace(SAID, deadline=WHEN + dt.timedelta(minutes=3), open=False)
    found = announcement.check({TWO: later, ONE: SAID}, AGREED, COMPUTING)
    assert found.run_id == SAID.run_id
    assert found.uploads == (bytes([3] * 32), bytes([4] * 32))
    assert tuple(found.hellos) == COMPUTING
    assert found.deadline == WHEN
    assert found.closed == (TWO,)


def _other(**change: object) -> hello.Agreed:
    return replace(AGREED, **change)  # type: ignore[arg-type]


def _with_one(made: hello.Hello) -> Announcement:
    return said({**HELLOS, ONE: made})


BAD: dict[str, tuple[Callable[[], Announcement], str]] = {
    "another run id": (lambda: replace(SAID, run_id=bytes(32)), "peer.announcement"),
    "another specification": (lambda: replace(SAID, digest=SpecDigest("ff" * 32)), "peer.announcement"),
    "a party too few": (lambda: said({ONE: HELLOS[ONE]}), "peer.announcement"),
    "a party too many": (lambda: said({**HELLOS, PartyId("x"): HELLOS[ONE]}), "peer.announcement"),
    "a hello for another plan": (
        lambda: _with_one(hello.make(_other(plan="ff" * 32), bytes(16), HELLOS[ONE].keys, upload=bytes([3] * 32))),
        "run.other-plan",
    ),
    "a hello for other cards": (
        lambda: _with_one(hello.make(_other(cards="ff" * 32), bytes(16), HELLOS[ONE].keys, upload=bytes([3] * 32))),
        "run.other-cards",
    ),
    "a hello without a key for uploads": (
        lambda: _with_one(hello.make(AGREED, bytes(16), HELLOS[ONE].keys)),
        "peer.hello",
    ),
    "a hello with a key for nobody": (
        lambda: _with_one(hello.make(AGREED, bytes(16), {PartyId("x"): bytes(32)}, upload=bytes([3] * 32))),
        "peer.hello",
    ),
    "a hello that commits to rows": (
        lambda: _with_one(hello.make(AGREED, bytes(16), HELLOS[ONE].keys, {"visits": "0" * 64}, bytes([3] * 32))),
        "peer.hello",
    ),
    "a result party with a key": (
        lambda: said(result=hello.make(AGREED, bytes(16), {}, upload=bytes([3] * 32))),
        "peer.hello",
    ),
    "a result party that runs something else": (
        lambda: said(result=hello.make(_other(spec=SpecDigest("ff" * 32)), bytes(16), {})),
        "run.other-spec",
    ),
    "no hello": (lambda: replace(SAID, hellos={**SAID.hellos, ONE: b"hello"}), "peer.hello"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("by", ["one of them", "all of them"])
def test_an_announcement_that_does_not_hang_together_is_refused(name: str, by: str) -> None:
    make, code = BAD[name]
    said_by = {ONE: make(), TWO: make() if by == "all of them" else SAID}
    with pytest.raises((PeerError, RunError)) as caught:
        announcement.check(said_by, AGREED, COMPUTING)
    assert caught.value.code == code


def test_computing_parties_that_announce_two_runs_are_refused() -> None:
    other = said({**HELLOS, ONE: hello.make(AGREED, bytes([7] * 16), HELLOS[ONE].keys, upload=bytes([5] * 32))})
    with pytest.raises(PeerError) as caught:
        announcement.check({ONE: SAID, TWO: other}, AGREED, COMPUTING)
    assert (caught.value.code, caught.value.fields["peer"]) == ("peer.announcement", TWO)


def test_all_computing_parties_have_to_announce_a_run() -> None:
    with pytest.raises(PeerError) as caught:
        announcement.check({ONE: SAID}, AGREED, COMPUTING)
    assert caught.value.fields["peer"] == TWO
