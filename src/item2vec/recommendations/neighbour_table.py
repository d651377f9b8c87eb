"""Neighbours of every item, found beforehand: a look-up by id reads a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from item2vec.errors import UsageError
from item2vec.index import ItemSet, Neighbours, storage
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender

QUERIES = 1024
"""Items searched at once."""
EXACT_UP_TO = 200_000
"""Catalogues up to this size are searched exactly: in batches that is as fast as trees and misses nothing."""


def table_first(
    table: NeighbourTable | None,
    item_nums: npt.NDArray[np.int32],
    N: int,
    allowed: ItemSet | None,
    search: Callable[[npt.NDArray[np.int64]], Neighbours],
) -> tuple[Neighbours, list[bool]]:
    """Read what a table holds of several items, and search for the others at once.

    Parameters
    ----------
    table : NeighbourTable, optional
    item_nums : ndarray of int32, shape (n,)
    N : int
    allowed : ItemSet, optional
    search : callable (places) -> Neighbours
        The N nearest of the items at some places, without the items themselves.

    Returns
    -------
    (neighbours, looked_up) : Neighbours, list of bool
    """
    places = np.arange(len(item_nums))
    rows = [None if table is None else table.lookup(num, N, allowed) for num in item_nums.tolist()]
    looked_up = [row is not None for row in rows]
    if not any(looked_up):
        return search(places), looked_up
    blocks = [row for row in rows if row is not None]
    order = [places[looked_up]]
    if not all(looked_up):
        order.append(places[np.logical_not(looked_up)])
        blocks.append(search(order[-1]))
    back = np.argsort(np.concatenate(order))
    return Neighbours(*(np.concatenate(part)[back] for part in zip(*blocks, strict=True))), looked_up


class NeighbourTable:
    """The nearest items of every item of one index, best first, without itself.

    Made by :meth:`build` or :meth:`load`.

    Attributes
    ----------
    mode : {"similar", "next"}
    item_nums : ndarray of int32, shape (n_items, width)
        Padded with −1 where a catalogue has fewer.
    scores : ndarray of float32, shape (n_items, width)
        Padded with −inf.
    index_fingerprint : str
        :attr:`ItemIndex.fingerprint` of the index that was asked.
    exact : bool
        Whether the neighbours were found by scans, so that none is missing.
    """

    def __init__(
        self,
        mode: Mode,
        item_nums: npt.NDArray[np.int32],
        scores: npt.NDArray[np.float32],
        index_fingerprint: str,
        exact: bool,
    ) -> None:
        self.mode, self.item_nums, self.scores = mode, item_nums, scores
        self.index_fingerprint, self.exact = index_fingerprint, exact

    @classmethod
    def build(
        cls, rec: Recommender, width: int = 100, mode: Mode = "similar", *, show_progress: bool = False
    ) -> NeighbourTable:
        """Find the neighbours of all items; takes ``8 · n_items · width`` bytes.

        Parameters
        ----------
        rec : Recommender
        width : int
            Neighbours per item: what a call asks for, and room for filters that leave some out.
        mode : {"similar", "next"}
        show_progress : bool
        """
        n_items = len(rec.vocabulary)
        width = min(checked_k(width), max(n_items - 1, 1))
        nums, scores = np.empty((n_items, width), np.int32), np.empty((n_items, width), np.float32)
        index = rec.index(mode)
        exact = n_items <= EXACT_UP_TO or index.backend == "exact"
        with tqdm(total=n_items, unit="item", desc="neighbours", disable=not show_progress) as bar:
            for start in range(0, n_items, QUERIES):
                rows = np.arange(start, min(start + QUERIES, n_items), dtype=np.int32)
                found = rec.similar_nums(rows, width, mode=mode, exact=exact)
                nums[rows], scores[rows] = found.item_nums, found.scores
                bar.update(len(rows))
        return cls(mode, nums, scores, index.fingerprint, exact)

    def __len__(self) -> int:
        return len(self.item_nums)

    @property
    def width(self) -> int:
        """Neighbours per item."""
        return int(self.item_nums.shape[1])

    def __repr__(self) -> str:
        return f"NeighbourTable({self.mode}, {len(self):,} items × {self.width})"

    def lookup(self, item_num: int, N: int, allowed: ItemSet | None) -> Neighbours | None:
        """Return the N nearest allowed items of one item, None where the row does not reach so far.

        Returns
        -------
        Neighbours or None
            Of one row, N columns.
        """
        nums, scores = self.item_nums[item_num], self.scores[item_num]
        whole = nums[-1] < 0 or self.width >= len(self) - 1
        if allowed is not None:
            kept = np.flatnonzero((nums >= 0) & allowed.mask[nums])[:N]
            nums, scores = nums[kept], scores[kept]
        if len(nums) < N and not whole:
            return None
        missing = max(0, N - len(nums))
        return Neighbours(
            np.pad(nums[:N], (0, missing), constant_values=-1)[None] if missing else nums[None, :N],
            np.pad(scores[:N], (0, missing), constant_values=-np.inf)[None] if missing else scores[None, :N],
            np.full(1, self.exact),
        )

    def rows(self, item_nums: npt.NDArray[np.int32], N: int) -> Neighbours | None:
        """Return the N nearest items of several items, None where the rows do not reach so far."""
        n_others = max(len(self) - 1, 0)
        if N > self.width < n_others:
            return None
        nums, scores = self.item_nums[item_nums, :N], self.scores[item_nums, :N]
        missing = ((0, 0), (0, max(0, N - self.width)))
        return Neighbours(
            np.pad(nums, missing, constant_values=-1),
            np.pad(scores, missing, constant_values=-np.inf),
            np.full(len(item_nums), self.exact),
        )

    def save(self, path: str | Path) -> None:
        """Write the table into a new folder, whole or not at all.

        Raises
        ------
        UsageError
            If the folder exists and is not empty.
        """
        target = Path(path)
        with storage.unpublished(target) as folder:
            storage.write_array(folder / "neighbours.npy", self.item_nums)
            storage.write_array(folder / "scores.npy", self.scores)
            storage.publish(folder, target, self._description())

    def _description(self) -> dict[str, object]:
        return {
            "kind": "neighbours",
            "mode": self.mode,
            "n_items": len(self),
            "width": self.width,
            "index_fingerprint": self.index_fingerprint,
            "exact": self.exact,
        }

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> NeighbourTable:
        """Check a saved table and map it read-only.

        Raises
        ------
        SourceError
            If there is no table.
        CorruptArtifactError
            If a file is damaged; the message names it.
        UsageError
            If the folder holds an index.
        """
        folder = Path(path)
        stated = storage.read_description(folder, verify)
        if stated.get("kind") != "neighbours":
            raise UsageError(f"{folder} holds an index and no table of neighbours")
        shape = (stated["n_items"], stated["width"])
        nums = storage.map_array(folder / "neighbours.npy", np.int32, shape)
        scores = storage.map_array(folder / "scores.npy", np.float32, shape)
        return cls(stated["mode"], nums, scores, stated["index_fingerprint"], stated["exact"])

    def check_index(self, fingerprint: str) -> None:
        """Refuse an index other than the one that the neighbours come from."""
        if fingerprint != self.index_fingerprint:
            raise UsageError(
                f"the table of neighbours ({self.mode}) was made with another index; build it from this one"
            )
