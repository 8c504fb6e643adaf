"""Noise of all three parties for a histogram: discrete Laplace and discrete Gaussian, narrow and wide, beside OpenDP.

    python -m benchmarks.noise --size 1000000

Seconds are those of three vectors drawn one after another in one thread, as the three servers would each draw one of
their own, from 16 fresh bytes each (``cpu``: of the processor alone); making the tables of a law, which comes once, is
in the first run's. OpenDP's own
sampler draws ``--peer`` values of the whole noise (0: none), scaled up to three vectors. A wrong spread is exit code 1.
"""

import argparse
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.common import Case, arguments, show
from pets.kernels import aes, gaussian, noise
from pets.kernels.prf import Stream
from pets.secret import Secret

I64 = npt.NDArray[np.int64]
Draw = Callable[[int, Stream], I64]

PARTIES: Final = 3
CORRUPT: Final = 1
PARTS: Final = PARTIES - CORRUPT


def laplace(scale: int) -> tuple[Draw, float]:
    """A part at epsilon / sensitivity = 1 / scale, and its variance."""
    p = math.exp(-1 / scale)
    return (lambda n, own: noise.laplace_part(Fraction(1, scale), PARTS, n, own)), 2 * p / (1 - p) ** 2 / PARTS


def normal(scale: int) -> tuple[Draw, float]:
    """A part of noise whose m - t parts have the variance scale^2."""
    variance = max(Fraction(scale**2, PARTS), gaussian.MIN_VARIANCE)
    x = np.arange(-20, 21)
    weight = np.exp(-(x**2) / (2 * float(variance)))
    narrow = float((weight * x**2).sum() / weight.sum())
    return partial(_normal, variance), narrow if scale == 1 else float(variance)


def _normal(variance: Fraction, n: int, own: Stream) -> I64:
    return gaussian.gaussian_part(variance, n, own)


CASES: Final[dict[str, Callable[[], tuple[Draw, float]]]] = {
    "laplace.1": partial(laplace, 1),
    "laplace.1000": partial(laplace, 1000),
    "laplace.1048576": partial(laplace, 2**20),
    "gaussian.1": partial(normal, 1),
    "gaussian.1000": partial(normal, 1000),
    "gaussian.100000": partial(normal, 100_000),
}


def three(draw: Draw, size: int) -> tuple[float, float, list[I64]]:
    """Seconds of three vectors, seconds of the processor, and the vectors."""
    start, cpu = time.perf_counter(), time.process_time()
    parts = [draw(size, Stream(Secret(os.urandom(16)))) for _ in range(PARTIES)]
    return time.perf_counter() - start, time.process_time() - cpu, parts


def opendp(name: str, count: int) -> float:
    """Seconds a value of OpenDP's sampler of the whole noise."""
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian, make_laplace
    from opendp.metrics import l1_distance, l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    kind, scale = name.split(".")
    space = vector_domain(atom_domain(T="i64"))
    made: Any = (
        make_laplace(space, l1_distance(T="i64"), scale=float(scale))
        if kind == "laplace"
        else make_gaussian(space, l2_distance(T="f64"), scale=float(scale))
    )
    start = time.perf_counter()
    made([0] * count)
    return (time.perf_counter() - start) / count


def case(name: str, args: argparse.Namespace) -> tuple[Case, bool]:
    draw, variance = CASES[name]()
    first, _, parts = three(draw, args.size)
    runs, cpus = [], []
    for _ in range(args.runs):
        seconds, cpu, parts = three(draw, args.size)
        runs.append(seconds)
        cpus.append(cpu)
    right = all(abs(part.astype(float).var() / variance - 1) < 12 / math.sqrt(args.size) for part in parts)
    peers = {"opendp": PARTIES * args.size * opendp(name, args.peer)} if args.peer else {}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    more = {
        "cpu": round(statistics.median(cpus), 4),
        "first": round(first, 4),
        "backend": aes.selected(),
        "right": right,
    }
    return Case(f"noise.{name}", args.size, runs, 0, 0, memory, {}, peers, more), right


def main() -> int:
    parser = arguments(__doc__, size=1_000_000, what="cells of the histogram")
    parser.add_argument("--runs", type=int, default=7, help="warm repetitions (default 7)")
    parser.add_argument("--peer", type=int, default=20_000, help="values that OpenDP draws (default 20,000)")
    parser.add_argument("--of", choices=sorted(CASES), help="one case only")
    parser.add_argument("--backend", choices=aes.features(), default=aes.features()[0], help="of AES")
    args = parser.parse_args()
    aes.select(args.backend)
    noise.warm_up()
    gaussian.warm_up()
    all_right = True
    for name in [args.of] if args.of else CASES:
        found, right = case(name, args)
        show(found, as_json=args.json)
        all_right &= right
    return 0 if all_right else 1


if __name__ == "__main__":
    sys.exit(main())
