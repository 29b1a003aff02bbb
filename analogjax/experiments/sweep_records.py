"""The records of a sweep: a folder per run, and checkpoints of the runs that are trained together."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from analogjax.experiments import fingerprint
from analogjax.experiments.dataset import Batches
from analogjax.experiments.run import NO_VARIABLES, Results, keep_model, keep_tiles
from analogjax.experiments.sweep_data import SweepData
from analogjax.experiments.sweep_plan import Planned, identity_of, shown_value
from analogjax.experiments.together import Together
from analogjax.store import Checkpoints, Location
from analogjax.store.medium import NotFound
from analogjax.store.run_folder import NotARun, RunError, read_run
from analogjax.store.runs import RunRecord
from analogjax.store.transfer import each

Described = Callable[[Mapping[str, Any]], Mapping[str, Any]]
_IDENTITY = "identity.json"
_TOGETHER = "together"
_EVERY = 30.0  # [s] between two checkpoints


class SweepRecords:
    """Records below one folder."""

    def __init__(self, root: Location, data: SweepData, keep_models: bool, more: Described | None) -> None:
        """Nothing is read or written yet."""
        self.root, self.data, self.keep_models, self.more = root, data, keep_models, more
        self._open: dict[str, RunRecord] = {}
        self._there: set[str] = set()  # runs with a record that agrees
        self._identities: dict[int, dict[str, Any]] = {}

    def url(self, run: Planned) -> str:
        """Folder or URL of a run."""
        return (self.root / run.name).url

    def completed(self, runs: Sequence[Planned]) -> Iterator[tuple[Planned, Results]]:
        """The runs that were completed before, with their results.

        Raises `RunError` if one is of an experiment that differs in what its name does not tell.
        """
        there = set(self.root.folders())
        known = [run for run in runs if run.name in there]
        for run, results in zip(known, each(self._results, known), strict=True):
            if results is not None:
                yield run, results

    def _results(self, run: Planned) -> Results | None:
        place = self.root / run.name
        try:
            recorded = read_run(place)
            saved = json.loads(place.read(_IDENTITY))
        except (NotARun, NotFound):  # it was killed while its folder was being made
            return None
        except RunError:
            if _is_begun(place):
                raise
            return None
        different = fingerprint.differences(saved, self.identity(run))
        if different:
            raise RunError(
                f"{place} is a run of another experiment: {', '.join(different)} differ"
                f"{'s' if len(different) == 1 else ''}, though its values have the same names. Give another root, or "
                "remove that run."
            )
        self._there.add(run.name)
        return Results(recorded.epochs, NO_VARIABLES) if recorded.status["status"] == "completed" else None

    def identity(self, run: Planned) -> dict[str, Any]:
        """What the record of a run must agree with, as it comes back from a file."""
        known = self._identities.get(id(run.experiment))
        if known is None:
            experiment = run.experiment
            data = {} if isinstance(experiment.dataset, Batches) else self.data.whole(run).identity()
            params = None if experiment.optimizer is None else self.data.params(run)
            known = json.loads(json.dumps(identity_of(experiment, data, params)))
            self._identities[id(run.experiment)] = known
        return known

    def begin(self, run: Planned) -> RunRecord:
        """Create or reopen the record of a run."""
        place, experiment = self.root / run.name, run.experiment
        values = {name: shown_value(value) for name, value in run.point.items()}
        config = experiment.describe() | {"seed": run.seed, "chip": run.chip, "sweep": values}
        config |= {} if self.more is None else dict(self.more(run.point))
        sizes = {} if isinstance(experiment.dataset, Batches) else self.data.whole(run).sizes()
        record = RunRecord.begin(place, config=config | sizes, seed=run.seed)
        record.add(_IDENTITY, json.dumps(self.identity(run)).encode())
        self._open[run.name] = record
        return record

    def begin_all(self, runs: Sequence[Planned]) -> None:
        """Create or reopen the records of runs that are trained together."""
        for run in runs:
            self.identity(run)  # here, since it computes; the threads only write
        each(self.begin, list(runs))

    def finish(
        self, run: Planned, results: Results, step: int, error: str | None, before: Mapping[str, np.ndarray] | None
    ) -> None:
        """Write the results of a run that was trained together with others, and say how it ended.

        `before` are its weights before training, if known.
        """
        record = self._open[run.name]
        record.go_on_from(results)
        if self.keep_models and results and error is None:
            keep_model(record, step, results.variables, run.experiment.describe(), list(results))
        if results and error is None:
            keep_tiles(record, before, results.variables)
        record.finish("completed" if error is None else "failed", error)
        del self._open[run.name]

    def complete(self, run: Planned) -> None:
        """Say that a run has ended well; its results are written."""
        record = self._open[run.name]
        if not self.keep_models:  # a run by itself always writes them
            _empty(record.checkpoints)
            _empty(record.location / "model")
        record.finish("completed")
        del self._open[run.name]

    def fail(self, run: Planned, error: str) -> None:
        """Say that a run has failed."""
        self._open.pop(run.name).finish("failed", error)

    def interrupt(self, runs: Sequence[Planned]) -> None:
        """Say that runs were interrupted."""
        for run in runs:
            self._open.pop(run.name).finish("interrupted")

    def saved(self, group: Sequence[Planned]) -> "SavedTogether":
        """The checkpoints of runs that are trained together.

        They say nothing of the experiment: the records do, which are compared. If one of the runs had no record, it was
        removed, and the checkpoints are removed too.
        """
        name = hashlib.sha256("\n".join(run.name for run in group).encode()).hexdigest()[:12]
        saved = SavedTogether(self.root / _TOGETHER / name)
        if not all(run.name in self._there for run in group):
            saved.remove()
        return saved


class SavedTogether:
    """Checkpoints of a group in progress, at most one each half minute."""

    def __init__(self, place: Location) -> None:
        """Nothing is read or written yet."""
        self.place, self._last = place, time.monotonic()

    def resume(self, together: Together) -> None:
        """Take up where a process that was killed had saved, if there is such a place."""
        if not self.place.folders() and not list(self.place.list()):
            return
        with Checkpoints(self.place, keep_last=1) as checkpoints:
            if checkpoints.latest() is None:
                return
            state, meta = checkpoints.restore(together.state)
        together.take_up(state, meta)

    def save_if_due(self, together: Together) -> None:
        """Save the group, if the last time was half a minute ago."""
        if time.monotonic() - self._last >= _EVERY:
            self.save(together)

    def save(self, together: Together) -> None:
        """Save the group."""
        with Checkpoints(self.place, keep_last=1) as checkpoints:
            checkpoints.save(together.taken, together.state, together.meta())
        self._last = time.monotonic()

    def remove(self) -> None:
        """Remove the checkpoints of a group that has ended."""
        _empty(self.place)


def _empty(place: Location) -> None:
    """Delete what is in a folder, if there is one."""
    with suppress(NotFound):
        names = [entry.name for entry in place.list()]
        if names:
            place.delete(*names)


def _is_begun(place: Location) -> bool:
    """Whether a damaged record is more than one that was killed in its first moment."""
    return all(place.exists(name) for name in ("config.json", "environment.json", "status.json"))
