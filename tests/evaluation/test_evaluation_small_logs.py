"""Runs on logs too small or too odd to measure: they say why, in words, figures and report."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from item2vec.cli import app

START, DAY = 1_600_000_000, 86_400  # 2020-09-13T12:26:40Z
TRAIN = "[train]\nvector_size = 4\nepochs = 1\nworkers = 1\n"


def clicks(n_sessions=40, days=30, items="abcdef", of="u", first_day=0):
    """Sessions of two to four clicks, each of a user of its own, spread over some days."""
    rng = random.Random(0)
    first, step = START + first_day * DAY, days * DAY // n_sessions
    return "".join(
        f"{of}{number},{first + number * step + 60 * nth},click,{rng.choice(items)}\n"
        for number in range(n_sessions)
        for nth in range(rng.randint(2, 4))
    )


def stays(n_users, n_stays):
    rng = random.Random(0)
    return "".join(
        f"u{user},{START + user * DAY + nth * 5 * DAY},booking,{rng.choice('abc')}\n"
        for user in range(n_users)
        for nth in range(n_stays)
    )


def evaluate(folder: Path, log: str, settings: str = "", markets: str = "") -> tuple[int, str, str]:
    """Run a log; each of the items in `markets` lies in the same one."""
    (folder / "log.csv").write_text("user_id,ts,event_type,item_id\n" + log)
    if markets:
        (folder / "items.csv").write_text("item_id,market\n" + "".join(f"{item},P\n" for item in markets))
        settings += f'[events.items]\npath = "{folder / "items.csv"}"\n'
    file = folder / "small.toml"
    settings = settings if "[train]" in settings else TRAIN + settings
    file.write_text(f'[events]\npath = "{folder / "log.csv"}"\n[index]\nbackend = "exact"\n{settings}')
    done = CliRunner().invoke(app, ["run", str(file), "--runs-dir", str(folder / "runs")])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.stderr
    return done.exit_code, done.stdout, done.stderr


def written(folder: Path) -> tuple[dict, dict, str]:
    """Read the figures of the release, the report's JSON and its page."""
    (release,) = (folder / "runs" / "small" / "releases").glob("*.json")
    (report,) = (folder / "runs" / "small" / "objects" / "evaluation").glob("*/report.json")
    figures = json.loads(release.read_text())["figures"]["evaluation"]
    return figures, json.loads(report.read_text()), report.with_suffix(".html").read_text()


@pytest.mark.parametrize(
    ("log", "settings", "says"),
    [
        (clicks(2), "", "the split leaves no"),
        (clicks(), "[evaluate]\ntest_from = 2031-01-01\n", "the split leaves no test session"),
        (
            clicks(),
            "[evaluate]\nvalidation = 0\ntest_from = 1990-01-01\n",
            "the split leaves no train session",
        ),
        (  # a range of one second
            clicks(),
            "[evaluate]\nvalidation_from = 2020-09-20T00:00:00\ntest_from = 2020-09-20T00:00:01\n",
            "the split leaves no validation session",
        ),
        (  # enough clicks in the whole log, too few before T1
            clicks(20, items=[str(n) for n in range(20)]),
            TRAIN + "min_count = 5\n[evaluate]\nvalidation = 0.4\ntest = 0.4\n",
            "of the 4 training sessions: no item occurs min_count=5 times",
        ),
        (stays(1, 2), '[sessions]\nkind = "booking"\n', "the split leaves no"),
    ],
)
def test_a_log_too_small_to_measure_says_why_and_ends_well(tmp_path, log, settings, says):
    code, output, errors = evaluate(tmp_path, log, settings)
    assert code == 0, errors
    assert output.count(f"insufficient data: {says}") == 2  # at the twin, and at the evaluation
    figures, report, page = written(tmp_path)
    assert list(figures) == ["insufficient_data"]
    assert says in figures["insufficient_data"]
    assert report["next_item"] is None
    assert any(f"Insufficient data for next-item figures: {says}" in note for note in report["notes"])
    assert says in page


@pytest.mark.parametrize(
    ("log", "settings", "code", "says"),
    [
        ("".join(f"u{n},{START + n * DAY},click,a\n" for n in range(9)), "", 3, "no session is left: of 9"),
        ("", "", 3, ""),
        (clicks(), TRAIN + "min_count = 100000\n", 3, "no item occurs min_count=100000 times"),
        (
            clicks(),
            "[evaluate]\nvalidation_from = 2020-10-01\ntest_from = 2020-09-20\n",
            2,
            "validation_from .* lies after test_from",
        ),
    ],
)
def test_a_log_that_trains_nothing_is_refused(tmp_path, log, settings, code, says):
    found, _, errors = evaluate(tmp_path, log, settings)
    assert found == code
    assert errors.startswith("error: ")
    assert not says or re.search(says, errors)
    assert not (tmp_path / "runs" / "small" / "CURRENT").exists()


def test_a_test_of_new_items_alone_is_no_silent_zero(tmp_path):
    new = clicks(20, items="xyz", of="v", first_day=50)
    settings = "[evaluate]\nvalidation = 0.05\ntest_from = 2020-10-20\n"
    code, output, errors = evaluate(tmp_path, clicks() + new, settings)
    assert code == 0, errors
    assert "every one is followed by an item that the sessions before T1 never saw" in output
    figures, report, _ = written(tmp_path)
    assert figures["unseen_targets"] == figures["prefixes"] > 0
    for scorer in report["next_item"]["scorers"].values():
        assert scorer["recall"]["value"] == 0
        assert scorer["n_unseen_targets"] == figures["prefixes"]
        assert scorer["reachable"] == {"n": 0, "recall": None, "mrr": None}


def test_stays_without_a_history_have_no_prefix_and_say_so(tmp_path):
    log = stays(30, 1) + "u99,1600000000,booking,a\nu99,1600000100,booking,b\n"
    code, output, errors = evaluate(tmp_path, log, '[sessions]\nkind = "booking"\nmin_length = 1\n')
    assert code == 0, errors
    figures, report, _ = written(tmp_path)
    assert figures["prefixes"] == 0
    assert "no case" in output
    assert {scorer["recall"]["value"] for scorer in report["next_item"]["scorers"].values()} == {None}
    assert report["long_term"]["n_cases"] == 0
    assert "no listing has a known market" in report["long_term"]["insufficient"]


def test_markets_that_only_late_items_have_cost_the_evaluation_and_not_the_run(tmp_path):
    log = clicks() + clicks(20, items="xyz", of="v", first_day=50)
    settings = TRAIN + "market_negative = 2\n[evaluate]\nvalidation = 0.05\ntest_from = 2020-10-20\n"
    code, output, errors = evaluate(tmp_path, log, settings, markets="xyz")
    assert code == 0, errors
    assert output.count("training sessions: market_negative is 2, and no item has") == 3
    figures, report, page = written(tmp_path)
    assert "has a market; move the cuts" in figures["insufficient_data"]
    assert report["next_item"] is None
    assert "has a market; move the cuts" in page


def test_an_equation_without_a_pair_is_left_out_and_the_model_is_measured(tmp_path):
    """Sessions of one click and a booking: pairs for eq. 4 and 5, none for eq. 3."""
    log = "".join(
        f"u{n},{START + n * DAY // 2 + 60 * nth},{kind},{'abcd'[(n + nth) % 4]}\n"
        for n in range(60)
        for nth, kind in enumerate(("click", "booking"))
    )
    settings = "[sessions]\nmin_length = 1\n[evaluate]\nequations = true\n"
    code, _, errors = evaluate(tmp_path, log, settings, markets="abcd")
    assert code == 0, errors
    figures, report, _ = written(tmp_path)
    assert "insufficient_data" not in figures
    assert any(note.startswith("eq. 3 is left out: none of the") for note in report["notes"])
    (ranks,) = report["booked_rank"]
    assert list(ranks["lines"])[:2] == ["item2vec (eq. 4)", "eq. 5"]
