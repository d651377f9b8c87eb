"""What people do to a live recommender that they should not, and what must come of it."""

from __future__ import annotations

import asyncio
import gc
import threading

import numpy as np
import pyarrow as pa
import pytest
from test_live import N_ITEMS, D, World, compare

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError, UsageError
from item2vec.index import ItemIndex, ItemSet
from item2vec.recommendations import ListRules, LiveRecommender, Recommender
from item2vec.recommendations import live_items as live_module
from item2vec.recommendations.attributes import ItemAttributes
from item2vec.vocabulary import Vocabulary

ROW = {"market": "Paris", "price": 80.0, "room_type": "loft"}


def soon(call, seconds=20.0):
    """Run in a thread and fail if it does not end."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it searches for ever"
    return found[0]


def test_rules_that_no_list_can_meet_end_after_a_removal():
    world = World()
    live = LiveRecommender(world.recommender())
    world.remove(live, [next(iter(world.today))])
    rules = ListRules(at_most={"market": 1, "room_type": 1})
    query = np.asarray(world.vectors.vectors[5])
    ids, _ = soon(lambda: live.similar_to(query, N=10, rules=rules))
    assert ids.tolist() == world.fresh().similar_to(query, N=10, rules=rules)[0].tolist()
    clicks = list(world.today)[:2]
    soon(lambda: live.recommend(clicks, N=10, rules=rules, filter_seen=False))


def slow_rebuild(monkeypatch):
    """Make a rebuild wait until it is told to go on."""
    go, build = threading.Event(), live_module.rebuilt

    def waiting(parts):
        assert go.wait(20)
        return build(parts)

    monkeypatch.setattr(live_module, "rebuilt", waiting)
    return go


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_who_gives_up_waiting_for_a_rebuild_loses_no_change(monkeypatch, how):
    go, world = slow_rebuild(monkeypatch), World()
    live = LiveRecommender(world.recommender())
    first, second = list(world.today)[:2]
    done = live.rebuild()
    if how == "cancel":
        assert not done.cancel()
    else:

        async def wait():
            await asyncio.wait_for(asyncio.wrap_future(done), 0.05)

        with pytest.raises(TimeoutError):
            asyncio.run(wait())
    world.put(live, ["new"], 1)
    world.remove(live, [first])
    assert live.rebuild() is done, "one at a time"
    go.set()
    done.result(20)
    assert "new" in live
    assert first not in live
    assert len(live) == len(world.today)
    ids, _ = live.similar_items(second, N=N_ITEMS)
    assert sorted(ids.tolist()) == sorted(set(world.today) - {second})


def test_what_the_caller_does_to_a_row_later_changes_nothing():
    world = World()
    live = LiveRecommender(world.recommender())
    row = dict(ROW)
    live.put_items(["a"], *np.ones((2, 1, D), np.float32), attributes=[row])
    row["price"] = "much"
    world.put(live, ["b"], 1)
    where = {"price": (79, 81)}
    assert "a" in live.similar_items("b", N=N_ITEMS, where=where)[0].tolist()


@pytest.mark.parametrize("bad", [0.0, 1e30, np.nan, np.inf])
@pytest.mark.parametrize("table", ["vectors", "context_vectors"])
def test_vectors_that_no_index_could_hold_are_refused_at_once(bad, table):
    live = LiveRecommender(World().recommender())
    tables = {name: np.ones((1, D)) for name in ("vectors", "context_vectors")}
    tables[table] = np.full((1, D), bad)
    with pytest.raises(DataError, match=f"^{table}"):
        live.put_items(["z"], **tables, attributes=[ROW])
    assert "z" not in live
    live.rebuild().result(20)


@pytest.mark.parametrize("bad", ["", "q\0"])
def test_ids_that_cannot_be_told_from_padding_are_refused(bad):
    live = LiveRecommender(World().recommender())
    with pytest.raises(UsageError, match="no item id"):
        live.put_items([bad], *np.ones((2, 1, D)), attributes=[ROW])
    with pytest.raises(UsageError, match="mapping"):
        live.put_items(["a"], *np.ones((2, 1, D)), attributes=[None])


def counted(ids, counts, seed=0):
    rng = np.random.default_rng(seed)
    tables = rng.standard_normal((2, len(ids), D)).astype(np.float32)
    return ItemVectors(Vocabulary(pa.array(ids), np.asarray(counts, np.int64)), *tables)


@pytest.mark.parametrize("rebuild", [False, True])
def test_popularity_is_that_of_today_s_items(rebuild):
    ids = [f"i{k:02d}" for k in range(40)]
    base = counted(ids, np.arange(40, 0, -1) ** 2)
    live = LiveRecommender(Recommender(base))
    fresh = np.random.default_rng(5).standard_normal((2, 2, D)).astype(np.float32)
    live.put_items(["aa-new"], fresh[0, :1], fresh[1, :1])
    live.put_items(["i20"], fresh[0, 1:], fresh[1, 1:])  # changed: its clicks stay
    live.remove_items(["i00"])  # the most clicked
    if rebuild:
        live.rebuild().result(20)
    left = [one for one in ids if one not in ("i00", "i20")]
    nums = base.vocabulary.nums(left)
    today = ItemVectors(
        Vocabulary(pa.array([*left, "i20", "aa-new"]), np.append(base.vocabulary.counts[nums], [20**2, 0])),
        np.concatenate([base.vectors[nums], fresh[0, 1:], fresh[0, :1]]),
        np.concatenate([base.context_vectors[nums], fresh[1, 1:], fresh[1, :1]]),
    )
    rules = ListRules(popularity=0.5)
    expected = Recommender(today).similar_items("i07", N=20, rules=rules)
    found = live.similar_items("i07", N=20, rules=rules)
    assert found[0].tolist() == expected[0].tolist()


@pytest.mark.parametrize("seen", [True, False])
def test_twins_are_those_a_recommender_of_today_leaves_out(seen):
    world = World()
    live = LiveRecommender(world.recommender())
    world.put(live, [list(world.today)[3], "new"], 2)  # one changed, one added
    rules = ListRules(unique="market")
    clicks = list(world.today)[:5]
    options = {"N": 20, "rules": rules, "filter_seen": seen}
    expected, _ = world.fresh().recommend(clicks, **options)
    assert live.recommend(clicks, **options)[0].tolist() == expected.tolist()


def test_a_rebuild_chooses_its_effort_anew():
    rng = np.random.default_rng(0)
    base = counted([f"i{k:05d}" for k in range(1500)], np.ones(1500))
    live = LiveRecommender(Recommender(base, index=ItemIndex.build(base, n_trees=3, recall=0.95)))
    more = rng.standard_normal((2, 6000, D)).astype(np.float32)
    live.put_items([f"n{k:05d}" for k in range(6000)], *more)
    live.rebuild().result(60)
    rebuilt = live._parts.base.index("similar")
    assert rebuilt.recall >= 0.95
    assert rebuilt.recall_facts["target"] == 0.95


def test_filters_of_one_call_are_not_kept():
    world = World()
    live = LiveRecommender(world.recommender())
    world.remove(live, [next(iter(world.today))])
    ids = list(world.today)
    live.similar_items(ids[0], N=5, where={"price": (0, 200)})
    before = item_sets()
    for one in ids[1:30]:
        live.similar_items(ids[0], N=5, where={"price": (0, 200)}, filter_items=[one])
    assert item_sets() <= before
    live.similar_items(ids[0], N=5, where={"price": (0, 201)})
    assert before < item_sets() <= before + 2
    world.remove(live, [ids[5]])  # what was made for the items of before goes with them
    live.similar_items(ids[0], N=5, where={"price": (0, 201)})
    assert item_sets() <= before + 2


def item_sets() -> int:
    gc.collect()
    return sum(type(one) is ItemSet for one in gc.get_objects())  # isinstance asks objects that warn


def test_what_is_put_costs_no_walk_over_what_lies_beside(monkeypatch):
    """Rows that were there are taken over as arrays: no attribute of theirs is looked at again."""
    world = World()
    live = LiveRecommender(world.recommender())
    world.put(live, [f"old-{k}" for k in range(200)], 1)
    walked = []
    as_rows = ItemAttributes.as_rows

    def counted(self, rows):
        walked.append(len(rows))
        return as_rows(self, rows)

    monkeypatch.setattr(ItemAttributes, "as_rows", counted)
    for number in range(10):
        world.put(live, [f"new-{number}", f"old-{number}"], number)
        world.remove(live, [f"old-{100 + number}"])
        live.set_available([f"new-{number}"], False)
        live.set_available([f"new-{number}"], True)
    assert sum(walked) <= 10 * 2 * 2  # once to be checked, once to be kept
    compare(live, world, 3)


def test_a_deny_list_that_stays_is_looked_up_once(monkeypatch):
    """What is not available is a mask that changes with it, however often lists are asked for."""
    world = World()
    live = LiveRecommender(world.recommender())
    ids = list(world.today)
    live.set_available(ids[5:100], False)
    looked_up = []
    nums = Vocabulary.nums

    def counted(self, item_ids):
        given = list(item_ids)
        looked_up.append(len(given))
        return nums(self, given)

    monkeypatch.setattr(Vocabulary, "nums", counted)
    for one in ids[:5]:
        found, _ = live.similar_items(one, N=30, where={"price": (0, 1000)})
        assert not set(found) & set(ids[5:100])
    live.put_items(["new"], *np.ones((2, 1, D), np.float32), [ROW])
    live.similar_items("new", N=30)
    assert max(looked_up) < 95


def test_a_removal_makes_nothing_anew_of_what_lies_beside():
    world = World()
    live = LiveRecommender(world.recommender())
    live.put_items(["new", "newer"], *np.ones((2, 2, D), np.float32), [ROW, ROW])
    beside = live._parts.side
    world.remove(live, [next(iter(world.today))])
    assert live._parts.side is beside
    live.remove_items(["new"])
    assert live._parts.side is not beside
    assert live.beside() == ["newer"]


def test_arguments_are_checked_before_an_empty_answer():
    live = LiveRecommender(World().recommender())
    with pytest.raises(UsageError, match="number of results"):
        live.recommend([], N=-5)
    with pytest.raises(UsageError, match="unknown filter column"):
        live.recommend(["nobody"], where={"nope": 1})
