"""Lookups per second and recall@10, annoy beside exact search and beside the libraries used by hand."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from benchmarks.machine import table
from item2vec.embeddings import ItemVectors
from item2vec.index import ItemIndex
from item2vec.recommendations import Recommender, write_similar_items
from item2vec.vocabulary import Vocabulary

N_ITEMS, VECTOR_SIZE, K, QUERIES = 50_000, 32, 10, 400
MARKETS = 50


def clustered(seed: int = 1) -> ItemVectors:
    """Vectors like trained ones: 500 groups of items around centres, lengths uneven."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((2, 500, VECTOR_SIZE))
    group = rng.integers(500, size=N_ITEMS)
    tables = centres[:, group] + 0.5 * rng.standard_normal((2, N_ITEMS, VECTOR_SIZE))
    tables = (tables * rng.uniform(0.5, 1.5, (2, N_ITEMS, 1))).astype(np.float32)
    return ItemVectors(_vocabulary(), tables[0], tables[1])


def gaussian(seed: int = 1) -> ItemVectors:
    """Vectors without any structure: the hardest case for trees, an upper bound of the cost."""
    tables = np.random.default_rng(seed).standard_normal((2, N_ITEMS, VECTOR_SIZE)).astype(np.float32)
    return ItemVectors(_vocabulary(), tables[0], tables[1])


def _vocabulary() -> Vocabulary:
    return Vocabulary(pa.array([f"listing-{num:05d}" for num in range(N_ITEMS)]), np.ones(N_ITEMS, np.int64))


def timed(call: Callable[[Any], Any], queries: Sequence[Any]) -> tuple[str, str, str, list[Any]]:
    """Run one query at a time; return p50 and p95 in ms, queries per second, and the answers."""
    call(queries[0])
    seconds, answers = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(call(query))
        seconds.append(time.perf_counter() - start)
    milliseconds = np.array(seconds) * 1e3
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return f"{p50:.2f}", f"{p95:.2f}", f"{1e3 / milliseconds.mean():,.0f}", answers


def recall(answers: list[Any], truth: list[Any]) -> str:
    """Share of the true nearest items found."""
    return f"{np.mean([len({*a} & {*t}) / K for a, t in zip(answers, truth, strict=True)]):.3f}"


def lookups(name: str, vectors: ItemVectors) -> list[list[str]]:
    """One line per way of asking, one query at a time on one thread."""
    import annoy

    nums = np.random.default_rng(2).choice(N_ITEMS, QUERIES, replace=False)
    rows = []
    for mode in ("similar", "next"):
        start = time.perf_counter()
        index = ItemIndex.build(vectors, mode=mode)
        built = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder) / "index")
            start = time.perf_counter()
            index = ItemIndex.load(Path(folder) / "index")
            loaded = time.perf_counter() - start
        queries = [vectors.vectors[num : num + 1] for num in nums]
        exact = timed(
            lambda query, index=index: index.search(query, K, exact=True).item_nums[0].tolist(), queries
        )
        trees = timed(lambda query, index=index: index.query(query, K)[0][0].tolist(), queries)
        facts = f"build {built:.1f} s, load {loaded:.2f} s, search_k {index.settings['search_k']:,}"
        rows.append([name, mode, "ItemIndex annoy, by vector", *trees[:3], recall(trees[3], exact[3]), facts])
        rows.append([name, mode, "ItemIndex exact, by vector", *exact[:3], "1.000", ""])
        if mode == "similar":
            rows += _by_id(name, vectors, index, nums)
            unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
            plain = annoy.AnnoyIndex(VECTOR_SIZE, "angular")
            plain.set_seed(1)
            for num, point in enumerate(unit):
                plain.add_item(num, point)
            plain.build(50, n_jobs=1)
            by_hand = timed(lambda num, plain=plain: plain.get_nns_by_item(num, K), nums.tolist())
            rows.append(
                [name, mode, "annoy by hand, 50 trees", *by_hand[:3], recall(by_hand[3], exact[3]), ""]
            )
            by_hand = timed(
                lambda num, unit=unit: np.argsort(-(unit @ unit[num]))[:K].tolist(), nums.tolist()
            )
            rows.append([name, mode, "numpy argsort by hand", *by_hand[:3], recall(by_hand[3], exact[3]), ""])
    return rows


def _by_id(name: str, vectors: ItemVectors, index: ItemIndex, nums: Any) -> list[list[str]]:
    """The same through the Recommender, without and with a filter to one market of fifty."""
    rng = np.random.default_rng(3)
    market = pa.array([f"m{code}" for code in rng.integers(MARKETS, size=N_ITEMS)])
    items = pa.table({"item_id": vectors.vocabulary.ids, "market": market})
    rec = Recommender(vectors, items=items, index=index)
    ids = vectors.vocabulary.item_ids(nums)
    plain = timed(lambda item: rec.similar_items(item, N=K), ids)
    where = timed(lambda item: rec.similar_items(item, N=K, where={"market": "m7"}), ids)
    return [
        [name, "similar", "Recommender.similar_items, by id", *plain[:3], "", ""],
        [name, "similar", "… where market = one of 50", *where[:3], "1.000", "scanned"],
    ]


def batch(vectors: ItemVectors) -> list[list[str]]:
    """The table of all items, on all cores."""
    rows = []
    for name, exact_up_to in (("exact", N_ITEMS), ("annoy", 0)):
        rec = Recommender(vectors, index=ItemIndex.build(vectors))
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            summary = write_similar_items(rec, folder, N=100, exact_up_to=exact_up_to)
            seconds = time.perf_counter() - start
            size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        rate = f"{summary.n_items / seconds:,.0f}"
        rows.append([name, f"{summary.n_items:,} × 100", f"{seconds:.1f}", rate, f"{size:.0f}"])
    return rows


def main(arguments: Sequence[str] = ()) -> None:
    rows = []
    with threadpool_limits(1):
        rows += lookups("clustered", clustered())
        rows += lookups("gaussian", gaussian())
    print(f"{N_ITEMS:,} × {VECTOR_SIZE}, k = {K}, one query at a time, one thread\n")
    header = ["vectors", "mode", "way", "p50 ms", "p95 ms", "queries/s", "recall@10", ""]
    print(table(header, rows))
    print("\nBatch table of all items (write_similar_items, all cores)\n")
    print(table(["search", "rows", "seconds", "targets/s", "MB"], batch(clustered())))


if __name__ == "__main__":
    main()
