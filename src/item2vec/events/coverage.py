"""What the events' item ids tell: whether the item table knows them, and which of them look alike."""

from __future__ import annotations

import logging
from pathlib import Path

from item2vec.events.engine import Engine
from item2vec.events.scan import quote_files

logger = logging.getLogger(__name__)

LEAST_KNOWN = 0.5
"""Share of the events' items with a row in the item table below which something is wrong with the ids."""


def count_known_items(engine: Engine, table: Path) -> dict[str, int]:
    """Count the events' items and those of them that have attributes; warn where most have none.

    Parameters
    ----------
    engine : Engine
        Where the SQL runs.
    table : Path
        Folder of the finished event table, with ``items.parquet``.

    Returns
    -------
    dict of str to int
        ``items of the events`` and ``of these with a row``.
    """
    parts = quote_files(sorted((table / "events").glob("part-*.parquet")))
    seen = f"(SELECT DISTINCT item_id FROM read_parquet([{parts}]))"
    rows = f"read_parquet([{quote_files([table / 'items.parquet'])}])"
    [(total,)] = engine.run(f"SELECT count(*) FROM {seen}")
    [(known,)] = engine.run(f"SELECT count(*) FROM {seen} SEMI JOIN {rows} USING (item_id)")
    if known < LEAST_KNOWN * total:
        [(strange,)] = engine.run(f"SELECT min(item_id) FROM {seen} ANTI JOIN {rows} USING (item_id)")
        [(row,)] = engine.run(f"SELECT min(item_id) FROM {rows}")
        logger.warning(
            "only %s of the %s items of the events have a row in the items table, so most have no attributes;"
            " check that the table belongs to this log and that items.columns names its id column:"
            " the events have %r, the table has %r",
            f"{known:,}",
            f"{total:,}",
            strange,
            row,
        )
    return {"items of the events": int(total), "of these with a row": int(known)}


def count_alike_items(engine: Engine, table: Path) -> int:
    """Count the items whose ids differ from another's only by case or by Unicode form; warn if there are any.

    Parameters
    ----------
    engine : Engine
        Where the SQL runs.
    table : Path
        Folder of the finished event table.

    Returns
    -------
    int
        Items that look like another one. They stay items of their own.
    """
    parts = quote_files(sorted((table / "events").glob("part-*.parquet")))
    alike = (
        "SELECT list(item_id ORDER BY item_id) AS ids FROM"
        f" (SELECT DISTINCT item_id FROM read_parquet([{parts}])) GROUP BY lower(nfc_normalize(item_id))"
        " HAVING count(*) > 1"
    )
    [(n, pair)] = engine.run(f"SELECT coalesce(sum(len(ids)), 0), min(ids)[1:2] FROM ({alike})")
    if n:
        logger.warning(
            "%s items have ids that differ from another's only by case or by Unicode form, such as %s and %s;"
            " they are kept apart: if they mean the same, write them alike in the log",
            f"{n:,}",
            *map(ascii, pair),
        )
    return int(n)
