"""Discrete Laplace noise in parts: against exact laws, a slow twin, OpenDP, and what a coalition can take off."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pets.kernels import aes, noise
from pets.kernels.prf import Stream
from pets.secret import Secret
from tests.oracles import laws
from tests.oracles.laws import RARE, SURE, Philox, Said

HALF = Fraction(693147, 10**6)  # p = 0.5
NINE_TENTHS = Fraction(105361, 10**6)  # p = 0.9
NEAR_ONE = Fraction(10005, 10**7)  # p = 0.999
GAMMAS = pytest.mark.parametrize("gamma", [HALF, NINE_TENTHS, NEAR_ONE], ids=["0.5", "0.9", "0.999"])

PARTIES = [(2, 1), (3, 1), (3, 2), (4, 1), (5, 2)]
"""Computing parties, and how many of them may be corrupt."""

COUNTS = pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
"""Samples of each law."""

# -- the law, exactly --------------------------------------------------------------------------------------------------


@cache
def coefficient(r: Fraction, i: int) -> Fraction:
    """Of p^i in (1 - p)^-r: NB(r, p) is i with probability coefficient * p^i * (1 - p)^r."""
    return math.prod(((r + j) / (j + 1) for j in range(i)), start=Fraction(1))


@cache
def by_cycles(k: int, parts: int) -> Counter[tuple[int, int]]:
    """What +1 and -1 get of k by the sampler's own steps: a length uniform in 1..k, then for whom, then the rest."""
    if k == 0:
        return Counter({(0, 0): Fraction(1)})
    law: Counter[tuple[int, int]] = Counter()
    share = Fraction(1, parts)
    for length in range(1, k + 1):
        for (plus, minus), chance in by_cycles(k - length, parts).items():
            each = chance / k
            law[plus + length, minus] += each * share
            law[plus, minus + length] += each * share
            law[plus, minus] += each * (1 - 2 * share)
    return law


@pytest.mark.parametrize("parts", [2, 3, 4, 7])
def test_cycles_of_a_geometric_number_are_independent_negative_binomials(parts: int) -> None:
    """Geo(k) times the law of the cycles = NB(r)(a) NB(r)(b) NB(1 - 2 r)(k - a - b), r = 1 / parts, as rationals.

    All three have roots of 1 - p, which together make 1 - p; and the powers of p add up: coefficients are compared.
    """
    r = Fraction(1, parts)
    for k in range(13):
        law = by_cycles(k, parts)
        assert sum(law.values()) == 1
        for a, b in itertools.product(range(k + 1), repeat=2):
            rest = k - a - b
            expected = coefficient(r, a) * coefficient(r, b) * coefficient(1 - 2 * r, rest) if rest >= 0 else 0
            assert law[a, b] == expected


Series = dict[int, list[Fraction]]
"""For each value a series in p."""

DEGREE = 10


@cache
def part_series(parts: int) -> Series:
    """P(part = x) of the sampler's own steps, without the factor (1 - p)^2r, up to p^DEGREE."""
    series: Series = {x: [Fraction(0)] * (DEGREE + 1) for x in range(-DEGREE, DEGREE + 1)}
    r = Fraction(1, parts)
    for k in range(DEGREE + 1):
        for (plus, minus), chance in by_cycles(k, parts).items():
            series[plus - minus][k] += chance
    # the sampler's law is (1 - p) times that; (1 - p)^(1 - 2r) of it is divided off
    rest = [coefficient(-(1 - 2 * r), i) for i in range(DEGREE + 1)]
    inverse = [coefficient(1 - 2 * r, i) for i in range(DEGREE + 1)]
    assert times(rest, inverse) == [1] + [0] * DEGREE
    return {x: times(each, rest) for x, each in series.items()}


def times(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    return [sum((a[i] * b[n - i] for i in range(n + 1)), Fraction(0)) for n in range(DEGREE + 1)]


def add_up(a: Series, b: Series) -> Series:
    out: Series = {x: [Fraction(0)] * (DEGREE + 1) for x in range(-DEGREE, DEGREE + 1)}
    for x, y in itertools.product(a, b):
        if abs(x + y) <= DEGREE:  # a value beyond has a power of p beyond
            out[x + y] = [u + v for u, v in zip(out[x + y], times(a[x], b[y]), strict=True)]
    return out


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_honest_parts_add_up_to_discrete_laplace_exactly(parts: int) -> None:
    """The sum of n parts, as a series in p, is p^|x| + p^(|x| + 2) + ...: (1 - p)^2 times it is discrete Laplace.

    One part fewer is something else: there is no slack that a further corrupt party could use.
    """
    whole = part_series(parts)
    for _ in range(parts - 1):
        almost, whole = whole, add_up(whole, part_series(parts))
    laplace = {
        x: [Fraction(int(n >= abs(x) and (n - abs(x)) % 2 == 0)) for n in range(DEGREE + 1)]
        for x in range(-DEGREE, DEGREE + 1)
    }
    assert whole == laplace
    assert almost != laplace


def test_a_whole_is_the_difference_of_two_geometric_numbers() -> None:
    """parts = 1 draws two of them: (1 - p)^2 times the sum over j of p^j p^(j + |x|) = (1 - p) / (1 + p) p^|x|."""
    p = Fraction(9, 10)
    for x in range(10):
        head = sum(p**j * p ** (j + x) for j in range(200))
        assert (1 - p) ** 2 * (head + p ** (400 + x) / (1 - p * p)) == (1 - p) / (1 + p) * p**x


# -- the sampler against its slow twin ---------------------------------------------------------------------------------


def slow_part(gamma: Fraction, parts: int, count: int, words: Callable[[int], list[int]]) -> list[int]:
    """The same in Python's integers and `decimal`: words in the same order, numbers looked up one by one."""

    def geometric() -> list[int]:
        scale_bits = int(1 / gamma).bit_length()
        above = max(0, scale_bits - 5)
        out = [0] * count
        for place in [*range(0, above, 8), above]:
            upper = None if place == above else min(place + 8, above)
            for i, word in enumerate(words(noise.batch(count))[:count]):
                out[i] += looked_up(word >> 1, place, upper) << place
        return out

    def looked_up(u: int, place: int, upper: int | None) -> int:
        with localcontext(Context(prec=60)):
            rate = Decimal(gamma.numerator) / Decimal(gamma.denominator) * 2**place
            whole = 1 - (-rate * 2 ** (upper - place)).exp() if upper is not None else Decimal(1)
            # the least j with P(X <= j) > U
            missing = 1 - whole * (Decimal(u) + Decimal("0.5")) / 2**63
            return int((-missing.ln() / rate).to_integral_value(rounding="ROUND_FLOOR"))

    if parts == 1:
        return [a - b for a, b in zip(geometric(), geometric(), strict=True)]
    numbers = geometric()
    more = iter(words(noise._cycle_words(gamma, noise.batch(count))))

    def below(bound: int) -> int:
        while (next_word := next(more)) * bound % 2**64 < 2**64 % bound:
            pass
        return next_word * bound >> 64

    out = []
    for k in numbers:
        total = 0
        while k:
            whose, length = divmod(below(parts * k), k)
            total += {0: length + 1, 1: -length - 1}.get(whose, 0)
            k -= length + 1
        out.append(total)
    return out


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "gamma",
    [
        *(HALF, NINE_TENTHS, NEAR_ONE, Fraction(1), Fraction(7, 2), Fraction(40), Fraction(1, 31), Fraction(1, 32)),
        *(Fraction(3, 2**13), Fraction(1, 2**20), Fraction(2**52 - 1, 2**52), Fraction(600), Fraction(2**52)),
    ],
    ids=str,
)
def test_draws_are_those_of_the_slow_sampler_word_for_word(gamma: Fraction, parts: int) -> None:
    source = Philox(3)
    if gamma >= 600:  # nothing but zeros down to 2^-384, and `decimal` has no logarithm that near to 1
        assert not noise.laplace_part(gamma, parts, 60, source).any()
        return
    expected = slow_part(gamma, parts, 60, lambda n: source.words(n).tolist())
    assert noise.laplace_part(gamma, parts, 60, Philox(3)).tolist() == expected


@pytest.mark.parametrize("asked", [1, 7, 100])
@pytest.mark.parametrize("gamma", [Fraction(3), HALF, NEAR_ONE, Fraction(1, 2**14)], ids=str)
def test_draw_that_runs_out_of_words_goes_on_with_more(
    gamma: Fraction, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = noise.laplace_part(gamma, 2, 300, Philox(4))
    monkeypatch.setattr(noise, "_cycle_words", lambda gamma, count: asked)
    assert np.array_equal(noise.laplace_part(gamma, 2, 300, Philox(4)), whole)


def test_tiles_are_drawn_one_after_another() -> None:
    two = Philox(5)
    parts = [noise.laplace_part(NINE_TENTHS, 3, size, two) for size in (noise.TILE, 5000)]
    assert np.array_equal(noise.laplace_part(NINE_TENTHS, 3, noise.TILE + 5000, Philox(5)), np.concatenate(parts))


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_few_values_are_the_first_of_a_batch_whose_rest_is_forgotten(parts: int) -> None:
    few, many = Philox(5), Philox(5)
    whole = noise.laplace_part(NINE_TENTHS, parts, noise.LEAST, many)
    assert np.array_equal(noise.laplace_part(NINE_TENTHS, parts, 3, few), whole[:3])
    assert few.asks == many.asks


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_same_seed_same_noise_with_every_back_end(parts: int) -> None:
    drawn = []
    for backend in aes.features():
        aes.select(backend)
        drawn.append(noise.laplace_part(NEAR_ONE, parts, 20_000, Stream(Secret(b"a" * 16))))
    assert all(np.array_equal(each, drawn[0]) for each in drawn)
    other = noise.laplace_part(NEAR_ONE, parts, 20_000, Stream(Secret(b"b" * 16)))
    assert not np.array_equal(other, drawn[0]) and other.dtype == np.int64


def test_known_answer() -> None:
    """A change of the order in which words are used changes every run's noise under its seed: say so in a release."""
    known = {
        1: [-1, -2, 0, -7, 5, -4, 8, 0, 10, 1, 4, -3],
        2: [1, 0, 2, -3, 9, 13, 10, 3, 15, -4, -4, 0],
        3: [1, 0, 11, 0, 7, 15, 10, 0, 11, 0, -1, 0],
    }
    assert {n: noise.laplace_part(NINE_TENTHS, n, 12, Philox(2026)).tolist() for n in known} == known
    assert noise.half_noise(NINE_TENTHS, 12, Philox(2026)).tolist() == known[2]


def test_no_draws_take_no_words() -> None:
    stream = Philox(1)
    assert noise.half_noise(HALF, 0, stream).size == 0 and not stream.asks


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("gamma", [Fraction(1), NEAR_ONE], ids=str)
def test_how_many_words_are_asked_for_depends_on_public_numbers_alone(gamma: Fraction, parts: int) -> None:
    """30 seeds, hence 30 vectors of noise: the same amounts in the same order; other public numbers, other amounts."""
    asks = set()
    for seed in range(30):
        stream = Philox(seed)
        noise.laplace_part(gamma, parts, 20_000, stream)
        asks.add(tuple(stream.asks))
    assert len(asks) == 1
    tiles = (noise.TILE, noise.batch(20_000) - noise.TILE)
    groups = len(noise._groups(gamma))
    each = [[size] * groups + ([noise._cycle_words(gamma, size)] if parts > 1 else [size] * groups) for size in tiles]
    assert asks == {tuple(itertools.chain(*each))}


@pytest.mark.parametrize(("least", "told"), [(1, True), (noise.LEAST, False)], ids=["one by one", "as it is"])
def test_words_read_for_a_batch_do_not_tell_one_value(least: int, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words read stand for time. Welch's t of small and great values: 4.5 is the limit of threats-and-tests.md (A7).

    Each value adds 2 words at most between the two; the cycles of 2^12 spread by 166. So 10^6 batches would show 4.4.
    """
    read, values, source, cycles = [0], [], Philox(70), noise._cycles

    def counting(words: npt.NDArray[np.uint64], parts: np.uint64, done: int, at: int, tile: object) -> tuple[int, int]:
        done, behind = cycles(words, parts, done, at, tile)
        read[-1] += behind - at
        return done, behind

    monkeypatch.setattr(noise, "_cycles", counting)
    monkeypatch.setattr(noise, "LEAST", least)
    for _ in range(1200):
        values.append(abs(int(noise.half_noise(Fraction(1, 1000), 1, source)[0])))
        read.append(0)
    small, great = (np.array(read[:-1])[np.argsort(values)[part]] for part in (slice(400), slice(-400, None)))
    t = float(stats.ttest_ind(great, small, equal_var=False).statistic)
    assert t > 6 if told else abs(t) < 4.5


@pytest.mark.parametrize("count", [1, 2, 100, noise.TILE])
@pytest.mark.parametrize("gamma", [Fraction(40), Fraction(1), NEAR_ONE, Fraction(1, 2**20)], ids=str)
def test_words_for_cycles_suffice_but_for_a_chance_below_2_to_minus_60(gamma: Fraction, count: int) -> None:
    mean = count * -math.log(-math.expm1(-float(gamma)))
    assert stats.poisson(mean).sf(noise._cycle_words(gamma, count) - 5) < 2**-60
    assert noise._cycle_words(gamma, count) < 1.2 * mean + 250


@pytest.mark.parametrize(
    "gamma", [Fraction(0), Fraction(-1), Fraction(1, 2**20 + 1), Fraction(2**52 + 1, 2**52), Fraction(2**53)], ids=str
)
def test_gamma_outside_the_range_is_refused(gamma: Fraction) -> None:
    with pytest.raises(ValueError, match="gamma"):
        noise.half_noise(gamma, 1, Philox(1))


def test_counts_and_parts_outside_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="count"):
        noise.half_noise(HALF, -1, Philox(1))
    for parts in (0, -1, 2**10 + 1):
        with pytest.raises(ValueError, match="parts"):
            noise.laplace_part(HALF, parts, 1, Philox(1))


# -- the law, by statistics --------------------------------------------------------------------------------------------


def drawn(gamma: Fraction, parts: int, seeds: range, count: int) -> list[npt.NDArray[np.int64]]:
    return [noise.laplace_part(gamma, parts, count, Philox(seed)) for seed in seeds]


def laplace(gamma: Fraction) -> npt.NDArray[np.float64]:
    return laws.discrete_laplace(gamma, 2 + round(8 / float(gamma)))


@COUNTS
@GAMMAS
@pytest.mark.parametrize(("m", "t"), PARTIES)
def test_any_honest_parties_add_up_to_discrete_laplace(m: int, t: int, gamma: Fraction, count: int) -> None:
    """Samples of three sums of m - t parts that could be the honest ones, and of one fewer and one more."""
    n = m - t
    parties = drawn(gamma, n, range(100, 100 + m), count)
    for honest in itertools.islice(itertools.combinations(parties, n), 3):
        whole = np.sum(honest, axis=0)
        assert laws.fits(whole, laplace(gamma)) > RARE
        assert laws.counted(whole, laws.discrete_laplace(gamma, 6)) > RARE
    if n > 1:
        assert laws.fits(np.sum(parties[: n - 1], axis=0), laplace(gamma)) < SURE
    assert laws.fits(np.sum(parties[: n + 1], axis=0), laplace(gamma)) < SURE


@COUNTS
@pytest.mark.parametrize("parts", [1, 2, 3, 10])
@pytest.mark.parametrize("gamma", [HALF, NINE_TENTHS], ids=["0.5", "0.9"])
def test_one_part_has_its_law(gamma: Fraction, parts: int, count: int) -> None:
    part = drawn(gamma, parts, range(7, 8), count)[0]
    reach = 2 + round(8 / float(gamma))
    assert laws.fits(part, laws.laplace_part(gamma, parts, reach)) > RARE
    assert laws.counted(part, laws.laplace_part(gamma, parts, 6)) > RARE


@COUNTS
@pytest.mark.parametrize(("m", "t"), PARTIES)
def test_what_a_coalition_cannot_take_off_is_the_whole_noise(m: int, t: int, count: int) -> None:
    """The result party sees the sum of all parts; t parties take theirs off. Whatever theirs were, the law is whole."""
    n = m - t
    parties = drawn(NINE_TENTHS, n, range(200, 200 + m), count)
    seen = 1000 + np.sum(parties, axis=0)
    known = np.sum(parties[n:], axis=0)
    left = seen - known - 1000
    assert laws.fits(left, laplace(NINE_TENTHS)) > RARE
    assert laws.independent(left, known) > RARE
    for chosen in (known > np.quantile(known, 0.8), known == 0, known < np.quantile(known, 0.2)):
        assert laws.fits(left[chosen], laplace(NINE_TENTHS)) > RARE
    assert laws.independent(left + known, known) < SURE, "the test sees dependence where there is some"


@COUNTS
def test_draws_of_one_batch_are_independent(count: int) -> None:
    batch = drawn(NINE_TENTHS, 2, range(24, 25), count)[0]
    assert laws.independent(batch[::2], batch[1::2]) > RARE
    assert laws.independent(batch[: count // 2], batch[count // 2 :]) > RARE


@COUNTS
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_widest_noise_has_its_spread(parts: int, count: int) -> None:
    """1 / gamma = 2^20: variance 2 p / n (1 - p)^2, as near as so many draws tell."""
    part = drawn(Fraction(1, 2**20), parts, range(6, 7), count)[0].astype(float)
    spread = 2 * 2.0**40 / parts
    kurtosis = 3 + 3 * parts
    assert abs(part.var() / spread - 1) < 6 * math.sqrt((kurtosis - 1) / count)
    assert abs(part.mean()) < 6 * math.sqrt(spread / count)


def test_opendps_discrete_laplace_is_the_same_law() -> None:
    against_opendp(10, 20_000)


@pytest.mark.long
@pytest.mark.parametrize("scale", [1, 10, 1000])
def test_opendps_discrete_laplace_is_the_same_law_long(scale: int) -> None:
    against_opendp(scale, 1_000_000)


def against_opendp(scale: int, count: int) -> None:
    """OpenDP takes entropy of its own, so one run in 10^8 may fail here."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    theirs = np.array(dp.m.make_laplace(*space, scale=float(scale))([0] * count))
    gamma = Fraction(1, scale)
    for parts in (1, 2, 3):
        ours = np.sum(drawn(gamma, parts, range(41, 41 + parts), count), axis=0)
        assert laws.alike(ours, theirs) > RARE


# -- neighbours --------------------------------------------------------------------------------------------------------


def words_for(values: list[int], gamma: Fraction, parts: int) -> Said:
    """Words that make the sampler draw these values: for each number the middle of the words that give it."""
    zeros = [0] * (noise.batch(len(values)) - len(values))

    def geometric(numbers: list[int]) -> Iterator[list[int]]:
        groups = noise._groups(gamma)
        for (place, law), above in itertools.zip_longest(groups, groups[1:]):
            words = []
            for k in numbers:
                j = k >> place if above is None else (k >> place) % 2 ** (above[0] - place)
                low, high = int(law.words[j - 1]) + 1 if j else 0, int(law.words[j]) - 1
                assert low <= high
                words.append(low + high)  # twice the middle: the lowest bit does not count
            yield words + zeros

    if parts == 1:
        return Said(*geometric([max(each, 0) for each in values]), *geometric([max(-each, 0) for each in values]))
    # all k in one cycle, for +1 or for -1
    drawn = [(abs(each), each - 1 if each > 0 else 2 * -each - 1) for each in values if each]
    cycles = [-(-((place << 64) + 2**32) // (parts * k)) for k, place in drawn]
    rest = noise._cycle_words(gamma, noise.batch(len(values))) - len(cycles)
    return Said(*geometric([abs(each) for each in values]), cycles, [0] * rest)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(
    ("gamma", "values"),
    [
        (Fraction(1), range(-38, 39)),
        (Fraction(1, 31), range(-1000, 1001, 3)),
        (Fraction(1, 1000), range(-30_000, 30_001, 97)),
        (Fraction(1, 2**20), range(-30 * 2**20, 30 * 2**20, 654_321)),
    ],
    ids=["1", "31", "1000", "2^20"],
)
def test_every_value_can_be_drawn_so_neighbours_release_the_same_values(
    gamma: Fraction, values: range, parts: int
) -> None:
    """The support is all whole numbers: what one database can release, its neighbour can. No value is impossible.

    Shown by words that draw each value, as far as a word alone decides (30 times the scale, e^-30); beyond, further
    bits are asked for (test_laws).
    """
    wanted = list(values)
    assert noise.laplace_part(gamma, parts, len(wanted), words_for(wanted, gamma, parts)).tolist() == wanted


@COUNTS
@pytest.mark.parametrize(("parts", "gamma"), [(1, HALF), (2, HALF), (3, HALF), (2, NINE_TENTHS)])
def test_neighbours_release_each_value_with_a_ratio_below_e_to_the_epsilon(
    parts: int, gamma: Fraction, count: int
) -> None:
    """Sums 0 and 1, sensitivity 1."""
    zero = np.sum(drawn(gamma, parts, range(31, 31 + parts), count), axis=0)
    one = 1 + np.sum(drawn(gamma, parts, range(51, 51 + parts), count), axis=0)
    for value in range(-8, 10):
        mine, other = int((zero == value).sum()), int((one == value).sum())
        assert mine > 0 and other > 0
        assert abs(math.log(mine / other)) <= float(gamma) + 6 * (1 / mine + 1 / other) ** 0.5


@COUNTS
def test_lowest_bits_of_a_release_tell_no_more_than_epsilon_and_of_wide_noise_nothing(count: int) -> None:
    """Mironov's attack (CCS 2012) reads the data off the lowest bits of a release.

    Exactly: P(noise is even) = (1 + p^2) / (1 + p)^2, so neighbours' parities have a ratio of (1 + p^2) / 2 p at most,
    below 1 / p = e^epsilon. At a scale of 1,000 that ratio is 1 + 5 / 10^7, and 10^6 releases show nothing.
    """
    for p in (Fraction(1, 3), Fraction(9, 10), Fraction(999, 1000)):
        even = (1 - p) / (1 + p) * (1 + 2 * p**2 / (1 - p**2))
        assert even == (1 + p**2) / (1 + p) ** 2 and even / (1 - even) == (1 + p**2) / (2 * p) < 1 / p
    wide = np.sum(drawn(Fraction(1, 1000), 2, range(61, 63), count), axis=0)
    for total in (0, 1, 123_456):
        for bits in (1, 4, 8):
            seen = np.bincount((total + wide) % 2**bits, minlength=2**bits)
            assert stats.chisquare(seen).pvalue > RARE
    coarse = 1 + 2 * wide
    assert stats.chisquare(np.bincount(coarse % 2, minlength=2)).pvalue < SURE, "noise in steps of 2 tells the parity"
