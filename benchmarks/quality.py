"""The baseline table on all of Diginetica's test prefixes: `python -m benchmarks.quality --help`.

Every row is fitted on the training sessions and ranks all items after each prefix. What was searched was
chosen on the last tenth of the training lines; some grids were looked at on the test too (notebooks/LOG.md
names them). Intervals are 95 % over sessions; rows that are
trained are the mean of several seeds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import diginetica, machine
from item2vec.config import RunConfig
from item2vec.embeddings import Cooccurrence, Item2Vec, ItemVectors
from item2vec.embeddings.repeats import repeat_rates
from item2vec.evaluation import (
    Hybrid,
    ItemKNN,
    NextItemResult,
    Popularity,
    Scorer,
    SequentialRules,
    SessionKNN,
    evaluate_next_item,
    split_sessions,
)
from item2vec.evaluation.baselines.popularity import click_vocabulary
from item2vec.evaluation.bootstrap import bootstrap_means, interval
from item2vec.evaluation.metrics import recall_at, reciprocal_rank_at
from item2vec.index.space import Mode
from item2vec.recommendations import HistoryScoring, Recommender
from item2vec.sessions.container import Sessions

ROOT = Path(__file__).resolve().parents[1]
NEXT_ITEM = RunConfig.from_toml(ROOT / "pipelines" / "next_item.toml")
TRAINED = {name: NEXT_ITEM.train[name] for name in ("vector_size", "window", "negative", "epochs", "alpha")}
Vectors = Callable[[Sessions, int], ItemVectors]
Cases = dict[str, npt.NDArray[Any]]


class Read:
    """Vectors read by cosine ("similar") or as what comes next, as pipelines/next_item.toml scores."""

    def __init__(self, vectors: ItemVectors, mode: Mode) -> None:
        self.vocabulary = vectors.vocabulary
        self._recommender = Recommender(vectors, scoring=NEXT_ITEM.scoring)
        self._mode = mode

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        return self._recommender.scores(histories, mode=self._mode)


def item2vec(train: Sessions, seed: int) -> ItemVectors:
    return Item2Vec(**TRAINED, seed=seed).fit(train, show_progress=False).item_vectors_


def gensim(train: Sessions, seed: int) -> ItemVectors:
    from gensim.models import Word2Vec

    sentences = [[str(item) for item in session] for session in train.to_lists()]
    order = np.random.default_rng(seed).permutation(len(sentences))
    model = Word2Vec([sentences[i] for i in order], sg=1, min_count=1, workers=2, seed=seed, **TRAINED)
    vocabulary, _ = click_vocabulary(train)
    rows = [model.wv.key_to_index[str(item)] for item in vocabulary.ids.to_pylist()]
    return ItemVectors(vocabulary, model.wv.vectors[rows], model.syn1neg[rows], repeat_rates(train))


def plain(vectors: ItemVectors) -> Recommender:
    """Read the inner products alone, as most people would."""
    return Recommender(vectors, scoring=HistoryScoring(popularity=0.0, repeat_last=0.0, repeat_earlier=0.0))


def hybrids(train: Sessions, vectors: Sequence[ItemVectors]) -> list[Scorer]:
    """Learn the blend on the last tenth of the training lines, from parts that know the others only.

    The parts are then those of all lines.
    """
    split = split_sessions(train, validation=0.1, test=0.0)
    earlier = Recommender(item2vec(split.train, 1), scoring=NEXT_ITEM.scoring)
    weights = Hybrid(earlier, SessionKNN().fit(split.train)).fit(split.validation).weights_
    print("hybrid:", {name: round(weight, 3) for name, weight in weights.items()}, flush=True)
    neighbours = SessionKNN().fit(train)
    recommenders = [Recommender(one, scoring=NEXT_ITEM.scoring) for one in vectors]
    return [Hybrid(one, neighbours, weights=weights) for one in recommenders]


def cooccurrence(train: Sessions, seed: int) -> ItemVectors:
    return Cooccurrence(seed=seed).fit(train).item_vectors_


FIXED: dict[str, Callable[[Sessions], Scorer]] = {
    "popularity": lambda train: Popularity().fit(train),
    "item-kNN": lambda train: ItemKNN().fit(train),
    "item-kNN, decayed": lambda train: ItemKNN(decay=0.5).fit(train),
    "sequential rules": lambda train: SequentialRules().fit(train),
    "sequential rules, decayed": lambda train: SequentialRules(decay=0.5).fit(train),
    "session-kNN": lambda train: SessionKNN().fit(train),
}
Readings = Callable[[Sessions, Sequence[ItemVectors]], list[Scorer]]


def read(mode: Mode) -> Readings:
    return lambda train, vectors: [Read(one, mode) for one in vectors]


def products(train: Sessions, vectors: Sequence[ItemVectors]) -> list[Scorer]:
    return [plain(one) for one in vectors]


LEARNED: dict[str, tuple[Vectors, Readings]] = {
    "co-occurrence + SVD, similar": (cooccurrence, read("similar")),
    "gensim Word2Vec, similar": (gensim, read("similar")),
    "gensim Word2Vec, products": (gensim, products),
    "gensim Word2Vec, next": (gensim, read("next")),
    "item2vec, similar": (item2vec, read("similar")),
    "item2vec, products": (item2vec, products),
    "item2vec, next": (item2vec, read("next")),
    "hybrid": (item2vec, hybrids),
}
ROWS = (*FIXED, *LEARNED)
PAIRED = {  # compared on the same prefixes
    "item2vec, next": (
        *("item2vec, products", "sequential rules, decayed", "session-kNN"),
        "gensim Word2Vec, next",
    ),
    "hybrid": ("item2vec, next", "session-kNN"),
    "item2vec, similar": ("gensim Word2Vec, similar",),
}


def fitted(
    name: str, train: Sessions, seeds: int, kept: dict[Vectors, tuple[list[ItemVectors], float]]
) -> tuple[list[Scorer], float]:
    """Fit one row; return it with the seconds per fit. Two readings share their vectors."""
    start = time.perf_counter()
    if name in FIXED:
        scorer = FIXED[name](train)
        return [scorer], time.perf_counter() - start
    learn, readings = LEARNED[name]
    if learn not in kept:
        vectors = [learn(train, seed) for seed in range(1, seeds + 1)]
        kept[learn] = (vectors, (time.perf_counter() - start) / seeds)
    vectors, seconds = kept[learn]
    return readings(train, vectors), seconds


def measure(
    rows: Sequence[str], train: Sessions, test: Sessions, seeds: int, n_bootstrap: int
) -> dict[str, Cases]:
    """Print the table, a line as soon as it is measured; return Recall and MRR per prefix."""
    header = ("scorer", "Recall@20", "MRR@20", "seeds", "items", "fit, s", "all prefixes, s")
    print(machine.table(header, []))
    kept: dict[Vectors, tuple[list[ItemVectors], float]] = {}
    cases: dict[str, Cases] = {}
    for name in rows:
        scorers, fit_seconds = fitted(name, train, seeds, kept)
        start = time.perf_counter()
        result = evaluate_next_item({name: scorers}, test, n_bootstrap=n_bootstrap)
        seconds = (time.perf_counter() - start) / len(scorers)
        figures = result.scorers[name]
        cells = [f"{i.value:.2f} ({i.low:.2f} to {i.high:.2f})" for i in (figures.recall, figures.mrr)]
        line = [name, *cells, len(scorers), f"{figures.n_items:,}", f"{fit_seconds:.1f}", f"{seconds:.1f}"]
        print("| " + " | ".join(map(str, line)) + " |", flush=True)
        cases[name] = cases_of(result, name)
    return cases


def cases_of(result: NextItemResult, name: str) -> Cases:
    """Return a scorer's Recall and MRR per prefix, %, the mean of its seeds; and the sessions they are of."""
    ranks = result.scorers[name].seed_ranks
    return {
        "Recall@20": 100 * recall_at(ranks.ravel(), 20).reshape(ranks.shape).mean(axis=0),
        "MRR@20": 100 * reciprocal_rank_at(ranks.ravel(), 20).reshape(ranks.shape).mean(axis=0),
        "session": result.cases.session_nums,
    }


def gains(ours: Cases, others: Cases, n_bootstrap: int) -> list[str]:
    """Say how far one scorer is above another on the same prefixes, in points of Recall and of MRR."""
    gained = {key: ours[key] - others[key] for key in ("Recall@20", "MRR@20")}
    means = bootstrap_means(gained, ours["session"], n_bootstrap)
    return [str(interval(*means[key])) for key in gained]


def compare(cases: dict[str, Cases], n_bootstrap: int) -> None:
    """Print how far the product is from the bars, on the same prefixes, in points."""
    lines = []
    for ours, others in PAIRED.items():
        for other in others if ours in cases else ():
            if other not in cases:
                continue
            lines.append([f"{ours} − {other}", *gains(cases[ours], cases[other], n_bootstrap)])
    if lines:
        print("\n" + machine.table(("paired difference, points", "Recall@20", "MRR@20"), lines))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, default=3, help="trainings per learned row")
    parser.add_argument("--n-bootstrap", type=int, default=1000)
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data")) / "diginetica_seq"
    if not folder.is_dir():
        print(f"{folder} is missing; set ITEM2VEC_REAL_DATA to the folder of the public logs")
        return
    train, test, n_prefixes = diginetica.read(folder)
    print(f"diginetica: {train!r}; {n_prefixes:,} prefixes of {len(test):,} test sessions")
    compare(measure(options.rows, train, test, options.seeds, options.n_bootstrap), options.n_bootstrap)
    print(f"peak memory {machine.peak_memory_gb():.1f} GB")


if __name__ == "__main__":
    main()
