"""Limits of a connection: how slowly a request may begin, and how small the chunks of its body may be.

`patient_protocol` is uvicorn's own HTTP/1.1 protocol with a few additions. A connection is closed if the head of its
request does not arrive in time (a slow loris). Little is read at a time, and no more of a body before it is requested,
so that no connection occupies the event loop for long. Chunks must not be tiny: h11 parses each of them in Python,
which takes longer than sending it. A parser in C would only shift that limit, and be one more package; a bound on the
chunks works with any parser. Refusals by uvicorn itself are sent in the format of the service.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from analogjax.cloud.service.answers import Answer

_READ = 16 * 1024  # [bytes] taken from a connection at a time
_CHUNKS, _MEAN_CHUNK = 256, 64  # chunks of any size in one body; beyond them, the least mean size [bytes]


class Counted:
    """An h11 connection that treats a body in tiny chunks as an error."""

    def __init__(self, connection: h11.Connection) -> None:
        self._connection = connection
        self._chunks = self._content = 0  # of the body that is being read
        self.refusal: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def next_event(self) -> Any:
        """Return the next event. Raises `h11.RemoteProtocolError`, with the reason in `refusal`."""
        try:
            event = self._connection.next_event()
        except ValueError:  # digits enough for Python to refuse them
            raise h11.RemoteProtocolError("a number of too many digits") from None
        if isinstance(event, h11.Request):
            self._chunks = self._content = 0
        elif isinstance(event, h11.Data):
            self._content += len(event.data)
            self._chunks += event.chunk_start
            if self._chunks > _CHUNKS + self._content // _MEAN_CHUNK:
                self.refusal = f"The body comes in chunks of less than {_MEAN_CHUNK} bytes: send larger ones."
                raise h11.RemoteProtocolError(self.refusal)
        return event


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, closing connections whose request head takes longer than `seconds`."""

    # as a BufferedProtocol it decides itself how much is read at a time
    class PatientProtocol(H11Protocol, asyncio.BufferedProtocol):
        _deadline: asyncio.TimerHandle | None = None

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.conn = Counted(self.conn)  # type: ignore[assignment]
            self._space = bytearray(_READ)
            # uvicorn would answer in plain text, and the application would not know
            self._most, self.limit_concurrency = self.limit_concurrency, None
            self._application, self.app = self.app, self._tell_if_crowded

        async def _tell_if_crowded(self, scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["crowded"] = self._most is not None and len(self.connections) >= self._most
            await self._application(scope, receive, send)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self._space

        def buffer_updated(self, nbytes: int) -> None:
            self.data_received(bytes(self._space[:nbytes]))

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:  # a head is complete
                self._unwatch()
                if self.cycle.more_body:
                    self.flow.pause_reading()  # until somebody asks for the body
            elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
                self._watch()  # the first bytes of a further request on a kept connection

        def send_400_response(self, msg: str) -> None:
            why = self.conn.refusal or "This is no request in HTTP/1.1."  # type: ignore[attr-defined]
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else it has its answer
                body = Answer(400, why).body
                headers = [("content-type", "application/json"), ("content-length", str(len(body))),
                           ("connection", "close")]  # fmt: skip
                for event in (
                    h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(data=body),
                    h11.EndOfMessage(),
                ):  # fmt: skip
                    self.transport.write(self.conn.send(event))
            self.transport.close()

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
