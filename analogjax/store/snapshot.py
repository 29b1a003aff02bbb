"""One snapshot: a folder of files that a reader sees whole or not at all, on a local file system.

    <root>/<name>/                 a published snapshot: the files, and MANIFEST.json with their sizes and SHA-256
    <root>/.staging-<uuid>/        being written; its OWNER file stays locked for as long as the writer lives
    <root>/.replaced-<name>/       the old content while new content takes its name
    <root>/.trash-<uuid>/          renamed away, being removed
    <root>/.lock                   held, for a few renames at most, by whoever changes names; shared by who lists them

Writers write and fsync in the staging folder and then rename it, so a name never points at half a snapshot. Only a
replacement takes two renames; between them the old content is found under `.replaced-<name>`, by `list_snapshots`
and by `recover`. Locks are `flock`s, which the kernel drops with the process: after a `kill -9` nothing stays locked,
and a staging folder without a living owner is known to be an orphan, whatever its process id was.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from analogjax.errors import AnalogError
from analogjax.store import file_lock, json_values
from analogjax.store.location import sha256_of
from analogjax.store.transfer import each

FORMAT = 1
MANIFEST = "MANIFEST.json"
_LOCK, _STAGING, _REPLACED, _TRASH = ".lock", ".staging-", ".replaced-", ".trash-"

REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space, keep fewer snapshots, or use a folder on another disk.",
    errno.EDQUOT: "Your disk quota is used up: free some space or use a folder on another disk.",
    errno.EFBIG: "The file exceeds the size limit (ulimit -f, or the file system): raise it or use another folder.",
    errno.EACCES: "No permission: use a folder that this user may write, or change its permissions.",
    errno.EPERM: "No permission: use a folder that this user may write, or change its permissions.",
    errno.EROFS: "The file system is read-only: use a folder on a writable one.",
    errno.EEXIST: "A file has that name: use another folder, or move the file away.",
    errno.ENOTDIR: "A file stands where a folder is needed: use another folder, or move the file away.",
    errno.ENOENT: "The folder is gone or cannot be created there: check the path.",
    errno.ENOLCK: "This file system has no file locks: use a folder on a local disk.",
    errno.EOPNOTSUPP: "This file system has no file locks: use a folder on a local disk.",
}


class SnapshotError(AnalogError):
    """A snapshot could not be written, or is absent or damaged; the message names the file and the remedy."""


class NewerFormatError(SnapshotError):
    """The snapshot was written by a later version of the library than this one."""


@dataclass(frozen=True)
class File:
    """One file of a snapshot: path relative to it with `/`, size in bytes, SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds: its name, its files, and the caller's `meta`.

    `attempt` is the folder inside the snapshot that holds the files: none on a local disk, one of its own for each
    upload to a bucket (`cloud_snapshot.py`). Either kind may be copied to the other side and is read there.
    """

    name: str
    files: tuple[File, ...]
    meta: dict[str, Any]
    attempt: str = ""


def prepare(root: Path) -> None:
    """Makes `root` ready for writing: creates it, and clears away what dead processes left.

    Raises `SnapshotError`, with the remedy, if it cannot be created or written.
    """
    with _explained(f"The folder {root} cannot be used for snapshots"):
        if not root.is_dir():
            root.mkdir(parents=True, exist_ok=True)
            fsync(root.parent)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "Permission denied", str(root))
        recover(root)


def recover(root: Path) -> None:
    """Completes or undoes what killed writers left in `root`; leaves the staging folders of living ones alone."""
    with file_lock.held(root / _LOCK):
        _restore_replaced(root)
        orphans = [root / name for name in os.listdir(root) if name.startswith(_STAGING) and _is_orphan(root / name)]
        for folder in orphans:
            _to_trash(folder)
        trash = [root / name for name in os.listdir(root) if name.startswith(_TRASH)]
    for folder in trash:
        _remove(folder)


def publish(root: Path, name: str, write: Callable[[Path], None], meta: dict[str, Any]) -> Path:
    """Publishes as `<root>/<name>` the files that `write(folder)` puts into an empty folder. Returns that path.

    On return everything has reached the disk. If it raises, the disk is as before: neither a part of the new
    snapshot nor a staging folder remains, and a snapshot that already had this name is untouched. Raises
    `SnapshotError` for anything the disk refuses, and passes on what else `write` raises.
    """
    check_name(name)
    text_of_meta = json_values.encode(meta, "meta")
    with _explained(f"The snapshot {name} could not be written in {root}; nothing of it was left behind"):
        replaced = None
        with _staging(root) as content:
            write(content)
            _write_manifest(content, name, text_of_meta)
            _fsync_tree(content)
            with file_lock.held(root / _LOCK):
                _restore_replaced(root)
                _swap_in(root, content, name)
                with suppress(OSError):  # published already; the next writer ends it, see _restore_replaced
                    replaced = _to_trash(root / (_REPLACED + name))
            _remove(replaced)
    return root / name


def check_name(name: str) -> None:
    """Raises `SnapshotError` for what cannot name a snapshot."""
    if not name or name.startswith(".") or "/" in name:
        raise SnapshotError(f"{name!r} cannot name a snapshot: give a plain name that does not start with a dot.")


def list_snapshots(root: Path) -> dict[str, Path]:
    """Returns the published snapshots of `root`, by name, each with the folder where it lies now.

    Published, not verified: see `check` and `verify`. Raises `SnapshotError` if `root` cannot be read.
    """
    with _explained(f"The folder {root} cannot be read"):
        with file_lock.held_shared(root / _LOCK):
            found = {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
        halfway = {name.removeprefix(_REPLACED): root / name for name in found if name.startswith(_REPLACED)}
        return halfway | {name: root / name for name in found if not name.startswith(".")}


def read_manifest(path: Path) -> Manifest:
    """Returns the manifest of the snapshot at `path`.

    Raises `NewerFormatError` if only a later version can read it, `SnapshotError` if it is absent or damaged.
    """
    file = path / MANIFEST
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{file} cannot be read ({error.strerror}): the snapshot is gone or damaged.") from error
    return parse_manifest(data, str(path))


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Returns the manifest that `data` holds; `where` is the snapshot that it belongs to. Raises as `read_manifest`."""
    file = f"{where}/{MANIFEST}"
    try:
        content = json.loads(data)
        written_format = int(content["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{file} is damaged: it is not a manifest ({error!r}).") from error
    if written_format > FORMAT:
        raise NewerFormatError(
            f"{where} has snapshot format {written_format}, but this version of analogjax reads formats up to {FORMAT}"
            f": install a version that reads format {written_format}."
        )
    if content.pop("sha256", None) != _digest(content):
        raise SnapshotError(f"{file} is damaged: its content does not have the checksum that it states.")
    files = tuple(File(**entry) for entry in content["files"])
    return Manifest(content["name"], files, json_values.decode(content["meta"]), content.get("attempt", ""))


def check(path: Path) -> Manifest:
    """Returns the manifest if all files are there in their sizes: cheap, no content is read.

    Raises `SnapshotError` naming the first file that is missing, cut or grown.
    """
    manifest = read_manifest(path)
    folder = path / manifest.attempt
    for file in manifest.files:
        try:
            size = (folder / file.name).stat().st_size
        except OSError as error:
            raise SnapshotError(f"{folder / file.name} cannot be read ({error.strerror}): it is damaged.") from error
        if size != file.size:
            raise SnapshotError(f"{folder / file.name} is damaged: it has {size} bytes and had {file.size}.")
    return manifest


def verify(path: Path) -> Manifest:
    """Returns the manifest if every file has its size and checksum. Raises `SnapshotError` naming one that has not."""
    manifest = check(path)
    folder = path / manifest.attempt
    for file in manifest.files:
        try:
            digest = sha256_of(folder / file.name)
        except OSError as error:
            raise SnapshotError(f"{folder / file.name} cannot be read ({error.strerror}): it is damaged.") from error
        if digest != file.sha256:
            raise SnapshotError(f"{folder / file.name} is damaged: its SHA-256 is {digest} and was {file.sha256}.")
    return manifest


def delete(path: Path) -> None:
    """Deletes the snapshot at `path`; from one moment to the next it is gone as a whole.

    Raises `SnapshotError` if there is none, or the disk refuses.
    """
    root, name = path.parent, path.name.removeprefix(_REPLACED)
    with _explained(f"The snapshot {path} could not be deleted"):
        with file_lock.held(root / _LOCK):
            _restore_replaced(root)
            trash = _to_trash(root / name)
            fsync(root)
        if trash is None:
            raise SnapshotError(f"There is no snapshot {path} to delete.")
        _remove(trash)


def fsync(path: Path) -> None:
    """Returns once the content of the file, or the names in the folder, `path` have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "Check the path and the disk.")
        raise SnapshotError(f"{what}: {error}. {remedy}") from error


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """An empty folder that no sweep touches while this process lives, and that is removed at the end."""
    folder = root / f"{_STAGING}{uuid4().hex}"
    owner = None
    try:
        with file_lock.held(root / _LOCK):  # between mkdir and flock it looks like an orphan
            folder.mkdir()
            owner = os.open(folder / "OWNER", os.O_RDWR | os.O_CREAT, 0o666)
            file_lock.acquire(owner)
        os.write(owner, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        content = folder / "content"
        content.mkdir()
        yield content
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if owner is not None:
            os.close(owner)


def _is_orphan(staging: Path) -> bool:
    try:
        owner = os.open(staging / "OWNER", os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return file_lock.acquire(owner)
    finally:
        os.close(owner)


def _swap_in(root: Path, content: Path, name: str) -> None:
    """Renames `content` to `<root>/<name>`, and what has that name to `.replaced-<name>`; undoes it if it fails."""
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
    """Ends the replacements that were cut off: the old content gets its name back unless the new content has it."""
    for name in os.listdir(root):
        if name.startswith(_REPLACED):
            target = root / name.removeprefix(_REPLACED)
            if target.exists():
                _to_trash(root / name)
            else:
                os.rename(root / name, target)


def _to_trash(path: Path) -> Path | None:
    trash = path.with_name(f"{_TRASH}{uuid4().hex}")
    try:
        os.rename(path, trash)
    except FileNotFoundError:
        return None
    return trash


def _remove(path: Path | None) -> None:
    # What cannot be removed now has a hidden name already and is tried again by the next recover().
    if path is not None:
        shutil.rmtree(path, ignore_errors=True)


def _write_manifest(folder: Path, name: str, meta: Any) -> None:
    text = manifest_text(folder, name, meta)
    with open(folder / MANIFEST, "x", encoding="utf-8") as file:
        file.write(text)


def manifest_text(folder: Path, name: str, meta: Any, attempt: str = "") -> str:
    """The manifest of the files in `folder`; `meta` as `json_values.encode` returns it. Reads and hashes them all."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = each(sha256_of, paths, threads=4)
    files = [
        File(path.relative_to(folder).as_posix(), path.stat().st_size, digest)
        for path, digest in zip(paths, hashes, strict=True)
    ]
    content = {"format": FORMAT, "name": name, "files": [asdict(file) for file in files], "meta": meta}
    content |= {"attempt": attempt} if attempt else {}
    # no newline at the end: a manifest that lost its last byte is damaged
    return json.dumps(content | {"sha256": _digest(content)}, indent=1, allow_nan=False)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fsync_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            fsync(Path(path, name))
        fsync(Path(path))
