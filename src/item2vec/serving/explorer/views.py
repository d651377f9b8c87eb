"""What each page shows: look-ups turned into cards and addresses; no HTTP here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from item2vec.recommendations import UserHistory
from item2vec.serving.explorer.cards import Card, card_of, cards_of, scored_cards
from item2vec.serving.explorer.columns import columns_of, words
from item2vec.serving.explorer.filter_fields import fields_of
from item2vec.serving.explorer.looks import Journey, Look
from item2vec.serving.found import ForUser, Wanted
from item2vec.serving.ids import no_such_item, plain_text
from item2vec.serving.problems import Problem

if TYPE_CHECKING:
    from item2vec.serving.explorer.titles import Titles
    from item2vec.serving.lookups import Lookups
    from item2vec.vocabulary import ItemId

FOUND = 24
NEIGHBOURS = 24
RECOMMENDED = 12
_LONGEST_SEARCH = 256


def home(lookups: Lookups, titles: Titles, text: str) -> dict[str, Any]:
    """Return the listings that a text finds; without one those clicked most."""
    text = text.strip()[:_LONGEST_SEARCH]
    cards = cards_of(lookups, searched(lookups, titles, text, FOUND))
    return {"text": text, "cards": cards, "most": FOUND, "by_title": titles.column is not None}


def clicked_most(lookups: Lookups) -> list[Card]:
    """Return a few listings to go on with from a page that is not there."""
    return cards_of(lookups, lookups.names.search("", 6, lookups))


def searched(lookups: Lookups, titles: Titles, text: str, k: int) -> list[ItemId]:
    """Return up to k listed ids whose id, or else whose title, has a text in it."""
    if text:
        plain_text(text, "q")
    found = dict.fromkeys(lookups.names.search(text, k, lookups))
    if len(found) < k:
        found.update(dict.fromkeys(titles.search(text, k, lookups)))
    return list(found)[:k]


def listing(lookups: Lookups, look: Look) -> dict[str, Any]:
    """Return a listing and its neighbours.

    Raises
    ------
    Problem, UnknownItemError
        If it is not listed.
    """
    item_id = known_id(lookups, look.item_id)
    card = card_of(lookups, item_id)
    refused, cards, reason = None, [], None
    try:
        where = lookups.conditions.of_query(look.filters)
    except Problem as problem:  # the page goes on, and says which filter it left out
        refused, where = problem.detail.removeprefix("query: "), None
    if refused is None:
        wanted = Wanted(NEIGHBOURS, look.mode, where)  # type: ignore[arg-type]
        found = lookups.similar(item_id, wanted)
        cards, reason = scored_cards(lookups, found, are_cosines=look.mode == "similar"), found.reason
    return {
        "look": look,
        "card": card,
        "cards": cards,
        "reason": reason,
        "refused": refused,
        "fields": fields_of(lookups, look.filters),
        "trail": [(_name(lookups, one), look.back(place)) for place, one in enumerate(look.trail)],
        "quick": _quick(lookups, item_id, look),
        "places": sum(one.place is not None for one in [card, *cards]),
        "scores": [cards[-1].score, cards[0].score] if cards else [],
    }


def journey(lookups: Lookups, titles: Titles, way: Journey) -> dict[str, Any]:
    """Return a user's clicks, what is recommended after them, and what the last click moved."""
    listed = [one for one in (_known(lookups, click) for click in way.clicks) if one is not None]
    known = [one for one in listed if one in lookups.live.base.vocabulary]  # users' lists know no others
    answer = _recommended(lookups, known, way.mode)
    before = _recommended(lookups, known[:-1], way.mode, 2 * RECOMMENDED) if known else None
    ahead = (
        [] if before is None else [one for one in before.found.ids if one not in known]
    )  # it left the list
    ranks = {one: rank for rank, one in enumerate(ahead)}
    reasons = {str(one["item_id"]): one for one in answer.explanations or ()}
    moves = {str(one): _move(ranks, one, rank, known) for rank, one in enumerate(answer.found.ids)}
    hits = searched(lookups, titles, way.text, RECOMMENDED) if way.text else []
    return {
        "way": way,
        "clicks": [(_name(lookups, one), one, way.without(place)) for place, one in enumerate(way.clicks)],
        "unknown": len(way.clicks) - len(known),
        "cards": scored_cards(lookups, answer.found, are_cosines=False),
        "moves": moves,
        "because": {one: _because(lookups, reason) for one, reason in reasons.items()},
        "fallback": answer.fallback,
        "hits": cards_of(lookups, hits),
        "by_title": titles.column is not None,
    }


def _recommended(lookups: Lookups, known: list[ItemId], mode: str, k: int = RECOMMENDED) -> ForUser:
    wanted = Wanted(k, mode)  # type: ignore[arg-type]
    return lookups.recommend(UserHistory.of_clicks(known), wanted, explain=bool(known))


def _move(ranks: dict[ItemId, int], item_id: ItemId, rank: int, known: list[ItemId]) -> tuple[str, str]:
    """Return how a recommendation moved with the last click: a kind and words."""
    if not known:
        return "", ""
    if item_id not in ranks:
        return "new", "new"
    up = ranks[item_id] - rank
    if not up:
        return "same", "as before"
    return ("up", f"▲ {up}") if up > 0 else ("down", f"▼ {-up}")


def _because(lookups: Lookups, reason: dict[str, Any]) -> list[str]:
    """Return what a recommendation's score is made of, and the clicks behind it, the strongest first."""
    ordered = sorted(reason["parts"].items(), key=lambda part: -abs(part[1]))
    parts = [f"{name} {value:+.2f}".replace("-", "−") for name, value in ordered if abs(value) >= 0.005]
    if reason["parts"].get("lately", 0) <= 0:
        return parts
    lately = [one for one in reason["lately"] if one["share"] > 0][:2]
    clicks = [f"{_name(lookups, str(one['item_id']))} {one['share']:.0%}" for one in lately]
    return [*parts, *(f"from {one}" if not place else one for place, one in enumerate(clicks))]


def _quick(lookups: Lookups, item_id: ItemId, look: Look) -> list[tuple[str, str, bool]]:
    """Return filters to take with one click: the listing's own market and type."""
    columns, values = columns_of(lookups.conditions.kinds), lookups.item(item_id)["attributes"]
    found = []
    for name in (columns.market, columns.kind):
        value = None if name is None else values.get(name)
        if name is not None and isinstance(value, str) and 0 < len(value) <= 80:
            on = (name, value) in look.filters
            label = f"{words(name)}: {value}"
            target = look._replace(filters=[one for one in look.filters if one != (name, value)]).address
            found.append((label, target if on else look.filtered(name, value), on))
    return found


def known_id(lookups: Lookups, text: str) -> ItemId:
    """Return the id that an address names.

    Raises
    ------
    Problem
        404 where no item can have it.
    """
    found = lookups.ids.of_text(text)
    if found is None:
        raise no_such_item()
    return found


def _known(lookups: Lookups, text: str) -> ItemId | None:
    found = lookups.ids.of_text(text)
    return found if found is not None and lookups.has(found) else None


def _name(lookups: Lookups, text: str) -> str:
    """Return what a listing is called; one that is not there, by its id."""
    found = _known(lookups, text)
    card: Card | None = None if found is None else next(iter(cards_of(lookups, [found])), None)
    name = text if card is None else card.title
    return name if len(name) <= 40 else name[:39] + "…"
