"""Figures of booked rank: curves by the number of clicks before the booking, and their differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.evaluation.booked_ranks.cases import BookedCases
from item2vec.evaluation.booked_ranks.text import booked_rank_text
from item2vec.evaluation.bootstrap import Interval

CURVES: tuple[Literal["before", "all"], ...] = ("before", "all")
METRICS = ("mean_rank", "normalised")


@dataclass(frozen=True, eq=False)
class LineRanks:
    """Where one line put the booked listings.

    Attributes
    ----------
    ranks : ndarray of float64, shape (n_seeds, n_cases)
        ``1 + #greater + ½ #equal others`` among the candidates.
    n_unseen_booked, n_unseen_queries, n_unseen_candidates : int
        Cases whose booked item the scorer does not know, whose history holds no item it knows, and candidates
        it does not know, over all cases: those share the end of the list.
    n_empty_answers : int
        Cases without a candidate in the answer, of some seed: the booked item is last.
    known : ndarray of bool, shape (n_cases,), optional
        Whether the scorer knows the booked item and an item of the history: the cases that say something
        about it. None for a line that needs no scorer.
    """

    ranks: npt.NDArray[np.float64]
    n_unseen_booked: int = 0
    n_unseen_queries: int = 0
    n_unseen_candidates: int = 0
    n_empty_answers: int = 0
    known: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class RankFigures:
    """Means over some cases, with 95 % intervals over sessions; None where there are too few to show.

    Attributes
    ----------
    n, n_sessions : int
        Cases, and the sessions they come from.
    mean_rank : Interval or None
        From 1, lower is better.
    normalised : Interval or None
        (rank − 1)/(candidates − 1): 0 first, 1 last, ½ by chance.
    """

    n: int
    n_sessions: int
    mean_rank: Interval | None
    normalised: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        intervals = {"mean_rank": self.mean_rank, "normalised": self.normalised}
        found = {name: one.to_json() if one else None for name, one in intervals.items()}
        return {"n": self.n, "n_sessions": self.n_sessions, **found}


@dataclass(frozen=True)
class RankCurve:
    """One line over one set of cases: overall, and by the number of clicks before the booking.

    Attributes
    ----------
    overall : RankFigures
    by_position : dict of int to RankFigures
        Keys 1 (the last click before the booking) to `max_position`; positions are compared between lines,
        never with each other, for their cases differ.
    """

    overall: RankFigures
    by_position: dict[int, RankFigures]

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON types."""
        by_position = []
        for position, figures in self.by_position.items():
            by_position.append({"position": position, **figures.to_json()})
        return {**self.overall.to_json(), "by_position": by_position}


@dataclass(frozen=True)
class RankDifference:
    """Paired differences ``a − b`` over the same resamples of sessions; below 0 where `a` is better."""

    a: str
    b: str
    curve: Literal["before", "all"]
    mean_rank: Interval
    normalised: Interval
    by_position: dict[int, Interval] = field(default_factory=dict)
    """Of the mean rank, at each position that has enough cases: lines are compared at a position."""

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON types."""
        intervals = {"mean_rank": self.mean_rank.to_json(), "normalised": self.normalised.to_json()}
        places = [{"position": at, **one.to_json()} for at, one in self.by_position.items()]
        return {"a": self.a, "b": self.b, "curve": self.curve, **intervals, "by_position": places}


@dataclass(frozen=True, eq=False)
class BookedRankResult:
    """Figures of :func:`~item2vec.evaluation.booked_ranks.protocol.booked_rank`.

    Attributes
    ----------
    cases : BookedCases
        In the order of ``LineRanks.ranks``.
    lines : dict of str to LineRanks
    curves : dict of str to dict of {"before", "all"} to RankCurve
        Per line: the cases before the session's first click on the booked listing, and all of them.
    known : dict of str to RankFigures
        Per line: the cases before the first click that its scorer knows (see :class:`LineRanks`).
    differences : tuple of RankDifference
        Every two lines, earlier minus later.
    min_cases : int
        Positions with fewer cases are not shown.
    """

    cases: BookedCases
    lines: dict[str, LineRanks]
    curves: dict[str, dict[str, RankCurve]]
    known: dict[str, RankFigures]
    differences: tuple[RankDifference, ...]
    min_cases: int

    def __repr__(self) -> str:
        return booked_rank_text(self)

    @property
    def insufficient(self) -> str | None:
        """Why the headline says little; None where its lines know `min_cases` of its cases in common.

        The headline is the lines of the last click before the first click on the booked item.
        """
        known = self.n_known_by_all
        if known >= self.min_cases:
            return None
        before = int(self.cases.before.sum())
        return (
            f"insufficient data: {before:,} of {len(self.cases):,} cases lie before the first click on the"
            f" booked listing, {known:,} of them with a booked listing and a last click that every scorer"
            f" knows; it takes {self.min_cases:,}"
        )

    @property
    def n_known_by_all(self) -> int:
        """Cases before the first click whose booked item and last click every scorer knows."""
        common = self.cases.before.copy()
        for line in self.lines.values():
            if line.known is not None:
                common &= line.known
        return int(common.sum())

    def difference(self, a: str, b: str, curve: Literal["before", "all"] = "before") -> RankDifference:
        """Return the paired difference of two lines, in the order of :attr:`differences`.

        Raises
        ------
        UsageError
            If there is none.
        """
        for one in self.differences:
            if (one.a, one.b, one.curve) == (a, b, curve):
                return one
        raise UsageError(
            f"no difference {a!r} - {b!r} of the curve {curve!r}: the lines are"
            f" {', '.join(map(repr, self.lines))}, each minus a later one; curves are 'before' and 'all'"
        )

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN and for what has too few cases."""
        cases = self.cases
        every = self._cases_json(np.ones(len(cases), bool))
        return {
            "candidates": cases.candidates,
            **every,
            "before": self._cases_json(cases.before),
            "all": every,
            "n_known_by_all": self.n_known_by_all,
            "min_cases": self.min_cases,
            "excluded": dict(cases.excluded),
            "lines": {name: self._line_json(name) for name in self.lines},
            "differences": [one.to_json() for one in self.differences],
            "insufficient": self.insufficient,
        }

    def _cases_json(self, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {
            "n_cases": int(mask.sum()),
            "n_sessions": len(np.unique(self.cases.session_nums[mask])),
            "mean_candidates": float(self.cases.n_candidates[mask].mean()) if mask.any() else None,
        }

    def _line_json(self, name: str) -> dict[str, Any]:
        line, before = self.lines[name], self.cases.before
        per_seed = {
            metric: values[:, before].mean(axis=1).tolist() if before.any() else [None] * len(values)
            for metric, values in metrics(line.ranks, self.cases).items()
        }
        return {
            **{curve: self.curves[name][curve].to_json() for curve in CURVES},
            "n_unseen_booked": line.n_unseen_booked,
            "n_unseen_queries": line.n_unseen_queries,
            "n_unseen_candidates": line.n_unseen_candidates,
            "n_empty_answers": line.n_empty_answers,
            "known": self.known[name].to_json() if name in self.known else None,
            "n_seeds": len(line.ranks),
            "seeds": per_seed,  # before the first click
        }


def metrics(ranks: npt.NDArray[np.float64], cases: BookedCases) -> dict[str, npt.NDArray[np.float64]]:
    """Return ranks as they are and normalised to 0 … 1."""
    return {"mean_rank": ranks, "normalised": (ranks - 1) / (cases.n_candidates - 1)}
