"""The record of each `analogjax train`, and `analogjax runs`, which lists, shows, compares, exports and removes
records.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analogjax.errors import AnalogError, ConfigError

if TYPE_CHECKING:  # whatever needs JAX is imported on use: `train` first has to configure JAX's logging
    from analogjax.store.location import Location
    from analogjax.store.run_folder import Run, RunSummary
    from analogjax.store.runs import RunRecord
    from analogjax.store.saved_folder import SavedFolder

_RUNS = """\
List, show, compare, export and remove recorded runs. ROOT and RUN may be folders or s3://... and gs://... URLs; a RUN
without a slash is looked for here, then in ROOT.

  analogjax runs list
  analogjax runs show 2026-11-22_20-15-30_fashionmnist_7f3a09
  analogjax runs compare runs/a runs/b
  analogjax runs export runs/a --format tensorboard -o logs
  analogjax runs list s3://bucket/runs --endpoint-url http://localhost:9000
"""
ROOT = "runs"


def add_runs_command(commands: Any) -> None:
    """Register `runs` and its sub-commands with the parser of `analogjax`."""
    runs = commands.add_parser(
        "runs", help="list, show, compare, export, remove recorded runs", description=_RUNS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    runs.set_defaults(act=_help(runs))
    actions = runs.add_subparsers(dest="action", metavar="ACTION")
    listing = _action(actions, "list", _list, "list the runs in a folder, newest first")
    listing.add_argument("root", nargs="?", metavar="ROOT", help=f"folder or URL (default: {ROOT})")
    listing.add_argument("--output", choices=("table", "json", "csv"), default="table", help="default: table")
    show = _one(_action(actions, "show", _show, "show one run: its report, as Markdown"))
    show.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    comparing = _action(actions, "compare", _compare, "compare the settings and results of several runs")
    comparing.add_argument("runs", nargs="+", metavar="RUN")
    comparing.add_argument("--output", choices=("table", "json"), default="table", help="default: table")
    _root(comparing)
    export = _one(_action(actions, "export", _export, "write a run in the format of another tool"))
    kinds = ("csv", "json", "tensorboard", "mlflow", "wandb", "trackio")
    export.add_argument("--format", choices=kinds, required=True, help="the last four need the package of that name")
    export.add_argument("-o", "--out", metavar="PATH", help="file (csv, json; default: print) or folder to add to")
    remove = _one(
        _action(actions, "rm", _remove, "remove a run, with its checkpoints and everything else in its folder")
    )
    remove.add_argument("--yes", action="store_true", help="don't ask for confirmation")
    remove.add_argument("--force", action="store_true", help="even if it seems to be running")


def add_places(parser: Any) -> None:
    """Add where the data set and a RUN are looked for."""
    parser.add_argument("--root", metavar="FOLDER", help="folder of the dataset, also for downloads")
    parser.add_argument(
        "--runs", default=ROOT, metavar="ROOT", help=f"where a RUN is looked for by name (default: {ROOT})"
    )
    parser.add_argument("--endpoint-url", metavar="URL", help="endpoint of S3 or Google Storage, if not the default")


def storage_options(endpoint: str | None) -> dict[str, Any] | None:
    """Options for the clients of object stores."""
    return {"endpoint_url": endpoint} if endpoint else None


def begin_record(
    options: Mapping[str, Any], name: str, config: Mapping[str, Any], facts: Mapping[str, Any]
) -> RunRecord | None:
    """Create or reopen the `RunRecord` requested by the options of `train`; `None` for `--no-record`.

    Raises `ConfigError` for options that exclude each other, `RunError`, `StoreError`.
    """
    from analogjax.store import StoreError
    from analogjax.store.runs import RunRecord, new_run_id

    if options["no_record"]:
        if options["run"]:
            raise ConfigError(f"--run {options['run']} and --no-record exclude each other: give one of them.")
        return None
    if options["run"] and options["runs"]:
        raise ConfigError("--run names the folder of this run, --runs the one for a new folder: give one of them.")

    where = _location(options["run"] or options["runs"] or ROOT, options["endpoint_url"])
    try:
        record = RunRecord.begin(
            where if options["run"] else where / new_run_id(name),
            config=config, seed=options["seed"], facts=facts, may_differ=("epochs", "root", "on"),
        )  # fmt: skip
    except StoreError as error:
        raise StoreError(f"{error} The run is to be recorded there: see --run, --runs and --no-record.") from error
    print(f"run: {_near(record.location)}", file=aside(options), flush=True)
    return record


def aside(options: Mapping[str, Any]) -> Any:
    """The stream for messages: standard output next to a table, standard error next to machine-readable results."""
    return sys.stdout if options["output"] == "table" else sys.stderr


@contextmanager
def recorded(record: RunRecord | None) -> Iterator[None]:
    """Record how the block ends and write the report. Does nothing for `None`."""
    if record is None:
        yield
        return
    try:
        yield
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        try:
            _close(record, status, None if status == "interrupted" else f"{type(error).__name__}: {error}")
        except AnalogError as second:  # the first error is the one to report
            print(f"analogjax: and the record could not be finished: {second}", file=sys.stderr)
        raise
    _close(record, "completed", None)


def _close(record: RunRecord, status: Any, error: str | None) -> None:
    from analogjax.report.run_report import write_report

    record.finish(status, error)
    write_report(record)


def _help(parser: argparse.ArgumentParser) -> Any:
    def run(options: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    return run


def _action(actions: Any, name: str, act: Any, text: str) -> Any:
    parser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--endpoint-url", metavar="URL", help="endpoint of S3 or Google Storage, if not the default")
    parser.set_defaults(act=_told(act))
    return parser


def _one(parser: Any) -> Any:
    parser.add_argument("name", metavar="RUN", help="folder or URL of the run, or its name in ROOT")
    _root(parser)
    return parser


def _root(parser: Any) -> None:
    parser.add_argument("--root", default=ROOT, metavar="ROOT", help=f"folder that contains the runs (default: {ROOT})")


def _told(act: Any) -> Any:
    """Wrap `act` so that wrong arguments are reported in one line, with exit code 2."""

    def run(options: argparse.Namespace) -> int:
        from analogjax.store import NotFound
        from analogjax.store.run_folder import RunError

        try:
            return act(options)
        except BrokenPipeError:
            raise
        except (RunError, ConfigError, NotFound, OSError) as error:
            print(f"analogjax: {error}", file=sys.stderr)
            return 2

    return run


def _location(text: str, endpoint: str | None) -> Location:
    if not text:
        raise ConfigError("ROOT is empty: give a folder or a URL, or leave it out.")
    from analogjax.store import Location, StoreError

    try:
        return Location.of(text, storage_options=storage_options(endpoint))
    except StoreError as error:
        raise ConfigError(str(error)) from None


def _near(location: Location) -> str:
    """A local folder, relative to the current one if it is below it."""
    path = location.path
    return str(path.relative_to(Path.cwd()) if path is not None and path.is_relative_to(Path.cwd()) else location)


def run_location(name: str, root: str, endpoint: str | None) -> Location:
    """The location of the run `name`, in `root` if that is not a path. Raises `ConfigError`."""
    if not name:
        raise ConfigError("RUN is empty: give the folder, the URL or the name of a run.")
    plain = "/" not in name and os.sep not in name and name not in (".", "..", "~")
    if plain and not Path(name).is_dir():
        return _location(root, endpoint) / name
    return _location(name, endpoint)


def _read(name: str, options: argparse.Namespace) -> Run:
    from analogjax.store.run_folder import read_run

    return read_run(run_location(name, options.root, options.endpoint_url))


def _list(options: argparse.Namespace) -> int:
    from analogjax.report.run_list import write_run_list
    from analogjax.store.run_folder import list_runs
    from analogjax.store.saved_folder import list_saved

    root = _location(ROOT if options.root is None else options.root, options.endpoint_url)
    if options.root is not None and root.path is not None and not root.path.is_dir():
        raise ConfigError(f"There is no folder {root}: check the path.")
    runs = sorted([*list_runs(root), *map(_as_run, list_saved(root))], key=lambda one: one.begun or "", reverse=True)
    write_run_list(runs, options.output, sys.stdout)
    for run in runs:
        if run.status == "damaged":
            print(f"analogjax: {run.error}", file=sys.stderr)
    if not runs:
        print(f"No runs in {_near(root)}. {_advice(root)}", file=sys.stderr)
    return 0


def _as_run(saved: SavedFolder) -> RunSummary:
    """An experiment of aitoolbox's savers as a line of the list."""
    from analogjax.store.run_folder import RunSummary

    accuracy = next((value for name, value in saved.results.items() if name.lower() == "accuracy"), None)
    dataset = saved.hyperparameters.get("dataset")
    return RunSummary(
        saved.id, saved.location, "saved", "saved", saved.begun, saved.begun, last_accuracy=accuracy,
        dataset=dataset if isinstance(dataset, str) else None, size=saved.size,
    )  # fmt: skip


def _advice(root: Location) -> str:
    from analogjax.store.run_folder import is_run

    if is_run(root):
        return f"It is a run itself: analogjax runs show {_near(root)}"
    return "`analogjax train` records one."


def _show(options: argparse.Namespace) -> int:
    from analogjax.report.export import export_text
    from analogjax.report.run_report import run_report, saved_report
    from analogjax.store.json_values import strict

    saved = _saved(options)
    if saved is not None:
        print(json.dumps(strict(asdict(saved)), indent=2) if options.output == "json" else saved_report(saved))
        return 0
    run = _read(options.name, options)
    print(export_text(run, "json") if options.output == "json" else run_report(run, files=True), end="")
    return 0


def _saved(options: argparse.Namespace) -> SavedFolder | None:
    """The experiment PROJECT/NAME_STAMP of a saver, if the name is of one: here, or in ROOT."""
    from analogjax.store.run_folder import RunError
    from analogjax.store.saved_folder import read_saved

    project, slash, folder = options.name.rstrip("/").rpartition("/")
    below = slash and project and "/" not in project and "://" not in options.name
    places = [options.name, *([f"{options.root.rstrip('/')}/{project}/{folder}"] if below else [])]
    for place in places:
        try:
            return read_saved(run_location(place, options.root, options.endpoint_url))
        except RunError:
            continue
    return None


def _compare(options: argparse.Namespace) -> int:
    from analogjax.report.comparison import compare
    from analogjax.store.json_values import strict

    found = compare([_read(name, options) for name in options.runs])
    print(json.dumps(strict(found.plain()), indent=2) if options.output == "json" else "\n".join(found.lines()))
    return 0


def _export(options: argparse.Namespace) -> int:
    from analogjax.report.export import TEXT_FORMATS, export_file, export_folder, export_text

    if options.out == "":
        raise ConfigError("-o PATH is empty: give a path, or leave it out.")
    if options.format not in TEXT_FORMATS and options.out is None:
        raise ConfigError(f"--format {options.format} writes a folder: choose one with -o PATH.")
    run = _read(options.name, options)
    if options.format not in TEXT_FORMATS:
        print(f"shown by: {export_folder(run, options.format, options.out)}")
    elif options.out in (None, "-"):
        print(export_text(run, options.format), end="")
    else:
        export_file(run, options.format, options.out)
    return 0


def _remove(options: argparse.Namespace) -> int:
    from analogjax.store.runs import remove_run

    location = run_location(options.name, options.root, options.endpoint_url)
    if not options.yes and not _agreed(location):
        print("Nothing was removed.", file=sys.stderr)
        return 1
    remove_run(location, force=options.force)
    print(f"removed: {_near(location)}")
    return 0


def _agreed(location: Location) -> bool:
    """Whether the user at the terminal confirms. Raises `ConfigError` if there is no terminal, `NotARun`."""
    from analogjax.store.run_folder import NotARun, is_run

    if not is_run(location):
        raise NotARun(f"There is no run in {location}: nothing was removed.")
    if not sys.stdin.isatty():
        raise ConfigError(f"{location} is not removed without being sure: add --yes.")
    files = location.list()
    print(f"Remove {location}, {len(files)} files? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
