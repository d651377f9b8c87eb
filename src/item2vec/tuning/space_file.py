"""A space as it is given: a table of values, ranges and choices, from Python or from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from item2vec.embeddings import Item2Vec
from item2vec.embeddings.hyperparameters import check_hyperparameters
from item2vec.errors import ConfigError, UsageError
from item2vec.settings import nearest, read_toml, refusal
from item2vec.tuning.scoring import SCORING, checked_scoring
from item2vec.tuning.space import Choice, Range, Space

NOT_SEARCHED = ("engine", "device", "workers", "seed")
"""How a result is computed, not what it is, and luck."""


def dotted(name: str) -> str:
    """Return the full name of a setting; one without a section is of ``train``."""
    return name if "." in name else f"train.{name}"


def known_settings() -> list[str]:
    """List the settings that can be searched."""
    train = [name for name in Item2Vec().get_params() if name not in NOT_SEARCHED]
    return [*(f"train.{name}" for name in train), *(f"scoring.{name}" for name in SCORING)]


def read_space(path: str | Path) -> Space:
    """Read a space from a TOML file.

    .. code-block:: toml

        [train]
        window = { low = 1, high = 15, beyond = "session" }
        alpha = { low = 0.005, high = 0.2, log = true }
        vector_size = [32, 64]
        forward_only = true
        [scoring]
        decay = { low = 0.1, high = 1.0 }

    Only what it names is searched; a single value is fixed.

    Raises
    ------
    ConfigError
        If it cannot be read, or settings or ranges are wrong; all of them are named, one a line.
    """
    document = read_toml(Path(path), "space of a search", "item2vec tune --help shows one")
    outside = [name for name, values in document.items() if not isinstance(values, Mapping)]
    if outside:
        raise ConfigError(f"{path}: {outside[0]!r} stands outside [train] and [scoring]; put it below one")
    return space_of(
        {f"{a}.{b}": one for a, values in document.items() for b, one in values.items()}, str(path)
    )


def space_of(given: Mapping[str, Any], origin: str = "space") -> Space:
    """Return the space that a table describes.

    Parameters
    ----------
    given : mapping of str to Range, Choice, mapping, list or value
        By ``train.window`` and the like (``window`` is the same); a mapping has the arguments of
        :class:`Range`, a list is a :class:`Choice`, any other value is fixed.
    origin : str
        Named in errors.

    Raises
    ------
    ConfigError
        With everything that is wrong, one a line.
    """
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{origin} is no table of settings with their values, or an empty one")
    known, problems = known_settings(), []
    space: dict[str, Range | Choice] = {}
    for name, one in given.items():
        full = dotted(str(name))
        if full.removeprefix("train.") in NOT_SEARCHED:
            problems.append(f"{full} is not searched: it does not say what is learned; set it in the base")
            continue
        if full not in known:
            problems.append(f"unknown setting {name!r}{nearest(full, known)}; known are {', '.join(known)}")
            continue
        try:
            space[full] = _dimension(one)
            _check(full, space[full])
        except (UsageError, TypeError) as error:
            text = str(error)
            problems.append(text if text.startswith(full) else f"{full}: {text}")
    if problems:
        raise refusal(origin, problems)
    return space


def _dimension(given: Any) -> Range | Choice:
    if isinstance(given, Range | Choice):
        return given
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in ("low", "high", "log", "beyond")]
        if unknown or not {"low", "high"} <= set(given):
            raise ConfigError(f"{dict(given)!r} is no range; give low and high, and maybe log and beyond")
        return Range(**given)
    return Choice(tuple(given) if isinstance(given, list | tuple) else (given,))


def _check(full: str, one: Range | Choice) -> None:
    """Refuse a range that ends where the setting may not go."""
    section, name = full.split(".")
    for value in one.ends():
        if section == "scoring":
            checked_scoring({**SCORING, name: value})
        else:
            check_hyperparameters({**Item2Vec().get_params(), "min_alpha": 0.0, name: value})
