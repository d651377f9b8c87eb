"""What became of each request: counted, timed, logged, and kept where lists are."""

from __future__ import annotations

import os
import time
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from item2vec.serving.logs import LogLines, now_text
from item2vec.serving.served_log import ServedList

if TYPE_CHECKING:
    from item2vec.serving.engine import Engine, Serving
    from item2vec.serving.replies import Reply

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)
RESULT_BUCKETS = (0, 1, 5, 10, 20, 50, 100, 200)
UNROUTED = "other"


class Trace:
    """One request on its way."""

    __slots__ = ("method", "reply", "request_id", "route", "serving", "started", "status", "user_id")

    def __init__(self, request_id: str, method: str, serving: Serving) -> None:
        self.request_id, self.method, self.serving = request_id, method, serving
        self.started = time.perf_counter()
        self.route, self.status = UNROUTED, 500
        self.reply: Reply | None = None
        self.user_id: str | None = None


class _RouteMetrics(NamedTuple):
    seconds: Histogram
    results: Histogram


class Telemetry:
    """Counts and logs requests of one process.

    With ``PROMETHEUS_MULTIPROC_DIR`` set the figures of all workers are joined when they are asked.
    """

    def __init__(self, engine: Engine, lines: LogLines) -> None:
        self._engine, self.lines = engine, lines
        self._prefix, self._numbers = token_hex(6), count(1)
        self.registry = CollectorRegistry()
        self._of_requests(self.registry)
        self._of_the_server(self.registry)
        self._kept: dict[tuple[str, str, int], Counter] = {}
        self._by_route: dict[str, _RouteMetrics] = {}
        self._known_paths: dict[str, Counter] = {}
        self._served: dict[str, str] = {}

    def _of_requests(self, own: CollectorRegistry) -> None:
        self._requests = Counter(
            "item2vec_requests", "Requests.", ["route", "method", "status"], registry=own
        )
        self._seconds = Histogram(
            "item2vec_request_seconds", "Time from head to answer.", ["route"], buckets=BUCKETS, registry=own
        )
        self._results = Histogram(
            "item2vec_results", "Items per list.", ["route"], buckets=RESULT_BUCKETS, registry=own
        )
        self._paths = Counter("item2vec_answers", "Lists by what answered.", ["path"], registry=own)
        self._fallbacks = Counter(
            "item2vec_fallbacks",
            "Users' lists for whom no event was known, by what stood in.",
            ["kind"],
            registry=own,
        )

    def _of_the_server(self, own: CollectorRegistry) -> None:
        swaps = Counter(
            "item2vec_release_swaps", "Releases swapped in or refused.", ["outcome"], registry=own
        )
        rebuilds = Counter(
            "item2vec_index_rebuilds", "Indexes built anew for live changes.", ["outcome"], registry=own
        )
        self.outcomes = {
            "release_swapped": (swaps, "swapped"),
            "release_refused": (swaps, "refused"),
            "index_rebuilt": (rebuilds, "built"),
            "rebuild_failed": (rebuilds, "failed"),
        }
        self._release = Gauge(
            "item2vec_release",
            "Time at which a release began to be served.",
            ["release", "variant"],
            multiprocess_mode="mostrecent",
            registry=own,
        )
        self._live = Gauge(
            "item2vec_live_items", "Items changed live.", ["kind"], multiprocess_mode="livesum", registry=own
        )
        self._lost = Gauge("item2vec_lost", "Lines lost.", ["log"], multiprocess_mode="livesum", registry=own)
        self._waiting = Gauge(
            "item2vec_history_queue",
            "Requests that wait for the writer.",
            multiprocess_mode="livesum",
            registry=own,
        )

    def begin(self, method: str) -> Trace:
        """Begin to follow a request."""
        return Trace(f"{self._prefix}{next(self._numbers):08x}", method, self._engine.serving)

    def release_served(self, release: str, variant: str) -> None:
        """Remember since when a release is served; the one before it is no more."""
        before = self._served.get(variant)
        if before not in (None, release) and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            self._release.remove(before, variant)
        self._served[variant] = release
        self._release.labels(release, variant).set_to_current_time()

    def finish(self, trace: Trace) -> None:
        """Count and log a request that was answered; keep its lists where that is wanted."""
        seconds = time.perf_counter() - trace.started
        route, status, reply = trace.route, trace.status, trace.reply
        key = (route, trace.method, status)
        counter = self._kept.get(key)
        if counter is None:
            counter = self._kept[key] = self._requests.labels(route, trace.method, str(status))
        counter.inc()
        of_route = self._by_route.get(route)
        if of_route is None:
            of_route = self._by_route[route] = _RouteMetrics(
                self._seconds.labels(route), self._results.labels(route)
            )
        of_route.seconds.observe(seconds)
        release = n_results = path = ""
        if reply is not None:
            release, path = reply.lookups.release.id, reply.path
            if path:
                n_results = str(reply.n_results)
                self._count_lists(of_route, reply)
            if reply.shown and self._engine.served is not None and trace.method != "HEAD":
                self._keep(trace, reply)
        self.lines.line(
            f'{{"ts":"{now_text()}","level":"info","event":"request","request_id":"{trace.request_id}",'
            f'"method":"{trace.method}","route":"{route}","status":{status},"ms":{1e3 * seconds:.3f},'
            f'"release":"{release}","path":"{path}","results":{n_results or "null"}}}'
        )

    def _count_lists(self, of_route: _RouteMetrics, reply: Reply) -> None:
        for path, n_results in reply.lists:
            of_route.results.observe(n_results)
            counter = self._known_paths.get(path)
            if counter is None:
                counter = self._known_paths[path] = self._paths.labels(path)
            counter.inc()
        if reply.fallback is not None:
            self._fallbacks.labels(reply.fallback).inc()

    def _keep(self, trace: Trace, reply: Reply) -> None:
        served, lookups = self._engine.served, reply.lookups
        assert served is not None
        moment = time.time_ns() // 1000
        for shown in reply.shown:
            served.add(
                ServedList(
                    trace.request_id,
                    moment,
                    trace.route,
                    trace.user_id,
                    shown.query,
                    shown.ids,
                    shown.scores,
                    lookups.release.id,
                    lookups.variant,
                )
            )

    def page(self) -> bytes:
        """Return the metrics as Prometheus reads them."""
        for kind, n in self._engine.inventory.counts.items():
            self._live.labels(kind).set(n)
        self._lost.labels("lines").set(self.lines.dropped)
        self._lost.labels("served").set(0 if self._engine.served is None else self._engine.served.dropped)
        self._waiting.set(self._engine.history.waiting)
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)
