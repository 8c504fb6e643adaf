"""MPyC's own sum of vectors on three processes: run by ``benchmarks.aggregate`` with an interpreter that has ``mpyc``.

``python mpyc_sum.py VECTORS VALUES RUNS -M3`` starts the three itself; party 0 prints one JSON object: ``name``,
``vectors``, ``values`` of each, ``seconds`` of each run but the first, ``cpu`` of all three, ``ok``, ``gmpy2``.
Secret integers of 42 bits with MPyC's own settings (1,000 values of 32 bits have a sum of 42), arrays as a whole: its
fastest way. The three parties bring the vectors, a third each; a run shares them, adds them up and opens the sum.
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
PARTIES = 3


def used() -> float:
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


async def main() -> None:
    vectors, values, runs = (int(text) for text in sys.argv[1:4])
    secint = mpc.SecInt(42)
    rng = np.random.default_rng(values)
    drawn = [rng.integers(0, 2**32, values).astype(object) for _ in range(vectors)]
    await mpc.start()
    seconds, cpu, ok = [], [], True
    for number in range(WARM + runs):
        await mpc.barrier(f"run {number}")
        before, start = used(), time.perf_counter()
        total = None
        for at in range(0, vectors, PARTIES):
            for part in mpc.input(secint.array(drawn[min(at + mpc.pid, vectors - 1)]))[: vectors - at]:
                total = part if total is None else total + part
        found = await mpc.output(total)
        seconds.append(time.perf_counter() - start)
        cpu.append(used() - before)
        ok = ok and bool(np.array_equal(np.array(found, dtype=object), sum(drawn)))
    cpu = [sum(each) for each in zip(*await mpc.transfer(cpu), strict=True)]
    if mpc.pid == 0:
        told = {
            "name": "sum",
            "vectors": vectors,
            "values": values,
            "seconds": seconds[WARM:],
            "cpu": cpu[WARM:],
            "ok": ok,
        }
        told["gmpy2"] = importlib.util.find_spec("gmpy2") is not None
        print(json.dumps(told), flush=True)
    with contextlib.suppress(Exception):
        await mpc.shutdown()


if __name__ == "__main__":
    mpc.run(main())
