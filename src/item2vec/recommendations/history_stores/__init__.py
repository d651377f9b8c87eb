"""What users did lately, kept between calls: in SQLite by default, in Redis as an extra."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.recommendations.history_stores.redis import RedisHistoryStore
    from item2vec.recommendations.history_stores.rules import Added
    from item2vec.recommendations.history_stores.sqlite import SqliteHistoryStore
    from item2vec.recommendations.history_stores.store import HistoryStore, open_history_store

_HOMES = {
    "Added": "rules",
    "HistoryStore": "store",
    "RedisHistoryStore": "redis",
    "SqliteHistoryStore": "sqlite",
    "open_history_store": "store",
}
__all__ = ["Added", "HistoryStore", "RedisHistoryStore", "SqliteHistoryStore", "open_history_store"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
