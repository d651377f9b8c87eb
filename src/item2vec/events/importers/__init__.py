"""Ready mappings for public logs: one TOML each, with the SQL that their oddities need."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from item2vec.events.reasons import CODES


@dataclass(frozen=True)
class Importer:
    """How one public log is read.

    Parameters
    ----------
    events : dict
        ``EventsConfig`` keys; what a user configures beside the importer wins.
    files : dict of str to str
        Where in a folder the log (``events``) and its item table (``items``) lie, as globs.
    prepare : str
        SELECT over ``source`` that adds columns; it keeps ``__file``, ``__line``, ``__code`` and ``__raw``.
    needs : tuple of str
        Source columns that the SQL names itself, beside those that `events` maps.
    carry : tuple of str
        Columns of `prepare` that `expand` and `items` need beside the event columns.
    expand : str
        SELECT over ``accepted`` that gives the event table's columns, any number of rows for each.
    items : str or None
        SELECT over ``accepted`` that gives one row per item.
    """

    events: dict[str, Any]
    files: dict[str, str]
    prepare: str = "SELECT * FROM source"
    needs: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    expand: str = "SELECT * FROM accepted"
    items: str | None = None


def load_importer(name: str | None) -> Importer:
    """Return an importer by name; without a name, the one that changes nothing."""
    if name is None:
        return Importer({}, {})
    record = tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))
    sql = {
        key: text.replace("{malformed}", str(CODES["malformed row"])) for key, text in record["sql"].items()
    }
    needs, carry = (tuple(record.get(key, ())) for key in ("needs", "carry"))
    return Importer(record["events"], record.get("files", {}), needs=needs, carry=carry, **sql)
