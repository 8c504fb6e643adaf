"""One frame: a 64-byte header and at most 1 MiB of body, and nothing about it is left to the sender's choice.

A message of ``total`` bytes is cut into chunks of exactly 1 MiB but the last; an empty message is one frame without a
body. So header and expected size say where every byte goes, and one message has one encoding. Little-endian. Who sent
a frame is not in it: that is what the certificate of the connection says. Source: protocols.md 0.4, 11.3.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pets.errors import PeerError
from pets.ids import RUN_ID_BYTES
from pets.transport.link import Slot

CHUNK: Final = 1 << 20
"""Bytes of body in every frame but the last of a message."""

MAGIC: Final = b"PETS"
VERSION: Final = 1
MAX_TOTAL: Final = 1 << 40

UPLOAD: Final = Slot(0, 0)
"""The place that the one message of an upload has: messages of cards are numbered from 1."""

# magic, version, flags (none defined), run id, message, column, total, chunk index, reserved
_HEADER: Final = struct.Struct("<4sHH32sHHQI8s")
_RESERVED: Final = bytes(8)

HEADER_BYTES: Final = _HEADER.size
FRAME_BYTES: Final = HEADER_BYTES + CHUNK


@dataclass(frozen=True, slots=True)
class Head:
    """What a header says; believed only as far as the mailbox expects the same."""

    run_id: bytes
    slot: Slot
    total: int
    index: int

    @property
    def span(self) -> tuple[int, int]:
        """First byte and end of this chunk in its message."""
        start = self.index * CHUNK
        return start, min(start + CHUNK, self.total)

    def pack(self) -> bytes:
        return _HEADER.pack(
            MAGIC, VERSION, 0, self.run_id, self.slot.message, self.slot.column, self.total, self.index, _RESERVED
        )


def chunks(total: int) -> int:
    """Number of frames of a message of ``total`` bytes."""
    return max(1, -(-total // CHUNK))


def wire_bytes(total: int) -> int:
    """Bytes of all frames of a message of ``total`` bytes, headers included."""
    return total + HEADER_BYTES * chunks(total)


def frames(run_id: bytes, slot: Slot, body: memoryview) -> Iterator[bytes]:
    """Cut ``body`` into its frames, each made when it is asked for: one copy per byte, none kept."""
    flat = body.cast("B") if body.nbytes else memoryview(b"")
    total = flat.nbytes
    for index in range(chunks(total)):
        head = Head(run_id, slot, total, index)
        start, stop = head.span
        yield b"".join((head.pack(), flat[start:stop]))


def read(frame: bytes) -> tuple[Head, memoryview]:
    """Read a frame that a peer sent: its header and a view of its body.

    Raises: PeerError peer.frame if it is not exactly one well-formed frame; the caller adds who sent it.
    """
    if len(frame) < HEADER_BYTES:
        raise PeerError("peer.frame", problem="shorter than its header")
    if len(frame) > FRAME_BYTES:
        raise PeerError("peer.frame", problem="longer than a chunk may be")
    magic, version, flags, run_id, message, column, total, index, reserved = _HEADER.unpack_from(frame)
    if magic != MAGIC:
        raise PeerError("peer.frame", problem="no frame of this protocol")
    if version != VERSION:
        raise PeerError("peer.frame", problem=f"frame version {version}, this software speaks {VERSION}")
    if flags or reserved != _RESERVED:
        raise PeerError("peer.frame", problem="reserved bits are set")
    if total > MAX_TOTAL or index >= chunks(total):
        raise PeerError("peer.frame", problem="chunk index beyond the end of its message")
    head = Head(run_id, Slot(message, column), total, index)
    start, stop = head.span
    if len(frame) - HEADER_BYTES != stop - start:
        raise PeerError("peer.frame", problem="body and chunk differ in length")
    return head, memoryview(frame)[HEADER_BYTES:]


def check_run_id(run_id: bytes) -> bytes:
    """Return ``run_id`` if it is one."""
    if len(run_id) != RUN_ID_BYTES:
        raise ValueError(f"a run id has {RUN_ID_BYTES} bytes")
    return run_id
