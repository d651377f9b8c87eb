"""Booked rank once more, as plain loops over one log: the referee for the SQL, the arrays and the kernel."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.events.schema import event_schema
from item2vec.sessions import sessionize
from item2vec.vocabulary import Vocabulary

INF = float("inf")


def event(user: str, ts: int, kind: str, item: Any, **more: Any) -> dict[str, Any]:
    """One row of an event table; ``more`` may hold seq, search_id, position and market."""
    blank = {"seq": 0, "dwell_seconds": None, "market": None, "search_id": None, "position": None}
    return {**blank, "user_id": user, "ts_us": ts, "event_type": kind, "item_id": item, **more}


def shown(user: str, ts: int, search: str, items: Any, **more: Any) -> list[dict[str, Any]]:
    """Impressions of one search in their order."""
    return [
        event(user, ts, "impression", item, search_id=search, position=place, **more)
        for place, item in enumerate(items, 1)
    ]


def write_log(folder: Path, events: list[dict[str, Any]], items: pa.Table | None = None) -> Any:
    """Write two unordered parts; return what the stages need of an event table."""
    id_type = "int64" if events and isinstance(events[0]["item_id"], int) else "string"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    rows = [{**row, "event_id": f"e{number}"} for number, row in enumerate(events)]
    for part in (0, 1):
        table = pa.Table.from_pylist(rows[part::2], schema=event_schema(id_type))
        pq.write_table(table, folder / f"part-{part}.parquet")
        files.append(str(folder / f"part-{part}.parquet"))
    return SimpleNamespace(files=files, items=items, id_type=id_type)


def sessions_of_log(log: Any) -> Any:
    """Sessions with every click of the log."""
    return sessionize(log, min_length=1, repeats="keep", booked_weight=1)


@dataclass(frozen=True)
class Case:
    session: int
    booked: Any
    history: tuple[Any, ...]
    position: int
    before: bool
    candidates: tuple[Any, ...]


class Table:
    """Scores that depend on every item of the history, with many ties, −inf and NaN."""

    def __init__(self, ids: list[Any], seed: int, levels: int = 4) -> None:
        kind = pa.int64() if isinstance(ids[0], int) else pa.string()
        self.vocabulary = Vocabulary(pa.array(ids, kind), np.ones(len(ids), np.int64))
        rng = np.random.default_rng(seed)
        self._table = rng.integers(0, levels, (len(ids) + 1, len(ids))).astype(np.float32)
        self._table[rng.random(self._table.shape) < 0.1] = -np.inf
        self._table[rng.random(self._table.shape) < 0.1] = np.nan

    def scores(self, histories: Any) -> np.ndarray:
        rows = [self._table[history].sum(axis=0) + self._table[-1] for history in histories]
        return np.array(rows, np.float32).reshape(len(histories), len(self.vocabulary))


class Fixed:
    """The same score for an item whatever was clicked."""

    def __init__(self, scores: dict[Any, float]) -> None:
        self.vocabulary = Vocabulary(pa.array(list(scores)), np.ones(len(scores), np.int64))
        self._row = np.array(list(scores.values()), np.float32)

    def scores(self, histories: Any) -> np.ndarray:
        return np.tile(self._row, (len(histories), 1))


def bookings_of(sessions: Any) -> list[tuple[int, str, list[Any], list[int], Any, int]]:
    """Return (session, user, clicked items, their times, booked item, its time) of every booking."""
    ids = sessions.item_ids.to_pylist()
    found = []
    for number, user in enumerate(sessions.user_ids.to_pylist()):
        clicks = slice(sessions.offsets[number], sessions.offsets[number + 1])
        items = [ids[token] for token in sessions.tokens[clicks]]
        times = sessions.ts_us[clicks].tolist()
        for at in range(sessions.booked_offsets[number], sessions.booked_offsets[number + 1]):
            booked = (ids[sessions.booked[at]], int(sessions.booked_us[at]))
            found.append((number, user, items, times, *booked))
    return found


def referee_searches(events: list[dict[str, Any]], sessions: Any) -> list[Case]:
    searches: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in events:
        if row["event_type"] == "impression" and row["search_id"] is not None:
            searches[row["user_id"], row["search_id"]].append(row)
    cases = []
    for number, user, items, times, booked, booked_us in bookings_of(sessions):
        for (searcher, _), rows in searches.items():
            first = min(row["ts_us"] for row in rows)
            seen = {row["item_id"] for row in rows}
            if searcher != user or booked not in seen or not times[0] < first <= booked_us:
                continue
            history = tuple(item for item, ts in zip(items, times, strict=True) if ts < first)
            n_clicks = sum(ts < booked_us for ts in times)
            candidates = tuple(
                item
                for item in sorted(seen, key=lambda item: _place(item, rows))
                if item == booked or item != history[-1]
            )
            position = n_clicks - len(history) + 1
            cases.append(Case(number, booked, history, position, booked not in history, candidates))
    return cases


def _place(item: Any, rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    own = [row for row in rows if row["item_id"] == item]
    places = [row["position"] for row in own if row["position"] is not None]
    return min(places, default=INF), min(r["ts_us"] for r in own), min(r["seq"] for r in own), item


def referee_markets(sessions: Any, known: set[Any], markets: dict[Any, str]) -> list[Case]:
    cases = []
    for number, _, items, times, booked, booked_us in bookings_of(sessions):
        if booked not in markets:
            continue
        of_market = {item for item in known if markets.get(item) == markets[booked]} | {booked}
        n_clicks = sum(ts < booked_us for ts in times)
        for nth in range(n_clicks):
            history = tuple(items[: nth + 1])
            candidates = of_market - ({items[nth]} - {booked})
            cases.append(
                Case(number, booked, history, n_clicks - nth, booked not in history, tuple(candidates))
            )
    return cases


def referee_rank(scorer: Any, case: Case, pooled: bool) -> float:
    history = case.history if pooled else case.history[-1:]
    nums = scorer.vocabulary.nums(list(history))
    row = scorer.scores([nums[nums >= 0]])[0]

    def score(item: Any) -> float:
        num = scorer.vocabulary.nums([item])[0]
        return -INF if num < 0 or np.isnan(row[num]) else float(row[num])

    others = [score(item) for item in case.candidates if item != case.booked]
    own = score(case.booked)
    if max(own, *others) == -INF:
        return len(case.candidates)  # silence
    return 1 + sum(other > own for other in others) + 0.5 * sum(other == own for other in others)
