"""The outcome of every source row: ok, duplicate, refused or unwanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from item2vec.errors import SourceError
from item2vec.events.expressions import quote_name
from item2vec.events.reasons import BLANK_LINE, CODES, FIRST_IGNORED, OK, REASONS, is_ignored, reason

CONFLICT = CODES["event_id repeated with another body"]
# Rows that are good or merely unwanted take part in the search for duplicates; refused ones do not.
_SOUND = f"(code = {OK} OR code >= {FIRST_IGNORED})"


@dataclass(frozen=True)
class Outcomes:
    """Source rows by outcome."""

    ok: int
    duplicate: int
    quarantined: dict[str, int]
    ignored: dict[str, int]
    repeated: bool
    """Whether the table ``repeats`` has rows."""


class Typed(Protocol):
    """Where the table ``typed`` is asked, in the SQL that DuckDB and Spark share."""

    hash64: str
    """What the SQL function is called that makes 64 bits of a text."""

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

    def store(self, name: str, sql: str) -> int:
        """Keep the rows of a query under a name and return their number."""

    def drop(self, name: str) -> None:
        """Forget a stored table."""

    def stream(self, sql: str) -> Iterator[Any]:
        """Yield the result of a query as Arrow record batches."""


def find_outcomes(typed: Typed, ignored: list[str], carry: tuple[str, ...] = ()) -> Outcomes:
    """Count the rows of ``typed`` by outcome and list the repeated ones in the table ``repeats``.

    Of the rows with one ``event_id`` the first by time, then by its body (the mapped columns, null being
    blank), stands, so that it is the same one however the rows are ordered and split. The others repeat its
    body (exact duplicates) or are refused. Ignored rows compare among themselves only: what nobody wants
    knocks no event out. `carry` names further columns that an importer reads; they decide between equal
    bodies.
    Candidates are found by a 64-bit hash of the id, so that no table of all ids is held; they are then
    compared in full, so a hash collision does no harm.
    """
    typed.store("checks", f"SELECT {typed.hash64}(event_id) AS h, code FROM typed")
    counts = Counter(
        {int(code): int(n) for code, n in typed.run("SELECT code, count(*) FROM checks GROUP BY code")}
    )
    n_candidates = typed.store(
        "candidates",
        f"SELECT h FROM checks WHERE {_SOUND} GROUP BY h, code <> {OK} HAVING count(*) > 1",
    )
    typed.drop("checks")
    duplicate, conflict = 0, 0
    repeated = n_candidates > 0
    if repeated:
        _compare_repeats(typed, carry)
    for code, same, n in (
        typed.run("SELECT code, same, count(*) FROM repeats GROUP BY code, same") if repeated else ()
    ):
        counts[int(code)] -= n
        duplicate, conflict = duplicate + n * same, conflict + n * (not same)
    counts[CONFLICT] += conflict
    return _named(counts, duplicate, ignored, repeated)


def refuse_mixed_ids(typed: Typed, outcomes: Outcomes) -> None:
    """Make sure that the events' rows do not write item ids as strings and as integers, unless a type is set.

    Raises
    ------
    SourceError
        If it does; the message names one line of each.
    """
    first = ", ".join(f"min_by({name}, (__file, __line))" for name in ("__file", "__line", "item_id"))
    kinds = typed.run(
        f"SELECT __item_kind, {first} FROM ({accepted('__item_kind, __file, __line, item_id', outcomes)})"
        " GROUP BY __item_kind ORDER BY 1"
    )
    if len(kinds) > 1:
        places = " and ".join(f"{kind} at {file}:{line} ({item})" for kind, file, line, item in kinds)
        raise SourceError(
            f"item_id is {places}; write all ids alike, or set id_type to 'string' or 'int64' to read them"
            " as one"
        )


def _compare_repeats(typed: Typed, carry: tuple[str, ...]) -> None:
    """List every row but the one that stands for its ``event_id``, and whether it repeats that one's body."""
    order = ["ts_us", "__body", *map(quote_name, carry), "__file", "__line"]
    placed = ", ".join(f"{name} NULLS LAST" for name in order)  # else null comes first on Spark
    typed.store(
        "repeats",
        "SELECT __file, __line, code, same FROM ("
        " SELECT __file, __line, code, row_number() OVER w AS place,"
        " __body IS NOT DISTINCT FROM first_value(__body) OVER w AS same"
        f" FROM typed WHERE {_SOUND} AND event_id IS NOT NULL"
        f" AND {typed.hash64}(event_id) IN (SELECT h FROM candidates)"
        f" WINDOW w AS (PARTITION BY event_id, code <> {OK} ORDER BY {placed})) WHERE place > 1",
    )


def _named(counts: Counter[int], duplicate: int, ignored: list[str], repeated: bool) -> Outcomes:
    """Give the codes their names, in the order of the codes."""
    present = {code: n for code, n in sorted(counts.items()) if n and code != OK}
    refused = {reason(code, ignored): n for code, n in present.items() if not is_ignored(code)}
    unwanted = {reason(code, ignored): n for code, n in present.items() if is_ignored(code)}
    return Outcomes(counts[OK], duplicate, refused, unwanted, repeated)


def accepted(columns: str, outcomes: Outcomes) -> str:
    """Return the SELECT of the rows that give events."""
    join = " ANTI JOIN repeats USING (__file, __line)" if outcomes.repeated else ""
    return f"SELECT {columns} FROM typed{join} WHERE code = {OK}"


def refused(outcomes: Outcomes) -> str | None:
    """Return the SELECT of the refused rows (file, line, code, raw), None where there are none."""
    if not outcomes.quarantined:
        return None
    bad = f"SELECT __file, __line, code, __raw FROM typed WHERE code > {OK} AND code < {BLANK_LINE}"
    if REASONS[CONFLICT] in outcomes.quarantined:
        bad += (
            f" UNION ALL SELECT __file, __line, {CONFLICT}, __raw FROM typed"
            " SEMI JOIN (SELECT __file, __line FROM repeats WHERE NOT same) USING (__file, __line)"
        )
    return bad + " ORDER BY __file, __line"
