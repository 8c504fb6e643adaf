"""A holder's vector: sums over its own rows, laid out as the plan says, and split into parts that add up to it."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets.errors import InternalError, SourceError
from pets.kernels import prf, sealed
from pets.party import contribute
from pets.protocols.base import Binding
from pets.protocols.inbox import Inbox
from pets.protocols.secure_sum import seeds, words
from pets.secret import Secret
from tests.party import pooled

RNG = np.random.default_rng(1)
TIED = Binding(digest=bytes.fromhex(pooled.DIGEST), run_id=b"r" * 32)


def stream(number: int = 1) -> prf.Stream:
    return prf.Stream(Secret(bytes([number]) * 16))


def lists(plan: Any, vector: Any) -> list[list[int]]:
    found = contribute.layout_of(plan).unpacked(vector)
    return [found[str(number)].tolist() for number in range(4)]


@pytest.mark.parametrize("shamir", [False, True])
def test_a_vector_has_the_sums_of_every_cell(shamir: bool) -> None:
    plan = pooled.plan(cells=5, rows=40, per_person=9, shamir=shamir, computing=3)
    frame = pd.DataFrame({"person": np.sort(RNG.integers(0, 20, 40)), "cell": RNG.integers(0, 5, 40)})
    frame = frame.assign(x=RNG.integers(0, 101, 40), there=RNG.random(40) < 0.8)
    frame.loc[~frame.there, "x"] = 0
    rows = pooled.table(*(frame[name].tolist() for name in ("person", "cell", "x", "there")))
    by = frame.groupby("cell")
    expected = [by.size(), by.person.nunique(), by.x.sum(), by.x.apply(lambda x: (x**2).sum())]
    wanted = [each.reindex(range(5), fill_value=0).tolist() for each in expected]
    assert lists(plan, contribute.vector(plan, rows, stream())) == wanted


def test_no_more_rows_of_a_person_count_than_the_plan_lets() -> None:
    rows = pooled.table([1, 1, 1, 2], [0, 0, 1, 2], [5, 5, 5, 7])
    with pytest.raises(SourceError, match=r"source\.rows-per-person"):
        contribute.vector(pooled.plan(per_person=2), rows, stream())
    counts, people, sums, squares = lists(
        p := pooled.plan(per_person=1, truncate=True), contribute.vector(p, rows, stream())
    )
    assert (sum(counts), sum(people), sum(sums), sum(squares)) == (2, 2, 12, 74)
    chosen = {tuple(lists(p, contribute.vector(p, rows, stream(number)))[0]) for number in range(60)}
    assert chosen == {(1, 0, 1), (0, 1, 1)}, "which of a person's rows counts is drawn"


def test_a_holder_without_rows_brings_zeros() -> None:
    plan = pooled.plan()
    assert not contribute.vector(plan, pooled.table([], [], []), stream()).any()


@pytest.mark.parametrize("x", [101, -1])
def test_a_sum_outside_of_its_range_is_refused_at_home_and_never_told(x: int) -> None:
    """Sums are held against what rows times the declared range may come to, whatever the snapshot let pass."""
    plan = pooled.plan(rows=1)
    with pytest.raises(SourceError) as caught:
        contribute.vector(plan, pooled.table([1], [2], [x]), stream())
    assert caught.value.code == "source.sum" and str(x) not in caught.value.text
    (local,) = caught.value.local
    assert "sum of x" in local and "cell 2" in local and str(x) not in local


@pytest.mark.parametrize(
    "change",
    [
        {"lanes": (27, 27, 33, 41)},
        {"public": (("h", 4), ("m", 2), ("l", 99))},
        {"noise": 2**30},
        {"ranges": ((0, 50),) * 4},
    ],
)
def test_a_vector_that_would_not_lie_as_the_plan_says_is_never_made(change: Any) -> None:
    plan = pooled.plan()
    pool = replace(contribute.pool_of(plan), **change)
    with pytest.raises(InternalError, match="laid out as the plan does not say"):
        contribute.layout_of(replace(plan, steps=(plan.steps[0], pool)))


def test_parts_add_up_to_the_vector_and_open_at_their_readers_only() -> None:
    """What two computing parties keep of four uploads adds up to the sum of four vectors."""
    plan = pooled.plan(cells=7)
    shape = contribute.shape_of(plan)
    private = {party: Secret(bytes([n]) * 32) for n, party in enumerate(pooled.servers(2), 1)}
    publics = {party: prf.public_key(key) for party, key in private.items()}
    kept = {pooled.servers(2)[0]: seeds(shape, 0, TIED), pooled.servers(2)[1]: words(shape, lambda n: np.empty(0))}
    inboxes = {
        party: Inbox(
            [f"input{n}" for n in range(1, 5)],
            lambda holder, at=at: shape.delivery.address(TIED, int(holder[5:]) - 1, at),  # type: ignore[misc]
            private[party],
            kept[party].keep,
            deadline=10,
        )
        for at, party in enumerate(pooled.servers(2))
    }
    total = np.zeros(contribute.layout_of(plan).words, np.int64)
    for number, holder in enumerate(pooled.holders(4), 1):
        rows = pooled.table([1, 2, 3], RNG.integers(0, 7, 3).tolist(), RNG.integers(0, 101, 3).tolist())
        values = contribute.vector(plan, rows, stream(number))
        total += values
        for part in contribute.parts(plan, holder, values, tied=TIED, drawn=stream(40 + number), publics=publics):
            inboxes[part.to].add(f"input{number}", part.body, now=1)
    everybody = np.ones(4, np.bool_)
    found = sum(each.total(everybody) for each in kept.values())
    assert np.array_equal(found.view(np.int64), total) and total.any()


def test_keys_of_uploads_are_those_of_the_hello() -> None:
    """The public key that prf makes of 32 bytes is the one that HPKE opens with."""
    key = Secret(b"k" * 32)
    head = sealed.seal_head(prf.public_key(key), b"info", Secret(b"head"))
    assert sealed.open_head(key, b"info", head).expose("test") == b"head"


def test_a_million_numbers_are_laid_out_in_a_fraction_of_a_second() -> None:
    """Of the processor, reading apart: measured 3 ms for 5,000 rows, and 14 ms for a million."""
    plan = pooled.plan(cells=250_000, rows=5_000)
    persons = list(range(5_000))
    rows = pooled.table(persons, RNG.integers(0, 250_000, 5_000).tolist(), RNG.integers(0, 101, 5_000).tolist())
    contribute.vector(plan, rows, stream())
    began = time.process_time()
    vector = contribute.vector(plan, rows, stream())
    assert time.process_time() - began < 0.5 and vector.size == contribute.layout_of(plan).words
