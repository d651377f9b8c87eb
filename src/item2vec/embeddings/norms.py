"""How long a row of a table may become before its training counts as exploded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LARGEST_NORM = 1000.0
"""Length of a row beyond which a training counts as exploded.

Trained rows are shorter than 10: once a product passes 17, σ is 1 to float32's last bit and pushes no
further. Where rows do grow beyond that, every step overshoots the last one, and they end in overflow.
"""
_NUMBERS_AT_ONCE = 1 << 16


def longest_row(table: npt.NDArray[np.float32]) -> float:
    """Return the length of the longest row, (n, d) → float64; NaN or infinite where a number is."""
    largest = np.zeros(1)
    at_once = max(_NUMBERS_AT_ONCE // max(table.shape[1], 1), 1)
    for first in range(0, len(table), at_once):
        part = table[first : first + at_once].astype(np.float64)
        largest = np.maximum(largest, np.einsum("ij,ij->i", part, part).max())
    return float(np.sqrt(largest[0]))
