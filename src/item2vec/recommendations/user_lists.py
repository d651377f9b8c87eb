"""Lists for users of whom more is known than clicks: every interest blended, filtered, ruled, explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.index import ItemSet, Neighbours
from item2vec.index.identity import id_ranks
from item2vec.index.space import Mode
from item2vec.recommendations.explanations import Explanation, explain
from item2vec.recommendations.interest import ELSEWHERE, Blend, UserInterest
from item2vec.recommendations.lists import ranked, ruled_lists
from item2vec.recommendations.user_history import UserHistory

if TYPE_CHECKING:
    from item2vec.embeddings.types import TypeEmbeddings
    from item2vec.recommendations.centroids import InterestWeights
    from item2vec.recommendations.lookup import Lookup
    from item2vec.recommendations.rules import CompiledRules

Seen = bool | Literal["booked"]
Nums = npt.NDArray[np.int32]
NOTHING: Nums = np.zeros(0, np.int32)


class UserQuestion(NamedTuple):
    """What a call asks for its users."""

    N: int
    allowed: ItemSet | None
    mode: Mode
    weights: InterestWeights
    rules: CompiledRules | None
    filter_seen: Seen


class UserAnswer(NamedTuple):
    """The list of one user.

    Attributes
    ----------
    found : Neighbours
        One row of N items.
    hidden : ndarray of int32
        Items of the user's own that were left out.
    blend : Blend
    """

    found: Neighbours
    hidden: Nums
    blend: Blend


class UserLists:
    """Recommends for :class:`UserHistory` from one recommender's vectors, types, attributes and filters.

    Every item counts, though few are looked at: :mod:`.interest_search`.
    """

    def __init__(self, rec: Lookup, types: TypeEmbeddings | None = None) -> None:
        self.market_names: list[str] = []
        everything = np.arange(len(rec.vocabulary), dtype=np.int32)
        markets = np.full(len(everything), ELSEWHERE, np.int64)
        if rec.attributes is not None and "market" in rec.attributes.names:
            values = rec.attributes.column("market").objects(everything)
            self.market_names = sorted({str(one) for one in values if one is not None})
            numbers = {name: number for number, name in enumerate(self.market_names)}
            markets = np.array([ELSEWHERE if one is None else numbers[str(one)] for one in values], np.int64)
        of_types = None
        if types is not None:
            from item2vec.recommendations.type_interest import TypeInterest

            assert rec.attributes is not None  # the recommender sees to that
            of_types = TypeInterest(types, rec.vocabulary, rec.attributes.rows(everything), by="cosine")
        self.interest = UserInterest(rec.vectors, markets, of_types)
        self._id_rank, self._n_items = id_ranks(rec.vocabulary), len(everything)

    def answer(self, user: UserHistory, asked: UserQuestion) -> UserAnswer:
        """Return the N items of most interest to a user, those equal by id."""
        now = user.moment_us  # of a question without one the clock's, read once
        blend = self.interest.blend(user, now, asked.mode, asked.weights)
        hidden = _seen(user, blend, asked.filter_seen)
        if asked.rules is None:
            found = self._best(blend, asked.N, asked.allowed, hidden)
        else:
            found = ruled_lists(
                lambda k: self._best(blend, k, asked.allowed), [hidden], asked.N, self._n_items, asked.rules
            )
        return UserAnswer(found, hidden, blend)

    def _best(self, blend: Blend, k: int, allowed: ItemSet | None, hidden: Nums = NOTHING) -> Neighbours:
        nums = self.interest.contenders(blend, k + len(hidden), allowed)
        if len(hidden):
            nearest = np.minimum(np.searchsorted(hidden, nums), len(hidden) - 1)
            nums = nums[hidden[nearest] != nums]
        return ranked(nums, self.interest.scores(blend, nums), k, self._id_rank)

    def explained(self, user: UserHistory, answer: UserAnswer) -> list[Explanation]:
        """Take the score of every listed item apart, in the order of the list."""
        listed = answer.found.item_nums[0] >= 0
        nums, scores = answer.found.item_nums[0][listed], answer.found.scores[0][listed]
        parts = self.interest.parts(answer.blend, nums)
        return [
            explain(
                self.interest,
                user,
                answer.blend,
                num,
                score,
                {name: float(values[row]) for name, values in parts.items()},
                self.market_names,
            )
            for row, (num, score) in enumerate(zip(nums.tolist(), scores.tolist(), strict=True))
        ]


def _seen(user: UserHistory, blend: Blend, filter_seen: Seen) -> Nums:
    """Return the user's own items that are not recommended.

    What comes after the question is not known yet: a back-test would hide its own answers.
    """
    kinds = {True: None, "booked": ("booking",)}.get(filter_seen, ())
    own = {
        num
        for place, num in blend.nums.items()
        if num >= 0 and (kinds is None or user.events[place].event_type in kinds)
    }
    return np.array(sorted(own), np.int32)


class Users(NamedTuple):
    """Users in one call; `single` where one was given and not a list."""

    single: bool
    users: Sequence[UserHistory]


def are_users(histories: Any) -> Users | None:
    """Tell one user, or a list of users, from clicks."""
    if isinstance(histories, UserHistory):
        return Users(True, [histories])
    if isinstance(histories, list | tuple) and histories and isinstance(histories[0], UserHistory):
        others = [one for one in histories if not isinstance(one, UserHistory)]
        if others:
            raise UsageError(f"a list of users holds a {type(others[0]).__name__}; give UserHistory for each")
        return Users(False, histories)
    return None
