"""A backup of a service: one file with all records and all files, taken while the service runs.

It is a tar of the tables as JSON lines, then the files of the store, and last a list with the checksum of each. Records
are those of one moment. Files are read after it: results never change once they are written, and an experiment that
was running is resumed after a restore, from a checkpoint that is whole. SQLite and PostgreSQL have the same backups, so
that one can become the other.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from analogjax.cloud.errors import CloudError
from analogjax.cloud.service.tables import Database
from analogjax.store import Location, NotFound

_FORMAT, _LIST = "analogjax-backup-1", "backup.json"
_TABLES, _STORE = "tables/", "store/"
_AT_ONCE = 1000  # rows


def back_up(database: Database, store: Location, file: Path) -> int:
    """Write a backup; returns the number of files of the store in it. Raises `CloudError`, `StoreError`.

    The file appears when it is whole. It has the key that signs sessions, so only its owner may read it.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            number = _write(database, store, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError as error:
        raise CloudError(f"{file} can't be written ({error.strerror}).") from None
    finally:
        part.unlink(missing_ok=True)
    return number


def _write(database: Database, store: Location, stream: IO[bytes]) -> int:
    sums: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="w") as tar:
        revision = _dump(database, tar, sums)
        entries = store.list()
        for entry in entries:
            try:
                content = store.read(entry.name)
            except NotFound:  # deleted meanwhile
                continue
            _add(tar, f"{_STORE}{entry.name}", io.BytesIO(content), len(content), sums)
        listed = json.dumps({"format": _FORMAT, "revision": revision, "sha256": sums}).encode()
        _add(tar, _LIST, io.BytesIO(listed), len(listed), {})
    return sum(name.startswith(_STORE) for name in sums)


def _dump(database: Database, tar: tarfile.TarFile, sums: dict[str, str]) -> str:
    """Write all tables as they are at one moment; returns their revision."""
    isolation = {} if database.sqlite else {"isolation_level": "REPEATABLE READ"}
    meta = sa.MetaData()
    with database.engine.connect().execution_options(reading=True, **isolation) as connection:
        meta.reflect(connection)
        for table in meta.sorted_tables:
            with tempfile.TemporaryFile() as rows:
                for row in connection.execute(sa.select(table)).mappings():
                    rows.write(json.dumps(dict(row)).encode() + b"\n")
                size = rows.tell()
                rows.seek(0)
                _add(tar, f"{_TABLES}{table.name}.jsonl", rows, size, sums)
        return str(connection.scalar(sa.select(meta.tables["alembic_version"].c.version_num)))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int, sums: dict[str, str]) -> None:
    sums[name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    content.seek(0)
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o600
    tar.addfile(about, content)


def restore(database: Database, store: Location, file: Path) -> int:
    """Bring a new service to the state of a backup; returns the number of files of the store.

    Everything is checked before anything is written. Raises `CloudError` for a damaged backup, or a database or store
    that has been used.
    """
    try:
        listed = _checked(file)
        _need_empty(database, store)
        number = 0
        with tarfile.open(file) as tar:
            for about in tar:
                if about.name.startswith(_STORE):
                    store.write(about.name.removeprefix(_STORE), _content(tar, about).read())
                    number += 1
            _fill(database, tar, listed["revision"])
    except (tarfile.TarError, EOFError) as error:
        raise CloudError(f"{file} is damaged, or no backup of a service ({error}).") from None
    except OSError as error:
        raise CloudError(f"{file} can't be read ({error.strerror or error}).") from None
    return number


def _checked(file: Path) -> dict[str, Any]:
    """The list of a backup, all of whose parts are whole. Raises `CloudError`."""
    listed, sums = None, {}
    with tarfile.open(file) as tar:
        for about in tar:
            content = _content(tar, about)
            if about.name == _LIST:
                listed = json.loads(content.read())
            else:
                sums[about.name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    if not isinstance(listed, dict) or listed.get("format") != _FORMAT or listed["sha256"] != sums:
        raise CloudError(f"{file} is damaged, or no backup of a service: give another one.")
    return listed


def _content(tar: tarfile.TarFile, about: tarfile.TarInfo) -> IO[bytes]:
    found = tar.extractfile(about)
    if found is None:
        raise tarfile.TarError(f"{about.name} is no file")
    return found


def _need_empty(database: Database, store: Location) -> None:
    with database.engine.connect() as connection:
        used = sa.inspect(connection).get_table_names()
    if used or store.list():
        raise CloudError(
            f"The database {database.shown} or the store {store} has been used: give a new --home (and --store)."
        )


def _fill(database: Database, tar: tarfile.TarFile, revision: str) -> None:
    """Make the tables as the backup has them, fill them, and bring them up to date."""
    database.migrate(revision)
    meta = sa.MetaData()
    with database.engine.begin() as connection:
        meta.reflect(connection)
        for table in meta.sorted_tables:
            if table.name != "alembic_version":
                for rows in _rows(_content(tar, tar.getmember(f"{_TABLES}{table.name}.jsonl"))):
                    connection.execute(sa.insert(table), rows)
    database.migrate()


def _rows(lines: IO[bytes]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for line in lines:
        some.append(json.loads(line))
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some
