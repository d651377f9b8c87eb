"""What each hyper-parameter may be, checked when `fit` is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from sys import float_info
from typing import Any

import numpy as np

from item2vec.errors import ConfigError, UsageError

ENGINES = {
    "numba": "item2vec.embeddings.numba_engine:NumbaEngine",
    "torch": "item2vec.embeddings.torch_engine:TorchEngine",
}
MAX_VECTOR_SIZE = 1024
MAX_NOISE = 10_000  # per pair: every thread has room for that many in each row of its plan
MAX_INT = 2**63 - 1


def _is_int(low: int, high: int = MAX_INT) -> Callable[[Any], bool]:
    def check(x: Any) -> bool:
        return isinstance(x, int) and not isinstance(x, bool) and low <= x <= high

    return check


def _is_number(low: float, above: bool = False, high: float = float_info.max) -> Callable[[Any], bool]:
    def check(x: Any) -> bool:
        if isinstance(x, bool) or not isinstance(x, int | float) or not -float_info.max <= x <= high:
            return False
        return x > low if above else x >= low

    return check


def _is_bool(x: Any) -> bool:
    return isinstance(x, bool)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "vector_size": (_is_int(1, MAX_VECTOR_SIZE), f"a whole number from 1 to {MAX_VECTOR_SIZE}"),
    "window": (
        lambda x: x == "session" or _is_int(1)(x),
        '"session" or a whole number of clicks, at least 1',
    ),
    "negative": (
        _is_int(1, MAX_NOISE),
        f"a whole number, at least 1, at most {MAX_NOISE:,} (noise of the whole catalogue keeps the"
        " vectors from collapsing into one; market_negative holds only items of one market apart)",
    ),
    "market_negative": (_is_int(0, MAX_NOISE), f"a whole number, at least 0, at most {MAX_NOISE:,}"),
    "epochs": (_is_int(1), "a whole number, at least 1"),
    "alpha": (_is_number(0, above=True), "a number above 0"),
    "min_alpha": (_is_number(0), "a number from 0 to alpha"),
    "ns_exponent": (_is_number(-10, high=10), "a finite number from -10 to 10 (usual are -1 to 1)"),
    "sample": (_is_number(0), "a number, at least 0 (0 keeps every click)"),
    "min_count": (_is_int(1), "a whole number, at least 1"),
    "shrink_windows": (_is_bool, "true or false"),
    "forward_only": (_is_bool, "true or false"),
    "sg": (_is_int(0, 1), "1 (skip-gram) or 0 (CBOW)"),
    "weighting": (lambda x: isinstance(x, str) and x in ("ppmi", "count"), '"ppmi" or "count"'),
    "reduction": (lambda x: isinstance(x, str) and x in ("svd", "pca"), '"svd" or "pca"'),
    "engine": (lambda x: isinstance(x, str) and x in ENGINES, f"one of {', '.join(map(repr, ENGINES))}"),
    "device": (
        lambda x: x is None or (isinstance(x, str) and re.fullmatch(r"cpu|cuda(:\d{1,4})?", x) is not None),
        '"cpu", "cuda", "cuda:1" and so on, or None for the best device the engine can use',
    ),
    "workers": (lambda x: x is None or _is_int(1)(x), "a whole number of threads, or None for every core"),
    "seed": (_is_int(0), "a whole number, at least 0"),
    "checkpoint_every": (_is_int(1), "a whole number of epochs, at least 1"),
}


def check_hyperparameters(params: Mapping[str, Any]) -> None:
    """Raise a ConfigError that names the first hyper-parameter out of its range and what it may be."""
    for name, value in params.items():
        allowed, words = _RULES[name]
        if not allowed(value):
            raise ConfigError(f"{name} is {value!r}; it must be {words}")
    if "alpha" in params and params["min_alpha"] > params["alpha"]:
        raise ConfigError(
            f"min_alpha is {params['min_alpha']!r}, above alpha ({params['alpha']!r}); the learning rate"
            " falls from alpha to min_alpha"
        )
    _check_engine(params)
    if params.get("sg") == 0 and params["market_negative"]:
        raise ConfigError(
            f"market_negative is {params['market_negative']!r}, and sg=0 (CBOW) has no market noise (eq. 5):"
            " the mean of a window has no market; set market_negative=0 or sg=1"
        )


def _check_engine(params: Mapping[str, Any]) -> None:
    """Raise a ConfigError where an engine cannot do what the others of its hyper-parameters ask."""
    engine, device = params.get("engine"), params.get("device")
    if engine == "numba" and device not in (None, "cpu"):
        raise ConfigError(f'device is {device!r}, and engine="numba" trains on the CPU; set engine="torch"')
    if engine == "torch" and params.get("sg") == 0:
        raise ConfigError('engine="torch" has no sg=0 (CBOW); set engine="numba" or sg=1')


def check_cbow_data(n_booked: int, has_rejections: bool) -> None:
    """Raise a UsageError that says which of the data sg=0 cannot train on, and the way out."""
    if n_booked:
        raise UsageError(
            f"sg=0 (CBOW) trains on clicks only, and these sessions have {n_booked:,} booked items (eq. 4);"
            " set sg=1, or leave the bookings out: no `booked` in Sessions.from_lists, for a run"
            ' event_types = {booking = "ignore"}'
        )
    if has_rejections:
        raise UsageError("sg=0 (CBOW) trains on clicks only; set sg=1, or leave the argument rejections out")


def check_fit(sessions: Any, validate: Any, init_vectors: Any, checkpoint_every: Any) -> None:
    """Raise a UsageError that names the first argument of `fit` that is not what it should be."""
    if not hasattr(sessions, "booked_offsets"):
        raise UsageError(f"fit takes Sessions, not {type(sessions).__name__}; see Sessions.from_lists")
    if not (validate is None or callable(validate)):
        raise UsageError(
            f"validate is of type {type(validate).__name__}; it must be a function of ItemVectors that"
            " returns a number, higher is better"
        )
    if not (init_vectors is None or hasattr(init_vectors, "context_vectors")):
        raise UsageError(
            f"init_vectors is of type {type(init_vectors).__name__}; it must be ItemVectors"
            " (ItemVectors.load, or ItemVectors.load_word2vec_format for another tool's)"
        )
    every = checkpoint_every.item() if isinstance(checkpoint_every, np.generic) else checkpoint_every
    check_hyperparameters({"checkpoint_every": every})
