"""The vectors of disclosure_control, replayed and worked out a second time; Cf and Cs by their terms, byte for byte."""

from typing import Any

import numpy as np
import pytest

from pets.kernels import prf
from tests.oracles import control_vectors as made
from tests.protocols.test_control import families, run, some_shape
from tests.protocols.test_vectors import entries

WITHHELD_FOR_TOTALS = {False: {0, 1, 2, 3}, True: {0, 1, 2, 3}}
"""Of (0, 3) (9, 10) (12, 31), the first two blocks have cells of too few; 22 people in them are enough."""


@pytest.mark.parametrize("entry", entries("disclosure_control", "ok_"), ids=lambda entry: entry["case"])
def test_every_case_sends_and_gives_what_its_vector_says(entry: dict[str, Any]) -> None:
    assert made.entry(entry["case"]) == entry


@pytest.mark.parametrize("entry", entries("disclosure_control", "ok_"), ids=lambda entry: entry["case"])
def test_what_vectors_show_is_right(entry: dict[str, Any]) -> None:
    asked, (people, known, total) = entry["parameters"], entry["sums"]
    gone = WITHHELD_FOR_TOTALS[asked["zeros"]] if asked["lines"] else set()
    for cell in range(6):
        fine = [n >= 10 or (n == 0 and asked["zeros"]) for n in (people[cell], known[cell])]
        enough = [fine[0] and cell not in gone, all(fine) and cell not in gone]
        if asked.get("against"):
            (one, two), all_of_it = (row[cell] for row in entry["tops"]), total[cell]
            few = 10 * (all_of_it - two) < one or (all_of_it == 0 and known[cell] > 0)
            enough.append(enough[1] and not few and (10 * two < 9 * all_of_it or all_of_it == 0))
        assert [row[cell] for row in entry["enough"]] == [int(one) for one in enough]
        shift = asked["band"] - 1 if asked["upwards"] else asked["band"] // 2
        bands = [(n + (shift if asked["band"] > 1 else 0)) // asked["band"] for n in (people[cell], known[cell])]
        expected = [bands[0] * enough[0], bands[1] * enough[1], total[cell] * enough[-1]]
        assert [row[cell] for row in entry["shown"]] == expected


@pytest.mark.parametrize("seed", range(6))
def test_cf_and_cs_are_what_their_terms_say(seed: int) -> None:
    """A share of the sums less the stream of the sender and the third: by columns, as role and card name them."""
    shape, sums = some_shape(seed)
    part = np.random.default_rng(seed).integers(0, 2**64, sums.shape, dtype=np.uint64)
    sent = {(key[0], key[2], key[3]): array for key, array in run(shape, sums, seed).sent if key[2] in ("Cf", "Cs")}
    assert len(sent) == 2 * shape.moments * shape.h
    keys = families(seed)
    for column in range(shape.moments * shape.h):
        for sender, label, share, pair in (
            ("first", "Cf", part, "13"),
            ("second", "Cs", sums.view(np.uint64) - part, "23"),
        ):
            mask = prf.words(keys[pair].key("two", column), shape.g)
            assert np.array_equal(sent[sender, label, column], share[column] - mask)
