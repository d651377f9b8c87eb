"""What each stage does with its inputs: open them, call the public names, save, report figures."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts import StageKey, StoredObject
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
from item2vec.run.load import ITEMS, VECTORS, open_recommender

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.events import Events, EventsConfig
    from item2vec.recommendations import BatchSummary, Recommender
    from item2vec.sessions import Sessions

logger = logging.getLogger(__name__)

Objects = Mapping[str, StoredObject]
Builder = Callable[[Objects, Path], Mapping[str, Any]]

HISTORY = "history.json"
SIMILAR_ITEMS = "similar_items"


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


def index(config: RunConfig) -> Builder:
    """Index the vectors, one index per reading, with the item attributes beside them."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        from item2vec.embeddings import ItemVectors
        from item2vec.index import ItemIndex

        vectors = ItemVectors.load(inputs["embeddings"].path / VECTORS)
        settings = config.index.model_dump()
        figures = {}
        for mode in settings.pop("modes"):
            made = ItemIndex.build(vectors, mode=mode, **settings)
            made.save(out_dir / mode)
            figures[f"recall@10_{mode}"] = made.recall
        shutil.copyfile(inputs["sessions"].path / ITEMS, out_dir / ITEMS)
        return figures

    return build


def recommendations(config: RunConfig, bars: bool, checkpoints: Path, version: int) -> Builder:
    """Write the table of similar items, going on where a killed run stopped.

    The parts grow in a folder of `checkpoints` that is named like the object they are for, so that those of
    two jobs never mix; the object gets them when all are there.
    """

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        recommender = open_recommender(inputs["embeddings"].path, inputs["index"].path)
        read_from = {name: stored.reference for name, stored in inputs.items()}
        key = StageKey("recommendations", version, config.stage_config("recommend"), read_from)
        parts = checkpoints / key.id
        try:
            summary = _write_parts(config, recommender, parts, bars)
        except UsageError:  # a part is not what its folder says; or a setting is wrong, then it says so again
            if not parts.exists():
                raise
            shutil.rmtree(parts)
            summary = _write_parts(config, recommender, parts, bars)
        if summary.n_skipped:
            kept = f"{summary.n_skipped} of {summary.n_parts} parts"
            logger.info("similar items: %s were there from an earlier try", kept)
        _share_files(parts, out_dir / SIMILAR_ITEMS)
        return {
            "rows": summary.n_rows,
            "items": summary.n_items,
            "short_lists": summary.n_short,
            "empty_lists": summary.n_empty,
        }

    return build


def _write_parts(config: RunConfig, recommender: Recommender, parts: Path, bars: bool) -> BatchSummary:
    from item2vec.recommendations import write_similar_items

    return write_similar_items(recommender, parts, **config.recommend.model_dump(), show_progress=bars)


def _share_files(source: Path, target: Path) -> None:
    """Give the files of a folder a second name in a new one: the first stays until the object is whole."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        try:
            os.link(path, target / path.name)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, target / path.name)
