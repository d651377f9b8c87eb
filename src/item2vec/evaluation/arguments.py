"""Checks of what callers pass to protocols, probes and baselines: in words, and before the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

LISTING_TYPE = "listing_type"


def check_whole(name: str, value: object, least: int, hint: str) -> None:
    """Refuse what is no whole number from `least` on.

    Raises
    ------
    UsageError
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name}={value!r}: {hint}")


def is_number(value: object) -> bool:
    """Return whether this is a number, NaN included; a flag is none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_share(name: str, value: object) -> None:
    """Refuse what is no number in [0, 1].

    Raises
    ------
    UsageError
    """
    if not is_number(value) or not 0 <= value <= 1:  # type: ignore[operator]
        raise UsageError(f"{name}={value!r}: give a number in [0, 1]")


def check_resamples(n_bootstrap: object, seed: object) -> None:
    """Refuse a number of resamples or a seed that is none.

    Raises
    ------
    UsageError
    """
    check_whole("n_bootstrap", n_bootstrap, 0, "give 1,000 or so, or 0 for no intervals")
    check_whole("seed", seed, 0, "a seed is a whole number from 0")


def check_sessions(what: str, given: object) -> None:
    """Refuse what is no :class:`~item2vec.sessions.Sessions`; `what` names it.

    Raises
    ------
    UsageError
    """
    from item2vec.evaluation.splits import Split

    if isinstance(given, Sessions):
        return
    if isinstance(given, Split):
        raise UsageError(
            f"{what} are a whole Split; pass one of its sides, such as split.train or split.test"
        )
    raise UsageError(
        f"{what} are of type {type(given).__name__}; pass Sessions: from sessionize(...), a side of"
        " split_sessions(...), or Sessions.from_lists(...)"
    )


def check_scorers(scorers: object) -> None:
    """Refuse what is no mapping of names to fitted scorers, or to sequences of them.

    Raises
    ------
    UsageError
    """
    if not isinstance(scorers, Mapping):
        raise UsageError(
            f"the scorers are given as {_type_name(scorers)}; give each one a name: {{'my model': scorer}}"
        )
    for name, one in scorers.items():
        for scorer in one if isinstance(one, Sequence) else [one]:
            _check_scorer(f"scorer {name!r}", scorer)


def _check_scorer(which: str, scorer: object) -> None:
    if isinstance(scorer, type):
        raise UsageError(f"{which} is the class {scorer.__name__}; pass one that is fitted: .fit(sessions)")
    has_scores, vocabulary = callable(getattr(scorer, "scores", None)), getattr(scorer, "vocabulary", None)
    if has_scores and isinstance(vocabulary, Vocabulary):
        return
    if isinstance(vocabulary, Vocabulary) and hasattr(scorer, "vectors"):
        advice = "it has vectors and does not rank; wrap it: Recommender(item_vectors)"
    elif hasattr(scorer, "item_vectors_"):
        advice = "an estimator does not rank; wrap its vectors: Recommender(model.item_vectors_)"
    elif callable(getattr(scorer, "fit", None)):
        advice = "it is not fitted; call its fit(sessions) first" + (
            "" if has_scores else ", then wrap its vectors: Recommender(model.item_vectors_)"
        )
    else:
        advice = "a scorer has a vocabulary and scores(histories); see item2vec.evaluation.Scorer"
    raise UsageError(f"{which} is of type {type(scorer).__name__}: {advice}")


def _type_name(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def scores_of(
    name: str, scorer: Scorer, histories: Sequence[npt.NDArray[np.int32]]
) -> npt.NDArray[np.float32]:
    """Return what a scorer answers as float32, shape (len(histories), n_items).

    Raises
    ------
    UsageError
        If the answer has another shape, or holds no numbers.
    """
    scores, n_items = np.asarray(scorer.scores(histories)), len(scorer.vocabulary)
    if scores.shape != (len(histories), n_items):
        raise UsageError(
            f"scorer {name!r} answered {scores.shape} for {len(histories)} histories and {n_items} items;"
            " scores() must return one row per history and one column per item"
        )
    if scores.dtype.kind not in "biuf":
        raise UsageError(f"scorer {name!r} answered {scores.dtype}; scores() must return numbers (float32)")
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        return scores.astype(np.float32, copy=False)


def check_attribute(items: object, attribute: object) -> None:
    """Refuse what is no item table, and an attribute that is none of its columns.

    Without the column ``listing_type``, which nobody has to ask for, no item has a type.

    Raises
    ------
    UsageError
    """
    if items is not None and not isinstance(items, pa.Table):
        raise UsageError(f"the items are given as {_type_name(items)}; pass a pyarrow.Table, or None")
    columns = [] if items is None else [name for name in items.column_names if name != "item_id"]
    if attribute != LISTING_TYPE and attribute not in columns:
        raise UsageError(
            f"attribute={attribute!r}: the item table has no such column; it has"
            f" {', '.join(columns) or 'none'} beside the ids"
        )


def whole_positions(first_targets: object, n_sessions: int, what: str = "session") -> npt.NDArray[np.int64]:
    """Return the position of each session's first target as int64, shape (n_sessions,).

    Raises
    ------
    UsageError
        If there is not one whole number from 0 per session.
    """
    try:
        first = np.asarray(first_targets)
    except ValueError:  # rows of several lengths
        first = np.asarray(first_targets, object)
    if first.shape != (n_sessions,):
        n = len(first) if first.ndim else 1
        raise UsageError(f"{n} first targets for {n_sessions} {what}s; give one per {what}")
    if n_sessions and (first.dtype.kind not in "iu" or first.min() < 0):
        raise UsageError(
            f"first targets are positions in their {what}s: whole numbers from 0, such as split.test_targets"
        )
    return first.astype(np.int64)
