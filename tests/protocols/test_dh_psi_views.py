"""What each side of dh_psi_cardinality gets: elements and tags like random ones, as many as declared, in no order."""

import numpy as np
import pytest

from pets.kernels import curve
from pets.protocols import dh_psi
from tests.oracles import ristretto
from tests.oracles.dh_psi import Case, entropy, roles, shape
from tests.oracles.intersections import binding, people, rows_of
from tests.oracles.play import Transcript, play

LIMIT = 5.5
"""Standard deviations; one honest run in a million goes beyond, and seeds are fixed."""


def run(case: Case, seed: int = 1) -> Transcript:
    return play(roles(case, seed), seed=seed)


ALL = Case(people(*range(30)), people(*range(30)), 30, 40)
INPUTS = {
    "all in common": ALL,
    "nobody in common": Case(people(*range(30)), people(*range(100, 130)), 30, 40),
    "nobody at all": Case([], [], 30, 40),
    "one person in many rows": Case(people(*[5] * 300), people(*range(40)), 30, 40),
    "others": Case(people(*range(500, 520)), people(*range(510, 550)), 30, 40, (12, 30)),
}


def test_traffic_follows_from_declared_sizes_alone() -> None:
    assert len({str(run(case).shape_of_traffic()) for case in INPUTS.values()}) == 1


@pytest.mark.parametrize("name", INPUTS)
def test_elements_are_valid_and_none_comes_twice_in_two_runs(name: str) -> None:
    """Of one specification, with the same persons: scalars are new, so nothing links the lists."""
    seen: set[bytes] = set()
    for seed in (1, 2):
        ran = play(roles(INPUTS[name], seed, tied=binding(1)), seed=seed)
        for label, count in (("D1", 31), ("D3", 41), ("D2", 31)):
            rows = {row.tobytes() for row in ran.array(label)}
            assert len(rows) == count and not rows & seen
            seen |= rows
            if label != "D2":
                assert all(ristretto.decode(row) is not None for row in rows)


def even(bits: np.ndarray, what: str) -> None:
    """Each column of (n, bits) zeros and ones is one half of the time."""
    n = len(bits)
    assert np.all(np.abs(bits.sum(axis=0) - n / 2) < LIMIT * np.sqrt(n) / 2), what


@pytest.mark.parametrize("name", INPUTS)
def test_bits_of_elements_and_tags_are_even(name: str) -> None:
    """But for the two bits of an encoding that are always zero, the last and that of its sign."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in range(40):
        for key, array in run(INPUTS[name], seed).sent:
            found.setdefault(key[2], []).append(np.unpackbits(array, axis=1, bitorder="little"))
    for label in ("D1", "D3"):
        bits = np.concatenate(found[label])
        assert not bits[:, 0].any() and not bits[:, 255].any()
        even(bits[:, 1:255], label)
    even(np.concatenate(found["D2"]), "D2")


def place_of(ran: Transcript, label: str, case: Case, seed: int, one: bytes) -> int:
    """Where a person's element is, by the scalar of its list's owner."""
    owner = "a" if label == "D1" else "b"
    own = dh_psi.Own(entropy(seed, owner))
    hashed = curve.hash_to_group([b"\x01" + one], tag=dh_psi.hash_tag(binding(seed)))
    wanted = curve.multiply(hashed, own.scalar).tobytes()
    return [row.tobytes() for row in ran.array(label)].index(wanted)


@pytest.mark.parametrize("label", ["D1", "D3"])
def test_a_person_s_element_lies_anywhere(label: str) -> None:
    """The first row and the last: their places over runs have the mean of all places, and all come."""
    listed = len(ALL.ids_a) + 1 if label == "D1" else 41
    for one in (ALL.ids_a[0], ALL.ids_a[-1]):
        places = np.array([place_of(run(ALL, seed), label, ALL, seed, one) for seed in range(250)])
        mean, deviation = (listed - 1) / 2, np.sqrt((listed**2 - 1) / 12 / len(places))
        assert abs(places.mean() - mean) < LIMIT * deviation
        assert len(set(places.tolist())) > 0.9 * listed


def test_order_of_tags_carries_nothing() -> None:
    """D2 is sorted whatever D1 was: another order of D1 gives the same bytes."""
    ran = run(ALL)
    tags = [row.tobytes() for row in ran.array("D2")]
    assert tags == sorted(tags)
    for shuffle in (np.arange(31)[::-1], np.random.default_rng(3).permutation(31)):
        b = dh_psi.party_b(shape(ALL), rows_of(ALL.ids_b, 10), binding(1), entropy(1, "b"))
        next(b)
        next(b)
        again = b.send(np.ascontiguousarray(ran.array("D1")[shuffle]))
        assert again is not None and np.array_equal(again.array, ran.array("D2"))  # type: ignore[union-attr]


def test_entries_of_nobody_are_new_in_each_run_and_in_nobody_s_list() -> None:
    kinds = {"a": dh_psi.Kind.PADDING_A, "b": dh_psi.Kind.PADDING_B}
    seen: set[bytes] = set()
    for seed in range(5):
        for role, kind in kinds.items():
            key = dh_psi.Own(entropy(seed, role)).key_of_nobody
            listed = dh_psi.entries(rows_of(people(1, 2), 10), np.arange(2), 20, kind, key)
            rows = {row.tobytes() for row in listed}
            assert len(rows) == 21
            fillers = {row for row in rows if row[0] == kind}
            assert len(fillers) == 18 and not fillers & seen
            seen |= fillers


def test_secrets_do_not_print() -> None:
    own = dh_psi.Own(entropy(1, "a"))
    for secret in (own.scalar, own.order, own.key_of_nobody, own.key_of_persons):
        assert str(secret) == "Secret(***)"
    assert "array" not in repr(next(roles(ALL)["a"]))
