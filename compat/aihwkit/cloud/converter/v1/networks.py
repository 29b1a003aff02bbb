"""Networks and datasets to protobuf and back: what trainings and inference share."""

from typing import Any

from analogjax.cloud.wire.training import DATASETS
from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.experiments.experiments.training import catalogued
from compat.aihwkit.nn import AnalogSequential
from compat.aihwkit.nn.table import ROWS, lost

_IDS = {name: id_ for id_, name in DATASETS.items()}


def dataset_id(dataset: Any) -> str:
    """What the protocol calls a dataset class. Raises `ConversionError`."""
    name = catalogued(dataset)  # torchvision's class or ours
    if name not in _IDS:
        shown = getattr(dataset, "__name__", repr(dataset))
        raise ConversionError(f"Unsupported dataset: {shown}; the cloud has {', '.join(_IDS)} of torchvision.")
    return _IDS[name]


def known(table: dict[str, Any], name: str, what: str) -> Any:
    """An entry of an inverse mapping. Raises `ConversionError` with the list of what is known."""
    if name not in table:
        raise ConversionError(f"Unsupported {what}: {name[:60]!r}; known are {', '.join(table)}.")
    return table[name]


def add_layers(network: Any, model: Any, mappings: Any) -> None:
    """Put the layers of a model into a network. Raises `ConversionError`."""
    if not isinstance(model, AnalogSequential):
        raise ConversionError(f"Unsupported model: {type(model).__name__}; only an AnalogSequential can travel.")
    for n, layer in enumerate(model.children()):
        _check(layer, n, mappings)
        item = network.layers.add()
        if type(layer) in mappings.layers:
            item.layer.CopyFrom(mappings.layers[type(layer)].to_proto(layer, type(item.layer)))
        else:
            function = mappings.activation_functions[type(layer)]
            item.activation_function.CopyFrom(function.to_proto(layer, type(item.activation_function)))


def _check(layer: Any, n: int, mappings: Any) -> None:
    if type(layer) not in mappings.layers and type(layer) not in mappings.activation_functions:
        names = [kind.__name__ for kind in (*mappings.layers, *mappings.activation_functions)]
        raise ConversionError(f"Unsupported layers: layer {n} is a {type(layer).__name__}; known: {', '.join(names)}.")
    row = ROWS[type(layer)]
    if (name := lost(row, layer)) is not None:
        raise ConversionError(
            f"Layer {n}: {type(layer).__name__}({name}={getattr(layer, name)!r}) would be lost: the protocol has no "
            f"word for {name}. Leave it at {row.fixed[name]!r}, or run it with LocalRunner."
        )


def model_of(network: Any, mappings: Any, inverse: Any) -> Any:
    """The model of a network, with new layers. Raises `ConversionError`, and what a layer raises."""
    layers = []
    for item in network.layers:
        if item.WhichOneof("item") == "layer":
            kind = known(inverse.layers, item.layer.id, "layer")
            layers.append(mappings.layers[kind].from_proto(item.layer, kind))
        else:
            kind = known(inverse.activation_functions, item.activation_function.id, "activation function")
            layers.append(mappings.activation_functions[kind].from_proto(item.activation_function, kind))
    return AnalogSequential(*layers)
