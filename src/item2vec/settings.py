"""The one way from pydantic's findings to a :class:`ConfigError` that says what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from item2vec.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
LONGEST = 80
"""Characters of a refused value that a message repeats."""


def checked_settings(
    model: type[Model],
    values: Mapping[str, Any],
    origin: str,
    section: str = "",
    elsewhere: Callable[[str], str] = lambda _key: "",
) -> Model:
    """Check settings against their model.

    Parameters
    ----------
    model : type of BaseModel
        Forbids keys it does not know.
    values : mapping of str to value
        The settings given; the others get their defaults.
    origin : str
        What the message starts with: the run's file, or the function that was called.
    section : str
        The section of the run file that holds the keys.
    elsewhere : callable
        Told an unknown key, says where it belongs, or nothing.

    Raises
    ------
    ConfigError
        If keys are unknown or values out of range; one line names all of them.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = [_explained(model, section, fault, elsewhere) for fault in error.errors(include_url=False)]
        raise ConfigError(f"{origin}: " + "; ".join(dict.fromkeys(found))) from None


def nearest(key: str, known: Sequence[str]) -> str:
    """Return a hint to the known names that are like `key`, empty if none is."""
    close = get_close_matches(key, known, n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def _explained(
    model: type[BaseModel], section: str, fault: Mapping[str, Any], elsewhere: Callable[[str], str]
) -> str:
    """Say which key is wrong, what was given and what is allowed."""
    *folder, key = [str(part) for part in ((section, *fault["loc"]) if section else fault["loc"])] or [""]
    if fault["type"] == "extra_forbidden":
        known = list(_model_at(model, fault["loc"][:-1]).model_fields)
        place = f" in [{'.'.join(folder)}]" if folder else ""
        hint = nearest(key, known) or elsewhere(key)
        return f"unknown key {key!r}{place}{hint}; known are {', '.join(known)}"
    where = ".".join(filter(None, (*folder, key)))
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"] or fault["type"] in {"missing", "value_error"}:
        return f"{where}: {message}" if where else message
    return f"{where} = {_short(fault['input'])}: {message[:1].lower()}{message[1:]}"


def _model_at(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """Follow the keys of a place into the models that fields hold."""
    for part in place:
        field = model.model_fields.get(str(part))
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
