"""Checked inputs, one thread: ``python -m benchmarks.prio [--size SUBMISSIONS] [--json]``.

Two computing parties verify submissions of holders: a `count`, a `sum` below 2^32, a `histogram` of 1,000 cells, and a
`vector` of 1,000 numbers of 32 bits. Seconds are those of the party with most to do (a *helper*, which also expands its
share) for all submissions: its first step, and the message from all shares of verifiers. They are time of the processor
in this thread, best of several rounds: all is computing, and others on the machine must not add to it. `steps` has the
holder's work, each step of each party, and what its parts take by themselves. All sums are opened and held against the
plain ones, or the exit code is 1.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from benchmarks.common import Case, arguments, show
from pets.kernels import flp, wires, xof
from pets.kernels.circuits import Circuit, Count, Histogram, Sum, SumVec, best_chunk
from pets.kernels.prio3 import NONCE_BYTES, Prio3
from pets.secret import Secret

ROUNDS = 5
CONTEXT_BYTES = 32
T = TypeVar("T")


def best(work: Callable[[], T], times: int = ROUNDS) -> tuple[float, T]:
    """The least seconds of several repetitions, and what the last one gave."""
    took = []
    for _ in range(times):
        start = time.thread_time()
        result = work()
        took.append(time.thread_time() - start)
    return min(took), result


def random_bytes(rows: int, width: int) -> Any:
    return np.frombuffer(os.urandom(rows * width), np.uint8).reshape(rows, width)


def case(name: str, circuit: Circuit, measurements: Any) -> Case:
    """Shard, verify and open so many measurements among two parties."""
    size, prio, key = len(measurements), Prio3(circuit, 2), Secret(os.urandom(32))
    contexts, nonces = random_bytes(size, CONTEXT_BYTES), random_bytes(size, NONCE_BYTES)
    coins = random_bytes(size, prio.coin_bytes)
    sharding, (public, shares) = best(lambda: prio.shard(contexts, measurements, nonces, coins), 2)
    begun, parts = [], []
    for party in range(2):
        took, (pending, verifiers) = best(
            lambda party=party: prio.verify_init(key, contexts, party, nonces, public, shares[party])  # type: ignore[misc]
        )
        begun.append(took)
        parts.append((pending, verifiers))
    joining, (message, good) = best(lambda: prio.verifier_message(contexts, [verifiers for _, verifiers in parts]))
    adding, totals = best(lambda: [prio.aggregate(pending.outputs) for pending, _ in parts])
    verified = all(prio.verify_next(pending, message).all() for pending, _ in parts) and good.all()
    plain = np.bincount(measurements, minlength=circuit.outputs) if isinstance(circuit, Histogram) else None
    expected = np.atleast_1d(measurements.sum(axis=0)) if plain is None else plain
    if not verified or prio.unshard(totals) != expected.tolist():
        sys.exit(f"{name}: valid submissions were refused, or the sum is wrong")
    field = circuit.prime
    seeds, tags = random_bytes(size, 32), xof.tags(circuit.algorithm, 1, contexts)
    expanding, measured = best(lambda: xof.expand(field, seeds, tags, seeds[:, :1], circuit.encoded))
    proofs = xof.expand(field, seeds, tags, seeds[:, :2], circuit.proof)
    challenges = xof.expand(field, seeds, tags, seeds[:, :3], circuit.query)
    joint = xof.expand(field, seeds, tags, seeds[:, :4], circuit.joint)
    tables = flp.Tables(circuit, 2)
    lies = (flp.Rows.of(measured), flp.Rows.of(proofs))
    asking, _ = best(lambda: flp.query(tables, size, *lies, challenges, joint))
    hashing, _ = best(lambda: xof.derive(seeds, tags, seeds[:, :1], measured.reshape(size, -1).view(np.uint8)))
    truncating, _ = best(lambda: circuit.truncate(measured))
    seconds = max(begun) + joining
    sent = prio.public_bytes * 2 + prio.share_bytes(0) + prio.share_bytes(1)
    return Case(
        name=name,
        size=size,
        runs=[seconds],
        bytes=size * (sent + 2 * prio.verifier_bytes),
        rounds=2,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        steps={
            "holder: shard": sharding,
            "leader: verify_init": begun[0],
            "helper: verify_init": begun[1],
            "  expand the measurement": expanding,
            "  hash the measurement": hashing,
            "  query": asking,
            "  truncate": truncating,
            "each: verifier_message": joining,
            "both: aggregate": adding,
        },
        peers={},
        more={
            "back_end": wires.selected(),
            "verified_per_second": round(size / seconds),
            "sharded_per_second": round(size / sharding),
            "holder_to_leader_bytes": prio.share_bytes(0) + prio.public_bytes,
            "holder_to_helper_bytes": prio.share_bytes(1) + prio.public_bytes,
            "between_parties_bytes": prio.verifier_bytes,
        },
    )


def cases(size: int, back_end: str) -> list[Case]:
    wires.self_test(back_end)
    wires.select(back_end)
    random = np.random.default_rng(1)  # measurements of a benchmark: nothing secret
    return [
        case("count", Count(), random.integers(0, 2, size)),
        case("sum", Sum(2**32 - 1), random.integers(0, 2**32, size)),
        case("histogram", Histogram(1_000, best_chunk(1_000)), random.integers(0, 1_000, size)),
        case("vector", SumVec(1_000, best_chunk(32_000), 2**32 - 1), random.integers(0, 2**32, (size, 1_000))),
    ]


def main() -> None:
    parser = arguments(__doc__, size=1_000, what="submissions")
    parser.add_argument("--back-end", default=wires.features()[0], help="of sums of wires (default: the fastest)")
    given = parser.parse_args()
    for done in cases(given.size, given.back_end):
        show(done, as_json=given.json)


if __name__ == "__main__":
    main()
