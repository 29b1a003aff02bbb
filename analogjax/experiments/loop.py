r"""The training loop as pure functions: a step, and a stretch of steps in one compiled call.

Everything that a step needs is a function of the run's key and the step's number, so a stretch may begin and end
anywhere: cutting an epoch for a progress bar, a checkpoint or a hook changes no bit of the result.

    order of epoch e     permutation(fold_in(key_order, e))
    noise of step n      fold_in(key_noise, n), n counted over all epochs

The last batch of an epoch may be partial: it is filled with items of weight 0, whose error is exactly zero, so that
neither digital nor analog weights notice them. Letters: `N` items, `B` batch, `S` steps of an epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from analogjax import nn
from analogjax._remembered import remembered
from analogjax._typing import Array, Key, PyTree
from analogjax.data import Split, sequential_indices, shuffled_indices, steps_per_epoch
from analogjax.errors import ConfigError, NonFiniteError
from analogjax.experiments.training import BasicTraining, DatasetLike
from analogjax.nn import Variables
from analogjax.optim import PulsedSGD, PulsedState


class Images(NamedTuple):
    """A split on the device, with its normalisation `(image / 255 - mean) / std` (uint8 images only)."""

    images: Array  # [N, ...] uint8, or float used as it is
    labels: Array  # [N] int32
    mean: Array  # broadcast against an image
    std: Array

    def batch(self, indices: Array) -> tuple[Array, Array]:
        """Normalised images `[B, ...]` and labels `[B]`."""
        x = self.images[indices]
        if x.dtype == jnp.uint8:
            x = (x.astype(jnp.float32) * (1 / 255) - self.mean) * (1 / self.std)
        return x.astype(jnp.float32), self.labels[indices]


def images_of(split: Split, dataset: DatasetLike, device: jax.Device, which: str = "a split") -> Images:
    """A split on a device; errors call it `which`.

    Raises `ConfigError` for an empty one, `NonFiniteError` for NaN and infinite values.
    """
    images = np.asarray(split.images)
    if images.dtype != np.uint8:
        images = images.astype(np.float32)
        if not np.all(np.isfinite(images)):
            item = int(np.argmin(np.isfinite(images.reshape(len(images), -1)).all(axis=1)))
            raise NonFiniteError(
                f"dataset {dataset.name}: item {item} of {which} holds NaN or infinite values; drop or mend it."
            )
    if len(images) == 0:
        raise ConfigError(f"dataset {dataset.name}: {which} holds no items; nothing can be trained on it, or read.")
    if images.ndim == 3:
        images = images[..., None]
    mean, std = (np.asarray(v, np.float32) for v in (dataset.mean, dataset.std))
    values = (images, np.asarray(split.labels, np.int32), mean, std)
    return Images(*(jax.device_put(value, device) for value in values))


class TrainState(NamedTuple):
    """Everything that changes while training."""

    variables: Variables
    optimizer: PyTree  # of the digital parameters
    pulsed: PulsedState  # of the tiles
    losses: Array  # [S] summed loss of each step of this epoch, 0 where not yet done


class RunKeys(NamedTuple):
    """The independent keys of a run."""

    init: Key
    noise: Key
    order: Key
    validation: Key

    @classmethod
    def of(cls, key: Key) -> "RunKeys":
        """All keys of a run from its one key, which is consumed."""
        return cls(*jax.random.split(key, 4))


@dataclass(frozen=True)
class Program:
    """The static part of a run: equal programs are compiled once for each shape of data."""

    model: linen.Module
    loss_function: Callable[[Array, Array], Array]
    batch_size: int
    learning_rate: float | optax.Schedule
    optimizer: optax.GradientTransformation | None  # of the digital parameters; None: plain SGD

    @classmethod
    def of(cls, experiment: BasicTraining) -> "Program":
        """What has to be compiled for `experiment`; neither its data nor its trained variables."""
        return cls(
            experiment.model,
            experiment.loss_function,
            experiment.batch_size,
            experiment.learning_rate,
            experiment.optimizer,
        )

    def compiled(self) -> "Compiled":
        """Its functions as one call each; those of an equal program of this process, if there was one lately."""
        return _compiled(self)

    @property
    def _digital_optimizer(self) -> optax.GradientTransformation:
        return optax.sgd(self.learning_rate) if self.optimizer is None else self.optimizer

    def start(self, data: Images, key: Key, variables: Variables | None = None) -> TrainState:
        """Fresh chips (or the given `variables`) and optimisers. Consumes `key`."""
        batch = self.batch_size
        x, _ = data.batch(jnp.zeros((batch,), jnp.int32))
        if variables is None:
            variables = nn.init(self.model, x, key)
        else:
            # training gives its buffers away to be reused; the caller's stay the caller's
            variables = jax.tree.map(jnp.copy, variables)
        steps = steps_per_epoch(data.labels.shape[0], batch)
        return TrainState(
            variables=variables,
            optimizer=self._digital_optimizer.init(variables.params),
            pulsed=PulsedSGD(self.learning_rate).init(variables.tiles),
            losses=jnp.zeros((steps,), jnp.float32),
        )

    def order(self, data: Images, epoch: int, key: Key) -> tuple[Array, Array]:
        """Indices and weights `[S, B]` of an epoch. Consumes `key`."""
        return shuffled_indices(jax.random.fold_in(key, epoch), data.labels.shape[0], self.batch_size)

    def step(self, state: TrainState, x: Array, y: Array, weights: Array, key: Key) -> tuple[TrainState, Array]:
        """One mini-batch `x` `[B, ...]`, `y` `[B]`, `weights` `[B]`; returns its summed loss. Consumes `key`."""
        k_forward, k_update = jax.random.split(key)

        def loss(params: PyTree, slots: PyTree) -> tuple[Array, PyTree]:
            variables = state.variables.replace(params=params)
            outputs, collections = nn.apply_training(self.model, variables, x, key=k_forward, slots=slots)
            return jnp.sum(self.loss_function(outputs, y) * weights) / jnp.sum(weights), collections

        slots, differentiate = nn.slots(self.model, state.variables, x), jax.value_and_grad(loss, (0, 1), has_aux=True)
        (value, collections), (gradients, signals) = differentiate(state.variables.params, slots)
        tiles, pulsed = PulsedSGD(self.learning_rate).update(signals, state.pulsed, state.variables.tiles, key=k_update)
        moves, optimizer = self._digital_optimizer.update(gradients, state.optimizer, state.variables.params)
        params = optax.apply_updates(state.variables.params, moves)
        new = state._replace(variables=Variables(params, tiles, collections), optimizer=optimizer, pulsed=pulsed)
        return new, value * jnp.sum(weights)

    def advance(
        self, state: TrainState, data: Images, order: tuple[Array, Array], start: Array, stop: Array, key: Key
    ) -> TrainState:
        """Steps `start` to `stop` of an epoch. `key` is the run's noise key, the same for all calls."""
        indices, weights = order

        def body(n: Array, state: TrainState) -> TrainState:
            x, y = data.batch(indices[n])
            own = jax.random.fold_in(key, state.pulsed.step)
            state, value = self.step(state, x, y, weights[n], own)
            return state._replace(losses=state.losses.at[n].set(value))

        return lax.fori_loop(start, stop, body, state)

    def evaluate(self, variables: Variables, data: Images, key: Key) -> tuple[Array, Array]:
        """Accuracy and mean loss over all items, with the noise of the chips. Consumes `key`."""
        size = min(data.labels.shape[0], _VALIDATION_BATCH)
        indices, weights = sequential_indices(data.labels.shape[0], size)

        def body(sums: Array, batch: tuple[Array, Array, Array]) -> tuple[Array, None]:
            n, rows, weight = batch
            x, y = data.batch(rows)
            outputs = nn.apply(self.model, variables, x, key=jax.random.fold_in(key, n))
            losses = self.loss_function(outputs, y)
            right = (jnp.argmax(outputs, -1) == y).astype(jnp.float32)
            return sums + jnp.stack([jnp.sum(right * weight), jnp.sum(losses * weight)]), None

        numbers = jnp.arange(indices.shape[0])
        sums, _ = lax.scan(body, jnp.zeros(2), (numbers, indices, weights))
        return sums[0] / data.labels.shape[0], sums[1] / data.labels.shape[0]


class Compiled(NamedTuple):
    """The functions of a program, compiled when first called; `advance` takes its state's memory over."""

    advance: Callable[..., TrainState]
    evaluate: Callable[..., tuple[Array, Array]]
    order: Callable[..., tuple[Array, Array]]


@remembered
def _compiled(program: Program) -> Compiled:
    return Compiled(jax.jit(program.advance, donate_argnums=0), jax.jit(program.evaluate), jax.jit(program.order))


_VALIDATION_BATCH = 500  # every vector is read on its own, so this changes speed and draws, not statistics
