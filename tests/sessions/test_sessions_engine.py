"""DuckDB behind the engine's door: what is the files' fault, the machine's, and a bug."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sessions_referee import Event, write_events

from item2vec.errors import EmptyDataError, RunError, SourceError
from item2vec.events.engine import silence
from item2vec.sessions import sessionize
from item2vec.sessions.duckdb_engine import DuckDBEngine


def clicks(n):
    return [Event("7", second * 1_000_000, "click", f"{second}") for second in range(n)]


@pytest.mark.parametrize(
    ("column", "kept", "told"),
    [
        ("event_type", None, "the column event_type is missing, and must be string"),
        ("ts_us", pa.string(), "the column ts_us is of type string, and must be bigint"),
        ("item_id", pa.float64(), "the column item_id is of type double, and must be string or bigint"),
    ],
)
def test_files_of_another_schema(tmp_path, column, kept, told):
    table = write_events(tmp_path, clicks(2))
    for file in table.files:
        rows = pq.ParquetFile(file).read()
        values = rows[column]
        rows = rows.drop_columns([column])
        pq.write_table(rows if kept is None else rows.append_column(column, values.cast(kept)), file)
    with pytest.raises(SourceError, match=f"events cannot be read: {told}; read the log again"):
        sessionize(table)


def test_damage_anywhere_in_a_file_is_the_file_s(tmp_path):
    """Nothing but `SourceError`, whatever class DuckDB gives it, and some of each of its two stages."""
    table = write_events(tmp_path, clicks(400))
    file = Path(table.files[0])
    whole, told = file.read_bytes(), []
    for start in range(4, len(whole) - 8, len(whole) // 120):
        file.write_bytes(whole[:start] + b"\xff" * 8 + whole[start + 8 :])
        try:
            sessionize(table)
        except SourceError as error:
            told.append(str(error))
        except EmptyDataError:  # bytes of a value: the file is whole, with another value in it
            pass
    assert len(told) > 10
    assert all("the events cannot be read: " in each for each in told)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT ts_us FROM", duckdb.ParserException),
        ("SELECT nobody FROM events", duckdb.BinderException),
        ("SELECT * FROM nowhere", duckdb.CatalogException),
        ("SELECT CAST(event_type AS BIGINT) AS n FROM events", duckdb.ConversionException),
        ("SELECT 9223372036854775807 + seq + 1 AS n FROM events", duckdb.OutOfRangeException),
    ],
)
@pytest.mark.parametrize("how", ["create", "fetch"])
def test_sql_at_fault_stays_a_bug(tmp_path, how, sql, error):
    engine = DuckDBEngine("500MB")
    engine.open_events(write_events(tmp_path, clicks(2)).files)
    with pytest.raises(error):
        engine.fetch(sql) if how == "fetch" else engine.create("t", sql)
    engine.close()


def test_memory_and_spill_space_that_run_out_are_not_the_log_s(tmp_path):
    engine = DuckDBEngine("40MB")
    shutil.rmtree(engine._spill.name)
    Path(engine._spill.name).touch()  # where the spilled rows would go
    with pytest.raises(RunError, match=r"no memory left for the sessions: .*raise memory_limit"):
        engine.create("t", "SELECT i, HASH(i) AS h FROM RANGE(9000000) AS r(i) ORDER BY h")
    Path(engine._spill.name).unlink()
    engine.close()


def test_the_oldest_duckdb_that_is_tested_is_the_oldest_allowed():
    root = Path(__file__).resolve().parents[2]
    oldest = re.search(r"OLDEST_DUCKDB := (\S+)", (root / "Makefile").read_text())[1]
    assert f'"duckdb>={oldest},<' in (root / "pyproject.toml").read_text()


def test_a_bar_that_is_off_is_not_switched_off() -> None:
    """A notebook without ipywidgets has none, and there DuckDB refuses the setting, not only the bar."""

    class Notebook:
        def __init__(self, on: bool) -> None:
            self.on, self.said = on, list[str]()

        def execute(self, sql: str) -> Notebook:
            self.said.append(sql)
            return self

        def fetchall(self) -> list[tuple[bool]]:
            return [(self.on,)]

    plain, chatty = Notebook(on=False), Notebook(on=True)
    for connection in (plain, chatty):
        silence(connection)  # type: ignore[arg-type]
    assert not [sql for sql in plain.said if sql.startswith("SET")]
    assert chatty.said[-1] == "SET enable_progress_bar = false"
    with duckdb.connect() as real:
        real.execute("SET enable_progress_bar = true")
        silence(real)
        assert real.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(False,)]
