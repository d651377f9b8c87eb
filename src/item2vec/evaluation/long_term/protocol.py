"""Long-term protocol: which listing, and which type of listing, does a user book next?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from item2vec.evaluation.arguments import check_attribute, check_resamples, check_sessions, check_whole
from item2vec.evaluation.bootstrap import Interval, Resampled, bootstrap_means, interval
from item2vec.evaluation.leaks import check_no_leak
from item2vec.evaluation.long_term.result import (
    LongTermDifference,
    LongTermFigures,
    LongTermResult,
    SliceFigures,
    TypeSupport,
)
from item2vec.evaluation.long_term.slices import Masks, slices_of
from item2vec.evaluation.long_term.stay_ranks import StayRanks, rank_stays
from item2vec.evaluation.long_term.stays import Catalogue, StayCases, first_stays, stay_cases
from item2vec.evaluation.next_item.cases import scorers_by_seed
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions

BY_SLICE = ("recall", "mrr", "type_accuracy")
Means = dict[tuple[str, ...], Resampled]  # by scorer and metric, or by scorer, metric, cut and slice
Slices = dict[str, Masks]


def evaluate_long_term(
    scorers: Mapping[str, Scorer | Sequence[Scorer]],
    test: Sessions,
    items: pa.Table | None,
    *,
    train: Sessions,
    attribute: str = "listing_type",
    first_targets: npt.NDArray[np.int64] | None = None,
    k: int = 20,
    n_bootstrap: int = 1000,
    seed: int = 1,
    show_progress: bool = False,
) -> LongTermResult:
    """Rank the next booked listing, and its type, among the candidates of its true market.

    Every stay from a sequence's first target on is a case, a user's very first stay included; its history
    are all stays before it, of any market. The candidates are the items that a scorer knows in the booked
    listing's market: where the user goes is given, what they choose there is asked. Types are ordered by
    their best candidate. A rank is ``1 + #greater + ½ #equal others``; listings count up to rank `k`, types
    at any rank. Listings the user already booked stay candidates, so a model that puts the last booked
    listing first (cosine of input vectors) names its type as well wherever that listing is a candidate.

    Popularity over all items is popularity in the market here, since only the market's candidates are
    ranked: give ``Popularity()``, not ``Popularity(per_market=True)``, which keeps to the market of the
    last stay and has no answer for a stay elsewhere.

    Booking sequences are sessionized with ``min_length = 2`` unless asked otherwise; then users who stayed
    once are missing, and the cases without an earlier booking are first stays of users who came back.

    Parameters
    ----------
    scorers : mapping of str to Scorer or sequence of Scorer
        Fitted on the training sequences only. A sequence is one method trained with several seeds; its
        figures are averaged per case before users are resampled.
    test : Sessions
        Booking sequences with their history, such as ``split.test``.
    items : pyarrow.Table or None
        ``item_id``, ``market`` and `attribute`, of training and test items.
    train : Sessions
        The training side, to show that nothing of the test reached the scorers.
    attribute : str
        Column of `items` whose values are the types.
    first_targets : ndarray of int64, shape (n_sequences,), optional
        Position of each sequence's first target, such as ``split.test_targets``; 0 by default.
    k : int
        Length of a list.
    n_bootstrap, seed : int
        Resamples of users behind the 95 % intervals, and their seed.
    show_progress : bool
        Draw a bar.

    Returns
    -------
    LongTermResult
        ``insufficient`` says why where there is no case; figures are NaN there.

    Raises
    ------
    UsageError
        If there is no scorer, `k` is below 1, the test holds click sessions, the first targets do not fit,
        `items` is no table or has no column `attribute` (without ``listing_type`` no type is known), seeds of
        one method differ in vocabulary, or a scorer answers with the wrong shape.
    DataError
        If item ids are of different types, or the item table does not fit.
    """
    methods = scorers_by_seed(scorers)
    check_sessions("the test sessions", test)
    check_whole("k", k, 1, "a list holds a whole number of items, at least one")
    check_resamples(n_bootstrap, seed)
    check_attribute(items, attribute)
    k = int(k)
    first = first_stays(test, first_targets)
    check_no_leak(scorers, train, test, first)
    vocabularies = [seeds[0].vocabulary for seeds in methods.values()]
    catalogue = Catalogue.of(items, attribute, test.item_ids, vocabularies)
    cases = stay_cases(test, first, catalogue)
    n_rows = len(cases) * sum(map(len, methods.values()))
    with tqdm(total=n_rows, unit="stay", disable=not show_progress) as bar:
        ranks = {
            name: rank_stays(name, seeds, test, cases, catalogue, bar) for name, seeds in methods.items()
        }
    slices = slices_of(cases, test, catalogue.market_names)
    means = _means(ranks, cases, slices, k, n_bootstrap, seed)
    return LongTermResult(
        k=k,
        attribute=attribute,
        n_cases=len(cases),
        n_users=len(np.unique(cases.users)),
        n_typed=int(cases.has_type.sum()),
        n_typed_users=len(np.unique(cases.users[cases.has_type])),
        excluded=cases.excluded,
        mean_candidates=float(cases.n_candidates.mean()) if len(cases) else float("nan"),
        chance_recall=_chance_recall(ranks, cases, k),
        support=_support(cases, catalogue),
        scorers={name: _figures(name, found, cases, slices, means) for name, found in ranks.items()},
        differences=_differences(list(methods), slices, means),
        insufficient=None if len(cases) else f"insufficient data: {cases.why_none(catalogue)}",
    )


def _means(
    ranks: Mapping[str, StayRanks], cases: StayCases, slices: Slices, k: int, n_bootstrap: int, seed: int
) -> Means:
    """Average every metric over the same resamples of users."""
    figures: dict[tuple[str, ...], npt.NDArray[np.float64]] = {}
    for name, found in ranks.items():
        metrics = _per_case(found, cases, k)
        figures |= {(name, metric): values for metric, values in metrics.items()}
        for cut, masks in slices.items():
            figures |= {
                (name, metric, cut, part): np.where(mask, metrics[metric], np.nan)
                for part, mask in masks.items()
                for metric in BY_SLICE
            }
    return bootstrap_means(figures, cases.users, n_bootstrap, seed)


def _per_case(found: StayRanks, cases: StayCases, k: int) -> dict[str, npt.NDArray[np.float64]]:
    """Return every metric per case, in %, averaged over the seeds; NaN where types have no say."""
    ranks, type_ranks = found.ranks, found.type_ranks
    gains = {
        "recall": ranks <= k,
        "mrr": np.where(ranks <= k, 1 / ranks, 0.0),
        "ndcg": np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0),
        "type_accuracy": np.where(cases.has_type, type_ranks <= 1, np.nan),
        "type_mrr": np.where(cases.has_type, 1 / type_ranks, np.nan),
    }
    return {metric: 100.0 * gain.mean(axis=0) for metric, gain in gains.items()}


def _chance_recall(ranks: Mapping[str, StayRanks], cases: StayCases, k: int) -> float:
    """Return the Recall@k of random lists in %: a listing that no scorer knows is in none of them."""
    unknown = np.all([found.unseen_targets for found in ranks.values()], axis=0)
    hits = np.where(unknown, 0.0, np.minimum(1.0, k / cases.n_candidates))
    return 100.0 * float(hits.mean()) if len(cases) else float("nan")


def _figures(name: str, found: StayRanks, cases: StayCases, slices: Slices, means: Means) -> LongTermFigures:
    def figure(*key: str) -> Interval:
        return interval(*means[name, *key])

    return LongTermFigures(
        recall=figure("recall"),
        mrr=figure("mrr"),
        ndcg=figure("ndcg"),
        type_accuracy=figure("type_accuracy"),
        type_mrr=figure("type_mrr"),
        slices={
            cut: {
                part: _slice(cases, mask, {metric: figure(metric, cut, part) for metric in BY_SLICE})
                for part, mask in masks.items()
            }
            for cut, masks in slices.items()
        },
        ranks=found.ranks,
        type_ranks=found.type_ranks,
        n_unseen_targets=int(found.unseen_targets.sum()),
        n_unseen_histories=int(found.unseen_histories.sum()),
        n_empty_answers=int(found.empty.any(axis=0).sum()),
        n_backed_off=None if found.backed_off is None else int(found.backed_off.any(axis=0).sum()),
        n_seeds=len(found.ranks),
    )


def _slice(cases: StayCases, mask: npt.NDArray[np.bool_], figures: dict[str, Interval]) -> SliceFigures:
    return SliceFigures(
        n=int(mask.sum()),
        n_typed=int((mask & cases.has_type).sum()),
        n_users=len(np.unique(cases.users[mask])),
        n_typed_users=len(np.unique(cases.users[mask & cases.has_type])),
        **figures,
    )


def _support(cases: StayCases, catalogue: Catalogue) -> tuple[TypeSupport, ...]:
    n = len(catalogue.type_names)
    listings = np.bincount(catalogue.types[catalogue.ranked & (catalogue.types >= 0)], minlength=n)
    targets = np.bincount(cases.types[cases.has_type], minlength=n)
    counted = zip(catalogue.type_names, listings.tolist(), targets.tolist(), strict=True)
    return tuple(TypeSupport(*entry) for entry in counted)


def _differences(names: list[str], slices: Slices, means: Means) -> tuple[LongTermDifference, ...]:
    def paired(a: str, b: str, *key: str) -> Interval:
        (mean_a, resamples_a), (mean_b, resamples_b) = means[a, *key], means[b, *key]
        return interval(mean_a - mean_b, resamples_a - resamples_b)

    return tuple(
        LongTermDifference(
            a=a,
            b=b,
            recall=paired(a, b, "recall"),
            mrr=paired(a, b, "mrr"),
            type_accuracy=paired(a, b, "type_accuracy"),
            slices={
                cut: {
                    part: {metric: paired(a, b, metric, cut, part) for metric in BY_SLICE} for part in masks
                }
                for cut, masks in slices.items()
            },
        )
        for a, b in combinations(names, 2)
    )
