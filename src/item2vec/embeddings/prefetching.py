"""Ask for memory that is needed soon."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from item2vec.embeddings.simd import ROW_ALIGNMENT
from item2vec.embeddings.vector_ir import INT32, INT64, pointer_to


def _prefetch(ctx: Any, b: Any, array_type: Any, array: Any, offset: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    pointer = pointer_to(ctx, b, array_type, array, offset, ir.IntType(8))
    b.call(function, [pointer, *(ir.Constant(INT32, k) for k in (0, 3, 1))])


@intrinsic
def prefetch(typing, array, i):  # type: ignore[no-untyped-def]
    """Ask for the cache line of array[i], which will be needed soon."""

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _prefetch(ctx, b, sig.args[0], *args)
        return ctx.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic(prefer_literal=True)
def prefetch_row(typing, stride, table, i):  # type: ignore[no-untyped-def]
    """Ask for the cache lines of a row."""
    d = stride.literal_value

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        for c in range(0, d, ROW_ALIGNMENT):
            _prefetch(ctx, b, sig.args[1], args[1], b.add(args[2], INT64(c)))
        return ctx.get_dummy_value()

    return types.void(stride, table, types.int64), codegen
