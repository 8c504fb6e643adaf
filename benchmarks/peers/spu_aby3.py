"""SPU's ABY3 on three processes: run by ``benchmarks.peers`` with an interpreter that has ``spu``, not imported by it.

``python spu_aby3.py CASES``, CASES a JSON list of [name, rows, warm, runs], prints one JSON object a line: ``name``,
``rows``, ``seconds`` and ``cpu`` (seconds of processor, summed over the parties) of each run but the first ``warm``,
``ok`` (the opened result is numpy's). Field FM64, brpc over loopback without TLS, SPU's own settings for the rest.
"""

import json
import multiprocessing
import resource
import socket
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
import spu.libspu as libspu
from spu.utils import frontend

jax.config.update("jax_enable_x64", True)

PARTIES = 3
OPERATIONS: dict[str, Any] = {
    "multiply": (lambda x, y: x * y, lambda x, y: x * y, 2, 64),
    "compare": (lambda x, y: x < y, lambda x, y: x < y, 2, 62),
    "equality": (lambda x, y: x == y, lambda x, y: x == y, 2, 4),
    "sort": (lambda x: jnp.sort(x), lambda x: np.sort(x), 1, 32),
}
"""How it is said to SPU, the same in numpy, columns, bits of the values."""


def config() -> libspu.RuntimeConfig:
    return libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)


def columns(name: str, rows: int) -> list[np.ndarray[Any, Any]]:
    """Made-up values, signed words of the operation's range."""
    _, _, count, bits = OPERATIONS[name]
    rng = np.random.default_rng([rows, count])
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if bits > 32 else (0, 2**bits)
    return [rng.integers(low, high, rows, np.int64) for _ in range(count)]


def party(pipe: Any, rank: int, ports: list[int]) -> None:
    """One process: takes shares and programs from the parent, runs them with the two others."""
    described = libspu.link.Desc()
    described.id = "benchmark"
    described.recv_timeout_ms = 3_600_000
    for number, port in enumerate(ports):
        described.add_party(f"p{number}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(described, rank)
    runtime = spu.Runtime(link, config())
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        code, inputs, shares, output = asked
        for name, (meta, chunks) in zip(inputs, shares, strict=True):
            share = libspu.Share()
            share.meta, share.share_chunks = meta, chunks
            runtime.set_var(name, share)
        executable = libspu.Executable(name="benchmark", input_names=inputs, output_names=[output], code=code)
        pipe.send("ready")
        while pipe.recv() == "go":
            before = resource.getrusage(resource.RUSAGE_SELF)
            runtime.run(executable)
            end = time.perf_counter()
            after = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((end, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
        found = runtime.get_var(output)
        pipe.send((found.meta, list(found.share_chunks)))
        for name in (*inputs, output):
            runtime.del_var(name)
    link.stop_link()


def case(name: str, rows: int, warm: int, runs: int, pipes: list[Any]) -> dict[str, Any]:
    act, plain, _, _ = OPERATIONS[name]
    values = columns(name, rows)
    io = spu.Io(PARTIES, config())
    inputs = [f"in{number}" for number in range(len(values))]
    executable, _ = frontend.compile(
        frontend.Kind.JAX,
        act,
        values,
        {},
        inputs,
        [libspu.Visibility.VIS_SECRET] * len(values),
        lambda outputs: [f"out{number}" for number in range(len(outputs))],
    )
    output = executable.output_names[0]
    shared = [io.make_shares(column, libspu.Visibility.VIS_SECRET) for column in values]
    for rank, pipe in enumerate(pipes):
        own = [(each[rank].meta, list(each[rank].share_chunks)) for each in shared]
        pipe.send((executable.code, inputs, own, output))
    for pipe in pipes:
        pipe.recv()
    seconds, cpu = [], []
    for _ in range(warm + runs):
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        ends = [pipe.recv() for pipe in pipes]
        seconds.append(max(end for end, _ in ends) - start)
        cpu.append(sum(used for _, used in ends))
    found = []
    for pipe in pipes:
        pipe.send("stop")
    for pipe in pipes:
        share = libspu.Share()
        share.meta, share.share_chunks = pipe.recv()
        found.append(share)
    ok = bool(np.array_equal(io.reconstruct(found), plain(*values)))
    return {"name": name, "rows": rows, "seconds": seconds[warm:], "cpu": cpu[warm:], "ok": ok}


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(PARTIES)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main() -> None:
    cases = json.loads(sys.argv[1])
    spawn = multiprocessing.get_context("spawn")
    ports = free_ports()
    pipes, children = [], []
    for rank in range(PARTIES):
        pipe, far = spawn.Pipe()
        child = spawn.Process(target=party, args=(far, rank, ports), daemon=True)
        child.start()
        pipes.append(pipe)
        children.append(child)
    for pipe in pipes:
        pipe.recv()
    for name, rows, warm, runs in cases:
        print(json.dumps(case(name, rows, warm, runs, pipes)), flush=True)
    for pipe, child in zip(pipes, children, strict=True):
        pipe.send(None)
        child.join(20)


if __name__ == "__main__":
    main()
