"""vole_psi against sets of Python, its card, and peers that send what no honest one does."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from pets.errors import PeerError, RunError
from pets.kernels import binned, vole
from pets.protocols import vole_psi
from pets.protocols.base import Array
from tests.oracles.intersections import TAGS, people
from tests.oracles.play import Key, Transcript, play
from tests.oracles.vole_psi import CARD, Case, random_case, roles, shape
from tests.protocols.intersecting import SMALL, Intersecting, is_right, unaltered
from tests.protocols.test_helper_join import altered


def run(case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = unaltered) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


RICH = replace(SMALL, values=(tuple(range(7)), (2**64 - 1, *range(6)), (0,) * 7), both=1)
"""All messages of the card."""


class TestIntersection(Intersecting):
    card = CARD
    labels = tuple(message.label for message in CARD.messages)
    code = vole_psi
    shape = staticmethod(shape)
    roles = staticmethod(roles)
    rich = RICH
    listed, told = "V6", "V7"
    points: ClassVar = {"V1r": 2, "V1s": 256}
    essential = frozenset({"V5r", "V1r", "V7"})
    checked: ClassVar = {"V6p": "V6p", "V7": "V7"}
    sides = (("V1r", "V5r", "V5", "V2", "V3"), ("V1s", "V4", "V4c", "V6", "V6p"))


# -- the functionality ------------------------------------------------------------------------------------------------


def test_the_random_cases_are_of_every_kind() -> None:
    cases = [random_case(seed) for seed in range(1000)]
    sets = [(len(case.ids_r), len(case.ids_s), case) for case in cases]
    assert {(0, 0), (1, 1000), (1000, 1), (0, 1000)} <= {(r, s) for r, s, _ in sets}
    assert any(r > s > 0 for r, s, _ in sets) and any(s > r > 0 for r, s, _ in sets)
    assert any(len(case.oracle()) == r == s > 5 for r, s, case in sets)
    assert any(not case.oracle() and r and s for r, s, case in sets)
    assert any(case.n_r == r for r, _, case in sets) and any(max(case.width) > 13 for case in cases)
    assert {(len(case.values), case.both) for case in cases} == {(p, both) for p in (0, 1, 2, 5) for both in (0, 1)}


@pytest.mark.parametrize("count", [2**14 - 1, 2**14, 2**14 + 1, 2**16 - 1, 2**16])
def test_sizes_about_those_at_which_tables_change(count: int) -> None:
    """A list of 2^16 entries and one is the first with two bins."""
    rng = random.Random(count)
    mine, theirs = (rng.sample(range(2 * count), count) for _ in range(2))
    case = Case(people(*mine), people(*theirs[: count // 3]), count, count // 3)
    ran = run(case)
    assert is_right(ran, case) and case.oracle()
    assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(case.public()))


def test_a_table_that_cannot_be_written_ends_the_run_and_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def never(hashes: Array, *more: object) -> Array:
        tried.append(len(hashes))
        raise binned.Unsolvable("too many keys of a bin are left aside")

    monkeypatch.setattr(binned, "write", never)
    with pytest.raises(RunError) as caught:
        next(roles(SMALL)["receiver"])
    assert caught.value.code == "run.table" and tried == [15]


def test_outputs_that_are_equal_by_chance_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vole_psi._outputs
    monkeypatch.setattr(vole_psi, "_outputs", lambda read, width, tied: right(read, width, tied) & np.uint8(1))
    with pytest.raises(RunError) as caught:
        run(SMALL)
    assert caught.value.code == "run.table"


# -- code, gate and card ----------------------------------------------------------------------------------------------


def test_sizes_on_the_card_are_those_of_the_kernels() -> None:
    rng = random.Random(1)
    some = [
        *range(300),
        2**16 - 2,
        2**16 - 1,
        2**16,
        2**17,
        2**20,
        2**26 - 1,
        *(rng.randrange(2**26) for _ in range(300)),
    ]
    for n in some:
        names, size = CARD.names({"n_r": n, "n_s": 1}), binned.Size(n + 1)
        vector = vole.Shape(size.slots)
        assert (names["slots"], names["leaves"], names["transfers"]) == (size.slots, vector.leaves, vector.transfers)


def test_all_chances_add_up_to_less_than_the_card_says() -> None:
    """In units of 2^-40: bins, law and pairs of tables (docs/adr/0032); matches and equal outputs."""
    tables, wrong, equal = 2**-2 + 2**-1 + 2**-8, 2**-4, 2 * 2**-5
    assert (CARD.cost.wrong_result, CARD.cost.abort) == ("2^-43", "2^-40")
    assert wrong < 2**-3 and tables + equal < 1 and tables + wrong + equal < 1


def test_bytes_of_a_million_on_each_side() -> None:
    names = CARD.names({"n_r": 2**20, "n_s": 2**20})
    assert CARD.cost.bytes.evaluate(names) == 33_912_187 < 34e6


# -- peers that send something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TAGS)
def test_outputs_that_are_not_sorted_are_refused(name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered("V6", TAGS[name]))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "V6")
