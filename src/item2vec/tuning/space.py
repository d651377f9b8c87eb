"""What is searched: a table of settings, each with the values it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from item2vec.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4  # of a number that a search proposes: more would say nothing, and fill the run file
AT_THE_END = 0.999  # share of `high` from where a real number stands for `beyond`


def is_number(value: Any) -> bool:
    """Tell whether a value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones if both are whole.

    Parameters
    ----------
    low, high : int or float
    log : bool
        Search the logarithm; `low` is above 0 then.
    beyond : value, optional
        What comes after `high`: ``"session"`` is the longest window, a `sample` of 0 drops as little as one
        of 1 does. Whole numbers go one step further for it, of the others the upper end itself stands for it.

    Raises
    ------
    ConfigError
        If that is no range.
    """

    low: float
    high: float
    log: bool = False
    beyond: Any = None

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        numbers = is_number(self.low) and is_number(self.high) and isinstance(self.log, bool)
        if not numbers or not -1e18 < self.low <= self.high < 1e18 or (self.log and self.low <= 0):
            raise ConfigError(
                f"low = {self.low!r}, high = {self.high!r}, log = {self.log!r} is no range: give numbers with"
                " low ≤ high, and above 0 for log"
            )

    @property
    def whole(self) -> bool:
        """Whether these are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def _last(self) -> float:
        return self.high + 1 if self.whole and self.beyond is not None else self.high

    def distribution(self) -> BaseDistribution:
        """Return the range for optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self._last), log=self.log)
        return FloatDistribution(float(self.low), float(self.high), log=self.log)

    def encode(self, value: Any) -> int | float:
        """Return the number that stands for a value."""
        if self.beyond is not None and value == self.beyond:
            return self._last
        return int(value) if self.whole else float(value)

    def decode(self, number: float) -> Any:
        """Return the value that a number stands for."""
        if self.whole:
            return self.beyond if number > self.high else int(number)
        if self.beyond is not None and number >= self.high * AT_THE_END:
            return self.beyond
        return float(f"{number:.{DIGITS}g}")

    def including(self, value: Any) -> Range:
        """Return the range, widened to hold a value; of another kind than numbers it is refused."""
        if self.beyond is not None and value == self.beyond:
            return self
        if not is_number(value) or (self.log and value <= 0):
            raise ConfigError(f"{value!r} is outside {self}; give a choice of values instead")
        if self.whole and not isinstance(value, int):
            return replace(self, low=min(float(self.low), value), high=max(float(self.high), value))
        kind = int if self.whole else float
        return replace(self, low=kind(min(self.low, value)), high=kind(max(self.high, value)))

    def ends(self) -> tuple[Any, ...]:
        """Return the values at the ends, to check that they are allowed."""
        return (self.low, self.high, *(() if self.beyond is None else (self.beyond,)))

    def __str__(self) -> str:
        after = "" if self.beyond is None else f", or {self.beyond}"
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}{after}"


@dataclass(frozen=True)
class Choice:
    """One of several values; numbers keep their order, so that neighbours are alike.

    Raises
    ------
    ConfigError
        If there is none, or one twice.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Refuse an empty choice, and order numbers."""
        if not self.values or not all(isinstance(one, str | int | float) for one in self.values):
            raise ConfigError(f"{list(self.values)!r} is no choice: give text, numbers, true or false")
        if len(set(map(repr, self.values))) < len(self.values):
            raise ConfigError(f"{list(self.values)!r} has a value twice")
        if self._ordered:
            object.__setattr__(self, "values", tuple(sorted(self.values)))

    @property
    def _ordered(self) -> bool:
        return all(map(is_number, self.values))

    def distribution(self) -> BaseDistribution:
        """Return the choice for optuna: places of ordered numbers, or a category."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        if self._ordered:
            return IntDistribution(0, len(self.values) - 1)
        return CategoricalDistribution(self.values)

    def encode(self, value: Any) -> Any:
        """Return what stands for a value."""
        return self.values.index(value) if self._ordered else value

    def decode(self, place: Any) -> Any:
        """Return the value that this stands for."""
        return self.values[place] if self._ordered else place

    def including(self, value: Any) -> Choice:
        """Return the choice with a value among the others."""
        there = any(one == value and type(one) is type(value) for one in self.values)
        if there or (self._ordered and value in self.values):
            return self
        return Choice((*self.values, value))

    def ends(self) -> tuple[Any, ...]:
        """Return all values, to check that they are allowed."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Space = Mapping[str, Range | Choice]

DEFAULT_SPACE: dict[str, Range | Choice] = {
    "train.vector_size": Choice((32, 64, 128)),
    "train.window": Range(1, 15, beyond="session"),
    "train.negative": Range(2, 30, log=True),
    "train.market_negative": Range(0, 10),
    "train.epochs": Range(3, 40, log=True),
    "train.alpha": Range(0.005, 0.2, log=True),
    "train.ns_exponent": Range(-1.0, 1.0),
    "train.sample": Range(1e-5, 1.0, log=True, beyond=0.0),
    "train.shrink_windows": Choice((True, False)),
    "train.forward_only": Choice((True, False)),
    "scoring.decay": Range(0.1, 1.0),
    "scoring.popularity": Range(0.0, 1.5),
    "scoring.temperature": Range(0.5, 4.0, log=True),
    "scoring.repeat_last": Range(0.0, 0.3),
    "scoring.repeat_earlier": Range(0.0, 0.3),
}
"""What is searched if nothing else is said; ``train.market_negative`` only where items have markets."""
