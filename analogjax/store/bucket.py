"""Object stores (and memory) as media, over fsspec: the common part."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from analogjax.errors import MissingPackage
from analogjax.store.failures import clean, explained
from analogjax.store.medium import AlreadyExists, Backend, Entries, Entry, Names, NotFound, Progress, StoreError
from analogjax.store.transfer import Damaged, Retry, each

T = TypeVar("T")
TIMEOUTS = {"connect_timeout": 10, "read_timeout": 60}  # [s]


class Bucket:
    """The folder `url` of a file system known to fsspec; `system` is its client, `hide` lists texts for no message to
    show.
    """

    retry = Retry()
    part = 16 << 20  # bytes of one part of a large file; a few of them are in memory at a time

    def __init__(self, system: Any, backend: Backend, hide: frozenset[str], url: str) -> None:
        self.system, self.backend, self.hide, self.url = system, backend, hide, url
        self.root = url.partition("://")[2]

    @classmethod
    def connect(cls, backend: Backend, options: dict[str, Any]) -> Callable[[str], Bucket]:
        """Return the function that makes the medium of a URL; all share one client. Raises `MissingPackage`,
        `StoreError`.
        """
        hide = frozenset(backend.secrets(options))
        try:
            return partial(cls, cls.client(backend, options), backend, hide)
        except ImportError as error:
            raise MissingPackage(
                f"{backend.protocol}:// needs the package {backend.package}: pip install "
                f"'analogjax[{backend.extra}]' ({error})"
            ) from error
        except Exception as error:
            # no cause is shown: the clients' messages quote credentials that they can't read
            reason = clean(str(error), hide)
            raise StoreError(
                f"The storage_options or credentials for {backend.protocol}:// don't fit: {reason}"
            ) from None

    @classmethod
    def client(cls, backend: Backend, options: dict[str, Any]) -> Any:
        """The file system with these options; makes no request."""
        return fsspec.filesystem(backend.protocol, **options, skip_instance_cache=True)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return self._call(name, lambda: self._get(self._path(name)))

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file."""
        self._call(name, lambda: self._put(self._path(name), data))

    def create(self, name: str, data: bytes) -> None:
        """Make a file that is not there yet."""
        try:
            self._call(name, lambda: self._put_new(self._path(name), data))
        except AlreadyExists:
            # the answer to our own request may have been lost, and the request been repeated
            if self.read(name) != data:
                raise

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        """Make or replace a file by a local one."""
        self._call(name, lambda: self._put(self._path(name), file.read_bytes()))
        tell(progress, file.stat().st_size)

    def download(self, name: str, file: Path, size: int | None, progress: Progress | None) -> None:
        """Copy a file into the local `file`, in parts where it is large."""
        path = self._path(name)
        given = size is not None
        size = self._call(name, lambda: self._size(path)) if size is None else size

        def fetch_all() -> bytes:
            data = self._get(path)
            return data if given else _whole(data, size, name)  # `Location.download` compares with what was given

        def fetch(start: int) -> None:
            end = min(start + self.part, size)
            data = self._call(name, lambda: _whole(self.system.cat_file(path, start=start, end=end), end - start, name))
            _fill(handle, data, start)
            tell(progress, len(data))

        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            if size <= self.part:
                data = self._call(name, fetch_all)
                _fill(handle, data, 0)
                tell(progress, len(data))
            else:
                each(fetch, list(range(0, size, self.part)), threads=4)
        finally:
            os.close(handle)

    def list(self, prefix: str) -> Entries:
        """All files below a folder."""
        folder = self._path(prefix) if prefix else self.root
        found = self._call(prefix, lambda: self._find(folder))
        skip = len(self.root.strip("/")) + 1 if self.root else 0
        below = f"{folder.strip('/')}/".lstrip("/")  # a file that is named like the folder is not in it
        return [
            Entry(path.strip("/")[skip:], int(info["size"]))
            for path, info in found.items()
            if info.get("type", "file") == "file" and not path.endswith("/") and path.strip("/").startswith(below)
        ]

    def folders(self, prefix: str) -> Names:
        """The folders directly below a folder."""
        folder = self._path(prefix) if prefix else self.root
        try:
            found = self._call(prefix, lambda: self.system.ls(folder, detail=True))
        except NotFound:
            self._call(prefix, lambda: self._find(folder))  # raises where it is the bucket that is missing
            return []
        # consoles make an empty object "folder/" for a folder, which some clients list as a folder in itself
        paths = {info["name"].strip("/") for info in found if info["type"] == "directory"} - {folder.strip("/")}
        return [path.rpartition("/")[2] for path in paths]

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        try:
            self._call(name, lambda: self._size(self._path(name)))
        except NotFound:
            return False
        return True

    def delete(self, names: Names) -> None:
        """Remove files."""
        each(self._delete, names)

    def discard_unfinished(self, older_than: float, only: Callable[[str], bool]) -> Names:
        """Do nothing: a file is complete or absent, and Google Storage discards unfinished parts after a week."""
        return []

    def _delete(self, name: str) -> None:
        try:
            self._call(name, lambda: self.system.rm_file(self._path(name)))
        except NotFound:
            return

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _size(self, path: str) -> int:
        info = self.system.info(path)
        if info["type"] != "file":
            raise FileNotFoundError(path)
        return int(info["size"])

    def _get(self, path: str) -> bytes:
        return self.system.cat_file(path)

    def _find(self, folder: str) -> dict[str, Any]:
        return self.system.find(folder, detail=True)

    def _put(self, path: str, data: bytes) -> None:
        self.system.pipe_file(path, data)

    def _put_new(self, path: str, data: bytes) -> None:
        self.system.pipe_file(path, data, mode="create")

    def _call(self, name: str, act: Callable[[], T]) -> T:
        with self._explained(name):
            return self.retry(act)

    def _explained(self, name: str) -> AbstractContextManager[None]:
        return explained(f"{self.url}/{name}" if name else self.url, self.hide, self.backend)


def _whole(data: bytes, size: int, name: str) -> bytes:
    if len(data) != size:
        raise Damaged(f"{name} arrived with {len(data)} of {size} bytes.")
    return data


def _fill(handle: int, data: bytes, start: int) -> None:
    rest = memoryview(data)
    while rest:  # a disk that is filling up writes a part, reported only by the number of bytes
        done = os.pwrite(handle, rest, start)
        rest, start = rest[done:], start + done


def tell(progress: Progress | None, size: int) -> None:
    """Report that `size` bytes were transferred."""
    if progress is not None:
        progress(size)
