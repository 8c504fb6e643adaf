import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.errors import PeerError
from pets.transport import frame
from pets.transport.frame import CHUNK, HEADER_BYTES
from pets.transport.link import Slot

RUN = bytes(range(32))


def cut(total: int) -> tuple[bytes, list[bytes]]:
    body = (bytes(range(251)) * (total // 251 + 1))[:total]
    return body, list(frame.frames(RUN, Slot(3, 2), memoryview(body)))


@pytest.mark.parametrize("total", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17])
def test_a_message_is_the_bodies_of_its_frames_in_order(total: int) -> None:
    body, made = cut(total)
    read = [frame.read(one) for one in made]
    assert b"".join(view for _, view in read) == body
    assert [head.index for head, _ in read] == list(range(frame.chunks(total)))
    assert {(head.run_id, head.slot, head.total) for head, _ in read} == {(RUN, Slot(3, 2), total)}
    assert sum(map(len, made)) == frame.wire_bytes(total)


def test_the_header_is_64_bytes_with_every_field_at_its_place() -> None:
    made = next(frame.frames(RUN, Slot(0x0102, 0x0304), memoryview(b"xyz")))
    assert HEADER_BYTES == 64
    assert made[:8] == b"PETS\x01\x00\x00\x00"
    assert made[8:40] == RUN
    assert struct.unpack_from("<HHQI", made, 40) == (0x0102, 0x0304, 3, 0)
    assert made[56:64] == bytes(8)
    assert made[64:] == b"xyz"


def test_wide_elements_are_cut_by_bytes() -> None:
    words = memoryview(struct.pack("<4Q", 1, 2, 3, 2**64 - 1)).cast("Q")
    (made,) = frame.frames(RUN, Slot(1, 0), words)
    assert made[64:] == words.tobytes()


def altered(**change: object) -> bytes:
    fields = {"magic": b"PETS", "version": 1, "flags": 0, "run": RUN, "message": 1, "column": 0, "total": 3, "index": 0}
    fields |= {"reserved": bytes(8), "body": b"abc"} | change
    *head, body = fields.values()
    return struct.pack("<4sHH32sHHQI8s", *head) + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        altered()[:63],
        altered(magic=b"pets"),
        altered(version=2),
        altered(flags=1),
        altered(reserved=b"\0\0\0\0\0\0\0\1"),
        altered(index=1),
        altered(total=10 * 2**30),  # claims 10 GB and brings 3 bytes
        altered(total=2**63),
        altered(body=b"ab"),
        altered(body=b"abcd"),
        altered(total=CHUNK + 1, body=bytes(CHUNK + 1)),
        altered(total=0),
    ],
)
def test_what_is_not_exactly_one_frame_is_refused(data: bytes) -> None:
    assert frame.read(altered())[1] == b"abc"
    with pytest.raises(PeerError) as caught:
        frame.read(data)
    assert caught.value.code == "peer.frame"


@given(st.binary(max_size=200))
def test_noise_is_refused_or_is_the_one_encoding_of_what_it_reads_as(data: bytes) -> None:
    for candidate in (data, altered()[:40] + data):
        try:
            head, body = frame.read(candidate)
        except PeerError:
            continue
        assert head.pack() + bytes(body) == candidate


def test_a_run_id_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        frame.check_run_id(bytes(31))
