"""What the lists are like, whether they hit or not: coverage, Gini, diversity, novelty, popularity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import numpy_numbers
from item2vec.errors import DataError, EmptyDataError
from item2vec.evaluation.ranks import in_threads, njit
from item2vec.sessions import Sessions

LISTED_AT_ONCE = 4_000_000  # items of the lists described at once (about 150 MB)
N_BLOCKS = 16  # parts of the items counted at once; fixed, so that sums do not depend on the machine


def coverage(times_recommended: npt.NDArray[np.int64], n_items: int) -> float:
    """Return the share of the catalogue, in %, that appears in at least one list.

    Parameters
    ----------
    times_recommended : ndarray of int64, shape (n,)
        How often each item stood in a list; items not named were never recommended.
    n_items : int
        Size of the catalogue.
    """
    return float("nan") if n_items == 0 else 100.0 * int(np.count_nonzero(times_recommended)) / n_items


def gini(times_recommended: npt.NDArray[np.int64], n_items: int) -> float:
    """Return how unequally the lists use the catalogue: 0, all items equally often; 1, one item alone.

    The Gini index of Shani & Gunawardana (2011), ``1/(n−1) Σ_j (2j − n − 1) p_j`` over the items from rare to
    frequent. NaN where nothing was recommended, or the catalogue is one item.

    Parameters
    ----------
    times_recommended, n_items
        As in :func:`coverage`.
    """
    total = int(times_recommended.sum())
    if total == 0 or n_items < 2:
        return float("nan")
    used = np.sort(times_recommended[times_recommended > 0])
    places = np.arange(n_items - len(used) + 1, n_items + 1)
    return float(((2 * places - n_items - 1) * used).sum() / ((n_items - 1) * total))


class TrainingItems:
    """What the training sessions say of their items.

    Attributes
    ----------
    item_ids : pyarrow.Array
        As in the sessions.
    n_sessions : int
        Training sessions.
    clicks : ndarray of int64, shape (n_items,)
        Clicks on each item.
    sessions_with : ndarray of int64, shape (n_items,)
        Sessions that clicked it at least once.

    Raises
    ------
    EmptyDataError
        If no training session has a click.
    """

    def __init__(self, train: Sessions) -> None:
        from scipy import sparse

        if not train.n_clicks:
            raise EmptyDataError(
                "no training session has a click, so there is no popularity, novelty or diversity to measure;"
                " give the sessions the scorers were fitted on, or leave train out"
            )
        self.item_ids = train.item_ids
        self.n_sessions = len(train)
        self.clicks: npt.NDArray[np.int64] = np.bincount(train.tokens, minlength=train.n_items)
        by_session = sparse.csr_array(
            (np.ones(train.n_clicks, np.int8), train.tokens, train.offsets),
            shape=(len(train), train.n_items),
            copy=True,  # the next line works in place, and the tokens belong to the sessions
        )
        by_session.sum_duplicates()
        by_item = by_session.T.tocsr()
        self.sessions_with: npt.NDArray[np.int64] = np.diff(by_item.indptr).astype(np.int64)
        self._log = by_session.indices, by_session.indptr, by_item.indices, by_item.indptr

    def tokens(self, item_ids: pa.Array) -> npt.NDArray[np.int32]:
        """Return where items stand in :attr:`item_ids`, −1 for one that training does not have.

        Raises
        ------
        DataError
            If the ids are of another type.
        """
        if item_ids.type != self.item_ids.type:
            raise DataError(
                f"the training sessions have {self.item_ids.type} item ids, the items looked up"
                f" {item_ids.type}; read both with the same id_type"
            )
        return numpy_numbers(pc.index_in(item_ids, value_set=self.item_ids), missing=-1).astype(np.int32)

    def clicks_of(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Return training clicks, 0 for −1."""
        return np.where(tokens >= 0, self.clicks[tokens], 0)

    def figures(self, lists: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[np.float64]]:
        """Describe lists of items.

        Parameters
        ----------
        lists : ndarray of int32, shape (n_lists, k)
            Tokens of :attr:`item_ids` in each list, distinct, padded with −1.

        Returns
        -------
        dict of str to ndarray of float64, shape (n_lists,)
            ``novelty``: mean ``−log2(share of the training sessions with the item)``, in bits (Vargas &
            Castells 2011). ``popularity``: mean training clicks. Both are NaN for an empty list.
            ``diversity``: mean over the pairs of ``1 − cosine`` of the two items' training sessions (Ziegler
            et al. 2005, by co-occurrence, which no vector model has as its own measure); NaN below two items.
        """
        rows = max(1, LISTED_AT_ONCE // max(lists.shape[1], 1))
        parts = [self._figures(lists[start : start + rows]) for start in range(0, max(len(lists), 1), rows)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _figures(self, lists: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[np.float64]]:
        listed = lists >= 0
        lengths = listed.sum(axis=1)
        # An item that was booked and never clicked may be listed: as new as one that a single session has.
        surprise = -np.log2(np.maximum(self.sessions_with, 1) / self.n_sessions)
        pairs = lengths * (lengths - 1) / 2
        sums = {
            "novelty": (np.where(listed, surprise[lists], 0.0).sum(axis=1), lengths),
            "popularity": (np.where(listed, self.clicks[lists], 0).sum(axis=1), lengths),
            "diversity": (pairs - self._cosines(lists), pairs),
        }
        return {
            name: np.divide(total, n, out=np.full(len(lists), np.nan), where=n > 0)
            for name, (total, n) in sums.items()
        }

    def _cosines(self, lists: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Add up the cosines of all pairs of each list."""
        flat = lists.ravel()
        order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :]
        rows = order // max(lists.shape[1], 1)
        bounds = _bounds(np.bincount(flat[order], minlength=len(self.clicks)))
        sums = np.zeros((N_BLOCKS, len(lists)))
        lists = np.ascontiguousarray(lists)
        in_threads(lambda *part: _add_cosines(*part, self._log, lists, rows, bounds, sums), N_BLOCKS)
        total: npt.NDArray[np.float64] = sums.sum(axis=0)
        return total


def _bounds(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)])


@njit(cache=True, nogil=True)
def _add_cosines(start: int, stop: int, log: Any, lists: Any, rows: Any, bounds: Any, sums: Any) -> None:
    """Count, item by item, what its sessions hold, and add the cosines to the lists that hold it.

    Every pair of a list is met once, at its item of the lower number.
    """
    items, item_bounds, sessions, session_bounds = log
    n_items = len(bounds) - 1
    for block in range(start, stop):
        together = np.zeros(n_items, np.int64)
        for item in range(block, n_items, N_BLOCKS):
            if bounds[item] == bounds[item + 1]:
                continue
            own = sessions[session_bounds[item] : session_bounds[item + 1]]
            for session in own:
                for other in items[item_bounds[session] : item_bounds[session + 1]]:
                    together[other] += 1
            for row in rows[bounds[item] : bounds[item + 1]]:
                for other in lists[row]:
                    if other > item and together[other] > 0:
                        size = session_bounds[other + 1] - session_bounds[other]
                        sums[block, row] += together[other] / np.sqrt(size * len(own))
            for session in own:
                for other in items[item_bounds[session] : item_bounds[session + 1]]:
                    together[other] = 0
