"""Buckets of S3 and of compatible stores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fsspec.asyn import sync

from analogjax.store import multipart
from analogjax.store.bucket import TIMEOUTS, Bucket
from analogjax.store.medium import Backend, Names, Progress
from analogjax.store.transfer import Damaged


class S3Bucket(Bucket):
    """S3: every body is sent with its MD5, which is compared with the store's answer."""

    @classmethod
    def client(cls, backend: Backend, options: dict[str, Any]) -> Any:
        """s3fs's client with its own retries disabled; makes no request."""
        from s3fs import S3FileSystem

        config = {**TIMEOUTS, **options.pop("config_kwargs", {})}
        config.setdefault("retries", {"total_max_attempts": 1})  # transfer.py tries again; their loops would nest
        config.setdefault("max_pool_connections", 32)
        system = S3FileSystem(**options, config_kwargs=config, skip_instance_cache=True)
        system.retries = 1
        return system

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        """Create or replace a file by a local one; a large one is uploaded in parts, each retried on its own."""
        if file.stat().st_size <= self.part:
            super().upload(file, name, progress)
            return
        with self._explained(name):
            multipart.upload(self.system, file, self._path(name), self.part, self.retry, progress)

    def discard_unfinished(self, older_than: float, only: Callable[[str], bool]) -> Names:
        """Abort multipart uploads below this folder."""
        bucket, key, _ = self.system.split_path(f"{self.root}/")
        found = self._call("", lambda: multipart.unfinished(self.system, bucket, key, older_than))
        found = [upload for upload in found if only(upload["Key"].removeprefix(key))]
        for upload in found:
            self._call("", partial(multipart.abort, self.system, upload))
        return [upload["Key"].removeprefix(key) for upload in found]

    def _get(self, path: str) -> bytes:
        bucket, key, _ = self.system.split_path(path)
        answer, data = sync(self.system.loop, self._fetch, {"Bucket": bucket, "Key": key})
        multipart.check_answer(answer, data, path)
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
        multipart.check_answer(answer, data, path)

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
