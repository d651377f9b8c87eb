"""One run, one TOML file: every stage's settings, checked before anything starts.

Relative paths in the file count from the folder the command is started in, the project's root by custom.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from item2vec.embeddings import Item2Vec
from item2vec.embeddings.hyperparameters import check_hyperparameters
from item2vec.embeddings.types.config import TypesConfig
from item2vec.errors import ConfigError, UsageError
from item2vec.evaluation.config import EvaluateConfig
from item2vec.events import EventsConfig
from item2vec.index import IndexConfig
from item2vec.marketplace.config import MarketplaceConfig
from item2vec.recommendations import RecommendConfig
from item2vec.recommendations.scoring import HistoryScoring
from item2vec.run.config import GateConfig, RunSection
from item2vec.sessions import SessionsConfig
from item2vec.settings import found_settings, nearest, read_toml, refusal

# How a result is computed, not what it is: these keys do not enter the hash of their stage.
NOT_HASHED = ("engine", "workers", "device", "memory_limit", "checkpoint_every")
Section = TypeVar("Section", bound=BaseModel)


@cache
def train_model() -> type[BaseModel]:
    """Return the model of ``[train]``, made from the estimator's signature, the only list of its settings.

    What a run decides about its `fit` comes on top: ``checkpoint_every``.
    """
    fields: dict[str, Any] = {
        name: (parameter.annotation, parameter.default)
        for name, parameter in inspect.signature(Item2Vec, eval_str=True).parameters.items()
    }
    fields["checkpoint_every"] = (int, 1)
    return create_model(
        "TrainConfig", __config__=ConfigDict(frozen=True, extra="forbid", strict=True), **fields
    )


@cache
def scoring_model() -> type[BaseModel]:
    """Return the model of ``[scoring]``, made from :class:`HistoryScoring`, the only list of its settings."""
    types = get_type_hints(HistoryScoring)
    found: dict[str, Any] = {one.name: (types[one.name], one.default) for one in fields(HistoryScoring)}
    return create_model("ScoringConfig", __config__=ConfigDict(frozen=True, extra="forbid"), **found)


def section_models() -> dict[str, type[BaseModel]]:
    """Return the sections a run file may have, with the model that checks each."""
    return {
        "run": RunSection,
        "simulate": MarketplaceConfig,
        "events": EventsConfig,
        "sessions": SessionsConfig,
        "train": train_model(),
        "types": TypesConfig,
        "scoring": scoring_model(),
        "index": IndexConfig,
        "recommend": RecommendConfig,
        "evaluate": EvaluateConfig,
        "gate": GateConfig,
    }


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run, complete and checked.

    Attributes
    ----------
    run : RunSection
        The run's name, which is its folder below the runs folder, and how many releases it keeps.
    simulate : MarketplaceConfig or None
        Set if the run makes its own log.
    events, sessions, types, index, recommend, evaluate
        The stages' own settings.
    scoring : HistoryScoring
        How a click history becomes scores.
    train : mapping
        All keyword arguments of :class:`item2vec.Item2Vec`, and ``checkpoint_every``.
    gate : GateConfig
        What a new release may lose.
    """

    run: RunSection
    simulate: MarketplaceConfig | None
    events: EventsConfig
    sessions: SessionsConfig
    train: Mapping[str, Any]
    types: TypesConfig
    scoring: HistoryScoring
    index: IndexConfig
    recommend: RecommendConfig
    evaluate: EvaluateConfig
    gate: GateConfig

    @property
    def name(self) -> str:
        """The run's folder below the runs folder."""
        return self.run.name

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
            If the file is missing or no TOML, or sections, keys, values or overrides are wrong; all of them
            are named, one a line.
        """
        document = read_toml(Path(path), "run file", "pipelines/ holds run files to start from")
        problems = apply_overrides(document, overrides)
        if isinstance(run := document.setdefault("run", {}), dict):
            run.setdefault("name", Path(path).stem)
        return cls._from_document(document, str(path), problems)

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
        return cls._from_document(sections, origin, [])

    @classmethod
    def _from_document(cls, sections: Mapping[str, Any], origin: str, problems: Sequence[str]) -> RunConfig:
        known = section_models()
        found = [*problems, *_wrong_sections(sections)]

        def check(name: str, model: type[Section]) -> Section | None:
            values = sections.get(name, {})
            if not isinstance(values, Mapping):
                return None
            made, wrong = found_settings(model, values, name, _elsewhere)
            found.extend(wrong)
            return made

        run, events = check("run", RunSection), check("events", EventsConfig)
        simulate = check("simulate", MarketplaceConfig) if "simulate" in sections else None
        found += _log_problem(sections)
        train = check("train", known["train"])
        settings = {} if train is None else train.model_dump()
        found += _range_problems(settings)
        sessions, index = check("sessions", SessionsConfig), check("index", IndexConfig)
        types = check("types", TypesConfig)
        scoring = _history_scoring(check("scoring", known["scoring"]), found)
        recommend, evaluate = check("recommend", RecommendConfig), check("evaluate", EvaluateConfig)
        gate = check("gate", GateConfig)
        if found or not (
            (run and events and sessions and types)
            and (scoring and index and recommend and evaluate and gate)
        ):
            raise refusal(origin, found)
        tables = (index, recommend)
        return cls(run, simulate, events, sessions, settings, types, scoring, *tables, evaluate, gate)

    def stage_config(self, section: str) -> dict[str, Any]:
        """Return what of a section enters the hash of its stage, as JSON values."""
        value = getattr(self, section)
        if isinstance(value, HistoryScoring):
            value = asdict(value)
        settings = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return {key: setting for key, setting in settings.items() if key not in NOT_HASHED}


def _wrong_sections(sections: Mapping[str, Any]) -> list[str]:
    known = list(section_models())
    outside = [name for name, values in sections.items() if not isinstance(values, Mapping)]
    lines = [f"{name!r} stands outside every section; put it below one such as [run]" for name in outside]
    unknown = [name for name in sections if name not in known and name not in outside]
    lines += [f"unknown section [{name}]{nearest(name, known)}" for name in unknown]
    return [*lines[:-1], f"{lines[-1]}; known are {', '.join(known)}"] if unknown else lines


def _log_problem(sections: Mapping[str, Any]) -> list[str]:
    """Say so unless exactly one of the two sources of events is given."""
    events = sections.get("events", {})
    reads = isinstance(events, Mapping) and events.get("path") is not None
    if ("simulate" in sections) != reads:
        return []
    problem = "two logs: [simulate] and events.path" if reads else "no log: set events.path"
    return [f"the run has {problem}, or add or remove the section [simulate]"]


def _history_scoring(checked: BaseModel | None, problems: list[str]) -> HistoryScoring | None:
    """Return the scoring of checked types, or note what is out of its range."""
    try:
        return None if checked is None else HistoryScoring(**checked.model_dump())
    except UsageError as error:
        problems.append(f"scoring.{error}")
        return None


def _range_problems(settings: Mapping[str, Any]) -> list[str]:
    """Check the ranges of [train] now that `fit` would check after the log has been read."""
    lines: list[str] = []
    left = dict(settings)
    defaults = train_model()().model_dump()
    while left:
        try:
            check_hyperparameters(left)
            break
        except ConfigError as error:  # names one key: note it and go on without that
            key = str(error).split(" ", 1)[0]
            lines.append(f"train.{error}")
            if left.get(key) == defaults.get(key):
                break
            left[key] = defaults.get(key)
    return lines


def simulation_config(overrides: Sequence[str] = ()) -> MarketplaceConfig:
    """Return the settings of a simulation outside a run, the defaults and ``"simulate.key=value"`` overrides.

    Raises
    ------
    ConfigError
        If an override is malformed, of another section, or out of range.
    """
    document: dict[str, dict[str, Any]] = {}
    problems = apply_overrides(document, overrides)
    others = [name for name in document if name != "simulate"]
    problems += [
        f"--set {name}...: writing a log into a folder knows the section [simulate] only" for name in others
    ]
    found, wrong = found_settings(MarketplaceConfig, document.get("simulate", {}), "simulate")
    problems += wrong
    if found is None or problems:
        raise refusal("simulate", problems)
    return found


def apply_overrides(document: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Set every ``section.key[.key]=value`` in a run file's document; return what is wrong."""
    problems = []
    for override in overrides:
        try:
            _apply(document, override)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def _apply(document: dict[str, Any], override: str) -> None:
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
    except (ValueError, RecursionError):
        return text  # --set run.name=demo needs no quotes
    return parsed["value"] if len(parsed) == 1 else text


def _elsewhere(key: str) -> str:
    owners = [name for name, model in section_models().items() if key in model.model_fields]
    return f" (it belongs to {' or '.join(f'[{name}]' for name in owners)})" if owners else ""
