"""The door: raw logs in, event table out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from item2vec.errors import ConfigError, UsageError
from item2vec.events.config import AttributesConfig, EventsConfig
from item2vec.events.container import Events
from item2vec.events.importers import Importer, load_importer
from item2vec.events.publish import TemporaryFolder, private_folder
from item2vec.events.table import write_event_table

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
    id_type: Literal["string", "int64"] | None = None,
    max_quarantined: float | None = None,
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
    format, delimiter, importer, event_types, event_type, timestamp_unit, id_type : optional
        See :class:`EventsConfig`, as for `max_quarantined` and `memory_limit`.
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
        "id_type": id_type,
        "max_quarantined": max_quarantined,
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
    with private_folder(target) as private:
        write_event_table(settings, preset, private, quarantine, show_progress)
        Events.open(private / "table")
        os.rename(private / "table", target)
    return dataclasses.replace(Events.open(target), _keep_alive=keep_alive)


def _attributes(given: Attributes | None) -> Any:
    """Take a bare path for a table whose columns are called as ours."""
    return {"path": given} if isinstance(given, str | os.PathLike) else given


def _settings(config: EventsConfig | None, keys: dict[str, Any]) -> tuple[EventsConfig, Importer]:
    """Merge the importer's preset, the config and the keywords, the later winning, dicts key by key."""
    try:
        given = _merged(config.model_dump(exclude_unset=True) if config else {}, keys)
        preset = load_importer(EventsConfig(**given).importer)
        settings = EventsConfig(**_in_folder(_merged(preset.events, given), preset))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "events"
        raise ConfigError(f"{where}: {first['msg']} (got {str(first['input'])[:80]!r})") from None
    if settings.path is None:
        raise UsageError("no path to read events from; give a file, files, a glob or a folder")
    if settings.items is not None and settings.items.path is None:
        settings = settings.model_copy(update={"items": None})
    return settings, preset


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two levels of settings."""
    merged = dict(below)
    for key, value in above.items():
        value = value.model_dump(exclude_unset=True) if isinstance(value, AttributesConfig) else value
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _in_folder(keys: dict[str, Any], preset: Importer) -> dict[str, Any]:
    """Find an importer's files when the path is the folder of the whole download."""
    path = keys.get("path")
    folder = path[0] if isinstance(path, list | tuple) and len(path) == 1 else path
    if not isinstance(folder, str | os.PathLike) or not Path(folder).is_dir() or not preset.files:
        return keys
    found = keys | {"path": str(Path(folder) / preset.files["events"])}
    items = keys.get("items") or {}
    if "items" in preset.files and not items.get("path") and any(Path(folder).glob(preset.files["items"])):
        found["items"] = dict(items) | {"path": str(Path(folder) / preset.files["items"])}
    return found
