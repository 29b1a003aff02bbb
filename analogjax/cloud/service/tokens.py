"""Users and their tokens. A token is 256 random bits, shown once; only its SHA-256 is stored.

Because tokens are random, a slow hash is unnecessary: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from analogjax.cloud.errors import CloudError
from analogjax.cloud.service.tables import Database, Token, User

PREFIX = "ajx_"
_USED = 300.0  # [s] between two notes of a token's last use: each is a write
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Caller:
    """The user who makes a request, with the token used and the session, if any."""

    user: str
    name: str
    token: str
    session: str | None = None


def create_token(database: Database, user: str, label: str = "", days: float | None = None) -> tuple[str, Token]:
    """Create a token for `user`, who is created if necessary. Returns the token and its stored row. Raises
    `CloudError`.
    """
    if not _NAME.fullmatch(user):
        raise CloudError(f"The user name {user[:80]!r} is not one: letters, digits and . _ @ -, at most 64.")
    if len(label) > 200:
        raise CloudError("The label is too long: at most 200 characters.")
    if days is not None and not days > 0:
        raise CloudError(f"days={days}: a token needs more than 0 days to live.")
    text, now = PREFIX + secrets.token_urlsafe(32), time.time()
    with database.transaction() as session:
        owner = session.scalar(sa.select(User).where(User.name == user))
        if owner is None:
            owner = User(id=secrets.token_hex(8), name=user, created=now)
            session.add(owner)
            session.flush()
        made = Token(
            id=secrets.token_hex(4), user=owner.id, label=label, sha256=digest(text), created=now,
            expires=None if days is None else now + 86400 * days, revoked=None, used=None,
        )  # fmt: skip
        session.add(made)
    return text, made


def list_tokens(database: Database) -> list[tuple[str, Token]]:
    """All tokens with the names of their users, oldest first."""
    with database.reading() as session:
        rows = session.execute(sa.select(User.name, Token).join(User, Token.user == User.id).order_by(Token.created))
        return [(name, token) for name, token in rows]


def revoke_token(database: Database, token: str) -> Token:
    """Revoke the token of that id; its sessions end at once. Raises `CloudError`."""
    with database.transaction() as session:
        found = session.get(Token, token)
        if found is None:
            raise CloudError(f"There is no token {token!r}: `analogjax cloud token list` shows their ids.")
        found.revoked = found.revoked or time.time()
        return found


def any_token(database: Database) -> bool:
    """Whether any valid token exists."""
    with database.reading() as session:
        return any(_valid(token) for token in session.scalars(sa.select(Token)))


def caller_by_token(database: Database, text: str) -> Caller | None:
    """The owner of the token `text`; `None` if it is unknown or no longer valid."""
    with database.reading() as session:
        token = session.scalar(sa.select(Token).where(Token.sha256 == digest(text)))
        caller = _caller(session, token)
    if caller is not None and token is not None and time.time() - (token.used or 0.0) > _USED:
        with database.transaction() as session:
            session.execute(sa.update(Token).where(Token.id == token.id).values(used=time.time()))
    return caller


def caller_by_id(database: Database, token: str) -> Caller | None:
    """The owner of the token of that id; `None` if it is unknown or no longer valid."""
    with database.reading() as session:
        return _caller(session, session.get(Token, token))


def digest(text: str) -> str:
    """The stored hash of a secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _caller(session: Session, token: Token | None) -> Caller | None:
    if token is None or not _valid(token):
        return None
    user = session.get(User, token.user)
    return None if user is None or user.disabled is not None else Caller(user.id, user.name, token.id)


def _valid(token: Token) -> bool:
    return token.revoked is None and (token.expires is None or token.expires > time.time())
