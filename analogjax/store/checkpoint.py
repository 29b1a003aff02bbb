"""Checkpoints of one run: pytrees of arrays, each with a JSON `meta`, stored by step number.

Each is a snapshot (`snapshots.py`) named `step_000000000042`. Its manifest holds the table of leaves, the `meta`, the
metrics and the provenance; its `arrays` folder is written by Orbax (`arrays.py`). Orbax writes to a local disk only, so
checkpoints for an object store are staged there. (Given an `s3://` path, Orbax reports success and leaves the arrays in
a local folder named `s3:`.)
"""

from __future__ import annotations

import operator
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from analogjax.errors import AnalogError, ConfigError
from analogjax.store import arrays, json_values
from analogjax.store.background import Background
from analogjax.store.location import Location
from analogjax.store.manifest import NewerFormatError, SnapshotError
from analogjax.store.medium import StoreError
from analogjax.store.provenance import provenance
from analogjax.store.retention import Retention
from analogjax.store.snapshots import snapshots_at

_SHOWN = 3  # differing paths that an error names


class CheckpointError(AnalogError):
    """A checkpoint could not be saved, found or restored; the message states which, why, and what to do."""


class Checkpoints:
    """Checkpoints of one run in a folder, local or in a bucket (`s3://…`, `gs://…`).

    Saving is atomic: a `kill -9` at any moment leaves the older checkpoints and no part of a new one. Several processes
    may use one folder.

    Args:
        folder: Path or URL. A local folder is created if necessary, and cleared of what killed processes left in it.
        keep_last: Newest checkpoints to keep; 0: all.
        keep_best: Best checkpoints to keep in addition, by `metric`.
        keep_every: Keep every step divisible by this number as well; 0: none. See `Retention`.
        metric: Name of the metric that decides which are best.
        mode: "max" if larger is better, else "min".
        background: Save on another thread, one checkpoint at a time. `save` then returns once the arrays are copied,
            and a failure is raised by the next `save`, `check` or `close`. Use it as a context manager, or call
            `close`. Otherwise a checkpoint is complete when `save` returns.
        storage_options: Options for the client of the bucket (`endpoint_url`, credentials, ...).
        progress: Show a progress bar for uploads that take seconds.
        read_only: Never create or change anything in the folder.

    Raises:
        CheckpointError: If the folder can't be used; the message states the remedy.

    Example:
        >>> with Checkpoints("s3://bucket/run", keep_last=3) as checkpoints:
        ...     checkpoints.save(100, tree, meta={"epoch": 2}, metrics={"accuracy": 0.91})
        >>> tree, meta = Checkpoints("s3://bucket/run").restore(like=tree)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | Location,
        *,
        keep_last: int = 2,
        keep_best: int = 0,
        keep_every: int = 0,
        metric: str = "accuracy",
        mode: str = "max",
        read_only: bool = False,
        background: bool = False,
        progress: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the folder; see the class for the arguments."""
        keep_last = _natural(keep_last, "keep_last")
        try:
            self.retention = Retention(keep_last, keep_best, keep_every, metric, mode)  # type: ignore[arg-type]
            location = Location.of(folder, storage_options=storage_options)
            self._snapshots = snapshots_at(location)
        except (ConfigError, StoreError) as error:
            raise CheckpointError(str(error)) from error
        self.folder: Path | str = location.path or location.url
        self.read_only, self.progress = bool(read_only), bool(progress)
        self._background = Background() if background else None
        if not self.read_only:
            with _as_checkpoint_error():
                self._snapshots.prepare()
        elif location.path is not None and not location.path.is_dir():
            raise CheckpointError(f"There is no folder {self.folder} to read checkpoints from: check the path.")

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except CheckpointError as failure:
            if error is None:
                raise
            error.add_note(f"And the last checkpoint could not be saved: {failure}")

    def close(self) -> None:
        """Wait until the last checkpoint is complete. Raises `CheckpointError` if it could not be saved."""
        if self._background is not None:
            self._background.wait()

    def check(self) -> None:
        """Raise the failure of a finished background save; never waits."""
        if self._background is not None:
            self._background.check()

    def save(
        self, step: int, tree: Any, meta: dict[str, Any], metrics: Mapping[str, float] | None = None
    ) -> Path | str:
        """Save a checkpoint, then delete those that are no longer kept.

        Args:
            step: Number of the checkpoint. An existing one with the same number is replaced atomically.
            tree: Any pytree of JAX or NumPy arrays, typed keys and `None`.
            meta: Plain JSON values, and any float.
            metrics: Metrics that decide which checkpoints are best.

        Returns:
            The location of the checkpoint.

        Raises:
            CheckpointError: If the arguments are invalid or the store refuses; nothing is changed then.
        """
        self._refuse_if_read_only("save to")
        name, table = _name(step), _table(tree, "The tree to save")
        if not isinstance(meta, dict):
            raise CheckpointError(f"`meta` is a {type(meta).__name__}; give a dictionary.")
        content = {"step": int(step), "tree": [list(row) for row in table], "meta": meta}
        content["origin"] = provenance()
        content["metrics"] = {key: float(value) for key, value in (metrics or {}).items()}
        try:
            json_values.encode(meta, "meta")
        except TypeError as error:
            raise CheckpointError(str(error)) from None
        if self._background is None:
            self._publish(int(step), tree, content)
        else:
            # the caller may give these buffers away or write into them while they are being saved
            copy = jax.tree.map(_copied, tree, is_leaf=lambda leaf: leaf is None)
            self._background.submit(lambda: self._publish(int(step), copy, content))
        return self.folder / name if isinstance(self.folder, Path) else f"{self.folder}/{name}"

    def steps(self) -> list[int]:
        """Return the steps of all complete checkpoints, ascending.

        Complete: the manifest is valid and every file has its size. Contents are verified by `restore`.
        """
        return sorted(step for step, _ in self._whole())

    def latest(self) -> int | None:
        """Return the last of `steps`, or `None`. To resume, use `restore`, which reports damaged checkpoints."""
        return next((step for step, _ in self._whole()), None)

    def best(self) -> int | None:
        """Return the step with the best metric, `None` if no complete checkpoint has it. NaN is never best."""
        return next(iter(self.retention.ranked(dict(self._whole()))), None)

    def meta(self, step: int) -> dict[str, Any]:
        """Return the `meta` of the checkpoint of `step`. Raises `CheckpointError` if it is absent or damaged."""
        return self._content(step)["meta"]

    def metrics(self, step: int) -> dict[str, float]:
        """Return the metrics of the checkpoint of `step`. Raises `CheckpointError` if it is absent or damaged."""
        return self._content(step).get("metrics", {})

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Restore a checkpoint, after verifying all its files.

        Args:
            step: Number of the checkpoint; by default the newest. Without it, damaged checkpoints are skipped in favour
                of the newest good one, with a `UserWarning` for each.
            like: Pytree of arrays or `jax.ShapeDtypeStruct`s with the structure, shapes and dtypes of the saved tree.
                Leaves get its types and shardings (without one: the default device).

        Returns:
            The tree, bit for bit, and its `meta`.

        Raises:
            CheckpointError: If there is no such checkpoint, if it is damaged (given `step`, no other is tried), belongs
                to another model, or needs a newer version of analogjax.
        """
        table = _table(like, "The tree `like`")
        if step is not None:
            self._refuse_if_absent(step)
            with _as_checkpoint_error():
                return self._read(int(step), like, table)
        damaged: set[int] = set()
        while left := [step for step in self._published() if step not in damaged]:
            newest = left[-1]
            try:
                return self._read(newest, like, table)
            except NewerFormatError as error:
                raise CheckpointError(str(error)) from error
            except SnapshotError as error:
                if newest in self._published():  # else another process deleted or replaced it while we read
                    damaged.add(newest)
                    warnings.warn(f"{error} Step {newest} is passed over for the newest good checkpoint.", stacklevel=2)
        found = f"the checkpoints of steps {sorted(damaged)} are damaged" if damaged else "it has none"
        raise CheckpointError(
            f"There is no checkpoint to restore in {self.folder}: {found}. Check the path or start afresh."
        )

    def delete(self, step: int) -> None:
        """Delete the checkpoint of `step` atomically. Raises `CheckpointError` if there is none."""
        self._refuse_if_read_only("delete from")
        self._refuse_if_absent(step)
        with _as_checkpoint_error():
            self._snapshots.delete(_name(step))

    def _publish(self, step: int, tree: Any, content: dict[str, Any]) -> None:
        with _as_checkpoint_error(), _bar(step, tree, self.progress and not isinstance(self.folder, Path)) as moved:
            self._snapshots.publish(_name(step), lambda folder: arrays.write(folder / "arrays", tree), content, moved)
        self._delete_old(step)

    def _published(self) -> list[int]:
        with _as_checkpoint_error():
            found = self._snapshots.names()
        steps = {int(name[5:]): name for name in found if re.fullmatch(r"step_\d{12,}", name)}
        return sorted(step for step, name in steps.items() if name == _name(step))

    def _content(self, step: int) -> dict[str, Any]:
        self._refuse_if_absent(step)
        with _as_checkpoint_error():
            return self._snapshots.check(_name(step)).meta

    def _whole(self) -> Iterator[tuple[int, float | None]]:
        """The complete checkpoints, newest first, each with its ranking metric; each manifest is read only once."""
        for step in reversed(self._published()):
            try:
                yield step, self._snapshots.check(_name(step)).meta.get("metrics", {}).get(self.retention.metric)
            except NewerFormatError:
                yield step, None  # if left out, a run would silently resume from an older one
            except SnapshotError:
                continue

    def _delete_old(self, saved: int) -> None:
        """Delete superseded checkpoints, but never `saved`: the run may have been rewound."""
        whole, keep = dict(self._whole()), self.retention
        if keep.last == 0 or len(whole) < keep.last:
            return
        superseded = set(keep.superseded(whole))
        if not keep.best and not keep.every:
            # a damaged one might have been the best; where only age counts, it is superseded for certain
            superseded |= {step for step in self._published() if step < sorted(whole)[-keep.last]}
        for step in sorted(superseded - {saved}):
            try:
                self._snapshots.delete(_name(step))
            except SnapshotError as error:
                if step in self._published():  # else another process was faster
                    warnings.warn(f"{error} It is beyond keep_last={keep.last}.", stacklevel=4)

    def _read(self, step: int, like: Any, table: list[arrays.Row]) -> tuple[Any, dict[str, Any]]:
        """Raise `SnapshotError` for a damaged or missing checkpoint, `CheckpointError` for everything else."""
        name = _name(step)
        if not isinstance(self.folder, Path):  # before anything is downloaded
            _refuse_other_model(f"{self.folder}/{name}", self._snapshots.manifest(name).meta, table)
        with self._snapshots.open(name) as (folder, manifest):
            stored = _refuse_other_model(f"{self.folder}/{name}", manifest.meta, table)
            try:
                return arrays.read(folder / "arrays", stored, like), manifest.meta["meta"]
            except (OSError, ValueError) as error:
                kind = CheckpointError if step in self._published() else SnapshotError
                raise kind(f"The checkpoint {self.folder}/{name} could not be restored: {error}") from error

    def _refuse_if_absent(self, step: int) -> None:
        number, published = _natural(step, "step"), self._published()
        if number not in published:
            there = ", ".join(map(str, published)) or "none"
            raise CheckpointError(f"There is no checkpoint of step {number} in {self.folder}; there are: {there}.")

    def _refuse_if_read_only(self, verb: str) -> None:
        if self.read_only:
            raise CheckpointError(f"Cannot {verb} {self.folder}: it was opened with read_only=True. Open it without.")


def _refuse_other_model(where: str, content: dict[str, Any], table: list[arrays.Row]) -> list[arrays.Row]:
    """The stored table of leaves, if it is that of the model."""
    stored = [arrays.Row(leaf, tuple(shape), dtype) for leaf, shape, dtype in content["tree"]]
    if different := arrays.differences(stored, table):
        more = f"\n  and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise CheckpointError(
            f"{where} is a checkpoint of another model than `like`; they differ at\n  "
            + "\n  ".join(different[:_SHOWN])
            + more
            + "\nBuild the model as it was when it was saved, or choose another folder."
        )
    return stored


def _copied(leaf: Any) -> Any:
    if leaf is None or isinstance(leaf, (np.ndarray, np.generic)):
        return None if leaf is None else np.array(leaf)
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.clone(leaf)  # keys are never given away
    return np.array(leaf)


@contextmanager
def _bar(step: int, tree: Any, wanted: bool) -> Iterator[Any]:
    """A progress bar for uploads that take seconds; yields the function that advances it."""
    if not wanted:
        yield None
        return
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    with tqdm(
        total=total, unit="B", unit_scale=True, desc=f"saving step {step}", delay=2.0, leave=False, file=sys.stderr
    ) as bar:
        yield bar.update


def _table(tree: Any, what: str) -> list[arrays.Row]:
    try:
        return arrays.describe(tree)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{what} does not fit into a checkpoint. {error}") from error


def _name(step: int) -> str:
    return f"step_{_natural(step, 'step'):012d}"


def _natural(value: Any, what: str) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise CheckpointError(f"`{what}` is {value!r}; give an integer that is not negative.")
    return number


@contextmanager
def _as_checkpoint_error() -> Iterator[None]:
    try:
        yield
    except SnapshotError as error:
        raise CheckpointError(str(error)) from error
