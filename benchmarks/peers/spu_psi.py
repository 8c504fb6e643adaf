"""SPU's intersections on two processes: run by ``benchmarks.psi`` where ``spu`` is.

``python -m benchmarks.peers.spu_psi CASES``, CASES a JSON list of [curve or protocol, items, warm, runs], prints one
JSON object a line: ``name``, ``items``, ``seconds`` and ``cpu`` (seconds of processor of both) of each run but the
first ``warm``, ``ok`` (rank 0 was told the right number of items). Each party reads a CSV of one column of ten digits
and rank 0 writes the rows that both have: the library has no other way in or out. brpc over loopback without TLS,
threads as SPU likes.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import spu.libspu as libspu
import spu.psi as psi

from benchmarks.peers.made_up import free_ports, ids_of, shared_by

PARTIES = 2


def used() -> float:
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


def protocol_of(name: str) -> Any:
    """RR22, KKRT, or a curve."""
    if name.startswith("CURVE"):
        ecdh = psi.EcdhParams(curve=psi.parse_curve_type(name))
        return psi.PsiProtocolConfig(protocol=psi.PsiProtocol.PROTOCOL_ECDH, receiver_rank=0, ecdh_params=ecdh)
    return psi.PsiProtocolConfig(protocol=psi.parse_protocol(f"PROTOCOL_{name}"), receiver_rank=0)


def party(pipe: Any, rank: int, ports: list[int], folder: str) -> None:
    described = libspu.link.Desc()
    described.id = "benchmark"
    described.recv_timeout_ms = 3_600_000
    for number, port in enumerate(ports):
        described.add_party(f"p{number}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(described, rank)
    source, result = Path(folder) / f"in{rank}.csv", Path(folder) / f"out{rank}.csv"
    pipe.send("ready")
    written: tuple[int, int] = (0, 0)
    while (asked := pipe.recv()) is not None:
        name, items = asked
        if written != (rank, items):
            source.write_text("id\n" + "\n".join(ids_of(rank, items)) + "\n")
            written = (rank, items)
        config = psi.PsiExecuteConfig(
            protocol_conf=protocol_of(name),
            input_params=psi.InputParams(path=str(source), selected_keys=["id"], keys_unique=True),
            output_params=psi.OutputParams(path=str(result), disable_alignment=True),
        )
        pipe.send("ready")
        pipe.recv()
        before = used()
        report = psi.psi_execute(config, link)
        pipe.send((time.perf_counter(), used() - before, report.intersection_count))
    link.stop_link()


def case(name: str, items: int, warm: int, runs: int, pipes: list[Any]) -> dict[str, Any]:
    seconds, cpu, ok = [], [], True
    for _ in range(warm + runs):
        for pipe in pipes:
            pipe.send((name, items))
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        ends = [pipe.recv() for pipe in pipes]
        seconds.append(max(end for end, _, _ in ends) - start)
        cpu.append(sum(each for _, each, _ in ends))
        ok = ok and ends[0][2] == shared_by(items)
    return {"name": name, "items": items, "seconds": seconds[warm:], "cpu": cpu[warm:], "ok": ok}


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    ports = free_ports(PARTIES)
    with tempfile.TemporaryDirectory() as folder:
        pipes, children = [], []
        for rank in range(PARTIES):
            pipe, far = spawn.Pipe()
            child = spawn.Process(target=party, args=(far, rank, ports, folder), daemon=True)
            child.start()
            pipes.append(pipe)
            children.append(child)
        for pipe in pipes:
            pipe.recv()
        for name, items, warm, runs in json.loads(sys.argv[1]):
            print(json.dumps(case(name, items, warm, runs, pipes)), flush=True)
        for pipe, child in zip(pipes, children, strict=True):
            pipe.send(None)
            child.join(20)


if __name__ == "__main__":
    main()
