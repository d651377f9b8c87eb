"""The one way from pydantic's findings to a :class:`ConfigError` that says what to write instead."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from item2vec.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
LONGEST = 80
"""Characters of a refused value that a message repeats."""
LONGEST_LINE = 1000
"""Characters of a line of a message; only a value that a check of its own repeats makes it longer."""
LARGEST = 1_000_000
"""Bytes of a settings file; a device or a pipe would be read for ever."""
_SHOULD_BE = "Input should be "
_MEMBER = re.compile(
    r"int|float|str|bool|date|datetime|\w+Config|(literal|list|tuple|dict|constrained).*\[.*\]"
)
_PHRASES = (
    (r"^a valid (?=[aeiou])", "an "),
    (r"^a valid ", "a "),
    (r"^a string", "text"),
    (r"^a dictionary( or instance of \w+)?", "a table of keys"),
    (r"^a tuple", "a list"),
    (r"^a boolean", "true or false"),
    (r"greater than or equal to", "at least"),
    (r"less than or equal to", "at most"),
    (r"greater than", "above"),
    (r"less than", "below"),
)


def read_toml(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a settings file.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, such as ``"run file"``.
    hint : str
        Where to find one, if it cannot be read.

    Raises
    ------
    ConfigError
        If it cannot be read, is too large, or is no TOML.
    """
    try:
        with open(path, "rb") as handle:
            body = handle.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise ConfigError(f"{path} is larger than {LARGEST:,} bytes, so it is no {what}; check the path")
        return tomllib.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except ValueError as error:  # TOMLDecodeError among them, and a number of thousands of digits
        reason = str(error).partition(";")[0]
        raise ConfigError(f"{path} is not valid TOML: {reason}; mend that line") from error
    except RecursionError as error:
        raise ConfigError(f"{path} nests values too deeply for a {what}; mend it") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; {hint}") from error


def checked_settings(model: type[Model], values: Mapping[str, Any], origin: str) -> Model:
    """Check the settings of one function against their model.

    Parameters
    ----------
    model : type of BaseModel
        Forbids keys it does not know.
    values : mapping of str to value
        The settings given; the others get their defaults.
    origin : str
        What the message starts with: the function that was called.

    Raises
    ------
    ConfigError
        If keys are unknown or values out of range; all of them are named, one a line.
    """
    found, problems = found_settings(model, values)
    if found is None or problems:
        raise refusal(origin, problems)
    return found


def found_settings(
    model: type[Model],
    values: Mapping[str, Any],
    section: str = "",
    elsewhere: Callable[[str], str] = lambda _key: "",
) -> tuple[Model | None, list[str]]:
    """Check settings against their model and collect what is wrong instead of stopping at it.

    Parameters
    ----------
    model : type of BaseModel
        Forbids keys it does not know.
    values : mapping of str to value
        The settings given; the others get their defaults.
    section : str
        The section of the run file that holds the keys.
    elsewhere : callable
        Told an unknown key, says where it belongs, or nothing.

    Returns
    -------
    tuple of (BaseModel or None, list of str)
        The settings, without those that are wrong (None if they make no model then), and the problems.
    """
    odd = {key: words for key, value in values.items() if (words := _odd(value))}
    odd_lines = [f"{'.'.join(filter(None, (section, key)))} {words}" for key, words in odd.items()]
    values = {key: value for key, value in values.items() if key not in odd}
    try:
        return model.model_validate(values), odd_lines
    except ValidationError as error:
        faults = error.errors(include_url=False)
    problems = [*odd_lines, *_problems(model, section, faults, elsewhere)]
    wrong = {str(fault["loc"][0]) for fault in faults if fault["loc"]}
    try:
        return model.model_validate(
            {key: value for key, value in values.items() if key not in wrong}
        ), problems
    except ValidationError:  # the rest alone says nothing new: it may only miss what was taken out
        return None, problems


def refusal(origin: str, problems: Sequence[str]) -> ConfigError:
    """Return the error that names all problems of one origin, one a line."""
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:300]} … {line[-300:]}" for line in problems]
    if len(lines) == 1:
        return ConfigError(f"{origin}: {lines[0]}")
    return ConfigError("\n  ".join([f"{origin} has {len(lines)} problems:", *lines]))


def nearest(key: str, known: Sequence[str]) -> str:
    """Return a hint to the known names that begin with `key`, hold it as a word, or are like it."""
    holding = [name for name in known if name.startswith(key) or key in name.split("_")]
    close = list(dict.fromkeys(holding or get_close_matches(key, known, n=3, cutoff=0.6)))[:3]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def _odd(value: Any) -> str:
    """Say what no setting can be and many a library stumbles over, or nothing."""
    if isinstance(value, str) and "\0" in value:
        return f"holds a NUL character: {_short(value)}"
    if isinstance(value, int | float) and abs(value) >= 2**63 and value not in (inf, -inf):
        return "is a number beyond 64 bits, which no setting needs"
    inner = value if isinstance(value, list | tuple) else ()
    inner = [*value, *value.values()] if isinstance(value, Mapping) else inner
    return next((words for one in inner if (words := _odd(one))), "")


def _problems(
    model: type[BaseModel], section: str, faults: Sequence[Any], elsewhere: Callable[[str], str]
) -> list[str]:
    """Say which keys are wrong, what was given and what is allowed, one line each."""
    lines: list[str] = []
    wanted: dict[str, list[str]] = {}  # of a union every member complains: one line for all of them
    unknown: dict[tuple[str, ...], list[str]] = {}
    for fault in faults:
        place = _place(fault["loc"])
        if fault["type"] == "extra_forbidden":
            unknown.setdefault(place[:-1], []).append(place[-1])
            continue
        where, given = ".".join(filter(None, (section, *place))), _short(fault["input"])
        message = fault["msg"].removeprefix("Value error, ")
        if message.startswith(_SHOULD_BE):
            wanted.setdefault(f"{where} must be {{}}, not {given}", []).append(_phrase(message))
        elif not place or fault["type"] in {"missing", "value_error"}:
            lines.append(f"{where}: {message}" if where else message)
        else:
            lines.append(f"{where} = {given}: {message[:1].lower()}{message[1:]}")
    for line, phrases in wanted.items():
        head, tail = line.split("{}", 1)
        lines.append(head + " or ".join(dict.fromkeys(phrases)) + tail)
    for place, keys in unknown.items():
        known = list(_model_at(model, place).model_fields)
        folder = ".".join(filter(None, (section, *place)))
        named = [
            f"unknown key {key!r}{f' in [{folder}]' if folder else ''}{elsewhere(key) or nearest(key, known)}"
            for key in keys
        ]
        lines += [*named[:-1], f"{named[-1]}; known are {', '.join(known)}"]
    return list(dict.fromkeys(lines))


def _place(found: Sequence[int | str]) -> tuple[str, ...]:
    """Name the keys that lead to a value, without the members of a union that pydantic puts among them."""
    return tuple(str(part) for at, part in enumerate(found) if at == 0 or not _MEMBER.fullmatch(str(part)))


def _phrase(message: str) -> str:
    """Turn "Input should be a valid integer, unable to parse ..." into "an integer"."""
    text = message.removeprefix(_SHOULD_BE).partition(", unable to ")[0].partition(", got ")[0]
    for pattern, words in _PHRASES:
        text = re.sub(pattern, words, text)
    return text


def _model_at(model: type[BaseModel], place: Sequence[str]) -> type[BaseModel]:
    """Follow the keys of a place into the models that fields hold."""
    for part in place:
        field = model.model_fields.get(part)
        inner = list(_models(field.annotation)) if field is not None else []
        model = inner[0] if inner else model
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
