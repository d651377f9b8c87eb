"""A source's columns matched with ours: the SQL view in which every row is typed and has its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from item2vec.errors import ConfigError, SourceError
from item2vec.events import expressions as sql
from item2vec.events.config import EVENT_COLUMNS, EventsConfig
from item2vec.events.expressions import LATEST_US, quote_name, quote_text
from item2vec.events.identity import composite_id, row_identity
from item2vec.events.json_keys import JSON_TYPE, column_of

REQUIRED = ("user_id", "ts", "item_id")


@dataclass(frozen=True)
class Mapping:
    """Which source column feeds which of ours, with the types of the source's columns.

    Parameters
    ----------
    types : dict of str to str
        The source's columns (after an importer prepared them) and their SQL types.
    hashed : tuple of str
        The columns that identify a row where the source has no ``event_id``.
    columns : dict of str to tuple of str
        Ours → theirs; only ``event_id`` may have several.
    config : EventsConfig
        Event types, time unit and id type.
    """

    types: dict[str, str]
    hashed: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    config: EventsConfig

    @property
    def id_type(self) -> str:
        """Declared, else int64 where the source stores integers."""
        if self.config.id_type:
            return self.config.id_type
        return "int64" if self._kind("item_id") in sql.INTEGERS else "string"

    @property
    def ignored(self) -> list[str]:
        """The event types nobody wants, in the mapping's order."""
        return [value for value, ours in self.config.event_types.items() if ours == "ignore"]

    def _name(self, ours: str) -> str:
        return self.columns[ours][0]

    def _kind(self, ours: str) -> str:
        return self.types[self._name(ours)]

    def typed(self, carry: tuple[str, ...] = ()) -> str:
        """Return the SELECT that types each row of ``prepared`` and gives it a code (see ``reasons``).

        `carry` names source columns that an importer needs further on.
        """
        fields = self._fields()
        inner = ", ".join(f"{expression} AS {name}" for name, expression in fields.items())
        facts = self._told()
        told = "".join(f", {expression} AS {name}" for name, expression in facts.items())
        kept_facts = "".join(f", {name}" for name in facts)
        kept = "".join(f", {quote_name(name)}" for name in carry)
        mapped = dict.fromkeys(name for names in self.columns.values() for name in names)
        cells = [self._cell(name) for name in mapped]
        if other := self._other_ts():
            cells.append(f"CASE WHEN ts IS NULL THEN {self._cell(other)} END")
        body = ", ".join(f"coalesce({cell}, '')" for cell in cells)
        names = ", ".join(name for name in fields if not name.startswith("__"))
        return (
            f"SELECT __file, __line, __raw, __body, __type, {names}{kept}, {self._item_kind()} AS"
            " __item_kind, CAST(CASE"
            f" WHEN __code > 0 THEN __code WHEN __ignored IS NOT NULL THEN __ignored {self._checks()}"
            " ELSE 0 END AS USMALLINT) AS code"
            f" FROM (SELECT __file, __line, __code, __raw, __type, [{body}] AS __body,"
            f" {inner}{kept_facts}{kept}"
            f" FROM (SELECT *, {self._text('event_type')} AS __type{told} FROM prepared))"
        )

    def _fields(self) -> dict[str, str]:
        """Return the SQL of each of our columns, and of the helpers ``__ignored``, ``__has_*``."""
        fields = {"user_id": self._text("user_id"), "item_id": self._item_id(), "event_id": self._event_id()}
        fields["ts_us"] = self._timed(self._instant)
        fields["market"], fields["search_id"] = self._text("market"), self._text("search_id")
        fields |= {
            "seq": self._optional("seq", "BIGINT"),
            "position": self._optional("position", "INTEGER"),
            "dwell_seconds": self._optional("dwell_seconds", "DOUBLE"),
        }
        fields["__has_ts"] = self._timed(self._holds)
        for ours in ("item_id", "position", "dwell_seconds"):
            fields[f"__has_{ours}"] = self._present(ours)
        constant = self.config.event_type
        if constant:
            return fields | {
                "event_type": quote_text(constant),
                "__ignored": "NULL",
                "__has_event_type": "true",
            }
        return fields | {
            "event_type": sql.event_type("__type", dict(self.config.event_types)),
            "__ignored": sql.ignored_code("__type", self.ignored),
            "__has_event_type": "__type IS NOT NULL",
        }

    def _ids(self) -> list[str]:
        """The ids that are text of the source: neither integers nor made of several columns."""
        ids = [ours for ours in ("user_id", "item_id", "event_id") if len(self.columns.get(ours, ())) == 1]
        return [
            ours
            for ours in ids
            if self._kind(ours) == "VARCHAR" and (ours != "item_id" or self.id_type == "string")
        ]

    def _told(self) -> dict[str, str]:
        """Return the SQL of what is told once per cell: plain texts, and the types that JSON gives ids."""
        told = {f"__plain_{ours}": sql.plain(quote_name(self._name(ours))) for ours in self._ids()}
        for ours in ("user_id", "item_id"):
            if self._is_json(ours):
                told[f"__kind_{ours}"] = quote_name(JSON_TYPE + self._name(ours))
        return told

    def _is_json(self, ours: str) -> bool:
        return JSON_TYPE + self._name(ours) in self.types

    def _item_kind(self) -> str:
        """Return the SQL of the type of an ``item_id``, where its rows may differ in it and none is set."""
        if not self._is_json("item_id") or self.config.id_type:
            return "NULL"
        return "if(__kind_item_id = 'VARCHAR', 'a string', 'an integer')"

    def _text(self, ours: str) -> str:
        if ours not in self.columns:
            return "CAST(NULL AS VARCHAR)"
        told = f"__plain_{ours}" if ours in self._ids() else None
        return sql.text(self._name(ours), self._kind(ours), ours, told)

    def _present(self, ours: str) -> str:
        """Return the SQL that tells whether a cell holds anything at all."""
        return self._holds(self._name(ours)) if ours in self.columns else "false"

    def _holds(self, name: str) -> str:
        if self.types[name] != "VARCHAR":
            return f"{quote_name(name)} IS NOT NULL"
        return f"coalesce(NOT {sql.blank(name)}, false)"

    def _cell(self, name: str) -> str:
        """Return the SQL of a source cell as text, for comparing rows and for composite ids."""
        cell = f"CAST({quote_name(name)} AS VARCHAR)"
        return sql.stripped(cell) if self.types[name] == "VARCHAR" else cell

    def _optional(self, ours: str, sql_type: str) -> str:
        if ours not in self.columns:
            return f"CAST({'0' if ours == 'seq' else 'NULL'} AS {sql_type})"
        name, kind = self._name(ours), self._kind(ours)
        if ours == "dwell_seconds":
            return sql.seconds(name, kind)
        value = sql.integer(name, kind, ours, sql_type)
        return f"CASE WHEN {self._present(ours)} THEN {value} ELSE 0 END" if ours == "seq" else value

    def _item_id(self) -> str:
        name, kind = self._name("item_id"), self._kind("item_id")
        if self.id_type == "int64":
            return sql.integer(name, kind, "item_id")
        return self._text("item_id")

    def _by_row(self, ours: str) -> bool:
        """Tell whether each object decides by its own keys, as no column is named in the config."""
        return ours not in self.config.columns and self._is_json(ours)

    def _other_ts(self) -> str | None:
        """Return where the time of an object without ``ts`` stands."""
        both = "ts_us" in self.types and self._name("ts") == "ts"
        return "ts_us" if both and self._by_row("ts") else None

    def _timed(self, of: Callable[[str], str]) -> str:
        """Return the SQL `of` the time's column, row by row where there are two."""
        other, here = self._other_ts(), of(self._name("ts"))
        return f"CASE WHEN ts IS NULL THEN {of(other)} ELSE {here} END" if other else here

    def _instant(self, name: str) -> str:
        """Our own name for microseconds, ``ts_us``, says its unit: small values are not taken for seconds."""
        kind, unit = self.types[name], self.config.timestamp_unit
        own = name == "ts_us" and unit == "auto" and kind in sql.INTEGERS | {"VARCHAR"}
        return sql.timestamp(name, kind, "us" if own else unit)

    def _event_id(self) -> str:
        """Return the SQL of the source's id, of a composite of its columns, or of a hash of the whole row."""
        names = self.columns.get("event_id", ())
        if len(names) == 1 and self._by_row("event_id"):
            return f"CASE WHEN event_id IS NULL THEN {self._hash()} ELSE {self._text('event_id')} END"
        if len(names) == 1:
            return self._text("event_id")
        return composite_id({quote_name(n): self._cell(n) for n in names}) if names else self._hash()

    def _hash(self) -> str:
        """Return the SQL of a hash of the whole row."""
        told = self.hashed == ("__identity",)
        cells = {name: f"CAST({quote_name(name)} AS VARCHAR)" for name in self.hashed}
        return "md5(__identity)" if told else f"md5({row_identity(cells)})"

    def _checks(self) -> str:
        """Return the branches that name why a row is refused, the first that holds."""
        return sql.first_code(
            [
                ("NOT __has_event_type", "no event_type"),
                ("event_type IS NULL", "unknown event_type"),
                *self._json_checks("user_id"),
                ("user_id IS NULL", "no user_id"),
                ("NOT __has_ts", "no timestamp"),
                ("ts_us IS NULL", "unreadable timestamp"),
                (f"ts_us < {self.config.earliest_us} OR ts_us >= {LATEST_US}", "timestamp out of range"),
                *self._future_checks(),
                *self._json_checks("item_id"),
                *self._integer_checks(),
                ("item_id IS NULL", "no item_id"),
                ("event_id IS NULL", "no event_id"),
                *self._unfit_ids(),
                ("seq IS NULL", "seq is not an int64"),
                ("__has_position AND position IS NULL", "position is not an int32"),
                ("__has_dwell_seconds AND dwell_seconds IS NULL", "dwell_seconds is not a number of seconds"),
            ]
        )

    def _future_checks(self) -> list[tuple[str, str]]:
        latest = self.config.latest_us
        return [] if latest is None else [(f"ts_us > {latest}", "after as_of")]

    def _json_checks(self, ours: str) -> list[tuple[str, str]]:
        if not self._is_json(ours):
            return []
        return [(f"__kind_{ours} NOT IN ('VARCHAR', 'BIGINT')", f"{ours} is not a string or an integer")]

    def _integer_checks(self) -> list[tuple[str, str]]:
        if self.id_type != "int64":
            return []
        return [("__has_item_id AND item_id IS NULL", "item_id is not an int64")]

    def _unfit_ids(self) -> list[tuple[str, str]]:
        """Look for what is hidden only in the texts that are not plain."""
        found = {ours: sql.unfit_id(ours) for ours in self._ids()}
        return [(long, reason) for (long, reason), _ in found.values()] + [
            (f"NOT __plain_{ours} AND {hidden}", reason) for ours, (_, (hidden, reason)) in found.items()
        ]


def match_columns(
    types: dict[str, str], hashed: tuple[str, ...], config: EventsConfig, where: str
) -> Mapping:
    """Match the configured and the equally named columns of a source with ours.

    Parameters
    ----------
    types : dict of str to str
        The source's columns and their SQL types.
    hashed : tuple of str
        The columns that identify a row where there is no ``event_id``.
    config : EventsConfig
        The mapping.
    where : str
        How to name the source in an error.

    Raises
    ------
    SourceError
        If a mapped or a required column is missing.
    ConfigError
        If both a constant event type and a column of it are configured.
    """
    if config.event_type and config.columns.get("event_type"):
        raise ConfigError("event_type is set and so is columns.event_type; keep one of them")
    columns: dict[str, tuple[str, ...]] = {}
    for ours in EVENT_COLUMNS:
        named = config.columns.get(ours)
        if named is None:
            named = "ts_us" if ours == "ts" and "ts" not in types else ours
            if named not in types or (ours == "event_type" and config.event_type):
                continue
        names = tuple(column_of(name, types) for name in ((named,) if isinstance(named, str) else named))
        if missing := [name for name in names if name and name not in types]:
            raise SourceError(f"{where} has no column {missing[0]!r} (mapped to {ours}); {_available(types)}")
        if names != ("",):
            columns[ours] = names
    wanted = REQUIRED if config.event_type else (*REQUIRED, "event_type")
    if lacking := [ours for ours in wanted if ours not in columns]:
        raise SourceError(
            f"{where} has no column for {', '.join(lacking)}; {_available(types)}."
            f' Name it: columns = {{ {lacking[0]} = "their column" }}'
            + (' or set event_type = "click" for every row' if lacking == ["event_type"] else "")
        )
    return Mapping(types, hashed, columns, config)


def _available(types: dict[str, str]) -> str:
    return "its columns are " + ", ".join(name for name in list(types)[:30] if not name.startswith("__"))
