"""The definitions of the baselines in plain Python, slow and independent of the package's arrays."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from fractions import Fraction

Item = Hashable
Lists = Sequence[Sequence[Item]]


def weights_of(history: Sequence[Item], decay: float) -> list[tuple[Item, float]]:
    return [(item, decay**age) for age, item in enumerate(reversed(history)) if age == 0 or decay > 0]


def item_knn(
    train: Lists, history: Sequence[Item], decay: float = 0.0, regularization: float = 20.0
) -> dict[Item, float]:
    clicks = Counter(item for session in train for item in session)
    scores: defaultdict[Item, float] = defaultdict(float)
    for i, weight in weights_of(history, decay):
        for j in clicks:
            together = sum(session.count(i) for session in train if j in session)
            if i != j and together:
                norm = math.sqrt((clicks[i] + regularization) * (clicks[j] + regularization))
                scores[j] += weight * together / norm
    return dict(scores)


def sequential_rules(
    train: Lists, history: Sequence[Item], max_distance: int = 10, decay: float = 0.0
) -> dict[Item, float]:
    scores: defaultdict[Item, float] = defaultdict(float)
    for a, weight in weights_of(history, decay):
        for session in train:
            for at, first in enumerate(session):
                for behind, second in enumerate(session[at + 1 :], 1):
                    if first == a and behind <= max_distance:
                        scores[second] += weight / behind
    return dict(scores)


def session_knn(
    train: Lists, history: Sequence[Item], n_neighbors: int = 500, sample_size: int = 1000
) -> dict[Item, float]:
    """Score by V-SKNN's formulas; `train` is ordered by time, the most recent last."""
    ages = {item: age for age, item in reversed(list(enumerate(reversed(history))))}
    sharing = [session for session in reversed(train) if set(session) & set(history)][:sample_size]
    similarities = [
        sum((1 - Fraction(ages[item], len(history)) for item in set(session) if item in ages), Fraction(0))
        for session in sharing
    ]
    nearest = sorted(range(len(sharing)), key=lambda n: (-similarities[n], n))[:n_neighbors]
    votes: defaultdict[Item, Fraction] = defaultdict(Fraction)
    for n in nearest:
        latest = min(ages[item] for item in set(sharing[n]) if item in ages)
        for item in set(sharing[n]):
            votes[item] += similarities[n] / (1 + latest)
    n_with = Counter(item for session in train for item in set(session))
    return {item: float(vote) * math.log(len(train) / n_with[item]) for item, vote in votes.items()}
