"""gensim's Word2Vec ranked by the same protocol: the peer that the trainer must not be behind."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import diginetica, quality

from item2vec.evaluation.bootstrap import bootstrap_means, interval
from item2vec.sessions import Sessions


def test_every_row_of_the_table_of_quality_is_measured_and_paired(capsys, monkeypatch) -> None:
    small = {"vector_size": 8, "window": 3, "negative": 5, "epochs": 15, "alpha": 0.05}
    monkeypatch.setattr(quality, "TRAINED", small)
    rng = np.random.default_rng(0)
    clusters = [[f"c{c}-{k}" for k in rng.integers(8, size=6)] for c in rng.integers(12, size=1500)]
    train, test = Sessions.from_lists(clusters[:1200]), Sessions.from_lists(clusters[1200:])
    cases = quality.measure(quality.ROWS, train, test, seeds=1, n_bootstrap=50)
    recalls = {name: found["Recall@20"].mean() for name, found in cases.items()}
    assert set(recalls) == set(quality.ROWS)
    for learned in quality.LEARNED:
        assert recalls[learned] > recalls["popularity"] + 30, recalls
    quality.compare(cases, 50)
    shown = capsys.readouterr().out
    assert all(f"| {name} |" in shown for name in quality.ROWS)
    assert "item2vec, next − gensim Word2Vec, next" in shown


@pytest.mark.long
@pytest.mark.real_data
def test_item2vec_is_as_good_as_gensim_at_equal_settings_in_both_readings(real_data) -> None:
    """The lower bound of the paired difference is above −1 point (one seed here; three in the log)."""
    train, test, _ = diginetica.read(real_data / "diginetica_seq")
    rows = [f"{who}, {mode}" for mode in ("next", "similar") for who in ("item2vec", "gensim Word2Vec")]
    cases = quality.measure(rows, train, test, seeds=1, n_bootstrap=2)
    for mode in ("next", "similar"):
        ours, theirs = cases[f"item2vec, {mode}"], cases[f"gensim Word2Vec, {mode}"]
        gained = {"Recall@20": ours["Recall@20"] - theirs["Recall@20"]}
        found = interval(*bootstrap_means(gained, ours["session"], 1000)["Recall@20"])
        assert found.low > -1.0, (mode, str(found))
