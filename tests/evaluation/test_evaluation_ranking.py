"""Labels of searches, NDCG and utility-based NDCU: against plain loops, scikit-learn and known answers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from booked_rank_referee import event, shown, write_log
from ranking_outcomes_referee import (
    BOOKED,
    CLICKED,
    CONTACTED,
    DAY,
    GAIN,
    REJECTED,
    SHOWN,
    UTILITY,
    S,
    best_sum,
    expected_sum,
    labels_of,
)
from sklearn.metrics import ndcg_score

import item2vec as i2v
from item2vec.errors import DataError, MissingDependencyError, UsageError
from item2vec.evaluation import LABEL_GAIN, OUTCOMES, UTILITIES, LambdaRank
from item2vec.evaluation.bootstrap import bootstrap_means, interval
from item2vec.evaluation.ranking.discounts import expected_discounts
from item2vec.evaluation.ranking.labels import label_counts


def labelled(*searches: list[int], users: list[str] | None = None) -> pa.Table:
    """Searches of which only the labels are known."""
    sizes = [len(one) for one in searches]
    users = [f"u{number}" for number in range(len(searches))] if users is None else users
    return pa.table(
        {
            "user_id": [user for user, n in zip(users, sizes, strict=True) for _ in range(n)],
            "search_id": [f"s{number}" for number, n in enumerate(sizes) for _ in range(n)],
            "label": pa.array([label for one in searches for label in one], pa.int8()),
        }
    )


def random_log(seed: int) -> list[dict]:
    """Users come back to the same listings in later searches; what follows comes early, late or too late."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in ("u", "v", "w"):
        for search in range(8):
            start = int(rng.integers(0, 20 * 24)) * 3600 * S
            page = [f"i{item}" for item in rng.choice(9, 6, replace=False)]
            rows += shown(user, start, f"s{search}", page + page[:1])
            for place in rng.choice(6, rng.integers(0, 4), replace=False):
                ts = start + int(rng.choice([0, 50, 700_000])) * S
                rows.append(
                    event(user, ts, "click", page[place], search_id=f"s{search}", position=int(place))
                )
                for kind in ("wishlist", "inquiry", "booking", "rejection"):
                    if rng.random() < 0.25:
                        rows.append(event(user, ts + int(rng.integers(-9, 900_000)) * S, kind, page[place]))
    return [row for row in rows if row["ts_us"] >= 0]


def as_dict(table: pa.Table) -> dict[tuple[str, str, str], int]:
    names = ("user_id", "search_id", "item_id", "label")
    return {(u, s, i): label for u, s, i, label in zip(*(table[n].to_pylist() for n in names), strict=True)}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("booked_only", [True, False])
def test_labels_are_what_plain_loops_find(tmp_path, seed: int, booked_only: bool) -> None:
    rows = random_log(seed)
    table = i2v.search_labels(write_log(tmp_path, rows), wait_days=5, booked_only=booked_only)
    wanted = labels_of(rows, 5, booked_only)
    assert as_dict(table) == wanted
    assert table.num_rows == len(wanted) > 0
    if not booked_only:
        assert set(wanted.values()) == set(range(5))


def test_an_outcome_belongs_to_the_latest_search_with_a_click_before_it(tmp_path) -> None:
    rows = [
        *shown("u", 1 * S, "first", "abc"),
        event("u", 2 * S, "click", "b", search_id="first", position=2),
        *shown("u", 100 * S, "second", "cab"),
        event("u", 101 * S, "click", "a", search_id="second", position=2),
        event("u", 102 * S, "click", "b", search_id="second", position=3),
        event("u", 103 * S, "wishlist", "a"),
        event("u", 104 * S, "booking", "b"),
        *shown("u", 200 * S, "third", "bc"),
        event("u", 300 * S, "click", "b", search_id="third", position=1),
        event("u", 20 * DAY, "booking", "c"),
    ]
    log = write_log(tmp_path, rows)
    found = as_dict(i2v.search_labels(log))
    assert found == {
        ("u", "second", "c"): SHOWN,
        ("u", "second", "a"): CONTACTED,
        ("u", "second", "b"): BOOKED,
    }
    everything = as_dict(i2v.search_labels(log, booked_only=False))
    assert everything["u", "first", "b"] == everything["u", "third", "b"] == CLICKED
    assert ("u", "third", "c") not in everything  # below the last click
    table = i2v.search_labels(log)
    assert label_counts(table) == {
        "searches": 3,
        "not_settled": 0,
        "without_click": 0,
        "without_booking": 2,
        "outcomes_of_no_search": 1,
        "outcomes_too_late": 0,
    }


def test_of_a_booking_and_a_rejection_the_later_one_counts(tmp_path) -> None:
    rows = [
        *shown("u", 0, "s", "abc"),
        *(event("u", S, "click", one, search_id="s", position=1) for one in "abc"),
        event("u", 2 * S, "rejection", "a"),
        event("u", 3 * S, "booking", "a"),
        event("u", 2 * S, "booking", "b"),
        event("u", 3 * S, "rejection", "b"),
        event("u", 2 * S, "inquiry", "c"),
        event("u", 3 * S, "rejection", "c"),
        event("u", 9 * DAY, "click", "z"),
    ]
    found = as_dict(i2v.search_labels(write_log(tmp_path, rows)))
    assert [found["u", "s", one] for one in "abc"] == [BOOKED, REJECTED, REJECTED]


def test_a_search_is_left_out_until_its_outcome_is_in_the_log(tmp_path) -> None:
    rows = [
        *shown("u", 0, "old", "a"),
        event("u", 1, "click", "a", search_id="old", position=1),
        event("u", 2, "booking", "a"),
        *shown("u", DAY, "new", "b"),
        event("u", DAY + 1, "click", "b", search_id="new", position=1),
        event("u", 7 * DAY, "booking", "b"),
    ]
    table = i2v.search_labels(write_log(tmp_path, rows))
    assert set(table["search_id"].to_pylist()) == {"old"}
    assert label_counts(table)["not_settled"] == 1


def random_searches(seed: int, n: int = 40) -> tuple[pa.Table, np.ndarray]:
    """Up to six rows per search, many of equal score."""
    rng = np.random.default_rng(seed)
    searches = [[*rng.integers(0, 4, rng.integers(0, 6)).tolist(), BOOKED] for _ in range(n)]
    table = labelled(*searches)
    return table, rng.integers(0, 4, table.num_rows).astype(float)


def test_gains_and_utilities_are_the_paper_s() -> None:
    assert UTILITIES == (-0.4, 0.0, 0.01, 0.25, 1.0)
    assert pytest.approx(np.array(UTILITIES) + 0.4) == LABEL_GAIN
    assert OUTCOMES == ("rejected", "impression", "clicked", "contacted", "booked")
    assert dict(enumerate(LABEL_GAIN)) == GAIN
    assert dict(enumerate(UTILITIES)) == UTILITY


@pytest.mark.parametrize("seed", range(3))
def test_every_figure_is_what_plain_loops_find(seed: int) -> None:
    table, scores = random_searches(seed)
    by_search: dict[str, list[tuple[int, float]]] = {}
    for search, label, score in zip(
        table["search_id"].to_pylist(), table["label"].to_pylist(), scores, strict=True
    ):
        by_search.setdefault(search, []).append((label, score))
    wanted: dict[str, list[float]] = {name: [] for name in ("ndcg", "ndcu", *OUTCOMES)}
    for rows in by_search.values():
        labels, own = [label for label, _ in rows], [score for _, score in rows]
        for name, worth in (("ndcg", GAIN), ("ndcu", UTILITY)):
            each = [worth[label] for label in labels]
            wanted[name].append(expected_sum(each, own) / best_sum(each))
        for code, name in enumerate(OUTCOMES):
            if code in labels:
                wanted[name].append(expected_sum([UTILITY[one] * (one == code) for one in labels], own))
    shuffled = np.random.default_rng(seed).permutation(table.num_rows)
    found = i2v.evaluate_ranking({"one": scores[shuffled]}, table.take(pa.array(shuffled)), n_bootstrap=50)
    figures = found.scorers["one"]
    assert found.n_searches == len(by_search)
    assert figures.ndcg.value == pytest.approx(100 * np.mean(wanted["ndcg"]))
    assert figures.ndcu.value == pytest.approx(100 * np.mean(wanted["ndcu"]))
    for name, interval_of in figures.dcu.items():
        assert interval_of.value == pytest.approx(100 * np.mean(wanted[name])), name
        assert found.searches_with[name] == len(wanted[name])


def test_ndcg_is_scikit_learn_s() -> None:
    table, scores = random_searches(7)
    labels = table["label"].to_numpy()
    owners = np.array(table["search_id"].to_pylist())
    theirs = []
    for search in np.unique(owners):
        mine = owners == search
        gains = np.array(LABEL_GAIN)[labels[mine]]
        theirs.append(1.0 if mine.sum() == 1 else ndcg_score([gains], [scores[mine]]))
    found = i2v.evaluate_ranking({"one": scores}, table, n_bootstrap=0)
    assert found.scorers["one"].ndcg.value == pytest.approx(100 * np.mean(theirs))


def test_a_known_order_has_a_known_worth() -> None:
    table = labelled([REJECTED, BOOKED])
    found = i2v.evaluate_ranking({"worst": [2, 1], "best": [1, 2], "tied": [1, 1]}, table)
    second = 1 / np.log2(3)
    best, worst = 1 - 0.4 * second, -0.4 + second
    assert found.scorers["best"].ndcu.value == pytest.approx(100)
    assert found.scorers["worst"].ndcu.value == pytest.approx(100 * worst / best)
    assert found.scorers["tied"].ndcu.value == pytest.approx(100 * (best + worst) / 2 / best)
    assert found.scorers["worst"].dcu["rejected"].value == pytest.approx(-40)
    assert found.scorers["worst"].dcu["booked"].value == pytest.approx(100 * second)
    difference = found.difference("worst", "best")
    assert difference.lift["booked"].value == pytest.approx(100 * (second - 1))
    assert difference.lift["rejected"].value < 0  # nearer to the top: worse
    assert found.insufficient is not None
    with pytest.raises(UsageError, match="no difference"):
        found.difference("best", "worst")


def test_a_search_that_can_be_worth_nothing_has_no_ndcu() -> None:
    six, five = [REJECTED] * 6 + [BOOKED], [REJECTED] * 5 + [BOOKED]
    found = i2v.evaluate_ranking({"one": np.zeros(13)}, labelled(six, five), n_bootstrap=0)
    assert found.n_without_ndcu == 1
    assert found.searches_with["rejected"] == 2
    assert not np.isnan(found.scorers["one"].ndcu.value)


def test_differences_are_paired_and_seeds_are_averaged() -> None:
    rng = np.random.default_rng(1)
    table, scores = random_searches(3, 200)
    two = np.stack([scores, rng.random(len(scores))])
    found = i2v.evaluate_ranking({"a": two, "b": scores, "again": scores}, table, seed=4)
    alone = [i2v.evaluate_ranking({"x": one}, table).scorers["x"].ndcg.value for one in two]
    assert found.scorers["a"].ndcg.value == pytest.approx(np.mean(alone))
    assert found.scorers["a"].n_seeds == 2
    same = found.difference("b", "again")
    assert (same.ndcg.value, same.ndcg.low, same.ndcu.high) == (0, 0, 0)
    paired = found.difference("a", "b")
    apart = found.scorers["a"].ndcg.high - found.scorers["a"].ndcg.low
    assert 0 < paired.ndcg.high - paired.ndcg.low < apart
    assert found.to_json()["differences"][0]["ndcg"]["value"] == paired.ndcg.value
    assert "a − b" in repr(found)


def test_users_can_be_resampled() -> None:
    """Every search of a user the same: as many cases as users, whatever the searches say."""
    rng = np.random.default_rng(0)
    kinds = [[SHOWN, BOOKED], [BOOKED, SHOWN]]
    searches = [kinds[user % 2] for user in range(40) for _ in range(10)]
    table = labelled(*searches, users=[f"u{user}" for user in range(40) for _ in range(10)])
    scores = np.tile([2.0, 1.0], 400)
    widths = {}
    for clusters in ("search", "user"):
        one = i2v.evaluate_ranking({"x": scores}, table, clusters=clusters).scorers["x"].ndcg
        widths[clusters] = one.high - one.low
    assert widths["user"] == pytest.approx(np.sqrt(10) * widths["search"], rel=0.15)
    means = bootstrap_means({"x": rng.random(5)}, np.arange(5))
    assert interval(*means["x"]).low <= interval(*means["x"]).high


def test_two_users_searches_of_one_id_are_two() -> None:
    table = labelled([SHOWN, BOOKED], [BOOKED])
    table = table.set_column(1, "search_id", pa.array(["s"] * 3))
    found = i2v.evaluate_ranking({"one": [1, 2, 0]}, table, n_bootstrap=0)
    assert found.n_searches == 2
    assert found.scorers["one"].ndcu.value == pytest.approx(100)
    booked = found.scorers["one"].dcu["booked"].value
    assert booked == pytest.approx(100)


def test_equal_scores_share_their_ranks() -> None:
    found = expected_discounts(np.array([1.0, 3.0, 1.0, 5.0]), np.array([0, 0, 0, 1]))
    shared = (1 / np.log2(3) + 1 / np.log2(4)) / 2
    np.testing.assert_allclose(found, [shared, 1, shared, 1])


def test_bad_arguments_are_refused_in_words(tmp_path) -> None:
    table, scores = random_searches(0)
    with pytest.raises(UsageError, match="names"):
        i2v.evaluate_ranking({}, table)
    with pytest.raises(UsageError, match="one per row"):
        i2v.evaluate_ranking({"one": scores[1:]}, table)
    with pytest.raises(UsageError, match="NaN in 1 place"):
        i2v.evaluate_ranking({"one": np.where(np.arange(len(scores)) == 3, np.nan, scores)}, table)
    with pytest.raises(UsageError, match="'search' or by 'user'"):
        i2v.evaluate_ranking({"one": scores}, table, clusters="day")
    with pytest.raises(DataError, match="search_labels"):
        i2v.evaluate_ranking({"one": scores}, table.drop_columns(["label"]))
    with pytest.raises(DataError, match="labels are 0 to 4"):
        i2v.evaluate_ranking({"one": [1.0]}, labelled([5]))
    with pytest.raises(UsageError, match="wait_days"):
        i2v.search_labels(write_log(tmp_path, shown("u", 1, "s", "a")), wait_days=0)


def planted(seed: int, n: int = 300) -> tuple[pa.Table, pa.Table]:
    """Searches in which the column `told` tells the booked listing, and `noise` and `blank` nothing."""
    rng = np.random.default_rng(seed)
    labels = labelled(
        *([SHOWN] * place + [BOOKED] + [SHOWN] * (5 - place) for place in rng.integers(6, size=n))
    )
    is_booked = labels["label"].to_numpy() == BOOKED
    columns = {
        "told": is_booked + rng.normal(0, 0.7, len(is_booked)),
        "noise": rng.random(len(is_booked)),
        "blank": np.full(len(is_booked), np.nan),
    }
    return pa.table(columns), labels


def test_a_ranker_finds_the_column_that_tells() -> None:
    train, test = planted(1), planted(2)
    ranker = LambdaRank(n_trees=30, workers=1).fit(*train)
    scores = {"ranker": ranker.scores(test[0]), "chance": test[0]["noise"].to_numpy()}
    gain = i2v.evaluate_ranking(scores, test[1]).difference("ranker", "chance").ndcg
    assert gain.low > 5, gain
    assert next(iter(ranker.importance_)) == "told"
    assert ranker.importance_["blank"] == 0
    assert sum(ranker.importance_.values()) == pytest.approx(1)
    values, curve = ranker.partial_dependence(test[0], "told")
    assert (np.diff(values) > 0).all()
    assert curve[-1] - curve[0] > 0.5
    assert len(ranker.partial_dependence(test[0], "blank")[0]) == 0
    again = LambdaRank(n_trees=30, workers=2).fit(*train)
    np.testing.assert_array_equal(again.scores(test[0]), scores["ranker"])
    shuffled = np.random.default_rng(0).permutation(train[0].num_rows)
    mixed = LambdaRank(n_trees=30, workers=1).fit(*(one.take(pa.array(shuffled)) for one in train))
    assert np.corrcoef(mixed.scores(test[0]), scores["ranker"])[0, 1] > 0.95


def test_a_ranker_puts_what_is_rejected_below_what_is_only_seen() -> None:
    """The paper's utilities, of which the gains keep the differences: −0.4 is less than 0."""
    labels = labelled(*([SHOWN, REJECTED, SHOWN] for _ in range(200)))
    codes = labels["label"].to_numpy()
    features = pa.table({"bad": (codes == REJECTED).astype(float)})
    scores = LambdaRank(n_trees=20, feature_fraction=1).fit(features, labels).scores(features)
    assert scores[codes == REJECTED].max() < scores[codes == SHOWN].min()


def test_a_ranker_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = planted(1, 40)
    with pytest.raises(UsageError, match="not fitted"):
        LambdaRank().scores(features)
    with pytest.raises(UsageError, match="give as many"):
        LambdaRank().fit(features.slice(1), labels)
    ranker = LambdaRank(n_trees=2).fit(features, labels)
    with pytest.raises(UsageError, match="no column told"):
        ranker.scores(features.drop_columns(["told"]))
    with pytest.raises(UsageError, match="no column 'other'"):
        ranker.partial_dependence(features, "other")
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'item2vec\[rank\]'"):
        LambdaRank().fit(features, labels)
