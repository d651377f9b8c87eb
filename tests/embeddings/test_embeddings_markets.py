"""Eq. 5 over any column: a log's item table, an item table beside lists, a mapping beside lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cluster_world import same, small

import item2vec as i2v
from item2vec.embeddings.item2vec import Item2Vec
from item2vec.errors import DataError, UsageError

N_ITEMS, STYLE = 60, 10


def style(item: int) -> str:
    return f"style {item // STYLE}"


def band(item: int) -> int:
    return item % 3


@pytest.fixture(scope="module")
def lists() -> list[list[str]]:
    rng = np.random.default_rng(0)
    return [[f"i{k}" for k in rng.integers(0, N_ITEMS, 4)] for _ in range(300)]


@pytest.fixture(scope="module")
def items() -> pa.Table:
    """A catalogue with a market of its own, a text and a whole number."""
    columns = {
        "item_id": [f"i{k}" for k in range(N_ITEMS)],
        "market": ["one city"] * N_ITEMS,
        "category": [style(k) for k in range(N_ITEMS)],
        "band": [band(k) for k in range(N_ITEMS)],
    }
    return pa.table(columns)


@pytest.fixture(scope="module")
def log(lists: list[list[str]], items: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    rows = ["user_id,ts,event_type,item_id,market"]
    for n, session in enumerate(lists):
        start = 1_700_000_000 + 86_400 * n
        rows += [f"u{n:04d},{start + 10 * k},click,{item},of the log" for k, item in enumerate(session)]
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    text = [",".join(items.column_names)]
    text += [",".join(map(str, row.values())) for row in items.to_pylist()]
    (folder / "items.csv").write_text("\n".join(text) + "\n")
    return folder


def markets_of(sessions: i2v.Sessions) -> dict[str, str | None]:
    names = [*sessions.market_names, None]
    return {i: names[m] for i, m in zip(sessions.item_ids.to_pylist(), sessions.markets, strict=True)}


def train(sessions: i2v.Sessions) -> Item2Vec:
    return small(market_negative=3, epochs=2).fit(sessions, show_progress=False)


@pytest.mark.parametrize(("column", "name"), [("category", style), ("band", lambda k: str(band(k)))])
def test_any_column_is_the_market_from_a_log_from_a_table_and_from_a_mapping(
    lists: list[list[str]], items: pa.Table, log: Path, column: str, name
) -> None:  # type: ignore[no-untyped-def]
    expected = {f"i{k}": name(k) for k in range(N_ITEMS)}
    events = i2v.read_events(
        log / "log.csv", items={"path": log / "items.csv", "columns": {"market": column, column: column}}
    )
    assert set(events.items.column_names) == {"item_id", "market", "category", "band"}
    from_log = i2v.sessionize(events)
    renamed = items.set_column(1, "market", items[column])
    from_table = i2v.Sessions.from_lists(lists, items=renamed)
    from_mapping = i2v.Sessions.from_lists(
        lists,
        markets=dict(zip(items["item_id"].to_pylist(), items[column].to_pylist(), strict=True)),
        items=items,
    )
    models = []
    for sessions in (from_log, from_table, from_mapping):
        assert sorted(map(tuple, sessions.to_lists())) == sorted(map(tuple, lists))
        assert markets_of(sessions) == expected
        models.append(train(sessions))
        assert models[-1].history_[0]["market_negative"] > 0
    assert same(models[1].item_vectors_, models[2].item_vectors_)
    own = train(i2v.Sessions.from_lists(lists, items=items))
    assert not same(models[1].item_vectors_, own.item_vectors_), "the market decides the noise"


def test_a_run_file_maps_its_market_by_one_key(log: Path, tmp_path: Path) -> None:
    from item2vec.config import RunConfig
    from item2vec.run import run_pipeline

    file = tmp_path / "shop.toml"
    file.write_text(f"""
[events]
path = "{log / "log.csv"}"
[events.items]
path = "{log / "items.csv"}"
columns = {{ market = "category" }}
""")
    result = run_pipeline(RunConfig.from_toml(file), tmp_path / "runs", until="sessions")
    sessions = i2v.Sessions.load(result.objects["sessions"].path)
    assert markets_of(sessions) == {f"i{k}": style(k) for k in range(N_ITEMS)}
    assert "category" not in sessions.items.column_names


@pytest.mark.parametrize("name", [1.5, True, ["x"], float("nan")])
def test_a_market_of_another_kind_is_refused_in_words(name: object) -> None:
    with pytest.raises(DataError, match=r"the market of an item is .*; it is a text or a whole number"):
        i2v.Sessions.from_lists([["a", "b"]], markets={"a": name})


def test_no_market_where_eq_5_needs_one_is_told() -> None:
    sessions = i2v.Sessions.from_lists([["a", "b"]] * 3, markets={"a": None, "b": " "})
    assert sessions.market_names == ()
    with pytest.raises(UsageError, match="no item has a market; give the items a market"):
        train(sessions)
