"""Metrics for Prometheus: requests, experiments by state, the engine.

Prometheus keeps every value of a label forever, so no label is taken unchecked from a client.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"


class Metrics:
    """The registry of the service: several services in one process do not mix."""

    def __init__(self, counts: Callable[[], dict[str, int]], engine_fine: Callable[[], bool]) -> None:
        self._registry, self._counts, self._engine_fine = CollectorRegistry(), counts, engine_fine
        self._routes: frozenset[str] = frozenset()
        labels = ["method", "route"]
        self._requests = Counter(
            "analogjax_requests", "Requests answered.", [*labels, "status"], registry=self._registry
        )
        self._seconds = Histogram("analogjax_request_seconds", "Time to answer [s].", labels, registry=self._registry)
        self._experiments = Gauge("analogjax_experiments", "Experiments by state.", ["status"], registry=self._registry)
        self._engine = Gauge("analogjax_engine_up", "Whether the engine answered last time.", registry=self._registry)

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
        counts = self._counts()
        for status in ("draft", "waiting", "running", "completed", "failed", "cancelled"):
            self._experiments.labels(status).set(counts.get(status, 0))
        self._engine.set(1 if self._engine_fine() else 0)
        return generate_latest(self._registry)
