"""Files on a local disk: atomic replacement, fsync and hashes; and remedies for what the disk refuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

DRAFT = ".part-"  # how the names of files begin that are not complete yet

_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space, keep fewer snapshots, or use a folder on another disk.",
    errno.EDQUOT: "Your disk quota is used up: free some space or use a folder on another disk.",
    errno.EFBIG: "The file exceeds the size limit (ulimit -f, or the file system): raise it or use another folder.",
    errno.EACCES: "No permission: use a folder that this user may write, or change its permissions.",
    errno.EPERM: "No permission: use a folder that this user may write, or change its permissions.",
    errno.EROFS: "The file system is read-only: use a folder on a writable one.",
    errno.EEXIST: "A file has that name: use another folder, or move the file away.",
    errno.EISDIR: "A folder stands where the file is to go: move it away, or use another name.",
    errno.ENOTDIR: "A file stands where a folder is needed: use another folder, or move the file away.",
    errno.ENAMETOOLONG: "The name is too long for the file system: use a shorter one.",
    errno.ENOENT: "The folder is gone or cannot be created there: check the path.",
    errno.ENOLCK: "This file system has no file locks: use a folder on a local disk.",
    errno.EOPNOTSUPP: "This file system has no file locks: use a folder on a local disk.",
}


def remedy(error: OSError) -> str:
    """What to do about an error of the disk, in one sentence."""
    return _REMEDIES.get(error.errno or 0, "Check the path and the disk.")


def fsync(path: Path) -> None:
    """Return once the content of the file, or the names in the folder, `path` are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without fsync
            raise
    finally:
        os.close(handle)


def sha256_of(file: str | os.PathLike[str]) -> str:
    """The SHA-256 of a local file, in hex."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, put: Callable[[Path, Path], object] = os.replace) -> Iterator[Path]:
    """Replace the file `path` atomically: yields the name of a draft, which becomes `path` at the end of the block.

    `put(draft, path)` renames the draft: `os.replace`, or `os.link` for a name that must be free. On any failure,
    `path` is as before and no draft is left. Raises `OSError`.
    """
    draft = path.with_name(DRAFT + uuid4().hex)
    try:
        yield draft
        fsync(draft)
        put(draft, path)
        fsync(path.parent)
    finally:
        with suppress(OSError):  # the reason of the failure matters more than the failure to tidy up
            draft.unlink(missing_ok=True)
