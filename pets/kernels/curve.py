"""The group of private set intersection, ristretto255: hash into it, multiply by a secret, many elements at a time.

Elements are their 32 canonical bytes everywhere outside this package; scalars are 32 bytes, low byte first, in a
``Secret``. Every element that comes in is decoded as RFC 9496 says, which refuses all but one encoding of it, and the
identity is refused besides: times any scalar it would stay what it is.

Two providers give the same bytes: `ifma`, our own kernel for eight elements at a time on processors with AVX-512 IFMA,
and `libsodium` for all others. An instruction that the processor lacks would end the process, so nothing is chosen by
itself: `features()` says what the processor names, whoever starts a party runs `self_test()` in a child process, and
only then `select()` changes the provider of the process (`pets.party.warm`).

Source: RFC 9496 (group), RFC 9380 (expand_message_xmd), RFC 9497 4.1 (suite ristretto255-SHA512); protocols.md 6.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import numpy as np

from pets.errors import InternalError, PeerError
from pets.kernels import lanes, sodium
from pets.kernels.jit import U8Array, host_features
from pets.secret import Secret

POINT_BYTES: Final = 32
SCALAR_BYTES: Final = 32
UNIFORM_BYTES: Final = 64
"""What is uniform and as long makes an element, or a scalar, whose distance from uniform is below 2**-250."""

IFMA: Final = "ifma"
LIBSODIUM: Final = "libsodium"

_PROVIDERS: Final = {IFMA: lanes, LIBSODIUM: sodium}
_NEEDS: Final = {IFMA: ("avx512f", "avx512ifma"), LIBSODIUM: ()}
"""Processor features, best provider first."""

_MAX_TAG: Final = 255

_ORDER: Final = np.array([0x5812631A5CF5D3ED, 0x14DEF9DEA2F79CD6, 0, 1 << 60], np.uint64)
"""The order of the group, low word first."""

_selected = LIBSODIUM


def features() -> tuple[str, ...]:
    """Name the providers that this processor claims to have, best first; `libsodium` is always the last."""
    host = host_features()
    return tuple(name for name, needed in _NEEDS.items() if all(host.get(feature, False) for feature in needed))


def select(provider: str) -> None:
    """Use `provider` from now on, in the whole process. Run `self_test` in a child process first."""
    global _selected
    if provider not in features():
        raise ValueError(f"no provider {provider} of the group on this processor")
    _selected = provider


def selected() -> str:
    """Name the provider in use; `libsodium` until `select` says otherwise."""
    return _selected


_TESTED: Final = 3 * lanes.LANES + 3
_ANSWERS: Final = (
    bytes.fromhex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"),
    bytes.fromhex("609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"),
    bytes.fromhex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"),
    bytes.fromhex("7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e"),
)
"""Of the input 00: a factor, its product with the hash, another factor, its product with that. RFC 9497, A.1.1."""
_REFUSED: Final = (
    bytes(POINT_BYTES),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2df6"),
    bytes.fromhex("0100000000000000000000000000000000000000000000000000000000000000"),
    bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
    bytes.fromhex("3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
)
"""The identity; p; a 256th bit; and of RFC 9496, A.2: odd, no square, a negative xy, y = 0."""


def self_test(provider: str) -> None:
    """Compare `provider` with known answers in every lane, with libsodium's bytes, and show it what to refuse.

    Raises RuntimeError. Source: RFC 9497, appendix A.1.1, test vector 1.
    """
    uniform = _expanded([b"\0"] * _TESTED, b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512")
    points = _tested(provider, "from_uniform", uniform)
    for factor, expected in (_ANSWERS[:2], _ANSWERS[2:]):
        points = _tested(provider, "multiply", points, np.frombuffer(factor, np.uint8))
        if any(row.tobytes() != expected for row in points):
            raise RuntimeError(f"provider {provider} of the group fails RFC 9497")
    for count in (1, lanes.LANES - 1, _TESTED):
        uniform = _expanded([b"%d" % number for number in range(count)], b"self-test")
        points = _tested(LIBSODIUM, "from_uniform", uniform)
        if not np.array_equal(_tested(provider, "from_uniform", uniform), points):
            raise RuntimeError(f"provider {provider} of the group hashes to other elements than libsodium")
        common = np.frombuffer(sodium.reduced(uniform[0].tobytes()), np.uint8)
        if not np.array_equal(
            _tested(provider, "multiply", points, common), _tested(LIBSODIUM, "multiply", points, common)
        ):
            raise RuntimeError(f"provider {provider} of the group has other products than libsodium")
        factors = np.frombuffer(b"".join(sodium.reduced(row.tobytes()) for row in uniform), np.uint8).reshape(-1, 32)
        if not np.array_equal(
            _tested(provider, "multiply_each", points, factors), _tested(LIBSODIUM, "multiply_each", points, factors)
        ):
            raise RuntimeError(f"provider {provider} of the group has other single products than libsodium")
        for less in (False, True):
            sums = [np.empty_like(points) for _ in range(2)]
            for name, out in zip((provider, LIBSODIUM), sums, strict=True):
                _PROVIDERS[name].combined(_given(points), _given(points[::-1]), out, less=less)
            if not np.array_equal(sums[0], sums[1]):
                raise RuntimeError(f"provider {provider} of the group has other sums than libsodium")
        for place in range(count):
            refused = points.copy()
            refused[place] = np.frombuffer(_REFUSED[place % len(_REFUSED)], np.uint8)
            out = np.empty_like(refused)
            found = (
                _PROVIDERS[provider].multiply(_given(refused), common, out),
                _PROVIDERS[provider].multiply_each(_given(refused), factors, out),
            )
            if found != (place, place):
                raise RuntimeError(f"provider {provider} of the group takes what encodes no element")


def _tested(provider: str, name: str, rows: U8Array, *factors: U8Array) -> U8Array:
    out = np.empty((len(rows), POINT_BYTES), np.uint8)
    arguments = (_given(rows), *factors, out)
    if getattr(_PROVIDERS[provider], name)(*arguments) != len(rows):
        raise RuntimeError(f"provider {provider} of the group refuses elements")
    return out


def _given(rows: U8Array) -> U8Array:
    """The rows as each kernel is given them: contiguous and read-only, so that each is compiled once."""
    given = np.ascontiguousarray(rows).view()
    given.flags.writeable = False
    return given


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


def multiply(points: U8Array, scalar: Secret[bytes], *, label: str = "a list", first: int = 0) -> U8Array:
    """Multiply each element by the scalar. All are good, or there is no result.

    Shapes:  points (n, 32) uint8, encodings; (n, 32) uint8, same order. A refusal speaks of the list ``label``, in
             which the first of these has the place ``first``.
    Learned: nothing of the scalar from the time it takes, nor of which elements are good.
    Raises:  PeerError with the place of the first that encodes nothing, or the identity, or in a second way;
             InternalError if the scalar is 0, or not below the order of the group; ValueError on a wrong shape.
    Source:  RFC 9496, 4.3.1, 4.3.2.
    """
    _require_elements(points)
    _in_range(scalar)
    factor = np.frombuffer(scalar.expose("multiply by it"), np.uint8)
    out = np.empty(points.shape, np.uint8)
    place = _PROVIDERS[_selected].multiply(_given(points), factor, out)
    if place != len(points):
        raise PeerError("peer.element", place=first + place, label=label)
    return out


def multiply_each(points: U8Array, scalars: Sequence[Secret[bytes]], *, label: str = "a list") -> U8Array:
    """Multiply each element by a scalar of its own; otherwise as ``multiply``.

    Shapes:  points (n, 32) uint8, n scalars; (n, 32) uint8, same order.
    """
    _require_elements(points)
    if len(scalars) != len(points):
        raise ValueError("each element has a scalar")
    exposed = [scalar.expose("multiply by it") for scalar in scalars]
    if any(len(each) != SCALAR_BYTES for each in exposed):
        raise ValueError("a scalar has 32 bytes")
    factors = np.frombuffer(b"".join(exposed), np.uint8).reshape(-1, SCALAR_BYTES)
    _all_in_range(factors)
    out = np.empty(points.shape, np.uint8)
    place = _PROVIDERS[_selected].multiply_each(_given(points), factors, out)
    if place != len(points):
        raise PeerError("peer.element", place=place, label=label)
    return out


def _require_elements(points: U8Array) -> None:
    if points.dtype != np.uint8 or points.ndim != 2 or points.shape[1] != POINT_BYTES:
        raise ValueError("elements of the group are an (n, 32) array of uint8")


def add(first: U8Array, second: U8Array, *, label: str = "a list") -> U8Array:
    """Sums of elements, one by one.

    Shapes:  (n, 32) uint8 each, encodings, the identity among them; result (n, 32) uint8.
    Raises:  PeerError peer.element with the place of the first that encodes none, and ``label``.
    """
    return _combined(first, second, label, less=False)


def subtract(first: U8Array, second: U8Array, *, label: str = "a list") -> U8Array:
    """Differences of elements, as ``add``."""
    return _combined(first, second, label, less=True)


def _combined(first: U8Array, second: U8Array, label: str, *, less: bool) -> U8Array:
    _require_elements(first)
    _require_elements(second)
    if len(first) != len(second):
        raise ValueError("as many elements are combined with as many")
    out = np.empty(first.shape, np.uint8)
    place = _PROVIDERS[_selected].combined(_given(first), _given(second), out, less=less)
    if place != len(first):
        raise PeerError("peer.element", place=place, label=label)
    return out


def _mapped(uniform: U8Array) -> U8Array:
    """The one-way map of RFC 9496, 4.3.4, on each row of 64 bytes."""
    out = np.empty((len(uniform), POINT_BYTES), np.uint8)
    if _PROVIDERS[_selected].from_uniform(_given(uniform), out) != len(uniform):
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


def _all_in_range(scalars: U8Array) -> None:
    """The same of many: each is below the order if taking that off borrows. Shapes: (n, 32) uint8."""
    words = scalars.view(np.uint64)
    borrow = np.zeros(len(words), np.bool_)
    for i, limb in enumerate(_ORDER):
        borrow = (words[:, i] < limb) | ((words[:, i] == limb) & borrow)
    if not (borrow & words.any(axis=1)).all():
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
