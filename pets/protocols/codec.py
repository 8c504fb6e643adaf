"""Arrays to bytes and back: dtype, count and width come from the plan, never from the bytes.

One value has one encoding: little-endian words, row after row. Wrong lengths are refused before anything is read.
"""

import sys
from typing import Any, Literal

import numpy as np

from pets.errors import InternalError, PeerError
from pets.protocols.base import Array

Kind = Literal["word", "u32", "bytes"]
_DTYPES: dict[Kind, np.dtype[Any]] = {"word": np.dtype("<u8"), "u32": np.dtype("<u4")}


def require_little_endian() -> None:
    """Refuse a big-endian host: arrays are sent as they lie in memory."""
    if sys.byteorder != "little":
        raise InternalError("internal.big-endian")


def encode(array: Array, *, kind: Kind, width: int, count: int) -> memoryview:
    """View ``array`` as its wire bytes without copying it.

    Shapes:  "word" (count,) uint64; "u32" (count,) uint32; "bytes" (count, width) uint8; all contiguous.
    Raises:  InternalError if the array is not what the card lists: our bug, and nothing is sent.
    """
    shape = (count, width) if kind == "bytes" else (count,)
    dtype = np.dtype(np.uint8) if kind == "bytes" else _DTYPES[kind]
    if type(array) is not np.ndarray or array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise InternalError(
            "internal.wrong-array",
            expected=f"{dtype}{list(shape)}",
            got=f"{getattr(array, 'dtype', type(array).__name__)}{list(getattr(array, 'shape', ()))}",
        )
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def decode(body: memoryview, *, kind: Kind, width: int, count: int, label: str) -> Array:
    """Read a received body as a read-only array of exactly ``count`` elements.

    Raises:  PeerError peer.bad-length if the length is not ``count * width``.
    """
    if body.nbytes != count * width:
        raise PeerError("peer.bad-length", message=label, got=body.nbytes, expected=count * width)
    if kind == "bytes":
        array: Array = np.frombuffer(body, np.uint8).reshape(count, width)
    else:
        array = np.frombuffer(body, _DTYPES[kind])
    array.flags.writeable = False
    return array
