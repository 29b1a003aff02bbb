"""Locks on files between processes (`flock`), which the kernel releases when their holder dies, for whatever reason."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TIMEOUT = 60.0  # [s]; holders need milliseconds, so only a stuck disk or a stopped process makes one wait so long


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path`, created if necessary, against all other threads and processes.

    Raises `TimeoutError` if another one keeps it for `TIMEOUT`, and `OSError` if the file system has no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not acquire(handle, timeout=TIMEOUT):
            why = f"another process has held this lock for {TIMEOUT:.0f} s"
            raise TimeoutError(errno.ETIMEDOUT, why, str(path))
        yield
    finally:
        _release(handle)


@contextmanager
def held_shared(path: Path) -> Iterator[None]:
    """Hold a shared lock, which excludes exclusive holders, if there is such a file and it can be locked."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # nobody has ever written here, or we may not know of it
        yield
        return
    try:
        with suppress(OSError):
            acquire(handle, timeout=TIMEOUT, shared=True)
        yield
    finally:
        _release(handle)


def acquire(handle: int, *, timeout: float = 0.0, shared: bool = False) -> bool:
    """Lock an open file until it is closed; returns False if others held it for all of `timeout` [s].

    Raises `OSError` if the system or the file system has no locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOLCK, "this system lacks the file locks of Linux and macOS") from error
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)


def _release(handle: int) -> None:
    # Closing alone keeps the lock for as long as a forked child has the file open.
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
