"""Listings held out of training entirely: as if nobody had ever clicked or booked them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_numbers
from item2vec.errors import EmptyDataError, UsageError
from item2vec.evaluation.arguments import check_sessions, check_whole, is_number
from item2vec.evaluation.splits import SHORTEST_SEQUENCE, _only_own_items
from item2vec.sessions import Sessions


def hold_out_items(
    sessions: Sessions, share: float = 0.1, *, min_clicks: int = 1, seed: int = 1
) -> tuple[Sessions, pa.Array]:
    """Take some listings out of sessions, wherever they were clicked or booked.

    Sessions that are left with one click where none had so few before are dropped, and so are sessions left
    with none; listings that no session holds any more leave the list of items as well.

    Parameters
    ----------
    sessions : Sessions
        What a model is to be trained on.
    share : float
        Share of the listings that are held out, above 0 and below 1; at least one listing.
    min_clicks : int
        Only listings with so many clicks are candidates, and counted.
    seed : int
        Seed of the choice.

    Returns
    -------
    (Sessions, pyarrow.Array)
        The sessions without them, and the ids held out, ascending.

    Raises
    ------
    UsageError
        If an argument is out of its range.
    EmptyDataError
        If nothing is left to train on, or no listing to hold out.
    """
    check_sessions("the sessions", sessions)
    if not is_number(share) or not 0 < share < 1:
        raise UsageError(f"share={share!r}: give a number above 0 and below 1")
    check_whole("min_clicks", min_clicks, 0, "give a whole number of clicks, at least 0")
    check_whole("seed", seed, 0, "a seed is a whole number from 0")
    clicks = np.bincount(sessions.tokens, minlength=sessions.n_items)
    candidates = np.flatnonzero(clicks >= min_clicks)
    if not len(candidates):
        raise EmptyDataError(f"no listing has min_clicks={min_clicks} clicks; lower min_clicks")
    n = max(1, round(share * len(candidates)))
    chosen = np.sort(np.random.default_rng(seed).choice(candidates, n, replace=False))
    return without_items(sessions, chosen), sessions.item_ids.take(arrow_numbers(chosen))


def without_items(sessions: Sessions, tokens: npt.NDArray[np.int64]) -> Sessions:
    """Return sessions without some of their items, given as tokens; see :func:`hold_out_items`.

    Raises
    ------
    EmptyDataError
        If nothing is left.
    """
    gone = np.zeros(sessions.n_items, np.bool_)
    gone[tokens] = True
    kept, stays = ~gone[sessions.tokens], ~gone[sessions.booked]
    lengths = _count(kept, sessions.offsets)
    shortest = min(SHORTEST_SEQUENCE, int(np.diff(sessions.offsets).min(initial=SHORTEST_SEQUENCE)))
    long_enough = lengths >= max(shortest, 1)
    if not long_enough.any():
        raise EmptyDataError("no session is left without these listings; hold out a smaller share")
    kept &= np.repeat(long_enough, np.diff(sessions.offsets))
    stays &= np.repeat(long_enough, np.diff(sessions.booked_offsets))
    booked = _count(stays, sessions.booked_offsets)[long_enough]
    chosen, offsets = sessions.take(long_enough), np.r_[0, np.cumsum(lengths[long_enough])]
    ts_us = None if sessions.ts_us is None else sessions.ts_us[kept]
    left = replace(
        chosen,
        tokens=sessions.tokens[kept],
        offsets=offsets,
        booked=sessions.booked[stays],
        booked_offsets=np.r_[0, np.cumsum(booked)],
        booked_us=None if sessions.booked_us is None else sessions.booked_us[stays],
        ts_us=ts_us,
        **({} if ts_us is None else {"start_us": ts_us[offsets[:-1]], "end_us": ts_us[offsets[1:] - 1]}),
    )
    return _only_own_items(left)


def _count(flags: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    before = np.concatenate([[0], np.cumsum(flags)])
    counts: npt.NDArray[np.int64] = before[offsets[1:]] - before[offsets[:-1]]
    return counts
