"""A private copy of the package with pieces of its text replaced: what do the tests say without them?"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import item2vec

PACKAGE = Path(item2vec.__file__).parent
Edits = tuple[tuple[str, str, str], ...]  # file in the package, text that stands there, text to replace it


def copied_package(folder: Path) -> Path:
    """Copy the package into a folder, which goes first on the path of whoever is to use it."""
    shutil.copytree(PACKAGE, folder / "item2vec")
    return folder


def unpatchable(several: Iterable[Edits]) -> list[tuple[str, str]]:
    """Name the texts that do not stand exactly once where their edit expects them."""
    return [
        (file, old)
        for edits in several
        for file, group in itertools.groupby(edits, key=lambda edit: edit[0])
        if (text := (PACKAGE / file).read_text("utf-8"))
        for _, old, new in group
        if text.count(old) != 1 or (text := text.replace(old, new)) is None
    ]


@contextmanager
def patched(copy: Path, edits: Edits) -> Iterator[None]:
    """Make the edits in a copy, and take them back."""
    files = {file: (copy / "item2vec" / file).read_text("utf-8") for file, _, _ in edits}
    try:
        for file, old, new in edits:
            path = copy / "item2vec" / file
            path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        yield
    finally:
        for file, text in files.items():
            (copy / "item2vec" / file).write_text(text, "utf-8")
