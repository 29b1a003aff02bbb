"""`analogjax serve`, and `analogjax cloud`, which creates tokens and controls experiments of a service."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analogjax.cloud.admin import add_admin_commands
from analogjax.cloud.executors import EXECUTORS
from analogjax.cloud.places import DEFAULT_PORT, DEFAULT_URL, default_home
from analogjax.cloud.quota import Limits
from analogjax.errors import ConfigError, MissingPackage

_SERVE = """\
Run the service for CloudRunner: a queue of experiments, their results, and a page to watch them.

  analogjax serve                          on http://127.0.0.1:8642, experiments run on this machine
  analogjax cloud token create ada         a token for the user ada, shown once
  analogjax serve --executor ray --ray-address http://127.0.0.1:8265
  analogjax serve --executor slurm --home /shared/analogjax --host 0.0.0.0 --worker-url http://head:8642

Records are kept in SQLite or the given --database, files in the folder or bucket given by --store. Workers on other
machines need access to the store and to the service. If others can reach the address, put a proxy with TLS before it.
"""
_LIMITS = Limits()
# settings of the engines by name: one flag for a setting that several share
_ENGINES = {one.name: one for kind in EXECUTORS.values() for one in fields(kind)}
_BOUNDS = {
    "port": (1, 65535), "max_queued": (1, 10**9), "max_attempts": (1, 10**6), "checkpoint_every_steps": (0, 10**9),
} | {name: one.metadata["bounds"] for name, one in _ENGINES.items() if one.metadata["bounds"]}  # fmt: skip
_LEAST_SHARE = 4 * 2**30  # [bytes] of memory: smaller shares would refuse everything, and few need all of theirs
_CENTURY = 36525  # days
_NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "jwt", "prometheus_client", "google.protobuf", "requests")


def add_serve_command(commands: Any) -> None:
    """Add `serve`."""
    serve = commands.add_parser(
        "serve",
        help="run experiments for others: the service behind CloudRunner",
        description=_SERVE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=int, default=DEFAULT_PORT, help=f"port to listen on (default: {DEFAULT_PORT})")
    _add_place(serve)
    add("--store", metavar="URL", help="folder, s3:// or gs:// for files (default: in --home)")
    add("--endpoint-url", metavar="URL", help="endpoint of S3 or Google Storage, if not the default")
    add("--executor", choices=tuple(EXECUTORS), default="local", help="what runs the workers (default: local)")
    for name, one in _ENGINES.items():
        kind = {"type": int} if isinstance(one.default, int) else {"metavar": one.metadata["metavar"]}
        add(f"--{name.replace('_', '-')}", default=one.default, help=one.metadata["help"], **kind)
    add("--public-url", metavar="URL", help="address for clients, if the service is behind a proxy")
    add("--worker-url", metavar="URL", help="address for workers (default: --host and --port)")
    add("--worker-python", default=sys.executable, metavar="PATH", help="Python interpreter of the workers")
    add("--data-root", metavar="FOLDER", help="folder of the workers' datasets, also for downloads")
    add("--max-seconds", type=float, default=_LIMITS.seconds, help="time that one experiment may run (default: a day)")
    add(
        "--max-queued",
        type=int,
        default=_LIMITS.queued,
        help="experiments waiting or running at a time (default: %(default)s)",
    )
    add(
        "--max-queued-each",
        type=int,
        help="the same for one user (default: a fifth of --max-queued, so that nobody can fill the queue alone)",
    )
    add(
        "--max-attempts",
        type=int,
        default=_LIMITS.attempts,
        help="attempts without progress before an experiment fails (default: %(default)s)",
    )
    add("--max-stored", type=float, default=20.0, metavar="GIB", help="files of one user (default: 20 GiB)")
    add(
        "--max-memory", type=float, metavar="GIB",
        help="memory of one experiment (default: local: an equal share of this machine's; slurm, ray: no limit)",
    )  # fmt: skip
    add(
        "--min-free",
        type=float,
        default=0.25,
        metavar="GIB",
        help="free disk to start experiments (default: 0.25 GiB)",
    )
    add("--webhook", metavar="URL", help="address that is told of every experiment that has ended")
    add("--webhook-secret-file", type=Path, metavar="FILE", help="file with the key that signs what it is told")
    add("--retention-days", type=float, help="delete experiments so long after their end (default: never)")
    add("--max-megabytes", type=float, default=8.0, help="size of one request (default: 8)")
    add("--checkpoint-every-steps", type=int, default=0, help="also save checkpoints every so many steps")
    add(
        "--lease",
        type=float,
        default=_LIMITS.lease,
        help="seconds of silence after which a worker is given up (default: %(default)g)",
    )
    serve.set_defaults(act=_serve)


def add_cloud_command(commands: Any) -> None:
    """Add `cloud`."""
    cloud = commands.add_parser("cloud", help="manage tokens, and experiments on a service")
    actions = cloud.add_subparsers(dest="action", metavar="ACTION", required=True)
    token = actions.add_parser("token", help="create, list and revoke tokens (on the machine of the service)")
    verbs = token.add_subparsers(dest="verb", metavar="ACTION", required=True)
    create = verbs.add_parser("create", help="create a token for a user; it is shown once")
    create.add_argument("user", help="name of the user, created if necessary")
    create.add_argument("--label", default="", help="a note on its purpose")
    create.add_argument("--days", type=float, help="days until it expires (default: never)")
    listing = verbs.add_parser("list", help="list all tokens, without their secret part")
    revoke = verbs.add_parser("revoke", help="revoke a token, effective at once")
    revoke.add_argument("id", help="its id, as `list` shows it")
    for parser, act in ((create, _create), (listing, _list_tokens), (revoke, _revoke)):
        _add_place(parser)
        parser.set_defaults(act=act)
    add_admin_commands(actions, _add_place, _settings)
    _add_client_commands(actions)


def _add_client_commands(actions: Any) -> None:
    listing = actions.add_parser("list", help="list your experiments on the configured service")
    listing.set_defaults(act=_list_experiments)
    for name, act, text in (
        ("status", _status, "status and epochs of an experiment"),
        ("logs", _logs, "show the output of its worker"),
        ("cancel", _cancel, "end an experiment"),
        ("rerun", _rerun, "run an experiment again that failed or was cancelled, from its last checkpoint"),
        ("delete", _delete, "delete an experiment that has ended, with all its files"),
        ("wait", _wait, "wait until an experiment has ended"),
    ):
        parser = actions.add_parser(name, help=text)
        parser.add_argument("id", help="id of the experiment, as `list` shows it")
        parser.set_defaults(act=act)


def _add_place(parser: Any) -> None:
    parser.add_argument(
        "--home", type=Path, default=default_home(), metavar="FOLDER",
        help=f"the service's own folder (default: {default_home()})",
    )  # fmt: skip
    parser.add_argument("--database", metavar="URL", help="sqlite:/// or postgresql:// (default: SQLite in --home)")


def _settings(options: argparse.Namespace) -> Any:
    _need_packages()
    from analogjax.cloud.service.settings import Settings

    _check_texts(options)
    if not hasattr(options, "host"):
        more = {name: getattr(options, name) for name in ("store", "endpoint_url") if hasattr(options, name)}
        return Settings(home=options.home.expanduser().absolute(), database=options.database, **more)
    _check_numbers(options)
    limits = Limits(
        queued=options.max_queued, queued_each=_queued_each(options), attempts=options.max_attempts,
        lease=options.lease, seconds=options.max_seconds, stored_each=int(options.max_stored * 2**30),
        memory=_memory(options),
    )  # fmt: skip
    chosen = {one.name: getattr(options, one.name) for one in fields(EXECUTORS[options.executor])}
    return Settings(
        home=options.home.expanduser().absolute(), host=options.host, port=options.port, database=options.database,
        store=options.store, endpoint_url=options.endpoint_url, public_url=options.public_url,
        worker_url=options.worker_url, executor=options.executor, executor_options=chosen, limits=limits,
        worker_python=options.worker_python, data_root=options.data_root, max_body=int(options.max_megabytes * 2**20),
        webhook=_webhook(options.webhook), webhook_secret=_secret(options.webhook_secret_file),
        min_free=int(options.min_free * 2**30),
        retention=None if options.retention_days is None else 86_400.0 * options.retention_days,
        checkpoint_every_steps=options.checkpoint_every_steps, worker_environment=_worker_environment(options),
    )  # fmt: skip


def _check_texts(options: argparse.Namespace) -> None:
    """Raise `ConfigError` for an empty text, which would silently be taken for a missing one."""
    empty = [name for name in vars(options) if name not in ("label", "user") and getattr(options, name) == ""]
    if empty:
        raise ConfigError(f"--{empty[0].replace('_', '-')} '': is empty; leave it out, or give a value.")


def _check_numbers(options: argparse.Namespace) -> None:
    """Raise `ConfigError` for numbers that no service can use."""
    for name, (low, high) in _BOUNDS.items():
        if not low <= getattr(options, name) <= high:
            raise ConfigError(
                f"--{name.replace('_', '-')} {getattr(options, name)}: needs {low} or more, up to {high:,}."
            )
    bounds = [("lease", 1e9), ("max_seconds", 1e9), ("max_megabytes", 1e6), ("max_stored", 1e9), ("min_free", 1e9)]
    bounds += [("max_memory", 1e6)] if options.max_memory is not None else []
    bounds += [("retention_days", _CENTURY)] if options.retention_days is not None else []
    for name, most in bounds:
        if not 0 < getattr(options, name) <= most:
            raise ConfigError(
                f"--{name.replace('_', '-')} {getattr(options, name)}: needs more than 0, up to {int(most):,}."
            )


def _memory(options: argparse.Namespace) -> int | None:
    """Memory of one experiment [bytes]."""
    if options.max_memory is not None:
        return int(options.max_memory * 2**30)
    if options.executor != "local":
        return None
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(machine // options.workers, min(machine, _LEAST_SHARE))


def _webhook(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"--webhook {url[:80]!r}: is no address; give http:// or https://.")
    return url


def _secret(file: Path | None) -> str | None:
    """The first line of a file."""
    if file is None:
        return None
    try:
        found = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--webhook-secret-file {file}: can't be read ({type(error).__name__}).") from None
    if not found:
        raise ConfigError(f"--webhook-secret-file {file}: is empty; write a key into it.")
    return found


def _queued_each(options: argparse.Namespace) -> int:
    """How many experiments one user may have in the queue."""
    if options.max_queued_each is None:
        return max(1, options.max_queued // 5)
    if not 1 <= options.max_queued_each <= options.max_queued:
        raise ConfigError(
            f"--max-queued-each {options.max_queued_each}: needs 1 to {options.max_queued}, which --max-queued allows."
        )
    return options.max_queued_each


def _worker_environment(options: argparse.Namespace) -> dict[str, str]:
    """Let workers on this machine share compiled programs, so that a second run of a model starts at once."""
    if not EXECUTORS[options.executor].shares_disk:
        return {}
    folder = options.home.expanduser().absolute() / "compiled"
    return {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}


def _need_packages() -> None:
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            raise MissingPackage(f'The service needs {name}: pip install "analogjax[cloud]".') from None


def _serve(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from analogjax.cloud.service.server import serve

    serve(settings)
    return 0


def _create(options: argparse.Namespace) -> int:
    from analogjax.cloud.service.server import open_database
    from analogjax.cloud.service.tokens import create_token

    if options.days is not None and not 0 < options.days <= _CENTURY:
        raise ConfigError(f"--days {options.days}: a token needs more than 0 days to live, up to {_CENTURY}.")
    with closing(open_database(_settings(options))) as database:
        text, made = create_token(database, options.user, options.label, options.days)
    print(f"token {made.id} of {options.user}; it is not shown again:\n", file=sys.stderr)
    print(text)
    lines = f"[cloud]\napi_token = <the token>\napi_url = {DEFAULT_URL}"
    print(f"\nin ~/.config/aihwkit.conf, readable by you alone (chmod 600):\n\n{lines}", file=sys.stderr)
    return 0


def _list_tokens(options: argparse.Namespace) -> int:
    from analogjax.cloud.service.server import open_database
    from analogjax.cloud.service.tokens import list_tokens

    with closing(open_database(_settings(options))) as database:
        rows = list_tokens(database)
    print(f"{'ID':8}  {'USER':16}  {'CREATED':16}  {'LAST USED':16}  {'STATE':24}  LABEL")
    for user, token in rows:
        state = f"revoked {_day(token.revoked)}" if token.revoked else "valid"
        if token.revoked is None and token.expires is not None:
            state = f"{'expired' if token.expires < time.time() else 'expires'} {_day(token.expires)}"
        print(f"{token.id:8}  {user:16}  {_day(token.created)}  {_day(token.used):16}  {state:24}  {token.label}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from analogjax.cloud.service.server import open_database
    from analogjax.cloud.service.tokens import revoke_token

    with closing(open_database(_settings(options))) as database:
        revoke_token(database, options.id)
    print(f"token {options.id} is revoked; sessions that were begun with it have ended.", file=sys.stderr)
    return 0


def _day(moment: float | None) -> str:
    if moment is None or moment > 253_402_300_799:  # the last second of the year 9999
        return "never"
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _list_experiments(options: argparse.Namespace) -> int:
    from analogjax.cloud import CloudRunner

    for one in CloudRunner().list_experiments():
        print(f"{one.id}  {one.status().name:10}  {one.created_at:%Y-%m-%d %H:%M}  {one.name}")
    return 0


def _status(options: argparse.Namespace) -> int:
    one = _remote(options)
    reason = one.reason()
    print(one.status().name + (f": {reason}" if reason else ""))
    for entry in one.epochs():
        print(
            f"epoch {entry['epoch']}: accuracy {entry['accuracy']:.4f}, train loss {entry['train_loss']:.4f}, "
            f"validation loss {entry['valid_loss']:.4f}"
        )
    return 0


def _logs(options: argparse.Namespace) -> int:
    print(_remote(options).logs(), end="")
    return 0


def _cancel(options: argparse.Namespace) -> int:
    one = _remote(options)
    one.cancel()
    print(one.status().name)
    return 0


def _rerun(options: argparse.Namespace) -> int:
    one = _remote(options)
    one.rerun()
    print(one.status().name)
    return 0


def _delete(options: argparse.Namespace) -> int:
    _remote(options).delete()
    print(f"experiment {options.id} is deleted.", file=sys.stderr)
    return 0


def _wait(options: argparse.Namespace) -> int:
    return 0 if _remote(options).wait().name == "COMPLETED" else 1


def _remote(options: argparse.Namespace) -> Any:
    from analogjax.cloud import CloudRunner

    return CloudRunner().get_experiment(options.id)
