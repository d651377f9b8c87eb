"""What identifies a row that has no id: all its cells, whatever other rows and files hold."""

from __future__ import annotations

from collections.abc import Mapping

from item2vec.events.expressions import quote_text


def row_identity(cells: Mapping[str, str], letters: Mapping[str, str] | None = None) -> str:
    """Return the SQL of a text that two rows share only if they hold the same cells.

    Each cell that is not null stands as length of the name, name, letter of the type, length of the value,
    value (lengths in bytes), ordered by name: columns without a value count for nothing, and no cell can pass
    for another or for two.

    Parameters
    ----------
    cells : mapping of str to str
        The SQL of each column's value as text, by the column's name.
    letters : mapping of str to str, optional
        The SQL of a letter that tells the value's type, where values of one text may differ in it.
    """
    parts = []
    for name in sorted(cells):
        # DuckDB ends a statement at NUL; the length before the name keeps the two spellings apart
        measured = quote_text(f"{len(name.encode())}:{name}".replace("\0", "\\0"))
        letter = f" || {letters[name]}" if letters else ""
        parts.append(f"{measured}{letter} || strlen({cells[name]}) || ':' || {cells[name]}")
    return f"concat({', '.join(parts)})" if parts else "''"


def composite_id(cells: Mapping[str, str]) -> str:
    """Return the SQL of an id made of several columns, null where all are.

    Parameters
    ----------
    cells : mapping of str to str
        The SQL of each column's value as text, by the SQL of the column.
    """
    # Escaped, and a null apart from an empty text, so that different cells never make the same id
    escaped = [f"replace({cell}, '\\', '\\\\')" for cell in cells.values()]
    parts = [f"coalesce(replace({cell}, '|', '\\|'), '\\N')" for cell in escaped]
    some = " OR ".join(f"{column} IS NOT NULL" for column in cells)
    return f"CASE WHEN {some} THEN concat_ws('|', {', '.join(parts)}) END"
