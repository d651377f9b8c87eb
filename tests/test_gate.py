"""The gate: what is worse is refused, what is chance or made by other rules is not."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from item2vec.artifacts import Release, RunFolder, StageKey, StoredObject
from item2vec.config import RunConfig
from item2vec.embeddings import ItemVectors
from item2vec.errors import ConfigError, DataError, GateError, UsageError
from item2vec.run import run_pipeline
from item2vec.run.config import GateConfig
from item2vec.run.publishing import checked_note, publish_gated
from item2vec.run.stability import stability
from item2vec.vocabulary import Vocabulary

ITEMS = [f"i{number}" for number in range(100)]
FIGURES: dict[str, Any] = {
    "events": {
        "rows_in": 10_100,
        "quarantined": 10,
        "by_type": {"click": 10_000, "booking": 90},
        "last_day": {
            "day": "2025-03-30",
            "compared_with": "the median of the 13 days before",
            "events": {"click": 700, "booking": 6},
            "usual": {"click": 720.0, "booking": 7.0},
            "refused": {"rows": 1, "share": 1 / 707, "usual": 0.001},
        },
    },
    "sessions": {},
    "embeddings": {},
    "index": {"recall@10_similar": 0.99, "recall@10_next": 0.99},
    "evaluation": {
        "k": 20,
        "next_item": {
            "item2vec": {
                "recall": {"value": 40.0, "low": 38.04, "high": 41.96},  # a standard error of 1
                "coverage": 90.0,
            }
        },
    },
}
SETTINGS: dict[str, Any] = {
    "events": {"days": 14, "event_types": {}, "as_of": "2025-03-31"},
    "sessions": {"gap_minutes": 30.0, "repeats": "keep"},
    "embeddings": {"epochs": 10},
    "index": {"backend": "annoy"},
    "evaluation": {"k": 20, "validation": 0.1, "test": 0.1},
}


def vectors(items: list[Any], seed: int = 1, kind: pa.DataType | None = None) -> ItemVectors:
    """Vectors that depend on nothing but the item and the seed."""
    rows = [np.random.default_rng([seed, *str(item).encode()]).normal(size=8) for item in items]
    counts = np.arange(len(items), 0, -1)
    return ItemVectors(Vocabulary(pa.array(items, kind), counts), np.array(rows, np.float32))


class Runs:
    """A run whose stages only say figures; each publish gets the changes it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = RunFolder(folder / "run")

    def publish(
        self,
        changes: Mapping[str, Any] = {},
        settings: Mapping[str, Any] = {},
        gate: GateConfig = GateConfig(),  # noqa: B008
        accept: str | None = None,
        items: list[Any] = ITEMS,
        seed: int = 1,
    ) -> Release:
        figures, config = changed(FIGURES, changes), changed(SETTINGS, settings)

        def build(stage: str, out_dir: Path) -> dict[str, Any]:
            if stage == "embeddings":
                vectors(items, seed).save(out_dir / "vectors")
            (out_dir / "figures.json").write_text(json.dumps(figures[stage]))
            return dict(figures[stage])

        objects: dict[str, StoredObject] = {}
        with self.folder.lock():
            for stage in FIGURES:
                made = json.dumps([figures[stage], items, seed])
                key = StageKey(stage, 1, config[stage], {"made": {"object": made, "content": ""}})
                found = self.folder.find(key)
                objects[stage] = found or self.folder.write(key, lambda out, stage=stage: build(stage, out))
            return publish_gated(self.folder, objects, gate, accept)


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Replace values by their place; None removes one."""
    made = copy.deepcopy(dict(values))
    for place, value in changes.items():
        *path, last = place.split("/")
        inner = made
        for part in path:
            inner = inner[part]
        if value is None:
            inner.pop(last, None)
        else:
            inner[last] = value
    return made


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


MODEL = "evaluation/next_item/item2vec"
RECALL = f"{MODEL}/recall"


def recall(value: float, error: float = 1.0) -> dict[str, float]:
    return {"value": value, "low": value - 1.96 * error, "high": value + 1.96 * error}


# What the first release has is FIGURES; at 95 % two standard errors of 1 explain 1.645 · √2 = 2.33 points,
# and the tolerance of 1 % of 40 is another 0.4: the bound is 37.27.
REFUSED = {
    "recall": (
        {RECALL: recall(37.2)},
        {},
        "recall: Recall@20 is 37.20, the current release has 40.00 (by chance",
    ),
    "recall gone": (
        {"evaluation/next_item": None, "evaluation/insufficient_data": "no test session"},
        {},
        "recall: the candidate has no Recall@20 (no test session), the current release has 40.00",
    ),
    "coverage": ({f"{MODEL}/coverage": 71.9}, {}, "coverage: catalogue coverage is 71.9 %, the current"),
    "index": ({"index/recall@10_next": 0.96}, {}, "recall@10_next: recall@10 of mode next is 0.9600"),
    "items gone": ({}, {"items": ITEMS[:79]}, "items gone: 21 of the current release's 100 items are gone"),
    "items new": ({}, {"items": [*ITEMS, *map(str, range(44))]}, "items new: 44 of the candidate's 144"),
    "refused rows": ({"events/quarantined": 60}, {}, "refused rows: 60 of 10,100 rows were refused (0.59%)"),
    "half of the clicks": ({"events/by_type/click": 6_700}, {}, "events click: there are 6,700 click events"),
    "a type vanishes": ({"events/by_type/booking": None}, {}, "in the current release 90: they vanished"),
    "a type appears": ({"events/by_type/wishlist": 5}, {}, "in the current release 0: they are new"),
    "too many": ({"events/by_type/click": 20_600}, {}, "events click: there are 20,600 click events"),
    "last day": (
        {"events/last_day/events": {"click": 300, "booking": 6}},
        {},
        "last day click: 2025-03-30 has 300 click events, the median of the 13 days before has 720",
    ),
    "rows of the last day": (
        {"events/last_day/refused": {"rows": 37, "share": 37 / 743, "usual": 0.001}},
        {},
        "last day refused rows: 2025-03-30 has 37 refused rows beside 706 events (4.98%), usual is 0.10%",
    ),
    "neighbours": (
        {},
        {"seed": 2, "gate": GateConfig(min_neighbour_overlap=0.5)},
        "neighbour overlap: of an item's 10 nearest neighbours ",
    ),
}
PASSED = {
    "recall by chance": ({RECALL: recall(37.3)}, {}),
    "recall between wide intervals": ({RECALL: recall(30.0, 6.0)}, {}),
    "better": ({RECALL: recall(60.0)}, {}),
    "coverage": ({f"{MODEL}/coverage": 72.1}, {}),
    "index": ({"index/recall@10_next": 0.975}, {}),
    "items gone": ({}, {"items": ITEMS[:80]}),
    "few rows refused": ({"events/quarantined": 40}, {}),
    "few bookings": ({"events/by_type/booking": 50}, {}),
    "a handful appears": ({"events/by_type/wishlist": 2}, {}),
    "bookings of a day vanish by chance": ({"events/last_day/events/booking": 1}, {}),
    "other neighbours are only reported": ({}, {"seed": 2}),
    "rows of the last day by chance": (
        {"events/last_day/refused": {"rows": 3, "share": 3 / 709, "usual": 0.0}},
        {},
    ),
    "made before refused rows were counted by day": ({"events/last_day/refused": None}, {}),
    "no window": ({"events/last_day": None}, {}),
    "off": ({RECALL: recall(1.0)}, {"gate": GateConfig(enabled=False)}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_worse_is_refused_with_both_figures_and_nothing_is_published(runs: Runs, case: str) -> None:
    changes, options, says = REFUSED[case]
    first = runs.publish()
    with pytest.raises(GateError) as caught:
        runs.publish(changes, **options)
    message = str(caught.value)
    assert message.startswith(f"the new release is worse than the current one, {first.id[:12]}")
    assert len(re.findall(r"^  ", message, re.MULTILINE)) == 1
    assert f"\n  {says}" in message or says in message
    assert "--accept" in message
    assert re.search(r"its report is \S+/objects/evaluation/\w+/report\.html", message)
    assert runs.folder.current.read_text().strip() == first.id
    assert len(list(runs.folder.releases.iterdir())) == 1
    accepted = runs.publish(changes, **options, accept="known, and wanted")
    assert accepted.gate["accepted"] == "known, and wanted"
    assert accepted.gate["follows"] == accepted.gate["compared_with"] == first.id
    assert [check["name"] for check in accepted.gate["checks"] if check["passed"] is False] == [
        message.splitlines()[1].split(":")[0].strip()
    ]


@pytest.mark.parametrize("case", PASSED)
def test_what_is_chance_or_small_passes(runs: Runs, case: str) -> None:
    changes, options = PASSED[case]
    first = runs.publish()
    second = runs.publish(changes, **options, accept="not needed, so not kept")
    assert second.id != first.id
    assert second.gate["follows"] == first.id
    assert second.gate["accepted"] is None
    assert all(check["passed"] for check in second.gate["checks"])
    assert bool(second.gate["checks"]) == second.gate["enabled"]


OTHER_RULES = {
    "k": ({"evaluation/k": 10, RECALL: recall(9.0)}, {"evaluation/k": 10}, {"recall", "coverage"}),
    "split": ({RECALL: recall(9.0)}, {"evaluation/test": 0.2}, {"recall", "coverage"}),
    "sessions": ({RECALL: recall(9.0)}, {"sessions/repeats": "unique"}, {"recall", "coverage"}),
    "window": (
        {"events/by_type": {"click": 900, "booking": 4}},
        {"events/days": 7},
        {"events click", "events booking", "recall", "coverage"},
    ),
    "types": (
        {RECALL: recall(9.0)},
        {"events/event_types": {"view": "click"}},
        {"events click", "events booking", "recall", "coverage"},
    ),
    "modes": ({"index/recall@10_next": None}, {}, {"recall@10_next"}),
    "one test session": (
        {RECALL: {"value": 3.0, "low": None, "high": None}},
        {},
        {"recall"},
    ),
}


@pytest.mark.parametrize("case", OTHER_RULES)
def test_figures_made_by_other_rules_are_not_compared_and_that_is_said(runs: Runs, case: str) -> None:
    changes, settings, names = OTHER_RULES[case]
    runs.publish()
    second = runs.publish(changes, settings)
    left = {check["name"]: check for check in second.gate["checks"] if check["passed"] is not True}
    assert set(left) == names
    assert all(check["passed"] is None and check["bound"] is None for check in left.values())
    for setting in settings:
        assert all(setting.replace("/", ".") in check["sentence"] for check in left.values())


# Value, low, high and number of test sessions of the current release and of the candidate; refused or not.
SAME_FOR_ALL = {
    "two sessions": ((100, 100, 100, 2), (50, 0, 100, 2), False),
    "no hit in two": ((40, 38, 42, 2_000), (0, 0, 0, 2), False),
    "no hit in hundreds": ((40, 38, 42, 2_000), (0, 0, 0, 400), True),
    "all hit, then most": ((100, 100, 100, 30), (92, 82, 100, 30), False),
    "all hit, then half": ((100, 100, 100, 400), (50, 45, 55, 400), True),
    "unknown number": ((40, 40, 40, None), (10, 9, 11, 400), None),
}


@pytest.mark.parametrize("case", SAME_FOR_ALL)
def test_an_interval_without_width_is_no_certainty(runs: Runs, case: str) -> None:
    *sides, refused = SAME_FOR_ALL[case]
    for value, low, high, n in sides:
        found = {RECALL: {"value": value, "low": low, "high": high}, "evaluation/sessions": n}
        release = runs.publish(found, accept="to see the checks")
    (check,) = (check for check in release.gate["checks"] if check["name"] == "recall")
    assert check["passed"] is (None if refused is None else not refused), check


def test_a_lasting_rise_of_refused_rows_is_seen_on_its_first_night(runs: Runs, tmp_path: Path) -> None:
    """In 30 days, 5 % of one day are less than 0.2 % of all, every night anew."""
    start = date(2025, 3, 1)
    for number in range(31):
        day = start + timedelta(days=number)
        rows = [f"u{row},i{row % 9},{day}T12:{row // 60:02}:{row % 60:02}Z,click\n" for row in range(400)]
        for row in range(20 if number == 30 else 1):
            rows[row * 20] = f"u{row},i,yesterday,click\n"
        (tmp_path / f"{day}.csv").write_text("user_id,item_id,ts,event_type\n" + "".join(rows))

    def figures(as_of: date) -> dict[str, Any]:
        window = {"path": str(tmp_path / "{date}.csv"), "days": 30, "as_of": as_of}
        config = RunConfig.from_sections({"run": {"name": "window"}, "events": window})
        return dict(run_pipeline(config, tmp_path, until="events").objects["events"].figures)

    clean, risen = (figures(start + timedelta(days=days)) for days in (30, 31))
    assert clean["last_day"]["refused"] == {"rows": 1, "share": 1 / 400, "usual": 1 / 400}
    assert risen["last_day"]["refused"] == {"rows": 20, "share": 0.05, "usual": 1 / 400}
    runs.publish({"events": clean})
    with pytest.raises(GateError, match=r"last day refused rows: 2025-03-31 has 20 refused rows") as caught:
        runs.publish({"events": risen})
    assert "  refused rows" not in str(caught.value)  # of the whole window


def test_a_later_day_is_no_other_rule(runs: Runs) -> None:
    runs.publish()
    second = runs.publish({"events/rows_in": 10_101}, {"events/as_of": "2025-04-01", "embeddings/epochs": 3})
    assert all(check["passed"] for check in second.gate["checks"])


def test_the_first_release_has_nothing_to_compare_with(runs: Runs) -> None:
    first = runs.publish({"evaluation/next_item": None, "evaluation/insufficient_data": "small"})
    assert dict(first.gate) == {
        "enabled": True,
        "follows": None,
        "compared_with": None,
        "checks": [],
        "accepted": None,
    }
    second = runs.publish()
    (found,) = (check for check in second.gate["checks"] if check["name"] == "recall")
    assert found["passed"] is None
    assert found["sentence"] == "Recall@20: the current release has none"


def test_the_same_objects_are_neither_compared_nor_written_again(runs: Runs) -> None:
    first = runs.publish()
    runs.publish({RECALL: recall(1.0)}, accept="on purpose")
    before = {path: path.stat().st_mtime_ns for path in runs.folder.path.rglob("*.json")}
    again = runs.publish({RECALL: recall(1.0)})
    assert again.gate["accepted"] == "on purpose"
    assert {path: path.stat().st_mtime_ns for path in runs.folder.path.rglob("*.json")} == before
    back = runs.publish()  # better than the current one, made of the first one's objects
    assert back.id != first.id
    assert back.body["stages"] == first.body["stages"]
    assert back.gate["follows"] == again.id


@pytest.mark.parametrize("harm", ["object", "release", "CURRENT"])
def test_a_damaged_current_release_stops_no_run(
    runs: Runs, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = runs.publish()
    second = runs.publish({"events/rows_in": 10_101})
    path = {
        "object": second.object_path("embeddings") / "vectors" / "vocabulary.parquet",
        "release": second.path,
        "CURRENT": runs.folder.current,
    }[harm]
    if harm == "object":
        path = next(path for path in path.parent.iterdir() if path.is_file())
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    third = runs.publish({"events/rows_in": 10_102}, seed=3)
    checks = {check["name"]: check for check in third.gate["checks"]}
    if harm == "object":
        assert checks["items gone"]["passed"] is None
        assert "damaged" in checks["items gone"]["sentence"]
        assert third.gate["follows"] == second.id
    else:  # the newest release that can be read; of two of one age either is
        assert third.gate["follows"] in {first.id, second.id} - ({second.id} if harm == "release" else set())
        assert "a damaged release is passed over" in caplog.text


def test_a_missing_current_does_not_switch_the_gate_off(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.publish()
    second = runs.publish({"events/rows_in": 10_101})
    os.utime(second.path, (2e9, 2e9))  # the newest, whatever the clock's grain
    runs.folder.current.unlink()
    with pytest.raises(GateError, match=second.id[:12]):
        runs.publish({RECALL: recall(10.0)})
    assert "CURRENT is missing" in caplog.text
    assert runs.publish({"events/rows_in": 10_102}).gate["follows"] == second.id


def test_a_kill_between_the_first_release_and_current_is_mended_by_the_same_command(runs: Runs) -> None:
    first = runs.publish()
    runs.folder.current.unlink()
    again = runs.publish()
    assert (again.id, runs.folder.current.read_text().strip()) == (first.id, first.id)


@pytest.mark.parametrize("note", ["", "  \n", "x" * 1001])
def test_a_note_says_something(note: str) -> None:
    with pytest.raises(UsageError, match="the note"):
        checked_note(note)


def test_a_note_is_one_line() -> None:
    assert checked_note(" why\n not ") == "why not"
    assert checked_note(None) is None


def test_the_same_vectors_are_stable_and_others_are_not() -> None:
    same = stability(vectors(ITEMS), vectors(ITEMS[::-1]))
    assert (same.overlap, same.n_asked, same.n_both) == (1.0, 100, 100)
    other = stability(vectors(ITEMS), vectors(ITEMS, seed=2))
    assert other.overlap is not None
    assert other.overlap < 0.25  # 10 of 99 by chance
    assert stability(vectors(ITEMS), vectors(["a", "b"])).overlap is None
    assert stability(vectors(ITEMS), vectors(ITEMS[:1])).overlap == 0.0
    assert stability(vectors(ITEMS), vectors(ITEMS), max_asked=10).n_asked == 10
    with pytest.raises(DataError, match="int64 in the current release and string in the new"):
        stability(vectors(list(range(5)), kind=pa.int64()), vectors(ITEMS))


def test_the_overlap_is_that_of_a_plain_search() -> None:
    one, two = vectors(ITEMS), vectors([*ITEMS[10:], "new"], seed=1)
    two.vectors[:, :4] *= 3
    two = ItemVectors(two.vocabulary, two.vectors)
    shares = []
    for item in ITEMS[10:]:
        lists = [{found for found, _ in model.most_similar(item, topn=10)} for model in (one, two)]
        shares.append(len(lists[0] & lists[1]) / 10)
    assert stability(one, two).overlap == pytest.approx(np.mean(shares), abs=1e-9)


@pytest.mark.parametrize("key", ["confidence", "max_events_ratio", "recall_tolerance"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "much"])
def test_odd_thresholds_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        RunConfig.from_sections({"run": {"name": "r"}, "simulate": {}, "gate": {key: value}})
