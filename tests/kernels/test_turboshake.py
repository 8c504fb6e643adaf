"""TurboSHAKE128 of a library: RFC 9861's known answers, the slow twin, any number of messages."""

import hashlib
from itertools import islice

import numpy as np
import pytest

from pets.kernels import turboshake
from pets.kernels.jit import U8Array
from tests.oracles import prio3 as twin

RANDOM = np.random.default_rng(7)


def row(data: bytes) -> U8Array:
    return np.frombuffer(data, np.uint8)[None]


def hashed(message: bytes, size: int, *, domain: int = 0x1F) -> bytes:
    return turboshake.turboshake128(row(message), row(b""), domain=domain, size=size).tobytes()


def pattern(size: int) -> bytes:
    """RFC 9861's `ptn`: 00 to FA, again and again."""
    return bytes(i % 251 for i in range(size))


EMPTY = (
    "1e415f1c5983aff2169217277d17bb538cd945a397ddec541f1ce41af2c1b74c"
    "3e8ccae2a4dae56c84a04c2385c03c15e8193bdf58737363321691c05462c8df"
)


def test_empty_message_of_the_rfc() -> None:
    assert hashed(b"", 64).hex() == EMPTY
    assert hashed(b"", 32).hex() == EMPTY[:64]
    tail = "a3b9b0385900ce761f22aed548e754da10a5242d62e8c658e3f3a923a7555607"
    assert hashed(b"", 10032)[-32:].hex() == tail


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        (17**0, "55cedd6f60af7bb29a4042ae832ef3f58db7299f893ebb9247247d856958daa9"),
        (17**1, "9c97d036a3bac819db70ede0ca554ec6e4c2a1a4ffbfd9ec269ca6a111161233"),
        (17**2, "96c77c279e0126f7fc07c9b07f5cdae1e0be60bdbe10620040e75d7223a624d2"),
        (17**3, "d4976eb56bcf118520582b709f73e1d6853e001fdaf80e1b13e0d0599d5fb372"),
    ],
)
def test_patterns_of_the_rfc(size: int, digest: str) -> None:
    assert hashed(pattern(size), 32).hex() == digest


@pytest.mark.parametrize("rows", [1, 2, 17])
@pytest.mark.parametrize(("before", "after", "size"), [(0, 5, 9), (79, 88, 169), (200, 336, 1000)])
def test_many_messages_are_each_hashed_by_themselves(rows: int, before: int, after: int, size: int) -> None:
    first = RANDOM.integers(0, 256, (rows, before), dtype=np.uint8)
    second = RANDOM.integers(0, 256, (rows, after), dtype=np.uint8)
    second.flags.writeable = False
    got = turboshake.turboshake128(first, second, domain=0x1F, size=size)
    for i in range(rows):
        message = first[i].tobytes() + second[i].tobytes()
        assert got[i].tobytes() == bytes(islice(twin.sponge(message, 0x1F), size))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 166, 167, 168, 169, 335, 336, 700])
def test_twelve_rounds_are_those_of_the_twin(length: int) -> None:
    message = RANDOM.bytes(length)
    for domain in (1, 6, 0x7F):
        expected = bytes(islice(twin.sponge(message, domain), 400))
        assert hashed(message, 400, domain=domain) == expected
        for cut in (0, length // 2, length):
            parts = row(message[:cut]), row(message[cut:])
            assert turboshake.turboshake128(*parts, domain=domain, size=400).tobytes() == expected


def test_the_twin_is_hashlib_with_all_rounds() -> None:
    for length in (0, 5, 167, 168, 300):
        message = RANDOM.bytes(length)
        assert bytes(islice(twin.sponge(message, 0x1F, 24), 400)) == hashlib.shake_128(message).digest(400)


def test_rows_with_a_word_at_the_limit_are_told() -> None:
    rows = RANDOM.integers(0, 256, (21, 16), dtype=np.uint8)
    none = np.empty((21, 0), np.uint8)
    out = np.empty((21, 200), np.uint8)
    assert turboshake.squeeze(rows, none, out, domain=1).sum() == 0
    greatest = out[:, :200].copy().view(np.uint64).max(axis=1)
    for limit in (1, int(np.median(greatest)), int(greatest.max()), int(greatest.max()) + 1, 2**64 - 1):
        told = turboshake.squeeze(rows, none, out, domain=1, limit=limit)
        assert told.tolist() == (greatest >= np.uint64(limit)).astype(np.uint8).tolist()


def test_no_messages_and_no_output() -> None:
    none = np.empty((0, 3), np.uint8)
    assert turboshake.turboshake128(none, none, domain=1, size=5).shape == (0, 5)
    assert turboshake.turboshake128(row(b"abc"), row(b""), domain=1, size=0).shape == (1, 0)


@pytest.mark.parametrize("domain", [0, 128, -1])
def test_a_domain_outside_its_range_is_refused(domain: int) -> None:
    with pytest.raises(ValueError, match="domain"):
        hashed(b"", 32, domain=domain)


def test_wrong_arrays_are_refused() -> None:
    good = np.zeros((2, 4), np.uint8)
    for bad in (good[:1], good.astype(np.uint16), good[:, ::2], good[0]):
        with pytest.raises(ValueError, match="contiguous"):
            turboshake.turboshake128(good, bad, domain=1, size=8)
