"""Labels and discounted gains once more, as plain loops: the referee for the SQL and the arrays."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np

S = 1_000_000
DAY = 86_400 * S
REJECTED, SHOWN, CLICKED, CONTACTED, BOOKED = range(5)
GAIN = {REJECTED: 0.0, SHOWN: 0.4, CLICKED: 0.41, CONTACTED: 0.65, BOOKED: 1.4}
UTILITY = {REJECTED: -0.4, SHOWN: 0.0, CLICKED: 0.01, CONTACTED: 0.25, BOOKED: 1.0}
Rows = list[dict[str, Any]]
Pages = dict[tuple[str, str], dict[str, int]]


def labels_of(rows: Rows, wait_days: float = 7, booked_only: bool = True) -> dict[tuple[str, str, str], int]:
    """The label of every listing that is kept, by user, search and item."""
    wait = round(wait_days * DAY)
    pages = pages_of(rows)
    as_of = {
        key: min(row["ts_us"] for row in rows if (row["user_id"], row["search_id"]) == key) for key in pages
    }
    clicked: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row["user_id"], row["search_id"])
        if row["event_type"] == "click" and key in pages and row["item_id"] in pages[key]:
            whole = (*key, row["item_id"])
            clicked[whole] = min(row["ts_us"], clicked.get(whole, 10**18))
    clicked = {key: ts for key, ts in clicked.items() if ts <= as_of[key[:2]] + wait}
    verdicts: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    for row in rows:
        if row["event_type"] in ("wishlist", "inquiry", "booking", "rejection"):
            owners = [
                key
                for key, ts in clicked.items()
                if (key[0], key[2]) == (row["user_id"], row["item_id"]) and ts <= row["ts_us"]
            ]
            if owners:
                owner = max(owners, key=lambda key: (as_of[key[:2]], key[1]))
                if row["ts_us"] <= as_of[owner[:2]] + wait:
                    verdicts.setdefault(owner, []).append((row["ts_us"], row["event_type"]))
    found = {}
    end = max(row["ts_us"] for row in rows)
    for key, page in pages.items():
        mine = {item: label_of((*key, item), clicked, verdicts) for item in page}
        last = max((page[item] for item in page if (*key, item) in clicked), default=0)
        if as_of[key] + wait <= end and (not booked_only or BOOKED in mine.values()):
            found |= {(*key, item): label for item, label in mine.items() if page[item] <= last}
    return found


def pages_of(rows: Rows) -> Pages:
    pages: Pages = {}
    for row in rows:
        if row["event_type"] == "impression" and row["search_id"] is not None:
            page = pages.setdefault((row["user_id"], row["search_id"]), {})
            page[row["item_id"]] = min(row["position"], page.get(row["item_id"], 10**9))
    return pages


def label_of(key: Any, clicked: dict[Any, int], verdicts: dict[Any, list[tuple[int, str]]]) -> int:
    mine = verdicts.get(key, [])
    final = [(ts, kind == "booking") for ts, kind in mine if kind in ("booking", "rejection")]
    if final:
        return BOOKED if max(final)[1] else REJECTED
    if mine:
        return CONTACTED
    return CLICKED if key in clicked else SHOWN


def expected_sum(worth: list[float], scores: list[float]) -> float:
    """Σ worth / log2(1 + rank), the mean over all orders that the scores leave open."""
    sums = [
        sum(worth[place] / np.log2(2 + rank) for rank, place in enumerate(order))
        for order in permutations(range(len(worth)))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    return float(np.mean(sums))


def best_sum(worth: list[float]) -> float:
    return sum(one / np.log2(2 + rank) for rank, one in enumerate(sorted(worth, reverse=True)))
