"""How often a session comes back to an item: what decides whether the last click may be the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from item2vec.embeddings.totals import Total, alone

if TYPE_CHECKING:
    from item2vec.sessions.container import Sessions

_CLICKS = 2_000_000  # of the last sessions: enough for three digits, and sorted in a second


class RepeatRates(NamedTuple):
    """Shares of the clicks that follow another one in their session.

    Attributes
    ----------
    last : float
        On the item of the click before, in [0, 1]. It is 0 where sessions were made with
        ``repeats="collapse"``.
    earlier : float
        On another item that the session had clicked before, in [0, 1].
    """

    last: float
    earlier: float


def repeat_rates(sessions: Sessions, total: Total = alone) -> RepeatRates:
    """Count the repeats in the sessions, in the last two million clicks of more.

    Of several workers each counts in its own last two million.
    """
    offsets = np.asarray(sessions.offsets)
    first = int(np.searchsorted(offsets, max(0, int(offsets[-1]) - _CLICKS)))
    lengths, start = np.diff(offsets[first:]), int(offsets[first])
    tokens = np.asarray(sessions.tokens[start:])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    n_following = len(tokens) - int(np.count_nonzero(lengths))
    order = np.lexsort((tokens, owner))  # stable: the same item of one session in the order of its clicks
    again = (owner[order][1:] == owner[order][:-1]) & (tokens[order][1:] == tokens[order][:-1])
    steps = np.diff(order)[again]  # clicks since the item was clicked before
    figures = np.array([np.count_nonzero(steps == 1), len(steps), n_following])
    last, again_at_all, following = total(figures).tolist()
    following = max(following, 1)
    return RepeatRates(last / following, (again_at_all - last) / following)
