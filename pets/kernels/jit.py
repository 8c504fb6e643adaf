"""How kernels are compiled: one decorator, and the two memory accesses that numba lacks.

A kernel is compiled by its first call, never at import, and kept in numba's cache. The plain function around it checks
shapes, types and lengths; inside there is no allocation, and no branch on anything but public numbers, tags and the
stream of a key. Words meet words only: numba turns `uint64 + int` into a float.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

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


def inlined(function: F) -> F:
    """A kernel's helper: compiled into its caller by LLVM."""
    return cast(F, numba.njit(error_model="numpy", forceinline=True)(function))


def typed_intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.extending.intrinsic` with a type; what it emits is part of the caller."""
    return cast(Callable[..., Any], intrinsic(function))


def host_features() -> Mapping[str, bool]:
    """What the processor claims to have, by LLVM's names of features.

    Nothing, if numba's target is given by hand (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) or compilation is off.
    """
    config: Any = numba.config
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None or config.DISABLE_JIT:
        return {}
    host = dict(binding.get_host_cpu_features())
    if not config.ENABLE_AVX:
        host = {name: on for name, on in host.items() if not name.startswith(("avx", "vaes", "vpclmul"))}
    return host


def seen(array: U64Array) -> U64Array:
    """The same words, contiguous and read-only: one compilation serves what was made here and what a peer sent."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


class Backends:
    """The back ends of one module, with the processor's features that each needs, best first, and the one in use.

    The last one needs nothing, and is in use until ``select`` says otherwise.
    """

    def __init__(self, what: str, needs: Mapping[str, tuple[str, ...]]) -> None:
        self._what: Final = what
        self._needs: Final = needs
        self._selected = list(needs)[-1]

    def features(self) -> tuple[str, ...]:
        """Name the back ends that this processor claims to have, best first."""
        host, needs = host_features(), self._needs.items()
        return tuple(name for name, needed in needs if all(host.get(feature, False) for feature in needed))

    def select(self, backend: str) -> None:
        """Use `backend` from now on, in the whole process. Run `self_test` in a child process first."""
        if backend not in self.features():
            raise ValueError(f"no {self._what} back end {backend} on this processor")
        self._selected = backend

    def selected(self) -> str:
        """Name the back end in use."""
        return self._selected


def address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, element: ir.Type) -> Any:
    """Address of byte `offset` of a contiguous array, as a pointer to `element`."""
    data = context.make_array(array_type)(context, builder, array).data
    base = builder.bitcast(data, cgutils.voidptr_t)
    return builder.bitcast(builder.gep(base, [offset]), element.as_pointer())


def is_contiguous(*arrays: Any) -> bool:
    return all(isinstance(a, types.Array) and a.layout == "C" for a in arrays)


@typed_intrinsic
def load64(typing_context: Any, array: Any, offset: Any) -> Any:
    """`load64(array, offset)`: the 8 bytes at byte `offset`, aligned or not, as one word. Nothing checks the bounds."""
    if not is_contiguous(array) or not isinstance(offset, types.Integer):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, signature.args[0], arguments[0], arguments[1], ir.IntType(64))
        return builder.load(place, align=1)

    return types.uint64(array, types.intp), emit


@typed_intrinsic
def store64(typing_context: Any, array: Any, offset: Any, word: Any) -> Any:
    """`store64(array, offset, word)`: write 8 bytes at byte `offset`, aligned or not. Nothing checks the bounds."""
    if not is_contiguous(array) or not isinstance(offset, types.Integer):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, signature.args[0], arguments[0], arguments[1], ir.IntType(64))
        builder.store(arguments[2], place, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), emit


@typed_intrinsic
def add16(typing_context: Any, out: Any, at_out: Any, a: Any, at_a: Any, b: Any, at_b: Any) -> Any:
    """`add16(out, at_out, a, at_a, b, at_b)`: the XOR of 16 bytes from each byte offset. Nothing checks the bounds."""
    if not is_contiguous(out, a, b):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out_place, *places = (
            address(
                context, builder, signature.args[i], arguments[i], arguments[i + 1], ir.VectorType(ir.IntType(64), 2)
            )
            for i in (0, 2, 4)
        )
        left, right = (builder.load(place, align=1) for place in places)
        builder.store(builder.xor(left, right), out_place, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, a, types.intp, b, types.intp), emit


@typed_intrinsic
def copy16(typing_context: Any, out: Any, at_out: Any, a: Any, at_a: Any) -> Any:
    """`copy16(out, at_out, a, at_a)`: copy 16 bytes. Nothing checks the bounds."""
    if not is_contiguous(out, a):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, source = (
            address(
                context, builder, signature.args[i], arguments[i], arguments[i + 1], ir.VectorType(ir.IntType(64), 2)
            )
            for i in (0, 2)
        )
        builder.store(builder.load(source, align=1), to, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, a, types.intp), emit


@typed_intrinsic
def swap64(typing_context: Any, word: Any) -> Any:
    """`swap64(word)`: the same 8 bytes in the other order."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), emit


@typed_intrinsic
def multiply_high(typing_context: Any, a: Any, b: Any) -> Any:
    """`multiply_high(a, b)`: the upper 64 bits of the product of two words."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        return builder.trunc(builder.lshr(product, wide(64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), emit


@typed_intrinsic
def fetch(typing_context: Any, array: Any, index: Any) -> Any:
    """`fetch(array, index)`: bring an element into the cache, for reading or writing. Changes no value.

    Asked for some rows ahead, a random place costs less: stores wait for theirs in order, one after another. An index
    past the end does no harm.
    """
    if not is_contiguous(array) or not isinstance(index, types.Integer):
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
