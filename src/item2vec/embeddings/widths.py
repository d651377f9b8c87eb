"""How many pairs a window makes, and from when on they are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from item2vec.errors import UsageError

if TYPE_CHECKING:
    from item2vec.embeddings.draws import Corpus, WindowSettings

MAX_INPUTS = 10_000
"""Inputs of one window: each click of a session of n makes up to n − 1 pairs, n² in all."""
PAIRS_PER_SECOND = 1e7  # of one core, for words only


def inputs_per_window(settings: WindowSettings, longest: int) -> int:
    """Return the most inputs a window can have in sessions of up to `longest` clicks."""
    return max(1, min(settings.window * (1 if settings.forward_only else 2), longest - 1))


def check_width(
    settings: WindowSettings, corpus: Corpus, window: int | str, epochs: int | None = None
) -> None:
    """Refuse windows so wide that nobody would wait.

    Parameters
    ----------
    settings : WindowSettings
    corpus : Corpus
    window : int or "session"
        As the caller named it, for the message.
    epochs : int, optional
        None: the pairs are visited once.

    Raises
    ------
    UsageError
        If a window can have more than `MAX_INPUTS` inputs.
    """
    lengths = np.diff(corpus.offsets)
    longest = int(lengths.max())
    widest = inputs_per_window(settings, longest)
    if widest <= MAX_INPUTS:
        return
    sides = 1 if settings.forward_only else 2
    width = np.minimum(settings.window * sides, np.maximum(lengths - 1, 0)).astype(np.float64)
    if settings.window >= longest:
        width *= sides / 2
    if settings.shrink:
        width /= 2
    pairs = float((corpus.weights * lengths * width).sum())
    each, whole = ("", "") if epochs is None else (" an epoch", f" for {epochs} epochs")
    raise UsageError(
        f"window is {window!r} and the longest session has {longest:,} clicks: up to {widest:,} pairs for a"
        f" single click (at most {MAX_INPUTS:,}), about {pairs:,.0f} pairs{each},"
        f" {(epochs or 1) * pairs / PAIRS_PER_SECOND / 3600:,.1f} hours of one core{whole}; set a"
        " window of a few clicks, or cut or leave out sessions that long (they are seldom people's)"
    )
