"""What is searched, on what, from where: checked once, and told apart from every other search."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_numbers
from item2vec.artifacts.manifest import canonical_json, digest
from item2vec.embeddings import Item2Vec
from item2vec.embeddings.hyperparameters import check_hyperparameters
from item2vec.errors import ConfigError, EmptyDataError
from item2vec.evaluation.arguments import check_sessions
from item2vec.sessions import Sessions
from item2vec.settings import nearest
from item2vec.tuning.config import TuneConfig
from item2vec.tuning.scoring import SCORING, checked_scoring, told_scoring
from item2vec.tuning.space import DEFAULT_SPACE, Choice, Range, Space
from item2vec.tuning.space_file import NOT_SEARCHED, dotted, space_of

SEARCH = 1  # raise it when the same search finds other settings: an old study is then refused


@dataclass(frozen=True, eq=False)
class Problem:
    """A search that could start.

    Attributes
    ----------
    train, validation : Sessions
        What is trained on (a sample, if one was asked for) and what is scored.
    first_targets : ndarray of int64, optional
    base : dict
        Every setting, by its dotted name: where the search starts.
    space : Space
        What is searched, wide enough to hold the base.
    config : TuneConfig
    share : float
        Of the training sessions, as far as they are trained on.
    """

    train: Sessions
    validation: Sessions
    first_targets: npt.NDArray[np.int64] | None
    base: dict[str, Any]
    space: Space
    config: TuneConfig
    share: float

    @cached_property
    def parts(self) -> dict[str, str]:
        """What makes this search another one than others, with a digest of each part."""
        base = {name: one for name, one in self.base.items() if name.split(".")[1] not in NOT_SEARCHED[:3]}
        space = {name: str(one) for name, one in self.space.items()}
        targets = None if self.first_targets is None else np.asarray(self.first_targets).tolist()
        told = {"settings": base, "space": space, "config": self.config.model_dump(), "version": SEARCH}
        return {
            **{name: digest(canonical_json(one)) for name, one in told.items()},
            "training sessions": _digest_of(self.train),
            "validation sessions": digest((_digest_of(self.validation) + repr(targets)).encode()),
        }

    def train_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keywords of :class:`~item2vec.Item2Vec` for some settings, on these sessions.

        An item has fewer clicks in a sample of the sessions, so `min_count` falls with its share.
        """
        chosen = section(settings, "train")
        return {**chosen, "min_count": max(1, round(chosen["min_count"] * self.share))}

    def complete(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings where some are proposed; the learning rate never rises."""
        settings = {**self.base, **found}
        settings["train.min_alpha"] = min(settings["train.min_alpha"], settings["train.alpha"])
        return settings


def section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of one section, without its name."""
    return {key.split(".", 1)[1]: one for key, one in settings.items() if key.startswith(f"{name}.")}


def pose(
    train: Sessions,
    validation: Sessions,
    base: Mapping[str, Any] | None,
    space: Mapping[str, Any] | None,
    first_targets: npt.NDArray[np.int64] | None,
    config: TuneConfig,
) -> Problem:
    """Check everything before the first training.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of its range.
    EmptyDataError
        If there is nothing to train on or to score.
    """
    check_sessions("the training sessions", train)
    check_sessions("the validation sessions", validation)
    if not len(train) or not len(validation):
        raise EmptyDataError(
            f"there are {len(train):,} training and {len(validation):,} validation sessions; a search needs"
            " both, such as those of split_sessions(sessions, validation=0.1)"
        )
    settings = _base_settings(base or {}, train)
    sample, share = _sample(train, config.max_sessions, config.seed)
    searched = dict(DEFAULT_SPACE if space is None else space_of(space))
    if not _can_use_markets(settings, sample):
        searched.pop("train.market_negative", None)  # it would change nothing
    wide: dict[str, Range | Choice] = {}
    for name, one in searched.items():
        fixed = isinstance(one, Choice) and len(one.values) == 1
        try:
            wide[name] = one if fixed else one.including(settings[name])
        except ConfigError as error:
            raise ConfigError(f"{name}: the search starts from {error}") from error
    return Problem(sample, validation, first_targets, settings, wide, config, share)


def _base_settings(base: Mapping[str, Any], train: Sessions) -> dict[str, Any]:
    """Complete the settings to start from with the defaults, and check them."""
    given = {dotted(name): one for name, one in base.items()}
    known = {f"train.{name}": one for name, one in Item2Vec().get_params().items()}
    known |= {f"scoring.{name}": one for name, one in SCORING.items()}
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"base: unknown setting {unknown[0]!r}{nearest(unknown[0], list(known))}")
    settings = known | given
    check_hyperparameters(section(settings, "train"))
    told = told_scoring(checked_scoring(section(settings, "scoring")), train)
    return {**settings, **{f"scoring.{name}": one for name, one in told.items()}}


def _can_use_markets(settings: Mapping[str, Any], train: Sessions) -> bool:
    return settings["train.sg"] == 1 and bool((train.markets[np.unique(train.tokens)] >= 0).any())


def _sample(train: Sessions, n: int | None, seed: int) -> tuple[Sessions, float]:
    """Take a random sample of the users (of the sessions where users are unknown), and its share."""
    if n is None or n >= len(train):
        return train, 1.0
    generator = np.random.default_rng(seed)
    if train.user_ids is None:
        chosen = np.sort(generator.choice(len(train), n, replace=False))
    else:
        users = np.asarray(pc.dictionary_encode(train.user_ids).indices)
        sizes = np.bincount(users)
        order = generator.permutation(len(sizes))
        enough = int(np.searchsorted(np.cumsum(sizes[order]), n)) + 1
        chosen = np.flatnonzero(np.isin(users, order[:enough]))
    return train.take(chosen), len(chosen) / len(train)


def _digest_of(sessions: Sessions) -> str:
    """Digest what training and scoring see: not the items of other sessions that share the list of items."""
    seen = np.zeros(sessions.n_items, bool)
    seen[sessions.tokens] = True
    seen[sessions.booked] = True
    numbers = np.cumsum(seen) - 1
    ids = sessions.item_ids.take(arrow_numbers(np.flatnonzero(seen)))
    names = np.array([*sessions.market_names, ""], object)[sessions.markets[seen]]
    made = hashlib.sha256(digest(canonical_json(names.tolist())).encode())
    made.update(digest(canonical_json(ids.cast(pa.string()).to_pylist())).encode())
    made.update(str(ids.type).encode())
    columns = (
        numbers[sessions.tokens].astype(np.int32),
        sessions.offsets,
        numbers[sessions.booked].astype(np.int32),
        sessions.booked_offsets,
        sessions.weights,
    )
    for column in columns:
        made.update(np.ascontiguousarray(column).data)
    return made.hexdigest()
