"""A TCP proxy on loopback that writes down every byte between a dialler and a server, and stops by itself.

One for every pair of dialler and server, so that each direction has a name. It knows nothing of what it carries.
"""

import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 1 << 16
IDLE_S = 0.1
"""How often the door looks whether the recorder has been stopped."""


@dataclass
class Stream:
    """One direction of one connection."""

    data: bytearray = field(default_factory=bytearray)


class Recorder:
    """Carries connections to ``target`` (host, port) and keeps what passes: ``up`` to the server, ``down`` from it."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(IDLE_S)
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self.up: list[Stream] = []
        self.down: list[Stream] = []
        self._start(self._accept)

    @property
    def port(self) -> int:
        port: int = self._door.getsockname()[1]
        return port

    def sizes(self) -> tuple[int, int]:
        """Bytes so far, up and down."""
        return sum(len(one.data) for one in self.up), sum(len(one.data) for one in self.down)

    def everything(self) -> list[bytes]:
        return [bytes(one.data) for one in (*self.up, *self.down)]

    def close(self) -> None:
        self._stopped.set()
        self._door.close()
        for end in self._ends:  # both threads of a connection use it: it blocks, and this is what wakes them
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, act: object, *given: object) -> None:
        thread = threading.Thread(target=act, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                near, _ = self._door.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, 5)
            except OSError:  # the server is away: so is this connection
                near.close()
                continue
            self.up.append(Stream())
            self.down.append(Stream())
            self._ends += [near, far]
            for source, sink, stream in ((near, far, self.up[-1]), (far, near, self.down[-1])):
                source.settimeout(None)
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._pump, source, sink, stream)

    def _pump(self, source: socket.socket, sink: socket.socket, stream: Stream) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                stream.data += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def route(folder: Path, endpoints: Mapping[str, str]) -> dict[tuple[str, str], Recorder]:
    """Put a recorder between every two members of a deployment that has not started: (dialler, server) to recorder."""
    made: dict[tuple[str, str], Recorder] = {}
    for home in sorted(path for path in folder.iterdir() if (path / "directory.toml").is_file()):
        file = home / "directory.toml"
        text = file.read_text()
        for server, endpoint in endpoints.items():
            host, _, port = endpoint.rpartition(":")
            recorder = made[home.name, server] = Recorder((host, int(port)))
            assert text.count(f'"{endpoint}"') == 1
            text = text.replace(f'"{endpoint}"', f'"127.0.0.1:{recorder.port}"')
        file.write_text(text)
    return made


def tls_records(stream: bytes) -> list[tuple[int, int]]:
    """The record layer of one direction: (type, length) of every record. Raises: ValueError if it is not TLS."""
    found, at = [], 0
    while at < len(stream):
        kind, version, size = stream[at], stream[at + 1 : at + 3], int.from_bytes(stream[at + 3 : at + 5], "big")
        if kind not in (20, 21, 22, 23) or version not in (b"\x03\x01", b"\x03\x03") or size > (1 << 14) + 256:
            raise ValueError(f"no TLS record at byte {at}")
        found.append((kind, size))
        at += 5 + size
    return found
