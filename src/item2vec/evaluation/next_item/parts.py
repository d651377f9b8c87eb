"""Figures of some of the cases: a slice, a length of the prefix, the items that a scorer can reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from item2vec.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class SliceFigures:
    """Figures of some of the cases, in %.

    `n` of them from `n_sessions` sessions; the intervals are NaN where there is none.
    """

    n: int
    n_sessions: int
    recall: Interval
    mrr: Interval
    ndcg: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {
            "n": self.n,
            "n_sessions": self.n_sessions,
            **{name: getattr(self, name).to_json() for name in ("recall", "mrr", "ndcg")},
        }


@dataclass(frozen=True)
class PositionFigures:
    """Recall@k and MRR@k, in %, of the `n` prefixes of one length (or more), from `n_sessions` sessions."""

    position: int
    or_more: bool
    n: int
    n_sessions: int
    recall: Interval
    mrr: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        figures = {"recall": self.recall.to_json(), "mrr": self.mrr.to_json()}
        counts = {"n": self.n, "n_sessions": self.n_sessions}
        return {"position": self.position, "or_more": self.or_more, **counts, **figures}


@dataclass(frozen=True)
class Reachable:
    """Recall@k and MRR@k, in %, over the relevant items the scorer knows; `n` cases have one."""

    n: int
    recall: float
    mrr: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {"n": self.n, "recall": number_or_none(self.recall), "mrr": number_or_none(self.mrr)}


def number_or_none(value: float) -> float | None:
    """Return the number, None for NaN, which JSON does not know."""
    return None if np.isnan(value) else value
