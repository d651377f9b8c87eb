"""The door back in: from a run's folder to a recommender, verified first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from item2vec.artifacts import cached_release, read_release
from item2vec.artifacts.object_store import SCHEME

if TYPE_CHECKING:
    import pyarrow as pa

    from item2vec.artifacts import Release
    from item2vec.recommendations import Recommender

# How the objects of a run are laid out; the stages write these names, the loader reads them.
VECTORS = "vectors"
ITEMS = "items.parquet"
NEIGHBOURS = "neighbours"
TYPES = "types"
SCORING = "scoring.json"
SERVED = ("embeddings", "index", "types")  # the stages that answers come from


def load(path: str | Path, release: str | None = None) -> Recommender:
    """Load the current release of a run.

    Every file that is read is compared with its manifest first; the index is then mapped from its read-only
    file. Neither torch nor pandas, scikit-learn or numba is imported.

    Parameters
    ----------
    path : str or Path
        The run's folder, such as ``runs/demo``, or where `item2vec push` put it: ``s3://bucket/prefix``. From
        there what answers need is copied into ``$ITEM2VEC_CACHE`` (by default ``~/.cache/item2vec``) and read
        from there the next time.
    release : str, optional
        Another release than the current one: its id, or the first digits of it.

    Returns
    -------
    Recommender
        Ready for :meth:`~item2vec.Recommender.similar_items` and :meth:`~item2vec.Recommender.recommend`.

    Raises
    ------
    UsageError
        If there is no such run, release or bucket, or the store refuses the credentials.
    CorruptArtifactError
        If a file does not match its manifest; the message names it.
    RunError
        If the store does not answer.
    """
    if isinstance(path, str) and path.startswith(SCHEME):
        return load_recommender(cached_release(path, release, SERVED))
    return load_recommender(read_release(path, release))


def load_recommender(release: Release) -> Recommender:
    """Verify and open the objects of a release that answers come from."""
    types = release.open("types").path if "types" in release.body["stages"] else None
    return open_recommender(release.open("embeddings").path, release.open("index").path, types, verify=False)


def open_recommender(
    embeddings: Path, index: Path, types: Path | None = None, *, verify: bool = True
) -> Recommender:
    """Put a recommender together from its objects.

    Parameters
    ----------
    embeddings, index, types : Path
        The objects' folders; types where the run has them.
    verify : bool
        Hash the files of the indexes. Switch it off only where the objects' manifests were just checked,
        which hashes the same files; sizes, shapes and the structure of the trees are checked in any case.
    """
    from item2vec.embeddings import ItemVectors
    from item2vec.index import ItemIndex
    from item2vec.recommendations import HistoryScoring, NeighbourTable, Recommender

    vectors = ItemVectors.load(embeddings / VECTORS)
    folders = {folder.name: folder for folder in sorted(index.iterdir()) if folder.is_dir()}
    table = folders.pop(NEIGHBOURS, None)
    indexes = {name: ItemIndex.load(folder, verify=verify) for name, folder in folders.items()}
    neighbours = None if table is None else NeighbourTable.load(table, verify=verify)
    of_types = None
    if types is not None:
        from item2vec.embeddings.types import TypeEmbeddings

        of_types = TypeEmbeddings.load(types / TYPES)
    scoring = HistoryScoring(**json.loads((index / SCORING).read_text("utf-8")))
    return Recommender(
        vectors,
        items=read_items(index),
        index=indexes,
        neighbours=neighbours,
        types=of_types,
        scoring=scoring,
    )


def read_items(folder: Path) -> pa.Table:
    """Read the item attributes of an object (through a path that does not import pandas)."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / ITEMS, page_checksum_verification=True) as file:
        return file.read()
