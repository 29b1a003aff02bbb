"""`LocalRunner`: runs experiments on this machine, with progress, checkpoints and exact resumption."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import jax

from analogjax import random
from analogjax._field_docs import document_fields
from analogjax.errors import AnalogError, ConfigError
from analogjax.experiments.dataset import Batches
from analogjax.experiments.feed import Feed, Streamed, Whole
from analogjax.experiments.hooks import Hooks
from analogjax.experiments.inferencing import BasicInferencing, run_inference
from analogjax.experiments.interrupt import deferred_interrupt
from analogjax.experiments.loop import RunKeys
from analogjax.experiments.options import CheckpointOptions, EarlyStop
from analogjax.experiments.placement import find_device
from analogjax.experiments.run import Results as Results
from analogjax.experiments.run import Run, Saving
from analogjax.experiments.training import BasicTraining
from analogjax.nn import Variables
from analogjax.store import Checkpoints, Location
from analogjax.store.runs import RunRecord


@document_fields
@dataclass(frozen=True)
class LocalRunner:
    """Runs experiments on a device of this machine.

    Example:
        >>> results = LocalRunner(device="cpu").run(BasicTraining(FashionMNIST, model), seed=1)
        >>> accuracy = results[-1]["accuracy"]
    """

    device: jax.Device | str | None = None
    """Where to run, such as "cpu" or "gpu:1"; None: JAX's default device."""

    def run(
        self,
        experiment: BasicTraining | BasicInferencing,
        max_elements_train: int = 0,
        dataset_root: str | os.PathLike[str] | None = None,
        stdout: bool = True,
        *,
        seed: int = 0,
        chip: int = 0,
        variables: Variables | None = None,
        checkpoint_dir: str | os.PathLike[str] | Location | None = None,
        checkpoints: CheckpointOptions = CheckpointOptions(),  # noqa: B008 - frozen
        record: RunRecord | str | os.PathLike[str] | Location | None = None,
        storage_options: Mapping[str, Any] | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - frozen and empty
        early_stop: EarlyStop | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Train and validate an experiment.

        Args:
            experiment: What to train. A `BasicInferencing` is passed to `run_inference` with `seed`,
                `max_elements_train` and `dataset_root`; nothing of it is saved.
            max_elements_train: Use only the first items of both splits; 0: all.
            dataset_root: Folder in which the dataset is found, or to which it is downloaded.
            stdout: Print each epoch.
            seed: Determines everything random: the devices, the order of the data, every pulse and every noise.
            chip: Number of the chip: each has other devices, with the order of the data, the pulses and the noise of
                `seed`. Only without `variables`, which are on chips of their own.
            variables: Trained variables to continue training from, instead of fresh tiles.
            checkpoint_dir: Folder or URL (`s3://bucket/run`, `gs://...`) for checkpoints. The same call made again, on
                any machine, resumes from the newest checkpoint and ends with the same bits as an uninterrupted run.
                Ctrl-C saves the step it is at.
                Data, model, optimiser, loss and learning rates are compared by content, and checkpoints of another run
                are refused.
            checkpoints: How often to save, and what to keep.
            record: Folder, URL, or a record already begun (which the caller then finishes). It receives the
                configuration, the environment, the metrics as they come, and the trained model under `model`.
            storage_options: Options for the client of an object store.
            hooks: Functions that observe the run; one that raises `StopTraining` ends it, and the results are returned.
            early_stop: Stop when a metric no longer improves.
            progress: Show a progress bar, if an epoch takes long; None: on a terminal or in a notebook, and a line each
                minute elsewhere.

        Returns:
            `Results`: one dict per epoch, with `epoch` (from 0), `time_epoch` [s], `accuracy` [0, 1] (if labels are
            classes), `train_loss`, `valid_loss` and the metrics of the experiment; and the trained `variables`. An
            exception after some epochs has them as `error.results`.

        Raises:
            ConfigError, DatasetError, NonFiniteError: If the experiment or its data are invalid. CheckpointError,
            RunError, StoreError: If checkpoints or the record can't be written or read, or belong to another run.
        """
        device, shows_progress = find_device(self.device), _shows_progress(progress)
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigError(f"seed={seed!r}: needs a whole number.")
        given = getattr(experiment, "variables", None) if variables is None else variables
        _check_chip(chip, given)
        if isinstance(experiment, BasicInferencing):
            _refuse_for_inference(
                chip=chip or None, variables=variables, checkpoint_dir=checkpoint_dir, record=record,
                early_stop=early_stop,
            )  # fmt: skip
            return run_inference(
                experiment, seed=seed, max_elements=max_elements_train, dataset_root=dataset_root, device=device
            )
        every_steps = 0 if checkpoint_dir is None else checkpoints.every_steps
        with jax.default_device(device):
            keys = RunKeys.of(random.key(seed), chip)
            feed = _feed(experiment, max_elements_train, dataset_root, every_steps, device, keys)
            run = Run.begin(experiment, feed, keys, seed, chip, device, given)
            run.early_stop = early_stop
            with ExitStack() as stack:
                # first in, last out: the status becomes "completed" after the last checkpoint is complete
                run.record = stack.enter_context(_recording(record, run.described, seed, storage_options))
                if checkpoint_dir is not None:
                    saved = _checkpoints(checkpoint_dir, checkpoints, feed, shows_progress, storage_options)
                    run.saving = Saving(stack.enter_context(saved), checkpoints)
                run.resume()
                # the last checkpoint is safe before Ctrl-C ends the run: the stack unwinds outside
                run.check_interrupt = stack.enter_context(deferred_interrupt())
                return run.train(stdout, hooks, progress)


def _check_chip(chip: object, variables: Any) -> None:
    if isinstance(chip, bool) or not isinstance(chip, int) or not 0 <= chip < 2**31:
        raise ConfigError(f"chip={chip!r}: needs a whole number, 0 or more.")
    if chip and variables is not None:
        raise ConfigError(f"chip={chip}: the given variables are on chips of their own; leave out one of them.")


def _feed(
    experiment: BasicTraining, limit: int, root: Any, every_steps: int, device: jax.Device, keys: RunKeys
) -> Feed:
    data = experiment.dataset
    if not isinstance(data, Batches):
        return Whole(data, limit, root, experiment.batch_size, device, keys.order)
    if limit > 0:
        raise ConfigError(f"max_elements_train={limit}: it does not apply to batches; use Batches.steps.")
    return Streamed(data, experiment.batch_size, every_steps, device)


def _checkpoints(
    folder: Any, options: CheckpointOptions, feed: Feed, progress: bool, storage_options: Mapping[str, Any] | None
) -> Checkpoints:
    best = ("accuracy", "max") if feed.example.classified else ("valid_loss", "min")
    return Checkpoints(
        folder, keep_last=options.keep_last, keep_best=options.keep_best, metric=best[0], mode=best[1],
        background=True, progress=progress, storage_options=storage_options,
    )  # fmt: skip


def _refuse_for_inference(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]}=...: is for trainings only; an inference has no checkpoints and no record.")


@contextmanager
def _recording(
    record: Any, config: dict[str, Any], seed: int, storage_options: Mapping[str, Any] | None
) -> Iterator[RunRecord | None]:
    """The record of the run; one begun here is finished here."""
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
        except AnalogError as second:  # the first error is the one to report
            error.add_note(f"And the record could not be finished: {second}")
        raise
    begun.finish("completed")


def _shows_progress(wanted: bool | None) -> bool:
    return sys.stderr.isatty() if wanted is None else wanted
