"""What ties an index to its vocabulary: a digest of the ids and their ascending order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from item2vec.arrow import arrow_values

if TYPE_CHECKING:
    from item2vec.vocabulary import Vocabulary


def ids_digest(vocabulary: Vocabulary) -> str:
    """Return the sha256 of a vocabulary's ids in their order."""
    ids = vocabulary.ids
    digest = hashlib.sha256(f"{vocabulary.id_type} {len(ids)} ".encode())
    if vocabulary.id_type == "int64":
        digest.update(arrow_values(ids, np.int64).data)
    else:
        offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1]
        digest.update(np.ascontiguousarray(offsets - offsets[0]).data)
        digest.update(memoryview(ids.buffers()[2])[offsets[0] : offsets[-1]])
    return digest.hexdigest()


def id_ranks(vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
    """Return each item's place among the ids in ascending order (strings by their UTF-8 bytes), int32
    (n,)."""
    ranks = pc.rank(vocabulary.ids, sort_keys="ascending", tiebreaker="first")
    return (arrow_values(ranks, np.uint64) - 1).astype(np.int32)
