"""Settings of the offline evaluation."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    """Evaluate a random sample of the test sessions."""
    baselines: tuple[Literal["popularity", "market_popularity", "item_knn", "item_knn_decay"], ...] = (
        "popularity",
        "item_knn",
    )
    """Baselines evaluated beside the model."""
    price_bands: tuple[float, ...] | Literal["quintiles"] = (30.0, 60.0, 90.0, 120.0)
    """Upper limits of the price bands of the probe, or the quintiles of each market's prices."""
    embedding_map: Literal["auto", "pca", "tsne"] = "auto"
    """Projection of the embedding map: "auto" is t-SNE up to 1,000 items and PCA above."""
    seed: int = Field(default=1, ge=0)
    """Seed of resamples, samples and the map."""

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave sessions for training")
        return self

    def split_options(self) -> dict[str, Any]:
        """Return the keywords of :func:`item2vec.evaluation.split_sessions`."""
        names = ("validation", "test", "validation_from", "test_from")
        return {name: getattr(self, name) for name in names}
