"""How a search measures; what it searches is the space."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class TuneConfig(BaseModel):
    """How the settings of a search are measured and compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    metric: Literal["recall", "mrr"] = "recall"
    """What is to be as high as can be, at `k`."""
    k: Annotated[int, Field(ge=1, le=1000)] = 20
    """Length of the lists."""
    max_sessions: Count | None = None
    """Train on a random sample of about this many sessions, whole users where users are known; all by
    default."""
    validation_sessions: Count = 1500
    """Validation sessions that every training is scored on, the same for all; the best are then ranked on all
    validation sessions."""
    pruning_sessions: Count = 400
    """Of these, as many as a training is scored on while it runs, and ways to score are told apart by."""
    scorings: Count = 6
    """Ways to score that are tried with every training's vectors; three times as many with the first."""
    finalists: Count = 3
    """Trainings that are ranked on all validation sessions in the end, beside the settings the search started
    from."""
    n_bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Resamples of sessions behind the 95 % intervals of the end."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the proposals and of the samples; trainings have their own (``train.seed``)."""
