"""kkrt_psi against sets of Python, its card, and peers that send what no honest one does."""

import random
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from pets.errors import PeerError, RunError
from pets.kernels import cuckoo, oprf
from pets.protocols import kkrt_psi, matched
from pets.protocols.base import Array
from tests.oracles.intersections import TAGS, people
from tests.oracles.kkrt_psi import CARD, roles, shape
from tests.oracles.play import Key, Transcript, play
from tests.oracles.vole_psi import Case
from tests.protocols.intersecting import SMALL, Intersecting, is_right, unaltered
from tests.protocols.test_helper_join import altered


def run(case: Case, seed: int = 1, alter: Callable[[Key, Array], Array] = unaltered) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


VALUES = (tuple(range(40)), (2**64 - 1,) * 40)
RICH = Case(people(*range(60)), people(*range(79, 39, -1)), 90, 42, values=VALUES, both=1)
"""All messages of the card; of those whom both have, some lie where another function than the first says."""


class TestIntersection(Intersecting):
    card = CARD
    labels = tuple(message.label for message in CARD.messages)
    code = kkrt_psi
    shape = staticmethod(shape)
    roles = staticmethod(roles)
    rich = RICH
    cases = 30
    listed, told = "K3", "K4"
    points: ClassVar = {"K1r": 2, "K1s": 512}
    essential = frozenset({"K1r", "K4"})
    checked: ClassVar = {"K3k": "K3p", "K3p": "K3p", "K4": "K4"}
    sides = (("K1r", "K2", "K4"), ("K1s", "K3", "K3k", "K3p"), ("K3", "K3k", "K3p"))

    def bits_in(self, label: str, rows: Array) -> Array:
        return super().bits_in(label, rows.reshape(-1, 64) if label == "K2" else rows)


# -- the functionality ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mine", "theirs"), [(4096, 5000), (30_000, 1000), (1000, 30_000)])
def test_lists_of_thousands(mine: int, theirs: int) -> None:
    """So many that a third of the entries lie by another function than the first."""
    rng = random.Random(mine)
    ids = [rng.sample(range(max(mine, theirs) * 2), count) for count in (mine, theirs)]
    case = Case(people(*ids[0]), people(*ids[1]), mine, theirs, values=(tuple(range(theirs)),), both=1)
    ran = run(case)
    assert is_right(ran, case) and case.oracle()
    assert ran.bytes() == CARD.cost.bytes.evaluate(CARD.names(case.public()))


def test_entries_that_cannot_be_placed_end_the_run_and_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five that a hash gives the same three bins."""
    tried = []

    def same(hashes: Array, size: cuckoo.Size) -> Array:
        tried.append(len(hashes))
        return np.tile(np.array([1, size.third, 2 * size.third], np.uint32), (len(hashes), 1))

    monkeypatch.setattr(cuckoo, "places", same)
    with pytest.raises(RunError) as caught:
        next(roles(SMALL)["receiver"])
    assert caught.value.code == "run.table" and tried == [15]
    next(roles(Case(people(1, 2), [], 2, 0))["receiver"])


def test_outputs_that_are_equal_by_chance_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = oprf.evaluated

    def alike(*given: object) -> oprf.Hashed:
        made = right(*given)  # type: ignore[arg-type]
        return oprf.Hashed(made.outputs & np.uint8(1), made.elements)

    monkeypatch.setattr(oprf, "evaluated", alike)
    with pytest.raises(RunError) as caught:
        run(SMALL)
    assert caught.value.code == "run.table"


# -- code, gate and card ----------------------------------------------------------------------------------------------


def test_sizes_on_the_card_are_those_of_the_kernels() -> None:
    rng = random.Random(1)
    for n in [*range(300), 2**20, 2**26 - 1, *(rng.randrange(2**26) for _ in range(300))]:
        assert CARD.names({"n_r": n, "n_s": 1})["bins"] == cuckoo.Size(n + 1).bins
    (choices,) = (message.count for message in CARD.messages if message.label == "K1s")
    assert choices.evaluate({}) == oprf.COLUMNS


def test_all_chances_add_up_to_less_than_the_card_says() -> None:
    """Bins (docs/adr/0035), equal outputs of both sides; matches and hashed identifiers."""
    bins, equal, wrong, hashed = 2**-43.6, 4 * 2**-45, 2**-44, 2**-51
    assert (CARD.cost.wrong_result, CARD.cost.abort) == ("2^-43", "2^-42")
    assert wrong + hashed < 2**-43 and bins + equal < 2**-42 and bins + equal + wrong + hashed < 2**-40


def test_bytes_of_a_million_on_each_side() -> None:
    names = CARD.names({"n_r": 2**20, "n_s": 2**20})
    assert CARD.cost.bytes.evaluate(names) == 122_019_809
    whole = CARD.cost.bytes.evaluate(CARD.names({"n_r": 2**20, "n_s": 2**20, "p": 2, "both": 1}))
    assert whole == 122_019_809 + (32 + 24) * (2**20 + 1) + 2**17 + 1 + 16


# -- peers that send something else -----------------------------------------------------------------------------------


def in_list(number: int, change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """One of the three lists of K3 changed."""

    def alter(array: Array) -> Array:
        lists = np.split(array, 3)
        lists[number] = change(lists[number])
        return np.concatenate(lists)

    return alter


@pytest.mark.parametrize("name", TAGS)
def test_outputs_that_are_not_sorted_are_refused(name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(SMALL, alter=altered("K3", in_list(0, TAGS[name])))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "K3")


@pytest.mark.parametrize("name", ["repeated", "all zero"])
@pytest.mark.parametrize("number", [1, 2])
def test_outputs_that_come_twice_are_refused_in_every_list(number: int, name: str) -> None:
    with pytest.raises(PeerError) as caught:
        run(RICH, alter=altered("K3", in_list(number, TAGS[name])))
    assert (caught.value.code, caught.value.fields["label"]) == ("peer.tags", "K3")


# -- what each side gets ----------------------------------------------------------------------------------------------


def test_what_the_sender_is_told_does_not_say_where_entries_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which function finds an entry depends on who else is in the receiver's list: here, mostly the last."""
    right, seen = cuckoo.placed, []

    def last_first(at: Array, bins: int) -> Array:
        where = right(np.ascontiguousarray(at[:, ::-1]), bins)
        seen.append(np.count_nonzero(where == at[:, 2]))
        return where

    monkeypatch.setattr(cuckoo, "placed", last_first)
    ran = run(RICH)
    assert is_right(ran, RICH) and seen[0] > 60
    assert len(ran.array("K4")) == (42 + 1 + 7) // 8 + matched.PROOF_BYTES, "a bit for each entry, not for each output"


def test_functions_that_find_are_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the case that has all messages."""
    kept, right = [], kkrt_psi._first

    def seen(elements: Array, number: Array, rows: Array, apart: Array) -> Array:
        kept.append(number)
        return right(elements, number, rows, apart)

    monkeypatch.setattr(kkrt_psi, "_first", seen)
    run(RICH)
    assert set(kept[0].tolist()) == {0, 1}
