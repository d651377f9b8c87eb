"""Sessions → the arrays that engines train on: known items only, counted, weighted, with their markets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.draws import Corpus
from item2vec.embeddings.totals import Total, alone
from item2vec.errors import EmptyDataError, UsageError
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from item2vec.sessions.container import Sessions

_log = logging.getLogger(__name__)
_CLICKS_AT_ONCE, _SESSIONS_AT_ONCE = 1 << 22, 1 << 20  # counting a large corpus needs little beside it


def _keep_known(
    tokens: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], nums: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Renumber ragged tokens and close the gaps that unknown ones (−1) leave."""
    items = nums[tokens] if len(nums) else np.zeros(0, np.int32)
    if not (nums < 0).any():
        return items, np.require(offsets, requirements="W")  # kernels are compiled for arrays one may write
    known = items >= 0
    before = np.concatenate([[0], np.cumsum(known, dtype=np.int64)])
    return items[known], before[offsets]


def _keep_probabilities(counts: npt.NDArray[np.float64], sample: float) -> npt.NDArray[np.float32]:
    """word2vec's subsampling of frequent items, `sample` above 0."""
    ratio = sample * counts.sum() / np.maximum(counts, 1e-300)
    kept: npt.NDArray[np.float32] = np.minimum(1.0, np.sqrt(ratio) + ratio).astype(np.float32)
    return kept


def build_corpus(
    sessions: Sessions, min_count: int, sample: float, total: Total = alone
) -> tuple[Vocabulary, Corpus]:
    """Build the vocabulary and drop items below `min_count`, before windows are formed.

    Counts in the vocabulary are clicks; subsampling sees them weighted by the sessions' weights. Booked items
    outside the vocabulary are left out too; how many is logged. Where workers have shares of the sessions
    (over the same `item_ids`), `total` makes all of these figures those of all sessions.

    Raises
    ------
    EmptyDataError
        If there are no clicks, no item is frequent enough, or no session is left with two clicks (or one and
        a booking).
    UsageError
        If some workers' shares have none.
    """
    counts = total(_click_counts(sessions))
    if not counts.any():
        raise EmptyDataError("the sessions hold no clicks; check the source")
    vocabulary = Vocabulary.from_counts(sessions.item_ids, counts, min_count)
    nums = vocabulary.nums(sessions.item_ids)
    items, offsets = _keep_known(sessions.tokens, sessions.offsets, nums)
    booked, booked_offsets = _keep_known(sessions.booked, sessions.booked_offsets, nums)
    item_markets = np.full(len(vocabulary), -1, np.int32)
    item_markets[nums[nums >= 0]] = sessions.markets[nums >= 0]
    corpus = Corpus(
        items=items,
        offsets=offsets,
        booked_items=booked,
        booked_offsets=booked_offsets,
        weights=np.array(sessions.weights, np.float32),
        keep=np.zeros(0, np.float32),
        item_markets=item_markets,
    )
    n_trainable, n_booked = len(trainable_sessions(corpus)), len(sessions.booked)
    figures = np.array([len(sessions), n_trainable, n_trainable == 0, n_booked, n_booked - len(booked)])
    _check_figures(total(figures).tolist(), min_count)
    if sample:
        corpus = corpus._replace(keep=_keep_probabilities(total(weighted_counts(corpus)), sample))
    return vocabulary, corpus


def _click_counts(sessions: Sessions) -> npt.NDArray[np.int64]:
    counts = np.zeros(sessions.n_items, np.int64)
    for first in range(0, sessions.n_clicks, _CLICKS_AT_ONCE):
        counts += np.bincount(sessions.tokens[first : first + _CLICKS_AT_ONCE], minlength=sessions.n_items)
    return counts


def _check_figures(figures: list[int], min_count: int) -> None:
    n_sessions, n_trainable, without, n_booked, n_unknown = figures
    if n_trainable == 0:
        raise EmptyDataError(
            f"none of the {n_sessions:,} sessions has two clicks on items that occur min_count={min_count}"
            " times (or one such click and a booking); lower min_count or check how the sessions were made"
        )
    if without:
        raise UsageError(
            f"{without} of the workers would have no pair to train in their shares of the {n_sessions:,}"
            f" sessions, {n_trainable:,} of which have one; start fewer workers"
        )
    if n_unknown:
        _log.info(
            "%d of %d booked items are left out: never clicked, or fewer than min_count=%d clicks",
            *(n_unknown, n_booked, min_count),
        )


def trainable_sessions(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Return the sessions that hold a pair: two clicks, or a click and a booked item."""
    clicks, booked = np.diff(corpus.offsets), np.diff(corpus.booked_offsets)
    return np.flatnonzero(((clicks > 1) | ((clicks > 0) & (booked > 0))) & (corpus.weights > 0))


def expected_clicks(corpus: Corpus, sessions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how many clicks each of these sessions is expected to give an epoch, weights counted."""
    lengths = np.diff(corpus.offsets)[sessions]
    clicks: npt.NDArray[np.float64] = corpus.weights[sessions].astype(np.float64) * lengths
    return clicks


def weighted_counts(corpus: Corpus) -> npt.NDArray[np.float64]:
    """Return how often each item is expected to be visited in an epoch, shape (n_items,)."""
    counts = np.zeros(len(corpus.item_markets))
    for first in range(0, len(corpus.weights), _SESSIONS_AT_ONCE):
        bounds = corpus.offsets[first : first + _SESSIONS_AT_ONCE + 1]
        weights = np.repeat(corpus.weights[first : first + _SESSIONS_AT_ONCE], np.diff(bounds))
        counts += np.bincount(corpus.items[bounds[0] : bounds[-1]], weights, len(counts))
    return counts


def noise_weights(corpus: Corpus, ns_exponent: float, total: Total = alone) -> npt.NDArray[np.float64]:
    """Return the unnormalised noise distribution, count^ns_exponent, 0 where an item is never visited."""
    counts = total(weighted_counts(corpus))
    weights = np.zeros(len(counts))
    seen = counts > 0
    weights[seen] = (counts[seen] / counts.max()) ** ns_exponent
    return weights
