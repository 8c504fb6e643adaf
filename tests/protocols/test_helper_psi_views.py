"""What each party of an intersection with a helper gets to see, and that it says no more than the cards do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pets.kernels import dummy
from pets.protocols import tagged
from tests.oracles.dh_psi import rows_of
from tests.oracles.helper_join import dummies, families
from tests.oracles.helper_psi import CARDS, COUNT, ENOUGH, WHICH, Case, S, found, roles, shape
from tests.oracles.play import Transcript, play

LIMIT = 5.5
"""Standard deviations; one honest run in a million goes beyond, and seeds are fixed."""


def people(*numbers: int) -> list[bytes]:
    return [b"%010d" % number for number in numbers]


def run(which: str, case: Case, seed: int = 1, **keys: Any) -> Transcript:
    return play(roles(which, case, seed, **keys), seed=seed)


def seen_by(role: str, ran: Transcript) -> dict[tuple[str, str, int], bytes]:
    return {(key[0], key[2], key[3]): array.tobytes() for key, array in ran.sent if key[1] == role}


BASE = Case(people(*range(30)), people(*range(30)), 30, 40, y=[[*range(30)]], both=True, min_result=20, shown=True)
INPUTS = {
    "all in common": BASE,
    "nobody in common": replace(BASE, ids_b=people(*range(100, 130))),
    "nobody at all": replace(BASE, ids_a=[], ids_b=[], y=[[]]),
    "others, fewer": replace(BASE, ids_a=people(*range(500, 520)), ids_b=people(*range(510, 550)), y=[[9] * 40]),
}
ROWS = replace(BASE, ids_a=people(*[5] * 300), ids_b=people(*range(40)), y=[[0] * 40])


@pytest.mark.parametrize("which", CARDS)
def test_traffic_follows_from_declared_sizes_alone(which: str) -> None:
    cases = [*INPUTS.values(), *([] if which == WHICH else [ROWS])]
    assert len({str(run(which, case).shape_of_traffic()) for case in cases}) == 1


# -- the helper -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", CARDS)
@pytest.mark.parametrize("name", INPUTS)
def test_the_helper_gets_distinct_tags_of_which_none_comes_in_two_runs(which: str, name: str) -> None:
    """And finds as many equal ones as there are persons in both and dummies."""
    seen: set[bytes] = set()
    for seed in (1, 2):
        ran, case = run(which, INPUTS[name], seed), INPUTS[name]
        of_a, of_b = ({row.tobytes() for row in ran.array(label)} for label in ("H1a", "H1b"))
        assert (len(of_a), len(of_b)) == (30 + 2 * S, 40 + 2 * S)
        assert not (of_a | of_b) & seen
        seen |= of_a | of_b
        keys = families(seed, protocol=which)
        mine = tagged.listed(shape(which, case), "a", rows_of(case.ids_a, 10), keys["ab@a"])
        assert len(of_a & of_b) == mine.dummies + len(set(case.ids_a) & set(case.ids_b))


def test_what_the_helper_counts_has_the_law_of_the_table() -> None:
    """D over runs: mean, and the share of the middle, where its law is steepest."""
    law, drawn = dummies(1, S), []
    for seed in range(2000):
        word = families(seed, protocol=COUNT)["ab@a"].key("D", purpose="draw of dummies")
        low, high = (int(each) for each in np.frombuffer(_stream(word), np.uint64))
        drawn.append(dummy.draw_dummies(law, low | high << 64))
    total = sum(law.weights)
    probability = law.weights[S] / total
    spread = sum(w * (i - S) ** 2 for i, w in enumerate(law.weights)) / total
    assert abs(np.mean(drawn) - S) < LIMIT * np.sqrt(spread / len(drawn))
    middle = drawn.count(S)
    assert abs(middle - 2000 * probability) < LIMIT * np.sqrt(2000 * probability * (1 - probability))


def _stream(key: Any) -> bytes:
    from pets.kernels import prf

    return prf.words(key, 2).tobytes()


def even(bits: np.ndarray, what: str) -> None:
    """Each column of (n, bits) zeros and ones is one half of the time."""
    n = len(bits)
    assert np.all(np.abs(bits.sum(axis=0) - n / 2) < LIMIT * np.sqrt(n) / 2), what


@pytest.mark.parametrize("name", INPUTS)
def test_bits_of_what_the_helper_gets_are_even(name: str) -> None:
    """Tags, and values under pads, whatever they are: also those of nobody, which are all zero below their pads."""
    bits: dict[str, list[np.ndarray]] = {"H1a": [], "H1b": [], "H1v": []}
    for seed in range(40):
        ran = run(WHICH, INPUTS[name], seed)
        for label, each in bits.items():
            array = ran.array(label)
            rows = array if array.ndim == 2 else array.reshape(-1, 1).view(np.uint8)
            each.append(np.unpackbits(np.ascontiguousarray(rows), axis=1))
    for label, rows in bits.items():
        even(np.concatenate(rows), label)


def test_values_of_one_person_have_another_pad_in_each_column_and_run() -> None:
    case = replace(BASE, y=[[4] * 30] * 3)
    words: list[int] = []
    for seed in (1, 2):
        ran = run(WHICH, case, seed)
        for column in range(3):
            words += ran.array("H1v", column).tolist()
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("label", ["H1a", "H1b"])
def test_a_person_s_tag_lies_anywhere(label: str) -> None:
    """The first row and the last: their places over runs have the mean of all places, and many come."""
    role, listed = label[-1], (30 if label == "H1a" else 40) + 2 * S
    places: dict[int, list[int]] = {0: [], 29: []}
    for seed in range(250):
        mine = tagged.listed(shape(COUNT, BASE), role, rows_of(BASE.ids_a, 10), families(seed, protocol=COUNT)["ab@a"])  # type: ignore[arg-type]
        for row, each in places.items():
            each.append(int(np.flatnonzero(mine.order == row)[0]))
    for each in places.values():
        mean, deviation = (listed - 1) / 2, np.sqrt((listed**2 - 1) / 12 / len(each))
        assert abs(np.mean(each) - mean) < LIMIT * deviation and len(set(each)) > 100


def test_the_helper_s_part_on_shares_is_even() -> None:
    """Every bit that each party gets while a number is compared, whether it is enough or not."""
    for case in (INPUTS["all in common"], INPUTS["nobody in common"]):
        bits: dict[tuple[str, str, int], list[np.ndarray]] = {}
        for seed in range(120):
            for key, array in run(ENOUGH, case, seed).sent:
                if key[2].startswith("k"):
                    bits.setdefault((key[1], *key[2:]), []).append(np.unpackbits(array.view(np.uint8)))
        assert {receiver for receiver, *_ in bits} == {"a", "b", "helper"}
        for key, rows in bits.items():
            words = np.array(rows).reshape(len(rows), -1, 8, 8)
            if key[1] in ("kdot", "kmul") or (key[1] == "kin" and words.shape[1] == 1):
                even(np.array(rows), str(key))
            else:  # planes of one row: the lowest bit of each word is somebody's
                even(words[:, :, 0, 7], str(key))


# -- role a and role b -------------------------------------------------------------------------------------------------


def test_role_a_s_view_does_not_depend_on_persons_whom_it_does_not_have() -> None:
    """Not on who they are, how many, or what their values are: byte for byte, under the same keys."""
    mine = people(*range(12))
    cases = [
        Case(mine, people(3, 4, *others), 12, 20, y=[[7, -8, *values]], both=both)
        for others, values, both in (
            ((100, 101, 102), (1, 2, 3), False),
            ((200,), (9,), False),
            ((), (), True),
            ((*range(300, 318),), range(18), True),
        )
    ]
    views = [seen_by("a", run(WHICH, case)) for case in cases]
    assert views[0].keys() == {("helper", "H2", 0), ("helper", "H2v", 0)}
    assert all(view == views[0] for view in views)
    ran = run(WHICH, cases[0])
    assert np.count_nonzero(ran.array("H2v")) == np.count_nonzero(np.unpackbits(ran.array("H2")[:-2].view(np.uint8)))


def test_role_b_gets_nothing_unless_it_is_to() -> None:
    for which in CARDS:
        ran = run(which, replace(BASE, both=False))
        got = seen_by("b", ran)
        assert not [key for key in got if not key[1].startswith("k")] and bool(got) == (which == ENOUGH)
    mine = replace(BASE, ids_a=people(3, 4, 77), y=[[0] * 30])
    views = [seen_by("b", run(WHICH, replace(mine, ids_a=people(3, 4, *rest)))) for rest in ((), (88,), (91, 92, 93))]
    assert views[0].keys() == {("helper", "H2b", 0)} and all(view == views[0] for view in views)


# -- the result party -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [COUNT, ENOUGH])
def test_two_shares_say_nothing_and_with_a_holder_only_what_all_say(which: str) -> None:
    """A holder that works with the result party knows two of three masks: the other two shares hide each other."""
    labels = ("Ea", "Eb", "Ec") if which == COUNT else ("Ra", "Rb", "Rc")
    case = replace(BASE, min_result=5)
    words = {label: [] for label in labels}  # type: ignore[var-annotated]
    for seed in range(200):
        ran = run(which, case, seed)
        for label in labels:
            words[label].append(int(ran.array(label)[0]))
    for label in labels:
        rows = np.array(words[label], np.uint64)
        even(np.unpackbits(rows.view(np.uint8).reshape(-1, 8), axis=1), label)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = np.array(words[labels[first]], np.uint64) + np.array(words[labels[second]], np.uint64)
        even(np.unpackbits(both.view(np.uint8).reshape(-1, 8), axis=1), f"{labels[first]} and {labels[second]}")
    for known, hidden in (("bc", (1, 2)), ("ac", (0, 2))):
        one, other = run(which, case, 1), run(which, case, 1, **{known: 99})
        for place in hidden:
            assert one.array(labels[place])[0] != other.array(labels[place])[0]
        assert found(which, case, one.outputs) == found(which, case, other.outputs) == 30


def test_nothing_but_a_bit_leaves_where_a_number_is_too_small() -> None:
    """Tables of 0 to 19 in common open the same word, and so do 20 to 30 where the number is not shown."""
    for shown, most in ((True, 20), (False, 30)):
        opened = {
            found(ENOUGH, case, run(ENOUGH, case, seed).outputs)
            for seed in range(0, most, 3)
            for case in [replace(BASE, ids_b=people(*range(30 - seed, 60 - seed)), min_result=20, shown=shown)]
        }
        assert opened == ({0} if shown else {0, 1})


def test_secrets_do_not_print() -> None:
    keys = families(1, protocol=WHICH)
    mine = tagged.listed(shape(WHICH, BASE), "a", rows_of(BASE.ids_a, 10), keys["ab@a"])
    assert repr(mine) == "Listed(136 entries of a)".replace("136", str(30 + 2 * S))
    assert repr(run(WHICH, BASE).outputs["a"]) == "Found(***)"
