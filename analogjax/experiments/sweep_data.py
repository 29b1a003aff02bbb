"""The data of a sweep, and how many of its runs go into one compiled call."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from analogjax import random
from analogjax._typing import PyTree
from analogjax.data import Split
from analogjax.errors import ConfigError
from analogjax.experiments.dataset import Batches
from analogjax.experiments.feed import Whole
from analogjax.experiments.images import Images, images_of
from analogjax.experiments.loop import Program, RunKeys, TrainState
from analogjax.experiments.memory import largest_array
from analogjax.experiments.run import check_classes
from analogjax.experiments.stream import pair_of, tests_of
from analogjax.experiments.sweep_plan import Plan, Planned
from analogjax.experiments.together import Shared, Together

_COPIES = 6  # arrays of about the largest size that are alive at once
_STATES = 3  # copies of what a run trains: before and after a stretch, and on its way out


@dataclass
class SweepData:
    """Datasets by object, each read once."""

    max_elements: int
    root: str | os.PathLike[str] | None
    device: jax.Device
    memory: float
    at_once: int | None
    _read: dict[tuple[int, int], Whole] = field(default_factory=dict)

    def whole(self, run: Planned) -> Whole:
        """The data of a run; it is read at the first call."""
        experiment = run.experiment
        where = (id(experiment.dataset), experiment.batch_size)
        if where not in self._read:
            args = (self.max_elements, self.root, experiment.batch_size, self.device)
            self._read[where] = Whole(experiment.dataset, *args, random.key(0))
        return self._read[where]

    def params(self, run: Planned) -> PyTree:
        """Shapes and dtypes of the digital parameters of a run; nothing is computed."""
        program, example = Program.of(run.experiment), self._example(run)
        started = jax.eval_shape(lambda images: program.start(images, random.key(0)), example)
        return started.variables.params

    def _example(self, run: Planned) -> Images:
        """Items of a run; of batches those of the tests, which can be iterated again and again."""
        data = run.experiment.dataset
        if not isinstance(data, Batches):
            return self.whole(run).example
        first = next(iter(tests_of(data)), None)
        if first is None:
            raise ConfigError(f"dataset {data.name}: there are no test batches.")
        return images_of(Split(*pair_of(first, data, "test batch 0")), data, self.device, "test batch 0")

    def steps(self, run: Planned) -> int:
        """Steps that a run takes; 0 where nobody knows before."""
        if isinstance(run.experiment.dataset, Batches):
            return 0
        return run.experiment.epochs * self.whole(run).steps

    def has_rest(self, run: Planned) -> bool:
        """Whether the last batch of an epoch is smaller than the others."""
        return bool(self.whole(run).example.labels.shape[0] % run.experiment.batch_size)

    def checked(self, group: list[Planned]) -> list[Planned]:
        """The group, after reading its data and making its model without computing anything."""
        run = group[0]
        if isinstance(run.experiment.dataset, Batches):
            return group
        data, program = self.whole(run), Program.of(run.experiment)
        started = jax.eval_shape(lambda images: program.start(images, random.key(0)), data.example)
        check_classes(run.experiment, started.variables, data)
        return group

    def shared(self, plan: Plan, group: Sequence[Planned]) -> Shared:
        """The program of a group, for as many runs side by side as were asked for."""
        side_by_side = (1 if self.device.platform == "cpu" else len(group)) if self.at_once is None else self.at_once
        return Shared(plan.program_of(group[0]), min(side_by_side, len(group)))

    def parts(self, shared: Shared, group: list[Planned], plan: Plan) -> Iterator[list[Planned]]:
        """The group in parts that fit into the memory, of about one size."""
        calls = math.ceil(len(group) / self._fitting(shared, group, plan))
        size = math.ceil(len(group) / calls)
        for first in range(0, len(group), size):
            yield group[first : first + size]

    def together(self, shared: Shared, part: Sequence[Planned], plan: Plan) -> Together:
        """The runs of a part, about to begin."""
        data = self.whole(part[0])
        members = [plan.member(run) for run in part]
        return Together(shared, members, data.example, data.test, self.device.platform)

    def _fitting(self, shared: Shared, group: Sequence[Planned], plan: Plan) -> int:
        """Runs of one compiled call."""
        run, data = group[0], self.whole(group[0])
        program = shared.program_of(tuple(jnp.asarray(v, jnp.float32) for v in plan.member(run).traced))
        keys = RunKeys.of(random.key(0))
        state = jax.eval_shape(lambda images: program.start(images, keys.init), data.example)

        def step(state: TrainState, images: Images) -> Any:
            x, y = images.batch(jnp.zeros((program.batch_size,), jnp.int32))
            return program.step(state, x, y, jnp.ones((program.batch_size,)), keys.noise)

        temporary = _COPIES * largest_array(step, state, data.example) * shared.width
        order = 8 * data.steps * program.batch_size
        kept = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        return max(shared.width, int((self.memory - temporary) / (order + _STATES * kept)), 1)
