"""Numbers for Prometheus: requests, experiments by state, the engine."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The service's own registry: several services in one process do not mix."""

    def __init__(self, counts: Callable[[], dict[str, int]], engine_fine: Callable[[], bool]) -> None:
        self._registry, self._counts, self._engine_fine = CollectorRegistry(), counts, engine_fine
        labels = ["method", "route"]
        self._requests = Counter(
            "analogjax_requests", "Requests answered.", [*labels, "status"], registry=self._registry
        )
        self._seconds = Histogram("analogjax_request_seconds", "Time to answer [s].", labels, registry=self._registry)
        self._experiments = Gauge("analogjax_experiments", "Experiments by state.", ["status"], registry=self._registry)
        self._engine = Gauge("analogjax_engine_up", "Whether the engine answered last time.", registry=self._registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus's text format."""
        counts = self._counts()
        for status in ("draft", "waiting", "running", "completed", "failed", "cancelled"):
            self._experiments.labels(status).set(counts.get(status, 0))
        self._engine.set(1 if self._engine_fine() else 0)
        return generate_latest(self._registry)
