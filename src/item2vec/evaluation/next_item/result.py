"""Figures of the next-item protocol, and how they are written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_numbers
from item2vec.errors import UsageError
from item2vec.evaluation.bootstrap import Interval
from item2vec.evaluation.metrics import recall_curve
from item2vec.evaluation.next_item.cases import PrefixCases
from item2vec.evaluation.next_item.parts import PositionFigures, Reachable, SliceFigures, number_or_none
from item2vec.evaluation.text_table import text_table
from item2vec.sessions import Sessions

CURVE_LENGTH = 100
CASE_COLUMNS = ("session_id", "user_id", "start_us", "position", "target")


@dataclass(frozen=True, eq=False)
class ScorerFigures:
    """What one method reached on the test prefixes, averaged over its seeds.

    Attributes
    ----------
    recall, hr, mrr, ndcg, map : Interval
        Recall, hit rate, MRR, NDCG and MAP at k, in %, with 95 % intervals over sessions. With one relevant
        item per case the hit rate is the recall, and MAP is MRR.
    coverage : float
        Share of the catalogue, in %, that appears in at least one list of k.
    gini : float
        How unequally the lists use the catalogue: 0 equally, 1 one item alone.
    diversity, novelty, popularity : Interval, optional
        Of the lists; see :meth:`~item2vec.evaluation.next_item.lists.TrainingItems.figures`. None without the
        training sessions, like `popularity_lift` and `slices`.
    popularity_lift : Interval, optional
        Mean popularity of the listed items over that of the relevant items of the same cases, less 1
        (Abdollahpouri et al. 2019): 0 where lists are as popular as what is clicked.
    seed_ranks : ndarray of float64, shape (n_seeds, n_relevant)
        Ranks of the relevant items (ragged by ``cases.offsets``), ``inf`` outside the answer.
    knows_target : ndarray of bool, shape (n_relevant,)
        Whether the method knows the item: those that can be a hit at all.
    reachable : Reachable
    seeds : dict of str to tuple of float
        ``recall``, ``mrr`` and ``ndcg`` of every seed, in %.
    slices : dict of str to SliceFigures, optional
        See :func:`~item2vec.evaluation.next_item.slices.case_slices`.
    by_position : tuple of PositionFigures
        By length of the prefix.
    n_items : int
        Items the method ranks.
    n_unseen_targets, n_unseen_histories, n_empty_answers : int
        Relevant items that the method does not know, prefixes with no item it knows, and prefixes for which a
        seed gave no score at all; each of them is a miss, except that a method may answer without knowing
        the history.
    """

    recall: Interval
    hr: Interval
    mrr: Interval
    ndcg: Interval
    map: Interval
    coverage: float
    gini: float
    diversity: Interval | None
    novelty: Interval | None
    popularity: Interval | None
    popularity_lift: Interval | None
    seed_ranks: npt.NDArray[np.float64]
    knows_target: npt.NDArray[np.bool_]
    reachable: Reachable
    seeds: dict[str, tuple[float, ...]]
    slices: dict[str, SliceFigures] | None
    by_position: tuple[PositionFigures, ...]
    n_items: int
    n_unseen_targets: int
    n_unseen_histories: int
    n_empty_answers: int

    @property
    def ranks(self) -> npt.NDArray[np.float64]:
        """Ranks of the first seed, shape (n_relevant,)."""
        first: npt.NDArray[np.float64] = self.seed_ranks[0]
        return first

    @property
    def n_seeds(self) -> int:
        """Number of trainings."""
        return len(self.seed_ranks)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN and for what was not asked for."""
        intervals = ("diversity", "novelty", "popularity", "popularity_lift")
        return {
            **{name: getattr(self, name).to_json() for name in ("recall", "hr", "mrr", "ndcg", "map")},
            "reachable": self.reachable.to_json(),
            "coverage": number_or_none(self.coverage),
            "gini": number_or_none(self.gini),
            **{
                name: None if getattr(self, name) is None else getattr(self, name).to_json()
                for name in intervals
            },
            "n_items": self.n_items,
            "n_unseen_targets": self.n_unseen_targets,
            "n_unseen_histories": self.n_unseen_histories,
            "n_empty_answers": self.n_empty_answers,
            "n_seeds": self.n_seeds,
            "seeds": {
                name: [number_or_none(value) for value in values] for name, values in self.seeds.items()
            },
            "slices": self.slices and {name: one.to_json() for name, one in self.slices.items()},
            "by_position": [one.to_json() for one in self.by_position],
        }


@dataclass(frozen=True)
class Difference:
    """Paired differences ``a − b`` in points, over the same resamples of sessions."""

    a: str
    b: str
    recall: Interval
    mrr: Interval
    ndcg: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the differences as JSON types."""
        figures = {name: getattr(self, name).to_json() for name in ("recall", "mrr", "ndcg")}
        return {"a": self.a, "b": self.b, **figures}


@dataclass(frozen=True, eq=False)
class NextItemResult:
    """Figures of :func:`~item2vec.evaluation.next_item.protocol.evaluate_next_item`.

    Attributes
    ----------
    k : int
        Length of a list.
    relevant : {"next", "rest"}
        What counts as relevant: the click that follows, or the rest of the session.
    scorers : dict of str to ScorerFigures
        In the order given.
    differences : tuple of Difference
        Every pair of scorers, earlier minus later.
    cases : PrefixCases
        The prefixes (in the order of ``ScorerFigures.seed_ranks``).
    n_catalogue : int
        Items known to at least one scorer: the denominator of the coverage.
    """

    k: int
    relevant: str
    scorers: dict[str, ScorerFigures]
    differences: tuple[Difference, ...]
    cases: PrefixCases
    n_catalogue: int

    def __repr__(self) -> str:
        title = (
            f"Next item, relevant {self.relevant!r}: {self.n_prefixes:,} prefixes of {self.n_sessions:,}"
            f" sessions, {self.n_catalogue:,} items; % with 95 % intervals over sessions"
        )
        columns = ["scorer", *(f"{name}@{self.k}" for name in ("Recall", "MRR", "NDCG")), "coverage %"]
        return text_table(
            title,
            columns,
            [
                (name, one.recall, one.mrr, one.ndcg, f"{one.coverage:.1f}")
                for name, one in self.scorers.items()
            ],
        )

    @property
    def n_prefixes(self) -> int:
        """Number of test cases."""
        return len(self.cases)

    @property
    def n_targets_known_by_any(self) -> int:
        """Number of relevant items that at least one scorer knows: those that some list may hold."""
        return int(np.any([one.knows_target for one in self.scorers.values()], axis=0).sum())

    @property
    def n_sessions(self) -> int:
        """Number of sessions the test cases come from."""
        return self.cases.n_sessions

    def recall_curve(self, name: str) -> npt.NDArray[np.float64]:
        """Return Recall@1 … Recall@100 of one scorer in %, shape (100,), averaged over its seeds."""
        seeds = [
            recall_curve(ranks, CURVE_LENGTH, self.cases.offsets) for ranks in self.scorers[name].seed_ranks
        ]
        mean: npt.NDArray[np.float64] = np.mean(seeds, axis=0)
        return mean

    def ranks_table(self, test: Sessions) -> pa.Table:
        """Return the rank of every target, to compare with another run of the same test later.

        Parameters
        ----------
        test : Sessions
            The sessions that were evaluated.

        Returns
        -------
        pyarrow.Table
            ``session_id`` int64, ``user_id`` string and ``start_us`` int64 (null where unknown), ``position``
            int32 (length of the prefix), ``target`` (item id), and per scorer a list of float64 of fixed
            length (one rank per seed, ``inf`` for a miss).

        Raises
        ------
        UsageError
            If there are several relevant items per case, `test` is not what was evaluated, or a scorer has
            the name of another column.
        """
        if self.relevant != "next":
            raise UsageError(
                f"a table of ranks has one target per case; this result has relevant={self.relevant!r}"
            )
        taken = sorted(set(CASE_COLUMNS) & set(self.scorers))
        if taken:
            raise UsageError(f"a scorer is called {taken[0]!r}, which is a column of the table; rename it")
        places = self.cases.starts + self.cases.positions
        if (places >= test.n_clicks).any() or (test.tokens[places] != self.cases.targets).any():
            raise UsageError("these are not the sessions that were evaluated; pass the same test sessions")
        rows = arrow_numbers(self.cases.session_nums)
        columns = {
            "session_id": arrow_numbers(test.session_ids).take(rows),
            "user_id": pa.nulls(len(rows), pa.string())
            if test.user_ids is None
            else test.user_ids.take(rows),
            "start_us": pa.nulls(len(rows), pa.int64())
            if test.start_us is None
            else arrow_numbers(test.start_us).take(rows),
            "position": arrow_numbers(self.cases.positions.astype(np.int32)),
            "target": test.item_ids.take(arrow_numbers(self.cases.targets)),
        }
        for name, found in self.scorers.items():
            flat = np.ascontiguousarray(found.seed_ranks.T).ravel()
            values = pa.Array.from_buffers(pa.float64(), len(flat), [None, pa.py_buffer(flat)])
            columns[name] = pa.FixedSizeListArray.from_arrays(values, found.n_seeds)
        return pa.table(columns)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN."""
        return {
            "k": self.k,
            "relevant": self.relevant,
            "n_prefixes": self.n_prefixes,
            "n_sessions": self.n_sessions,
            "n_sessions_without_case": self.cases.n_without_case,
            "n_sessions_not_sampled": self.cases.n_not_sampled,
            "n_catalogue": self.n_catalogue,
            "n_targets_known_by_any": self.n_targets_known_by_any,
            "scorers": {name: self._scorer_json(name) for name in self.scorers},
            "differences": [one.to_json() for one in self.differences],
        }

    def _scorer_json(self, name: str) -> dict[str, Any]:
        curve = self.recall_curve(name)
        drawn = None if np.isnan(curve).any() else curve.tolist()
        return {**self.scorers[name].to_json(), "recall_curve": drawn}
