"""Sessions on disk: ``clicks/`` and ``sessions/`` in Parquet by start date, the item table and the funnel.

A day of sessions is one partition more, a day forgotten one fewer. Booking sequences span years and
grow with every booking, and sessions without times have no day: both are one part without a date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.arrow import arrow_numbers
from item2vec.errors import DataError
from item2vec.sessions import columns as col
from item2vec.sessions.container import Sessions
from item2vec.sessions.parts import FORMAT, PART, SessionsArtifact, clicks_schema, sessions_schema

DAY_US = 86_400_000_000


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
        "format": FORMAT,
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
    artifact = SessionsArtifact(path)
    return in_order_of_ids(artifact.read(range(len(artifact.folders))))


def in_order_of_ids(sessions: Sessions) -> Sessions:
    """Return the sessions in the order of their ids."""
    ids = sessions.session_ids
    return sessions if (np.diff(ids) > 0).all() else sessions.take(np.argsort(ids, kind="stable"))


def _partitions(sessions: Sessions) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    everything = np.arange(len(sessions), dtype=np.int64)
    if sessions.start_us is None or sessions.kind == "booking" or not len(sessions):
        yield "", everything
        return
    days = sessions.start_us // DAY_US
    order = np.argsort(days, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(days[order])) + 1):
        yield f"date={np.datetime64(int(days[rows[0]]), 'D')}", rows


def _write(table: pa.Table, folder: Path, name: str = PART) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, compression="zstd", write_page_checksum=True)


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
