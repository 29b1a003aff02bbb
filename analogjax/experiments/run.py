"""A training in progress: its epochs, its reports, and its checkpoints."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax.errors import ConfigError
from analogjax.experiments import fingerprint, stretch
from analogjax.experiments.epoch_results import epoch_entry, not_finite
from analogjax.experiments.feed import Feed, Piece
from analogjax.experiments.hooks import BatchEvent, EpochEvent, Hooks
from analogjax.experiments.loop import Program, RunKeys, TrainState
from analogjax.experiments.losses import cross_entropy_loss, mse_loss, nll_loss
from analogjax.experiments.options import CheckpointOptions, EarlyStop, StopTraining
from analogjax.experiments.progress import Progress
from analogjax.experiments.tile_record import FILE as TILES
from analogjax.experiments.tile_record import tile_record, weights_of
from analogjax.experiments.training import BasicTraining
from analogjax.nn import Variables, mixes_items
from analogjax.nn.model import outputs_like
from analogjax.store import CheckpointError, Checkpoints, json_values
from analogjax.store.runs import RunRecord

_LOOK_EVERY = 0.5  # seconds of work between two looks at the outside world


NO_VARIABLES: Any = None
"""Of a run that was read from its record, or failed before its first epoch."""


class Results(list[dict[str, Any]]):
    """Results of a run: a list of dicts, one per epoch, with the trained `variables` as an attribute."""

    def __init__(self, epochs: list[dict[str, Any]], variables: Variables) -> None:
        super().__init__(epochs)
        self.variables = variables


@dataclass
class Saving:
    """Where and how often a run is saved."""

    checkpoints: Checkpoints
    options: CheckpointOptions


@dataclass
class Run:
    """One run in progress."""

    experiment: BasicTraining
    program: Program
    feed: Feed
    keys: RunKeys
    state: TrainState
    seed: int
    given: str | None  # a hash of the variables that were given
    chip: int = 0
    saving: Saving | None = None
    record: RunRecord | None = None
    early_stop: EarlyStop | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    epoch: int = 0
    step: int = 0  # steps of this epoch that are done
    loss: float = 0.0  # summed over the items of this epoch
    items: int = 0  # of this epoch
    check_interrupt: Callable[[], None] = lambda: None
    spent: float = 0.0  # seconds spent on this epoch before it was interrupted
    own: dict[str, Any] = field(default_factory=dict)  # the identity, where the run is saved
    before: dict[str, np.ndarray] | None = None  # weights before training, where the run is recorded from its beginning

    @classmethod
    def begin(
        cls, experiment: BasicTraining, feed: Feed, keys: RunKeys, seed: int, chip: int, device: jax.Device, given: Any
    ) -> "Run":
        """Make a run that has not done anything yet."""
        program = Program.of(experiment)
        # bound to the device, as a step leaves it: else the first step would be compiled for itself
        started = program.start(feed.example, keys.init, jax.device_put(given, device), feed.steps)
        state = jax.device_put(started, device)
        named = None if given is None else fingerprint.of_tree(given)
        run = cls(experiment, program, feed, keys, state, seed, named, chip)
        check_classes(experiment, state.variables, feed)
        run._check_metrics()
        return run

    @property
    def described(self) -> dict[str, Any]:
        """Description of the run for its record."""
        return self.experiment.describe() | {"seed": self.seed} | self._chip | self.feed.sizes()

    @property
    def _chip(self) -> dict[str, int]:
        return {"chip": self.chip} if self.chip else {}

    def identity(self) -> dict[str, Any]:
        """What must be equal in another run for it to continue this one, compared by contents."""
        experiment, variables = self.experiment, self.state.variables
        x, y = self.feed.example.batch(jnp.arange(min(4, experiment.batch_size)))
        outputs = outputs_like(experiment.model, variables, x)
        of_data = self.feed.identity() | self._chip
        return of_data | {
            "seed": self.seed,
            "batch_size": experiment.batch_size,
            "model": fingerprint.of_model(experiment.model),
            "shapes": fingerprint.shapes_of(variables),
            "variables": self.given,
            "learning_rate": fingerprint.rate_or_error(experiment.learning_rate),
            "optimizer": fingerprint.of_optimizer(self.program.digital_optimizer, variables.params),
            "loss_function": fingerprint.of_loss(experiment.loss_function, outputs, y),
            "metrics": {name: fingerprint.of_loss(metric, outputs, y) for name, metric in experiment.metrics.items()},
        }

    def resume(self) -> None:
        """Resume from the newest checkpoint, if there is one. Raises `CheckpointError` if it belongs to another run."""
        if self.saving is None:
            return
        self.own = self.identity()
        newest = self.saving.checkpoints.latest()
        if newest is None:
            return
        saved = self.saving.checkpoints.meta(newest)["identity"]
        different = fingerprint.differences(saved, self.own)
        if different:
            found = fingerprint.place_of_difference(saved.get(different[0]), self.own[different[0]])
            path, (was, here) = found[0], map(fingerprint.shown, found[1:])
            raise CheckpointError(
                f"the checkpoints in {self.saving.checkpoints.folder} are of another run: {', '.join(different)} differ"
                f"{'s' if len(different) == 1 else ''}; {different[0]}{path} was {was} there and is {here} here. Use "
                "another checkpoint_dir, or the same settings."
            )
        self.state, meta = self.saving.checkpoints.restore(self.state)
        self.epochs, self.epoch, self.step, self.spent = meta["epochs"], meta["epoch"], meta["step"], meta["spent"]
        self.loss, self.items = meta["loss"], meta["items"]
        self.feed.resume(meta["feed"], self.epoch, self.step)

    def keep_model(self) -> None:
        """Write the trained model to the record."""
        if self.record is not None and self.epochs:
            keep_model(self.record, int(self.state.pulsed.step), self.state.variables, self.described, self.epochs)
            keep_tiles(self.record, self.before, self.state.variables)

    def save(self, spent: float) -> None:
        """Write a checkpoint of the current state."""
        assert self.saving is not None
        meta = {
            "identity": self.own, "epochs": self.epochs, "epoch": self.epoch, "step": self.step,
            "spent": spent, "loss": self.loss, "items": self.items, "feed": self.feed.state(),
        }  # fmt: skip
        validated = self.step == 0 and bool(self.epochs)  # this very state, at the end of an epoch
        metrics = _metrics(self.epochs[-1]) if validated else {}
        self.saving.checkpoints.save(int(self.state.pulsed.step), self.state, meta, metrics)

    def train(self, stdout: bool, hooks: Hooks, progress: bool | None) -> Results:
        """Train all remaining epochs. Any exception carries the results so far as `error.results`."""
        if self.record is not None:
            self.record.go_on_from(self.epochs)
            self.before = weights_of(self.state.variables) if self.epoch == self.step == 0 else None
        try:
            while self.epoch < self.experiment.epochs and not self._stops():
                self._whole_epoch(stdout, hooks, progress)
        except StopTraining:
            self._last_save()
        except KeyboardInterrupt:
            self._last_save()
            raise
        except Exception as error:
            setattr(error, "results", Results(self.epochs, self.state.variables))  # noqa: B010 - of any error
            raise
        self.keep_model()
        return Results(self.epochs, self.state.variables)

    def _whole_epoch(self, stdout: bool, hooks: Hooks, progress: bool | None) -> None:
        begun = time.perf_counter() - self.spent
        self._run_epoch(hooks, progress, begun)
        entry, items = self._validate(begun)
        self.epochs.append(entry)
        if self.record is not None:
            self.record.epoch(entry)
        if stdout:
            print(_report(entry, items), flush=True)
        self.epoch, self.step, self.spent, self.loss, self.items = self.epoch + 1, 0, 0.0, 0.0, 0
        self.state = self.state._replace(losses=jnp.zeros_like(self.state.losses))
        stopped = None
        try:
            if hooks.on_epoch is not None:
                hooks.on_epoch(EpochEvent(entry["epoch"], dict(entry), self.state.variables))
        except StopTraining as error:
            stopped = error
        last = self.epoch == self.experiment.epochs or stopped is not None or self._stops()
        if self.saving is not None and (last or self._is_due(self.saving.options.every)):
            self.save(0.0)
        if stopped is not None:
            raise stopped

    def _stops(self) -> bool:
        return self.early_stop is not None and self.early_stop.due(self.epochs)

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.epoch % every == 0

    def _last_save(self) -> None:
        """Save the current state after a stop within an epoch; between epochs, the last checkpoint has it."""
        if self.saving is not None and self.step:
            self.save(0.0)

    def _run_epoch(self, hooks: Hooks, progress: bool | None, begun: float) -> None:
        compiled = self.program.compiled()
        bar, before = Progress(f"epoch {self.epoch}", self.feed.total, done=self.step, shown=progress), self.step
        with bar:
            for piece in self.feed.pieces(self.epoch, self.step, compiled.order, self._next_save):
                self._run_piece(piece, compiled.advance, hooks, bar, begun)
        if self.step == before and not self.items:
            raise ConfigError(f"epoch {self.epoch} had no batches: its iterator is exhausted. Use a list or function.")

    def _run_piece(self, piece: Piece, advance: Callable, hooks: Hooks, bar: Progress, begun: float) -> None:
        for part in self._parts(piece):
            self._run_part(part, advance, hooks, bar, begun)

    def _parts(self, piece: Piece) -> list[Piece]:
        """The piece itself; if the model mixes the items of a batch, its last batch is separate and not padded."""
        size = piece.rows[0].shape[1]
        left = piece.items - (piece.steps - 1) * size
        if left == size or not mixes_items(self.state.variables.collections):
            return [piece]
        whole = piece._replace(steps=piece.steps - 1, items=piece.items - left)
        rows = piece.rows[0][piece.steps - 1 : piece.steps, :left], piece.rows[1][piece.steps - 1 : piece.steps, :left]
        last = Piece(piece.data, rows, piece.first + piece.steps - 1, 1, left)
        return [part for part in (whole, last) if part.steps and self.step < part.first + part.steps]

    def _run_part(self, piece: Piece, advance: Callable, hooks: Hooks, bar: Progress, begun: float) -> None:
        end, taken = piece.first + piece.steps, 1 if hooks.on_batch is not None else stretch.FIRST
        while self.step < end:
            self._check()
            due = self._next_save(self.step)
            stop, clock = min(self.step + taken, due, end), time.perf_counter()
            rows = (self.step - piece.first, stop - piece.first)
            self.state = advance(self.state, piece.data, piece.rows, *rows, self.keys.noise)
            done = self._count(rows, piece)
            bar.advance(done)
            if hooks.on_batch is not None:
                items = float(jnp.sum(piece.rows[1][rows[0]]))
                loss = float(self.state.losses[rows[0]]) / items
                hooks.on_batch(BatchEvent(self.epoch, self.step - 1, loss, self.state.variables))
            if stop == due and not self._ends(stop):
                self.save(time.perf_counter() - begun)
            if hooks.on_batch is None:
                pace = (time.perf_counter() - clock) / done
                taken = stretch.after(taken, pace, _LOOK_EVERY)

    def _ends(self, step: int) -> bool:
        return self.feed.total is not None and step >= self.feed.total

    def _check(self) -> None:
        """Raise a deferred Ctrl-C, or the failure of a checkpoint saved in the background."""
        self.check_interrupt()
        if self.saving is not None:
            self.saving.checkpoints.check()

    def _next_save(self, step: int) -> int:
        """The next step of this epoch after which a checkpoint is due; beyond every epoch if none is."""
        every = self.saving.options.every_steps if self.saving is not None else 0
        return sys.maxsize if every == 0 else (step // every + 1) * every

    def _count(self, rows: tuple[int, int], piece: Piece) -> int:
        """Mark the last steps as done, after checking their losses; returns how many there were."""
        losses = np.asarray(self.state.losses)[slice(*rows)]
        error = not_finite(losses, self.epoch, self.step, self.experiment.learning_rate)
        if error is not None:
            raise error
        for loss in losses:  # one by one: the same sum wherever an epoch is cut
            self.loss += float(loss)
        self.step += len(losses)
        if self.step == piece.first + piece.steps:
            self.items += piece.items
        return len(losses)

    def _validate(self, begun: float) -> tuple[dict[str, Any], int]:
        """The results of this epoch, and the number of items tested."""
        own, sums, items = jax.random.fold_in(self.keys.validation, self.epoch), None, 0
        evaluate = self.program.compiled().evaluate
        for n, (data, rows, count) in enumerate(self.feed.tests()):
            key = jax.random.fold_in(own, n) if n else own
            found = {name: float(value) for name, value in evaluate(self.state.variables, data, rows, key).items()}
            sums = found if sums is None else {name: sums[name] + value for name, value in found.items()}
            items += count
        assert sums is not None
        seconds, classes = time.perf_counter() - begun, self.feed.example.labels.ndim == 1
        return epoch_entry(self.epoch, seconds, self.loss / self.items, sums, items, classes), items

    def _check_metrics(self) -> None:
        """Call each metric once, so that one that raises does so before the first step."""
        if self.experiment.metrics:
            data, rows, _ = next(self.feed.tests())
            jax.eval_shape(self.program.evaluate, self.state.variables, data, rows, jax.random.key(0))


def check_classes(experiment: BasicTraining, variables: Variables, feed: Feed) -> None:
    """Refuse labels beyond the outputs, which losses that pick one output would take for other classes or turn into
    NaN. Of the variables, only the shapes matter.
    """
    if experiment.loss_function in (nll_loss, cross_entropy_loss, mse_loss):
        x, _ = feed.example.batch(jnp.zeros((1,), jnp.int32))
        shape = outputs_like(experiment.model, variables, x).shape
        if len(shape) == 2:
            feed.check_classes(shape[-1])


def keep_model(
    record: RunRecord, step: int, variables: Variables, described: dict[str, Any], epochs: list[dict[str, Any]]
) -> None:
    """Write a trained model to the record of its run, under `model`."""
    with Checkpoints(record.location / "model", keep_last=1) as models:
        models.save(step, variables, {"identity": described, "epochs": epochs}, _metrics(epochs[-1]))


def keep_tiles(record: RunRecord, before: Mapping[str, np.ndarray] | None, variables: Variables) -> None:
    """Write to the record of a run what training did to each layer; `before` are the weights before it, if known."""
    record.add(TILES, json_values.dumps(tile_record(before, variables), TILES).encode())


def _metrics(entry: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if name not in ("epoch", "time_epoch")}


def _report(entry: dict[str, Any], items: int) -> str:
    accuracy = f"accuracy: {entry['accuracy']:.6%}, " if "accuracy" in entry else ""
    known = ("epoch", "time_epoch", "accuracy", "train_loss", "valid_loss")
    own = "".join(f", {name}: {value:.8g}" for name, value in entry.items() if name not in known)
    return (
        f"Epoch: {entry['epoch']}, loss: {entry['train_loss']:.8f}\n"
        f"Number of images: {items}, {accuracy}validation loss: {entry['valid_loss']:.8f}{own}\n"
        f"Time for epoch {entry['epoch']}: {entry['time_epoch']:.4}s"
    )
