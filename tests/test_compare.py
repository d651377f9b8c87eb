"""Two releases side by side, with answers that can be computed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import item2vec as i2v
from item2vec.artifacts import Release, RunFolder, StageKey, StoredObject, publish
from item2vec.cli import app
from item2vec.embeddings import ItemVectors
from item2vec.errors import CorruptArtifactError, DataError, UsageError
from item2vec.evaluation.bootstrap import resampled_ratios
from item2vec.run.comparison_words import verdict
from item2vec.run.paired import RANKS, pair_ranks
from item2vec.vocabulary import Vocabulary

INF = float("inf")
DAY = 86_400_000_000
ITEMS = [f"i{number}" for number in range(60)]
CONFIG: dict[str, dict[str, Any]] = {
    "events": {"event_types": {"view": "click"}, "items": {"path": "a.csv"}},
    "sessions": {"kind": "click", "gap_minutes": 30.0},
    "embeddings": {"epochs": 10},
    "evaluation": {"k": 20},
}


def ranks(
    cases: Sequence[tuple[str, int, int, str]], **scorers: Sequence[Sequence[float]] | Sequence[float]
) -> pa.Table:
    """A table; a case is (user, start in days, position, target), a scorer a row of ranks per case."""
    users, days, positions, targets = zip(*cases, strict=True) if cases else ((), (), (), ())
    sessions = {key: number for number, key in enumerate(dict.fromkeys(zip(users, days, strict=True)))}
    columns: dict[str, Any] = {
        "session_id": pa.array([sessions[key] for key in zip(users, days, strict=True)], pa.int64()),
        "user_id": pa.array(users, pa.string()),
        "start_us": pa.array([day * DAY for day in days], pa.int64()),
        "position": pa.array(positions, pa.int32()),
        "target": pa.array(targets, pa.string()),
    }
    for name, rows in scorers.items():
        table = np.atleast_2d(np.array(rows, float).T).T
        flat = pa.array(table.ravel())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, table.shape[1] if len(table) else 1)
    return pa.table(columns)


def vectors(items: Sequence[Any], seed: int = 1) -> ItemVectors:
    """Vectors that depend on nothing but the item and the seed."""
    rows = [np.random.default_rng([seed, *str(item).encode()]).normal(size=8) for item in items]
    return ItemVectors(Vocabulary(pa.array(items), np.arange(len(items), 0, -1)), np.array(rows, np.float32))


def made(
    folder: Path,
    table: pa.Table | None,
    model: ItemVectors | None = None,
    config: Mapping[str, Mapping[str, Any]] = CONFIG,
    sessions: str = "one",
    k: int = 20,
    report: Mapping[str, Any] | None = None,
) -> Release:
    """Publish a release of a run whose objects hold what is given."""
    run = RunFolder(folder)

    def build(stage: str, out_dir: Path) -> dict[str, Any]:
        (out_dir / "sessions").write_text(sessions)
        if stage == "embeddings":
            (model or vectors(ITEMS)).save(out_dir / "vectors")
        if stage == "evaluation" and table is not None:
            pq.write_table(table, out_dir / RANKS)
        if stage == "evaluation" and report is not None:
            (out_dir / "report.json").write_text(json.dumps(report))
        return {"k": k, "next_item": {"item2vec": {}}} if stage == "evaluation" else {}

    objects: dict[str, StoredObject] = {}
    with run.lock():
        for stage, settings in config.items():
            key = StageKey(
                stage, 1, settings, {"made": {"object": repr((folder, sessions, k, report)), "content": ""}}
            )
            objects[stage] = run.write(key, lambda out, stage=stage: build(stage, out))
        return publish(run, objects)


CASES = [("u", 1, 1, "a"), ("u", 1, 2, "b"), ("v", 1, 1, "a"), ("w", 2, 1, "c"), ("w", 2, 2, "a")]
A_RANKS, B_RANKS = [1, 30, INF, 2, 20], [1, 2, 4, INF, 20]


def test_the_paired_figures_are_those_computed_by_hand(tmp_path: Path) -> None:
    """Recall of A: cases 1, 4, 5 of 5; of B: 1, 2, 3, 5; sessions u, v, w gain +1 of 2, +1 of 1, −1 of 2."""
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS, only_here=A_RANKS))
    made(tmp_path / "b", ranks(CASES, other=B_RANKS, item2vec=B_RANKS))
    found = i2v.compare(tmp_path / "a", tmp_path / "b", n_bootstrap=400, seed=3).next_item
    assert (found.k, found.n_common, found.n_only_a, found.n_only_b, found.n_sessions) == (20, 5, 0, 0, 3)
    assert list(found.scorers) == ["item2vec"]
    figures = found.scorers["item2vec"]
    by_hand = {
        "recall": ([1, 0, 0, 1, 1], [1, 1, 1, 0, 1]),
        "mrr": ([1, 0, 0, 1 / 2, 1 / 20], [1, 1 / 2, 1 / 4, 0, 1 / 20]),
        "ndcg": (
            [1, 0, 0, 1 / np.log2(3), 1 / np.log2(21)],
            [1, 1 / np.log2(3), 1 / np.log2(5), 0, 1 / np.log2(21)],
        ),
    }
    for metric, (one, two) in by_hand.items():
        assert figures.a[metric].value == pytest.approx(100 * np.mean(one)), metric
        assert figures.b[metric].value == pytest.approx(100 * np.mean(two)), metric
        gains = 100 * (np.array(two) - one)
        sums = np.array([[gains[0] + gains[1]], [gains[2]], [gains[3] + gains[4]]])
        resamples = resampled_ratios(sums, np.array([2, 1, 2]), 400, 3)
        difference = figures.difference[metric]
        assert difference.value == pytest.approx(gains.mean()), metric
        low, high = np.percentile(resamples, [2.5, 97.5])
        assert (difference.low, difference.high) == pytest.approx((low, high)), metric


def test_a_constant_gain_in_every_session_has_an_interval_without_width(tmp_path: Path) -> None:
    cases = [(f"u{number}", 1, 1, "a") for number in range(50)]
    made(tmp_path / "a", ranks(cases, item2vec=[2.0] * 50))
    made(tmp_path / "b", ranks(cases, item2vec=[1.0] * 50))
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    gain = found.next_item.scorers["item2vec"].difference["mrr"]
    assert (gain.value, gain.low, gain.high) == (50.0, 50.0, 50.0)
    assert "MRR@20 of item2vec: A 50.00 %, B 100.00 %: B − A is +50.00 points [+50.00, +50.00], which" in str(
        found.sentences()
    )
    back = i2v.compare(tmp_path / "b", tmp_path / "a").next_item.scorers["item2vec"].difference["mrr"]
    assert back.value == -50.0
    assert "promise too much" not in str(found.sentences())


def test_paired_is_narrower_than_two_sides_apart() -> None:
    generator = np.random.default_rng(1)
    cases = [(f"u{number}", 1, 1, "a") for number in range(400)]
    easy = generator.random(400) < 0.5
    one = np.where(easy, 1.0, INF)
    two = np.where(easy | (generator.random(400) < 0.1), 1.0, INF)
    found = pair_ranks(ranks(cases, m=one), ranks(cases, m=two), 20, same_sessions=True).scorers["m"]
    apart = (found.b["recall"].high - found.b["recall"].low) ** 2
    apart += (found.a["recall"].high - found.a["recall"].low) ** 2
    paired = found.difference["recall"].high - found.difference["recall"].low
    assert paired < 0.5 * np.sqrt(apart)
    assert found.difference["recall"].low > 0


def test_seeds_are_averaged_per_case_before_sessions_are_resampled(tmp_path: Path) -> None:
    cases = [("u", 1, 1, "a"), ("v", 1, 1, "a")]
    made(tmp_path / "a", ranks(cases, item2vec=[[1, INF, 1], [INF, INF, 1]]))
    made(tmp_path / "b", ranks(cases, item2vec=[[1, 1, 1], [INF, 1, INF]]))
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    figures, words = found.next_item.scorers["item2vec"], " ".join(found.sentences())
    assert str(found).splitlines() == found.sentences()
    assert figures.a["recall"].value == pytest.approx(50.0)
    assert figures.b["recall"].value == pytest.approx(100 * 2 / 3)
    assert found.next_item.seeds == {"item2vec": (3, 3)}
    assert found.to_json()["next_item"]["seeds"] == {"item2vec": {"a": 3, "b": 3}}
    assert found.to_json()["same_sessions"]
    assert "fewer than 30 sessions" in words
    assert "evaluate.seeds" not in words
    made(tmp_path / "b", ranks(cases, item2vec=[1, 1]))
    assert "Trainings behind item2vec: A 3, B 1." in " ".join(
        i2v.compare(tmp_path / "a", tmp_path / "b").sentences()
    )


# Changed cases of B → the common ones of CASES, by their place.
OTHER_CASES = {
    "another user": ([("x", *CASES[0][1:]), ("x", *CASES[1][1:]), *CASES[2:]], [2, 3, 4]),
    "another start": ([*CASES[:2], ("v", 3, 1, "a"), *CASES[3:]], [0, 1, 3, 4]),
    "a shorter session": ([*CASES[:1], *CASES[2:]], [0, 2, 3, 4]),
    "another click behind the same start": ([("u", 1, 1, "z"), *CASES[1:]], [2, 3, 4]),
    "another order": (CASES[::-1], [0, 1, 2, 3, 4]),
    "sessions of later days": ([*CASES[3:], ("w", 4, 1, "a")], [3, 4]),
}


@pytest.mark.parametrize("case", OTHER_CASES)
def test_only_cases_of_the_same_prefix_are_common(case: str) -> None:
    others, common = OTHER_CASES[case]
    one = np.arange(1.0, 6.0)  # tells which cases were taken: Recall@20 is 1, MRR is not
    a, b = ranks(CASES, m=one), ranks(others, m=[1.0] * len(others))
    for found, (n_a, n_b) in (
        (pair_ranks(a, b, 20, same_sessions=False), (5, len(others))),
        (pair_ranks(b, a, 20, same_sessions=False), (len(others), 5)),
    ):
        assert found.n_common == len(common)
        assert (found.n_only_a, found.n_only_b) == (n_a - len(common), n_b - len(common))
    figures = pair_ranks(a, b, 20, same_sessions=False).scorers["m"]
    assert figures.a["mrr"].value == pytest.approx(100 * np.mean(1 / one[common]))


def test_two_sessions_of_one_user_and_start_are_not_mixed_up() -> None:
    """Two listings of one second's log: in another log nobody can say which is which."""
    table = ranks(CASES, m=[1.0, 2.0, 4.0, 5.0, 10.0])
    twice = table.set_column(0, "session_id", pa.array([0, 3, 1, 2, 2]))  # u's two cases are two sessions
    twice = twice.set_column(3, "position", pa.array([1, 1, 1, 1, 2], pa.int32()))
    twice = twice.set_column(4, "target", pa.array(["a", "a", "a", "c", "a"]))
    for a, b in ((twice, table), (table, twice), (twice, twice)):
        found = pair_ranks(a, b, 20, same_sessions=False)
        assert (found.n_common, found.n_only_a, found.n_only_b) == (3, 2, 2)
    found = pair_ranks(twice, twice, 20, same_sessions=True)
    assert (found.n_common, found.n_only_a, found.n_only_b, found.n_sessions) == (5, 0, 0, 4)
    assert found.scorers["m"].difference["mrr"].value == 0.0


def test_booking_sequences_meet_from_where_both_know_them() -> None:
    """Their first target is the first stay behind the cut, which is another one in each run."""
    early = ranks([("u", 1, 2, "a"), ("u", 1, 3, "b"), ("u", 1, 4, "c")], m=[1, 2, 4])
    late = ranks([("u", 1, 3, "b"), ("u", 1, 4, "c")], m=[1, 1])
    found = pair_ranks(early, late, 20, same_sessions=False)
    assert (found.n_common, found.n_only_a, found.n_only_b) == (2, 1, 0)
    assert found.scorers["m"].a["mrr"].value == pytest.approx(37.5)


NOT_COMPARABLE = {
    "other test sessions": (
        {"table": ranks([("x", 40, 1, "a")], item2vec=[1.0])},
        "no test case is in both (A has 5, of sessions that start 1970-01-02 … 1970-01-03, B has 1, of"
        " sessions that start 1970-02-10 … 1970-02-10)",
    ),
    "no ranks": (
        {"table": None},
        "B was made before the ranks of test cases were kept; repeat the `item2vec run`",
    ),
    "other clicks": (
        {"config": {**CONFIG, "events": {"event_types": {}}}},
        "events.event_types is {'view': 'click'} in A and {} in B",
    ),
    "bookings": (
        {"config": {**CONFIG, "sessions": {"kind": "booking"}}},
        "sessions.kind is 'click' in A and 'booking' in B",
    ),
}


@pytest.mark.parametrize("case", NOT_COMPARABLE)
def test_what_cannot_be_compared_is_said_and_the_rest_is_compared(tmp_path: Path, case: str) -> None:
    options, says = NOT_COMPARABLE[case]
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    made(tmp_path / "b", **{"table": ranks(CASES, item2vec=B_RANKS), **options})
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert found.next_item.scorers == {}
    assert f"Next item: not comparable: {says}" in found.sentences()[0]
    assert found.to_json()["next_item"]["insufficient"].startswith("not comparable: ")
    assert found.stability.overlap == 1.0


def test_a_release_without_figures_says_why(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    made(tmp_path / "b", ranks([], item2vec=[]))
    words = i2v.compare(tmp_path / "a", tmp_path / "b").sentences()[0]
    assert (
        "no test case is in both (A has 5, of sessions that start 1970-01-02 … 1970-01-03, B has none)"
        in words
    )


def test_sessions_without_users_or_times_are_recognised_in_the_same_sessions_only(tmp_path: Path) -> None:
    table = ranks(CASES, item2vec=A_RANKS)
    bare = table.set_column(1, "user_id", pa.nulls(5, pa.string())).set_column(
        2, "start_us", pa.nulls(5, pa.int64())
    )
    made(tmp_path / "a", bare)
    made(tmp_path / "b", bare)
    assert i2v.compare(tmp_path / "a", tmp_path / "b").next_item.n_common == 5
    made(tmp_path / "b", bare, sessions="other")
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert not found.same_sessions
    assert "without users and times are not recognised" in str(found.next_item.insufficient)


def test_lists_of_two_lengths_are_compared_at_the_shorter_one(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    short = {**CONFIG, "evaluation": {"k": 3}}
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), config=short, k=3)
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert found.next_item.k == 3
    assert found.next_item.scorers["item2vec"].a["recall"].value == 40.0  # ranks 1 and 2
    assert found.next_item.scorers["item2vec"].b["recall"].value == 40.0
    assert [(one.key, one.a, one.b) for one in found.settings] == [("evaluate.k", 20, 3)]


def test_a_run_compared_with_itself_has_no_difference(tmp_path: Path) -> None:
    release = made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    found = i2v.compare(tmp_path / "a", tmp_path / "a", release_b=release.id[:8])
    for difference in found.next_item.scorers["item2vec"].difference.values():
        assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert found.stability.overlap == 1.0
    assert set(found.stability.slices.values()) == {1.0}
    assert (found.stability.changed, found.settings, found.same_sessions) == ((), (), True)
    assert found.sentences()[0] == "A and B are the same release: every difference is 0."
    assert "[+0.00, +0.00], the same in every session." in found.sentences()[1]


def test_settings_that_differ_are_named_as_in_a_run_file(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    other = {
        **CONFIG,
        "embeddings": {"epochs": 3, "alpha": 0.1},
        "events": {**CONFIG["events"], "items": None},
    }
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), config=other)
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert [(one.key, one.a, one.b) for one in found.settings] == [
        ("events.items.path", "a.csv", None),
        ("train.epochs", 10, 3),
        ("train.alpha", 0.05, 0.1),  # A does not name it
    ]
    assert "Both read the same sessions, and 3 settings differ: events.items.path" in " ".join(
        found.sentences()
    )


def test_the_scoring_that_several_stages_hold_is_told_once(tmp_path: Path) -> None:
    def scored(decay: float) -> dict[str, Any]:
        scoring = {"scoring": {"decay": decay, "popularity": 0.5}}
        return {stage: {**CONFIG.get(stage, {}), **scoring} for stage in ("index", "evaluation")}

    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS), config={**CONFIG, **scored(0.5)})
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), config={**CONFIG, **scored(0.9)})
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert [(one.key, one.a, one.b) for one in found.settings] == [("scoring.decay", 0.5, 0.9)]


def test_a_stage_of_one_release_alone_is_one_setting(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    simulated = {"simulate": {"n_users": 3, "days": 20}, **CONFIG}
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), config=simulated)
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert [(one.key, one.a, one.b) for one in found.settings] == [
        ("simulate", None, {"n_users": 3, "days": 20})
    ]
    page = tmp_path / "page.html"
    _, output, _ = call("compare", "a", "b", "--runs-dir", tmp_path, "--html", page)
    assert re.search(r"^  simulate +A not set   B 2 settings$", output, re.MULTILINE)
    assert '<td class="left">not set</td><td class="left">2 settings</td>' in page.read_text()


def test_models_of_two_cuts_are_told_apart(tmp_path: Path) -> None:
    cuts = [f"2026-01-0{day}T10:00:00+00:00" for day in (1, 2)]
    for name, cut in zip("ab", cuts, strict=True):
        made(tmp_path / name, ranks(CASES, item2vec=A_RANKS), report={"split": {"t1": cut}})
    found = i2v.compare(tmp_path / "a", tmp_path / "b")
    assert found.to_json()["trained_until"] == dict(zip("ab", cuts, strict=True))
    says = "saw only what lies before 2026-01-01 10:00:00 (UTC), those of B before 2026-01-02 10:00:00"
    assert says in " ".join(found.sentences())
    made(tmp_path / "b", ranks(CASES, item2vec=A_RANKS), report={"split": None})
    for b in "ab":
        assert "saw only" not in " ".join(i2v.compare(tmp_path / "a", tmp_path / b).sentences())


def test_the_items_whose_neighbours_changed_most_are_named_with_both_lists(tmp_path: Path) -> None:
    """Items 0 and 1 get new vectors, far from everything but one another; the others stay where they were."""
    one = vectors(ITEMS)
    rows = one.vectors.copy()
    rows[:2] = 100 * np.eye(8, dtype=np.float32)[0] + np.eye(8, dtype=np.float32)[1:3]
    # In B the head of A is the tail: an item's row in the one model says nothing about the other.
    two = ItemVectors(Vocabulary(pa.array(ITEMS[::-1]), one.counts), rows[::-1].copy())
    made(tmp_path / "a", None, one)
    made(tmp_path / "b", None, two)
    found = i2v.compare(tmp_path / "a", tmp_path / "b").stability
    by_hand = {}
    for item in ITEMS:
        lists = [[name for name, _ in model.most_similar(item, topn=10)] for model in (one, two)]
        by_hand[item] = (len(set(lists[0]) & set(lists[1])) / 10, *map(tuple, lists))
    assert {item.item_id: (item.overlap, item.current, item.new) for item in found.changed} == {
        item.item_id: by_hand[item.item_id] for item in found.changed
    }
    assert len(found.changed) == 10
    least = sorted(share for share, *_ in by_hand.values())[:10]
    assert [item.overlap for item in found.changed] == least
    assert found.overlap == pytest.approx(np.mean([share for share, *_ in by_hand.values()]))
    head = ITEMS[: int(np.sum(np.cumsum(one.counts) - one.counts < 0.5 * one.counts.sum()))]
    assert found.slices["head"] == pytest.approx(np.mean([by_hand[item][0] for item in head]))


def test_a_damaged_release_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    release = made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS))
    for path in (
        release.object_path("evaluation") / RANKS,
        next((release.object_path("embeddings") / "vectors").iterdir()),
    ):
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[:10] + bytes([whole[10] ^ 1]) + whole[11:])
        with pytest.raises(CorruptArtifactError, match=re.escape(path.name)):
            i2v.compare(tmp_path / "a", tmp_path / "b")
        path.write_bytes(whole)
    assert i2v.compare(tmp_path / "a", tmp_path / "b")
    (release.object_path("evaluation") / RANKS).unlink()
    with pytest.raises(CorruptArtifactError, match=f"{RANKS} is missing"):  # not: "an old release"
        i2v.compare(tmp_path / "a", tmp_path / "b")


def test_ids_of_two_types_and_runs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    made(tmp_path / "b", None, vectors(list(range(20))))
    with pytest.raises(DataError, match=r"string in A .* int64 in B .* same events.id_type"):
        i2v.compare(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UsageError, match="holds no release"):
        i2v.compare(tmp_path / "a", tmp_path / "c")
    with pytest.raises(UsageError, match="no release whose id starts with 'ffff'"):
        i2v.compare(tmp_path / "a", tmp_path / "b", release_b="ffff")
    with pytest.raises(UsageError, match="has 1 release whose id starts with ''"):
        i2v.compare(tmp_path / "a", tmp_path / "b", release_a="")


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-1.0, 2.0, "[-1.00, +2.00], which includes 0: not told apart"),
        (0.0, 2.0, "includes 0"),
        (0.1, 2.0, "leaves out 0: B is better"),
        (-2.0, -0.1, "leaves out 0: B is worse"),
        (float("nan"), float("nan"), "without an interval: a single session shows no spread"),
    ],
)
def test_a_verdict_goes_by_its_interval(low: float, high: float, says: str) -> None:
    from item2vec.evaluation.bootstrap import Interval

    assert says in verdict(Interval(0.5, low, high), 30)


def test_no_difference_at_all_is_the_same() -> None:
    from item2vec.evaluation.bootstrap import Interval

    assert "the same in every session" in verdict(Interval(0.0, 0.0, 0.0), 30)
    assert "0: B is better" in verdict(Interval(0.5, 0.1, 0.9), 30, 3)
    one = verdict(Interval(-0.5, -0.9, -0.1), 30, 1)
    assert "what was trained for B is, by chance or not, worse" in one
    assert "not told apart" in verdict(Interval(0.01, 0.0, 0.0), 30)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.1, 2.0), (-2.0, -0.1)])
def test_a_few_sessions_make_no_verdict(low: float, high: float) -> None:
    """As on the page: intervals over so few are too narrow."""
    from item2vec.evaluation.bootstrap import Interval

    found = verdict(Interval(0.5, low, high), 29)
    assert found == f"B − A is +0.50 points [{low:+.2f}, {high:+.2f}], of too few sessions for a verdict"


@pytest.mark.parametrize("n_bootstrap", [0, 1, 99, "a", 150.5, True, None])
def test_intervals_take_some_resamples(tmp_path: Path, n_bootstrap: Any) -> None:
    """Before any work: there is no run to read."""
    with pytest.raises(UsageError, match=re.escape(f"n_bootstrap={n_bootstrap!r}: intervals take 100 ")):
        i2v.compare(tmp_path / "a", tmp_path / "a", n_bootstrap=n_bootstrap)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None])
def test_a_seed_is_a_whole_number(tmp_path: Path, seed: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(f"seed={seed!r}: ")):
        i2v.compare(tmp_path / "a", tmp_path / "a", seed=seed)


def whole_report(shift: float, k: int = 20, few: str | None = None) -> dict[str, Any]:
    """What a report has of the headlines; A has shift 0; `few` says why booked ranks say little."""
    rank, share = ({"value": value + shift, "low": 1.0, "high": 99.0} for value in (4.0, 20.0))
    lists = {"coverage": 55.5 + shift, "gini": 0.5}
    return {
        "next_item": {"k": k, "n_prefixes": 5, "scorers": {"item2vec": lists, f"only_{shift}": lists}},
        "booked_rank": [
            {
                "candidates": "market",
                "before": {"n_cases": 7},
                "insufficient": few,
                "lines": {"eq. 3": {"before": {"n": 7, "mean_rank": rank}}},
            }
        ],
        "long_term": {
            "k": k,
            "n_cases": 9,
            "insufficient": None,
            "scorers": {"type_transitions": {"recall": share, "type_accuracy": {**share, "value": None}}},
        },
    }


def test_coverage_booked_rank_and_long_term_stand_side_by_side_unpaired(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS), report=whole_report(0.0))
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), report=whole_report(2.0))
    lists, booked, stays = i2v.compare(tmp_path / "a", tmp_path / "b").to_json()["unpaired"]
    assert (lists["name"], booked["name"], stays["name"]) == ("lists", "booked_rank_market", "long_term")
    assert lists["scorers"] == {
        "item2vec": {
            side: {
                "coverage": {"value": value, "low": None, "high": None},
                "gini": {"value": 0.5, "low": None, "high": None},
            }
            for side, value in (("a", 55.5), ("b", 57.5))
        }
    }
    assert booked["scorers"]["eq. 3"]["b"]["mean_rank"] == {"value": 6.0, "low": 1.0, "high": 99.0}
    assert (booked["n_cases"], stays["n_cases"]) == ({"a": 7, "b": 7}, {"a": 9, "b": 9})
    page = tmp_path / "page.html"
    code, output, _ = call("compare", "a", "b", "--runs-dir", tmp_path, "--html", page)
    assert code == 0
    for text in (output, page.read_text()):
        assert "not paired: no difference is drawn" in text
        assert "type transitions" in text
    assert re.search(r"^eq\. 3 +4\.00 \[1\.00, 99\.00\] +6\.00 \[1\.00, 99\.00\]$", output, re.MULTILINE)
    assert re.search(
        r"^type transitions +20\.00 \[.*\] +22\.00 \[.*\] +no case +no case$", output, re.MULTILINE
    )


def test_figures_of_too_few_cases_are_not_shown_as_figures(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS), report=whole_report(0.0))
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), report=whole_report(2.0, few="7 cases are few"))
    page = tmp_path / "page.html"
    _, output, _ = call("compare", "a", "b", "--runs-dir", tmp_path, "--html", page)
    assert re.search(r"^eq\. 3 +4\.00 \[1\.00, 99\.00\] +insufficient$", output, re.MULTILINE)
    assert re.search(r"^B: 7 cases are few$", output, re.MULTILINE)
    assert "A: 7 cases" not in output
    assert "B: 7 cases are few." in page.read_text()
    assert re.search(
        r">eq\. 3</th><td>4\.00 <small>\[1\.00, 99\.00\]</small></td><td>–</td>", page.read_text()
    )


def test_only_what_both_hold_at_one_length_is_put_side_by_side(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS), report=whole_report(0.0))
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), k=10, report=whole_report(2.0, k=10))
    found = i2v.compare(tmp_path / "a", tmp_path / "b").unpaired
    assert [one.name for one in found] == ["booked_rank_market"]
    says = "Lists have 20 items in A and 10 in B: figures that depend on it (coverage, long term) are not"
    assert says in " ".join(i2v.compare(tmp_path / "a", tmp_path / "b").sentences())
    clicks = {**whole_report(1.0), "booked_rank": [], "long_term": None}
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), report=clicks)
    assert [one.name for one in i2v.compare(tmp_path / "a", tmp_path / "b").unpaired] == ["lists"]


def booked_report(**lines: float) -> dict[str, Any]:
    """A report of booked ranks alone: line (``eq3`` for eq. 3, ``own5`` for the model's, …) → mean rank."""
    said = {"own": "item2vec", **{f"own{n}": f"item2vec (eq. {n})" for n in (3, 4, 5)}}
    said |= {f"eq{n}": f"eq. {n}" for n in (3, 4, 5)}
    found: dict[str, Any] = {}
    for name, rank in lines.items():
        label = said.get(name, name)
        found[label] = {"before": {"mean_rank": {"value": rank, "low": None, "high": None}}}
        found[f"{label}, pooled"] = {"before": {"mean_rank": {"value": rank + 10, "low": None, "high": None}}}
    return {
        "booked_rank": [
            {"candidates": "market", "before": {"n_cases": 7}, "insufficient": None, "lines": found}
        ]
    }


# Lines of A, lines of B → name: (mean rank of A, of B); every name has its line of pooled clicks.
OWN_LINES = {
    "one asked for equations": (
        {"eq3": 1, "eq4": 2, "own5": 3, "popularity": 4},
        {"own": 5, "popularity": 6},
        {"item2vec": (3, 5), "popularity": (4, 6)},
    ),
    "the models are two equations": (
        {"eq3": 1, "eq4": 2, "own5": 3},
        {"eq3": 4, "own4": 5, "eq5": 6},
        {"eq. 3": (1, 4), "eq. 4": (2, 5), "item2vec": (3, 5), "eq. 5": (3, 6)},
    ),
    "the models are the same equation": (
        {"eq3": 1, "own4": 2},
        {"eq3": 3, "own4": 4},
        {"eq. 3": (1, 3), "item2vec (eq. 4)": (2, 4)},
    ),
    "neither asked": ({"own": 1}, {"own": 2}, {"item2vec": (1, 2)}),
}


@pytest.mark.parametrize("case", OWN_LINES)
def test_the_models_own_line_is_found_whatever_the_report_calls_it(tmp_path: Path, case: str) -> None:
    one, two, beside = OWN_LINES[case]
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS), report=booked_report(**one))
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), report=booked_report(**two))
    for a, b, back in (("a", "b", False), ("b", "a", True)):
        (found,) = i2v.compare(tmp_path / a, tmp_path / b).to_json()["unpaired"]
        figures = {
            name: tuple(scorer[side]["mean_rank"]["value"] for side in "ab")
            for name, scorer in found["scorers"].items()
        }
        expected = {}
        for name, values in beside.items():
            values = values[::-1] if back else values
            expected |= {name: values, f"{name}, pooled": tuple(value + 10 for value in values)}
        assert figures == expected


def test_lines_of_two_names_are_told_with_both(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS), report=booked_report(eq4=2, own5=3))
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), report=booked_report(own=5))
    page = tmp_path / "page.html"
    _, output, _ = call("compare", "a", "b", "--runs-dir", tmp_path, "--html", page)
    says = "alled otherwise in the reports: item2vec: item2vec (eq. 5) in A, item2vec in B; item2vec, pooled:"
    assert f"c{says}" in output
    assert f"C{says}" in page.read_text()
    assert re.search(r"^item2vec, pooled +13\.00 +15\.00$", output, re.MULTILINE)
    (found,) = i2v.compare(tmp_path / "a", tmp_path / "b").to_json()["unpaired"]
    assert found["called"]["item2vec"] == {"a": "item2vec (eq. 5)", "b": "item2vec"}
    (found,) = i2v.compare(tmp_path / "a", tmp_path / "a").to_json()["unpaired"]
    assert (found["called"], found["note"]) == ({}, None)


def test_words_in_a_table_are_not_broken_letter_by_letter() -> None:
    """Only columns of ids and settings may break anywhere: elsewhere a narrow page would stack letters."""
    text = (Path(i2v.__file__).parent / "run" / "comparison.html.j2").read_text()
    rules = re.findall(r"([^{}>]+)\{[^}]*overflow-wrap:anywhere", text)
    assert rules == [".changed td.left, .settings td.left "]


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_words_tables_json_and_a_page(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    other = {**CONFIG, "embeddings": {"epochs": "<b>3</b>"}}
    made(tmp_path / "b", ranks(CASES, item2vec=B_RANKS), vectors(ITEMS[1:], seed=2), config=other)
    page = tmp_path / "pages" / "compared.html"
    code, output, errors = call("compare", "a", "b", "--runs-dir", tmp_path, "--html", page)
    assert (code, errors) == (0, "")
    assert re.search(r"B − A is \+20\.00 points \[.*\], of too few sessions for a verdict\.", output)
    assert re.search(r"^item2vec +60\.00 \[.*\] +80\.00 \[.*\] +\+20\.00 \[", output, re.MULTILINE)
    assert "train.epochs" in output
    assert str(page) in output
    text = page.read_text()
    assert "&lt;b&gt;3&lt;/b&gt;" in text
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    code, output, _ = call("compare", tmp_path / "a", tmp_path / "b", "--json", "--html", page)
    found = json.loads(output)
    assert found["items"] == {"a": 60, "b": 59, "both": 59}
    assert found["next_item"]["scorers"]["item2vec"]["difference"]["recall"]["value"] == pytest.approx(20.0)
    assert set(found["stability"]) == {"k", "overlap", "n_asked", "head", "torso", "tail"}
    assert len(found["changed"]) == 10


def test_the_command_fails_plainly(tmp_path: Path) -> None:
    made(tmp_path / "a", ranks(CASES, item2vec=A_RANKS))
    code, output, errors = call("compare", "a", "b", "--runs-dir", tmp_path)
    assert (code, output) == (2, "")
    assert "holds no release (runs with one: a)" in errors
    code, _, errors = call("compare", "a", "a", "--runs-dir", tmp_path, "--html", tmp_path)
    assert code == 4
    assert "choose another place" in errors
