"""Figures of all sessions where each of several workers has a share of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

Total = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Turns a worker's array into the sum of all workers' arrays; all of them must call it together."""


def alone(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array: the :data:`Total` of one process, which has all sessions."""
    return array
