r"""Runs that share a program, trained in one compiled call per stretch of steps.

    advance(state, data, order, start, stop, key)    of `loop.Program`, for each run `r` with its own state, order,
                                                     keys, learning rate and traced values

`width` runs are computed side by side (`vmap`), one such group after another within the same call. With a width of 1
each run is computed as on its own. Letters: `R` runs, `S` steps of an epoch.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax import random
from analogjax._processor import Tuned
from analogjax._typing import Array, PyTree
from analogjax.errors import NonFiniteError
from analogjax.experiments import stretch
from analogjax.experiments.epoch_results import epoch_entry, not_finite
from analogjax.experiments.images import Images
from analogjax.experiments.loop import Program, RunKeys, TrainState, validation_rows
from analogjax.nn import Variables

_LOOK_EVERY = 1.0  # seconds of work between two looks at the outside world


class Member(NamedTuple):
    """What distinguishes a run from others of its program."""

    seed: int
    chip: int
    learning_rate: Any
    traced: tuple[float, ...]
    """Values of the traced axes, in their order."""


class Given(NamedTuple):
    """The members of a group as data, each `[R]`."""

    keys: RunKeys
    learning_rate: Array | None  # None: equal for all, and compiled in
    traced: tuple[Array, ...]

    @classmethod
    def of(cls, members: Sequence[Member]) -> "Given":
        """Stack the members."""
        keys = [RunKeys.of(random.key(one.seed), one.chip) for one in members]
        rates = [one.learning_rate for one in members]
        # one rate for all is compiled in, as in a run on its own
        differ = all(isinstance(rate, (int, float)) for rate in rates) and len(set(rates)) > 1
        return cls(
            jax.tree.map(lambda *parts: jnp.stack(parts), *keys),
            jnp.asarray(rates, jnp.float32) if differ else None,
            tuple(jnp.asarray(column, jnp.float32) for column in zip(*(one.traced for one in members), strict=True)),
        )


@dataclass(frozen=True)
class Shared:
    """A program as a function of the values that are traced, for several runs; its functions are compiled."""

    program_of: Callable[[tuple[Any, ...]], Program]
    width: int

    def program(self, given: Given) -> Program:
        """The program of one run."""
        program = self.program_of(given.traced)
        return program if given.learning_rate is None else replace(program, learning_rate=given.learning_rate)

    def start(self, given: Given, train: Images) -> TrainState:
        """Fresh tiles and optimisers of all runs."""
        return self._each(lambda one: self.program(one).start(train, one.keys.init), given)

    def order(self, given: Given, train: Images, epoch: Array) -> tuple[Array, Array]:
        """Indices and weights of an epoch `[R, S, B]`."""
        return self._each(lambda one: self.program(one).order(train, epoch, one.keys.order), given)

    def advance(
        self, state: TrainState, given: Given, train: Images, order: tuple[Array, Array], start: Array, stop: Array
    ) -> TrainState:
        """Steps `start` to `stop` of an epoch, of all runs."""

        def one(state: TrainState, given: Given, order: tuple[Array, Array]) -> TrainState:
            return self.program(given).advance(state, train, order, start, stop, given.keys.noise)

        return self._each(one, state, given, order)

    def evaluate(self, variables: Variables, given: Given, test: Images, epoch: Array) -> Mapping[str, Array]:
        """Sums over the test items after an epoch, `[R]` each."""
        rows = validation_rows(test.labels.shape[0])

        def one(variables: Variables, given: Given) -> Mapping[str, Array]:
            own = jax.random.fold_in(given.keys.validation, epoch)
            return self.program(given).evaluate(variables, test, rows, own)

        return self._each(one, variables, given)

    def _each(self, function: Callable[..., Any], *stacked: PyTree) -> Any:
        runs = jax.tree.leaves(stacked)[0].shape[0]
        if self.width >= runs > 1:
            return jax.vmap(function)(*stacked)
        width = None if self.width == 1 else self.width
        return lax.map(lambda own: function(*own), stacked, batch_size=width)


@dataclass
class Together:
    """A group of runs in progress."""

    shared: Shared
    members: Sequence[Member]
    train: Images
    test: Images
    platform: str
    entries: list[list[dict[str, Any]]] = field(init=False)  # of each run
    errors: list[NonFiniteError | None] = field(init=False)  # of each run
    epoch: int = 0
    done: int = 0  # steps of this epoch
    spent: float = 0.0  # seconds, on this epoch

    def __post_init__(self) -> None:
        self.given = Given.of(self.members)
        self._advance = Tuned(self.shared.advance, self.platform, donate_argnums=0)
        self._evaluate = Tuned(self.shared.evaluate, self.platform)
        self._order = jax.jit(self.shared.order)
        self.state: TrainState = jax.jit(self.shared.start)(self.given, self.train)
        self.entries = [[] for _ in self.members]
        self.errors = [None for _ in self.members]

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.state.losses.shape[1]

    @property
    def taken(self) -> int:
        """Steps that each run has taken in all."""
        return self.epoch * self.steps + self.done

    def run_epoch(self, looked: Callable[[int], None]) -> None:
        """Train and validate what is left of an epoch, of all runs.

        `looked` is told how many steps were taken since the last time. What it raises ends this between two steps: the
        group may be saved then, or the epoch gone on with.
        """
        begun = time.perf_counter() - self.spent
        order, steps = self._order(self.given, self.train, self.epoch), stretch.FIRST
        while self.done < self.steps:
            start, stop, clock = self.done, min(self.done + steps, self.steps), time.perf_counter()
            self.state = self._advance(self.state, self.given, self.train, order, start, stop)
            self._check(start, stop)
            self.done, self.spent = stop, time.perf_counter() - begun
            looked(stop - start)
            steps = stretch.after(steps, (time.perf_counter() - clock) / (stop - start), _LOOK_EVERY)
        found = self._evaluate(self.state.variables, self.given, self.test, self.epoch)
        sums = {name: np.asarray(values) for name, values in found.items()}
        self._note(sums, (time.perf_counter() - begun) / len(self.members))
        self.state = self.state._replace(losses=jnp.zeros_like(self.state.losses))
        self.epoch, self.done, self.spent = self.epoch + 1, 0, 0.0

    def _check(self, start: int, stop: int) -> None:
        losses = np.asarray(self.state.losses[:, start:stop])
        for n in map(int, np.flatnonzero(~np.isfinite(losses).all(1))):
            self.errors[n] = self.errors[n] or not_finite(losses[n], self.epoch, start, self.members[n].learning_rate)

    def _note(self, sums: Mapping[str, np.ndarray], seconds: float) -> None:
        (items, *inner), tests = self.train.labels.shape, self.test.labels.shape[0]
        # one by one, as a run on its own adds them
        means = np.cumsum(np.asarray(self.state.losses), axis=1, dtype=np.float64)[:, -1] / items
        for n, entries in enumerate(self.entries):
            if self.errors[n] is None:
                own = {name: float(values[n]) for name, values in sums.items()}
                entries.append(epoch_entry(self.epoch, seconds, float(means[n]), own, tests, classes=not inner))

    def meta(self) -> dict[str, Any]:
        """What a checkpoint holds beside the state."""
        errors = [None if error is None else str(error) for error in self.errors]
        of_epoch = {"epoch": self.epoch, "done": self.done, "spent": self.spent}
        return of_epoch | {"entries": self.entries, "errors": errors}

    def take_up(self, state: TrainState, meta: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.state, self.epoch, self.entries = state, meta["epoch"], meta["entries"]
        self.done, self.spent = meta.get("done", 0), meta.get("spent", 0.0)  # 0.1.0 saved between epochs only
        self.errors = [None if error is None else NonFiniteError(error) for error in meta["errors"]]

    def variables(self, run: int) -> Variables:
        """Trained variables of one run."""
        return jax.tree.map(lambda leaf: leaf[run], self.state.variables)

    def step(self, run: int) -> int:
        """Steps that one run has taken."""
        return int(self.state.pulsed.step[run])
