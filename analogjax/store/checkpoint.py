"""The checkpoints of one run: pytrees of arrays, each with a JSON `meta`, kept under their step number.

Each is a snapshot (`snapshots.py`) named `step_000000000042`, whose manifest holds the table of leaves, the `meta`, the
metrics and where it came from, and whose `arrays` folder Orbax wrote (`arrays.py`). Orbax writes to a local disk only;
what goes to a bucket is staged there. (Given an `s3://` path itself, Orbax reports success and leaves the arrays in a
local folder named `s3:`.)
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
    """A checkpoint could not be saved, found or restored; the message says which, why, and what to do."""


class Checkpoints:
    """Checkpoints of one run in one folder, local or in a bucket (`s3://…`, `gs://…`), each whole or absent.

    A `kill -9` at any moment leaves the older ones and no part of a new one. Several processes may use one folder.
    Without `background` a checkpoint is complete and safe when `save` returns. With it, `save` copies the arrays and
    returns; the rest happens on another thread, one save at a time. Its failure is raised by the next `save`, `check`
    or `close`; use it as a context manager, or call `close`. What is kept is up to `keep_last` (0: all), `keep_best`
    by `metric`, and `keep_every`, see `Retention`.
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
        """Opens `folder`; a local one is created if need be, and cleared of what killed processes left in it.

        `storage_options` go to the client of the bucket (`endpoint_url`, credentials, ...). `progress` shows a bar for
        uploads that take seconds. With `read_only` nothing in the folder is ever created or changed. Raises
        `CheckpointError`, naming the folder and the remedy, if it can't be used so.
        """
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
        """Returns when the last checkpoint is safe. Raises `CheckpointError` if it could not be saved."""
        if self._background is not None:
            self._background.wait()

    def check(self) -> None:
        """Raises the failure of a save in the background that has ended; never waits."""
        if self._background is not None:
            self._background.check()

    def save(
        self, step: int, tree: Any, meta: dict[str, Any], metrics: Mapping[str, float] | None = None
    ) -> Path | str:
        """Saves `tree` and `meta` as the checkpoint of `step`, then removes those that are no longer kept.

        `tree`: any pytree of JAX or NumPy arrays, typed keys and `None`. `meta`: what JSON can hold, and any float.
        `metrics` decide what is best. Returns where the checkpoint is. A checkpoint of the same step is replaced,
        safely. Raises `CheckpointError`, with everything as before, if the arguments do not fit (nothing is written)
        or the store refuses.
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
        """Returns the steps of the whole checkpoints, ascending.

        Whole: the manifest is valid and every file is there in its size. Contents are checked by `restore`.
        """
        return sorted(step for step, _ in self._whole())

    def latest(self) -> int | None:
        """Returns the last of `steps`, `None` if there is none. To resume, use `restore`: it reports damaged ones."""
        return next((step for step, _ in self._whole()), None)

    def best(self) -> int | None:
        """Returns the step with the best metric, `None` if no whole checkpoint has it. NaN is never best."""
        return next(iter(self.retention.ranked(dict(self._whole()))), None)

    def meta(self, step: int) -> dict[str, Any]:
        """Returns the `meta` of the checkpoint of `step`. Raises `CheckpointError` if it is absent or damaged."""
        return self._content(step)["meta"]

    def metrics(self, step: int) -> dict[str, float]:
        """Returns the metrics of the checkpoint of `step`. Raises `CheckpointError` if it is absent or damaged."""
        return self._content(step).get("metrics", {})

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Returns the tree, bit for bit, and the `meta` of the checkpoint of `step`, by default of the newest.

        `like`: a pytree of arrays or `jax.ShapeDtypeStruct`s with the structure, shapes and dtypes of the saved tree;
        leaves get the type and sharding that they have there (none: default device). All files are verified first.
        Without `step`, damaged checkpoints are passed over for the newest good one, with a `UserWarning` for each.

        Raises `CheckpointError` if there is no such checkpoint or it is damaged (with `step`: no other is tried), if
        it belongs to another model, or if only a newer version of analogjax can read it.
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
        """Deletes the checkpoint of `step`, as a whole. Raises `CheckpointError` if there is none."""
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
        """The whole checkpoints, newest first, each with the metric that ranks it; its manifest is read once."""
        for step in reversed(self._published()):
            try:
                yield step, self._snapshots.check(_name(step)).meta.get("metrics", {}).get(self.retention.metric)
            except NewerFormatError:
                yield step, None  # left out, a run would silently go on from an older one
            except SnapshotError:
                continue

    def _delete_old(self, saved: int) -> None:
        """Removes what is superseded, but not `saved`: the run may be rewound."""
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
        """Raises `SnapshotError` for a damaged or vanished checkpoint, `CheckpointError` for everything else."""
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
    """A bar of uploaded bytes, for uploads that take seconds; yields what to call as they go."""
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
