"""One run, one TOML file: every stage's settings, checked before anything starts.

Relative paths in the file count from the folder the command is started in, the project's root by custom.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from item2vec.embeddings import Item2Vec
from item2vec.embeddings.hyperparameters import check_hyperparameters
from item2vec.errors import ConfigError
from item2vec.evaluation.config import EvaluateConfig
from item2vec.events import EventsConfig
from item2vec.index import IndexConfig
from item2vec.marketplace.config import MarketplaceConfig
from item2vec.recommendations import RecommendConfig
from item2vec.sessions import SessionsConfig
from item2vec.settings import Model, checked_settings, nearest

# How a result is computed, not what it is: these keys do not enter the hash of their stage.
NOT_HASHED = ("engine", "workers", "device", "memory_limit")


class RunSection(BaseModel):
    """Keys of ``[run]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Folder of the run below ``--runs-dir``; by default the name of the TOML file."""


@cache
def train_model() -> type[BaseModel]:
    """Return the model of ``[train]``, made from the estimator's signature, the only list of its settings."""
    fields: dict[str, Any] = {
        name: (parameter.annotation, parameter.default)
        for name, parameter in inspect.signature(Item2Vec, eval_str=True).parameters.items()
    }
    return create_model(
        "TrainConfig", __config__=ConfigDict(frozen=True, extra="forbid", strict=True), **fields
    )


def section_models() -> dict[str, type[BaseModel]]:
    """Return the sections a run file may have, with the model that checks each."""
    return {
        "run": RunSection,
        "simulate": MarketplaceConfig,
        "events": EventsConfig,
        "sessions": SessionsConfig,
        "train": train_model(),
        "index": IndexConfig,
        "recommend": RecommendConfig,
        "evaluate": EvaluateConfig,
    }


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run, complete and checked.

    Attributes
    ----------
    name : str
        The run's folder below the runs folder.
    simulate : MarketplaceConfig or None
        Set if the run makes its own log.
    events, sessions, index, recommend, evaluate
        The stages' own settings.
    train : mapping
        All keyword arguments of :class:`item2vec.Item2Vec`.
    """

    name: str
    simulate: MarketplaceConfig | None
    events: EventsConfig
    sessions: SessionsConfig
    train: Mapping[str, Any]
    index: IndexConfig
    recommend: RecommendConfig
    evaluate: EvaluateConfig

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
        """Read a run file.

        Parameters
        ----------
        path : str or Path
            The TOML file.
        overrides : sequence of str
            Settings that replace the file's, such as ``"train.epochs=3"``; values are TOML, or else text.

        Raises
        ------
        ConfigError
            If the file is missing or no TOML, a section or key is unknown, or a value is out of range.
        """
        document = _read_toml(Path(path))
        for override in overrides:
            _apply(document, override)
        document.setdefault("run", {}).setdefault("name", Path(path).stem)
        return cls.from_sections(document, origin=str(path))

    @classmethod
    def from_sections(cls, sections: Mapping[str, Mapping[str, Any]], origin: str = "run") -> RunConfig:
        """Check the sections of a run given as a mapping.

        Parameters
        ----------
        sections : mapping of str to mapping
            What the TOML file would hold; ``run.name`` must be there.
        origin : str
            Named in errors.

        Raises
        ------
        ConfigError
            If a section or key is unknown, or a value is out of range.
        """
        for name in sections.keys() - section_models().keys():
            hint = nearest(name, list(section_models()))
            raise ConfigError(
                f"{origin}: unknown section [{name}]{hint}; known are {', '.join(section_models())}"
            )

        def check(name: str, model: type[Model]) -> Model:
            return _check(origin, name, model, sections.get(name, {}))

        simulate = check("simulate", MarketplaceConfig) if "simulate" in sections else None
        events = check("events", EventsConfig)
        if (simulate is None) == (events.path is None):
            problem = (
                "no log: set events.path" if simulate is None else "two logs: [simulate] and events.path"
            )
            raise ConfigError(f"{origin}: the run has {problem}, or add or remove the section [simulate]")
        return cls(
            name=check("run", RunSection).name,
            simulate=simulate,
            events=events,
            sessions=check("sessions", SessionsConfig),
            train=_train_settings(origin, check("train", train_model()).model_dump()),
            index=check("index", IndexConfig),
            recommend=check("recommend", RecommendConfig),
            evaluate=check("evaluate", EvaluateConfig),
        )

    def stage_config(self, section: str) -> dict[str, Any]:
        """Return what of a section enters the hash of its stage, as JSON values."""
        value = getattr(self, section)
        settings = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return {key: setting for key, setting in settings.items() if key not in NOT_HASHED}


def _train_settings(origin: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Check the ranges now that `fit` would check after the log has been read."""
    try:
        check_hyperparameters(settings)
    except ConfigError as error:
        raise ConfigError(f"{origin}: train.{error}") from None
    return settings


def simulation_config(overrides: Sequence[str] = ()) -> MarketplaceConfig:
    """Return the settings of a simulation outside a run, the defaults and ``"simulate.key=value"`` overrides.

    Raises
    ------
    ConfigError
        If an override is malformed, of another section, or out of range.
    """
    document: dict[str, dict[str, Any]] = {}
    for override in overrides:
        _apply(document, override)
    for name in document.keys() - {"simulate"}:
        raise ConfigError(f"--set {name}...: writing a log into a folder knows the section [simulate] only")
    return _check("--set", "simulate", MarketplaceConfig, document.get("simulate", {}))


def _read_toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with open(path, "rb") as handle:
            document = tomllib.load(handle)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; mend that line") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; pipelines/ holds run files to start from"
        ) from error
    for name, value in document.items():
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path}: {name!r} stands outside every section; put it below one such as [run]"
            )
    return document


def _apply(document: dict[str, dict[str, Any]], override: str) -> None:
    """Set ``section.key[.key]=value`` in the document."""
    place, equals, text = override.partition("=")
    *path, key = [part.strip() for part in place.split(".")]
    if not equals or not path or not all([*path, key]):
        raise ConfigError(f"--set {override!r} is not section.key=value, such as train.epochs=3")
    target: Any = document
    for part in path:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a section")
    target[key] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text  # --set run.name=demo needs no quotes
    return parsed["value"] if len(parsed) == 1 else text


def _check(origin: str, section: str, model: type[Model], values: Mapping[str, Any]) -> Model:
    return checked_settings(model, values, origin, section, _elsewhere)


def _elsewhere(key: str) -> str:
    owners = [name for name, model in section_models().items() if key in model.model_fields]
    return f" (it belongs to {' or '.join(f'[{name}]' for name in owners)})" if owners else ""
