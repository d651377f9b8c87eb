"""Spark for every stage: the session, tables by SQL, tasks on files, errors in plain words."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from item2vec.errors import MissingDependencyError


def import_for_spark(module: str) -> Any:
    """Import a module that needs PySpark.

    Raises
    ------
    MissingDependencyError
        If a library is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"engine='spark' needs a library that is not installed ({error}): pip install 'item2vec[spark]'"
        ) from error
