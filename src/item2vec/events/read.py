"""The door: raw logs in, event table out."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from item2vec.errors import RunError, SourceError, UsageError, of_the_system
from item2vec.events.config import AttributesConfig, EventsConfig
from item2vec.events.container import Events
from item2vec.events.files import find_source
from item2vec.events.importers import Importer, load_importer
from item2vec.events.publish import TemporaryFolder, private_folder, publish_folder
from item2vec.events.table import write_event_table
from item2vec.settings import checked_settings

PathLike = str | os.PathLike[str]
Attributes = PathLike | AttributesConfig | Mapping[str, Any]


def read_events(
    path: PathLike | Sequence[PathLike] | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    items: Attributes | None = None,
    users: Attributes | None = None,
    quarantine: PathLike | None = None,
    out: PathLike | None = None,
    config: EventsConfig | None = None,
    format: Literal["auto", "csv", "jsonl", "parquet"] | None = None,
    delimiter: str | None = None,
    importer: str | None = None,
    event_types: Mapping[str, str] | None = None,
    event_type: str | None = None,
    timestamp_unit: Literal["auto", "s", "ms", "us", "iso"] | None = None,
    as_of: date | datetime | str | None = None,
    days: int | None = None,
    earliest: date | datetime | str | None = None,
    id_type: Literal["string", "int64"] | None = None,
    max_quarantined: float | None = None,
    engine: Literal["duckdb", "spark"] | None = None,
    memory_limit: str | None = None,
    show_progress: bool = False,
) -> Events:
    """Read raw logs into one typed, ordered event table.

    Rows are read in bounded memory, typed, freed of exact duplicates and written as Parquet in the total
    order (user_id, ts_us, seq, event_id). The result does not depend on how the rows are spread over files.
    Nothing is dropped silently: every source row is ok, duplicate, ignored or quarantined, and counted by
    reason.

    Parameters
    ----------
    path : path or list of paths, optional
        CSV, JSON Lines or Parquet (text also as gzip or zstd): a file, files, a glob or a folder. Default:
        ``config.path``.
    columns : dict, optional
        Ours → theirs, e.g. ``{"item_id": "hotel", "event_id": ["session", "step"]}``. Columns that are called
        as ours need no entry.
    items, users : path, AttributesConfig or dict, optional
        Attribute tables, one row per ``item_id`` (``user_id``).
    quarantine : path, optional
        Folder that also receives the refused rows (file, line, reason, raw), even when the read fails on
        them.
    out : path, optional
        Folder to write, which must not exist. By default a temporary one that lives as long as the result.
    config : EventsConfig, optional
        All settings at once; the keywords given beside it win.
    as_of, days, earliest : optional
        The time bounds; with `days`, ``{date}`` in `path` stands for the days that end before `as_of`.
    format, delimiter, importer, event_types, event_type, timestamp_unit, id_type : optional
        See :class:`EventsConfig`, as for `max_quarantined` and `memory_limit`.
    engine : {"duckdb", "spark"}, optional
        What reads the log; ``"spark"`` needs ``pip install 'item2vec[spark]'``, a Java runtime, and `path`
        and `out` where its workers see them. The tables are the same, to the byte.
    show_progress : bool
        Show progress bars.

    Returns
    -------
    Events
        The table, its attributes and the account of all rows.

    Raises
    ------
    SourceError
        If a file is missing, empty, damaged, of another format, or lacks a mapped column.
    QuarantineError
        If more than `max_quarantined` of the rows were refused. Nothing is published.
    EmptyDataError
        If no row is left.
    ConfigError, UsageError
        If a setting is unknown, contradictory or out of range, or `out` exists.
    MissingDependencyError
        If the engine's library is not installed, here or where Spark's workers run.
    RunError
        If memory or disk space runs out, or the disk refuses to write.
    """
    keys = {
        "path": path,
        "columns": columns,
        "items": _attributes(items),
        "users": _attributes(users),
        "format": format,
        "delimiter": delimiter,
        "importer": importer,
        "event_types": event_types,
        "event_type": event_type,
        "timestamp_unit": timestamp_unit,
        "as_of": as_of,
        "days": days,
        "earliest": earliest,
        "id_type": id_type,
        "max_quarantined": max_quarantined,
        "engine": engine,
        "memory_limit": memory_limit,
    }
    settings, preset = _settings(config, {key: value for key, value in keys.items() if value is not None})
    return _publish(settings, preset, out, None if quarantine is None else Path(quarantine), show_progress)


def _publish(
    settings: EventsConfig,
    preset: Importer,
    out: PathLike | None,
    quarantine: Path | None,
    show_progress: bool,
) -> Events:
    """Write the table in private and rename it when it is complete."""
    keep_alive = TemporaryFolder("item2vec-events-") if out is None else None
    target = keep_alive.path / "events" if keep_alive else Path(out or "")
    try:
        with private_folder(target) as private:
            write_event_table(settings, preset, private, quarantine, show_progress)
            Events.open(private / "table")
            publish_folder(private / "table", target, durable=out is not None)
    except OSError as error:
        if not of_the_system(error):
            raise
        raise RunError(
            f"no writing of the events at {error.filename or target} ({error.strerror or error}); free some"
            " space or check the permissions, or choose another out"
        ) from error
    return dataclasses.replace(Events.open(target), _keep_alive=keep_alive)


def _attributes(given: Attributes | None) -> Any:
    """Take a bare path for a table whose columns are called as ours."""
    return {"path": given} if isinstance(given, str | os.PathLike) else given


def source_files(config: EventsConfig) -> list[Path]:
    """List the files that :func:`read_events` reads for a config: the log, then the items, then the users.

    Raises
    ------
    SourceError
        If a file is missing or empty, or the files of one table are of different formats.
    """
    settings, _ = _settings(config, {})
    tables = (settings, settings.items, settings.users)
    return [Path(file) for table in tables if table is not None for file in table.path or ()]


def _settings(config: EventsConfig | None, keys: dict[str, Any]) -> tuple[EventsConfig, Importer]:
    """Merge the importer's preset, the config and the keywords, the later winning, dicts key by key.

    The paths come back as the files themselves, so that whoever asks reads the same ones.
    """
    given = _merged(config.model_dump(exclude_unset=True) if config else {}, keys)
    preset = load_importer(checked_settings(EventsConfig, given, "read_events").importer)
    merged = _in_folders(_merged(preset.events, given), preset)
    settings = checked_settings(EventsConfig, merged, "read_events")
    if not settings.path:
        raise UsageError("no path to read events from; give a file, files, a glob or a folder")
    return _with_files(settings), preset


def _with_files(settings: EventsConfig) -> EventsConfig:
    """Name the files that the paths mean; a table without a path is none."""
    paths = _in_window(settings) if settings.days else settings.path or ()
    found: dict[str, Any] = {"path": find_source(paths, settings.format).paths, "days": None}
    for name in ("items", "users"):
        table = getattr(settings, name)
        if table is not None and table.path:
            files = find_source(table.path, table.format).paths
            found[name] = table.model_copy(update={"path": files})
        else:
            found[name] = None
    return settings.model_copy(update=found)


def _in_window(settings: EventsConfig) -> list[str]:
    """List the files of every day of the window; a day without one is an error that names it."""
    files: list[str] = []
    for day, paths in settings.partitions.items():
        try:
            files += find_source(paths, settings.format).paths
        except SourceError as error:
            raise SourceError(
                f"the partition of {day} cannot be read (days = {settings.days},"
                f" as_of = {settings.as_of}): {error}"
            ) from None
    return files


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two levels of settings."""
    merged = dict(below)
    for key, value in above.items():
        value = value.model_dump(exclude_unset=True) if isinstance(value, AttributesConfig) else value
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _in_folders(keys: dict[str, Any], preset: Importer) -> dict[str, Any]:
    """Find an importer's files where a path is the folder of a whole download."""
    path = keys.get("path") or ()
    paths = [path] if isinstance(path, str | os.PathLike) else path
    folders = [Path(one) for one in paths if os.path.isdir(one)]
    if not folders or not preset.files:
        return keys
    found = keys | {
        "path": [
            _inside(one, preset.files["events"]) if one in folders else str(one) for one in map(Path, paths)
        ]
    }
    items = keys.get("items") or {}
    if "items" in preset.files and not items.get("path"):
        patterns = [_inside(folder, preset.files["items"]) for folder in folders]
        if there := [pattern for pattern in patterns if glob.glob(pattern)]:
            found["items"] = dict(items) | {"path": there}
    return found


def _inside(folder: Path, pattern: str) -> str:
    """Return the pattern below a folder, whose own name is no pattern."""
    return os.path.join(glob.escape(str(folder)), pattern)
