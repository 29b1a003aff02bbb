"""`snapshots_at`: the snapshots of a folder, wherever it lies, behind one interface."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from analogjax.store import snapshot
from analogjax.store.cloud_snapshot import CloudSnapshots
from analogjax.store.location import Location, Progress
from analogjax.store.snapshot import Manifest, SnapshotError


class Snapshots(Protocol):
    """A folder of snapshots. All methods raise `SnapshotError`."""

    def prepare(self) -> None:
        """Makes the folder ready for writing."""

    def publish(
        self, name: str, write: Callable[[Path], None], meta: dict[str, Any], progress: Progress | None = None
    ) -> str:
        """Publishes as `name`, whole or not at all, what `write(folder)` puts into an empty folder; returns where."""

    def names(self) -> list[str]:
        """The names of the published snapshots, by name."""

    def check(self, name: str) -> Manifest:
        """The manifest, if all files are there in their sizes."""

    def manifest(self, name: str) -> Manifest:
        """The manifest alone."""

    def open(self, name: str) -> AbstractContextManager[tuple[Path, Manifest]]:
        """A local folder with the verified files, for as long as the block lasts, and the manifest."""

    def exists(self, name: str) -> bool:
        """Whether there is a published snapshot `name`."""

    def delete(self, name: str) -> None:
        """Deletes the snapshot `name` as a whole."""


class DiskSnapshots:
    """The snapshots of a local folder (`snapshot.py`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def prepare(self) -> None:
        """Creates the folder, and clears away what killed processes left in it."""
        snapshot.prepare(self.root)

    def publish(
        self, name: str, write: Callable[[Path], None], meta: dict[str, Any], progress: Progress | None = None
    ) -> str:
        """Publishes as `name` what `write(folder)` puts into an empty folder; returns its path."""
        return str(snapshot.publish(self.root, name, write, meta))

    def names(self) -> list[str]:
        """The names of the published snapshots."""
        return sorted(snapshot.list_snapshots(self.root))

    def check(self, name: str) -> Manifest:
        """The manifest, if all files are there in their sizes."""
        return snapshot.check(self._path(name))

    def manifest(self, name: str) -> Manifest:
        """The manifest alone."""
        return snapshot.read_manifest(self._path(name))

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Path, Manifest]]:
        """The folder of the snapshot itself, once its files are verified."""
        path = self._path(name)
        manifest = snapshot.verify(path)
        yield path / manifest.attempt, manifest

    def exists(self, name: str) -> bool:
        """Whether there is a published snapshot `name`."""
        return name in snapshot.list_snapshots(self.root)

    def delete(self, name: str) -> None:
        """Deletes the snapshot `name`."""
        snapshot.delete(self._path(name))

    def _path(self, name: str) -> Path:
        # where it lies now: in the middle of a replacement that is not under its own name
        path = snapshot.list_snapshots(self.root).get(name)
        if path is None:
            raise SnapshotError(f"There is no snapshot {name} in {self.root}: check the name.")
        return path


def snapshots_at(
    where: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None
) -> Snapshots:
    """The snapshots of the folder `where`, a path or a URL. Raises `StoreError` for a URL that it does not know."""
    location = Location.of(where, storage_options=storage_options)
    return CloudSnapshots(location) if location.path is None else DiskSnapshots(location.path)
