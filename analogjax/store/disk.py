"""Local folders as a medium: every write is atomic, and on disk when it returns."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from analogjax.store.files import DRAFT, fsync, remedy, replacing
from analogjax.store.medium import (
    AlreadyExists,
    Backend,
    Entries,
    Entry,
    Names,
    NotFound,
    Progress,
    StoreError,
)

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Disk:
    """The folder `root`, which is created by the first write."""

    root: Path

    @classmethod
    def connect(cls, backend: Backend, options: dict[str, Any]) -> Callable[[str], Disk]:
        """Return the function that makes the medium of a path; a disk takes no options."""
        return cls.at

    @classmethod
    def at(cls, path: str) -> Disk:
        """The medium of the folder `path`."""
        return cls(Path(path))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with _explained(self.root / name):
            return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file."""
        self._place(name, lambda draft: draft.write_bytes(data), os.replace)

    def create(self, name: str, data: bytes) -> None:
        """Make a file that is not there yet."""
        try:
            self._place(name, lambda draft: draft.write_bytes(data), os.link)
        except AlreadyExists:
            if self.read(name) != data:
                raise

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        """Make or replace a file by a local one."""

        def fill(draft: Path) -> None:
            with open(file, "rb") as reader, open(draft, "wb") as writer:
                _copy(reader, writer, progress)

        self._place(name, fill, os.replace)

    def download(self, name: str, file: Path, size: int | None, progress: Progress | None) -> None:
        """Copy a file into the local `file`."""
        with _explained(self.root / name):
            reader = open(self.root / name, "rb")
        with reader, open(file, "wb") as writer:  # `Location.download` explains what the local side raises
            _copy(reader, writer, progress)

    def list(self, prefix: str) -> Entries:
        """List all files below a folder, except unfinished ones."""
        found = []
        with _explained(self.root / prefix):
            for path, _, names in os.walk(self.root / prefix, onerror=_unless_gone):
                for full in (Path(path, name) for name in names if not name.startswith(DRAFT)):
                    with suppress(FileNotFoundError):  # deleted by another process just now
                        if not full.is_symlink():
                            found.append(Entry(full.relative_to(self.root).as_posix(), full.stat().st_size))
        return found

    def folders(self, prefix: str) -> Names:
        """The folders directly below a folder."""
        with _explained(self.root / prefix):
            try:
                return [entry.name for entry in os.scandir(self.root / prefix) if entry.is_dir()]
            except (FileNotFoundError, NotADirectoryError):
                return []

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        with _explained(self.root / name):
            return (self.root / name).is_file()

    def delete(self, names: Names) -> None:
        """Remove files, and the folders that this leaves empty."""
        for name in names:
            path = self.root / name
            with _explained(path):
                path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or self.root not in folder.parents:
                    break
                try:
                    folder.rmdir()
                except OSError:  # not empty
                    break

    def discard_unfinished(self, older_than: float, only: Callable[[str], bool]) -> Names:
        """Remove the drafts below this folder."""
        found = []
        with _explained(self.root):
            for path, _, names in os.walk(self.root, onerror=_unless_gone):
                for draft in (Path(path, name) for name in names if name.startswith(DRAFT)):
                    name = draft.relative_to(self.root).as_posix()
                    with suppress(FileNotFoundError):  # it has just been finished
                        is_old = older_than <= 0 or time.time() - draft.stat().st_mtime > older_than
                        if is_old and only(name):
                            draft.unlink()
                            found.append(name)
        return found

    def _place(self, name: str, fill: Callable[[Path], object], put: Callable[[Path, Path], object]) -> None:
        path = self.root / name
        with _explained(path), replacing(path, put) as draft:
            _touch(draft)
            fill(draft)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}: check the path.") from error
    except FileExistsError as error:
        raise AlreadyExists(f"{path} is there already: use another name, or remove it first.") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror or error}. {remedy(error)}") from error


@contextmanager
def local(file: Path, doing: str) -> Iterator[None]:
    """Report failures with the local file of an upload or download as `StoreError`s."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{file} cannot be {doing}: {error.strerror or error}. {remedy(error)}") from error


def _touch(draft: Path) -> None:
    """Create the file and the folders above it, so that these folders survive a power failure."""
    for _ in range(20):
        missing = [folder for folder in draft.parents if not folder.exists()]
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.touch()
        except FileExistsError:
            if any(folder.is_file() for folder in draft.parents):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            continue
        except FileNotFoundError:  # another process deleted the last other file, and with it the folder
            continue
        for folder in missing:
            fsync(folder.parent)
        return
    draft.touch()


def _unless_gone(error: OSError) -> None:
    # `os.walk` would report an unreadable folder as empty
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _copy(reader: BinaryIO, writer: BinaryIO, progress: Progress | None) -> None:
    while block := reader.read(_BLOCK):
        writer.write(block)
        if progress is not None:
            progress(len(block))
