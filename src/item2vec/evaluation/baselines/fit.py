"""Baselines by the names that run files use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from item2vec.errors import UsageError
from item2vec.evaluation.arguments import check_sessions
from item2vec.evaluation.baselines.item_knn import ItemKNN
from item2vec.evaluation.baselines.popularity import Popularity
from item2vec.evaluation.baselines.sequential_rules import SequentialRules
from item2vec.evaluation.baselines.session_knn import SessionKNN
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions


def fit_baselines(names: Sequence[str], train: Sessions) -> dict[str, Scorer]:
    """Fit baselines by name on the training sessions.

    Parameters
    ----------
    names : sequence of str
        ``"popularity"``, ``"market_popularity"`` (left out where no item has a market), ``"item_knn"`` (last
        click only), ``"item_knn_decay"`` and ``"sequential_rules"`` (whole prefix, each click half the weight
        of the next), ``"session_knn"`` or ``"cooccurrence"``
        (:class:`~item2vec.embeddings.Cooccurrence` by the cosine of its vectors, prefix weighed likewise).
    train : Sessions
        Training side of the split.

    Returns
    -------
    dict of str to Scorer
        In the order given.

    Raises
    ------
    UsageError
        If a name is unknown, or there is one name and no list, or they are no sessions.
    EmptyDataError
        If there is no click, or for ``"cooccurrence"`` no two clicks in a session.
    """
    makers: dict[str, Callable[[Sessions], Scorer]] = {
        "popularity": lambda sessions: Popularity().fit(sessions),
        "market_popularity": lambda sessions: Popularity(per_market=True).fit(sessions),
        "item_knn": lambda sessions: ItemKNN().fit(sessions),
        "item_knn_decay": lambda sessions: ItemKNN(decay=0.5).fit(sessions),
        "sequential_rules": lambda sessions: SequentialRules(decay=0.5).fit(sessions),
        "session_knn": lambda sessions: SessionKNN().fit(sessions),
        "cooccurrence": _cooccurrence,
    }
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"baselines are given as {names!r}; give a list of names: [{'popularity'!r}]")
    check_sessions("the training sessions", train)
    names = list(names)
    unknown = [name for name in names if name not in list(makers)]
    if unknown:
        raise UsageError(f"unknown baseline {unknown[0]!r}; choose from {', '.join(makers)}")
    has_market = bool((train.markets >= 0).any())
    return {name: makers[name](train) for name in names if has_market or name != "market_popularity"}


def _cooccurrence(train: Sessions) -> Scorer:
    """Read co-occurrence by cosine: its products favour rare items, which are seldom next."""
    from item2vec.embeddings import Cooccurrence, ItemVectors
    from item2vec.recommendations import Recommender

    vectors = Cooccurrence().fit(train).item_vectors_
    return Recommender(ItemVectors(vectors.vocabulary, vectors.vectors))
