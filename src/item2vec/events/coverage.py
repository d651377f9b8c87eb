"""How many of the events' items the item table knows: a table that fits badly says so."""

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
