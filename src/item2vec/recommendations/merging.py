"""One list out of two: the index's neighbours and those beside it, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.index import ItemSet, Neighbours
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Ids, Scores
from item2vec.recommendations.rules import CompiledRules, Features, ListRules, choose, first_pool
from item2vec.vocabulary import ItemId

if TYPE_CHECKING:
    from item2vec.recommendations.live_parts import Parts
    from item2vec.recommendations.recommender import Recommender


class Question(NamedTuple):
    """What a call asks for."""

    N: int
    where: Mapping[str, Any] | None
    items: Sequence[ItemId] | None
    filter_items: Sequence[ItemId] | None
    mode: Mode
    rules: ListRules | None
    item: ItemId | None = None  # whose vector the query is, where it is one item's


class _Candidates(NamedTuple):
    """Candidates of one query, best first."""

    ids: list[ItemId]
    scores: npt.NDArray[np.float32]
    features: Features | None
    complete: bool  # whether there is no further one


def merged_lists(
    parts: Parts, query: npt.NDArray[Any], question: Question, own: tuple[ItemId, ...], hide: bool = True
) -> tuple[Ids, Scores]:
    """Answer one query from both parts; `own` are its own items, which stay out while `hide` holds."""
    size = question.N if question.rules is None else first_pool(question.N)
    while True:
        found = _merged(parts, query, question, set(own) if hide else set(), size)
        places = _places(parts, found, question, own)
        if len(places) >= question.N or found.complete or _too_low(found, question):
            return as_ids([found.ids[k] for k in places], parts), found.scores[places]
        size = min(2 * size, parts.n_items)


def as_ids(ids: list[ItemId], parts: Parts) -> Ids:
    """Return ids as numpy text or int64."""
    if parts.base.vocabulary.id_type == "string":
        return np.array(ids, np.str_)
    return np.array(ids, np.int64)


def _too_low(found: _Candidates, question: Question) -> bool:
    least = None if question.rules is None else question.rules.min_score
    return least is not None and len(found.scores) > 0 and bool(found.scores[-1] < np.float32(least))


def _places(parts: Parts, found: _Candidates, question: Question, own: tuple[ItemId, ...]) -> list[int]:
    if question.rules is None or found.features is None:
        return list(range(min(question.N, len(found.ids))))
    twins = [_twins_of(half, question.rules, own) for half in (parts.base, parts.side) if half is not None]
    chosen = choose(question.rules, found.features, found.scores, question.N, np.concatenate(twins))
    return [int(place) for place in chosen]


def _twins_of(half: Recommender, rules: ListRules, own: tuple[ItemId, ...]) -> npt.NDArray[np.object_]:
    nums = half.vocabulary.nums(own)
    return CompiledRules(rules, half.vectors, half.attributes).features(nums[nums >= 0]).twins


def _merged(
    parts: Parts, query: npt.NDArray[Any], question: Question, hidden: set[ItemId], size: int
) -> _Candidates:
    """Return the `size` best of both parts, or all there are."""
    halves = [_nearest(parts, half, query, question, hidden, size) for half in (parts.base, parts.side)]
    ids = [one for half in halves for one in half.ids]
    scores = np.concatenate([half.scores for half in halves])
    order = sorted(range(len(ids)), key=lambda k: (-scores[k], _key(ids[k])))[:size]
    positions = np.array(order, np.int64)
    features = None
    if halves[0].features is not None:
        features = halves[0].features
        if halves[1].features is not None:
            features = features.joined(halves[1].features)
        features = features.taken(positions)
    complete = all(half.complete for half in halves) and len(ids) <= size
    return _Candidates([ids[k] for k in order], scores[positions], features, complete)


def _key(item_id: ItemId) -> Any:
    """Ids ascend as their UTF-8 bytes do."""
    return item_id.encode() if isinstance(item_id, str) else item_id


def _nearest(
    parts: Parts,
    half: Recommender | None,
    query: npt.NDArray[Any],
    question: Question,
    hidden: set[ItemId],
    size: int,
) -> _Candidates:
    if half is None:
        return _Candidates([], np.zeros(0, np.float32), None, True)
    allowed = half.allowed(question.where, question.items, question.filter_items).items
    if half is parts.base:
        allowed = parts.alive(allowed)
    row = _looked_up(parts, half, question, size, allowed)
    if row is not None:
        nums = row.item_nums[0][row.item_nums[0] >= 0]
        ids = half.vocabulary.item_ids(nums)
        return _Candidates(ids, row.scores[0][: len(ids)], None, len(ids) < size)
    wanted = size + len(hidden)
    k = min(wanted, len(half.vocabulary))
    found = half.index(question.mode).search(np.asarray(query)[None], k, allowed)
    nums = found.item_nums[0][found.item_nums[0] >= 0]
    n_found = len(nums)
    ids = half.vocabulary.item_ids(nums)
    kept = np.array([k for k, one in enumerate(ids) if one not in hidden], np.int64)
    features = None
    if question.rules is not None:
        features = CompiledRules(question.rules, half.vectors, half.attributes).features(nums[kept])
    scores = found.scores[0][: len(ids)][kept]
    return _Candidates(
        [ids[k] for k in kept.tolist()], scores, features, n_found < wanted or k == len(half.vocabulary)
    )


def _looked_up(
    parts: Parts, half: Recommender, question: Question, size: int, allowed: ItemSet | None
) -> Neighbours | None:
    """Read the row of an item whose vector is still the index's, if there is a table of neighbours."""
    table, item = half.neighbours, question.item
    if half is not parts.base or table is None or question.rules is not None or table.mode != question.mode:
        return None
    if item is None or item in parts.rows or item not in half.vocabulary:
        return None
    return table.lookup(half.vocabulary.num(item), size, allowed)
