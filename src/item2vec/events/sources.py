"""The way from files to an SQL view, whatever their format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from item2vec.events.engine import Engine
from item2vec.events.files import Source
from item2vec.events.scan import Scan, scan_parquet


def scan_source(engine: Engine, source: Source, view: str, staged: Path, bar: Any) -> Scan:
    """Create a view over a source: its columns and ``__file``, ``__line``, ``__code``, ``__raw``.

    Parameters
    ----------
    engine : Engine
        Where the view is created.
    source : Source
        The files.
    view : str
        The view's name.
    staged : Path
        Folder for text files cut into records.
    bar : tqdm
        Counts those records.
    """
    if source.format == "parquet":
        return scan_parquet(engine, source, view)
    from item2vec.events.staging import scan_text  # compiled code, which Parquet can do without

    return scan_text(engine, source, view, staged, bar)
