"""Noise, dummies and the accountant against exact laws, slow twins and OpenDP."""

import hashlib
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pets.check.budget import dummy_slots
from pets.kernels import noise
from pets.kernels.prf import Stream
from pets.secret import Secret

HALF = Fraction(693147, 10**6)  # p = 0.5
NINE_TENTHS = Fraction(105361, 10**6)  # p = 0.9
NEAR_ONE = Fraction(10005, 10**7)  # p = 0.999
DELTA = Fraction(1, 2**40)


class Philox:
    """Words for tests: the same on every machine, and as many as asked for."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(seed)
        self.given = 0

    def words(self, n: int, /) -> npt.NDArray[np.uint64]:
        self.given += n
        return np.asarray(self._bits.random_raw(n), np.uint64).reshape(n)


class InDrops(Philox):
    """The same words, a few at a time: as if the stream ran dry in the middle of most draws."""

    def __init__(self, seed: int, most: int) -> None:
        super().__init__(seed)
        self._most = most

    def words(self, n: int, /) -> npt.NDArray[np.uint64]:
        return super().words(min(n, self._most))


# -- the law, exactly --------------------------------------------------------------------------------------------------


def test_split_of_a_geometric_is_two_negative_binomials_of_one_half() -> None:
    """Geo(k) arcsine(j | k) = NB(1/2)(j) NB(1/2)(k - j), as rationals, and the difference of two sums is DLap."""
    p = Fraction(9, 10)
    for k in range(21):
        arcsine = [Fraction(math.comb(2 * j, j) * math.comb(2 * k - 2 * j, k - j), 4**k) for j in range(k + 1)]
        assert sum(arcsine) == 1
        for j, given_k in enumerate(arcsine):
            # NB(1/2, p)(j) = C(2j, j) / 4^j p^j sqrt(1 - p): the two roots make one (1 - p)
            product = Fraction(math.comb(2 * j, j), 4**j) * Fraction(math.comb(2 * (k - j), k - j), 4 ** (k - j))
            assert (1 - p) * p**k * given_k == product * p**k * (1 - p)
        assert sum((1 - p) * p**a * (1 - p) * p ** (a + k) for a in range(400)) == pytest.approx(
            float((1 - p) / (1 + p) * p**k)
        )


def test_last_zero_has_the_arcsine_law_over_all_walks() -> None:
    for k in range(1, 8):
        counts = Counter(noise.last_zero(np.array([bits], np.uint64), 2 * k) for bits in range(4**k))
        assert counts == {2 * j: math.comb(2 * j, j) * math.comb(2 * k - 2 * j, k - j) for j in range(k + 1)}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 700), st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.48, 0.53]))
def test_last_zero_of_long_walks_is_that_of_the_plain_walk(k: int, seed: int, up: float) -> None:
    bits = np.random.default_rng(seed).random(64 * (2 * k // 64 + 1)) < up
    words = np.packbits(bits, bitorder="little").view(np.uint64)
    heights = np.concatenate([[0], np.cumsum(np.where(bits[: 2 * k], 1, -1))])
    assert noise.last_zero(words, 2 * k) == np.flatnonzero(heights == 0).max()


def test_last_zero_looks_at_the_steps_of_the_walk_only() -> None:
    words = np.random.Philox(8).random_raw(3)
    for steps in (0, 2, 62, 64, 66, 126, 128, 130):
        other = words.copy()
        if steps % 64:
            other[steps // 64] ^= np.uint64(2**64 - 2 ** (steps % 64))
        assert noise.last_zero(words, steps) == noise.last_zero(other, steps)


# -- the sampler against its slow twin ---------------------------------------------------------------------------------


def slow_half_noise(gamma: Fraction, words: Iterator[int]) -> int:
    """Algorithms 1 and 2 of Canonne, Kamath and Steinke, and a walk step by step, in Python's integers."""

    def below(bound: int) -> int:
        mask = (1 << (bound - 1).bit_length()) - 1
        while (value := next(words) & mask) >= bound:
            pass
        return value

    def bernoulli_exp(u: int, d: int) -> bool:
        i = 1
        while (u == d or below(d) < u) and (i == 1 or below(i) == 0):
            i += 1
        return i % 2 == 1

    n, d = gamma.numerator, gamma.denominator
    while not bernoulli_exp(u := below(d), d):
        pass
    v = 0
    while bernoulli_exp(1, 1):
        v += 1
    k = (u + d * v) // n
    bits = [word >> b & 1 for word in (next(words) for _ in range(-(-2 * k // 64))) for b in range(64)]
    height = zero = 0
    for step, bit in enumerate(bits[: 2 * k], 1):
        height += 1 if bit else -1
        zero = step if height == 0 else zero
    return zero - k


@pytest.mark.parametrize(
    "gamma",
    [HALF, NINE_TENTHS, NEAR_ONE, Fraction(1), Fraction(7, 2), Fraction(40), Fraction(2**52 - 1, 2**52)],
)
def test_draws_are_those_of_the_slow_sampler_word_for_word(gamma: Fraction) -> None:
    source = Philox(3)
    words = (int(source.words(1)[0]) for _ in iter(int, 1))
    expected = [slow_half_noise(gamma, words) for _ in range(200)]
    assert noise.half_noise(gamma, 200, Philox(3)).tolist() == expected


@pytest.mark.parametrize("gamma", [Fraction(3), HALF, NEAR_ONE, Fraction(1, 2**14)])
def test_draw_that_runs_out_of_words_is_made_again_from_the_same_words(gamma: Fraction) -> None:
    whole = noise.half_noise(gamma, 300, Philox(4))
    for most in (1, 7, 100):
        assert np.array_equal(noise.half_noise(gamma, 300, InDrops(4, most)), whole)


def test_same_seed_same_noise_and_other_seed_other_noise() -> None:
    first, again, other = (
        noise.half_noise(NINE_TENTHS, 64, Stream(Secret(seed))) for seed in (b"a" * 16, b"a" * 16, b"b" * 16)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.dtype == np.int64


def test_known_answer() -> None:
    """A change of the order in which words are used changes every run's noise under its seed: say so in a release."""
    assert noise.half_noise(NINE_TENTHS, 12, Philox(2026)).tolist() == [0, 0, -1, 12, 4, -17, 23, -10, 1, 4, 12, 3]


def test_no_draws_take_no_words() -> None:
    stream = Philox(1)
    assert noise.half_noise(HALF, 0, stream).size == 0 and stream.given == 0


def test_widest_noise_has_its_spread() -> None:
    """1 / gamma = 2^20: variance p / (1 - p)^2 of half a discrete Laplace; 4000 draws, relative error about 4 %."""
    drawn = noise.half_noise(Fraction(1, 2**20), 4000, Philox(6)).astype(float)
    assert drawn.var() == pytest.approx(2.0**40, rel=0.15)
    assert abs(drawn.mean()) < 5 * 2**20 / 4000**0.5


@pytest.mark.parametrize(
    "gamma", [Fraction(0), Fraction(-1), Fraction(1, 2**20 + 1), Fraction(2**52 + 1, 2**52), Fraction(2**53)]
)
def test_gamma_outside_the_range_is_refused(gamma: Fraction) -> None:
    with pytest.raises(ValueError, match="gamma"):
        noise.half_noise(gamma, 1, Philox(1))
    with pytest.raises(ValueError, match="count"):
        noise.half_noise(HALF, -1, Philox(1))


# -- the law, by statistics --------------------------------------------------------------------------------------------


def discrete_laplace(gamma: Fraction, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Probabilities of (-inf, e0), [e0, e1), ..., [en, inf)."""
    p = math.exp(-float(gamma))

    def below(k: int) -> float:
        return p ** (1 - k) / (1 + p) if k <= 0 else 1 - p**k / (1 + p)

    cumulative = np.array([0.0, *(below(int(edge)) for edge in edges), 1.0])
    return np.diff(cumulative)


def bins_for(gamma: Fraction) -> npt.NDArray[np.int64]:
    scale = 1 / float(gamma)
    return np.unique(np.round(np.linspace(-5 * scale - 2, 5 * scale + 2, 41)).astype(np.int64))


def chi_square(values: npt.NDArray[np.int64], gamma: Fraction) -> float:
    edges = bins_for(gamma)
    seen = np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.size + 1)
    return float(stats.chisquare(seen, discrete_laplace(gamma, edges) * values.size).pvalue)


def any_two_add_up(gamma: Fraction, count: int) -> None:
    parties = [noise.half_noise(gamma, count, Philox(seed)) for seed in (11, 12, 13)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert chi_square(parties[i] + parties[j], gamma) > 1e-4
    assert chi_square(parties[0], gamma) < 1e-9, "half the noise is not the whole"
    assert chi_square(parties[0] + parties[1] + parties[2], gamma) < 1e-9


@pytest.mark.parametrize("gamma", [HALF, NINE_TENTHS, NEAR_ONE], ids=["0.5", "0.9", "0.999"])
def test_any_two_parties_add_up_to_discrete_laplace(gamma: Fraction) -> None:
    any_two_add_up(gamma, 40_000)


@pytest.mark.long
@pytest.mark.parametrize("gamma", [HALF, NINE_TENTHS, NEAR_ONE], ids=["0.5", "0.9", "0.999"])
def test_any_two_parties_add_up_to_discrete_laplace_long(gamma: Fraction) -> None:
    any_two_add_up(gamma, 1_000_000)


def independence(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    def fifths(values: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        return np.searchsorted(np.unique(np.quantile(values, [0.2, 0.4, 0.6, 0.8])), values, side="right")

    table = np.zeros((5, 5))
    np.add.at(table, (fifths(a), fifths(b)), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return float(stats.chi2_contingency(table).pvalue)


def test_third_party_is_independent_of_the_sum_of_the_others() -> None:
    first, second, third = (noise.half_noise(NINE_TENTHS, 40_000, Philox(seed)) for seed in (21, 22, 23))
    assert independence(first + second, third) > 1e-4
    assert independence(first + second, second) < 1e-9, "the test sees dependence where there is some"


def test_draws_of_one_batch_are_independent() -> None:
    drawn = noise.half_noise(NINE_TENTHS, 80_000, Philox(24))
    assert independence(drawn[::2], drawn[1::2]) > 1e-4


def test_neighbours_have_one_support_and_a_ratio_below_e_to_the_epsilon() -> None:
    """Sums 0 and 1 under two parties' noise, sensitivity 1: every output of one occurs under the other."""
    count = 200_000
    zero = noise.half_noise(HALF, count, Philox(31)) + noise.half_noise(HALF, count, Philox(32))
    one = 1 + noise.half_noise(HALF, count, Philox(33)) + noise.half_noise(HALF, count, Philox(34))
    for value in range(-6, 8):
        mine, other = int((zero == value).sum()), int((one == value).sum())
        assert mine > 0 and other > 0
        spread = 6 * (1 / mine + 1 / other) ** 0.5
        assert abs(math.log(mine / other)) <= float(HALF) + spread


def against_opendp(scale: int, count: int) -> None:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    theirs = np.array(dp.m.make_laplace(*space, scale=float(scale))([0] * count))
    gamma = Fraction(1, scale)
    ours = noise.half_noise(gamma, count, Philox(41)) + noise.half_noise(gamma, count, Philox(42))
    edges = bins_for(gamma)
    table = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=edges.size + 1) for v in (ours, theirs)]
    # OpenDP takes entropy of its own, so one run in 10^9 may fail here
    assert stats.chi2_contingency(np.array(table)[:, np.sum(table, axis=0) > 0]).pvalue > 1e-9


@pytest.mark.parametrize("scale", [1, 10, 1000])
def test_sum_of_two_has_the_law_of_opendps_discrete_laplace(scale: int) -> None:
    against_opendp(scale, 20_000)


@pytest.mark.long
@pytest.mark.parametrize("scale", [1, 10, 1000])
def test_sum_of_two_has_the_law_of_opendps_discrete_laplace_long(scale: int) -> None:
    against_opendp(scale, 1_000_000)


# -- dummies -----------------------------------------------------------------------------------------------------------

SLOTS = {
    (Fraction(1, 10), 1): 248,
    (Fraction(1, 10), 5): 1239,
    (Fraction(1, 10), 10): 2478,
    (Fraction(1, 2), 1): 53,
    (Fraction(1, 2), 5): 266,
    (Fraction(1, 2), 10): 532,
    (Fraction(1), 1): 27,
    (Fraction(1), 5): 138,
    (Fraction(1), 10): 276,
}


@pytest.mark.parametrize(("epsilon", "k"), SLOTS)
def test_slots_of_the_design_are_enough_and_one_less_is_not(epsilon: Fraction, k: int) -> None:
    s = SLOTS[epsilon, k]
    table = noise.dummy_table(epsilon, DELTA, k, s)
    with localcontext(Context(prec=60)):
        alpha = (-Decimal(epsilon.numerator) / (Decimal(epsilon.denominator) * k)).exp()
        formula = alpha ** (s - k + 1) * (1 - alpha**k) / (1 + alpha - 2 * alpha ** (s + 1))
        found = noise.helper_delta(table)
        assert abs(Decimal(found.numerator) / Decimal(found.denominator) / formula - 1) < Decimal(2) ** -60
    with pytest.raises(ValueError, match="too few"):
        noise.dummy_table(epsilon, DELTA, k, s - 1)


@pytest.mark.parametrize("bits", [20, 40, 80])
@pytest.mark.parametrize(("epsilon", "k"), [(Fraction(7, 3), 1), (Fraction(1, 3), 2), (Fraction(3, 10), 20)])
def test_slots_that_the_checker_finds_are_the_fewest_that_the_table_allows(
    epsilon: Fraction, k: int, bits: int
) -> None:
    """Two computations of one delta: decimal from the formula there, the 2^128 draws counted one for one here."""
    delta = Fraction(1, 2**bits)
    s = dummy_slots(epsilon, delta, k)
    assert noise.helper_delta(noise.dummy_table(epsilon, delta, k, s)) <= delta
    with pytest.raises(ValueError, match="too few"):
        noise.dummy_table(epsilon, delta, k, s - 1)


def test_fewer_rows_of_difference_give_a_smaller_delta() -> None:
    table = noise.dummy_table(Fraction(1, 2), DELTA, 5, 266)
    edges = (0, *table.thresholds, 2**128)
    draws = [b - a for a, b in pairwise(edges)]
    bound = Fraction(math.exp(0.5)) * (1 - Fraction(1, 2**50))
    deltas = []
    for shift in range(1, 6):
        pairs = zip(draws + [0] * shift, [0] * shift + draws, strict=True)
        deltas.append(sum(max(Fraction(0), p - bound * q) for p, q in pairs) / 2**128)
    assert deltas == sorted(deltas) and deltas[-1] <= DELTA * (1 + Fraction(1, 2**20))


def test_weights_and_digest_are_those_of_the_discrete_laplace_to_the_last_place() -> None:
    """Both parties compare digests, so every machine must find these very integers; here they come from `decimal`."""
    table = noise.dummy_table(Fraction(1, 2), DELTA, 5, 266)
    with localcontext(Context(prec=200)):
        side = [int((Decimal(-distance) / 10).exp() * 2**192) for distance in range(267)]
    assert list(table.weights) == [*side[:0:-1], *side]
    body = b"pets/1 dummies\0" + b"1/2 1/1099511627776 5 266\0" + b"".join(w.to_bytes(25, "big") for w in table.weights)
    assert table.digest == hashlib.sha256(body).hexdigest()


def test_thresholds_give_each_outcome_its_share_of_the_draws() -> None:
    table = noise.dummy_table(Fraction(1), DELTA, 1, 27)
    total = sum(table.weights)
    shares = [b - a for a, b in pairwise((0, *table.thresholds, 2**128))]
    for weight, share in zip(table.weights, shares, strict=True):
        assert abs(share - Fraction(weight * 2**128, total)) < 1


def test_draw_is_the_number_of_thresholds_reached() -> None:
    table = noise.dummy_table(Fraction(1), DELTA, 1, 27)
    assert noise.draw_dummies(table, 0) == 0
    assert noise.draw_dummies(table, 2**128 - 1) == 54
    for outcome, threshold in enumerate(table.thresholds):
        assert noise.draw_dummies(table, threshold - 1) == outcome
        assert noise.draw_dummies(table, threshold) == outcome + 1
    for draw in (-1, 2**128):
        with pytest.raises(ValueError, match="128"):
            noise.draw_dummies(table, draw)


def test_drawn_dummies_have_the_law_of_the_table() -> None:
    table = noise.dummy_table(Fraction(1, 2), DELTA, 1, 53)
    words = [int(word) for word in Philox(51).words(40_000)]
    drawn = [noise.draw_dummies(table, words[i] | words[i + 1] << 64) for i in range(0, len(words), 2)]
    low, high = 53 - 8, 53 + 8
    expected = np.array([float(Fraction(weight, sum(table.weights))) for weight in table.weights]) * len(drawn)
    seen = np.bincount(drawn, minlength=107).astype(float)

    def ends_merged(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.array([counts[:low].sum(), *counts[low:high], counts[high:].sum()])

    assert stats.chisquare(ends_merged(seen), ends_merged(expected)).pvalue > 1e-4


def test_digest_binds_every_parameter() -> None:
    digests = {
        noise.dummy_table(*parameters).digest
        for parameters in [
            (Fraction(1), DELTA, 1, 27),
            (Fraction(1), DELTA, 1, 28),
            (Fraction(1), DELTA * 2, 1, 27),
            (Fraction(11, 10), DELTA, 1, 27),
            (Fraction(5), DELTA, 5, 40),
        ]
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("epsilon", "delta", "k", "s"),
    [
        (Fraction(0), DELTA, 1, 27),
        (Fraction(1), Fraction(0), 1, 27),
        (Fraction(1), Fraction(1), 1, 27),
        (Fraction(1), DELTA, 0, 27),
        (Fraction(1), DELTA, 5, 4),
        (Fraction(1), DELTA, 1, 2**20 + 1),
    ],
)
def test_table_without_meaning_is_refused(epsilon: Fraction, delta: Fraction, k: int, s: int) -> None:
    with pytest.raises(ValueError, match="dummies need"):
        noise.dummy_table(epsilon, delta, k, s)


@settings(max_examples=100, deadline=None)
@given(st.fractions(min_value=0, max_value=100, max_denominator=10**9))
def test_exp_minus_is_exact_to_its_last_places(x: Fraction) -> None:
    with localcontext(Context(prec=200)):
        exact = (-Decimal(x.numerator) / Decimal(x.denominator)).exp() * 2**384
        assert abs(exact - noise.exp_minus(x)) < 3


# -- the accountant ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**40), st.fractions(min_value=Fraction(1, 1000), max_value=20, max_denominator=10**6))
def test_opendp_accounts_for_a_column_what_we_say(sensitivity: int, epsilon: Fraction) -> None:
    theirs = Fraction(noise.accounted_epsilon(sensitivity, epsilon))
    assert epsilon <= theirs <= epsilon * (1 + Fraction(1, 10**12))


def test_opendp_composes_three_columns_as_the_hand_does() -> None:
    parts = [Fraction(1, 10), Fraction(1, 3), Fraction(7, 30)]
    theirs = Fraction(noise.accounted_total(parts))
    assert Fraction(2, 3) <= theirs <= Fraction(2, 3) * (1 + Fraction(1, 10**12))
    assert noise.accounted_total([]) == 0


def test_accountant_refuses_what_is_no_column() -> None:
    for sensitivity, epsilon in ((0, Fraction(1)), (1, Fraction(0)), (1, Fraction(-1))):
        with pytest.raises(ValueError, match="a column has"):
            noise.accounted_epsilon(sensitivity, epsilon)
    with pytest.raises(ValueError, match="a column has"):
        noise.accounted_total([Fraction(1), Fraction(0)])


def test_importing_noise_does_not_import_opendp() -> None:
    program = "import sys, pets.kernels.noise; sys.exit('opendp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
