"""Snapshots in a folder of any kind: named folders of files that appear and disappear atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from analogjax.store.bucket_snapshots import BucketSnapshots
from analogjax.store.disk_snapshots import DiskSnapshots
from analogjax.store.location import Location

Snapshots = DiskSnapshots | BucketSnapshots  # the same methods, of which all raise `SnapshotError`


def snapshots_at(
    where: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None
) -> Snapshots:
    """The snapshots of the folder `where`, a path or a URL. Raises `StoreError` for an unknown kind of URL."""
    location = Location.of(where, storage_options=storage_options)
    return BucketSnapshots(location) if location.path is None else DiskSnapshots(location.path)
