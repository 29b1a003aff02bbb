"""A folder that may lie on a local disk, in memory, or in a bucket of S3 or Google Storage, behind one small interface.

    Location.of("runs/a")              a local folder: every write is atomic and has reached the disk on return
    Location.of("s3://bucket/runs/a")  S3 and whatever speaks its protocol (`endpoint_url`); extra "s3"
    Location.of("gs://bucket/runs/a")  Google Storage; extra "gcs"
    Location.of("memory://runs/a")     this process's memory, for tests and trials

and whatever else has a row in `backends.py`. Making one costs nothing and connects to nothing. Credentials come from
the standard chains (environment, config files, instance roles) or from `storage_options`, which go to fsspec as they
are and appear in no message. What may pass is tried again (`transfer.py`), and every transfer is verified: uploads
against what the store says it received, downloads against size and SHA-256 where they are known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.store.backends import backend_of, connect
from analogjax.store.disk import local
from analogjax.store.files import sha256_of
from analogjax.store.medium import Entries, Entry, Medium, Names, Progress, StoreError


@document_fields
@dataclass(frozen=True)
class Location:
    """A folder somewhere; see the module's documentation. Names are relative to it and use `/`."""

    url: str
    """Path of a folder on this machine, or `s3://bucket/folder` or `gs://bucket/folder`."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """Options of the storage client, such as `endpoint_url`, and credentials."""
    _connected: dict[tuple[int, str], Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls, where: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None
    ) -> Location:
        """The location `where`: a path, a URL, or a location, which is returned (with `storage_options`, if given).

        Raises `StoreError` for a URL that it does not know.
        """
        if isinstance(where, Location):
            return where if storage_options is None else cls(where.url, dict(storage_options))
        return cls(_canonical(os.fsdecode(where)), dict(storage_options or {}))

    @property
    def protocol(self) -> str:
        """What the URL begins with: `s3`, `gs`, ...; of a local path `file`."""
        return self.url.partition("://")[0] if "://" in self.url else "file"

    @property
    def path(self) -> Path | None:
        """The path of a local folder, `None` for any other."""
        return Path(self.url) if self.protocol == "file" else None

    def __truediv__(self, name: str) -> Location:
        """The folder `name` below this one; the connection is shared."""
        return replace(self, url=_joined(self.url, _safe(name))) if name else self

    def read(self, name: str) -> bytes:
        """The content of the file `name`. Raises `NotFound`, `StoreError`."""
        return self._medium.read(_safe(name))

    def write(self, name: str, data: bytes) -> None:
        """Makes or replaces the file `name`: at any moment a reader finds the old one or the new one, whole."""
        self._medium.write(_safe(name), data)

    def create(self, name: str, data: bytes) -> None:
        """Makes the file `name` if there is none; of several writers at a time one wins.

        Raises `AlreadyExists` if it is there with other content, and `StoreError`. Put something into `data` that no
        other writer has: the same content is taken for this call's own, of which only the answer was lost.
        """
        self._medium.create(_safe(name), data)

    def upload(self, file: Path, name: str, *, sha256: str | None = None, progress: Progress | None = None) -> Entry:
        """Makes or replaces the file `name` by the local `file`, in parts where it is large, and verifies it.

        `sha256` is that of the file, where the caller knows it already.
        """
        file = Path(file)
        with local(file, "read"):
            open(file, "rb").close()  # else the store would be blamed
        self._medium.upload(file, _safe(name), progress)
        with local(file, "read"):
            return Entry(name, file.stat().st_size, sha256 or sha256_of(file))

    def download(
        self, name: str, file: Path, *, size: int | None = None, sha256: str | None = None,
        progress: Progress | None = None,
    ) -> Entry:  # fmt: skip
        """Makes or replaces the local `file` by the file `name`, only once it is whole and verified.

        Raises `NotFound`, or `StoreError` naming the file if size or SHA-256 are not those given.
        """
        file = Path(file)
        draft = file.with_name(f".{os.urandom(8).hex()}.part")
        with local(file, "written"):
            try:
                found = self._fetch(_safe(name), draft, size, sha256, progress)
                os.replace(draft, file)
            finally:
                with suppress(OSError):  # such as that its folder is none
                    draft.unlink(missing_ok=True)
        return found

    def _fetch(
        self, name: str, file: Path, size: int | None, sha256: str | None, progress: Progress | None
    ) -> Entry:  # fmt: skip
        for _ in range(2):  # twice, because the first may have been damaged on the way
            self._medium.download(name, file, size, progress)
            found = Entry(name, file.stat().st_size, sha256_of(file))
            if size in (None, found.size) and sha256 in (None, found.sha256):
                return found
        raise StoreError(_damaged(_joined(self.url, name), found, size, sha256))

    def list(self, prefix: str = "") -> Entries:
        """All files below the folder `prefix`, by name; none if there is no such folder."""
        return sorted(self._medium.list(_safe(prefix) if prefix else ""), key=lambda entry: entry.name)

    def folders(self, prefix: str = "") -> Names:
        """The names of the folders directly below the folder `prefix`."""
        return sorted(self._medium.folders(_safe(prefix) if prefix else ""))

    def exists(self, name: str) -> bool:
        """Whether there is a file `name`. Raises `StoreError` where that cannot be known."""
        return self._medium.exists(_safe(name))

    def delete(self, *names: str) -> None:
        """Removes files; those that are not there count as removed."""
        self._medium.delete([_safe(name) for name in names])

    def discard_unfinished(self, older_than: float = 0.0, only: Callable[[str], bool] = lambda name: True) -> Names:
        """Removes the parts of files that killed writers began over `older_than` seconds ago and never finished.

        No reader sees such parts, but S3 keeps them, and charges for them, for ever; Google Storage forgets them by
        itself. A writer that is still at work looks the same: give more time than any upload takes, unless there is one
        writer only. `only(name)` may leave some out. Returns the names of the files.
        """
        return sorted(self._medium.discard_unfinished(older_than, only))

    def __str__(self) -> str:
        return self.url

    @property
    def _medium(self) -> Medium:
        # connected by the first use; one connection serves all locations that were made from one another
        key = (os.getpid(), self.url)  # the clients do not work in a forked process
        if key not in self._connected:
            self._connected[key] = self._connect()
        return self._connected[key]

    def _connect(self) -> Medium:
        key = (os.getpid(), self.protocol)
        if key not in self._connected:
            self._connected[key] = connect(self.protocol, dict(self.storage_options))
        return self._connected[key](self.url)


def _canonical(text: str) -> str:
    """The URL or absolute path that `text` means."""
    if not text:
        raise StoreError("The location is an empty string: give a path or a URL such as s3://bucket/folder.")
    # "s3:/bucket" is what pathlib makes of "s3://bucket"; one letter and a colon may be a Windows drive
    match = re.match(r"([A-Za-z][A-Za-z0-9+.:-]+):(/+)(.*)", text, re.DOTALL)
    if match is None:
        return os.path.abspath(os.path.expanduser(text))
    backend = backend_of(match[1])
    protocol, bucket = backend.protocol, match[3].partition("/")[0]
    # no bucket's name has these characters; a password may hold a slash, and then the "@" comes later
    if backend.has_buckets and ("@" in bucket or (":" in bucket and not bucket.startswith("arn:"))):
        raise StoreError(f"A {protocol}:// location must not hold names, passwords or ports: use storage_options.")
    if protocol == "file":
        return os.path.abspath("/" + match[3])
    if match[2] == "/":
        raise StoreError(f"{text!r} lost a slash, as a pathlib.Path does to URLs: give the text {protocol}://… itself.")
    rest = match[3].strip("/")
    if backend.has_buckets and (not rest or match[2] != "//"):
        raise StoreError(f"{text!r} names no bucket: give {protocol}://bucket/folder.")
    if any(part in ("", ".", "..") for part in rest.split("/")) and rest:
        raise StoreError(f"{text!r} has an empty part, '.' or '..' in it: write the path plainly.")
    return f"{protocol}://{rest}"


def _joined(url: str, name: str) -> str:
    return f"{url}{name}" if url.endswith("/") else f"{url}/{name}"  # the roots, "/" and "memory://", end in one


def _safe(name: str) -> str:
    """`name` without outer slashes. Raises `StoreError` for one that could lead out of the location."""
    plain = str(name).strip("/")
    if not plain or "\0" in plain or any(part in ("", ".", "..") for part in plain.split("/")):
        raise StoreError(f"{name!r} cannot name a file: give a relative path with no empty part, '.' or '..' in it.")
    return plain


def _damaged(what: str, found: Entry, size: int | None, sha256: str | None) -> str:
    if size not in (None, found.size):
        return f"{what} is damaged: it has {found.size} bytes and had {size}."
    return f"{what} is damaged: its SHA-256 is {found.sha256} and was {sha256}."
