"""What :func:`~item2vec.evaluation.long_term.protocol.evaluate_long_term` found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.bootstrap import Interval
from item2vec.evaluation.text_table import text_table


@dataclass(frozen=True)
class TypeSupport:
    """How much stands behind one type.

    Attributes
    ----------
    type : str
    n_listings : int
        Listings of this type that at least one scorer ranks.
    n_targets : int
        Cases that count for types (see ``LongTermResult.n_typed``) whose booked listing is of this type.
    """

    type: str
    n_listings: int
    n_targets: int


@dataclass(frozen=True)
class SliceFigures:
    """Figures over some of the cases; `n_typed` of them count for types.

    They belong to `n_users` and to `n_typed_users` users.
    """

    n: int
    n_typed: int
    n_users: int
    n_typed_users: int
    recall: Interval
    mrr: Interval
    type_accuracy: Interval

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""
        names = ("n", "n_typed", "n_users", "n_typed_users")
        return {
            **{name: getattr(self, name) for name in names},
            **_intervals(self, ("recall", "mrr", "type_accuracy")),
        }


@dataclass(frozen=True, eq=False)
class LongTermFigures:
    """What one scorer reached.

    Attributes
    ----------
    recall, mrr, ndcg : Interval
        Of the booked listing among the first k listings of its market, in %, 95 % intervals over users.
    type_accuracy : Interval
        Share of the cases, in %, whose booked type alone stands first among the types of the market.
    type_mrr : Interval
        Mean of 1 / rank of the booked type, in %, uncut.
    slices : dict of str to dict of str to SliceFigures
        By cut and part: ``history`` (``"0"``, ``"1"`` and ``"2+"`` stays before the target), ``market`` (of
        the booked listing), ``repeat`` (``"repeat"``: the guest had booked that listing before; ``"new"``).
    ranks, type_ranks : ndarray of float64, shape (n_seeds, n_cases)
        ``inf`` where the target was not in the answer.
    n_unseen_targets, n_unseen_histories, n_empty_answers : int
        Cases whose listing the scorer does not know, with stays but none it knows, and without any score
        in the market. A miss each, except that a scorer may answer without a history, and may know the
        type of a listing that it does not know.
    n_backed_off : int or None
        Cases that a scorer by types answered without one; None for scorers that say nothing about it.
    n_seeds : int
    """

    recall: Interval
    mrr: Interval
    ndcg: Interval
    type_accuracy: Interval
    type_mrr: Interval
    slices: dict[str, dict[str, SliceFigures]]
    ranks: npt.NDArray[np.float64]
    type_ranks: npt.NDArray[np.float64]
    n_unseen_targets: int
    n_unseen_histories: int
    n_empty_answers: int
    n_backed_off: int | None
    n_seeds: int

    @property
    def by_history(self) -> dict[str, SliceFigures]:
        """The figures by the number of earlier stays."""
        return self.slices["history"]

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN."""
        n_cases = self.ranks.shape[1]
        share = (self.n_backed_off or 0) / n_cases if n_cases else None
        return {
            **_intervals(self, ("recall", "mrr", "ndcg", "type_accuracy", "type_mrr")),
            **{
                f"by_{cut}": {part: figures.to_json() for part, figures in parts.items()}
                for cut, parts in self.slices.items()
            },
            "n_unseen_targets": self.n_unseen_targets,
            "n_unseen_histories": self.n_unseen_histories,
            "n_empty_answers": self.n_empty_answers,
            "back_off": None if self.n_backed_off is None else {"n": self.n_backed_off, "share": share},
            "n_seeds": self.n_seeds,
        }


@dataclass(frozen=True)
class LongTermDifference:
    """Paired differences ``a − b`` in points, over the same resamples of users.

    Attributes
    ----------
    a, b : str
    recall, mrr, type_accuracy : Interval
    slices : dict of str to dict of str to dict of str to Interval
        The same three in every slice of :attr:`LongTermFigures.slices`: a model that has no answer without a
        history is compared where it has one.
    """

    a: str
    b: str
    recall: Interval
    mrr: Interval
    type_accuracy: Interval
    slices: dict[str, dict[str, dict[str, Interval]]]

    @property
    def by_history(self) -> dict[str, dict[str, Interval]]:
        """The differences by the number of earlier stays."""
        return self.slices["history"]

    def to_json(self) -> dict[str, Any]:
        """Return the names and the intervals."""
        by_cut = {
            f"by_{cut}": {
                part: {metric: figure.to_json() for metric, figure in figures.items()}
                for part, figures in parts.items()
            }
            for cut, parts in self.slices.items()
        }
        overall = _intervals(self, ("recall", "mrr", "type_accuracy"))
        return {"a": self.a, "b": self.b, **overall, **by_cut}


@dataclass(frozen=True, eq=False)
class LongTermResult:
    """Figures of :func:`~item2vec.evaluation.long_term.protocol.evaluate_long_term`.

    Attributes
    ----------
    k : int
        Length of a list of listings.
    attribute : str
        The attribute whose values are the types.
    n_cases, n_users : int
        Stays that were targets, and the users they belong to.
    n_typed, n_typed_users : int
        The cases that count for the figures about types, and their users.
    excluded : dict of str to int
        Stays that are no case: ``market_unknown`` and ``fewer_than_two_candidates`` (in the whole market);
        cases that count for listings only: ``type_unknown`` and ``fewer_than_two_types`` (in the market).
    mean_candidates : float
        Mean over the cases of the listings in the market that at least one scorer ranks.
    chance_recall : float
        Recall@k in % of lists drawn at random from the market's listings that at least one scorer ranks.
    support : tuple of TypeSupport
        Most frequent type first.
    scorers : dict of str to LongTermFigures
        In the order given.
    differences : tuple of LongTermDifference
        Every pair of scorers, earlier minus later.
    insufficient : str or None
        Why there is no case.
    """

    k: int
    attribute: str
    n_cases: int
    n_users: int
    n_typed: int
    n_typed_users: int
    excluded: dict[str, int]
    mean_candidates: float
    chance_recall: float
    support: tuple[TypeSupport, ...]
    scorers: dict[str, LongTermFigures]
    differences: tuple[LongTermDifference, ...]
    insufficient: str | None = None

    def __repr__(self) -> str:
        title = (
            f"Long term, {self.attribute}: {self.n_cases:,} stays of {self.n_users:,} users;"
            " % with 95 % intervals over users"
        )
        columns = ["scorer", f"Recall@{self.k}", f"MRR@{self.k}", "type accuracy"]
        rows = [(name, one.recall, one.mrr, one.type_accuracy) for name, one in self.scorers.items()]
        table = text_table(title, columns, rows)
        about = self.insufficient or f"{self.attribute} is a snapshot: as of the item table, not of each stay"
        return f"{table}\n  {about}"

    def slice_table(self, cut: str) -> str:
        """Write Recall@k of every scorer in every part of a cut: ``history``, ``market`` or ``repeat``."""
        parts = next(iter(self.scorers.values())).slices[cut]
        heads = [f"{part} ({figures.n:,})" for part, figures in parts.items()]
        rows = [
            (name, *(one.recall for one in found.slices[cut].values()))
            for name, found in self.scorers.items()
        ]
        return text_table(f"Recall@{self.k} by {cut} (stays)", ["scorer", *heads], rows)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN."""
        return {
            "k": self.k,
            "attribute": self.attribute,
            "static": [self.attribute],
            "n_cases": self.n_cases,
            "n_users": self.n_users,
            "n_typed": self.n_typed,
            "n_typed_users": self.n_typed_users,
            "excluded": dict(self.excluded),
            "mean_candidates": None if np.isnan(self.mean_candidates) else self.mean_candidates,
            "chance_recall": None if np.isnan(self.chance_recall) else self.chance_recall,
            "support": [asdict(one) for one in self.support],
            "scorers": {name: figures.to_json() for name, figures in self.scorers.items()},
            "differences": [difference.to_json() for difference in self.differences],
            "insufficient": self.insufficient,
        }


def _intervals(figures: Any, names: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    return {name: getattr(figures, name).to_json() for name in names}
