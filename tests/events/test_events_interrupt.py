"""Ctrl-C while SQL runs is Ctrl-C, not a failure of the file or of the program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from item2vec.events.engine import Engine
from item2vec.sessions.duckdb_engine import DuckDBEngine

LONG = "SELECT count(*) AS n FROM range(1000000000000) AS a(x) WHERE hash(x) = 1"


def events_engine(folder: str) -> tuple[object, dict[str, Callable[[], object]]]:
    engine = Engine(Path(folder) / "spill", "200MB", "a test")
    return engine, {"run": lambda: engine.run(LONG), "stream": lambda: list(engine.stream(LONG))}


def sessions_engine(folder: str) -> tuple[object, dict[str, Callable[[], object]]]:
    engine = DuckDBEngine("200MB")
    return engine, {"create": lambda: engine.create("t", LONG), "fetch": lambda: engine.fetch(LONG)}


CASES = [
    (events_engine, "run"),
    (events_engine, "stream"),
    (sessions_engine, "create"),
    (sessions_engine, "fetch"),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].__name__}-{case[1]}")
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[object, Callable[[], object]]]:
    make, door = request.param
    engine, doors = make(str(tmp_path))
    yield engine, doors[door]
    engine.close()


def test_a_stopped_query_is_an_interrupt(case: tuple[object, Callable[[], object]]) -> None:
    engine, query = case
    stop = threading.Timer(0.3, engine._connection.interrupt)  # type: ignore[attr-defined]
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        query()
    stop.join()


class Stopped:
    """A connection whose queries end as DuckDB's do when its client sees the signal of Ctrl-C."""

    def stop(self, *_: object) -> None:
        raise RuntimeError("Query interrupted")

    execute = sql = stop

    def close(self) -> None:
        """Nothing to close."""


def test_the_client_s_own_words_for_ctrl_c_are_an_interrupt(
    case: tuple[object, Callable[[], object]],
) -> None:
    engine, query = case
    engine._connection.close()  # type: ignore[attr-defined]
    engine._connection = Stopped()  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        query()
