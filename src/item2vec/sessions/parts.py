"""The parts of a sessions artifact: their schemas, and how all or some of them are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.arrow import numpy_numbers
from item2vec.errors import CorruptArtifactError, DataError
from item2vec.sessions import columns as col
from item2vec.sessions.container import Sessions

PART = "part-0.parquet"
FORMAT = 2


def clicks_schema(id_type: pa.DataType) -> pa.Schema:
    """Return the schema of ``clicks/``: one row per token."""
    return pa.schema(
        [
            pa.field("session_id", pa.int64(), nullable=False),
            pa.field("pos", pa.int32(), nullable=False),
            pa.field("item_id", id_type, nullable=False),
            pa.field("ts_us", pa.int64()),
        ]
    )


def sessions_schema(id_type: pa.DataType) -> pa.Schema:
    """Return the schema of ``sessions/``: one row per session."""
    return pa.schema(
        [
            pa.field("session_id", pa.int64(), nullable=False),
            pa.field("user_id", pa.string()),
            pa.field("start_us", pa.int64()),
            pa.field("end_us", pa.int64()),
            pa.field("market", pa.string()),
            pa.field("booked", pa.list_(pa.field("item_id", id_type, nullable=False)), nullable=False),
            pa.field("booked_us", pa.list_(pa.field("ts_us", pa.int64(), nullable=False))),
            pa.field("weight", pa.float32(), nullable=False),
            pa.field("n_clicks", pa.int64(), nullable=False),
        ]
    )


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError, DataError) as error:
        raise CorruptArtifactError(
            f"{path} holds no whole sessions artifact: {error}; build it again"
        ) from error


class SessionsArtifact:
    """The artifact on disk, all of it or some of its parts.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    folders : list of Path
        One per part, a day each, in the order of the days.

    Raises
    ------
    CorruptArtifactError
        If a file is missing or damaged, or the parts do not fit together; so do all methods.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _whole(path):
            self.about: dict[str, Any] = json.loads((path / "funnel.json").read_text(encoding="utf-8"))
            if (found := self.about["format"]) != FORMAT:
                raise ValueError(f"it has format {found}, and this version reads format {FORMAT}")
            self.folders = _part_folders(path / "sessions")
            if self.folders != _part_folders(path / "clicks"):
                raise ValueError("clicks and sessions do not have the same days")

    def clicks_per_part(self) -> list[int]:
        """Return the number of clicks of each part; of the files only their footers are read."""
        with _whole(self.path):
            return [pq.read_metadata(self.path / "clicks" / f / PART).num_rows for f in self.folders]

    def read(self, parts: Sequence[int]) -> Sessions:
        """Read some parts; the sessions lie as they do there, over the items of all parts."""
        with _whole(self.path):
            return _read_sessions(self.path, self.about, [self.folders[number] for number in parts])


def _read_sessions(path: Path, about: dict[str, Any], folders: list[Path]) -> Sessions:
    items = _read(path / "items.parquet")
    item_ids = col.one_array(items["item_id"])
    clicks = _read_parts(path / "clicks", folders, clicks_schema(item_ids.type))
    rows = _read_parts(path / "sessions", folders, sessions_schema(item_ids.type))
    session_ids = numpy_numbers(rows["session_id"])
    offsets = col.offsets_of(numpy_numbers(rows["n_clicks"]))
    _check_clicks(clicks, session_ids, offsets)
    booked = col.one_array(rows["booked"])
    markets, market_names = col.encode_markets(col.one_array(items["market"]))
    return Sessions(
        item_ids=item_ids,
        tokens=col.token_array(clicks["item_id"], item_ids),
        offsets=offsets,
        booked=col.token_array(booked.flatten(), item_ids),
        booked_offsets=_list_offsets(booked),
        weights=numpy_numbers(rows["weight"]),
        session_ids=session_ids,
        user_ids=_present(rows["user_id"]),
        start_us=_numbers_if_present(rows["start_us"]),
        end_us=_numbers_if_present(rows["end_us"]),
        ts_us=_numbers_if_present(clicks["ts_us"]),
        booked_us=_booking_times(col.one_array(rows["booked_us"]), booked),
        markets=markets,
        market_names=market_names,
        items=items if about["attributes"] else None,
        kind=about["kind"],
        funnel=about["funnel"],
    )


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read()


def _check_clicks(
    clicks: pa.Table, session_ids: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> None:
    lengths = np.diff(offsets)
    if not np.array_equal(np.repeat(session_ids, lengths), numpy_numbers(clicks["session_id"])):
        raise ValueError("clicks and sessions name different sessions")
    pos = np.arange(clicks.num_rows, dtype=np.int64) - np.repeat(offsets[:-1], lengths)
    if not np.array_equal(pos, numpy_numbers(clicks["pos"])):
        raise ValueError("the positions of the clicks have gaps")


def _list_offsets(lists: pa.Array) -> npt.NDArray[np.int64]:
    offsets: npt.NDArray[np.int64] = numpy_numbers(lists.offsets).astype(np.int64)
    offsets -= offsets[0]
    return offsets


def _booking_times(times: pa.Array, booked: pa.Array) -> npt.NDArray[np.int64] | None:
    if times.null_count and times.null_count == len(times):
        return None
    if times.null_count or not np.array_equal(_list_offsets(times), _list_offsets(booked)):
        raise ValueError("booked and booked_us do not have the same lengths")
    return numpy_numbers(times.flatten())


def _part_folders(path: Path) -> list[Path]:
    return sorted(file.parent.relative_to(path) for file in path.rglob(PART))


def _read_parts(path: Path, folders: list[Path], schema: pa.Schema) -> pa.Table:
    parts = [_read(path / folder / PART) for folder in folders]
    if any(part.schema != schema for part in parts):
        raise ValueError(f"the columns of {path.name} are not {', '.join(schema.names)}")
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _present(column: pa.ChunkedArray) -> pa.Array | None:
    return None if column.null_count else col.one_array(column)


def _numbers_if_present(column: pa.ChunkedArray) -> npt.NDArray[np.int64] | None:
    return None if column.null_count else numpy_numbers(column)
