"""Buckets of Google Cloud Storage, and of its emulators."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from analogjax.store.bucket import TIMEOUTS, Bucket, T, tell
from analogjax.store.medium import Backend, Progress
from analogjax.store.transfer import Damaged, was_damaged


class GoogleBucket(Bucket):
    """Google Cloud Storage: the client compares MD5s after an upload on request; downloads are compared here."""

    @classmethod
    def client(cls, backend: Backend, options: dict[str, Any]) -> Any:
        """gcsfs's client with our retries; makes no request."""
        return _client(options)

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        """Create or replace a file by a local one; a large one is uploaded in parts, each retried on its own."""
        path, size = self._path(name), file.stat().st_size
        if size <= self.part:
            self._call(name, lambda: self._put(path, file.read_bytes()))
        else:
            self._call(name, lambda: self.system.put_file(str(file), path, consistency="md5", chunksize=self.part))
        tell(progress, size)

    def _call(self, name: str, act: Callable[[], T]) -> T:
        # each request was tried again by the client (`_patient`); what shows only after it is damage
        with self._explained(name):
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


def _client(options: dict[str, Any]) -> Any:
    import aiohttp
    import gcsfs
    import gcsfs.core

    endpoint = options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST", "")
    emulated = bool(endpoint) and "googleapis.com" not in endpoint
    if emulated:
        options.setdefault("token", "anon")
        options["endpoint_url"] = endpoint if "://" in endpoint else f"http://{endpoint}"
    # of one wait, not of a whole request, which may be long on a slow line
    times = aiohttp.ClientTimeout(sock_connect=TIMEOUTS["connect_timeout"], sock_read=TIMEOUTS["read_timeout"])
    options.setdefault("requests_timeout", times)
    # the package's own class first asks a gRPC service what kind of bucket it is, which no emulator answers: each call
    # would stall for a minute
    kind = gcsfs.core.GCSFileSystem if emulated else gcsfs.GCSFileSystem
    return _patient(kind)(**options, skip_instance_cache=True)


def _patient(kind: Any) -> Any:
    """gcsfs's client, with the number of retries of `Bucket.retry` instead of six in 33 s."""
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
