"""The beginning and the end of a server process: load before the first request, write what waits."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any

from item2vec.serving.logs import JsonLogHandler

if TYPE_CHECKING:
    from item2vec.serving.engine import Engine
    from item2vec.serving.telemetry import Telemetry


class Lifespan:
    """Answers the server's lifespan messages (ASGI).

    What cannot be served ends the process with one line in the log and no traceback.
    """

    def __init__(self, engine: Engine, telemetry: Telemetry) -> None:
        self._engine, self._telemetry = engine, telemetry

    async def __call__(self, receive: Any, send: Any) -> None:
        """Start when the server says so, and stop when it says so."""
        await receive()
        try:
            start(self._engine, self._telemetry)
        except Exception:  # to the server a lifespan that raises is one it can do without
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._engine.stop()
        self._telemetry.lines.event("stopped")
        self._telemetry.lines.close()
        await send({"type": "lifespan.shutdown.complete"})


def start(engine: Engine, telemetry: Telemetry) -> None:
    """Load the release, and say what becomes of it and of those that follow."""
    lines = telemetry.lines

    def notify(event: str, facts: dict[str, Any]) -> None:
        counter, outcome = telemetry.outcomes[event]
        counter.labels(outcome).inc()
        if event == "release_swapped":
            telemetry.release_served(facts["release"], "a")
        lines.event(event, "error" if outcome in ("refused", "failed") else "info", **facts)

    logging.getLogger("item2vec").addHandler(JsonLogHandler(lines))
    engine.notify = notify
    try:
        engine.start()
    except Exception as error:
        lines.event("start_failed", "error", kind=type(error).__name__, error=str(error))
        lines.flush()
        raise
    for one in engine.serving.both:
        telemetry.release_served(one.release.id, one.variant)
        lines.event("release_loaded", release=one.release.id, variant=one.variant)
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection walks it while a request waits
