"""An experiment as data: what is sent to a service instead of code.

    {"format": "analogjax-experiment-1", "kind": "training", "dataset": "FashionMNIST", "channels_first": false,
     "layers": [{"type": "Flatten"}, {"type": "AnalogLinear", "in_features": 784, "out_features": 10,
     "config": {"preset": "CapacitorPreset"}}, {"type": "LogSoftmax"}], "loss_function": "NLLLoss",
     "batch_size": 64, "epochs": 30, "learning_rate": 0.05, "seed": 0, "max_elements": 0, "weights": ""}

`weights` is empty for new chips, or the SHA-256 of a file that comes along, with trained ones to go on from. Everything
is checked when a `Description` is made, including the shapes from layer to layer, so that whatever a service accepts
can be run. Layers and losses have torch's names. With `channels_first` images are `(C, H, W)`, as in torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from analogjax import data, nn
from analogjax.cloud.configuration import is_number
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.layers import LAYERS, build, check_layer, described_layer, shape_after
from analogjax.experiments import Arrays, BasicTraining, cross_entropy_loss, nll_loss
from analogjax.nn.sequential import Row

FORMAT = "analogjax-experiment-1"
LOSSES = {"NLLLoss": nll_loss, "CrossEntropyLoss": cross_entropy_loss}
MAX_LAYERS, MAX_WEIGHTS, MAX_EPOCHS, MAX_BATCH, MAX_PARTS = 200, 50_000_000, 100_000, 65_536, 1000
_SHA = re.compile(r"[0-9a-f]{64}")
_FIELDS = {
    "kind": "training", "dataset": None, "layers": None, "channels_first": False, "batch_size": 64,
    "loss_function": "NLLLoss", "epochs": 30, "learning_rate": 0.05, "seed": 0, "max_elements": 0, "weights": "",
}  # fmt: skip


class Described:
    """Common part of all kinds of descriptions. Abstract."""

    dataset: str
    layers: tuple[tuple[str, dict[str, Any]], ...]
    channels_first: bool

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values that `from_json` accepts."""
        layers = [{"type": kind} | _plain(arguments) for kind, arguments in self.layers]
        rest = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "layers"}  # type: ignore[arg-type]
        return {"format": FORMAT} | rest | {"layers": layers}

    def text(self) -> str:
        """`to_json` as canonical text: equal descriptions have equal texts."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    def model(self) -> linen.Module:
        """The flax model, without weights."""
        return nn.Sequential(*(build(kind, arguments, self.channels_first) for kind, arguments in self.layers))

    def sample(self) -> jax.Array:
        """A batch of one item of zeros, in the shape of the model's input."""
        shape = item_shape(self.dataset)
        return jnp.zeros((1, *(shape if self.channels_first else (*shape[1:], shape[0]))))

    def data(self, dataset_root: Any = None) -> Any:
        """The dataset. With `channels_first` it is read here. Raises `DatasetError`."""
        dataset = data.named(self.dataset)
        return _channels_first(dataset, dataset_root) if self.channels_first else dataset


@dataclass(frozen=True)
class Description(Described):
    """A validated training; `layers` have complete arguments. Make one by `of` or `from_json`."""

    dataset: str
    layers: tuple[tuple[str, dict[str, Any]], ...]
    channels_first: bool = False
    batch_size: int = 64
    loss_function: str = "NLLLoss"
    epochs: int = 30
    learning_rate: float = 0.05
    seed: int = 0
    max_elements: int = 0
    weights: str = ""
    kind: str = field(default="training", init=False)

    @classmethod
    def from_json(cls, value: Any) -> Description:
        """Make a description from parsed JSON. Raises `DescriptionError` for the first error found."""
        given = _FIELDS | fields_of(value, _FIELDS, "training")
        given.pop("kind")
        layers = given.pop("layers")
        check_choices(given)
        check_wholes(given, epochs=(0, MAX_EPOCHS))
        rate = given["learning_rate"]
        if not is_number(rate) or rate < 0:
            raise DescriptionError(f"learning_rate: needs a finite number of 0 or more, not {str(rate)[:60]!r}.")
        given["learning_rate"] = float(rate)
        if given["weights"] != "":
            check_digest(given["weights"])
        return cls(**given, layers=checked_layers(layers, given["dataset"]))

    @classmethod
    def of(cls, experiment: BasicTraining, *, seed: int = 0, max_elements: int = 0) -> Description:
        """Describe a native experiment. Raises `DescriptionError` naming whatever can't be described."""
        if experiment.optimizer is not None or callable(experiment.learning_rate):
            raise DescriptionError(
                "An optimizer or a schedule of the learning rate is code and can't be sent: give learning_rate as a "
                "number and no optimizer, or run it with LocalRunner."
            )
        value = {
            "format": FORMAT, "dataset": dataset_name(experiment.dataset), "batch_size": experiment.batch_size,
            "layers": [described_layer(layer, n) for n, layer in enumerate(layers_of(experiment.model))],
            "loss_function": loss_name(experiment.loss_function), "epochs": experiment.epochs,
            "learning_rate": float(experiment.learning_rate), "seed": seed, "max_elements": max_elements,
        }  # fmt: skip
        return cls.from_json(value)

    def experiment(self, dataset_root: Any = None) -> BasicTraining:
        """The native experiment. With `channels_first` the data is read here. Raises `DatasetError`."""
        return BasicTraining(
            dataset=self.data(dataset_root), model=self.model(), batch_size=self.batch_size, epochs=self.epochs,
            loss_function=LOSSES[self.loss_function], learning_rate=self.learning_rate,
        )  # fmt: skip


def item_shape(dataset: str) -> tuple[int, ...]:
    """`(C, H, W)` of a dataset's images."""
    shape = data.named(dataset).shape
    return (1, *shape) if len(shape) == 2 else (shape[2], *shape[:2])


def fields_of(value: Any, known: Collection[str], kind: str) -> dict[str, Any]:
    """The fields given by a description in JSON, without `format` and `kind`. Raises `DescriptionError`."""
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        raise DescriptionError(f'This is no description of an experiment: it needs "format": "{FORMAT}".')
    for name in value:
        if name != "format" and name not in known:
            raise DescriptionError(
                f"{str(name)[:60]!r} is no part of a description; it has {', '.join(sorted(known))}."
            )
    if value.get("kind", "training") != kind:
        raise DescriptionError(f"kind: {str(value['kind'])[:60]!r} is unknown; known are training, inference.")
    return {name: item for name, item in value.items() if name not in ("format", "kind")}


def checked_layers(layers: Any, dataset: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The layers with complete arguments, after checking that they fit each other and the dataset.

    Raises `DescriptionError`.
    """
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise DescriptionError(f"layers: give a list of 1 to {MAX_LAYERS} layers.")
    _check_devices(layers)
    return tuple(_fitted([check_layer(layer, f"layers[{n}]") for n, layer in enumerate(layers)], dataset))


def _check_devices(layers: list[Any]) -> None:
    """Raise `DescriptionError` for more parts in different configurations than can be compiled in a bearable time."""
    configs = {str(layer.get("config")) for layer in layers if isinstance(layer, dict)}
    parts = sum(text.count("'class'") for text in configs)
    if parts > MAX_PARTS:
        raise DescriptionError(
            f"layers: their different configurations have {parts} devices and other parts, of {MAX_PARTS} allowed: use "
            "fewer devices, or the same configuration in several layers."
        )


def check_choices(given: Mapping[str, Any]) -> None:
    """Raise `DescriptionError` for an unknown dataset or loss, or a flag that is not a bool."""
    for name, known in (("dataset", data.DATASETS), ("loss_function", LOSSES)):
        if not isinstance(given[name], str) or given[name] not in known:
            raise DescriptionError(f"{name} {str(given[name])[:60]!r} is unknown; known are {', '.join(known)}.")
    if not isinstance(given["channels_first"], bool):
        raise DescriptionError("channels_first: needs true or false.")


def check_digest(weights: Any) -> None:
    """Raise `DescriptionError` unless it names a file by its hash."""
    if not isinstance(weights, str) or not _SHA.fullmatch(weights):
        raise DescriptionError("weights: needs the SHA-256 of the file, 64 hexadecimal digits.")


def check_wholes(given: Mapping[str, Any], **more: tuple[int, int]) -> None:
    """Raise `DescriptionError` for a number that is not whole, or out of range."""
    bounds = {"batch_size": (1, MAX_BATCH), "seed": (0, 2**63 - 1), "max_elements": (0, 2**31)} | more
    for name, (low, high) in bounds.items():
        value = given[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise DescriptionError(f"{name}: needs a whole number from {low} to {high}, not {str(value)[:60]!r}.")


def dataset_name(dataset: Any) -> str:
    """The name of a catalogued dataset. Raises `DescriptionError` for any other."""
    if getattr(dataset, "name", None) not in data.DATASETS or isinstance(dataset, Arrays):
        raise DescriptionError(
            f"dataset {getattr(dataset, 'name', dataset)}: the service has only {', '.join(data.DATASETS)}; "
            "custom data can't be sent. Run it with LocalRunner, or use one of these."
        )
    return str(dataset.name)


def layers_of(model: linen.Module) -> Sequence[Any]:
    """The layers of a sequential model. Raises `DescriptionError` for any other."""
    if not isinstance(model, (Row, linen.Sequential)):
        raise DescriptionError("The model must be analogjax.Sequential(...): other modules are code.")
    return model.layers


def _fitted(layers: list[tuple[str, dict[str, Any]]], dataset: str) -> list[tuple[str, dict[str, Any]]]:
    """The layers, each with its number of inputs filled in. Raises `DescriptionError` if two do not fit."""
    shape, fitted, weights = item_shape(dataset), [], 0
    for n, (kind, arguments) in enumerate(layers):
        matrix = LAYERS[kind].matrix
        if matrix is not None and arguments[matrix.channels] is None:
            arguments = arguments | {matrix.channels: shape[0]}
        shape = shape_after(kind, arguments, shape, f"layers[{n}]")
        weights += 0 if matrix is None else math.prod(matrix.sizes(arguments))
        if max(weights, math.prod(shape)) > MAX_WEIGHTS:
            raise DescriptionError(f"layers[{n}]: the model is larger than {MAX_WEIGHTS} weights; make it smaller.")
        fitted.append((kind, arguments))
    classes = data.named(dataset).classes
    if len(shape) != 1 or shape[0] < classes:
        raise DescriptionError(f"The last layer leaves items of shape {shape}; {dataset} needs {classes} numbers.")
    return fitted


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def loss_name(function: Any) -> str:
    """The name of a loss function. Raises `DescriptionError` for a custom one."""
    for name, known in LOSSES.items():
        if function is known:
            return name
    shown = getattr(function, "__name__", repr(function))
    raise DescriptionError(f"loss_function {shown}: custom functions can't be sent; known are {', '.join(LOSSES)}.")


def _channels_first(dataset: data.Dataset, root: Any) -> Arrays:
    train, test = (dataset.load(root, train=train).channels_first() for train in (True, False))
    mean, std = (np.asarray(value, np.float32).reshape(-1, 1, 1) for value in (dataset.mean, dataset.std))
    return Arrays(train, test, dataset.name, mean, std)
