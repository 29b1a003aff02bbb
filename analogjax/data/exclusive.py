"""One writer at a time for a file that several processes may want to download at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analogjax.data.errors import on_disk


@contextmanager
def exclusive(target: Path) -> Iterator[Path]:
    """Wait for the sole right to write `target`, and yields the name of the partial file to write first.

    The right is an advisory lock on `<target>.lock`, which the kernel gives back even when a process is killed.

    Raises:
        DatasetError: the lock file cannot be made.
    """
    if sys.platform == "win32":
        # Without flock, unique names keep writers apart, at the price of never resuming.
        yield target.with_name(f"{target.name}.{os.getpid()}.part")
        return
    lock = target.with_name(target.name + ".lock")
    descriptor = _acquired(lock)
    try:
        yield target.with_name(target.name + ".part")
    finally:
        # Unlinked while still held: who waited on it sees that its file is gone, and takes a new one.
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _acquired(lock: Path) -> int:
    """The descriptor of `lock`, locked, and still the file of that name."""
    import fcntl

    while True:
        with on_disk("lock", lock):
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _is_named(descriptor, lock):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
