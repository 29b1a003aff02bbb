r"""`sweep`: many runs of one experiment, over seeds, chips, learning rates, device parameters, or anything else.

Runs that share a program (same model, loss, batch size, data and epochs; seeds, chips, learning rates and traced values
may differ) are trained together in one compiled call per stretch of steps. The others follow one another. With a
`root`, each run is an ordinary record there, named by its values, and a sweep that was killed repeats only what is
missing.

    root/3f2a9c1b07de/     config.json, environment.json, status.json, metrics.jsonl, identity.json, model/
    root/together/...      checkpoints of runs in progress, removed when they have ended
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax

from analogjax._field_docs import document_fields
from analogjax.errors import ConfigError
from analogjax.experiments.interrupt import deferred_interrupt
from analogjax.experiments.placement import find_device
from analogjax.experiments.progress import Progress
from analogjax.experiments.run import NO_VARIABLES, Results
from analogjax.experiments.runner import LocalRunner
from analogjax.experiments.sweep_data import SweepData
from analogjax.experiments.sweep_plan import Factory, Plan, Planned, shown_value
from analogjax.experiments.sweep_points import Axes
from analogjax.experiments.sweep_records import Described, SavedTogether, SweepRecords
from analogjax.experiments.tile_record import weights_of
from analogjax.experiments.together import Together
from analogjax.experiments.training import BasicTraining
from analogjax.nn import mixes_items
from analogjax.store import Location


@document_fields
@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep."""

    point: dict[str, Any]
    """Values of the axes."""
    name: str
    """Of its folder below the root; the same values always get the same name."""
    results: Results
    """One dict per epoch, as `LocalRunner` returns them, and the trained `variables`; these are None for a run that was
    read from its record.
    """
    error: str | None = None
    """Why it failed; its results end before that. None: it was completed."""
    location: str | None = None
    """Folder or URL of its record."""
    was_recorded: bool = False
    """Whether it was completed by an earlier call, and only read."""

    def row(self) -> dict[str, Any]:
        """Its values and last results as one flat row."""
        best = max((entry["accuracy"] for entry in self.results if "accuracy" in entry), default=None)
        last = {name: value for name, value in (self.results[-1] if self.results else {}).items() if name != "epoch"}
        return {
            **{name: shown_value(value) for name, value in self.point.items()},
            "epochs": self.point.get("epochs", len(self.results)),
            **{name: value for name, value in last.items() if name != "time_epoch"},
            "best_accuracy": best,
            "seconds": sum(entry["time_epoch"] for entry in self.results),
            "error": self.error,
            "run": self.location or self.name,
        }


class SweepResults(list[SweepRun]):
    """The runs of a sweep, in the order of its points."""

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict per run, for a table; `report.write_sweep_table` writes them as CSV or Parquet."""
        return [run.row() for run in self]

    def best(self, metric: str = "accuracy", mode: str = "max") -> SweepRun:
        """The completed run whose last value of a metric is the highest (`max`) or lowest (`min`); NaN is neither.

        Raises `ConfigError` if no completed run has that metric.
        """
        if mode not in ("max", "min"):
            raise ConfigError(f"best(mode={mode!r}): give 'max' or 'min'.")
        having = [run for run in self if run.error is None and run.results and metric in run.results[-1]]
        if not having:
            raise ConfigError(f"best({metric!r}): no completed run has that metric.")
        rated = [run for run in having if not math.isnan(run.results[-1][metric])]
        if not rated:
            raise ConfigError(f"best({metric!r}): it is NaN in all completed runs.")
        return (max if mode == "max" else min)(rated, key=lambda run: run.results[-1][metric])


def sweep(
    experiment: BasicTraining | Factory,
    axes: Axes,
    *,
    samples: int = 0,
    sample_seed: int = 0,
    root: str | os.PathLike[str] | Location | None = None,
    storage_options: Mapping[str, Any] | None = None,
    max_elements_train: int = 0,
    dataset_root: str | os.PathLike[str] | None = None,
    device: jax.Device | str | None = None,
    at_once: int | None = None,
    memory: float = 4e9,
    keep_models: bool = True,
    config: Described | None = None,
    stop_on_error: bool = False,
    progress: bool | None = None,
    on_run: Callable[[SweepRun], None] | None = None,
) -> SweepResults:
    """Train an experiment at many points.

    Args:
        experiment: A training whose fields are the axes; or a function of the axes (without `seed` and `chip`) that
            returns one, for anything else: `lambda dw_min: BasicTraining(Digits, model_of(dw_min))`.
        axes: Values by name. Lists are combined with one another; `Uniform` and `LogUniform` are drawn. `seed` and
            `chip` are those of `LocalRunner.run`. For a function, an **array** of floats (or `traced=True`) is given as
            traced values, so that all its runs share one program, as devices' parameters can; a **list** of numbers is
            given as plain values, of which each is compiled by itself. Learning rates share a program in any case.
        samples: Draws from the distributions.
        sample_seed: Seed of these draws.
        root: Folder or URL for the records of the runs; None: nothing is recorded. The same call made again reads the
            completed runs and makes the others; with more values, only those that are new. Ctrl-C saves what is being
            trained, for the next call to go on with.
        storage_options: Options for the client of an object store.
        max_elements_train: Use only the first items of both splits; 0: all.
        dataset_root: Folder in which the dataset is found, or to which it is downloaded.
        device: Where to run; None: JAX's default device.
        at_once: Runs computed side by side; None: one on a CPU, which gives the bits of `LocalRunner`, and all of a
            call on accelerators. More than one rounds sums in another order. On CPUs, 8 to 64 are faster for small
            networks.
        memory: Bytes that one compiled call may take, about; more runs are made in several calls.
        keep_models: Write each trained model to its record, under `model`.
        config: Further values for the configuration in the record of a run, from the values of its axes.
        stop_on_error: Raise the first error of a run; otherwise it is recorded, and the others go on.
        progress: Show a bar; None: on a terminal, and a line each minute elsewhere.
        on_run: Called with each run that has ended, those read from their records included.

    Returns:
        The runs in the order of the points.

    Raises:
        ConfigError, DatasetError: If an axis, an experiment or its data are invalid; before the first run begins.
        RunError, StoreError: If records can't be written, or are of another experiment. NonFiniteError and others of a
        run with `stop_on_error`.

    Example:
        >>> found = sweep(experiment, {"learning_rate": [0.02, 0.1], "seed": range(4), "chip": range(4)}, root="sweep")
        >>> found.best().point
    """
    _check_numbers(at_once=at_once, memory=memory)
    place, chosen = None if root is None else Location.of(root, storage_options=storage_options), find_device(device)
    plan = Plan.of(experiment, axes, samples, sample_seed, max_elements_train)
    with jax.default_device(chosen), deferred_interrupt() as check_interrupt:
        data = SweepData(max_elements_train, dataset_root, chosen, memory, at_once)
        records = None if place is None else SweepRecords(place, data, keep_models, config)
        work = _Sweep(plan, data, records, stop_on_error, progress, on_run, check_interrupt)
        return work.run()


@dataclass
class _Sweep:
    plan: Plan
    data: SweepData
    records: SweepRecords | None
    stop_on_error: bool
    progress: bool | None
    on_run: Callable[[SweepRun], None] | None
    check_interrupt: Callable[[], None]
    ended: dict[str, SweepRun] = field(default_factory=dict)

    def run(self) -> SweepResults:
        """Make all runs that are missing."""
        groups = [self.data.checked(group) for group in self.plan.groups(self.plan.runs)]
        for run, results in self.records.completed(self.plan.runs) if self.records is not None else []:
            self._end(run, results, None, was_recorded=True)
        left = [[run for run in group if run.name not in self.ended] for group in groups]
        steps = sum(self.data.steps(run) for group in left for run in group)
        with Progress("sweep", steps, shown=self.progress) as bar:
            for group in left:
                self._group(group, bar)
        return SweepResults(self.ended[run.name] for run in self.plan.runs)

    def _group(self, group: list[Planned], bar: Progress) -> None:
        if len(group) > 1:
            shared = self.data.shared(self.plan, group)
            for part in self.data.parts(shared, group, self.plan):
                together = self.data.together(shared, part, self.plan)
                if mixes_items(together.state.variables.collections) and self.data.has_rest(group[0]):
                    break  # the last batch of an epoch is not padded then
                self._together(part, together, bar)
            else:
                return
        for run in group:
            self._alone(run, bar)

    def _together(self, group: list[Planned], together: Together, bar: Progress) -> None:
        with self._recorded(group) as saved:
            if saved is not None:
                saved.resume(together)
            bar.advance(together.taken * len(group))
            known = saved is not None and together.taken == 0
            before = [weights_of(together.variables(n)) if known else None for n in range(len(group))]

            try:
                self._train(together, group[0].experiment.epochs, saved, bar)
            except KeyboardInterrupt:
                if saved is not None:
                    saved.save(together)
                raise
        for n, run in enumerate(group):
            results, error = Results(together.entries[n], together.variables(n)), together.errors[n]
            text = None if error is None else f"{type(error).__name__}: {error}"
            if self.records is not None:
                self.records.finish(run, results, together.step(n), text, before[n])
            self._end(run, results, text)
        if saved is not None:
            saved.remove()

    def _train(self, together: Together, epochs: int, saved: SavedTogether | None, bar: Progress) -> None:
        def looked(steps: int) -> None:
            bar.advance(steps * len(together.members), f"{len(self.ended)} of {len(self.plan.runs)} runs")
            self.check_interrupt()
            if saved is not None:
                saved.save_if_due(together)

        while together.epoch < epochs:
            together.run_epoch(looked)
            if self.stop_on_error and any(together.errors):
                raise next(error for error in together.errors if error is not None)

    def _alone(self, run: Planned, bar: Progress) -> None:
        """A run that shares its program with no other, or can't be computed with others."""
        record = None if self.records is None else self.records.begin(run)
        runner, text = LocalRunner(device=self.data.device), None
        try:
            results = runner.run(
                run.experiment, self.data.max_elements, self.data.root, False, seed=run.seed, chip=run.chip,
                record=record, checkpoint_dir=None if record is None else record.checkpoints, progress=False,
            )  # fmt: skip
        except Exception as error:
            if self.records is not None:
                self.records.fail(run, f"{type(error).__name__}: {error}")
            if self.stop_on_error:
                raise
            text = f"{type(error).__name__}: {error}"
            results = getattr(error, "results", None) or Results([], NO_VARIABLES)
        except BaseException:
            if self.records is not None:
                self.records.interrupt([run])
            raise
        if self.records is not None and text is None:
            self.records.complete(run)
        self._end(run, results, text)
        bar.advance(self.data.steps(run), f"{len(self.ended)} of {len(self.plan.runs)} runs")

    @contextmanager
    def _recorded(self, group: list[Planned]) -> Iterator[SavedTogether | None]:
        """Records of runs in progress; they say how the block ends, if it does not end well."""
        if self.records is None:
            yield None
            return
        self.records.begin_all(group)
        try:
            yield self.records.saved(group)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self.records.interrupt(group)
            else:
                for run in group:
                    self.records.fail(run, f"{type(error).__name__}: {error}")
            raise

    def _end(self, run: Planned, results: Results, error: str | None, was_recorded: bool = False) -> None:
        where = None if self.records is None else self.records.url(run)
        self.ended[run.name] = SweepRun(run.point, run.name, results, error, where, was_recorded)
        if self.on_run is not None:
            self.on_run(self.ended[run.name])


def _check_numbers(at_once: int | None, memory: float) -> None:
    if at_once is not None and (isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1):
        raise ConfigError(f"sweep(at_once={at_once!r}): needs a whole number above 0, or None.")
    if isinstance(memory, bool) or not isinstance(memory, (int, float)) or not memory > 0:
        raise ConfigError(f"sweep(memory={memory!r}): needs bytes above 0.")
