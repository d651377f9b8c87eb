"""The event table on disk, as the later stages see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.errors import CorruptArtifactError, SourceError
from item2vec.events.reconciliation import Reconciliation
from item2vec.events.schema import event_schema


@dataclass(frozen=True, eq=False)
class Events:
    """One typed, ordered event table.

    The rows lie in ``events/part-*.parquet`` in the total order (user_id, ts_us, seq, event_id) over all
    parts, and no user is spread over two parts: a reader may take one part at a time.

    Parameters
    ----------
    path : Path
        Folder with ``events/part-*.parquet``, ``items.parquet`` and ``users.parquet`` where there are such
        tables, ``reconciliation.json`` and ``quarantine/*.parquet`` (columns file, line, reason, raw).
    reconciliation : Reconciliation
        Where every source row went.
    id_type : {"string", "int64"}
        Type of ``item_id``.
    items, users : pyarrow.Table or None
        Attributes, one row per ``item_id`` (``user_id``).
    """

    path: Path
    reconciliation: Reconciliation
    id_type: str
    items: pa.Table | None = None
    users: pa.Table | None = None
    _keep_alive: Any = field(default=None, repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Events:
        """Open the folder that :func:`read_events` wrote.

        Raises
        ------
        SourceError
            If the folder is missing or holds no event table.
        CorruptArtifactError
            If its files cannot be read or do not belong together.
        """
        path = Path(path)
        if not (path / "reconciliation.json").is_file():
            raise SourceError(
                f"{path} holds no event table; read a log into it with read_events(..., out=...)"
            )
        account = Reconciliation.from_json((path / "reconciliation.json").read_text("utf-8"))
        parts = sorted((path / "events").glob("part-*.parquet"))
        try:
            schemas = [pq.read_schema(part) for part in parts]
            tables = [_read(path / name) for name in ("items.parquet", "users.parquet")]
        except (OSError, pa.ArrowException) as error:
            raise CorruptArtifactError(f"{path} is damaged ({error}); read the events again") from None
        if not schemas:
            raise CorruptArtifactError(f"{path}/events has no part-*.parquet; read the events again")
        id_type = str(schemas[0].field("item_id").type) if "item_id" in schemas[0].names else "missing"
        if id_type not in ("string", "int64") or any(s != event_schema(id_type) for s in schemas):
            raise CorruptArtifactError(
                f"{path}/events has other columns than an event table; read the events again"
            )
        return cls(path, account, id_type, *tables)

    @property
    def files(self) -> list[str]:
        """The Parquet parts of the event table, in their order."""
        return [str(part) for part in sorted((self.path / "events").glob("part-*.parquet"))]

    def __len__(self) -> int:
        return self.reconciliation.n_events

    def to_table(self) -> pa.Table:
        """Read all events into memory, in their total order."""
        return pa.concat_tables([_read(Path(part)) for part in self.files])

    def quarantine(self) -> pa.Table:
        """Read the refused rows: file, line (row number in Parquet, both from 1), reason, raw text."""
        return pa.concat_tables(
            [_read(part) for part in sorted((self.path / "quarantine").glob("*.parquet"))]
        )


def _read(path: Path) -> pa.Table | None:
    """Read one Parquet file, verifying its page checksums, without the pandas import of ``pq.read_table``."""
    if not path.exists():
        return None
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read()
