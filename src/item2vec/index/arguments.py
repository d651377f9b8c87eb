"""Checks of what callers pass: Annoy would take most of it in silence."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UsageError
from item2vec.index.space import MODES

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors

MAX_K = 1_000_000
MAX_POPULARITY = 10.0
POPULARITY = 0.5
"""Default weight of log(count) in the reading *next*."""


def checked_k(k: int) -> int:
    """Return a number of results as int, or refuse it."""
    try:
        number = operator.index(k)
    except TypeError:
        number = 0
    if isinstance(k, bool | np.bool_) or not 1 <= number <= MAX_K:
        raise UsageError(f"the number of results must be a whole number from 1 to {MAX_K:,}, not {k!r}")
    return number


def check_settings(n_trees: int, n_links: int, search_k: int | None, seed: int, popularity: float) -> None:
    """Refuse settings of trees, graphs and scores that are out of range."""
    for name, value, least, most in (
        ("n_trees", n_trees, 1, 1000),
        ("n_links", n_links, 2, 256),
        ("search_k", 1 if search_k is None else search_k, 1, 2**31 - 1),
        ("seed", seed, 0, 2**31 - 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise UsageError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}")
    number = isinstance(popularity, int | float | np.floating) and not isinstance(popularity, bool)
    if not number or not 0.0 <= popularity <= MAX_POPULARITY:
        raise UsageError(f"popularity is a number from 0 to {MAX_POPULARITY:g}, not {popularity!r}")


def check_shares(**shares: float) -> None:
    """Refuse what is no share; a target of 0 is none."""
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise UsageError(f"{name} is a share from 0 to 1, not {value!r}")
    if shares.get("recall") == 0:
        raise UsageError("recall is a share above 0, not 0")


def checked_table(vectors: ItemVectors, mode: str, popularity: float) -> npt.NDArray[np.float32]:
    """Return the table that a reading searches: (n_items, d), or (n_items, d + 1) with offsets."""
    if mode not in MODES:
        raise UsageError(f"unknown mode {mode!r}; choose 'similar' or 'next'")
    table = vectors.vectors if mode == "similar" else vectors.context_vectors
    if table is None:
        raise UsageError("mode='next' needs output vectors and this model has none; use mode='similar'")
    if len(table) == 0:
        raise DataError("there are no items to index")
    table = np.asarray(table, np.float32)
    if mode == "similar" or popularity == 0.0:
        return table
    offsets = popularity * np.log(np.maximum(vectors.vocabulary.counts, 1))
    return np.column_stack([table, offsets.astype(np.float32)])
