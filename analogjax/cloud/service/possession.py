"""One service for each database at a time, and one store: two would run everything, and miss each other's files.

The database has an id, which is also in the store's file `service.json`. So a store can be moved or restored with its
files, while a wrong one is refused.
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from analogjax.cloud.errors import CloudError
from analogjax.cloud.service.tables import Database, Setting
from analogjax.store import Location, NotFound

MARK = "service.json"
_ID, _MARKED = "service_id", "store_marked"
_LOCK = 0x616A78  # number of the advisory lock in PostgreSQL


@contextmanager
def possession(database: Database, store: Location) -> Iterator[None]:
    """Hold the database and its store. Raises `CloudError` if another service has them, or if they don't match."""
    with _alone(database):
        _match(database, store)
        yield


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Hold a lock that ends with this process, whatever ends it."""
    taken = CloudError(
        f"Another analogjax serve uses the database {database.shown}: stop it, or give another with --database."
    )
    if not database.sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()  # closed at the end, which ends the lock; the pool would keep both
            if not connection.scalar(sa.text(f"SELECT pg_try_advisory_lock({_LOCK})")):
                raise taken
            yield
        return
    with open(f"{database.url.database}.lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise taken from None
        yield


def _match(database: Database, store: Location) -> None:
    """Check that the store is the database's, or make it so if neither has been used."""
    id = _setting(database, _ID, secrets.token_hex(8))
    try:
        found = json.loads(store.read(MARK)).get("service")
    except NotFound:
        found = None
    except (ValueError, AttributeError):
        raise CloudError(f"{store}/{MARK} is damaged: restore it from a backup, or give another --store.") from None
    if found is None and not _setting(database, _MARKED):
        store.write(MARK, json.dumps({"service": id}).encode())
        found = id
    if found != id:
        why = "has no files of this service" if found is None else "belongs to another service"
        raise CloudError(
            f"The store {store} {why} (database {database.shown}): give a --store and --database that belong together. "
            f"A store is moved by copying all of its files, {MARK} too."
        )
    _setting(database, _MARKED, "yes")


def _setting(database: Database, name: str, made: str | None = None) -> str | None:
    """The value of a setting, which is `made` if there is none."""
    with database.transaction() as session:
        found = session.get(Setting, name)
        if found is None and made is not None:
            session.add(Setting(name=name, value=made))
        return made if found is None else found.value
