"""An epoch cut into equal parts, for engines that meet others between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Segment(NamedTuple):
    """One of the equal parts (in clicks) that an epoch is cut into; by default all of it."""

    epoch: int  # from 0
    number: int = 0
    of: int = 1
    stream: int = 0  # of the first thread's random numbers; the next thread has the next one


def cut_order(
    order: npt.NDArray[np.int64], clicks: npt.NDArray[np.float64], n: int
) -> list[npt.NDArray[np.int64]]:
    """Cut an order into n runs of equally many clicks, as nearly as its members allow.

    Parameters
    ----------
    order : ndarray of int64
        Rows of `clicks`, in any order.
    clicks : ndarray of float64
        Expected clicks per session.
    n : int
    """
    reached = np.cumsum(clicks[order])
    total = reached[-1] if len(order) else 0.0
    return np.split(order, np.searchsorted(reached, total * np.arange(1, n) / n))
