"""The baselines on Diginetica beside the figures that were published for this cut of it."""

from __future__ import annotations

import gzip
from collections import Counter

import baseline_referees as referees
import numpy as np
import pytest
from benchmarks import diginetica

from item2vec.evaluation import ItemKNN, SequentialRules, SessionKNN, evaluate_next_item

N_PREFIXES, N_SESSIONS = 60_858, 15_963
ROWS = {  # Recall@20 and MRR@20 in %; the tolerance is for both, on top of the sample's interval
    "item-kNN": (lambda: ItemKNN(), 35.8, 11.6, 1.0),  # published in the tables of NARM, STAMP and SR-GNN
    "session-kNN": (lambda: SessionKNN(), 51.6, 18.3, 1.0),  # measured by others on 4,000 prefixes
    "sequential rules": (lambda: SequentialRules(decay=0.5), 46.4, 16.1, 1.0),  # measured likewise
    "last click's rules": (lambda: SequentialRules(), 40.3, 14.0, 0.1),  # as we measured it
}


@pytest.fixture(scope="module")
def sides(real_data):
    return diginetica.read(real_data / "diginetica_seq")


@pytest.mark.real_data
def test_the_test_sessions_have_exactly_the_prefixes_of_the_file(real_data, sides):
    train, test, n_prefixes = sides
    assert (n_prefixes, len(test), len(train)) == (N_PREFIXES, N_SESSIONS, 186_670)
    with gzip.open(real_data / "diginetica_seq" / "test_examples.tsv.gz", "rt") as lines:
        file = Counter(line.rstrip("\n") for line in lines)
    rebuilt = Counter(
        f"{' '.join(map(str, session[:length]))}\t{session[length]}"
        for session in test.to_lists()
        for length in range(1, len(session))
    )
    assert rebuilt == file
    assert rebuilt.total() == N_PREFIXES


def test_nested_prefixes_are_joined_and_neighbouring_sessions_are_not():
    sessions = [(1, 2, 3), (1, 2), (5, 1, 5), (1, 2)]
    examples = [(s[:n], s[n]) for s in sessions for n in range(len(s) - 1, 0, -1)]
    assert diginetica.rebuild(examples) == sessions


@pytest.mark.real_data
@pytest.mark.parametrize("name", ROWS)
def test_a_sample_of_sessions_lands_near_the_figures(name, sides):
    make, recall, mrr, tolerance = ROWS[name]
    train, test, _ = sides
    result = evaluate_next_item({name: make().fit(train)}, test, max_sessions=2500, n_bootstrap=200)
    found = result.scorers[name]
    assert found.recall.low - tolerance < recall < found.recall.high + tolerance
    assert found.mrr.low - tolerance < mrr < found.mrr.high + tolerance


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.parametrize("name", ROWS)
def test_all_prefixes_land_near_the_figures(name, sides):
    make, recall, mrr, tolerance = ROWS[name]
    train, test, n_prefixes = sides
    result = evaluate_next_item({name: make().fit(train)}, test, n_bootstrap=200)
    found = result.scorers[name]
    assert result.n_prefixes == n_prefixes
    assert abs(found.recall.value - recall) < tolerance
    assert abs(found.mrr.value - mrr) < tolerance


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("scorer", "referee"),
    [(SessionKNN(), referees.session_knn), (SequentialRules(decay=0.5), referees.sequential_rules)],
)
def test_real_scores_are_those_of_the_definition(scorer, referee, sides):
    """Among 4,000 sessions, the last of the training lines, which share items with the test's."""
    train, test, _ = sides
    late = train.take(np.arange(len(train) - 4000, len(train)))
    scorer.fit(late)
    lists, ids = late.to_lists(), scorer.vocabulary.ids.to_pylist()
    options = {"decay": 0.5} if isinstance(scorer, SequentialRules) else {}
    for session in test.to_lists()[:25]:
        known = [item for item in session if item in scorer.vocabulary]
        (row,) = scorer.scores([scorer.vocabulary.nums(known)])
        found = {item: float(score) for item, score in zip(ids, row, strict=True) if score > -np.inf}
        expected = referee(lists, known, **options) if known else {}
        assert found == pytest.approx(expected, rel=1e-5)
