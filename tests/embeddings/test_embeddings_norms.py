"""The length of the longest row, wherever in a table it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from item2vec.embeddings.norms import longest_row


@pytest.mark.parametrize("size", [1, 32, 100_000])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_the_longest_row_is_found_in_every_block(size: int, place: int) -> None:
    table = np.full((5_000 if size < 1000 else 3, size), 1 / math.sqrt(size), np.float32)
    assert longest_row(table) == pytest.approx(1, rel=1e-5)
    table[place] *= 3
    assert longest_row(table) == pytest.approx(3, rel=1e-5)
    table[place, -1] = np.nan
    assert math.isnan(longest_row(table))
    table[place, -1] = -np.inf
    assert longest_row(table) == np.inf
