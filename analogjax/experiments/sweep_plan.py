"""The runs of a sweep before any has begun: their experiments, their names, and which share a program."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax

from analogjax._typing import PyTree
from analogjax.errors import AnalogError, ConfigError
from analogjax.experiments import fingerprint
from analogjax.experiments.dataset import Batches
from analogjax.experiments.loop import Program
from analogjax.experiments.sweep_points import Axes, points_of, traced_axes
from analogjax.experiments.together import Member
from analogjax.experiments.training import BasicTraining

Factory = Callable[..., BasicTraining]
_OF_RUNS = ("seed", "chip")
_RESULTS = ("epoch", "time_epoch", "accuracy", "best_accuracy", "train_loss", "valid_loss", "seconds", "error", "run")


@dataclass(frozen=True, eq=False)
class Planned:
    """One run that is to be made."""

    point: dict[str, Any]
    """Values of the axes."""
    experiment: BasicTraining
    name: str
    """Of its folder: the same values always get the same name."""

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.point.get("seed", 0)

    @property
    def chip(self) -> int:
        """Number of its chip."""
        return self.point.get("chip", 0)


@dataclass(frozen=True, eq=False)
class Plan:
    """All runs of a sweep."""

    make: Factory
    runs: tuple[Planned, ...]
    traced: tuple[str, ...]
    """Names of the axes that programs are given as data."""

    @classmethod
    def of(cls, experiment: BasicTraining | Factory, axes: Axes, samples: int, sample_seed: int, limit: int) -> "Plan":
        """Make every experiment, so that an invalid one is found before the first run begins."""
        make, traced = _remembering(_factory(experiment, axes)), traced_axes(axes)
        if isinstance(experiment, BasicTraining):
            traced = ()  # its fields are plain values; rates are data in any case
        runs = []
        for point in points_of(axes, samples, sample_seed):
            _check_point(point)
            made = make(**_own(point))
            _check_columns(point, made)
            runs.append(Planned(point, made, _name(point, made, limit)))
        _check_names(runs)
        return cls(make, tuple(runs), traced)

    def groups(self, runs: Sequence[Planned]) -> list[list[Planned]]:
        """The runs that share a program together, in order; each of the others alone."""
        found: dict[Any, list[Planned]] = {}
        first = {name: self.runs[0].point[name] for name in self.traced}
        alike: dict[int, Any] = {}
        for run in runs:
            if id(run.experiment) not in alike:
                alike[id(run.experiment)] = self._program(run, first)
            key = alike[id(run.experiment)]
            found.setdefault(run.name if key is None else key, []).append(run)
        return list(found.values())

    def _program(self, run: Planned, first: Mapping[str, Any]) -> Any:
        """What is equal for runs that share a program; `None` for a run that shares it with no other."""
        experiment = own = run.experiment
        if isinstance(own.dataset, Batches) or own.variables is not None:
            return None
        if first:
            experiment = self.make(**{**_own(run.point), **first})
        program = Program.of(experiment)
        if not callable(program.learning_rate):
            program = replace(program, learning_rate=0.0)
        # its own data and epochs: a function may make them of a traced value, which is no part of the program then
        key = (program, id(own.dataset), own.epochs)
        try:
            hash(key)
        except TypeError:  # it contains arrays
            return None
        return key

    def member(self, run: Planned) -> Member:
        """What distinguishes a run within its group."""
        values = tuple(run.point[name] for name in self.traced)
        return Member(run.seed, run.chip, run.experiment.learning_rate, values)

    def program_of(self, run: Planned) -> Callable[[tuple[Any, ...]], Program]:
        """The program of the group of `run` as a function of the traced values."""
        if not self.traced:
            program = Program.of(run.experiment)
            return lambda values: program

        def program_of(values: tuple[Any, ...]) -> Program:
            return Program.of(self.make(**_own(run.point) | dict(zip(self.traced, values, strict=True))))

        return program_of


def _factory(experiment: Any, axes: Axes) -> Factory:
    if not axes:
        raise ConfigError("sweep(axes={}): give at least one axis, such as {'seed': range(4)}.")
    if isinstance(experiment, BasicTraining):
        known = [f.name for f in fields(experiment) if f.name != "variables"]
        stray = [name for name in axes if name not in (*known, *_OF_RUNS)]
        if stray:
            raise ConfigError(
                f"axes[{stray[0]!r}]: a BasicTraining has {', '.join(known)}, and a run has seed and chip. For "
                f"anything else give a function of {stray[0]} that returns the BasicTraining."
            )
        return lambda **own: replace(experiment, **own)
    if not callable(experiment):
        raise ConfigError(f"sweep({experiment!r}): give a BasicTraining, or a function of the axes that returns one.")
    return experiment


def _own(point: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiment of a point is made of."""
    return {name: value for name, value in point.items() if name not in _OF_RUNS}


def _remembering(make: Factory) -> Factory:
    """`make`, called once for equal values, so that what it makes (an optimiser, say) is one object."""
    made: dict[str, BasicTraining] = {}

    def once(**own: Any) -> BasicTraining:
        if any(isinstance(value, jax.core.Tracer) for value in own.values()):
            return _made(make, own)
        # by identity: objects may be equal to no other, and are kept alive by the axes
        known = repr({name: v if isinstance(v, (int, float, str)) else id(v) for name, v in own.items()})
        if known not in made:
            made[known] = _made(make, own)
        return made[known]

    return once


def _made(make: Factory, own: Mapping[str, Any]) -> BasicTraining:
    where = ", ".join(f"{name}={value}" for name, value in own.items())
    try:
        experiment = make(**own)
    except jax.errors.JAXTypeError as error:
        raise ConfigError(
            f"the experiment of {where}: it needs the number itself ({str(error).splitlines()[0]}). Give that axis as "
            "a list of numbers, of which each is compiled by itself, instead of an array."
        ) from error
    except (AnalogError, TypeError) as error:
        raise ConfigError(f"the experiment of {where or 'the sweep'}: {error}") from error
    if not isinstance(experiment, BasicTraining):
        raise ConfigError(f"the function of the sweep returned {experiment!r} for {where}; return a BasicTraining.")
    return experiment


def _check_point(point: Mapping[str, Any]) -> None:
    for name in _OF_RUNS:
        value = point.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or (name == "chip" and not 0 <= value < 2**31):
            needs = "a whole number" if name == "seed" else "a whole number, 0 or more"
            raise ConfigError(f"axes[{name!r}] contains {value!r}: needs {needs}.")


def _check_columns(point: Mapping[str, Any], experiment: BasicTraining) -> None:
    """Refuse axes with the names of results, one of which would be lost in a table."""
    for name in point:
        if name in _RESULTS or name in experiment.metrics:
            raise ConfigError(f"axes[{name!r}]: a result of each run has that name; give the axis another one.")


def _name(point: Mapping[str, Any], experiment: BasicTraining, limit: int) -> str:
    values = {name: shown_value(value) for name, value in point.items()}
    described = experiment.describe() | values | {"max_elements_train": limit}
    text = json.dumps(described, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def shown_value(value: Any) -> Any:
    """A value of an axis as a plain value: functions and classes by name, other objects as text."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    name = getattr(value, "__name__", None) or getattr(value, "name", None)
    return name if isinstance(name, str) else re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _check_names(runs: Sequence[Planned]) -> None:
    known: dict[str, Planned] = {}
    for run in runs:
        if run.name in known:
            raise ConfigError(
                f"the runs of {run.point} and {known[run.name].point} can't be told apart by their values as text; "
                "give objects whose text differs, or names that your function looks up."
            )
        known[run.name] = run


def identity_of(experiment: BasicTraining, data: Mapping[str, Any], params: PyTree) -> dict[str, Any]:
    """What must be equal for a recorded run to be taken as one of this sweep, compared by content.

    `params` are its digital parameters, of which only names, shapes and dtypes matter.
    """
    rate, optimizer = experiment.learning_rate, experiment.optimizer
    # plain SGD follows from the rate and the weight decay
    own = {} if optimizer is None else {"optimizer": fingerprint.of_optimizer(optimizer, params)}
    return (
        dict(data)
        | own
        | {
            "batch_size": experiment.batch_size,
            "model": fingerprint.of_model(experiment.model),
            "learning_rate": fingerprint.rate_or_error(rate),
            "loss_function": fingerprint.of_function(experiment.loss_function),
            "metrics": {name: fingerprint.of_function(metric) for name, metric in experiment.metrics.items()},
        }
    )
