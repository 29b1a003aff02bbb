"""The database of the service, as tables of SQLite or PostgreSQL. Times are seconds since 1970 (UTC)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from analogjax.cloud.errors import CloudError

_BUSY = 10_000  # [ms] that a writer waits for another one: those who wait occupy threads that readers need


class Base(DeclarativeBase):
    """Base class of the tables."""

    type_annotation_map = {float: sa.Double, str: sa.Text}  # noqa: RUF012 - SQLAlchemy's own form


class User(Base):
    """A person, or a program, that owns experiments."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created: Mapped[float]
    disabled: Mapped[float | None]  # since when none of their tokens is valid


class Token(Base):
    """A token of a user, without the token itself."""

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(sa.ForeignKey("users.id"), index=True)
    label: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    created: Mapped[float]
    expires: Mapped[float | None]
    revoked: Mapped[float | None]
    used: Mapped[float | None]


class Experiment(Base):
    """An experiment and its job, which are one: a job is never shared."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(sa.ForeignKey("users.id"))
    name: Mapped[str]
    category: Mapped[str]  # train, inference
    device: Mapped[str]
    created: Mapped[float]
    description: Mapped[str | None]  # JSON text; None until its input is there
    has_payload: Mapped[bool]  # whether the input came as protobuf, which is kept
    status: Mapped[str]  # draft, waiting, running, completed, failed, cancelled
    reason: Mapped[str | None]  # why it failed or was cancelled
    epochs_planned: Mapped[int]
    queued: Mapped[float | None]  # when it was submitted
    not_before: Mapped[float]  # a retry waits until then
    started: Mapped[float | None]  # first sign of life of its first attempt
    ended: Mapped[float | None]
    attempt: Mapped[int]  # number of the current attempt, 0: none yet. It fences off all earlier ones
    dispatched: Mapped[bool]  # whether the current attempt was given to the engine
    lease: Mapped[float | None]  # changes with each sign of life; it is given up when that ceases for a while
    alive: Mapped[float | None]  # last sign of life
    secret: Mapped[str | None]  # SHA-256 of what the current attempt's worker proves itself with
    stalled: Mapped[int]  # attempts that ended without an epoch more than before
    reached: Mapped[int]  # epochs that were done when the current attempt began
    cancelling: Mapped[bool]
    dataset: Mapped[str | None]
    tags: Mapped[str] = mapped_column(default="[]")  # JSON list of words
    notes: Mapped[str] = mapped_column(default="")
    epochs_done: Mapped[int] = mapped_column(default=0)  # this and the next two follow from the epochs, to sort by
    accuracy: Mapped[float | None]  # of the last epoch
    epoch_seconds: Mapped[float | None]  # how long the last epoch took
    stored: Mapped[int] = mapped_column(sa.BigInteger, default=0)  # bytes in the store, as last counted
    told: Mapped[bool] = mapped_column(default=False)  # whether the webhook knows of its end
    tidied: Mapped[bool] = mapped_column(default=False)  # whether what it no longer needs was removed after its end
    __table_args__ = (sa.Index("experiments_of", "user", "created"), sa.Index("experiments_by_status", "status"))


class Epoch(Base):
    """Metrics of one epoch, as they come."""

    __tablename__ = "epochs"
    experiment: Mapped[str] = mapped_column(sa.ForeignKey("experiments.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    metrics: Mapped[str]  # JSON text


class Share(Base):
    """Permission for a user to read an experiment of another one."""

    __tablename__ = "shares"
    experiment: Mapped[str] = mapped_column(sa.ForeignKey("experiments.id"), primary_key=True)
    user: Mapped[str] = mapped_column(sa.ForeignKey("users.id"), primary_key=True, index=True)


class Discarded(Base):
    """A deleted experiment whose files are still to be removed. Until then its id can't be used again."""

    __tablename__ = "discarded"
    id: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int]  # how many it had: their logs are named by number


class EndedSession(Base):
    """A session that was logged out, kept until it would have expired anyway."""

    __tablename__ = "ended_sessions"
    id: Mapped[str] = mapped_column(primary_key=True)
    expires: Mapped[float]


class Setting(Base):
    """Values of the service itself, such as the key that signs sessions."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Database:
    """The service's database; `transaction` is the only way in."""

    def __init__(self, url: str) -> None:
        """Prepare the database without connecting. Raises `CloudError` for a URL of another kind of database."""
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise CloudError("The database is no URL: give sqlite:///FILE or postgresql+psycopg://…") from None
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise CloudError(f"The database {parsed.get_backend_name()} is not known: give sqlite:/// or postgresql://")
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")  # the maintained driver
        self.url, self.sqlite = parsed, parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = (
            {"connect_args": {"timeout": _BUSY / 1000}} if self.sqlite else {"pool_pre_ping": True}
        )
        self.engine = sa.create_engine(parsed, pool_size=20, max_overflow=40, pool_timeout=60, **options)
        # SQLite's own way to wait for another writer is to sleep and look again: a lock wakes the next one at once
        self._turn = threading.Lock()
        if self.sqlite:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_immediate)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose changes are committed together at the end, or not at all. One writer at a time on SQLite."""
        with self._in_turn(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self.sqlite:
            yield
            return
        if not self._turn.acquire(timeout=_BUSY / 1000):
            raise sa.exc.TimeoutError("Another writer holds the database.")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read-only session, which on SQLite does not wait for a writer."""
        with Session(self.engine.execution_options(reading=True)) as session:
            yield session

    def migrate(self, revision: str = "head") -> None:
        """Migrate the tables to this version, or up to `revision`. Raises `CloudError` if a newer version made them."""
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = self.engine
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise CloudError(
                f"The database {self.shown} was made by a newer analogjax ({error}): upgrade, or use another one."
            ) from error
        except sa.exc.OperationalError as error:
            raise CloudError(f"The database {self.shown} can't be used: {error.orig}. Check the URL.") from None

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # Python's own BEGIN would come too late, and as a reader's
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    # a reader that turns into a writer can't wait for another writer, it fails: so writers begin as such
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
