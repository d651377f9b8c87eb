"""The server as a process: what it loads, whom it lets in, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from benchmarks.swaps import children
from serving_world import HEADERS, ServerProcess

ROUTES = [
    ("POST", "/v1/similar", {"item_ids": ["L0000001"]}),
    ("POST", "/v1/similar", {"attributes": {"market": "Paris", "price": 80}}),
    ("POST", "/v1/recommend", {"history": ["L0000001"], "explain": True, "attributes": {"market": "Paris"}}),
    ("POST", "/v1/features", {"item_ids": ["L0000001"], "events": [{"item_id": "L0000002"}]}),
]
WRITES = [
    ("POST", "/v1/events", {"user_id": "u", "events": [{"item_id": "L0000001"}]}),
    ("DELETE", "/v1/users/u", None),
    ("PUT", "/v1/items/fresh", {"like": ["L0000001"], "attributes": {"market": "Paris"}}),
    ("PUT", "/v1/items/fresh/availability", {"available": False}),
    ("DELETE", "/v1/items/fresh", None),
]


def ask(client: httpx.Client, method: str, path: str, body: object) -> int:
    return (
        client.request(method, path, json=body).status_code
        if body
        else client.request(method, path).status_code
    )


def loaded_by(pid: int) -> set[str]:
    """Libraries whose machine code a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in ("torch", "pandas", "sklearn", "llvmlite", "duckdb") if f"/{name}/" in maps}


def known_ids(server: ServerProcess) -> None:
    found = {one["item_id"] for one in server.client.get("/v1/items?k=200").json()["items"]}
    assert {"L0000001", "L0000002"} <= found


def test_no_route_loads_a_training_library(
    start: Callable[..., ServerProcess], shop: Path, tmp_path: Path
) -> None:
    server = start(str(shop), "--served-log", str(tmp_path / "served"))
    known_ids(server)
    for method, path, body in [*ROUTES, *WRITES]:
        assert ask(server.client, method, path, body) in (200, 204), path
    for path in (
        "/v1/items/L0000001/similar",
        "/v1/users/u/recommend",
        "/metrics",
        "/openapi.json",
        "/v1/model",
        "/explore?q=L00",
        "/explore/listing?id=L0000001",
        "/explore/journey?click=L0000001",
        "/explore/map.json",
    ):
        assert server.client.get(path).status_code == 200
    (worker,) = server.workers()
    assert loaded_by(worker) == set()
    assert server.stop() == 0
    assert list((tmp_path / "served").glob("served-*.parquet"))


LIGHT = {
    "the package": ("import item2vec.serving", "numpy fastapi torch pandas"),
    "the application": ("import item2vec.serving.app", "torch pandas sklearn numba duckdb"),
    "the help": ("import item2vec.cli.serve", "numpy fastapi torch pandas granian"),
}


@pytest.mark.parametrize("name", LIGHT)
def test_imports_stay_light(name: str) -> None:
    code, heavy = LIGHT[name]
    code += f"; import sys; print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_check_above_would_see_pandas() -> None:
    code = "import pandas, sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert loaded_by(process.pid) == {"pandas"}
        process.communicate(b"")


def test_without_a_token_all_is_read_and_nothing_written(
    start: Callable[..., ServerProcess], shop: Path
) -> None:
    server = start(str(shop), "--server", "uvicorn", token=None)
    for method, path, body in ROUTES:
        assert ask(server.client, method, path, body) == 200, path
    assert server.client.get("/v1/items/L0000001/similar?k=3").status_code == 200
    for method, path, body in WRITES:
        reply = server.client.request(method, path, json=body)
        assert reply.status_code == 403, path
        assert "token" in reply.json()["detail"]
    assert server.client.get("/v1/items/fresh").status_code == 404
    assert server.client.post("/v1/similar", content=b"x" * 70_000).status_code in (413, 415)
    assert "server" not in server.client.get("/readyz").headers
    assert server.stop() in (0, -signal.SIGTERM)  # uvicorn passes the signal on when it is done
    assert server.lines("stopped")


def test_with_a_token_only_the_probes_are_open(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as stranger:
        assert stranger.get("/livez").status_code == stranger.get("/readyz").status_code == 200
        paths = ("/v1/items/L0000001/similar", "/v1/model", "/metrics", "/openapi.json", "/v1/items", "/nope")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc"}):
            for path in paths:
                reply = stranger.get(path, headers=headers)
                assert reply.status_code == 401, path
                assert reply.headers["www-authenticate"] == "Bearer"
            for method, path, body in WRITES:
                assert stranger.request(method, path, json=body, headers=headers).status_code == 401
        # No page of another origin is let in.
        reply = stranger.get("/readyz", headers={"Origin": "https://elsewhere.example"})
        assert not [name for name in reply.headers if name.startswith("access-control")]
        reply = stranger.options("/v1/similar", headers={**HEADERS, "Origin": "https://elsewhere.example"})
        assert reply.status_code == 405


CALLS = {
    "other machines without a token": (["--host", "0.0.0.0"], 2, "--token-file"),
    "another name without a token": (["--host", "example.org"], 2, "--token-file"),
    "a short token": (["--token-file", "short"], 2, "16 or more"),
    "no token file": (["--token-file", "missing"], 2, "no token can be read"),
    "two places for histories": (["--history", "a.db", "--redis", "redis://x"], 2, "one place"),
    "an unknown release": (["--release", "ffff"], 2, "no release whose id starts"),
    "a host with a port": (["--allowed-host", "api.example.org:80"], 2, "without a port"),
    "a share of 2": (["--split", "ffff:2"], 2, "RELEASE:SHARE"),
    "no share": (["--split", "ffff"], 2, "RELEASE:SHARE"),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_calls_are_refused_before_anything_is_loaded(shop: Path, tmp_path: Path, name: str) -> None:
    arguments, code, words = CALLS[name]
    (tmp_path / "short").write_text("abc")
    done = subprocess.run(
        [sys.executable, "-m", "item2vec.cli", "serve", str(shop), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("ITEM2VEC_")},
    )
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_release_does_not_start(start: Callable[..., ServerProcess], own_shop: Path) -> None:
    (index,) = (own_shop / "objects" / "index").iterdir()
    path = index / "similar" / "vectors.npy"
    body = bytearray(path.read_bytes())
    body[-5] ^= 1
    path.unlink()
    path.write_bytes(body)
    server = start(str(own_shop), wait=False)
    assert server.process.wait(30) == 4
    (line,) = server.lines("start_failed")
    assert line["kind"] == "CorruptArtifactError"
    assert "vectors.npy" in line["error"]
    assert "Traceback" not in server.log.read_text()


def test_two_workers_answer_and_join_their_figures(start: Callable[..., ServerProcess], shop: Path) -> None:
    server = start(str(shop), "--workers", "2")
    for _ in range(40):
        with httpx.Client(base_url=server.url, headers=HEADERS, trust_env=False) as client:
            assert client.get("/v1/items/L0000001/similar?k=2").status_code == 200
    route = 'item2vec_requests_total{method="GET",route="/v1/items/{item_id}/similar",status="200"} 40.0'
    assert route in server.client.get("/metrics").text
    assert len(server.workers()) == 2
    reply = server.client.put("/v1/items/fresh", json={"like": ["L0000001"]})
    assert reply.status_code == 409
    assert "--workers 1" in reply.json()["detail"]
    assert server.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_still_starting_can_be_ended(
    start: Callable[..., ServerProcess], shop: Path, workers: int
) -> None:
    server = start(str(shop), "--workers", str(workers), wait=False)
    for _ in range(1000):
        if len(children(server.process.pid)) == workers:
            break
        time.sleep(0.01)
    assert server.stop() == 0
    assert "refused" not in server.log.read_text()


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
def test_no_folder_of_figures_is_left_behind(
    start: Callable[..., ServerProcess],
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Not by a server that ends; of one that was killed the next one clears it away, and of no other."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    first, second = (start(str(shop), "--workers", "2", "--server", kind) for _ in range(2))
    folders = set(temporary.iterdir())
    assert len(folders) == 2
    for pid in (first.process.pid, *first.workers()):
        os.kill(pid, signal.SIGKILL)
    first.process.wait(10)
    assert set(temporary.iterdir()) == folders
    third = start(str(shop), "--workers", "2", "--server", kind)
    assert len(set(temporary.iterdir()) & folders) == 1
    assert second.client.get("/metrics").status_code == third.client.get("/metrics").status_code == 200
    for server in (second, third):
        assert server.stop() == 0
    assert list(temporary.iterdir()) == []
    single = start(str(shop), "--server", kind)
    assert list(temporary.iterdir()) == []
    single.stop()


def test_sigterm_lets_requests_at_work_end(start: Callable[..., ServerProcess], shop: Path) -> None:
    server = start(str(shop))
    outcomes: list[int] = []
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=server.url, headers=HEADERS, trust_env=False) as client:
            while not stop.is_set():
                event = {"user_id": "u", "events": [{"item_id": "L0000001", "ts_us": time.time_ns() // 1000}]}
                try:
                    outcomes.append(client.post("/v1/events", json=event).status_code)
                except httpx.ConnectError:
                    return  # it takes no new connections: it said so
                except httpx.RemoteProtocolError:
                    return  # an idle connection was closed before the request was seen

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    # A request that is half sent when the signal comes is answered, too.
    body = b'{"item_ids": ["L0000001"], "k": 3}'
    head = (
        f"POST /v1/similar HTTP/1.1\r\nHost: x\r\nAuthorization: {HEADERS['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as half:
        half.sendall(head + body[:5])
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        half.sendall(body[5:])
        reply = half.recv(65536)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert reply.startswith(b"HTTP/1.1 200")
    assert server.process.wait(20) == 0
    assert set(outcomes) == {200}
    assert server.lines("stopped")
