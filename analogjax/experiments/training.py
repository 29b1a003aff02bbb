"""`BasicTraining`: what is trained, on what, and how; a description that runs nothing."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import flax.linen as linen
import optax

from analogjax._typing import Array
from analogjax.data import Split, named
from analogjax.errors import ConfigError
from analogjax.experiments.losses import nll_loss


class DatasetLike(Protocol):
    """Anything that gives labelled images: a catalogue entry of `analogjax.data`, or `Arrays`."""

    @property
    def name(self) -> str:
        """What the results call it."""
        ...

    @property
    def mean(self) -> Any:
        """Mean of the images in [0, 1], broadcast against one image."""
        ...

    @property
    def std(self) -> Any:
        """Their standard deviation."""
        ...

    def load(self, root: Any = None, *, train: bool) -> Split:
        """One split, images uint8 (scaled to [0, 1], then normalised) or float (used as they are)."""
        ...


@dataclass(frozen=True)
class Arrays:
    """A dataset of one's own: a training and a test split in memory."""

    train: Split
    test: Split
    name: str = "Arrays"
    mean: Any = (0.0,)
    std: Any = (1.0,)

    def load(self, root: Any = None, *, train: bool) -> Split:
        """The split; `root` is not used."""
        return self.train if train else self.test


@dataclass(frozen=True)
class BasicTraining:
    """Supervised training of a classifier with analog layers.

    Analog tiles are updated by pulses at `learning_rate`; digital parameters by `optimizer`, which is plain SGD at the
    same rate unless given. `dataset` is an entry of `analogjax.data` or its name, or anything with its `load`.
    Raises `ConfigError` for values that make no sense.
    """

    dataset: DatasetLike
    model: linen.Module
    batch_size: int = 64
    loss_function: Callable[[Array, Array], Array] = nll_loss
    epochs: int = 30
    learning_rate: float | optax.Schedule = 0.05
    optimizer: optax.GradientTransformation | None = None
    # trained variables to go on from; None: fresh chips
    variables: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.dataset, str):
            object.__setattr__(self, "dataset", named(self.dataset))
        _need(hasattr(self.dataset, "load"), "dataset", self.dataset, "give an entry of analogjax.data, or its name")
        _need(isinstance(self.model, linen.Module), "model", self.model, "give a flax (linen) module")
        _need(
            _whole(self.batch_size) and self.batch_size > 0, "batch_size", self.batch_size, "needs a whole number > 0"
        )
        _need(_whole(self.epochs) and self.epochs >= 0, "epochs", self.epochs, "needs a whole number, 0 or more")
        _need(callable(self.loss_function), "loss_function", self.loss_function, "give (outputs, labels) -> losses [B]")
        rate = self.learning_rate
        good = callable(rate) or (isinstance(rate, (int, float)) and math.isfinite(rate) and rate >= 0)
        _need(good, "learning_rate", rate, "needs a finite number, 0 or more, or an optax schedule")

    def describe(self) -> dict[str, Any]:
        """What must be equal for one run to continue another, as plain JSON values."""
        loss = getattr(self.loss_function, "__name__", repr(self.loss_function))
        described = {
            "dataset": self.dataset.name,
            "model": repr(self.model),
            "batch_size": self.batch_size,
            "loss_function": loss,
            "learning_rate": repr(self.learning_rate),
            "optimizer": "sgd" if self.optimizer is None else repr(self.optimizer),
        }
        # addresses of functions differ from run to run
        return {name: re.sub(r" at 0x[0-9a-f]+", "", v) if isinstance(v, str) else v for name, v in described.items()}

    def __str__(self) -> str:
        loss = getattr(self.loss_function, "__name__", repr(self.loss_function))
        return (
            f"BasicTraining(dataset={self.dataset.name}, batch_size={self.batch_size}, loss_function={loss}, "
            f"epochs={self.epochs}, learning_rate={self.learning_rate}, model={self.model})"
        )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _need(condition: bool, name: str, value: object, remedy: str) -> None:
    if not condition:
        raise ConfigError(f"BasicTraining({name}={value!r}): {remedy}.")
