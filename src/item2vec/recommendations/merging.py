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
    lifted: Mapping[ItemId, np.float32] | None = None  # scores of the query's own items, where these differ


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
        places = _places(parts, found, question, own if hide else ())
        everything = found.complete or size >= parts.n_items
        if len(places) >= question.N or everything or _too_low(found, question):
            return as_ids([found.ids[k] for k in places], parts), found.scores[places]
        size = min(2 * size, parts.n_items)


def lists_of_each(
    parts: Parts, item_ids: Sequence[ItemId], question: Question
) -> dict[ItemId, tuple[Ids, Scores]]:
    """Answer for each of several items, those that are listed: one search of each part where no rules are."""
    listed = [one for one in dict.fromkeys(item_ids) if parts.has(one)]
    if question.rules is not None:
        asked = {one: question._replace(item=one) for one in listed}
        return {one: merged_lists(parts, parts.vector(one), asked[one], (one,)) for one in listed}
    halves = [half for half in (parts.base, parts.side) if half is not None]
    several = [_nearest_of_each(parts, half, listed, question) for half in halves]
    found = {}
    for one, *lists in zip(listed, *several, strict=True):
        ids = [near for pair in lists for near in pair[0]]
        scores = np.concatenate([pair[1] for pair in lists])
        order = _best_first(ids, scores, question.N)
        found[one] = as_ids([ids[k] for k in order], parts), scores[np.array(order, np.int64)]
    return found


def _nearest_of_each(
    parts: Parts, half: Recommender, item_ids: Sequence[ItemId], question: Question
) -> list[tuple[list[ItemId], Scores]]:
    """Return the N items of a part that are nearest to each of several, less itself."""
    allowed = _allowed(parts, half, question)
    rows = [_looked_up(parts, half, question._replace(item=one), question.N, allowed) for one in item_ids]
    open_places = [place for place, row in enumerate(rows) if row is None]
    if open_places:
        queries = np.stack([parts.vector(item_ids[place]) for place in open_places])
        k = min(question.N + 1, len(half.vocabulary))
        found = half.index(question.mode).search(queries, k, allowed)
        for row, place in enumerate(open_places):
            own = slice(row, row + 1)
            rows[place] = Neighbours(found.item_nums[own], found.scores[own], found.exact[own])
    lists = []
    for one, near in zip(item_ids, rows, strict=True):
        assert near is not None
        nums = near.item_nums[0][near.item_nums[0] >= 0]
        ids = half.vocabulary.item_ids(nums)
        kept = [place for place, other in enumerate(ids) if other != one]
        lists.append(([ids[place] for place in kept], near.scores[0][np.array(kept, np.int64)]))
    return lists


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
    beside = tuple(one for one in own if one in parts.rows)  # changed: what the base knows of it is old
    known = ((parts.base, tuple(one for one in own if one not in parts.rows)), (parts.side, beside))
    twins = [_twins_of(parts, half, question.rules, ids) for half, ids in known if half is not None]
    chosen = choose(question.rules, found.features, found.scores, question.N, np.concatenate(twins))
    return [int(place) for place in chosen]


def _twins_of(
    parts: Parts, half: Recommender, rules: ListRules, own: tuple[ItemId, ...]
) -> npt.NDArray[np.object_]:
    nums = half.vocabulary.nums(own)
    return _compiled(parts, half, rules).features(nums[nums >= 0]).twins


def _compiled(parts: Parts, half: Recommender, rules: ListRules) -> CompiledRules:
    return CompiledRules(rules, half.vectors, half.attributes, largest_count=parts.largest_count)


def _merged(
    parts: Parts, query: npt.NDArray[Any], question: Question, hidden: set[ItemId], size: int
) -> _Candidates:
    """Return the `size` best of both parts, or all there are."""
    halves = [_nearest(parts, half, query, question, hidden, size) for half in (parts.base, parts.side)]
    ids = [one for half in halves for one in half.ids]
    scores = np.concatenate([half.scores for half in halves])
    order = _best_first(ids, scores, size)
    positions = np.array(order, np.int64)
    features = None
    if halves[0].features is not None:
        features = halves[0].features
        if halves[1].features is not None:
            features = features.joined(halves[1].features)
        features = features.taken(positions)
    complete = all(half.complete for half in halves) and len(ids) <= size
    return _Candidates([ids[k] for k in order], scores[positions], features, complete)


def _best_first(ids: Sequence[ItemId], scores: Scores, size: int) -> list[int]:
    """Return the places of the best, equal scores by id."""
    return sorted(range(len(ids)), key=lambda k: (-scores[k], _key(ids[k])))[:size]


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
    allowed = _allowed(parts, half, question)
    row = _looked_up(parts, half, question, size, allowed)
    if row is not None:
        nums = row.item_nums[0][row.item_nums[0] >= 0]
        ids = half.vocabulary.item_ids(nums)
        return _Candidates(ids, row.scores[0][: len(ids)], None, len(ids) < size)
    own = _lifted_in(parts, half, question, allowed)
    hidden = hidden | set(own)
    wanted = size + len(hidden)
    k = min(wanted, len(half.vocabulary))
    found = half.index(question.mode).search(np.asarray(query)[None], k, allowed)
    nums = found.item_nums[0][found.item_nums[0] >= 0]
    complete = len(nums) < wanted or k == len(half.vocabulary)
    ids = half.vocabulary.item_ids(nums)
    kept = np.array([k for k, one in enumerate(ids) if one not in hidden], np.int64)
    nums = np.concatenate([nums[kept], half.vocabulary.nums(list(own))]).astype(np.int32)
    scores = np.concatenate([found.scores[0][: len(ids)][kept], np.array(list(own.values()), np.float32)])
    features = None
    if question.rules is not None:
        features = _compiled(parts, half, question.rules).features(nums)
    return _Candidates([*(ids[k] for k in kept.tolist()), *own], scores, features, complete)


def _allowed(parts: Parts, half: Recommender, question: Question) -> ItemSet | None:
    allowed = half.allowed(question.where, question.items, question.filter_items).items
    return parts.offered_of(half, allowed)


def _lifted_in(
    parts: Parts, half: Recommender, question: Question, allowed: ItemSet | None
) -> dict[ItemId, np.float32]:
    """Return the query's own items that this half may answer with, and their scores."""
    given = {} if question.lifted is None else question.lifted
    mine = [one for one in given if (one in parts.rows) == (half is not parts.base)]
    nums = half.vocabulary.nums(mine)
    return {
        one: given[one]
        for one, num in zip(mine, nums.tolist(), strict=True)
        if num >= 0 and (allowed is None or allowed.mask[num])
    }


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
