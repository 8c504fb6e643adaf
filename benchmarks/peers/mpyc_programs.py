"""MPyC as it comes, with its own sockets: run by ``benchmarks.programs`` with an interpreter that has ``mpyc``.

``python mpyc_programs.py NAME ROWS -M3 -K BITS`` starts the three itself; party 0 prints one JSON object: ``seconds``
of one run, connections made before, and ``found``. ``sum``: ROWS values of each of three parties added up and their
product by place; ``quantile``: the middle one of ROWS values of each. BITS is its ``sec_param``.
"""

import contextlib
import json
import sys
import time

from mpyc.runtime import mpc


async def main() -> None:
    name, rows = sys.argv[1], int(sys.argv[2])
    secint = mpc.SecInt(64)
    await mpc.start()
    start = time.perf_counter()
    own = [(7 * mpc.pid + 3 * row) % 101 for row in range(rows)]
    values = mpc.input([secint(value) for value in own])
    if name == "sum":
        told = [mpc.sum([value for holder in values for value in holder])]
        told += [a * b * c for a, b, c in zip(*values, strict=True)]
    else:
        ordered = mpc.sorted([value for holder in values for value in holder])
        told = [ordered[(3 * rows + 1) // 2 - 1]]
    found = await mpc.output(told)
    seconds = time.perf_counter() - start
    if mpc.pid == 0:
        print(json.dumps({"seconds": seconds, "found": [int(value) for value in found]}), flush=True)
    with contextlib.suppress(Exception):
        await mpc.shutdown()


if __name__ == "__main__":
    mpc.run(main())
