"""Session-kNN: items of the past sessions that are most like the session so far."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.arguments import check_whole
from item2vec.evaluation.baselines.click_matrix import Histories, click_counts, flat_histories
from item2vec.evaluation.baselines.popularity import click_vocabulary
from item2vec.evaluation.ranks import in_threads, njit
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


@njit(cache=True, nogil=True)
def _find_candidates(history: Any, index: Any, similarity: Any, latest: Any, found: Any, seen: Any) -> int:
    """Sum what past sessions share with a history, in units of 1/length; list them and return how many.

    `latest` becomes the age of the latest click that a session shares.
    """
    item_offsets, item_sessions = index
    n_found = 0
    for age in range(len(history)):
        item = history[len(history) - 1 - age]
        if seen[item]:
            continue
        seen[item] = True
        weight = float(len(history) - age)  # whole numbers: equal similarities are equal, not nearly so
        for at in range(item_offsets[item], item_offsets[item + 1]):
            session = item_sessions[at]
            if similarity[session] == 0.0:
                found[n_found] = session
                latest[session] = age
                n_found += 1
            similarity[session] += weight
    seen[history] = False
    return n_found


@njit(cache=True, nogil=True)
def _nearest(found: Any, similarity: Any, sample_size: int, n_neighbors: int) -> Any:
    """Return the most similar of the most recent candidates, the latest first; ties go to the later one."""
    recent = np.sort(found)[::-1][:sample_size]
    if len(recent) <= n_neighbors:
        return recent
    values = np.sort(similarity[recent])
    least = values[len(values) - n_neighbors]
    places = n_neighbors - np.count_nonzero(values > least)
    kept = np.empty(n_neighbors, recent.dtype)
    n_kept = 0
    for session in recent:
        tied = similarity[session] == least
        if similarity[session] < least or (tied and places == 0):
            continue
        places -= tied
        kept[n_kept] = session
        n_kept += 1
    return kept


@njit(cache=True, nogil=True)
def _vote(neighbours: Any, votes: Any, sessions: Any, idf: Any, sums: Any, row: Any) -> None:
    """Let each neighbour vote for its items, and write the sums (0 before and after) into the row."""
    offsets, items = sessions
    for i in range(len(neighbours)):
        for at in range(offsets[neighbours[i]], offsets[neighbours[i] + 1]):
            sums[items[at]] += votes[i]
    for session in neighbours:
        for at in range(offsets[session], offsets[session + 1]):
            item = items[at]
            if sums[item] > 0.0:
                row[item] = sums[item] * idf[item]
                sums[item] = 0.0


@njit(cache=True, nogil=True)
def _score_rows(
    histories: Any, offsets: Any, sessions: Any, index: Any, idf: Any, limits: Any, scores: Any
) -> None:
    """Fill rows of scores; the working space is as large as the sessions and the items are many."""
    n_sessions = len(sessions[0]) - 1
    similarity, latest = np.zeros(n_sessions), np.zeros(n_sessions, np.int32)
    found = np.empty(n_sessions, np.int32)
    seen, sums = np.zeros(len(idf), np.bool_), np.zeros(len(idf))
    sample_size, n_neighbors = limits
    for row in range(len(scores)):
        scores[row, :] = -np.inf
        history = histories[offsets[row] : offsets[row + 1]]
        candidates = found[: _find_candidates(history, index, similarity, latest, found, seen)]
        neighbours = _nearest(candidates, similarity, sample_size, n_neighbors)
        votes = similarity[neighbours] / (len(history) * (latest[neighbours] + 1.0))
        _vote(neighbours, votes, sessions, idf, sums, scores[row])
        similarity[candidates] = 0.0


class SessionKNN:
    """Recommend the items of the past sessions that are most like the session so far.

    VMIS-kNN (Kersbergen et al., "Serenade: Low-Latency Session-Based Recommendation in e-Commerce at Scale",
    SIGMOD 2022), the indexed form of V-SKNN (Ludewig & Jannach, UMUAI 2018). Of the `sample_size` most recent
    sessions that share an item with the history, the `n_neighbors` most similar vote for their items:

    - a session's similarity sums ``1 − age/length`` over the items it shares, where `age` counts the clicks
      after the item's last one in the history of `length` clicks;
    - its vote is its similarity divided by ``1 + age`` of the latest item it shares (V-SKNN's "div");
    - an item's score is the sum of its votes times ``ln(n_sessions / n_sessions with the item)``.

    Items of the history stay in the ranking. Recent is by `start_us`, without times by the order of the
    sessions; of equally similar sessions the more recent is the nearer. Each item keeps only its
    `sample_size` most recent sessions, which changes no answer and bounds the index.

    Parameters
    ----------
    n_neighbors : int
        Sessions that vote.
    sample_size : int
        Most recent sessions that are compared.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.

    Raises
    ------
    UsageError
        If a parameter is no whole number from 1.
    """

    vocabulary: Vocabulary

    def __init__(self, *, n_neighbors: int = 500, sample_size: int = 1000) -> None:
        check_whole("n_neighbors", n_neighbors, 1, "at least one session votes")
        check_whole("sample_size", sample_size, 1, "at least one session is compared")
        self.n_neighbors = int(n_neighbors)
        self.sample_size = int(sample_size)

    def fit(self, sessions: Sessions) -> Self:
        """Index the sessions by item.

        Raises
        ------
        EmptyDataError
            If there is no click.
        """
        self.vocabulary, nums = click_vocabulary(sessions)
        clicks = click_counts(sessions, nums, len(self.vocabulary))
        if sessions.start_us is not None:
            clicks = clicks[np.argsort(sessions.start_us, kind="stable")]
        by_item = clicks.T.tocsr()
        n_with = np.diff(by_item.indptr)
        rank = np.repeat(by_item.indptr[1:], n_with) - np.arange(by_item.nnz)  # 1 for the most recent
        kept = np.concatenate([[0], np.cumsum(np.minimum(n_with, min(self.sample_size, len(sessions))))])
        self._sessions = (clicks.indptr.astype(np.int64), clicks.indices.astype(np.int32))
        self._index = (kept, by_item.indices[rank <= self.sample_size].astype(np.int32))
        self._idf = np.log(len(sessions) / n_with)
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return weighted votes, shape (len(histories), n_items), float32.

        ``-inf`` where no neighbour holds an item, so an unknown history has an empty answer.
        """
        scores = np.empty((len(histories), len(self.vocabulary)), np.float32)
        items, offsets = flat_histories(histories, len(self.vocabulary))
        n_sessions = len(self._sessions[0]) - 1
        limits = (min(self.sample_size, n_sessions), min(self.n_neighbors, n_sessions))

        def score_part(start: int, stop: int) -> None:
            part = offsets[start : stop + 1]
            _score_rows(items, part, self._sessions, self._index, self._idf, limits, scores[start:stop])

        in_threads(score_part, len(histories))
        return scores
