"""What a list is to be like, and what was found: plain numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from item2vec.index.space import Mode
    from item2vec.vocabulary import ItemId


class Wanted(NamedTuple):
    """What a list is to be like."""

    k: int
    mode: Mode
    where: Mapping[str, Any] | None = None
    allow: Sequence[ItemId] | None = None
    deny: Sequence[ItemId] = ()


class Found(NamedTuple):
    """A list, best first.

    Attributes
    ----------
    ids : list of ids
    scores : list of float
    path : str
        What answered: ``table``, ``annoy`` (or another backend), ``exact``, ``live`` (the index and what
        changed since), ``blend`` (a user's interests), or ``none``.
    reason : str or None
        Why there are fewer than were wanted.
    """

    ids: list[ItemId]
    scores: list[float]
    path: str
    reason: str | None


class ForUser(NamedTuple):
    """A list for a user.

    Attributes
    ----------
    found : Found
    fallback : str or None
        What stood in where no event was known: ``attributes`` or ``popularity``.
    explanations : list of dict, or None
    """

    found: Found
    fallback: str | None
    explanations: list[dict[str, Any]] | None


class Features(NamedTuple):
    """The eight ranking features: NaN is None."""

    names: tuple[str, ...]
    rows: list[list[float | None]]
    history: dict[str, int]
