"""Test cases of the long-term protocol: stays, with the market and the type of what was booked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import DataError, UsageError
from item2vec.evaluation.arguments import whole_positions
from item2vec.evaluation.next_item.cases import PrefixCases
from item2vec.evaluation.probes.attributes import aligned_attributes, label_codes
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Market and type of every item of the test and of the scorers.

    Attributes
    ----------
    vocabulary : Vocabulary
        The items.
    markets, types : ndarray of int64, shape (n_items,)
        Market of each item, and its type as a position in `type_names`; −1 where unknown.
    market_names, type_names : list of str
        Most frequent first.
    ranked : ndarray of bool, shape (n_items,)
        Whether at least one scorer knows the item.
    """

    vocabulary: Vocabulary
    markets: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    market_names: list[str]
    type_names: list[str]
    ranked: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, items: pa.Table | None, attribute: str, test_ids: pa.Array, vocabularies: Sequence[Vocabulary]
    ) -> Catalogue:
        """Look up the items of the test and of the scorers.

        Raises
        ------
        DataError
            If item ids are of different types, or the item table does not fit.
        """
        for vocabulary in vocabularies:
            if vocabulary.ids.type != test_ids.type:
                raise DataError(
                    f"the test sequences have {test_ids.type} item ids, a scorer {vocabulary.id_type} ids;"
                    " read both with the same id_type"
                )
        known = pc.unique(pa.chunked_array([vocabulary.ids for vocabulary in vocabularies]))
        ids = pc.unique(pa.chunked_array([known, test_ids]))
        everything = Vocabulary(ids, np.zeros(len(ids), np.int64))
        attributes = aligned_attributes(items, everything)
        markets, market_names = label_codes(attributes.get("market"), len(ids))
        types, type_names = label_codes(attributes.get(attribute), len(ids))
        return cls(everything, markets, types, market_names, type_names, np.arange(len(ids)) < len(known))


@dataclass(frozen=True, eq=False)
class StayCases:
    """Stays to predict, sorted by market.

    Attributes
    ----------
    prefixes : PrefixCases
        The stays before each target, maybe none.
    users : ndarray of int64, shape (n_cases,)
    markets, types : ndarray of int64, shape (n_cases,)
        Of the booked listing; a type is −1 where it is unknown.
    has_type : ndarray of bool, shape (n_cases,)
        Whether there is something to say about types: the type is known, and the market has two at least.
    n_candidates : ndarray of int64, shape (n_cases,)
        Items of the market that at least one scorer knows.
    excluded : dict of str to int
        Stays that are no case, and cases without a word about types, by reason.
    """

    prefixes: PrefixCases
    users: npt.NDArray[np.int64]
    markets: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    has_type: npt.NDArray[np.bool_]
    n_candidates: npt.NDArray[np.int64]
    excluded: dict[str, int]

    def __len__(self) -> int:
        return len(self.users)

    def why_none(self, catalogue: Catalogue) -> str:
        """Say why there is no case."""
        if (catalogue.markets < 0).all():
            return "no listing has a known market (the item table needs a column market)"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.excluded.items() if count)
        return f"no stay is a case ({reasons or 'no stay is a target'})"


def stay_cases(test: Sessions, first: npt.NDArray[np.int64], catalogue: Catalogue) -> StayCases:
    """List every stay from the first target of its sequence on; see :func:`first_stays`."""
    prefixes = _all_stays(test, first)
    nums = catalogue.vocabulary.nums(test.item_ids)[prefixes.targets]
    markets, types = catalogue.markets[nums], catalogue.types[nums]
    ranked = catalogue.ranked & (catalogue.markets >= 0)
    n_markets = int(catalogue.markets.max(initial=-1)) + 1
    sizes = np.bincount(catalogue.markets[ranked], minlength=n_markets)
    typed = ranked & (catalogue.types >= 0)
    pairs = np.unique(np.stack([catalogue.markets[typed], catalogue.types[typed]]), axis=1)
    n_types = np.bincount(pairs[0], minlength=n_markets)
    known = markets >= 0
    n_candidates = np.where(known, np.append(sizes, 0)[markets], 0)
    kept = np.flatnonzero(n_candidates >= 2)
    kept = kept[np.argsort(markets[kept], kind="stable")]
    markets, types = markets[kept], types[kept]
    several = n_types[markets] >= 2
    chosen = prefixes.session_nums[kept]
    return StayCases(
        prefixes=_take(prefixes, kept),
        users=_user_numbers(test)[chosen],
        markets=markets,
        types=types,
        has_type=(types >= 0) & several,
        n_candidates=n_candidates[kept],
        excluded={
            "market_unknown": int((~known).sum()),
            "fewer_than_two_candidates": int((known & (n_candidates < 2)).sum()),
            "type_unknown": int((types < 0).sum()),
            "fewer_than_two_types": int(((types >= 0) & ~several).sum()),
        },
    )


def first_stays(test: Sessions, first_targets: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    """Return the position of each sequence's first target, shape (n_sequences,), 0 by default.

    Raises
    ------
    UsageError
        If the test holds click sessions, or the first targets do not fit it.
    """
    if test.kind != "booking":
        raise UsageError(
            "the long-term protocol ranks stays: give booking sequences (sessionize(kind='booking')),"
            " not click sessions"
        )
    if first_targets is None:
        return np.zeros(len(test), np.int64)
    return whole_positions(first_targets, len(test), "sequence")


def _all_stays(test: Sessions, first: npt.NDArray[np.int64]) -> PrefixCases:
    lengths = np.diff(test.offsets)
    n_cases = np.maximum(lengths - first, 0)
    ends = np.cumsum(n_cases)
    within = np.arange(n_cases.sum()) - np.repeat(ends - n_cases, n_cases)
    positions = np.repeat(first, n_cases) + within
    starts = np.repeat(test.offsets[:-1], n_cases)
    return PrefixCases(
        session_nums=np.repeat(np.arange(len(lengths)), n_cases),
        positions=positions,
        starts=starts,
        targets=test.tokens[starts + positions],
        offsets=np.arange(len(starts) + 1),
        n_sessions=int(np.count_nonzero(n_cases)),
        n_without_case=int(np.count_nonzero(n_cases == 0)),
        n_not_sampled=0,
    )


def _take(prefixes: PrefixCases, rows: npt.NDArray[np.int64]) -> PrefixCases:
    sessions = prefixes.session_nums[rows]
    n_sessions = len(np.unique(sessions))
    return PrefixCases(
        session_nums=sessions,
        positions=prefixes.positions[rows],
        starts=prefixes.starts[rows],
        targets=prefixes.targets[rows],
        offsets=np.arange(len(rows) + 1),
        n_sessions=n_sessions,
        n_without_case=prefixes.n_without_case + prefixes.n_sessions - n_sessions,
        n_not_sampled=0,
    )


def _user_numbers(test: Sessions) -> npt.NDArray[np.int64]:
    """Number the users; without user ids each sequence is a user of its own."""
    if test.user_ids is None:
        return np.arange(len(test))
    numbers: npt.NDArray[np.int64] = test.user_ids.dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers
