"""The twins and the baselines before the protocols of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from item2vec.run.build import Objects, open_sessions
from item2vec.run.twins import MODEL, equation_names, open_twins

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.evaluation import BookedRankResult, LongTermResult, NextItemResult, Scorer, Split
    from item2vec.evaluation.booked_ranks.searches import SearchLists
    from item2vec.recommendations import Recommender
    from item2vec.vocabulary import Vocabulary

Mode = Literal["similar", "next"]
VARIANTS = ("item2vec_similar",)  # another reading of the model, no baseline


@dataclass(frozen=True)
class Reading:
    """A recommender read one way, as the evaluation wants it."""

    recommender: Recommender
    mode: Mode

    @property
    def vocabulary(self) -> Vocabulary:
        """The items it was trained on."""
        return self.recommender.vocabulary

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Score all items after each history, shape (len(histories), n_items), float32."""
        return self.recommender.scores(histories, mode=self.mode)


def read_twins(inputs: Objects, name: str, mode: Mode) -> list[Scorer]:
    """Read the trainings of one name, one per seed."""
    return [Reading(twin, mode) for twin in open_twins(inputs["holdout"], name)]


@dataclass(frozen=True)
class Measured:
    """What the protocols found; a protocol that does not fit the sessions is left out."""

    next_item: NextItemResult
    booked_rank: Sequence[BookedRankResult] = ()
    long_term: LongTermResult | None = None


def run_protocols(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> Measured:
    """Score the twins and the baselines by every protocol that the sessions allow."""
    found = next_item(config, inputs, split, bars)
    if split.test.kind == "booking":
        return Measured(found, long_term=long_term(config, inputs, split, bars))
    return Measured(found, booked_rank=booked_ranks(config, inputs, split, bars))


def next_item(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> NextItemResult:
    """Rank the next item by both readings of the model and by the baselines."""
    from item2vec.evaluation import evaluate_next_item, fit_baselines

    settings = config.evaluate
    return evaluate_next_item(
        {**both_readings(inputs), **fit_baselines(settings.baselines, split.train)},
        split.test,
        train=split.train,
        k=settings.k,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        first_targets=split.test_targets,
        max_sessions=settings.max_sessions,
        show_progress=bars,
    )


def booked_ranks(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> list[BookedRankResult]:
    """Rank what was booked in the end: among its search's impressions, and among its market's items.

    Each as far as the log has them. The readings are *similar*: the list is re-ranked by what was clicked.
    """
    from item2vec.evaluation import Popularity, booked_rank, search_lists
    from item2vec.events import Events

    test, settings = split.test, config.evaluate
    if not len(test.booked):
        return []
    names = equation_names(inputs["holdout"]) or {MODEL: MODEL}
    scorers: dict[str, Scorer | Sequence[Scorer]] = {
        line: read_twins(inputs, name, "similar") for line, name in names.items()
    }
    scorers["popularity"] = Popularity().fit(split.train)
    candidates: list[SearchLists | None] = []
    if "impression" in inputs["events"].figures["by_type"]:
        log = Events.open(inputs["events"].path)
        candidates.append(search_lists(log, test, memory_limit=config.sessions.memory_limit))
    if (test.markets >= 0).any():
        candidates.append(None)  # the market's
    return [
        booked_rank(
            scorers,
            test,
            searches=searches,
            train=split.train,
            n_bootstrap=settings.n_bootstrap,
            seed=settings.seed,
            show_progress=bars,
        )
        for searches in candidates
    ]


def long_term(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> LongTermResult:
    """Rank the next booked listing and its type in the true market."""
    from item2vec.evaluation import evaluate_long_term, fit_long_term_baselines

    settings = config.evaluate
    return evaluate_long_term(
        {**both_readings(inputs), **fit_long_term_baselines(split.train)},
        split.test,
        open_sessions(inputs).items,
        train=split.train,
        first_targets=split.test_targets,
        k=settings.k,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        show_progress=bars,
    )


def both_readings(inputs: Objects) -> dict[str, list[Scorer]]:
    """Read the model's twin both ways, with all its seeds."""
    return {MODEL: read_twins(inputs, MODEL, "next"), VARIANTS[0]: read_twins(inputs, MODEL, "similar")}
