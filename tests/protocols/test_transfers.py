"""Oblivious transfers against the slow group of tests/oracles and against what they promise."""

import hashlib

import numpy as np
import pytest

from pets.errors import PeerError
from pets.kernels import prf
from pets.protocols import transfers
from pets.secret import Secret
from tests.oracles import ristretto
from tests.oracles.intersections import binding, hashed

TIED = binding(1)


def stream(seed: int) -> prf.Stream:
    return prf.Stream(Secret(bytes([seed]) * 16))


def bits_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


def first(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bits = bits_of(seed, count)
    offer, choice = transfers.Offer(TIED, stream(1)), transfers.Choice(TIED, bits, stream(2))
    return bits, offer.keys(choice.points, label="V1s"), choice.keys(offer.points, label="V1r")


def test_who_chooses_has_the_key_it_chose_and_no_key_comes_twice() -> None:
    bits, both, chosen = first(40)
    assert 5 < bits.sum() < 35
    assert np.array_equal(chosen, both[np.arange(40), bits])
    assert len({row.tobytes() for row in both.reshape(-1, 16)}) == 80


def test_points_and_keys_are_those_of_the_slow_group() -> None:
    bits, both, _ = first(3)
    offer, choice = transfers.Offer(TIED, stream(1)), transfers.Choice(TIED, bits, stream(2))
    bases = [hashed(bytes([i]), b"pets/1-transfers-" + TIED.digest + TIED.run_id) for i in range(2)]

    def scalar(seed: int, number: int) -> int:
        drawn = prf.words(Secret(bytes([seed]) * 16), 8, first=8 * number).tobytes()
        return int.from_bytes(drawn, "little") % ristretto.ORDER

    assert [row.tobytes() for row in offer.points] == [bases[i].times(scalar(1, i)).encode() for i in range(2)]
    assert [row.tobytes() for row in choice.points] == [
        bases[bit].times(scalar(2, j)).encode() for j, bit in enumerate(bits)
    ]
    said = b"pets/1-transfers-keys-" + TIED.digest + TIED.run_id + offer.points.tobytes() + choice.points.tobytes()
    for j, row in enumerate(choice.points):
        element = ristretto.decode(row.tobytes())
        assert element is not None
        for i in range(2):
            text = hashlib.sha256(said).digest() + j.to_bytes(4, "big") + bytes([i])
            text += element.times(scalar(1, i)).encode()
            assert both[j, i].tobytes() == hashlib.sha256(text).digest()[:16]


def test_what_is_chosen_does_not_show_in_what_is_sent() -> None:
    """Elements of both choices are as good, and each is new."""
    points = {bit: transfers.Choice(TIED, np.full(64, bit, np.uint8), stream(2)).points for bit in (0, 1)}
    rows = [row.tobytes() for both in points.values() for row in both]
    assert len(set(rows)) == 128 and all(ristretto.decode(row) is not None for row in rows)


@pytest.mark.parametrize("what", ["run", "specification", "offered", "chosen", "place"])
def test_keys_are_bound_to_all_that_was_said(what: str) -> None:
    bits = bits_of(3, 4)
    offer, choice = transfers.Offer(TIED, stream(1)), transfers.Choice(TIED, bits, stream(2))
    right = offer.keys(choice.points, label="V1s")
    other = binding(2)
    match what:
        case "run":
            tied = type(TIED)(digest=TIED.digest, run_id=other.run_id)
            again = transfers.Offer(tied, stream(1)).keys(choice.points, label="V1s")
        case "specification":
            tied = type(TIED)(digest=other.digest, run_id=TIED.run_id)
            again = transfers.Offer(tied, stream(1)).keys(choice.points, label="V1s")
        case "offered":
            again = transfers.Offer(TIED, stream(5)).keys(choice.points, label="V1s")
        case "chosen":  # the last one alone
            changed = choice.points.copy()
            changed[3] = transfers.Choice(TIED, bits, stream(6)).points[3]
            again = offer.keys(changed, label="V1s")
        case _:
            again = offer.keys(np.ascontiguousarray(choice.points[::-1]), label="V1s")[::-1]
    assert not {row.tobytes() for row in right.reshape(-1, 16)} & {row.tobytes() for row in again.reshape(-1, 16)}


@pytest.mark.parametrize("place", [0, 1])
def test_both_offered_elements_are_looked_at_whatever_was_chosen(place: int) -> None:
    for bit in (0, 1):
        choice = transfers.Choice(TIED, np.full(2, bit, np.uint8), stream(2))
        offered = transfers.Offer(TIED, stream(1)).points.copy()
        offered[place] = 0
        with pytest.raises(PeerError) as caught:
            choice.keys(offered, label="V1r")
        assert caught.value.fields == {"place": place, "label": "V1r"}


# -- many from few ----------------------------------------------------------------------------------------------------


def many(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    few = bits_of(4, 128)
    both = np.random.default_rng(5).integers(0, 256, (128, 2, 16), dtype=np.uint8)
    wanted = bits_of(6, count)
    message, pads = transfers.ask(both, wanted, TIED)
    return wanted, pads, transfers.answer(both[np.arange(128), few], few, message, TIED), message


@pytest.mark.parametrize("count", [64, 512, 3584])
def test_who_asks_has_one_pad_of_each_and_the_other_one_is_another(count: int) -> None:
    wanted, pads, both, message = many(count)
    assert message.shape == (count, 16)
    assert np.array_equal(pads, both[np.arange(count), wanted])
    assert len({row.tobytes() for row in both.reshape(-1, 2)}) == 2 * count


def test_pads_are_those_of_a_row_and_its_number() -> None:
    """Equal rows at two places have two pads, or one message would tell of the other."""
    rows = np.array([[5, 6]] * 3, np.uint64)
    assert len({row.tobytes() for row in transfers._pads(rows, TIED)}) == 3
    assert not np.array_equal(transfers._pads(rows, TIED), transfers._pads(rows, binding(2)))


def test_differences_of_pads_do_not_repeat() -> None:
    """Before the hash, the two rows of each transfer differ by the same 128 bits."""
    _, _, both, _ = many(512)
    assert len({row.tobytes() for row in both[:, 0] ^ both[:, 1]}) == 512


def test_wrong_shapes_are_refused() -> None:
    keys, bits = np.zeros((128, 2, 16), np.uint8), np.zeros(128, np.uint8)
    for wrong in (
        lambda: transfers.ask(keys[:127], bits, TIED),
        lambda: transfers.ask(keys, bits[:63], TIED),
        lambda: transfers.answer(keys[:127, 0], bits, np.zeros((64, 16), np.uint8), TIED),
        lambda: transfers.answer(keys[:, 0], bits[:127], np.zeros((64, 16), np.uint8), TIED),
        lambda: transfers.answer(keys[:, 0], bits, np.zeros((63, 16), np.uint8), TIED),
        lambda: transfers.Choice(TIED, bits[:1], stream(1)).keys(np.zeros((3, 32), np.uint8), label="V1r"),
    ):
        with pytest.raises(ValueError):
            wrong()
