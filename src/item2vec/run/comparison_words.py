"""A comparison in words: what B gains, whether that may be chance, and what else changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS

if TYPE_CHECKING:
    from item2vec.evaluation.bootstrap import Interval
    from item2vec.run.comparison import Comparison
    from item2vec.run.paired import PairedNextItem

MODEL = "item2vec"
ENOUGH_SEEDS = 3
LABELS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}
MANY = 6  # settings; more are counted, not named


def sentences(found: Comparison) -> Iterator[str]:
    """Yield the sentences, the most important first."""
    if found.a.id == found.b.id:
        yield "A and B are the same release: every difference is 0."
    yield from _next_item(found.next_item)
    yield from _cuts(found)
    yield _settings(found)
    yield from _items(found)


def _next_item(paired: PairedNextItem) -> Iterator[str]:
    if paired.insufficient is not None:
        yield f"Next item: {paired.insufficient}."
        return
    if MODEL in paired.scorers:
        figures = paired.scorers[MODEL]
        for metric, label in LABELS.items():
            before, after = figures.a[metric].value, figures.b[metric].value
            n_trainings = min(paired.seeds.get(MODEL, (ENOUGH_SEEDS,)))
            words = verdict(figures.difference[metric], paired.n_sessions, n_trainings)
            yield f"{label}@{paired.k} of {MODEL}: A {before:.2f} %, B {after:.2f} %: {words}."
    total_a, total_b = (paired.n_common + only for only in (paired.n_only_a, paired.n_only_b))
    yield (
        f"Compared on the {paired.n_common:,} test cases of {paired.n_sessions:,} sessions that are in both"
        f" (A was tested on {total_a:,}, B on {total_b:,})."
    )
    if paired.n_sessions < FEWEST_CLUSTERS:
        yield f"That is fewer than {FEWEST_CLUSTERS} sessions: intervals over so few promise too much."
    if min(paired.seeds.get(MODEL, (ENOUGH_SEEDS,))) < ENOUGH_SEEDS:
        one, two = paired.seeds[MODEL]
        yield (
            f"Trainings behind {MODEL}: A {one}, B {two}. The intervals know the chance of the sessions, not"
            f" that of training; a claim about a method takes evaluate.seeds = {ENOUGH_SEEDS} in both."
        )


def _cuts(found: Comparison) -> Iterator[str]:
    """Yield what the two evaluations do not share."""
    one, two = (when and when[:19].replace("T", " ") for when in found.trained_until)
    if one and two and one != two:
        yield (
            f"The measured models of A saw only what lies before {one} (UTC), those of B before {two}: the"
            " later ones know fresher days, whatever their settings."
        )
    lengths = [release.figures.get("evaluation", {}).get("k") for release in (found.a, found.b)]
    if None not in lengths and lengths[0] != lengths[1]:
        yield (
            f"Lists have {lengths[0]} items in A and {lengths[1]} in B: figures that depend on it (coverage,"
            " long term) are not put side by side."
        )


def verdict(difference: Interval, n_sessions: int, n_trainings: int = ENOUGH_SEEDS) -> str:
    """Say what a paired difference B − A in points means.

    Over a few sessions no more than what it is; of too few trainings on a side what these trainings did, as
    two of the same settings differ too.
    """
    low, high = difference.low, difference.high
    if not low <= high:  # NaN
        return (
            f"B − A is {difference.value:+.2f} points, without an interval: a single session shows no spread"
        )
    words = f"B − A is {difference.value:+.2f} points [{low:+.2f}, {high:+.2f}]"
    if difference.value == low == high == 0:
        return f"{words}, the same in every session"
    if n_sessions < FEWEST_CLUSTERS:
        return f"{words}, of too few sessions for a verdict"
    if low <= 0 <= high:
        return f"{words}, which includes 0: not told apart"
    which = "B is" if n_trainings >= ENOUGH_SEEDS else "what was trained for B is, by chance or not,"
    return f"{words}, which leaves out 0: {which} {'better' if low > 0 else 'worse'}"


def _settings(found: Comparison) -> str:
    log = "Both read the same sessions" if found.same_sessions else "They read different sessions"
    n = len(found.settings)
    if not n:
        return f"{log}, and no setting differs."
    named = ", ".join(one.key for one in found.settings[:MANY])
    counted = "1 setting differs" if n == 1 else f"{n:,} settings differ"
    return f"{log}, and {counted}: {named}{', …' if n > MANY else ''}."


def _items(found: Comparison) -> Iterator[str]:
    same = found.stability
    gone, new = same.n_current - same.n_both, same.n_new - same.n_both
    yield f"Items with a vector: A {same.n_current:,}, B {same.n_new:,}; {gone:,} are gone, {new:,} are new."
    if same.overlap is not None:
        parts = [f"{name} {share:.0%}" for name, share in same.slices.items() if share is not None]
        yield (
            f"Of an item's {same.k} nearest neighbours {same.overlap:.0%} are the same (mean over"
            f" {same.n_asked:,} items{'; by clicks in A: ' + ', '.join(parts) if parts else ''})."
        )
