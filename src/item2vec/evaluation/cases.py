"""Test cases of the next-item protocol: every prefix of every session and the item that follows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UsageError
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class PrefixCases:
    """Prefixes of sessions, each with the click that follows it.

    Attributes
    ----------
    session_nums : ndarray of int64, shape (n_cases,)
        Which session of the test set a case comes from.
    positions : ndarray of int64, shape (n_cases,)
        Length of the prefix, at least 1.
    starts : ndarray of int64, shape (n_cases,)
        Where the prefix starts in the session's tokens; the target is at ``starts + positions``.
    n_sessions : int
        Sessions with at least one case.
    n_without_case : int
        Sessions without one (a single click, or no click after the cut).
    n_not_sampled : int
        Sessions left out by `max_sessions`.
    """

    session_nums: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    n_sessions: int
    n_without_case: int
    n_not_sampled: int

    def __len__(self) -> int:
        return len(self.positions)


def prefix_cases(
    test: Sessions,
    first_targets: npt.NDArray[np.int64] | None = None,
    max_sessions: int | None = None,
    seed: int = 1,
) -> PrefixCases:
    """List every prefix of every session.

    Parameters
    ----------
    test : Sessions
        Sessions of the held-out period.
    first_targets : ndarray of int64, shape (n_sessions,), optional
        Position of the first click of each session that may be a target (booking sequences reach back before
        the cut); 1 by default.
    max_sessions : int, optional
        Evaluate a random sample of the sessions.
    seed : int
        Seed of that sample.

    Returns
    -------
    PrefixCases
    """
    lengths = np.diff(test.offsets)
    first = np.ones(len(lengths), np.int64) if first_targets is None else np.asarray(first_targets, np.int64)
    if len(first) != len(lengths):
        raise UsageError(f"{len(first)} first targets for {len(lengths)} sessions; give one per session")
    n_cases = np.maximum(lengths - np.maximum(first, 1), 0)
    with_case = np.flatnonzero(n_cases)
    chosen = with_case
    if max_sessions is not None and max_sessions < len(with_case):
        chosen = np.sort(np.random.default_rng(seed).choice(with_case, max_sessions, replace=False))
    times = n_cases[chosen]
    ends = np.cumsum(times)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - times, times)
    return PrefixCases(
        session_nums=np.repeat(chosen, times),
        positions=np.repeat(np.maximum(first[chosen], 1), times) + within,
        starts=np.repeat(test.offsets[:-1][chosen], times),
        n_sessions=len(chosen),
        n_without_case=len(lengths) - len(with_case),
        n_not_sampled=len(with_case) - len(chosen),
    )


class KnownPrefixes:
    """The cases in one scorer's item numbers: unknown items are removed from prefixes, −1 as targets."""

    def __init__(self, test: Sessions, cases: PrefixCases, vocabulary: Vocabulary) -> None:
        if test.item_ids.type != vocabulary.ids.type:
            raise DataError(
                f"the test sessions have {test.item_ids.type} item ids, the scorer {vocabulary.id_type} ids;"
                " read both with the same id_type"
            )
        nums = vocabulary.nums(test.item_ids)[test.tokens].astype(np.int32)
        known = nums >= 0
        before = np.concatenate([[0], np.cumsum(known)])
        self._known_nums = nums[known]
        self._starts = before[cases.starts]
        self._stops = before[cases.starts + cases.positions]
        self.targets: npt.NDArray[np.int32] = nums[cases.starts + cases.positions]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Known items per prefix, shape (n_cases,)."""
        lengths: npt.NDArray[np.int64] = self._stops - self._starts
        return lengths

    def batches(self, rows: int) -> Iterator[tuple[slice, list[npt.NDArray[np.int32]]]]:
        """Yield slices of cases with their histories, `rows` at a time."""
        for start in range(0, len(self.targets), rows):
            part = slice(start, min(start + rows, len(self.targets)))
            bounds = zip(self._starts[part].tolist(), self._stops[part].tolist(), strict=True)
            yield part, [self._known_nums[a:b] for a, b in bounds]
