"""The files of a run record, and reading them.

    config.json       {"format", "id", "begun", "seed", "config"}: what was requested
    environment.json  {"format", ...}: where it ran (`provenance`), and under "resumed" where it was resumed
    status.json       {"format", "status", "begun", "updated", "ended", "resumed", "error", "process"}
    metrics.jsonl     one line per epoch
    and whatever was added: curves.png, report.md, checkpoints/, ...

The first three contain the name of the format: a folder without any of them is no run, whatever its files are called.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.errors import AnalogError
from analogjax.store import json_values
from analogjax.store.location import Location
from analogjax.store.medium import Entry, NotFound
from analogjax.store.process import alive
from analogjax.store.provenance import now
from analogjax.store.transfer import each

_FORMATS = "analogjax-run-"
FORMAT = f"{_FORMATS}1"
CONFIG, ENVIRONMENT, STATUS, METRICS = "config.json", "environment.json", "status.json", "metrics.jsonl"
_NEEDED: dict[str, dict[str, type]] = {
    CONFIG: {"begun": str, "seed": int, "config": dict},
    ENVIRONMENT: {},
    STATUS: {"status": str, "begun": str, "updated": str, "resumed": int},
}
OWN = (METRICS, ENVIRONMENT, STATUS, CONFIG)  # in the order in which they are removed: what proves a run goes last


class RunError(AnalogError):
    """The record of a run can't be written, read or removed; the message states where, why, and what to do."""


class NotARun(RunError):
    """The folder does not contain a run."""


@document_fields
@dataclass(frozen=True)
class Run:
    """The record of one run, as it was when it was read."""

    location: Location
    """Where the record is kept."""
    config: dict[str, Any]
    """Configuration of the run."""
    seed: int
    """Seed of the run."""
    environment: dict[str, Any]
    """Versions, commit, command and machine."""
    status: dict[str, Any]
    """State, times and outcome."""
    epochs: list[dict[str, Any]] = field(repr=False)
    """Metrics of each epoch."""
    files: list[Entry] = field(repr=False)
    """Files of the record."""

    @property
    def id(self) -> str:
        """Last part of its location."""
        return self.location.url.rpartition("/")[2]

    @property
    def state(self) -> str:
        """The status in words; for a run marked "running", also what is known of its process."""
        return state(self.status)

    @property
    def best(self) -> dict[str, Any] | None:
        """The first epoch with the highest accuracy; `None` if no epoch has one."""
        rated = [entry for entry in self.epochs if _is_number(entry.get("accuracy"))]
        return max(rated, key=lambda entry: entry["accuracy"], default=None)

    @property
    def last(self) -> dict[str, Any] | None:
        """The last epoch; `None` if none has ended."""
        return self.epochs[-1] if self.epochs else None

    @property
    def seconds(self) -> float:
        """Time spent on the recorded epochs [s]."""
        return sum(entry["time_epoch"] for entry in self.epochs if _is_number(entry.get("time_epoch")))

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class RunSummary:
    """One line of a list of runs. For a damaged run, only `id`, `location` and `error` are meaningful."""

    id: str
    location: str
    status: str = "damaged"
    state: str = "damaged"
    begun: str | None = None
    updated: str | None = None
    resumed: int = 0
    dataset: str | None = None
    device: str | None = None
    seed: int | None = None
    epochs: int = 0
    planned_epochs: int | None = None
    best_accuracy: float | None = None
    last_accuracy: float | None = None
    seconds: float = 0.0
    size: int | None = None
    error: str | None = None

    @classmethod
    def of(cls, run: Run) -> RunSummary:
        """Summarise a run."""
        status, best, last = run.status, run.best, run.last
        accuracy, planned = (last or {}).get("accuracy"), run.config.get("epochs")
        return cls(
            run.id, run.location.url, status["status"], run.state, status["begun"], status["updated"],
            status["resumed"], _text(run.config.get("dataset")), _text(run.config.get("device")), run.seed,
            len(run.epochs), planned if isinstance(planned, int) else None, best["accuracy"] if best else None,
            accuracy if _is_number(accuracy) else None, run.seconds, run.size, _text(status.get("error")),
        )  # fmt: skip


def read_run(where: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None) -> Run:
    """Read the record of a run.

    Args:
        where: Folder or URL of the run.
        storage_options: Options for the storage client.

    Returns:
        The record.

    Raises:
        NotARun: If the folder does not contain a run.
        RunError: If a file is damaged; the message names it, and the remedy.
        StoreError: If the place can't be read.
    """
    location = Location.of(where, storage_options=storage_options)
    config = read_config(location)
    environment, status = (_present(_own_file(location, name), location, name) for name in (ENVIRONMENT, STATUS))
    epochs, files = read_epochs(location), _files(location)
    return Run(location, config["config"], config["seed"], environment, status, epochs, files)


def _present(part: dict[str, Any] | None, location: Location, name: str) -> dict[str, Any]:
    if part is None:
        raise RunError(
            f"{location}/{name} is missing: the run was stopped in its first moment, or the file was removed. "
            "Begin the run again with the same settings, or remove it."
        )
    return part


def _files(location: Location) -> list[Entry]:
    for _ in range(3):  # a run in progress removes drafts and old checkpoints while they are being listed
        try:
            return location.list()
        except NotFound:
            continue
    return location.list()


def list_runs(
    root: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None
) -> list[RunSummary]:
    """List the runs directly below a folder.

    Args:
        root: Folder or URL.
        storage_options: Options for the storage client.

    Returns:
        A summary of each run, newest first; other folders are ignored. A run that can't be read is listed with its
        `error`.

    Raises:
        StoreError: If `root` itself can't be read.
    """
    location = Location.of(root, storage_options=storage_options)
    found = each(lambda name: _summary(location / name), location.folders())
    return sorted((one for one in found if one is not None), key=lambda one: (one.begun or "", one.id), reverse=True)


def _summary(location: Location) -> RunSummary | None:
    try:
        return RunSummary.of(read_run(location))
    except NotARun:
        return None
    except AnalogError as error:
        return RunSummary(location.url.rpartition("/")[2], location.url, error=str(error))


def is_run(location: Location) -> bool:
    """Whether at least one file in the folder proves that it is a run record, complete or damaged."""
    return any(_proves(location, name) for name in (CONFIG, STATUS, ENVIRONMENT))


def _proves(location: Location, name: str) -> bool:
    try:
        value = json_values.loads(location.read(name))
    except (NotFound, ValueError):
        return False
    return isinstance(value, dict) and str(value.get("format", "")).startswith(_FORMATS)


def read_config(location: Location) -> dict[str, Any]:
    """Read `config.json`. Raises `NotARun`, `RunError`, `StoreError`."""
    config = _own_file(location, CONFIG)
    if config is None:
        if is_run(location):
            raise RunError(f"{location}/{CONFIG} is missing from this run: restore it, or remove the run.")
        raise NotARun(
            f"There is no run in {location}: check the path; `analogjax runs list FOLDER` shows what is there."
        )
    return config


def read_status(location: Location) -> dict[str, Any] | None:
    """Read `status.json`, `None` if it is missing. Raises `RunError`, `StoreError`."""
    return _own_file(location, STATUS)


def read_environment(location: Location) -> dict[str, Any] | None:
    """Read `environment.json`, `None` if it is missing. Raises `RunError`, `StoreError`."""
    return _own_file(location, ENVIRONMENT)


def _own_file(location: Location, name: str) -> dict[str, Any] | None:
    try:
        value = json_values.loads(location.read(name))
    except NotFound:
        return None
    except ValueError as error:
        kind = RunError if any(_proves(location, other) for other in OWN if other not in (name, METRICS)) else NotARun
        raise kind(f"{location}/{name} is damaged ({error}): restore it from a copy, or remove the run.") from error
    written = value.get("format") if isinstance(value, dict) else None
    if written == FORMAT:
        return _checked(value, f"{location}/{name}", _NEEDED[name])
    if str(written).startswith(_FORMATS):
        raise RunError(f"{location} was written by a newer analogjax ({written}; this one reads {FORMAT}): upgrade.")
    raise NotARun(f"There is no run in {location}: its {name} was not written by analogjax.")


def _checked(value: dict[str, Any], where: str, needed: dict[str, type]) -> dict[str, Any]:
    """Return `value` after checking its types, since a user may have edited the file."""
    for name, kind in needed.items():
        if not isinstance(value.get(name), kind):
            raise RunError(f"{where} is damaged ({name} is {value.get(name)!r}): restore it, or remove the run.")
    try:
        seconds_since(value.get("updated", now()))
    except (ValueError, TypeError) as error:
        raise RunError(f"{where} is damaged (updated: {error}): restore it, or remove the run.") from error
    return value


def read_epochs(location: Location) -> list[dict[str, Any]]:
    """Read the lines of `metrics.jsonl`, except an incomplete last one. Raises `RunError` naming a bad line,
    `StoreError`.
    """
    try:
        *lines, _torn = location.read(METRICS).split(b"\n")
    except NotFound:
        return []
    return [_epoch(line, number, location) for number, line in enumerate(lines, start=1)]


def _epoch(line: bytes, number: int, location: Location) -> dict[str, Any]:
    try:
        entry = json_values.loads(line)
        if isinstance(entry, dict) and isinstance(entry["epoch"], int):
            return entry
        reason: object = "not an epoch"
    except (ValueError, KeyError) as error:
        reason = error
    raise RunError(f"Line {number} of {location}/{METRICS} is damaged ({reason}): fix or delete that line.")


def state(status: Mapping[str, Any]) -> str:
    """A status in words: `completed`, `running (last sign of life 3 h ago)`, `died (…)` if its process is gone."""
    if status["status"] != "running":
        return str(status["status"])
    lives = alive(status.get("process"))
    if lives:
        return "running"
    sign = f"(last sign of life {age(status['updated'])} ago)"
    return f"running {sign}" if lives is None else f"died {sign}"


def age(time: str) -> str:
    """How long ago a time was, in words: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = seconds_since(time)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def seconds_since(time: str) -> float:
    """Seconds since a time in the format of `provenance.now`; 0 for a time in the future (clocks differ)."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
