"""What the cold-start report says, and how it is written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from item2vec.evaluation.bootstrap import Interval
from item2vec.evaluation.text_table import text_table


@dataclass(frozen=True)
class Side:
    """Agreement of some listings with their neighbours: ``n`` listings, by chance, and beyond it.

    `score` is ``(share − chance)/(1 − chance)``, over all listings; the interval is over listings.
    """

    share: float
    chance: float
    score: Interval
    n: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {**asdict(self), "score": self.score.to_json()}


@dataclass(frozen=True)
class Quality:
    """What cold vectors keep of what the warm listings' vectors know of one label.

    Attributes
    ----------
    warm, cold : Side
        Queries with trained vectors, and with cold ones; candidates are the trained listings in both.
    kept : Interval
        ``(cold − chance)/(warm − chance)``, each less its own chance and over what that leaves.
    """

    warm: Side
    cold: Side
    kept: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {"warm": self.warm.to_json(), "cold": self.cold.to_json(), "kept": self.kept.to_json()}


@dataclass(frozen=True)
class Targets:
    """Recall@k of the next click, in %, where it is on a cold listing and where it is on a trained one."""

    k: int
    cold: Interval
    n_cold: int
    warm: Interval
    n_warm: int
    chance: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {**asdict(self), "cold": self.cold.to_json(), "warm": self.warm.to_json()}


@dataclass(frozen=True)
class ColdStartReport:
    """Figures of :func:`~item2vec.evaluation.cold_start_report`.

    Attributes
    ----------
    n_warm, n_cold : int
        Listings with a trained vector, and held out.
    n_without_row : int
        Held out, and no row in the item table: they get no vector and are in no other figure.
    tiers : dict of str to int
        Held-out listings by the tier that answered.
    median_miles : float or None
        Of the farthest donors of the first tier.
    quality : dict of str to Quality
        By label; a label of which no cold or no warm listing has a value is missing.
    targets : dict of str to Targets
        By reading (``next`` where there are output vectors, ``similar``); empty without test sessions.
    exposure : float or None
        Share of cold listings among the k nearest of the trained ones, over their share of the catalogue. A
        mean lies nearer to everything than what it is the mean of: above 1, lists of similar listings show
        more of the cold ones than there are.
    insufficient : str or None
        Why a figure is missing or of little weight.
    """

    n_warm: int
    n_cold: int
    n_without_row: int
    tiers: dict[str, int]
    median_miles: float | None
    quality: dict[str, Quality]
    targets: dict[str, Targets]
    exposure: float | None
    insufficient: str | None = None

    @property
    def coverage(self) -> dict[str, float | None]:
        """Share of the held-out listings by tier, 0 … 1; None without a listing."""
        return {tier: n / self.n_cold if self.n_cold else None for tier, n in self.tiers.items()}

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""
        return {
            **asdict(self),
            "coverage": self.coverage,
            "quality": {name: one.to_json() for name, one in self.quality.items()},
            "targets": {mode: one.to_json() for mode, one in self.targets.items()},
        }

    def __str__(self) -> str:
        tiers = ", ".join(f"{tier} {n:,}" for tier, n in self.tiers.items())
        miles = (
            "" if self.median_miles is None else f"; farthest donor {self.median_miles:.2f} miles (median)"
        )
        title = f"Cold start: {self.n_cold:,} listings held out, {self.n_warm:,} trained: {tiers}{miles}"
        rows = [
            (name, f"{q.warm.share:.3f}", f"{q.cold.share:.3f}", f"{q.cold.chance:.3f}", q.kept, q.cold.n)
            for name, q in self.quality.items()
        ]
        text = text_table(title, ["neighbours of the same", "warm", "cold", "chance", "kept", "n"], rows)
        if self.exposure is not None:
            text += (
                f"\n  in lists of similar listings: {self.exposure:.2f} times their share of the catalogue"
            )
        for mode, one in self.targets.items():
            text += (
                f"\n  next click, read as {mode}, Recall@{one.k} %: on held-out listings {one.cold}"
                f" (n = {one.n_cold:,}), on trained ones {one.warm} (n = {one.n_warm:,}),"
                f" by chance {one.chance:.2f}"
            )
        return text if self.insufficient is None else f"{text}\n  {self.insufficient}"
