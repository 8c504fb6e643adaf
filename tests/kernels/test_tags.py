"""Tags: the known answers of the design, and blocks put together byte by byte."""

from collections.abc import Iterator

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pets.kernels import aes, tags
from pets.kernels.tags import Kind
from pets.secret import Secret

KEY = Secret(bytes(range(16)))


@pytest.fixture(params=aes.features())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    aes.select(request.param)
    yield request.param
    aes.select(aes.PORTABLE)


def encrypted(block: bytes) -> bytes:
    assert len(block) == 16
    return Cipher(algorithms.AES128(bytes(range(16))), modes.ECB()).encryptor().update(block)


def fixed(*ids: bytes) -> tags.U8Array:
    return tags.id_blocks(np.frombuffer(b"".join(ids), np.uint8).reshape(len(ids), -1), fixed=True)


def test_known_answers_of_rows(backend: str) -> None:
    ids = fixed(b"1234567890", b"1234567890")
    got = tags.tag_rows(KEY, ids, np.array([1, 2], np.uint16), width=10)
    assert [row.tobytes().hex() for row in got] == ["a64ea310a81fde6f2e55", "56fb1a4a62e4ab61c442"]
    assert encrypted(bytes.fromhex("01000131323334353637383930000000"))[:10] == got[0].tobytes()


def test_known_answers_of_indices(backend: str) -> None:
    assert tags.tag_indexed(KEY, Kind.COMMON_DUMMY, 5, 1, width=10).tobytes().hex() == "505d30bf3efc8ed51192"
    assert tags.tag_indexed(KEY, Kind.SENTINEL, 3, 1, width=10).tobytes().hex() == "38a929c313b975edf92d"


@pytest.mark.parametrize("width", range(1, 17))
def test_rows_equal_blocks_put_together_by_hand(backend: str, width: int) -> None:
    rng = np.random.default_rng(width)
    ids = rng.integers(0, 256, (301, 13), dtype=np.uint8)
    occurrence = rng.integers(0, 2**16, 301, dtype=np.uint16)
    got = tags.tag_rows(KEY, ids, occurrence, width=width)
    for row, number, person in zip(got, occurrence, ids, strict=True):
        assert row.tobytes() == encrypted(b"\x01" + int(number).to_bytes(2, "big") + person.tobytes())[:width]


@pytest.mark.parametrize("width", range(1, 17))
def test_indices_equal_blocks_put_together_by_hand(backend: str, width: int) -> None:
    for kind, start in ((Kind.FILLER_A, 0), (Kind.FILLER_B, 250), (Kind.PADDING_A, 65_530), (Kind.PADDING_B, 2**40)):
        got = tags.tag_indexed(KEY, kind, start, 20, width=width)
        for number, row in enumerate(got):
            block = bytes([kind, 0, 0]) + (start + number).to_bytes(13, "big")
            assert row.tobytes() == encrypted(block)[:width]


def test_tiles_join_without_a_seam(backend: str) -> None:
    count = 3 * tags._TILE + 5
    whole = tags.tag_indexed(KEY, Kind.PADDING_A, 0, count, width=11)
    parts = [tags.tag_indexed(KEY, Kind.PADDING_A, at, min(1000, count - at), width=11) for at in range(0, count, 1000)]
    assert np.array_equal(whole, np.concatenate(parts))
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 256, (count, 13), dtype=np.uint8)
    occurrence = np.ones(count, np.uint16)
    got = tags.tag_rows(KEY, ids, occurrence, width=11)
    order = rng.permutation(count)
    assert np.array_equal(tags.tag_rows(KEY, ids[order], occurrence, width=11), got[order])


def test_no_rows() -> None:
    nobody = np.empty((0, 13), np.uint8)
    assert tags.tag_rows(KEY, nobody, np.empty(0, np.uint16), width=10).shape == (0, 10)
    assert tags.tag_indexed(KEY, Kind.SENTINEL, 0, 0, width=10).shape == (0, 10)
    assert tags.id_blocks(np.empty((0, 30), np.uint8), fixed=False, key=KEY).shape == (0, 13)


def test_kinds_and_occurrences_never_share_a_tag() -> None:
    ids = np.zeros((1, 13), np.uint8)
    seen = [tags.tag_rows(KEY, ids, np.array([number], np.uint16), width=16).tobytes() for number in (1, 2, 256)]
    seen += [tags.tag_indexed(KEY, kind, 0, 1, width=16).tobytes() for kind in Kind if kind is not Kind.ROW]
    assert len(set(seen)) == len(seen) == 9


@pytest.mark.parametrize("width", [1, 7, 8, 9, 10, 11, 16])
def test_take_and_place_move_whole_tags(width: int) -> None:
    rng = np.random.default_rng(width)
    original = rng.integers(0, 256, (500, width), dtype=np.uint8)
    order = rng.permutation(500).astype(np.uint32)
    assert np.array_equal(tags.take(original, order[:300]), original[order[:300]])
    out = np.zeros((501, width), np.uint8)
    tags.place(original, order, out)
    assert np.array_equal(out[order], original)
    assert not out[500].any()


def test_positions_outside_the_list_are_refused() -> None:
    some = np.zeros((4, 10), np.uint8)
    beyond = np.array([0, 1, 2, 4], np.uint32)
    with pytest.raises(IndexError):
        tags.take(some, beyond)
    with pytest.raises(IndexError):
        tags.place(some, beyond, some.copy())


def test_fixed_identifiers_go_in_as_they_are() -> None:
    assert fixed(b"1234567890")[0].tobytes() == b"1234567890\0\0\0"
    assert fixed(b"1234567890123")[0].tobytes() == b"1234567890123"


def test_hashed_identifiers_do_not_depend_on_the_width_of_the_table() -> None:
    texts = [b"a", b"ANNA MARIA", "ŽOFIE".encode(), b"x" * 20]
    narrow = np.array([list(text.ljust(20, b"\0")) for text in texts], np.uint8)
    wide = np.array([list(text.ljust(64, b"\0")) for text in texts], np.uint8)
    assert np.array_equal(tags.id_blocks(narrow, fixed=False, key=KEY), tags.id_blocks(wide, fixed=False, key=KEY))


def test_wrong_arguments_are_refused() -> None:
    ids = np.ones((2, 13), np.uint8)
    once = np.ones(2, np.uint16)
    for width in (0, 17):
        with pytest.raises(ValueError, match="1 to 16"):
            tags.tag_rows(KEY, ids, once, width=width)
    with pytest.raises(ValueError, match="wrong shape"):
        tags.tag_rows(KEY, ids[:, :12].copy(), once, width=10)
    with pytest.raises(ValueError, match="wrong shape"):
        tags.tag_rows(KEY, ids, once[:1], width=10)
    with pytest.raises(ValueError, match="wrong type"):
        tags.tag_rows(KEY, ids, once.astype(np.int64), width=10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not indices"):
        tags.tag_indexed(KEY, Kind.ROW, 0, 1, width=10)
    with pytest.raises(ValueError, match="not negative"):
        tags.tag_indexed(KEY, Kind.SENTINEL, -1, 1, width=10)
    with pytest.raises(ValueError, match="wider"):
        tags.id_blocks(np.ones((1, 14), np.uint8), fixed=True)
    with pytest.raises(ValueError, match="wider"):
        tags.id_blocks(np.ones((1, 65), np.uint8), fixed=False, key=KEY)
    with pytest.raises(ValueError, match="with a key"):
        tags.id_blocks(ids, fixed=False)
    with pytest.raises(ValueError, match="with a key"):
        tags.id_blocks(ids, fixed=True, key=KEY)
    with pytest.raises(ValueError, match="empty"):
        tags.id_blocks(np.zeros((3, 20), np.uint8), fixed=False, key=KEY)


@pytest.mark.parametrize("width", [1, 10, 13, 16, 17, 64])
def test_rows_of_any_width_are_taken(width: int) -> None:
    """Identifiers of role b go the same way as tags, and are up to 64 bytes wide."""
    rng = np.random.default_rng(width)
    rows = rng.integers(0, 256, (50, width), np.uint8)
    order = rng.permutation(50)[:30].astype(np.uint32)
    assert np.array_equal(tags.take(rows, order), rows[order])


def test_what_is_wider_than_a_tag_is_not_placed() -> None:
    wide = np.zeros((2, 17), np.uint8)
    with pytest.raises(ValueError, match="1 to 16 bytes"):
        tags.place(wide, np.arange(2, dtype=np.uint32), wide.copy())
