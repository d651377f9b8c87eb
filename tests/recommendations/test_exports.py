"""What other stores load, loaded back: PostgreSQL with pgvector and faiss for real, the rest by format."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from marketplace_cases import attribute_rows, make_catalogue

from item2vec.embeddings import ItemVectors
from item2vec.errors import UsageError
from item2vec.recommendations import Recommender, exports
from item2vec.vocabulary import Vocabulary

MODES = ("similar", "next")


@pytest.fixture(scope="module", params=["string", "int64"])
def rec(request):
    vectors, items = make_catalogue(n=150, id_type=request.param)
    return Recommender(vectors, items=items)


def unit_query(rec, row: int, mode: str) -> list[float]:
    query = [*rec.vectors.vectors[row].tolist(), *([1.0, 0.0] if mode == "next" else [])]
    return (np.array(query) / np.linalg.norm(query)).tolist()


def check_points(rec, mode, points) -> None:
    """Each point's product with a query ranks as the recommender does, and its payload is the item's row."""
    rows = attribute_rows(rec.vectors, rec.attributes._items)
    assert [point["item_id"] for point in points] == list(rec.vectors.ids)
    table = np.array([point["vector"] for point in points])
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-6)
    order = np.argsort(-(table @ unit_query(rec, 3, mode)), kind="stable")
    ids, _ = rec.similar_to(rec.vectors.vectors[3], N=10, mode=mode)
    found = [points[k]["item_id"] for k in order[:10]]
    assert len(set(found) & set(ids.tolist())) >= 9, "ties aside"
    for point, row in zip(points, rows, strict=True):
        for name in ("market", "price", "instant"):
            assert point.get(name) == row.get(name)
        if row.get("listed"):
            assert point["listed"] == row["listed"].isoformat()


@pytest.mark.parametrize("mode", MODES)
def test_qdrant_requests(rec, mode, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "POINTS_PER_LINE", 40)
    exports.save_qdrant(rec, tmp_path / "points.jsonl", mode)
    lines = [
        json.loads(line) for line in (tmp_path / "points.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [len(line["points"]) for line in lines] == [40, 40, 40, 30]
    points = [point for line in lines for point in line["points"]]
    assert [point["id"] for point in points] == list(range(150))
    check_points(rec, mode, [{"vector": point["vector"], **point["payload"]} for point in points])


@pytest.mark.parametrize("mode", MODES)
def test_milvus_rows(rec, mode, tmp_path):
    exports.save_milvus(rec, tmp_path / "rows.json", mode)
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))["rows"]
    assert [row["item_num"] for row in rows] == list(range(150))
    check_points(rec, mode, rows)


@pytest.mark.parametrize("mode", MODES)
def test_faiss_reads_the_index_and_finds_the_same(rec, mode, tmp_path):
    faiss = pytest.importorskip("faiss")
    exports.save_faiss(rec, tmp_path, mode)
    index = faiss.read_index(str(tmp_path / "index.faiss"))
    ids = json.loads((tmp_path / "ids.json").read_text(encoding="utf-8"))
    assert ids == list(rec.vectors.ids)
    _, nums = index.search(np.array([unit_query(rec, 3, mode)], np.float32), 10)
    found, _ = rec.similar_to(rec.vectors.vectors[3], N=10, mode=mode)
    assert len({ids[k] for k in nums[0]} & set(found.tolist())) >= 9


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A PostgreSQL of our own, with pgvector, from a wheel."""
    pgserver = pytest.importorskip("pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.mark.parametrize("mode", MODES)
def test_postgres_loads_the_table_and_finds_the_same(rec, mode, tmp_path, postgres):
    name = f"items {mode} {rec.vocabulary.id_type}"
    exports.save_pgvector(rec, tmp_path, mode, table=name)
    postgres.psql((tmp_path / "schema.sql").read_text(encoding="utf-8"))
    postgres.psql(f"\\copy \"{name}\" FROM '{tmp_path / 'items.csv'}' CSV HEADER")
    rows = attribute_rows(rec.vectors, rec.attributes._items)

    def ask(sql: str) -> list[str]:
        out = postgres.psql(f"COPY ({sql}) TO STDOUT")
        return [line.strip() for line in out.splitlines() if line.strip()]

    assert ask(f'SELECT count(*) FROM "{name}"') == ["150"]
    n_paris = sum(row.get("market") == "Paris" for row in rows)
    assert ask(f"SELECT count(*) FROM \"{name}\" WHERE market = 'Paris'") == [str(n_paris)]
    n_unknown = sum(row.get("price") is None for row in rows)
    assert ask(f'SELECT count(*) FROM "{name}" WHERE price IS NULL') == [str(n_unknown)]
    query = json.dumps(unit_query(rec, 3, mode))
    ids, _ = rec.similar_to(rec.vectors.vectors[3], N=10, mode=mode, where={"market": "Paris"})
    found = ask(
        f"SELECT item_id FROM \"{name}\" WHERE market = 'Paris' ORDER BY vector <#> '{query}' LIMIT 10"
    )
    assert len(set(found) & set(map(str, ids.tolist()))) >= 9


def test_hostile_texts_come_through_unharmed(tmp_path, postgres):
    import pyarrow as pa

    names = [
        "it's",
        'say "x"',
        "a,b",
        "line\nbreak",
        "back\\slash",
        "tab\there",
        "",
        "NULL",
        "{}",
        "🙂",
        "</script>",
    ]
    table = np.random.default_rng(0).standard_normal((len(names), 3)).astype(np.float32)
    vectors = ItemVectors(
        Vocabulary(pa.array([f"i{k}" for k in range(len(names))]), np.ones(len(names), np.int64)), table
    )
    items = pa.table({"item_id": vectors.vocabulary.ids, 'ti"tle': names})
    rec = Recommender(vectors, items=items)
    exports.save_pgvector(rec, tmp_path, table="hostile")
    postgres.psql((tmp_path / "schema.sql").read_text(encoding="utf-8"))
    postgres.psql(f"\\copy hostile FROM '{tmp_path / 'items.csv'}' CSV HEADER")
    out = postgres.psql('COPY (SELECT json_agg("ti""tle" ORDER BY item_num)::text FROM hostile) TO STDOUT')
    assert json.loads(out.strip().replace("\\\\", "\\")) == names
    exports.save_qdrant(rec, tmp_path / "q.jsonl")
    points = json.loads((tmp_path / "q.jsonl").read_text(encoding="utf-8"))["points"]
    assert [point["payload"]['ti"tle'] for point in points] == names


def test_columns_that_clash_are_refused(tmp_path):
    vectors, items = make_catalogue(n=20)
    clash = items.rename_columns(["vector" if name == "price" else name for name in items.column_names])
    with pytest.raises(UsageError, match="rename it"):
        exports.save_pgvector(Recommender(vectors, items=clash), tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="no name"):
        exports.save_pgvector(Recommender(vectors, items=items), tmp_path, table="")
    without = Recommender(make_catalogue(n=20, context=False)[0])
    with pytest.raises(UsageError, match="output vectors"):
        exports.save_qdrant(without, tmp_path / "x", "next")
    assert subprocess.run(["ls", str(tmp_path)], capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize("save", [exports.save_qdrant, exports.save_milvus])
def test_what_json_does_not_know_is_written_as_it_can_be(save, tmp_path):
    vectors, _ = make_catalogue(n=30)
    odd = pa.table(
        {
            "item_id": vectors.vocabulary.ids,
            "fee": pa.array([Decimal("1.50")] * 30, pa.decimal128(6, 2)),
            "raw": pa.array([b"\x00\xff"] * 30),
            "at": pa.array([dt.time(12, 30)] * 30),
            "stay": pa.array([dt.timedelta(days=1)] * 30),
            "nights": [[dt.date(2026, 1, 1)]] * 30,
            "grades": [[1.0, float("nan")]] * 30,
        }
    )
    file = tmp_path / "out.json"
    save(Recommender(vectors, items=odd), file)
    document = json.loads(
        file.read_text().splitlines()[0] if save is exports.save_qdrant else file.read_text()
    )
    row = document["points"][0]["payload"] if "points" in document else document["rows"][0]
    assert (row["fee"], row["raw"], row["at"], row["nights"]) == (1.5, "00ff", "12:30:00", ["2026-01-01"])
    assert row["grades"] == [1.0, None]
    assert row["stay"] == "1 day, 0:00:00"


@pytest.mark.parametrize("name", ["vector", "item_num"])
def test_milvus_refuses_attributes_that_are_called_as_its_own_columns(name, tmp_path):
    vectors, _ = make_catalogue(n=30)
    rec = Recommender(vectors, items=pa.table({"item_id": vectors.vocabulary.ids, name: list(range(30))}))
    with pytest.raises(UsageError, match=f"column {name}"):
        exports.save_milvus(rec, tmp_path / "rows.json")
