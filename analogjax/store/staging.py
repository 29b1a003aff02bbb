"""Folders for work in progress, recognised as orphans once their writer is dead, and for removals in progress."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from analogjax.store import file_lock

PREFIX, _TRASH = ".staging-", ".trash-"
_OWNER = "OWNER"  # stays locked (`flock`) for as long as the writer lives; a process id would be given again


@contextmanager
def staged(root: Path, lock: AbstractContextManager[None]) -> Iterator[Path]:
    """Make an empty folder below `root` for the duration of the block, during which `orphans` does not list it.

    `lock` is held while it is made, and by callers of `orphans`, because between mkdir and flock it looks like an
    orphan.
    """
    folder = root / f"{PREFIX}{uuid4().hex}"
    owner = None
    try:
        with lock:
            folder.mkdir()
            owner = os.open(folder / _OWNER, os.O_RDWR | os.O_CREAT, 0o666)
            with suppress(OSError):  # no locks on this file system: then nothing counts as an orphan
                file_lock.acquire(owner)
        os.write(owner, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        content = folder / "content"
        content.mkdir()
        yield content
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if owner is not None:
            os.close(owner)


def orphans(root: Path) -> list[Path]:
    """List the staging folders below `root` whose writers are dead; the lock of `staged` must be held."""
    return [root / name for name in os.listdir(root) if name.startswith(PREFIX) and _is_orphan(root / name)]


def to_trash(path: Path) -> Path | None:
    """Rename a folder, so that it disappears atomically; returns its new path, `None` if there is none."""
    trash = path.with_name(f"{_TRASH}{uuid4().hex}")
    try:
        os.rename(path, trash)
    except FileNotFoundError:
        return None
    return trash


def trash_in(root: Path) -> list[Path]:
    """Folders of `root` that `to_trash` has renamed and nobody has removed yet."""
    return [root / name for name in os.listdir(root) if name.startswith(_TRASH)]


def remove(*paths: Path | None) -> None:
    """Remove folders and files that have no name any more; any that can't be removed are left for a later call."""
    for path in paths:
        if path is not None and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _is_orphan(folder: Path) -> bool:
    try:
        owner = os.open(folder / _OWNER, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return True
    try:
        with suppress(OSError):
            return file_lock.acquire(owner)
        return False
    finally:
        os.close(owner)
