"""Trainings as protobuf: `TrainingInput` to a description, results and trained weights to `TrainingOutput` and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analogjax.cloud.configuration import expanded
from analogjax.cloud.description import FORMAT, MAX_LAYERS, Described, Description
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.layers import LAYERS
from analogjax.cloud.wire import schema
from analogjax.cloud.wire.tensors import array, tensor
from analogjax.nn.arguments import Argument
from analogjax.tile.presets import PRESETS

DATASETS = {"fashion_mnist": "FashionMNIST", "svhn": "SVHN"}
# cut over several chips where they are too large, which every analog layer is here; their bias is always digital
ALIASES = {f"{name}Mapped": name for name, row in LAYERS.items() if row.analog}


def description_of(payload: bytes, seed: int = 0) -> Description:
    """The description in a serialised `TrainingInput`. Raises `DescriptionError`, naming what is wrong or unknown."""
    message = parsed(schema.training().TrainingInput, payload)
    dataset, training = message.dataset, message.training
    if dataset.dataset_id not in DATASETS:
        known = ", ".join(DATASETS)
        raise DescriptionError(f"dataset_id {dataset.dataset_id[:60]!r} is unknown; known are {known}.")
    if dataset.transforms or training.HasField("scheduler"):
        raise DescriptionError("Transforms and schedulers are not supported: leave them out.")
    check_number(message.network.layers)
    return Description.from_json({
        "format": FORMAT, "dataset": DATASETS[dataset.dataset_id], "channels_first": True, "seed": seed,
        "batch_size": dataset.batch_size, "epochs": training.epochs, "loss_function": training.loss_function.id,
        "learning_rate": _learning_rate(training.optimizer),
        "layers": [layer_of(item, f"layers[{n}]", _config) for n, item in enumerate(message.network.layers)],
    })  # fmt: skip


def check_number(layers: Any) -> None:
    """Raise `DescriptionError` for more layers than a network may have, before anything is made of them."""
    if len(layers) > MAX_LAYERS:
        raise DescriptionError(f"layers: give a list of 1 to {MAX_LAYERS} layers, not {len(layers)}.")


def parsed(kind: Any, payload: bytes) -> Any:
    """The message of a class in serialised bytes. Raises `DescriptionError` for anything else."""
    from google.protobuf.message import DecodeError

    message = kind()
    try:
        message.ParseFromString(payload)
    except (DecodeError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise DescriptionError(f"This is no {kind.DESCRIPTOR.name} in protobuf ({error}).") from None
    if missing := message.FindInitializationErrors():
        raise DescriptionError(f"This is no {kind.DESCRIPTOR.name} in protobuf: {missing[0]} is missing.")
    return message


def output(description: Described, epochs: Sequence[Mapping[str, Any]], weights: Sequence[Mapping[str, Any]]) -> bytes:
    """A serialised `TrainingOutput`: metrics of each epoch, and the network with what `weights` has for each layer."""
    messages = schema.training()
    made = messages.TrainingOutput(version=messages.Version(schema=1, opset=1))
    for (kind, _), arrays in zip(description.layers, weights, strict=True):
        item = made.network.layers.add()
        if LAYERS[kind].matrix is None:
            item.activation_function.id = kind
            continue
        item.layer.id = kind
        for name, values in arrays.items():
            item.layer.state_dict.append(tensor(messages, name, values))
    for entry in epochs:
        reported = made.epochs.add(epoch=entry["epoch"])
        for name, value in entry.items():
            if name != "epoch":
                reported.metrics.add(name=name, type=messages.AttributeProto.FLOAT, f=value)
    return made.SerializeToString()


def chips_file(description: Described, variables: Any) -> bytes:
    """The file with all variables of a model, as `weights_in` and `variables_of` read it.

    Raises `DescriptionError` if they belong to another model, or can't be sent.
    """
    from analogjax import nn
    from analogjax.cloud.wire.tensors import check_weights, weights_of

    if not isinstance(variables, nn.Variables):
        raise DescriptionError(f"variables: a {type(variables).__name__} can't be sent; give those of a trained model.")
    found = weights_of(description, variables)
    # the logical weights follow from the rest
    arrays = [{name: array for name, array in layer.items() if "." in name} for layer in found]
    check_weights(description, arrays)
    return output(description, [], arrays)


def _learning_rate(optimizer: Any) -> float:
    if optimizer.id != "AnalogSGD":
        raise DescriptionError(f"optimizer {optimizer.id[:60]!r} is unknown; known is AnalogSGD.")
    rates = [argument.f for argument in optimizer.arguments if argument.name == "lr"]
    if len(rates) != 1:
        raise DescriptionError("The optimizer AnalogSGD needs one argument, lr.")
    return _meant(rates[0])


def _meant(value: float) -> float:
    """A number as the user typed it: 0.01 became 0.009999999776 as a float32."""
    return float(format(value, ".7g"))


def layer_of(item: Any, where: str, config: Callable[[str, float, str], dict[str, Any]]) -> dict[str, Any]:
    """A layer of a network in plain values; `config(name, omega, where)` is what an `rpu_config` means."""
    if item.WhichOneof("item") is None:
        raise DescriptionError(f"{where} is empty.")
    source = getattr(item, item.WhichOneof("item"))
    layer: dict[str, Any] = {"type": ALIASES.get(source.id, source.id)}
    row, omega = LAYERS.get(layer["type"]), 0.0
    for argument in source.arguments:
        if argument.name == "rpu_config":
            layer["config"] = argument.s.decode("utf-8", "replace")
        elif argument.name == "weight_scaling_omega":
            omega = argument.f
        elif row is not None:
            layer[argument.name] = _value(argument, row.arguments.get(argument.name))
    if "config" in layer:
        layer["config"] = config(layer["config"], omega, where)
        mapping = layer["config"].get("mapping", {})
        if source.id in ALIASES and not mapping.get("digital_bias", True):
            layer["config"] |= {"mapping": mapping | {"digital_bias": True}}
    return layer


def _value(argument: Any, known: Argument | None) -> Any:
    """What an attribute holds; where numbers belong, several or one for all."""
    if argument.ints:
        return list(argument.ints)
    kind = None if known is None else known.wire
    return argument.b if kind is bool else _meant(argument.f) if kind is float else argument.i


def _config(name: str, omega: float, where: str) -> dict[str, Any]:
    if name not in PRESETS:
        raise DescriptionError(f"{where}: preset {name[:60]!r} is unknown; known are {', '.join(PRESETS)}.")
    if omega == 0.0:
        return {"preset": name}
    return expanded(name) | {"mapping": {"class": "Mapping", "weight_scaling_omega": omega}}


def epochs_of(payload: bytes) -> list[dict[str, Any]]:
    """Metrics in a `TrainingOutput`: `{"epoch": n, "metrics": {name: value}}` each. Raises `DescriptionError`."""
    message = parsed(schema.training().TrainingOutput, payload)
    return [{"epoch": one.epoch, "metrics": {entry.name: entry.f for entry in one.metrics}} for one in message.epochs]


def weights_in(payload: bytes, most: int | None = None) -> list[dict[str, Any]]:
    """What `output` wrote of each layer's weights, at most `most` arrays of each. Raises `DescriptionError`."""
    message = parsed(schema.training().TrainingOutput, payload)
    check_number(message.network.layers)
    return [
        _arrays(item.layer.state_dict, f"layers[{n}]", most) if item.HasField("layer") else {}
        for n, item in enumerate(message.network.layers)
    ]


def _arrays(state: Any, where: str, most: int | None) -> dict[str, Any]:
    if most is not None and len(state) > most:
        raise DescriptionError(f"{where} has {len(state)} arrays; at most {most} are known.")
    found = {}
    for one in state:
        if one.name in found:
            raise DescriptionError(f"{where} has two arrays {one.name[:60]!r}.")
        found[one.name] = array(one)
    return found
