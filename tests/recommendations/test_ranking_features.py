"""The eight ranking features: one request, a whole log, and nothing that was not known at the time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ranking_referee import (
    DAY,
    S,
    event,
    event_table,
    features_of,
    make_vectors,
    random_log,
    searches_of,
    shown,
    user_events,
)

import item2vec as i2v
from item2vec.errors import DataError, UsageError
from item2vec.recommendations import RANKING_FEATURES, RankingFeatures, UserEvent, ranking_feature_table
from item2vec.recommendations.ranking_features import table as batch

IDS = [f"i{number}" for number in range(36)]  # of the 40 in random logs
MARKETS = {one: f"m{number % 3}" for number, one in enumerate(IDS) if number % 5}
NOW = 100 * DAY


@pytest.fixture(scope="module")
def features() -> RankingFeatures:
    return RankingFeatures(make_vectors(IDS), MARKETS)


class Types:
    """Types are numbers in words; how close they lie is their distance."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def similarity(self, user_type: str, listing_types: Sequence[str]) -> np.ndarray:
        self.asked.append(user_type)
        return np.array([int(one) / 100 - int(user_type) for one in listing_types], np.float32)


def same(a: pa.Table, b: pa.Table) -> bool:
    """Whether two tables are equal; NaN equals NaN, other than in Arrow."""
    return repr(a.to_pydict()) == repr(b.to_pydict())


@pytest.mark.parametrize("seed", range(4))
def test_one_request_is_what_plain_loops_find(features: RankingFeatures, seed: int) -> None:
    rows = random_log(seed)
    vectors = make_vectors(IDS)
    rng = np.random.default_rng(seed)
    for user in ("u0", "u1", "u2"):
        events = user_events(rows, user)
        as_of = int(rng.choice([one.ts_us for one in events])) + int(rng.integers(0, 2))
        order = rng.permutation(len(events))
        order = order[np.argsort([events[place].ts_us for place in order], kind="stable")]
        events = [events[place] for place in order]
        asked = [f"i{number}" for number in range(40)]
        found = features.of(asked, events, as_of)
        wanted = [[*features_of(one, events, as_of, vectors, MARKETS), np.nan] for one in asked]
        assert found.dtype == np.float32
        assert found.shape == (40, 8)
        np.testing.assert_allclose(found, wanted, atol=2e-6)
        assert (~np.isnan(found)).any(axis=0)[:2].all()


@pytest.mark.parametrize("seed", range(6))
def test_the_table_is_what_every_request_would_have_found(
    features: RankingFeatures, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every search of random logs, in blocks of a few, against a history that holds the whole log."""
    rows = random_log(seed)
    if seed % 2:
        monkeypatch.setattr(batch, "BLOCK", 50)
    table = ranking_feature_table(event_table(rows), features)
    values = np.column_stack([table[name].to_numpy() for name in RANKING_FEATURES])
    searches = searches_of(rows)
    assert table.num_rows == sum(row["event_type"] == "impression" for row in rows)
    keys = list(zip(table["user_id"].to_pylist(), table["search_id"].to_pylist(), strict=True))
    assert set(keys) == set(searches)
    items, times = table["item_id"].to_pylist(), table["ts_us"].to_pylist()
    n_answers = 0
    for key in searches:
        mine = [row for row, one in enumerate(keys) if one == key]
        as_of = min(row["ts_us"] for row in searches[key])
        assert {times[row] for row in mine} == {as_of}
        asked = features.of([items[row] for row in mine], user_events(rows, key[0]), as_of)
        np.testing.assert_allclose(values[mine], asked, atol=1e-6)
        n_answers += np.count_nonzero(~np.isnan(asked))
    assert n_answers > 1000


def test_the_table_from_files_is_the_one_from_memory(features: RankingFeatures, tmp_path) -> None:
    table = event_table(random_log(1))
    pq.write_table(table.slice(300), tmp_path / "part-1.parquet")
    pq.write_table(table.slice(0, 300), tmp_path / "part-2.parquet")
    assert same(
        ranking_feature_table(tmp_path / "part-*.parquet", features), ranking_feature_table(table, features)
    )


def test_an_event_table_is_read_as_such_by_its_folder_or_in_memory(tmp_path: Path) -> None:
    sample = Path(__file__).resolve().parents[2] / "data" / "sample"
    events = i2v.read_events(sample / "events.csv.gz", items=sample / "items.csv", out=tmp_path / "events")
    features = RankingFeatures(make_vectors(events.items["item_id"].to_pylist()), events.items)
    found = ranking_feature_table(events, features)
    assert found.num_rows > 3000
    assert same(found, ranking_feature_table(tmp_path / "events", features))
    assert same(found, ranking_feature_table(events.to_table(), features))


def test_nothing_from_the_search_on_changes_its_features(features: RankingFeatures) -> None:
    """Cut the log at the time of a search, but for its impressions: the same features."""
    rows = random_log(9)
    whole = ranking_feature_table(event_table(rows), features)
    for cut in sorted(set(whole["ts_us"].to_pylist()))[20::17]:
        before = [
            row
            for row in rows
            if row["ts_us"] < cut or (row["ts_us"] == cut and row["search_id"] is not None)
        ]
        of_then = ranking_feature_table(event_table(before), features)
        mine, theirs = (one.filter(pc.equal(one["ts_us"], cut)) for one in (whole, of_then))
        assert mine.num_rows
        assert same(mine, theirs)


def test_a_skip_is_known_when_the_click_below_it_happens(features: RankingFeatures) -> None:
    skips = RANKING_FEATURES.index("EmbSkipSim")
    rows = [
        *shown("u", NOW, "s", ["i1", "i2", "i3"]),
        event("u", NOW + 9 * S, "click", "i3", search_id="s", position=3),
        event("u", NOW + 20 * S, "click", "i1", search_id="s", position=1),
        *(one for at in (9, 10, 20, 21) for one in shown("u", NOW + at * S, f"then {at}", ["i1"])),
    ]
    table = ranking_feature_table(event_table(rows), features)
    found = dict(zip(table["search_id"].to_pylist(), table["EmbSkipSim"].to_pylist(), strict=True))
    assert np.isnan(found["then 9"])  # the click is no earlier than this search
    alone, both = (
        features.of(["i1"], [UserEvent(one, "skip", NOW) for one in skipped], NOW + 1)[0, skips]
        for skipped in (["i2"], ["i1", "i2"])
    )
    assert found["then 10"] == found["then 20"] == pytest.approx(both, abs=1e-6)
    assert found["then 21"] == pytest.approx(alone, abs=1e-6)  # the first is clicked after all


def test_a_long_click_is_known_when_it_ends(features: RankingFeatures) -> None:
    last = RANKING_FEATURES.index("EmbLastLongClickSim")
    history = [UserEvent("i1", "click", NOW, 61.0), UserEvent("i2", "click", NOW + S, 60.0)]
    assert np.isnan(features.of(["i1"], history, NOW + 61 * S)[0, last])
    assert features.of(["i1"], history, NOW + 61 * S + 1)[0, last] == pytest.approx(1)
    two = [*history, UserEvent("i3", "click", NOW + 2 * S, 100.0)]
    for in_any_order in (two, two[::-1]):
        assert features.of(["i3"], in_any_order, NOW + DAY)[0, last] == pytest.approx(1)


def test_the_window_is_open_on_both_sides(features: RankingFeatures) -> None:
    history = [
        UserEvent("i1", "click", ts) for ts in (NOW - 14 * DAY, NOW - 14 * DAY + 1, NOW - 1, NOW, NOW + 5)
    ]
    history += [UserEvent("nobody's", "click", NOW - 5), UserEvent("i1", "rejection", NOW - 5)]
    _, use = features.of(["i1"], history, NOW, return_info=True)
    assert use == (2, 2, 1, 1, 1)
    assert sum(use) == len(history)
    assert np.isnan(features.of(["i1"], [history[0], *history[3:]], NOW)).all()
    assert features.of(["i1"], history[1:2], NOW)[0, 0] == pytest.approx(1)


def test_the_window_of_the_table_is_open_on_both_sides(features: RankingFeatures) -> None:
    rows = [event("u", ts, "wishlist", "i1") for ts in (NOW, NOW + 1)]
    for ts in (NOW, NOW + 1, NOW + 14 * DAY, NOW + 14 * DAY + 1):
        rows += shown("u", ts, f"s{ts}", ["i1"])
    one_by_one = [ranking_feature_table(event_table([row, *rows[2:]]), features) for row in rows[:2]]
    has = [[not np.isnan(value) for value in table["EmbWishlistSim"].to_pylist()] for table in one_by_one]
    assert has == [[False, True, False, False], [False, False, True, False]]


def test_a_click_of_the_search_itself_is_no_history_whatever_the_clocks_say(
    features: RankingFeatures,
) -> None:
    rows = [*shown("u", NOW, "s", ["i1"]), event("u", NOW - 3 * S, "click", "i1", search_id="s", position=1)]
    table = ranking_feature_table(event_table(rows), features)
    assert table["ts_us"].to_pylist() == [NOW - 3 * S]
    assert np.isnan(table["EmbClickSim"].to_pylist()[0])


def test_of_two_long_clicks_at_one_time_the_log_s_later_one_is_the_last(features: RankingFeatures) -> None:
    clicks = [
        event("u", NOW, "click", one, dwell_seconds=99.0, seq=seq) for one, seq in (("i2", 8), ("i1", 7))
    ]
    table = ranking_feature_table(event_table([*clicks, *shown("u", NOW + DAY, "s", ["i1", "i2"])]), features)
    assert table["EmbLastLongClickSim"].to_pylist()[1] == pytest.approx(1)
    assert table["EmbLastLongClickSim"].to_pylist()[0] < 0.99


def test_a_click_at_the_time_of_a_skip_takes_it_back(features: RankingFeatures) -> None:
    skips = RANKING_FEATURES.index("EmbSkipSim")
    skip = UserEvent("i1", "skip", NOW - 9)
    for ts, is_skipped in ((NOW - 10, True), (NOW - 9, False), (NOW - 8, False), (NOW, True)):
        found = features.of(["i1"], [skip, UserEvent("i1", "click", ts)], NOW)
        assert np.isnan(found[0, skips]) != is_skipped
    inquiry = [UserEvent("i1", "inquiry", NOW - 5), UserEvent("i1", "booking", NOW - 9)]
    assert np.isnan(features.of(["i1"], inquiry, NOW)[0, RANKING_FEATURES.index("EmbInqSim")])


def test_centroids_are_of_one_market_each(features: RankingFeatures) -> None:
    """The best market counts: a second one changes nothing where it is farther away."""
    vectors = make_vectors(IDS)
    in_one = [one for one in IDS if MARKETS.get(one) == "m1"][:3]
    other = next(one for one in IDS if MARKETS.get(one) == "m2" and vectors.similarity(one, in_one[0]) < 0)
    alone = features.of(in_one[:1], [UserEvent(one, "click", NOW - 5) for one in in_one], NOW)[0, 0]
    mixed = features.of(in_one[:1], [UserEvent(one, "click", NOW - 5) for one in [*in_one, other]], NOW)[0, 0]
    assert alone == mixed
    pooled = RankingFeatures(vectors).of(in_one[:1], [UserEvent(o, "click", 5) for o in [*in_one, other]], 9)
    assert pooled[0, 0] != pytest.approx(mixed, abs=1e-3)


def test_markets_come_from_an_item_table_too(features: RankingFeatures) -> None:
    table = pa.table(
        {"item_id": [*list(MARKETS)[::-1], "new"], "market": [*list(MARKETS.values())[::-1], "m9"]}
    )
    of_table = RankingFeatures(make_vectors(IDS), table)
    history = user_events(random_log(3), "u4")
    np.testing.assert_array_equal(of_table.of(IDS, history, 20 * DAY), features.of(IDS, history, 20 * DAY))


def test_types_answer_as_of_the_search() -> None:
    types = Types()
    of_items = {one: str(number) for number, one in enumerate(IDS) if number != 3}
    features = RankingFeatures(make_vectors(IDS), MARKETS, types=types, listing_types=of_items)
    rows = [one for at in range(4) for one in shown("u", NOW + at, f"s{at}", ["i2", "i3", "i9"])]
    rows += [*shown("v", NOW, "s0", ["i2"]), *shown("w", NOW, "s0", ["i2"])]
    since = pa.table(
        {
            "user_id": ["u", "v", "u", "nobody", "w"],
            "ts_us": [NOW + 1, 0, 0, 0, NOW],
            "user_type": ["2", "1", "5", "7", "3"],
        }
    )
    table = ranking_feature_table(event_table(rows), features, user_types=since)
    found = {
        (user, search, item): value
        for user, search, item, value in zip(
            *(table[n].to_pylist() for n in ("user_id", "search_id", "item_id", "UserTypeListingTypeSim")),
            strict=True,
        )
    }
    for search, user_type in (("s0", 5), ("s1", 5), ("s2", 2), ("s3", 2)):
        assert found["u", search, "i2"] == pytest.approx(0.02 - user_type)
        assert found["u", search, "i9"] == pytest.approx(0.09 - user_type)
        assert np.isnan(found["u", search, "i3"])
    assert found["v", "s0", "i2"] == pytest.approx(0.02 - 1)
    assert np.isnan(found["w", "s0", "i2"])  # its type begins at the search itself
    assert sorted(types.asked) == ["1", "2", "5"]
    assert features.of(["i9"], [], NOW, "4")[0, 7] == pytest.approx(0.09 - 4)
    assert np.isnan(features.of(["i9"], [], NOW)[0, 7])


def test_two_users_searches_of_one_id_stay_apart(features: RankingFeatures) -> None:
    rows = [
        event("u", NOW - 5, "click", "i1"),
        *shown("u", NOW, "s", ["i1"]),
        *shown("v", NOW + 1, "s", ["i1", "i2"]),
    ]
    table = ranking_feature_table(event_table(rows), features)
    assert table["user_id"].to_pylist() == ["u", "v", "v"]
    clicks = table["EmbClickSim"].to_numpy()
    assert clicks[0] == pytest.approx(1)
    assert np.isnan(clicks[1:]).all()


def test_a_log_without_searches_is_an_empty_table(features: RankingFeatures) -> None:
    table = ranking_feature_table(event_table([event("u", 5, "click", "i1")]), features)
    assert table.num_rows == 0
    assert table.column_names == ["search_id", "user_id", "ts_us", "item_id", "position", *RANKING_FEATURES]


def test_a_request_needs_no_heavy_library() -> None:
    program = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from item2vec.embeddings import ItemVectors\n"
        "from item2vec.recommendations import RankingFeatures, UserEvent\n"
        "from item2vec.vocabulary import Vocabulary\n"
        "buffers = [None, pa.py_buffer(np.int32([0, 1, 2])), pa.py_buffer(b'ab')]\n"
        "ids = pa.Array.from_buffers(pa.string(), 2, buffers)\n"
        "vectors = ItemVectors(Vocabulary(ids, np.ones(2, np.int64)), np.eye(2, dtype=np.float32))\n"
        "for markets in ({'a': 'm'}, pa.table({'item_id': ids, 'market': ids})):\n"
        "    features = RankingFeatures(vectors, markets)\n"
        "    assert features.of(['a'], [UserEvent('a', 'click', 5)], 9)[0, 0] == 1\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'numba', 'duckdb', 'lightgbm', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_bad_arguments_are_refused_in_words(features: RankingFeatures) -> None:
    vectors = make_vectors(IDS)
    with pytest.raises(UsageError, match="belong together"):
        RankingFeatures(vectors, types=Types())
    with pytest.raises(UsageError, match="no similarity"):
        RankingFeatures(vectors, types=object(), listing_types={})
    with pytest.raises(UsageError, match="mapping of item id to market"):
        RankingFeatures(vectors, ["m1"])
    with pytest.raises(DataError, match="no column market"):
        RankingFeatures(vectors, pa.table({"item_id": IDS}))
    with pytest.raises(UsageError, match="no time"):
        features.of(["i1"], [], -1)
    with pytest.raises(UsageError, match="list of item ids"):
        features.of("i1", [], 1)
    with pytest.raises(DataError, match="no UserEvent"):
        features.of(["i1"], [("i1", "click", 5)], 9)
    with pytest.raises(DataError, match="no column seq"):
        ranking_feature_table(event_table([]).drop_columns(["seq"]), features)
    with pytest.raises(UsageError, match="the events are list"):
        ranking_feature_table([], features)
    with pytest.raises(UsageError, match="user_types is a"):
        ranking_feature_table(event_table([]), features, user_types={"u": "a"})
