"""Draws by a law to 384 bits: every word, those that decide nothing, and those that never do."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.kernels import laws
from pets.kernels.exponential import GUARD_BITS, SLACK, exp_minus
from tests.oracles.laws import RARE, Philox, Said, fits

ONE = 1 << GUARD_BITS
LAST = 2**63 - 1


def geometric(gamma: Fraction) -> laws.Law:
    ratio, weight, weights = exp_minus(gamma), ONE, []
    while weight:
        weights.append(weight)
        weight = weight * ratio >> GUARD_BITS
    return laws.of_weights(weights)


LAWS = {
    "steep": geometric(Fraction(7, 2)),
    "flat": geometric(Fraction(1, 31)),
    "three": laws.of_weights([ONE, ONE, ONE]),
    "thin": laws.of_weights([ONE, 3, ONE // 5]),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_draw_is_how_many_probabilities_its_bits_reach(name: str) -> None:
    law = LAWS[name]
    words = np.concatenate([Philox(1).words(5000), np.array([0, 1, 2**64 - 2**20], np.uint64)])
    drawn = laws.draw(law, words, Said([]))
    for word, found in zip(words[-60:], drawn[-60:], strict=True):
        assert found == sum(at_most <= (int(word) >> 1) << (GUARD_BITS - 63) for at_most in law.exact)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("lowest", [0, 1])
def test_the_words_next_to_a_probability_decide_and_the_lowest_bit_does_not_count(name: str, lowest: int) -> None:
    law = LAWS[name]
    for j, first in enumerate(law.words.tolist()[:40]):
        assert first == min(law.exact[j] >> (GUARD_BITS - 63), LAST)
        if first > 0:
            below = laws.draw(law, np.array([2 * (first - 1) + lowest], np.uint64), Said([]))
            assert below[0] <= j
        if first < LAST:
            above = laws.draw(law, np.array([2 * (first + 1) + lowest], np.uint64), Said([]))
            assert above[0] >= j + 1


def bits_after(value: int) -> np.ndarray:
    """The words that go on where 63 bits of a number of 384 bits are over."""
    rest = (value % 2 ** (GUARD_BITS - 63)) << 63
    return np.array([rest >> (64 * i) & (2**64 - 1) for i in range(5, -1, -1)], np.uint64)


@pytest.mark.parametrize("name", LAWS)
def test_a_word_that_decides_nothing_is_decided_by_the_bits_after_it(name: str) -> None:
    law = LAWS[name]
    for j in (0, 1, 2):
        if j >= len(law.words) - 1 or (law.words == law.words[j]).sum() > 1:
            continue
        word = np.array([2 * int(law.words[j])], np.uint64)
        for off, expected in ((-(SLACK + 1), j), (SLACK + 1, j + 1)):
            assert laws.draw(law, word, Said(bits_after(law.exact[j] + off)))[0] == expected
        for off in (-SLACK, 0, SLACK):
            with pytest.raises(OverflowError, match="2\\^-300"):
                laws.draw(law, word, Said(bits_after(law.exact[j] + off)))


def test_a_word_of_ones_reaches_outcomes_that_no_word_alone_reaches() -> None:
    law = LAWS["flat"]
    assert law.words[-1] == LAST
    beyond = len(law.words) + 100
    value = (law.exact[beyond - 1] + law.exact[beyond]) // 2
    assert laws.draw(law, np.array([2**64 - 1], np.uint64), Said(bits_after(value)))[0] == beyond
    with pytest.raises(OverflowError):
        laws.draw(law, np.array([2**64 - 1], np.uint64), Said([2**64 - 1] * 6))


def test_draws_after_one_that_was_not_decided_go_on() -> None:
    law = LAWS["flat"]
    words = Philox(2).words(50)
    plain = laws.draw(law, words, Said([]))
    words[[0, 7, 8, 49]] = np.uint64(2 * int(law.words[5]))
    mixed = laws.draw(law, words, Said(*(bits_after(law.exact[5] + (-1) ** i * 2**70) for i in range(4))))
    assert mixed[[0, 7, 8, 49]].tolist() == [6, 5, 6, 5]
    kept = np.setdiff1d(np.arange(50), [0, 7, 8, 49])
    assert np.array_equal(mixed[kept], plain[kept])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, ONE), min_size=0, max_size=400), st.integers(0, 2**63 - 1))
def test_guide_leads_to_the_same_place_as_a_look_at_all(weights: list[int], value: int) -> None:
    try:
        law = laws.of_weights([ONE, *weights])
    except ValueError:  # a probability that is a multiple of 2^-63
        return
    found = int(np.searchsorted(law.words, np.uint64(value)))
    if law.words[found] != value:
        assert laws.draw(law, np.array([2 * value], np.uint64), Said([]))[0] == found
    assert law.guide.size == 2 ** (63 - law.shift)


def test_draws_have_the_law() -> None:
    drawn = laws.draw(LAWS["three"], Philox(3).words(1_000_000), Philox(4))
    assert fits(drawn - 1, np.full(3, 1 / 3)) > RARE
    assert fits(drawn - 1, np.array([0.33, 0.34, 0.33])) < 1e-12


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([], "1 to 2"),
        ([ONE - 1], "1 to 2"),
        ([ONE] * (2**16 + 1), "1 to 2"),
        ([ONE, ONE], "multiple"),
        ([ONE, 2**63 * ONE - ONE], "multiple"),
    ],
)
def test_what_is_no_law_is_refused(weights: list[int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        laws.of_weights(weights)


@pytest.mark.parametrize("bound", [1, 2, 3, 1000, 2**40 + 1, 2**62 + 1, 2**63 - 1, 2**63])
def test_every_bounded_number_comes_from_equally_many_words(bound: int) -> None:
    """The words of a result are a range, whose ends are tried; the word before is refused or gives another result."""
    least = 2**64 % bound  # of the lower half of the product
    for result in sorted({0, 1 % bound, bound // 3, bound // 2, bound - 1}):
        first, last = -(-((result << 64) + least) // bound), (((result + 1) << 64) - 1) // bound
        assert last - first + 1 == 2**64 // bound
        for word in (first, last, (first + last) // 2):
            assert laws.below(np.uint64(bound), np.array([word], np.uint64), 0) == (result, 1)
        if first and (first - 1) * bound >> 64 == result:
            assert laws.below(np.uint64(bound), np.array([first - 1], np.uint64), 0) == (0, 2)
            assert laws.below(np.uint64(bound), np.array([first - 1, first], np.uint64), 0) == (result, 2)


def test_bounded_number_of_no_words_is_out_of_words() -> None:
    assert laws.below(np.uint64(5), np.zeros(2, np.uint64), 2) == (0, 3)
    assert laws.below(np.uint64(5), np.zeros(2, np.uint64), 3) == (0, 3)
