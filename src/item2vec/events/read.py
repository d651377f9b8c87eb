"""The door: raw logs in, event table out."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from tqdm import tqdm

from item2vec.errors import ConfigError, EmptyDataError, QuarantineError, UsageError
from item2vec.events.config import AttributesConfig, EventsConfig
from item2vec.events.container import Events
from item2vec.events.engine import Engine
from item2vec.events.files import Source, find_source
from item2vec.events.mapping import Mapping, match_columns
from item2vec.events.outcomes import Outcomes, accepted, find_outcomes, refused
from item2vec.events.publish import private_folder, write_parts, write_quarantine
from item2vec.events.reconciliation import Reconciliation
from item2vec.events.scan import Scan, check_drift, scan_parquet
from item2vec.events.schema import EVENT_ORDER, event_schema

PathLike = str | os.PathLike[str]


def read_events(
    path: PathLike | Sequence[PathLike] | None = None,
    columns: MappingOf[str, str | Sequence[str]] | None = None,
    *,
    quarantine: PathLike | None = None,
    out: PathLike | None = None,
    config: EventsConfig | None = None,
    show_progress: bool = False,
    **keys: Any,
) -> Events:
    """Read."""
    given = {"path": path, "columns": columns, **keys}
    settings = _settings(config, {key: value for key, value in given.items() if value is not None})
    if settings.path is None:
        raise UsageError("no path to read events from; give a file, files, a glob or a folder")
    source = find_source(settings.path, settings.format, settings.delimiter)
    keep_alive = None
    if out is None:
        keep_alive = tempfile.TemporaryDirectory(prefix="item2vec-events-")
        out = Path(keep_alive.name) / "events"
    target = Path(out)
    with private_folder(target) as private:
        _read(source, settings, private, quarantine and Path(quarantine), show_progress)
        os.rename(private / "table", target)
    return dataclasses.replace(Events.open(target), _keep_alive=keep_alive)


def _settings(config: EventsConfig | None, given: dict[str, Any]) -> EventsConfig:
    base = config.model_dump(exclude_unset=True) if config else {}
    try:
        return EventsConfig(**(base | given))
    except ValidationError as error:
        raise ConfigError(str(error)) from None


def _read(source: Source, config: EventsConfig, private: Path, quarantine: Path | None, show_progress: bool) -> None:
    where = source.paths[0] if len(source.paths) == 1 else f"{source.paths[0]} (and {len(source.paths) - 1} more)"
    engine = Engine(private / "spill", config.memory_limit, where)
    try:
        scan = scan_parquet(engine, source, "source")
        engine.run("CREATE VIEW prepared AS SELECT * FROM source")
        mapping = match_columns(engine.types("prepared"), scan.hashed, config, where)
        engine.run(f"CREATE VIEW typed AS {mapping.typed()}")
        check_drift(scan, {name for names in mapping.columns.values() for name in names})
        outcomes = find_outcomes(engine, mapping.ignored)
        table = private / "table"
        examples = write_quarantine(engine.stream(refused()), table / "quarantine", mapping.ignored)
        schema = event_schema(mapping.id_type)
        query = accepted(", ".join(schema.names)) + " ORDER BY " + ", ".join(EVENT_ORDER)
        with tqdm(total=outcomes.ok, unit=" events", desc="events", disable=not show_progress) as bar:
            events = write_parts(engine.stream(query), schema, table / "events", bar)
        account = Reconciliation(
            scan.rows_in, outcomes.ok, outcomes.duplicate, outcomes.quarantined, outcomes.ignored, dict(events)
        )
        account.check()
        (table / "reconciliation.json").write_text(account.to_json(), "utf-8")
    finally:
        engine.close()
