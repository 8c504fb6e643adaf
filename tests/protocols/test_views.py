"""What each role sees says no more than its card: the real code passes every check, every planted mistake fails one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pets.protocols import helper_join as hj
from tests.oracles import helper_join as oracle
from tests.oracles import mutants, views
from tests.oracles.gated import gate_of, gated
from tests.oracles.play import play


def sums_are_right(code: Any) -> None:
    for seed in range(3):
        of_a, of_c = views.one(seed, None, code).outputs["result"]
        assert np.array_equal(
            (of_a + of_c).view(np.int64), views.CASE.oracle() + views.NOISE.view(np.int64).sum(axis=0)
        )


def messages_are_on_the_card(code: Any) -> None:
    for seed in range(3):
        roles = oracle.roles(views.CASE, seed, noise_words=views.NOISE, code=code)
        gates = {name: gate_of(name, views.CASE.public()) for name in roles}
        play({name: gated(role, gates[name]) for name, role in roles.items()}, seed=seed)


CHECKS: dict[str, Callable[[Any], None]] = {
    "results": sums_are_right,
    "card": messages_are_on_the_card,
    "words": views.words_are_uniform,
    "positions": views.positions_are_uniform,
    "places": views.matches_lie_anywhere,
    "columns": views.columns_do_not_cancel,
    "recognise": views.helper_cannot_recognise_sums,
    "cells": views.result_with_b_cannot_find_cells,
    "trace": views.b_cannot_trace_gathers,
    "count": views.count_is_noised,
    "labels": views.labels_are_used_once,
}

CAUGHT_BY = {
    "no_mask_u": "columns",
    "no_mask_v": "columns",
    "no_mask_w": "words",
    "no_mask_r": "columns",
    "no_mask_r1": "trace",
    "no_mask_r2": "recognise",
    "no_mask_of_noise": "columns",
    "no_zero_share": "cells",
    "one_r_for_all_columns": "columns",
    "one_r1_for_all_columns": "trace",
    "one_r2_for_all_columns": "labels",
    "one_u_for_all_columns": "columns",
    "one_v_for_all_columns": "labels",
    "one_w_for_all_products": "labels",
    "u_by_product": "results",
    "noise_under_the_mask_of_sums": "labels",
    "draw_under_the_key_of_q": "labels",
    "key_of_the_wrong_pair": "results",
    "tags_in_group_order": "places",
    "ends_of_cells_in_order": "positions",
    "matches_in_order": "positions",
    "order_of_a_biased": "places",
    "list_of_a_sorted": "results",
    "list_of_b_unsorted": "results",
    "no_sentinels": "positions",
    "same_zero_slot": "results",
    "same_zero_slot_unchecked": "positions",
    "dummies_that_count": "results",
    "length_of_b_depends_on_d": "card",
    "one_filler_for_both": "count",
    "padding_that_matches": "count",
    "no_dummies": "count",
    "same_number_of_dummies": "count",
    "half_of_the_draw": "count",
    "matched_rows_only": "card",
    "no_noise_of_a": "results",
    "no_noise_of_b": "results",
    "no_noise_of_the_helper": "results",
    "share_to_everyone": "card",
    "share_to_the_helper": "card",
    "sent_under_another_label": "card",
    "sent_too_early": "card",
    "constant_masks": "columns",
    "one_bit_of_eight": "columns",
    "masks_below_2_32": "columns",
    "masks_of_a_prime": "words",
    "even_masks": "words",
}
"""Mistake by mistake, the check that has to see it; others may, too."""


@pytest.mark.parametrize("name", CHECKS)
def test_the_code_passes(name: str) -> None:
    CHECKS[name](hj)


@pytest.mark.parametrize("name", mutants.NAMES)
def test_a_planted_mistake_is_caught(name: str) -> None:
    code = mutants.mutant(name)
    with pytest.raises(Exception) as caught:
        CHECKS[CAUGHT_BY[name]](code)
    assert not isinstance(caught.value, NameError | AttributeError | SyntaxError), "the mutant itself is broken"


def test_mutants_and_checks_cover_each_other() -> None:
    assert set(CAUGHT_BY) == set(mutants.NAMES)
    assert set(CAUGHT_BY.values()) == set(CHECKS)


def test_a_mutant_without_a_mistake_is_the_code() -> None:
    """What catches the mutants is their mistake, not the way they are made."""
    same, through = mutants.changed("nothing", ()), mutants.weak("nothing_spoilt", lambda words: words)
    for code in (same, through):
        for name in ("results", "card", "columns", "labels"):
            CHECKS[name](code)


def other_data() -> oracle.Case:
    """Equal public parameters and matched rows as ``views.CASE``, and nothing else: other persons, cells and values."""
    case = views.CASE
    return oracle.Case(
        g=case.g,
        k=case.k,
        ids_a=[b"%010d" % (5_000 + i // 2) for i in range(60)],
        cell=[(i // 2) % 3 for i in range(60)],
        x=[[6 - i % 7 for i in range(60)], list(range(60))],
        ids_b=[b"%010d" % i for i in (*range(5_015, 5_030), *range(20))],
        y=[[1] * 35, [7] * 35],
        summed=case.summed,
        n_a=case.n_a,
        n_b=case.n_b,
        fixed=True,
    )


def rank(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values))


def views_are_alike(code: Any, role: str, runs: int = 40) -> None:
    """Two-sample test by message (threats-and-tests.md 4.6 b): ranks of the words under two inputs."""
    seen: tuple[dict[tuple[str, int], list[np.ndarray]], ...] = ({}, {})
    for number, case in enumerate((views.CASE, other_data())):
        for seed in range(runs):
            ran = views.one(1_000 * (number + 1) + seed, None, code, case)
            for key, array in views.received(ran, role):
                seen[number].setdefault(key, []).append(array[:, 0] if array.ndim == 2 else array)
    assert seen[0].keys() == seen[1].keys()
    for key in seen[0]:
        first, second = (np.concatenate(side[key]).astype(np.float64) for side in seen)
        assert first.size == second.size
        ranks = rank(np.concatenate([first, second]))[: first.size]
        mean = (2 * first.size - 1) / 2
        deviation = (first.size * second.size * (first.size + second.size + 1) / 12) ** 0.5 / first.size
        assert abs(ranks.mean() - mean) / deviation < views.LIMIT, key


@pytest.mark.parametrize("role", ["a", "b", "helper"])
def test_two_inputs_with_equal_leakage_give_equal_views(role: str) -> None:
    views_are_alike(hj, role)


@pytest.mark.parametrize(("role", "name"), [("a", "no_mask_r"), ("helper", "no_mask_u")])
def test_two_inputs_are_told_apart_where_a_mask_is_missing(role: str, name: str) -> None:
    code = mutants.mutant(name)
    with pytest.raises(AssertionError, match="M"):
        views_are_alike(code, role)


def test_equal_parameters_give_equal_traffic_whatever_the_data() -> None:
    empty = oracle.Case(
        views.CASE.g,
        views.CASE.k,
        [],
        [],
        [[], []],
        [],
        [[], []],
        views.CASE.summed,
        views.CASE.n_a,
        views.CASE.n_b,
        True,
    )
    shapes = [play(oracle.roles(case, 3), seed=3).shape_of_traffic() for case in (views.CASE, other_data(), empty)]
    assert shapes[0] == shapes[1] == shapes[2]


def test_a_share_alone_says_nothing() -> None:
    """The result party's two vectors are each uniform; only their sum is not."""
    words = [np.stack([views.one(seed).outputs["result"][i] for seed in range(120)]) for i in (0, 1)]
    for number, share in enumerate(words):
        assert len(np.unique(share)) == share.size
        views.uniform_words(share, f"share {number}")
    assert len(np.unique((words[0] + words[1]).reshape(120, -1), axis=0)) == 1


def test_tags_of_two_runs_have_nothing_in_common() -> None:
    """The helper cannot link rows between runs: the tag key is made of both parties' keys and of the run (1.14, 10)."""
    lists = []
    for run in ("first", "second"):
        parts = oracle.roles(views.CASE, keys=oracle.families(1, run))
        lists += [{bytes(row) for row in next(parts[role]).array} for role in ("a", "b")]  # type: ignore[union-attr]
    assert not (lists[0] | lists[1]) & (lists[2] | lists[3])


@pytest.mark.long
def test_views_over_many_runs() -> None:
    views.words_are_uniform(hj, runs=1000)
    views.positions_are_uniform(hj, runs=4000)
    views.matches_lie_anywhere(hj, runs=4000)
    views.columns_do_not_cancel(hj, runs=200)
    views.count_is_noised(hj, runs=100_000)
