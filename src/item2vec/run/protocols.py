"""The twins and the baselines before the protocols of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError
from item2vec.run.build import Objects
from item2vec.run.long_term import long_term
from item2vec.run.twins import MODEL, equation_names, open_twins

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.evaluation import BookedRankResult, LongTermResult, NextItemResult, Scorer, Split
    from item2vec.evaluation.booked_ranks.searches import SearchLists
    from item2vec.recommendations import Recommender
    from item2vec.vocabulary import Vocabulary

Mode = Literal["similar", "next"]
VARIANTS = ("item2vec_similar", "hybrid")  # with the model in them, no baselines


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


def read_twins(config: RunConfig, inputs: Objects, name: str, mode: Mode) -> list[Scorer]:
    """Read the trainings of one name, one per seed."""
    return [Reading(twin, mode) for twin in open_twins(inputs["holdout"], name, config.scoring)]


@dataclass(frozen=True)
class Measured:
    """What the protocols found; a protocol that does not fit the sessions is left out."""

    next_item: NextItemResult
    booked_rank: Sequence[BookedRankResult] = ()
    long_term: LongTermResult | None = None


def run_protocols(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> Measured:
    """Score the twins and the baselines by every protocol that the sessions allow."""
    found = next_item(config, inputs, split, bars)
    booked = [] if split.test.kind == "booking" else booked_ranks(config, inputs, split, bars)
    return Measured(found, booked, long_term(config, inputs, split, both_readings(config, inputs), bars))


def next_item(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> NextItemResult:
    """Rank the next item by both readings of the model and by the baselines."""
    from item2vec.evaluation import evaluate_next_item, fit_baselines

    settings = config.evaluate
    return evaluate_next_item(
        {
            **both_readings(config, inputs),
            **hybrids(config, inputs, split),
            **fit_baselines(settings.baselines, split.train),
        },
        split.test,
        train=split.train,
        k=settings.k,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        first_targets=split.test_targets,
        max_sessions=settings.max_sessions,
        show_progress=bars,
    )


def hybrids(config: RunConfig, inputs: Objects, split: Split) -> dict[str, list[Scorer]]:
    """Blend each training of the model with session-kNN, if the run wants that and can learn how."""
    from item2vec.evaluation import Hybrid, SessionKNN

    if not config.evaluate.hybrid:
        return {}
    neighbours, found = SessionKNN().fit(split.train), []
    for twin in open_twins(inputs["holdout"], MODEL, config.scoring):
        try:
            blend = Hybrid(twin, neighbours).fit(
                split.validation, train=split.train, first_targets=split.validation_targets
            )
        except EmptyDataError:  # nothing to learn the blend from
            return {}
        found.append(blend)
    return {VARIANTS[1]: found}


def booked_ranks(config: RunConfig, inputs: Objects, split: Split, bars: bool) -> list[BookedRankResult]:
    """Rank what was booked in the end: among its search's impressions, and among its market's items.

    Each as far as the log has them. The equations are read as *similar*: the list is re-ranked by what was
    clicked; the model as *next* too, which knows what is popular.
    """
    from item2vec.evaluation import Popularity, booked_rank, search_lists
    from item2vec.events import Events

    test, settings = split.test, config.evaluate
    if not len(test.booked):
        return []
    names = equation_names(inputs["holdout"]) or {MODEL: MODEL}
    scorers: dict[str, Scorer | Sequence[Scorer]] = {
        line: read_twins(config, inputs, name, "similar") for line, name in names.items()
    }
    scorers[f"{MODEL}_next"] = read_twins(config, inputs, MODEL, "next")
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


def both_readings(config: RunConfig, inputs: Objects) -> dict[str, list[Scorer]]:
    """Read the model's twin both ways, with all its seeds."""
    return {
        MODEL: read_twins(config, inputs, MODEL, "next"),
        VARIANTS[0]: read_twins(config, inputs, MODEL, "similar"),
    }
