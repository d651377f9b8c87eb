"""Raw logs → one typed, ordered event table; every refused row is kept with its reason."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.events.config import AttributesConfig as AttributesConfig
    from item2vec.events.config import EventsConfig as EventsConfig
    from item2vec.events.container import Events as Events
    from item2vec.events.read import read_events as read_events
    from item2vec.events.reconciliation import Reconciliation as Reconciliation
    from item2vec.events.schema import EVENT_TYPES as EVENT_TYPES
    from item2vec.events.schema import event_schema as event_schema

_HOMES = {
    "AttributesConfig": "config",
    "EVENT_TYPES": "schema",
    "Events": "container",
    "EventsConfig": "config",
    "Reconciliation": "reconciliation",
    "event_schema": "schema",
    "read_events": "read",
}
__all__ = [
    "EVENT_TYPES",
    "AttributesConfig",
    "Events",
    "EventsConfig",
    "Reconciliation",
    "event_schema",
    "read_events",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the package itself stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
