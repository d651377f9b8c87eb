"""The application that a server process runs, for ``item2vec serve`` and for servers of your own.

``ITEM2VEC_SERVE='{"run": "runs/demo"}' uvicorn --factory item2vec.run.server:app`` serves a run without the
command line; the keys are those of :class:`~item2vec.serving.ServeSettings`, a token comes in
``ITEM2VEC_TOKEN``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError

from item2vec.errors import ConfigError, MissingDependencyError, UsageError
from item2vec.run.load import load_recommender
from item2vec.serving.settings import ServeSettings, checked_token

if TYPE_CHECKING:
    from item2vec.serving.guard import Guard

SETTINGS, TOKEN = "ITEM2VEC_SERVE", "ITEM2VEC_TOKEN"  # names of variables


def app() -> Guard:
    """Return the application that the environment describes.

    Raises
    ------
    UsageError
        If it describes none.
    MissingDependencyError
        If the libraries of the extra ``serve`` are missing.
    """
    text = os.environ.get(SETTINGS)
    if text is None:
        raise UsageError(f'{SETTINGS} is not set; example: {SETTINGS}=\'{{"run": "runs/demo"}}\'')
    try:
        settings = ServeSettings.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{SETTINGS} does not fit: {error}") from error
    token = os.environ.get(TOKEN)
    if token:
        settings = settings.model_copy(update={"token": SecretStr(checked_token(token))})
    return application(settings)


def application(settings: ServeSettings) -> Guard:
    """Return the application of some settings."""
    try:
        from item2vec.serving import Engine, create_app
    except ImportError as error:
        raise MissingDependencyError(
            f"serving needs FastAPI and its companions ({error}); run: pip install 'item2vec[serve]'"
        ) from error
    return create_app(Engine(settings, load_recommender))
