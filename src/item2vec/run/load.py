"""The door back in: from a run's folder to a recommender, verified first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from item2vec.artifacts import read_release

if TYPE_CHECKING:
    import pyarrow as pa

    from item2vec.artifacts import Release
    from item2vec.recommendations import Recommender

# How the objects of a run are laid out; the stages write these names, the loader reads them.
VECTORS = "vectors"
ITEMS = "items.parquet"


def load(path: str | Path, release: str | None = None) -> Recommender:
    """Load the current release of a run.

    Every file that is read is compared with its manifest first; the index is then mapped from its read-only
    file. Neither torch nor pandas, scikit-learn or numba is imported.

    Parameters
    ----------
    path : str or Path
        The run's folder, such as ``runs/demo``.
    release : str, optional
        Another release than the current one: its id, or the first digits of it.

    Returns
    -------
    Recommender
        Ready for :meth:`~item2vec.Recommender.similar_items` and :meth:`~item2vec.Recommender.recommend`.

    Raises
    ------
    UsageError
        If there is no such run or release.
    CorruptArtifactError
        If a file does not match its manifest; the message names it.
    """
    return load_recommender(read_release(path, release))


def load_recommender(release: Release) -> Recommender:
    """Verify and open the two objects of a release that answers come from."""
    return open_recommender(release.open("embeddings").path, release.open("index").path, verify=False)


def open_recommender(embeddings: Path, index: Path, *, verify: bool = True) -> Recommender:
    """Put a recommender together from two objects.

    Parameters
    ----------
    embeddings, index : Path
        The objects' folders.
    verify : bool
        Hash the files of the indexes. Switch it off only where the objects' manifests were just checked,
        which hashes the same files; sizes, shapes and the structure of the trees are checked in any case.
    """
    from item2vec.embeddings import ItemVectors
    from item2vec.index import ItemIndex
    from item2vec.recommendations import Recommender

    vectors = ItemVectors.load(embeddings / VECTORS)
    folders = [folder for folder in sorted(index.iterdir()) if folder.is_dir()]
    indexes = {folder.name: ItemIndex.load(folder, verify=verify) for folder in folders}
    return Recommender(vectors, items=read_items(index), index=indexes)


def read_items(folder: Path) -> pa.Table:
    """Read the item attributes of an object (through a path that does not import pandas)."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / ITEMS, page_checksum_verification=True) as file:
        return file.read()
