r"""The training loop as pure functions: a step, and a stretch of steps in one compiled call.

Everything that a step needs is a function of the run's key and the step's number, so a stretch may begin and end
anywhere: cutting an epoch for a progress bar, a checkpoint or a hook changes no bit of the result.

    order of epoch e     permutation(fold_in(key_order, e))
    noise of step n      fold_in(key_noise, n), n counted over all epochs

The last batch of an epoch may be partial: it is filled with items of weight 0, whose error is exactly zero, so that
neither digital nor analog weights notice them. (The runner leaves them out where layers mix the
items of a batch.) Letters: `N` items, `B` batch, `S` steps of an epoch.
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
from analogjax.errors import ConfigError, ShapeError
from analogjax.experiments.images import Images as Images
from analogjax.experiments.images import images_of as images_of
from analogjax.experiments.placement import default_platform
from analogjax.experiments.training import BasicTraining
from analogjax.nn import Variables
from analogjax.optim import PulsedSGD, PulsedState


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
    weight_decay: float = 0.0
    metrics: tuple[tuple[str, Callable[[Array, Array], Array]], ...] = ()

    @classmethod
    def of(cls, experiment: BasicTraining) -> "Program":
        """What has to be compiled for `experiment`; neither its data nor its trained variables."""
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
        """Its functions as one call each, for the default device.

        They are those of an equal program of this process, if there was one lately.
        """
        return _compiled((self, default_platform()))

    @property
    def digital_optimizer(self) -> optax.GradientTransformation:
        """What updates the digital parameters."""
        return _with_decay(self.optimizer, self.learning_rate, self.weight_decay)

    def start(self, data: Images, key: Key, variables: Variables | None = None, steps: int | None = None) -> TrainState:
        """Fresh chips (or the given `variables`) and optimisers, for epochs of `data` or of `steps` steps.

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

    def order(self, data: Images, epoch: int, key: Key) -> tuple[Array, Array]:
        """Indices and weights `[S, B]` of an epoch. Consumes `key`."""
        return shuffled_indices(jax.random.fold_in(key, epoch), data.labels.shape[0], self.batch_size)

    def step(self, state: TrainState, x: Array, y: Array, weights: Array, key: Key) -> tuple[TrainState, Array]:
        """One mini-batch `x` `[B, ...]`, `y` `[B]`, `weights` `[B]`; returns its summed loss. Consumes `key`."""
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

    def evaluate(self, variables: Variables, data: Images, rows: tuple[Array, Array], key: Key) -> Mapping[str, Array]:
        """Sums over the items of `rows` (indices and weights `[S, B]`), with the noise of the chips. Consumes `key`.

        They are `loss`, the metrics by name, and for classes the number of right answers as `accuracy`.
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
        """Loss, metrics and right answers of each item, `[B]` each."""
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
    """`optimizer`, or SGD with the decay of torch's."""
    if optimizer is not None:
        return optimizer
    plain = optax.sgd(learning_rate)
    return optax.chain(optax.add_decayed_weights(weight_decay), plain) if weight_decay else plain


def per_item(values: Array, weights: Array, name: str) -> Array:
    """`values` as float32 `[B]`. Raises `ShapeError` where they are not one for each item."""
    values = jnp.asarray(values)
    if values.shape != weights.shape:
        raise ShapeError(
            f"{name} returned shape {list(values.shape)} for a batch of {weights.shape[0]} items; it needs one value "
            "for each item, [B], without a mean over them (the last batch of an epoch has items that do not count)."
        )
    return values.astype(jnp.float32)


def _right(outputs: Array, y: Array) -> Array:
    """The fraction of right answers of each item `[B]`; 0 where outputs are no scores of classes."""
    if outputs.ndim != y.ndim + 1 or outputs.shape[:-1] != y.shape:
        return jnp.zeros(y.shape[:1])
    right = (jnp.argmax(outputs, -1) == y).astype(jnp.float32)
    return jnp.mean(right.reshape(y.shape[0], -1), -1)


class Compiled(NamedTuple):
    """The functions of a program, compiled when first called; `advance` takes its state's memory over."""

    advance: Callable[..., TrainState]
    evaluate: Callable[..., Mapping[str, Array]]
    order: Callable[..., tuple[Array, Array]]


@remembered
def _compiled(given: tuple[Program, str]) -> Compiled:
    program, platform = given
    advance = Tuned(program.advance, platform, donate_argnums=0)
    return Compiled(advance, Tuned(program.evaluate, platform), jax.jit(program.order))


def validation_rows(items: int) -> tuple[Array, Array]:
    """Indices and weights `[S, B]` of all items, in their order."""
    return sequential_indices(items, min(items, _VALIDATION_BATCH))


_VALIDATION_BATCH = 500  # every vector is read on its own, so this changes speed and draws, not statistics
