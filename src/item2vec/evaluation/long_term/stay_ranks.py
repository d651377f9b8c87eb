"""Rank booked listings and their types among the candidates of their market."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from item2vec.evaluation.arguments import scores_of
from item2vec.evaluation.long_term.stays import Catalogue, StayCases
from item2vec.evaluation.next_item.cases import KnownPrefixes
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

SCORE_BYTES = 64 * 2**20  # one batch of scores


@runtime_checkable
class BacksOff(Protocol):
    """A scorer that says when it has no type to go by."""

    def backs_off(
        self, histories: Sequence[npt.NDArray[np.int32]], candidates: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return for each history whether no type spoke among the candidates (item numbers)."""


@runtime_checkable
class KnowsUsers(Protocol):
    """A scorer that answers one user otherwise than another with the same history."""

    def for_users(self, user_ids: Sequence[str | None]) -> Scorer:
        """Return a scorer of these users' histories, in this order."""


@dataclass(frozen=True, eq=False)
class StayRanks:
    """One scorer's answers, one row per seed and one column per case."""

    ranks: npt.NDArray[np.float64]
    type_ranks: npt.NDArray[np.float64]
    empty: npt.NDArray[np.bool_]
    backed_off: npt.NDArray[np.bool_] | None
    unseen_targets: npt.NDArray[np.bool_]
    unseen_histories: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The items of one market that a scorer knows.

    Attributes
    ----------
    columns : ndarray of int64, shape (n_candidates,)
        Item numbers, sorted by type; those without a type come first.
    places : ndarray of int32, shape (n_items + 1,)
        Position of each item among the `columns` of its own market, shared by all markets; the last is −1,
        so that an unknown item (−1) has no place.
    types : ndarray of int64, shape (n_types,)
        Types in the market, ascending.
    type_starts : ndarray of int64, shape (n_types,)
        Where each type starts in `columns`.
    """

    columns: npt.NDArray[np.int64]
    places: npt.NDArray[np.int32]
    types: npt.NDArray[np.int64]
    type_starts: npt.NDArray[np.int64]

    def ranks(
        self,
        scores: npt.NDArray[np.float32],
        targets: npt.NDArray[np.int32],
        types: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Rank booked listings among the candidates and their types among the candidates' types.

        Parameters
        ----------
        scores : ndarray of float32, shape (batch, n_items)
        targets : ndarray of int32, shape (batch,)
            Item numbers, −1 unknown.
        types : ndarray of int64, shape (batch,)
            Types of the targets, −1 unknown.

        Returns
        -------
        ranks, type_ranks : ndarray of float64, shape (batch,)
            ``inf`` where the target, or every candidate of its type, is outside the answer.
        empty : ndarray of bool, shape (batch,)
            No candidate has a score.
        """
        from item2vec.evaluation.ranks import target_ranks

        here = scores[:, self.columns]
        here[np.isnan(here)] = -np.inf
        places = self.places[targets]
        empty: npt.NDArray[np.bool_] = (here == -np.inf).all(axis=1)
        if not len(self.types):
            return target_ranks(here, places), np.full(len(scores), np.inf), empty
        best = np.maximum.reduceat(here, self.type_starts, axis=1)
        found = np.minimum(np.searchsorted(self.types, types), len(self.types) - 1)
        type_places = np.where(self.types[found] == types, found, -1).astype(np.int32)
        return target_ranks(here, places), target_ranks(best, type_places), empty


def candidates_by_market(
    catalogue: Catalogue, vocabulary: Vocabulary, markets: npt.NDArray[np.int64]
) -> dict[int, Candidates]:
    """Return the items of a vocabulary that lie in each of the markets."""
    nums = catalogue.vocabulary.nums(vocabulary.ids)
    item_markets, types = catalogue.markets[nums], catalogue.types[nums]
    order = np.lexsort((types, item_markets))
    ordered = item_markets[order]
    places = np.full(len(nums) + 1, -1, np.int32)
    places[order] = np.arange(len(nums)) - np.searchsorted(ordered, ordered)
    found = {}
    for market in np.unique(markets).tolist():
        columns = order[np.searchsorted(ordered, market) : np.searchsorted(ordered, market, "right")]
        known, starts = np.unique(types[columns], return_index=True)
        found[market] = Candidates(columns, places, known[known >= 0], starts[known >= 0])
    return found


def rank_stays(
    name: str,
    seeds: tuple[Scorer, ...],
    test: Sessions,
    cases: StayCases,
    catalogue: Catalogue,
    bar: tqdm[Any],
) -> StayRanks:
    """Rank the targets of all cases under every seed of one method."""
    vocabulary = seeds[0].vocabulary
    prefixes = KnownPrefixes(test, cases.prefixes, vocabulary)
    markets = candidates_by_market(catalogue, vocabulary, cases.markets)
    shape = (len(seeds), len(cases))
    ranks, type_ranks = np.full(shape, np.inf), np.full(shape, np.inf)
    empty, backed_off = np.zeros(shape, bool), np.zeros(shape, bool)
    says = isinstance(seeds[0], BacksOff)
    users = _user_ids(test, cases)
    rows = min(2048, max(1, SCORE_BYTES // (4 * max(1, len(vocabulary)))))
    for number, scorer in enumerate(seeds):
        for part, histories in prefixes.batches(rows):
            asked = scorer.for_users(users[part]) if isinstance(scorer, KnowsUsers) else scorer
            scores = scores_of(name, asked, histories)
            for market, of_market in _runs(cases.markets[part]):
                here = slice(part.start + of_market.start, part.start + of_market.stop)
                found = markets[market].ranks(scores[of_market], prefixes.targets[here], cases.types[here])
                ranks[number, here], type_ranks[number, here], empty[number, here] = found
                if isinstance(scorer, BacksOff):
                    said = scorer.for_users(users[here]) if isinstance(scorer, KnowsUsers) else scorer
                    assert isinstance(said, BacksOff)
                    backed_off[number, here] = said.backs_off(histories[of_market], markets[market].columns)
            bar.update(len(histories))
    unseen = (prefixes.lengths == 0) & (cases.prefixes.positions > 0)
    return StayRanks(ranks, type_ranks, empty, backed_off if says else None, prefixes.targets < 0, unseen)


def _user_ids(test: Sessions, cases: StayCases) -> list[str | None]:
    """Return the user of each case."""
    if test.user_ids is None:
        return [None] * len(cases)
    ids: list[str | None] = test.user_ids.to_pylist()
    return [ids[row] for row in cases.prefixes.session_nums.tolist()]


def _runs(markets: npt.NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Yield each market with its run of cases; cases are sorted by market."""
    starts = np.flatnonzero(np.r_[True, markets[1:] != markets[:-1]])
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(markets)], strict=True):
        yield int(markets[start]), slice(start, stop)
