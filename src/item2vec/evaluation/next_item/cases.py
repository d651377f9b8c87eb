"""Test cases of the next-item protocol: every prefix of every session and what follows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UsageError
from item2vec.evaluation.arguments import check_scorers, whole_positions
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

Relevant = Literal["next", "rest"]


@dataclass(frozen=True, eq=False)
class PrefixCases:
    """Prefixes of sessions, each with its relevant items.

    Attributes
    ----------
    session_nums : ndarray of int64, shape (n_cases,)
        Which session of the test set a case comes from.
    positions : ndarray of int64, shape (n_cases,)
        Length of the prefix, at least 1.
    starts : ndarray of int64, shape (n_cases,)
        Where the prefix starts in the sessions' tokens; the click that follows is at ``starts + positions``.
    targets : ndarray of int32, shape (n_relevant,)
        Relevant items as tokens of the test set, distinct within a case, the click that follows first.
    offsets : ndarray of int64, shape (n_cases + 1,)
        Case ``c`` has ``targets[offsets[c]:offsets[c + 1]]``, at least one.
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
    targets: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
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
    relevant: Relevant = "next",
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
    relevant : {"next", "rest"}
        The click that follows, or all distinct items of the rest of the session.

    Returns
    -------
    PrefixCases

    Raises
    ------
    UsageError
        If the first targets are not one per session, or `relevant` is something else.
    """
    if relevant not in ("next", "rest"):
        raise UsageError(
            f"relevant={relevant!r}; it is 'next' (one item) or 'rest' (the rest of the session)"
        )
    lengths = np.diff(test.offsets)
    n = len(lengths)
    first = np.ones(n, np.int64) if first_targets is None else whole_positions(first_targets, n)
    n_cases = np.maximum(lengths - np.maximum(first, 1), 0)
    with_case = np.flatnonzero(n_cases)
    chosen = with_case
    if max_sessions is not None and max_sessions < len(with_case):
        chosen = np.sort(np.random.default_rng(seed).choice(with_case, max_sessions, replace=False))
    times = n_cases[chosen]
    ends = np.cumsum(times)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - times, times)
    positions = np.repeat(np.maximum(first[chosen], 1), times) + within
    starts = np.repeat(test.offsets[:-1][chosen], times)
    stops = starts + positions + 1 if relevant == "next" else np.repeat(test.offsets[1:][chosen], times)
    targets, offsets = _distinct_items(test.tokens, starts + positions, stops)
    return PrefixCases(
        session_nums=np.repeat(chosen, times),
        positions=positions,
        starts=starts,
        targets=targets,
        offsets=offsets,
        n_sessions=len(chosen),
        n_without_case=len(lengths) - len(with_case),
        n_not_sampled=len(with_case) - len(chosen),
    )


def _distinct_items(
    tokens: npt.NDArray[np.int32], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Gather ``tokens[start:stop]`` of every case, each item once, in the order of their first click."""
    sizes = stops - starts
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    cases = np.repeat(np.arange(len(sizes)), sizes)
    gathered = tokens[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)]
    order = np.lexsort((gathered, cases))  # stable: the first click on an item before its repeats
    again = (np.diff(gathered[order]) == 0) & (np.diff(cases[order]) == 0)
    kept = np.ones(len(order), bool)
    kept[order[1:][again]] = False
    distinct = np.bincount(cases[kept], minlength=len(sizes))
    return gathered[kept], np.concatenate([[0], np.cumsum(distinct)])


def scorers_by_seed(scorers: Mapping[str, Scorer | Sequence[Scorer]]) -> dict[str, tuple[Scorer, ...]]:
    """Give every method its trainings, one or several, which differ by their seed alone.

    Raises
    ------
    UsageError
        If there is no method, one that is no fitted scorer, a method without a training, or one whose
        trainings know different items.
    """
    check_scorers(scorers)
    if not scorers:
        raise UsageError("there is nothing to evaluate: give at least one scorer by name")
    methods = {name: tuple(one) if isinstance(one, Sequence) else (one,) for name, one in scorers.items()}
    for name, seeds in methods.items():
        if not seeds:
            raise UsageError(f"scorer {name!r} is an empty sequence; give one trained scorer per seed")
        if any(one.vocabulary != seeds[0].vocabulary for one in seeds[1:]):
            raise UsageError(
                f"the scorers of {name!r} know different items; the seeds of one method are trained on the"
                " same sessions with the same settings"
            )
    return methods


class KnownPrefixes:
    """The cases in one scorer's item numbers: unknown items are removed from prefixes, −1 as targets.

    Attributes
    ----------
    targets : ndarray of int32, shape (n_relevant,)
        Relevant items, ragged by ``cases.offsets``.
    """

    def __init__(self, test: Sessions, cases: PrefixCases, vocabulary: Vocabulary) -> None:
        if test.item_ids.type != vocabulary.ids.type:
            raise DataError(
                f"the test sessions have {test.item_ids.type} item ids, the scorer {vocabulary.id_type} ids;"
                " read both with the same id_type"
            )
        item_nums = vocabulary.nums(test.item_ids).astype(np.int32)
        nums = item_nums[test.tokens]
        known = nums >= 0
        before = np.concatenate([[0], np.cumsum(known)])
        self._known_nums = nums[known]
        self._starts = before[cases.starts]
        self._stops = before[cases.starts + cases.positions]
        self.targets: npt.NDArray[np.int32] = item_nums[cases.targets]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Known items per prefix, shape (n_cases,)."""
        lengths: npt.NDArray[np.int64] = self._stops - self._starts
        return lengths

    def batches(self, rows: int) -> Iterator[tuple[slice, list[npt.NDArray[np.int32]]]]:
        """Yield slices of cases with their histories, `rows` at a time."""
        for start in range(0, len(self._starts), rows):
            part = slice(start, min(start + rows, len(self._starts)))
            bounds = zip(self._starts[part].tolist(), self._stops[part].tolist(), strict=True)
            yield part, [self._known_nums[a:b] for a, b in bounds]
