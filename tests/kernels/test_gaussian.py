"""Discrete Gaussian noise in parts: against its law to 90 digits, a slow twin, OpenDP, and what coalitions take off."""

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pets.check import shared_noise
from pets.kernels import aes, gaussian
from pets.kernels.noise import LEAST, batch
from pets.kernels.prf import Stream
from pets.secret import Secret
from tests.oracles import laws
from tests.oracles.laws import RARE, SURE, Philox, Said

VARIANCES = [Fraction(1, 4), Fraction(1), Fraction(10, 3), Fraction(2500)]
WIDE = [Fraction(2**22), Fraction(5 * 10**7, 7), Fraction(2**40), Fraction(2**62 - 1, 2**30)]
"""From 2^22 on a value is made from steps."""

COUNTS = pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
"""Samples of each law."""

PARTIES = [(2, 1), (3, 1), (3, 2), (4, 1)]
"""Computing parties, and how many of them may be corrupt."""

# -- the law, exactly --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [*VARIANCES, Fraction(2**22 - 1)], ids=str)
def test_law_of_narrow_parts_is_the_discrete_gaussian_to_100_digits(variance: Fraction) -> None:
    """P(|x| <= j) from `decimal`, at some j."""
    step_bits, law = gaussian._law(variance)
    assert step_bits == 0
    with localcontext(Context(prec=120)):
        rate = Decimal(variance.denominator) / (2 * variance.numerator)
        weights = [(-rate * x * x).exp() * (2 if x else 1) for x in range(len(law.exact) if variance < 10**4 else 0)]
        total = sum(weights)
        for j in range(min(len(weights), 60)):
            assert abs(sum(weights[: j + 1]) / total - Decimal(law.exact[j]) / 2**384) < Decimal(10) ** -100
        if not weights:  # too many for that: the ratio of neighbouring probabilities
            for j in (1, 2, 1000, 5000):
                steps = [Decimal(law.exact[i] - law.exact[i - 1]) for i in (j, j + 1)]
                assert abs(steps[1] / steps[0] / (-rate * (2 * j + 1)).exp() - 1) < Decimal(10) ** -90


@pytest.mark.parametrize("variance", WIDE, ids=str)
def test_steps_and_what_is_taken_of_them_make_the_discrete_gaussian(variance: Fraction) -> None:
    """Weight of h times chance of l = exp(-x^2 / 2 v), x = 2^b h + l: exponents as fractions, weights by `decimal`."""
    step_bits, law = gaussian._law(variance)
    assert 2**10 <= math.isqrt(int(variance)) >> step_bits < 2**11
    with localcontext(Context(prec=120)):
        for h in (1, 2, 700, 5000):
            rate = Decimal(4**step_bits * variance.denominator) / (2 * variance.numerator)
            steps = [Decimal(law.exact[i] - law.exact[i - 1]) for i in (h, h + 1)]
            assert abs(steps[1] / steps[0] / (-rate * (2 * h + 1)).exp() - 1) < Decimal(10) ** -90
    for h, low in ((0, 1), (3, 0), (7, 2**step_bits - 1), (20_000, 1)):
        x = (h << step_bits) + low
        taken = Fraction(low * ((h << (step_bits + 1)) + low), 1) / (2 * variance)
        assert Fraction(4**step_bits * h * h) / (2 * variance) + taken == Fraction(x * x) / (2 * variance)
    assert len(law.words) * 4**step_bits * 2 < 2 * variance, "the chance of every step that is drawn is above exp(-1)"


def slow_part(variance: Fraction, count: int, words: Callable[[int], list[int]]) -> list[int]:
    """The same in Python's integers: laws looked at from below, coins one by one."""
    step_bits, law = gaussian._law(variance)

    def looked_up(word: int) -> int:
        return sum(at_most <= (word >> 1) << 321 for at_most in law.exact)

    if not step_bits:
        return [(-1) ** (word & 1) * looked_up(word) for word in words(batch(count))[:count]]
    asked = batch(count) + batch(count) // 64 + 256
    heads, tails, coins = (words(asked) for _ in range(3))
    more = iter(coins)

    def below(bound: int) -> int:
        while (next_word := next(more)) * bound % 2**64 < 2**64 % bound:
            pass
        return next_word * bound >> 64

    def coin(x: Fraction) -> bool:
        """True with probability exp(-x): the first i at which one of Bernoulli(x), Bernoulli(1 / i) fails is odd."""
        i = 1
        while below(2 * variance.numerator) < x * 2 * variance.numerator and (i == 1 or below(i) == 0):
            i += 1
        return i % 2 == 1

    out: list[int] = []
    for head, tail in zip(heads, tails, strict=True):
        if len(out) == count:
            break
        h, low = looked_up(head), tail >> (64 - step_bits)
        x = Fraction(low * ((h << (step_bits + 1)) + low)) / (2 * variance)
        if (not x or coin(x)) and (h or low or head % 2 == 0):
            out.append((-1) ** (head & 1) * ((h << step_bits) + low))
    return out


@pytest.mark.parametrize("variance", [*VARIANCES, *WIDE], ids=str)
def test_draws_are_those_of_the_slow_sampler_word_for_word(variance: Fraction) -> None:
    source = Philox(3)
    expected = slow_part(variance, 40, lambda n: source.words(n).tolist())
    assert gaussian.gaussian_part(variance, 40, Philox(3)).tolist() == expected


def test_coins_that_fall_often_are_those_of_the_slow_sampler() -> None:
    """Steps far out, so that more than one coin is needed and some values are not taken."""
    steps = np.full(4000, 12_000, np.int64)
    heads, tails, coins = (Philox(seed).words(size) for seed, size in ((1, 4000), (2, 4000), (3, 9000)))
    out = np.empty(4000, np.int64)
    done, looked, used = gaussian._take(steps, heads, tails, coins, 1, np.uint64(1), np.uint64(2**23), 0, 0, 0, out)
    chance = (1 + math.exp(-(2 * 24_000 + 1) / 2**23)) / 2
    assert looked == 4000 and used > 2000
    assert stats.binom(4000, chance).cdf(done) > RARE and stats.binom(4000, chance).sf(done - 1) > RARE
    assert set(np.abs(out[:done]).tolist()) == {24_000, 24_001}


@pytest.mark.parametrize(
    ("step_bits", "variance"), [(1, Fraction(2**22)), (9, Fraction(2**62 - 1, 2**30 - 1))], ids=str
)
@pytest.mark.parametrize("h", [0, 1, 700, 5000])
def test_a_coin_comes_up_for_as_many_numbers_as_the_exponent_has_units(
    h: int, step_bits: int, variance: Fraction
) -> None:
    """(x^2 - (2^b h)^2) / 2 v in units of 1 / 2 N, v = N / D. A first coin one below that comes up, one equal does not.

    After one that comes up a second decides: one that does not leaves an even number of turns, so nothing is taken.
    """
    bound = 2 * variance.numerator
    for low in (1, 2**step_bits - 1):
        x = (h << step_bits) + low
        exponent = (x * x - (h << step_bits) ** 2) * variance.denominator
        for number, expected in ((exponent, (1, 1, 1)), (exponent - 1, (0, 1, 2))):
            coins = np.array([((number << 64) + 2**63) // bound, 2**64 - 1], np.uint64)
            assert int(coins[0]) * bound >> 64 == number
            given = (np.array([h]), np.zeros(1, np.uint64), np.array([low << (64 - step_bits)], np.uint64), coins)
            scale = np.uint64(variance.denominator), np.uint64(bound)
            out = np.empty(1, np.int64)
            assert gaussian._take(*given, step_bits, *scale, 0, 0, 0, out) == expected
            assert expected[0] == 0 or out[0] == x


def test_zero_is_taken_with_one_sign() -> None:
    out = np.empty(4, np.int64)
    zeros, heads = np.zeros(4, np.int64), np.array([0, 1, 2, 3], np.uint64)
    none = np.zeros(4, np.uint64)
    assert gaussian._take(zeros, heads, none, none, 1, np.uint64(1), np.uint64(2**23), 0, 0, 0, out) == (2, 4, 0)
    assert out[:2].tolist() == [0, 0]


class Coins:
    """The words of ``Philox(4)``, but of the coins twenty at a time: all else is asked for in two goes."""

    def __init__(self) -> None:
        self._words = Philox(4)
        self.asks: list[int] = []

    def words(self, n: int) -> npt.NDArray[np.uint64]:
        self.asks.append(n)
        return self._words.words(n if len(self.asks) < 3 else 20)


def test_coins_that_run_out_are_followed_by_more_and_nothing_changes() -> None:
    source = Coins()
    few = gaussian.gaussian_part(Fraction(2**30), 300, source)
    assert np.array_equal(few, gaussian.gaussian_part(Fraction(2**30), 300, Philox(4)))
    assert len(source.asks) > 10


def test_round_in_which_too_few_are_taken_is_followed_by_another() -> None:
    """A first round of negative zeros, of which none is taken, and a second one of zeros."""
    asked = LEAST + LEAST // 64 + 256
    source = Said([1] * asked, [0] * asked, [0] * asked, [0] * asked, [0] * asked, [0] * asked)
    assert gaussian.gaussian_part(Fraction(2**30), 2, source).tolist() == [0, 0]


def test_tiles_are_drawn_one_after_another() -> None:
    for variance in (Fraction(9), Fraction(2**24)):
        two = Philox(5)
        parts = [gaussian.gaussian_part(variance, size, two) for size in (gaussian.TILE, 5000)]
        whole = gaussian.gaussian_part(variance, gaussian.TILE + 5000, Philox(5))
        assert np.array_equal(whole, np.concatenate(parts))


def test_few_values_are_the_first_of_a_batch_whose_rest_is_forgotten() -> None:
    for variance in (Fraction(9), Fraction(2**24)):
        few, many = Philox(5), Philox(5)
        whole = gaussian.gaussian_part(variance, LEAST, many)
        assert np.array_equal(gaussian.gaussian_part(variance, 3, few), whole[:3])
        assert few.asks == many.asks


@pytest.mark.parametrize("variance", [Fraction(10**6), Fraction(2**30)], ids=str)
def test_same_seed_same_noise_with_every_back_end(variance: Fraction) -> None:
    drawn = []
    for backend in aes.features():
        aes.select(backend)
        drawn.append(gaussian.gaussian_part(variance, 20_000, Stream(Secret(b"a" * 16))))
    assert all(np.array_equal(each, drawn[0]) for each in drawn)
    other = gaussian.gaussian_part(variance, 20_000, Stream(Secret(b"b" * 16)))
    assert not np.array_equal(other, drawn[0]) and other.dtype == np.int64


def test_known_answer() -> None:
    """A change of the order in which words are used changes every run's noise under its seed: say so in a release."""
    assert gaussian.gaussian_part(Fraction(100), 8, Philox(2026)).tolist() == [-2, 0, -12, 6, -9, -13, -10, -4]
    known = [-7107, 277, -39718, 20437, -29526, -41542, -31415, -13858]
    assert gaussian.gaussian_part(Fraction(2**30), 8, Philox(2026)).tolist() == known


@pytest.mark.parametrize("variance", [Fraction(1), Fraction(2**24)], ids=str)
def test_how_many_words_are_asked_for_depends_on_public_numbers_alone(variance: Fraction) -> None:
    asks = set()
    for seed in range(30):
        stream = Philox(seed)
        gaussian.gaussian_part(variance, 20_000, stream)
        asks.add(tuple(stream.asks))
    tiles = (gaussian.TILE, batch(20_000) - gaussian.TILE)
    if variance == 1:
        assert asks == {tiles}
    else:
        assert asks == {tuple(n + n // 64 + 256 for n in tiles for _ in range(3))}


def test_no_draws_take_no_words() -> None:
    stream = Philox(1)
    assert gaussian.gaussian_part(Fraction(4), 0, stream).size == 0 and not stream.asks


@pytest.mark.parametrize("count", [1, 2, 100, gaussian.TILE])
@pytest.mark.parametrize("variance", WIDE, ids=str)
def test_spare_draws_and_coins_suffice_but_for_a_chance_below_2_to_minus_60(variance: Fraction, count: int) -> None:
    """A coin comes up with a chance that is the exponent: on average below (|x| + 1) 2^b / v. Then, or for a zero, a
    draw is not taken, or is taken after two more words at most.
    """
    step_bits = gaussian._law(variance)[0]
    root = math.sqrt(variance)
    up = (root + 1) * 2**step_bits / float(variance) + 1 / root
    asked = count + count // 64 + 256
    assert stats.binom(3 * asked, up).sf((asked - count) // 3) < 2**-60


@pytest.mark.parametrize(
    "variance",
    [
        *(Fraction(0), Fraction(-1), Fraction(1, 5), Fraction(2**40 + 1)),
        *(Fraction(2**62 + 1, 2**30), Fraction(2**60, 2**53 - 1)),
    ],
    ids=str,
)
def test_variance_outside_the_range_is_refused(variance: Fraction) -> None:
    with pytest.raises(ValueError, match="variance"):
        gaussian.gaussian_part(variance, 1, Philox(1))


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count"):
        gaussian.gaussian_part(Fraction(1), -1, Philox(1))


def test_sampler_takes_what_the_bounds_are_made_for() -> None:
    assert gaussian.MIN_VARIANCE == shared_noise.MIN_VARIANCE


# -- the law, by statistics --------------------------------------------------------------------------------------------


def drawn(variance: Fraction, seeds: range, count: int) -> list[npt.NDArray[np.int64]]:
    return [gaussian.gaussian_part(variance, count, Philox(seed)) for seed in seeds]


def law_of(variance: Fraction, parts: int) -> npt.NDArray[np.float64]:
    return laws.gaussian_sum(variance, parts, 2 + round(5 * math.sqrt(variance * parts)))


@COUNTS
@pytest.mark.parametrize("variance", VARIANCES, ids=str)
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_and_their_sums_have_their_laws(parts: int, variance: Fraction, count: int) -> None:
    whole = np.sum(drawn(variance, range(10, 10 + parts), count), axis=0)
    assert laws.fits(whole, law_of(variance, parts)) > RARE
    assert laws.counted(whole, laws.gaussian_sum(variance, parts, 4)) > RARE
    if parts > 1:
        assert laws.fits(whole, law_of(variance, parts - 1)) < SURE


@COUNTS
@pytest.mark.parametrize("variance", WIDE, ids=str)
def test_wide_parts_have_their_law(variance: Fraction, count: int) -> None:
    """Divided by their root they are normal to a thousandth of it, and all of their lowest bits are even."""
    part = drawn(variance, range(20, 21), count)[0]
    edges = np.linspace(-4, 4, 33)
    seen = np.histogram((part + 0.5) / math.sqrt(variance), np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    expected = np.diff(stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]]))) * count
    assert stats.chisquare(seen, expected).pvalue > RARE
    for bits in (1, 4, 10):
        assert stats.chisquare(np.bincount(part % 2**bits, minlength=2**bits)).pvalue > RARE


@COUNTS
@pytest.mark.parametrize(("m", "t"), PARTIES)
def test_what_a_coalition_cannot_take_off_is_the_whole_noise(m: int, t: int, count: int) -> None:
    n, variance = m - t, Fraction(10, 3)
    parties = drawn(variance, range(200, 200 + m), count)
    seen = 1000 + np.sum(parties, axis=0)
    known = np.sum(parties[n:], axis=0)
    left = seen - known - 1000
    assert laws.fits(left, law_of(variance, n)) > RARE
    assert laws.independent(left, known) > RARE
    for chosen in (known > np.quantile(known, 0.8), known == 0):
        assert laws.fits(left[chosen], law_of(variance, n)) > RARE
    assert laws.independent(left + known, known) < SURE, "the test sees dependence where there is some"


def test_draws_of_one_batch_are_independent() -> None:
    for variance in (Fraction(100), Fraction(2**24)):
        batch = drawn(variance, range(24, 25), 200_000)[0]
        assert laws.independent(batch[::2], batch[1::2]) > RARE


def test_opendps_discrete_gaussian_is_the_same_law() -> None:
    against_opendp(10, 10_000)


@pytest.mark.long
@pytest.mark.parametrize("scale", [1, 1000, 5000])
def test_opendps_discrete_gaussian_is_the_same_law_long(scale: int) -> None:
    against_opendp(scale, 1_000_000)


def against_opendp(scale: int, count: int) -> None:
    """OpenDP takes entropy of its own, so one run in 10^8 may fail here."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    theirs = np.array(dp.m.make_gaussian(*space, scale=float(scale))([0] * count))
    assert laws.alike(drawn(Fraction(scale**2), range(41, 42), count)[0], theirs) > RARE


# -- neighbours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variance", "values"),
    [
        (Fraction(1), range(-8, 9)),
        (Fraction(10**6), range(-8000, 8001, 13)),
        (Fraction(2**24), range(-8 * 4096, 8 * 4096, 101)),
        (Fraction(2**40), range(-8 * 2**20, 8 * 2**20, 54_321)),
    ],
    ids=["1", "10^6", "2^24", "2^40"],
)
def test_every_value_can_be_drawn_so_neighbours_release_the_same_values(variance: Fraction, values: range) -> None:
    """Shown by words that draw each value, as far as a word alone decides (8 roots, 10^-15)."""
    step_bits, law = gaussian._law(variance)
    heads, tails = [], []
    for value in values:
        h, low = divmod(abs(value), 2**step_bits)
        least, most = int(law.words[h - 1]) + 1 if h else 0, int(law.words[h]) - 1
        assert least <= most
        heads.append((least + most) // 2 * 2 + (value < 0))
        tails.append(low << (64 - step_bits))
    size = batch(len(values))
    asked = size + size // 64 + 256 if step_bits else size
    rest = [0] * (asked - len(values))
    more = [tails, rest, [2**64 - 1] * asked] if step_bits else []  # coins that do not come up
    drawn = gaussian.gaussian_part(variance, len(values), Said(heads, rest, *more))
    assert drawn.tolist() == list(values)


@COUNTS
def test_lowest_bits_of_a_release_tell_nothing(count: int) -> None:
    """Mironov's attack (CCS 2012) reads the data off them. P(noise is even) is about 1/2 + exp(-pi^2 v / 2)."""
    even = laws.gaussian_sum(Fraction(4), 1, 60)[::2].sum()
    assert abs(even - 0.5) < 1.01 * math.exp(-(math.pi**2) * 4 / 2)
    noise = drawn(Fraction(100), range(61, 62), count)[0]
    for total in (0, 1, 123_457):
        for bits in (1, 2):
            assert stats.chisquare(np.bincount((total + noise) % 2**bits, minlength=2**bits)).pvalue > RARE
