"""Item ids in, arrays of ids and scores out, and the story of each answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.index import ItemIndex, Neighbours
from item2vec.vocabulary import ItemId, Vocabulary

if TYPE_CHECKING:
    from item2vec.recommendations.filters import AllowedItems

Ids = npt.NDArray[np.str_] | npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class QueryInfo:
    """How one query was answered.

    Attributes
    ----------
    path : str
        ``"annoy"`` (or another approximate backend), ``"exact"``, ``"table"`` (looked up in a table of
        neighbours), or ``"none"`` when nothing was searched.
    n_results : int
        Items returned.
    n_candidates : int
        Items that were allowed: after filters, without the query item or, if filtered, the items seen.
    unknown_ids : int
        Ids in the query, history, ``items`` and ``filter_items`` that the model does not know.
    reason : str or None
        Why there are fewer results than asked for.
    future_events : int
        Events of a :class:`UserHistory` that lie after the moment of the question, and were left out.
    """

    path: str
    n_results: int
    n_candidates: int
    unknown_ids: int
    reason: str | None
    future_events: int = 0


def is_one_id(value: Any) -> bool:
    """Tell a single id from a collection of ids."""
    return isinstance(value, str | int | np.integer)


def id_list(values: Any, vocabulary: Vocabulary, name: str) -> list[ItemId]:
    """Return a collection of ids as a list of the vocabulary's id type.

    Raises
    ------
    UsageError
        If it is not a collection, or holds something that is no id of this vocabulary's type.
    """
    wanted = str if vocabulary.id_type == "string" else int
    if isinstance(values, list) and set(map(type, values)) <= {wanted}:
        return list(values)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pylist()
    elif isinstance(values, np.ndarray):
        values = values.tolist() if values.ndim == 1 else None
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | dict):
        raise UsageError(f"{name} must be a list of item ids")
    ids = [value.item() if isinstance(value, np.generic) else value for value in values]
    for value in ids:
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise UsageError(
                f"{name} holds {value!r}; the ids of this model are of type {vocabulary.id_type}"
            )
    return ids


def id_array(vocabulary: Vocabulary, item_nums: npt.NDArray[np.int32]) -> Ids:
    """Return ids in the shape of `item_nums`: numpy text padded with ``""``, or int64 padded with −1."""
    flat = item_nums.ravel()
    found = iter(vocabulary.item_ids(flat[flat >= 0]))
    if vocabulary.id_type == "string":
        ids: Ids = np.array([next(found) if num >= 0 else "" for num in flat.tolist()], np.str_)
    else:
        ids = np.array([next(found) if num >= 0 else -1 for num in flat.tolist()], np.int64)
    return ids.reshape(item_nums.shape)


@dataclass(frozen=True)
class Asked:
    """What a call asked for, to tell its story.

    Attributes
    ----------
    N : int
    allowed : AllowedItems
    hidden : list of ndarray of int32, or None per query
        Items kept out of each answer; None where nothing was searched.
    missing : list of int
        Unknown ids of each query.
    rules : bool
        Whether rules may have struck out more.
    future : sequence of int
        Events of each user that come after the question.
    """

    N: int
    allowed: AllowedItems
    hidden: list[npt.NDArray[np.int32] | None]
    missing: list[int]
    rules: bool = False
    future: Sequence[int] = ()


def query_infos(
    index: ItemIndex, found: Neighbours, asked: Asked, looked_up: Sequence[bool] | None = None
) -> list[QueryInfo]:
    """Tell how each query was answered; `found` are the answers of the searched ones, in their order."""
    infos, answered = [], 0
    allowed, mask = asked.allowed, None if asked.allowed.items is None else asked.allowed.items.mask
    for own, n_missing in zip(asked.hidden, asked.missing, strict=True):
        n_unknown = allowed.n_unknown + n_missing
        if own is None:
            why = "the query holds no known item" if n_missing else "the query is empty"
            infos.append(QueryInfo("none", 0, 0, n_unknown, why))
            continue
        nums, exact = found.item_nums[answered], found.exact[answered]
        in_table = looked_up is not None and looked_up[answered]
        answered += 1
        n_hidden = len(own) if mask is None else int(np.count_nonzero(mask[own]))
        n_left, n_results = allowed.n_allowed - n_hidden, int(np.count_nonzero(nums >= 0))
        path = (
            "none" if allowed.n_allowed == 0 else "table" if in_table else "exact" if exact else index.backend
        )
        reason = _why_short(asked, n_results, n_left, index.n_items)
        infos.append(QueryInfo(path, n_results, n_left, n_unknown, reason))
    late = asked.future or [0] * len(infos)
    return [replace(info, future_events=n) if n else info for info, n in zip(infos, late, strict=True)]


def _why_short(asked: Asked, n_results: int, n_left: int, n_items: int) -> str | None:
    if n_results >= asked.N:
        return None
    if asked.rules and n_results < n_left:
        return f"the rules leave {n_results:,} of the {n_left:,} items that the filters allow"
    what = "no item is" if n_left == 0 else f"only {n_left:,} of {n_items:,} items are"
    return f"{what} left after the filters and the query's own items"
