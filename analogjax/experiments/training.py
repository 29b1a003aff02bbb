"""`BasicTraining`: the description of a training; it runs nothing."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import optax

from analogjax._field_docs import document_fields
from analogjax._typing import Array
from analogjax.data import named
from analogjax.errors import ConfigError
from analogjax.experiments.dataset import Arrays as Arrays
from analogjax.experiments.dataset import Batches, DatasetLike
from analogjax.experiments.losses import nll_loss


@document_fields
@dataclass(frozen=True)
class BasicTraining:
    """Supervised training of a model with analog layers.

    Analog tiles are updated by pulses at `learning_rate`. Digital parameters are updated by `optimizer`, by default
    plain SGD at the same rate.

    Raises:
        ConfigError: If a value is invalid.

    Example:
        >>> model = Sequential(flatten, AnalogLinear(32), jax.nn.sigmoid, AnalogLinear(10), jax.nn.log_softmax)
        >>> BasicTraining(Digits, model, batch_size=8, epochs=4)
    """

    dataset: DatasetLike | Batches
    """An entry of `analogjax.data` or its name; custom `Arrays` or `Batches`; or any object with their `load`."""
    model: linen.Module
    """Flax module, e.g. a `Sequential` of layers."""
    batch_size: int = 64
    """Items per mini-batch."""
    loss_function: Callable[[Array, Array], Array] = nll_loss
    """`(outputs [B, ...], targets [B, ...]) -> losses [B]`, one per item."""
    epochs: int = 30
    """Passes over the training data."""
    learning_rate: float | optax.Schedule = 0.05
    """Learning rate of tiles and, without an `optimizer`, of digital parameters; or an optax schedule."""
    optimizer: optax.GradientTransformation | None = None
    """Optimiser of the digital parameters, with its own learning rate; None: SGD at `learning_rate`."""
    variables: Any = field(default=None, compare=False, repr=False)
    """Trained variables to start from; `None`: fresh tiles."""
    metrics: Mapping[str, Callable[[Array, Array], Array]] = field(default_factory=dict)
    """Further metrics of the test items, by name: `(outputs, targets) -> values [B]`, averaged over each epoch."""
    weight_decay: float = 0.0
    """Added to the gradients of digital parameters, as in torch's SGD: `weight_decay * parameter`. It does not affect
    the tiles, whose devices have a `lifetime`. With a custom `optimizer`, put the decay there.
    """

    def __post_init__(self) -> None:
        if isinstance(self.dataset, str):
            object.__setattr__(self, "dataset", named(self.dataset))
        known = isinstance(self.dataset, Batches) or hasattr(self.dataset, "load")
        remedy = "give an entry of analogjax.data or its name, experiments.Arrays in memory, or experiments.Batches"
        _need(known, "dataset", self.dataset, remedy)
        _need(isinstance(self.model, linen.Module), "model", self.model, "give a flax (linen) module")
        _need(
            _whole(self.batch_size) and self.batch_size > 0, "batch_size", self.batch_size, "needs a whole number > 0"
        )
        _need(_whole(self.epochs) and self.epochs >= 0, "epochs", self.epochs, "needs a whole number, 0 or more")
        _need(callable(self.loss_function), "loss_function", self.loss_function, "give (outputs, labels) -> losses [B]")
        rate = self.learning_rate
        good = callable(rate) or _is_traced(rate) or (_is_number(rate) and math.isfinite(rate) and rate >= 0)
        _need(good, "learning_rate", rate, "needs a finite number, 0 or more, or an optax schedule")
        self._check_metrics()
        decay = self.weight_decay
        good = isinstance(decay, (int, float)) and math.isfinite(decay) and decay >= 0
        _need(good, "weight_decay", decay, "needs a finite number, 0 or more")
        alone = not decay or self.optimizer is None
        _need(alone, "weight_decay", decay, "an optimizer was given; add the decay to it (optax.add_decayed_weights)")

    def _check_metrics(self) -> None:
        for name, metric in self.metrics.items():
            taken = name in ("epoch", "time_epoch", "accuracy", "train_loss", "valid_loss")
            good = isinstance(name, str) and callable(metric) and not taken
            _need(good, "metrics", {name: metric}, "give functions by names that the results do not have yet")

    def describe(self) -> dict[str, Any]:
        """Describe the experiment for a record, as plain JSON values."""
        rate = self.learning_rate
        described = {
            "dataset": self.dataset.name,
            "model": repr(self.model),
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "loss_function": getattr(self.loss_function, "__name__", repr(self.loss_function)),
            "learning_rate": repr(rate) if callable(rate) else rate,
            "optimizer": "sgd" if self.optimizer is None else repr(self.optimizer),
        }
        described |= {"weight_decay": self.weight_decay} if self.weight_decay else {}
        described |= {"metrics": sorted(self.metrics)} if self.metrics else {}
        # addresses of functions differ from run to run
        return {name: re.sub(r" at 0x[0-9a-f]+", "", v) if isinstance(v, str) else v for name, v in described.items()}

    def __str__(self) -> str:
        loss = getattr(self.loss_function, "__name__", repr(self.loss_function))
        return (
            f"BasicTraining(dataset={self.dataset.name}, batch_size={self.batch_size}, loss_function={loss}, "
            f"epochs={self.epochs}, learning_rate={self.learning_rate}, model={self.model})"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_traced(value: Any) -> bool:
    """Whether it is a number that a transformation of JAX is carrying, as in a sweep."""
    return isinstance(value, jax.core.Tracer) and value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.floating)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _need(condition: bool, name: str, value: object, remedy: str) -> None:
    if not condition:
        raise ConfigError(f"BasicTraining({name}={value!r}): {remedy}.")
