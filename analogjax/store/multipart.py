"""Multipart uploads of large files to S3, in parallel, with each part retried and verified on its own.

A fault costs one part, not the file, and at most `_THREADS` parts are in memory. The object becomes visible with the
last request, and a failed upload is aborted so that its parts cost nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analogjax.store.medium import Progress, StoreError
from analogjax.store.transfer import Damaged, Retry, each

_THREADS = 4
_MD5 = re.compile("[0-9a-f]{32}")
_MOST_PARTS = 10_000  # S3's limit


def upload(system: Any, file: Path, path: str, part: int, retry: Retry, progress: Progress | None) -> None:
    """Create or replace the object `path` (bucket/key) by the local `file`, in parts of at least `part` bytes.

    Raises the client's errors.
    """
    bucket, key, _ = system.split_path(path)
    where = {"Bucket": bucket, "Key": key}
    total = file.stat().st_size
    size = max(part, -(-total // _MOST_PARTS))
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


def unfinished(system: Any, bucket: str, prefix: str, older_than: float) -> list[dict[str, str]]:
    """The uploads to keys that start with `prefix` that began over `older_than` seconds ago and are not finished.

    Raises the client's errors. (MinIO lists those of one whole key only, and aborts them by itself after a day.)
    """
    found: list[dict[str, str]] = []
    marks: dict[str, str] = {}
    while True:
        page = system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marks)
        for one in page.get("Uploads", []):
            # the store's clock may be ahead of ours
            if older_than <= 0 or (datetime.now(UTC) - one["Initiated"]).total_seconds() > older_than:
                found.append({"Bucket": bucket, "Key": one["Key"], "UploadId": one["UploadId"]})
        if not page.get("IsTruncated"):
            return found
        marks = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def abort(system: Any, upload: dict[str, str]) -> None:
    """Discard the parts of an upload; one that was finished or aborted in the meantime is no error."""
    with suppress(FileNotFoundError):
        system.call_s3("abort_multipart_upload", **upload)


def check_answer(answer: dict[str, Any], data: bytes, path: str) -> None:
    """Compare the checksum that S3 reports with the bytes sent or received. Raises `Damaged`.

    The ETag of a body sent in one request is its MD5, unless the store encrypted it with its own key; in that case the
    store checked the CRC that the client sent along.
    """
    tag = answer.get("ETag", "").strip('"')
    if (
        len(tag) == 32
        and answer.get("ServerSideEncryption") in (None, "AES256")
        and "SSECustomerAlgorithm" not in answer
    ):
        if tag != hashlib.md5(data, usedforsecurity=False).hexdigest():
            raise Damaged(f"{path} was damaged on its way.")


def _complete(system: Any, ours: dict[str, str], parts: list[dict[str, Any]], total: int, retry: Retry) -> None:
    def attempt() -> None:
        try:
            system.call_s3("complete_multipart_upload", MultipartUpload={"Parts": parts}, **ours)
        except Exception:
            # putting the parts together can take minutes: the answer to an earlier attempt may have been lost, or that
            # attempt may still be going on, and then this one fails in any way
            if not _is_there(system, ours, parts, total):
                raise

    retry(attempt)


def _is_there(system: Any, ours: dict[str, str], parts: list[dict[str, Any]], total: int) -> bool:
    """Whether the object consists of these parts."""
    try:
        found = system.call_s3("head_object", **{name: ours[name] for name in ("Bucket", "Key")})
    except Exception:  # the failure that led here matters more
        return False
    if int(found["ContentLength"]) != total:
        return False
    tags = [part["ETag"].strip('"') for part in parts]
    if found.get("ServerSideEncryption") not in (None, "AES256") or not all(map(_MD5.fullmatch, tags)):
        return True  # tags that may be anything
    whole = hashlib.md5(bytes.fromhex("".join(tags)), usedforsecurity=False).hexdigest()
    return found["ETag"].strip('"') == f"{whole}-{len(tags)}"
