"""Clicks as sparse matrices: sessions × items, weighted histories, and sparse answers as rows of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.sessions import Sessions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Histories = Sequence[npt.NDArray[np.int32]]


def click_counts(sessions: Sessions, nums: npt.NDArray[np.int32], n_items: int) -> csr_array:
    """Count the clicks of each session on each item.

    Parameters
    ----------
    sessions : Sessions
    nums : ndarray of int32, shape (n_tokens,)
        Item number of each token.
    n_items : int

    Returns
    -------
    csr_array of float64, shape (n_sessions, n_items)
        Canonical: the items of a session ascend and none is there twice.
    """
    from scipy import sparse

    clicks = sparse.csr_array(
        (np.ones(sessions.n_clicks), nums[sessions.tokens], sessions.offsets),
        shape=(len(sessions), n_items),
        copy=True,  # the next line works in place, and the offsets belong to the sessions
    )
    clicks.sum_duplicates()
    return clicks


def as_scores(found: csr_array) -> npt.NDArray[np.float32]:
    """Return sparse answers as rows of float32 scores, ``-inf`` where there is no entry."""
    scores = np.full(found.shape, -np.inf, np.float32)
    scores[np.repeat(np.arange(found.shape[0]), np.diff(found.indptr)), found.indices] = found.data
    return scores


def flat_histories(histories: Histories, n_items: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Join histories to one array of item numbers and the offsets of each.

    Raises
    ------
    UsageError
        If something else than numbers of the `n_items` items is in them: compiled loops would read beyond
        their arrays.
    """
    try:
        lengths = np.fromiter((len(history) for history in histories), np.int64, len(histories))
        given = [history for history in histories if len(history)]
        items = np.concatenate(given) if given else np.zeros(0, np.int32)
        sound = items.ndim == 1 and items.dtype.kind in "iu"
    except (TypeError, ValueError):
        sound = False
    if not sound or (len(items) and not 0 <= items.min() <= items.max() < n_items):
        raise UsageError(
            f"histories are arrays of item numbers of the scorer's vocabulary, from 0 to {n_items - 1:,}"
            " (scorer.vocabulary.nums(ids), without the -1 of unknown ids), not item ids and not tokens of"
            " the sessions"
        )
    return items.astype(np.int32, copy=False), np.concatenate([[0], np.cumsum(lengths)])


def weighted_histories(histories: Histories, decay: float, n_items: int) -> csr_array:
    """Weigh the clicks of each history by ``decay ** (clicks after it)``; 0 keeps the last click alone."""
    from scipy import sparse

    items, offsets = flat_histories(histories, n_items)
    if decay == 0:
        answered = np.diff(offsets) > 0
        items, offsets = items[offsets[1:][answered] - 1], np.concatenate([[0], np.cumsum(answered)])
    age = np.repeat(offsets[1:], np.diff(offsets)) - 1 - np.arange(len(items))
    weights = np.power(np.float32(decay), age.astype(np.float32))
    return sparse.csr_array((weights, items, offsets), shape=(len(histories), n_items))
