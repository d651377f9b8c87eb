"""Embedding tables in memory: padded rows, on huge pages where the system has them."""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.simd import ROW_ALIGNMENT, Tables
from item2vec.errors import TrainingError

_HUGE_PAGE = 1 << 21


def row_stride(vector_size: int) -> int:
    """Floats from one row to the next: `vector_size` rounded up to cache lines (the padding stays 0)."""
    return -(-vector_size // ROW_ALIGNMENT) * ROW_ALIGNMENT


def _zeros(n: int) -> npt.NDArray[np.float32]:
    """Page-aligned float32 zeros; random rows on 4 KB pages lose much time to address translation."""
    n_bytes = max(-(-n * 4 // _HUGE_PAGE), 1) * _HUGE_PAGE
    try:
        memory = mmap.mmap(-1, n_bytes)
    except OSError:
        return np.zeros(n, np.float32)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel without transparent huge pages
            pass
    return np.frombuffer(memory, np.float32, n)


def make_tables(inputs: npt.NDArray[np.float32], outputs: npt.NDArray[np.float32]) -> Tables:
    """Copy two (n_items, vector_size) tables into padded ones."""
    n, d = inputs.shape
    stride = row_stride(d)
    padded = []
    for table in (inputs, outputs):
        try:
            flat = _zeros(n * stride)
        except MemoryError as e:
            size = 8 * n * stride / 1e9
            raise TrainingError(
                f"the two tables of {n:,} items × {d} numbers need {size:.1f} GB, more than there is; lower"
                " vector_size or raise min_count"
            ) from e
        flat.reshape(-1, stride)[:n, :d] = table
        padded.append(flat)
    return Tables(*padded)


def take_rows(flat: npt.NDArray[np.float32], n_items: int, vector_size: int) -> npt.NDArray[np.float32]:
    """Return the (n_items, vector_size) part of a padded table, as a copy."""
    rows = flat.reshape(-1, row_stride(vector_size))
    return rows[:n_items, :vector_size].copy()
