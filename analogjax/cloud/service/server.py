"""Starting a service: its folder, its lock, its database, its address."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from analogjax.cloud.credentials import is_loopback
from analogjax.cloud.errors import CloudError
from analogjax.cloud.service.possession import possession
from analogjax.cloud.service.settings import Settings
from analogjax.cloud.service.tables import Database
from analogjax.cloud.service.tokens import any_token


def new_database(settings: Settings) -> Database:
    """The database of a service, as it is: without tables, if the service is new. Raises `CloudError`."""
    _make_private(settings)
    return Database(settings.database_url)


def open_database(settings: Settings) -> Database:
    """Open the database of a service and migrate it. Raises `CloudError`."""
    database = new_database(settings)
    try:
        database.migrate()
    except BaseException:
        database.close()
        raise
    return database


def serve(settings: Settings) -> None:
    """Run the service until it is asked to stop. Raises `CloudError` if it can't be run with these settings."""
    with closing(open_database(settings)) as database:
        _serve(settings, database)


def _serve(settings: Settings, database: Database) -> None:
    import uvicorn

    from analogjax.cloud.service.access import log_as_json
    from analogjax.cloud.service.application import create_app
    from analogjax.cloud.service.limits import patient_protocol

    if not any_token(database):
        if not is_loopback(settings.host):
            raise CloudError(
                f"There is no token, and {settings.host} is not an address of this machine alone: nobody could be kept "
                "out. Make one first: analogjax cloud token create NAME"
            )
        print("There is no token yet. Make one: analogjax cloud token create NAME", file=sys.stderr)
    with _only_one(settings), possession(database, settings.location()), _bound(settings) as listener:
        app = create_app(settings, database)
        log_as_json()
        print(
            f"analogjax serves on http://{settings.host}:{settings.port}  (Ctrl-C stops it)",
            file=sys.stderr,
            flush=True,
        )
        config = uvicorn.Config(
            app, http=patient_protocol(settings.header_seconds), ws="none", access_log=False, log_config=None,
            server_header=False, proxy_headers=False, timeout_keep_alive=15, timeout_graceful_shutdown=10,
            limit_concurrency=settings.connections, backlog=2048,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def _make_private(settings: Settings) -> None:
    """Create the folder of the service, readable by its owner only: it contains secrets that give access to
    experiments.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        os.chmod(settings.home, 0o700)
    except OSError as error:
        raise CloudError(
            f"The folder {settings.home} can't be used ({error.strerror}): give another with --home."
        ) from error


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Lock the folder: two services on one folder would run everything twice."""
    import fcntl

    with open(settings.home / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CloudError(
                f"Another analogjax serve uses {settings.home}: stop it, or give another --home."
            ) from None
        yield


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host.strip("[]"), settings.port))
        except OSError as error:
            raise CloudError(
                f"{settings.host}:{settings.port} can't be used ({error.strerror}): give another --host or --port."
            ) from error
        yield listener
