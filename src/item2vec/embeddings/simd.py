"""Rows as SIMD vectors: the arithmetic of one window, written straight in LLVM's vector types.

LLVM does not vectorise plain numba loops over embedding rows (it cannot prove that two rows do not overlap),
so each function here spells out its loads, fused multiply-adds and stores for a row of `stride` floats. They
live at module level and take `stride` as an integer literal: so numba's on-disk cache hits in a new process.
A row is walked in vectors of 16 floats (AVX-512) or 8 (everything else); `stride` is a multiple of 16.

Names: a window has *inputs* (its context items, rows v of the input table) and *targets* (its centre and its
noise, rows v' of the output table). Targets are taken `TARGETS` at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from item2vec.embeddings.vector_ir import (
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    LANES,
    SCORES,
    Member,
    constant,
    multiply_add,
    pointer_to,
    row_sums,
    row_width,
    shuffle,
    sigmoid_and_loss,
    splat,
)

ROW_ALIGNMENT = 16  # floats: one cache line
TARGETS = 6  # per block: the centre and the usual five draws of noise in one go; their sums fit 16 registers


class Tables(NamedTuple):
    """The two embedding tables, flat float32, rows of `stride` floats: one per item, then the spare ones."""

    inputs: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]


class Scratch(NamedTuple):
    """One thread's memory for a window; `width` is the number of targets rounded up to whole blocks."""

    inputs: npt.NDArray[np.int64]  # offset of every input row, (max contexts,)
    targets: npt.NDArray[np.int64]  # offset of every target row, (width,)
    signs: npt.NDArray[np.float32]  # +1 positive, −1 noise, 0 absent; twice: with and without market noise
    gradients: npt.NDArray[np.float32]  # of every (input, target), (max contexts * width + LANES,)
    deltas: npt.NDArray[np.float32]  # change of every input row, (max contexts + 1, stride)
    losses: npt.NDArray[np.float64]  # −log σ summed per target position, (width + LANES,)
    spare: int  # offset of the thread's own row of zeros: a target that is not there


def _members(ctx: Any, b: Any, sig: Any, args: Any) -> tuple[dict[str, Member], dict[str, Member]]:
    """The tables and the scratch arrays of an intrinsic called as (stride, tables, scratch, ...)."""
    tables = {name: Member(ctx, b, sig.args[1], args[1], name) for name in Tables._fields}
    return tables, {name: Member(ctx, b, sig.args[2], args[2], name) for name in Scratch._fields}


def _block_offsets(b: Any, work: dict[str, Member], first: Any) -> list[Any]:
    return [work["targets"].load(b.add(first, INT64(t)), INT64, 8) for t in range(TARGETS)]


def _width(ctx: Any, b: Any, work: dict[str, Member]) -> Any:
    """Length of one row of the gradients: the number of targets, rounded up to whole blocks."""
    targets = work["targets"]
    return b.extract_value(ctx.make_array(targets.type)(ctx, b, targets.array).shape, 0)


def _scores(b: Any, tables: dict[str, Member], x: Any, places: list[Any], d: int) -> Any:
    """v'·v of one input row and a block of target rows, lane by lane."""
    width = row_width()
    sums = [constant(0, width)] * TARGETS
    for c in range(0, d, width):
        xs = tables["inputs"].load(b.add(x, INT64(c)), ir.VectorType(FLOAT, width))
        for t, place in enumerate(places):
            sums[t] = multiply_add(b, xs, tables["outputs"].load(b.add(place, INT64(c)), xs.type), sums[t])
    return row_sums(b, sums)


def _add_losses(b: Any, work: dict[str, Member], first: Any, losses: Any) -> None:
    total = work["losses"].load(first, ir.VectorType(DOUBLE, LANES), 8)
    work["losses"].store(b.fadd(total, b.fpext(losses, total.type)), first, 8)


@intrinsic(prefer_literal=True)
def step_input(typing, stride, tables, scratch, v, block, signs_at, rate):  # type: ignore[no-untyped-def]
    """Score input `v` against one block of targets; leave gradients, losses and the input row's change."""
    d, width = stride.literal_value, row_width()

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, _, _, v, block, signs_at, rate = args
        table, work = _members(ctx, b, sig, args)
        first = b.mul(block, INT64(TARGETS))
        places = _block_offsets(b, work, first)
        signs = work["signs"].load(b.add(signs_at, first), SCORES)
        signs = shuffle(b, signs, constant(0), [t if t < TARGETS else LANES for t in range(LANES)])
        scores = _scores(b, table, work["inputs"].load(v, INT64, 8), places, d)
        sigmoid, loss = sigmoid_and_loss(b, b.fmul(scores, signs))
        _add_losses(b, work, first, b.fmul(loss, b.fmul(signs, signs)))
        gradient = b.fmul(b.fmul(sigmoid, signs), splat(b, rate, LANES))
        work["gradients"].store(gradient, b.add(b.mul(v, _width(ctx, b, work)), first))
        splats = [splat(b, b.extract_element(gradient, INT32(t)), width) for t in range(TARGETS)]
        for c in range(0, d, width):
            at = b.add(b.mul(v, INT64(d)), INT64(c))
            change = work["deltas"].load(at, ir.VectorType(FLOAT, width))
            for g, place in zip(splats, places, strict=True):
                row = table["outputs"].load(b.add(place, INT64(c)), change.type)
                change = multiply_add(b, g, row, change)
            work["deltas"].store(change, at)
        return ctx.get_dummy_value()

    int64 = types.int64
    return types.void(stride, tables, scratch, int64, int64, int64, types.float32), codegen


@intrinsic(prefer_literal=True)
def step_targets(typing, stride, tables, scratch, n_inputs, block):  # type: ignore[no-untyped-def]
    """Add to each target row of a block the gradients of all inputs, summed in registers."""
    d, width = stride.literal_value, row_width()

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, _, _, n_inputs, block = args
        table, work = _members(ctx, b, sig, args)
        first = b.mul(block, INT64(TARGETS))
        places, n_columns = _block_offsets(b, work, first), _width(ctx, b, work)
        step = min(2 * width, d)
        for start in range(0, d, step):
            row = ir.VectorType(FLOAT, min(step, d - start))
            sums = [cgutils.alloca_once_value(b, ir.Constant(row, None)) for _ in range(TARGETS)]
            column = INT64(start)
            with cgutils.for_range(b, n_inputs) as loop:
                x = work["inputs"].load(loop.index, INT64, 8)
                xs = table["inputs"].load(b.add(x, column), row)
                at = b.add(b.mul(loop.index, n_columns), first)
                for t in range(TARGETS):
                    g = work["gradients"].load(b.add(at, INT64(t)), FLOAT)
                    b.store(multiply_add(b, splat(b, g, row.count), xs, b.load(sums[t])), sums[t])
            for place, total in zip(places, sums, strict=True):
                at = b.add(place, column)
                table["outputs"].store(b.fadd(table["outputs"].load(at, row), b.load(total)), at)
        return ctx.get_dummy_value()

    return types.void(stride, tables, scratch, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def add_scaled_row(typing, stride, scale, x, i, y, j):  # type: ignore[no-untyped-def]
    """``y[j:j+stride] += scale * x[i:i+stride]``."""
    d, width = stride.literal_value, row_width()
    row = ir.VectorType(FLOAT, width)

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, scale, x, i, y, j = args
        factor = splat(b, scale, width)
        for c in range(0, d, width):
            c = INT64(c)
            px = pointer_to(ctx, b, sig.args[2], x, b.add(i, c), row)
            py = pointer_to(ctx, b, sig.args[4], y, b.add(j, c), row)
            b.store(multiply_add(b, factor, b.load(px, align=4), b.load(py, align=4)), py, align=4)
        return ctx.get_dummy_value()

    return types.void(stride, types.float32, x, types.int64, y, types.int64), codegen


@intrinsic(prefer_literal=True)
def row_dot(typing, stride, x, i, y, j):  # type: ignore[no-untyped-def]
    """Return the dot product of two rows."""
    d, width = stride.literal_value, row_width()
    row = ir.VectorType(FLOAT, width)

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, x, i, y, j = args
        total = constant(0, width)
        for c in range(0, d, width):
            c = INT64(c)
            xs = b.load(pointer_to(ctx, b, sig.args[1], x, b.add(i, c), row), align=4)
            ys = b.load(pointer_to(ctx, b, sig.args[3], y, b.add(j, c), row), align=4)
            total = multiply_add(b, xs, ys, total)
        return b.extract_element(row_sums(b, [total]), ir.Constant(INT32, 0))

    return types.float32(stride, x, types.int64, y, types.int64), codegen


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
