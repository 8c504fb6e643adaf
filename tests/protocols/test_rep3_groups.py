"""Groups, running values, order statistics: against numpy and plain loops."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pets.errors import PeerError
from pets.protocols.base import Role
from pets.protocols.rep3 import fixed, groups, order, quantiles, sharing
from pets.protocols.rep3.groups import Rank
from pets.protocols.rep3.sharing import Context, Words
from tests.oracles.rep3_operations import greater_of
from tests.oracles.shared import I64, run

SIZES = (1, 2, 63, 64, 65, 130)


def made(rows: int, seed: int, *, invalid: int = 0, keys: int = 7) -> tuple[I64, I64, I64, I64]:
    """Rows in order of key and value, those that do not count last: key, value, where groups begin, valid."""
    rng = np.random.default_rng(seed)
    key = np.sort(rng.integers(0, keys, rows))
    key[rows - invalid :] = 2**20
    value = rng.integers(-(2**40), 2**40, rows)
    value = value[np.lexsort((value, key))]
    begins = np.concatenate([[1], (np.diff(key) != 0).astype(np.int64)])
    return key, value, begins, (np.arange(rows) < rows - invalid).astype(np.int64)


def members(begins: I64, valid: I64) -> list[I64]:
    """Rows of each group that counts."""
    found = np.split(np.arange(len(begins)), np.flatnonzero(begins)[1:])
    return [rows for rows in found if valid[rows[0]]]


def table(rows: Sequence[int], most: int) -> I64:
    """The first ``most`` entries, and zeros."""
    return np.array([*rows, *([0] * most)], np.int64)[:most]


# -- where groups begin, and the order of rows ------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
def test_groups_begin_where_the_key_changes(rows: int) -> None:
    key, _, begins, _ = made(rows, rows)
    key[key == 3] = -(2**63)
    assert np.array_equal(run(groups.starts, key).signed, begins)


@pytest.mark.parametrize("rows", SIZES)
def test_rows_with_a_flag_come_to_the_front_in_their_order(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x, y = rng.integers(-5, 5, (2, rows))
    for flags in (rng.integers(0, 2, rows), np.zeros(rows, np.int64), np.ones(rows, np.int64)):
        done = run(lambda ctx, f, x, y: groups.fronted(ctx, f, [x, y]), flags, x, y)
        at = np.argsort(1 - flags, kind="stable")
        assert np.array_equal(done.signed, np.concatenate([x[at], y[at]]))
        to = rng.permutation(rows)
        done = run(lambda ctx, p, x: groups.arranged(ctx, p, [x]), to, x)
        assert np.array_equal(done.signed[to], x)


@pytest.mark.parametrize("change", [lambda a: a + np.uint64(1), lambda a: a * np.uint64(0), lambda a: a[::-1].copy()])
def test_places_that_are_no_order_are_refused(change: Callable[[Any], Any]) -> None:
    with pytest.raises(PeerError, match=r"peer\.positions"):
        run(
            lambda ctx, f, x: groups.fronted(ctx, f, [x]),
            np.arange(70) % 2,
            np.zeros(70, np.int64),
            alter=lambda key, array: change(array) if (key[0], *key[2:]) == ("p1", "open", 0) else array,
        )


# -- tables of groups -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("invalid", [0, 1, 40])
def test_a_table_of_sums_first_and_last_values(rows: int, invalid: int) -> None:
    key, value, begins, valid = made(rows, rows + invalid, invalid=min(invalid, rows))
    found = members(begins, valid)
    for most in {1, min(3, rows), rows}:

        def act(ctx: Context, key: Words, x: Words, begins: Words, valid: Words, most: int = most) -> Role[list[Words]]:
            ones = sharing.public(ctx, 1, key.rows)
            there, columns = yield from groups.grouped(
                ctx, begins, valid, most=most, sums=[ones, x], firsts=[key, x], lasts=[x]
            )
            return [there, *columns]

        got = run(act, key, value, begins, valid).signed.reshape(6, most)
        assert np.array_equal(got[0], table([1] * len(found), most))
        assert np.array_equal(got[1], table([len(at) for at in found], most))
        assert np.array_equal(got[2], table([value[at].sum() for at in found], most))
        assert np.array_equal(got[3], table([key[at[0]] for at in found], most))
        assert np.array_equal(got[4], table([value[at].min() for at in found], most))
        assert np.array_equal(got[5], table([value[at].max() for at in found], most))


QUANTILES = [(1, 2), (1, 4), (9, 10), (0, 1), (1, 1), (99, 100)]
METHODS = ("lower", "higher", "inverted_cdf")


def quantile(values: I64, part: tuple[int, int], method: Any) -> int:
    """As numpy has it; 0 of nothing, and no first value that a share of 0 does not exceed."""
    if not len(values) or (method == "inverted_cdf" and part[0] == 0):
        return 0
    return int(np.quantile(values, part[0] / part[1], method=method))


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("part", QUANTILES)
def test_quantiles_of_each_group(rows: int, part: tuple[int, int]) -> None:
    _, value, begins, valid = made(rows, rows, invalid=rows // 4)
    ranks = [Rank.lower(*part), Rank.upper(*part), Rank.discrete(*part)]
    found = members(begins, valid)
    most = min(5, rows)

    def act(ctx: Context, x: Words, begins: Words, valid: Words) -> Role[list[Words]]:
        marks = yield from groups.marked(ctx, begins, valid, ranks, most)
        kept = yield from sharing.multiply(ctx, sharing.joined(*marks), sharing.joined(x, x, x))
        parts = [kept[slice(at * x.rows, (at + 1) * x.rows)] for at in range(3)]
        return (yield from groups.grouped(ctx, begins, valid, most=most, sums=[*parts, *marks]))[1]

    got = run(act, value, begins, valid).signed.reshape(6, most)
    for place, method in enumerate(METHODS):
        assert np.array_equal(got[place], table([quantile(value[at], part, method) for at in found], most))
    assert np.array_equal(got[3], table([1] * len(found), most))
    assert np.array_equal(got[5], table([int(part[0] > 0)] * len(found), most))


def test_ranks_beyond_their_group_mark_no_row() -> None:
    begins, valid = np.array([1, 0, 1, 0, 0]), np.array([1, 1, 1, 1, 1])
    ranks = [Rank(0, at, 1, -1) for at in range(5)]  # rank -1, then 0 to 3
    got = run(lambda c, b, v: groups.marked(c, b, v, ranks, 5), begins, valid).signed.reshape(5, 5)
    assert got.tolist() == [[0] * 5, [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0] * 5]


@pytest.mark.parametrize("rows", [3, 64, 65, 130])
def test_the_first_places_of_each_group(rows: int) -> None:
    _, _, begins, _ = made(rows, rows)
    got = run(lambda ctx, b: groups.leading(ctx, b, 3), begins).signed.reshape(3, rows)
    place = np.concatenate([np.arange(len(at)) for at in np.split(begins, np.flatnonzero(begins)[1:])])
    assert np.array_equal(got, np.array([place == at for at in range(3)]))


# -- running values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
def test_running_values_by_three_operators(rows: int) -> None:
    _, value, begins, _ = made(rows, rows)
    rng = np.random.default_rng(rows)
    value = rng.permutation(value)
    parts = np.split(np.arange(rows), np.flatnonzero(begins)[1:])

    def added(ctx: Context, x: list[Words], y: list[Words]) -> Role[list[Words]]:
        return [a + b for a, b in zip(x, y, strict=True)]
        yield

    most = run(lambda c, b, x: groups.scanned(c, b, [x], greater_of), begins, value)
    assert np.array_equal(most.signed, np.concatenate([np.maximum.accumulate(value[at]) for at in parts]))
    total = run(lambda c, b, x: groups.scanned(c, b, [x, x], added), begins, value)
    assert np.array_equal(total.signed, np.tile(np.concatenate([np.cumsum(value[at]) for at in parts]), 2))


def test_a_running_product_in_fixed_point_as_kaplan_and_meier_have_it() -> None:
    """Survival in each of three groups: products of shares, each truncated once a level, so close to the exact ones."""
    rng, one = np.random.default_rng(1), 2**30
    begins = np.array([1, *[0] * 39] * 3)
    share = (one * (1 - rng.random(120) / 20)).astype(np.int64)

    def times(ctx: Context, x: list[Words], y: list[Words]) -> Role[list[Words]]:
        return [(yield from fixed.product(ctx, x[0], y[0], 30))]

    got = run(lambda c, b, x: groups.scanned(c, b, [x], times), begins, share).signed.reshape(3, 40)
    assert np.abs(got - one * np.cumprod(share.reshape(3, 40) / one, axis=1)).max() <= 40


# -- one column -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [*SIZES, 3])
@pytest.mark.parametrize("columns", [1, 3])
def test_greatest_and_least(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    x = rng.integers(-(2**62) + 1, 2**62, rows * columns)
    x[0] = 2**62 - 1
    x[-1] = -(2**62) + 1
    got = run(lambda ctx, x: quantiles.greatest(ctx, x, columns), x).signed
    assert np.array_equal(got, x.reshape(columns, rows).max(axis=1))
    got = run(lambda ctx, x: quantiles.least(ctx, x, columns), x).signed
    assert np.array_equal(got, x.reshape(columns, rows).min(axis=1))


@pytest.mark.parametrize("rows", SIZES)
def test_values_at_secret_ranks(rows: int) -> None:
    x = np.random.default_rng(rows).integers(-(2**63), 2**63 - 1, rows)
    ranks = np.array([0, rows - 1, rows // 2, -1, 0])
    got = run(quantiles.at_ranks, x, ranks).signed
    assert got.tolist() == [x[0], x[-1], x[rows // 2], 0, x[0]]


@pytest.mark.parametrize("rows", [1, 7, 64, 100])
def test_quantiles_of_a_column_with_a_secret_count(rows: int) -> None:
    x = np.sort(np.random.default_rng(rows).integers(-(2**40), 2**40, rows))
    for part in QUANTILES:
        ranks = [Rank.lower(*part), Rank.upper(*part), Rank.discrete(*part)]
        for count in sorted({0, 1, rows // 2, rows}):
            valid = np.where(np.arange(rows) < count, x, 0)
            got = run(lambda c, x, k, ranks=ranks: quantiles.quantiles(c, x, k, ranks), valid, [count]).signed
            assert got.tolist() == [quantile(x[:count], part, method) for method in METHODS]


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx, x: groups.grouped(ctx, x, x, most=1),
        lambda ctx, x: groups.grouped(ctx, x, x, most=0, sums=[x]),
        lambda ctx, x: groups.grouped(ctx, x, x, most=7, sums=[x]),
        lambda ctx, x: groups.marked(ctx, x, x, [], 1),
        lambda ctx, x: groups.marked(ctx, x, x, [Rank.lower(1, 2), Rank.lower(1, 3)], 1),
        lambda ctx, x: groups.marked(ctx, x, x, [Rank.lower(1, 2)], 7),
        lambda ctx, x: groups.marked(ctx, x, x, [Rank(2**59, 0, 1, 0)], 1),
        lambda ctx, x: groups.leading(ctx, x, 7),
        lambda ctx, x: groups.leading(ctx, x, 0),
        lambda ctx, x: quantiles.greatest(ctx, x, 4),
        lambda ctx, x: quantiles.greatest(ctx, x, 0),
        lambda ctx, x: quantiles.quantiles(ctx, x, x[0:1], []),
    ],
)
def test_public_numbers_that_do_not_fit_are_refused_before_anything_is_sent(act: Any) -> None:
    with pytest.raises(ValueError, match=r"as many|rank|column"):
        run(act, np.zeros(6, np.int64))


# -- sums so far, and rows with public numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("reach", [1, 2, 3, 7, 200])
def test_sums_so_far_within_a_group_reach_back_as_far_as_declared(rows: int, reach: int) -> None:
    """Exact where no group has more rows; else at least the last ``reach`` of them, and none of another group."""
    key, value, begins, _ = made(rows, rows + reach, keys=max(1, rows // 3))
    done = run(lambda ctx, b, x, y: groups.running(ctx, b, [x, y], reach), begins, value, key)
    assert done.rounds == groups.turns_of(reach, rows)
    group = np.cumsum(begins)
    window = 2 ** groups.turns_of(reach, rows)
    for column, found in zip((value, key), np.split(done.signed, 2), strict=True):
        for row in range(rows):
            own = [at for at in range(max(0, row - window + 1), row + 1) if group[at] == group[row]]
            assert int(found[row]) == int(column[own].sum())
    longest = np.bincount(group).max()
    if longest <= reach:
        whole = np.concatenate([np.cumsum(each) for each in np.split(value, np.flatnonzero(begins)[1:])])
        assert np.array_equal(np.split(done.signed, 2)[0], whole)


@pytest.mark.parametrize("rows", [1, 5, 64, 130])
def test_rows_with_public_numbers_are_found_wherever_they_are(rows: int) -> None:
    rng = np.random.default_rng(rows)
    count = max(1, rows // 4)
    numbers = np.zeros(rows, np.int64)
    at = rng.permutation(rows)[:count]
    numbers[at] = np.arange(1, count + 1)
    x, y = rng.integers(-(2**62), 2**62, (2, rows))
    done = run(lambda ctx, n, x, y: groups.picked(ctx, n, [x, y], count), numbers, x, y)
    assert np.array_equal(done.signed, np.concatenate([x[at], y[at]]))


@pytest.mark.parametrize(
    "numbers", [[1, 2, 2, 0], [1, 0, 0, 0], [1, 2, 3, 0], [0, 0, 0, 0], [1, 2, 0, 9], [1, 2, -1, 0]]
)
def test_rows_with_other_numbers_than_the_public_ones_are_refused(numbers: list[int]) -> None:
    with pytest.raises(PeerError, match=r"peer\.positions"):
        run(lambda ctx, n, x: groups.picked(ctx, n, [x], 2), np.array(numbers), np.zeros(4, np.int64))


@pytest.mark.parametrize("rows", [1, 2, 64, 130, 1100])
@pytest.mark.parametrize("words", [1, 2])
def test_keys_of_one_or_two_words_put_rows_in_order_and_back(rows: int, words: int) -> None:
    """Keys as bits under XOR: equal ones keep their order; the last rows come back to where they were."""
    rng = np.random.default_rng(rows + words)
    number = (rows - 1).bit_length()
    high = [int(each) for each in rng.integers(0, 5, rows)]
    bits = number + 3 if words == 1 else 64 + 3
    shift = bits - 3
    whole = [each << shift for each in high]
    keys = [np.array([(each >> 64 * w) % 2**64 for each in whole], np.uint64) for w in range(words)]
    x, last = rng.integers(-(2**62), 2**62, rows), rows - rows // 3
    xor = np.random.default_rng(9)
    parts = [
        [a := xor.integers(0, 2**64, rows, np.uint64), b := xor.integers(0, 2**64, rows, np.uint64), key ^ a ^ b]
        for key in keys
    ]
    first, second = (xor.integers(0, 2**64, rows, np.uint64) for _ in range(2))
    parts.append([first, second, x.view(np.uint64) - first - second])

    def act(ctx: Context, *columns: Words) -> Role[Any]:
        *shared, payload = columns
        _, moved, way = yield from order.sorted_keys(ctx, shared, bits, [payload])
        (back,) = yield from order.put_back(ctx, way, moved, last)
        return sharing.joined(*moved, back)

    done = run(act, parts=parts)
    assert np.array_equal(done.signed, np.concatenate([x[np.argsort(high, kind="stable")], x[rows - last :]]))
    parts[0][0] ^= rng.integers(0, 2**number, rows, np.uint64)  # whoever brings keys cannot choose its rows' numbers
    assert np.array_equal(run(act, parts=parts).value, done.value)
