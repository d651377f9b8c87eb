"""What the server answers, as frozen dataclasses; each names the release that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ItemId = str | int
"""A text, or a whole number of 64 bits where the log stores numbers."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Items similar to one item, best first.

    Attributes
    ----------
    item_id : str or int
    mode : str
        The reading: ``similar`` or ``next``.
    ids : tuple of str or int, length <= k
    scores : tuple of float, same length
    path : str
        What answered: ``annoy``, ``exact``, ``table`` and so on.
    reason : str or None
        Why there are fewer than were asked for.
    release : str
    """

    item_id: ItemId
    mode: str
    ids: tuple[ItemId, ...]
    scores: tuple[float, ...]
    path: str
    reason: str | None
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> SimilarItems:
        """Return the answer that a reply holds."""
        return cls(value["item_id"], value["mode"], *_listed(value), release)


@dataclass(frozen=True, slots=True)
class SimilarResult:
    """One answer of several.

    Attributes
    ----------
    item_id : str, int or None
        None for a vector or for attributes.
    status : str
        ``ok`` or ``unknown``; an unknown id has an empty list and spoils no other.
    ids : tuple of str or int
    scores : tuple of float
    path : str
    reason : str or None
    vector_from : mapping or None
        For attributes: the ``tier`` that the vector comes from, ``n_items`` and the ``shared`` columns.
    """

    item_id: ItemId | None
    status: str
    ids: tuple[ItemId, ...]
    scores: tuple[float, ...]
    path: str
    reason: str | None
    vector_from: Mapping[str, Any] | None

    @classmethod
    def of(cls, value: Json) -> SimilarResult:
        """Return the answer that a part of a reply holds."""
        return cls(value["item_id"], value["status"], *_listed(value), value.get("vector_from"))


@dataclass(frozen=True, slots=True)
class SimilarResults:
    """An answer per id that was asked, in their order.

    Attributes
    ----------
    mode : str
    results : tuple of SimilarResult
    release : str
    """

    mode: str
    results: tuple[SimilarResult, ...]
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> SimilarResults:
        """Return the answers that a reply holds."""
        return cls(value["mode"], tuple(SimilarResult.of(one) for one in value["results"]), release)


@dataclass(frozen=True, slots=True)
class UserItems:
    """Items for a user, best first.

    Attributes
    ----------
    mode : str
    ids : tuple of str or int
    scores : tuple of float
    path : str
    reason : str or None
    fallback : str or None
        ``attributes`` or ``popularity`` where the history says nothing.
    explanations : tuple of mappings, or None
        Each score taken apart, where that was asked for.
    release : str
    """

    mode: str
    ids: tuple[ItemId, ...]
    scores: tuple[float, ...]
    path: str
    reason: str | None
    fallback: str | None
    explanations: tuple[Mapping[str, Any], ...] | None
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> UserItems:
        """Return the answer that a reply holds."""
        told = value.get("explanations")
        return cls(
            value["mode"],
            *_listed(value),
            value["fallback"],
            None if told is None else tuple(told),
            release,
        )


@dataclass(frozen=True, slots=True)
class Features:
    """The eight ranking features of candidates (Grbovic & Cheng 2018, Table 7).

    Attributes
    ----------
    names : tuple of str, length 8
    ids : tuple of str or int
        As they were asked.
    statuses : tuple of str, same length
        ``ok`` or ``unknown``.
    rows : tuple of (tuple of float or None), or None, same length
        None for an unknown item, and None in a row for a feature without an answer.
    history : mapping of str to int
        What became of the user's events.
    release : str
    """

    names: tuple[str, ...]
    ids: tuple[ItemId, ...]
    statuses: tuple[str, ...]
    rows: tuple[tuple[float | None, ...] | None, ...]
    history: Mapping[str, int]
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> Features:
        """Return the features that a reply holds."""
        items = value["items"]
        return cls(
            tuple(value["names"]),
            tuple(one["item_id"] for one in items),
            tuple(one["status"] for one in items),
            tuple(None if one["features"] is None else tuple(one["features"]) for one in items),
            value["history"],
            release,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of an item: whether it is available and trained, its clicks, its attributes."""

    item_id: ItemId
    available: bool
    trained: bool
    n_clicks: int
    attributes: Mapping[str, Any]
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> Item:
        """Return the item that a reply holds."""
        return cls(**value, release=release)


@dataclass(frozen=True, slots=True)
class ItemNames:
    """Ids that were found by a text."""

    ids: tuple[ItemId, ...]
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> ItemNames:
        """Return the ids that a reply holds."""
        return cls(tuple(one["item_id"] for one in value["items"]), release)


@dataclass(frozen=True, slots=True)
class ItemPlaced:
    """An item that is listed now; ``new`` where it was not before."""

    item_id: ItemId
    new: bool
    release: str

    @classmethod
    def of(cls, value: Json, release: str) -> ItemPlaced:
        """Return what a reply says."""
        return cls(value["item_id"], value["new"], release)


@dataclass(frozen=True, slots=True)
class Model:
    """The release that answers.

    Attributes
    ----------
    release : str
    run : str
    n_items : int
    id_type : str
        ``string`` or ``int64``.
    vector_size : int
    modes : tuple of str
    columns : mapping of str to str
        What conditions can name: text, number, date or boolean.
    facts : mapping
        The whole document: data, figures, indexes, live changes.
    """

    release: str
    run: str
    n_items: int
    id_type: str
    vector_size: int
    modes: tuple[str, ...]
    columns: Mapping[str, str]
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, value: Json, release: str) -> Model:
        """Return what a reply tells."""
        del release  # the document names it
        return cls(
            value["release"],
            value["run"],
            value["items"],
            value["id_type"],
            value["vector_size"],
            tuple(value["modes"]),
            value["columns"],
            value,
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """Which release answers, and the newer one that was ``refused`` (with why and when), if one was."""

    release: str
    refused: Mapping[str, Any] | None

    @classmethod
    def of(cls, value: Json, release: str) -> Ready:
        """Return what a reply says."""
        del release  # the document names it
        return cls(value["release"], value["refused"])


def _listed(value: Json) -> tuple[tuple[ItemId, ...], tuple[float, ...], str, str | None]:
    items = value["items"]
    ids, scores = tuple(one["item_id"] for one in items), tuple(one["score"] for one in items)
    return ids, scores, value["path"], value["reason"]
