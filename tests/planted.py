"""Statistics of the planted truth: how much of what the simulation hid did training find?

Arrays are per *token* of the sessions (the position of an item in ``Sessions.item_ids``) unless stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from item2vec.embeddings import ItemVectors
from item2vec.evaluation.bootstrap import bootstrap_means, interval
from item2vec.index import ItemIndex
from item2vec.sessions import Sessions


@dataclass(frozen=True)
class Interval:
    """A mean over `n` cases with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}] (n = {self.n:,})"


@dataclass(frozen=True)
class Agreement:
    """Share of each item's nearest neighbours with the item's label, and by chance; arrays (n_cases,)."""

    items: np.ndarray
    share: np.ndarray
    chance: np.ndarray

    def corrected(self, n_bootstrap: int = 1000) -> Interval:
        """Return (x − chance)/(1 − chance) with its interval over items: 0 is chance, 1 is perfect."""

        figures = {"share": self.share, "chance": self.chance}
        means = bootstrap_means(figures, np.arange(len(self.items)), n_bootstrap)
        (share, shares), (chance, chances) = means["share"], means["chance"]
        found = interval((share - chance) / (1 - chance), (shares - chances) / (1 - chances))
        return Interval(found.value, found.low, found.high, len(self.items))


def rows_of_tokens(vectors: ItemVectors, sessions: Sessions) -> np.ndarray:
    """Return for each token the row of its vector, −1 where it has none."""
    return vectors.vocabulary.nums(sessions.item_ids)


def style_within_market(
    vectors: ItemVectors, sessions: Sessions, style: np.ndarray, k: int = 10, min_clicks: int = 20
) -> Agreement:
    """Ask the index for the k items of the same market nearest to each item; compare styles.

    Cases are items with at least `min_clicks` clicks, candidates the other such items of the market.
    """
    rows = rows_of_tokens(vectors, sessions)
    clicks = np.bincount(sessions.tokens, minlength=sessions.n_items)
    eligible = (clicks >= min_clicks) & (rows >= 0)
    style_of_row = np.zeros(len(vectors.vocabulary), np.int64)
    style_of_row[rows[rows >= 0]] = style[rows >= 0]
    index = ItemIndex.build(vectors, mode="similar", backend="exact")
    items, share, chance = [], [], []
    for market in range(len(sessions.market_names)):
        tokens = np.flatnonzero(eligible & (sessions.markets == market))
        if len(tokens) <= k:
            continue
        allowed = np.zeros(len(vectors.vocabulary), bool)
        allowed[rows[tokens]] = True
        found, _ = index.query(vectors.vectors[rows[tokens]], k=k + 1, allowed=allowed)
        others = found != rows[tokens][:, None]
        others[others.all(axis=1), -1] = False  # the item itself was tied out of its own list
        near = found[others].reshape(len(tokens), k)
        items.append(tokens)
        share.append((style_of_row[near] == style[tokens][:, None]).mean(axis=1))
        chance.append((np.bincount(style[tokens])[style[tokens]] - 1) / (len(tokens) - 1))
    return Agreement(np.concatenate(items), np.concatenate(share), np.concatenate(chance))


def market_agreement(
    vectors: ItemVectors, sessions: Sessions, k: int = 10, min_clicks: int = 20
) -> Agreement:
    """Ask the index for the k nearest items anywhere; compare markets."""
    rows = rows_of_tokens(vectors, sessions)
    clicks = np.bincount(sessions.tokens, minlength=sessions.n_items)
    tokens = np.flatnonzero((clicks >= min_clicks) & (rows >= 0))
    allowed = np.zeros(len(vectors.vocabulary), bool)
    allowed[rows[tokens]] = True
    market_of_row = np.full(len(vectors.vocabulary), -1)
    market_of_row[rows[tokens]] = sessions.markets[tokens]
    index = ItemIndex.build(vectors, mode="similar", backend="exact")
    found, _ = index.query(vectors.vectors[rows[tokens]], k=k + 1, allowed=allowed)
    others = found != rows[tokens][:, None]
    others[others.all(axis=1), -1] = False
    near = found[others].reshape(len(tokens), k)
    own = sessions.markets[tokens]
    chance = (np.bincount(own)[own] - 1) / (len(tokens) - 1)
    return Agreement(tokens, (market_of_row[near] == own[:, None]).mean(axis=1), chance)


def clustered(values: np.ndarray, clusters: np.ndarray, n_bootstrap: int = 1000) -> Interval:
    """Return the mean of `values` with an interval over whole clusters (sessions, guests, items)."""
    found = interval(*bootstrap_means({"value": values}, clusters, n_bootstrap)["value"])
    return Interval(found.value, found.low, found.high, len(values))


def without_bookings(sessions: Sessions) -> Sessions:
    """Return the same clicks with nothing booked: eq. 4 falls back to eq. 3."""
    nothing = np.zeros(len(sessions) + 1, np.int64)
    return replace(sessions, booked=np.zeros(0, np.int32), booked_offsets=nothing, booked_us=None)


def shuffle_clicks(sessions: Sessions, groups: np.ndarray, seed: int = 0) -> Sessions:
    """Deal the clicks of each group of items out again among the places they came from; nothing is booked."""
    tokens = _deal(sessions.tokens, groups[sessions.tokens], seed)
    return without_bookings(replace(sessions, tokens=tokens))


def shuffle_bookings(sessions: Sessions, seed: int = 0) -> Sessions:
    """Deal the bookings of each market out again: as many bookings per listing, of the wrong sessions."""
    return replace(sessions, booked=_deal(sessions.booked, sessions.markets[sessions.booked], seed))


def _deal(values: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Permute values within each group."""
    rng, dealt = np.random.default_rng(seed), values.copy()
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        dealt[places] = values[rng.permutation(places)]
    return dealt


def personal_gain(vectors: ItemVectors, sessions: Sessions, since_us: float) -> Interval:
    """Ask whether a guest's own history finds the next session's first click better than a stranger's does.

    For each session from `since_us` on whose user was in the same market before: the normalised rank of its
    first click among the market's listings, by cosine to the mean of the clicks so far, own less stranger's
    (the previous such guest's history of the same market). Positive: own is better. Interval over guests,
    whose sessions all rank by much the same history.
    """
    rows = rows_of_tokens(vectors, sessions)
    known = rows >= 0
    unit = np.zeros((sessions.n_items, vectors.vector_size), np.float32)
    unit[known] = vectors.vectors[rows[known]]
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    in_market = [np.flatnonzero(known & (sessions.markets == m)) for m in range(len(sessions.market_names))]
    history: dict[tuple[str, int], list[np.ndarray]] = {}
    strangers: dict[int, tuple[str, np.ndarray]] = {}
    gains, guests = [], []
    users, markets = sessions.user_ids.to_pylist(), sessions.session_markets()
    for number in np.argsort(sessions.start_us, kind="stable"):
        clicks = sessions.tokens[sessions.offsets[number] : sessions.offsets[number + 1]]
        user, market = users[number], int(markets[number])
        past = history.setdefault((user, market), [])
        if past and sessions.start_us[number] >= since_us and known[clicks[0]]:
            own = unit[np.concatenate(past)].mean(axis=0)
            stranger, theirs = strangers.get(market, (user, own))
            if stranger != user:
                ranks = [_rank(unit, in_market[market], clicks[0], query) for query in (own, theirs)]
                gains.append(ranks[1] - ranks[0])
                guests.append(user)
            strangers[market] = (user, own)
        past.append(clicks)
    return clustered(np.array(gains), np.array(guests))


def _rank(unit: np.ndarray, candidates: np.ndarray, target: int, query: np.ndarray) -> float:
    """Normalised rank of `target` among `candidates` by product with `query`."""
    scores = unit[candidates] @ query
    own = unit[target] @ query
    return float((scores > own).sum() + 0.5 * ((scores == own).sum() - 1)) / (len(candidates) - 1)
