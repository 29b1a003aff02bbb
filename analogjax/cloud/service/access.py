"""Access to the service: callers, security headers, structured logs, metrics of requests."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.concurrency import run_in_threadpool

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.answers import answer_to, send_answer
from analogjax.cloud.service.sessions import Signer
from analogjax.cloud.service.tokens import Caller

COOKIE = "analogjax_session"
FRESH = 1.0  # [s] in which who was asked for credentials before the body is not asked again after it
_GONE = 499  # the status, in log and metrics, of a request that nobody waited for
log = logging.getLogger("analogjax.cloud.access")
_bearer = HTTPBearer(auto_error=False, description="A session (from /token/login), or a token itself.")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="The page's session.")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]


async def caller(
    request: Request,
    bearer: Annotated[Any, Depends(_bearer)] = None,
    cookie: Annotated[str | None, Depends(_cookie)] = None,
) -> Caller:
    """Authenticate the request. Raises `Refused` (401, 403)."""
    known, since = getattr(request.state, "known", (None, 0.0))
    if known is not None and time.monotonic() - since < FRESH:
        return known
    word = None if bearer is None else bearer.credentials
    return await run_in_threadpool(caller_of, request.app.state.signer, request, word, cookie)


def caller_of(signer: Signer, request: Request, bearer: str | None, cookie: str | None) -> Caller:
    """Authenticate these credentials. Raises `Refused` (401, 403)."""
    if bearer is not None:
        found = signer.caller(bearer)
    elif cookie is not None:
        # the page's own requests carry this header, which no form or link of another site can
        if request.method not in ("GET", "HEAD") and request.headers.get("x-requested-with") != "analogjax":
            raise Refused("A request with the page's session needs the header X-Requested-With: analogjax.", 403)
        found = signer.caller(cookie)
    else:
        raise Refused("Not logged in: send Authorization: Bearer <token>.", 401)
    if found is None:
        what = "session has ended: log in again." if (bearer or cookie or "").count(".") == 2 else "token is not valid."
        raise Refused(f"The {what} A token may be mistyped, revoked or expired, or its user disabled.", 401)
    request.state.user, request.state.known = found.name, (found, time.monotonic())
    return found


CallerIs = Annotated[Caller, Depends(caller)]


class Watch:
    """ASGI middleware: adds security headers, answers if nothing else did, writes one log line per request, counts and
    times.
    """

    def __init__(self, app: Any, metrics: Any) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), _GONE

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                known = {name for name, _ in message["headers"]}
                page = scope["path"] == "/docs"  # FastAPI's own page has its script inside
                extra = [
                    (n, v) for n, v in _HEADERS if n not in known and not (page and n == b"content-security-policy")
                ]
                message = message | {"headers": [*message["headers"], *extra]}
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if status != _GONE:  # the answer has begun: it can only be broken off
                raise
            await send_answer(watched, answer_to(error))
        finally:
            self._tell(scope, status, time.perf_counter() - begun)

    def _tell(self, scope: Any, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        self.metrics.request(scope["method"], route, status, seconds)
        log.info("request", extra={
            "method": scope["method"][:20], "path": shown_path(scope["path"]), "status": status,
            "ms": round(1000 * seconds, 2), "user": scope.get("state", {}).get("user"),
            "client": (scope.get("client") or ("?",))[0],
        })  # fmt: skip


def shown_path(path: str) -> str:
    """A path as it may be logged, without anything that gives access to a file."""
    return re.sub(r"^/files/.*", "/files/***", path)[:300]


class JsonLines(logging.Formatter):
    """One JSON object for each line of the log."""

    _usual = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        entry |= {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry |= {name: value for name, value in vars(record).items() if name not in self._usual and value is not None}
        if record.exc_info:
            entry["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(entry, default=str)


def log_as_json() -> None:
    """Write the logs of the service, and of uvicorn, to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("analogjax.cloud", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").handlers = []
    logging.getLogger("uvicorn.error").propagate = True
