"""Snapshots in a local folder: each is a folder of files that appears and disappears atomically.

    <root>/<name>/                 a published snapshot: the files, and MANIFEST.json with their sizes and SHA-256
    <root>/.staging-<uuid>/        being written; its OWNER file stays locked for as long as the writer lives
    <root>/.replaced-<name>/       the old content while new content takes its name
    <root>/.trash-<uuid>/          renamed away, being removed
    <root>/.lock                   held exclusively to change names (a few renames at most), shared to list them

Writers write and fsync in the staging folder and then rename it, so a name never refers to half a snapshot. Only a
replacement takes two renames; between them, readers and `prepare` find the old content under `.replaced-<name>`. Locks
are `flock`s, which the kernel releases with the process: after a `kill -9` nothing stays locked.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from analogjax.store import file_lock, json_values
from analogjax.store.files import fsync, remedy, sha256_of
from analogjax.store.manifest import MANIFEST, Manifest, SnapshotError, check_name, manifest_text, parse_manifest
from analogjax.store.medium import Progress
from analogjax.store.staging import orphans, remove, staged, to_trash, trash_in

_LOCK, _REPLACED = ".lock", ".replaced-"


class DiskSnapshots:
    """The snapshots in the folder `root`. Any number of processes on this machine may use it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def prepare(self) -> None:
        """Create the folder if necessary, and remove what dead processes left in it.

        Raises `SnapshotError`, with the remedy, if it can't be created or written.
        """
        root = self.root
        with _explained(f"The folder {root} cannot be used for snapshots"):
            if not root.is_dir():
                root.mkdir(parents=True, exist_ok=True)
                fsync(root.parent)
            if not os.access(root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "Permission denied", str(root))
            self._recover()

    def publish(
        self, name: str, write: Callable[[Path], None], meta: dict[str, Any], progress: Progress | None = None
    ) -> str:
        """Publish the files that `write(folder)` puts into an empty folder as `name`. Returns its path.

        On return everything is on disk. If it raises, the disk is as before: neither a part of the new snapshot nor a
        staging folder remains, and an existing snapshot of this name is unchanged. Raises `SnapshotError` for anything
        the disk refuses, and passes on other exceptions of `write`. Nothing is reported to `progress`, as nothing is
        transferred.
        """
        check_name(name)
        text_of_meta, root = json_values.encode(meta, "meta"), self.root
        with _explained(f"The snapshot {name} could not be written in {root}; nothing of it was left behind"):
            replaced = None
            with staged(root, self._locked()) as content:
                write(content)
                text = manifest_text(content, name, text_of_meta)
                with open(content / MANIFEST, "x", encoding="utf-8") as file:
                    file.write(text)
                _fsync_tree(content)
                with self._locked():
                    _restore_replaced(root)
                    _swap_in(root, content, name)
                    with suppress(OSError):  # published already; the next writer ends it, see _restore_replaced
                        replaced = to_trash(root / (_REPLACED + name))
                remove(replaced)
        return str(root / name)

    def names(self) -> list[str]:
        """List the names of the published snapshots. Raises `SnapshotError` if the folder can't be read."""
        return sorted(self._places())

    def exists(self, name: str) -> bool:
        """Whether there is a published snapshot `name`. Raises as `names` does."""
        return name in self._places()

    def manifest(self, name: str) -> Manifest:
        """Return the manifest alone. Raises `SnapshotError` if it is absent or damaged, `NewerFormatError`."""
        return _read_manifest(self._place(name))

    def check(self, name: str) -> Manifest:
        """Return the manifest if all files have their sizes: cheap, no content is read.

        Raises `SnapshotError` naming the first file that is missing or has another size.
        """
        return _checked(self._place(name), with_content=False)

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Path, Manifest]]:
        """Verify the files of a snapshot; returns its folder and manifest.

        Raises `SnapshotError` naming a file with a wrong size or checksum.
        """
        path = self._place(name)
        manifest = _checked(path, with_content=True)
        yield path / manifest.attempt, manifest

    def delete(self, name: str) -> None:
        """Delete the snapshot `name` atomically.

        Raises `SnapshotError` if there is none, or the disk refuses.
        """
        check_name(name)
        path = self.root / name
        with _explained(f"The snapshot {path} could not be deleted"):
            with self._locked():
                _restore_replaced(self.root)
                trash = to_trash(path) if path.is_dir() else None  # a file of the user is no snapshot
                fsync(self.root)
            if trash is None:
                raise SnapshotError(f"There is no snapshot {path} to delete.")
            remove(trash)

    def _locked(self) -> AbstractContextManager[None]:
        return file_lock.held(self.root / _LOCK)

    def _recover(self) -> None:
        """Complete or undo what killed writers left; the staging folders of living ones are not touched."""
        root = self.root
        with self._locked():
            _restore_replaced(root)
            for folder in orphans(root):
                to_trash(folder)
            trash = trash_in(root)
        remove(*trash)

    def _places(self) -> dict[str, Path]:
        """The published snapshots by name, each with its current folder."""
        root = self.root
        with _explained(f"The folder {root} cannot be read"):
            with file_lock.held_shared(root / _LOCK):
                found = {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
        halfway = {name.removeprefix(_REPLACED): root / name for name in found if name.startswith(_REPLACED)}
        return halfway | {name: root / name for name in found if not name.startswith(".")}

    def _place(self, name: str) -> Path:
        path = self._places().get(name)
        if path is None:
            raise SnapshotError(f"There is no snapshot {name} in {self.root}: check the name.")
        return path


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{file} cannot be read ({error.strerror}): the snapshot is gone or damaged.") from error
    return parse_manifest(data, str(path))


def _checked(path: Path, *, with_content: bool) -> Manifest:
    manifest = _read_manifest(path)
    for entry in manifest.files:
        file = path / manifest.attempt / entry.name
        try:
            size = file.stat().st_size
            digest = sha256_of(file) if with_content and size == entry.size else entry.sha256
        except OSError as error:
            raise SnapshotError(f"{file} cannot be read ({error.strerror}): it is damaged.") from error
        if size != entry.size:
            raise SnapshotError(f"{file} is damaged: it has {size} bytes and had {entry.size}.")
        if digest != entry.sha256:
            raise SnapshotError(f"{file} is damaged: its SHA-256 is {digest} and was {entry.sha256}.")
    return manifest


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SnapshotError(f"{what}: {error}. {remedy(error)}") from error


def _swap_in(root: Path, content: Path, name: str) -> None:
    """Rename `content` to `<root>/<name>`, and any existing folder of that name to `.replaced-<name>`; undone on
    failure.
    """
    target, replaced = root / name, root / (_REPLACED + name)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(target))
    try:
        if target.exists():
            os.rename(target, replaced)
        os.rename(content, target)
        fsync(root)
    except BaseException:
        if not content.exists():
            os.rename(target, content)
        if replaced.exists():
            os.rename(replaced, target)
        raise


def _restore_replaced(root: Path) -> None:
    """Finish interrupted replacements: the old content gets its name back unless the new content has it."""
    for name in os.listdir(root):
        if name.startswith(_REPLACED):
            target = root / name.removeprefix(_REPLACED)
            if target.exists():
                to_trash(root / name)
            else:
                os.rename(root / name, target)


def _fsync_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            fsync(Path(path, name))
        fsync(Path(path))
