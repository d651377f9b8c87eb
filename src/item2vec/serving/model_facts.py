"""What is served, in one document: the release, its data, its figures, what changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.artifacts import Release
    from item2vec.serving.engine import Engine, Serving
    from item2vec.serving.lookups import Lookups


def model_facts(engine: Engine, serving: Serving) -> dict[str, Any]:
    """Return what ``GET /v1/model`` tells."""
    facts = _release_facts(serving.a)
    facts["variants"] = [
        {"variant": one.variant, "release": one.release.id, "share": share}
        for one, share in zip(serving.both, (1 - serving.share, serving.share), strict=False)
    ]
    facts["live"] = {
        **engine.inventory.counts,
        "beside_the_index": serving.a.live.n_beside,
        "writable": engine.settings.workers == 1,
    }
    facts["refused"] = refused_facts(engine)
    return facts


def refused_facts(engine: Engine) -> dict[str, Any] | None:
    """Return which release is current and not served, and why; None where all is well."""
    found = engine.refused
    return None if found is None else {"release": found.release, "why": found.why, "at": round(found.at, 3)}


def _release_facts(lookups: Lookups) -> dict[str, Any]:
    release, rec = lookups.release, lookups.loaded
    return {
        "run": release.folder.path.name,
        "release": release.id,
        "written_at": release.written_at,
        "items": len(rec.vocabulary),
        "id_type": rec.vocabulary.id_type,
        "vector_size": int(rec.vectors.vectors.shape[1]),
        "modes": lookups.modes,
        "columns": lookups.conditions.kinds,
        "indexes": {
            mode: {"backend": index.backend, "recall@10": index.recall} for mode, index in rec.indexes.items()
        },
        "neighbours": None if rec.neighbours is None else rec.neighbours.width,
        "types": rec.types is not None,
        "data": {"first_day": None, "last_day": None} | _window(release),
        "figures": {
            stage: figures
            for stage, figures in release.figures.items()
            if stage not in ("holdout", "simulate")
        },
    }


def _window(release: Release) -> dict[str, str]:
    """Return the first and last day of the sessions, as their partitions are named."""
    if "sessions" not in release.stages:
        return {}
    folder = release.object_path("sessions") / "sessions"
    days = sorted(path.name.removeprefix("date=") for path in folder.glob("date=*"))
    return {"first_day": days[0], "last_day": days[-1]} if days else {}
