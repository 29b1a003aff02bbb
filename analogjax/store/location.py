"""A folder on a local disk, in memory, or in a bucket of S3 or Google Cloud Storage, behind one small interface.

    Location.of("runs/a")              a local folder: every write is atomic, and on disk when it returns
    Location.of("s3://bucket/runs/a")  S3 and compatible stores (`endpoint_url`); extra "s3"
    Location.of("gs://bucket/runs/a")  Google Cloud Storage; extra "gcs"
    Location.of("memory://runs/a")     memory of this process, for tests

and every other kind that has a row in `backends.py`. Making a location connects to nothing. Credentials come from the
standard chains (environment, config files, instance roles) or from `storage_options`, which are passed to fsspec
unchanged and never appear in a message. Transient failures are retried (`transfer.py`). Every transfer is verified:
uploads against what the store reports to have received, downloads against size and SHA-256 where they are known.
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
    """A folder on any kind of storage. File names are relative to it and use `/`.

    Example:
        >>> folder = Location.of("s3://bucket/runs/a")
        >>> folder.write("notes.txt", b"hello")
        >>> folder.read("notes.txt")
        b'hello'
    """

    url: str
    """Path of a folder on this machine, or `s3://bucket/folder` or `gs://bucket/folder`."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """Options of the storage client, such as `endpoint_url`, and credentials."""
    _connected: dict[tuple[int, str], Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls, where: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None
    ) -> Location:
        """Make a location.

        Args:
            where: A path, a URL, or a location, which is returned (with `storage_options`, if given).
            storage_options: Options for the storage client, such as `endpoint_url`, and credentials.

        Returns:
            The location; nothing is connected yet.

        Raises:
            StoreError: If the kind of URL is unknown.
        """
        if isinstance(where, Location):
            return where if storage_options is None else cls(where.url, dict(storage_options))
        return cls(_canonical(os.fsdecode(where)), dict(storage_options or {}))

    @property
    def protocol(self) -> str:
        """Scheme of the URL: `s3`, `gs`, ...; `file` for a local path."""
        return self.url.partition("://")[0] if "://" in self.url else "file"

    @property
    def path(self) -> Path | None:
        """Path of a local folder, `None` for any other."""
        return Path(self.url) if self.protocol == "file" else None

    def __truediv__(self, name: str) -> Location:
        """The folder `name` below this one; it shares the connection."""
        return replace(self, url=_joined(self.url, _safe(name))) if name else self

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises `NotFound`, `StoreError`."""
        return self._medium.read(_safe(name))

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file atomically: readers find either the old or the new content."""
        self._medium.write(_safe(name), data)

    def create(self, name: str, data: bytes) -> None:
        """Create a file that does not exist yet; of several simultaneous writers, one succeeds.

        Raises `AlreadyExists` if it exists with other content, and `StoreError`. The `data` should be unique to the
        writer: identical content is taken to be this call's own, whose confirmation was lost.
        """
        self._medium.create(_safe(name), data)

    def upload(self, file: Path, name: str, *, sha256: str | None = None, progress: Progress | None = None) -> Entry:
        """Create or replace a file by a local one, in parts if it is large, and verify it.

        `sha256` is that of the file, if the caller knows it already.
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
        """Create or replace a local file by the file `name`, once it is complete and verified.

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
        """List all files below the folder `prefix`, by name; none if there is no such folder."""
        return sorted(self._medium.list(_safe(prefix) if prefix else ""), key=lambda entry: entry.name)

    def folders(self, prefix: str = "") -> Names:
        """List the names of the folders directly below the folder `prefix`."""
        return sorted(self._medium.folders(_safe(prefix) if prefix else ""))

    def exists(self, name: str) -> bool:
        """Whether there is a file `name`. Raises `StoreError` if that can't be determined."""
        return self._medium.exists(_safe(name))

    def delete(self, *names: str) -> None:
        """Delete files; missing ones count as deleted."""
        self._medium.delete([_safe(name) for name in names])

    def discard_unfinished(self, older_than: float = 0.0, only: Callable[[str], bool] = lambda name: True) -> Names:
        """Remove unfinished uploads that killed writers began over `older_than` seconds ago.

        They are invisible to readers, but S3 keeps them, and charges for them, indefinitely; Google Storage removes
        them by itself. An upload in progress can't be told apart, so allow more time than any upload takes, unless
        there is only one writer. `only(name)` may exclude some. Returns the names of the files.
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
    """The URL or absolute path meant by `text`."""
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
    """`name` without outer slashes. Raises `StoreError` if it could point outside the location."""
    plain = str(name).strip("/")
    if not plain or "\0" in plain or any(part in ("", ".", "..") for part in plain.split("/")):
        raise StoreError(f"{name!r} cannot name a file: give a relative path with no empty part, '.' or '..' in it.")
    return plain


def _damaged(what: str, found: Entry, size: int | None, sha256: str | None) -> str:
    if size not in (None, found.size):
        return f"{what} is damaged: it has {found.size} bytes and had {size}."
    return f"{what} is damaged: its SHA-256 is {found.sha256} and was {sha256}."
