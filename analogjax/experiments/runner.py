"""`LocalRunner`: runs an experiment on this machine, with progress, checkpoints and exact resumption."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from analogjax import random
from analogjax._typing import Array
from analogjax.errors import AnalogError, ConfigError, NonFiniteError
from analogjax.experiments.hooks import BatchEvent, EpochEvent, Hooks
from analogjax.experiments.loop import Images, Program, RunKeys, TrainState, images_of
from analogjax.experiments.placement import find_device
from analogjax.experiments.training import BasicTraining
from analogjax.nn import Variables
from analogjax.store import CheckpointError, Checkpoints, Location
from analogjax.store.runs import RunRecord

_STRETCH = 0.5  # seconds of work between two looks at the outside world


class Results(list[dict[str, Any]]):
    """The list of dicts that a run returns, one per epoch, with the trained `variables` beside it."""

    def __init__(self, epochs: list[dict[str, Any]], variables: Variables) -> None:
        super().__init__(epochs)
        self.variables = variables


@dataclass(frozen=True)
class LocalRunner:
    """Runs experiments on a device of this machine.

    `device` is a JAX device or its name (`"cpu"`, `"cuda"`, `"tpu:1"`). One `seed` decides everything that is random:
    the chips, the order of the data, every pulse and every noise.
    """

    device: jax.Device | str | None = None

    def run(
        self,
        experiment: BasicTraining,
        max_elements_train: int = 0,
        dataset_root: str | os.PathLike[str] | None = None,
        stdout: bool = True,
        *,
        seed: int = 0,
        variables: Variables | None = None,
        checkpoint_dir: str | os.PathLike[str] | Location | None = None,
        checkpoint_every: int = 1,
        checkpoint_every_steps: int = 0,
        keep_checkpoints: int = 2,
        keep_best: int = 1,
        record: RunRecord | str | os.PathLike[str] | Location | None = None,
        storage_options: Mapping[str, Any] | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - frozen and empty
        progress: bool | None = None,
    ) -> Results:
        """Train and validate; returns one dict per epoch.

        Its entries: `epoch` (from 0), `time_epoch` [s], `accuracy` [0, 1], `train_loss`, `valid_loss`.
        `max_elements_train > 0` uses the first items only, of both splits. With `checkpoint_dir`, a folder or a URL
        (`s3://bucket/run`, `gs://…`; `storage_options` go to its client), a checkpoint is written every
        `checkpoint_every` epochs and, if given, every `checkpoint_every_steps` steps, while training goes on; the same
        call made again, anywhere, goes on from the newest one and ends bit for bit where an uninterrupted run would
        have. The newest `keep_checkpoints` (0: all) and the `keep_best` most accurate are kept. `record` is a folder or
        URL, or a record that was begun (the caller then finishes it): it gets configuration, environment, the metrics
        as they come, and the trained model under `model` (`restore` it from `Checkpoints`). `stdout` prints each epoch,
        `progress` shows a bar (default: on a terminal, when an epoch takes long). `variables` (of an earlier run, say)
        are trained on instead of fresh chips.
        Raises `ConfigError`, `DatasetError`, `CheckpointError`, `RunError`, `StoreError`, `NonFiniteError`.
        """
        device, shows_progress = find_device(self.device), _shows_progress(progress)
        with jax.default_device(device):
            run = _Run.prepare(experiment, max_elements_train, dataset_root, seed, device, variables)
            with ExitStack() as stack:
                # first in, last out: it says "completed" when the last checkpoint is safe
                run.record = stack.enter_context(_recording(record, run.identity, seed, storage_options))
                if checkpoint_dir is not None:
                    _check_intervals(checkpoint_every, checkpoint_every_steps)
                    checkpoints = Checkpoints(
                        checkpoint_dir, keep_last=keep_checkpoints, keep_best=keep_best, background=True,
                        progress=shows_progress, storage_options=storage_options,
                    )  # fmt: skip
                    run.saving = _Saving(stack.enter_context(checkpoints), checkpoint_every, checkpoint_every_steps)
                run.resume()
                # the last checkpoint is safe before Ctrl-C ends the run: the stack unwinds outside
                run.check_interrupt = stack.enter_context(_deferred_interrupt())
                return run.train(stdout, hooks, shows_progress)


@dataclass
class _Saving:
    """Where and how often a run is saved."""

    checkpoints: Checkpoints
    every: int
    every_steps: int


def _check_intervals(every: int, every_steps: int) -> None:
    for name, value in (("checkpoint_every", every), ("checkpoint_every_steps", every_steps)):
        if not isinstance(value, int) or value < 0:
            raise ConfigError(f"{name}={value!r}: needs a whole number, 0 for never.")


@contextmanager
def _recording(
    record: Any, config: dict[str, Any], seed: int, storage_options: Mapping[str, Any] | None
) -> Iterator[RunRecord | None]:
    """The record of the run; one that is begun here is finished here."""
    if record is None or isinstance(record, RunRecord):
        yield record
        return
    begun = RunRecord.begin(record, config=config, seed=seed, storage_options=storage_options, may_differ=("epochs",))
    try:
        yield begun
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        try:
            begun.finish(
                "interrupted" if stopped else "failed", None if stopped else f"{type(error).__name__}: {error}"
            )
        except AnalogError as second:  # the first error is what must be told
            error.add_note(f"And the record could not be finished: {second}")
        raise
    begun.finish("completed")


def _metrics(entry: dict[str, Any]) -> dict[str, float]:
    return {name: entry[name] for name in ("accuracy", "train_loss", "valid_loss")}


def _shows_progress(wanted: bool | None) -> bool:
    return sys.stderr.isatty() if wanted is None else wanted


@dataclass
class _Run:
    """One run in progress."""

    experiment: BasicTraining
    program: Program
    train_data: Images
    test_data: Images
    keys: RunKeys
    state: TrainState
    identity: dict[str, Any]
    saving: _Saving | None = None
    record: RunRecord | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    epoch: int = 0
    step: int = 0  # steps of this epoch that are done
    check_interrupt: Callable[[], None] = lambda: None
    spent: float = 0.0  # seconds spent on this epoch before it was interrupted

    @classmethod
    def prepare(
        cls, experiment: BasicTraining, limit: int, root: Any, seed: int, device: jax.Device, given: Variables | None
    ) -> "_Run":
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigError(f"seed={seed!r}: needs a whole number.")
        train, test = (experiment.dataset.load(root, train=train).head(limit) for train in (True, False))
        train_data, test_data = (images_of(split, experiment.dataset, device) for split in (train, test))
        keys, program = RunKeys.of(random.key(seed)), Program.of(experiment)
        given = experiment.variables if given is None else given
        # bound to the device, as a step leaves it: else the first step would be compiled for itself
        state = jax.device_put(program.start(train_data, keys.init, jax.device_put(given, device)), device)
        sizes = {"seed": seed, "train_items": len(train.labels), "test_items": len(test.labels)}
        return cls(experiment, program, train_data, test_data, keys, state, experiment.describe() | sizes)

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        newest = None if self.saving is None else self.saving.checkpoints.latest()
        if self.saving is None or newest is None:
            return
        saved = self.saving.checkpoints.meta(newest)["identity"]
        different = [name for name in self.identity if saved.get(name) != self.identity[name]]
        if different:
            name = different[0]
            raise CheckpointError(
                f"the checkpoints in {self.saving.checkpoints.folder} are of another run: {name} was "
                f"{saved.get(name)!r} there and is {self.identity[name]!r} here. Use another checkpoint_dir, or the "
                "same settings."
            )
        self.state, meta = self.saving.checkpoints.restore(self.state)
        self.epochs, self.epoch, self.step, self.spent = meta["epochs"], meta["epoch"], meta["step"], meta["spent"]

    def keep_model(self) -> None:
        """Put the trained model into the record."""
        if self.record is None or not self.epochs:
            return
        with Checkpoints(self.record.location / "model", keep_last=1) as models:
            meta = {"identity": self.identity, "epochs": self.epochs}
            models.save(int(self.state.pulsed.step), self.state.variables, meta, _metrics(self.epochs[-1]))

    def save(self, spent: float) -> None:
        """Write a checkpoint of this very moment."""
        assert self.saving is not None
        number = self.epoch * self.state.losses.shape[0] + self.step
        meta = {"identity": self.identity, "epochs": self.epochs, "epoch": self.epoch, "step": self.step}
        validated = self.step == 0 and bool(self.epochs)  # this very state, at the end of an epoch
        metrics = _metrics(self.epochs[-1]) if validated else {}
        self.saving.checkpoints.save(number, self.state, meta | {"spent": spent}, metrics)

    def train(self, stdout: bool, hooks: Hooks, progress: bool) -> Results:
        advance, evaluate, order = self.program.compiled()
        if self.record is not None:
            self.record.go_on_from(self.epochs)
        while self.epoch < self.experiment.epochs:
            begun = time.perf_counter() - self.spent
            rows = order(self.train_data, self.epoch, self.keys.order)
            self._run_epoch(advance, rows, hooks, progress, begun)
            entry = self._validate(evaluate, begun)
            self.epochs.append(entry)
            if self.record is not None:
                self.record.epoch(entry)
            if stdout:
                print(_report(entry, self.test_data.labels.shape[0]), flush=True)
            if hooks.on_epoch is not None:
                hooks.on_epoch(EpochEvent(entry["epoch"], dict(entry), self.state.variables))
            self._next_epoch()
        self.keep_model()
        return Results(self.epochs, self.state.variables)

    def _run_epoch(self, advance: Any, rows: tuple[Array, Array], hooks: Hooks, progress: bool, begun: float) -> None:
        total = int(rows[0].shape[0])
        bar = tqdm(
            total=total, initial=self.step, unit="step", desc=f"epoch {self.epoch}", disable=not progress,
            leave=False, delay=2.0, file=sys.stderr,
        )  # fmt: skip
        stretch = 1 if hooks.on_batch is not None else 16
        with bar:
            while self.step < total:
                self._check()
                due = self._next_save(total)
                stop = min(self.step + stretch, due)
                clock = time.perf_counter()
                self.state = advance(self.state, self.train_data, rows, self.step, stop, self.keys.noise)
                self._look(stop, rows[1], hooks)
                done, self.step = stop - self.step, stop
                bar.update(done)
                if stop == due < total:
                    self.save(time.perf_counter() - begun)
                if hooks.on_batch is None:
                    pace = (time.perf_counter() - clock) / done
                    stretch = max(1, min(8 * stretch, int(_STRETCH / max(pace, 1e-6))))

    def _check(self) -> None:
        """Raises Ctrl-C, and the failure of a checkpoint that was being saved."""
        self.check_interrupt()
        if self.saving is not None:
            self.saving.checkpoints.check()

    def _next_save(self, total: int) -> int:
        """The next step of this epoch after which a checkpoint is due; `total` where none is before its end."""
        every = self.saving.every_steps if self.saving is not None else 0
        return total if every == 0 else min(total, (self.step // every + 1) * every)

    def _look(self, stop: int, weights: Array, hooks: Hooks) -> None:
        """Check the losses of the last stretch, and tell the hook."""
        losses = np.asarray(self.state.losses[self.step : stop])
        if not np.all(np.isfinite(losses)):
            step = self.step + int(np.argmin(np.isfinite(losses)))
            raise NonFiniteError(
                f"the loss became {losses[step - self.step]} in epoch {self.epoch}, step {step}. Is the learning rate "
                f"({self.experiment.learning_rate}) too large, or are there NaNs in the data or the model?"
            )
        if hooks.on_batch is not None:
            items = float(jnp.sum(weights[self.step]))
            hooks.on_batch(BatchEvent(self.epoch, self.step, float(losses[0]) / items, self.state.variables))

    def _validate(self, evaluate: Any, begun: float) -> dict[str, Any]:
        own = jax.random.fold_in(self.keys.validation, self.epoch)
        accuracy, loss = evaluate(self.state.variables, self.test_data, own)
        losses, items = np.asarray(self.state.losses, np.float64), self.test_data.labels.shape[0]
        return {
            "epoch": self.epoch,
            "time_epoch": time.perf_counter() - begun,
            "accuracy": round(float(accuracy) * items) / items,  # a whole number of items, not a float32 near it
            "train_loss": float(losses.sum() / self.train_data.labels.shape[0]),
            "valid_loss": float(loss),
        }

    def _next_epoch(self) -> None:
        self.epoch, self.step, self.spent = self.epoch + 1, 0, 0.0
        self.state = self.state._replace(losses=jnp.zeros_like(self.state.losses))
        last = self.epoch == self.experiment.epochs
        if self.saving is not None and (last or (self.saving.every and self.epoch % self.saving.every == 0)):
            self.save(0.0)


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C inside the block is noted; the function given raises it where the run is in order.

    Raised anywhere else it could be lost, in Orbax's event loop or a callback of the runtime.
    """
    caught: list[int] = []

    def check() -> None:
        if caught:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check  # signals never reach this thread
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
    check()


def _report(entry: dict[str, Any], items: int) -> str:
    return (
        f"Epoch: {entry['epoch']}, loss: {entry['train_loss']:.8f}\n"
        f"Number of images: {items}, accuracy: {entry['accuracy']:.6%}, validation loss: {entry['valid_loss']:.8f}\n"
        f"Time for epoch {entry['epoch']}: {entry['time_epoch']:.4}s"
    )
