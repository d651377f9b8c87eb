"""Vectors in LLVM's intermediate language: loads, sums of rows and σ, lane by lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir

LANES = 8  # scores that are worked on at once
FLOAT, DOUBLE, INT32, INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
SCORES = ir.VectorType(FLOAT, LANES)
LN2 = 0.6931471805599453


def row_width() -> int:
    """Floats per vector register of the machine we compile for (numba's cache is keyed by that machine)."""
    from numba.core import config

    features = config.CPU_FEATURES
    if features is None:
        features = "" if config.CPU_NAME else binding.get_host_cpu_features().flatten()
    return 16 if "+avx512f" in features else 8


def pointer_to(ctx: Any, b: Any, array_type: Any, array: Any, offset: Any, pointee: ir.Type) -> Any:
    """Address of array[offset], as a pointer to `pointee`."""
    data = ctx.make_array(array_type)(ctx, b, array).data
    return b.bitcast(b.gep(data, [offset]), pointee.as_pointer())


class Member:
    """A member of a named tuple argument, seen from generated code."""

    def __init__(self, ctx: Any, b: Any, tuple_type: Any, value: Any, name: str) -> None:
        position = tuple_type.fields.index(name)
        self.ctx, self.b = ctx, b
        self.type, self.array = tuple_type.types[position], b.extract_value(value, position)

    def at(self, offset: Any, pointee: ir.Type) -> Any:
        """Address of element `offset`."""
        return pointer_to(self.ctx, self.b, self.type, self.array, offset, pointee)

    def load(self, offset: Any, kind: ir.Type, align: int = 4) -> Any:
        """Read a `kind` that starts at element `offset`."""
        return self.b.load(self.at(offset, kind), align=align)

    def store(self, value: Any, offset: Any, align: int = 4) -> None:
        """Write a value from element `offset` on."""
        self.b.store(value, self.at(offset, value.type), align=align)


def shuffle(b: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    """Pick lanes of x and, counted on from there, of y."""
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, len(lanes)), lanes))


def splat(b: Any, x: Any, n: int) -> Any:
    """Put a scalar into n lanes."""
    kind = ir.VectorType(x.type, n)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(INT32, 0))
    return shuffle(b, one, ir.Constant(kind, ir.Undefined), [0] * n)


def constant(x: float, n: int = LANES) -> Any:
    """Put a number into n lanes."""
    return ir.Constant(ir.VectorType(FLOAT, n), [float(np.float32(x))] * n)


def multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    """x·y + z, which LLVM contracts to one fused instruction."""
    return b.fadd(b.fmul(x, y, flags=["contract"]), z, flags=["contract", "reassoc", "nsz"])


def _fold(b: Any, x: Any, y: Any) -> Any:
    """Halve two vectors by adding their halves: the first one's sums, then the second one's."""
    n = x.type.count // 2
    low, high = list(range(n)), list(range(n, 2 * n))
    lows = shuffle(b, x, y, [*low, *(k + 2 * n for k in low)])
    return b.fadd(lows, shuffle(b, x, y, [*high, *(k + 2 * n for k in high)]))


def pair_sums(b: Any, first: list[Any], second: list[Any]) -> Any:
    """Reduce up to eight vectors and eight others to their sums, lanes 0 to 7 and 8 to 15.

    All at once it takes far fewer shuffles than one reduction after the other.
    """
    width = first[0].type.count
    absent = ir.Constant(first[0].type, None)
    first, second = (rows + [absent] * (LANES - len(rows)) for rows in (first, second))
    if width == LANES:
        halves = list(range(2 * LANES))
        rows = [shuffle(b, x, y, halves) for x, y in zip(first, second, strict=True)]
    else:
        rows = [_fold(b, x, y) for x, y in zip(first, second, strict=True)]
    steps = (
        ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]),
        ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]),
        ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
    )
    for masks in steps:
        low, high = ([k % 8 + k // 8 * 16 + 8 * half for half in (0, 1) for k in m] for m in masks)
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [b.fadd(shuffle(b, x, y, low), shuffle(b, x, y, high)) for x, y in pairs]
    return rows[0]


def _polynomial(b: Any, function: Callable[[Any], Any], degree: int, low: float, high: float, x: Any) -> Any:
    """Evaluate the Chebyshev interpolant of `function` on [low, high]; 1e-7 is enough for float32."""
    fit = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    coefficients = fit.convert(kind=np.polynomial.Polynomial).coef
    terms = [constant(float(c), x.type.count) for c in coefficients]
    while len(terms) > 1:  # Estrin: a chain as long as the logarithm of the degree
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [multiply_add(b, odd, x, even) for even, odd in pairs] + terms[len(terms) // 2 * 2 :]
        x = b.fmul(x, x)
    return terms[0]


def sigmoids(b: Any, score: Any) -> tuple[Any, Any]:
    """Return σ(−score) and σ(score), lane by lane; beyond ±83 they stay what they are there.

    The next step waits for the first, so the way to it is short. Both keep their relative precision.
    """
    n = score.type.count
    one, most = constant(1, n), 120
    y = b.fmul(score, constant(1 / LN2, n))
    y = b.select(b.fcmp_ordered("<", y, constant(most, n)), y, constant(most, n))
    y = b.select(b.fcmp_ordered(">", y, constant(-most, n)), y, constant(-most, n))
    rounding = constant(1.5 * 2**23, n)  # its last bit is worth 1: the sum ends in the nearest integer
    rounded = b.fadd(y, rounding)
    part = b.fsub(y, b.fsub(rounded, rounding))
    whole = ir.VectorType(INT32, n)
    shift, bias = (ir.Constant(whole, [k] * n) for k in (23, 127 << 23))
    scale = b.bitcast(b.add(b.shl(b.bitcast(rounded, whole), shift), bias), score.type)
    exp = b.fmul(_polynomial(b, np.exp2, 6, -0.5, 0.5, part), scale)
    sigmoid = b.fdiv(one, b.fadd(exp, one))
    return sigmoid, b.fmul(exp, sigmoid)


def split_power(b: Any, x: Any) -> tuple[Any, Any]:
    """Split positive doubles into a mantissa in [1, 2) and the power of two that goes with it."""
    whole = ir.VectorType(INT64, x.type.count)
    bits = b.bitcast(x, whole)
    shift, bias, fraction, unit = (
        ir.Constant(whole, [k] * x.type.count) for k in (52, 1023, (1 << 52) - 1, 1023 << 52)
    )
    return b.bitcast(b.or_(b.and_(bits, fraction), unit), x.type), b.sub(b.lshr(bits, shift), bias)
