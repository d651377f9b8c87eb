"""The parts of a sessions artifact: their schemas, and how all or some of them are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
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
LEAN_CLICKS = ("session_id", "pos", "item_id")
LEAN_SESSIONS = ("session_id", "n_clicks", "booked", "weight")
Columns = dict[str, Any]
"""Of :class:`Sessions`, but for the ragged ones' lengths in the place of their offsets."""
Choose = Callable[[int, npt.NDArray[np.int64]], npt.NDArray[np.bool_]]


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
        return self._sessions(parts, self._part)

    def read_lean(self, parts: Sequence[int], choose: Choose) -> Sessions:
        """Read some sessions of some parts to train on: without users, times and the items' attributes.

        Parameters
        ----------
        parts : sequence of int
        choose : callable (part, starts) -> ndarray of bool
            Which sessions of a part are kept, given the positions of their first clicks among the part's.
        """

        def read(number: int, item_ids: pa.Array) -> Columns:
            part = self._part(number, item_ids, LEAN_CLICKS, LEAN_SESSIONS)
            return _chosen(part, choose(number, col.offsets_of(part["lengths"])[:-1]))

        return self._sessions(parts, read, ("item_id", "market"))

    def _sessions(
        self,
        parts: Sequence[int],
        read: Callable[[int, pa.Array], Columns],
        item_columns: Sequence[str] | None = None,
    ) -> Sessions:
        """Put parts together; one of them is in memory as a table at a time."""
        with _whole(self.path):
            items = _read(self.path / "items.parquet", columns=item_columns)
            item_ids = col.one_array(items["item_id"])
            markets, market_names = col.encode_markets(col.one_array(items["market"]))
            columns = _joined([read(number, item_ids) for number in parts] or [_no_columns(item_ids)])
            return Sessions(
                item_ids=item_ids,
                offsets=col.offsets_of(columns.pop("lengths")),
                booked_offsets=col.offsets_of(columns.pop("booked_lengths")),
                **columns,
                markets=markets,
                market_names=market_names,
                items=items if self.about["attributes"] and item_columns is None else None,
                kind=self.about["kind"],
                funnel=self.about["funnel"],
            )

    def _part(
        self,
        number: int,
        item_ids: pa.Array,
        click_columns: Sequence[str] | None = None,
        session_columns: Sequence[str] | None = None,
    ) -> Columns:
        folder = self.folders[number]
        clicks = _read(self.path / "clicks" / folder / PART, clicks_schema(item_ids.type), click_columns)
        rows = _read(self.path / "sessions" / folder / PART, sessions_schema(item_ids.type), session_columns)
        return _columns(clicks, rows, item_ids)


def _read(path: Path, schema: pa.Schema | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if schema is not None and file.schema_arrow != schema:
            raise ValueError(f"the columns of {path.parent.parent.name} are not {', '.join(schema.names)}")
        return file.read(columns)


def _no_columns(item_ids: pa.Array) -> Columns:
    clicks, rows = clicks_schema(item_ids.type).empty_table(), sessions_schema(item_ids.type).empty_table()
    return _columns(clicks, rows, item_ids)


def _columns(clicks: pa.Table, rows: pa.Table, item_ids: pa.Array) -> Columns:
    session_ids, lengths = numpy_numbers(rows["session_id"]), numpy_numbers(rows["n_clicks"])
    _check_clicks(clicks, session_ids, col.offsets_of(lengths))
    booked = col.one_array(rows["booked"])
    columns = {
        "tokens": col.token_array(clicks["item_id"], item_ids),
        "lengths": lengths,
        "booked": col.token_array(booked.flatten(), item_ids),
        "booked_lengths": np.diff(_list_offsets(booked)),
        "weights": numpy_numbers(rows["weight"]),
        "session_ids": session_ids,
    }
    if "user_id" not in rows.column_names:
        return columns
    return columns | {
        "user_ids": _present(rows["user_id"]),
        "start_us": _numbers_if_present(rows["start_us"]),
        "end_us": _numbers_if_present(rows["end_us"]),
        "ts_us": _numbers_if_present(clicks["ts_us"]),
        "booked_us": _booking_times(col.one_array(rows["booked_us"]), booked),
    }


def _chosen(columns: Columns, mask: npt.NDArray[np.bool_]) -> Columns:
    """Return some sessions of lean columns."""
    ragged = {"tokens": columns["lengths"], "booked": columns["booked_lengths"]}
    return {
        name: values[np.repeat(mask, ragged[name]) if name in ragged else mask]
        for name, values in columns.items()
    }


def _joined(parts: list[Columns]) -> Columns:
    """Put the columns of parts one after another; what one of them lacks is unknown in all."""
    known = {part["booked_us"] is None for part in parts if "booked_us" in part}
    if len(known) > 1:
        raise ValueError("booked_us is known on some days only")
    joined: Columns = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        if any(column is None for column in columns):
            joined[name] = None
        elif len(parts) == 1:
            joined[name] = columns[0]
        else:
            join = pa.concat_arrays if isinstance(columns[0], pa.Array) else np.concatenate
            joined[name] = join(columns)
    return joined


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


def _present(column: pa.ChunkedArray) -> pa.Array | None:
    return None if column.null_count else col.one_array(column)


def _numbers_if_present(column: pa.ChunkedArray) -> npt.NDArray[np.int64] | None:
    return None if column.null_count else numpy_numbers(column)
