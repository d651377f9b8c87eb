"""How a history of clicks becomes scores: what weighs how much, and when an item comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.index.arguments import MAX_POPULARITY, POPULARITY

if TYPE_CHECKING:
    from item2vec.embeddings.repeats import RepeatRates

MOST_REPEATS = 0.9
_SHARE_LAST, _SHARE_EARLIER = 0.25, 0.5
"""Of the rates of repeats: the vectors foresee the other ones themselves (notebooks/LOG.md)."""
_RANGES = {
    "decay": (0.0, 1.0),
    "popularity": (0.0, MAX_POPULARITY),
    "temperature": (0.0, 100.0),
    "repeat_last": (0.0, MOST_REPEATS),
    "repeat_earlier": (0.0, MOST_REPEATS),
}


@dataclass(frozen=True)
class HistoryScoring:
    """What a click history says about the next click; the keys of ``[scoring]`` in a run's TOML.

    The query is the weighted mean of the clicks' input vectors. Read as *next*, an item b scores

        s(b) = query · v'_b + popularity · log(count_b)

    which orders items as ``softmax(s / temperature)`` does. To that distribution some probability is added
    for coming back: `repeat_last` to the last click, `repeat_earlier` to the earlier ones, the later ones of
    them first. An item of the history gets the score that its new probability stands for; other scores stay
    as they are. So repeats matter where a history's own items are not left out (``filter_seen=False``, and
    :meth:`Recommender.scores`). In the reading *similar* only `decay` counts.

    The defaults were chosen on validation sessions of three logs (notebooks/LOG.md); ``item2vec tune`` finds
    better ones for yours.
    """

    decay: float = 0.5
    """Weight of a click against the one after it, above 0 and up to 1."""
    popularity: float = POPULARITY
    """Weight of the logarithm of an item's count: the exponent of the noise (.75) makes up for what noise
    took away, less suits a training that has not converged."""
    temperature: float = 1.25
    """Of the softmax that repeats are weighed in; above 0."""
    repeat_last: float | None = None
    """Probability of the last click once more; unset, a quarter of how often the training sessions had it."""
    repeat_earlier: float | None = None
    """Probability of an earlier click once more; unset, half of how often the training sessions had it."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value, (least, most) = getattr(self, one.name), _RANGES[one.name]
            if value is None and one.default is None:
                continue
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            lowest = least if one.name in ("popularity", "repeat_last", "repeat_earlier") else 1e-9
            if not number or not lowest <= value <= most:
                above = "from" if lowest == least else "above"
                raise UsageError(f"{one.name} is a number {above} {least:g} to {most:g}, not {value!r}")
        if (self.repeat_last or 0.0) + (self.repeat_earlier or 0.0) > MOST_REPEATS:
            raise UsageError(f"repeat_last and repeat_earlier together are at most {MOST_REPEATS}")

    def weights(self, n_clicks: int) -> npt.NDArray[np.float64]:
        """Return what each click of a history weighs, oldest first; their sum is 1."""
        weights = np.power(float(self.decay), np.arange(n_clicks - 1, -1, -1, dtype=np.float64))
        return weights / weights.sum() if n_clicks else weights

    def queries(
        self, histories: Sequence[npt.NDArray[np.int32]], input_vectors: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Return each history's query, float64 (len(histories), d); zero for an empty one."""
        means = np.zeros((len(histories), input_vectors.shape[1]), np.float64)
        for row, nums in enumerate(histories):
            means[row] = self.weights(len(nums)) @ np.asarray(input_vectors[nums], np.float64)
        return means

    def repeats(self, rates: RepeatRates | None) -> Repeats:
        """Return the probabilities of coming back, from what is set and from the rates of the training."""
        last, earlier = self.repeat_last, self.repeat_earlier
        if last is None:
            last = 0.0 if rates is None else _SHARE_LAST * rates.last
        if earlier is None:
            earlier = 0.0 if rates is None else _SHARE_EARLIER * rates.earlier
        return Repeats(self, last, earlier)


@dataclass(frozen=True)
class Repeats:
    """The probabilities of coming back that one model's histories are scored with."""

    scoring: HistoryScoring
    last: float
    earlier: float

    def __bool__(self) -> bool:
        return self.last > 0 or self.earlier > 0

    def shares(self, history: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Return a history's items, each once, and the probability that is added to each."""
        nums, places = np.unique(history, return_inverse=True)
        weights = np.bincount(places, self.scoring.weights(len(history))).astype(np.float64)
        last = places[-1]
        weights[last] = 0.0
        shares = self.earlier * weights / weights.sum() if weights.any() else weights
        shares[last] = self.last
        return nums, shares

    def lifted(
        self, own: npt.NDArray[np.float32], shares: npt.NDArray[np.float64], log_mass: float
    ) -> npt.NDArray[np.float32]:
        """Return the scores of a history's own items with the probability of coming back in them.

        Parameters
        ----------
        own : ndarray of float32, shape (n,)
            Their scores without it, of all the history's items.
        shares : ndarray of float64, shape (n,)
            As :meth:`shares` gives them.
        log_mass : float
            Of all items, as :meth:`log_mass` gives it.
        """
        temperature = self.scoring.temperature
        with np.errstate(divide="ignore"):
            added = np.log(shares / (1.0 - shares.sum())) + log_mass
        lifted: npt.NDArray[np.float32] = temperature * np.logaddexp(own / temperature, added)
        return lifted.astype(np.float32)

    def log_mass(self, scores: npt.NDArray[np.float32]) -> float:
        """Return log Σ exp(score / temperature) over all items; −inf of none."""
        if not len(scores):
            return -inf
        highest = float(scores.max())
        scaled = (scores - np.float32(highest)) * np.float32(1.0 / self.scoring.temperature)
        mass = np.exp(scaled, out=scaled).sum(dtype=np.float64)
        return highest / self.scoring.temperature + float(np.log(mass))

    def lift_rows(self, scores: npt.NDArray[np.float32], histories: Sequence[npt.NDArray[np.int32]]) -> None:
        """Lift each history's own items in its row of the scores of all items."""
        for row, history in zip(scores, histories, strict=True):
            if len(history) and np.isfinite(row[0]):
                nums, shares = self.shares(history)
                row[nums] = self.lifted(row[nums], shares, self.log_mass(row))


def check_item_nums(histories: Sequence[npt.NDArray[np.int32]], n_items: int) -> None:
    """Refuse histories of other numbers than those of the items: −1 would be read as the last item.

    Raises
    ------
    UsageError
    """
    given = [np.asarray(one) for one in histories if len(one)]
    nums = np.concatenate(given) if given else np.zeros(0, np.int32)
    if nums.dtype.kind not in "iu" or (len(nums) and not 0 <= nums.min() <= nums.max() < n_items):
        raise UsageError(
            f"histories are arrays of item numbers from 0 to {n_items - 1:,} (vocabulary.nums(ids), without"
            " the -1 of unknown ids); for item ids there is recommend"
        )


def scoring_for(given: HistoryScoring | None, popularity: float | None) -> HistoryScoring:
    """Return how histories are scored: as given, else with the popularity that an index for *next* has in it.

    Raises
    ------
    UsageError
        If the scoring given has another popularity than the index, or is none.
    """
    if given is not None and not isinstance(given, HistoryScoring):
        raise UsageError(f"scoring is a HistoryScoring(...), not {type(given).__name__}")
    scoring = HistoryScoring() if given is None else given
    if popularity is None or popularity == scoring.popularity:
        return scoring
    if given is None:
        return replace(scoring, popularity=popularity)
    raise UsageError(
        f"the index for mode 'next' was built with popularity={popularity:g}, the scoring has"
        f" {scoring.popularity:g}; build it with ItemIndex.build(..., popularity={scoring.popularity:g})"
    )
