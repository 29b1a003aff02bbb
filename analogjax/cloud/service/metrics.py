"""Metrics for Prometheus: requests, experiments by state, the queue, run times, disks, the engine.

Prometheus keeps every value of a label forever, so no label is taken unchecked from a client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"
_RUN_TIMES = (10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)  # [s]


@dataclass(frozen=True)
class State:
    """What is asked for when the metrics are read."""

    counts: Mapping[str, int]
    """Experiments by state."""
    engine_fine: bool
    queue_age: float
    """How long the oldest one has been waiting [s]."""
    stored: int
    """Files of all experiments [bytes]."""
    free: int
    """Free on the fullest disk [bytes]."""
    paused: bool


class Metrics:
    """The registry of the service: several services in one process do not mix."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._registry, self._state = CollectorRegistry(), state
        self._routes: frozenset[str] = frozenset()
        labels = ["method", "route"]
        self._requests = Counter(
            "analogjax_requests", "Requests answered.", [*labels, "status"], registry=self._registry
        )
        self._seconds = Histogram("analogjax_request_seconds", "Time to answer [s].", labels, registry=self._registry)
        self._experiments = Gauge("analogjax_experiments", "Experiments by state.", ["status"], registry=self._registry)
        self._engine = Gauge("analogjax_engine_up", "Whether the engine answered last time.", registry=self._registry)

        self._gauges = {
            name: Gauge(f"analogjax_{name}", text, registry=self._registry)
            for name, text in (
                ("queue_age_seconds", "How long the oldest experiment has been waiting [s]."),
                ("stored_bytes", "Files of all experiments, as last counted."),
                ("disk_free_bytes", "Free on the fullest of the service's disks."),
                ("paused", "Whether no experiment is started now."),
            )
        }
        self._run_times = Histogram(
            "analogjax_run_seconds", "Time from the first sign of life of an experiment to its end [s].", ["status"],
            registry=self._registry, buckets=_RUN_TIMES,
        )  # fmt: skip

    def ended(self, status: str, seconds: float) -> None:
        """Note the end of an experiment that has run."""
        self._run_times.labels(status).observe(seconds)

    def know(self, routes: frozenset[str]) -> None:
        """Register the templates of the existing routes; requests to anything else count as `other`."""
        self._routes = routes

    def request(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one request; `route` is the template it matched, if any."""
        method = method if method in _METHODS else _OTHER
        route = route if route in self._routes else _OTHER
        shown = str(status) if 100 <= status <= 599 else _OTHER
        self._requests.labels(method, route, shown).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        state = self._state()
        for status in ("draft", "waiting", "running", "completed", "failed", "cancelled"):
            self._experiments.labels(status).set(state.counts.get(status, 0))
        self._engine.set(state.engine_fine)
        values = (state.queue_age, state.stored, state.free, state.paused)
        for gauge, value in zip(self._gauges.values(), values, strict=True):
            gauge.set(value)
        return generate_latest(self._registry)
