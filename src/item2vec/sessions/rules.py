"""The rules, one SQL file each, in their order, and the count of what each one took."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import pyarrow as pa

from item2vec.arrow import arrow_numbers
from item2vec.sessions import columns as col
from item2vec.sessions.config import SessionsConfig
from item2vec.sessions.engine import SqlEngine

_NEVER = 2**63 - 1
# All white space: left to itself, TRIM takes Unicode's spaces in DuckDB and the one of ASCII in Spark.
_BLANKS = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_ACTIONS = ("click", "wishlist", "inquiry", "booking")


@dataclass
class Rules:
    """One run of the rules over the table ``events`` of an engine.

    Parameters
    ----------
    engine : SqlEngine
        With its events opened.
    config : SessionsConfig
    on_step : callable
        Called with the name of each step when it begins.
    """

    engine: SqlEngine
    config: SessionsConfig
    on_step: Callable[[str], None] = lambda step: None
    events: dict[str, int] = field(default_factory=dict)
    clicks: dict[str, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    bookings: dict[str, int] = field(default_factory=dict)
    source: str = "moves"

    def count_events(self) -> None:
        """Count the events by type."""
        self.on_step("events")
        counts = self.engine.fetch(
            "SELECT event_type, CAST(COUNT(*) AS BIGINT) AS n FROM events GROUP BY event_type"
        )
        self.events = dict(
            sorted(zip(counts["event_type"].to_pylist(), counts["n"].to_pylist(), strict=True))
        )

    def number_users_and_items(self) -> pa.Array:
        """Number them in id order; return the item ids."""
        self.on_step("users and items")
        self.users["in"] = self.engine.create("users", _sql("users", token_type=self.config.kind))
        self.engine.create("items", _sql("items", event_types=_quoted({*self._moves(), "booking"})))
        return col.one_array(self.engine.fetch("SELECT item_id FROM items ORDER BY item_num")["item_id"])

    def event_markets(self, n_items: int) -> pa.Array:
        """Return each item's most frequent event market, null where it has none."""
        found = self.engine.fetch(_sql("item_markets", blanks=_BLANKS))
        rows = col.token_array(arrow_numbers(col.counter(n_items)), col.one_array(found["item_num"]))
        return col.take_or_null(found["market"], rows)

    def split(self) -> None:
        """Cut each user's clicks into sessions, and drop the users who are over a cap."""
        self.on_step("split")
        self.clicks["in"] = self.events[self.config.kind]
        gap_us = round(self.config.gap_minutes * 60e6) if self.config.kind == "click" else _NEVER
        dwell = ", dwell_seconds" if self._measures_dwell() else ""
        moves = _quoted(self._moves())
        token_type = self.config.kind
        sql = _sql("split", token_type=token_type, event_types=moves, gap_us=gap_us, dwell=dwell)
        self.engine.create(self.source, sql)
        self._drop_over_active()

    def filter_clicks(self) -> None:
        """Drop short stays, items of few users, repeats, and repeated pairs, in this order."""
        dwell, min_users = self.config.min_dwell_seconds, self.config.min_users_per_item
        if dwell is not None or min_users is not None:  # the two rules that can empty a session
            self.sessions["split"] = self.engine.create("bounds", _sql("bounds", source=self.source))
        if dwell is not None:
            self._apply("short_dwell", "dwell", min_dwell_us=round(dwell * 1e6))
        if min_users is not None:
            self.engine.create("shared_items", _sql("shared_items", source=self.source, min_users=min_users))
            self._apply("few_users", "few_users")
        if self.config.repeats != "keep":
            self._apply("repeats", f"repeats_{self.config.repeats}")
        if self.config.pairs_once_per_day:
            self._apply("repeated_pairs", "repeated_pairs")

    def keep_long_sessions(self) -> None:
        """Drop the sessions that are too short by now; the others get their ids."""
        self.on_step("min_length")
        nonempty = self.engine.create("bounds", _sql("bounds", source=self.source))
        kept = self.engine.create("sessions", _sql("sessions", min_length=self.config.min_length))
        n_clicks = self._number("COALESCE(SUM(n_clicks), 0)", "sessions")
        self.clicks["too_short"] = self.clicks["in"] - sum(self._lost()) - n_clicks
        self.clicks["kept"] = n_clicks
        split = self.sessions.get("split", nonempty)
        self.sessions = {
            "split": split,
            "emptied": split - nonempty,
            "too_short": nonempty - kept,
            "kept": kept,
        }
        kept_users = self._number("COUNT(DISTINCT user_num)", "sessions")
        self.users["without_session"] = self.users["in"] - self.users.get("over_active", 0) - kept_users
        self.users["kept"] = kept_users

    def attribute_bookings(self, market_nums: Any) -> pa.Table:
        """Give each booking to one session, or to none; return (session_id, item_num, booked_us) in order."""
        self.on_step("bookings")
        window_us = round(self.config.booking_window_hours * 3600e6)
        known = market_nums >= 0
        nums = [arrow_numbers(col.counter(len(known))[known]), arrow_numbers(market_nums[known])]
        self.engine.put("item_markets", pa.Table.from_arrays(nums, names=["item_num", "market_num"]))
        n_bookings = self.engine.create("bookings", _sql("bookings"))
        for rule, file in (("over_active", "active"), ("few_users", "few_users")):
            if rule in self.clicks:
                n_left = self.engine.create("bookings", _sql(file, source="bookings"))
                self.bookings[rule], n_bookings = n_bookings - n_left, n_left
        for rule in ("clicked", "market"):
            name = f"booked_{rule}"
            self.bookings[name] = self.engine.create(
                name, _sql(name, source=self.source, window_us=window_us)
            )
        total = self.events.get("booking", 0)
        self.bookings = {"in": total, **self.bookings, "unattributed": total - sum(self.bookings.values())}
        return self.engine.fetch(_sql("booked"))

    def results(self) -> tuple[pa.Table, pa.Table]:
        """Return the session rows and the tokens (item_num, ts_us), both in session order."""
        self.on_step("sessions")
        return self.engine.fetch(_sql("session_rows")), self.engine.fetch(_sql("tokens", source=self.source))

    def funnel(self) -> dict[str, Any]:
        """Return what came in and what each rule took; every block adds up."""
        funnel: dict[str, Any] = {
            "events": self.events,
            "clicks" if self.config.kind == "click" else "tokens": self.clicks,
            "users": self.users,
            "sessions": self.sessions,
        }
        return {**funnel, "bookings": self.bookings} if self.config.kind == "click" else funnel

    def _moves(self) -> tuple[str, ...]:
        return _ACTIONS if self._measures_dwell() else (self.config.kind,)

    def _measures_dwell(self) -> bool:
        return self.config.min_dwell_seconds is not None

    def _lost(self) -> list[int]:
        return [count for rule, count in self.clicks.items() if rule != "in"]

    def _number(self, aggregate: str, table: str) -> int:
        row = self.engine.fetch(f"SELECT CAST({aggregate} AS BIGINT) AS n FROM {table}")
        return int(row["n"][0].as_py())

    def _drop_over_active(self) -> None:
        caps = {
            "over_day": self.config.max_clicks_per_user_day,
            "over_session": self.config.max_session_length,
            "over_item": self.config.max_sessions_per_user_item,
        }
        over = [_sql(rule, source=self.source, cap=cap) for rule, cap in caps.items() if cap is not None]
        if not over:
            return
        sql = "SELECT DISTINCT user_num FROM (" + " UNION ALL ".join(over) + ") AS over_a_cap"
        self.users["over_active"] = self.engine.create("over_active", sql)
        self.engine.create("after_over_active", _sql("active", source=self.source))
        self._replaced_by("over_active", self._number("COALESCE(SUM(is_click), 0)", "after_over_active"))

    def _apply(self, rule: str, file: str, **values: object) -> None:
        self.on_step(rule)
        kept = self.engine.create(f"after_{rule}", _sql(file, source=self.source, **values))
        self._replaced_by(rule, kept)

    def _replaced_by(self, rule: str, clicks_kept: int) -> None:
        self.clicks[rule] = self.clicks["in"] - sum(self._lost()) - clicks_kept
        self.engine.drop(self.source)
        self.source = f"after_{rule}"


def _quoted(event_types: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(event_types))


def _sql(name: str, **values: object) -> str:
    text = files("item2vec.sessions").joinpath("sql", f"{name}.sql").read_text("utf-8")
    return text.format(**values)
