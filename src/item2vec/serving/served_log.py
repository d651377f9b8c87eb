"""What was shown to whom, from which release: Parquet files that a team joins with its clicks."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.arrow import arrow_array
from item2vec.serving.places import check_served_log
from item2vec.vocabulary import ID_TYPES

if TYPE_CHECKING:
    from item2vec.vocabulary import ItemId

_LOG = logging.getLogger(__name__)
ROWS_PER_FILE = 100_000
SECONDS_PER_FILE = 300.0
CAPACITY = 20_000
"""Lists that may wait to be written; more are counted and lost, rather than holding up answers."""


class ServedList(NamedTuple):
    """One list that was shown."""

    request_id: str
    ts_us: int
    route: str
    user_id: str | None
    query: str
    ids: Sequence[ItemId]
    scores: Sequence[float]
    release: str
    variant: str


class ServedLog:
    """Writes lists into Parquet files, one row per item: whole files only, a new one every few minutes.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    id_type : {"string", "int64"}
    seconds_per_file, rows_per_file
        When a file is finished, whichever comes first.

    Raises
    ------
    UsageError
        If the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        id_type: str,
        seconds_per_file: float = SECONDS_PER_FILE,
        rows_per_file: int = ROWS_PER_FILE,
    ) -> None:
        self._folder, self._kind = folder, ID_TYPES[id_type]
        self._seconds, self._rows = seconds_per_file, rows_per_file
        self.dropped = 0
        check_served_log(folder)
        self._lists: queue.Queue[ServedList | None] = queue.Queue(CAPACITY)
        self._number = 0
        self._writer = threading.Thread(target=self._write, name="item2vec-served-log", daemon=True)
        self._writer.start()

    def add(self, shown: ServedList) -> None:
        """Remember a list that was shown; never waits."""
        try:
            self._lists.put_nowait(shown)
        except queue.Full:
            self.dropped += 1

    def _write(self) -> None:
        waiting: list[ServedList] = []
        n_rows, since, open_ = 0, time.monotonic(), True
        while open_:
            try:
                shown = self._lists.get(timeout=max(0.01, since + self._seconds - time.monotonic()))
                open_ = shown is not None
                if shown is not None:
                    waiting.append(shown)
                    n_rows += len(shown.ids)
            except queue.Empty:
                pass
            full = n_rows >= self._rows or time.monotonic() - since >= self._seconds
            if waiting and (full or not open_):
                self._finish(waiting)
            if full:
                waiting, n_rows, since = [], 0, time.monotonic()

    def _finish(self, lists: list[ServedList]) -> None:
        """Write one file under another name and then give it its own; on a full disk the rows are lost."""
        self._number += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = self._folder / f"served-{stamp}-{os.getpid()}-{self._number:05d}.parquet"
        hidden = path.with_name(f".{path.name}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)  # someone may have cleared it away
            pq.write_table(self._table(lists), hidden, compression="zstd", write_page_checksum=True)
            os.replace(hidden, path)
        except (OSError, pa.ArrowException) as error:
            self.dropped += len(lists)
            _LOG.warning(
                "%d lists that were shown are lost: %s cannot be written (%s)", len(lists), path, error
            )
            with suppress(OSError):
                hidden.unlink(missing_ok=True)

    def _table(self, lists: list[ServedList]) -> pa.Table:
        sizes = np.array([len(one.ids) for one in lists])
        which = np.repeat(np.arange(len(lists)), sizes).tolist()
        columns: dict[str, tuple[Sequence[object], pa.DataType]] = {
            "request_id": ([lists[k].request_id for k in which], pa.string()),
            "ts_us": ([lists[k].ts_us for k in which], pa.int64()),
            "route": ([lists[k].route for k in which], pa.string()),
            "user_id": ([lists[k].user_id for k in which], pa.string()),
            "query": ([lists[k].query for k in which], pa.string()),
            "item_id": ([item for one in lists for item in one.ids], self._kind),
            "position": ([place for n in sizes.tolist() for place in range(1, n + 1)], pa.int32()),
            "score": ([score for one in lists for score in one.scores], pa.float32()),
            "release": ([lists[k].release for k in which], pa.string()),
            "variant": ([lists[k].variant for k in which], pa.string()),
        }
        arrays = [arrow_array(values, kind) for values, kind in columns.values()]
        return pa.Table.from_arrays(arrays, names=list(columns))

    def close(self) -> None:
        """Write what waits."""
        self._lists.put(None)
        self._writer.join()
