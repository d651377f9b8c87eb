"""Long-term interest in a run: types of users and listings, and how well the next booking is foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import EmptyDataError
from item2vec.run.build import Builder, Objects, open_sessions
from item2vec.run.load import TYPES
from item2vec.sessions.columns import token_array

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.embeddings.types import TypeEmbeddings, TypeMap
    from item2vec.evaluation import LongTermResult, Scorer, Split
    from item2vec.events import Events
    from item2vec.sessions import Sessions

ELSEWHERE_DAYS = 14.0


def types_settings(config: RunConfig) -> dict[str, Any]:
    """Return what enters the key of the types: the settings, and the rules that their file holds."""
    settings = config.stage_config("types")
    return {**settings, "map": rules_of(config).to_document()} if config.types.enabled else settings


def rules_of(config: RunConfig) -> TypeMap:
    """Read the rules from attributes to types."""
    from item2vec.embeddings.types import TypeMap

    return TypeMap.from_toml(config.types.map)


def types(config: RunConfig, bars: bool) -> Builder:
    """Learn the published types from all bookings of the log."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        from item2vec.events import Events

        log = Events.open(inputs["events"].path)
        found = _fitted(config, bookings_of(config, log, bars), log, None, bars)
        found.save(out_dir / TYPES)
        return {
            "types": len(found.vectors_.vocabulary),
            **{f"rare_{name}s": round(facts.share, 4) for name, facts in found.back_off_.items()},
            "rejections": found.n_rejections_,
        }

    return build


def bookings_of(config: RunConfig, log: Events, bars: bool = False) -> Sessions:
    """Cut a log into booking sequences, those of users with a single booking included."""
    from item2vec.sessions import sessionize

    engine = {name: getattr(config.sessions, name) for name in ("engine", "memory_limit")}
    return sessionize(log, kind="booking", min_length=1, show_progress=bars, **engine)


def _fitted(
    config: RunConfig, bookings: Sessions, log: Events, before_us: int | None, bars: bool, seed: int = 0
) -> TypeEmbeddings:
    """Learn types of some bookings, and of the refusals before a moment."""
    from item2vec.embeddings.types import TypeEmbeddings, rejections_of

    settings = config.types.model_dump(exclude={"enabled", "map", "rejections"})
    settings["seed"] += seed
    within = ELSEWHERE_DAYS if config.types.rejections == "booked_elsewhere" else None
    refused = None
    if config.types.rejections != "none":
        refused = rejections_of(log, before_us=before_us, booked_elsewhere_within_days=within)
    rules = None if config.types.map is None else rules_of(config)
    model = TypeEmbeddings(type_map=rules, workers=config.train["workers"], **settings)
    return model.fit(bookings, log.users, refused, show_progress=bars)


def long_term(
    config: RunConfig, inputs: Objects, split: Split, twins: Mapping[str, Sequence[Scorer]], bars: bool
) -> LongTermResult | None:
    """Rank the next booked listing and its type in the true market.

    The scorers are the twins, and with ``[types]`` those by types; of a run over clicks they are asked what
    will be booked, beside the same training on the bookings themselves. None for such a run without types.

    Parameters
    ----------
    config, inputs, bars
    split : Split
        Of the run's sessions; its cuts are those of the bookings.
    twins : mapping of str to sequence of Scorer
        The model's twin in both readings.
    """
    from item2vec.evaluation import check_no_leak, evaluate_long_term, fit_long_term_baselines
    from item2vec.events import Events

    settings, of_clicks = config.evaluate, split.test.kind == "click"
    if of_clicks and not config.types.enabled:
        return None
    log = Events.open(inputs["events"].path)
    asked = _bookings_split(config, log, split) if of_clicks else split
    if asked is None:
        return None
    train = _joined(asked.train, split.train) if of_clicks else asked.train
    of_bookings: dict[str, Any] = dict(fit_long_term_baselines(asked.train))
    of_types = _by_types(config, asked.train, log, asked.t1_us) if config.types.enabled else {}
    if of_clicks:
        of_bookings |= _trained_on_bookings(config, asked.train)
        # Below, what was fitted on bookings may have seen as much as clicks and bookings together.
        check_no_leak({**of_types, **of_bookings}, asked.train, asked.test, asked.test_targets)
    return evaluate_long_term(
        {**of_types, **twins, **of_bookings},
        asked.test,
        log.items if of_clicks else open_sessions(inputs).items,
        train=train,
        first_targets=asked.test_targets,
        k=settings.k,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        show_progress=bars,
    )


def _bookings_split(config: RunConfig, log: Events, split: Split) -> Split | None:
    """Cut the bookings where the clicks were cut; None where a side is empty."""
    from item2vec.evaluation import split_sessions

    try:
        bookings = bookings_of(config, log)
        return split_sessions(bookings, validation_from=split.t1_us, test_from=split.t2_us)
    except EmptyDataError:
        return None


def _by_types(config: RunConfig, train: Sessions, log: Events, before_us: int) -> dict[str, list[Scorer]]:
    """Learn types of the training bookings, with every seed, and score by them in two ways."""
    from item2vec.evaluation import Popularity
    from item2vec.recommendations import TypeInterest

    vocabulary = Popularity().fit(train).vocabulary
    fitted = [_fitted(config, train, log, before_us, False, seed) for seed in range(config.evaluate.seeds)]
    items = train.items if train.items is not None else pa.table({"item_id": train.item_ids})
    return {
        "types": [TypeInterest(one, vocabulary, items, log.users, by="lift") for one in fitted],
        "types_cosine": [TypeInterest(one, vocabulary, items, log.users, by="cosine") for one in fitted],
    }


def _trained_on_bookings(config: RunConfig, train: Sessions) -> dict[str, list[Scorer]]:
    """Train the run's own model on the bookings instead of the clicks, with every seed."""
    from item2vec.embeddings import Item2Vec
    from item2vec.recommendations import Recommender
    from item2vec.run.protocols import Reading

    chosen = {key: value for key, value in config.train.items() if key != "checkpoint_every"}
    found = []
    for seed in range(config.evaluate.seeds):
        try:
            model = Item2Vec(**{**chosen, "seed": chosen["seed"] + seed})
            vectors = model.fit(train, show_progress=False).item_vectors_
            found.append(Recommender(vectors, scoring=config.scoring))
        except EmptyDataError:  # nobody booked twice
            return {}
    return {
        "item2vec_of_bookings": [Reading(one, "next") for one in found],
        "item2vec_of_bookings_similar": [Reading(one, "similar") for one in found],
    }


def _joined(bookings: Sessions, clicks: Sessions) -> Sessions:
    """Return bookings and clicks as one training side: what scorers of either kind were fitted on."""
    ids = pc.unique(pa.chunked_array([bookings.item_ids, clicks.item_ids]))
    item_ids = ids.take(pc.sort_indices(ids))
    parts = [(one, token_array(one.item_ids, item_ids)) for one in (bookings, clicks)]
    n = sum(len(one) for one, _ in parts)
    offsets = [np.zeros(1, np.int64), bookings.offsets[1:], clicks.offsets[1:] + bookings.offsets[-1]]
    times = [one.ts_us for one, _ in parts]
    return replace(
        bookings,
        item_ids=item_ids,
        tokens=np.concatenate([numbers[one.tokens] for one, numbers in parts]),
        offsets=np.concatenate(offsets),
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(n + 1, np.int64),
        booked_us=None,
        weights=np.ones(n, np.float32),
        session_ids=np.arange(n, dtype=np.int64),
        user_ids=None,
        start_us=None,
        end_us=None,
        ts_us=None if any(one is None for one in times) else np.concatenate(times),  # type: ignore[arg-type]
        markets=np.full(len(item_ids), -1, np.int32),
        market_names=(),
        items=None,
    )
