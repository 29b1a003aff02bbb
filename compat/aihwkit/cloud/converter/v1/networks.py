"""Networks and datasets to protobuf and back: what trainings and inference share."""

from typing import Any

from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.experiments.experiments.training import catalogued
from compat.aihwkit.nn import AnalogSequential
from compat.torch_package import torch

_DATASETS = {"FashionMNIST": "fashion_mnist", "SVHN": "svhn"}


def dataset_id(dataset: Any) -> str:
    """What the protocol calls a dataset class. Raises `ConversionError`."""
    name = catalogued(dataset)  # torchvision's class or ours
    if name not in _DATASETS:
        shown = getattr(dataset, "__name__", repr(dataset))
        raise ConversionError(f"Unsupported dataset: {shown}; the cloud has {', '.join(_DATASETS)} of torchvision.")
    return _DATASETS[name]


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
    # arguments that the protocol has no words for, and that change what is computed
    changed = {
        torch.nn.Flatten: (("start_dim", 1), ("end_dim", -1)), torch.nn.Conv2d: _PLAIN,
        torch.nn.ConvTranspose2d: _PLAIN, torch.nn.BatchNorm2d: (("eps", 1e-5), ("momentum", 0.1), ("affine", True)),
        torch.nn.MaxPool2d: (("return_indices", False),),
    }.get(type(layer), ())  # fmt: skip
    for name, default in changed:
        if getattr(layer, name) != default:
            raise ConversionError(
                f"Layer {n}: {type(layer).__name__}({name}={getattr(layer, name)!r}) would be lost: the protocol has "
                f"no word for {name}. Leave it at {default!r}, or run it with LocalRunner."
            )


_PLAIN = (("groups", 1), ("padding_mode", "zeros"))


def model_of(network: Any, mappings: Any, inverse: Any) -> Any:
    """The model of a network, its layers made anew. Raises `ConversionError`, and what a layer raises."""
    layers = []
    for item in network.layers:
        if item.WhichOneof("item") == "layer":
            kind = known(inverse.layers, item.layer.id, "layer")
            layers.append(mappings.layers[kind].from_proto(item.layer, kind))
        else:
            kind = known(inverse.activation_functions, item.activation_function.id, "activation function")
            layers.append(mappings.activation_functions[kind].from_proto(item.activation_function, kind))
    return AnalogSequential(*layers)
