"""Buckets (and memory) as media of `location.py`, over fsspec."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from fsspec.asyn import sync

from analogjax.errors import MissingPackage
from analogjax.store.failures import clean, explained, secrets
from analogjax.store.location import AlreadyExists, Entries, Entry, Names, NotFound, Progress, StoreError
from analogjax.store.transfer import Damaged, Retry, each, was_damaged

T = TypeVar("T")

PART = 16 << 20  # bytes of one part of a large file; a few of them are in memory at a time
_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
_TIMEOUTS = {"connect_timeout": 10, "read_timeout": 60}


def connect(protocol: str, options: dict[str, Any]) -> Connection:
    """A connection for all places of one protocol. Raises `MissingPackage`, `StoreError`; makes no request."""
    make = {"memory": _memory, "s3": _s3, "gs": _google}[protocol]
    hide = frozenset(secrets(options))
    try:
        return Connection(protocol, make(options), hide)
    except ImportError as error:
        package, extra = _PACKAGES[protocol]
        raise MissingPackage(
            f"{protocol}:// needs the package {package}: pip install 'analogjax[{extra}]' ({error})"
        ) from error
    except Exception as error:
        # no cause is shown: the clients' messages quote credentials that they can't read
        reason = clean(str(error), hide)
        raise StoreError(f"The storage_options or credentials for {protocol}:// don't fit: {reason}") from None


class Connection:
    """One client of one protocol; the places that it serves share it. `hide` holds what no message may show."""

    def __init__(self, protocol: str, system: Any, hide: frozenset[str] = frozenset()) -> None:
        self.protocol, self.system, self.hide = protocol, system, hide

    def at(self, url: str) -> Bucket:
        """The medium for the folder `url`."""
        kind = {"memory": Bucket, "s3": _S3Bucket, "gs": _GoogleBucket}[self.protocol]
        return kind(self.system, url, self.hide)


def _memory(options: dict[str, Any]) -> Any:
    from fsspec.implementations.memory import MemoryFileSystem

    return MemoryFileSystem(**options)


def _s3(options: dict[str, Any]) -> Any:
    from s3fs import S3FileSystem

    config = {**_TIMEOUTS, **options.pop("config_kwargs", {})}
    config.setdefault("retries", {"total_max_attempts": 1})  # transfer.py tries again; the clients' loops would nest
    config.setdefault("max_pool_connections", 32)
    options.setdefault("use_listings_cache", False)  # a cache would hide what other writers commit
    system = S3FileSystem(**options, config_kwargs=config, skip_instance_cache=True)
    system.retries = 1
    return system


def _google(options: dict[str, Any]) -> Any:
    import aiohttp
    import gcsfs
    import gcsfs.core

    endpoint = options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST", "")
    emulated = bool(endpoint) and "googleapis.com" not in endpoint
    if emulated:
        options.setdefault("token", "anon")
        options["endpoint_url"] = endpoint if "://" in endpoint else f"http://{endpoint}"
    options.setdefault("use_listings_cache", False)
    # of one wait, not of a whole request, which may be long on a slow line
    times = aiohttp.ClientTimeout(sock_connect=_TIMEOUTS["connect_timeout"], sock_read=_TIMEOUTS["read_timeout"])
    options.setdefault("requests_timeout", times)
    # the package's own class first asks a gRPC service what kind of bucket it is, which no emulator answers: each call
    # would stall for a minute
    kind = gcsfs.core.GCSFileSystem if emulated else gcsfs.GCSFileSystem
    return _patient(kind)(**options, skip_instance_cache=True)


def _patient(kind: Any) -> Any:
    """gcsfs's client, whose requests are tried as often as `Bucket.retry` says instead of six times in 33 s."""
    once: Any = getattr(kind._request, "__wrapped__", None)
    if once is None:  # another version of gcsfs, which then does as it likes
        return kind

    class Patient(kind):
        async def _request(self, *args: Any, data: Any = None, **kwargs: Any) -> Any:
            def attempt() -> Any:
                # aiohttp warns of large raw bytes, which hold up its loop
                body = BytesIO(data) if isinstance(data, (bytes, bytearray, memoryview)) else data
                return once(self, *args, data=body, **kwargs)

            return await Bucket.retry.wait_for(attempt)

        @staticmethod
        def close_session(loop: Any, session: Any, asynchronous: bool = False) -> None:
            # gcsfs starts a task from a foreign thread, which asyncio forbids: it would run some day or never
            if loop is None or not loop.is_running() or session is None or session.closed:
                kind.close_session(loop, session, asynchronous)
                return
            closing = asyncio.run_coroutine_threadsafe(session.close(), loop)
            if threading.get_ident() != getattr(loop, "_thread_id", None):  # else we would wait for ourselves
                with suppress(TimeoutError):
                    closing.result(1)

    return Patient


class Bucket:
    """A folder in a place that fsspec knows."""

    retry = Retry()

    def __init__(self, system: Any, url: str, hide: frozenset[str] = frozenset()) -> None:
        self.system, self.url, self.hide = system, url, hide
        self.root = url.partition("://")[2]

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
        _tell(progress, file.stat().st_size)

    def download(self, name: str, file: Path, size: int | None, progress: Progress | None) -> None:
        """Copy a file into the local `file`, in parts where it is large."""
        path = self._path(name)
        given = size is not None
        size = self._call(name, lambda: self._size(path)) if size is None else size

        def fetch_all() -> bytes:
            data = self._get(path)
            return data if given else _whole(data, size, name)  # `Location.download` compares with what was given

        def fetch(start: int) -> None:
            end = min(start + PART, size)
            data = self._call(name, lambda: _whole(self.system.cat_file(path, start=start, end=end), end - start, name))
            _fill(handle, data, start)
            _tell(progress, len(data))

        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            if size <= PART:
                data = self._call(name, fetch_all)
                _fill(handle, data, 0)
                _tell(progress, len(data))
            else:
                each(fetch, list(range(0, size, PART)), threads=4)
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
        """Nothing: a file is whole or absent, and Google Storage forgets the parts of one after a week."""
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
        with explained(f"{self.url}/{name}" if name else self.url, self.hide):
            return self.retry(act)


class _S3Bucket(Bucket):
    """S3: every body goes out with its MD5 known, and the store's answer is compared with it."""

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        if file.stat().st_size <= PART:
            super().upload(file, name, progress)
            return
        with explained(f"{self.url}/{name}", self.hide):
            from analogjax.store.multipart import upload

            upload(self.system, file, self._path(name), self.retry, progress)

    def discard_unfinished(self, older_than: float, only: Callable[[str], bool]) -> Names:
        """Abort uploads in parts below this folder."""
        from analogjax.store.multipart import abort, unfinished

        bucket, key, _ = self.system.split_path(f"{self.root}/")
        found = self._call("", lambda: unfinished(self.system, bucket, key, older_than))
        found = [upload for upload in found if only(upload["Key"].removeprefix(key))]
        for upload in found:
            self._call("", partial(abort, self.system, upload))
        return [upload["Key"].removeprefix(key) for upload in found]

    def _get(self, path: str) -> bytes:
        bucket, key, _ = self.system.split_path(path)
        answer, data = sync(self.system.loop, self._fetch, {"Bucket": bucket, "Key": key})
        check_answer(answer, data, path)
        return data

    async def _fetch(self, where: dict[str, str]) -> tuple[dict[str, Any], bytes]:
        answer = await self.system._call_s3("get_object", **where)
        async with answer["Body"] as body:
            return answer, await body.read()

    def _size(self, path: str) -> int:
        bucket, key, _ = self.system.split_path(path)  # `info` would list folders too
        return int(self.system.call_s3("head_object", Bucket=bucket, Key=key)["ContentLength"])

    def _put(self, path: str, data: bytes, **conditions: str) -> None:
        bucket, key, _ = self.system.split_path(path)
        answer = self.system.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **conditions)
        check_answer(answer, data, path)

    def _put_new(self, path: str, data: bytes) -> None:
        try:
            self._put(path, data, IfNoneMatch="*")
        except Damaged:  # the store took it all the same: what is there now is ours, so we may replace it
            self.retry(lambda: self._put(path, data))

    def _find(self, folder: str) -> dict[str, Any]:
        bucket, key, _ = self.system.split_path(folder)
        found: dict[str, Any] = {}
        token: dict[str, str] = {}
        while True:
            page = self.system.call_s3(
                "list_objects_v2", Bucket=bucket, Prefix=f"{key.strip('/')}/" if key else "", **token
            )
            for item in page.get("Contents", []):
                found[f"{bucket}/{item['Key']}"] = {"size": item["Size"]}
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}


class _GoogleBucket(Bucket):
    """Google Storage: the client compares MD5s after an upload if asked to, downloads are compared here."""

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        """Make or replace a file by a local one; a large one goes in parts, each tried again on its own."""
        path, size = self._path(name), file.stat().st_size
        if size <= PART:
            self._call(name, lambda: self._put(path, file.read_bytes()))
        else:
            self._call(name, lambda: self.system.put_file(str(file), path, consistency="md5", chunksize=PART))
        _tell(progress, size)

    def _call(self, name: str, act: Callable[[], T]) -> T:
        # each request was tried again by the client (`_patient`); what shows only after it is damage
        with explained(f"{self.url}/{name}" if name else self.url, self.hide):
            return replace(self.retry, passes=was_damaged)(act)

    def _size(self, path: str) -> int:
        bucket, key, _ = self.system.split_path(path)  # `info` would list folders too
        return int(self.system.call("GET", "b/{}/o/{}", bucket, key, json_out=True)["size"])

    def _get(self, path: str) -> bytes:
        headers, data = self.system.call("GET", self.system.url(path))
        if "Content-Encoding" not in headers:  # else the hash is that of other bytes
            sums = ",".join(headers.getall("X-Goog-Hash", [])).split(",")
            ours = "md5=" + b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
            if any(one.strip() != ours for one in sums if one.strip().startswith("md5=")):
                raise Damaged(f"{path} was damaged on its way.")
        return data

    def _put(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        # in one request gcsfs ends the body with a bare newline, which takes a last "\r" of the data with it
        whole = {"chunksize": len(data)} if data.endswith(b"\r") else {}
        self.system.pipe_file(path, data, consistency="md5", mode=mode, **whole)

    def _put_new(self, path: str, data: bytes) -> None:
        try:
            self._put(path, data, mode="create")
        except Exception as error:
            if not was_damaged(error):
                raise
            self._put(path, data)  # as for S3

    def _find(self, folder: str) -> dict[str, Any]:
        try:
            return super()._find(folder)
        except FileNotFoundError:
            if self.system.exists(folder.strip("/").partition("/")[0]):
                return {}
            raise


def check_answer(answer: dict[str, Any], data: bytes, path: str) -> None:
    """Compares the checksum that S3 gives with the bytes that were sent or received. Raises `Damaged`.

    The ETag of a body that went in one request is its MD5, unless the store encrypted it with a key of its own; then
    the CRC that the client sent along was what the store checked.
    """
    tag = answer.get("ETag", "").strip('"')
    if (
        len(tag) == 32
        and answer.get("ServerSideEncryption") in (None, "AES256")
        and "SSECustomerAlgorithm" not in answer
    ):
        if tag != hashlib.md5(data, usedforsecurity=False).hexdigest():
            raise Damaged(f"{path} was damaged on its way.")


def _whole(data: bytes, size: int, name: str) -> bytes:
    if len(data) != size:
        raise Damaged(f"{name} arrived with {len(data)} of {size} bytes.")
    return data


def _fill(handle: int, data: bytes, start: int) -> None:
    rest = memoryview(data)
    while rest:  # a disk that is filling up takes a part of it and says so by the number alone
        done = os.pwrite(handle, rest, start)
        rest, start = rest[done:], start + done


def _tell(progress: Progress | None, size: int) -> None:
    if progress is not None:
        progress(size)
