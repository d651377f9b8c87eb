"""Small tables of item vectors with known traps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.vocabulary import Vocabulary


class Vectors:
    """The three attributes of ItemVectors that an index reads."""

    def __init__(self, vocabulary: Vocabulary, vectors: Any, context_vectors: Any = None) -> None:
        self.vocabulary, self.vectors, self.context_vectors = vocabulary, vectors, context_vectors


def make_vectors(
    n: int = 1500, d: int = 8, seed: int = 0, duplicates: int = 40, int_ids: bool = False
) -> Vectors:
    """Clustered vectors; a few groups of items share one vector, in both tables; ids in shuffled order."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // 50), d))
    tables = []
    counts = np.random.default_rng(seed + 1).integers(0, 300, n)
    for _ in range(2):
        table = centres[rng.integers(len(centres), size=n)] + 0.4 * rng.standard_normal((n, d))
        table = (table * rng.uniform(0.5, 2.0, (n, 1))).astype(np.float32)
        for group in np.array_split(rng.permutation(n)[: min(duplicates, n)], 4):
            if len(group):
                table[group], counts[group] = table[group[0]], 5
        tables.append(table)
    numbers = rng.permutation(n)
    ids = pa.array(numbers * 7 - 50) if int_ids else pa.array([f"item-{number:05d}" for number in numbers])
    return Vectors(Vocabulary(ids, counts), *tables)


def brute_force(
    vectors: Any, mode: str, queries: npt.NDArray[Any], k: int, allowed: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The referee: every score in float64, rounded, ordered by Python's sort on (−score, id)."""
    table = (vectors.vectors if mode == "similar" else vectors.context_vectors).astype(np.float64)
    queries = np.asarray(queries, np.float64)
    if mode == "next":
        offsets = [0.5 * math.log(max(count, 1)) for count in vectors.vocabulary.counts.tolist()]
        table = np.column_stack([table, np.float32(offsets)])
        queries = np.column_stack([queries, np.ones(len(queries))])
    scores = np.stack([[np.einsum("i,i", row, query) for row in table] for query in queries])
    if mode == "similar":
        scores /= np.linalg.norm(table, axis=1) * np.linalg.norm(queries, axis=1)[:, None]
    scores = scores.astype(np.float32)
    ids = vectors.vocabulary.ids.to_pylist()
    nums = np.full((len(queries), k), -1, np.int32)
    best = np.full((len(queries), k), -np.inf, np.float32)
    for row, line in enumerate(scores):
        order = [num for num in range(len(ids)) if allowed is None or allowed[num]]
        order.sort(key=lambda num: (-line[num], ids[num]))
        nums[row, : len(order[:k])] = order[:k]
        best[row, : len(order[:k])] = line[order[:k]]
    return nums, best
