"""`LightningBackup`: Lightning's checkpoints in our store, and exact resumption within an epoch."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import warnings
import weakref
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np

from analogjax.callbacks import random_state
from analogjax.callbacks.arguments import plain_settings, whole
from analogjax.errors import AnalogError
from analogjax.experiments import fingerprint
from analogjax.store import CheckpointError, Checkpoints, Location


def _lightning() -> Any:
    """Lightning under whichever of its two names it is installed. Raises `ImportError` if it is not."""
    try:
        return import_module("lightning.pytorch")
    except ImportError:
        return import_module("pytorch_lightning")


Callback: Any = _lightning().Callback


class LightningBackup(Callback):
    """Backs up a training of Lightning's `Trainer`, from which it resumes exactly, within an epoch too.

    A backup is a checkpoint as Lightning itself writes it, with the states of Python's, NumPy's and PyTorch's random
    generators. Run the same script again, with `ckpt_path=backup.newest()`, on this or another machine: the training
    goes on after the batch at which the newest backup was made and ends with the same bits as one that was never
    interrupted. It is also saved when it is ended by Ctrl-C, which then waits for the end of the batch, or by an
    exception between two training steps.

    Within an epoch, Lightning begins the data loader anew. Wrap it in `Resumable`, which goes on with the next batch;
    `StatefulDataLoader` of torchdata does so as well, except that its order must come from a generator that it saves.
    On several devices every process must be started again, and only the first one writes.

    Args:
        folder: Folder or URL (`s3://bucket/run`, `gs://...`). One training per folder.
        every: Epochs between backups; 0: none at the ends of epochs.
        every_steps: Batches between backups within an epoch; 0: none.
        keep_last: Newest backups to keep; 0: all.
        keep_best: Best backups to keep in addition, by `metric`; only the ends of epochs are compared.
        metric: An entry of `trainer.callback_metrics`.
        mode: "min" if smaller is better, else "max".
        settings: Plain values that must be equal for a training to be resumed, such as the batch size or the learning
            rate. The shapes of the model are compared anyway.
        storage_options: Options for the client of an object store.

    Raises:
        CheckpointError: If the folder cannot be used, or, when `fit` begins, holds backups of another training.
        ConfigError: For an invalid argument.

    Example:
        >>> backup = LightningBackup("s3://bucket/run", every_steps=500)
        >>> trainer = Trainer(callbacks=[backup], max_epochs=20)
        >>> trainer.fit(model, Resumable(loader), ckpt_path=backup.newest())
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | Location,
        *,
        every: int = 1,
        every_steps: int = 0,
        keep_last: int = 2,
        keep_best: int = 1,
        metric: str = "val_loss",
        mode: str = "min",
        settings: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the folder; see the class for the arguments."""
        self.every = whole("LightningBackup", "every", every)
        self.every_steps = whole("LightningBackup", "every_steps", every_steps)
        self.metric, self.settings = metric, plain_settings("LightningBackup", settings)
        self.checkpoints = Checkpoints(
            folder, keep_last=keep_last, keep_best=keep_best, metric=metric, mode=mode, background=True,
            storage_options=storage_options,
        )  # fmt: skip
        self._copies: Path | None = None
        self._resumed: dict[str, Any] | None = None
        self._handler: Any = None
        self._interrupts: list[int] = []
        self._inside = False  # a training step or a validation
        self._within = True  # an epoch, when the state was saved
        self._saved = -1

    def newest(self) -> str | None:
        """A local copy of the newest backup that is whole, for `ckpt_path`; `None` if there is none yet.

        It is removed with this object. Raises `CheckpointError` if the folder holds checkpoints of something else.
        """
        for step in reversed(self.checkpoints.steps()):
            try:
                return str(self._copy(step))
            except CheckpointError as error:
                if "lightning" not in self.checkpoints.meta(step):
                    raise
                warnings.warn(f"{error} It is passed over for the one before.", stacklevel=2)
        return None

    def best(self) -> dict[str, Any] | None:
        """The best epoch over all restarts: `epoch` (from 0) and its `metrics`; `None` if no epoch has the metric."""
        self.checkpoints.close()
        step = self.checkpoints.best()
        if step is None:
            return None
        return {"epoch": self.checkpoints.meta(step)["epoch"], "metrics": self.checkpoints.metrics(step)}

    def best_checkpoint(self) -> str:
        """A local copy of the best backup, as for `load_from_checkpoint`. Raises `CheckpointError` if there is none."""
        self.checkpoints.close()
        step = self.checkpoints.best()
        if step is None:
            raise CheckpointError(
                f"{self.checkpoints.folder} has no epoch with the metric {self.metric!r}: log it in a validation_step "
                "or at the end of an epoch, and use keep_best=1."
            )
        return str(self._copy(step))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Refuse to mix two trainings, put the random generators back, and take over Ctrl-C."""
        newest = self.checkpoints.latest()
        if newest is not None:
            self._refuse_another(trainer, pl_module, self.checkpoints.meta(newest))
        self._interrupts, self._inside = [], False
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, lambda number, frame: self._interrupts.append(number))
        if self._resumed is not None:
            random_state.restore(self._resumed["random"])
            if not self._resumed["within"]:
                # Lightning has begun this pass already, twice, and drawn its order; it has no public way to begin it
                iter(trainer.fit_loop._data_fetcher)
            self._resumed = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """From here on the state is in between two steps."""
        self._inside = True

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if it is due, or if Ctrl-C was pressed."""
        self._inside = False
        self.checkpoints.check()
        last = trainer.is_last_batch  # what follows belongs to the end of the epoch
        due = self.every_steps and (batch_idx + 1) % self.every_steps == 0
        if (due or self._interrupts) and not last:
            self._save(trainer, pl_module)
            if self._interrupts:
                raise KeyboardInterrupt

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning counts what it validated, and can't go on within it exactly."""
        self._inside = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The state is whole again."""
        self._inside = False

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Save, with the metric if there is one."""
        found = trainer.callback_metrics.get(self.metric)
        metrics = {} if found is None else {self.metric: float(found)}
        last = trainer.current_epoch + 1 == trainer.max_epochs or trainer.should_stop
        if last or self._interrupts or (self.every and (trainer.current_epoch + 1) % self.every == 0):
            self._save(trainer, pl_module, metrics)
        if self._interrupts:
            raise KeyboardInterrupt

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Save what was done, unless the exception came from within a step."""
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        try:
            if self._inside or trainer.is_last_batch:  # between the last batch and the end of the epoch
                where = "a step" if self._inside else "the end of an epoch"
                exception.add_note(f"It happened within {where}, so nothing was saved; the newest backup is older.")
            elif trainer.training and step and step != self._saved:
                self._save(trainer, pl_module)
            self.checkpoints.close()
        except AnalogError as second:
            exception.add_note(f"And the training could not be backed up: {second}")
        self._let_go()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Wait until the last backup is complete. Raises `CheckpointError` if it could not be saved."""
        self._let_go()
        self.checkpoints.close()

    def state_dict(self) -> dict[str, Any]:
        """What Lightning keeps of this callback in its checkpoint: the random state."""
        return {"random": random_state.capture(), "within": self._within}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the random state until the training starts."""
        self._resumed = state_dict

    def _save(self, trainer: Any, pl_module: Any, metrics: Mapping[str, float] | None = None) -> None:
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        self._within = metrics is None
        with tempfile.TemporaryDirectory(prefix="analogjax-") as folder:
            file = Path(folder) / "lightning.ckpt"
            trainer.save_checkpoint(file)  # on every process: those of a strategy write it together
            if trainer.is_global_zero:
                content = np.frombuffer(file.read_bytes(), np.uint8)
                meta = {"lightning": True, "epoch": trainer.current_epoch, "bytes": content.size}
                self.checkpoints.save(step, {"file": content}, meta | self._identity(trainer, pl_module), metrics)
        self._saved = step

    def _identity(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        shapes = {name: [list(one.shape), str(one.dtype)] for name, one in pl_module.state_dict().items()}
        optimizers = [type(one).__name__ for one in trainer.optimizers]
        return {"model": shapes, "optimizers": optimizers, "settings": self.settings}

    def _refuse_another(self, trainer: Any, pl_module: Any, saved: dict[str, Any]) -> None:
        if trainer.ckpt_path is None:
            raise CheckpointError(
                f"{self.checkpoints.folder} holds a training already: pass ckpt_path=backup.newest() to `fit` to go on "
                "with it, or choose another folder."
            )
        for name, here in self._identity(trainer, pl_module).items():
            if saved.get(name) != here:
                path, was, now = fingerprint.place_of_difference(saved.get(name), here)
                raise CheckpointError(
                    f"{self.checkpoints.folder} is the backup of another training: {name}{path} was "
                    f"{fingerprint.shown(was)} there and is {fingerprint.shown(now)} here. Use the same settings, or "
                    "choose another folder."
                )

    def _copy(self, step: int) -> Path:
        meta = self.checkpoints.meta(step)
        if "lightning" not in meta:
            raise CheckpointError(
                f"{self.checkpoints.folder} holds checkpoints of something else than Lightning: choose another folder."
            )
        content, _ = self.checkpoints.restore({"file": jax.ShapeDtypeStruct((meta["bytes"],), np.uint8)}, step)
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="analogjax-"))
            weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        file = self._copies / f"step_{step}.ckpt"
        file.write_bytes(np.asarray(content["file"]).tobytes())
        return file

    def _let_go(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None
