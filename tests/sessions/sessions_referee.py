"""The session rules once more, as plain loops over one user's events: the referee for the SQL."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DAY_US = 86_400_000_000


@dataclass
class Event:
    user_id: str
    ts_us: int
    event_type: str
    item_id: Any
    seq: int = 0
    event_id: str = ""
    dwell_seconds: float | None = None
    market: str | None = None


@dataclass
class Rules:
    gap_minutes: float = 30.0
    min_dwell_seconds: float | None = None
    min_length: int = 2
    repeats: str = "keep"
    booking_window_hours: float = 24.0
    booked_weight: float = 5.0
    kind: str = "click"
    max_session_length: int | None = None
    max_clicks_per_user_day: int | None = None
    max_sessions_per_user_item: int | None = None
    min_users_per_item: int | None = None
    pairs_once_per_day: bool = False


@dataclass
class Session:
    user_id: str
    clicks: list[Event]
    booked: list[Any] = field(default_factory=list)
    booked_us: list[int] = field(default_factory=list)


def write_events(
    folder: Path, events: list[Event], items: pa.Table | None = None, id_type: Any = None
) -> Any:
    """Write events in two unordered parts and return what ``sessionize`` needs of an event table."""
    id_type = id_type or (pa.int64() if events and isinstance(events[0].item_id, int) else pa.string())
    schema = pa.schema(
        [
            ("user_id", pa.string()),
            ("ts_us", pa.int64()),
            ("seq", pa.int64()),
            ("event_id", pa.string()),
            ("event_type", pa.string()),
            ("item_id", id_type),
            ("dwell_seconds", pa.float64()),
            ("market", pa.string()),
            ("search_id", pa.string()),
            ("position", pa.int32()),
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for part in (0, 1):
        rows = [vars(event) | {"search_id": None, "position": None} for event in events[part::2]]
        files.append(str(folder / f"part-{part}.parquet"))
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), files[-1])
    return SimpleNamespace(files=files, items=items)


def sessions_of(events: list[Event], rules: Rules, item_markets: dict[Any, str] | None = None):
    """Return the sessions in their final order, and the funnel's counts of clicks and bookings."""
    markets = markets_of(events, item_markets or {})
    result: list[Session] = []
    lost: Counter[str] = Counter()
    bookings: Counter[str] = Counter()
    by_user = defaultdict(list)
    for event in sorted(events, key=lambda e: (e.user_id, e.ts_us, e.seq, e.event_id, e.item_id)):
        by_user[event.user_id].append(event)
    stayed = {}
    for user, own in by_user.items():
        tokens = [e for e in own if e.event_type == rules.kind]
        booked = [e for e in own if e.event_type == "booking"] if rules.kind == "click" else []
        lost["in"] += len(tokens)
        bookings["in"] += len(booked)
        sessions = _split(tokens, rules)
        if _over_active(tokens, sessions, rules):
            lost["over_active"] += len(tokens)
            bookings["over_active"] += len(booked)
            continue
        if rules.min_dwell_seconds is not None:
            sessions = [_without_short(session, own, rules) for session in sessions]
            lost["short_dwell"] += len(tokens) - _size(sessions)
        stayed[user] = sessions, booked, bool(tokens)
    clickers = defaultdict(set)
    for user, (sessions, _, _) in stayed.items():
        for click in (click for session in sessions for click in session):
            clickers[click.item_id].add(user)
    for sessions, booked, has_tokens in stayed.values():
        if rules.min_users_per_item is not None:
            before = _size(sessions)
            sessions = [_of_shared_items(s, clickers, rules.min_users_per_item) for s in sessions]
            lost["few_users"] += before - _size(sessions)
        if rules.min_users_per_item is not None and has_tokens:
            shared = _of_shared_items(booked, clickers, rules.min_users_per_item)
            bookings["few_users"] += len(booked) - len(shared)
            booked = shared
        before = _size(sessions)
        sessions = [_without_repeats(session, rules.repeats) for session in sessions]
        lost["repeats"] += before - _size(sessions)
        before = _size(sessions)
        if rules.pairs_once_per_day:
            sessions = _without_repeated_pairs(sessions)
        lost["repeated_pairs"] += before - _size(sessions)
        lost["too_short"] += sum(len(s) for s in sessions if len(s) < rules.min_length)
        kept = [Session(s[0].user_id, s) for s in sessions if len(s) >= rules.min_length]
        lost["kept"] += _size(s.clicks for s in kept)
        for booking in booked:
            bookings[_attribute(booking, kept, markets, rules)] += 1
        result += kept
    result.sort(key=lambda s: (s.clicks[0].ts_us // DAY_US, s.user_id, s.clicks[0].ts_us))
    return result, lost, bookings


def markets_of(events: list[Event], item_markets: dict[Any, str]) -> dict[Any, str]:
    seen = defaultdict(Counter)
    for event in events:
        if event.market and event.market.strip():
            seen[event.item_id][event.market] += 1
    found = {item: _most_frequent(counts) for item, counts in seen.items()}
    return found | {item: name for item, name in item_markets.items() if name}


def session_market(clicks: list[Event], markets: dict[Any, str]) -> str | None:
    return _most_frequent(Counter(markets[c.item_id] for c in clicks if c.item_id in markets))


def _most_frequent(counts: Counter) -> Any:
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _size(sessions) -> int:
    return sum(len(session) for session in sessions)


def _split(tokens: list[Event], rules: Rules) -> list[list[Event]]:
    sessions: list[list[Event]] = []
    for event in tokens:
        if rules.kind == "booking":
            new = not sessions
        else:
            new = not sessions or event.ts_us - sessions[-1][-1].ts_us > rules.gap_minutes * 60_000_000
        if new:
            sessions.append([])
        sessions[-1].append(event)
    return sessions


def _of_shared_items(events: list[Event], clickers, min_users: int) -> list[Event]:
    return [event for event in events if len(clickers[event.item_id]) >= min_users]


def _over_active(tokens, sessions, rules: Rules) -> bool:
    visits = Counter(item for session in sessions for item in {click.item_id for click in session})
    most = max(visits.values(), default=0)
    if rules.max_sessions_per_user_item and most > rules.max_sessions_per_user_item:
        return True
    days = Counter(event.ts_us // DAY_US for event in tokens)
    if rules.max_clicks_per_user_day and max(days.values(), default=0) > rules.max_clicks_per_user_day:
        return True
    return bool(rules.max_session_length and any(len(s) > rules.max_session_length for s in sessions))


def _without_short(session: list[Event], own: list[Event], rules: Rules) -> list[Event]:
    return [
        c
        for c in session
        if (stay := _stay(c, session, own, rules)) is None or stay >= rules.min_dwell_seconds
    ]


def _stay(click: Event, session: list[Event], own: list[Event], rules: Rules) -> float | None:
    """Seconds on the item of a click, None if unknown; an action counts within the gap after a click."""
    if click.dwell_seconds is not None:
        return click.dwell_seconds
    moves: list[Event] = []
    for event in own:
        if event.event_type == "click":
            if moves and not any(event is one for one in session):
                break
            if any(event is one for one in session):
                moves.append(event)
        elif event.event_type in ("wishlist", "inquiry", "booking") and moves:
            last_click = [move for move in moves if move.event_type == "click"][-1]
            if event.ts_us - last_click.ts_us <= rules.gap_minutes * 60_000_000:
                moves.append(event)
    here = next(i for i, move in enumerate(moves) if move is click)
    start = here
    while start and moves[start - 1].item_id == click.item_id:
        start -= 1
    for move in moves[here:]:
        if move.item_id != click.item_id:
            return (move.ts_us - moves[start].ts_us) / 1e6
    return None


def _without_repeats(session: list[Event], repeats: str) -> list[Event]:
    kept: list[Event] = []
    for click in session:
        if repeats == "collapse" and kept and kept[-1].item_id == click.item_id:
            continue
        if repeats == "unique" and any(k.item_id == click.item_id for k in kept):
            continue
        kept.append(click)
    return kept


def _without_repeated_pairs(sessions: list[list[Event]]) -> list[list[Event]]:
    met = defaultdict(set)
    kept = []
    for session in sessions:
        if not session:
            continue
        items = list(dict.fromkeys(click.item_id for click in session))
        pairs_of_day = met[session[0].ts_us // DAY_US]
        gone = {
            later
            for place, later in enumerate(items)
            if any(frozenset((earlier, later)) in pairs_of_day for earlier in items[:place])
        }
        pairs_of_day |= {frozenset(pair) for pair in combinations(items, 2)}
        kept.append([click for click in session if click.item_id not in gone])
    return kept


def _attribute(booking: Event, sessions: list[Session], markets, rules: Rules) -> str:
    in_time = [
        s
        for s in sessions
        if s.clicks[0].ts_us <= booking.ts_us
        and booking.ts_us - s.clicks[-1].ts_us <= rules.booking_window_hours * 3_600_000_000
    ]
    clicked = [
        s for s in in_time if any(c.item_id == booking.item_id and c.ts_us <= booking.ts_us for c in s.clicks)
    ]
    market = markets.get(booking.item_id)
    same_market = [s for s in in_time if market and session_market(s.clicks, markets) == market]
    for rule, found in (("booked_clicked", clicked), ("booked_market", same_market)):
        if found:
            if booking.item_id not in found[-1].booked:
                found[-1].booked.append(booking.item_id)
                found[-1].booked_us.append(booking.ts_us)
            return rule
    return "unattributed"
