"""A small catalogue with markets, prices and planted duplicates, and the brute-force answers to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings import ItemVectors
from item2vec.embeddings.repeats import RepeatRates
from item2vec.vocabulary import Vocabulary

MARKETS = ("Paris", "Rome", "Oslo", None)
ROOMS = ("entire home", "private room", "shared room")


def make_catalogue(
    n: int = 600, d: int = 8, seed: int = 0, id_type: str = "string", context: bool = True
) -> tuple[ItemVectors, pa.Table]:
    """Vectors and their item table, whose rows lie in another order and hold strangers too."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(n)
    ids = pa.array([f"i{number:04d}" for number in numbers] if id_type == "string" else numbers * 3 - 30)
    centres = rng.standard_normal((n // 20 + 1, d))
    tables = [
        (centres[rng.integers(len(centres), size=n)] + 0.5 * rng.standard_normal((n, d))).astype(np.float32)
        for _ in range(2)
    ]
    for table in tables:
        table[n // 2 : n // 2 + 12] = table[n // 2]  # twelve items that cannot be told apart
    counts = rng.integers(0, 200, n)
    counts[n // 2 : n // 2 + 12] = 7
    vectors = ItemVectors(
        Vocabulary(ids, counts), tables[0], tables[1] if context else None, RepeatRates(0.1, 0.2)
    )
    price = rng.integers(20, 300, n).astype(float)
    items = pa.table(
        {
            "item_id": ids,
            "market": pa.array([MARKETS[number] for number in rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])]),
            "price": pa.array(price, mask=rng.random(n) < 0.05),
            "room_type": pa.array([ROOMS[number] for number in rng.integers(3, size=n)]).dictionary_encode(),
            "capacity": pa.array(rng.integers(1, 9, n), pa.int16()),
            "instant": pa.array(rng.random(n) < 0.5),
            "listed": pa.array(rng.integers(18000, 19000, n).astype(np.int32), pa.int32()).cast(pa.date32()),
            "amenities": pa.array([["wifi"]] * n),
        }
    )
    known = items.take(pa.array(rng.permutation(n)[: n - 5]))
    stranger = items.slice(0, 1).set_column(
        0, "item_id", pa.array(["zz"] if id_type == "string" else [10**9])
    )
    return vectors, pa.concat_tables([stranger, known])


def attribute_rows(vectors: ItemVectors, items: pa.Table) -> list[dict[str, Any]]:
    """One dictionary per item in item-number order; empty for an item the table does not hold."""
    by_id = {row["item_id"]: row for row in items.to_pylist()}
    return [by_id.get(item_id, {}) for item_id in vectors.ids]


def meets(row: dict[str, Any], where: dict[str, Any]) -> bool:
    """The meaning of a filter, row by row."""
    for name, condition in where.items():
        value = row.get(name)
        if value is None:
            return False
        if isinstance(condition, tuple):
            low, high = condition
            if (low is not None and value < low) or (high is not None and value > high):
                return False
        elif isinstance(condition, list):
            if value not in condition:
                return False
        elif value != condition:
            return False
    return True


def best(
    vectors: ItemVectors,
    query: npt.NDArray[Any],
    mode: str,
    N: int,
    allowed: Any,
    history: tuple[list[Any], float] | None = None,
) -> tuple[list[Any], list[float]]:
    """Ids and scores of the N best allowed items, by Python's sort on (−score, id).

    With a history and its decay, read as *next*, its items may come back.
    """
    table = (vectors.vectors if mode == "similar" else vectors.context_vectors).astype(np.float64)
    query = np.asarray(query, np.float64)
    if mode == "next":
        offsets = [0.5 * math.log(max(count, 1)) for count in vectors.counts.tolist()]
        table, query = np.column_stack([table, np.float32(offsets)]), np.append(query, 1.0)
    scores = np.array([np.einsum("i,i", row, query) for row in table])
    if mode == "similar":
        scores /= np.linalg.norm(table, axis=1) * np.linalg.norm(query)
    scores = scores.astype(np.float32)
    if mode == "next" and history is not None:
        scores = with_repeats(vectors, scores, *history)
    order = sorted(
        (num for num in range(len(table)) if allowed[num]), key=lambda n: (-scores[n], vectors.ids[n])
    )
    return [vectors.ids[num] for num in order[:N]], [float(scores[num]) for num in order[:N]]


def with_repeats(
    vectors: ItemVectors, scores: npt.NDArray[np.float32], history: list[Any], decay: float
) -> npt.NDArray[np.float32]:
    """Give a history's items the scores of a softmax with what coming back adds to it, by its definition."""
    last, earlier = 0.25 * vectors.repeats.last, 0.5 * vectors.repeats.earlier
    probabilities = np.exp(scores.astype(np.float64) / 1.25)
    mass = probabilities.sum()
    added = dict.fromkeys(history, 0.0)
    for age, item in enumerate(reversed(history)):
        if item != history[-1]:
            added[item] += decay**age
    total = sum(added.values())
    others = 1 - last - (earlier if total else 0)
    mixed = scores.copy()
    for item, weight in added.items():
        share = last if item == history[-1] else earlier * weight / total
        num = vectors.ids.index(item)
        new = others * probabilities[num] / mass + share
        mixed[num] = 1.25 * math.log(new * mass / others)
    return mixed
