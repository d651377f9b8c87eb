"""Where a training starts: each item at its own row, or where an earlier training left it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.initial_rows import initial_rows
from item2vec.embeddings.norms import LARGEST_NORM, longest_row
from item2vec.errors import UsageError
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from item2vec.embeddings.item_vectors import ItemVectors


def starting_tables(
    vocabulary: Vocabulary, vector_size: int, seed: int, init_vectors: ItemVectors | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the input and output rows training starts from, each (n_items, vector_size) float32.

    Output rows start at 0; `init_vectors` goes before both where it knows an item.

    Raises
    ------
    UsageError
        If `init_vectors` has another vector size or another id type, or vectors so long that training from
        them could only diverge.
    """
    inputs = initial_rows(vocabulary.ids, vector_size, seed)
    outputs = np.zeros_like(inputs)
    if init_vectors is None:
        return inputs, outputs
    theirs, ours = init_vectors.vocabulary.id_type, vocabulary.id_type
    if init_vectors.vector_size != vector_size or theirs != ours:
        raise UsageError(
            f"init_vectors have {init_vectors.vector_size} numbers per {theirs} id; this training has"
            f" vector_size={vector_size} and {ours} ids"
        )
    given = (init_vectors.vectors, init_vectors.context_vectors)
    longest = max(longest_row(table) for table in given if table is not None)
    if longest > LARGEST_NORM:
        raise UsageError(
            f"the longest of the init_vectors is {longest:.3g} long, and beyond {LARGEST_NORM:,.0f} training"
            " only diverges; scale them down (trained vectors are shorter than 10)"
        )
    rows = init_vectors.vocabulary.nums(vocabulary.ids)
    inputs[rows >= 0] = init_vectors.vectors[rows[rows >= 0]]
    if init_vectors.context_vectors is not None:
        outputs[rows >= 0] = init_vectors.context_vectors[rows[rows >= 0]]
    return inputs, outputs
