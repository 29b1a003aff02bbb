"""Who may send a body: decided from the head of a request, before its body is read."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param

from analogjax.cloud.artefacts import ID
from analogjax.cloud.service.access import COOKIE, caller_of
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.sessions import Signer

_OPEN = {("POST", "/token/login"), ("POST", "/api/v1/session"), ("DELETE", "/api/v1/session")}
_READING = ("GET", "HEAD", "OPTIONS")
_FILE = re.compile(r"/files/([^/]+)")
_WORKER = re.compile(rf"/workers/v1/experiments/({ID.pattern})/attempts/([0-9]{{1,9}})/(beat|end)")


class Door:
    """Identifies senders."""

    def __init__(self, signer: Signer, ledger: Ledger) -> None:
        self._signer, self._ledger = signer, ledger

    def sender(self, scope: Any) -> str | None:
        """The sender of a body; `None` if no identification is required, for which a small body is enough.

        Queries the database. Raises `Refused` (401, 403, 404, 409) if identification is required and fails.
        """
        request = Request(scope)
        method, path = request.method, scope["path"]
        if method in _READING or (method, path) in _OPEN:
            return None
        scheme, word = get_authorization_scheme_param(request.headers.get("authorization"))
        bearer = word if scheme.lower() == "bearer" and word else None
        if found := _FILE.fullmatch(path):
            return self._signer.file_of(found[1], "write").caller.user
        if found := _WORKER.fullmatch(path):
            self._ledger.check_worker(found[1], int(found[2]), bearer or "")
            return f"worker of {found[1]}"
        return caller_of(self._signer, request, bearer, request.cookies.get(COOKIE)).user
