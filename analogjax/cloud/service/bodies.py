"""The bodies of requests: whose they are, how large, how slow, and how much of them is buffered at a time.

A body is read only once its sender is known. Requests without credentials (logging in) have room for a token and no
more.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.answers import Answer, answer_to, send_answer

SMALL = 8 * 1024  # [bytes] of a body that nobody has to answer for, nor is counted
# how long [s] and how much [bytes] of a refused body may still come, to nowhere: who sends it reads the answer then
_LINGER, _AWAY = 5.0, 64 * 1024 * 1024


class _TooMuch(Refused):
    """A body is too large, too slow, or one too many."""


class _Gone(Exception):
    """The client disconnected in the middle of its body."""


class Buffers:
    """Counts buffered bytes, of all senders and of each. For the event loop only."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes buffered now."""
        return self._held.total()

    def take(self, sender: str, size: int) -> None:
        """Reserve room for `size` bytes. Raises `Refused` (429, 503) if there is none now."""
        if self._held[sender] + size > self._most_each:
            raise _TooMuch("You are sending too much at a time: let some requests end first.", 429)
        if self.held + size > self._most:
            raise _TooMuch("The service is receiving too much at a time: try again later.", 503)
        self._held[sender] += size

    def give_back(self, sender: str, size: int) -> None:
        """Release room."""
        self._held[sender] -= size
        if self._held[sender] <= 0:
            del self._held[sender]


class _Place:
    """The room reserved for one body."""

    def __init__(self, buffers: Buffers, sender: str | None) -> None:
        self._buffers, self._sender, self._size = buffers, sender, 0

    def reach(self, size: int) -> None:
        """Reserve room for a body of `size` bytes. Raises `Refused`."""
        if self._sender is not None and size > max(SMALL, self._size):
            self._buffers.take(self._sender, size - self._size)
            self._size = size

    def leave(self) -> None:
        """Release all of it."""
        if self._sender is not None and self._size:
            self._buffers.give_back(self._sender, self._size)
            self._size = 0


class Bodies:
    """ASGI middleware. Unidentified bodies get 401, those over `size` bytes 413, those that take over `seconds` 408.

    `sender` identifies the sender of a body. If there are too many connections, only workers are served: if their
    heartbeats were lost, they would be taken for dead.
    """

    def __init__(
        self, app: Any, *, sender: Callable[[Any], str | None], size: int, seconds: float, buffers: Buffers,
        worker_threads: CapacityLimiter | None = None,
    ) -> None:  # fmt: skip
        self.app, self._sender, self._size, self._seconds, self._buffers = app, sender, size, seconds, buffers
        self._worker_threads = worker_threads

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope.get("state", {}).get("crowded") and not scope["path"].startswith("/workers/"):
            await send_answer(send, Answer(503, "There are too many connections now: try again.", {"Retry-After": "5"}))
        elif (length := _announced(scope)) == 0:
            await self.app(scope, receive, send)
        else:
            await self._with_body(scope, receive, send, length)

    async def _with_body(self, scope: Any, receive: Any, send: Any, length: int | None) -> None:
        try:
            self._check(length or 0, self._size)
            threads = self._worker_threads if scope.get("path", "").startswith("/workers/") else None
            sender = await to_thread.run_sync(self._sender, scope, limiter=threads)
            most = self._size if sender is not None else min(SMALL, self._size)
            self._check(length or 0, most)
        except Exception as error:
            await _refuse(receive, send, answer_to(error))
            return
        place = _Place(self._buffers, sender)
        try:
            place.reach(length or 0)
            await self._pass_on(scope, receive, send, await self._read(receive, most, place))
        except _Gone:
            return
        except _TooMuch as error:
            place.leave()  # what comes now is not held
            await _refuse(receive, send, answer_to(error))
        finally:
            place.leave()

    async def _pass_on(self, scope: Any, receive: Any, send: Any, body: bytes) -> None:
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Any:
            return given.pop() if given else await receive()

        await self.app(scope, receive_again, send)

    async def _read(self, receive: Any, most: int, place: _Place) -> bytes:
        """The whole body. Raises `Refused` (408, 413, 429, 503), `_Gone`."""
        body, end = bytearray(), time.monotonic() + self._seconds  # no list: each of many small parts would cost more
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    body += message.get("body", b"")
                    self._check(len(body), most)
                    place.reach(len(body))
                    if not message.get("more_body"):
                        return bytes(body)
                    if time.monotonic() > end:  # on a busy loop, time-outs come late, and bytes before them
                        raise TimeoutError
        except TimeoutError:
            raise _TooMuch(f"The request did not arrive within {self._seconds:g} s.", 408) from None

    @staticmethod
    def _check(size: int, most: int) -> None:
        if size > most:
            raise _TooMuch(f"The request is larger than {most} bytes: make the experiment smaller.", 413)


def _announced(scope: Any) -> int | None:
    """The announced length of the body [bytes], `None` if it comes in chunks."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    return int(headers.get(b"content-length", b"0"))  # h11 lets nothing through but digits


async def _refuse(receive: Any, send: Any, answer: Answer) -> None:
    """Answer at once, and discard the rest of the body for a while.

    A connection that is closed while the other side is still sending is reset, and the answer may be lost with it.
    """
    await send_answer(send, answer, last=False)
    left = _AWAY
    try:
        async with asyncio.timeout(_LINGER):
            while left > 0 and (message := await receive())["type"] == "http.request":
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    break
    except TimeoutError:
        pass  # who has not read the answer by now does not want it
    await send({"type": "http.response.body", "body": b"", "more_body": False})
