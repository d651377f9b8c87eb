"""What a run measures: every seed, ranks that add up to the report's figures, and two runs compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

import item2vec as i2v
from item2vec.config import RunConfig
from item2vec.evaluation import (
    Popularity,
    Split,
    booked_rank,
    evaluate_long_term,
    fit_long_term_baselines,
    search_lists,
    split_sessions,
)
from item2vec.events import Events
from item2vec.recommendations import Recommender
from item2vec.run import RunResult, run_pipeline
from item2vec.run.paired import METRICS, RANKS
from item2vec.run.twins import open_twins
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

TINY: dict[str, dict[str, Any]] = {
    "run": {"name": "tiny"},
    "simulate": {"n_users": 300, "n_listings": 40, "n_markets": 2, "days": 20},
    "train": {"vector_size": 8, "epochs": 1, "workers": 1, "market_negative": 2},
    "index": {"backend": "exact"},
    "evaluate": {"n_bootstrap": 120, "seed": 7, "embedding_map": "pca", "seeds": 2, "equations": True},
}


def run(runs: Path, **sections: dict[str, Any]) -> RunResult:
    config = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in {*TINY, *sections}}
    return run_pipeline(RunConfig.from_sections(config), runs)


def report_of(result: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result.objects["evaluation"].path / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A folder of runs, and the finished run ``tiny`` in it."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(folder)


def test_the_kept_ranks_give_the_figures_of_the_report(runs: tuple[Path, RunResult]) -> None:
    _, result = runs
    table = pq.read_table(result.objects["evaluation"].path / RANKS)
    scorers = report_of(result)["next_item"]["scorers"]
    assert table.column_names[5:] == list(scorers)
    for name, figures in scorers.items():
        rows = np.array(table[name].to_pylist())
        assert rows.shape == (len(table), 2 if name.startswith("item2vec") else 1)
        assert {"head", "cold", "repeat"} <= set(figures["slices"])  # the training side was given
        assert figures["novelty"]["value"] > 0
        for metric, measure in METRICS.items():
            by_seed = [100 * measure(ranks, 20).mean() for ranks in rows.T]
            assert figures["seeds"][metric] == pytest.approx(by_seed), (name, metric)
            assert figures[metric]["value"] == pytest.approx(np.mean(by_seed)), (name, metric)


def test_two_runs_of_one_log_are_compared_on_all_their_cases(runs: tuple[Path, RunResult]) -> None:
    folder, result = runs
    longer = run(folder, run={"name": "longer"}, train={"epochs": 4})
    found = i2v.compare(folder / "tiny", folder / "longer")
    n_cases = report_of(result)["next_item"]["n_prefixes"]
    assert (found.next_item.n_common, found.next_item.n_only_a, found.next_item.n_only_b) == (n_cases, 0, 0)
    assert [(one.key, one.a, one.b) for one in found.settings] == [("train.epochs", 1, 4)]
    assert found.same_sessions
    fixed = found.next_item.scorers["popularity"].difference["recall"]
    assert (fixed.value, fixed.low, fixed.high) == (0.0, 0.0, 0.0)
    assert found.next_item.seeds["item2vec"] == (2, 2)
    model = found.next_item.scorers["item2vec"]
    figures = report_of(result)["next_item"]["scorers"]["item2vec"]
    assert model.a["recall"].value == pytest.approx(figures["recall"]["value"])
    assert found.stability.overlap is not None
    assert 0 < found.stability.overlap < 1
    one, two = report_of(result), report_of(longer)
    assert [table.name for table in found.unpaired] == ["lists", "booked_rank_search", "booked_rank_market"]
    lists, *booked = found.unpaired
    for table, side, report in ((lists.a, "a", one), (lists.b, "b", two)):
        assert list(table) == list(report["next_item"]["scorers"]), side
        for name, figures in report["next_item"]["scorers"].items():
            told = {metric: value["value"] for metric, value in table[name].items()}
            assert told == {metric: figures[metric] for metric in ("coverage", "gini")}, (side, name)
    for place, table in enumerate(booked):
        for side, report in ((table.a, one), (table.b, two)):
            lines = report["booked_rank"][place]["lines"]
            assert side == {name: {"mean_rank": line["before"]["mean_rank"]} for name, line in lines.items()}


def test_a_later_window_of_the_log_is_compared_on_the_days_that_both_tested(tmp_path: Path) -> None:
    """As of two nights: the test days overlap, and only their common sessions count."""
    rows = [
        f"u{user},i{(user + at) % 7},{1_600_000_000 + 3_600 * user + 60 * at},click\n"
        for user in range(400)
        for at in range(3)
    ]
    for name, cut in (("early", 360), ("late", 400)):
        (tmp_path / f"{name}.csv").write_text("user_id,item_id,ts,event_type\n" + "".join(rows[: 3 * cut]))
        sections = {"events": {"path": str(tmp_path / f"{name}.csv")}, "run": {"name": name}}
        settings = {**TINY, **sections, "evaluate": {**TINY["evaluate"], "test": 0.2, "seeds": 1}}
        settings["train"] = {"epochs": 1, "workers": 1, "vector_size": 4}
        del settings["simulate"]
        run_pipeline(RunConfig.from_sections(settings), tmp_path / "runs")
    found = i2v.compare(tmp_path / "runs" / "early", tmp_path / "runs" / "late")
    paired = found.next_item
    # Tests are the last fifths, of 360 users from 288 on and of 400 from 320 on: both hold 320 … 359.
    assert (paired.n_common, paired.n_only_a, paired.n_only_b) == (80, 64, 80)
    assert paired.n_sessions == 40
    assert not found.same_sessions


def test_what_was_booked_is_ranked_in_its_search_and_in_its_market(runs: tuple[Path, RunResult]) -> None:
    _, result = runs
    found = report_of(result)["booked_rank"]
    assert [one["candidates"] for one in found] == ["search", "market"]
    names = ["eq. 3", "eq. 4", "item2vec (eq. 5)", "item2vec_next"]
    with_pooled = [line for name in names for line in (name, f"{name}, pooled")]
    assert list(found[0]["lines"]) == ["production order", *with_pooled, "popularity"]
    assert list(found[1]["lines"]) == [*with_pooled, "popularity"]
    assert all(found[1]["lines"][name]["n_seeds"] == 2 for name in with_pooled)
    figures = result.objects["evaluation"].figures["booked_rank"]
    assert [one["candidates"] for one in figures] == ["search", "market"]
    for one, told in zip(found, figures, strict=True):
        assert told["insufficient"] == one["insufficient"]
        assert told["lines"] == {name: line["before"]["mean_rank"] for name, line in one["lines"].items()}
        assert {line["before"]["n"] for line in one["lines"].values()} == {told["cases"]}


def split_of(result: RunResult) -> Split:
    return split_sessions(Sessions.load(result.objects["sessions"].path), validation=0.1, test=0.1)


def test_booked_ranks_are_those_of_the_kept_twins_read_as_similar(runs: tuple[Path, RunResult]) -> None:
    """By hand, with the settings of the run, none of which is a default."""
    _, result = runs
    split, twins = split_of(result), result.objects["holdout"]
    scorers: dict[str, Any] = {
        label: [Read(twin, "similar") for twin in open_twins(twins, name, i2v.HistoryScoring())]
        for label, name in (("eq. 3", "eq. 3"), ("eq. 4", "eq. 4"), ("item2vec (eq. 5)", "item2vec"))
    }
    twin = open_twins(twins, "item2vec", i2v.HistoryScoring())
    scorers["item2vec_next"] = [Read(one, "next") for one in twin]
    scorers["popularity"] = Popularity().fit(split.train)
    searches = search_lists(Events.open(result.objects["events"].path), split.test)
    by_hand = [
        booked_rank(scorers, split.test, searches=lists, train=split.train, n_bootstrap=120, seed=7)
        for lists in (searches, None)
    ]
    for one, found in zip(by_hand, report_of(result)["booked_rank"], strict=True):
        figures = as_json(one)
        assert {key: found[key] for key in figures} == figures  # the report may say more
        assert found["lines"]["eq. 3"]["before"]["mean_rank"]["low"] is not None


@dataclass(frozen=True)
class Read:
    """A twin read one way."""

    twin: Recommender
    mode: Literal["similar", "next"]

    @property
    def vocabulary(self) -> Vocabulary:
        return self.twin.vocabulary

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        return self.twin.scores(histories, mode=self.mode)


def as_json(found: Any) -> Any:
    return json.loads(json.dumps(found.to_json()))


def test_a_log_without_impressions_has_market_candidates_and_one_without_markets_none(tmp_path: Path) -> None:
    rows = [
        f"u{user},i{(user + at) % 7},{1_600_000_000 + 3_600 * user + 60 * at},{kind}\n"
        for user in range(200)
        for at, kind in enumerate(["click", "click", "click", "booking"])
    ]
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user_id,item_id,ts,event_type\n" + "".join(rows))
    items.write_text("item_id,market\n" + "".join(f"i{item},Paris\n" for item in range(7)))
    small = {key: value for key, value in TINY.items() if key != "simulate"}
    small["train"] = {"epochs": 1, "workers": 1, "vector_size": 4}
    for name, events in (("bare", {}), ("placed", {"items": {"path": str(items)}})):
        sections = {**small, "run": {"name": name}, "events": {"path": str(log), **events}}
        found = report_of(run_pipeline(RunConfig.from_sections(sections), tmp_path / "runs"))["booked_rank"]
        assert [one["candidates"] for one in found] == ([] if name == "bare" else ["market"]), name


def test_booking_sequences_are_measured_in_the_long_term_and_clicks_are_not(
    runs: tuple[Path, RunResult], tmp_path: Path
) -> None:
    assert report_of(runs[1])["long_term"] is None  # click sessions
    asked = {"equations": False, "k": 7}
    result = run(tmp_path, sessions={"kind": "booking", "min_length": 2}, evaluate=asked)
    found = report_of(result)["long_term"]
    by_hand = long_term_by_hand(result)
    assert {key: found[key] for key in by_hand} == by_hand  # the report may say more
    assert found["scorers"]["item2vec"]["recall"]["low"] is not None
    assert found["insufficient"] is None
    assert found["n_cases"] > 0
    names = ["item2vec", "item2vec_similar", "market_popularity", "repeat_type", "type_transitions"]
    assert list(found["scorers"]) == names
    assert found["scorers"]["item2vec"]["n_seeds"] == 2
    assert report_of(result)["booked_rank"] == []
    figures = result.objects["evaluation"].figures
    told = figures["long_term"]
    assert {key: told[key] for key in ("k", "n_cases", "n_users", "insufficient")} == {
        key: found[key] for key in ("k", "n_cases", "n_users", "insufficient")
    }
    for name, scorer in found["scorers"].items():
        assert told["scorers"][name] == {
            key: scorer[key] for key in ("recall", "type_accuracy", "n_empty_answers")
        }
    assert figures["next_item_insufficient"] is None
    assert runs[1].objects["evaluation"].figures["long_term"] is None


def long_term_by_hand(result: RunResult) -> Any:
    """The protocol with the settings of the run: lists of 7, 120 resamples, seed 7."""
    split, twins = split_of(result), open_twins(result.objects["holdout"], "item2vec", i2v.HistoryScoring())
    scorers: dict[str, Any] = {
        "item2vec": [Read(twin, "next") for twin in twins],
        "item2vec_similar": [Read(twin, "similar") for twin in twins],
        **fit_long_term_baselines(split.train),
    }
    items = Sessions.load(result.objects["sessions"].path).items
    return as_json(
        evaluate_long_term(
            scorers,
            split.test,
            items,
            train=split.train,
            first_targets=split.test_targets,
            k=7,
            n_bootstrap=120,
            seed=7,
        )
    )


def test_first_stays_alone_are_no_next_item_case_and_the_run_says_so(tmp_path: Path) -> None:
    """Users come once, so no stay behind the cut has one before it: none is a prefix, all are first stays."""
    rows = [f"u{user},i{user % 7},{1_600_000_000 + 3_600 * user},booking\n" for user in range(200)]
    rows += [f"u{user},i{user % 5},{1_600_000_900 + 3_600 * user},booking\n" for user in range(150)]
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user_id,item_id,ts,event_type\n" + "".join(rows))
    items.write_text("item_id,market\n" + "".join(f"i{item},Paris\n" for item in range(7)))
    small = {key: value for key, value in TINY.items() if key != "simulate"}
    small["train"] = {"epochs": 1, "workers": 1, "vector_size": 4}
    small["evaluate"] = {"n_bootstrap": 100, "embedding_map": "pca"}
    sections = {"kind": "booking", "min_length": 1}
    events = {"path": str(log), "items": {"path": str(items)}}
    result = run_pipeline(
        RunConfig.from_sections({**small, "sessions": sections, "events": events}), tmp_path / "runs"
    )
    figures = result.objects["evaluation"].figures
    assert figures["prefixes"] == 0
    assert "has a click or a stay before one that could be foretold" in figures["next_item_insufficient"]
    assert figures["long_term"]["n_cases"] > 0
    assert figures["long_term"]["scorers"]["item2vec"]["n_empty_answers"] == figures["long_term"]["n_cases"]
