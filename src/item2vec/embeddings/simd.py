"""Rows as SIMD vectors: the arithmetic of one window, written straight in LLVM's vector types.

LLVM does not vectorise plain numba loops over embedding rows (it cannot prove that two rows do not overlap),
so each function here spells out its loads, fused multiply-adds and stores for a row of `stride` floats. They
live at module level and take `stride` as an integer literal: so numba's on-disk cache hits in a new process.
A row is walked in vectors of 16 floats (AVX-512) or 8 (everything else); `stride` is a multiple of 16.

Names: a window has *inputs* (its context items, rows v of the input table) and *targets* (its centre and its
noise, rows v' of the output table). Targets are taken `TARGETS` at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROW_ALIGNMENT = 16  # floats: one cache line
TARGETS = (
    6  # per block: the centre and the usual five draws of noise in one go; 6 sums + operands fit 16 registers
)
LANES = 8  # scores of one block, padded

FLOAT, DOUBLE, INT32 = ir.FloatType(), ir.DoubleType(), ir.IntType(32)
SCORES = ir.VectorType(FLOAT, LANES)
LN2 = 0.6931471805599453


class Tables(NamedTuple):
    """The two embedding tables, flat float32, one row of `stride` floats per item and one spare row."""

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


def _row_width() -> int:
    """Floats per vector register of the machine we compile for (numba's cache is keyed by that machine)."""
    from numba.core import config

    features = config.CPU_FEATURES
    if features is None:
        features = "" if config.CPU_NAME else binding.get_host_cpu_features().flatten()
    return 16 if "+avx512f" in features else 8


def _pointer(ctx: Any, b: Any, array_type: Any, array: Any, offset: Any, pointee: ir.Type) -> Any:
    data = ctx.make_array(array_type)(ctx, b, array).data
    return b.bitcast(b.gep(data, [offset]), pointee.as_pointer())


class _Member:
    """A member of a named tuple argument, seen from generated code."""

    def __init__(self, ctx: Any, b: Any, tuple_type: Any, value: Any, name: str) -> None:
        position = tuple_type.fields.index(name)
        self.ctx, self.b = ctx, b
        self.type, self.array = tuple_type.types[position], b.extract_value(value, position)

    def at(self, offset: Any, pointee: ir.Type) -> Any:
        return _pointer(self.ctx, self.b, self.type, self.array, offset, pointee)

    def load(self, offset: Any, kind: ir.Type, align: int = 4) -> Any:
        return self.b.load(self.at(offset, kind), align=align)

    def store(self, value: Any, offset: Any, align: int = 4) -> None:
        self.b.store(value, self.at(offset, value.type), align=align)


def _shuffle(b: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, len(lanes)), lanes))


def _splat(b: Any, x: Any, n: int) -> Any:
    kind = ir.VectorType(x.type, n)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(INT32, 0))
    return _shuffle(b, one, ir.Constant(kind, ir.Undefined), [0] * n)


def _constant(x: float, n: int = LANES) -> Any:
    return ir.Constant(ir.VectorType(FLOAT, n), [float(np.float32(x))] * n)


def _multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    """x·y + z, which LLVM contracts to one fused instruction."""
    return b.fadd(b.fmul(x, y, flags=["contract"]), z, flags=["contract", "reassoc", "nsz"])


def _row_sums(b: Any, rows: list[Any]) -> Any:
    """Reduce up to eight vectors to their eight sums at once: far fewer shuffles than eight reductions."""
    width = rows[0].type.count
    rows = rows + [ir.Constant(rows[0].type, None)] * (LANES - len(rows))
    while width > LANES:
        width //= 2
        rows = [
            b.fadd(_shuffle(b, r, r, list(range(width))), _shuffle(b, r, r, list(range(width, 2 * width))))
            for r in rows
        ]
    steps = (
        ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]),
        ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]),
        ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
    )
    for low, high in steps:
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [b.fadd(_shuffle(b, x, y, low), _shuffle(b, x, y, high)) for x, y in pairs]
    return rows[0]


def _polynomial(b: Any, function: Callable[[Any], Any], degree: int, low: float, high: float, x: Any) -> Any:
    """Evaluate the Chebyshev interpolant of `function` on [low, high]; 1e-7 is enough for float32."""
    fit = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    coefficients = fit.convert(kind=np.polynomial.Polynomial).coef
    value = _constant(coefficients[-1])
    for c in coefficients[-2::-1]:
        value = _multiply_add(b, value, x, _constant(c))
    return value


def _sigmoid_and_loss(b: Any, score: Any) -> tuple[Any, Any]:
    """Return σ(−score) and −log σ(score), lane by lane and saturating, never overflowing."""
    zero, one = _constant(0), _constant(1)
    positive = b.fcmp_ordered(">", score, zero)
    negated = b.fsub(zero, score)
    y = b.fmul(b.select(positive, negated, score), _constant(1 / LN2))
    y = b.select(b.fcmp_ordered(">", y, _constant(-120)), y, _constant(-120))
    whole = b.fptosi(b.fsub(y, _constant(0.5)), ir.VectorType(INT32, LANES))
    part = b.fsub(y, b.sitofp(whole, SCORES))
    bias, shift = (ir.Constant(whole.type, [k] * LANES) for k in (127, 23))
    scale = b.bitcast(b.shl(b.add(whole, bias), shift), SCORES)
    e = b.fmul(_polynomial(b, np.exp2, 6, -0.5, 0.5, part), scale)  # exp(−|score|)
    reciprocal = b.fdiv(one, b.fadd(one, e))
    sigmoid = b.select(positive, b.fmul(e, reciprocal), reciprocal)
    log1p = b.fmul(e, _polynomial(b, lambda t: np.log1p(t) / t, 8, 0.0, 1.0, e))
    return sigmoid, b.fadd(b.select(positive, zero, negated), log1p)


@intrinsic(prefer_literal=True)
def step_input(  # type: ignore[no-untyped-def]
    typing, stride, tables, scratch, x, v, block, signs_at, rate
):
    """Score input `v` (row `x`) against one block of targets; leave gradients, losses and its change."""
    d, width = stride.literal_value, _row_width()
    row = ir.VectorType(FLOAT, width)

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, tables_, scratch_, x, v, block, signs_at, rate = args
        table = {n: _Member(ctx, b, sig.args[1], tables_, n) for n in Tables._fields}
        work = {n: _Member(ctx, b, sig.args[2], scratch_, n) for n in Scratch._fields}
        count = ctx.get_constant(types.int64, TARGETS)
        first = b.mul(block, count)
        places = [
            work["targets"].load(b.add(first, ctx.get_constant(types.int64, t)), ir.IntType(64), 8)
            for t in range(TARGETS)
        ]
        offsets = [ctx.get_constant(types.int64, c) for c in range(0, d, width)]
        sums = [_constant(0, width)] * TARGETS
        for c in offsets:
            xs = table["inputs"].load(b.add(x, c), row)
            for t, place in enumerate(places):
                ys = table["outputs"].load(b.add(place, c), row)
                sums[t] = _multiply_add(b, xs, ys, sums[t])
        signs = work["signs"].load(b.add(signs_at, first), SCORES)
        signs = _shuffle(b, signs, _constant(0), [t if t < TARGETS else LANES for t in range(LANES)])
        sigmoid, loss = _sigmoid_and_loss(b, b.fmul(_row_sums(b, sums), signs))
        gradient = b.fmul(b.fmul(sigmoid, signs), _splat(b, rate, LANES))
        work["gradients"].store(gradient, b.add(b.mul(v, _width(b, ctx, work)), first))
        total = work["losses"].load(first, ir.VectorType(DOUBLE, LANES), 8)
        loss = b.fpext(b.fmul(loss, b.fmul(signs, signs)), total.type)
        work["losses"].store(b.fadd(total, loss), first, 8)
        splats = [
            _splat(b, b.extract_element(gradient, ir.Constant(INT32, t)), width) for t in range(TARGETS)
        ]
        for c in offsets:
            at = b.add(b.mul(v, ctx.get_constant(types.int64, d)), c)
            change = work["deltas"].load(at, row)
            for splat, place in zip(splats, places, strict=True):
                change = _multiply_add(b, splat, table["outputs"].load(b.add(place, c), row), change)
            work["deltas"].store(change, at)
        return ctx.get_dummy_value()

    int64 = types.int64
    return types.void(stride, tables, scratch, int64, int64, int64, int64, types.float32), codegen


def _width(b: Any, ctx: Any, work: dict[str, _Member]) -> Any:
    """Length of one row of the gradients: the number of targets, rounded up to whole blocks."""
    targets = work["targets"]
    return b.extract_value(ctx.make_array(targets.type)(ctx, b, targets.array).shape, 0)


@intrinsic(prefer_literal=True)
def step_targets(typing, stride, tables, scratch, n_inputs, block):  # type: ignore[no-untyped-def]
    """Add to each target row of a block the gradients of all inputs, summed in registers."""
    d, width = stride.literal_value, _row_width()

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, tables_, scratch_, n_inputs, block = args
        table = {n: _Member(ctx, b, sig.args[1], tables_, n) for n in Tables._fields}
        work = {n: _Member(ctx, b, sig.args[2], scratch_, n) for n in Scratch._fields}
        first = b.mul(block, ctx.get_constant(types.int64, TARGETS))
        n_columns = _width(b, ctx, work)
        step = min(2 * width, d)
        for start in range(0, d, step):
            row = ir.VectorType(FLOAT, min(step, d - start))
            sums = [cgutils.alloca_once_value(b, ir.Constant(row, None)) for _ in range(TARGETS)]
            column = ctx.get_constant(types.int64, start)
            with cgutils.for_range(b, n_inputs) as loop:
                x = work["inputs"].load(loop.index, ir.IntType(64), 8)
                xs = table["inputs"].load(b.add(x, column), row)
                at = b.add(b.mul(loop.index, n_columns), first)
                for t in range(TARGETS):
                    g = work["gradients"].load(b.add(at, ctx.get_constant(types.int64, t)), FLOAT)
                    b.store(_multiply_add(b, _splat(b, g, row.count), xs, b.load(sums[t])), sums[t])
            for t in range(TARGETS):
                place = work["targets"].load(
                    b.add(first, ctx.get_constant(types.int64, t)), ir.IntType(64), 8
                )
                place = b.add(place, column)
                table["outputs"].store(b.fadd(table["outputs"].load(place, row), b.load(sums[t])), place)
        return ctx.get_dummy_value()

    return types.void(stride, tables, scratch, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def add_scaled_row(typing, stride, scale, x, i, y, j):  # type: ignore[no-untyped-def]
    """``y[j:j+stride] += scale * x[i:i+stride]``."""
    d, width = stride.literal_value, _row_width()
    row = ir.VectorType(FLOAT, width)

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, scale, x, i, y, j = args
        splat = _splat(b, scale, width)
        for c in range(0, d, width):
            c = ctx.get_constant(types.int64, c)
            px = _pointer(ctx, b, sig.args[2], x, b.add(i, c), row)
            py = _pointer(ctx, b, sig.args[4], y, b.add(j, c), row)
            b.store(_multiply_add(b, splat, b.load(px, align=4), b.load(py, align=4)), py, align=4)
        return ctx.get_dummy_value()

    return types.void(stride, types.float32, x, types.int64, y, types.int64), codegen


@intrinsic(prefer_literal=True)
def row_dot(typing, stride, x, i, y, j):  # type: ignore[no-untyped-def]
    """Return the dot product of two rows."""
    d, width = stride.literal_value, _row_width()
    row = ir.VectorType(FLOAT, width)

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, x, i, y, j = args
        total = _constant(0, width)
        for c in range(0, d, width):
            c = ctx.get_constant(types.int64, c)
            xs = b.load(_pointer(ctx, b, sig.args[1], x, b.add(i, c), row), align=4)
            ys = b.load(_pointer(ctx, b, sig.args[3], y, b.add(j, c), row), align=4)
            total = _multiply_add(b, xs, ys, total)
        return b.extract_element(_row_sums(b, [total]), ir.Constant(INT32, 0))

    return types.float32(stride, x, types.int64, y, types.int64), codegen


def _prefetch(ctx: Any, b: Any, array_type: Any, array: Any, offset: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    pointer = _pointer(ctx, b, array_type, array, offset, ir.IntType(8))
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
            _prefetch(ctx, b, sig.args[1], args[1], b.add(args[2], ctx.get_constant(types.int64, c)))
        return ctx.get_dummy_value()

    return types.void(stride, table, types.int64), codegen
