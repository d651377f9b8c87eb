"""Next-item ranks of two releases, case by case: what both were asked, and who answered better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.bootstrap import Interval, bootstrap_means, interval
from item2vec.evaluation.cuts import iso_time
from item2vec.evaluation.metrics import ndcg_at, recall_at, reciprocal_rank_at

if TYPE_CHECKING:
    import pyarrow as pa

RANKS = "next_item_ranks.parquet"
METRICS = {"recall": recall_at, "mrr": reciprocal_rank_at, "ndcg": ndcg_at}
_CASE = ("session_id", "user_id", "start_us", "position", "target")


@dataclass(frozen=True)
class PairedFigures:
    """One scorer in both releases, on the same cases: metric → figure; ``difference`` is B − A, in points."""

    a: Mapping[str, Interval]
    b: Mapping[str, Interval]
    difference: Mapping[str, Interval]


@dataclass(frozen=True)
class PairedNextItem:
    """Next-item figures of two releases on their common cases.

    Attributes
    ----------
    k : int or None
        Length of the lists: the shorter one of the two.
    n_common, n_only_a, n_only_b : int
        Test cases of both, of A alone and of B alone.
    n_sessions : int
        Sessions of the common cases, which are resampled.
    scorers : mapping of str to PairedFigures
        Every scorer that both releases have, in the order of A.
    seeds : mapping of str to (int, int)
        Trainings behind each scorer, in A and in B.
    insufficient : str or None
        Why there is nothing to compare.
    """

    k: int | None = None
    n_common: int = 0
    n_only_a: int = 0
    n_only_b: int = 0
    n_sessions: int = 0
    scorers: Mapping[str, PairedFigures] = field(default_factory=dict)
    seeds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    insufficient: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for one without a case."""
        return {
            "k": self.k,
            "n_common": self.n_common,
            "n_only_a": self.n_only_a,
            "n_only_b": self.n_only_b,
            "n_sessions": self.n_sessions,
            "scorers": {
                name: {
                    side: {metric: found.to_json() for metric, found in getattr(figures, side).items()}
                    for side in ("a", "b", "difference")
                }
                for name, figures in self.scorers.items()
            },
            "seeds": {name: dict(zip("ab", both, strict=True)) for name, both in self.seeds.items()},
            "insufficient": self.insufficient,
        }


def pair_ranks(
    a: pa.Table, b: pa.Table, k: int, *, same_sessions: bool, n_bootstrap: int = 1000, seed: int = 1
) -> PairedNextItem:
    """Compare two tables of ranks on the cases that both were asked.

    A case is a prefix of a session and the item that follows it. A session is recognised by its user and its
    start, the prefix by its length and by the items asked for before it: the case counts as common only if
    every earlier case of the session is common too, from where both tables know it. Where a user has two
    sessions of one start, neither is recognised in another log.

    Parameters
    ----------
    a, b : pyarrow.Table
        ``NextItemResult.ranks_table``: ``session_id, user_id, start_us, position, target`` and, per scorer, a
        list of ranks, one per seed, ``inf`` for a miss.
    k : int
        Length of the lists.
    same_sessions : bool
        Both tables come from the same stored sessions, whose ``session_id`` then says which is which where
        there are no users or times.
    n_bootstrap, seed : int
        Resamples of the common sessions, and the seed of their draws.
    """
    if a["target"].type != b["target"].type:
        kinds = f"{a['target'].type} in A and {b['target'].type} in B"
        return PairedNextItem(insufficient=f"not comparable: the item ids are {kinds}")
    recognisable = all(table[name].null_count == 0 for table in (a, b) for name in ("user_id", "start_us"))
    if not recognisable and not same_sessions:
        return PairedNextItem(
            insufficient="not comparable: sessions without users and times are not recognised in another log"
        )
    session = ["user_id", "start_us"] if recognisable else []
    rows = _common_cases(a, b, [*session, "session_id"] if same_sessions else session)
    only_a, only_b = len(a) - len(rows), len(b) - len(rows)
    if not len(rows):
        words = f"no test case is in both (A {_span(a)}, B {_span(b)})"
        return PairedNextItem(k, 0, only_a, only_b, insufficient=f"not comparable: {words}")
    clusters = a["session_id"].to_numpy()[rows[:, 0]]
    names = [name for name in a.column_names if name in b.column_names and name not in _CASE]
    values, seeds = {}, {}
    for name in names:
        ranks = [_ranks(table, name)[rows[:, side]] for side, table in enumerate((a, b))]
        seeds[name] = ranks[0].shape[1], ranks[1].shape[1]
        for metric, measure in METRICS.items():
            for side, found in zip("ab", ranks, strict=True):
                per_case = measure(found.ravel(), k).reshape(found.shape).mean(axis=1)
                values[name, metric, side] = 100.0 * per_case
    means = bootstrap_means(values, clusters, n_bootstrap, seed)
    scorers = {name: _figures(means, name) for name in names}
    n_sessions = len(np.unique(clusters))
    return PairedNextItem(k, len(rows), only_a, only_b, n_sessions, scorers, seeds)


def _figures(means: Mapping[Any, Any], name: str) -> PairedFigures:
    sides = {side: {metric: interval(*means[name, metric, side]) for metric in METRICS} for side in "ab"}
    difference = {}
    for metric in METRICS:
        (value_a, resamples_a), (value_b, resamples_b) = (means[name, metric, side] for side in "ab")
        difference[metric] = interval(value_b - value_a, resamples_b - resamples_a)
    return PairedFigures(sides["a"], sides["b"], difference)


def _ranks(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return a scorer's ranks, shape (n_cases, n_seeds)."""
    column = table[name].combine_chunks()
    ranks: npt.NDArray[np.float64] = column.flatten().to_numpy(zero_copy_only=False)
    return ranks.reshape(len(table), column.type.list_size)


def _common_cases(a: pa.Table, b: pa.Table, session: list[str]) -> npt.NDArray[np.int64]:
    """Return the rows of the common cases in both tables, shape (n, 2), in the order of A."""
    import pyarrow as pa

    keys = [*session, "position", "target"]
    columns = [*dict.fromkeys(("session_id", *keys))]
    sides = []
    for table, row in ((a, "row_a"), (b, "row_b")):
        numbered = table.select(columns).append_column(row, pa.array(np.arange(len(table))))
        sides.append(_told_apart(numbered, session).select([*keys, row]))
    joined = sides[0].join(sides[1], keys=keys, join_type="inner").sort_by("row_a")
    rows = np.column_stack([joined["row_a"].to_numpy(), joined["row_b"].to_numpy()])
    positions = a["position"].to_numpy()[rows[:, 0]].astype(np.int64)
    sessions = a["session_id"].to_numpy()[rows[:, 0]]
    first = np.maximum(_first_positions(a)[rows[:, 0]], _first_positions(b)[rows[:, 1]])
    order = np.lexsort((positions, sessions))
    _, starts, sizes = np.unique(sessions[order], return_index=True, return_counts=True)
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - np.repeat(starts, sizes)
    found: npt.NDArray[np.int64] = rows[positions - place == first]
    return found


def _told_apart(table: pa.Table, session: list[str]) -> pa.Table:
    """Keep the sessions that are the only ones of their key."""
    import pyarrow.compute as pc

    found = table.group_by(session).aggregate([("session_id", "count_distinct")])
    alone = found.filter(pc.equal(found["session_id_count_distinct"], 1)).select(session)
    return table.join(alone, keys=session, join_type="left semi")


def _first_positions(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return for each case the position of its session's first case."""
    _, session_nums = np.unique(table["session_id"].to_numpy(), return_inverse=True)
    positions = table["position"].to_numpy().astype(np.int64)
    first = np.full(session_nums.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, session_nums, positions)
    return first[session_nums]


def _span(table: pa.Table) -> str:
    """Say how many cases a table has, and when their sessions start."""
    import pyarrow.compute as pc

    if not len(table):
        return "has none"
    if table["start_us"].null_count == len(table):
        return f"has {len(table):,}"
    found = pc.min_max(table["start_us"]).as_py()
    days = [str(iso_time(found[end]))[:10] for end in ("min", "max")]
    return f"has {len(table):,}, of sessions that start {days[0]} … {days[1]}"
