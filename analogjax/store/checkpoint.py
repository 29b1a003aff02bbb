"""The checkpoints of one run: pytrees of arrays, each with a JSON `meta`, kept under their step number.

Each is a snapshot (`snapshot.py`) named `step_000000000042`, whose manifest holds the table of leaves and the `meta`,
and whose `arrays` folder Orbax wrote (`arrays.py`).
"""

from __future__ import annotations

import operator
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analogjax.errors import AnalogError
from analogjax.store import arrays, json_values, snapshot

_SHOWN = 3  # differing paths that an error names


class CheckpointError(AnalogError):
    """A checkpoint could not be saved, found or restored; the message says which, why, and what to do."""


class Checkpoints:
    """Checkpoints of one run in one local folder, each whole or absent.

    A checkpoint is complete and on the disk when `save` returns; a `kill -9` at any moment leaves the older ones and
    no part of a new one. Several processes may use one folder. `keep_last` checkpoints are kept, all if it is 0.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep_last: int = 2, read_only: bool = False) -> None:
        """Opens `folder`, creates it if need be, and clears away what killed processes left in it.

        With `read_only` nothing in it is ever created or changed. Raises `CheckpointError`, naming the folder and the
        remedy, if it is not a local folder that can be used so.
        """
        self.folder = _local_folder(folder)
        self.keep_last = _natural(keep_last, "keep_last")
        self.read_only = bool(read_only)
        if not self.read_only:
            with _as_checkpoint_error():
                snapshot.prepare(self.folder)
        elif not self.folder.is_dir():
            raise CheckpointError(f"There is no folder {self.folder} to read checkpoints from: check the path.")

    def save(self, step: int, tree: Any, meta: dict[str, Any]) -> Path:
        """Saves `tree` and `meta` as the checkpoint of `step`, then removes older ones beyond `keep_last`.

        `tree`: any pytree of JAX or NumPy arrays, typed keys and `None`. `meta`: what JSON can hold, and any float.
        Returns the folder of the checkpoint, which is on the disk by then. A checkpoint of the same step is replaced,
        safely. Raises `CheckpointError`, with everything as before, if the arguments do not fit (nothing is written)
        or the disk refuses.
        """
        self._refuse_if_read_only("save to")
        name = _name(step)
        table = _table(tree, "The tree to save")
        if not isinstance(meta, dict):
            raise CheckpointError(f"`meta` is a {type(meta).__name__}; give a dictionary.")
        try:
            json_values.encode(meta, "meta")
        except TypeError as error:
            raise CheckpointError(str(error)) from None
        with _as_checkpoint_error():
            path = snapshot.publish(
                self.folder,
                name,
                lambda folder: arrays.write(folder / "arrays", tree),
                {"step": int(step), "tree": [list(row) for row in table], "meta": meta},
            )
        self._delete_old(int(step))
        return path

    def steps(self) -> list[int]:
        """Returns the steps of the whole checkpoints, ascending.

        Whole: the manifest is valid and every file is there in its size. Contents are checked by `restore`.
        """
        return [step for step, path in sorted(self._published().items()) if _is_whole(path)]

    def latest(self) -> int | None:
        """Returns the last of `steps`, `None` if there is none. To resume, use `restore`: it reports damaged ones."""
        return max(self.steps(), default=None)

    def meta(self, step: int) -> dict[str, Any]:
        """Returns the `meta` of the checkpoint of `step`. Raises `CheckpointError` if it is absent or damaged."""
        with _as_checkpoint_error():
            return snapshot.check(self._path(step)).meta["meta"]

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
            with _as_checkpoint_error():
                return _read(self._path(step), like, table)
        damaged: set[int] = set()
        while left := {step: path for step, path in self._published().items() if step not in damaged}:
            newest = max(left)
            try:
                return _read(left[newest], like, table)
            except snapshot.NewerFormatError as error:
                raise CheckpointError(str(error)) from error
            except snapshot.SnapshotError as error:
                if left[newest].exists():  # else another process deleted or replaced it while we read
                    damaged.add(newest)
                    warnings.warn(f"{error} Step {newest} is passed over for the newest good checkpoint.", stacklevel=2)
        found = f"the checkpoints of steps {sorted(damaged)} are damaged" if damaged else "it has none"
        raise CheckpointError(
            f"There is no checkpoint to restore in {self.folder}: {found}. Check the path or start afresh."
        )

    def delete(self, step: int) -> None:
        """Deletes the checkpoint of `step`, as a whole. Raises `CheckpointError` if there is none."""
        self._refuse_if_read_only("delete from")
        with _as_checkpoint_error():
            snapshot.delete(self._path(step))

    def _published(self) -> dict[int, Path]:
        with _as_checkpoint_error():
            found = snapshot.list_snapshots(self.folder)
        steps = {int(name[5:]): name for name in found if re.fullmatch(r"step_\d{12,}", name)}
        return {step: found[name] for step, name in steps.items() if name == _name(step)}

    def _path(self, step: int) -> Path:
        number, published = _natural(step, "step"), self._published()
        if number not in published:
            there = ", ".join(map(str, sorted(published))) or "none"
            raise CheckpointError(f"There is no checkpoint of step {number} in {self.folder}; there are: {there}.")
        return published[number]

    def _delete_old(self, saved: int) -> None:
        """Removes what is older than the newest `keep_last` whole ones, but not `saved`: the run may be rewound."""
        whole = self.steps()
        if self.keep_last == 0 or len(whole) < self.keep_last:
            return
        oldest_kept = whole[-self.keep_last]
        for step, path in self._published().items():
            if step < oldest_kept and step != saved:
                try:
                    snapshot.delete(path)
                except snapshot.SnapshotError as error:
                    if path.exists():  # else another process was faster
                        warnings.warn(f"{error} It is beyond keep_last={self.keep_last}.", stacklevel=3)

    def _refuse_if_read_only(self, verb: str) -> None:
        if self.read_only:
            raise CheckpointError(f"Cannot {verb} {self.folder}: it was opened with read_only=True. Open it without.")


def _read(path: Path, like: Any, table: list[arrays.Row]) -> tuple[Any, dict[str, Any]]:
    """Raises `SnapshotError` for a damaged or vanished checkpoint, `CheckpointError` for everything else."""
    content = snapshot.verify(path).meta
    stored = [arrays.Row(leaf, tuple(shape), dtype) for leaf, shape, dtype in content["tree"]]
    if different := arrays.differences(stored, table):
        more = f"\n  and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise CheckpointError(
            f"{path} is a checkpoint of another model than `like`; they differ at\n  "
            + "\n  ".join(different[:_SHOWN])
            + more
            + "\nBuild the model as it was when it was saved, or choose another folder."
        )
    try:
        return arrays.read(path / "arrays", stored, like), content["meta"]
    except (OSError, ValueError) as error:
        kind = CheckpointError if path.exists() else snapshot.SnapshotError
        raise kind(f"The checkpoint {path} could not be restored: {error}") from error


def _is_whole(path: Path) -> bool:
    try:
        snapshot.check(path)
    except snapshot.NewerFormatError:
        return True  # or a run would silently go on from an older one
    except snapshot.SnapshotError:
        return False
    return True


def _table(tree: Any, what: str) -> list[arrays.Row]:
    try:
        return arrays.describe(tree)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{what} does not fit into a checkpoint. {error}") from error


def _local_folder(folder: str | os.PathLike[str]) -> Path:
    text = os.fsdecode(folder)
    # pathlib turns "s3://bucket" into "s3:/bucket". One letter and a colon may be a Windows drive.
    if "://" in text or re.match(r"[A-Za-z][A-Za-z0-9+.:-]+:/", text):
        raise CheckpointError(
            f"{text!r} is not a local folder: cloud storage is not supported by this version of analogjax. "
            "Give a local folder, and copy it to the cloud afterwards."
        )
    if not text:
        raise CheckpointError("The folder for checkpoints is an empty string: give the path of a local folder.")
    return Path(os.path.abspath(os.path.expanduser(text)))


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
    except snapshot.SnapshotError as error:
        raise CheckpointError(str(error)) from error
