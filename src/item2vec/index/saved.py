"""A saved index, opened: its tables mapped read-only and checked against its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from item2vec.errors import CorruptArtifactError, DataError
from item2vec.index import storage
from item2vec.index.backends import resolve_backend
from item2vec.index.exact import ExactIndex
from item2vec.index.search import Searcher
from item2vec.index.space import Space


def open_searcher(folder: Path, description: dict[str, Any]) -> Searcher:
    """Map the tables of an index and load its backend.

    Raises
    ------
    CorruptArtifactError
        If a file does not fit the description.
    """
    n_items, has_offsets = description["n_items"], description["popularity"] > 0
    shape = (n_items, description["vector_size"] + has_offsets)
    table = storage.map_array(folder / "vectors.npy", np.float32, shape)
    id_rank = storage.map_array(folder / "id_rank.npy", np.int32, (n_items,))
    if id_rank.min() < 0 or (np.bincount(id_rank, minlength=n_items) != 1).any():
        raise CorruptArtifactError(
            f"{folder / 'id_rank.npy'} is no order of {n_items} items; build the index again"
        )
    try:
        space = Space.from_table(description["mode"], table, has_offsets=has_offsets)
    except DataError as error:
        raise CorruptArtifactError(f"{folder / 'vectors.npy'} is damaged: {error}") from error
    backend = resolve_backend(description["backend"]).load(folder, space.points, description["settings"])
    return Searcher(space, id_rank, backend, ExactIndex(space.points))
