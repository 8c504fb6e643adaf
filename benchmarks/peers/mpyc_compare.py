"""MPyC's comparison on three processes: run by ``benchmarks.peers`` with an interpreter that has ``mpyc``.

``python mpyc_compare.py ROWS RUNS -M3`` starts the three itself; party 0 prints one JSON object: ``name``, ``rows``,
``seconds`` of each run but the first, ``cpu`` of all three, ``ok`` (the opened result is numpy's), ``gmpy2``.
Secret integers of 32 bits with MPyC's own settings, arrays as a whole: its fastest way. Values are not negative: an
array of Python integers below zero is taken in wrongly.
"""

import contextlib
import importlib.util
import json
import resource
import sys
import time

import numpy as np
from mpyc.runtime import mpc

WARM = 1


def used() -> float:
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


async def main() -> None:
    rows, runs = int(sys.argv[1]), int(sys.argv[2])
    secint = mpc.SecInt(32)
    rng = np.random.default_rng(rows)
    x, y = (rng.integers(0, 2**31, rows).astype(object) for _ in range(2))
    await mpc.start()
    left, right = (mpc.input(secint.array(column), senders=0) for column in (x, y))
    await mpc.barrier("inputs")
    seconds, cpu, ok = [], [], True
    for number in range(WARM + runs):
        await mpc.barrier(f"run {number}")
        before, start = used(), time.perf_counter()
        less = left < right
        await mpc.gather(less)
        await mpc.barrier(f"end {number}")
        seconds.append(time.perf_counter() - start)
        cpu.append(used() - before)
        ok = ok and bool(np.array_equal(np.array(await mpc.output(less), dtype=bool), x < y))
    cpu = [sum(each) for each in zip(*await mpc.transfer(cpu), strict=True)]
    if mpc.pid == 0:
        told = {"name": "compare", "rows": rows, "seconds": seconds[WARM:], "cpu": cpu[WARM:], "ok": ok}
        told["gmpy2"] = importlib.util.find_spec("gmpy2") is not None
        print(json.dumps(told), flush=True)
    with contextlib.suppress(Exception):
        await mpc.shutdown()


if __name__ == "__main__":
    mpc.run(main())
