"""What one computing party sees is the same for all valid measurements: chi-square over many runs, and planted leaks.

A party's view of a submission: its share, the public share, and all shares of the verifier. Every element and seed in
it is cut to four bits; for two measurements, the counts of each must be uniform, and so must those of each element less
its neighbour, which finds masks that are used twice. Key, context and nonce, and so the test point, are the same in all
runs: whoever knows the point learns nothing either.
"""

import numpy as np
import pytest
from scipy.stats import chi2

from pets.kernels import flp
from pets.kernels.circuits import Circuit, Count, Histogram, Measurements, Sum, SumVec
from pets.kernels.jit import U8Array
from pets.kernels.prio3 import Prio3
from pets.secret import Secret

RUNS = 4096
LIMIT = 1e-6
"""The chance of a false alarm, over all cells of one test; the runs have a fixed seed."""

CASES: list[tuple[Circuit, list[int] | list[list[int]]]] = [
    (Count(), [0, 1]),
    (Sum(5), [0, 5]),
    (SumVec(2, 2, 3), [[0, 0], [3, 1]]),
    (Histogram(3, 2), [0, 2]),
]
IDS = ["count", "sum", "vector", "histogram"]


def elements(circuit: Circuit, rows: U8Array, count: int) -> np.ndarray:
    """The top words of elements that rows begin with: (n, count)."""
    width = circuit.prime.words
    words = np.ascontiguousarray(rows[:, : count * circuit.prime.bytes]).view(np.uint64)
    return words[:, width - 1 :: width]


def view(circuit: Circuit, measurement: int | list[int], party: int, *, planted: str = "") -> np.ndarray:
    """Words (n, columns) that must be uniform and independent, as one party sees them."""
    random = np.random.default_rng(1000 * party + (1 if planted else 2))
    prio = Prio3(circuit, 2)
    contexts, nonces = np.full((RUNS, 8), 5, np.uint8), np.full((RUNS, 16), 6, np.uint8)
    coins = random.integers(0, 256, (RUNS, prio.coin_bytes), dtype=np.uint8)
    if planted == "seeds of wires":
        coins[:, -32:] = 7
    if planted == "helper's seed":
        coins[:, :32] = 7
    measurements: Measurements = np.array([measurement] * RUNS)
    public, shares = prio.shard(contexts, measurements, nonces, coins)
    key = Secret(bytes(random.integers(0, 256, 32, dtype=np.uint8)))
    sent = [prio.verify_init(key, contexts, p, nonces, public, shares[p])[1] for p in range(2)]
    assert prio.verifier_message(contexts, sent)[1].all()
    parts = []
    if party == 0:
        parts.append(elements(circuit, shares[0], circuit.encoded + circuit.proof))
    seeds = [public, shares[party][:, prio.share_bytes(party) - prio.message_bytes :]]
    parts += [np.ascontiguousarray(seed).view(np.uint64) for seed in seeds if seed.shape[1]]
    # of the verifier, each wire is uniform; the rest follows: 0, and what the gadget makes of the wires
    whole = np.stack([elements_whole(circuit, row) for row in sent]).sum(axis=0)
    parts.append(whole)
    return np.concatenate(parts, axis=1)


def elements_whole(circuit: Circuit, rows: U8Array) -> np.ndarray:
    """The upper words of a share of a verifier's wires; a carry between shares moves them by one, which is nothing."""
    return elements(circuit, rows, circuit.verifier)[:, 1:-1]


def least_p(columns: np.ndarray) -> float:
    """The least p-value of a uniform distribution of four bits, over columns and differences of neighbours."""
    differences = columns[:, 1:] - columns[:, :-1]
    both = np.concatenate([columns, differences], axis=1) >> np.uint64(60)
    least = 1.0
    for column in both.T:
        counts = np.bincount(column.astype(np.int64), minlength=16)
        statistic = float(((counts - RUNS / 16) ** 2 / (RUNS / 16)).sum())
        least = min(least, float(chi2.sf(statistic, 15)))
    return least * both.shape[1]


@pytest.mark.parametrize(("circuit", "measurements"), CASES, ids=IDS)
@pytest.mark.parametrize("party", [0, 1])
def test_a_view_is_uniform_whatever_the_measurement(circuit: Circuit, measurements: list[int], party: int) -> None:
    for measurement in measurements:
        assert least_p(view(circuit, measurement, party)) > LIMIT


@pytest.mark.parametrize(("circuit", "measurements"), CASES, ids=IDS)
@pytest.mark.parametrize("planted", ["seeds of wires", "helper's seed"])
def test_coins_that_are_used_twice_are_found(circuit: Circuit, measurements: list[int], planted: str) -> None:
    """The test above can fail: with the same seeds of wires, or the same share of a helper, for all submissions."""
    assert least_p(view(circuit, measurements[1], 0, planted=planted)) < LIMIT


def test_at_a_node_a_verifier_would_tell_the_measurement() -> None:
    """Why test points that are nodes are refused: there, a wire is the bit itself."""
    circuit = Sum(1)
    tables, p = flp.Tables(circuit, 1), circuit.prime.modulus
    asked = circuit.prime.array([pow(circuit.prime.root(2), 1, p)]).reshape(1, 1)
    seeds, none = circuit.prime.array([12345]).reshape(1, 1), np.zeros((1, 0), np.uint64)
    for bit in (0, 1):
        encoded = circuit.encode(np.array([bit]))
        proof = flp.prove(tables, encoded, seeds, none)
        verifier, bad = flp.query(tables, 1, flp.Rows.of(encoded), flp.Rows.of(proof), asked, none)
        assert bad.tolist() == [1]
        assert verifier[0, 1] == bit
