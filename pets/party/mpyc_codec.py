"""What servers of a program tell each other: integers of bounded length, and arrays of field elements. Nothing else.

MPyC 0.11 unpickles what peers send, and pickle runs code. These are the only two forms here, each with one encoding:

* an integer: ``0x01``, then its shortest two's complement, little-endian, of at most MAX_INT_BYTES;
* an array: ``0x02``, then so many elements of so many bytes each, little-endian, each below the order of the field.

Who reads knows the number and the order before: neither stands in the bytes, so nothing about memory is left to who
sent them. A pickle begins with ``0x80`` and is refused by its first byte.

Source: protocols.md 9, rules 3 and 4.
"""

from collections.abc import Iterable
from typing import Final

from pets.errors import InternalError, PeerError

INT, ARRAY = b"\x01", b"\x02"

MAX_INT_BYTES: Final = 64
"""Bytes of the longest integer: fields of programs have orders of less than 2^512."""


def width_of(order: int) -> int:
    """Bytes of one element of a field of this order."""
    if order < 2:
        raise InternalError(
            "internal.wrong-array", got=f"of a field of order {order}", expected="an order of 2 or more"
        )
    return ((order - 1).bit_length() + 7) // 8


def array_bytes(order: int, count: int) -> int:
    """Bytes of an array of so many elements."""
    return 1 + count * width_of(order)


def encode_int(value: object) -> bytes:
    """Bytes of one integer. Raises: InternalError internal.wrong-array if it is none, or too long."""
    if type(value) is not int:
        raise InternalError("internal.wrong-array", got=type(value).__name__, expected="an integer")
    length = (value + (value < 0)).bit_length() // 8 + 1
    if length > MAX_INT_BYTES:
        raise InternalError("internal.wrong-array", got=f"an integer of {length} bytes", expected=f"{MAX_INT_BYTES}")
    return INT + value.to_bytes(length, "little", signed=True)


def decode_int(data: bytes) -> int:
    """The integer that these bytes are. Raises: PeerError peer.program if they are none, or not in its one form."""
    if data[:1] != INT:
        raise _refused("no integer")
    if not 2 <= len(data) <= 1 + MAX_INT_BYTES:
        raise _refused(f"an integer of {len(data) - 1} bytes, of at most {MAX_INT_BYTES}")
    value = int.from_bytes(data[1:], "little", signed=True)
    if encode_int(value) != data:
        raise _refused("an integer in more bytes than it needs")
    return value


def encode_array(values: Iterable[object], *, order: int, count: int) -> bytes:
    """Bytes of ``count`` elements of a field of this order, as non-negative Python integers below it.

    Raises: InternalError internal.wrong-array on any other type, value or number: ours or the program's, never sent.
    """
    width = width_of(order)
    listed = list(values)
    if len(listed) != count:
        raise InternalError("internal.wrong-array", got=f"of {len(listed)} elements", expected=f"{count}")
    for value in listed:
        if type(value) is not int:
            raise InternalError("internal.wrong-array", got=type(value).__name__, expected="integers")
        if not 0 <= value < order:
            raise InternalError("internal.wrong-array", got="of integers outside the field", expected="below its order")
    return ARRAY + b"".join([value.to_bytes(width, "little") for value in listed])  # type: ignore[attr-defined]


def decode_array(data: bytes, *, order: int, count: int) -> list[int]:
    """The ``count`` elements that these bytes are, each in [0, order).

    Raises: PeerError peer.program if they are not exactly so many, each below the order; the caller adds who sent them.
    """
    width = width_of(order)
    if data[:1] != ARRAY:
        raise _refused("no array of field elements")
    if len(data) != 1 + count * width:
        raise _refused(f"{len(data)} bytes instead of {1 + count * width}")
    values = [int.from_bytes(data[at : at + width], "little") for at in range(1, len(data), width)]
    if any(value >= order for value in values):
        raise _refused("an element that is not below the order of the field")
    return values


class Pickle:
    """Stands in the place of ``pickle`` inside MPyC: integers, and nothing else, in both directions."""

    @staticmethod
    def dumps(value: object) -> bytes:
        return encode_int(value)

    @staticmethod
    def loads(data: bytes) -> int:
        return decode_int(data)


def _refused(problem: str) -> PeerError:
    return PeerError("peer.program", problem=problem)
