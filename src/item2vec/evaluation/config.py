"""Settings of the offline evaluation."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from item2vec.errors import Item2VecError

Share = Annotated[float, Field(ge=0, lt=1)]
Moment = int | datetime | date | str


class EvaluateConfig(BaseModel):
    """Keys of ``[evaluate]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    validation: Share = 0.1
    """Share of the sessions that start between the cuts T1 and T2."""
    test: Share = 0.1
    """Share of the sessions that start at T2 or later."""
    validation_from: Moment | None = None
    """T1 itself, instead of a share: a date, a time (UTC without a zone) or microseconds since 1970."""
    test_from: Moment | None = None
    """T2 itself, instead of a share."""
    k: Annotated[int, Field(ge=1, le=1000)] = 20
    """Length of the lists that Recall, MRR and coverage look at."""
    n_bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Resamples of sessions behind the 95 % intervals."""
    max_sessions: Annotated[int, Field(ge=1)] | None = None
    """Ask for the next item in a random sample of the test sessions; the other protocols take all."""
    seeds: Annotated[int, Field(ge=1, le=20)] = 1
    """Trainings of the measured twin (seeds train.seed, train.seed + 1, …); figures are their means."""
    equations: bool = False
    """Train and measure the paper's eq. 3 (bookings only weigh their sessions), eq. 4 (the booked listing as
    context) and eq. 5 (and negatives from the market) too, with the settings of [train] otherwise: what do
    bookings and markets bring?"""
    hybrid: bool = False
    """Measure the model blended with session-kNN too; the blend is learned on the validation sessions."""
    baselines: tuple[
        Literal[
            "popularity",
            "market_popularity",
            "item_knn",
            "item_knn_decay",
            "sequential_rules",
            "session_knn",
            "cooccurrence",
        ],
        ...,
    ] = ("popularity", "market_popularity", "item_knn", "sequential_rules", "session_knn")
    """Baselines evaluated beside the model; market_popularity is left out where no item has a market."""
    price_bands: tuple[float, ...] | Literal["quintiles"] = (30.0, 60.0, 90.0, 120.0)
    """Upper limits of the price bands of the probe, or the quintiles of each market's prices."""
    embedding_map: Literal["auto", "pca", "tsne"] = "auto"
    """Projection of the embedding map: "auto" is t-SNE up to 1,000 items and PCA above."""
    seed: int = Field(default=1, ge=0)
    """Seed of resamples, samples and the map."""

    @field_validator("validation_from", "test_from")
    @classmethod
    def _readable_moment(cls, moment: Moment | None) -> Moment | None:
        if moment is not None:
            _microseconds(moment)
        return moment

    @field_validator("price_bands")
    @classmethod
    def _ascending_bands(cls, bands: tuple[float, ...] | str) -> tuple[float, ...] | str:
        if isinstance(bands, str):
            return bands
        ascending = all(low < high for low, high in pairwise((0.0, *bands, inf)))  # NaN is not below either
        if not bands or not ascending:
            raise ValueError(f"{list(bands)}: give ascending upper limits above 0, such as [30, 60, 90, 120]")
        return bands

    @model_validator(mode="after")
    def _cuts_in_their_order(self) -> Self:
        t1, t2 = self.validation_from, self.test_from
        if t1 is None or t2 is None:
            return self
        if _microseconds(t1) > _microseconds(t2):
            raise ValueError(f"validation_from ({t1}) lies after test_from ({t2}); T1 must come first")
        if _microseconds(t1) == _microseconds(t2):
            raise ValueError(
                f"validation_from and test_from are the same time ({t1}), which leaves no validation session;"
                " for no validation give test_from alone, with validation = 0"
            )
        return self

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave sessions for training")
        return self

    def split_options(self) -> dict[str, Any]:
        """Return the keywords of :func:`item2vec.evaluation.split_sessions`."""
        names = ("validation", "test", "validation_from", "test_from")
        return {name: getattr(self, name) for name in names}


def _microseconds(moment: Moment) -> int:
    from item2vec.evaluation.cuts import iso_time, moment_us

    try:
        us = moment_us(moment)
        iso_time(us)
    except Item2VecError as error:
        raise ValueError(str(error)) from None
    return us
