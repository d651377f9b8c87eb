"""The Python client and servers that are busy, cut off, silent, or something else altogether."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from misbehaving import DROP, HANG, Reply, misbehaving
from serving_world import free_port

from item2vec.client import Client, Event, Refused, transport
from item2vec.client.transport import Retries
from item2vec.errors import MissingDependencyError, RunError, UsageError

READY = Reply(200, {"status": "ready", "release": "r1", "refused": None})
ACCEPTED = Reply(200, {"accepted": 1})
TIMED, UNTIMED = [Event("a", ts_us=5)], [Event("a")]


def busy(after: str | None = None) -> Reply:
    problem = {
        "type": "about:blank",
        "title": "Busy",
        "status": 503,
        "detail": "Too much.",
        "request_id": "q1",
    }
    headers = () if after is None else (("Retry-After", after),)
    return Reply(503, problem, headers, "application/problem+json")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries; none is waited for."""
    found: list[float] = []
    monkeypatch.setattr(transport, "pause", found.append)
    return found


def test_a_busy_server_is_asked_again(waits: list[float]) -> None:
    with misbehaving(busy(), busy(), READY) as server, Client(server.url, backoff=1.0) as client:
        assert client.ready().release == "r1"
        assert len(server.seen) == 3
    assert len(waits) == 2
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2


def test_waits_are_real(monkeypatch: pytest.MonkeyPatch) -> None:
    with misbehaving(busy(), busy(), READY) as server, Client(server.url, backoff=0.1) as client:
        client.ready()
        first, second, third = (at for _, at in server.seen)
    assert second - first >= 0.05  # never less than half a wait; how much more is the machine's affair
    assert third - second >= 0.1


def test_even_what_changes_something_is_sent_again_to_a_busy_server(waits: list[float]) -> None:
    with misbehaving(busy(), ACCEPTED) as server, Client(server.url) as client:
        assert client.add_events("u", UNTIMED) == 1
        assert [line for line, _ in server.seen] == ["POST /v1/events HTTP/1.1"] * 2


def test_retry_after_is_honoured(waits: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    zoneless = past.replace("GMT", "-0000")  # read without a zone
    replies = [busy("2"), busy(later), busy(past), busy(zoneless), busy("soon"), READY]
    with misbehaving(*replies) as server, Client(server.url, retries=9, backoff=0) as client:
        client.ready()
    assert waits[0] == 2
    assert 4 < waits[1] <= 8
    assert waits[2:] == [0, 0, 0]


@pytest.mark.parametrize("after", ["11", "999999999999999999999", None])
def test_a_server_that_stays_busy_is_given_up_on(waits: list[float], after: str | None) -> None:
    with misbehaving(busy(after)) as server, Client(server.url, retries=2, token="t" * 20) as client:
        with pytest.raises(
            RunError, match=r"^503 Busy: Too much\. Next: try again later.*\[request q1\]$"
        ) as found:
            client.ready()
        assert len(server.seen) == (3 if after is None else 1)
    assert ("asked 3 times" in str(found.value)) == (after is None)
    assert isinstance(found.value.__cause__, Refused)
    assert found.value.__cause__.status == 503


def test_a_dropped_connection_is_opened_again(waits: list[float]) -> None:
    with misbehaving(DROP, DROP, READY) as server, Client(server.url) as client:
        assert client.ready().release == "r1"
        assert len(server.seen) == 3
    with misbehaving(DROP, ACCEPTED) as server, Client(server.url) as client:
        assert client.add_events("u", TIMED) == 1
        assert len(server.seen) == 2
    told = r"does not answer \(asked 2 times\).*is the server running"
    with (
        misbehaving(DROP) as server,
        Client(server.url, retries=1) as client,
        pytest.raises(RunError, match=told),
    ):
        client.ready()


def test_events_without_a_time_are_sent_once(waits: list[float]) -> None:
    with misbehaving(DROP, ACCEPTED) as server, Client(server.url) as client:
        with pytest.raises(RunError, match="it may have been done: look before you send it again"):
            client.add_events("u", UNTIMED)
        assert len(server.seen) == 1
    assert waits == []


def test_nobody_there(waits: list[float]) -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", retries=2)
    with client, pytest.raises(RunError, match=r"asked 3 times.*is the server running") as found:
        client.model()
    assert len(waits) == 2
    assert isinstance(found.value.__cause__, httpx.ConnectError)


def test_silence_ends_at_the_timeout(waits: list[float]) -> None:
    with misbehaving(HANG) as server, Client(server.url, timeout=0.2) as client:
        with pytest.raises(RunError, match=r"ReadTimeout.*give a longer timeout"):
            client.ready()
        assert len(server.seen) == 1
    assert waits == []


STRANGERS = {
    "a login page": Reply(200, b"<html>", kind="text/html"),
    "another page's 404": Reply(404, b"<html>", kind="text/html"),
    "a redirection": Reply(302, b"", (("Location", "http://127.0.0.1:9/"),)),
    "a proxy's 502": Reply(502, b"Bad Gateway", kind="text/plain"),
    "a proxy's 503": Reply(503, b"Unavailable", kind="text/plain"),
    "a problem that is none": Reply(422, [1], kind="application/problem+json"),
    "a broken problem": Reply(422, b"{", kind="application/problem+json"),
    "no JSON": Reply(200, b"{"),
    "a list": Reply(200, [1]),
    "other JSON": Reply(200, {"a": 1}),
    "304 to no question": Reply(304, b""),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_lookup_api_is_said_to_be_none(waits: list[float], name: str) -> None:
    with misbehaving(STRANGERS[name]) as server, Client(server.url, token="s" * 20) as client:
        with pytest.raises(RunError, match=r"no answer of an item2vec server|cannot read") as found:
            client.ready()
        assert len(server.seen) == (4 if "503" in name else 1)
    assert "ssss" not in str(found.value)


def test_a_login_page_deletes_nothing() -> None:
    with misbehaving(STRANGERS["a login page"]) as server, Client(server.url) as client:
        with pytest.raises(RunError, match="no answer of an item2vec server"):
            client.delete_item("a")
        assert len(server.seen) == 1


def test_a_token_is_sent_and_no_redirection_carries_it_away() -> None:
    with misbehaving(READY) as other:
        away = Reply(307, b"", (("Location", other.url),))
        with misbehaving(away) as server, Client(server.url, token="s" * 20) as client:
            with pytest.raises(RunError):
                client.ready()
            assert b"authorization: bearer " + b"s" * 20 in server.heads[0].lower()
        assert other.seen == []


def test_a_fault_of_the_server_names_its_request() -> None:
    problem = {"title": "A fault of the server", "status": 500, "detail": "Something.", "request_id": "q7"}
    with misbehaving(Reply(500, problem, kind="application/problem+json")) as server:
        with Client(server.url) as client, pytest.raises(RunError, match=r"500 .*log has .*\[request q7\]"):
            client.ready()
        assert len(server.seen) == 1


def test_waits_grow_to_their_limit_and_differ() -> None:
    retries = Retries(most=70, backoff=0.5, longest=4.0)
    for tried, most in ((1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 4.0), (70, 4.0)):
        found = [retries.seconds(tried) for _ in range(50)]
        assert all(one is not None and most / 2 <= one <= most for one in found)
        assert len(set(found)) > 40
    assert retries.seconds(71) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "127.0.0.1:8000"},
        {"base_url": "http://h/?a=1"},
        {"base_url": "http://h/#a"},
        {"base_url": "http://anna:secret@h"},
        {"cache": -1},
        {"timeout": None},
        {"timeout": 0},
        {"retries": -1},
        {"backoff": -1},
        {"backoff": float("nan")},
        {"timeout": float("nan")},
    ],
)
def test_odd_arguments_are_refused(arguments: dict[str, float | str | None]) -> None:
    with pytest.raises(UsageError) as found:
        Client(**arguments)  # type: ignore[arg-type]
    assert "secret" not in str(found.value)


def test_an_address_that_is_none_is_an_error_of_ours() -> None:
    with Client("http://h:port") as client, pytest.raises(RunError, match="check base_url"):
        client.ready()


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'item2vec\[client\]'"):
        Client()
