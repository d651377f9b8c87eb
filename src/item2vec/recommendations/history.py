"""Click histories: told apart, and kept out of their own recommendations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.index import Neighbours
from item2vec.recommendations.answers import id_list, is_one_id
from item2vec.vocabulary import ItemId, Vocabulary


def split_histories(histories: Any, vocabulary: Vocabulary) -> tuple[bool, list[list[ItemId]]]:
    """Tell one history (a flat list of ids) from a list of histories; return (is one, histories as lists)."""
    if is_one_id(histories) or isinstance(histories, dict | pa.Table):
        raise UsageError("a history is a list of item ids; several histories are a list of such lists")
    flat = isinstance(histories, pa.Array | pa.ChunkedArray)
    rows = histories if flat or isinstance(histories, np.ndarray) else list(histories)
    if flat or not len(rows) or is_one_id(rows[0]):
        return True, [id_list(rows, vocabulary, "the history")]
    return False, [id_list(row, vocabulary, f"history {number}") for number, row in enumerate(rows)]


def drop(found: Neighbours, unwanted: Any, N: int) -> Neighbours:
    """Remove unwanted item numbers, given per row, and bring the answer to exactly N columns.

    Complete if `found` was asked for N items plus as many as there are unwanted ones.
    """
    if isinstance(unwanted, np.ndarray):
        hits = found.item_nums == unwanted
    else:
        pairs = zip(found.item_nums, unwanted, strict=True)
        hits = np.array([np.isin(row, numbers) for row, numbers in pairs]).reshape(found.item_nums.shape)
    order = np.argsort(hits, axis=1, kind="stable")
    nums = np.take_along_axis(np.where(hits, np.int32(-1), found.item_nums), order, axis=1)[:, :N]
    scores = np.take_along_axis(np.where(hits, np.float32(-np.inf), found.scores), order, axis=1)[:, :N]
    missing = ((0, 0), (0, N - nums.shape[1]))
    return Neighbours(
        np.pad(nums, missing, constant_values=-1),
        np.pad(scores, missing, constant_values=-np.inf),
        found.exact,
    )
