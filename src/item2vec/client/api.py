"""One method per route of the lookup API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from item2vec.client import requests, results
from item2vec.client.requests import Call, EventLike, ListOptions, Mode, Where, body, query, segment
from item2vec.client.results import ItemId, Json
from item2vec.client.transport import Retries, Transport
from item2vec.errors import RunError, UsageError

T = TypeVar("T")
Seen = bool | Literal["booked"]


class Client:
    """Asks a server that ``item2vec serve`` started; threads may share one, and so may forked processes.

    A busy server (503) is asked again, as late as its ``Retry-After`` says. A lost connection is opened again
    where the same call twice does no harm: everywhere but for events without a time of their own. Taking an
    item out twice is harmless too, but the second time it is unknown.

    Parameters
    ----------
    base_url : str
        As ``http://127.0.0.1:8000``, with the prefix of a proxy if there is one.
    token : str, optional
        The server's bearer token.
    timeout : float
        Seconds to connect, and of silence while sending and reading; not retried.
    retries : int
        Tries after the first.
    backoff : float
        Seconds before the second try; doubled with each, half of it by chance.
    longest_wait : float
        Seconds between two tries at most; a server that asks for more is not asked again.
    cache : int
        Replies kept by their ETag: such a list is asked for again, and sent again only if it changed.

    Raises
    ------
    MissingDependencyError
        If httpx is missing.
    UsageError
        If an argument does not fit.

    Every method raises :class:`~item2vec.errors.UnknownItemError` for an item that is not there,
    :class:`~item2vec.errors.UsageError` for another refusal, and :class:`~item2vec.errors.RunError` where no
    server answers. The ``__cause__`` of a refusal is a :class:`~item2vec.client.Refused`.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8000", token="…") as client:      # doctest: +SKIP
    ...     client.similar("L0001222", k=5, where={"market": "Paris", "price": (None, 90)}).ids
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.1,
        longest_wait: float = 10.0,
        cache: int = 0,
    ) -> None:
        self._transport = Transport(base_url, token, timeout, Retries(retries, backoff, longest_wait), cache)

    def __repr__(self) -> str:
        return f"Client({self._transport!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; ``with`` does it too."""
        self._transport.close()

    def similar(
        self,
        item_id: ItemId,
        *,
        k: int | None = None,
        mode: Mode | None = None,
        where: Where | None = None,
        user_id: str | None = None,
    ) -> results.SimilarItems:
        """Return the items most similar to one (``GET /v1/items/{item_id}/similar``).

        Parameters
        ----------
        item_id : str or int
        k : int, optional
            1 to 200; by default 10.
        mode : {"similar", "next"}, optional
        where : mapping, optional
            Conditions by column: a value, a list of values, or a range ``(low, high)`` with None for an open
            end.
        user_id : str, optional
            For the served log and the split between releases.
        """
        asked = query({"k": k, "mode": mode, "user": user_id}, where)
        return self._asked(
            Call("GET", f"/v1/items/{segment(item_id)}/similar{asked}"), results.SimilarItems.of
        )

    def similar_batch(
        self, item_ids: Iterable[ItemId], **options: Unpack[ListOptions]
    ) -> results.SimilarResults:
        """Return an answer for each of up to 100 ids (``POST /v1/similar``); unknown ones spoil no other."""
        return self._similar({"item_ids": requests.plain_ids(item_ids, "item_ids")}, options)

    def similar_to_vector(
        self, vector: Iterable[float], **options: Unpack[ListOptions]
    ) -> results.SimilarResult:
        """Return the items closest to a vector of the release's own space (``POST /v1/similar``)."""
        return self._similar({"vector": requests.numbers(vector)}, options).results[0]

    def similar_to_attributes(
        self, attributes: Mapping[str, Any], **options: Unpack[ListOptions]
    ) -> results.SimilarResult:
        """Return items like one that is not listed yet, by its attributes (``POST /v1/similar``)."""
        return self._similar({"attributes": dict(attributes)}, options).results[0]

    def recommend(
        self,
        *,
        events: Iterable[EventLike] | None = None,
        history: Iterable[ItemId] | None = None,
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        filter_seen: Seen = True,
        explain: bool = False,
        as_of_us: int | None = None,
        **options: Unpack[ListOptions],
    ) -> results.UserItems:
        """Return items for what a user did (``POST /v1/recommend``); nothing is kept.

        Parameters
        ----------
        events : iterable of Event, optional
        history : iterable of ids, optional
            Clicked items, oldest first, instead of events.
        attributes : mapping, optional
            Of the user.
        weights : mapping, optional
            What counts how much, by the names of :class:`~item2vec.InterestWeights`.
        filter_seen : bool or "booked"
        explain : bool
            Take each score apart.
        as_of_us : int, optional
            The user's now, in microseconds since 1970 (UTC).
        options
            ``k``, ``mode``, ``where``, ``allow``, ``deny``, ``user_id``.
        """
        fields = {
            **requests.list_fields(options),
            "events": requests.event_fields(events),
            "history": None if history is None else requests.plain_ids(history, "history"),
            "attributes": attributes,
            "weights": weights,
            "filter_seen": filter_seen,
            "explain": explain,
            "as_of_us": as_of_us,
        }
        return self._asked(Call("POST", "/v1/recommend", body(fields)), results.UserItems.of)

    def add_events(self, user_id: str, events: Iterable[EventLike]) -> int:
        """Keep what a user did (``POST /v1/events``) and return how many events were accepted.

        They are committed when this returns. Give each its ``ts_us``: the same event again is stored once, so
        that such a call is made again when the connection is lost.
        """
        rows = requests.event_fields(events) or []
        timed = all("ts_us" in row for row in rows)
        call = Call("POST", "/v1/events", body({"user_id": user_id, "events": rows}), timed)
        return self._asked(call, lambda value, _: int(value["accepted"]))

    def recommend_user(
        self,
        user_id: str,
        *,
        k: int | None = None,
        mode: Mode | None = None,
        where: Where | None = None,
        filter_seen: Seen | None = None,
        explain: bool = False,
    ) -> results.UserItems:
        """Return items for a user by the history kept there (``GET /v1/users/{user_id}/recommend``)."""
        own = {"k": k, "mode": mode, "filter_seen": filter_seen, "explain": explain or None}
        return self._asked(
            Call("GET", f"/v1/users/{segment(user_id)}/recommend{query(own, where)}"), results.UserItems.of
        )

    def delete_user(self, user_id: str) -> int:
        """Delete all that is kept of a user (``DELETE /v1/users/{user_id}``); return how many events."""
        call = Call("DELETE", f"/v1/users/{segment(user_id)}")
        return self._asked(call, lambda value, _: int(value["events"]))

    def put_item(
        self,
        item_id: ItemId,
        *,
        attributes: Mapping[str, Any] | None = None,
        vector: Iterable[float] | None = None,
        context_vector: Iterable[float] | None = None,
        like: Iterable[ItemId] | None = None,
    ) -> results.ItemPlaced:
        """List an item, or change it (``PUT /v1/items/{item_id}``).

        What is not given of a listed item stays as it is. The vector of a new one is given, taken from the
        items it is ``like``, or from those that share its attributes; one of the three is needed.
        """
        if not attributes and vector is None and context_vector is None and like is None:
            raise UsageError(f"put_item({item_id!r}): give attributes, like or vector")
        fields = {
            "attributes": attributes,
            "vector": requests.numbers(vector),
            "context_vector": requests.numbers(context_vector),
            "like": None if like is None else requests.plain_ids(like, "like"),
        }
        return self._asked(Call("PUT", f"/v1/items/{segment(item_id)}", body(fields)), results.ItemPlaced.of)

    def delete_item(self, item_id: ItemId) -> None:
        """Take an item out of every answer (``DELETE /v1/items/{item_id}``)."""
        self._transport.ask(Call("DELETE", f"/v1/items/{segment(item_id)}"))

    def set_available(self, item_id: ItemId, available: bool) -> bool:
        """Let an item be recommended, or not for now (``PUT /v1/items/{item_id}/availability``)."""
        sent = body({"available": available})
        call = Call("PUT", f"/v1/items/{segment(item_id)}/availability", sent)
        return self._asked(call, lambda value, _: bool(value["available"]))

    def features(
        self,
        item_ids: Iterable[ItemId],
        *,
        events: Iterable[EventLike] | None = None,
        attributes: Mapping[str, Any] | None = None,
        as_of_us: int | None = None,
    ) -> results.Features:
        """Return the eight ranking features of a search's candidates (``POST /v1/features``)."""
        fields = {
            "item_ids": requests.plain_ids(item_ids, "item_ids"),
            "events": requests.event_fields(events),
            "attributes": attributes,
            "as_of_us": as_of_us,
        }
        return self._asked(Call("POST", "/v1/features", body(fields)), results.Features.of)

    def item(self, item_id: ItemId) -> results.Item:
        """Return what is known of an item (``GET /v1/items/{item_id}``)."""
        return self._asked(Call("GET", f"/v1/items/{segment(item_id)}"), results.Item.of)

    def search_items(self, text: str = "", *, k: int | None = None) -> results.ItemNames:
        """Return ids by a text that they begin with, or hold (``GET /v1/items``)."""
        return self._asked(
            Call("GET", f"/v1/items{query({'q': text or None, 'k': k})}"), results.ItemNames.of
        )

    def model(self) -> results.Model:
        """Return the release that answers: its data, figures and columns (``GET /v1/model``)."""
        return self._asked(Call("GET", "/v1/model"), results.Model.of)

    def ready(self) -> results.Ready:
        """Return which release answers (``GET /readyz``); it raises where none does."""
        return self._asked(Call("GET", "/readyz"), results.Ready.of)

    def _similar(self, fields: dict[str, Any], options: ListOptions) -> results.SimilarResults:
        sent = body({**requests.list_fields(options), **fields})
        return self._asked(Call("POST", "/v1/similar", sent), results.SimilarResults.of)

    def _asked(self, call: Call, read: Callable[[Json, str], T]) -> T:
        answer = self._transport.ask(call)
        try:
            return read(json.loads(answer.content), answer.release)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise RunError(
                f"{call.method} {call.path.partition('?')[0]} has an answer that this client cannot read"
                f" ({type(error).__name__}: {error}); install the version of the server"
            ) from error
