"""What came before: bookings of a user, or of a listing, up to a moment and without it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
DIGITS = 6
"""Decimals of a mean, which would else fall below an edge that it equals, by the order of its terms."""


class EarlierBookings:
    """Bookings by owner and time; asked for an owner and a time, they answer with those strictly before.

    Bookings of the same moment do not know each other: where a log has dates only, those of one day.

    Parameters
    ----------
    owners : ndarray of int64, shape (n,)
        The user, or the listing, of each booking; not negative.
    ts_us : ndarray of int64, shape (n,)
    """

    def __init__(self, owners: Ints, ts_us: Ints) -> None:
        self._times = np.unique(ts_us)
        keys = self._keys(owners, ts_us)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        self._owners = owners[self._order].astype(np.int64)

    def _keys(self, owners: Ints, ts_us: Ints) -> Ints:
        """Return one number per (owner, time) that orders them; a time between two counts as the later."""
        found: Ints = owners.astype(np.int64) * (len(self._times) + 1) + np.searchsorted(self._times, ts_us)
        return found

    def spans(self, owners: Ints, ts_us: Ints) -> tuple[Ints, Ints]:
        """Return where the earlier bookings of each question start and end in the order of the sums."""
        first = self._keys(owners, np.full(len(owners), np.iinfo(np.int64).min))
        start = np.searchsorted(self._sorted, first, side="left")
        return start, np.searchsorted(self._sorted, self._keys(owners, ts_us), side="left")

    def counts(self, owners: Ints, ts_us: Ints) -> Ints:
        """Count earlier bookings."""
        start, end = self.spans(owners, ts_us)
        return end - start

    def means(self, values: npt.NDArray[np.float64], owners: Ints, ts_us: Ints) -> npt.NDArray[np.float64]:
        """Average the known values of earlier bookings; NaN without any.

        Parameters
        ----------
        values : ndarray of float64, shape (n,)
            One per booking, NaN where unknown.
        """
        start, end = self.spans(owners, ts_us)
        ordered = values[self._order]
        known = np.isfinite(ordered)
        totals = _sums(np.where(known, ordered, 0.0), start, end)
        n = _sums(known.astype(np.float64), start, end)
        with np.errstate(invalid="ignore"):
            return np.round(totals / n, DIGITS)

    def modes(self, codes: Ints, owners: Ints, ts_us: Ints) -> Ints:
        """Return the most frequent code of earlier bookings, the least of several, −1 without any.

        Parameters
        ----------
        codes : ndarray of int64, shape (n,)
            One per booking, −1 where unknown.
        """
        start, end = self.spans(owners, ts_us)
        ordered = codes[self._order]
        known = np.flatnonzero(ordered >= 0)
        if not len(known):
            return np.full(len(owners), -1, np.int64)
        booked_by, width = self._owners[known], int(ordered.max()) + 1
        pairs = booked_by * width + ordered[known]
        by_pair = np.argsort(pairs, kind="stable")
        firsts = np.searchsorted(pairs[by_pair], pairs[by_pair])
        seen = np.empty(
            len(known), np.int64
        )  # how often the owner booked the code so far, this time included
        seen[by_pair] = np.arange(len(known)) - firsts + 1
        # Counts only rise, so the largest (count, least code) so far is that of the most frequent code.
        keys = (booked_by * (len(known) + 1) + seen) * width + (width - 1 - ordered[known])
        best = np.maximum.accumulate(keys)
        place = np.searchsorted(known, end) - 1
        found = best[np.maximum(place, 0)]
        asked = owners.astype(np.int64)
        theirs = (place >= 0) & (end > start) & (found // width // (len(known) + 1) == asked)
        return np.where(theirs, width - 1 - found % width, -1)


def _sums(values: npt.NDArray[np.float64], start: Ints, end: Ints) -> npt.NDArray[np.float64]:
    """Sum spans, each on its own: of running totals a huge value would spoil every later one."""
    order = np.argsort(start, kind="stable")
    bounds = np.stack([start[order], end[order]], axis=1).ravel()
    sums = np.add.reduceat(np.append(values, 0.0), bounds)[::2] if len(bounds) else np.zeros(0)
    found = np.empty(len(start))
    found[order] = np.where(start[order] < end[order], sums, 0.0)
    return found
