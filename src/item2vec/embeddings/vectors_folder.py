"""A folder of item vectors: safetensors, Parquet and JSON; read without torch, numba or pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from item2vec.embeddings.repeats import RepeatRates
from item2vec.errors import CorruptArtifactError, DataError, RunError
from item2vec.vocabulary import Vocabulary

FORMAT = {"format": "item2vec.item_vectors", "version": 2}
NAMES = ("vectors.safetensors", "items.parquet", "config.json")
Tensors = dict[str, npt.NDArray[np.float32]]


def write(folder: Path, vocabulary: Vocabulary, tensors: Tensors, repeats: RepeatRates | None) -> None:
    """Write ``vectors.safetensors``, ``items.parquet`` and ``config.json``.

    Raises
    ------
    RunError
        If the vectors cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_file(tensors, folder / "vectors.safetensors")
    except SafetensorError as error:
        raise RunError(f"cannot write {folder / 'vectors.safetensors'}: {error}; free some space") from error
    pq.write_table(vocabulary.to_table(), folder / "items.parquet", write_page_checksum=True)
    n_items, vector_size = tensors["vectors"].shape
    shape = {"n_items": n_items, "vector_size": vector_size, "id_type": vocabulary.id_type}
    stated = None if repeats is None else repeats._asdict()
    body = json.dumps(FORMAT | shape | {"repeats": stated}, indent=1, sort_keys=True)
    (folder / "config.json").write_text(body + "\n", "utf-8")


def read(folder: Path) -> tuple[Vocabulary, Tensors, RepeatRates | None]:
    """Return what :func:`write` wrote.

    Raises
    ------
    CorruptArtifactError
        If a file is missing, damaged or does not agree with the others.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if {key: config.get(key) for key in FORMAT} != FORMAT:
            raise ValueError(f"config.json does not describe {FORMAT['format']} version {FORMAT['version']}")
        tensors = load_file(folder / "vectors.safetensors")
        with pq.ParquetFile(folder / "items.parquet", page_checksum_verification=True) as file:
            vocabulary = Vocabulary.from_table(file.read())
        found = (*tensors["vectors"].shape, len(vocabulary), vocabulary.id_type)
        wanted = (config["n_items"], config["vector_size"], config["n_items"], config["id_type"])
        if found != wanted:
            raise ValueError(f"config.json says {wanted}, the other files say {found}")
        repeats = None if config["repeats"] is None else RepeatRates(**config["repeats"])
    except (
        *(OSError, ValueError, KeyError, AttributeError, TypeError, DataError),
        *(SafetensorError, pa.ArrowException),
    ) as e:
        raise CorruptArtifactError(
            f"{folder} does not hold readable item vectors: {e}; train again or restore the folder"
        ) from e
    return vocabulary, tensors, repeats
