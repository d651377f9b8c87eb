"""Lookups beside their bars, and Annoy and numpy used by hand: `python -m benchmarks.lookup --help`.

One query at a time on one thread: by vector through each backend, by id through the search and through a
table of neighbours, filtered to one market, in a live recommender with changes beside its index. Then the
tables of a nightly job on all cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from benchmarks.machine import table
from item2vec.embeddings import ItemVectors
from item2vec.index import ItemIndex
from item2vec.recommendations import (
    LiveRecommender,
    NeighbourTable,
    Recommender,
    UserEvent,
    UserHistory,
    write_recommendations,
    write_similar_items,
)
from item2vec.recommendations.user_events import DAY_US
from item2vec.vocabulary import Vocabulary

VECTOR_SIZE, K, QUERIES, MARKETS = 32, 10, 400, 50
BARS = {  # ms at up to 100,000 items and beyond; p50
    "by id, table": (0.15, 0.5),
    "by vector, annoy": (0.5, 3.0),
    "by vector, hnsw": (None, None),
    "by id, one market": (0.5, 0.5),
}


def clustered(n_items: int, seed: int = 1) -> ItemVectors:
    """Vectors like trained ones: groups of a hundred items around centres, lengths uneven."""
    rng = np.random.default_rng(seed)
    n_groups = max(n_items // 100, 1)
    centres = rng.standard_normal((2, n_groups, VECTOR_SIZE), np.float32)
    group = rng.integers(n_groups, size=n_items)
    tables = []
    for centre in centres:
        rows = centre[group] + np.float32(0.5) * rng.standard_normal((n_items, VECTOR_SIZE), np.float32)
        tables.append(rows * rng.uniform(0.5, 1.5, (n_items, 1)).astype(np.float32))
    ids = pa.array([f"listing-{num:07d}" for num in range(n_items)])
    return ItemVectors(Vocabulary(ids, np.ones(n_items, np.int64)), *tables)


def simulated(n_items: int) -> ItemVectors:
    """Vectors trained on the simulated marketplace's clicks."""
    from benchmarks import corpora
    from item2vec.embeddings import Item2Vec
    from item2vec.sessions.container import Sessions

    sessions = Sessions.from_lists(corpora.simulated(2_000_000, n_items))
    model = Item2Vec(vector_size=VECTOR_SIZE, epochs=5, min_count=1).fit(sessions, show_progress=False)
    return model.item_vectors_


def timed(call: Callable[[Any], Any], queries: Sequence[Any]) -> tuple[list[float], list[Any]]:
    """Ask one query after the other; return milliseconds each and the answers."""
    for query in queries[:5]:
        call(query)
    milliseconds, answers = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(call(query))
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return milliseconds, answers


def recall(answers: list[Any], truth: list[Any], own: list[int] | None = None) -> str:
    """Share of the true nearest items found; to find the item that is asked (`own`) is no achievement."""
    asked = [{one} for one in own] if own else [set[int]()] * len(truth)
    shares = [
        len({*a} & {*t} - one) / len({*t} - one) for a, t, one in zip(answers, truth, asked, strict=True)
    ]
    return f"{np.mean(shares):.3f}"


def row(name: str, n_items: int, milliseconds: list[float], found: str = "", fact: str = "") -> list[object]:
    """Write one line: percentiles, against the bar where there is one."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    bar = BARS.get(name, (None, None))[n_items > 100_000]
    verdict = "" if bar is None else "pass" if p50 <= bar else "FAIL"
    per_second = f"{1e3 / np.mean(milliseconds):,.0f}"
    return [
        name,
        f"{p50:.3f}",
        f"{p95:.3f}",
        "" if bar is None else f"{bar:g}",
        verdict,
        per_second,
        found,
        fact,
    ]


def by_vector(vectors: ItemVectors, nums: Any, backends: Sequence[str]) -> Iterator[list[object]]:
    """Each backend in both readings, found exactly by a scan first."""
    queries = [vectors.vectors[num : num + 1] for num in nums]
    for mode in ("similar", "next"):
        exact = ItemIndex.build(vectors, mode=mode, backend="exact")
        spent, truth = timed(lambda q, i=exact: i.query(q, K)[0][0].tolist(), queries)
        name = "by vector, exact" if mode == "similar" else "by vector, exact, next"
        yield row(name, len(vectors), spent, "1.000")
        for backend in backends:
            start = time.perf_counter()
            index = ItemIndex.build(vectors, mode=mode, backend=backend)
            built = time.perf_counter() - start
            spent, found = timed(lambda q, i=index: i.query(q, K)[0][0].tolist(), queries)
            fact = f"build {built:.0f} s, search_k {index.settings['search_k']:,}"
            name = f"by vector, {backend}" + ("" if mode == "similar" else ", next")
            own = nums.tolist() if mode == "similar" else None
            yield row(name, len(vectors), spent, recall(found, truth, own), fact)


def by_hand(vectors: ItemVectors, nums: Any) -> Iterator[list[object]]:
    """What people write with Annoy and numpy."""
    import annoy

    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    truth = [np.argsort(-(unit @ unit[num]), kind="stable")[:K].tolist() for num in nums]
    start = time.perf_counter()
    plain = annoy.AnnoyIndex(VECTOR_SIZE, "angular")
    plain.set_seed(1)
    for num, point in enumerate(unit):
        plain.add_item(num, point)
    plain.build(50, n_jobs=1)
    built = f"build {time.perf_counter() - start:.0f} s"
    spent, found = timed(lambda num: plain.get_nns_by_item(num, K), nums.tolist())
    found_share = recall(found, truth, nums.tolist())
    yield row("annoy by hand, 50 trees, by id", len(vectors), spent, found_share, built)
    spent, _ = timed(lambda num: np.argsort(-(unit @ unit[num]))[:K].tolist(), nums[:50].tolist())
    yield row("numpy argsort by hand, by id", len(vectors), spent, "1.000")


def by_id(vectors: ItemVectors, nums: Any) -> Iterator[list[object]]:
    """The recommender: by search, by a table, in one market of fifty, with changes beside the index."""
    rng = np.random.default_rng(3)
    market = pa.array([f"m{code}" for code in rng.integers(MARKETS, size=len(vectors))])
    items = pa.table({"item_id": vectors.vocabulary.ids, "market": market})
    index = ItemIndex.build(vectors)
    rec = Recommender(vectors, items=items, index=index)
    ids = vectors.vocabulary.item_ids(nums)
    yield row("by id, search", len(vectors), timed(lambda one: rec.similar_items(one, N=K), ids)[0])
    where = [{"market": f"m{k % MARKETS}"} for k in range(len(ids))]
    both = list(zip(ids, where, strict=True))
    for _, condition in both[:MARKETS]:  # a market is compiled when it is first asked for
        rec.similar_items(ids[0], N=K, where=condition)
    spent, _ = timed(lambda pair: rec.similar_items(pair[0], N=K, where=pair[1]), both)
    yield row("by id, one market", len(vectors), spent, "1.000", f"one of {MARKETS}, scanned")
    start = time.perf_counter()
    neighbours = _table_of(rec, vectors, nums)
    made = f"made in {time.perf_counter() - start:.0f} s"
    fact = f"{len(nums):,} rows of it" if len(vectors) > 200_000 else made
    tabled = Recommender(vectors, items=items, index=index, neighbours=neighbours)
    yield row(
        "by id, table", len(vectors), timed(lambda one: tabled.similar_items(one, N=K), ids)[0], "", fact
    )
    live = LiveRecommender(rec)
    fresh = [f"new-{k}" for k in range(1000)]
    tables = rng.standard_normal((2, 1000, VECTOR_SIZE)).astype(np.float32)
    live.put_items(fresh, *tables)
    live.remove_items([one for one in vectors.vocabulary.item_ids(np.arange(1000)) if one not in set(ids)])
    spent, _ = timed(lambda one: live.similar_items(one, N=K), ids)
    yield row("by id, 1,000 new and 1,000 gone", len(vectors), spent)
    homes = [[k for k in range(len(vectors)) if market[k].as_py() == f"m{code}"][:400] for code in range(4)]
    users = []
    for k in range(100):  # of two markets
        nums_of = [*rng.choice(homes[k % 4], 15), *rng.choice(homes[(k + 1) % 4], 5)]
        users.append(_user(vectors.vocabulary.item_ids(np.array(nums_of, np.int32))))
    for user in users[:2]:
        rec.recommend(user, N=K)
    spent, _ = timed(lambda user: rec.recommend(user, N=K), users)
    yield row("for a user, 20 events", len(vectors), spent, "1.000", "of two markets; every item scored")
    spent, _ = timed(lambda user: rec.recommend(user, N=K, explain=True), users)
    yield row("for a user, explained", len(vectors), spent, "1.000")


def _user(ids: Sequence[Any]) -> UserHistory:
    """A user of 20 events in the last three days: every fifth a skip, the others clicks."""
    now = 1_000 * DAY_US
    events = [
        UserEvent(one, "skip" if place % 5 == 4 else "click", now - (place + 1) * DAY_US // 7, 40.0)
        for place, one in enumerate(ids)
    ]
    return UserHistory(events, as_of_us=now)


def _table_of(rec: Recommender, vectors: ItemVectors, nums: Any) -> NeighbourTable:
    """All rows up to 200,000 items; of more, the rows that are asked (the look-up takes as long)."""
    if len(vectors) <= 200_000:
        return NeighbourTable.build(rec, width=100)
    found = rec.similar_nums(np.asarray(nums, np.int32), 100)
    item_nums = np.zeros((len(vectors), 100), np.int32)
    scores = np.zeros((len(vectors), 100), np.float32)
    item_nums[nums], scores[nums] = found.item_nums, found.scores
    return NeighbourTable("similar", item_nums, scores, rec.index("similar").fingerprint, exact=False)


def batch(n_items: int) -> Iterator[list[object]]:
    """The tables of all items and of all users, on all cores."""
    vectors = clustered(n_items)
    rec = Recommender(vectors, index=ItemIndex.build(vectors, mode="next"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = write_similar_items(rec, Path(folder) / "items", N=100)
        yield _batch_row("similar items, all pairs", summary.n_items, time.perf_counter() - start, 60.0)
        rng = np.random.default_rng(0)
        users = {f"u{k}": vectors.vocabulary.item_ids(rng.integers(n_items, size=5)) for k in range(20_000)}
        start = time.perf_counter()
        summary = write_recommendations(rec, users, Path(folder) / "users", N=100)
        yield _batch_row("recommendations, users", summary.n_items, time.perf_counter() - start, None)


def _batch_row(name: str, n: int, seconds: float, bar: float | None) -> list[object]:
    verdict = "" if bar is None else "pass" if seconds <= bar else "FAIL"
    return [
        name,
        f"{n:,} × 100",
        f"{seconds:.1f}",
        "" if bar is None else f"{bar:g}",
        verdict,
        f"{n / seconds:,.0f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[50_000, 1_000_000])
    parser.add_argument("--batch-items", type=int, default=100_000)
    options = parser.parse_args(arguments)
    backends = ["annoy"]
    try:
        import faiss  # noqa: F401

        backends.append("hnsw")
    except ImportError:
        print("hnsw: not measured, faiss is not installed (pip install 'item2vec[faiss]')")
    header = ["way", "p50 ms", "p95 ms", "bar", "", "queries/s", "recall@10", ""]
    for n_items in options.items:
        vectors = simulated(n_items) if n_items <= 100_000 else clustered(n_items)
        kind = "trained on simulated clicks" if n_items <= 100_000 else "generated in groups of 100"
        print(f"{len(vectors):,} × {VECTOR_SIZE}, {kind}, k = {K}, one query at a time, one thread\n")
        nums = np.random.default_rng(2).choice(len(vectors), QUERIES, replace=False)
        with threadpool_limits(1):
            rows = [*by_vector(vectors, nums, backends), *by_id(vectors, nums), *by_hand(vectors, nums)]
        print(table(header, rows) + "\n", flush=True)
    print("Tables of a nightly job, all cores\n")
    print(table(["table", "size", "seconds", "bar", "", "targets/s"], list(batch(options.batch_items))))


if __name__ == "__main__":
    main()
