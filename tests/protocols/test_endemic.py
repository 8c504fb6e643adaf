"""First transfers that hold against who cheats, against the slow group of tests/oracles and what they promise."""

import hashlib

import numpy as np
import pytest

from pets.errors import PeerError
from pets.kernels import curve, prf
from pets.protocols import endemic
from pets.secret import Secret
from tests.oracles import ristretto
from tests.oracles.intersections import binding, hashed

TIED = binding(1)
SAID = TIED.digest + TIED.run_id


def stream(seed: int) -> prf.Stream:
    return prf.Stream(Secret(bytes([seed]) * 16))


def bits_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


def test_who_chooses_has_the_key_it_chose_and_no_key_comes_twice() -> None:
    bits = bits_of(1, 40)
    offer, choice = endemic.Offer(TIED, stream(1)), endemic.Choice(TIED, bits, stream(2))
    both, chosen = offer.keys(choice.points, label="V1s"), choice.keys(offer.points, label="V1r")
    assert 5 < bits.sum() < 35 and np.array_equal(chosen, both[np.arange(40), bits])
    assert len({row.tobytes() for row in both.reshape(-1, 16)}) == 80


def test_points_and_keys_are_those_of_the_slow_group() -> None:
    bits = np.array([0, 1, 1], np.uint8)
    offer, choice = endemic.Offer(TIED, stream(1)), endemic.Choice(TIED, bits, stream(2))

    def scalar(seed: int, number: int) -> int:
        drawn = prf.words(Secret(bytes([seed]) * 16), 8, first=8 * number).tobytes()
        return int.from_bytes(drawn, "little") % ristretto.ORDER

    def mask(number: int, side: int, element: bytes) -> ristretto.Element:
        return hashed(number.to_bytes(4, "big") + element, b"pets/1-endemic-masks-" + bytes([side]) + SAID)

    base = hashed(b"\0", b"pets/1-endemic-base-" + SAID)
    assert offer.points.tobytes() == base.times(scalar(1, 0)).encode()
    said = hashlib.sha256(b"pets/1-endemic-keys-" + SAID + offer.points.tobytes() + choice.points.tobytes()).digest()
    both = offer.keys(choice.points, label="V1s")
    for number, bit in enumerate(bits.tolist()):
        pair = [choice.points[2 * number + side].tobytes() for side in range(2)]
        elements = [ristretto.decode(each) for each in pair]
        masks = [elements[side] + mask(number, side, pair[1 - side]) for side in range(2)]
        assert masks[bit].encode() == base.times(scalar(2, number)).encode()
        fresh = prf.words(Secret(bytes([2]) * 16), 8, first=8 * (3 + number)).tobytes()
        assert pair[1 - bit] == hashed(fresh, b"pets/1-endemic-fresh-" + SAID).encode()
        for side in range(2):
            text = said + number.to_bytes(4, "big") + bytes([side]) + masks[side].times(scalar(1, 0)).encode()
            assert both[number, side].tobytes() == hashlib.sha256(text).digest()[:16]


def test_what_is_chosen_does_not_show_in_what_is_sent() -> None:
    """Elements of both choices are as good, and each is new: of one side they are fresh, of the other masked."""
    seen: set[bytes] = set()
    for bit in (0, 1):
        points = endemic.Choice(TIED, np.full(16, bit, np.uint8), stream(2 + bit)).points
        rows = {row.tobytes() for row in points}
        assert len(rows) == 32 and not rows & seen and all(ristretto.decode(row) is not None for row in rows)
        seen |= rows


@pytest.mark.parametrize("what", ["run", "specification", "offered", "chosen", "place"])
def test_keys_are_bound_to_all_that_was_said(what: str) -> None:
    choice, other = endemic.Choice(TIED, bits_of(3, 4), stream(2)), binding(2)
    right, points = endemic.Offer(TIED, stream(1)).keys(choice.points, label="V1s"), choice.points.copy()
    tied = {
        "run": type(TIED)(digest=TIED.digest, run_id=other.run_id),
        "specification": type(TIED)(digest=other.digest, run_id=TIED.run_id),
    }.get(what, TIED)
    if what == "chosen":
        points[6:] = endemic.Choice(TIED, bits_of(3, 4), stream(6)).points[6:]
    if what == "place":
        points = np.ascontiguousarray(points.reshape(4, 64)[::-1]).reshape(8, 32)
    again = endemic.Offer(tied, stream(5 if what == "offered" else 1)).keys(points, label="V1s")
    again = again[::-1] if what == "place" else again
    assert not {row.tobytes() for row in right.reshape(-1, 16)} & {row.tobytes() for row in again.reshape(-1, 16)}


@pytest.mark.parametrize("place", [0, 5])
def test_the_identity_and_what_encodes_nothing_are_refused_with_their_place(place: int) -> None:
    choice = endemic.Choice(TIED, bits_of(3, 4), stream(2))
    points = choice.points.copy()
    points[place] = 0
    with pytest.raises(PeerError) as caught:
        endemic.Offer(TIED, stream(1)).keys(points, label="V1s")
    assert caught.value.fields == {"place": place, "label": "V1s"}
    with pytest.raises(PeerError, match="place 0 of V1r"):
        choice.keys(np.zeros((1, 32), np.uint8), label="V1r")


def test_a_mask_that_is_the_identity_is_refused() -> None:
    """Who chooses can make one so; it has chosen the other side then."""
    points = endemic.Choice(TIED, bits_of(3, 1), stream(2)).points.copy()
    points[:1] = curve.subtract(np.zeros((1, 32), np.uint8), endemic._hashes(TIED, points[1:], 0))
    with pytest.raises(PeerError) as caught:
        endemic.Offer(TIED, stream(1)).keys(points, label="V1s")
    assert caught.value.code == "peer.element"


def test_wrong_shapes_are_refused() -> None:
    for offered, chosen in ((2, 4), (1, 3)):
        with pytest.raises(ValueError):
            endemic._said(TIED, np.zeros((offered, 32), np.uint8), np.zeros((chosen, 32), np.uint8))
