r"""The training loop as pure functions: a single step, and many steps in one compiled call.

Everything a step needs is a function of the key of the run and the number of the step, so compiled calls may begin and
end anywhere: splitting an epoch for a progress bar, a checkpoint or a hook changes no bit of the result.

    devices of chip c    key_init, for c > 0 fold_in(key_init, c)
    order of epoch e     permutation(fold_in(key_order, e))
    noise of step n      fold_in(key_noise, n), n counted over all epochs

The last batch of an epoch may be partial. It is padded with items of weight 0, whose error is exactly zero, so they
affect neither digital nor analog weights. (The runner removes them if layers mix the items of a batch.)
Letters: `N` items, `B` batch, `S` steps of an epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import optax
from jax import lax

from analogjax import nn
from analogjax._processor import Tuned
from analogjax._remembered import remembered
from analogjax._typing import Array, Key, PyTree
from analogjax.data import sequential_indices, shuffled_indices
from analogjax.errors import ConfigError
from analogjax.experiments.images import Images as Images
from analogjax.experiments.images import images_of as images_of
from analogjax.experiments.losses import per_item
from analogjax.experiments.placement import default_platform
from analogjax.experiments.training import BasicTraining
from analogjax.nn import Variables
from analogjax.optim import PulsedSGD, PulsedState


class TrainState(NamedTuple):
    """Everything that changes during training."""

    variables: Variables
    optimizer: PyTree  # of the digital parameters
    pulsed: PulsedState  # of the tiles
    losses: Array  # [S] summed loss of each step of this epoch, 0 where not yet done


class RunKeys(NamedTuple):
    """Independent keys of a run."""

    init: Key
    noise: Key
    order: Key
    validation: Key

    @classmethod
    def of(cls, key: Key, chip: int = 0) -> "RunKeys":
        """Derive all keys of a run from its one key, which is consumed; another `chip` gets other devices only."""
        keys = cls(*jax.random.split(key, 4))
        return keys._replace(init=jax.random.fold_in(keys.init, chip)) if chip else keys


@dataclass(frozen=True)
class Program:
    """The static part of a run; equal programs are compiled once per shape of data."""

    model: linen.Module
    loss_function: Callable[[Array, Array], Array]
    batch_size: int
    learning_rate: float | optax.Schedule
    optimizer: optax.GradientTransformation | None  # of the digital parameters; None: plain SGD
    weight_decay: float = 0.0
    metrics: tuple[tuple[str, Callable[[Array, Array], Array]], ...] = ()

    @classmethod
    def of(cls, experiment: BasicTraining) -> "Program":
        """The part of `experiment` that is compiled, without its data and trained variables."""
        return cls(
            experiment.model,
            experiment.loss_function,
            experiment.batch_size,
            experiment.learning_rate,
            experiment.optimizer,
            experiment.weight_decay,
            tuple(experiment.metrics.items()),
        )

    def compiled(self) -> "Compiled":
        """The functions of the program, each as one compiled call on the default device.

        They are shared with a recent equal program of this process.
        """
        return _compiled((self, default_platform()))

    @property
    def digital_optimizer(self) -> optax.GradientTransformation:
        """Optimiser of the digital parameters."""
        return _with_decay(self.optimizer, self.learning_rate, self.weight_decay)

    def start(self, data: Images, key: Key, variables: Variables | None = None, steps: int | None = None) -> TrainState:
        """Make fresh tiles (or take the given `variables`) and optimisers, for epochs of `data` or of `steps` steps.

        Consumes `key`.
        """
        batch = self.batch_size
        x, _ = data.batch(jnp.zeros((batch,), jnp.int32))
        if variables is None:
            variables = nn.init(self.model, x, key)
        else:
            # training gives its buffers away to be reused; the caller's stay the caller's
            variables = jax.tree.map(jnp.copy, variables)
        return TrainState(
            variables=variables,
            optimizer=self.digital_optimizer.init(variables.params),
            pulsed=PulsedSGD(self.learning_rate).init(variables.tiles),
            losses=jnp.zeros((data.steps(batch) if steps is None else steps,), jnp.float32),
        )

    def order(self, data: Images, epoch: int | Array, key: Key) -> tuple[Array, Array]:
        """Indices and weights `[S, B]` of an epoch, in random order. Consumes `key`."""
        return shuffled_indices(jax.random.fold_in(key, epoch), data.labels.shape[0], self.batch_size)

    def step(self, state: TrainState, x: Array, y: Array, weights: Array, key: Key) -> tuple[TrainState, Array]:
        """Train on a mini-batch `x` `[B, ...]`, `y` `[B]`, `weights` `[B]`; returns its summed loss. Consumes `key`."""
        k_forward, k_update = jax.random.split(key)

        def loss(params: PyTree, slots: PyTree) -> tuple[Array, PyTree]:
            variables = state.variables.replace(params=params)
            outputs, collections = nn.apply_training(self.model, variables, x, key=k_forward, slots=slots)
            losses = per_item(self.loss_function(outputs, y), weights, "loss_function")
            return jnp.sum(losses * weights) / jnp.sum(weights), collections

        slots, differentiate = nn.slots(self.model, state.variables, x), jax.value_and_grad(loss, (0, 1), has_aux=True)
        (value, collections), (gradients, signals) = differentiate(state.variables.params, slots)
        tiles, pulsed = PulsedSGD(self.learning_rate).update(signals, state.pulsed, state.variables.tiles, key=k_update)
        moves, optimizer = self.digital_optimizer.update(gradients, state.optimizer, state.variables.params)
        params, collections = nn.after_step(optax.apply_updates(state.variables.params, moves), collections)
        new = state._replace(variables=Variables(params, tiles, collections), optimizer=optimizer, pulsed=pulsed)
        return new, value * jnp.sum(weights)

    def advance(
        self, state: TrainState, data: Images, order: tuple[Array, Array], start: Array, stop: Array, key: Key
    ) -> TrainState:
        """Run steps `start` to `stop` of an epoch. `key` is the noise key of the run, the same for all calls."""
        indices, weights = order

        def body(n: Array, state: TrainState) -> TrainState:
            x, y = data.batch(indices[n])
            own = jax.random.fold_in(key, state.pulsed.step)
            state, value = self.step(state, x, y, weights[n], own)
            return state._replace(losses=state.losses.at[n].set(value))

        return lax.fori_loop(start, stop, body, state)

    def evaluate(self, variables: Variables, data: Images, rows: tuple[Array, Array], key: Key) -> Mapping[str, Array]:
        """Sums over the items of `rows` (indices and weights `[S, B]`), read with noise. Consumes `key`.

        They are `loss`, the metrics by name and, for classes, the number of correct answers as `accuracy`.
        """

        def body(sums: dict[str, Array], batch: tuple[Array, Array, Array]) -> tuple[dict[str, Array], None]:
            n, indices, weight = batch
            x, y = data.batch(indices)
            outputs = nn.apply(self.model, variables, x, key=jax.random.fold_in(key, n))
            found = self._judged(outputs, y, weight)
            return {name: sums[name] + jnp.sum(value * weight) for name, value in found.items()}, None

        names = ["loss", *(name for name, _ in self.metrics), *(["accuracy"] if data.classified else [])]
        return lax.scan(body, {name: jnp.zeros(()) for name in names}, (jnp.arange(rows[0].shape[0]), *rows))[0]

    def _judged(self, outputs: Array, y: Array, weight: Array) -> dict[str, Array]:
        """Loss, metrics and correct answers of each item, `[B]` each."""
        found = {"loss": per_item(self.loss_function(outputs, y), weight, "loss_function")}
        for name, metric in self.metrics:
            try:
                value = metric(outputs, y)
            except Exception as error:
                raise ConfigError(f"metrics[{name!r}] raised {type(error).__name__}: {error}") from error
            found[name] = per_item(value, weight, f"metrics[{name!r}]")
        if jnp.issubdtype(y.dtype, jnp.integer):
            found["accuracy"] = _right(outputs, y)
        return found


def _with_decay(
    optimizer: optax.GradientTransformation | None, learning_rate: Any, weight_decay: float
) -> optax.GradientTransformation:
    """`optimizer`, or SGD with torch's weight decay."""
    if optimizer is not None:
        return optimizer
    plain = optax.sgd(learning_rate)
    return optax.chain(optax.add_decayed_weights(weight_decay), plain) if weight_decay else plain


def _right(outputs: Array, y: Array) -> Array:
    """The fraction of correct answers of each item `[B]`; 0 if the outputs are not scores of classes."""
    if outputs.ndim != y.ndim + 1 or outputs.shape[:-1] != y.shape:
        return jnp.zeros(y.shape[:1])
    right = (jnp.argmax(outputs, -1) == y).astype(jnp.float32)
    return jnp.mean(right.reshape(y.shape[0], -1), -1)


class Compiled(NamedTuple):
    """The functions of a program, compiled at the first call; `advance` reuses the memory of its state."""

    advance: Callable[..., TrainState]
    evaluate: Callable[..., Mapping[str, Array]]
    order: Callable[..., tuple[Array, Array]]


@remembered
def _compiled(given: tuple[Program, str]) -> Compiled:
    program, platform = given
    advance = Tuned(program.advance, platform, donate_argnums=0)
    return Compiled(advance, Tuned(program.evaluate, platform), jax.jit(program.order))


def validation_rows(items: int) -> tuple[Array, Array]:
    """Indices and weights `[S, B]` of all items, in order."""
    return sequential_indices(items, min(items, _VALIDATION_BATCH))


_VALIDATION_BATCH = 500  # every vector is read on its own, so this changes speed and draws, not statistics
