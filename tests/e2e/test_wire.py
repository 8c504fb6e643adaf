"""Every byte between three real servers and the client, written down: TLS, and sizes that do not depend on records."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pets.demo.deploy import Deployment
from tests.e2e.recorder import Recorder, route, tls_records
from tests.e2e.running import SECRET, TODAY, Running, titled
from tests.party.world import BOARD, COMPUTING, COUNCIL

ROWS = 4_000
"""Declared rows of each table."""
TOML = titled("On the wire", ("max_rows = 40", f"max_rows = {ROWS}"))
FEW, MANY = 3, ROWS
BOUND = 2 * 1024
"""By how many bytes two runs may differ, each way between two: HTTP/2 and TLS framing, how many streams carry the
messages, a sign of life every half second. Measured: 125 bytes. A word a row would be fifteen times the bound."""


class Wire:
    """The servers, with a recorder on every way between two of them and the client."""

    def __init__(self, folder: Path) -> None:
        self.recorders: dict[tuple[str, str], Recorder] = {}

        def between(deployment: Deployment) -> None:
            self.recorders.update(route(deployment.folder, deployment.endpoints))

        self.running = Running(folder, route=between)

    def sizes(self) -> dict[tuple[str, str, str], int]:
        found = {}
        for (dialler, server), recorder in self.recorders.items():
            found[dialler, server, "up"], found[dialler, server, "down"] = recorder.sizes()
        return found

    def records(self, rows: int) -> list[str]:
        """Write records of so many persons; what must not be met in the clear."""
        people = [f"IDENTITY-{number:06}" for number in range(rows)]
        lines = [f"{who},{'old' if i % 2 else 'young'},{SECRET},{TODAY}" for i, who in enumerate(people)]
        self.running.files["stays"].write_text("\n".join(["pid,band,minutes,arrival", *lines]) + "\n")
        lines = [f"{who},{'own' if i % 3 else 'rent'}" for i, who in enumerate(people)]
        self.running.files["homes"].write_text("\n".join(["pid,tenure", *lines]) + "\n")
        return people

    def close(self) -> None:
        self.running.close()
        for recorder in self.recorders.values():
            recorder.close()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    made = Wire(tmp_path_factory.mktemp("wire"))
    yield made
    made.close()


def run(wire: Wire, rows: int, digest: str) -> tuple[dict[tuple[str, str, str], int], list[bytes]]:
    """A run on records of so many persons: bytes each way, and the words that would tell of groups."""
    wire.records(rows)
    for party in (BOARD, COUNCIL):
        wire.running.net(party).server(party).snapshot(digest)  # type: ignore[arg-type]
    before = wire.sizes()
    result = wire.running.net().run(TOML)
    assert result.receipts.keys() == set(COMPUTING)
    after = wire.sizes()
    words = [int(v).to_bytes(8, "little", signed=True) for v in result.to_pandas()["n"] if abs(v) > 255]
    words += [(rows // part).to_bytes(8, "little") for part in (1, 2, 3, 6) if rows // part > 255]
    return {way: after[way] - before[way] for way in after}, words


def test_what_is_on_the_wire_is_tls_of_equal_sizes_whatever_the_records(wire: Wire) -> None:
    reviewed = wire.running.ready(TOML, freeze=False)
    run(wire, FEW, reviewed.digest)  # opens all connections
    few, _ = run(wire, FEW, reviewed.digest)
    many, words = run(wire, MANY, reviewed.digest)

    assert max(few.values()) > 20 * BOUND
    for way, size in few.items():
        assert abs(many[way] - size) <= BOUND, way
    assert abs(sum(many.values()) - sum(few.values())) <= 2 * BOUND
    assert sum(few.values()) > reviewed.forecast.size

    marks = [b"IDENTITY-", b"young", b"tenure", b"minutes", b"SELECT", b"On the wire", SECRET.encode()]
    marks += [int(SECRET).to_bytes(8, "little"), reviewed.digest.encode(), *words]
    marks += [mark.hex().encode() for mark in marks] + [mark[::-1] for mark in marks]
    streams = [stream for recorder in wire.recorders.values() for stream in recorder.everything()]
    assert sum(map(len, streams)) > 3 * reviewed.forecast.size
    for stream in streams:
        for mark in marks:
            assert mark not in stream
        kinds = [kind for kind, _ in tls_records(stream)]
        assert 22 in kinds  # a handshake, and then application data alone
        assert set(kinds[kinds.index(23) :]) <= {20, 23} if 23 in kinds else True


def test_a_recorder_sees_what_is_in_the_clear() -> None:
    """What the other test rests on: a byte that is not encrypted is in the recording."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        recorder = Recorder(("127.0.0.1", server.getsockname()[1]))
        try:
            with socket.create_connection(("127.0.0.1", recorder.port), 5) as client:
                far, _ = server.accept()
                with far:
                    client.sendall(b"SELECT of IDENTITY-ann")
                    assert far.recv(100) == b"SELECT of IDENTITY-ann"
                    far.sendall(b"young")
                    assert client.recv(100) == b"young"
            assert recorder.everything() == [b"SELECT of IDENTITY-ann", b"young"]
            with pytest.raises(ValueError, match="no TLS"):
                tls_records(recorder.everything()[0])
        finally:
            recorder.close()
