"""The ranking example: does a ranker gain by the features where guests differ, and only there?"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from item2vec.evaluation import RankingResult

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "6_ranking.py"


def run(monkeypatch: pytest.MonkeyPatch, size: str) -> dict[str, Any]:
    """Run the notebook as a plain script and return its names: its figures are compared, not only shown."""
    monkeypatch.setenv("ITEM2VEC_NOTEBOOK", size)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.syspath_prepend(str(NOTEBOOK.parent))
    try:
        return runpy.run_path(str(NOTEBOOK))
    finally:
        import matplotlib.pyplot as plt

        plt.close("all")
        plt.rcdefaults()


def check_gains(results: dict[str, RankingResult], n_searches: int) -> None:
    """With taste both figures gain, intervals apart; without there is nothing, and little of it."""
    gains = {name: one.difference("with features", "without") for name, one in results.items()}
    assert min(one.n_searches for one in results.values()) > n_searches
    for figure in ("ndcg", "ndcu"):
        gain = getattr(gains["with taste"], figure)
        assert gain.low > 1, gain
        none = getattr(gains["without taste"], figure)
        assert none.low < 0, none
        assert none.high < gain.low / 2, none
    assert all(one.excluded["not_settled"] for one in results.values())
    assert all(one.n_without_ndcu == 0 for one in results.values())


def test_the_features_help_where_guests_differ_and_only_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Worlds a third as large as the example's, one training each."""
    found = run(monkeypatch, "small")
    check_gains(found["results"], 1000)
    printed = capsys.readouterr().out
    assert "with features − without" in printed
    assert printed.count("Figure(") == 3  # two of importance, one of dependence
    curves = found["dependence"]["with taste"]
    assert curves["EmbClickSim"][1][-1] > curves["EmbClickSim"][1][0]
    assert curves["UserTypeListingTypeSim"][0][-1] > 0 > curves["UserTypeListingTypeSim"][0][0]


@pytest.mark.long
def test_the_whole_example_says_the_same_over_three_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, "full")
    assert found["SEEDS"] == (1, 2, 3)
    check_gains(found["results"], 3000)
