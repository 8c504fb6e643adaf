"""How kernels are compiled: one decorator, and the two memory accesses that numba lacks.

A kernel is compiled by its first call, never at import, and kept in numba's cache. The plain function around it checks
shapes, types and lengths; inside there is no allocation, and no branch on anything but public numbers, tags and the
stream of a key. Words meet words only: numba turns `uint64 + int` into a float.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

U8Array = npt.NDArray[np.uint8]
U16Array = npt.NDArray[np.uint16]
U32Array = npt.NDArray[np.uint32]
U64Array = npt.NDArray[np.uint64]
I64Array = npt.NDArray[np.int64]
Number = Any
"""A number inside a kernel; numba gives it its width."""


def kernel(function: F) -> F:
    """Compile on first call, without the interpreter lock, cached on disk."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def host_features() -> Mapping[str, bool]:
    """What the processor claims to have, by LLVM's names of features.

    Nothing, if numba's target is given by hand (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) or compilation is off.
    """
    config: Any = numba.config
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None or config.DISABLE_JIT:
        return {}
    host = dict(binding.get_host_cpu_features())
    if not config.ENABLE_AVX:
        host = {name: on for name, on in host.items() if not name.startswith(("avx", "vaes"))}
    return host


def inlined(function: F) -> F:
    """A kernel's helper: compiled into its caller by LLVM."""
    return cast(F, numba.njit(error_model="numpy", forceinline=True)(function))


def typed_intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.extending.intrinsic` with a type; what it emits is part of the caller."""
    return cast(Callable[..., Any], intrinsic(function))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, element: ir.Type) -> Any:
    """Address of byte `offset` of a contiguous array, as a pointer to `element`."""
    data = context.make_array(array_type)(context, builder, array).data
    base = builder.bitcast(data, cgutils.voidptr_t)
    return builder.bitcast(builder.gep(base, [offset]), element.as_pointer())


def _is_contiguous(*arrays: Any) -> bool:
    return all(isinstance(a, types.Array) and a.layout == "C" for a in arrays)


@typed_intrinsic
def load64(typing_context: Any, array: Any, offset: Any) -> Any:
    """`load64(array, offset)`: the 8 bytes at byte `offset`, aligned or not, as one word. Nothing checks the bounds."""
    if not _is_contiguous(array) or not isinstance(offset, types.Integer):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], ir.IntType(64))
        return builder.load(pointer, align=1)

    return types.uint64(array, types.intp), emit


@typed_intrinsic
def store64(typing_context: Any, array: Any, offset: Any, word: Any) -> Any:
    """`store64(array, offset, word)`: write 8 bytes at byte `offset`, aligned or not. Nothing checks the bounds."""
    if not _is_contiguous(array) or not isinstance(offset, types.Integer):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], ir.IntType(64))
        builder.store(arguments[2], pointer, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), emit


@typed_intrinsic
def swap64(typing_context: Any, word: Any) -> Any:
    """`swap64(word)`: the same 8 bytes in the other order."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), emit


@typed_intrinsic
def fetch(typing_context: Any, array: Any, index: Any) -> Any:
    """`fetch(array, index)`: bring an element into the cache, for reading or writing. Changes no value.

    Asked for some rows ahead, a random place costs less: stores wait for theirs in order, one after another. An index
    past the end does no harm.
    """
    if not _is_contiguous(array) or not isinstance(index, types.Integer):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        prefetch = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", fnty=prefetch)
        writes = int(signature.args[0].mutable)
        builder.call(function, [place, flag(writes), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), emit
