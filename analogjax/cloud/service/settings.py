"""Settings of a service."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.cloud.places import DEFAULT_PORT, default_home
from analogjax.cloud.quota import Limits
from analogjax.store import Location


@document_fields
@dataclass(frozen=True)
class Settings:
    """All settings of `analogjax serve`."""

    home: Path = field(default_factory=default_home)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    database: str | None = None
    """URL of the database; None: SQLite in `home`."""
    store: str | None = None
    """Folder or URL of the files; None: in `home`."""
    endpoint_url: str | None = None
    """Endpoint of the object store."""
    public_url: str | None = None
    """Address at which clients reach the service, if it differs from the one they sent their request to."""
    worker_url: str | None = None
    """Address at which workers reach the service; None: host and port."""
    executor: str = "local"
    executor_options: Mapping[str, Any] = field(default_factory=dict)
    worker_python: str = sys.executable
    """Python interpreter of the workers, on their machines."""
    worker_environment: Mapping[str, str] = field(default_factory=dict)
    data_root: str | None = None
    """Folder in which workers look for datasets and put downloads."""
    checkpoint_every_steps: int = 0
    """Steps between checkpoints within an epoch, in addition to one after each epoch; 0: none."""
    limits: Limits = field(default_factory=Limits)
    min_free: int = 256 * 1024 * 1024
    """Free space on the disks of `home` and `store` below which no experiment starts [bytes]."""
    webhook: str | None = None
    """Address that is told of every experiment that has ended."""
    webhook_secret: str | None = field(default=None, repr=False)
    """Key with which it is signed."""
    retention: float | None = None
    """Time for which ended experiments are kept [s]; None: until their owner deletes them."""
    max_body: int = 8 * 1024 * 1024
    """Largest request body [bytes]."""
    buffered: int = 256 * 1024 * 1024
    """Request bodies held in memory at a time [bytes]; there is always room for one of `max_body`."""
    buffered_each: int = 64 * 1024 * 1024
    """The same for one user [bytes]."""
    body_seconds: float = 30.0
    """Time a client may take to send a body [s]."""
    header_seconds: float = 10.0
    """Time a client may take to send the head of a request [s]."""
    connections: int = 1000
    """Open connections at a time."""

    @property
    def database_url(self) -> str:
        """URL of the database."""
        return self.database or f"sqlite:///{self.home / 'service.db'}"

    def location(self) -> Location:
        """Location of the files."""
        storage = {"endpoint_url": self.endpoint_url} if self.endpoint_url else None
        return Location.of(self.store or str(self.home / "store"), storage_options=storage)

    @property
    def url_for_workers(self) -> str:
        """Address at which workers reach the service."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host).strip("[]")
        shown = f"[{host}]" if ":" in host else host
        return (self.worker_url or f"http://{shown}:{self.port}").rstrip("/")
