"""OpenMined's PSI, cardinality only, on two processes: run by ``benchmarks.psi`` where ``openmined-psi`` is.

``python -m benchmarks.peers.openmined CASES``, CASES a JSON list of [items, warm, runs], prints one JSON object a line:
``name``, ``items``, ``seconds`` and ``cpu`` (seconds of processor of both) of each run but the first ``warm``, ``ok``
(the client was told the right number). Lists of ids in memory; messages are serialised and go through a pipe. The
server's list goes as it is (``RAW``): its other ways to send it, smaller ones, find items that are not there. Keys,
lists and messages are made anew in each run.
"""

import json
import multiprocessing
import resource
import sys
import time
from typing import Any

import private_set_intersection.python as psi

from benchmarks.peers.made_up import ids_of, shared_by


def used() -> float:
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


def server(pipe: Any, peer: Any) -> None:
    """Send its list and, when the client's is there, the client's with a second key."""
    while (items := pipe.recv()) is not None:
        ids = ids_of(1, items)
        pipe.send("ready")
        pipe.recv()
        before = used()
        party = psi.server.CreateWithNewKey(False)
        setup = party.CreateSetupMessage(1e-9, items, ids, psi.DataStructure.RAW)
        peer.send_bytes(setup.SerializeToString())
        request = psi.Request()
        request.ParseFromString(peer.recv_bytes())
        peer.send_bytes(party.ProcessRequest(request).SerializeToString())
        pipe.send(used() - before)


def client(pipe: Any, peer: Any) -> None:
    """Send its list while the server makes its own, and count."""
    while (items := pipe.recv()) is not None:
        ids = ids_of(0, items)
        pipe.send("ready")
        pipe.recv()
        before = used()
        party = psi.client.CreateWithNewKey(False)
        request = party.CreateRequest(ids).SerializeToString()
        setup, response = psi.ServerSetup(), psi.Response()
        setup.ParseFromString(peer.recv_bytes())
        peer.send_bytes(request)
        response.ParseFromString(peer.recv_bytes())
        found = party.GetIntersectionSize(setup, response)
        pipe.send((time.perf_counter(), found, used() - before))


def case(items: int, warm: int, runs: int, pipes: list[Any]) -> dict[str, Any]:
    seconds, cpu, ok = [], [], True
    for _ in range(warm + runs):
        for pipe in pipes:
            pipe.send(items)
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        (end, found, of_client), of_server = (pipe.recv() for pipe in pipes)
        seconds.append(end - start)
        cpu.append(of_client + of_server)
        ok = ok and found == shared_by(items)
    return {"name": str(items), "items": items, "seconds": seconds[warm:], "cpu": cpu[warm:], "ok": ok}


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    ends = spawn.Pipe()
    pipes, children = [], []
    for number, act in enumerate((client, server)):
        pipe, far = spawn.Pipe()
        child = spawn.Process(target=act, args=(far, ends[number]), daemon=True)
        child.start()
        pipes.append(pipe)
        children.append(child)
    for items, warm, runs in json.loads(sys.argv[1]):
        print(json.dumps(case(items, warm, runs, pipes)), flush=True)
    for pipe, child in zip(pipes, children, strict=True):
        pipe.send(None)
        child.join(20)


if __name__ == "__main__":
    main()
