"""The nightly tables of a run: similar items of every item, recommendations of every user who clicked."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts import StageKey
from item2vec.errors import UsageError
from item2vec.run.build import Builder, Objects, open_sessions
from item2vec.run.load import open_recommender

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.recommendations import BatchSummary, Recommender

logger = logging.getLogger(__name__)

SIMILAR_ITEMS, USERS = "similar_items", "users"
"""Folders of the two tables in the stage's object."""


def inputs(config: RunConfig) -> tuple[str, ...]:
    """Name the stages that the tables are made from."""
    return ("embeddings", "index") if config.recommend.users is None else ("sessions", "embeddings", "index")


def recommendations(config: RunConfig, bars: bool, checkpoints: Path, version: int) -> Builder:
    """Write the tables, going on where a killed run stopped.

    The parts grow in a folder of `checkpoints` that is named like the object they are for, so that those of
    two jobs never mix; the object gets them when all are there.
    """

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        recommender = open_recommender(inputs["embeddings"].path, inputs["index"].path)
        read_from = {name: stored.reference for name, stored in inputs.items()}
        key = StageKey("recommendations", version, config.stage_config("recommend"), read_from)
        figures: dict[str, Any] = {}
        for name in (SIMILAR_ITEMS, USERS) if "sessions" in inputs else (SIMILAR_ITEMS,):
            parts = checkpoints / key.id / name
            summary = _resumed(name, config, recommender, inputs, parts, bars)
            _share_files(parts, out_dir / name)
            figures |= _figures(name, summary)
        return figures

    return build


def _figures(name: str, summary: BatchSummary) -> dict[str, int]:
    if name == SIMILAR_ITEMS:
        return {
            "rows": summary.n_rows,
            "items": summary.n_items,
            "short_lists": summary.n_short,
            "empty_lists": summary.n_empty,
        }
    return {"users": summary.n_items, "user_rows": summary.n_rows, "users_without_list": summary.n_empty}


def _resumed(
    name: str, config: RunConfig, recommender: Recommender, inputs: Objects, parts: Path, bars: bool
) -> BatchSummary:
    """Write the missing parts of a table, all of them where those that are there do not fit."""
    try:
        summary = _write(name, config, recommender, inputs, parts, bars)
    except UsageError:  # a part is not what its folder says; or a setting is wrong, then it says so again
        if not parts.exists():
            raise
        shutil.rmtree(parts)
        summary = _write(name, config, recommender, inputs, parts, bars)
    if summary.n_skipped:
        kept = f"{summary.n_skipped} of {summary.n_parts} parts"
        logger.info("%s: %s were there from an earlier try", name.replace("_", " "), kept)
    return summary


def _write(
    name: str, config: RunConfig, recommender: Recommender, inputs: Objects, parts: Path, bars: bool
) -> BatchSummary:
    from item2vec.recommendations import write_recommendations, write_similar_items

    settings = config.recommend.model_dump(exclude={"users"})
    if name == SIMILAR_ITEMS:
        return write_similar_items(recommender, parts, **settings, show_progress=bars)
    assert config.recommend.users is not None
    shared = {key: settings[key] for key in ("partition_rows", "exact_up_to", "engine")}
    settings = {**shared, **config.recommend.users.model_dump()}
    return write_recommendations(recommender, open_sessions(inputs), parts, **settings, show_progress=bars)


def _share_files(source: Path, target: Path) -> None:
    """Give the files of a folder a second name in a new one: the first stays until the object is whole."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        try:
            os.link(path, target / path.name)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, target / path.name)
