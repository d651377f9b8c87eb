"""Slices of the items and of the test cases by what training saw of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.next_item.cases import PrefixCases
from item2vec.sessions import Sessions

HEAD_SHARE, TORSO_SHARE = 0.5, 0.8  # head: the first half of all clicks; torso: up to 80 %; tail: the rest
WARM_CLICKS = 5  # fewer training clicks than this: a cold target


def popularity_slices(counts: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Cut items by clicks: head, the first half of all clicks; torso, the next 30 %; tail, the rest.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_items,)
        ``head``, ``torso`` and ``tail``.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.empty(len(counts))
    before[order] = (np.cumsum(counts[order]) - counts[order]) / max(int(counts.sum()), 1)
    head, torso = before < HEAD_SHARE, before < TORSO_SHARE
    return {"head": head, "torso": torso & ~head, "tail": ~torso}


def case_slices(
    test: Sessions,
    cases: PrefixCases,
    clicks: npt.NDArray[np.int64],
    train_slices: dict[str, npt.NDArray[np.bool_]],
) -> dict[str, npt.NDArray[np.bool_]]:
    """Sort the cases into slices by the click that follows the prefix, and by the prefix.

    Parameters
    ----------
    test : Sessions
        Held-out sessions.
    cases : PrefixCases
        Their prefixes.
    clicks : ndarray of int64, shape (n_test_items,)
        Training clicks of each item of the test sessions, 0 for an item that training never saw.
    train_slices : dict of str to ndarray of bool, shape (n_test_items,)
        ``head``, ``torso``, ``tail`` of the items of the test sessions.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_cases,)
        Of the target ``head, torso, tail`` (every case is in one of them), ``cold`` (fewer than
        :data:`WARM_CLICKS` training clicks) and ``warm``, ``repeat`` (it stands in the prefix) and ``new``;
        of the prefix ``history_cold`` (training saw none of its items) and ``history_warm``.
    """
    places = cases.starts + cases.positions
    targets = test.tokens[places]
    cold = clicks[targets] < WARM_CLICKS
    repeat = _seen_before(test)[places]
    before = np.concatenate([[0], np.cumsum(clicks[test.tokens] > 0)])
    history_cold = before[places] == before[cases.starts]
    return {
        **{name: mask[targets] for name, mask in train_slices.items()},
        "cold": cold,
        "warm": ~cold,
        "repeat": repeat,
        "new": ~repeat,
        "history_cold": history_cold,
        "history_warm": ~history_cold,
    }


def _seen_before(sessions: Sessions) -> npt.NDArray[np.bool_]:
    """Say of every click whether its session clicked the item before, shape (n_clicks,)."""
    nums = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))
    order = np.lexsort((sessions.tokens, nums))  # stable: the clicks of one item in their order
    nums, tokens = nums[order], sessions.tokens[order]
    seen = np.zeros(len(order), bool)
    seen[order[1:]] = (nums[1:] == nums[:-1]) & (tokens[1:] == tokens[:-1])
    return seen
