"""A log cut into shares, one per task: whole text files, and rows of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

LEAST_BYTES, MOST_BYTES = 4 << 20, 128 << 20
LEAST_ROWS, MOST_ROWS = 250_000, 4_000_000
PER_CORE = 3
"""Shares for every core: with a few, the slowest ends not long after the others."""


@dataclass(frozen=True)
class FileShare:
    """Rows of Parquet files: all of several files, or a range of one.

    Parameters
    ----------
    files : tuple of str
    rows : tuple of (int, int), optional
        The first and the last row of the only file, counted from 1.
    """

    files: tuple[str, ...]
    rows: tuple[int, int] | None = None


def by_files(files: Sequence[str], n_cores: int) -> list[list[str]]:
    """Put text files into shares, in their order: many small ones into one, a large one into its own.

    No file is cut: in CSV a line break may be part of a record, and only whoever read all lines before knows;
    a packed file can only be read from its beginning.
    """
    sizes = [os.stat(file).st_size for file in files]
    wanted = min(max(sum(sizes) // (PER_CORE * n_cores), LEAST_BYTES), MOST_BYTES)
    return [[files[at] for at in share] for share in _filled(sizes, wanted)]


def by_rows(row_counts: Mapping[str, int], n_cores: int) -> list[FileShare]:
    """Put Parquet files into shares, in their order: many small ones into one, a large one into several."""
    wanted = min(max(sum(row_counts.values()) // (PER_CORE * n_cores), LEAST_ROWS), MOST_ROWS)
    files, shares = list(row_counts), []
    for share in _filled(list(row_counts.values()), wanted):
        n_rows, names = sum(row_counts[files[at]] for at in share), tuple(files[at] for at in share)
        if len(names) > 1 or n_rows < 2 * wanted:
            shares.append(FileShare(names))
        else:
            starts = range(0, n_rows, wanted)
            shares += [FileShare(names, (start + 1, min(start + wanted, n_rows))) for start in starts]
    return shares


def _filled(sizes: Sequence[int], wanted: int) -> Iterator[list[int]]:
    """Yield runs of places whose sizes come to what is wanted; what alone is as large gets its own."""
    run: list[int] = []
    total = 0
    for at, size in enumerate(sizes):
        if run and total + size > wanted:
            yield run
            run, total = [], 0
        run.append(at)
        total += size
    if run:
        yield run
