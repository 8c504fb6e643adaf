"""What one role sees, and tests of whether it says more than it should.

A view test holds everything that a role knows (its own rows and both of its key families) and varies what it does not:
the third pair's keys. Words that it receives must then be uniform, never come twice, and match nothing that it can
compute. Each check raises AssertionError; ``mutants.py`` shows that each can.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pets.kernels import permute, prf
from pets.protocols import helper_join as hj
from pets.protocols.base import Array
from tests.oracles import helper_join as oracle
from tests.oracles.play import Transcript, play

UNKNOWN = {"a": "bc", "b": "ac", "helper": "ab"}
"""The pair whose keys a role does not hold."""

SMALL = 2**24
"""Words that close to zero are no accident: of a million uniform words one is, with probability 2^-19."""

CASE = oracle.Case(
    g=3,
    k=2,
    ids_a=[b"%010d" % (i // 2) for i in range(60)],
    cell=[0] * 30 + [2] * 30,  # nobody in cell 1; nobody of cell 2 matches
    x=[[i % 7 for i in range(60)], [1000 - i for i in range(60)]],
    ids_b=[b"%010d" % i for i in (*range(15), *range(100, 120))],
    y=[[1] * 35, [i - 17 for i in range(35)]],
    summed=[(0, None), (1, None), (0, 0), (1, 0), (1, 1)],
    n_a=70,
    n_b=40,
    fixed=True,
)
"""Half of a's rows match, all in cell 0. Values are small: a mask that is missing shows."""

NOISE = np.random.default_rng(9).integers(-9, 10, (3, 5, 3)).astype(np.int64).view(np.uint64)


def one(seed: int, role: str | None = None, code: Any = hj, case: oracle.Case = CASE) -> Transcript:
    """One run; with ``role``, all that this role knows is the same in all runs."""
    keys = oracle.families(seed) if role is None else oracle.families(0, **{UNKNOWN[role]: seed})
    noise = NOISE if case is CASE else None
    return play(oracle.roles(case, seed, noise_words=noise, keys=keys, code=code), seed=seed)


def received(transcript: Transcript, role: str, labels: Iterable[str] = ()) -> Iterator[tuple[tuple[str, int], Array]]:
    for (_, to, label, column), array in transcript.sent:
        if to == role and (not labels or label in labels):
            yield (label, column), array


# -- distributions ----------------------------------------------------------------------------------------------------


def deviation(counts: np.ndarray) -> float:
    """Chi-square of equal frequencies, in standard deviations (Wilson and Hilferty): above 6.5 is a fault."""
    degrees = counts.size - 1
    expected = counts.sum() / counts.size
    assert expected >= 5, "too few samples for a chi-square test"
    chi = float(((counts - expected) ** 2).sum() / expected)
    spread = 2 / (9 * degrees)
    return ((chi / degrees) ** (1 / 3) - (1 - spread)) / spread**0.5


LIMIT = 6.5


def uniform_words(words: np.ndarray, what: object) -> None:
    """Every bit position and every byte position of words is uniform."""
    data = np.ascontiguousarray(words).reshape(-1).view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(data, axis=1, bitorder="little")
    ones, n = bits.sum(axis=0), len(bits)
    far = abs(ones - n / 2) / (n / 4) ** 0.5
    assert far.max() < LIMIT, f"{what}: bit {far.argmax()} is biased"
    if n >= 256 * 5:
        for place in range(8):
            off = deviation(np.bincount(data[:, place], minlength=256))
            assert off < LIMIT, f"{what}: byte {place} is not uniform"


def uniform_positions(positions: np.ndarray, below: int, what: object) -> None:
    """Positions fall into equal parts of their range alike."""
    parts = max(2, min(16, positions.size // 20))
    edges = np.linspace(0, below, parts + 1)
    counts, _ = np.histogram(positions, edges)
    share = np.diff(np.ceil(edges)) / below
    expected = share * positions.size
    chi = float(((counts - expected) ** 2 / expected).sum())
    degrees = parts - 1
    spread = 2 / (9 * degrees)
    off = ((chi / degrees) ** (1 / 3) - (1 - spread)) / spread**0.5
    assert off < LIMIT, f"{what}: positions are not uniform"


# -- checks: each takes the code under test ---------------------------------------------------------------------------


def words_are_uniform(code: Any, runs: int = 24) -> None:
    """Words received under keys that the receiver lacks are uniform, and no word comes twice in all runs."""
    for role in UNKNOWN:
        seen: dict[tuple[str, int], list[Array]] = {}
        for seed in range(1, runs + 1):
            for key, array in received(one(seed, role, code), role):
                if array.dtype == np.uint64:
                    seen.setdefault(key, []).append(array)
        everything = np.concatenate([array for arrays in seen.values() for array in arrays])
        assert len(np.unique(everything)) == len(everything), f"{role}: a word comes twice"
        for key, arrays in seen.items():
            uniform_words(np.concatenate(arrays), (role, *key))


def positions_are_uniform(code: Any, runs: int = 40) -> None:
    """M4 and M8 are uniform injections whatever matches, is empty or full; matched and unmatched rows look alike."""
    shape = CASE.shape()
    matched, unmatched, ends = [], [], []
    for seed in range(1, runs + 1):
        ran = one(seed, "a", code)
        tau, tags_a, tags_b = ran.array("M4"), ran.array("M1"), ran.array("M2")
        assert len(np.unique(tau)) == len(tau), "M4 repeats a position"
        common = {bytes(row) for row in tags_b}
        hit = np.array([bytes(row) in common for row in tags_a])
        matched.append(tau[hit])
        unmatched.append(tau[~hit])
        pos = one(seed, "helper", code).array("M8")
        assert len(np.unique(pos)) == len(pos), "M8 repeats a position"
        ends.append(pos)
    uniform_positions(np.concatenate(matched), shape.n, "M4 of matched rows")
    uniform_positions(np.concatenate(unmatched), shape.n, "M4 of unmatched rows")
    uniform_positions(np.stack(ends)[:, 0], shape.n_list_a, "M8 of the first cell")
    uniform_positions(np.concatenate(ends), shape.n_list_a, "M8")


def matches_lie_anywhere(code: Any, runs: int = 40) -> None:
    """Cells with match rates 1 and 0: where the matched rows lie in the helper's list says nothing (1.15 a)."""
    places = []
    for seed in range(1, runs + 1):
        ran = one(seed, "helper", code)
        common = {bytes(row) for row in ran.array("M2")}
        places.append(np.flatnonzero([bytes(row) in common for row in ran.array("M1")]))
    uniform_positions(np.concatenate(places), CASE.shape().n_list_a, "matched rows in M1")


def columns_do_not_cancel(code: Any, runs: int = 3) -> None:
    """No sum or difference of two arrays that a role sees or can make is small: masks differ from column to column."""
    for role in UNKNOWN:
        for seed in range(1, runs + 1):
            ran = one(seed, role, code)
            arrays = {k: a for k, a in received(ran, role) if a.dtype == np.uint64 and k[0] != "M7c"}
            if role == "a":  # a's shares of gathered columns, at the places where it sees the helper's
                tau = ran.array("M4")
                arrays |= {("M3 at M4", c): ran.array("M3", c)[tau] for c in range(len(CASE.y))}
            names = sorted(arrays)
            for i, first in enumerate(names):
                for second in names[:i]:
                    if arrays[first].size != arrays[second].size:
                        continue
                    for combined in (arrays[first] - arrays[second], arrays[first] + arrays[second]):
                        near = np.abs(combined.view(np.int64)) < SMALL
                        assert not near.any(), f"{role}: {first} and {second} share a mask"


def helper_cannot_recognise_sums(code: Any) -> None:
    """Differences of M6 are no words of M5: without r2 the helper would find the order of the rows."""
    ran = one(1, "helper", code)
    for column in range(len(CASE.summed)):
        words, sums = ran.array("M5", column), ran.array("M6", column)
        apart = (sums[:, None] - sums[None, :]).ravel()
        assert not np.isin(apart, words).any(), "M6 shows which rows follow each other"
        assert not np.isin(words.sum(dtype=np.uint64), sums), "M6 shows the total of M5"


def result_with_b_cannot_find_cells(code: Any) -> None:
    """R = B: the helper's share is no difference of two prefix sums less masks that b knows (protocols.md 0.9)."""
    keys = oracle.families(1)
    ran = play(oracle.roles(CASE, 1, noise_words=NOISE, keys=keys, code=code), seed=1)
    q = permute.permutation(keys["ab@b"].key("q", purpose="permutation"), CASE.shape().n_list_a)
    for column in range(len(CASE.summed)):
        prefix = np.cumsum(ran.array("M5", column)[q])
        noises = NOISE[1, column] + NOISE[2, column] - prf.words(keys["ab@b"].key("noise", column), CASE.g)
        masks = prf.words(keys["ab@b"].key("r2", column), CASE.shape().n_list_a)
        first = (ran.array("M7c", column) - noises)[0]
        assert not np.isin(first + masks, prefix).any(), "the helper's share shows b where the first cell ends"


def b_cannot_trace_gathers(code: Any) -> None:
    """Differences of two columns of M5 are no differences of b's own masks: else b would see tau."""
    keys = oracle.families(1)
    ran = play(oracle.roles(CASE, 1, noise_words=NOISE, keys=keys, code=code), seed=1)
    streams = [prf.words(keys["bc@b"].key("r", c), CASE.shape().n) for c in range(2)]
    assert not np.isin(ran.array("M5", 0) - ran.array("M5", 1), streams[0] - streams[1]).any()
    for column in (0, 1):
        assert not np.isin(ran.array("M5", column), streams[column]).any(), "M5 is not masked"


def first_lists(code: Any, seed: int, case: oracle.Case = CASE) -> tuple[Array, Array]:
    """M1 and M2 alone: each role's first message needs no answer."""
    parts = oracle.roles(case, keys=oracle.families(seed), code=code)
    lists = tuple(next(parts[role]).array for role in ("a", "b"))  # type: ignore[union-attr]
    for part in parts.values():
        part.close()
    return lists[0], lists[1]


def equal_tags(lists: tuple[Array, Array]) -> int:
    return len({bytes(row) for row in lists[0]} & {bytes(row) for row in lists[1]})


def count_is_noised(code: Any, runs: int = 400) -> None:
    """What the helper counts is the number of matches plus D, and D has the law of 1.10 (1.15 c)."""
    shape = CASE.shape()
    matches = 30
    drawn = np.array([equal_tags(first_lists(code, seed)) - matches for seed in range(1, runs + 1)])
    assert ((drawn >= 0) & (drawn <= shape.w)).all()
    edges = (0, *shape.dummies.thresholds, 1 << 128)
    cumulative = np.array([edge / 2**128 for edge in edges[1:]])
    empirical = np.searchsorted(np.sort(drawn), np.arange(shape.w + 1), side="right") / runs
    distance = float(abs(empirical - cumulative).max()) * runs**0.5
    assert distance < 2.8, f"the law of D is off: {distance:.2f}"  # Kolmogorov: 3e-7 for a continuous law


def labels_are_used_once(code: Any) -> None:
    """Each role asks each family for each (label, column) once, and both holders of a key use it for the same thing."""
    keys = oracle.families(1)
    play(oracle.roles(CASE, 1, noise_words=NOISE, keys=keys, code=code), seed=1)
    for name, family in keys.items():
        places = [(label, column) for label, column, _ in family.uses]
        assert len(set(places)) == len(places), f"{name}: a label is used twice"
    for pair in oracle.PAIRS:
        first, second = (set(keys[f"{pair}@{holder}"].uses) for holder in pair)
        assert first == second, f"{pair}: the holders use different keys {sorted(map(str, first ^ second))}"
    assert {(label, purpose) for family in keys.values() for label, _, purpose in family.uses} == EXPECTED_LABELS


EXPECTED_LABELS = {
    *((label, "permutation") for label in ("q", "rho", "rho2")),
    *((label, "words") for label in ("u", "v", "w", "r", "r1", "r2", "noise", "zero")),
    ("tag", "tags"),
    ("D", "draw of dummies"),
}
"""Every label of protocols.md 1.7 but ``idhash``, which fixed-width identifiers do without, and what it is for."""
