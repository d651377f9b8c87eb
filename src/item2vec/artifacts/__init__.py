"""Runs and releases: immutable stage outputs, verified before they are read, published in one step."""

from item2vec.artifacts.collection import Collected, collect
from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.manifest import StageKey, StoredObject, fingerprint, open_object
from item2vec.artifacts.pulling import cached_release, pull, remote_rollback
from item2vec.artifacts.releases import (
    Release,
    latest_release,
    make_current,
    publish,
    read_release,
    release_ids,
)
from item2vec.artifacts.remote import Pushed, push
from item2vec.artifacts.rollback import rollback
from item2vec.artifacts.stages import Stage, StageEvent, run_stages

__all__ = [
    "Collected",
    "Pushed",
    "Release",
    "RunFolder",
    "Stage",
    "StageEvent",
    "StageKey",
    "StoredObject",
    "cached_release",
    "collect",
    "fingerprint",
    "latest_release",
    "make_current",
    "open_object",
    "publish",
    "pull",
    "push",
    "read_release",
    "release_ids",
    "remote_rollback",
    "rollback",
    "run_stages",
]
