"""GROUP BY a key that nobody knows, from rows in any order, against plain loops."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from pets.protocols.base import Role
from pets.protocols.rep3 import tables
from pets.protocols.rep3.groups import Rank
from pets.protocols.rep3.sharing import Context, Words
from tests.oracles.shared import I64, run
from tests.protocols.test_rep3_groups import table

BITS, VALUE = 6, 20
RANKS = [Rank.lower(1, 2), Rank.upper(1, 2)]


def made(rows: int, seed: int, share: float) -> tuple[I64, I64, I64]:
    """Keys with both ends of their range, values with many ties, and which rows count; others hold anything."""
    rng = np.random.default_rng(seed)
    key, x = rng.integers(0, 5, rows) * 13, rng.integers(0, 30, rows) ** 2
    key[: rows // 4], x[rows // 2 :: 7] = 2**BITS - 1, 2**VALUE - 1
    valid = (rng.random(rows) < share).astype(np.int64)
    wild = rng.integers(-(2**40), 2**40, rows)
    return np.where(valid == 1, key, wild), np.where(valid == 1, x, wild // 3), valid


def groups(key: I64, x: I64, valid: I64) -> dict[int, I64]:
    """Values of rows that count, by key in ascending order."""
    found = sorted({int(k) for k, v in zip(key, valid, strict=True) if v})
    return {k: x[(key == k) & (valid == 1)] for k in found}


CASES = [(rows, share) for rows in (1, 2, 64, 65, 150) for share in (0.0, 0.6, 1.0)]


@pytest.mark.parametrize(("rows", "share"), CASES)
def test_sums_by_a_secret_key(rows: int, share: float) -> None:
    key, x, valid = made(rows, rows, share)
    found = groups(key, x, valid)
    for most in {1, min(4, rows), rows}:

        def act(ctx: Context, key: Words, x: Words, valid: Words, most: int = most) -> Role[list[Words]]:
            there, keys, sums = yield from tables.group_by(ctx, key, BITS, valid, [x, valid], most)
            return [there, keys, *sums]

        got = run(act, key, x, valid).signed.reshape(4, most)
        assert np.array_equal(got[0], table([1] * len(found), most))
        assert np.array_equal(got[1], table(list(found), most))
        assert np.array_equal(got[2], table([values.sum() for values in found.values()], most))
        assert np.array_equal(got[3], table([len(values) for values in found.values()], most))


@pytest.mark.parametrize(("rows", "cells"), [(1, 1), (1, 7), (64, 1), (65, 64), (150, 9), (40, 300)])
def test_sums_of_every_key_below_a_number(rows: int, cells: int) -> None:
    """Also of those that no row has; values and sums of any size, modulo 2^64."""
    rng = np.random.default_rng(rows)
    key = rng.integers(0, cells, rows)
    key[: rows // 3] = cells - 1
    values = [rng.integers(-(2**62), 2**62, rows), np.ones(rows, np.int64)]

    def act(ctx: Context, key: Words, *columns: Words) -> Role[list[Words]]:
        return (yield from tables.summed_by(ctx, key, max(1, (cells - 1).bit_length()), columns, cells))

    done = run(act, key, *values)
    got = done.signed.reshape(2, cells)
    for column, x in enumerate(values):
        wanted = np.zeros(cells, np.int64)
        np.add.at(wanted, key, x)
        assert np.array_equal(got[column], wanted)


def test_sums_of_keys_that_do_not_fit_are_a_mistake() -> None:
    def act(ctx: Context, key: Words, *, bits: int, columns: int, cells: int) -> Role[list[Words]]:
        return (yield from tables.summed_by(ctx, key, bits, [key] * columns, cells))

    for wrong in ({"bits": 3, "columns": 1, "cells": 9}, {"bits": 3, "columns": 0, "cells": 8}):
        with pytest.raises(ValueError, match="keys"):
            run(partial(act, **wrong), np.zeros(3, np.int64))


@pytest.mark.parametrize(("rows", "share"), CASES)
def test_order_statistics_by_a_secret_key(rows: int, share: float) -> None:
    key, x, valid = made(rows, rows, share)
    found = groups(key, x, valid)
    most = min(4, rows)

    def act(ctx: Context, key: Words, x: Words, valid: Words) -> Role[list[Words]]:
        there, keys, columns = yield from tables.group_by_value(ctx, key, BITS, x, VALUE, valid, RANKS, most)
        return [there, keys, *columns]

    got = run(act, key, x, valid).signed.reshape(6, most)
    assert np.array_equal(got[0], table([1] * len(found), most))
    assert np.array_equal(got[1], table(list(found), most))
    assert np.array_equal(got[2], table([values.min() for values in found.values()], most))
    assert np.array_equal(got[3], table([values.max() for values in found.values()], most))
    for place, method in ((4, "lower"), (5, "higher")):
        medians = [int(np.quantile(values, 0.5, method=method)) for values in found.values()]
        assert np.array_equal(got[place], table(medians, most))


@pytest.mark.parametrize(("rows", "share"), [case for case in CASES if case[0] > 2])
def test_the_greatest_values_by_a_secret_key(rows: int, share: float) -> None:
    key, x, valid = made(rows, rows, share)
    found = groups(key, x, valid)
    most, places = min(4, rows), 3

    def act(ctx: Context, key: Words, x: Words, valid: Words) -> Role[list[Words]]:
        there, keys, some, values = yield from tables.top_by_group(ctx, key, BITS, x, VALUE, valid, places, most)
        return [there, keys, *some, *values]

    got = run(act, key, x, valid).signed.reshape(2 + 2 * places, most)
    assert np.array_equal(got[0], table([1] * len(found), most))
    assert np.array_equal(got[1], table(list(found), most))
    for place in range(places):
        best = [np.sort(values)[::-1] for values in found.values()]
        assert np.array_equal(got[2 + place], table([int(len(values) > place) for values in best], most))
        values = [values[place] if len(values) > place else 0 for values in best]
        assert np.array_equal(got[2 + places + place], table(values, most))


@pytest.mark.parametrize(("rows", "share"), CASES)
def test_quantiles_of_a_column_of_which_nobody_knows_how_much_counts(rows: int, share: float) -> None:
    _, x, valid = made(rows, rows, share)
    ranks = [Rank.lower(1, 4), Rank.upper(1, 4), Rank.lower(3, 4), Rank.upper(4, 4)]
    got = run(lambda c, x, v: tables.column_quantiles(c, x, VALUE, v, ranks), x, valid).signed
    values = x[valid == 1]
    shares = [(0.25, "lower"), (0.25, "higher"), (0.75, "lower"), (1, "higher")]
    assert got.tolist() == [int(np.quantile(values, p, method=m)) if len(values) else 0 for p, m in shares]


def test_rows_that_count_stand_in_order_before_the_others() -> None:
    key, x, valid = made(150, 3, 0.7)

    def act(ctx: Context, key: Words, x: Words, valid: Words) -> Role[list[Words]]:
        found, there, (beside,) = yield from tables.ordered(ctx, key, BITS, valid, [x])
        return [found, there, beside]

    got = run(act, key, x, valid).signed.reshape(3, 150)
    at = np.argsort(np.where(valid == 1, key, 2**BITS), kind="stable")
    assert np.array_equal(got, [np.where(valid == 1, key, 2**BITS)[at], valid[at], x[at]])


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx, x: tables.ordered(ctx, x, 0, x),
        lambda ctx, x: tables.ordered(ctx, x, 63, x),
        lambda ctx, x: tables.group_by_value(ctx, x, 32, x, 31, x, RANKS, 1),
        lambda ctx, x: tables.top_by_group(ctx, x, 1, x, -1, x, 1, 1),
    ],
)
def test_keys_that_do_not_fit_are_refused_before_anything_is_sent(act: Any) -> None:
    with pytest.raises(ValueError, match="1 to 62 bits"):
        run(act, np.zeros(6, np.int64))
