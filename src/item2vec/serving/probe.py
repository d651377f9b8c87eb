"""A release is asked before it is served: its indexes and tables against exact search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.errors import CorruptArtifactError
from item2vec.index.recall import RecallProbe

if TYPE_CHECKING:
    from item2vec.recommendations import Recommender

SAMPLE = 50
"""Items of one round: exact search holds all their scores at once."""
ROUNDS = 4
MARGIN = 0.1
"""How far recall on the sample may lie below what was measured at the build."""
TOLERANCE = 1e-5


def probe(rec: Recommender, rounds: int = ROUNDS) -> dict[str, float]:
    """Return recall@10 by reading, of a sample of the items.

    Parameters
    ----------
    rec : Recommender
    rounds : int
        Of :data:`SAMPLE` items each; none asks the table only, and leaves the trees of an index on disk.

    Raises
    ------
    CorruptArtifactError
        If an index finds less than it did when it was built, or a table holds other neighbours.
    """
    found = {}
    for mode, index in rec.indexes.items() if rounds else ():
        vectors = np.asarray(rec.vectors.vectors)
        probes = (RecallProbe(index, vectors, sample=SAMPLE, seed=seed) for seed in range(rounds))
        recall = float(np.mean([one.recall(index) for one in probes]))
        if recall < index.recall - MARGIN:
            raise CorruptArtifactError(
                f"the {mode} index finds {recall:.3f} of the true neighbours, {index.recall:.3f} when it was"
                " built; run `item2vec run` again"
            )
        found[mode] = recall
    _probe_table(rec)
    return found


def _probe_table(rec: Recommender) -> None:
    table = rec.neighbours
    if table is None:
        return
    drawn = np.random.default_rng(1).choice(len(table), min(SAMPLE, len(table)), replace=False)
    nums: npt.NDArray[np.int32] = np.sort(drawn).astype(np.int32)
    k = min(10, table.width)
    kept = table.rows(nums, k)
    queries = np.asarray(rec.vectors.vectors)[nums]
    truth = rec.index(table.mode).search(queries, k + 1, exact=True)
    others = np.where(truth.item_nums == nums[:, None], -np.inf, truth.scores)
    best = -np.sort(-others, axis=1)[:, :k]
    if kept is None or np.mean(kept.scores >= best - TOLERANCE) < 1 - MARGIN:
        raise CorruptArtifactError(
            f"the table of neighbours ({table.mode}) is not what exact search finds; run `item2vec run` again"
        )
