"""The group of private set intersection, one thread: ``python -m benchmarks.curve [--size ELEMENTS] [--json]``.

Two cases, each a list of elements of ristretto255 by the provider that the party server would choose, beside libsodium
in turn in the same run: `multiply` decodes each element, multiplies it by one secret and encodes the product; `hash`
maps short strings to elements, with the part of hashlib as a step of its own. Seconds are the best of several rounds,
because others on the machine can only add to them; `runs` has all. The bytes of both must be equal, or the exit code
is 1.
"""

import hashlib
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.common import Case, arguments, show
from pets.kernels import curve
from pets.kernels.jit import U8Array
from pets.party.warm import prepare_group
from pets.secret import Secret

ROUNDS = 9
TAG = b"pets benchmark of the group"


def seconds(work: Callable[[], U8Array]) -> tuple[float, U8Array]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def compared(name: str, size: int, work: Callable[[], U8Array], *, steps: Callable[[], dict[str, float]]) -> Case:
    """Time the work by the chosen provider and by libsodium, in turn; both must give the same bytes."""
    chosen = prepare_group()
    runs: dict[str, list[float]] = {chosen: [], curve.LIBSODIUM: []}
    results = []
    for _ in range(ROUNDS):
        for provider in runs:
            curve.select(provider)
            took, result = seconds(work)
            runs[provider].append(took)
            results.append(result)
    curve.select(chosen)
    if not all(np.array_equal(result, results[0]) for result in results):
        sys.exit(f"{name}: {chosen} and libsodium give different bytes")
    best, other = min(runs[chosen]), min(runs[curve.LIBSODIUM])
    return Case(
        name=name,
        size=size,
        runs=[best],
        bytes=32 * size,
        rounds=0,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        steps=steps(),
        peers={curve.LIBSODIUM: other},
        more={
            "provider": chosen,
            "per_second": round(size / best),
            "libsodium_per_second": round(size / other),
            "all_runs": [round(took, 4) for took in runs[chosen]],
        },
    )


def cases(size: int) -> list[Case]:
    strings = [b"%010d" % number for number in range(size)]
    prepare_group()
    points = curve.hash_to_group(strings, tag=TAG)
    factor = curve.new_scalar(Secret(hashlib.sha512(b"a benchmark").digest()))
    return [
        compared("multiply", size, lambda: curve.multiply(points, factor), steps=dict),
        compared(
            "hash",
            size,
            lambda: curve.hash_to_group(strings, tag=TAG),
            steps=lambda: {"hashlib": min(seconds(lambda: curve._expanded(strings, TAG))[0] for _ in range(ROUNDS))},
        ),
    ]


def main() -> None:
    parser = arguments(__doc__, size=20_000, what="elements")
    given = parser.parse_args()
    for case in cases(given.size):
        show(case, as_json=given.json)


if __name__ == "__main__":
    main()
