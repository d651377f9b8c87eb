"""From candidates to an answer: scored exactly, filtered, complete and in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.index.backends import SEARCH_K_FOR, Backend, Candidates, effort_for
from item2vec.index.exact import ExactIndex
from item2vec.index.item_set import FEW_GATHERED, ItemSet
from item2vec.index.space import Space

FEW_ALLOWED = 5_000
"""A filter that leaves this many items is answered by a scan: faster than asking trees for a surplus. More
(:data:`FEW_GATHERED`) where they are less than a quarter of all, as then only their own rows are scanned."""
MEASURED = SEARCH_K_FOR + 1
"""Results per query, an item's own entry among them, when the effort is chosen."""


class Neighbours(NamedTuple):
    """Answers to a batch of queries.

    Attributes
    ----------
    item_nums : ndarray of int32, shape (n_queries, k)
        Best first; equal scores by id ascending; padded with −1.
    scores : ndarray of float32, shape (n_queries, k)
        Cosine (``similar``) or inner product and popularity (``next``); padded with −inf.
    exact : ndarray of bool, shape (n_queries,)
        Whether a query was answered by exact search.
    """

    item_nums: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    exact: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Searcher:
    """The vectors, the order of ids, the backend that proposes and the exact search that settles doubts."""

    space: Space
    id_rank: npt.NDArray[np.int32]
    backend: Backend
    referee: ExactIndex

    def search(
        self, queries: npt.NDArray[np.float64], k: int, allowed: ItemSet | None, exact: bool
    ) -> Neighbours:
        """Answer checked queries, shape (n_queries, d), with ``min(k, len(allowed))`` items each."""
        n_items = len(self.id_rank)
        n_allowed = n_items if allowed is None else len(allowed)
        answer = Neighbours(
            np.full((len(queries), k), -1, np.int32),
            np.full((len(queries), k), -np.inf, np.float32),
            np.zeros(len(queries), np.bool_),
        )
        wanted = min(k, n_allowed)
        if not wanted or not len(queries):
            return answer
        points = self.space.query_points(queries)
        fetch = None if exact else self._fetch(wanted, n_allowed)
        open_rows = np.arange(len(queries))
        if fetch is not None:
            found = self.backend.query(points, fetch)
            if allowed is not None:
                keep = allowed.mask[found.nums]
                found = Candidates(found.rows[keep], found.nums[keep])
            open_rows = self._place(answer, queries, found, wanted)
        if len(open_rows):
            found = self.referee.query(points[open_rows], wanted, allowed)
            self._place(answer, queries, Candidates(open_rows[found.rows], found.nums), wanted)
            answer.exact[open_rows] = True
        return answer

    def _fetch(self, wanted: int, n_allowed: int) -> int | None:
        """Plan how many candidates to ask the backend for; None where a scan is cheaper."""
        n_items = len(self.id_rank)
        few = FEW_GATHERED if 4 * n_allowed < n_items else FEW_ALLOWED
        if self.backend.exact or (n_allowed < n_items and n_allowed <= few):
            return None
        surplus = 1.0 if n_allowed == n_items else 1.2
        fetch = int(np.ceil(surplus * wanted * n_items / n_allowed))
        effort = effort_for(self.backend.settings["search_k"], fetch)
        # The effort was chosen for so many results; where those are scanned, nothing is known of fewer.
        many = 4 * max(fetch, MEASURED) >= n_items
        return None if many or effort >= self.backend.search_range[1] else fetch

    def _place(
        self, answer: Neighbours, queries: npt.NDArray[np.float64], found: Candidates, wanted: int
    ) -> npt.NDArray[np.int64]:
        """Score, order and write candidates; return the rows they do not settle.

        A row is settled when it has more candidates than places and the last scores below the last place:
        then no tie runs past what was proposed.
        """
        scores = self.space.scores(queries, found.rows, found.nums)
        order = np.lexsort((self.id_rank[found.nums], -scores, found.rows))
        rows, nums, scores = found.rows[order], found.nums[order], scores[order]
        ends = np.searchsorted(rows, np.arange(len(queries)), side="right")
        starts = np.concatenate([[0], ends[:-1]])
        place = np.arange(len(rows)) - starts[rows]
        top = place < wanted
        answer.item_nums[rows[top], place[top]] = nums[top]
        answer.scores[rows[top], place[top]] = scores[top]
        settled = ends - starts > wanted
        full = np.flatnonzero(settled)
        settled[full] = scores[ends[full] - 1] < scores[starts[full] + wanted - 1]
        return np.flatnonzero(~settled)
