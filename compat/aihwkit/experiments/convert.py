"""A torch experiment as a native one: trained by one compiled loop, on the very chips of the torch modules.

`train` turns the layers into a flax model, hands the torch modules' tiles, biases and digital weights to
`analogjax.experiments.LocalRunner`, and writes what has become of them back. Where an experiment does something of its
own that such a loop cannot know of, it raises `Obstacle` before anything has changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import experiments as native
from analogjax import nn
from analogjax.data import Split, named
from analogjax.errors import ConfigError
from analogjax.nn import table
from compat.aihwkit.experiments.experiments.training import BasicTraining, catalogued
from compat.aihwkit.nn.table import ROWS, arguments_of
from compat.aihwkit.simulator.tiles import AnalogTile, FloatingPointTile, InferenceTile, TileModuleArray
from compat.stacked_chips import Unstackable, chips_of
from compat.torch_package import torch

_OWN = (
    "get_dataset_arguments", "get_dataset_transform", "get_data_loaders", "get_optimizer", "training_step",
    "validation_step", "train", "run",
)  # fmt: skip
_TILES = (AnalogTile, FloatingPointTile, InferenceTile)
LOSSES = {torch.nn.NLLLoss: native.nll_loss, torch.nn.CrossEntropyLoss: native.cross_entropy_loss}


DOWNLOADED = ("FashionMNIST", "SVHN")  # as in aihwkit; the files of other datasets must be there


class Obstacle(Exception):
    """Why an experiment cannot be compiled as a whole."""


def train(experiment: Any, limit: int, root: Any, device: Any, stdout: bool) -> list[dict]:
    """Train `experiment.model` in place and return the results of the epochs. Raises `Obstacle`."""
    layers = list(layers_of(experiment.model))
    if any(getattr(tile.rpu_config, "trains_aware", False) for layer in layers for tile in layer.tiles):
        raise Obstacle("hardware-aware training has no native form")
    data: Any = _arrays(experiment, limit, root)
    compiled = native.BasicTraining(
        dataset=data,
        model=nn.Sequential(*(layer.call for layer in layers)),
        batch_size=experiment.batch_size,
        loss_function=LOSSES[experiment.loss_function],
        epochs=experiment.epochs,
        learning_rate=experiment.learning_rate,
    )
    variables = taken(layers)
    seed = int(torch.randint(0, 2**31 - 1, ()))
    runner = native.LocalRunner(None if device is None else str(device))
    results = runner.run(compiled, limit, stdout=stdout, seed=seed, variables=variables, progress=False)
    _given_back(layers, results.variables)
    experiment.model.eval()  # as the validation of the last epoch leaves it
    for entry in results:
        # counted in float32 there: the exact fraction of a whole number of items
        entry["accuracy"] = round(entry["accuracy"] * len(data.test)) / len(data.test)
    return list(results)


def adopt(model: Any, variables: nn.Variables) -> None:
    """Put native variables, of a native model of the same layers, into a torch model. Raises `Obstacle`."""
    _given_back(list(layers_of(model)), variables)


def need_plain(experiment: Any, known: type, own: tuple[str, ...]) -> None:
    """Raises `Obstacle` where the experiment's class has methods of its own, or a loss without a native form."""
    for name in own:
        if getattr(type(experiment), name, None) is not getattr(known, name):
            raise Obstacle(f"{type(experiment).__name__} has its own {name}()")
    if experiment.loss_function not in LOSSES:
        raise Obstacle(f"the loss function {getattr(experiment.loss_function, '__name__', '?')} has no native form")


@dataclass
class Layer:
    """A torch module and what does the same in JAX."""

    module: Any
    call: Callable
    name: str  # of its variables in the flax model
    tiles: list[Any] = field(default_factory=list)  # the tile modules of an analog one
    chips: Any = None  # theirs, as one native tile
    config: Any = None  # of that tile, as the native layer has it
    params: dict[str, Any] = field(default_factory=dict)  # its digital parameters, under flax's names


def layers_of(model: Any) -> Iterator[Layer]:
    """The layers of a row of modules, rows inside rows laid flat. Raises `Obstacle`."""
    flat = list(_flat(model))
    if len({id(module) for module in flat}) < len(flat):
        raise Obstacle("one module is used twice in the model")
    held = [parameter for module in flat for parameter in {id(one) for one in module.parameters()}]
    if len(set(held)) < len(held):
        raise Obstacle("two modules share one parameter (tied weights)")
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    if frozen:
        raise Obstacle(f"the parameter {frozen[0]} is frozen (requires_grad=False)")
    for n, module in enumerate(flat):
        yield _layer(module, f"layers_{n}")


def _flat(module: Any) -> Iterator[Any]:
    _hookless(module)
    if isinstance(module, torch.nn.Sequential) and type(module).forward is torch.nn.Sequential.forward:
        for part in module:
            yield from _flat(part)
    else:
        yield module


def is_hooked(module: Any) -> bool:
    """Whether something is called before or after a torch module."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def _hookless(module: Any) -> None:
    if is_hooked(module):
        raise Obstacle(f"{type(module).__name__} has hooks of its own")


def _layer(module: Any, name: str) -> Layer:
    row = ROWS.get(type(module))
    if type(module) is torch.nn.Dropout and module.p == 0.0:
        return Layer(module, table.identity, name)
    if row is None or not row.simulated:
        raise Obstacle(f"the module {type(module).__name__} has no native form")
    if row.analog:
        return _analog_layer(module, row, name)
    kept = {} if row.matrix is None else _given({"kernel": module.weight, "bias": module.bias})
    return Layer(module, _built(module, row), name, params=kept)


def _analog_layer(module: Any, row: table.Layer, name: str) -> Layer:
    owner = getattr(module, "analog_module", module)  # a convolution that is cut between kernels has chips itself
    if owner is not module and type(owner) not in (TileModuleArray, *_TILES):
        raise Obstacle(f"the tile module {type(owner).__name__} has no native form")
    _hookless(owner)
    grid = owner.array if hasattr(owner, "array") else [[owner]]
    tiles = _checked_tiles(grid)
    try:
        chips = chips_of(grid)
    except Unstackable as why:
        raise Obstacle(f"{type(module).__name__}: {why} has no native form") from None
    config, alpha = tiles[0].chips.tile.config, tiles[0].out_scaling_alpha
    if owner is not tiles[0]:  # the bias is at the sum, whatever the mapping says
        config = replace(config, mapping=replace(config.mapping, digital_bias=True))
    kept = _given({"bias": owner.bias, "out_scale": alpha})
    return Layer(module, _built(module, row, config=config), name, tiles, chips, config, kept)


def _checked_tiles(grid: Any) -> list[Any]:
    """The tile modules of a grid. Raises `Obstacle`."""
    tiles = [tile for column in grid for tile in column]
    for tile in tiles:
        _hookless(tile)
        if type(tile) not in _TILES:
            raise Obstacle(f"the tile module {type(tile).__name__} has no native form")
        if tile.analog_ctx.has_gradient():
            raise Obstacle("a tile holds a gradient that has not been stepped with")
    if len(tiles) > 1 and tiles[0].out_scaling_alpha is not None:
        raise Obstacle("a learned scale of each chip of a matrix has no native form")
    return tiles


def _built(module: Any, row: table.Layer, **more: Any) -> Callable:
    """The native layer of a module. Raises `Obstacle`."""
    try:
        return row.build(arguments_of(row, module), channels_first=True, **more)
    except ConfigError as error:
        raise Obstacle(str(error)) from None


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def taken(layers: list[Layer]) -> nn.Variables:
    """The variables of the torch modules, copied; tiles under flax's names."""
    params = {layer.name: _native_params(layer) for layer in layers if layer.params}
    tiles = {layer.name: {"tile": layer.chips.tile} for layer in layers if layer.tiles}
    return nn.Variables(params=params, tiles=tiles)


def _native_params(layer: Layer) -> dict[str, jax.Array]:
    values = {name: jnp.array(value.detach().numpy()) for name, value in layer.params.items()}
    if "kernel" in values:
        values["kernel"] = values["kernel"].T  # torch keeps [O, I], flax [I, O]
    if "out_scale" in values and values["out_scale"].shape == (1,):
        values["out_scale"] = values["out_scale"][0]
    return values


@torch.no_grad()
def _given_back(layers: list[Layer], variables: nn.Variables) -> None:
    """Put trained variables into the torch modules."""
    for layer in layers:
        for name, parameter in layer.params.items():
            value = np.array(variables.params[layer.name][name])
            parameter.copy_(torch.from_numpy(value.T if name == "kernel" else value).reshape(parameter.shape))
        if layer.tiles:
            # through numpy: the run may have been on another device than the torch modules
            tile = variables.tiles[layer.name]["tile"]
            layer.chips.tile = jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)), tile)


def _arrays(experiment: Any, limit: int, root: Any) -> native.Arrays:
    """Both splits in memory, images as torch sees them: `[N, C, H, W]`. Raises `Obstacle`."""
    need_plain(experiment, BasicTraining, _OWN)  # first: an experiment of its own kind may have its own data too
    name = catalogued(experiment.dataset)
    if not name:
        return native.Arrays(iterated(experiment, True, limit, root), iterated(experiment, False, limit, root))
    known = named(name)
    train, test = (known.load(root, train=train, download=name in DOWNLOADED).head(limit) for train in (True, False))
    return native.Arrays(train.channels_first(), test.channels_first(), name, *scales(experiment, known))


def scales(experiment: Any, known: Any) -> list[np.ndarray]:
    """Mean and deviation that the experiment normalises a catalogued dataset with, for each channel."""
    normalised = len(experiment.get_dataset_transform(experiment.dataset).transforms) > 1
    mean, std = (known.mean, known.std) if normalised else ((0.0,), (1.0,))
    return [np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std)]


def download(experiment: Any, root: Any, splits: tuple[dict, ...]) -> None:
    """Fetch those splits of a dataset that aihwkit fetches, where they are not there yet."""
    if catalogued(experiment.dataset) in DOWNLOADED:
        for split in splits:
            experiment.dataset(root, download=True, **split)


def iterated(experiment: Any, train: bool, limit: int, root: Any) -> Split:
    """A split of any other dataset, each item fetched once."""
    given = experiment.get_dataset_arguments(experiment.dataset)[0 if train else 1]
    transform = experiment.get_dataset_transform(experiment.dataset)
    dataset = experiment.dataset(root, transform=transform, **given)
    count = len(dataset) if limit <= 0 else min(limit, len(dataset))
    items = [dataset[n] for n in range(count)]
    try:
        images = np.stack([np.asarray(image, np.float32) for image, _ in items])
        labels = np.asarray([int(label) for _, label in items], np.int32)
    except (TypeError, ValueError) as error:
        raise Obstacle(f"the items of the dataset are not (image, class number) ({error})") from error
    return Split(images, labels)
