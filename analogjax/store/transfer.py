"""Trying again: which failures of a network or a store may pass, and how long to wait for them.

The clients' own retries nest (one permanent 503 can become 25 requests), so they are turned off in `bucket.py` and
everything is tried again here, once, with exponential backoff and jitter.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
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
    "ClientError",  # aiohttp's root, of cut and refused connections; botocore's is told apart by its status
    "ConnectionError",
    "HTTPClientError",
    "FSTimeoutError",
    "FlexibleChecksumError",
    "IncompleteReadError",
    "ResponseStreamingError",
    "TimeoutError",
    "TransportError",
}
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True)
class Retry:
    """How often to try and how long to wait: half of `first * 2**n` seconds, at most `longest`, plus up to that half.

    No attempt starts later than `deadline` seconds after the first.
    """

    attempts: int = 7
    first: float = 0.2
    longest: float = 8.0
    deadline: float = 180.0

    def __call__(self, act: Callable[[], T]) -> T:
        """Returns `act()`, tried again while it fails in a way that may pass; raises its last error."""
        begun = time.monotonic()
        for attempt in range(self.attempts):
            try:
                return act()
            except Exception as error:
                wait = min(self.longest, self.first * 2**attempt) * random.uniform(0.5, 1.0)
                last = attempt + 1 == self.attempts or time.monotonic() + wait - begun > self.deadline
                if last or not may_pass(error):
                    raise
                time.sleep(wait)
        raise AssertionError("attempts must be 1 or more")


class Damaged(OSError):
    """Bytes that arrived are not those that were sent."""


def may_pass(error: BaseException) -> bool:
    """Whether trying again can help: throttling, 5xx, cut, refused or stalled connections, bytes damaged on the way."""
    if isinstance(error, _LASTING):
        return False
    status = status_of(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    if isinstance(error, (Damaged, TimeoutError, ConnectionError)):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    return any(kind.__name__ in _PASSING_NAMES for kind in type(error).__mro__)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of botocore, gcsfs or aiohttp carries, if it carries one."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for name in ("status", "code"):
        value = getattr(error, name, None)
        if isinstance(value, (int, str)) and str(value).isdigit() and 100 <= int(value) < 600:
            return int(value)
    return None


def each(act: Callable[[Any], T], items: list[Any], threads: int = 8) -> list[T]:
    """`[act(item) for item in items]`, several at a time; raises the first error when all that began have ended."""
    if len(items) < 2:
        return [act(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), thread_name_prefix="analogjax-store") as pool:
        pending = [pool.submit(act, item) for item in items]
        try:
            return [one.result() for one in pending]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
