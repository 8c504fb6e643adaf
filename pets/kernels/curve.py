"""The group of private set intersection, ristretto255: hash into it, multiply by a secret, many elements at a time.

Elements are their 32 canonical bytes everywhere outside this package; scalars are 32 bytes, low byte first, in a
``Secret``. Every element that comes in is decoded as RFC 9496 says, which refuses all but one encoding of it, and the
identity is refused besides: times any scalar it would stay what it is.

Source: RFC 9496 (group), RFC 9380 (expand_message_xmd), RFC 9497 4.1 (suite ristretto255-SHA512); protocols.md 6.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import sodium
from pets.kernels.jit import U8Array
from pets.secret import Secret

POINT_BYTES: Final = 32
SCALAR_BYTES: Final = 32
UNIFORM_BYTES: Final = 64
"""What is uniform and as long makes an element, or a scalar, whose distance from uniform is below 2**-250."""

_MAX_TAG: Final = 255


def new_scalar(entropy: Secret[bytes]) -> Secret[bytes]:
    """The scalar that 64 uniform bytes make: uniform from 1 to the order of the group, less one.

    Raises:  ValueError on another length; InternalError if the bytes make 0, which uniform ones do once in 2**252.
    Source:  RFC 9496, 4.4.
    """
    value = entropy.expose("make a scalar")
    if len(value) != UNIFORM_BYTES:
        raise ValueError("a scalar is made of 64 bytes")
    scalar = Secret(sodium.reduced(value))
    _in_range(scalar)
    return scalar


def hash_to_group(strings: Sequence[bytes], *, tag: bytes) -> U8Array:
    """Map each string to an element, as a random oracle that is another one for each `tag`.

    Shapes:  (n, 32) uint8, same order.
    Learned: who knows a string and `tag` knows its element. Only the string's length shows in the time it takes.
    Raises:  ValueError if `tag` is empty or has more than 255 bytes; InternalError if a string maps to the identity,
             which one in 2**252 does.
    Source:  RFC 9497, 4.1 (HashToGroup; the tag is its DST); RFC 9380, 5.3.1; RFC 9496, 4.3.4.
    """
    return _mapped(_expanded(strings, tag))


def multiply(points: U8Array, scalar: Secret[bytes]) -> U8Array:
    """Multiply each element by the scalar. All are good, or there is no result.

    Shapes:  points (n, 32) uint8, encodings; (n, 32) uint8, same order.
    Learned: nothing of the scalar from the time it takes, nor of which elements are good.
    Raises:  PeerError with the place of the first that encodes nothing, or the identity, or in a second way;
             InternalError if the scalar is 0, or not below the order of the group; ValueError on a wrong shape.
    Source:  RFC 9496, 4.3.1, 4.3.2.
    """
    if points.dtype != np.uint8 or points.ndim != 2 or points.shape[1] != POINT_BYTES:
        raise ValueError("elements of the group are an (n, 32) array of uint8")
    _in_range(scalar)
    factor = np.frombuffer(scalar.expose("multiply by it"), np.uint8)
    out = np.empty(points.shape, np.uint8)
    place = sodium.multiply(np.ascontiguousarray(points), factor, out)
    if place != len(points):
        raise PeerError("peer.element", place=place)
    return out


def _mapped(uniform: U8Array) -> U8Array:
    """The one-way map of RFC 9496, 4.3.4, on each row of 64 bytes."""
    out = np.empty((len(uniform), POINT_BYTES), np.uint8)
    if sodium.from_uniform(uniform, out) != len(uniform):
        raise InternalError("internal.bug", where="a hash, which is the identity of the group")
    return out


def _in_range(scalar: Secret[bytes]) -> None:
    """Refuse 0 and what is not below the order, by comparisons that take the same time for all."""
    value = scalar.expose("check its range")
    if len(value) != SCALAR_BYTES:
        raise ValueError("a scalar has 32 bytes")
    canonical = hmac.compare_digest(sodium.reduced(value + bytes(UNIFORM_BYTES - SCALAR_BYTES)), value)
    if hmac.compare_digest(value, bytes(SCALAR_BYTES)) or not canonical:
        raise InternalError("internal.scalar")


def _expanded(strings: Sequence[bytes], tag: bytes, length: int = UNIFORM_BYTES) -> U8Array:
    """Uniform bytes of each string: expand_message_xmd with SHA-512, whose one block gives up to 64."""
    if not 1 <= len(tag) <= _MAX_TAG:
        raise ValueError("a tag of the hash to the group has 1 to 255 bytes")
    ending = tag + bytes([len(tag)])
    begun = hashlib.sha512(bytes(hashlib.sha512().block_size))
    before_tag = length.to_bytes(2, "big") + b"\0" + ending
    after_first = b"\1" + ending
    blocks = []
    for string in strings:
        first = begun.copy()
        first.update(string + before_tag)
        blocks.append(hashlib.sha512(first.digest() + after_first).digest()[:length])
    return np.frombuffer(b"".join(blocks), np.uint8).reshape(len(strings), length)
