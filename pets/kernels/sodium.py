"""The group ristretto255 by libsodium: what every processor can do, and what our own kernel is measured against.

The wheel `rbcl` carries libsodium, and at import writes it to a file that stays in the temporary directory. So it is
read and never imported: its library goes into memory without a name, or into a directory of our own that is gone once
it is loaded. libsodium takes one element at a time; the loop over a list is a kernel that calls it by address, so that
a batch gives up the interpreter lock once.

Source: RFC 9496; libsodium 1.0.18, crypto_core_ristretto255 and crypto_scalarmult_ristretto255.
"""

import ctypes
import os
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.errors import ConfigError
from pets.kernels.jit import Number, U8Array, kernel, typed_intrinsic

_BEFORE: Final = "bytes.fromhex('"
_AFTER: Final = "')"


def from_uniform(uniform: U8Array, out: U8Array) -> int:
    """Map each row of uniform bytes to an element. Returns the place of the first identity, or the number of rows.

    Shapes:  uniform (n, 64) uint8, out (n, 32) uint8, both contiguous.
    """
    _require(uniform.shape == (len(out), 64) and out.shape == (len(out), 32), uniform, out)
    return int(_map_all(_address("crypto_core_ristretto255_from_hash"), uniform, out))


def multiply(points: U8Array, scalar: U8Array, out: U8Array) -> int:
    """Multiply each encoded element by the scalar. Returns the place of the first that is refused, or their number.

    Refused are encodings that RFC 9496 refuses, and the identity; so is a result that is the identity. libsodium 1.0.18
    reads 255 bits, so that each element has a second encoding with the 256th bit set; that bit is refused here.

    Shapes:  points (n, 32) uint8, scalar (32,) uint8, 0 < scalar < group order, out (n, 32) uint8, all contiguous.
    """
    _require(points.shape == out.shape == (len(out), 32) and scalar.shape == (32,), points, scalar, out)
    return int(_multiply_all(_address("crypto_scalarmult_ristretto255"), points, scalar, out))


def multiply_each(points: U8Array, scalars: U8Array, out: U8Array) -> int:
    """As ``multiply``, each element by a scalar of its own: scalars (n, 32) uint8."""
    _require(points.shape == scalars.shape == out.shape == (len(out), 32), points, scalars, out)
    return int(_multiply_each(_address("crypto_scalarmult_ristretto255"), points, scalars, out))


def _require(fitting: bool, *arrays: U8Array) -> None:
    if not fitting or not all(array.dtype == np.uint8 and array.flags.c_contiguous for array in arrays):
        raise ValueError("elements, scalars and uniform bytes are contiguous arrays of 32, 32 and 64 bytes")


def combined(first: U8Array, second: U8Array, out: U8Array, *, less: bool) -> int:
    """Add two encoded elements, or with ``less`` take the second off. Returns the place of the first refused one.

    Refused is what encodes no element, or has the 256th bit set. For a few: each is a call of its own.

    Shapes:  all (n, 32) uint8, contiguous.
    """
    _require(first.shape == second.shape == out.shape == (len(out), 32), first, second, out)
    name = "crypto_core_ristretto255_sub" if less else "crypto_core_ristretto255_add"
    function, result = getattr(_library(), name), ctypes.create_string_buffer(32)
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        wrong = function(result, one.tobytes(), other.tobytes())
        if wrong or one[31] >= 128 or other[31] >= 128:
            return place
        out[place] = np.frombuffer(result.raw, np.uint8)
    return len(out)


def reduced(wide: bytes) -> bytes:
    """64 bytes, low byte first, modulo the order of the group; in time that does not depend on them."""
    if len(wide) != 64:
        raise ValueError("what is reduced has 64 bytes")
    result = ctypes.create_string_buffer(32)
    reduce = _library().crypto_core_ristretto255_scalar_reduce
    reduce(result, ctypes.create_string_buffer(wide, 64))
    return result.raw


@cache
def _address(name: str) -> int:
    address = ctypes.cast(getattr(_library(), name), ctypes.c_void_p).value
    if address is None:
        raise ConfigError("config.sodium", problem=f"{name} is missing")
    return address


@cache
def _library() -> ctypes.CDLL:
    """libsodium, loaded once in a process and initialised."""
    try:
        library = _loaded(_carried())
        if library.sodium_init() < 0:
            raise OSError("sodium_init failed")
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError("config.sodium", problem=str(error)) from error
    return library


def _carried() -> bytes:
    """The shared library that rbcl's wheel carries, in hexadecimal in the text of a module."""
    spec = find_spec("rbcl")
    if spec is None or not spec.submodule_search_locations:
        raise OSError("rbcl is not installed")
    text = (Path(spec.submodule_search_locations[0]) / "_sodium.py").read_text()
    found, digits = text.count(_BEFORE), text.partition(_BEFORE)[2].partition(_AFTER)[0]
    if found != 1:
        raise OSError("rbcl carries libsodium in another way than version 1.1.2")
    return bytes.fromhex(digits)


def _loaded(content: bytes) -> ctypes.CDLL:
    """Load a shared library that no other user of the host can replace, and leave no file behind."""
    problem = OSError("no place to load a library from")
    for load in (_loaded_from_memory, _loaded_from_directory):
        try:
            return load(content)
        except OSError as error:
            problem = error
    raise problem


def _loaded_from_memory(content: bytes) -> ctypes.CDLL:
    if not hasattr(os, "memfd_create"):
        raise OSError("no files in memory on this system")
    number = os.memfd_create("libsodium")
    # Stays open: the loader knows libraries by their names, and this name must not come to mean another file.
    with open(number, "wb", closefd=False) as file:
        file.write(content)
    return ctypes.CDLL(f"/proc/self/fd/{number}")


def _loaded_from_directory(content: bytes) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="pets-") as folder:  # mode 0700
        path = Path(folder) / "libsodium.so"
        path.write_bytes(content)
        return ctypes.CDLL(str(path))


# -- calls by address --------------------------------------------------------------------------------------------------


@typed_intrinsic
def _call(typing_context: Any, function: Any, row: Any, out: Any, first: Any, second: Any) -> Any:
    """`_call(function, row, out, first, second)`: call a C function of byte pointers; returns its int.

    The pointers are to row `row` of each array, or to the first byte of one that has no rows. `second` may be None:
    then the function takes two.
    """
    arrays = (out, first) if isinstance(second, types.NoneType) else (out, first, second)
    if not isinstance(function, types.Integer) or not all(isinstance(array, types.Array) for array in arrays):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = []
        for kind, argument in zip(signature.args[2 : 2 + len(arrays)], arguments[2:], strict=False):
            array = context.make_array(kind)(context, builder, argument)
            place = builder.bitcast(array.data, cgutils.voidptr_t)
            if kind.ndim == 2:
                place = builder.gep(place, [builder.mul(arguments[1], builder.extract_value(array.strides, 0))])
            pointers.append(place)
        prototype = ir.FunctionType(ir.IntType(32), [cgutils.voidptr_t] * len(pointers))
        return builder.call(builder.inttoptr(arguments[0], prototype.as_pointer()), pointers)

    return types.int32(types.uint64, types.intp, out, first, second), emit


@kernel
def _multiply_all(function: Number, points: U8Array, scalar: U8Array, out: U8Array) -> Number:
    bad = points.shape[0]
    for i in range(points.shape[0]):
        refused = _call(np.uint64(function), i, out, scalar, points)  # the scalar stands before the element
        if refused != 0 or points[i, 31] >= 128:
            bad = min(bad, i)
    return bad


@kernel
def _multiply_each(function: Number, points: U8Array, scalars: U8Array, out: U8Array) -> Number:
    bad = points.shape[0]
    for i in range(points.shape[0]):
        refused = _call(np.uint64(function), i, out, scalars, points)
        if refused != 0 or points[i, 31] >= 128:
            bad = min(bad, i)
    return bad


@kernel
def _map_all(function: Number, uniform: U8Array, out: U8Array) -> Number:
    bad = uniform.shape[0]
    for i in range(uniform.shape[0]):
        _call(np.uint64(function), i, out, uniform, None)
        byte = np.uint8(0)
        for k in range(32):
            byte |= out[i, k]
        if byte == 0:
            bad = min(bad, i)
    return bad
