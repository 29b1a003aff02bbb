"""An HTTP proxy before a store that fails on demand, on the wire: what clients see is what a bad network does.

    with FaultProxy(server.url) as proxy:
        proxy.rule("status", code=503, method="PUT", path="/bucket/a", count=2)
        ...                                        # the third PUT gets through
        assert proxy.count("PUT", "/bucket/a") == 3

The first rule that fits a request applies to it. Each connection carries one request.
"""

import asyncio
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

KINDS = "status reset cut_up cut_down lost_ack delay stall truncate corrupt_up corrupt_down".split()
_REASONS = {
    403: "AccessDenied",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass
class Rule:
    """What to do to requests that fit: after `skip` of them, to `count` of them (`None`: all)."""

    kind: str
    method: str
    path: str
    count: int | None
    skip: int
    options: dict[str, Any] = field(default_factory=dict)

    def takes(self, method: str, path: str) -> bool:
        """Whether the rule applies to this request; counts it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, path) or self.count == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.count = None if self.count is None else self.count - 1
        return True


class FaultProxy:
    """A proxy to the store at `upstream`; a context manager.

    `log` holds (method, path with query) of each request, `answers` the same with the first line of what was answered.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.log: list[tuple[str, str]] = []
        self.answers: list[tuple[str, str, str]] = []
        self._rules: list[Rule] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def rule(self, kind: str, *, method=".*", path="", count: int | None = None, skip: int = 0, **options: Any) -> Rule:
        """Adds a rule. `path` is a regular expression to be found in the path and query.

        status: code, reason (S3's word for it). cut_up, cut_down: after (bytes of the body). delay: seconds.
        corrupt_up, corrupt_down: at (the byte of the body to flip; else the middle one). truncate: by (bytes), with
        a Content-Length to match.
        """
        assert kind in KINDS, kind
        self._rules.append(Rule(kind, method, path, count, skip, options))
        return self._rules[-1]

    def clear(self) -> None:
        """Forgets the rules and the log."""
        self._rules.clear()
        self.log.clear()
        self.answers.clear()

    def count(self, method: str = ".*", path: str = "") -> int:
        """How many requests fitted."""
        return sum(bool(re.fullmatch(method, one) and re.search(path, where)) for one, where in list(self.log))

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._request(reader, writer)
            await writer.drain()
            writer.close()
        except (OSError, EOFError, asyncio.CancelledError):  # the client went away, a rule says so, or we are closed
            _reset(writer)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self.log.append((method, path))
        rule = next((rule for rule in self._rules if rule.takes(method, path)), None)
        kind, options = (rule.kind, rule.options) if rule else ("", {})
        if b"100-continue" in head.lower():  # else client and proxy wait for each other for ever
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if kind == "cut_up":
            await reader.readexactly(options["after"])
            raise ConnectionResetError
        body = await _body(reader, head)
        if kind == "delay":
            await asyncio.sleep(options["seconds"])
        if kind == "stall":
            await asyncio.sleep(3600)
        if kind == "reset":
            raise ConnectionResetError
        if kind == "status":
            code = options["code"]
            writer.write(_failure(code, options.get("reason") or _REASONS[code], method, path))
            return
        if kind == "corrupt_up":
            body = _flipped(body, options)
        head, body = await self._forward(head, body)
        self.answers.append((method, path, head.split(b"\r\n", 1)[0].decode("latin-1")))
        if kind == "lost_ack":
            raise ConnectionResetError
        await _answer(writer, head, body, kind, options)

    async def _forward(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(self.upstream.hostname, self.upstream.port)
        try:
            # `Host` stays: the signature covers it, and the emulator makes the addresses of uploads from it
            writer.write(_without(head, "Connection|Expect") + b"Connection: close\r\n\r\n" + body)
            answer = await reader.read()
        finally:
            writer.close()
        start, _, rest = answer.partition(b"\r\n\r\n")
        return _without(start + b"\r\n\r\n", "Connection") + b"Connection: close\r\n\r\n", rest


async def _answer(writer: asyncio.StreamWriter, head: bytes, body: bytes, kind: str, options: dict[str, Any]) -> None:
    if kind == "corrupt_down":
        body = _flipped(body, options)
    if kind == "truncate":
        body = body[: -options.get("by", 1)]
        head = _without(head, "Content-Length") + f"Content-Length: {len(body)}\r\n\r\n".encode()
    writer.write(head + (body[: options["after"]] if kind == "cut_down" else body))
    if kind == "cut_down":
        await writer.drain()
        await asyncio.sleep(0.05)  # a reset overtakes what it finds in the buffers
        raise ConnectionResetError


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if length:
        return await reader.readexactly(int(length[1]))
    if b"\r\ntransfer-encoding: chunked" not in head.lower():
        return b""
    return await reader.readuntil(b"\r\n0\r\n\r\n")


def _without(head: bytes, names: str) -> bytes:
    """The head without some fields and without the empty line at its end."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in lines if not re.match(rb"(?i)(?:" + names.encode() + rb"):", line)]
    return b"\r\n".join(kept) + b"\r\n"


def _flipped(body: bytes, options: dict[str, Any]) -> bytes:
    at = options.get("at", len(body) // 2)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def _failure(code: int, reason: str, method: str, path: str) -> bytes:
    if re.match("/(upload/|download/)?storage/v1/", path):
        body = json.dumps({"error": {"code": code, "message": reason}})
    else:
        body = f"<?xml version='1.0'?><Error><Code>{reason}</Code><Message>{reason}</Message></Error>"
    body = "" if method == "HEAD" else body
    return f"HTTP/1.1 {code} {reason}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
