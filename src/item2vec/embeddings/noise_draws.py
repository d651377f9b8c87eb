"""Draw noise: global picks eight at a time from the alias table, market picks one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from item2vec.embeddings.vector_ir import INT32, INT64, LANES, pointer_to, splat

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
REDRAWS = 3  # of a noise item that equals a positive; then it is dropped and counted


@njit(inline="always")
def mix(z):  # type: ignore[no-untyped-def]
    """splitmix64's finaliser; over a counter it is a generator whose draws do not wait for one another."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
def uniform(z):  # type: ignore[no-untyped-def]
    """A float64 in [0, 1)."""
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(inline="always")
def below(z, n):  # type: ignore[no-untyped-def]
    """An int64 from 0 to n − 1."""
    return np.int64(((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(inline="always")
def _pick(z, entries, first, n):  # type: ignore[no-untyped-def]
    """One exact draw from the alias table of entries[first : first + n]: the place in it that z falls on."""
    slot = ((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
    entry = entries[np.uint64(first) + slot]
    other = np.uint64((z & np.uint64(0xFFFFFFFF)) >= (entry >> np.uint64(32)))  # as a mask: a coin, no branch
    return slot ^ ((slot ^ (entry & np.uint64(0xFFFFFFFF))) & (np.uint64(0) - other))


def _lanes(value: int) -> Any:
    """A constant in all lanes."""
    return ir.Constant(ir.VectorType(INT64, LANES), [value] * LANES)


def _mixed(b: Any, z: Any) -> Any:
    """`mix`, lane by lane."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        z = b.mul(b.xor(z, b.lshr(z, _lanes(shift))), _lanes(factor))
    return b.xor(z, b.lshr(z, _lanes(31)))


def _gathered(b: Any, entries: Any, slots: Any) -> Any:
    """Read entries[slot] in every lane."""
    start = splat(b, b.ptrtoint(entries, INT64), LANES)
    addresses = b.add(start, b.shl(slots, _lanes(3)))  # llvmlite knows no getelementptr of a vector
    pointers = b.inttoptr(addresses, ir.VectorType(entries.type, LANES))
    mask = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [1] * LANES)
    kind = ir.FunctionType(slots.type, [pointers.type, INT32, mask.type, slots.type])
    gather = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.gather.v{LANES}i64.v{LANES}p0")
    return b.call(gather, [pointers, INT32(8), mask, _lanes(0)])


@intrinsic
def _pick_eight(typing, state, entries, picks, at):  # type: ignore[no-untyped-def]
    """Write to picks.flat[at : at + 8] what `_pick` draws from all `entries` with the next eight states."""

    def codegen(ctx, b, sig, args):  # type: ignore[no-untyped-def]
        state, entries, picks, at = args
        table = ctx.make_array(sig.args[1])(ctx, b, entries)
        steps = ir.Constant(
            ir.VectorType(INT64, LANES), [(k + 1) * int(GOLDEN) % 2**64 for k in range(LANES)]
        )
        z = _mixed(b, b.add(splat(b, state, LANES), steps))
        n_items = splat(b, b.and_(table.nitems, INT64(0xFFFFFFFF)), LANES)
        slots = b.lshr(b.mul(b.lshr(z, _lanes(32)), n_items), _lanes(32))
        found = _gathered(b, table.data, slots)
        low = _lanes(0xFFFFFFFF)
        other = b.icmp_unsigned(">=", b.and_(z, low), b.lshr(found, _lanes(32)))
        items = b.trunc(b.select(other, b.and_(found, low), slots), ir.VectorType(INT32, LANES))
        b.store(items, pointer_to(ctx, b, sig.args[2], picks, at, items.type), align=4)
        return ctx.get_dummy_value()

    return types.void(types.uint64, entries, picks, types.int64), codegen


@njit(inline="always")
def _is_positive(item, centre, plan, i):  # type: ignore[no-untyped-def]
    """Whether a noise item is the row's centre or booked in its session."""
    if item == centre:
        return True
    for b in range(plan.booked[i, 0], plan.booked[i, 1]):  # noqa: SIM110 (numba knows no any)
        if plan.booked_items[b] == item:
            return True
    return False


@njit(inline="always")
def _centre(plan, i):  # type: ignore[no-untyped-def]
    """Position of a row's centre."""
    return np.int64(plan.centres[np.uint64(i)]) if len(plan.centres) else i


@njit(inline="always")
def _redrawn(noise, centre, plan, i, z, cursor):  # type: ignore[no-untyped-def]
    """Draw again for a pick that z made and that is a positive of row i; −1, and counted, if all fails."""
    for _ in range(REDRAWS):
        z = mix(z + GOLDEN)
        item = np.int32(_pick(z, noise.aliases, 0, len(noise.aliases)))
        if not _is_positive(item, centre, plan, i):
            return item
    cursor.dropped[0] += 1
    return np.int32(-1)


@njit(inline="always")
def draw_global_noise(noise, settings, plan, n, state, cursor):  # type: ignore[no-untyped-def]
    """Eq. 3: `negative` items of the whole vocabulary for each of the first n rows.

    The picks of all rows are made first, one after the other from the start of the plan's noise; then each
    goes to its place, which is never before it, the last one first.
    """
    n_items, negative, picks = len(noise.aliases), settings.negative, plan.noise.reshape(-1)
    n_picks = n * negative
    for at in range(0, n_picks - LANES + 1, LANES):
        _pick_eight(state + np.uint64(at) * GOLDEN, noise.aliases, picks, at)
    for at in range(n_picks - n_picks % LANES, n_picks):
        picks[at] = np.int64(_pick(mix(state + np.uint64(at + 1) * GOLDEN), noise.aliases, 0, n_items))
    for i in range(n - 1, -1, -1):
        centre = plan.items[np.uint64(_centre(plan, i))]
        booked = plan.booked[np.uint64(i), 1] > plan.booked[np.uint64(i), 0]
        for k in range(negative - 1, -1, -1):
            at = i * negative + k
            item = picks[np.uint64(at)]
            if item == centre or (booked and _is_positive(item, centre, plan, i)):
                item = _redrawn(noise, centre, plan, i, mix(state + np.uint64(at + 1) * GOLDEN), cursor)
            plan.noise[np.uint64(i), np.uint64(k)] = item
    return state + np.uint64(n_picks) * GOLDEN


@njit(inline="always")
def draw_market_noise(noise, settings, plan, n, state, cursor):  # type: ignore[no-untyped-def]
    """Eq. 5: `market_negative` items of one market per row, the market of an input that is drawn.

    Were it always the nearest input's, say, a session over two markets would train one of them less.
    """
    for i in range(n):
        first, last, c = plan.contexts[i, 0], plan.contexts[i, 1], _centre(plan, i)
        n_inputs = last - first - (first <= c < last)
        plan.markets[i] = -1
        if n_inputs > 0:
            state += GOLDEN
            j = first + below(mix(state), n_inputs)
            plan.markets[i] = plan.item_markets[plan.items[j + (first <= c <= j)]]
        market, centre = plan.markets[i], plan.items[c]
        for k in range(settings.negative, settings.negative + settings.market_negative):
            plan.noise[i, k] = -1
            if market < 0:
                continue
            start = noise.market_offsets[market]
            size = noise.market_offsets[market + 1] - start
            state += GOLDEN
            z = mix(state)
            item = noise.market_items[start + np.int64(_pick(z, noise.market_aliases, start, size))]
            redraws = 0
            while _is_positive(item, centre, plan, i) and redraws <= REDRAWS:
                redraws += 1
                z = mix(z + GOLDEN)
                item = noise.market_items[start + np.int64(_pick(z, noise.market_aliases, start, size))]
            dropped = redraws > REDRAWS
            cursor.dropped[0] += dropped
            plan.noise[i, k] = -1 if dropped else item
    return state
