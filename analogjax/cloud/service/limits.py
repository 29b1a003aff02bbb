"""What a client may not do to the service: send too much, too slowly, or never end.

`BodyLimit` bounds the size and the time of a request's body. `PatientProtocol` is uvicorn's own HTTP/1.1 protocol with
one thing added: a connection whose request's head does not arrive in time is closed (a slow loris).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class BodyLimit:
    """ASGI middleware: bodies over `size` bytes get 413, those that take over `seconds` get 408."""

    def __init__(self, app: Any, size: int, seconds: float) -> None:
        self.app, self.size, self.seconds = app, size, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection event stream."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.size:
            await _answer(send, 413, f"The request is larger than {self.size} bytes: make the experiment smaller.")
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self.seconds)
        except TimeoutError:
            await _answer(send, 408, f"The request did not arrive within {self.seconds:g} s.")
            return
        if body is None:
            await _answer(send, 413, f"The request is larger than {self.size} bytes: make the experiment smaller.")
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Any:
            return given.pop() if given else await receive()

        await self.app(scope, receive_again, send)

    async def _body(self, receive: Any) -> bytes | None:
        """The whole body; `None` if it is too large."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)
            size += len(message.get("body", b""))
            if size > self.size:
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)


async def _answer(send: Any, status: int, message: str) -> None:
    body = json.dumps({"message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, closing connections whose request's head takes longer than `seconds`."""

    class PatientProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:  # a head is complete
                self._unwatch()
            elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
                self._watch()  # the first bytes of a further request on a kept connection

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self._close)

        def _unwatch(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _close(self) -> None:
            self._deadline = None
            if not self.transport.is_closing():
                self.transport.close()

    return PatientProtocol
