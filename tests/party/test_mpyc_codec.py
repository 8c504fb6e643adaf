"""The codec of programs: two forms, one encoding each, and a typed error for everything else, in both directions."""

import pickle
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.errors import InternalError, PeerError
from pets.party.mpyc_codec import (
    MAX_INT_BYTES,
    Pickle,
    array_bytes,
    decode_array,
    decode_int,
    encode_array,
    encode_int,
    width_of,
)

ORDERS = (2, 3, 251, 256, 257, 2**61 - 1, 2**127 - 1, 2**255 - 19)


class Bomb:
    """What pickle would run."""

    ran = False

    def __reduce__(self) -> tuple[object, ...]:
        return (setattr, (Bomb, "ran", True))


@given(st.integers(-(2 ** (8 * MAX_INT_BYTES - 1)), 2 ** (8 * MAX_INT_BYTES - 1) - 1))
def test_an_integer_comes_back(value: int) -> None:
    assert decode_int(encode_int(value)) == value


@given(st.data(), st.sampled_from(ORDERS))
def test_an_array_comes_back(data: st.DataObject, order: int) -> None:
    values = data.draw(st.lists(st.integers(0, order - 1), max_size=20))
    body = encode_array(values, order=order, count=len(values))
    assert len(body) == array_bytes(order, len(values))
    assert decode_array(body, order=order, count=len(values)) == values


@pytest.mark.parametrize(("order", "width"), [(2, 1), (256, 1), (257, 2), (2**64, 8), (2**64 + 1, 9)])
def test_an_element_is_as_wide_as_the_greatest(order: int, width: int) -> None:
    assert width_of(order) == width


@pytest.mark.parametrize("value", [True, 1.0, "1", b"1", None, [1], 2**512, -(2**512)])
def test_what_is_no_integer_of_bounded_length_is_not_sent(value: object) -> None:
    with pytest.raises(InternalError, match=r"internal\.wrong-array"):
        encode_int(value)


@pytest.mark.parametrize("values", [[True], [1.0], ["1"], [None], [[1]], [-1], [251], [1, 2], []])
def test_what_is_no_array_of_that_many_elements_is_not_sent(values: list[object]) -> None:
    with pytest.raises(InternalError, match=r"internal\.wrong-array"):
        encode_array(values, order=251, count=1)


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x02\x05", b"\x01\x05\x00", b"\x01\xff\xff", b"\x01" + b"\x11" * 65, pickle.dumps(5)]
)
def test_bytes_of_no_integer_in_its_one_form_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match=r"peer\.program"):
        decode_int(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01\x05\x05",
        b"\x02\x05",
        b"\x02\x05\x05\x05",
        b"\x02\x05\xfb",
        b"\x02\xff\xff",
        b"\x80\x04\x05",
    ],
)
def test_bytes_of_no_such_array_are_refused(data: bytes) -> None:
    """Of two elements below 251: another form, another length, or an element that is not below the order."""
    with pytest.raises(PeerError, match=r"peer\.program"):
        decode_array(data, order=251, count=2)


def test_a_pickle_is_refused_and_never_run() -> None:
    hostile = pickle.dumps(Bomb())
    for count in range(len(hostile) + 1):
        with pytest.raises(PeerError):
            decode_array(hostile, order=256, count=count)
    for read in (decode_int, Pickle.loads):
        with pytest.raises(PeerError):
            read(hostile)
    assert not Bomb.ran
    with pytest.raises(InternalError):
        Pickle.dumps(Bomb())


@settings(max_examples=300)
@given(st.binary(max_size=600), st.integers(0, 600), st.sampled_from(ORDERS))
def test_random_bytes_are_an_array_in_its_one_form_or_refused(data: bytes, count: int, order: int) -> None:
    try:
        values = decode_array(data, order=order, count=count)
    except PeerError as error:
        assert error.code == "peer.program"
    else:
        assert encode_array(values, order=order, count=count) == data


@settings(max_examples=300)
@given(st.binary(max_size=100))
def test_random_bytes_are_an_integer_in_its_one_form_or_refused(data: bytes) -> None:
    try:
        value = decode_int(data)
    except PeerError as error:
        assert error.code == "peer.program"
    else:
        assert encode_int(value) == data


def test_memory_is_of_the_bytes_that_came_and_not_of_what_was_expected() -> None:
    """A short message for an array of a gigabyte takes nothing."""
    tracemalloc.start()
    for data in (b"\x02", b"\x02" + bytes(1000), b"\x01" * 1000):
        with pytest.raises(PeerError):
            decode_array(data, order=2**255 - 19, count=2**25)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.long
@settings(max_examples=5_000, deadline=None)
@given(st.binary(max_size=2_000), st.integers(0, 2_000))
def test_random_bytes_many_times(data: bytes, count: int) -> None:
    try:
        decode_array(data, order=251, count=count)
    except PeerError as error:
        assert error.code == "peer.program"
