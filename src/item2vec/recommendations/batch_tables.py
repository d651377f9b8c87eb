"""What the parts of a batch table hold: one list per target, from a recommender and the table's settings.

A table can be written into a folder and opened from it by another process, which then makes the same parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.arrow import arrow_numbers
from item2vec.embeddings import ItemVectors
from item2vec.index import ItemIndex, ItemSet, Neighbours
from item2vec.index.space import Mode
from item2vec.recommendations.lists import plain_lists
from item2vec.recommendations.neighbour_table import QUERIES, NeighbourTable
from item2vec.recommendations.parts import PartCounts
from item2vec.recommendations.recommender import Recommender
from item2vec.recommendations.repeating import repeating_search
from item2vec.recommendations.scoring import HistoryScoring
from item2vec.recommendations.user_histories import Histories

Lists = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
TABLE = "table.json"
USERS = "users.parquet"


@dataclass(frozen=True)
class SimilarItems:
    """The similar items of every item.

    Attributes
    ----------
    rec : Recommender
    N, partition_rows : int
    mode : {"similar", "next"}
    exact : bool
    markets : ndarray of int64, shape (n_items,), or None
        Each item's market, −1 where it has none; None: any item will do.
    """

    rec: Recommender
    N: int
    partition_rows: int
    mode: Mode
    exact: bool
    markets: npt.NDArray[np.int64] | None = None

    kind: ClassVar[str] = "similar items"

    @property
    def n_targets(self) -> int:
        """Items."""
        return len(self.rec.vocabulary)

    def make(self, part: int) -> tuple[pa.Table, PartCounts]:
        """Return the rows of a part and their counts."""
        start = part * self.partition_rows
        targets = np.arange(start, min(start + self.partition_rows, self.n_targets), dtype=np.int32)
        width = min(self.N, self.n_targets)  # no list is longer
        found = _empty(len(targets), width)
        for rows, allowed in _batches(targets, self.markets):
            answer = self.rec.similar_nums(targets[rows], width, allowed, self.mode, exact=self.exact)
            found[0][rows], found[1][rows] = answer.item_nums, answer.scores
        ids = self.rec.vocabulary.ids.take(arrow_numbers(targets))
        return _to_table(self.rec, ("target_item_id", ids), *found, self.N)

    def save(self, folder: Path) -> None:
        """Write all of it into a new folder."""
        _save(self, folder, {} if self.markets is None else {"markets": self.markets})

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> SimilarItems:
        """Open what :meth:`save` wrote."""
        return cls(_open_recommender(folder, settings), **settings, markets=_array(folder, "markets"))


@dataclass(frozen=True)
class UserLists:
    """The recommendations of every user.

    Attributes
    ----------
    rec : Recommender
    users : Histories
    N, partition_rows : int
    mode : {"similar", "next"}
    exact, filter_seen : bool
    decay : float or None
    mask : ndarray of bool, shape (n_items,), or None
        The items that may be recommended; None: all.
    """

    rec: Recommender
    users: Histories
    N: int
    partition_rows: int
    mode: Mode
    exact: bool
    filter_seen: bool
    decay: float | None
    mask: npt.NDArray[np.bool_] | None = None

    kind: ClassVar[str] = "recommendations"

    @property
    def n_targets(self) -> int:
        """Users."""
        return len(self.users)

    def make(self, part: int) -> tuple[pa.Table, PartCounts]:
        """Return the rows of a part and their counts."""
        first = part * self.partition_rows
        stop = min(first + self.partition_rows, len(self.users))
        found = _empty(stop - first, min(self.N, len(self.rec.vocabulary)))
        allowed = None if self.mask is None else ItemSet(self.mask)
        for start in range(first, stop, QUERIES):
            self._fill(np.arange(start, min(start + QUERIES, stop)), allowed, found, first)
        ids = self.users.user_ids.slice(first, len(found[0]))
        return _to_table(self.rec, ("user_id", ids), *found, self.N)

    def _fill(self, rows: npt.NDArray[np.int64], allowed: ItemSet | None, found: Lists, first: int) -> None:
        """Fill the rows of some users."""
        rec = self.rec
        clicks = [self.users.clicks(row) for row in rows.tolist()]
        scoring, index = rec.scoring_with(self.decay), rec.index(self.mode)
        queries = scoring.queries(clicks, rec.vectors.vectors)
        known = np.flatnonzero(queries.any(axis=1))
        if not len(known):
            return
        seen = [np.unique(clicks[k]) if self.filter_seen else clicks[k][:0] for k in known.tolist()]

        def plain(k: int) -> Neighbours:
            return index.search(queries[known], k, allowed, exact=self.exact)

        search: Callable[[int], Neighbours] = plain
        repeats = None if self.filter_seen else rec.repeats_in(self.mode, scoring)
        if repeats is not None:
            answered = [clicks[k] for k in known.tolist()]
            search = repeating_search(plain, index, queries[known], repeats, answered, allowed)
        answer = plain_lists(search, seen, found[0].shape[1], len(rec.vocabulary))
        found[0][rows[known] - first], found[1][rows[known] - first] = answer.item_nums, answer.scores

    def save(self, folder: Path) -> None:
        """Write all of it into a new folder."""
        arrays: dict[str, npt.NDArray[Any]] = {"items": self.users.items, "offsets": self.users.offsets}
        _save(self, folder, arrays if self.mask is None else {**arrays, "mask": self.mask})
        pq.write_table(pa.table({"user_id": self.users.user_ids}), folder / USERS)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> UserLists:
        """Open what :meth:`save` wrote."""
        with pq.ParquetFile(folder / USERS) as file:
            users = file.read().column(0).combine_chunks()
        histories = Histories(users, np.load(folder / "items.npy"), np.load(folder / "offsets.npy"))
        rec = _open_recommender(folder, settings)
        return cls(rec, histories, **settings, mask=_array(folder, "mask"))


BatchTable = SimilarItems | UserLists


def open_table(folder: Path) -> BatchTable:
    """Open a table that another process saved."""
    settings = json.loads((folder / TABLE).read_text("utf-8"))
    kinds: dict[str, type[BatchTable]] = {SimilarItems.kind: SimilarItems, UserLists.kind: UserLists}
    return kinds[settings.pop("kind")].load(folder, settings)


def _save(table: BatchTable, folder: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write the settings, the arrays, and as much of the recommender as answers come from."""
    folder.mkdir()
    names = ("N", "partition_rows", "mode", "exact", "filter_seen", "decay")
    settings = {name: getattr(table, name) for name in names if hasattr(table, name)}
    stated = {"kind": table.kind, **settings, "scoring": asdict(table.rec.scoring)}
    (folder / TABLE).write_text(json.dumps(stated), "utf-8")
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    table.rec.vectors.save(folder / "vectors")
    table.rec.index(table.mode).save(folder / "index")
    if table.rec.neighbours is not None and table.rec.neighbours.mode == table.mode:
        table.rec.neighbours.save(folder / "neighbours")


def _open_recommender(folder: Path, settings: dict[str, Any]) -> Recommender:
    neighbours = folder / "neighbours"
    return Recommender(
        ItemVectors.load(folder / "vectors"),
        index={settings["mode"]: ItemIndex.load(folder / "index")},
        scoring=HistoryScoring(**settings.pop("scoring")),
        neighbours=NeighbourTable.load(neighbours) if neighbours.exists() else None,
    )


def _array(folder: Path, name: str) -> Any:
    path = folder / f"{name}.npy"
    return np.load(path) if path.exists() else None


def _batches(
    targets: npt.NDArray[np.int32], markets: npt.NDArray[np.int64] | None
) -> Iterator[tuple[npt.NDArray[np.int64], ItemSet | None]]:
    """Yield positions of targets to search together, with the items they may get."""
    if markets is None:
        for start in range(0, len(targets), QUERIES):
            yield np.arange(start, min(start + QUERIES, len(targets))), None
        return
    codes = markets[targets]
    for code in np.unique(codes[codes >= 0]).tolist():
        rows, allowed = np.flatnonzero(codes == code), ItemSet(markets == code)
        for start in range(0, len(rows), QUERIES):
            yield rows[start : start + QUERIES], allowed


def _empty(n: int, N: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    return np.full((n, N), -1, np.int32), np.full((n, N), -np.inf, np.float32)


def _to_table(
    rec: Recommender,
    targets: tuple[str, pa.Array],
    nums: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    N: int,
) -> tuple[pa.Table, PartCounts]:
    """Return the lists of some targets as rows, best first, and what there is to count."""
    filled = nums >= 0
    lengths = filled.sum(axis=1)
    counts = PartCounts(int(lengths.sum()), int((lengths < N).sum()), int((lengths == 0).sum()))
    name, ids = targets
    rows = np.repeat(np.arange(len(lengths)), lengths)
    columns = [
        ids.take(arrow_numbers(rows)),
        rec.vocabulary.ids.take(arrow_numbers(nums[filled])),
        arrow_numbers(scores[filled]),
        arrow_numbers((np.nonzero(filled)[1] + 1).astype(np.int32)),
    ]
    return pa.Table.from_arrays(columns, names=[name, "item_id", "score", "rank"]), counts
