"""The SQL that turns a source's columns into the event table's, and says why a row is refused."""

from __future__ import annotations

from datetime import timedelta

from item2vec.errors import ConfigError, SourceError
from item2vec.events.config import EPOCH, LATEST
from item2vec.events.reasons import CODES, FIRST_IGNORED
from item2vec.events.schema import EVENT_TYPES

INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
}
EXACT = {"DOUBLE": 2**53, "FLOAT": 2**24}  # from here on a float stands for several integers
TEMPORAL = ("TIMESTAMP", "DATE")
CURRENCY = r"^\s*([A-Z]{0,3}\p{Sc}|[A-Z]{1,3})?\s*|\s*(\p{Sc}|[A-Z]{3})?\s*$"
LATEST_US = (LATEST - EPOCH) // timedelta(microseconds=1)
CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
NAIVE = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}({CLOCK})?$"
ZONED = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{CLOCK} ?(Z|UTC|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)$"
SPACE = r"[\s\pZ\p{Cc}\p{Cf}]"  # spaces of every script, controls, marks without width
BLANK = rf"^{SPACE}*$"
PLAIN = "[!-~]+"  # printable ASCII without spaces: nothing to strip, nothing hidden, told in one cheap pass
HIDDEN = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"  # controls, bidi and zero-width marks, separators of lines
LONGEST_ID = 256
NUMBER = r"^[+-]?[0-9]+([.][0-9]*)?([eE][+-]?[0-9]+)?$"


def quote_name(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Quote a string literal."""
    return "'" + text.replace("'", "''") + "'"


def stripped(value: str, told: str | None = None) -> str:
    """Return the SQL of a text without the white space around it, which would tell ids apart unseen.

    `told` names a column that already tells whether the text is plain.
    """
    edge = f"regexp_matches({value}, '^{SPACE}|{SPACE}$')"
    return f"CASE WHEN {told or plain(value)} THEN {value} WHEN {edge} THEN {_bare(value)} ELSE {value} END"


def _bare(value: str) -> str:
    """Return the SQL of a text without the white space around it."""
    return f"regexp_replace({value}, '^{SPACE}+|{SPACE}+$', '', 'g')"


def plain(value: str) -> str:
    """Return the SQL that tells whether a text is printable ASCII without a space."""
    return f"regexp_full_match({value}, '{PLAIN}')"


def unfit_id(value: str) -> list[tuple[str, str]]:
    """Return the conditions (with their reasons) that make a text unfit as an id."""
    return [
        (f"strlen({value}) > {LONGEST_ID} AND length({value}) > {LONGEST_ID}", "id too long"),
        (f"regexp_matches({value}, '{HIDDEN}')", "control character in an id"),
    ]


def blank(name: str) -> str:
    """Return the SQL that tells whether a text cell holds nothing, null where it is null."""
    return f"regexp_matches({quote_name(name)}, '{BLANK}')"


def as_it_stands(name: str) -> str:
    """Return the SQL of a text cell, null where it is blank."""
    return f"CASE WHEN {blank(name)} THEN NULL ELSE {quote_name(name)} END"


def text(name: str, kind: str, ours: str, told: str | None = None) -> str:
    """Return the SQL of an id or label: text without the white space around it, null where it is blank.

    `told` names a column that already tells whether a VARCHAR cell is plain.

    Raises
    ------
    SourceError
        If the column's type has no exact text form (floats lose digits of an id, nested values have none).
    """
    column = quote_name(name)
    if kind in INTEGERS:
        return f"CAST({column} AS VARCHAR)"
    if kind == "UUID":
        return f"CAST({column} AS VARCHAR)"
    if kind != "VARCHAR" and not kind.startswith("ENUM"):
        raise SourceError(
            f"column {name!r} is {kind}, so it cannot be {ours}; store it as text or as an integer"
        )
    value = column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"
    return f"nullif({stripped(value, told)}, '')"


def integer(name: str, kind: str, ours: str, sql_type: str = "BIGINT") -> str:
    """Return the SQL of an integer, null where the value is blank or not exactly one."""
    column = quote_name(name)
    if kind in INTEGERS:
        return f"TRY_CAST({column} AS {sql_type})"
    if kind in EXACT:  # how pandas stores integers with gaps
        exact = f"{column} = floor({column}) AND abs({column}) < {EXACT[kind]}"
        return f"CASE WHEN {exact} THEN TRY_CAST({column} AS {sql_type}) END"
    if kind != "VARCHAR":
        raise SourceError(f"column {name!r} is {kind}, so it cannot be {ours}; store it as an integer")
    # '12.7' and '1e3' cast too, so the text must come back unchanged
    cast, bare = f"TRY_CAST({column} AS {sql_type})", stripped(column)
    inner = f"TRY_CAST({bare} AS {sql_type})"
    again = f"CASE WHEN CAST({inner} AS VARCHAR) = {bare} THEN {inner} END"
    return f"CASE WHEN CAST({cast} AS VARCHAR) = {column} THEN {cast} ELSE {again} END"


def seconds(name: str, kind: str) -> str:
    """Return the SQL of a duration in seconds, null where the value is blank or no number ≥ 0."""
    if kind not in INTEGERS | {"DOUBLE", "FLOAT", "VARCHAR"} and not kind.startswith("DECIMAL"):
        raise SourceError(
            f"column {name!r} is {kind}, so it cannot be dwell_seconds; store seconds as a number"
        )
    value = f"TRY_CAST({quote_name(name)} AS DOUBLE)"
    return f"CASE WHEN isfinite({value}) AND {value} >= 0 THEN {value} END"


def amount(name: str, kind: str, ours: str) -> str:
    """Return the SQL of a number with or without a currency (``$1,234.00``, ``1.234,50 €``), else null.

    The last of comma and point is the decimal sign if both occur; one sign alone groups thousands where it is
    repeated, and a lone comma also where exactly three digits follow it.

    Raises
    ------
    SourceError
        If the column's type is neither a number nor text.
    """
    column = quote_name(name)
    if kind in INTEGERS | {"DOUBLE", "FLOAT"} or kind.startswith("DECIMAL"):
        return _finite(f"CAST({column} AS DOUBLE)")
    if kind != "VARCHAR":
        raise SourceError(f"column {name!r} is {kind}, so it cannot be {ours}; store numbers or text")
    bare = f"regexp_replace({column}, '{CURRENCY}', '', 'g')"
    return _finite(
        f"CASE WHEN regexp_matches({bare}, '^-?[0-9]+([.][0-9]+)?$') THEN TRY_CAST({bare} AS DOUBLE)"
        f" WHEN regexp_matches({bare}, '^-?[0-9]{{1,3}}(,[0-9]{{3}})+([.][0-9]+)?$')"
        f" THEN TRY_CAST(replace({bare}, ',', '') AS DOUBLE)"
        f" WHEN regexp_matches({bare}, '^-?[0-9]{{1,3}}([.][0-9]{{3}})+(,[0-9]+)?$')"
        f" THEN TRY_CAST(replace(replace({bare}, '.', ''), ',', '.') AS DOUBLE)"
        f" WHEN regexp_matches({bare}, '^-?[0-9]+,[0-9]+$')"
        f" THEN TRY_CAST(replace({bare}, ',', '.') AS DOUBLE) END"
    )


def _finite(value: str) -> str:
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def timestamp(name: str, kind: str, unit: str) -> str:
    """Return the SQL of a time stamp in microseconds since 1970 (UTC), null where it cannot be read.

    Raises
    ------
    ConfigError
        If the unit contradicts the column's type.
    SourceError
        If the column's type is no time.
    """
    column = quote_name(name)
    if kind.startswith(TEMPORAL):
        if unit not in ("auto", "iso"):
            raise ConfigError(
                f"column {name!r} is {kind}, not a number of {unit!r}; set timestamp_unit to 'auto'"
            )
        zoned = kind == "TIMESTAMP WITH TIME ZONE"
        return f"epoch_us({column})" if zoned else f"epoch_us(TRY_CAST({column} AS TIMESTAMP))"
    if kind in INTEGERS:
        whole = f"TRY_CAST({column} AS BIGINT)"
        return f"CASE WHEN {whole} IS NOT NULL THEN {_scaled(whole, unit, name)} END"
    if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL"):
        return _scaled_real(f"TRY_CAST({column} AS DOUBLE)", unit, name)
    if kind != "VARCHAR":
        raise SourceError(
            f"column {name!r} is {kind}, so it cannot be a timestamp; use a number or ISO 8601 text"
        )
    iso = (  # without an offset a time is UTC, whatever the machine's zone
        f"CASE WHEN regexp_matches({column}, '{NAIVE}') THEN epoch_us(TRY_CAST({column} AS TIMESTAMP))"
        f" WHEN regexp_matches({column}, '{ZONED}') THEN epoch_us(TRY_CAST({column} AS TIMESTAMPTZ)) END"
    )
    if unit == "iso":
        return iso
    whole, real = f"TRY_CAST({column} AS BIGINT)", f"TRY_CAST({column} AS DOUBLE)"
    number = (
        f"CASE WHEN CAST({whole} AS VARCHAR) = {column} THEN {_scaled(whole, unit, name)}"
        f" WHEN regexp_matches({column}, '{NUMBER}') THEN {_scaled_real(real, unit, name)} END"
    )
    return number if unit != "auto" else f"coalesce({iso}, {number})"


def _scaled(value: str, unit: str, name: str) -> str:
    """Return the SQL that scales a number to microseconds; ``auto`` goes by its size.

    What lies outside the years accepted at all is cut to just outside first: the product fits an int64.
    """
    if unit == "iso":
        raise ConfigError(f"timestamp_unit is 'iso' but column {name!r} holds numbers; set 's', 'ms' or 'us'")
    factors = {"s": 1_000_000, "ms": 1_000, "us": 1}
    bounded = f"least(greatest({value}, -1), {LATEST_US // factors.get(unit, 1) + 1})"
    if unit != "auto":
        return f"CAST(round({bounded} * {factors[unit]}) AS BIGINT)"
    return (
        f"CAST(round(CASE WHEN {value} < 1e11 THEN {bounded} * 1000000"
        f" WHEN {value} < 1e14 THEN {bounded} * 1000 ELSE {bounded} END) AS BIGINT)"
    )


def _scaled_real(value: str, unit: str, name: str) -> str:
    """Return the same for a float, null where it is not finite or beyond an int64."""
    return f"CASE WHEN abs({value}) < 9.2e18 THEN {_scaled(value, unit, name)} END"


def event_type(value: str, mapping: dict[str, str]) -> str:
    """Return the SQL of our event type for the SQL of theirs; null for ignored and unknown values."""
    known = {kind: kind for kind in EVENT_TYPES} | mapping
    return "CASE " + value + _branches({v: quote_text(k) for v, k in known.items() if k != "ignore"})


def ignored_code(value: str, ignored: list[str]) -> str:
    """Return the SQL of the code of an ignored value, null for wanted ones."""
    if not ignored:
        return "NULL"
    return "CASE " + value + _branches({v: str(FIRST_IGNORED + i) for i, v in enumerate(ignored)})


def _branches(cases: dict[str, str]) -> str:
    """Return the branches; the values are compared stripped, as the cells are."""
    return "".join(f" WHEN {_bare(quote_text(v))} THEN {then}" for v, then in cases.items()) + " END"


def first_code(checks: list[tuple[str, str]]) -> str:
    """Return ``WHEN`` branches: the first condition that holds names the reason."""
    return " ".join(f"WHEN {condition} THEN {CODES[reason]}" for condition, reason in checks)
