"""Figures as a few lines of text: what a result shows of itself in a notebook or a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write rows below a title, in columns as wide as they need.

    Parameters
    ----------
    title : str
    columns : sequence of str
        Heads of the columns.
    rows : sequence of sequences
        What stands in each column, written with ``str``.
    """
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "\n".join([title, *(f"  {line}" for line in lines)])
