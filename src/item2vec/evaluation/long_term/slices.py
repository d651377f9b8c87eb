"""Cuts of the long-term cases: by earlier stays, by market, by whether the guest comes back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.long_term.stays import StayCases
from item2vec.sessions import Sessions

HISTORIES = {"0": (0, 0), "1": (1, 1), "2+": (2, np.inf)}
Masks = dict[str, npt.NDArray[np.bool_]]


def slices_of(cases: StayCases, test: Sessions, market_names: list[str]) -> dict[str, Masks]:
    """Return the cases of every slice as masks, by kind of cut and name of the slice.

    ``history``: ``"0"``, ``"1"``, ``"2+"`` earlier stays. ``market``: of the booked listing, largest first.
    ``repeat``: ``"repeat"`` where the guest had booked that very listing before, as its own vector says,
    and ``"new"`` where not.
    """
    earlier = cases.prefixes.positions
    history = {name: (earlier >= low) & (earlier <= high) for name, (low, high) in HISTORIES.items()}
    numbers, counts = np.unique(cases.markets, return_counts=True)
    order = numbers[np.argsort(-counts, kind="stable")].tolist()
    markets = {market_names[number]: cases.markets == number for number in order}
    again = _repeats(cases, test)
    return {"history": history, "market": markets, "repeat": {"repeat": again, "new": ~again}}


def _repeats(cases: StayCases, test: Sessions) -> npt.NDArray[np.bool_]:
    """Tell whether a case's listing stands among the stays before it."""
    rows = np.repeat(np.arange(len(test)), np.diff(test.offsets))
    keys = rows * np.int64(test.n_items) + test.tokens
    _, starts, numbers = np.unique(keys, return_index=True, return_inverse=True)
    first = starts[numbers]  # where the sequence names the listing for the first time
    place = cases.prefixes.starts + cases.prefixes.positions
    found: npt.NDArray[np.bool_] = first[place] < place
    return found
