"""Large files to S3: parts in parallel, each tried again and verified on its own.

A fault costs one part, not the file, and no more than `_THREADS` parts are in memory. Until the last request the store
shows no object, and a failed upload is aborted so that its parts cost nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from analogjax.store.location import Progress, StoreError
from analogjax.store.transfer import Retry, each

_THREADS = 4
_MOST_PARTS = 10_000  # S3's limit


def upload(system: Any, file: Path, path: str, retry: Retry, progress: Progress | None) -> None:
    """Makes or replaces the object `path` (bucket/key) by the local `file`. Raises the client's errors."""
    from analogjax.store.bucket import PART, check_answer

    bucket, key, _ = system.split_path(path)
    where = {"Bucket": bucket, "Key": key}
    total = file.stat().st_size
    size = max(PART, -(-total // _MOST_PARTS))
    ours = {**where, "UploadId": retry(lambda: system.call_s3("create_multipart_upload", **where))["UploadId"]}

    def send(number: int) -> dict[str, Any]:
        data = os.pread(handle, size, (number - 1) * size)
        if len(data) != min(size, total - (number - 1) * size):
            raise StoreError(f"{file} was changed while it was uploaded: upload it again when it is at rest.")

        def attempt() -> str:
            answer = system.call_s3("upload_part", PartNumber=number, Body=data, **ours)
            check_answer(answer, data, path)
            return answer["ETag"]

        tag = retry(attempt)
        if progress is not None:
            progress(len(data))
        return {"PartNumber": number, "ETag": tag}

    handle = os.open(file, os.O_RDONLY)
    try:
        parts = each(send, list(range(1, -(-total // size) + 1)), threads=_THREADS)
        _complete(system, ours, parts, total, retry)
    except BaseException:
        with suppress(Exception):  # the reason of the failure matters more than the failure to tidy up
            system.call_s3("abort_multipart_upload", **ours)
        raise
    finally:
        os.close(handle)


def _complete(system: Any, ours: dict[str, str], parts: list[dict[str, Any]], total: int, retry: Retry) -> None:
    where = {name: ours[name] for name in ("Bucket", "Key")}

    def attempt() -> None:
        try:
            system.call_s3("complete_multipart_upload", MultipartUpload={"Parts": parts}, **ours)
        except FileNotFoundError:
            # "no such upload": the answer to an earlier attempt was lost, if the object is there in its size
            if int(system.call_s3("head_object", **where)["ContentLength"]) != total:
                raise

    retry(attempt)
