"""The simulated log as files, streamed block by block."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from item2vec.marketplace.config import MarketplaceConfig
from item2vec.marketplace.listings import Listings
from item2vec.marketplace.outcomes import Rows
from item2vec.marketplace.travellers import DAY_MS, Trips, Users

EVENT_TYPES = ("impression", "click", "wishlist", "inquiry", "booking", "rejection")
EVENT_COLUMNS = (
    "user_id", "ts", "seq", "event_id", "event_type", "item_id", "dwell_seconds", "market", "search_id",
    "position",
)  # fmt: skip
EPOCH_ORDINAL = 719_163  # 1970-01-01
REPEATING = ["user_id", "event_type", "item_id", "market", "search_id", "position"]


class LogWriter:
    """Write blocks of users into ``events/``, ``users.parquet`` and ``truth/`` below `folder`.

    Parameters
    ----------
    folder : Path
        An empty folder.
    config : MarketplaceConfig
    market_names : tuple of str
    listings : Listings
    """

    def __init__(
        self, folder: Path, config: MarketplaceConfig, market_names: tuple[str, ...], listings: Listings
    ) -> None:
        self.folder, self.config, self.listings = folder, config, listings
        self._markets = pa.array(market_names, pa.string())
        self._users: pq.ParquetWriter | None = None
        self._tastes: pq.ParquetWriter | None = None
        self._parts = self._events = self._searches = 0

    def __enter__(self) -> Self:
        (self.folder / "events").mkdir()
        (self.folder / "truth").mkdir()
        write_table(self.listings.table, self.folder / "items.parquet")
        hidden = [self.listings.ids, self.listings.style, self.listings.quality]
        styles = pa.table(hidden, names=["item_id", "style", "quality"])
        write_table(styles, self.folder / "truth" / "styles.parquet")
        (self.folder / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n", "utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in (self._users, self._tastes):
            if writer is not None:
                writer.close()

    def write_users(self, attributes: pa.Table, tastes: pa.Table) -> None:
        """Append one block of users."""
        if self._users is None:
            self._users = pq.ParquetWriter(self.folder / "users.parquet", attributes.schema)
            self._tastes = pq.ParquetWriter(self.folder / "truth" / "tastes.parquet", tastes.schema)
        self._users.write_table(attributes)
        assert self._tastes is not None
        self._tastes.write_table(tastes)

    def write_events(self, rows: Rows, n_searches: int, users: Users, trips: Trips) -> int:
        """Write one block's events as one part, in user and time order; return their number.

        What happens after the last day is not in the log.
        """
        in_log = rows.ms < self.config.days * DAY_MS
        user = trips.user[rows.trip].astype(np.int64)
        tie = rows.event_type.astype(np.int64) << 6 | rows.position  # impressions of a search in page order
        order = np.argsort((user << 48 | rows.ms << 9 | tie)[in_log], kind="stable")
        order = np.flatnonzero(in_log)[order]
        rows = Rows(*(getattr(rows, name)[order] for name in Rows.__annotations__))
        table = self._table(rows, user[order].astype(np.int32), users, trips)
        write_table(table, self.folder / "events" / f"part-{self._parts:05d}.parquet", REPEATING)
        self._parts += 1
        self._events += len(rows)
        self._searches += n_searches
        return len(rows)

    def _table(self, rows: Rows, user: np.ndarray, users: Users, trips: Trips) -> pa.Table:
        """Translate numbers into the ids and words of the log."""
        n = len(rows)
        first = np.r_[True, user[1:] != user[:-1]] if n else np.zeros(0, bool)
        start_of_user = np.maximum.accumulate(np.where(first, np.arange(n), 0))
        start_us = (self.config.start_date.toordinal() - EPOCH_ORDINAL) * DAY_MS * 1000
        searched = rows.search >= 0
        dwell_s = np.round(rows.dwell_s.astype(np.float64), 1)
        columns = {
            "user_id": users.ids.take(pa.array(user)),
            "ts": rows.ms * 1000 + start_us,
            "seq": np.arange(n, dtype=np.int64) - start_of_user,
            "event_id": _numbered("e", np.arange(self._events, self._events + n)),
            "event_type": pa.array(EVENT_TYPES, pa.string()).take(pa.array(rows.event_type)),
            "item_id": self.listings.ids.take(pa.array(rows.listing)),
            "dwell_seconds": pa.array(dwell_s, mask=np.isnan(dwell_s)),
            "market": self._markets.take(pa.array(trips.market[rows.trip])),
            "search_id": _numbered("s", rows.search + self._searches, ~searched),
            "position": pa.array(rows.position, mask=~searched),
        }
        return pa.table({name: columns[name] for name in EVENT_COLUMNS})


def write_table(table: pa.Table, path: Path, repeating: list[str] | bool = True) -> None:
    """Write one Parquet file with page checksums; `repeating` names the columns worth a dictionary."""
    pq.write_table(table, path, compression="zstd", use_dictionary=repeating, write_page_checksum=True)


def _numbered(prefix: str, numbers: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return ids such as ``e17``."""
    return pc.binary_join_element_wise(prefix, pa.array(numbers, mask=missing).cast(pa.string()), "")
