"""Signed words of the service: sessions of users, and addresses that let whoever holds them read or write one file.

All are JSON web tokens (HS256), signed with a key that the database keeps, so they outlive a restart. A session names
the token that it was begun with, and is worth nothing once that token is revoked.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import jwt
import sqlalchemy as sa

from analogjax.cloud.service.tables import Database, Setting
from analogjax.cloud.service.tokens import PREFIX, Caller, caller_by_id, caller_by_token

SESSION_SECONDS = 7 * 86400  # aihwkit's client never asks for a new one
_FILE_SECONDS = 3600
_KEY = "signing_key"


class Signer:
    """Makes and checks signed words."""

    def __init__(self, database: Database) -> None:
        self.database, self.key = database, _signing_key(database)

    def session(self, caller: Caller) -> str:
        """The session of a caller."""
        return self._sign({"use": "session", "token": caller.token, "exp": int(time.time()) + SESSION_SECONDS})

    def caller(self, text: str) -> Caller | None:
        """Who shows a session, or a token; `None` if it is neither, or no longer valid."""
        if text.startswith(PREFIX):
            return caller_by_token(self.database, text)
        word = self._read(text, "session")
        return None if word is None else caller_by_id(self.database, str(word.get("token")))

    def file(self, verb: str, experiment: str, name: str) -> str:
        """What lets its holder `read` or `write` one file of an experiment for an hour."""
        claims = {"verb": verb, "experiment": experiment, "name": name}
        return self._sign({"use": "file", "exp": int(time.time()) + _FILE_SECONDS, **claims})

    def file_of(self, text: str, verb: str) -> tuple[str, str] | None:
        """Experiment and name of the file that `text` lets its holder read or write; `None` if it does not."""
        word = self._read(text, "file")
        return None if word is None or word.get("verb") != verb else (str(word["experiment"]), str(word["name"]))

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, algorithm="HS256")

    def _read(self, text: str, use: str) -> dict[str, Any] | None:
        try:
            word = jwt.decode(text, self.key, algorithms=["HS256"], options={"require": ["exp"]})
        except (jwt.InvalidTokenError, ValueError):
            return None
        return word if word.get("use") == use else None


def _signing_key(database: Database) -> str:
    with database.transaction() as session:
        kept = session.scalar(sa.select(Setting).where(Setting.name == _KEY))
        if kept is None:
            kept = Setting(name=_KEY, value=secrets.token_hex(32))
            session.add(kept)
        return kept.value
