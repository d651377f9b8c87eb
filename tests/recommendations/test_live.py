"""A live recommender answers as one that was built from today's items, at every moment."""

from __future__ import annotations

import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace_cases import MARKETS, make_catalogue

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError, UnknownItemError, UsageError
from item2vec.index import ItemIndex
from item2vec.recommendations import ListRules, LiveRecommender, NeighbourTable, Recommender
from item2vec.recommendations import live_items as live_module
from item2vec.vocabulary import Vocabulary

N_ITEMS, D = 120, 8


class World:
    """Today's items as plain Python, and the recommender built from them."""

    def __init__(self, id_type: str = "string") -> None:
        self.vectors, self.items = make_catalogue(n=N_ITEMS, id_type=id_type)
        rows = {row["item_id"]: row for row in self.items.to_pylist()}
        tables = zip(self.vectors.vectors, self.vectors.context_vectors, strict=True)
        self.today = {
            one: (*pair, rows.get(one, {"item_id": one}))
            for one, pair in zip(self.vectors.ids, tables, strict=True)
        }

        self.sold_out: set = set()
        self.counts = dict(zip(self.vectors.ids, self.vectors.counts.tolist(), strict=True))

    def recommender(self, **indexes) -> Recommender:
        return Recommender(self.vectors, items=self.items, **indexes)

    @property
    def unlisted(self) -> str | int:
        return "unlisted" if isinstance(next(iter(self.counts)), str) else 10**9

    def fresh(self) -> Recommender:
        ids = list(self.today)
        kind = self.items.schema.field("item_id").type
        vectors = ItemVectors(
            Vocabulary(pa.array(ids, kind), np.array([self.counts.get(one, 0) for one in ids], np.int64)),
            np.stack([self.today[one][0] for one in ids]),
            np.stack([self.today[one][1] for one in ids]),
            self.vectors.repeats,
        )
        rows = [self.today[one][2] for one in ids]
        return Recommender(vectors, items=pa.Table.from_pylist(rows, schema=self.items.schema))

    def put(self, live: LiveRecommender, ids: list, seed: int) -> None:
        rng = np.random.default_rng(seed)
        tables = rng.standard_normal((2, len(ids), D)).astype(np.float32)
        rows = [
            {"market": MARKETS[rng.integers(3)], "price": float(rng.integers(20, 300)), "room_type": "loft"}
            for _ in ids
        ]
        live.put_items(ids, *tables, attributes=rows)
        for one, vector, context, row in zip(ids, *tables, rows, strict=True):
            self.today[one] = (vector, context, {"item_id": one, **row})

    def remove(self, live: LiveRecommender, ids: list) -> None:
        live.remove_items(ids)
        for one in ids:
            del self.today[one]
            self.counts.pop(one, None)


def tabled(world: World, backend: str) -> Recommender:
    """With indexes for both readings, and a table of neighbours for one."""
    # Annoy looks at every item here, so that what it misses is no matter.
    indexes = {
        mode: ItemIndex.build(world.vectors, mode=mode, backend=backend, n_trees=5, search_k=10_000)
        for mode in ("similar", "next")
    }
    table = NeighbourTable.build(world.recommender(index=indexes), width=30)
    return world.recommender(index=indexes, neighbours=table)


def compare(live: LiveRecommender, world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fresh = world.fresh()
    ids = list(world.today)
    assert len(live) == len(ids)
    for _ in range(4):
        query = ids[rng.integers(len(ids))]
        N = int(rng.choice([1, 5, 40, 300]))
        where = [None, {"market": "Paris"}, {"price": (50, 150), "market": ["Rome", "Oslo"]}][rng.integers(3)]
        rules = [None, ListRules(at_most={"market": 3}), ListRules(min_score=0.2), ListRules(diversity=0.3)][
            rng.integers(4)
        ]
        mode = ["similar", "next"][rng.integers(2)]
        allow = None if rng.random() < 0.7 else [ids[k] for k in rng.integers(len(ids), size=30)]
        deny = None if rng.random() < 0.7 else [ids[k] for k in rng.integers(len(ids), size=10)]
        same = {"N": N, "where": where, "rules": rules, "mode": mode, "items": allow, "filter_items": deny}
        some = [query, ids[0], query, ids[-1], ids[rng.integers(len(ids))]]
        if rules is not None and rules.diversity and N > 5:
            same["N"] = 5  # the pool of candidates is part of that rule
        told = same | {"filter_items": [*(deny or ()), *world.sold_out] or None}
        several = live.similar_items_of([*some, world.unlisted], **same)
        assert set(several) == set(some)
        for got, expected in (
            *((several[one], fresh.similar_items(one, **told)) for one in some),
            (live.similar_items(query, **same), fresh.similar_items(query, **told)),
            (live.recommend([query, ids[0]], **same), fresh.recommend([query, ids[0]], **told)),
            (
                live.recommend([query, ids[0], query], filter_seen=False, **same),
                fresh.recommend([query, ids[0], query], filter_seen=False, **told),
            ),
            (live.similar_to(world.today[query][0], **same), fresh.similar_to(world.today[query][0], **told)),
        ):
            assert got[0].tolist() == expected[0].tolist(), same
            assert got[1].tolist() == expected[1].tolist()


@given(
    st.sampled_from(["string", "int64"]),
    st.sampled_from(["exact", "annoy"]),
    st.lists(
        st.tuples(
            st.sampled_from(["put", "change", "remove", "rebuild", "sell out", "have again"]),
            st.integers(0, 10**6),
        ),
        max_size=8,
    ),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_answers_are_those_of_todays_items(id_type, backend, changes):
    world = World(id_type)
    live = LiveRecommender(tabled(world, backend))
    compare(live, world, 0)
    for what, number in changes:
        ids = list(world.today)
        some = [ids[k] for k in {number % len(ids), number // 7 % len(ids)}]
        if what == "put":
            world.put(live, [f"new-{number}"] if id_type == "string" else [10**7 + number], number)
        elif what == "change":
            world.put(live, some, number)
        elif what == "remove" and len(ids) > 10:
            world.remove(live, some)
        elif what == "sell out":  # also what is not listed (yet)
            live.set_available([*some, world.unlisted], False)
            world.sold_out |= {*some, world.unlisted}
        elif what == "have again":
            live.set_available(some, True)
            world.sold_out -= {*some}
        elif what == "rebuild":
            live.rebuild().result(60)
            assert live.n_beside == 0
        assert live.unavailable == world.sold_out
        base, offered = live.offered()
        bare = LiveRecommender(base).offered()
        listed = {one for one in base.vocabulary.ids.to_pylist() if one in world.today} - set(live.beside())
        nums = np.arange(len(base.vocabulary)) if offered is None else offered.nums
        assert set(base.vocabulary.item_ids(nums)) == listed - world.sold_out
        assert bare == (base, None)
        compare(live, world, number)


def test_changes_during_a_rebuild_are_neither_lost_nor_served_twice(monkeypatch):
    world = World()
    live = LiveRecommender(world.recommender())
    begun, go_on = threading.Event(), threading.Event()
    real = live_module.rebuilt

    def slow(parts):
        begun.set()
        assert go_on.wait(30)
        return real(parts)

    monkeypatch.setattr(live_module, "rebuilt", slow)
    world.put(live, ["before"], 1)
    done = live.rebuild()
    assert begun.wait(30)
    assert live.rebuild() is done, "one at a time"
    world.put(live, ["meanwhile", "before"], 2)
    world.remove(live, [world.vectors.ids[3], "before"])
    world.put(live, ["before"], 3)
    compare(live, world, 5)
    go_on.set()
    done.result(30)
    compare(live, world, 6)
    assert live.n_beside == 2
    assert ("before" in live, world.vectors.ids[3] in live, True in live) == (True, False, False)


def test_a_rebuild_that_fails_leaves_the_old_answers(monkeypatch):
    world = World()
    live = LiveRecommender(world.recommender())
    world.put(live, ["new"], 1)
    real = live_module.rebuilt

    def broken(parts):
        raise OSError("disk full")

    monkeypatch.setattr(live_module, "rebuilt", broken)
    with pytest.raises(OSError, match="disk full"):
        live.rebuild().result(30)
    compare(live, world, 7)
    monkeypatch.setattr(live_module, "rebuilt", real)
    live.rebuild().result(30)
    compare(live, world, 8)


def test_readers_see_whole_lists_while_items_change_and_are_swapped():
    """Each call sees one moment: full lists, no item twice, none that left before the call, all that stay."""
    world = World()
    live = LiveRecommender(world.recommender())
    stays, leaves = world.vectors.ids[0], world.vectors.ids[1:40]
    gone: set[str] = set()
    stop, problems = threading.Event(), []

    def read():
        while not stop.is_set():
            before = set(gone)
            ids, _ = live.similar_items(stays, N=60)
            found = ids.tolist()
            if len(found) != 60 or len(set(found)) != 60 or before & set(found) or stays in found:
                problems.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    deadline = time.monotonic() + 20
    for number, one in enumerate(leaves):
        world.put(live, [f"new-{number}"], number)
        world.remove(live, [one])
        gone.add(one)
        if number % 5 == 0:
            live.rebuild()
        assert time.monotonic() < deadline
    live.rebuild().result(30)
    stop.set()
    for thread in readers:
        thread.join(30)
    assert not problems
    compare(live, world, 9)


@pytest.mark.parametrize("changed", [False, True])
def test_rules_that_leave_too_few_of_the_whole_catalogue_end(changed):
    """The pool of candidates grows to all items, and no further."""
    world = World()
    live = LiveRecommender(world.recommender())
    if changed:
        world.put(live, ["new"], 1)
        world.remove(live, [world.vectors.ids[5]])
    rules = ListRules(at_most={"instant": 1, "market": 1})
    query, fresh = world.vectors.vectors[0], world.fresh()
    ids, _ = live.similar_to(query, N=10, rules=rules)
    assert ids.tolist() == fresh.similar_to(query, N=10, rules=rules)[0].tolist()
    assert 2 <= len(ids) < 10


def test_changes_are_remembered_only_while_a_rebuild_needs_them():
    world = World()
    live = LiveRecommender(world.recommender())
    for number in range(5):
        world.put(live, ["new"], number)
    assert live._journal == []
    live.rebuild().result(30)
    world.put(live, ["new"], 9)
    assert live._journal == []
    compare(live, world, 9)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda w: (["a", "a"], np.ones((2, D)), np.ones((2, D))), UsageError, "twice"),
        (lambda w: ([3], np.ones((1, D)), np.ones((1, D))), UsageError, "ids of this model"),
        (lambda w: (["a"], np.ones((1, D + 1)), np.ones((1, D))), UsageError, "shape"),
        (
            lambda w: (
                ["a"],
                np.ones((1, D)),
            ),
            UsageError,
            "context_vectors",
        ),
        (lambda w: (["a"], np.full((1, D), np.nan), np.ones((1, D))), DataError, "NaN"),
        (lambda w: (["a"], np.full((1, D), 1e300), np.ones((1, D))), DataError, "huge"),
        (lambda w: (["a"], np.zeros((1, D)), np.ones((1, D))), DataError, "zero vector"),
        (
            lambda w: (["a"], np.ones((1, D)), np.ones((1, D)), [{"brand": 1}]),
            UsageError,
            "unknown attribute 'brand'",
        ),
        (
            lambda w: (["a"], np.ones((1, D)), np.ones((1, D)), [{"price": "much"}]),
            UsageError,
            "does not fit",
        ),
        (lambda w: (["a"], np.ones((1, D)), np.ones((1, D)), [{}, {}]), UsageError, "2 sets of attributes"),
    ],
)
def test_changes_that_do_not_fit_change_nothing(change, error, words):
    world = World()
    live = LiveRecommender(world.recommender())
    with pytest.raises(error, match=words):
        live.put_items(*change(world))
    assert live.n_beside == 0
    compare(live, world, 1)


def test_what_is_not_listed_is_refused():
    world = World()
    live = LiveRecommender(world.recommender())
    gone, other = world.vectors.ids[:2]
    world.remove(live, [gone])
    with pytest.raises(UnknownItemError, match="not listed"):
        live.similar_items(gone)
    with pytest.raises(UnknownItemError, match="not listed"):
        live.remove_items([other, gone])
    assert other in live, "all or none"
    assert live.recommend([gone])[0].tolist() == []
    assert live.recommend([])[0].tolist() == []
    with pytest.raises(DataError, match="zero query"):
        live.similar_to(np.zeros(D))
    live.remove_items(list(world.today))
    assert len(live) == 0
    with pytest.raises(DataError, match="no item is left"):
        live.rebuild().result(10)
