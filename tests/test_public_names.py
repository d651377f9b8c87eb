"""The names that users, notebooks and tests rely on."""

from __future__ import annotations

import subprocess
import sys

import pytest

import item2vec as i2v

NAMES = {
    "Client",
    "ColdStart",
    "Cooccurrence",
    "Item2Vec",
    "ItemIndex",
    "ItemKNN",
    "ItemVectors",
    "ListRules",
    "LiveRecommender",
    "NeighbourTable",
    "Popularity",
    "RankingFeatures",
    "rejections_of",
    "UserHistory",
    "TypeMap",
    "TypeEmbeddings",
    "HistoryScoring",
    "Hybrid",
    "InterestWeights",
    "Recommender",
    "SequentialRules",
    "SessionKNN",
    "Sessions",
    "booked_rank",
    "compare",
    "evaluate_long_term",
    "evaluate_next_item",
    "evaluate_ranking",
    "index_recall",
    "load",
    "probe",
    "ranking_feature_table",
    "read_events",
    "search_labels",
    "sessionize",
    "simulate",
    "tune",
}


def test_every_public_name_is_there_and_documented() -> None:
    assert {*NAMES, "STAGES", "__version__", "errors"} == set(i2v.__all__) == set(dir(i2v))
    for name in NAMES:
        assert getattr(i2v, name).__doc__
        assert getattr(i2v, name).__module__.startswith("item2vec.")
    assert i2v.__version__.count(".") == 2


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Item3Vec'"):
        i2v.Item3Vec  # noqa: B018


def test_import_is_instant() -> None:
    program = (
        "import sys, item2vec, item2vec.errors\n"
        "heavy = {'numpy', 'torch', 'pandas', 'sklearn', 'numba', 'pyarrow', 'pydantic'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
