"""From checked requests to replies: the meeting of HTTP's words and the look-ups; still no HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from item2vec.errors import UnknownItemError
from item2vec.recommendations import InterestWeights, UserEvent, UserHistory
from item2vec.recommendations.user_events import DAY_US
from item2vec.serving import requests
from item2vec.serving.conditions import only, query_pairs
from item2vec.serving.found import ForUser, Found, Wanted
from item2vec.serving.ids import decoded, no_such_item, plain_text
from item2vec.serving.limits import DEFAULT_K, MAX_K
from item2vec.serving.lookups import Lookups
from item2vec.serving.problems import refused
from item2vec.serving.replies import Reply, Shown, listed, reply

if TYPE_CHECKING:
    from item2vec.serving.conditions import Pairs
    from item2vec.serving.engine import Serving
    from item2vec.vocabulary import ItemId

_SEEN: dict[str, bool | Literal["booked"]] = {"true": True, "false": False, "booked": "booked"}


class Answers:
    """Answers checked requests.

    Every request comes with the releases that were served when it began, and stays with them.

    Parameters
    ----------
    cache_control : str
        Of lists of similar items by id.
    logs : bool
        Whether there is a served log, so that replies that are kept know what they show.
    """

    def __init__(self, cache_control: str, logs: bool = False) -> None:
        self._cache_control, self._logs = cache_control, logs

    def similar_by_id(
        self, serving: Serving, segment: str | bytes, query: bytes, *, kept: bool = True
    ) -> Reply:
        """Answer ``GET /v1/items/{item_id}/similar``.

        Parameters
        ----------
        serving : Serving
        segment : str or bytes
            The id as it stands in the address.
        query : bytes
        kept : bool
            Whether a reply that was made before may be given again.

        Raises
        ------
        Problem, Item2VecError
        """
        lookups, replies = serving.a, serving.a.replies
        address = (segment if isinstance(segment, bytes) else segment.encode()) + b"?" + query
        if kept and (known := replies.get(address)) is not None:
            return known
        own, pairs = _split(query_pairs(query), frozenset({"k", "mode", "user"}))
        user = own.get("user")
        if user is not None:
            lookups = serving.of(plain_text(user, "user"))
        item_id = lookups.ids.of_address(segment)
        wanted = self._wanted(lookups, own, pairs, "similar")
        try:
            found = lookups.similar(item_id, wanted)
        except UnknownItemError:
            raise no_such_item() from None
        value = {"item_id": item_id, "mode": wanted.mode, **_list(found)}
        made = reply(lookups, value, self._cache_control, **_facts([(str(item_id), found)]))
        if user is None:
            replies.keep(address, made if self._logs else made._replace(shown=()))
        return made

    def similar(self, serving: Serving, body: requests.SimilarRequest) -> Reply:
        """Answer ``POST /v1/similar``."""
        lookups = serving.of(body.user_id)
        given = [name for name in ("item_ids", "vector", "attributes") if getattr(body, name) is not None]
        if len(given) != 1:
            raise refused("body", "give one of item_ids, vector and attributes")
        wanted = self._wanted_of(lookups, body, body.mode)
        if body.item_ids is not None:
            ids = [
                lookups.ids.of_json(one, f"body.item_ids.{place}") for place, one in enumerate(body.item_ids)
            ]
            several = lookups.similar_each(ids, wanted)
            pairs = list(zip(body.item_ids, several, strict=True))
            results = [_result(one, found) for one, found in pairs]
            facts = _facts([(str(one), found) for one, found in pairs if found is not None])
        elif body.vector is not None:
            found = lookups.similar_to(self._vector(lookups, body.vector), wanted)
            results, facts = [_result(None, found)], _facts([("vector", found)])
        else:
            attributes = lookups.conditions.attributes(body.attributes or {}, "body.attributes")
            found, provenance = lookups.similar_to_attributes(attributes, wanted)
            told = {"tier": provenance.tier, "n_items": provenance.n_items, "shared": list(provenance.shared)}
            results = [{**_result(None, found), "vector_from": told}]
            facts = _facts([("attributes", found)])
        return reply(lookups, {"mode": wanted.mode, "results": results}, **facts)

    def recommend(self, serving: Serving, body: requests.RecommendRequest) -> Reply:
        """Answer ``POST /v1/recommend``."""
        lookups = serving.of(body.user_id)
        if body.events is not None and body.history is not None:
            raise refused("body", "give events or history, not both")
        now = _now() if body.as_of_us is None else body.as_of_us
        clicks = [requests.Event(item_id=one) for one in body.history or ()]
        events = events_of(lookups, body.events if body.events is not None else clicks, now)
        user = UserHistory(events, body.attributes or {}, now)
        wanted = self._wanted_of(lookups, body, self._mode(lookups, body.mode))
        weights = None if body.weights is None else InterestWeights(**requests.given(body.weights))
        found = lookups.recommend(
            user, wanted, filter_seen=body.filter_seen, weights=weights, explain=body.explain
        )
        return _user_reply(lookups, body.user_id, wanted, found)

    def for_user(self, lookups: Lookups, user_id: str, events: list[UserEvent], query: bytes) -> Reply:
        """Answer ``GET /v1/users/{user_id}/recommend`` from the user's history."""
        own, pairs = _split(query_pairs(query), frozenset({"k", "mode", "filter_seen", "explain"}))
        wanted = self._wanted(lookups, own, pairs, lookups.default_mode)
        seen, explain = own.get("filter_seen", "true"), own.get("explain", "false")
        if seen not in _SEEN:
            raise refused("filter_seen", "it is true, false or booked")
        if explain not in ("true", "false"):
            raise refused("explain", "it is true or false")
        user = UserHistory(events)
        found = lookups.recommend(user, wanted, filter_seen=_SEEN[seen], explain=explain == "true")
        return _user_reply(lookups, user_id, wanted, found)

    def features(self, serving: Serving, body: requests.FeaturesRequest) -> Reply:
        """Answer ``POST /v1/features``."""
        lookups = serving.a
        now = _now() if body.as_of_us is None else body.as_of_us
        given = [
            lookups.ids.of_json(one, f"body.item_ids.{place}") for place, one in enumerate(body.item_ids)
        ]
        known = [one for one in given if one is not None and one in lookups.loaded.vocabulary]
        events = events_of(lookups, body.events, now)
        found = lookups.features(known, events, now, body.attributes)
        rows = iter(found.rows)
        items = [
            {"item_id": asked, "status": "ok", "features": next(rows)}
            if one is not None and one in lookups.loaded.vocabulary
            else {"item_id": asked, "status": "unknown", "features": None}
            for asked, one in zip(body.item_ids, given, strict=True)
        ]
        return reply(lookups, {"names": list(found.names), "items": items, "history": found.history})

    def item(self, serving: Serving, segment: str) -> Reply:
        """Answer ``GET /v1/items/{item_id}``."""
        lookups = serving.a
        try:
            found = lookups.item(lookups.ids.of_address(segment))
        except UnknownItemError:
            raise no_such_item() from None
        return reply(lookups, found, "private, no-cache")

    def search(self, serving: Serving, query: bytes) -> Reply:
        """Answer ``GET /v1/items?q=&k=``."""
        lookups = serving.a
        own = only(query_pairs(query), frozenset({"q", "k"}))
        text = own.get("q", "")
        if text:
            plain_text(text, "q")
        found = lookups.names.search(text, _k(own), lookups)
        return reply(lookups, {"items": [{"item_id": one} for one in found]}, "private, no-cache")

    def user_of(self, segment: str) -> str:
        """Return the user id in an address."""
        return decoded(segment, "user_id")

    def _wanted(self, lookups: Lookups, own: dict[str, str], pairs: Pairs, default: str) -> Wanted:
        mode = own.get("mode", default)
        if mode not in lookups.modes:
            raise refused("mode", f"it is one of {', '.join(lookups.modes)}")
        return Wanted(_k(own), mode, lookups.conditions.of_query(pairs))  # type: ignore[arg-type]

    def _wanted_of(self, lookups: Lookups, body: Any, mode: Any) -> Wanted:
        allow = None if body.allow is None else lookups.ids.known_kind(body.allow, "body.allow")
        deny = lookups.ids.known_kind(body.deny or (), "body.deny")
        where = lookups.conditions.of_json(body.where)
        return Wanted(body.k, self._mode(lookups, mode), where, allow, deny)

    @staticmethod
    def _mode(lookups: Lookups, mode: Any) -> Any:
        if mode is None:
            return lookups.default_mode
        if mode not in lookups.modes:
            raise refused("body.mode", f"this release answers {', '.join(lookups.modes)}")
        return mode

    @staticmethod
    def _vector(lookups: Lookups, vector: list[float]) -> list[float]:
        size = lookups.loaded.vectors.vectors.shape[1]
        if len(vector) != size or not any(vector):
            raise refused("body.vector", f"a vector has {size} numbers, not all of them zero")
        if sum(one * one for one in vector) > 1e30:
            raise refused("body.vector", "its numbers are too large")
        return vector


def events_of(lookups: Lookups, given: Sequence[requests.Event], now: int) -> list[UserEvent]:
    """Return the events of a body; those without a time happened just before now, in their order."""
    found = []
    for place, one in enumerate(given):
        item_id = lookups.ids.of_json(one.item_id, f"body.events.{place}.item_id")
        if item_id is None:
            raise refused(f"body.events.{place}.item_id", "the item ids of this release are whole numbers")
        ts_us = max(0, now - len(given) + place) if one.ts_us is None else one.ts_us
        found.append(UserEvent(item_id, one.event_type, ts_us, one.dwell_seconds))
    return found


def new_events(lookups: Lookups, body: requests.EventsRequest) -> list[UserEvent]:
    """Return events that are to be stored; none may lie more than a day ahead."""
    now = _now()
    events = events_of(lookups, body.events, now)
    for place, one in enumerate(events):
        if one.ts_us > now + DAY_US:
            raise refused(f"body.events.{place}.ts_us", "it is microseconds since 1970, a day ahead at most")
    return events


def _now() -> int:
    return time.time_ns() // 1000


def _k(own: dict[str, str]) -> int:
    text = own.get("k", str(DEFAULT_K))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_K):
        raise refused("k", f"it is a whole number from 1 to {MAX_K}")
    return int(text)


def _split(pairs: Pairs, names: frozenset[str]) -> tuple[dict[str, str], Pairs]:
    """Tell the parameters of a route from conditions on columns."""
    own = only([pair for pair in pairs if pair[0] in names], names)
    return own, [pair for pair in pairs if pair[0] not in names]


def _list(found: Found) -> dict[str, Any]:
    return {"items": listed(found), "path": found.path, "reason": found.reason}


def _result(item_id: ItemId | None, found: Found | None) -> dict[str, Any]:
    if found is None:
        return {"item_id": item_id, "status": "unknown", "items": [], "path": "none", "reason": None}
    return {"item_id": item_id, "status": "ok", **_list(found)}


def _facts(lists: Sequence[tuple[str, Found]]) -> dict[str, Any]:
    """Return what figures and the served log want to know of some lists."""
    return {
        "path": lists[0][1].path if lists else "none",
        "n_results": sum(len(found.ids) for _, found in lists),
        "lists": tuple((found.path, len(found.ids)) for _, found in lists),
        "shown": tuple(Shown(query, found.ids, found.scores) for query, found in lists),
    }


def _user_reply(lookups: Lookups, user_id: str | None, wanted: Wanted, answer: ForUser) -> Reply:
    value = {"mode": wanted.mode, **_list(answer.found), "fallback": answer.fallback}
    if answer.explanations is not None:
        value["explanations"] = answer.explanations
    facts = _facts([("user" if user_id is not None else "history", answer.found)])
    return reply(lookups, value, fallback=answer.fallback, **facts)
