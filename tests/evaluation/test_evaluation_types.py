"""Baselines by type: by hand, against plain Python, and in worlds whose next type is known or is chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from item2vec.embeddings import Item2Vec
from item2vec.errors import EmptyDataError
from item2vec.evaluation import (
    Popularity,
    RepeatType,
    Scorer,
    TypeTransitions,
    evaluate_long_term,
    fit_long_term_baselines,
    split_sessions,
)
from item2vec.recommendations import Recommender
from item2vec.sessions import Sessions

DAY = 86_400_000_000
KINDS = {"a1": "A", "a2": "A", "b1": "B", "b2": "B", "c1": "C", "plain": None}
TABLE = pa.table(
    {
        "item_id": list(KINDS),
        "market": ["P", "P", "P", "Q", "Q", "P"],
        "listing_type": list(KINDS.values()),
    }
)
TRAIN = Sessions.from_lists(
    [["a1", "b1", "a2"], ["a1", "plain", "b1"], ["b2", "b1"], ["c1"], ["a1"]], items=TABLE
)


def ranking(scorer, *ids, among=KINDS):
    """List the items among these, best first (ties by id)."""
    (row,) = scorer.scores([scorer.vocabulary.nums(ids)])
    scores = dict(zip(scorer.vocabulary.ids.to_pylist(), row.tolist(), strict=True))
    return sorted(among, key=lambda item: (-scores[item], item))


def test_repeat_type_by_hand():
    scorer = RepeatType().fit(TRAIN)
    assert isinstance(scorer, Scorer)
    assert ranking(scorer, "a2") == ["a1", "a2", "b1", "b2", "c1", "plain"]
    assert ranking(scorer, "a1", "b2", "plain") == ["b1", "b2", "a1", "a2", "c1", "plain"]
    popularity = ["a1", "b1", "a2", "b2", "c1", "plain"]
    assert ranking(scorer) == ranking(scorer, "plain") == popularity
    rows = scorer.scores([np.zeros(0, np.int32), scorer.vocabulary.nums(["b1"])])
    assert rows.dtype == np.float32
    assert len(np.unique(rows[0])) == len(set(scorer.vocabulary.counts.tolist()))  # equal counts are ties


def transitions_by_hand(lists, kinds, last):
    """The documented score of every listing, in plain Python."""
    counts = Counter(item for stays in lists for item in stays)
    known = [[kinds[item] for item in stays if kinds[item] is not None] for stays in lists]
    pairs = Counter(pair for stays in known for pair in pairwise(stays))
    total = sum(pairs.values())
    follows = Counter()
    for (_, kind), n in pairs.items():
        follows[kind] += n
    n_last = sum(n for (one, _), n in pairs.items() if one == last)
    return {
        item: count
        * ((pairs[last, kinds[item]] / (follows[kinds[item]] / total) if pairs[last, kinds[item]] else 0) + 1)
        / (n_last + 1)
        for item, count in counts.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_type_transitions_agree_with_plain_python(seed):
    rng = np.random.default_rng(seed)
    kinds = {i: f"t{rng.integers(6)}" if rng.random() < 0.9 else None for i in range(40)}
    lists = [rng.integers(0, 40, rng.integers(1, 4)).tolist() for _ in range(40)]
    table = pa.table({"item_id": list(kinds), "listing_type": list(kinds.values())})
    scorer = TypeTransitions().fit(Sessions.from_lists(lists, items=table))
    for item in scorer.vocabulary.ids.to_pylist()[:15]:
        (row,) = scorer.scores([scorer.vocabulary.nums([item])])
        found = dict(zip(scorer.vocabulary.ids.to_pylist(), row.tolist(), strict=True))
        assert found == pytest.approx(transitions_by_hand(lists, kinds, kinds[item]), rel=1e-6)


def test_back_off_is_said_per_market():
    repeat, table = RepeatType().fit(TRAIN), TypeTransitions().fit(TRAIN)
    everywhere = np.arange(len(repeat.vocabulary))
    only_c = repeat.vocabulary.nums(["c1", "plain"]).astype(np.int64)
    histories = [repeat.vocabulary.nums(ids) for ids in (["a1"], ["plain"], [], ["c1"])]
    assert repeat.backs_off(histories, everywhere).tolist() == [False, True, True, False]
    assert repeat.backs_off(histories, only_c).tolist() == [True, True, True, False]
    assert table.backs_off(histories, everywhere).tolist() == [False, True, True, True]  # nobody left c1
    np.testing.assert_array_equal(table.scores([histories[3]])[0], table.vocabulary.counts)


def test_without_types_there_is_nothing_to_fit():
    for sessions in (Sessions.from_lists([["a", "b"]]), replace(TRAIN, items=TABLE.drop(["listing_type"]))):
        if sessions.items is not None:
            sessions = Sessions.from_lists(TRAIN.to_lists(), items=sessions.items)
        for scorer in (RepeatType(), TypeTransitions()):
            with pytest.raises(EmptyDataError, match="no listing has a known listing_type"):
                scorer.fit(sessions)
        assert list(fit_long_term_baselines(sessions)) == ["market_popularity"]
    assert list(fit_long_term_baselines(TRAIN)) == ["market_popularity", "repeat_type", "type_transitions"]
    by_market = fit_long_term_baselines(TRAIN, attribute="market")["repeat_type"]
    assert ranking(by_market, "c1")[:2] == ["b2", "c1"]


def world(next_type, n_users=900, seed=0, n_types=4, n_markets=3, per_cell=6):
    """Stays of users whose next type follows from the last: (rng, type) → type; markets at random."""
    rng = np.random.default_rng(seed)
    cells = [(m, t) for m in range(n_markets) for t in range(n_types) for _ in range(per_cell)]
    table = pa.table(
        {
            "item_id": list(range(len(cells))),
            "market": [f"m{m}" for m, _ in cells],
            "listing_type": [f"t{t}" for _, t in cells],
        }
    )
    lists, times = [], []
    for _ in range(n_users):
        kind = int(rng.integers(n_types))
        stays = []
        for _ in range(int(rng.integers(1, 6))):
            market = int(rng.integers(n_markets))
            stays.append((market * n_types + kind) * per_cell + int(rng.integers(per_cell)))
            kind = next_type(rng, kind)
        lists.append(stays)
        times.append(np.sort(rng.integers(0, 1000, len(stays))) * DAY)
    return timed(lists, times, table)


def timed(lists, times, table):
    """Booking sequences of the stays at the given times."""
    sessions = Sessions.from_lists(lists, items=table)
    ts = np.concatenate(times)
    starts, ends = ts[sessions.offsets[:-1]], ts[sessions.offsets[1:] - 1]
    return replace(sessions, kind="booking", ts_us=ts, start_us=starts, end_us=ends)


def measured(sessions, shuffle=None, **more):
    """Evaluate the baselines on a split of the world; `shuffle` permutes the types of all listings."""
    if shuffle is not None:
        types = sessions.items["listing_type"].take(
            np.random.default_rng(shuffle).permutation(sessions.n_items)
        )
        place = sessions.items.column_names.index("listing_type")
        sessions = replace(sessions, items=sessions.items.set_column(place, "listing_type", types))
    split = split_sessions(sessions, validation=0, test=0.3)
    scorers = fit_long_term_baselines(split.train) | {name: make(split.train) for name, make in more.items()}
    return evaluate_long_term(
        scorers,
        split.test,
        sessions.items,
        train=split.train,
        first_targets=split.test_targets,
        k=6,
        n_bootstrap=300,
    )


def test_users_who_repeat_their_type():
    result = measured(world(lambda rng, kind: kind))
    repeat, table, popular = (
        result.scorers[name] for name in ("repeat_type", "type_transitions", "market_popularity")
    )
    for found in (repeat, table):
        for length in ("1", "2+"):
            assert found.by_history[length].type_accuracy.value == 100
            assert found.by_history[length].recall.value == 100  # the six listings of the type in the market
        assert found.by_history["0"] == popular.by_history["0"]
        assert found.n_backed_off == found.by_history["0"].n  # and nobody else
        assert found.to_json()["back_off"]["share"] == pytest.approx(found.n_backed_off / result.n_cases)
    assert popular.type_accuracy.value == pytest.approx(25, abs=7)
    gain = next(d for d in result.differences if (d.a, d.b) == ("market_popularity", "repeat_type"))
    assert gain.by_history["2+"]["type_accuracy"].high < -60
    assert gain.by_history["0"]["recall"].value == 0
    assert sum(one.n_targets for one in result.support) == result.n_cases == result.n_typed
    assert {one.n_listings for one in result.support} == {18}
    assert min(repeat.by_history[length].n for length in ("0", "1", "2+")) > 50


def test_a_chain_of_types():
    result = measured(world(lambda rng, kind: (kind + 1) % 4))
    repeat, table = result.scorers["repeat_type"], result.scorers["type_transitions"]
    for length in ("1", "2+"):
        assert table.by_history[length].type_accuracy.value == 100
        assert table.by_history[length].recall.value == 100
        assert repeat.by_history[length].type_accuracy.value == 0


def test_types_that_mean_nothing_are_at_chance():
    """Users who choose a type at random, and types dealt out anew: both leave one in four."""
    at_random = measured(world(lambda rng, kind: int(rng.integers(4)), n_users=1500))
    dealt_out = measured(world(lambda rng, kind: kind, n_users=1500), shuffle=7)
    for result in (at_random, dealt_out):
        for name in ("repeat_type", "type_transitions"):
            for length in ("1", "2+"):
                found = result.scorers[name].by_history[length]
                assert found.type_accuracy.low < 25 + 6
                assert found.type_accuracy.high > 25 - 6
                assert found.recall.value == pytest.approx(25, abs=8)  # 6 of 24 listings of the market


def test_types_that_only_tell_the_market_leave_popularity():
    """Most stays of a market are of its own type, whatever came before: the table must not unlearn that."""
    rng = np.random.default_rng(5)
    n_users, per_cell = 1500, 6
    table = pa.table(
        {
            "item_id": list(range(4 * per_cell)),
            "market": [f"m{i // (2 * per_cell)}" for i in range(4 * per_cell)],
            "listing_type": [f"t{i // per_cell % 2}" for i in range(4 * per_cell)],
        }
    )
    lengths = rng.integers(1, 6, n_users)
    markets = rng.integers(0, 2, lengths.sum())
    kinds = np.where(rng.random(len(markets)) < 0.85, markets, 1 - markets)
    stays = (markets * 2 + kinds) * per_cell + rng.integers(0, per_cell, len(markets))
    lists = [part.tolist() for part in np.split(stays, np.cumsum(lengths)[:-1])]
    times = [np.sort(rng.integers(0, 1000, n)) * DAY for n in lengths]
    result = measured(timed(lists, times, table))
    popular, repeat, by_table = result.scorers.values()
    assert popular.type_accuracy.value == pytest.approx(85, abs=4)
    assert by_table.type_accuracy.value == pytest.approx(popular.type_accuracy.value, abs=3)
    assert repeat.by_history["2+"].type_accuracy.value == pytest.approx(50, abs=8)


def test_stays_that_nothing_follows_leave_popularity():
    train = Sessions.from_lists([["a1"], ["a1"], ["b1"], ["c1"]], items=TABLE)
    scorer = TypeTransitions().fit(train)
    rows = scorer.scores([scorer.vocabulary.nums(["c1"]), np.zeros(0, np.int32)])
    np.testing.assert_array_equal(rows, [scorer.vocabulary.counts] * 2)


def test_item2vec_learns_who_repeats_a_type():
    """Vectors see no types, only who stays where; seeds are averaged, and no history is no answer."""

    class Next:
        def __init__(self, recommender):
            self.recommender, self.vocabulary = recommender, recommender.vocabulary

        def scores(self, histories):
            return self.recommender.scores(histories, mode="next")

    def three_seeds(train):
        fits = [Item2Vec(vector_size=16, epochs=30, seed=seed, workers=1) for seed in (1, 2, 3)]
        return [Next(Recommender(fit.fit(train, show_progress=False).item_vectors_)) for fit in fits]

    found = measured(world(lambda rng, kind: kind, n_users=2500), item2vec=three_seeds).scorers
    model, popular = found["item2vec"], found["market_popularity"]
    assert model.n_seeds == 3
    assert model.by_history["2+"].type_accuracy.low > 80 > 45 > popular.by_history["2+"].type_accuracy.high
    assert model.by_history["0"].recall.value == model.by_history["0"].type_accuracy.value == 0
    assert model.n_empty_answers == model.by_history["0"].n


def test_popularity_per_market_keeps_to_the_last_market():
    """Why the protocol wants popularity over all items: travellers leave the market of their last stay."""
    sessions = world(lambda rng, kind: kind)
    result = measured(sessions, kept=lambda train: Popularity(per_market=True).fit(train))
    kept, everywhere = result.scorers["kept"], result.scorers["market_popularity"]
    assert everywhere.n_empty_answers == 0
    assert kept.n_empty_answers / (result.n_cases - kept.by_history["0"].n) == pytest.approx(2 / 3, abs=0.06)
    assert kept.by_history["0"].recall == everywhere.by_history["0"].recall
