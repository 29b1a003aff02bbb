"""Signed tokens of the service: sessions of users, and URLs that allow anyone who has them to read or write one file.

All are JSON web tokens (HS256), signed with a key stored in the database, so they survive a restart. Each names the
user's token, and the session if any, for which it was made, and becomes invalid once that token is revoked or that
session is logged out.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import jwt
import sqlalchemy as sa

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.tables import Database, EndedSession, Setting
from analogjax.cloud.service.tokens import PREFIX, Caller, caller_by_id, caller_by_token

SESSION_SECONDS = 7 * 86400  # aihwkit's client never asks for a new one
_FILE_SECONDS = 3600
_KEY = "signing_key"


@dataclass(frozen=True)
class Opened:
    """A file that may be read or written."""

    caller: Caller
    experiment: str
    name: str


class Signer:
    """Makes and checks signed tokens."""

    def __init__(self, database: Database) -> None:
        self.database, self.key = database, _signing_key(database)

    def session(self, caller: Caller) -> str:
        """Make a new session for a caller."""
        claims = {"token": caller.token, "session": secrets.token_hex(16)}
        return self._sign({"use": "session", "exp": int(time.time()) + SESSION_SECONDS, **claims})

    def caller(self, text: str) -> Caller | None:
        """The caller identified by a session or a token; `None` if it is neither, or no longer valid."""
        if text.startswith(PREFIX):
            return caller_by_token(self.database, text)
        word = self._read(text, "session")
        # sessions of an earlier version have no id by which they could be ended
        return None if word is None or word.get("session") is None else self._held_by(word)

    def end(self, text: str) -> None:
        """End a session; anything else, or an expired one, is ignored."""
        word = self._read(text, "session")
        if word is None or word.get("session") is None:
            return
        # another request may have ended it at the same moment
        with suppress(sa.exc.IntegrityError), self.database.transaction() as session:
            session.execute(sa.delete(EndedSession).where(EndedSession.expires < time.time()))
            session.merge(EndedSession(id=str(word["session"]), expires=float(word["exp"])))

    def file(self, caller: Caller, verb: str, experiment: str, name: str) -> str:
        """A signed token with which one file of an experiment can be read or written for an hour, on behalf of the
        caller.
        """
        claims = {"verb": verb, "experiment": experiment, "name": name}
        claims |= {"token": caller.token} | ({} if caller.session is None else {"session": caller.session})
        return self._sign({"use": "file", "exp": int(time.time()) + _FILE_SECONDS, **claims})

    def file_of(self, text: str, verb: str) -> Opened:
        """The file that a signed token gives access to. Raises `Refused` (403) if it gives none, or no longer."""
        word = self._read(text, "file")
        caller = None if word is None or word.get("verb") != verb else self._held_by(word)
        if word is None or caller is None:
            raise Refused("This address is not valid, or no longer.", 403)
        return Opened(caller, str(word["experiment"]), str(word["name"]))

    def _held_by(self, word: dict[str, Any]) -> Caller | None:
        """The caller a signed token was made for; `None` once the user's token is revoked or expired, or the session
        has ended.
        """
        ended = word.get("session")
        with self.database.reading() as session:
            if ended is not None and session.get(EndedSession, str(ended)) is not None:
                return None
        caller = caller_by_id(self.database, str(word.get("token")))
        return None if caller is None else replace(caller, session=ended)

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
