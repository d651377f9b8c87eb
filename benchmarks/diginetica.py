"""Diginetica as the session-based literature uses it: the last week held out, every prefix a test case."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from item2vec.sessions.container import Sessions

Example = tuple[tuple[int, ...], int]


def read(folder: Path) -> tuple[Sessions, Sessions, int]:
    """Read the training sessions and rebuild the test sessions from their prefixes.

    Returns
    -------
    train, test : Sessions
    n_prefixes : int
        Lines of the test file; exactly these prefixes and targets are the cases of `test`.

    Raises
    ------
    ValueError
        If the rebuilt sessions would have other prefixes than the file.
    """
    with gzip.open(folder / "train_sessions.txt.gz", "rt") as lines:
        train = Sessions.from_lists([[int(item) for item in line.split()] for line in lines])
    examples = read_examples(folder)
    sessions = rebuild(examples)
    cases = Counter((session[:n], session[n]) for session in sessions for n in range(1, len(session)))
    if cases != Counter(examples):
        raise ValueError(f"the {len(sessions):,} rebuilt sessions have other prefixes than {folder}")
    return train, Sessions.from_lists(sessions), len(examples)


def read_examples(folder: Path) -> list[Example]:
    """Read ``prefix ids<TAB>target`` lines."""
    with gzip.open(folder / "test_examples.tsv.gz", "rt") as lines:
        pairs = [line.rstrip("\n").split("\t") for line in lines]
    return [(tuple(map(int, prefix.split())), int(target)) for prefix, target in pairs]


def rebuild(examples: Iterable[Example]) -> list[tuple[int, ...]]:
    """Join nested prefixes to sessions: the longest comes first, the shorter ones follow it."""
    sessions: list[tuple[int, ...]] = []
    rest: tuple[int, ...] = ()
    for prefix, target in examples:
        if (*prefix, target) != rest:
            sessions.append((*prefix, target))
        rest = prefix
    return sessions
