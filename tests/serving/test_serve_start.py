"""What `item2vec serve` refuses before it starts, and in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from serving_world import HEADERS, ServerProcess, publish_release

import item2vec as i2v
from item2vec.artifacts import RunFolder
from item2vec.errors import UsageError
from item2vec.run.load import load_recommender
from item2vec.serving import Engine, ServeSettings
from item2vec.serving.settings import Split


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected to refuse."""
    return subprocess.run(
        [sys.executable, "-m", "item2vec.cli", "serve", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={key: value for key, value in os.environ.items() if not key.startswith("ITEM2VEC_")},
    )


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
def test_a_second_server_shares_no_port(
    start: Callable[..., ServerProcess], shop: Path, tmp_path: Path, kind: str
) -> None:
    first = start(str(shop))
    history = str(tmp_path / "other.db")
    port = str(first.port)
    done = serve(str(shop), "--port", port, "--server", kind, "--history", history)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: cannot listen at 127.0.0.1:{port}: ")
    assert line.endswith("; choose another --port")
    assert first.client.get("/v1/items").status_code == 200


PLACES = {
    "a served log in /proc": (["--served-log", "/proc/x"], "--served-log"),
    "a history in /proc": (["--history", "/proc/x.db"], "--history"),
    "a history in no folder": (["--history", "/nowhere/x.db"], "--history"),
    "a history that is a folder": (["--history", "/tmp"], "--history"),
}


@pytest.mark.parametrize("name", PLACES)
def test_places_that_cannot_be_written_are_refused_by_who_was_called(shop: Path, name: str) -> None:
    arguments, option = PLACES[name]
    done = serve(str(shop), *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {arguments[1]} is no ")
    assert line.endswith(f"; give another {option}")
    assert done.stdout == ""


def test_a_split_between_a_release_and_itself_is_refused(shop: Path) -> None:
    """Also where nobody wrote it: after a rollback the current release may be the other one of the split."""
    own = i2v.artifacts.read_release(shop).id
    for arguments in (["--split", f"{own}:0.5"], ["--release", own[:8], "--split", f"{own[:6]}:0.5"]):
        done = serve(str(shop), *arguments)
        assert done.returncode == 2
        assert f"both sides of the split are release {own[:12]}; " in done.stderr
    split = Split(release=own, share=0.5)
    with pytest.raises(UsageError, match="both sides"):
        Engine(ServeSettings(run=shop, history="sqlite://", split=split), load_recommender).start()


def test_a_split_that_becomes_one_release_is_told(own_shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = i2v.artifacts.read_release(own_shop).id
    publish_release(own_shop.parent, seed=2)
    settings = ServeSettings(
        run=own_shop, history="sqlite://", split=Split(release=old, share=0.5), poll_seconds=3600
    )
    engine = Engine(settings, load_recommender)
    engine.start()
    try:
        assert caplog.messages == []
        i2v.artifacts.rollback(RunFolder(own_shop), old)
        engine.reload()
        assert [one.release.id for one in engine.serving.both] == [old, old]
        assert f"both sides of the split are release {old} now: they measure nothing" in caplog.messages
    finally:
        engine.stop()


def test_a_server_starts_again_where_connections_have_just_ended(
    start: Callable[..., ServerProcess], shop: Path
) -> None:
    """They linger on the server's side (TIME_WAIT) where it was the server that closed them."""
    first = start(str(shop))
    for _ in range(3):
        httpx.get(f"{first.url}/livez", headers={**HEADERS, "Connection": "close"}, trust_env=False)
    assert first.stop() == 0
    again = ServerProcess(first.folder, str(shop), "--history", str(first.folder / "h.db"), port=first.port)
    assert again.client.get("/v1/items").status_code == 200
    assert again.stop() == 0
