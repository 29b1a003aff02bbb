"""Retries: which failures of a network or a store are transient, and how long to wait for them.

The clients' own retries nest (one permanent 503 can become 25 requests), so they are disabled in `bucket.py`, and
everything is retried here, once, with exponential backoff and jitter.
"""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# S3 clients turn 503, 500 and 429 into these, and networks have their own
_PASSING = {
    errno.EBUSY, errno.EREMOTEIO, errno.EIO, errno.EAGAIN, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
    errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN,
}  # fmt: skip
# by name, so that no client has to be imported to look for its errors
_PASSING_NAMES = {
    "ClientError",  # aiohttp's base class, of cut and refused connections; botocore's is recognised by its status
    "ConnectionError",
    "HTTPClientError",
    "FSTimeoutError",
    "IncompleteReadError",
    "ResponseStreamingError",
    "TimeoutError",
    "TransportError",
}
# what S3 answers, and what clients raise, where checksums don't fit
_DAMAGED_CODES = {"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_DAMAGED_NAMES = {"ChecksumError", "FlexibleChecksumError"}
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


class Damaged(OSError):
    """The bytes received are not those that were sent."""


def may_pass(error: BaseException) -> bool:
    """Whether a retry can help: throttling, 5xx, interrupted, refused or stalled connections, damaged bytes."""
    if isinstance(error, _LASTING):
        return False
    if was_damaged(error) or isinstance(error, (TimeoutError, ConnectionError)):
        return True
    status = status_of(error)
    if status is not None:
        # 409 is S3's word for two conditional writes at a time; 501 is "not implemented"
        return status in (408, 409, 429) or (status >= 500 and status != 501)
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    return bool(_names(error) & _PASSING_NAMES)


def was_damaged(error: BaseException) -> bool:
    """Whether bytes were damaged in transit, as detected by us, the client or the store."""
    return isinstance(error, Damaged) or code_of(error) in _DAMAGED_CODES or bool(_names(error) & _DAMAGED_NAMES)


def code_of(error: BaseException) -> str | None:
    """S3's error code, if it sent one."""
    return _answer(error).get("Error", {}).get("Code")


def status_of(error: BaseException) -> int | None:
    """The HTTP status carried by an error of botocore, gcsfs or aiohttp, if any."""
    answer = _answer(error)
    if answer:
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for name in ("status", "code"):
        value = getattr(error, name, None)
        if isinstance(value, (int, str)) and str(value).isdigit() and 100 <= int(value) < 600:
            return int(value)
    return None


def _answer(error: BaseException) -> dict[str, Any]:
    # s3fs makes OSErrors of botocore's errors; those that it does not know become EIO, whatever they mean
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


@dataclass(frozen=True)
class Retry:
    """How often to retry and how long to wait: half of `first * 2**n` seconds, at most `longest`, plus up to that half.

    No attempt starts later than `deadline` seconds after the first. `passes` decides which errors are transient.
    """

    attempts: int = 7
    first: float = 0.2
    longest: float = 8.0
    deadline: float = 180.0
    passes: Callable[[BaseException], bool] = may_pass

    def __call__(self, act: Callable[[], T]) -> T:
        """Return `act()`, retried while it fails with a transient error; raises its last error."""
        begun = time.monotonic()
        for attempt in range(self.attempts):
            try:
                return act()
            except Exception as error:
                wait = self._pause(error, attempt, begun)
                if wait is None:
                    raise
                time.sleep(wait)
        raise AssertionError("attempts must be 1 or more")

    async def wait_for(self, act: Callable[[], Awaitable[T]]) -> T:
        """The same for a coroutine."""
        begun = time.monotonic()
        for attempt in range(self.attempts):
            try:
                return await act()
            except Exception as error:
                wait = self._pause(error, attempt, begun)
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("attempts must be 1 or more")

    def _pause(self, error: Exception, attempt: int, begun: float) -> float | None:
        wait = min(self.longest, self.first * 2**attempt) * random.uniform(0.5, 1.0)
        last = attempt + 1 == self.attempts or time.monotonic() + wait - begun > self.deadline
        return None if last or not self.passes(error) else wait


def each(act: Callable[[Any], T], items: list[Any], threads: int = 8) -> list[T]:
    """`[act(item) for item in items]`, several at a time; raises the first error once all started calls have ended."""
    if len(items) < 2:
        return [act(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), thread_name_prefix="analogjax-store") as pool:
        pending = [pool.submit(act, item) for item in items]
        try:
            return [one.result() for one in pending]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
