"""`KerasBackup`: whole-state backups of `keras.Model.fit`, and exact resumption."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from analogjax.callbacks import keras_state, random_state
from analogjax.callbacks.arguments import plain_settings, whole
from analogjax.errors import AnalogError, ConfigError
from analogjax.experiments import fingerprint
from analogjax.store import CheckpointError, Checkpoints, Location


class KerasBackup(keras.callbacks.Callback):
    """Backs up everything that `keras.Model.fit` has, and resumes exactly where the training was when it ended.

    A backup holds the weights, the optimizer, the metrics, the seed generators of the layers, the epoch, the batch
    within the epoch, the history, and the states of Python's, NumPy's and PyTorch's random generators. Run the same
    script again, on this or another machine: `fit` begins where the newest backup was made and ends with the same bits
    as a training that was never interrupted. Batches that were trained already are drawn and passed over, not trained.

    Used as a context manager around `fit`, it also saves when the training is ended by Ctrl-C, which then waits for the
    end of the batch, or by an exception outside the training step and the validation, as of the data or a callback.

    The order of arrays and of `PyDataset`s with `shuffle=True` comes back. Data must be the same and start anew in each
    epoch: a generator that goes on over epochs (`steps_per_epoch`) or reorders itself cannot be put back from here.
    Keras must run on JAX or PyTorch.

    Args:
        folder: Folder or URL (`s3://bucket/run`, `gs://...`). One training per folder.
        every: Epochs between backups; 0: none at the ends of epochs but the last.
        every_steps: Calls of the training step (batches, unless `steps_per_execution` is set) between backups within an
            epoch; 0: none.
        keep_last: Newest backups to keep; 0: all.
        keep_best: Best backups to keep in addition, by `metric`; only the ends of epochs are compared.
        metric: An entry of the logs of an epoch.
        mode: "min" if smaller is better, else "max".
        restore_best: Give the model the weights of the best epoch when the training ends.
        settings: Plain values that must be equal for a training to be resumed, such as the batch size or a hash of the
            data. The model, its layers, what it was compiled with, and the batches per epoch are compared anyway.
        callbacks: Other callbacks of this training whose numbers are backed up too, such as `EarlyStopping` and
            `ReduceLROnPlateau`, which else begin anew.
        storage_options: Options for the client of an object store.

    Raises:
        CheckpointError: If the folder cannot be used, or, when `fit` begins, holds backups of another training.
        ConfigError: For an invalid argument.

    Example:
        >>> with KerasBackup("s3://bucket/run", every_steps=500, metric="val_loss") as backup:
        ...     model.fit(x, y, epochs=20, validation_data=test, callbacks=[backup])
        >>> backup.load_best(model)
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
        restore_best: bool = False,
        settings: Mapping[str, Any] | None = None,
        callbacks: Sequence[Any] = (),
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the folder; see the class for the arguments."""
        super().__init__()
        self.every = whole("KerasBackup", "every", every)
        self.every_steps = whole("KerasBackup", "every_steps", every_steps)
        self.metric, self.restores_best, self.others = metric, bool(restore_best), list(callbacks)
        self.settings = plain_settings("KerasBackup", settings)
        if restore_best and not keep_best:
            raise ConfigError(
                "KerasBackup(restore_best=True, keep_best=0): the best would not be kept; use keep_best=1."
            )
        self.checkpoints = Checkpoints(
            folder, keep_last=keep_last, keep_best=keep_best, metric=metric, mode=mode, background=True,
            storage_options=storage_options,
        )  # fmt: skip
        self._reset()

    def _reset(self) -> None:
        self._epoch = self._done = self._total = 0  # steps of this epoch and of all; a step is a call of train_function
        self._skip = 0  # steps of this epoch that an earlier process has done
        self._resumed: tuple[keras_state.State, dict[str, Any]] | None = None
        self._logs: dict[str, float] | None = None  # of an epoch that has ended and is not saved yet
        self._begun: dict[str, Any] = {}  # the random state when this epoch began
        self._inside = self._running = False  # within a training step; within `fit`
        self._saved: tuple[int, int] | None = None
        self._identity: dict[str, Any] = {}
        self._interrupts: list[int] = []
        self._train: Callable | None = None
        self._testing = False
        self._last_logs: dict[str, Any] = {}  # of the last step

    def __enter__(self) -> KerasBackup:
        self._interrupts = []
        self._handler: Any = None
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, lambda number, frame: self._interrupts.append(number))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        try:
            if error is not None:
                self._save_if_whole(error)
            self.checkpoints.close()
        except AnalogError as second:
            if error is None:
                raise
            error.add_note(f"And the training could not be backed up: {second}")
        finally:
            self._put_back()
        if error is None and self._interrupts:
            raise KeyboardInterrupt

    def on_train_begin(self, logs: Any = None) -> None:
        """Find the newest backup. Raises `CheckpointError` if it is of another training."""
        interrupts = self._interrupts
        self._put_back()
        self._reset()
        self._interrupts, self._running = interrupts, True
        self._wrap()
        model, newest = self.model, self.checkpoints.latest()
        if not model.built:
            raise ConfigError(
                "KerasBackup: the model has no weights yet. Call model.build(shape), or give it an Input."
            )
        if keras.backend.backend() == "tensorflow":
            raise ConfigError(
                "KerasBackup: Keras runs on TensorFlow, whose shuffling and metrics can't be put back exactly. Set "
                "KERAS_BACKEND=jax or KERAS_BACKEND=torch before Keras is imported."
            )
        if any(getattr(one, "restore_best_weights", False) for one in self.others):
            raise ConfigError(
                "KerasBackup: EarlyStopping(restore_best_weights=True) keeps weights that are not backed up. Leave "
                "that out and use KerasBackup(restore_best=True), which finds the best epoch over all restarts."
            )
        self._identity = keras_state.identity(model) | {"steps": self.params.get("steps"), "settings": self.settings}
        self._identity["backend"] = keras.backend.backend()
        model._initial_epoch = None
        if newest is not None:
            self._find(newest)

    def _find(self, newest: int) -> None:
        saved, where = self.checkpoints.meta(newest), str(self.checkpoints.folder)
        if "keras" not in saved:
            raise CheckpointError(f"{where} holds checkpoints of something else than Keras: choose another folder.")
        keras_state.refuse_other_variables(saved["variables"], self.model, where)
        self._refuse_other_settings(saved["identity"], where)
        tree, meta = self.checkpoints.restore(keras_state.like(saved["arrays"]))
        self._resumed, self._last_logs, self._saved = (tree, meta), meta["logs"], (meta["epoch"], meta["done"])
        self._total, self._epoch = meta["total"], meta["epoch"]
        if meta["finished"] and meta["epochs"] >= (self.params.get("epochs") or 0):
            self._epoch = self.params["epochs"]  # it had stopped early, and is not asked for more
        # Keras begins at this epoch, as its own BackupAndRestore has it
        self.model._initial_epoch = self._epoch
        self._take_over_history(meta)
        if self._epoch >= self.params["epochs"]:
            keras_state.assign(self.model, tree)

    def _refuse_other_settings(self, saved: dict[str, Any], where: str) -> None:
        different = [name for name in self._identity if saved.get(name) != self._identity[name]]
        if different:
            first = different[0]
            path, was, here = fingerprint.place_of_difference(saved.get(first), self._identity[first])
            raise CheckpointError(
                f"{where} is the backup of another training: {', '.join(different)} differ; {first}{path} was "
                f"{fingerprint.shown(was)} there and is {fingerprint.shown(here)} here. Build and compile the model "
                "anew with the same settings, or choose another folder."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Save the epoch before, which by now all callbacks have seen; or take over the backup."""
        if self._resumed is not None:
            tree, meta = self._resumed
            self._take_over(tree, meta)
            self._skip = meta["done"]
            random_state.restore(meta["begun"] if self._skip else meta["random"])
            self._resumed = (tree, meta) if self._skip else None
        elif self._logs is not None:
            self._save_epoch()
            if self._interrupts:
                raise KeyboardInterrupt
        self._epoch, self._done, self._begun = epoch, 0, random_state.capture()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Put everything back once more, as others set things when an epoch begins."""
        if self._resumed is not None and self._skip and self._done == 0:
            keras_state.assign(self.model, self._resumed[0])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save if it is due, or if Ctrl-C was pressed."""
        self.checkpoints.check()
        if self._skip:
            return
        self._last_logs = logs or {}
        if self._interrupts:
            raise KeyboardInterrupt  # `__exit__` saves
        if self.every_steps and self._done % self.every_steps == 0:
            self._save()

    def on_test_begin(self, logs: Any = None) -> None:
        """Keras reuses the metrics of the training from here to the end of the epoch."""
        self._testing = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Remember the results of an epoch; they are saved once all callbacks have seen them."""
        self._logs = {name: float(value) for name, value in (logs or {}).items() if np.ndim(value) == 0}
        self._epoch, self._done, self._testing = epoch + 1, 0, False

    def on_train_end(self, logs: Any = None) -> None:
        """Save the end, and restore the best weights if that was asked for."""
        if self._resumed is not None:
            self._take_over_history(self._resumed[1])
        if self._logs is not None:
            self._save_epoch(finished=True)
        self._put_back()
        self._running = False
        self.checkpoints.close()
        if self.restores_best:
            self.load_best(self.model)

    def best(self) -> dict[str, Any] | None:
        """The best epoch over all restarts: `epoch` (from 0) and its `metrics`; `None` if none has the metric."""
        self.checkpoints.close()
        step = self.checkpoints.best()
        if step is None:
            return None
        return {"epoch": self.checkpoints.meta(step)["epoch"] - 1, "metrics": self.checkpoints.metrics(step)}

    def load_best(self, model: Any) -> dict[str, Any]:
        """Give `model` the weights of the best epoch; returns what `best` does. Raises `CheckpointError` if none is."""
        found, step = self.best(), self.checkpoints.best()
        if found is None or step is None:
            raise CheckpointError(
                f"{self.checkpoints.folder} has no epoch with the metric {self.metric!r}: name one that is in the logs "
                "of an epoch (those of the validation need validation_data), and use keep_best=1."
            )
        meta, where = self.checkpoints.meta(step), str(self.checkpoints.folder)
        keras_state.refuse_other_variables(meta["variables"], model, where, keras_state.WEIGHTS)
        tree, _ = self.checkpoints.restore(keras_state.like(meta["arrays"]), step)
        keras_state.assign(model, {group: tree[group] for group in keras_state.WEIGHTS})
        return found

    def _take_over(self, tree: keras_state.State, meta: dict[str, Any]) -> None:
        keras_state.assign(self.model, tree)
        self._take_over_history(meta)
        for callback, numbers in zip(self.others, meta["callbacks"], strict=False):
            vars(callback).update(numbers)

    def _take_over_history(self, meta: dict[str, Any]) -> None:
        history = getattr(self.model, "history", None)
        if history is not None:
            history.epoch = list(meta["history"]["epoch"])
            history.history = {name: list(values) for name, values in meta["history"]["history"].items()}

    def _wrap(self) -> None:
        """Count the calls of the training step, and pass over those that an earlier process has done."""
        train = self.model.train_function
        stateless = keras.backend.backend() == "jax"

        def step(*arguments: Any) -> Any:
            if self._skip:
                _draw(arguments[-1], self.model.steps_per_execution)
                self._passed_over()
                logs = dict(self._last_logs)
                return (logs, arguments[0]) if stateless else logs
            self._inside = True
            result = train(*arguments)
            self._inside, self._done, self._total = False, self._done + 1, self._total + 1
            return result

        self._train, self.model.train_function = train, step

    def _passed_over(self) -> None:
        assert self._resumed is not None
        self._done, self._skip = self._done + 1, self._skip - 1
        if not self._skip:
            random_state.restore(self._resumed[1]["random"])
            self._resumed = None

    def _put_back(self) -> None:
        if self._train is not None:
            self.model.train_function, self._train = self._train, None

    def _save_epoch(self, finished: bool = False) -> None:
        logs, self._logs = self._logs or {}, None
        if finished or (self.every and self._epoch % self.every == 0) or self._interrupts:
            self._save({self.metric: logs[self.metric]} if self.metric in logs else {}, finished)

    def _save(self, metrics: Mapping[str, float] | None = None, finished: bool = False) -> None:
        history, model = getattr(self.model, "history", None), self.model
        state = keras_state.read(model)
        meta = {
            "keras": keras.version(), "identity": self._identity, "variables": keras_state.table(model),
            "arrays": keras_state.shapes(state),
            "epoch": self._epoch, "done": self._done, "total": self._total, "epochs": self.params["epochs"],
            "finished": finished, "random": random_state.capture(), "begun": self._begun if self._done else {},
            "history": {"epoch": list(getattr(history, "epoch", [])),
                        "history": _listed(getattr(history, "history", {}))},
            "logs": _scalars(self._last_logs), "callbacks": [_scalars(vars(one)) for one in self.others],
        }  # fmt: skip
        self.checkpoints.save(self._total, state, meta, metrics)
        self._saved = self._epoch, self._done

    def _save_if_whole(self, error: BaseException) -> None:
        """After an exception: save if nothing is half done."""
        if not self._running or self._skip or self._saved == (self._epoch, self._done) or not self._total:
            return
        if self._inside or self._testing:
            place = "the validation" if self._testing else "a training step"
            error.add_note(f"It happened within {place}, so nothing was saved; the newest backup is resumed from.")
        elif self._logs is not None:
            self._save({self.metric: self._logs[self.metric]} if self.metric in self._logs else {})
        else:
            self._save()


def _draw(source: Any, batches: int) -> None:
    """Take the batches of one step from an iterator, as the step would; a list of them was taken already."""
    if not hasattr(source, "__next__"):
        return
    next(source)
    with suppress(StopIteration):
        for _ in range(batches - 1):
            next(source)


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that are numbers, as Python's, or text or None."""
    found = {}
    for name, value in values.items():
        if value is None or isinstance(value, (bool, int, float, str)):
            found[name] = value
        elif isinstance(value, np.generic) or (keras.ops.is_tensor(value) and np.ndim(value) == 0):
            found[name] = np.asarray(keras.ops.convert_to_numpy(value)).item()
    return found


def _listed(history: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: [np.asarray(one).tolist() for one in values] for name, values in history.items()}
