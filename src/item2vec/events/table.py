"""One read, from the source's files to the finished event table in a private folder."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from item2vec.errors import EmptyDataError, QuarantineError, SourceError
from item2vec.events.advice import refusal_advice
from item2vec.events.attributes import write_attributes
from item2vec.events.config import EventsConfig
from item2vec.events.coverage import count_alike_items, count_known_items
from item2vec.events.engine import Engine
from item2vec.events.files import find_source
from item2vec.events.importers import Importer
from item2vec.events.mapping import Mapping, match_columns
from item2vec.events.outcomes import Outcomes, find_outcomes, refuse_mixed_ids, refused
from item2vec.events.publish import make_folder, write_quarantine
from item2vec.events.reconciliation import Reconciliation
from item2vec.events.rows import Rows, open_rows
from item2vec.events.scan import Scan, check_drift


def write_event_table(
    config: EventsConfig, importer: Importer, private: Path, quarantine: Path | None, show_progress: bool
) -> None:
    """Write ``private/table``: events, attributes, quarantine and the account of all rows.

    Parameters
    ----------
    config : EventsConfig
        The settings, the importer's included.
    importer : Importer
        The SQL that the log's oddities need.
    private : Path
        An existing folder for the table and everything that is only needed on the way.
    quarantine : Path or None
        A folder that receives the refused rows too, also when there are too many of them.
    show_progress : bool
        Show progress bars.
    """
    if quarantine is not None:  # before the hours of reading
        make_folder(quarantine)
    source = find_source(config.path or (), config.format, config.delimiter)
    n_more = len(source.paths) - 1
    more = f" and {n_more} more file{'s' * (n_more > 1)}" if n_more else ""
    engine = Engine(private / "spill", config.memory_limit, source.paths[0] + more)
    table = private / "table"
    with closing(engine), closing(open_rows(config, engine, private)) as rows:
        with tqdm(unit=" rows", desc="lines", disable=not show_progress) as bar:
            scan = rows.scan(source, bar)
        if not scan.rows_in:
            header = "a header" if source.format == "csv" else "columns"
            raise EmptyDataError(
                f"{engine.where} has {header} but no rows; export it again or check the path"
            )
        mapping, read = _match(engine, scan, config, importer)
        rows.type(scan, importer.prepare, mapping.typed(importer.carry), read)
        outcomes = find_outcomes(rows, mapping.ignored, importer.carry)
        if source.format == "jsonl" and config.id_type is None:
            refuse_mixed_ids(rows, outcomes)
        _write_refused(rows, engine.where, outcomes, scan.rows_in, config, table, quarantine)
        with tqdm(total=outcomes.ok, unit=" events", desc="events", disable=not show_progress) as bar:
            events = rows.write_events(importer, mapping.id_type, outcomes, table, bar)
        attributes = _write_attributes(engine, config, mapping.id_type, table, quarantine, show_progress)
        if importer.items and not (table / "items.parquet").exists():
            rows.write_items(importer, mapping.id_type, outcomes, table / "items.parquet")
        alike = count_alike_items(engine, table) if mapping.id_type == "string" else 0
    refusals = outcomes.quarantined, outcomes.ignored
    account = Reconciliation(
        scan.rows_in, outcomes.ok, outcomes.duplicate, *refusals, events, attributes, alike, scan.lines
    )
    account.check()
    source.check_unchanged()
    (table / "reconciliation.json").write_text(account.to_json(), "utf-8")


def _match(
    engine: Engine, scan: Scan, config: EventsConfig, importer: Importer
) -> tuple[Mapping, tuple[str, ...]]:
    """Match the columns of the view ``prepared``; return also which of the source's are read."""
    if lacking := [name for name in importer.needs if name not in engine.types("source")]:
        raise SourceError(
            f"{engine.where} has no column {lacking[0]!r}, which importer = {config.importer!r} reads; its"
            f" columns are {', '.join(scan.columns)}"
        )
    engine.run(f"CREATE VIEW prepared AS {importer.prepare}")
    mapping = match_columns(engine.types("prepared"), scan.hashed, config, engine.where)
    read = {name for names in mapping.columns.values() for name in names} | {*importer.needs, *importer.carry}
    check_drift(scan, read)
    return mapping, tuple(read) if "event_id" in mapping.columns else scan.columns


def _write_refused(
    rows: Rows,
    where: str,
    outcomes: Outcomes,
    rows_in: int,
    config: EventsConfig,
    table: Path,
    quarantine: Path | None,
) -> None:
    """Write the quarantine and stop where it is too large or nothing else is left."""
    query = refused(outcomes)
    file = table / "quarantine" / "events.parquet"
    examples = write_quarantine(rows.stream(query) if query else (), file)
    kept = "; set quarantine= to a folder to keep the refused rows"
    if quarantine is not None:
        shutil.copyfile(file, quarantine / file.name)
        kept = f"; the refused rows are in {quarantine / file.name}"
    n, reasons = sum(outcomes.quarantined.values()), _counted(outcomes.quarantined)
    advice = refusal_advice(rows, outcomes.quarantined, config)
    if n > config.max_quarantined * rows_in:
        raise QuarantineError(
            f"{n:,} of {rows_in:,} rows from {where} were refused ({n / rows_in:.1%}), more than"
            f" max_quarantined = {config.max_quarantined:g}: {reasons}.{advice} For example"
            f" {' · '.join(examples)}. Nothing was published; fix the source or the mapping, or raise"
            f" max_quarantined{kept}"
        )
    if not outcomes.ok:
        unwanted = _counted(outcomes.ignored) or "none"
        raise EmptyDataError(
            f"{where}: no event is left of {rows_in:,} rows (refused: {reasons or 'none'};"
            f" ignored: {unwanted}); check the file and event_types{kept if n else ''}.{advice}"
        )


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in reasons.items())


def _write_attributes(
    engine: Engine,
    config: EventsConfig,
    id_type: str,
    table: Path,
    quarantine: Path | None,
    show_progress: bool,
) -> dict[str, dict[str, int]]:
    """Write the configured attribute tables and count their rows."""
    counts: dict[str, Any] = {}
    with tqdm(unit=" rows", desc="attributes", disable=not show_progress) as bar:
        for name, key, wanted in (("items", "item_id", config.items), ("users", "user_id", config.users)):
            if wanted is not None and wanted.path is not None:
                counts[name] = write_attributes(
                    engine, wanted, key, id_type, table, config.max_quarantined, quarantine, bar
                )
    if "items" in counts:
        counts["items"] |= count_known_items(engine, table)
    return counts
