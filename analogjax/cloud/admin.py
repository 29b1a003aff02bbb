"""`analogjax cloud admin`, `backup` and `restore`: for the operator, on the machine of the service."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

Settled = Callable[[argparse.Namespace], Any]  # settings of the service from options


def add_admin_commands(actions: Any, add_place: Callable[[Any], None], settings: Settled) -> None:
    """Add them to `analogjax cloud`."""
    admin = actions.add_parser("admin", help="users, queue, files and maintenance (on the machine of the service)")
    verbs = admin.add_subparsers(dest="verb", metavar="ACTION", required=True)
    rows: tuple[tuple[str, Any, str, tuple[str, str] | None], ...] = (
        ("users", _users, "list users with what they occupy", None),
        ("disable", _disable, "refuse all tokens and sessions of a user; what runs goes on", ("user", "its name")),
        ("enable", _enable, "accept them again", ("user", "its name")),
        ("disk", _disk, "show free space, and the largest experiments", None),
        ("queue", _queue, "list what runs and what waits", None),
        (
            "drain",
            _drain,
            "let no experiment start, before maintenance; what runs goes on",
            ("reason", "shown to users"),
        ),
        ("resume", _resume, "let experiments start again", None),
    )
    for name, act, text, argument in rows:
        parser = verbs.add_parser(name, help=text)
        if argument is not None:
            parser.add_argument(argument[0], help=argument[1])
        _finish(parser, act, add_place, settings)
    for name, act, text in (
        ("backup", _backup, "write all records and files of a service to one file, while it runs or not"),
        ("restore", _restore, "bring a new, empty service to the state of a backup"),
    ):
        parser = actions.add_parser(name, help=f"{text} (on the machine of the service)")
        parser.add_argument("file", type=Path, help="the backup (.tar); it gives access to the service: keep it safe")
        parser.add_argument("--store", metavar="URL", help="the service's --store, if it has one")
        parser.add_argument("--endpoint-url", metavar="URL", help="its --endpoint-url, if it has one")
        _finish(parser, act, add_place, settings)


def _finish(parser: Any, act: Any, add_place: Callable[[Any], None], settings: Settled) -> None:
    add_place(parser)
    parser.set_defaults(act=lambda options: _with_database(act, options, settings))


def _with_database(act: Any, options: argparse.Namespace, settings: Settled) -> int:
    chosen = settings(options)
    from analogjax.cloud.service.server import new_database, open_database

    with closing((new_database if act is _restore else open_database)(chosen)) as database:
        act(database, options, chosen)
    return 0


def _users(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.administration import accounts

    print(f"{'USER':24}  {'STATE':8}  {'QUEUED':>6}  {'EXPERIMENTS':>11}  {'MIB':>10}")
    for one in accounts(database):
        state = "disabled" if one.disabled else "enabled"
        print(f"{one.name:24}  {state:8}  {one.queued:6}  {one.experiments:11}  {one.stored / 2**20:10.1f}")


def _disable(database: Any, options: argparse.Namespace, settings: Any) -> None:
    _switch(database, options.user, off=True)


def _enable(database: Any, options: argparse.Namespace, settings: Any) -> None:
    _switch(database, options.user, off=False)


def _switch(database: Any, user: str, *, off: bool) -> None:
    from analogjax.cloud.service.administration import disable

    disable(database, user, off=off)
    print(f"user {user} is {'disabled' if off else 'enabled'}.", file=sys.stderr)


def _disk(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.administration import largest
    from analogjax.cloud.service.listing import all_stored
    from analogjax.cloud.service.room import Room

    store = settings.location()
    free = Room.of((settings.home, store.path), 0).free()
    print(f"free: {free / 2**30:.1f} GiB; files of experiments: {all_stored(database) / 2**30:.2f} GiB, in {store}")
    for one, name in largest(database):
        print(f"{one.id}  {one.status:10}  {name:16}  {one.stored / 2**20:10.1f} MiB  {one.name}")


def _queue(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.administration import queue

    for one, name in queue(database):
        state = one.status if one.status == "running" or not one.dispatched else "starting"
        print(f"{one.id}  {state:8}  {name:16}  {one.epochs_done} of {one.epochs_planned}  {one.name}")


def _drain(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.administration import drain

    drain(database, options.reason)
    print("no experiment is started; `analogjax cloud admin queue` shows what still runs.", file=sys.stderr)


def _resume(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.administration import drain

    drain(database, None)
    print("experiments are started again.", file=sys.stderr)


def _backup(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.backup import back_up

    number = back_up(database, settings.location(), options.file)
    print(f"{options.file}: all records, and {number} files.", file=sys.stderr)


def _restore(database: Any, options: argparse.Namespace, settings: Any) -> None:
    from analogjax.cloud.service.backup import restore

    number = restore(database, settings.location(), options.file)
    print(f"{options.file}: all records, and {number} files are restored.", file=sys.stderr)
