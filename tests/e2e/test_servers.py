"""Real servers over loopback: the whole way, crashes, restarts, stops, strangers and hostile peers."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from pets.errors import BudgetError, LinkError, PetsError, RunError, SourceError
from pets.ids import PartyId, RunHandle
from pets.party.evidence import verify_evidence
from pets.party.identity import Authority, make_credentials
from pets.party.log import Log
from pets.party.state import RunState
from pets.result import evidence_keys, recompute
from pets.transport import frame
from pets.transport.calls import Event, StartRequest
from pets.transport.grpc import DELIVER, Address, Dialler, GrpcLink
from pets.transport.link import Slot
from pets.transport.remote import Remote
from tests.e2e.running import PEOPLE, SECRET, SLOW, Running, meanwhile, titled
from tests.party.world import ANALYST, BOARD, COMPUTING, COUNCIL, HELPER, NUMBER

NOW = dt.datetime.now(dt.UTC)


def fresh() -> RunHandle:
    return RunHandle(os.urandom(16).hex())


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it has not happened"
        time.sleep(0.02)


def under_way(running: Running, party: PartyId, handle: RunHandle) -> bool:
    return any(kind == "run.agreed" and body["handle"] == handle for kind, body in running.log(party))


# -- the whole way ----------------------------------------------------------------------------------------------------


def test_the_whole_way(running: Running, tmp_path: Path) -> None:
    toml, handle = titled("The whole way"), fresh()
    reviewed = running.ready(toml)
    events: list[tuple[PartyId, Event]] = []
    result = running.net().run(toml, progress=lambda party, event: events.append((party, event)), handle=handle)
    assert len(result.to_pandas()) == 9
    assert result.receipts.keys() == set(COMPUTING)
    assert {party for party, event in events if event.kind == "end" and not event.code} == set(COMPUTING)
    folder = result.save(tmp_path / "result.csv")
    keys = evidence_keys(running.deployment.directory)
    assert verify_evidence(folder, keys=keys, recompute=recompute(toml))
    assert sum(each.size for each in result.steps if each.party == BOARD) > 0
    for party in COMPUTING:
        assert running.ends(party, handle) == ["finished"]
        with running.state(party) as state:
            assert state.runs_used(reviewed.digest) == 1


def test_a_server_that_restarts_between_approval_and_run_runs(running: Running) -> None:
    toml = titled("Restarted")
    running.ready(toml)
    running.processes[BOARD].stop()
    running.start(BOARD)
    assert running.net().run(toml).receipts.keys() == set(COMPUTING)
    assert ("server.stopped", {}) in running.log(BOARD)


def test_two_clients_run_two_specifications_at_once(running: Running) -> None:
    tomls = [titled("One of two"), titled("The other of two")]
    for toml in tomls:
        running.ready(toml)
    results: list[Any] = []
    threads = [meanwhile(lambda toml=toml: results.append(running.net().run(toml))) for toml in tomls]
    for thread in threads:
        thread.join(60)
    assert [len(result.receipts) for result in results] == [3, 3]


# -- crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [HELPER, BOARD])
def test_a_server_killed_in_mid_run_opens_nothing_and_forgets_nothing(running: Running, party: PartyId) -> None:
    toml, handle = titled(f"{party} killed", *SLOW, ("max_runs = 3", "max_runs = 1")), fresh()
    reviewed = running.ready(toml)
    killed = threading.Event()

    def kill(who: PartyId, event: Event) -> None:
        if who == party and event.moved and not killed.is_set():
            killed.set()
            running.kill(party)

    before, states = running.charges("stays")
    with pytest.raises(PetsError):
        running.net().run(toml, progress=kill, handle=handle)
    assert killed.is_set()
    running.start(party)
    others = [other for other in COMPUTING if other != party]
    for other in others:
        eventually(lambda other=other: bool(running.ends(other, handle)))
        assert running.ends(other, handle) != ["finished"]
    assert running.ends(party, handle) == ["run.crashed"]
    for each in COMPUTING:
        running.verify_log(each)
        with running.state(each) as state:
            assert state.runs_used(reviewed.digest) == (1 if under_way(running, each, handle) else 0)
            assert state.run(handle).state == RunState.ABORTED
            assert state.run(handle).receipt is None
    assert under_way(running, party, handle)
    after, states_after = running.charges("stays")
    assert float(eval(after)) == float(eval(before)) + 1.5
    assert states_after == [*states, "reserved"]
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        running.net().run(toml)


# -- stops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", COMPUTING)
def test_a_stop_by_any_party_opens_nothing(running: Running, party: PartyId) -> None:
    toml, handle = titled(f"Stopped by {party}", *SLOW), fresh()
    running.ready(toml)
    stopped = threading.Event()

    def stop(who: PartyId, event: Event) -> None:
        if event.moved and not stopped.is_set():
            stopped.set()
            running.net(party).stop(handle)

    with pytest.raises(RunError) as caught:
        running.net().run(toml, progress=stop, handle=handle)
    for each in COMPUTING:
        eventually(lambda each=each: bool(running.ends(each, handle)))
    ends = {each: running.ends(each, handle) for each in COMPUTING}
    assert "run.stopped" in (caught.value.code, caught.value.fields.get("reason")), (caught.value.fields, ends)
    assert "finished" not in [*ends[HELPER], *ends[BOARD]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_client_that_is_told_to_end_stops_the_run_at_all_parties(
    running: Running, tmp_path: Path, number: signal.Signals
) -> None:
    toml = titled(f"Ended by {number.name}", ("max_rows = 40", "max_rows = 2_000_000"))
    running.ready(toml)
    spec, out = tmp_path / "spec.toml", tmp_path / "result.csv"
    spec.write_text(toml)
    command = [sys.executable, "-m", "pets.cli", "run", str(spec)]
    command += ["--directory", str(running.deployment.directory), "--out", str(out)]
    seen = {party: len(running.log(party)) for party in COMPUTING}

    def agreed(party: PartyId) -> str | None:
        return next((b["handle"] for k, b in running.log(party)[seen[party] :] if k == "run.agreed"), None)

    ours = signal.signal(number, signal.default_int_handler)  # a child ignores what we ignore, in the background say
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(number, ours)
    try:
        eventually(lambda: agreed(BOARD) is not None or child.poll() is not None, 60)
        handle = agreed(BOARD)
        child.send_signal(number)
        _, told = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait(10)
    assert child.returncode == 130
    assert told.endswith(b"pets: stopped\n")
    assert handle is not None
    assert not out.exists()
    for party in COMPUTING:
        eventually(lambda party=party: bool(running.ends(party, handle)))
        assert running.ends(party, handle)[0] in ("run.stopped", "peer.aborted")


# -- who may call -----------------------------------------------------------------------------------------------------


def every_call(remote: Remote) -> Iterator[Callable[[], object]]:
    handle = fresh()
    yield remote.describe
    yield lambda: remote.submit(b"pets = 1", b"{}")
    yield lambda: remote.approve(b"{}")
    yield lambda: remote.revoke(b"{}")
    yield remote.pending
    yield lambda: remote.evidence("ab" * 32)  # type: ignore[arg-type]
    yield lambda: remote.snapshot("ab" * 32)  # type: ignore[arg-type]
    yield lambda: remote.start(StartRequest(handle, "ab" * 32, b"{}"))  # type: ignore[arg-type]
    yield lambda: list(remote.watch(handle, 5.0))
    yield lambda: remote.stop(handle)
    yield lambda: remote.receipt(handle)
    yield lambda: remote.hello(handle, b"{}")
    yield lambda: remote.abort(bytes(32), "run.stopped")
    yield lambda: remote.conclude(handle, 5.0)


@pytest.fixture
def stranger_of_the_right_ca(running: Running) -> Iterator[Dialler]:
    shown = make_credentials(running.authority, "stranger", "spiffe://stranger.example/pets", now=NOW)
    dialler = Dialler(shown, running.config(BOARD).directory.addresses())
    yield dialler
    dialler.close()


def test_the_right_ca_with_a_wrong_san_gets_no_answer_to_any_call(stranger_of_the_right_ca: Dialler) -> None:
    for party in COMPUTING:
        for call in every_call(Remote(stranger_of_the_right_ca, party)):
            with pytest.raises(LinkError, match=r"link\.stranger"):
                call()


def test_a_certificate_of_another_ca_gets_no_connection(running: Running) -> None:
    other = Authority.create("pets on one host", now=NOW)
    shown = make_credentials(other, "statistics", "spiffe://statistics.example/pets", now=NOW)
    shown = type(shown)(shown.certificate, shown.key, running.authority.certificate)
    dialler = Dialler(shown, running.config(BOARD).directory.addresses())
    try:
        with pytest.raises(LinkError, match=r"link\.(unreachable|cut)"):
            Remote(dialler, BOARD).describe()
    finally:
        dialler.close()


def test_a_server_with_the_certificate_of_another_party_is_not_spoken_to(running: Running) -> None:
    config = running.config(BOARD)
    addresses = dict(config.directory.addresses())
    addresses[COUNCIL] = Address(addresses[HELPER].endpoint, addresses[COUNCIL].san)
    dialler = Dialler(config.credentials, addresses)
    try:
        with pytest.raises(LinkError, match=r"link\.unreachable"):
            Remote(dialler, COUNCIL).describe()
    finally:
        dialler.close()


def test_what_is_for_a_partys_own_people_is_refused_to_every_other_certificate(running: Running) -> None:
    toml = titled("Own people")
    reviewed = running.ready(toml, freeze=False)
    for caller in (COUNCIL, HELPER, ANALYST):
        server = running.net(caller).server(BOARD)
        with pytest.raises(RunError, match=r"run\.not-yours"):
            server.pending()
        with pytest.raises(RunError, match=r"run\.not-yours"):
            server.snapshot(reviewed.digest)
    for caller in COMPUTING:
        with pytest.raises(RunError, match=r"run\.not-yours"):
            running.net(caller).run(toml)
    for party in COMPUTING:
        with running.state(party) as state:
            assert state.runs_used(reviewed.digest) == 0


# -- hostile peers ----------------------------------------------------------------------------------------------------

M4 = Slot(NUMBER["M4"], 0)


class Bent:
    """The honest link of a hostile helper, bent at its first message to the board."""

    def __init__(self, link: GrpcLink, dialler: Dialler, bend: Callable[["Bent", memoryview], None]) -> None:
        self.link, self.dialler, self.bend = link, dialler, bend
        self.silent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)

    def send(self, peer: PartyId, slot: Slot, body: memoryview) -> None:
        if (peer, slot) == (BOARD, M4):
            self.bend(self, body)
        elif not (self.silent and peer == BOARD):
            self.link.send(peer, slot, body)

    def raw(self, frames: Iterator[bytes]) -> grpc.StatusCode:
        """Send frames of our own making; how the board's server ends the call."""
        call = self.dialler.channel(BOARD).stream_unary(DELIVER)
        try:
            call(frames, timeout=30)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    def frame(self, total: int, index: int = 0) -> bytes:
        """A frame of M4 that claims ``total`` bytes; its body is a whole chunk, or all of it."""
        size = min(total, frame.CHUNK)
        data = bytearray(next(iter(frame.frames(self.link.mailbox.run_id, M4, memoryview(bytes(size))))))
        at = data.index(size.to_bytes(8, "little"), 32)
        data[at : at + 8] = total.to_bytes(8, "little")
        data[at + 8 : at + 12] = index.to_bytes(4, "little")
        return bytes(data)


def stall(bent: Bent, body: memoryview) -> None:
    """Say nothing more, and keep the connection."""
    bent.silent = True


def left_out(bent: Bent, body: memoryview) -> None:
    """Go on with the next message as if this one had been sent."""


def wrong_length(bent: Bent, body: memoryview) -> None:
    bent.link.send(BOARD, M4, memoryview(bytes(body) + b"more"))


def wrong_label(bent: Bent, body: memoryview) -> None:
    bent.link.send(BOARD, Slot(NUMBER["M7a"], 0), body)


def extra_message(bent: Bent, body: memoryview) -> None:
    bent.link.send(BOARD, M4, body)
    bent.link.send(BOARD, Slot(50, 0), memoryview(b"extra"))


def twice(bent: Bent, body: memoryview) -> None:
    bent.link.send(BOARD, M4, body)
    bent.link.send(BOARD, M4, body)


def claim_of_10_gb(bent: Bent, body: memoryview) -> None:
    bent.raw(iter([bent.frame(10_000_000_000)]))


def flood_of_10_gb(bent: Bent, body: memoryview) -> None:
    one, sent = bent.frame(10_000_000_000), 0

    def frames() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10_000_000_000:
            sent += len(one)
            yield one

    assert bent.raw(frames()) != grpc.StatusCode.OK
    assert sent < 256 << 20  # what fits into buffers on the way; the board read one frame


def one_huge_frame(bent: Bent, body: memoryview) -> None:
    assert bent.raw(iter([bytes(64 << 20)])) == grpc.StatusCode.RESOURCE_EXHAUSTED
    bent.link.abort("internal.bug")


def disconnect(bent: Bent, body: memoryview) -> None:
    """The first half of a message, then the connection is gone."""

    def half() -> Iterator[bytes]:
        data = next(iter(frame.frames(bent.link.mailbox.run_id, M4, body)))
        yield data[:-7]

    bent.raw(half())
    bent.dialler.close()


HOSTILE = {
    stall: {"link.deadline"},
    left_out: {"peer.order"},
    wrong_length: {"peer.bad-length"},
    wrong_label: {"peer.unexpected"},
    extra_message: {"peer.unexpected"},
    twice: {"peer.repeated"},
    claim_of_10_gb: {"peer.bad-length", "peer.frame"},
    flood_of_10_gb: {"peer.bad-length", "peer.frame"},
    one_huge_frame: {"peer.aborted"},
    disconnect: {"peer.frame", "peer.order", "link.cut", "link.deadline", "peer.aborted"},
}


def test_hostile_helpers_end_their_run_and_nothing_else(running: Running) -> None:
    """Every case is a run of its own against the same two servers, which serve an honest run afterwards."""
    cases = list(HOSTILE.items())
    now: list[Callable[[Bent, memoryview], None]] = []
    hostile = titled("Hostile", ("max_runs = 3", f"max_runs = {len(cases)}"))
    with running.hostile(HELPER, lambda link, dialler: Bent(link, dialler, now[0])):  # type: ignore[arg-type, return-value]
        before = psutil.Process(running.processes[BOARD].child.pid).memory_info().rss
        running.ready(hostile)
        for bend, codes in cases[:-1]:
            check_hostile(running, hostile, bend, codes, now)
        grown = psutil.Process(running.processes[BOARD].child.pid).memory_info().rss - before
        assert grown < 400 << 20
        check_hostile(running, hostile, *cases[-1], now)  # closes the connections of this hostile helper
    assert running.alive(BOARD, COUNCIL, HELPER)
    toml = titled("After the hostile ones")
    running.ready(toml)
    assert running.net().run(toml).receipts.keys() == set(COMPUTING)


def check_hostile(
    running: Running, toml: str, bend: Callable[[Bent, memoryview], None], codes: set[str], now: list[Any]
) -> None:
    name, handle = bend.__name__, fresh()
    now[:] = [bend]
    with pytest.raises(PetsError):
        running.net(deadline_s=30.0).run(toml, handle=handle)
    eventually(lambda: bool(running.ends(BOARD, handle)))
    (code,) = running.ends(BOARD, handle)
    assert code in codes, f"{name}: {code}"
    assert running.alive(BOARD, COUNCIL), name
    running.verify_log(BOARD)


# -- what is left behind ----------------------------------------------------------------------------------------------

BAD_ROW = "IDENTITY-bad,SECRETLEVEL,8642013579,2026-05-01\n"


def test_bad_records_are_told_to_their_holder_alone(running: Running) -> None:
    toml = titled("Bad records")
    reviewed = running.ready(toml, freeze=False)
    seen = len(running.console(BOARD))
    running.write_records(BAD_ROW)
    try:
        with pytest.raises(SourceError) as caught:
            running.net().run(toml)
        assert (caught.value.code, caught.value.fields["party"]) == ("source.not-ready", BOARD)
        assert caught.value.local == ()
        with pytest.raises(SourceError, match=r"source\.(level|range)"):
            running.net(BOARD).server(BOARD).snapshot(reviewed.digest)
    finally:
        running.write_records()
    said = running.console(BOARD)[seen:]
    assert f"1 row: {len(PEOPLE) + 2}" in said  # the row in the file, its header counted
    assert "stays.csv" in said
    for party in COMPUTING:
        assert "SECRETLEVEL" not in running.console(party)
        assert "8642013579" not in running.console(party)


def test_no_identifier_and_no_value_is_left_outside_its_holders_snapshot(running: Running, tmp_path: Path) -> None:
    toml = titled("Traces")
    running.ready(toml)
    running.net().run(toml).save(tmp_path / "result.csv")
    marks = [b"IDENTITY-", SECRET.encode(), b"SECRETLEVEL", b"8642013579"]
    marks += [mark.hex().encode() for mark in marks] + [int(SECRET).to_bytes(8, "little")]
    looked_at = 0
    for file in [*running.deployment.folder.rglob("*"), *tmp_path.rglob("*")]:
        if not file.is_file() or file.suffix == ".parquet":
            continue
        looked_at += 1
        content = file.read_bytes()
        for mark in marks:
            assert mark not in content, f"{mark!r} is in {file.name} of {file.parent.name}"
    assert looked_at > 30
    for party in (COUNCIL, BOARD):
        home = running.deployment.folder / party
        own = {file.name.split("-")[0] for file in home.rglob("*.parquet")}
        assert own == {"stays" if party == BOARD else "homes"}
    assert not list((running.deployment.folder / HELPER).rglob("*.parquet"))
    assert not list((running.deployment.folder / ANALYST).rglob("*.parquet"))
    assert all(file.stat().st_mode & 0o077 == 0 for file in running.deployment.folder.rglob("*.parquet"))


def test_all_logs_verify_after_all_that(running: Running) -> None:
    for party in COMPUTING:
        with running.state(party) as state:
            assert Log(state).verify().seq > 10
        assert running.alive(party)
        assert "Traceback" not in running.console(party)
