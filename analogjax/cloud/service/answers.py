"""How the service answers when it refuses or fails: always `{"message": …}`, in every part of it."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from analogjax.cloud.errors import Refused

log = logging.getLogger("analogjax.cloud")


@dataclass(frozen=True)
class Answer:
    """A refusal, or an internal failure."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The body, as JSON in UTF-8."""
        return json.dumps({"message": self.message}).encode()


def answer_to(error: Exception) -> Answer:
    """The answer to a client for an exception. Anything but a refusal is logged in full; the client gets its number in
    the log.
    """
    if isinstance(error, Refused):
        headers = {"Retry-After": "5"} if error.status in (429, 503) else {}
        headers |= {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return Answer(error.status, str(error), headers)
    if isinstance(error, (sa.exc.OperationalError, sa.exc.TimeoutError)):
        log.error("database: %s", error)
        return Answer(503, "The database does not answer now: try again later.", {"Retry-After": "5"})
    number = secrets.token_hex(4)
    log.error("internal error %s", number, exc_info=error)
    return Answer(500, f"Internal error, logged as number {number}: report it to the operator of the service.")


async def send_answer(send: Any, answer: Answer, *, last: bool = True) -> None:
    """Send it over ASGI. Unless it is the `last` message, the connection stays open until an empty body follows."""
    headers = {"content-type": "application/json", "content-length": str(len(answer.body)), "connection": "close"}
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers | dict(answer.headers)).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body, "more_body": not last})
