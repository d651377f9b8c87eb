"""Cold start, judged on listings held out of training: how many get a vector, and what it still knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import numpy_numbers
from item2vec.embeddings.cold_start.checks import item_ids
from item2vec.embeddings.cold_start.features import Codes, plain
from item2vec.embeddings.cold_start.result import TIERS
from item2vec.embeddings.places import numbers
from item2vec.errors import UsageError
from item2vec.evaluation.arguments import check_resamples, check_sessions, check_whole
from item2vec.evaluation.bootstrap import bootstrap_means, interval
from item2vec.evaluation.probes.attributes import PriceBands, aligned_attributes, label_codes, price_codes
from item2vec.evaluation.probes.cold_start_figures import ColdStartReport, Quality, Side, Targets
from item2vec.evaluation.probes.neighbours import item_agreement

if TYPE_CHECKING:
    from item2vec.embeddings import ColdStart, ItemVectors
    from item2vec.recommendations import Recommender
    from item2vec.sessions import Sessions
    from item2vec.vocabulary import Vocabulary

FEWEST = 30  # listings; below it the result says so
MOST_QUERIES = 5000  # a sample of as many trained and as many cold listings is asked about


def cold_start_report(
    vectors: ItemVectors,
    items: pa.Table,
    held_out: pa.Array | Iterable[Any],
    *,
    cold_start: ColdStart | None = None,
    truth: pa.Table | None = None,
    test: Sessions | None = None,
    k: int = 10,
    min_clicks: int = 1,
    n_bootstrap: int = 1000,
    seed: int = 1,
) -> ColdStartReport:
    """Give listings that training never saw their cold vectors, and compare them with trained ones.

    A model is trained without some listings (:func:`~item2vec.evaluation.hold_out_items` takes them out of
    the sessions). Their neighbours among the trained listings are compared, label by label, with those of the
    trained listings: market among all, everything else within the market. Market, type and price are what the
    first tier asks for, so they say little about a cold vector there; a hidden truth says more.

    Parameters
    ----------
    vectors : ItemVectors
        Trained without the listings that are held out.
    items : pyarrow.Table
        Attributes of all of them, as for :meth:`ColdStart.fit`; further rows are left out.
    held_out : ids
        Those held out.
    cold_start : ColdStart, optional
        Not fitted; default settings by default. Its columns are the labels.
    truth : pyarrow.Table, optional
        ``item_id`` and further labels, which cold start does not see.
    test : Sessions, optional
        Sessions in which the next click may be on a held-out listing, ranked among all with
        :class:`~item2vec.Recommender`. Also listings of tier ``none`` count, as misses.
    k : int
        Neighbours per listing. Recall is at twice that.
    min_clicks : int
        Trained listings with fewer clicks are neither asked about nor neighbours.
    n_bootstrap, seed : int
        Resamples behind the 95 % intervals: of listings, of sessions for the recall.

    Returns
    -------
    ColdStartReport

    Raises
    ------
    UsageError
        If an argument is out of its range, or a held-out listing has a trained vector.
    DataError
        As :meth:`ColdStart.fit`.
    """
    from item2vec.embeddings import ColdStart

    check_whole("k", k, 1, "ask for a whole number of neighbours, at least one")
    check_whole("min_clicks", min_clicks, 0, "give a whole number of clicks, at least 0")
    check_resamples(n_bootstrap, seed)
    if test is not None:
        check_sessions("the test sessions", test)
    estimator = ColdStart() if cold_start is None else cold_start
    sample = _Sample(k, min_clicks, n_bootstrap, seed)
    ids, items = _of_both(vectors, items, held_out)
    everything, provenance = estimator.extend(vectors, items)
    quality = {
        name: _quality(everything, len(vectors), codes, within, sample)
        for name, codes, within in _labels(everything.vocabulary, items, truth, estimator)
    }
    usable = {name: one for name, one in quality.items() if one is not None}
    few = min((one.cold.n for one in usable.values()), default=0)
    return ColdStartReport(
        n_warm=len(vectors),
        n_cold=provenance.num_rows,
        n_without_row=len(ids) - provenance.num_rows,
        tiers={tier: pc.sum(pc.equal(provenance["tier"], tier)).as_py() or 0 for tier in TIERS},
        median_miles=_median(provenance["farthest_miles"]),
        quality=usable,
        targets=_targets(everything, ids, test, sample),
        exposure=_exposure(everything, len(vectors), sample),
        insufficient=f"insufficient data: {few} cold listings with a label" if few < FEWEST else None,
    )


@dataclass(frozen=True)
class _Sample:
    k: int
    min_clicks: int
    n_bootstrap: int
    seed: int


def _of_both(vectors: ItemVectors, items: pa.Table, held_out: Any) -> tuple[pa.Array, pa.Table]:
    """Return the ids held out, and the rows of those and of the trained listings."""
    kind = vectors.vocabulary.ids.type
    ids = pc.unique(held_out if isinstance(held_out, pa.Array) else pa.array(list(held_out), kind))
    trained = int((vectors.vocabulary.nums(ids) >= 0).sum())
    if trained:
        raise UsageError(
            f"{trained} of the listings held out have a trained vector; train on"
            " hold_out_items(sessions)[0], or name listings that were never clicked"
        )
    rows = item_ids(items, kind)
    return ids, items.filter(pc.is_in(rows, value_set=pa.concat_arrays([ids, vectors.vocabulary.ids])))


def _labels(
    vocabulary: Vocabulary, items: pa.Table, truth: pa.Table | None, estimator: ColdStart
) -> Iterator[tuple[str, Codes, Codes]]:
    """Yield the labels of all listings by name, with the group that their neighbours are sought in."""
    n, attributes = len(vocabulary), aligned_attributes(items, vocabulary)
    nowhere = np.zeros(n, np.int64)
    markets = nowhere
    if estimator.market_column is not None:
        markets, _ = label_codes(attributes.get(estimator.market_column), n)
        yield estimator.market_column, markets, nowhere
    if estimator.type_column is not None:
        yield estimator.type_column, label_codes(attributes.get(estimator.type_column), n)[0], markets
    if estimator.price_column is not None:
        edges: PriceBands = "quintiles" if estimator.price_edges is None else estimator.price_edges
        yield (
            estimator.price_column,
            price_codes(attributes.get(estimator.price_column), markets, edges)[0],
            markets,
        )
    for name, values in aligned_attributes(truth, vocabulary).items():
        yield name, label_codes(values, n)[0], markets


def _quality(
    vectors: ItemVectors, n_warm: int, labels: Codes, within: Codes, sample: _Sample
) -> Quality | None:
    """Compare the neighbours of trained and of cold listings; None where one side has none."""
    cold = np.arange(len(vectors)) >= n_warm
    warm = ~cold & (vectors.counts >= sample.min_clicks)
    found = []
    for asked in (warm, cold):
        one = item_agreement(
            *(vectors.vectors, labels, within, asked),
            candidates=warm,
            k=sample.k,
            max_queries=MOST_QUERIES,
            seed=sample.seed,
        )
        found.append(one)
    (rows, *of_warm), (cold_rows, *of_cold) = found
    if not len(rows) or not len(cold_rows):
        return None
    gap, cold_gap = np.full(len(rows), np.nan), np.full(len(cold_rows), np.nan)
    figures = {("warm", i): np.r_[values, cold_gap] for i, values in enumerate(of_warm)}
    figures |= {("cold", i): np.r_[gap, values] for i, values in enumerate(of_cold)}
    means = bootstrap_means(figures, np.r_[rows, cold_rows], sample.n_bootstrap, sample.seed)
    sides, scores = {}, {}
    for name, n in (("warm", len(rows)), ("cold", len(cold_rows))):
        (share, shares), (chance, chances) = means[name, 0], means[name, 1]
        scores[name] = _beyond(share, chance), _beyond(shares, chances)
        sides[name] = Side(share, chance, interval(*scores[name]), n)
    kept, resamples = (_ratio(scores["cold"][i], scores["warm"][i]) for i in (0, 1))
    return Quality(sides["warm"], sides["cold"], interval(kept, resamples))


def _beyond(share: Any, chance: Any) -> Any:
    return _ratio(share - chance, 1 - chance)


def _ratio(one: Any, other: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.divide(one, other)
    return np.where(np.isfinite(found), found, np.nan)[()]  # no signal to keep: no figure


def _exposure(vectors: ItemVectors, n_warm: int, sample: _Sample) -> float | None:
    """Count how often cold listings are among the nearest of trained ones, against their number."""
    n = len(vectors)
    if not 0 < n_warm < n or n < 2:
        return None
    is_cold = (np.arange(n) >= n_warm).astype(np.int64)
    _, shares, chances = item_agreement(
        *(vectors.vectors, is_cold, np.zeros(n, np.int64), is_cold == 0),
        candidates=np.ones(n, np.bool_),
        k=sample.k,
        max_queries=MOST_QUERIES,
        seed=sample.seed,
    )
    return float((1 - shares.mean()) / (1 - chances.mean())) if len(shares) else None


def _targets(
    everything: ItemVectors, held_out: pa.Array, test: Sessions | None, sample: _Sample
) -> dict[str, Targets]:
    """Rank the next click of every test prefix among trained and cold listings, in both readings."""
    from item2vec.evaluation.next_item.protocol import evaluate_next_item
    from item2vec.recommendations import Recommender

    if test is None:
        return {}
    readings = ("next", "similar") if everything.context_vectors is not None else ("similar",)
    recommender, k = Recommender(everything), 2 * sample.k
    scorers = {mode: _Reading(recommender, mode) for mode in readings}
    result = evaluate_next_item(scorers, test, k=k, n_bootstrap=0, seed=sample.seed)
    asked = result.cases.targets
    is_cold = numpy_numbers(pc.index_in(test.item_ids, value_set=held_out), missing=-1)[asked] >= 0
    is_warm = ~is_cold & (everything.vocabulary.nums(test.item_ids)[asked] >= 0)
    found = {}
    for mode, one in result.scorers.items():
        hits = 100.0 * (one.ranks <= k)
        figures = {
            name: np.where(mask, hits, np.nan) for name, mask in (("cold", is_cold), ("warm", is_warm))
        }
        means = bootstrap_means(figures, result.cases.session_nums, sample.n_bootstrap, sample.seed)
        cold, warm = interval(*means["cold"]), interval(*means["warm"])
        chance = 100.0 * min(1.0, k / len(everything))
        found[mode] = Targets(k, cold, int(is_cold.sum()), warm, int(is_warm.sum()), chance)
    return found


class _Reading:
    """A recommender that scores in one reading."""

    def __init__(self, recommender: Recommender, mode: Any) -> None:
        self.vocabulary, self.scores = recommender.vocabulary, partial(recommender.scores, mode=mode)


def _median(column: pa.ChunkedArray) -> float | None:
    values = numbers(plain(column))
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else None
