"""What :func:`~item2vec.evaluation.ranking.protocol.evaluate_ranking` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from item2vec.errors import UsageError
from item2vec.evaluation.bootstrap import Interval
from item2vec.evaluation.text_table import text_table


@dataclass(frozen=True)
class RankingFigures:
    """What one scorer's order reached, in %, with 95 % intervals.

    Attributes
    ----------
    ndcg, ndcu : Interval
        Means over searches.
    dcu : dict of str to Interval
        By outcome (``rejected``, ``clicked``, ``contacted``, ``booked``): the utility of such listings where
        the order puts them, in % of a booking at the first rank. Higher is better: nearer to 0 for rejected.
    n_seeds : int
    """

    ndcg: Interval
    ndcu: Interval
    dcu: dict[str, Interval]
    n_seeds: int

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN."""
        return {
            "ndcg": self.ndcg.to_json(),
            "ndcu": self.ndcu.to_json(),
            "dcu": _json(self.dcu),
            "n_seeds": self.n_seeds,
        }


@dataclass(frozen=True)
class RankingDifference:
    """Paired differences ``a − b`` over the same resamples.

    Attributes
    ----------
    a, b : str
    ndcg, ndcu : Interval
        In points.
    dcu : dict of str to Interval
        By outcome, in points.
    lift : dict of str to Interval
        ``ndcu`` and by outcome: (a − b) / |b| in %, positive where a is better (the paper's Table 8).
    """

    a: str
    b: str
    ndcg: Interval
    ndcu: Interval
    dcu: dict[str, Interval]
    lift: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Return the names and the intervals."""
        figures = {"ndcg": self.ndcg.to_json(), "ndcu": self.ndcu.to_json()}
        return {"a": self.a, "b": self.b, **figures, "dcu": _json(self.dcu), "lift": _json(self.lift)}


@dataclass(frozen=True, eq=False)
class RankingResult:
    """Figures of :func:`~item2vec.evaluation.ranking.protocol.evaluate_ranking`.

    Attributes
    ----------
    n_searches, n_users, n_rows : int
    outcomes : dict of str to int
        Rows by label.
    searches_with : dict of str to int
        Searches with at least one such row: the cases of ``dcu``.
    n_without_ndcu : int
        Searches whose best order is worth nothing.
    excluded : dict of str to int
        What ``search_labels`` counted; empty for other labels.
    clusters : str
        What was resampled.
    scorers : dict of str to RankingFigures
        In the order given.
    differences : tuple of RankingDifference
        Every pair of scorers, earlier minus later.
    insufficient : str or None
        Why the intervals say little.
    """

    n_searches: int
    n_users: int
    n_rows: int
    outcomes: dict[str, int]
    searches_with: dict[str, int]
    n_without_ndcu: int
    excluded: dict[str, int]
    clusters: str
    scorers: dict[str, RankingFigures]
    differences: tuple[RankingDifference, ...]
    insufficient: str | None = None

    def __repr__(self) -> str:
        title = (
            f"Ranking: {self.n_rows:,} listings of {self.n_searches:,} searches by {self.n_users:,} users;"
            f" % with 95 % intervals, {self.clusters} resampled"
        )
        kinds = list(self.searches_with)
        columns = ["scorer", "NDCG", "NDCU", *(f"DCU {kind}" for kind in kinds)]
        rows: list[tuple[object, ...]] = [
            (name, one.ndcg, one.ndcu, *(one.dcu[kind] for kind in kinds))
            for name, one in self.scorers.items()
        ]
        rows += [
            (f"{one.a} − {one.b}", one.ndcg, one.ndcu, *(one.dcu[kind] for kind in kinds))
            for one in self.differences
        ]
        table = text_table(title, columns, rows)
        return f"{table}\n  {self.insufficient}" if self.insufficient else table

    def difference(self, a: str, b: str) -> RankingDifference:
        """Return the paired difference of two scorers, in the order of :attr:`differences`.

        Raises
        ------
        UsageError
            If there is none.
        """
        for one in self.differences:
            if (one.a, one.b) == (a, b):
                return one
        names = ", ".join(map(repr, self.scorers))
        raise UsageError(f"no difference {a!r} - {b!r}: the scorers are {names}, each minus a later one")

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN."""
        return {
            "n_searches": self.n_searches,
            "n_users": self.n_users,
            "n_rows": self.n_rows,
            "outcomes": dict(self.outcomes),
            "searches_with": dict(self.searches_with),
            "n_without_ndcu": self.n_without_ndcu,
            "excluded": dict(self.excluded),
            "clusters": self.clusters,
            "scorers": {name: figures.to_json() for name, figures in self.scorers.items()},
            "differences": [difference.to_json() for difference in self.differences],
            "insufficient": self.insufficient,
        }


def _json(figures: dict[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {name: figure.to_json() for name, figure in figures.items()}
