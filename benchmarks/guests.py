"""A shop as the lookup API meets it: listings with markets and prices, vectors, guests and what they did."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import item2vec as i2v
from benchmarks.lookup import VECTOR_SIZE, clustered
from item2vec.embeddings import Item2Vec, ItemVectors
from item2vec.recommendations import UserEvent, UserHistory
from item2vec.vocabulary import Vocabulary

MARKETS, EVENTS, GUESTS, FEW_USERS = 50, 20, 100, 2048


class Shop(NamedTuple):
    """What is served, and who asks: each guest with so many consecutive events, oldest first."""

    vectors: ItemVectors
    items: pa.Table
    guests: list[list[UserEvent]]


def generated_shop(n_items: int, folder: Path) -> Shop:
    """Vectors in groups, which know nothing of markets and popularity, beside simulated guests."""
    log = i2v.simulate(folder / "log", n_listings=n_items, n_markets=MARKETS, n_users=FEW_USERS)
    items = _items(log)
    drawn = clustered(n_items)
    vocabulary = Vocabulary(items["item_id"].combine_chunks(), drawn.counts)
    return Shop(ItemVectors(vocabulary, drawn.vectors, drawn.context_vectors), items, _guests(log))


def trained_shop(n_items: int, folder: Path) -> Shop:
    """Vectors of about so many items, trained on the clicks of a simulated marketplace."""
    size = {"n_listings": n_items * 11 // 10, "n_users": n_items * 6 // 5, "n_markets": MARKETS}
    log = i2v.simulate(folder / "log", **size)
    (folder / "clicks").mkdir()
    for part in sorted((log / "events").iterdir()):  # sessions need no impressions, six in seven events
        events = pq.read_table(part)
        pq.write_table(events.filter(pc.equal(events["event_type"], "click")), folder / "clicks" / part.name)
    sessions = i2v.sessionize(i2v.read_events(folder / "clicks", items=log / "items.parquet"))
    model = Item2Vec(vector_size=VECTOR_SIZE, epochs=5, min_count=1).fit(sessions, show_progress=False)
    return Shop(model.item_vectors_, _items(log), _guests(log))


def drawn_items(vectors: ItemVectors) -> pa.Table:
    """Draw markets and prices."""
    rng, n = np.random.default_rng(0), len(vectors)
    markets = pa.array([f"market-{one}" for one in rng.integers(MARKETS, size=n)])
    prices = pa.array(rng.uniform(20, 400, n).round(2))
    return pa.table({"item_id": vectors.vocabulary.ids, "market": markets, "price": prices})


def _items(log: Path) -> pa.Table:
    return pq.read_table(log / "items.parquet", columns=["item_id", "market", "price"])


def _guests(log: Path) -> list[list[UserEvent]]:
    """Return the last events, skips included, of guests who have enough of them."""
    events = pq.read_table(sorted((log / "events").iterdir())[0])
    events = events.rename_columns([{"ts": "ts_us"}.get(name, name) for name in events.column_names])
    users = pc.unique(events["user_id"])[: 3 * GUESTS]
    events = events.filter(pc.is_in(events["user_id"], users))
    histories = (UserHistory.from_events(events, user) for user in users.to_pylist())
    found = [sorted(one.events, key=lambda event: event.ts_us)[-EVENTS:] for one in histories]
    return [one for one in found if len(one) == EVENTS][:GUESTS]


def spread(vectors: ItemVectors, now_us: int) -> list[list[UserEvent]]:
    """Events of items drawn from the whole catalogue, as no guest has them: up to twenty markets each."""
    rng = np.random.default_rng(4)
    return [
        [
            UserEvent(one, "skip" if place % 5 == 4 else "click", now_us - place * 10**9)
            for place, one in enumerate(vectors.vocabulary.item_ids(rng.integers(len(vectors), size=EVENTS)))
        ]
        for _ in range(GUESTS)
    ]
