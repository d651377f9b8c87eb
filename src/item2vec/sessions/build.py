"""Events in, sessions out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_numbers, numpy_numbers
from item2vec.errors import EmptyDataError
from item2vec.sessions import columns as col
from item2vec.sessions.config import SessionsConfig
from item2vec.sessions.container import Sessions
from item2vec.sessions.engine import SqlEngine
from item2vec.sessions.rules import Rules
from item2vec.settings import checked_settings
from item2vec.spark import import_for_spark


class EventTable(Protocol):
    """What is needed of the events: where they lie, and the item attributes."""

    @property
    def files(self) -> Sequence[str]:
        """Parquet files of the event schema."""

    @property
    def items(self) -> pa.Table | None:
        """Item attributes, one row per ``item_id``."""


def sessionize(
    events: EventTable,
    gap_minutes: float = 30.0,
    *,
    min_dwell_seconds: float | None = None,
    min_length: int = 2,
    repeats: Literal["keep", "collapse", "unique"] = "keep",
    booking_window_hours: float = 24.0,
    booked_weight: float = 5.0,
    kind: Literal["click", "booking"] = "click",
    max_session_length: int | None = None,
    max_clicks_per_user_day: int | None = None,
    max_sessions_per_user_item: int | None = None,
    min_users_per_item: int | None = None,
    pairs_once_per_day: bool = False,
    engine: Literal["duckdb", "spark"] = "duckdb",
    memory_limit: str = "900MB",
    out: str | Path | None = None,
    show_progress: bool = False,
) -> Sessions:
    """Build click sessions (or booking sequences) from events.

    The rules follow Grbovic & Cheng (KDD 2018), section 3.1, in this order: split at gaps, over-active users,
    dwell, items of few users, repeats, repeated pairs, minimum length, attribution of bookings. What each
    rule takes is counted in ``Sessions.funnel``. Caps and counts of users look at the whole log that is
    given: they grow with its span, and where it is split in time later, training and test sessions alike are
    what these rules left of it.

    Parameters
    ----------
    events : Events
        From :func:`item2vec.read_events`; only its ``files`` and ``items`` are used.
    gap_minutes : float
        Clicks of a user more than this apart belong to different sessions.
    min_dwell_seconds : float, optional
        Drop clicks with a shorter stay: the source's dwell, else the time from the first event of a run on
        one item to the session's next event on another item (clicks, wishlists, inquiries, bookings). Unknown
        stays are kept.
    min_length : int
        Least number of tokens of a session.
    repeats : {"keep", "collapse", "unique"}
        Keep repeated items, make consecutive ones one, or keep the first click on each item.
    booking_window_hours : float
        A booking belongs to its user's latest session that clicked the item before it, else to the latest one
        in the item's market, if the session's last click is no more than this before the booking.
    booked_weight : float
        Weight of sessions with bookings; all others weigh 1.
    kind : {"click", "booking"}
        ``"booking"``: one sequence per user of the bookings in time order, without gaps.
    max_session_length, max_clicks_per_user_day : int, optional
        Caps on clicks per session and per user and day (UTC); a user above one is dropped with all events.
    max_sessions_per_user_item : int, optional
        Another cap: a user who clicked one item in more sessions than this promotes it, and is dropped.
    min_users_per_item : int, optional
        Drop items that fewer users clicked (booked, for ``kind="booking"``), and their bookings. A user
        counts by any click left by the caps and the dwell rule, also in a session too short to be kept.
    pairs_once_per_day : bool
        Within a user's day (UTC, of the session's first click) two items meet in one session only: an item
        leaves a session if it and one clicked before it were both in an earlier session of that day. Repeats
        within a session are left to `repeats`; with ``"unique"`` every pair is counted once. Needs one of the
        caps on clicks.
    engine : {"duckdb", "spark"}
        What runs the rules; ``"spark"`` needs ``pip install 'item2vec[spark]'`` and a Java runtime. The rows
        are the same.
    memory_limit : str
        Memory the SQL engine may use before it spills to disk.
    out : path, optional
        Write the Parquet artifact there as well.
    show_progress : bool
        Show a bar over the steps.

    Returns
    -------
    Sessions
        In the order of their ids: by day of the first click (UTC), then user, then time.

    Raises
    ------
    ConfigError
        If a setting is out of range, or settings contradict each other.
    EmptyDataError
        If there are no clicks (bookings), or no session is left.
    MissingDependencyError
        If the engine's library is not installed.
    SourceError
        If the event files cannot be read.
    """
    keys = {name: value for name, value in locals().items() if name in SessionsConfig.model_fields}
    config = checked_settings(SessionsConfig, keys, "sessionize")
    sql_engine = _open_engine(config)
    try:
        sql_engine.open_events(events.files)
        with _Bar(show_progress) as bar:
            sessions = _build(Rules(sql_engine, config, on_step=bar.step), events.items)
    finally:
        sql_engine.close()
    if out is not None:
        sessions.save(out)
    return sessions


def _open_engine(config: SessionsConfig) -> SqlEngine:
    """Open the engine that the settings name; neither library is loaded for the other."""
    if config.engine == "duckdb":
        from item2vec.sessions.duckdb_engine import DuckDBEngine

        return DuckDBEngine(config.memory_limit)
    spark = import_for_spark("item2vec.sessions.spark_engine")
    engine: SqlEngine = spark.SparkEngine(config.memory_limit)
    return engine


def _build(rules: Rules, items: pa.Table | None) -> Sessions:
    config = rules.config
    rules.count_events()
    if not rules.events.get(config.kind):
        raise EmptyDataError(_no_events(rules))
    item_ids = rules.number_users_and_items()
    names = rules.event_markets(len(item_ids))
    table = pa.Table.from_arrays([item_ids], names=["item_id"])
    if items is not None:
        table = col.align_items(items, item_ids)
        if "market" in table.column_names:
            names = col.first_known(table["market"], names)
    market_nums, _ = col.encode_markets(names)
    rules.split()
    rules.filter_clicks()
    rules.keep_long_sessions()
    if not rules.sessions["kept"]:
        raise EmptyDataError(_no_sessions(rules))
    booked = rules.attribute_bookings(market_nums) if config.kind == "click" else None
    rows, tokens = rules.results()
    return _assemble(rules, col.put_market(table, names), rows, tokens, booked)


def _assemble(
    rules: Rules, items: pa.Table, rows: pa.Table, tokens: pa.Table, booked: pa.Table | None
) -> Sessions:
    session_ids = numpy_numbers(rows["session_id"])
    clicked = numpy_numbers(tokens["item_num"])
    bought = np.zeros(0, np.int32) if booked is None else numpy_numbers(booked["item_num"])
    owners = np.zeros(0, np.int64) if booked is None else numpy_numbers(booked["session_id"])
    booked_us = np.zeros(0, np.int64) if booked is None else numpy_numbers(booked["booked_us"])
    n_booked = np.bincount(np.searchsorted(session_ids, owners), minlength=len(session_ids))
    used, new_num = _used(items.num_rows, clicked, bought)
    items = items.take(arrow_numbers(used))
    markets, market_names = col.encode_markets(col.one_array(items["market"]))
    weight = rules.config.booked_weight
    return Sessions(
        item_ids=col.one_array(items["item_id"]),
        tokens=new_num[clicked],
        offsets=col.offsets_of(numpy_numbers(rows["n_clicks"])),
        booked=new_num[bought],
        booked_offsets=col.offsets_of(n_booked),
        weights=np.where(n_booked > 0, weight, 1.0).astype(np.float32),
        session_ids=session_ids,
        user_ids=col.one_array(rows["user_id"]),
        start_us=numpy_numbers(rows["start_us"]),
        end_us=numpy_numbers(rows["end_us"]),
        ts_us=numpy_numbers(tokens["ts_us"]),
        booked_us=booked_us,
        markets=markets,
        market_names=market_names,
        items=items.combine_chunks(),
        kind=rules.config.kind,
        funnel=rules.funnel(),
    )


def _used(n_items: int, *nums: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the item numbers that occur, ascending, and each item's place among them."""
    occurs = np.zeros(n_items, bool)
    for array in nums:
        occurs[array] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1).astype(np.int32)


def _no_events(rules: Rules) -> str:
    kind, other = rules.config.kind, {"click": "booking", "booking": "click"}[rules.config.kind]
    found = ", ".join(f"{count:,} {name}" for name, count in rules.events.items()) or "none at all"
    hint = f", or build kind={other!r}" if rules.events.get(other) else ""
    return f"there are no {kind} events ({found}); map the log's {kind} values with event_types{hint}"


def _no_sessions(rules: Rules) -> str:
    counts = [(rule, count) for rule, count in rules.clicks.items() if rule not in ("in", "kept")]
    lost = ", ".join(f"{count:,} as {rule}" for rule, count in counts)
    return (
        f"no session is left: of {rules.clicks['in']:,} {rules.config.kind} events the rules took {lost};"
        " lower min_length, min_dwell_seconds or min_users_per_item, or raise the caps"
    )


class _Bar:
    """A progress bar over the steps, imported only when shown."""

    def __init__(self, shown: bool) -> None:
        self._bar: Any = None
        if shown:
            from tqdm import tqdm

            self._bar = tqdm(desc="sessions", unit=" steps")

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, name: str) -> None:
        """Show the step that begins."""
        if self._bar is not None:
            self._bar.set_postfix_str(name)
            self._bar.update()
