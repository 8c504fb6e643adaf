"""One message over mutual TLS on loopback, from one process to another: megabytes a second and processor time.

``python -m benchmarks.carriage [--size BYTES] [--json]``. The peer is a bare TLS socket of the standard library that
moves the same bytes into the same kind of buffer: what is left for gRPC to cost.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import resource
import socket
import ssl
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from pets.ids import PartyId
from pets.party.config import Directory, DirectoryParty
from pets.party.identity import Authority, make_credentials
from pets.party.server import Server, keep_memory
from pets.transport import frame
from pets.transport.grpc import Address, Credentials, Dialler, GrpcLink
from pets.transport.link import Slot
from pets.transport.mailbox import Exchange

SENDER, RECEIVER = PartyId("sender"), PartyId("receiver")
ROUNDS: Final = 9
WARM: Final = 2
M1: Final = Slot(1, 0)
DEADLINE_S: Final = 60.0


def _san(party: str) -> str:
    return f"spiffe://benchmark.example/{party}"


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _run(number: int) -> bytes:
    return number.to_bytes(32, "big")


class _Node:
    """Only an exchange: the benchmark opens runs itself."""

    def __init__(self) -> None:
        self.exchange = Exchange()


def _directory(ca: bytes) -> Directory:
    parties = (DirectoryParty(name=name, organisation=name, san=_san(name)) for name in (SENDER, RECEIVER))
    return Directory(tuple(parties), ca=ca)


def _receive(pipe: Connection, certificate: bytes, key: bytes, ca: bytes, size: int) -> None:
    """The receiving process: a party server, then a bare TLS socket."""
    from pets.secret import Secret

    keep_memory()
    credentials = Credentials(certificate, Secret(key), ca)
    node: Any = _Node()
    server = Server(node, _directory(ca), credentials, "127.0.0.1:0")
    port = server.start()
    dialler = Dialler(credentials, {})
    for number in range(ROUNDS):
        link = GrpcLink(RECEIVER, _run(number), [SENDER], dialler, node.exchange, deadline_s=DEADLINE_S)
        link.expect(SENDER, M1, size)
        link.open()
        before = _cpu()
        pipe.send(port)
        body = link.receive(SENDER, M1, DEADLINE_S)
        pipe.send((time.perf_counter(), _cpu() - before, bytes(body[-64:])))
        link.close()
    server.stop()
    _receive_bare(pipe, certificate, key, size)


def _receive_bare(pipe: Connection, certificate: bytes, key: bytes, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        pem = Path(folder) / "both.pem"
        pem.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        pipe.send(listening.getsockname()[1])
        with context.wrap_socket(listening.accept()[0], server_side=True) as stream:
            for _ in range(ROUNDS):
                before = _cpu()
                pipe.send(None)
                body, taken = np.empty(size, np.uint8).data, 0
                while taken < size:
                    taken += stream.recv_into(body[taken : taken + frame.CHUNK])
                pipe.send((time.perf_counter(), _cpu() - before, bytes(body[-64:])))


def _case(name: str, size: int, times: list[tuple[float, float, float]], peer: float | None) -> dict[str, Any]:
    warm = times[WARM:]
    seconds = statistics.median(one[0] for one in warm)
    return {
        "name": name,
        "size": size,
        "seconds": round(seconds, 4),
        "bytes": frame.wire_bytes(size),
        "rounds": 1,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "steps": {
            "best": round(min(one[0] for one in warm), 4),
            "sender_cpu_s_per_gb": round(statistics.median(one[1] for one in warm) * 1e9 / size, 3),
            "receiver_cpu_s_per_gb": round(statistics.median(one[2] for one in warm) * 1e9 / size, 3),
        },
        "mb_per_s": round(size / seconds / 1e6),
        "peers": {} if peer is None else {"bare TLS socket": round(peer, 4)},
        "ratio": None if peer is None else round(peer / seconds, 3),
    }


def measure(size: int) -> list[dict[str, Any]]:
    """Send one message of ``size`` bytes, ``ROUNDS`` times, each way of carrying it."""
    keep_memory()
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create("benchmark", now=now)
    own, other = (make_credentials(authority, name, _san(name), now=now) for name in (SENDER, RECEIVER))
    pipe, far = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    arguments = (far, other.certificate, other.key.expose("give it to the child"), other.ca, size)
    child = spawn.Process(target=_receive, args=arguments, daemon=True)
    child.start()
    body = np.random.default_rng(7).integers(0, 256, size, dtype=np.uint8).data
    times: list[tuple[float, float, float]] = []
    dialler: Dialler | None = None
    for number in range(ROUNDS):
        port = pipe.recv()
        dialler = dialler or Dialler(own, {RECEIVER: Address(f"127.0.0.1:{port}", _san(RECEIVER))})
        link = GrpcLink(SENDER, _run(number), [RECEIVER], dialler, Exchange(), deadline_s=DEADLINE_S)
        before, start = _cpu(), time.perf_counter()
        link.send(RECEIVER, M1, body)
        link.flush(DEADLINE_S)
        used = _cpu() - before
        end, theirs, seen = pipe.recv()
        if seen != bytes(body[-64:]):
            raise SystemExit("the bytes differ")
        times.append((end - start, used, theirs))
        link.close()
    if dialler is not None:
        dialler.close()
    bare = _send_bare(pipe, body, authority.certificate)
    child.join(10)
    peer = statistics.median(one[0] for one in bare[WARM:])
    return [_case("carriage.grpc", size, times, peer), _case("carriage.bare_tls", size, bare, None)]


def _send_bare(pipe: Connection, body: memoryview, ca: bytes) -> list[tuple[float, float, float]]:
    context = ssl.create_default_context(cadata=ca.decode())
    context.check_hostname = False
    times = []
    with (
        socket.create_connection(("127.0.0.1", pipe.recv())) as plain,
        context.wrap_socket(plain) as stream,
    ):
        for _ in range(ROUNDS):
            pipe.recv()
            before, start = _cpu(), time.perf_counter()
            for at in range(0, len(body), frame.CHUNK):
                stream.sendall(body[at : at + frame.CHUNK])
            used = _cpu() - before
            end, theirs, _ = pipe.recv()
            times.append((end - start, used, theirs))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=94_000_000, help="bytes of the message")
    parser.add_argument("--json", action="store_true", help="one JSON object per case and nothing else")
    asked = parser.parse_args()
    for case in measure(asked.size):
        if asked.json:
            print(json.dumps(case))
        else:
            steps = case["steps"]
            print(
                f"{case['name']:20} {case['mb_per_s']:6} MB/s   CPU s/GB: sender {steps['sender_cpu_s_per_gb']}, "
                f"receiver {steps['receiver_cpu_s_per_gb']}"
            )


if __name__ == "__main__":
    main()
