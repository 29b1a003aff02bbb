"""The record of a run: a folder, local or in a bucket, written during the run and consistent at any moment.

`run_folder.py` describes its contents and reads it. Text that is a secret, or is named like one, is recorded as `***`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

from analogjax.store import json_lines, json_values, redact
from analogjax.store.location import Location
from analogjax.store.medium import AlreadyExists, Entry, StoreError
from analogjax.store.process import alive, this_process
from analogjax.store.provenance import now, provenance
from analogjax.store.run_folder import (
    CONFIG,
    ENVIRONMENT,
    FORMAT,
    METRICS,
    OWN,
    STATUS,
    NotARun,
    is_run,
    read_config,
    read_environment,
    read_epochs,
    read_status,
    seconds_since,
)
from analogjax.store.run_folder import Run as Run
from analogjax.store.run_folder import RunError as RunError
from analogjax.store.run_folder import RunSummary as RunSummary
from analogjax.store.run_folder import list_runs as list_runs
from analogjax.store.run_folder import read_run as read_run

End = Literal["completed", "failed", "interrupted"]
_HEARTBEAT = 10.0  # [s] between two signs of life; each is a write, which an epoch of milliseconds can't afford
_FRESH = 3600.0  # [s] since the last sign of life of a run that may still be alive
_CHECKPOINTS = "checkpoints"


class RunRecord:
    """The folder of one run, written during the run; every write is atomic. Created by `begin`."""

    def __init__(self, location: Location, status: dict[str, Any], epochs: list[dict[str, Any]]) -> None:
        """For use by `begin`, which has already written these values."""
        self.location = location
        self._status, self._epochs, self._told = status, epochs, time.monotonic()

    @classmethod
    def begin(
        cls,
        where: str | os.PathLike[str] | Location,
        *,
        config: Mapping[str, Any],
        seed: int,
        storage_options: Mapping[str, Any] | None = None,
        may_differ: Collection[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> RunRecord:
        """Create a record in a new or empty folder, or reopen an existing one.

        Args:
            where: Folder or URL.
            config: Everything that determines the run, as plain values. A record with the same `config` and `seed` is
                reopened.
            seed: Seed of the run.
            facts: Further values for `environment.json`, next to the provenance.
            may_differ: Fields of `config` that may have changed; their new values are recorded.
            storage_options: Options for the storage client.

        Returns:
            The record.

        Raises:
            RunError: If the folder contains another run, one that another process of this machine is writing, or files
                that are not a run (nothing is changed then).
            TypeError: For values that JSON can't represent; the message names the place.
            StoreError: If the place can't be used.
        """
        location = Location.of(where, storage_options=storage_options)
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise RunError(f"The record's seed is {seed!r}: give a whole number.")
        asked = {"config": _plain(redact.config(dict(config)), "config"), "seed": seed}
        here = provenance() | _plain(redact.config(dict(facts or {})), "facts")
        try:
            there = read_config(location)
        except NotARun:
            return cls._new(location, asked, here)
        return cls._again(location, there, asked, here, may_differ)

    @classmethod
    def _new(cls, location: Location, asked: dict[str, Any], here: dict[str, Any]) -> RunRecord:
        if _occupied(location):
            raise RunError(f"{location} holds files but is no run: give a new or empty folder.")
        begun = {"format": FORMAT, "id": uuid4().hex, "begun": now()}
        try:
            location.create(CONFIG, _json(begun | asked))
        except AlreadyExists as error:
            raise RunError(f"Another process has just begun a run in {location}: give each a folder.") from error
        location.write(ENVIRONMENT, _json({"format": FORMAT, **here, "resumed": []}))
        record = cls(location, _status(begun["begun"], 0), [])
        record._tell()
        return record

    @classmethod
    def _again(
        cls, location: Location, there: dict[str, Any], asked: dict[str, Any], here: dict[str, Any],
        may_differ: Collection[str],
    ) -> RunRecord:  # fmt: skip
        _refuse_another(location, there, asked, may_differ)
        status = read_status(location)
        if status is not None and status["status"] == "running":
            _refuse_two_writers(location, status.get("process"))
        environment, epochs = read_environment(location), read_epochs(location)
        if there["config"] != asked["config"]:
            location.write(CONFIG, _json(there | asked))
        if environment is None:
            environment = {"format": FORMAT, **here, "resumed": []}
        else:
            environment["resumed"] = [*environment.get("resumed", []), here]
        location.write(ENVIRONMENT, _json(environment))
        record = cls(location, _status(there["begun"], status["resumed"] + 1 if status else 0), epochs)
        record._tell()
        return record

    @property
    def id(self) -> str:
        """Last part of its location."""
        return self.location.url.rpartition("/")[2]

    @property
    def checkpoints(self) -> Location:
        """Location for the checkpoints of this run."""
        return self.location / _CHECKPOINTS

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The recorded epochs."""
        return [dict(entry) for entry in self._epochs]

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Record one epoch; an existing one with the same number is replaced, and later ones are dropped.

        `entry` contains its number, `epoch`, and the metrics. It is stored when this returns. Raises `RunError` without
        a number, `TypeError` for values that JSON can't represent, `StoreError` if the place refuses.
        """
        entry = _entry(entry)
        follows = not self._epochs or self._epochs[-1]["epoch"] < entry["epoch"]
        before = self._epochs if follows else [one for one in self._epochs if one["epoch"] < entry["epoch"]]
        if follows and self.location.path is not None:
            _append(self.location.path / METRICS, entry)
        else:  # objects in a bucket can't be appended to, but they are replaced at once
            self.location.write(METRICS, _lines([*before, entry]))
        self._epochs = before
        self._epochs.append(entry)
        if time.monotonic() - self._told > _HEARTBEAT:
            self._tell()

    def go_on_from(self, entries: Collection[Mapping[str, Any]]) -> None:
        """Make the record contain exactly these epochs: those of the checkpoint from which the run resumes.

        Raises as `epoch` does.
        """
        epochs = [_entry(entry) for entry in entries]
        if epochs != self._epochs:
            self.location.write(METRICS, _lines(epochs))
            self._epochs = epochs

    def add(self, name: str, data: bytes) -> None:
        """Create or replace the file `name`, e.g. `curves.png`.

        Raises `RunError` for a file of the record itself, `StoreError` if the place refuses.
        """
        if name.strip("/") in OWN:
            raise RunError(f"{name!r} is a file of the record itself: give another name.")
        self.location.write(name, data)

    def finish(self, status: End, error: str | None = None) -> None:
        """Record how the run ended. Raises `RunError` for an unknown status, `StoreError`."""
        if status not in get_args(End):
            raise RunError(f"A run can't end as {status!r}: give one of {', '.join(get_args(End))}.")
        self._status |= {"status": status, "ended": now(), "error": None if error is None else redact.text(error)}
        self._tell()

    def _tell(self) -> None:
        """Write the status, with the current time as a sign of life."""
        self._status["updated"] = now()
        self.location.write(STATUS, _json(self._status))
        self._told = time.monotonic()

    def __repr__(self) -> str:
        return f"RunRecord({self.location.url!r}, {self._status['status']}, {len(self._epochs)} epochs)"


def new_run_id(name: str) -> str:
    """Make a name for the folder of a new run: time (UTC), `name` in safe characters, a random suffix.

    Sorting them as text sorts them by time: `2026-11-22_20-15-30_fashionmnist_7f3a09`.
    """
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}_{safe or 'run'}_{secrets.token_hex(3)}"


def remove_run(
    where: str | os.PathLike[str] | Location, *, force: bool = False, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Remove a run and everything else in its folder.

    Raises `NotARun` unless the folder is proven to be a run. Raises `RunError` if it contains other runs or, unless
    `force`, if it is being written: it is marked "running" and its process is alive, or may be alive and gave a sign of
    life within the last hour. Raises `StoreError` if the place refuses; the same call then continues with the rest.
    """
    location = Location.of(where, storage_options=storage_options)
    if not is_run(location):
        raise NotARun(f"There is no run in {location}: nothing was removed.")
    files = location.list()
    _refuse_nested(location, files)
    if not force:
        _refuse_running(location)
    if location.path is not None:
        _remove_folder(location.path)
        return
    location.delete(*(entry.name for entry in files if entry.name not in OWN))
    for name in OWN:
        location.delete(name)


def _refuse_another(
    location: Location, there: dict[str, Any], asked: dict[str, Any], may_differ: Collection[str]
) -> None:
    if there["seed"] != asked["seed"]:
        found: tuple[str, Any, Any] | None = ("seed", there["seed"], asked["seed"])
    else:
        old, new = ({k: v for k, v in part["config"].items() if k not in may_differ} for part in (there, asked))
        found = _difference(old, new)
    if found is not None:
        name, old, new = found
        raise RunError(
            f"{location} is the record of another run: {name} was {old!r} there and is {new!r} here. "
            "Use another folder, or the same settings."
        )


def _difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """The first field in which two configurations differ, with its values; `None` if there is none."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        # 1 == 1.0 == True, but they may be computed with differently
        return None if _json(old) == _json(new) else (where, old, new)
    for name in [*new, *(name for name in old if name not in new)]:
        found = _difference(old.get(name, "(absent)"), new.get(name, "(absent)"), f"{where}.{name}" if where else name)
        if found is not None:
            return found
    return None


def _refuse_two_writers(location: Location, process: Any) -> None:
    if alive(process) and process["pid"] != os.getpid():
        raise RunError(
            f"{location} is being written by process {process['pid']} on this machine: wait for it, stop it, or use "
            "another folder."
        )


def _refuse_nested(location: Location, files: list[Entry]) -> None:
    for entry in files:
        folder, slash, name = entry.name.rpartition("/")
        if slash and name in (CONFIG, STATUS) and is_run(location / folder):
            raise RunError(f"{location} holds another run, {folder}: remove or move that one first.")


def _refuse_running(location: Location) -> None:
    try:
        status = read_status(location)
    except RunError:  # damaged: no information
        return
    if status is None or status["status"] != "running":
        return
    lives = alive(status.get("process"))
    if lives or (lives is None and seconds_since(status["updated"]) < _FRESH):
        raise RunError(f"{location} is running: stop it first, or force its removal (--force, force=True).")


def _remove_folder(path: Path) -> None:
    if path.is_symlink():
        raise RunError(f"{path} is a link to {path.resolve()}: remove the run there, then the link.")
    try:
        for child in path.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            elif child.name not in OWN:
                child.unlink(missing_ok=True)
        for name in OWN:
            (path / name).unlink(missing_ok=True)
        path.rmdir()
    except OSError as error:
        raise StoreError(f"{path} could not be removed ({error}): fix that, and remove it again.") from error


def _occupied(location: Location) -> bool:
    path = location.path
    if path is None:
        return bool(location.list())
    try:
        return any(path.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RunError(f"{path} can't hold a run ({error.strerror}): give a new or empty folder.") from error


def _append(path: Path, entry: dict[str, Any]) -> None:
    try:
        json_lines.append(path, entry)
    except OSError as error:
        raise StoreError(f"{path} could not be written ({error.strerror}): check the disk and the path.") from error


def _status(begun: str, resumed: int) -> dict[str, Any]:
    return {
        "format": FORMAT, "status": "running", "begun": begun, "updated": begun, "ended": None, "resumed": resumed,
        "error": None, "process": this_process(),
    }  # fmt: skip


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    plain = _plain(dict(entry), "entry")
    if isinstance(plain.get("epoch"), bool) or not isinstance(plain.get("epoch"), int):
        raise RunError(f"An entry has the epoch {plain.get('epoch')!r}: give its number, counted from 0.")
    return plain


def _plain(value: dict[str, Any], where: str) -> dict[str, Any]:
    """`value` as it will be read back (tuples become lists), without sharing anything with the original."""
    return json_values.loads(json_values.dumps(value, where))


def _json(value: Any) -> bytes:
    return json_values.dumps(value).encode() + b"\n"


def _lines(entries: list[dict[str, Any]]) -> bytes:
    return b"".join(map(_json, entries))
