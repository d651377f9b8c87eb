"""The trainers that are timed, each from Python lists of ids through the vocabulary to the last epoch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.corpora import Lists
from item2vec.embeddings import Item2Vec, ItemVectors
from item2vec.sessions.container import Sessions

SETTINGS = {"window": 5, "negative": 5, "alpha": 0.05, "min_count": 1, "sample": 0.0, "epochs": 5}


@dataclass(frozen=True)
class Run:
    """One training: its seconds, and what came out of it."""

    wall: float  # from lists to the end of training
    cpu: float  # the same, of all threads together
    training: float  # wall, the epochs alone
    n_clicks: int  # trained, over all epochs
    n_pairs: float  # trained window pairs over all epochs; 0 where the trainer does not tell
    vectors: Callable[[], ItemVectors]
    writing: float = 0.0  # wall, of a file to train from

    @property
    def speed(self) -> float:
        """Clicks per second of the whole way."""
        return self.n_clicks / self.wall


def item2vec(lists: Lists, **params: Any) -> Run:
    start, cpu = time.perf_counter(), time.process_time()
    sessions = Sessions.from_lists(lists)
    model = Item2Vec(**SETTINGS | params).fit(sessions, show_progress=False)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    training = sum(sessions.n_clicks / epoch["tokens_per_second"] for epoch in model.history_)
    pairs = sum(epoch["pairs"] for epoch in model.history_)
    n_clicks = sessions.n_clicks * len(model.history_)
    return Run(wall, cpu, training, n_clicks, pairs, lambda: model.item_vectors_)


def gensim(lists: Lists, from_file: bool, **params: Any) -> Run:
    """Train gensim from memory, or from a text file that is written within the time."""
    from gensim.models import Word2Vec

    start, cpu = time.perf_counter(), time.process_time()
    model = Word2Vec(sg=1, **SETTINGS | params)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as corpus:
        source: dict[str, Any] = {"corpus_iterable": lists}
        if from_file:
            corpus.writelines(" ".join(session) + "\n" for session in lists)
            corpus.flush()
            source = {"corpus_file": corpus.name}
        writing = time.perf_counter() - start
        model.build_vocab(**source)
        words = {"total_words": model.corpus_total_words} if from_file else {}
        trained = time.perf_counter()
        model.train(**source, total_examples=model.corpus_count, epochs=model.epochs, **words)
    end, cpu = time.perf_counter(), time.process_time() - cpu
    n_clicks = model.corpus_total_words * model.epochs
    return Run(end - start, cpu, end - trained, n_clicks, 0.0, partial(_vectors, model), writing)


def _vectors(model: Any) -> ItemVectors:
    import pyarrow as pa

    from item2vec.vocabulary import Vocabulary

    counts = [model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key]
    vocabulary = Vocabulary(pa.array(model.wv.index_to_key, pa.string()), counts)
    return ItemVectors(vocabulary, model.wv.vectors, model.syn1neg)
