"""Hyper-parameters by name, as scikit-learn's estimators give them: the signature is their only list."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np

from item2vec.errors import ConfigError


class Estimator:
    """Hyper-parameters kept under the names of the signature; nothing happens before `fit`."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep numpy's numbers as Python's: they are the same settings, and have the same fingerprint."""
        super().__setattr__(name, value.item() if isinstance(value, np.generic) else value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyper-parameters by name (`deep` is scikit-learn's and changes nothing here)."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters and return self.

        Raises
        ------
        ConfigError
            If a name is unknown.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ConfigError(f"unknown hyper-parameter {name!r}; there are {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = {k: v for k, v in self.get_params().items() if repr(v) != repr(defaults[k].default)}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"
