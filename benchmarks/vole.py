"""The arithmetic of vole_psi, without its messages: ``python -m benchmarks.vole [--size KEYS] [--runs N] [--json]``.

One thread, both parties one after the other, as many keys at each. ``steps`` are seconds, the least of all runs: on a
machine where others work, too, that is what comes nearest to a quiet one. ``runs`` are what two parties on two
processors wait for: the receiver makes ``a`` and writes its table while the sender makes trees and code; then the
sender reads while the receiver makes its own. ``bytes`` is a formula, without base transfers. Each run is checked: the
receiver finds the keys that both have, or the exit code is 1.
"""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks.common import Case, arguments, show
from pets.kernels import aes, binned, gf128, ggm, prf, vole
from pets.kernels.blkacc import Code
from pets.party.server import keep_memory
from pets.party.warm import prepare_vectors
from pets.secret import Secret

KEYS: Final = 1 << 20
RUNS: Final = 7
COMMON: Final = 1000
TAG_BYTES: Final = 10
SIDES: Final = (Secret(b"left of this run"), Secret(b"right of this run"[:16]))


class Steps:
    """Runs functions, and keeps the least time of each name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, function: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = function()
        self.seconds[name] = min(self.seconds.get(name, float("inf")), time.perf_counter() - begun)
        return result


def elements(stream: prf.Stream, *shape: int) -> Any:
    return stream.words(2 * int(np.prod(shape))).reshape(*shape, 2)


def play(step: Steps, code: Code, size: binned.Size, keys: Any, common: int) -> None:
    """Both parties' arithmetic once; raises SystemExit if they do not find the keys that both have."""
    count, shape = len(keys) - size.keys + common, vole.Shape(size.slots)
    mine, theirs = keys[: size.keys], keys[len(keys) - count :]
    stream, seed = prf.Stream(Secret(b"made for measure")), Secret(b"seed of a table.")
    delta, values, seeds = elements(stream, 1), elements(stream, vole.NOISES), elements(stream, vole.NOISES)
    holes = vole.draw_holes(shape, stream)
    pads = elements(stream, 2, vole.BITS, vole.NOISES)

    a = step("receiver: a", lambda: vole.noise(shape, code, holes, values))
    hashed = step("receiver: hash", lambda: binned.hashed(mine, seed))
    own = binned.hashed(mine, SIDES[0])  # stands for H_B
    table = step("receiver: write", lambda: binned.write(hashed, own, size, prf.Stream(seed)))
    sent = step("receiver: mask", lambda: table ^ a)
    message, shares_c = step("receiver: products", lambda: vole.offer(values, *pads))

    bits = np.unpackbits(delta.view(np.uint8), bitorder="little").astype(np.intp)
    shares_b = step("sender: products", lambda: vole.take(delta, pads[bits, np.arange(vole.BITS)], message))
    b, sums, total = step("sender: trees and code", lambda: vole.send(shape, code, seeds, SIDES))
    sides = ggm.sides(holes, shape.leaves).astype(np.intp)[:, :, None, None]
    asked = np.take_along_axis(sums, sides, axis=2)[:, :, 0]
    c = step(
        "receiver: trees and code",
        lambda: vole.receive(shape, code, holes, shares_c, asked, total ^ shares_b, SIDES),
    )
    key = step("sender: key", lambda: b ^ gf128.multiply(sent, delta))
    hashed_theirs = step("sender: hash", lambda: binned.hashed(theirs, seed))
    read = step("sender: read", lambda: binned.read(key, hashed_theirs, size))
    other = binned.hashed(theirs, SIDES[0])
    at_sender = step("sender: less", lambda: read ^ gf128.multiply(other, delta))
    at_receiver = step("receiver: read", lambda: binned.read(c, hashed, size))
    found = np.isin(at_receiver[:, 0], at_sender[:, 0]) & np.isin(at_receiver[:, 1], at_sender[:, 1])
    if np.flatnonzero(found).tolist() != list(range(size.keys - common, size.keys)):
        sys.exit("the keys that both have were not found")


def measure(count: int, runs: int) -> Case:
    """The steps of so many keys at each party, and what they add up to."""
    keep_memory()
    prepare_vectors()
    step, size = Steps(), binned.Size(count)
    shape, common = vole.Shape(size.slots), min(COMMON, count)
    words = np.arange(2 * (2 * count - common), dtype=np.uint64).reshape(-1, 2)
    code = step("tables of the code, once", lambda: Code(shape.width))
    cores = []
    for _ in range(runs):
        one = Steps()
        play(one, code, size, words, common)
        for name, seconds in one.seconds.items():
            step.seconds[name] = min(step.seconds.get(name, float("inf")), seconds)
        cores.append(core(one.seconds))
    sent = 16 * (1 + size.slots) + TAG_BYTES * count + 16 * vole.BITS * vole.NOISES
    sent += 16 * shape.transfers + 16 * (2 * shape.transfers + vole.NOISES)
    return Case(
        name="vole",
        size=count,
        runs=cores,
        bytes=sent,
        rounds=4,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        steps=step.seconds,
        peers={},
        more={
            "core_of_least_steps": round(core(step.seconds), 4),
            "slots_a_key": round(size.slots / count, 4),
            "back_ends": [aes.selected(), gf128.selected()],
        },
    )


def core(seconds: dict[str, float]) -> float:
    """What the parties wait for: steps of both that need nothing of each other take the longer one's time."""

    def of(party: str, *names: str) -> float:
        return sum(seconds[f"{party}: {name}"] for name in names)

    trees = "trees and code"
    first = max(of("receiver", "products", "a", "hash", "write", "mask"), of("sender", trees, "hash"))
    second = max(of("sender", "products", "key", "read", "less"), of("receiver", trees, "read"))
    return first + second


def main() -> None:
    parser = arguments(__doc__, size=KEYS, what="keys of each of the two parties")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs (default {RUNS})")
    asked = parser.parse_args()
    show(measure(asked.size, asked.runs), as_json=asked.json)


if __name__ == "__main__":
    main()
