"""Types in a run: learned, loaded, asked for the next booking; without them nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import item2vec as i2v
from item2vec.embeddings.types.type_map import AIRBNB
from item2vec.errors import ConfigError, EmptyDataError
from item2vec.recommendations import UserHistory
from item2vec.run import RunResult
from test_run_pipeline import run

WORLD: dict[str, Any] = {"n_users": 400, "n_listings": 60, "n_markets": 2, "days": 40, "trips_per_user": 4}
CHANGES: dict[str, Any] = {
    "simulate": WORLD,
    "types": {"enabled": True, "min_support": 5, "vector_size": 8, "epochs": 3},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str], RunResult]:
    folder = tmp_path_factory.mktemp("types")
    return folder, *run(folder, CHANGES)


def test_types_are_a_stage_whose_embeddings_are_loaded(ran: tuple[Path, set[str], RunResult]) -> None:
    _, done, result = ran
    assert "types" in done
    figures = result.objects["types"].figures
    assert figures["types"] > 10
    assert 0 <= figures["rare_user_types"] <= 1
    assert figures["rejections"] > 0
    rec = i2v.load(result.folder)
    assert rec.types is not None
    user = UserHistory(attributes={"market": "Paris", "language": "en"})
    _, _, why = rec.recommend(user, N=3, explain=True)
    assert {"type", "popular"} == set(why[0].parts)
    assert why[0].user_type is not None
    assert why[0].user_type.startswith("Paris_lg1")


def test_the_next_booking_is_foretold_by_types_clicks_and_bookings(
    ran: tuple[Path, set[str], RunResult],
) -> None:
    report = json.loads((ran[2].objects["evaluation"].path / "report.json").read_text())
    scorers = report["long_term"]["scorers"]
    assert next(iter(scorers)) == "types"
    assert set(scorers) == {
        *("types", "types_cosine", "item2vec", "item2vec_similar"),
        *("item2vec_of_bookings", "item2vec_of_bookings_similar"),
        *("market_popularity", "repeat_type", "type_transitions"),
    }
    assert report["long_term"]["n_cases"] > 30
    assert scorers["types"]["back_off"] is not None
    assert set(scorers["types"]["by_repeat"]) == {"repeat", "new"}
    page = (ran[2].objects["evaluation"].path / "report.html").read_text()
    assert "The same listing again, or a new one" in page
    assert "one snapshot" in page


def test_rules_that_change_make_other_types(ran: tuple[Path, set[str], RunResult], tmp_path: Path) -> None:
    folder, _, result = ran
    assert run(folder, CHANGES)[0] == set(), "nothing changed"
    rules = tmp_path / "rules.toml"
    rules.write_text(AIRBNB.read_text())
    same = {**CHANGES, "types": {**CHANGES["types"], "map": str(rules)}}
    assert "types" not in run(folder, same)[0], "the same rules in another file"
    rules.write_text(AIRBNB.read_text().replace("[40, 56, 70, 84, 101, 130, 190]", "[50, 100]"))
    done, other = run(folder, same)
    assert {"types", "evaluation"} <= done
    assert "embeddings" not in done
    assert other.objects["types"].id != result.objects["types"].id


def test_without_types_there_is_no_stage(tmp_path: Path) -> None:
    done, result = run(tmp_path)
    assert "types" not in done
    assert "types" not in result.objects
    assert i2v.load(result.folder).types is None


def test_a_log_without_bookings_or_rules_says_so(tmp_path: Path) -> None:
    none = {"simulate": {"book_share": 0.0}, "types": {"enabled": True}}
    with pytest.raises(EmptyDataError, match="booking"):
        run(tmp_path / "a", none)
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        run(tmp_path / "b", {"types": {"enabled": True, "map": "nowhere.toml"}})
