"""Places for requests: so many are at work at once, so many bodies on their way, the others come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from item2vec.serving.problems import busy

SLOT = "item2vec.slot"
"""Where a request's scope has its :class:`Slot`."""
BODIES = 4
"""Bodies on their way for each request at work: they only wait, 64 KiB at most."""


class Slots:
    """Counts the requests of one process; asked on its event loop only.

    Parameters
    ----------
    most : int
        Requests at work at once.
    """

    def __init__(self, most: int) -> None:
        self.most, self.at_work, self.arriving = most, 0, 0

    @property
    def are_free(self) -> bool:
        """Whether one more may begin."""
        return self.at_work < self.most


class Slot:
    """One request's place, taken when there is something to do for it: a slow body holds up no other."""

    __slots__ = ("_slots", "_taken")

    def __init__(self, slots: Slots) -> None:
        self._slots, self._taken = slots, False

    def take(self) -> None:
        """Begin to work.

        Raises
        ------
        Problem
            503 where too many are at work.
        """
        if not self._slots.are_free:
            raise busy("Too many requests are at work; try again.")
        self._slots.at_work += 1
        self._taken = True

    def free(self) -> None:
        """Let the next one begin."""
        if self._taken:
            self._slots.at_work -= 1
            self._taken = False

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Wait for a body, and then begin to work.

        Raises
        ------
        Problem
            503 where too many bodies are on their way, or too many requests at work.
        """
        if self._slots.arriving >= BODIES * self._slots.most:
            raise busy("Too many bodies are on their way; try again.")
        self._slots.arriving += 1
        try:
            yield
        finally:
            self._slots.arriving -= 1
        self.take()
