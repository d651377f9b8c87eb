"""The twins that are measured: trained like the model, only on the sessions that end before the first cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from item2vec.artifacts import StoredObject
from item2vec.errors import EmptyDataError
from item2vec.run.build import train
from item2vec.run.load import VECTORS

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.recommendations import HistoryScoring, Recommender
    from item2vec.sessions import Sessions

MODEL = "item2vec"
TWINS = "twins"  # figure of the stage: name → folders of its trainings, one per seed
LEFT_OUT = "equations_left_out"  # figure of the stage: sentences


@dataclass(frozen=True)
class Method:
    """One way to train: the model's own, or an equation of the paper."""

    name: str
    bookings: bool
    market_negative: int

    @property
    def is_what(self) -> tuple[bool, int]:
        """What distinguishes two methods of one run."""
        return self.bookings, self.market_negative


def equations(settings: Mapping[str, Any], sessions: Sessions) -> tuple[list[Method], list[str]]:
    """List the paper's equations that these sessions can train, and say why others are left out.

    Eq. 3 knows windows and noise, eq. 4 the booked items too, eq. 5 also noise from the market: as many draws
    as the model has, or as it has of the other noise if it has none.

    Parameters
    ----------
    settings : mapping
        The keys of ``[train]``.
    sessions : Sessions
        What would be trained on.
    """
    if not len(sessions.booked):
        return [], ["eq. 3, 4 and 5 are not told apart: no training session has a booked item."]
    found = [Method("eq. 3", False, 0), Method("eq. 4", True, 0)]
    if not _has_market(settings, sessions):
        return found, ["eq. 5 is left out: no item has a market to draw noise from."]
    return [*found, Method("eq. 5", True, settings["market_negative"] or settings["negative"])], []


def train_twins(
    config: RunConfig, sessions: Sessions, out_dir: Path, bars: bool, checkpoints: Path
) -> dict[str, Any]:
    """Train the model's twin, and what else ``[evaluate]`` asks for, each with its seeds.

    Returns
    -------
    dict
        The figures of the first training, the number of trainings, their folders by name (an equation that is
        the model itself has the model's), and what was left out.
    """
    own = Method(MODEL, bool(len(sessions.booked)), config.train["market_negative"])
    if own.market_negative and not _has_market(config.train, sessions):
        raise EmptyDataError(
            f"market_negative is {own.market_negative}, and no item has a market; move the cuts, give the"
            " items a market or set market_negative=0"
        )
    others, left_out = equations(config.train, sessions) if config.evaluate.equations else ([], [])
    folders: dict[str, list[str]] = {}
    figures: list[Mapping[str, Any]] = []
    for method in (own, *others):
        if method is not own and method.is_what == own.is_what:
            folders[method.name] = folders[MODEL]
            continue
        chosen = sessions if method.bookings else without_bookings(sessions)
        try:
            for seed, folder in _trainings(config, method):
                settings = {**config.train, "market_negative": method.market_negative, "seed": seed}
                (out_dir / folder).mkdir(parents=True, exist_ok=True)
                figures.append(
                    train(settings, chosen, out_dir / folder, bars, checkpoints / folder / "state")
                )
                folders.setdefault(method.name, []).append(folder)
        except EmptyDataError as error:  # all pairs may come from bookings, of which eq. 3 knows nothing
            if method is own:
                raise
            left_out = [*left_out, f"{method.name} is left out: {error}."]
    found = {**figures[0], "trainings": len(figures), TWINS: folders}
    return {**found, LEFT_OUT: left_out} if left_out else found


def open_twins(holdout: StoredObject, name: str, scoring: HistoryScoring) -> list[Recommender]:
    """Open the trainings of one name, one per seed."""
    from item2vec.embeddings import ItemVectors
    from item2vec.recommendations import Recommender

    folders = holdout.figures[TWINS][name]
    return [
        Recommender(ItemVectors.load(holdout.path / folder / VECTORS), scoring=scoring) for folder in folders
    ]


def equation_names(holdout: StoredObject) -> dict[str, str]:
    """Return what each equation is called in the report → its name among the twins.

    The one that is the model itself says so. Empty if the run did not ask for equations.
    """
    twins = holdout.figures[TWINS]
    return {
        f"{MODEL} ({name})" if folders == twins[MODEL] else name: name
        for name, folders in twins.items()
        if name != MODEL
    }


def without_bookings(sessions: Sessions) -> Sessions:
    """Return the same clicks with nothing booked."""
    return replace(
        sessions,
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(len(sessions) + 1, np.int64),
        booked_us=None,
    )


def _has_market(settings: Mapping[str, Any], sessions: Sessions) -> bool:
    """Say whether an item that will have a vector has a market."""
    counts = np.bincount(sessions.tokens, minlength=sessions.n_items)
    return bool((sessions.markets[counts >= settings.get("min_count", 1)] >= 0).any())


def _trainings(config: RunConfig, method: Method) -> Iterator[tuple[int, str]]:
    """Yield seed and folder of each training; the first of the model lies where a single one would."""
    first = config.train["seed"]
    name = method.name.replace(". ", "_")
    for seed in range(first, first + config.evaluate.seeds):
        yield seed, "." if (method.name, seed) == (MODEL, first) else f"{name}/seed_{seed}"
