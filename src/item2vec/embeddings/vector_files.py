"""The tables of trained vectors, and every kind of file they are written to and read from."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from item2vec.embeddings import (
    vectors_folder,
    vectors_npy,
    vectors_parquet,
    vectors_projector,
    word2vec_format,
)
from item2vec.embeddings.repeats import RepeatRates
from item2vec.errors import CorruptArtifactError, DataError, RunError, UsageError
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

Rows = npt.NDArray[np.float32]


class VectorFiles:
    """What :class:`~item2vec.ItemVectors` holds, checked, and its files; see there for the parameters."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        vectors: Rows,
        context_vectors: Rows | None = None,
        repeats: RepeatRates | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.repeats = repeats
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self.context_vectors = context_vectors
        if context_vectors is not None:
            self.context_vectors = np.ascontiguousarray(context_vectors, np.float32)
        if self.vectors.ndim != 2 or len(self.vectors) != len(vocabulary) or self.vectors.shape[1] == 0:
            raise DataError(
                f"{len(vocabulary):,} items need as many rows; the vectors are {self.vectors.shape}"
            )
        for name, rows in (("vectors", self.vectors), ("context_vectors", self.context_vectors)):
            if rows is None:
                continue
            if rows.shape != self.vectors.shape:
                raise DataError(f"{name} are {rows.shape}, the vectors {self.vectors.shape}; they must agree")
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                item_id = vocabulary.item_ids(bad[:1])[0]
                raise DataError(f"{len(bad):,} rows of {name} are not finite (first: item {item_id!r})")

    def _tensors(self) -> dict[str, Rows]:
        tensors = {"vectors": self.vectors}
        if self.context_vectors is not None:
            tensors["context_vectors"] = self.context_vectors
        return tensors

    def save(self, path: str | Path) -> None:
        """Write ``vectors.safetensors``, ``items.parquet`` and ``config.json`` into a folder.

        Raises
        ------
        UsageError, RunError
            If `path` is a file or cannot be written.
        """
        folder = _folder(path, vectors_folder.NAMES)
        try:
            vectors_folder.write(folder, self.vocabulary, self._tensors(), self.repeats)
        except OSError as error:
            raise _refused(folder, error) from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; needs neither torch nor numba nor pandas.

        Raises
        ------
        CorruptArtifactError
            If a file is missing, damaged or does not agree with the others.
        """
        vocabulary, tensors, repeats = vectors_folder.read(Path(path))
        try:
            return cls(vocabulary, tensors["vectors"], tensors.get("context_vectors"), repeats)
        except DataError as e:
            raise CorruptArtifactError(f"{path} holds unusable item vectors: {e}; train again") from e

    def save_word2vec_format(
        self, path: str | Path, fvocab: str | Path | None = None, binary: bool = False
    ) -> None:
        """Write the input vectors as word2vec text or binary, which gensim and most tools read.

        With `fvocab`, ``id count`` lines are written there; the vector file itself holds no counts.

        Raises
        ------
        DataError
            If an id is empty, holds white space or, with `binary`, is too long: the format cannot express it.
        UsageError, RunError
            If `path` is a folder or cannot be written.
        """
        with new_file(path) as file:
            word2vec_format.write(file, self.vocabulary, self.vectors, binary)
        if fvocab is not None:
            with new_file(fvocab) as file:
                word2vec_format.write_counts(file, self.vocabulary)

    @classmethod
    def load_word2vec_format(
        cls,
        path: str | Path,
        fvocab: str | Path | None = None,
        binary: bool = False,
        id_type: str = "string",
    ) -> Self:
        """Read word2vec text or binary, written by anyone.

        `id_type` is "string" or "int64"; without `fvocab` every count is 0.

        Raises
        ------
        SourceError
            If a file is missing, cut short or not in the format; one of the other form is told so.
        """
        return cls(*word2vec_format.read(path, fvocab, binary, id_type))

    def save_parquet(self, path: str | Path) -> None:
        """Write one Parquet file, a row per item in item-number order.

        Its columns are ``item_id`` (string or int64), ``count`` (int64), ``vector`` and, where kept,
        ``context_vector`` (fixed-size lists of `vector_size` float32).

        Raises
        ------
        UsageError, RunError
            If `path` is a folder or cannot be written.
        """
        with new_file(path) as file:
            vectors_parquet.write(file, self.vocabulary, self._tensors())

    @classmethod
    def load_parquet(cls, path: str | Path) -> Self:
        """Read such a Parquet file, written by anyone.

        ``count`` (then 0) and ``context_vector`` may be missing; lists may be of any Arrow kind, and of
        float64, which is rounded to float32.

        Raises
        ------
        SourceError
            If the file is missing or damaged, or a column is missing, of another type, null or ragged.
        """
        return cls(*vectors_parquet.read(Path(path)))

    def save_npy(self, path: str | Path) -> None:
        """Write ``ids.npy``, ``counts.npy``, ``vectors.npy`` and ``context_vectors.npy`` into a folder.

        Row i of each belongs to the same item; ids are int64 or numpy's fixed-width text, nothing is pickled.

        Raises
        ------
        DataError
            If an id ends in a NUL, which numpy's text drops, or one long id would blow up ``ids.npy``.
        UsageError, RunError
            If `path` is a file or cannot be written.
        """
        with new_files(path, vectors_npy.NAMES) as folder:
            vectors_npy.write(folder, self.vocabulary, self._tensors())

    @classmethod
    def load_npy(cls, path: str | Path) -> Self:
        """Read such a folder, written by anyone; counts (then 0) and context vectors may be missing.

        Raises
        ------
        SourceError
            If a file is missing or damaged, or holds another shape or type.
        """
        return cls(*vectors_npy.read(Path(path)))

    def save_projector(
        self, path: str | Path, items: pa.Table | None = None, attributes: str | Sequence[str] = ()
    ) -> None:
        """Write ``vectors.tsv`` and ``metadata.tsv`` into a folder, for TensorBoard's embedding projector.

        Open both with "Load" on projector.tensorflow.org, or in TensorBoard. The metadata have a header, the
        columns ``item_id`` and ``count``, and the chosen attributes; tabs and line breaks become spaces.

        Parameters
        ----------
        path : path
        items : pyarrow.Table, optional
            Item attributes with a column ``item_id``; items without a row get empty cells.
        attributes : str or sequence of str
            Columns of `items`, in this order.

        Raises
        ------
        UsageError, RunError
            If `items` are no Arrow table or without an attribute, `path` is a file or cannot be written.
        """
        with new_files(path, vectors_projector.NAMES) as folder:
            names = [attributes] if isinstance(attributes, str) else attributes
            vectors_projector.write(folder, self.vocabulary, self.vectors, items, names)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Give a place to write to; only when all is written does it take the name `path`.

    A pipe or a device, such as /dev/stdout, is written to as it is, and a link stays one.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; this format is one file: name it, as in {path / 'vectors'}")
    target = path.resolve()
    scratch = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        os.replace(scratch, target)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):
            scratch.unlink()


@contextmanager
def new_files(folder: str | Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder to write some of `names` into; those of an earlier export that are not written go.

    The last of `names` is the first to go and the last to come: a folder without it is no finished export.
    """
    folder = _folder(folder, names)
    is_new, scratch = not folder.exists(), None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder))
        yield scratch
        for name in reversed(names):
            (folder / name).unlink(missing_ok=True)
        for path in sorted(scratch.iterdir(), key=lambda path: names.index(path.name)):
            os.replace(path, folder / path.name)
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty: all went well
                folder.rmdir()


def _folder(path: str | Path, names: Sequence[str]) -> Path:
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; this format is a folder of {', '.join(names)}: name a folder")
    return folder


def _refused(path: Path, error: OSError) -> RunError:
    files = (parent for parent in path.parents if os.path.lexists(parent) and not os.path.isdir(parent))
    parent = next(files, None)
    reason = f"{parent} is a file, not a folder" if parent else error.strerror or error
    return RunError(
        f"cannot write {path}: {reason}; choose another place, or check its permissions and free space"
    )
