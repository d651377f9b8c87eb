"""How thoroughly to search: the least effort whose measured recall reaches a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from item2vec.index.backends import Backend

SAFETY = 0.25
"""Share of what may be missed that is kept in hand: the effort is chosen on a sample, and of several that
nearly reach the target the lucky one would win."""
FINEST = 1.25
"""Two efforts this near each other are not told apart any further."""


def measured_search(
    backend: Backend, recall_of: Callable[[Backend], float], target: float | None
) -> tuple[Backend, dict[str, Any]]:
    """Return the cheapest search that reaches a recall, or the one there is; ``target, value, curve``."""
    if target is None or backend.exact:
        recall = recall_of(backend)
        curve = [{**backend.settings, "recall": recall}]
    else:
        backend, recall, curve = cheapest_search(backend, recall_of, target)
    return backend, {"target": target, "value": recall, "curve": curve}


def cheapest_search(
    backend: Backend, recall_of: Callable[[Backend], float], target: float
) -> tuple[Backend, float, list[dict[str, Any]]]:
    """Double the effort until the target is reached, then halve the step between too little and enough.

    Parameters
    ----------
    backend : Backend
    recall_of : callable (Backend) -> float
        Measures; called some ten times.
    target : float
        Recall in [0, 1], to be reached with some safety; at the latest by a scan, which the end of the
        backend's `search_range` stands for.

    Returns
    -------
    (backend, recall, curve)
        The curve has the settings and the recall of all that was tried, by effort.
    """
    least, most = backend.search_range
    target += SAFETY * (1.0 - target)
    tried: dict[int, tuple[Backend, float]] = {}

    def reaches(search_k: int) -> bool:
        one = backend.with_search_k(search_k)
        tried[search_k] = (one, recall_of(one))
        return tried[search_k][1] >= target

    low, high = 0, least
    while not reaches(high) and high < most:
        low, high = high, 2 * high if 2 * FINEST * high < most else most
    while low and tried[high][1] >= target and high > FINEST * low:
        middle = round(math.sqrt(low * high))
        low, high = (low, middle) if reaches(middle) else (middle, high)
    chosen, recall = tried[high]
    curve = [{**one.settings, "recall": found} for _, (one, found) in sorted(tried.items())]
    return chosen, recall, curve
