"""Booked-rank protocol (Grbovic & Cheng 2018, Fig. 6): where would each click have put what was booked?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from item2vec.errors import UsageError
from item2vec.evaluation import leaks
from item2vec.evaluation.arguments import check_resamples, check_sessions, check_whole, scores_of
from item2vec.evaluation.booked_ranks.cases import BookedCases, known_nums, market_cases, search_cases
from item2vec.evaluation.booked_ranks.result import BookedRankResult, LineRanks
from item2vec.evaluation.booked_ranks.searches import SearchLists
from item2vec.evaluation.booked_ranks.summary import summarise
from item2vec.evaluation.next_item.cases import scorers_by_seed
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

SCORE_BYTES = 64 * 2**20  # one batch of scores
PRODUCTION = "production order"
POOLED = ", pooled"


def booked_rank(
    scorers: Mapping[str, Scorer | Sequence[Scorer]],
    test: Sessions,
    *,
    searches: SearchLists | None = None,
    train: Sessions | None = None,
    pooled: bool = True,
    max_position: int = 17,
    min_cases: int = 100,
    n_bootstrap: int = 1000,
    seed: int = 1,
    show_progress: bool = False,
) -> BookedRankResult:
    """Rank the listing that was booked in the end, after each click before the booking.

    With `searches`, a case is a search that showed the booked listing: the query is the session's latest
    click before the search's first impression, the candidates are its impressions. Without, a case is a click
    before the booking and the candidates are the items of the booked listing's market that at least one
    scorer knows. The items are those of ``test.item_ids``, which after
    :func:`~item2vec.evaluation.split_sessions` are all of the sessions that were split: what a scorer knows
    beyond them is no candidate. Of both kinds of list the query is left out, unless it is the booked listing
    (in the curve "all"). Where no scorer knows the booked listing, there is no case.

    The rank is ``1 + #greater + ½ #equal others``; what a scorer does not know, or leaves out of its answer,
    shares the end of the list, the booked listing included. A scorer without an answer about any candidate
    misses: the booked listing has the last place, as silence must never rank better than an answer.
    Production's order always has an answer: the place among the candidates, so without the query.

    Parameters
    ----------
    scorers : mapping of str to Scorer, or to a sequence of them
        Fitted on the training sessions only; a sequence is one method trained with several seeds.
    test : Sessions
        Held-out click sessions; those with a booking have cases.
    searches : SearchLists, optional
        From :func:`~item2vec.evaluation.search_lists` for the same test sessions. The line
        "production order" is then their own order, where it is known.
    train : Sessions, optional
        What the scorers were fitted on. With it leaks are refused.
    pooled : bool
        Add a line per scorer, named ``"<name>, pooled"``, whose query is the session up to the latest click
        instead of that click alone; left out where both ask the same (a scorer that looks at no history).
    max_position : int
        Clicks before the booking up to which there are cases.
    min_cases : int
        Positions with fewer cases are not shown.
    n_bootstrap, seed : int
        Resamples of sessions behind the 95 % intervals, and their seed.
    show_progress : bool
        Draw a bar.

    Returns
    -------
    BookedRankResult

    Raises
    ------
    UsageError
        If there is no scorer, one has the name of another line, a number makes no sense, the sessions are
        booking sequences, or `searches` were made for other sessions.
    DataError
        If the scorers' item ids and the sessions' are of different types.
    LeakError
        If `train` or a scorer knows what the test asks for.
    """
    check_sessions("the test sessions", test)
    methods = scorers_by_seed(scorers)
    _check_names(methods)
    check_whole("max_position", max_position, 1, "give a whole number of clicks, at least 1")
    check_whole("min_cases", min_cases, 1, "give a whole number of cases, at least 1")
    check_resamples(n_bootstrap, seed)
    if not isinstance(searches, SearchLists | None):
        raise UsageError(
            f"the searches are of type {type(searches).__name__}; pass search_lists(events, test), or None"
        )
    if train is not None:
        booked_in = np.diff(test.booked_offsets) > 0  # a session of one click has cases too
        leaks.check_no_leak(scorers, train, test, np.where(booked_in, 0, np.diff(test.offsets)))
    vocabularies = [seeds[0].vocabulary for seeds in methods.values()]
    if searches is None:
        cases = market_cases(test, vocabularies, max_position)
    else:
        cases = search_cases(test, searches, vocabularies, max_position)
    lines: dict[str, LineRanks] = {}
    if cases.places is not None:
        lines[PRODUCTION] = LineRanks(cases.places[None].astype(np.float64))
    n_rankings = len(cases) * sum(map(len, methods.values())) * (1 + pooled)
    with tqdm(total=n_rankings, unit="ranking", disable=not show_progress) as bar:
        for name, seeds in methods.items():
            lines[name] = _line(name, seeds, test, cases, False, bar)
            if pooled:
                line = _line(name, seeds, test, cases, True, bar)
                if not np.array_equal(line.ranks, lines[name].ranks):
                    lines[name + POOLED] = line
    return summarise(cases, lines, int(max_position), int(min_cases), n_bootstrap, seed)


def _check_names(methods: Mapping[str, Sequence[Scorer]]) -> None:
    for name in methods:
        if name == PRODUCTION or name.endswith(POOLED):
            raise UsageError(
                f"a scorer is named {name!r}, as a line that booked rank adds itself ({PRODUCTION!r}, or one"
                f" that ends in {POOLED!r}); give it another name"
            )


def _line(
    name: str,
    seeds: Sequence[Scorer],
    test: Sessions,
    cases: BookedCases,
    pooled: bool,
    bar: tqdm[Any],
) -> LineRanks:
    """Rank all cases by every training of one method."""
    from item2vec.evaluation.booked_ranks.list_ranks import ranks_in_lists

    vocabulary = seeds[0].vocabulary
    queries = _Queries.of(test, cases, vocabulary, pooled)
    nums = known_nums(cases.item_ids, vocabulary)
    ranks = np.empty((len(seeds), len(cases)))
    unknown = np.zeros(len(cases), np.int64)
    empty = np.zeros((len(seeds), len(cases)), bool)
    for number, scorer in enumerate(seeds):
        for of_cases, rows, histories in queries.batches(_batch_rows(vocabulary)):
            found = ranks_in_lists(
                scores_of(name, scorer, histories),
                rows,
                nums,
                (cases.items, cases.offsets, cases.list_nums[of_cases]),
                cases.booked[of_cases],
                cases.skipped[of_cases],
            )
            ranks[number, of_cases], unknown[of_cases], empty[number, of_cases] = found
            bar.update(len(of_cases))
    knows_booked = nums[cases.booked] >= 0
    return LineRanks(
        ranks,
        n_unseen_booked=int((~knows_booked).sum()),
        n_unseen_queries=int((~queries.known).sum()),
        n_unseen_candidates=int(unknown.sum()),
        n_empty_answers=int(empty.any(axis=0).sum()),
        known=knows_booked & queries.known,
    )


def _batch_rows(vocabulary: Vocabulary) -> int:
    return min(2048, max(1, SCORE_BYTES // (4 * max(len(vocabulary), 1))))


@dataclass(frozen=True, eq=False)
class _Queries:
    """The distinct histories of all cases in one scorer's item numbers: many cases ask the same."""

    nums: npt.NDArray[np.int32]  # of the known clicks of all test sessions, one after the other
    starts: npt.NDArray[np.int64]  # of each distinct history in them
    stops: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]  # cases, sorted by their history
    rows: npt.NDArray[np.int64]  # their histories
    known: npt.NDArray[np.bool_]  # per case: whether its history has a known click

    @classmethod
    def of(cls, test: Sessions, cases: BookedCases, vocabulary: Vocabulary, pooled: bool) -> _Queries:
        nums = known_nums(test.item_ids, vocabulary)[test.tokens]
        known = nums >= 0
        before = np.concatenate([[0], np.cumsum(known)])
        last = cases.ends - 1
        asked = last if pooled else nums[last].astype(np.int64)
        _, examples, rows = np.unique(asked, return_index=True, return_inverse=True)
        starts = (cases.starts if pooled else last)[examples]
        starts, stops = before[starts], before[cases.ends[examples]]
        order = np.argsort(rows, kind="stable")
        return cls(nums[known], starts, stops, order, rows[order], (starts < stops)[rows])

    def batches(
        self, size: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[npt.NDArray[np.int32]]]]:
        """Yield cases, the row of each among the histories of the batch, and those histories."""
        for first in range(0, len(self.starts), size):
            bounds = np.searchsorted(self.rows, [first, first + size])
            part = slice(*bounds)
            chosen = zip(self.starts[first : first + size], self.stops[first : first + size], strict=True)
            yield (
                self.order[part],
                self.rows[part] - first,
                [self.nums[start:stop] for start, stop in chosen],
            )
