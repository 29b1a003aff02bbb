"""How a service is set up."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analogjax.cloud.places import DEFAULT_PORT, default_home
from analogjax.cloud.quota import Limits
from analogjax.store import Location


@dataclass(frozen=True)
class Settings:
    """Everything that `analogjax serve` can be told."""

    home: Path = field(default_factory=default_home)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    database: str | None = None  # URL; default: SQLite in home
    store: str | None = None  # folder or URL; default: in home
    endpoint_url: str | None = None  # of the store
    public_url: str | None = None  # where clients reach the service, if not where they sent their request
    worker_url: str | None = None  # where workers reach it; default: host and port
    executor: str = "local"
    executor_options: Mapping[str, Any] = field(default_factory=dict)
    worker_python: str = sys.executable  # the interpreter of workers, where they run
    worker_environment: Mapping[str, str] = field(default_factory=dict)
    data_root: str | None = None  # where workers find and put datasets
    checkpoint_every_steps: int = 0  # besides after every epoch
    limits: Limits = field(default_factory=Limits)
    max_body: int = 8 * 1024 * 1024  # [bytes] of one request
    buffered: int = 256 * 1024 * 1024  # [bytes] of bodies that are held at a time; always room for one of `max_body`
    buffered_each: int = 64 * 1024 * 1024  # of one user
    body_seconds: float = 30.0  # [s] that a client may take to send one
    header_seconds: float = 10.0  # [s] that a client may take to send its request's head
    connections: int = 1000  # at a time

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return self.database or f"sqlite:///{self.home / 'service.db'}"

    def location(self) -> Location:
        """The store."""
        storage = {"endpoint_url": self.endpoint_url} if self.endpoint_url else None
        return Location.of(self.store or str(self.home / "store"), storage_options=storage)

    @property
    def url_for_workers(self) -> str:
        """Where workers reach the service."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host).strip("[]")
        shown = f"[{host}]" if ":" in host else host
        return (self.worker_url or f"http://{shown}:{self.port}").rstrip("/")
