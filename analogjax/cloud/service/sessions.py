"""Signed words of the service: sessions of users, and addresses that let whoever holds them read or write one file.

All are JSON web tokens (HS256), signed with a key that the database keeps, so they outlive a restart. Each names the
token, and the session if there was one, that it was made for, and is worth nothing once that token is revoked or that
session was logged out of.
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
    """A file that somebody may read or write."""

    caller: Caller
    experiment: str
    name: str


class Signer:
    """Makes and checks signed words."""

    def __init__(self, database: Database) -> None:
        self.database, self.key = database, _signing_key(database)

    def session(self, caller: Caller) -> str:
        """A new session of a caller."""
        claims = {"token": caller.token, "session": secrets.token_hex(16)}
        return self._sign({"use": "session", "exp": int(time.time()) + SESSION_SECONDS, **claims})

    def caller(self, text: str) -> Caller | None:
        """Who shows a session, or a token; `None` if it is neither, or no longer valid."""
        if text.startswith(PREFIX):
            return caller_by_token(self.database, text)
        word = self._read(text, "session")
        # sessions of an earlier version have no id by which they could be ended
        return None if word is None or word.get("session") is None else self._held_by(word)

    def end(self, text: str) -> None:
        """End a session; what is none, or no longer, needs no end."""
        word = self._read(text, "session")
        if word is None or word.get("session") is None:
            return
        # whoever ends it at the same moment does the same
        with suppress(sa.exc.IntegrityError), self.database.transaction() as session:
            session.execute(sa.delete(EndedSession).where(EndedSession.expires < time.time()))
            session.merge(EndedSession(id=str(word["session"]), expires=float(word["exp"])))

    def file(self, caller: Caller, verb: str, experiment: str, name: str) -> str:
        """What lets its holder `read` or `write` one file of an experiment for an hour, in the caller's stead."""
        claims = {"verb": verb, "experiment": experiment, "name": name}
        claims |= {"token": caller.token} | ({} if caller.session is None else {"session": caller.session})
        return self._sign({"use": "file", "exp": int(time.time()) + _FILE_SECONDS, **claims})

    def file_of(self, text: str, verb: str) -> Opened:
        """The file that `text` lets its holder read or write. Raises `Refused` (403) where it does not (any more)."""
        word = self._read(text, "file")
        caller = None if word is None or word.get("verb") != verb else self._held_by(word)
        if word is None or caller is None:
            raise Refused("This address is not valid, or no longer.", 403)
        return Opened(caller, str(word["experiment"]), str(word["name"]))

    def _held_by(self, word: dict[str, Any]) -> Caller | None:
        """Whose word it is; `None` once its token is revoked or expired, or its session has ended."""
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
