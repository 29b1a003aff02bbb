"""Snapshots in a bucket: uploaded under a unique name, and committed by one small object written last.

    <location>/<name>/<attempt>/...      the files of one upload; `<attempt>` is never reused
    <location>/<name>/MANIFEST.json      names that attempt, its files, their sizes and SHA-256: the commit marker

One request writes the manifest, so a snapshot appears atomically, whatever is killed at whatever time. New content for
a name is another attempt: one request replaces the manifest, and the old files are deleted afterwards. Nothing is ever
deleted because a manifest is missing: such files may belong to an upload in progress, or to a manual copy. Files left
behind by killed writers are harmless; `sweep` removes them on request.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from analogjax.store import json_values
from analogjax.store.location import Location
from analogjax.store.manifest import MANIFEST, Manifest, SnapshotError, check_name, manifest_text, parse_manifest
from analogjax.store.medium import AlreadyExists, Entry, NoAnswer, NotFound, Progress, StoreError
from analogjax.store.transfer import each

_STAMP = "%Y%m%dT%H%M%S"
_ATTEMPT = re.compile(r"([0-9]{8}T[0-9]{6})-[0-9a-f]{32}")


class BucketSnapshots:
    """The snapshots at one location. Any number of processes on any machines may use it."""

    def __init__(self, location: Location) -> None:
        self.location = location

    def __str__(self) -> str:
        return self.location.url

    def prepare(self) -> None:
        """Raise `SnapshotError` if the location cannot be reached."""
        with _explained(f"{self.location} cannot be used for snapshots"):
            self.location.folders()

    def publish(
        self, name: str, write: Callable[[Path], None], meta: dict[str, Any], progress: Progress | None = None
    ) -> str:
        """Publish the files that `write(folder)` puts into an empty local folder as `name`. Returns its URL.

        On return the store has confirmed every byte. If it raises, nothing of it is visible and an existing snapshot of
        this name is unchanged; only if the store did not answer the very last request may the new one still appear,
        complete. Raises `SnapshotError`, and passes on other exceptions of `write`.
        """
        check_name(name)
        text_of_meta = json_values.encode(meta, "meta")
        attempt = f"{datetime.now(UTC):{_STAMP}}-{uuid4().hex}"
        with _explained(f"The snapshot {name} could not be written to {self.location}"), _staging() as content:
            write(content)
            text = manifest_text(content, name, text_of_meta, attempt)
            manifest = parse_manifest(text.encode(), f"{self.location}/{name}")
            try:
                self._upload(content, manifest, progress)
            except BaseException:
                self._delete_files(name, manifest)
                raise
            try:
                replaced = self._commit(name, text.encode())
            except StoreError as error:
                # a request without an answer may be carried out later, and must then find its files
                if not isinstance(error, NoAnswer):
                    self._delete_files(name, manifest)
                raise
            if replaced is not None:
                self._delete_files(name, replaced)
        return f"{self.location}/{name}"

    def names(self) -> list[str]:
        """The names of the published snapshots."""
        with _explained(f"{self.location} cannot be read"):
            found = {entry.name for entry in self.location.list()}
        return sorted(name.split("/")[0] for name in found if name.count("/") == 1 and name.endswith(f"/{MANIFEST}"))

    def check(self, name: str) -> Manifest:
        """Return the manifest if all files have their sizes. Raises `SnapshotError` naming the first that has not."""
        manifest = self.manifest(name)
        with _explained(f"{self.location}/{name} cannot be read"):
            sizes = {entry.name: entry.size for entry in (self.location / _folder(name, manifest)).list()}
        for file in manifest.files:
            if file.name not in sizes:
                raise SnapshotError(f"{self._at(manifest, file.name)} is missing: the snapshot is damaged.")
            if sizes[file.name] != file.size:
                raise SnapshotError(
                    f"{self._at(manifest, file.name)} is damaged: it has {sizes[file.name]} bytes and had {file.size}."
                )
        return manifest

    def manifest(self, name: str) -> Manifest:
        """Return the manifest alone. Raises `SnapshotError` if it is absent or damaged, `NewerFormatError`."""
        with _explained(f"The snapshot {self.location}/{name} cannot be read"):
            return parse_manifest((self.location / name).read(MANIFEST), f"{self.location}/{name}")

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Path, Manifest]]:
        """A local folder with the verified files, for as long as the block lasts, and the manifest.

        Raises `SnapshotError` naming a file that is missing or damaged.
        """
        manifest = self.manifest(name)
        folder = self.location / _folder(name, manifest)
        with _staging() as content:

            def fetch(file: Entry) -> None:
                (content / file.name).parent.mkdir(parents=True, exist_ok=True)
                folder.download(file.name, content / file.name, size=file.size, sha256=file.sha256)

            with _explained(f"The snapshot {self.location}/{name} cannot be read"):
                each(fetch, list(manifest.files))
            yield content, manifest

    def exists(self, name: str) -> bool:
        """Whether there is a published snapshot `name`."""
        with _explained(f"{self.location} cannot be read"):
            return self.location.exists(f"{name}/{MANIFEST}")

    def delete(self, name: str) -> None:
        """Delete the snapshot `name`: first its manifest, then its files."""
        manifest = self.manifest(name)
        with _explained(f"The snapshot {self.location}/{name} could not be deleted"):
            self.location.delete(f"{name}/{MANIFEST}")
            self._delete_files(name, manifest)

    def sweep(self, older_than: float) -> list[str]:
        """Delete attempts begun more than `older_than` seconds ago that no manifest names; returns them.

        Also aborts unfinished uploads of large files, which appear in no list of files. An upload in progress can't be
        told apart, so allow more time than any upload takes.
        """
        with _explained(f"{self.location} cannot be swept"):
            names = [entry.name for entry in self.location.list()]
            published = {name: self.manifest(name).attempt for name in self.names()}

            def is_left(name: str) -> bool:
                begun = _begun(name)
                is_old = begun is not None and (datetime.now(UTC) - begun).total_seconds() > older_than
                return is_old and published.get(name.split("/")[0]) != name.split("/")[1]

            swept = [name for name in names if is_left(name)]
            self.location.delete(*swept)
            swept += self.location.discard_unfinished(only=is_left)
        return sorted({"/".join(name.split("/")[:2]) for name in swept})

    def _upload(self, content: Path, manifest: Manifest, progress: Progress | None) -> None:
        folder = self.location / _folder(manifest.name, manifest)

        def send(file: Entry) -> None:
            folder.upload(content / file.name, file.name, sha256=file.sha256, progress=progress)

        # large ones one after another, each in parallel parts: memory stays bounded
        for file in manifest.files:
            if file.size > _LARGE:
                send(file)
        each(send, [file for file in manifest.files if file.size <= _LARGE])
        arrived = {entry.name: entry.size for entry in folder.list()}
        for file in manifest.files:
            if arrived.get(file.name) != file.size:
                raise StoreError(f"{folder}/{file.name} has {arrived.get(file.name)} bytes; {file.size} were sent.")

    def _commit(self, name: str, text: bytes) -> Manifest | None:
        """Make the attempt visible; returns the manifest that it replaced."""
        place = self.location / name
        old = self._replaceable(name)
        if old is None:
            try:
                place.create(MANIFEST, text)
                return None
            except AlreadyExists:  # another writer has just been faster; the last one wins
                old = self._replaceable(name)
        place.write(MANIFEST, text)
        return old

    def _replaceable(self, name: str) -> Manifest | None:
        try:
            return parse_manifest((self.location / name).read(MANIFEST), f"{self.location}/{name}")
        except (SnapshotError, NotFound):  # none; or damaged, so that its files can't be identified
            return None

    def _delete_files(self, name: str, manifest: Manifest) -> None:
        # best effort: the snapshot is gone already, and what stays is found by sweep
        with suppress(StoreError):
            (self.location / _folder(name, manifest)).delete(*(file.name for file in manifest.files))

    def _at(self, manifest: Manifest, file: str) -> str:
        return f"{self.location}/{_folder(manifest.name, manifest)}/{file}"


_LARGE = 32 << 20  # bytes


def _begun(name: str) -> datetime | None:
    """When the attempt began to which the file `name` belongs, if it belongs to one."""
    parts = name.split("/")
    stamp = _ATTEMPT.fullmatch(parts[1]) if len(parts) > 2 else None
    return None if stamp is None else datetime.strptime(stamp[1], _STAMP).replace(tzinfo=UTC)


def _folder(name: str, manifest: Manifest) -> str:
    return f"{name}/{manifest.attempt}" if manifest.attempt else name


@contextmanager
def _staging() -> Iterator[Path]:
    try:
        folder = Path(tempfile.mkdtemp(prefix="analogjax-"))
    except OSError as error:
        raise SnapshotError(
            f"No temporary folder could be made ({error}): free some space, or set TMPDIR to a folder with room."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise SnapshotError(f"{what}: {error}") from error
    except OSError as error:
        raise SnapshotError(
            f"{what}: {error}. The files are staged in the temporary folder: it needs room (TMPDIR)."
        ) from error
