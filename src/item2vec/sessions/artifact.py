"""Sessions on disk: ``clicks/`` and ``sessions/`` in Parquet by start date, the item table and the funnel.

A day of sessions is one partition more, a day forgotten one fewer. Booking sequences span years and
grow with every booking, and sessions without times have no day: both are one part without a date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.arrow import arrow_numbers, numpy_numbers
from item2vec.errors import CorruptArtifactError, DataError
from item2vec.sessions import columns as col
from item2vec.sessions.container import Sessions

DAY_US = 86_400_000_000
_PART = "part-0.parquet"
_FORMAT = 2


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


def save_sessions(sessions: Sessions, path: Path) -> None:
    """Write the artifact; the same sessions give the same bytes.

    Parameters
    ----------
    sessions : Sessions
        Written in the order of their ids, which must be distinct.
    path : Path
        A folder that does not exist yet or is empty.

    Raises
    ------
    DataError
        If a session id is repeated, or the folder holds files already.
    """
    order = np.argsort(sessions.session_ids, kind="stable")
    if len(np.unique(sessions.session_ids)) != len(sessions):
        raise DataError(
            "session ids are repeated (a sample with replacement?); only distinct sessions are saved"
        )
    if path.is_dir() and any(path.iterdir()):
        raise DataError(f"{path} is not empty; give a new folder, old partitions would mix with new ones")
    sessions = sessions.take(order)
    markets = sessions.session_markets()
    for folder, rows in _partitions(sessions):
        part = sessions if len(rows) == len(sessions) else sessions.take(rows)
        _write(_click_table(part), path / "clicks" / folder)
        _write(_session_table(part, markets[rows]), path / "sessions" / folder)
    _write(_item_table(sessions), path, "items.parquet")
    about = {
        "format": _FORMAT,
        "kind": sessions.kind,
        "attributes": sessions.items is not None,
        "funnel": sessions.funnel,
    }
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    (path / "funnel.json").write_text(text + "\n", encoding="utf-8")


def load_sessions(path: Path) -> Sessions:
    """Read the artifact; sessions come in the order of their ids.

    Raises
    ------
    CorruptArtifactError
        If a file is missing or damaged, or the parts do not fit together.
    """
    try:
        return _load(path)
    except (OSError, pa.ArrowException, KeyError, ValueError, DataError) as error:
        raise CorruptArtifactError(
            f"{path} holds no whole sessions artifact: {error}; build it again"
        ) from error


def _partitions(sessions: Sessions) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    everything = np.arange(len(sessions), dtype=np.int64)
    if sessions.start_us is None or sessions.kind == "booking" or not len(sessions):
        yield "", everything
        return
    days = sessions.start_us // DAY_US
    order = np.argsort(days, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(days[order])) + 1):
        yield f"date={np.datetime64(int(days[rows[0]]), 'D')}", rows


def _write(table: pa.Table, folder: Path, name: str = _PART) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, compression="zstd", write_page_checksum=True)


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read()


def _click_table(part: Sessions) -> pa.Table:
    lengths = np.diff(part.offsets)
    pos = np.arange(part.n_clicks, dtype=np.int64) - np.repeat(part.offsets[:-1], lengths)
    arrays = [
        arrow_numbers(np.repeat(part.session_ids, lengths)),
        arrow_numbers(pos.astype(np.int32)),
        part.item_ids.take(arrow_numbers(part.tokens)),
        _optional(part.ts_us, part.n_clicks),
    ]
    return pa.Table.from_arrays(arrays, schema=clicks_schema(part.item_ids.type))


def _session_table(part: Sessions, markets: npt.NDArray[np.int32]) -> pa.Table:
    schema = sessions_schema(part.item_ids.type)
    booked = _lists(
        part.booked_offsets, part.item_ids.take(arrow_numbers(part.booked)), schema.field("booked")
    )
    booked_us = pa.nulls(len(part), schema.field("booked_us").type)
    if part.booked_us is not None:
        booked_us = _lists(part.booked_offsets, arrow_numbers(part.booked_us), schema.field("booked_us"))
    users = pa.nulls(len(part), pa.string()) if part.user_ids is None else part.user_ids
    arrays = [
        arrow_numbers(part.session_ids),
        users,
        _optional(part.start_us, len(part)),
        _optional(part.end_us, len(part)),
        _market_names(part, markets),
        booked,
        booked_us,
        arrow_numbers(part.weights),
        arrow_numbers(np.diff(part.offsets)),
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _lists(offsets: npt.NDArray[np.int64], values: pa.Array, field: pa.Field) -> pa.Array:
    return pa.ListArray.from_arrays(arrow_numbers(offsets.astype(np.int32)), values, type=field.type)


def _item_table(sessions: Sessions) -> pa.Table:
    names = _market_names(sessions, sessions.markets)
    items = sessions.items
    if items is None:
        items = pa.Table.from_arrays([sessions.item_ids], names=["item_id"])
    return col.put_market(items, names)


def _market_names(sessions: Sessions, nums: npt.NDArray[np.int32]) -> pa.Array:
    return col.take_or_null(pa.array(sessions.market_names, pa.string()), nums)


def _optional(values: npt.NDArray[np.int64] | None, length: int) -> pa.Array:
    return pa.nulls(length, pa.int64()) if values is None else arrow_numbers(values)


def _load(path: Path) -> Sessions:
    about: dict[str, Any] = json.loads((path / "funnel.json").read_text(encoding="utf-8"))
    if about["format"] != _FORMAT:
        raise ValueError(f"it has format {about['format']}, and this version reads format {_FORMAT}")
    items = _read(path / "items.parquet")
    item_ids = col.one_array(items["item_id"])
    folders = _part_folders(path / "sessions")
    if folders != _part_folders(path / "clicks"):
        raise ValueError("clicks and sessions do not have the same days")
    clicks = _read_parts(path / "clicks", folders, clicks_schema(item_ids.type))
    rows = _read_parts(path / "sessions", folders, sessions_schema(item_ids.type))
    session_ids = numpy_numbers(rows["session_id"])
    offsets = col.offsets_of(numpy_numbers(rows["n_clicks"]))
    _check_clicks(clicks, session_ids, offsets)
    booked = col.one_array(rows["booked"])
    markets, market_names = col.encode_markets(col.one_array(items["market"]))
    sessions = Sessions(
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
    in_order = bool((np.diff(session_ids) > 0).all())
    return sessions if in_order else sessions.take(np.argsort(session_ids, kind="stable"))


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
    return sorted(file.parent.relative_to(path) for file in path.rglob(_PART))


def _read_parts(path: Path, folders: list[Path], schema: pa.Schema) -> pa.Table:
    parts = [_read(path / folder / _PART) for folder in folders]
    if any(part.schema != schema for part in parts):
        raise ValueError(f"the columns of {path.name} are not {', '.join(schema.names)}")
    return pa.concat_tables(parts)


def _present(column: pa.ChunkedArray) -> pa.Array | None:
    return None if column.null_count else col.one_array(column)


def _numbers_if_present(column: pa.ChunkedArray) -> npt.NDArray[np.int64] | None:
    return None if column.null_count else numpy_numbers(column)
