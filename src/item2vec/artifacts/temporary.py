"""Where temporary folders go: into the run that is being written, so that a killed one's are found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_PLACE: ContextVar[Path | None] = ContextVar("place", default=None)


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Send the temporary folders that are made inside the ``with`` block to `folder`."""
    token = _PLACE.set(folder)
    try:
        yield
    finally:
        _PLACE.reset(token)


def temporary_place() -> Path | None:
    """Return the ``dir`` argument for :mod:`tempfile`.

    Returns
    -------
    Path or None
        ``tmp/`` of the run that is being written, which the next run clears if this one is killed; None, the
        system's temporary folder, outside a run.
    """
    place = _PLACE.get()
    if place is not None:
        place.mkdir(exist_ok=True)
    return place
