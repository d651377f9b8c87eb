"""What each stage does with its inputs: open them, call the public names, save, report figures."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts import StoredObject
from item2vec.artifacts.durable import remove_tree
from item2vec.artifacts.manifest import canonical_json, digest
from item2vec.errors import (
    ConfigError,
    CorruptArtifactError,
    EmptyDataError,
    QuarantineError,
    UsageError,
)
from item2vec.run.last_day import last_day
from item2vec.run.load import ITEMS, NEIGHBOURS, SCORING, VECTORS

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.events import Events, EventsConfig
    from item2vec.sessions import Sessions

Objects = Mapping[str, StoredObject]
Builder = Callable[[Objects, Path], Mapping[str, Any]]

HISTORY = "history.json"


def simulated_log(config: RunConfig, bars: bool) -> Builder:
    """Simulate the log of the run."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        from item2vec.marketplace import simulate

        simulate(out_dir, config.simulate, show_progress=bars)
        sizes = ("n_users", "n_listings", "n_markets", "days", "seed")
        return {name: getattr(config.simulate, name) for name in sizes}

    return build


def source_files(config: RunConfig) -> list[Path]:
    """List the raw files that the run reads."""
    from item2vec.events.read import source_files as files_of

    return files_of(config.events)


def events_settings(config: RunConfig) -> dict[str, Any]:
    """Return what enters the key of the events: the settings, and the importer's mapping if one is named."""
    settings = config.stage_config("events")
    if config.events.importer is None:
        return settings
    from item2vec.events.importers import load_importer

    mapping = asdict(load_importer(config.events.importer))
    return {**settings, "importer_mapping": digest(canonical_json(mapping))}


def events(config: RunConfig, bars: bool, kept_quarantine: Path) -> Builder:
    """Read the log; if too much of it is refused, keep the refused rows where they can be looked at."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        from item2vec.events import read_events
        from item2vec.events.files import find_source

        settings = config.events
        if "simulate" in inputs:
            settings = settings.model_copy(update=_simulated_paths(inputs["simulate"].path, settings))
        remove_tree(kept_quarantine)  # of an earlier try
        keep = False
        try:
            found = read_events(config=settings, out=out_dir, quarantine=kept_quarantine, show_progress=bars)
        except (QuarantineError, EmptyDataError):  # which name the folder
            keep = True
            raise
        finally:
            if not keep:
                remove_tree(kept_quarantine)
        account = found.reconciliation
        by_day = {
            day: find_source(paths, settings.format).paths for day, paths in settings.partitions.items()
        }
        last = last_day(found.files, by_day, found.path / "quarantine" / "events.parquet")
        return {
            "events": len(found),
            "rows_in": account.rows_in,
            "quarantined": account.n_quarantined,
            "duplicate": account.duplicate,
            "ignored": account.n_ignored,
            "by_type": account.events,
            **({} if last is None else {"last_day": last}),
            **_attribute_figures(found),
        }

    return build


def _attribute_figures(found: Events) -> dict[str, int]:
    """Count the rows of the attribute tables, and what of them was refused or could not be read."""
    figures: Counter[str] = Counter()
    for name, table in (("items", found.items), ("users", found.users)):
        if table is None:
            continue
        figures[name] = table.num_rows
        for what, n in found.reconciliation.attributes.get(name, {}).items():
            if what == "quarantined" and n:
                figures[f"refused_{name}"] = n
            elif what.startswith("unreadable "):
                figures[what.replace(" ", "_")] += n
    return dict(figures)


def _simulated_paths(folder: Path, settings: EventsConfig) -> dict[str, Any]:
    from item2vec.events import AttributesConfig

    attributes = {
        name: (getattr(settings, name) or AttributesConfig()).model_copy(
            update={"path": (str(folder / f"{name}.parquet"),)}
        )
        for name in ("items", "users")
    }
    return {"path": (str(folder / "events"),), **attributes}


def sessions(config: RunConfig, bars: bool) -> Builder:
    """Cut the events into sessions."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        import pyarrow.compute as pc

        from item2vec.events import Events
        from item2vec.sessions import sessionize

        log = Events.open(inputs["events"].path)
        found = sessionize(log, **config.sessions.model_dump(), out=out_dir, show_progress=bars)
        figures = {
            "sessions": len(found),
            "tokens": found.n_clicks,
            "items": found.n_items,
            "booked": len(found.booked),
            "markets": len(found.market_names),
        }
        if log.items is not None:
            known = pc.is_in(found.item_ids, value_set=log.items["item_id"])
            figures["items_with_attributes"] = int(pc.sum(known).as_py())
        return figures

    return build


def open_sessions(inputs: Objects) -> Sessions:
    """Open the sessions of the run."""
    from item2vec.sessions import Sessions

    return Sessions.load(inputs["sessions"].path)


def embeddings(config: RunConfig, bars: bool, checkpoints: Path) -> Builder:
    """Train the published model on all sessions."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        return train(config.train, open_sessions(inputs), out_dir, bars, checkpoints)

    return build


def train(
    settings: Mapping[str, Any], training: Sessions, out_dir: Path, bars: bool, checkpoints: Path
) -> Mapping[str, Any]:
    """Train a model, going on where a killed run stopped, and save its vectors and its history."""
    from item2vec.embeddings import Item2Vec

    chosen = dict(settings)
    every = chosen.pop("checkpoint_every")
    model = Item2Vec(**chosen)
    fit = partial(model.fit, training, checkpoint_dir=checkpoints, checkpoint_every=every, show_progress=bars)
    try:
        fit()
    except (UsageError, CorruptArtifactError) as error:  # left by other settings, or damaged: start afresh
        if isinstance(error, ConfigError) or not checkpoints.exists():
            raise
        shutil.rmtree(checkpoints)
        fit()
    model.item_vectors_.save(out_dir / VECTORS)
    # No clock in an object: the same training must write the same bytes.
    history = [{key: entry[key] for key in entry if key != "tokens_per_second"} for entry in model.history_]
    (out_dir / HISTORY).write_text(json.dumps(history, indent=1, sort_keys=True), "utf-8")
    last = history[-1]
    return {
        "items": len(model.item_vectors_.ids),
        "vector_size": settings["vector_size"],
        "epochs": len(history),
        "loss": last["loss"],
        "booked_unknown": model.n_booked_unknown_,
    }


def index(config: RunConfig, bars: bool) -> Builder:
    """Index the vectors, one index per reading, with the item attributes and neighbours found beforehand."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        from item2vec.embeddings import ItemVectors
        from item2vec.index import ItemIndex
        from item2vec.recommendations import NeighbourTable, Recommender

        vectors = ItemVectors.load(inputs["embeddings"].path / VECTORS)
        settings = config.index.model_dump()
        width, indexes = settings.pop("neighbours"), {}
        for mode in settings.pop("modes"):
            popularity = config.scoring.popularity
            indexes[mode] = ItemIndex.build(vectors, mode=mode, popularity=popularity, **settings)
            indexes[mode].save(out_dir / mode)
        if width:
            recommender = Recommender(vectors, index=indexes, scoring=config.scoring)
            found = NeighbourTable.build(recommender, width, config.index.modes[0], show_progress=bars)
            found.save(out_dir / NEIGHBOURS)
        shutil.copyfile(inputs["sessions"].path / ITEMS, out_dir / ITEMS)
        (out_dir / SCORING).write_text(json.dumps(asdict(config.scoring), indent=1) + "\n", "utf-8")
        return {f"recall@10_{mode}": made.recall for mode, made in indexes.items()}

    return build
