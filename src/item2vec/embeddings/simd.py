"""Rows as SIMD vectors: the arithmetic of one window, written straight in LLVM's vector types.

LLVM does not vectorise plain numba loops over embedding rows (it cannot prove that two rows do not overlap),
so each function here spells out its loads, fused multiply-adds and stores for a row of `stride` floats. They
live at module level and take `stride` as an integer literal: so numba's on-disk cache hits in a new process.
A row is walked in vectors of 16 floats (AVX-512) or 8 (everything else); `stride` is a multiple of 16.

Names: a step has *inputs* (context items, rows v of the input table) and *targets* (a centre and its noise,
rows v' of the output table). Inputs are taken two at a time, targets in blocks of `TARGETS`: each row that is
loaded serves two or six products.
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
    pair_sums,
    pointer_to,
    row_width,
    shuffle,
    sigmoids,
    splat,
    split_power,
)

ROW_ALIGNMENT = 16  # floats: one cache line
TARGETS = 6  # per block: the centre and the usual five draws of noise in one go; their sums fit 16 registers


class Tables(NamedTuple):
    """The two embedding tables, flat float32, rows of `stride` floats, one per item."""

    inputs: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]


class Scratch(NamedTuple):
    """One thread's memory for a step: up to `room` inputs, an even number, and whole blocks of targets.

    The lanes of a block are its `TARGETS` targets and two that stay empty.
    """

    inputs: npt.NDArray[np.int64]  # offset of every input row, (room,)
    targets: npt.NDArray[np.int64]  # offset of every target row, (blocks * TARGETS,)
    signs: npt.NDArray[np.float32]  # +1 positive, −1 noise, 0 absent, (3, blocks * LANES): see `windows`
    sign_rows: npt.NDArray[np.int64]  # where the signs of every input start, (room,)
    gradients: npt.NDArray[np.float32]  # (room / 2, blocks, 2, LANES): two inputs, a block of targets
    deltas: npt.NDArray[np.float32]  # change of every input row, (room, stride)
    likelihoods: npt.NDArray[np.float64]  # product of σ per target lane, in [1, 2), (blocks * LANES,)
    powers: npt.NDArray[np.int64]  # of two, the other factor of that product, (blocks * LANES,)


def _members(ctx: Any, b: Any, sig: Any, args: Any) -> tuple[dict[str, Member], dict[str, Member]]:
    """The tables and the scratch arrays of an intrinsic called as (stride, tables, scratch, ...)."""
    tables = {name: Member(ctx, b, sig.args[1], args[1], name) for name in Tables._fields}
    return tables, {name: Member(ctx, b, sig.args[2], args[2], name) for name in Scratch._fields}


def _pair_at(b: Any, work: dict[str, Member], name: str, pair: Any) -> tuple[Any, Any]:
    """What `inputs` or `sign_rows` say about the two inputs of a pair."""
    first = b.mul(pair, INT64(2))
    return work[name].load(first, INT64, 8), work[name].load(b.add(first, INT64(1)), INT64, 8)


def _block_offsets(b: Any, work: dict[str, Member], block: Any) -> list[Any]:
    first = b.mul(block, INT64(TARGETS))
    return [work["targets"].load(b.add(first, INT64(t)), INT64, 8) for t in range(TARGETS)]


def _pair_scores(b: Any, tables: dict[str, Member], pair: tuple[Any, Any], places: list[Any], d: int) -> Any:
    """v'·v of two input rows and a block of target rows: lanes 0 to 7 and 8 to 15."""
    width = row_width()
    row = ir.VectorType(FLOAT, width)
    sums = [[constant(0, width)] * TARGETS for _ in pair]
    for c in range(0, d, width):
        column = INT64(c)
        xs = [tables["inputs"].load(b.add(x, column), row) for x in pair]
        for t, place in enumerate(places):
            target = tables["outputs"].load(b.add(place, column), row)
            for k, x in enumerate(xs):
                sums[k][t] = multiply_add(b, x, target, sums[k][t])
    return pair_sums(b, *sums)


def _pair_gradients(b: Any, work: dict[str, Member], pair: Any, block: Any, scores: Any, rate: Any) -> Any:
    """Turn the scores of two inputs and a block of targets into gradients; count the losses."""
    lane, both = b.mul(block, INT64(LANES)), list(range(2 * LANES))
    rows = _pair_at(b, work, "sign_rows", pair)
    first, second = (work["signs"].load(b.add(row, lane), SCORES) for row in rows)
    signs = shuffle(b, first, second, both)
    sigmoid, likelihood = sigmoids(b, b.fmul(scores, signs))
    absent = b.fcmp_ordered("==", signs, constant(0, 2 * LANES))
    _count_likelihood(b, work, lane, b.select(absent, constant(1, 2 * LANES), likelihood))
    return b.fmul(b.fmul(sigmoid, signs), splat(b, rate, 2 * LANES))


def _count_likelihood(b: Any, work: dict[str, Member], lane: Any, likelihood: Any) -> None:
    """Multiply how likely all was into the block's product: one logarithm in the end serves many steps."""
    doubles = ir.VectorType(DOUBLE, LANES)
    product = work["likelihoods"].load(lane, doubles, 8)
    for half in (range(LANES), range(LANES, 2 * LANES)):
        product = b.fmul(product, b.fpext(shuffle(b, likelihood, likelihood, list(half)), doubles))
    mantissa, power = split_power(b, product)
    work["likelihoods"].store(mantissa, lane, 8)
    work["powers"].store(b.add(work["powers"].load(lane, power.type, 8), power), lane, 8)


@intrinsic(prefer_literal=True)
def score_pair(typing, stride, tables, scratch, pair, block, at, rate):  # type: ignore[no-untyped-def]
    """Score two inputs against one block of targets: leave gradients from `at` on, add up the losses."""
    d = stride.literal_value

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        _, _, _, pair, block, at, rate = args
        table, work = _members(ctx, b, sig, args)
        places = _block_offsets(b, work, block)
        scores = _pair_scores(b, table, _pair_at(b, work, "inputs", pair), places, d)
        work["gradients"].store(_pair_gradients(b, work, pair, block, scores, rate), at)
        return ctx.get_dummy_value()

    int64 = types.int64
    return types.void(stride, tables, scratch, int64, int64, int64, types.float32), codegen


def _move_tile(b: Any, tables: dict[str, Member], pair: Any, places: Any, gradients: Any, row: Any) -> None:
    """Move a pair of inputs and a block of targets, one register's columns of each.

    Each row is read again before it is written: two of them may be the same row of a table.
    """
    xs = [tables["inputs"].load(x, row) for x in pair]
    changes = [ir.Constant(row, None) for _ in pair]
    for place, two in zip(places, gradients, strict=True):
        target = tables["outputs"].load(place, row)
        changes = [multiply_add(b, g, target, change) for g, change in zip(two, changes, strict=True)]
    for place, two in zip(places, gradients, strict=True):
        target = tables["outputs"].load(place, row)
        for g, x in zip(two, xs, strict=True):
            target = multiply_add(b, g, x, target)
        tables["outputs"].store(target, place)
    for x, change in zip(pair, changes, strict=True):
        tables["inputs"].store(b.fadd(tables["inputs"].load(x, row), change), x)


@intrinsic(prefer_literal=True)
def step_tile(typing, stride, tables, scratch, rate):  # type: ignore[no-untyped-def]
    """Do what `score_pair` and `apply_steps` do, for one pair and one block: gradients stay in registers."""
    d, width = stride.literal_value, row_width()
    row = ir.VectorType(FLOAT, width)

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        table, work = _members(ctx, b, sig, args)
        first = INT64(0)
        pair, places = _pair_at(b, work, "inputs", first), _block_offsets(b, work, first)
        scores = _pair_scores(b, table, pair, places, d)
        steps = _pair_gradients(b, work, first, first, scores, args[3])
        lanes = [[k * LANES + t for k in range(2)] for t in range(TARGETS)]
        gradients = [[shuffle(b, steps, steps, [lane] * width) for lane in two] for two in lanes]
        for c in range(0, d, width):
            xs, ys = ([b.add(offset, INT64(c)) for offset in offsets] for offsets in (pair, places))
            _move_tile(b, table, xs, ys, gradients, row)
        return ctx.get_dummy_value()

    return types.void(stride, tables, scratch, types.float32), codegen


class _Step:
    """The stretch of columns that `apply_steps` works on; every one is a step of its own."""

    def __init__(self, b: Any, tables: dict[str, Member], work: dict[str, Member], sizes: Any) -> None:
        self.b, self.tables, self.work = b, tables, work
        self.stride, self.pairs, self.blocks = sizes

    def gradient(self, pair: Any, block: Any, k: int, t: int, n: int) -> Any:
        """Of input `k` of a pair and target `t` of a block, in n lanes."""
        b = self.b
        at = b.mul(b.add(b.mul(pair, self.blocks), block), INT64(2 * LANES))
        return splat(b, self.work["gradients"].load(b.add(at, INT64(k * LANES + t)), FLOAT), n)

    def find_deltas(self, column: int, row: Any) -> None:
        """Sum up for every input row what the targets pull it to."""
        b = self.b
        with cgutils.for_range(b, self.pairs) as pairs:
            changes = [cgutils.alloca_once_value(b, ir.Constant(row, None)) for _ in range(2)]
            for change in changes:
                b.store(ir.Constant(row, None), change)
            with cgutils.for_range(b, self.blocks) as blocks:
                for t, place in enumerate(_block_offsets(b, self.work, blocks.index)):
                    target = self.tables["outputs"].load(b.add(place, INT64(column)), row)
                    for k, change in enumerate(changes):
                        g = self.gradient(pairs.index, blocks.index, k, t, row.count)
                        b.store(multiply_add(b, g, target, b.load(change)), change)
            for k, change in enumerate(changes):
                v = b.add(b.mul(pairs.index, INT64(2)), INT64(k))
                at = b.add(b.mul(v, INT64(self.stride)), INT64(column))
                self.work["deltas"].store(b.load(change), at)

    def move_targets(self, column: int, row: Any) -> None:
        """Move every target row along the inputs, which are still where they were."""
        b = self.b
        with cgutils.for_range(b, self.pairs) as pairs:
            places = _pair_at(b, self.work, "inputs", pairs.index)
            xs = [self.tables["inputs"].load(b.add(x, INT64(column)), row) for x in places]
            with cgutils.for_range(b, self.blocks) as blocks:
                for t, place in enumerate(_block_offsets(b, self.work, blocks.index)):
                    at = b.add(place, INT64(column))
                    target = self.tables["outputs"].load(at, row)
                    for k, x in enumerate(xs):
                        g = self.gradient(pairs.index, blocks.index, k, t, row.count)
                        target = multiply_add(b, g, x, target)
                    self.tables["outputs"].store(target, at)

    def move_inputs(self, column: int, row: Any) -> None:
        b = self.b
        with cgutils.for_range(b, self.pairs) as pairs:
            for k, x in enumerate(_pair_at(b, self.work, "inputs", pairs.index)):
                v = b.add(b.mul(pairs.index, INT64(2)), INT64(k))
                at = b.add(b.mul(v, INT64(self.stride)), INT64(column))
                place = b.add(x, INT64(column))
                moved = b.fadd(self.tables["inputs"].load(place, row), self.work["deltas"].load(at, row))
                self.tables["inputs"].store(moved, place)


@intrinsic(prefer_literal=True)
def apply_steps(typing, stride, tables, scratch, n_pairs, n_blocks):  # type: ignore[no-untyped-def]
    """Add the gradients of all pairs of inputs and all blocks of targets to their rows in the tables.

    Rows may be the same: each is read as it was until every change that needs it is known.
    """
    d, width = stride.literal_value, row_width()
    columns = 4 * width if width > LANES else 2 * width

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        step = _Step(b, *_members(ctx, b, sig, args), (d, *args[3:]))
        column = 0
        while column < d:
            row = ir.VectorType(FLOAT, min(columns, 1 << ((d - column).bit_length() - 1)))
            step.find_deltas(column, row)
            step.move_targets(column, row)
            step.move_inputs(column, row)
            column += row.count
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
        total, absent = constant(0, width), constant(0, width)
        for c in range(0, d, width):
            c = INT64(c)
            xs = b.load(pointer_to(ctx, b, sig.args[1], x, b.add(i, c), row), align=4)
            ys = b.load(pointer_to(ctx, b, sig.args[3], y, b.add(j, c), row), align=4)
            total = multiply_add(b, xs, ys, total)
        return b.extract_element(pair_sums(b, [total], [absent]), INT32(0))

    return types.float32(stride, x, types.int64, y, types.int64), codegen
