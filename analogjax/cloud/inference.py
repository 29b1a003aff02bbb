"""Reading a trained network on drifting chips, as data: what is sent to a service instead of code.

    {"format": "analogjax-experiment-1", "kind": "inference", "dataset": "FashionMNIST", "channels_first": false,
     "layers": [...], "trained": "<id of a completed training>", "weights": "", "batch_size": 10,
     "loss_function": "CrossEntropyLoss", "inference_repeats": 2, "inference_time": 86400,
     "noise_model": {"class": "PCMLike"}, "drift_compensation": true, "seed": 0, "max_elements": 0}

The weights are either those of a training completed by the service (`trained`: they are written to new chips with the
configurations of the layers), or uploaded (`weights`: the SHA-256 of the file, which contains the exact chips).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import numpy as np

from analogjax import data, nn, random
from analogjax.cloud import description as described
from analogjax.cloud.artefacts import ID
from analogjax.cloud.configuration import is_number
from analogjax.cloud.description import Described, Description
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.layers import LAYERS, build, described_layer
from analogjax.cloud.noise import compensation_to_json, noise_model_of, noise_model_to_json
from analogjax.experiments.inferencing import BasicInferencing
from analogjax.nn.table import Matrix
from analogjax.physics import devices
from analogjax.physics.device import State
from analogjax.tile import HardwareAware, Tile, TileArray, create_array

MAX_REPEATS, MAX_TIME = 10_000, 1e12


@dataclass(frozen=True)
class InferenceDescription(Described):
    """A validated inference. Make one by `of` or `from_json`."""

    dataset: str
    layers: tuple[tuple[str, dict[str, Any]], ...]
    trained: str = ""
    weights: str = ""
    channels_first: bool = False
    batch_size: int = 10
    loss_function: str = "CrossEntropyLoss"
    inference_repeats: int = 2
    inference_time: float = 86_400.0
    noise_model: dict[str, Any] = field(default_factory=lambda: {"class": "PCMLike"})
    drift_compensation: bool = True
    seed: int = 0
    max_elements: int = 0
    kind: str = field(default="inference", init=False)

    @classmethod
    def from_json(cls, value: Any) -> InferenceDescription:
        """Make a description from parsed JSON. Raises `DescriptionError` for the first error found."""
        known = {one.name for one in fields(cls)}
        given = described.fields_of(value, known, "inference")
        if "dataset" not in given:
            raise DescriptionError(f"dataset is missing; known are {', '.join(data.DATASETS)}.")
        filled = {"dataset": None, "loss_function": "CrossEntropyLoss", "channels_first": False} | given
        described.check_choices(filled)
        described.check_wholes(
            {"batch_size": 10, "seed": 0, "max_elements": 0, "inference_repeats": 2} | given,
            inference_repeats=(1, MAX_REPEATS),
        )
        _check_source(given.get("trained", ""), given.get("weights", ""))
        given["inference_time"] = _time(given.get("inference_time", 86_400.0))
        if not isinstance(given.get("drift_compensation", True), bool):
            raise DescriptionError("drift_compensation: needs true or false.")
        given["noise_model"] = noise_model_to_json(noise_model_of(given.get("noise_model", {"class": "PCMLike"})))
        layers = described.checked_layers(given.pop("layers", None), given["dataset"])
        return cls(**given, layers=layers)

    @classmethod
    def of(
        cls, experiment: BasicInferencing, *, seed: int = 0, max_elements: int = 0
    ) -> tuple[InferenceDescription, bytes]:
        """Describe a native experiment; returns the description and the file with its chips.

        Raises `DescriptionError` naming whatever can't be described.
        """
        from analogjax.cloud.wire.training import output

        if experiment.t_inference:
            raise DescriptionError(
                f"t_inference={experiment.t_inference!r}: the cloud reads chips at 0 and at nine times up to "
                "inference_time; leave it out, or use a LocalRunner."
            )
        value = {
            "format": described.FORMAT, "kind": "inference", "dataset": described.dataset_name(experiment.dataset),
            "layers": [
                described_layer(_reading_layer(layer), n)
                for n, layer in enumerate(described.layers_of(experiment.model))
            ],
            "batch_size": experiment.batch_size, "loss_function": described.loss_name(experiment.loss_function),
            "inference_repeats": experiment.inference_repeats, "inference_time": float(experiment.inference_time),
            "noise_model": noise_model_to_json(experiment.noise_model), "weights": "0" * 64,
            "drift_compensation": compensation_to_json(experiment.compensation), "seed": seed,
            "max_elements": max_elements,
        }  # fmt: skip
        made = cls.from_json(value)
        file = output(made, [], _weights_of(made, experiment.variables))
        return replace(made, weights=hashlib.sha256(file).hexdigest()), file

    @property
    def epochs(self) -> int:
        """Number of steps: the chips to be programmed."""
        return self.inference_repeats

    def experiment(self, variables: nn.Variables, dataset_root: Any = None) -> BasicInferencing:
        """The native experiment. With `channels_first` the data is read here. Raises `DatasetError`."""
        return BasicInferencing(
            dataset=self.data(dataset_root), model=self.model(), variables=variables, batch_size=self.batch_size,
            loss_function=described.LOSSES[self.loss_function], inference_repeats=self.inference_repeats,
            inference_time=self.inference_time, noise_model=noise_model_of(self.noise_model),
            drift_compensation=self.drift_compensation,
        )  # fmt: skip

    def exactly(self, arrays: Sequence[Mapping[str, np.ndarray]]) -> nn.Variables:
        """The variables in the uploaded file. Raises `DescriptionError` if they belong to another model."""
        from analogjax.cloud.wire.tensors import variables_of

        return variables_of(self, arrays)

    def written(self, trained: Description, arrays: Sequence[Mapping[str, np.ndarray]]) -> nn.Variables:
        """New chips with the weights of a training. Raises `DescriptionError` if they belong to another model."""
        self.check_trained(trained)
        held = [_logical(trained.layers[n], arrays[n]) for n in _weighted(trained.layers)]
        params: dict[str, Any] = {}
        tiles: dict[str, Any] = {}
        keys = jax.random.split(jax.random.fold_in(random.key(self.seed), 1), max(1, len(held)))
        for n, (w, bias), key in zip(_weighted(self.layers), held, keys, strict=False):
            kind, arguments = self.layers[n]
            name = f"layers_{n}"
            if not LAYERS[kind].analog:
                params[name] = {"kernel": w.T} | ({"bias": bias} if arguments["bias"] else {})
                continue
            chips, params_here = _chips(build(kind, arguments, self.channels_first), w, bias, key)
            tiles[name] = {"tile": chips}
            if params_here:
                params[name] = params_here
        return nn.Variables(params=params, tiles=tiles)

    def check_trained(self, trained: Description) -> None:
        """Raise `DescriptionError` unless the layers with weights are those of the training, in size and order."""
        if trained.channels_first != self.channels_first:
            raise DescriptionError(
                f"trained: that experiment has channels_first={trained.channels_first}, and the order of the weights "
                "with it; this one must have the same."
            )
        ours, theirs = ([_size(*one.layers[n]) for n in _weighted(one.layers)] for one in (self, trained))
        if ours != theirs:
            raise DescriptionError(
                f"trained: the layers with weights are {_told(ours)}; that experiment has {_told(theirs)}. They must "
                "be the same in order and size (an analog layer may stand for a digital one)."
            )


def description_from_json(value: Any) -> Description | InferenceDescription:
    """The description of either kind. Raises `DescriptionError`."""
    if isinstance(value, Mapping) and value.get("kind") == "inference":
        return InferenceDescription.from_json(value)
    return Description.from_json(value)


def _check_source(trained: Any, weights: Any) -> None:
    if not isinstance(trained, str) or not isinstance(weights, str) or bool(trained) == bool(weights):
        raise DescriptionError("Give trained, the id of a completed training of yours, or weights that come along.")
    if trained and not ID.fullmatch(trained):
        raise DescriptionError(
            f"trained: {trained[:60]!r} is no id of an experiment. Weights come from a training that you have run on "
            "this service: give its id (over aihwkit's protocol as weight_template_id)."
        )
    if weights:
        described.check_digest(weights)


def _time(value: Any) -> float:
    if not is_number(value) or not 1 <= value <= MAX_TIME:
        raise DescriptionError(f"inference_time: needs a time from 1 to {MAX_TIME:g} seconds, not {str(value)[:60]!r}.")
    return float(value)


def _weighted(layers: Sequence[tuple[str, Any]]) -> list[int]:
    return [n for n, (kind, _) in enumerate(layers) if LAYERS[kind].matrix is not None]


def _matrix(kind: str) -> Matrix:
    matrix = LAYERS[kind].matrix
    assert matrix is not None  # of the layers that `_weighted` finds
    return matrix


def _size(kind: str, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    return _matrix(kind).kind, *_matrix(kind).sizes(arguments)


def _told(sizes: list[tuple[Any, ...]]) -> str:
    return ", ".join(f"{kind} {'x'.join(map(str, size))}" for kind, *size in sizes) or "none"


def _logical(layer: tuple[str, dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weights `[O, I]` including all digital scales, and the bias `[O]`, 0 if there is none."""
    w = arrays["weight"] * np.reshape(arrays.get("params.out_scale", np.float32(1)), (-1, 1))
    kind, arguments = layer
    inputs = _matrix(kind).inputs(arguments)
    bias = w[:, inputs] if w.shape[1] > inputs else arrays.get("bias", np.zeros(len(w), w.dtype))
    return w[:, :inputs], bias


def _chips(layer: Any, w: np.ndarray, bias: np.ndarray, key: Any) -> tuple[Any, dict[str, Any]]:
    """Tiles that hold the weights, and the corresponding digital parameters. Consumes `key`."""
    mapping = layer.config.mapping
    params: dict[str, Any] = {}
    if layer.use_bias and mapping.digital_bias:
        params["bias"] = bias
    elif layer.use_bias:
        w = np.concatenate([w, bias[:, None]], axis=1)
    if mapping.learn_out_scaling:
        params["out_scale"] = np.ones((layer.features,) if mapping.out_scaling_columnwise else (), w.dtype)
    return create_array(layer.config, w.shape, key, weights=jax.numpy.asarray(w)), params


def _reading_layer(layer: Any) -> Any:
    """The described layer with tiles for reading only; the response of their devices to pulses does not matter."""
    if not isinstance(layer, nn.AnalogLinear):
        return layer
    if isinstance(layer.config, HardwareAware):
        if layer.config.input_range is not None:
            raise DescriptionError(
                "model: the cloud does not carry input ranges; run the inference with a LocalRunner, or train without."
            )
        return layer.clone(config=layer.config.reading())
    return layer.clone(config=replace(layer.config, device=devices.Ideal()))


def _weights_of(made: InferenceDescription, variables: nn.Variables) -> list[dict[str, np.ndarray]]:
    from analogjax.cloud.wire.tensors import weights_of

    def is_chips(node: Any) -> bool:
        return isinstance(node, (Tile, TileArray))

    variables = nn.exact_chips(variables)
    tiles = jax.tree.map(lambda one: _reading(one) if is_chips(one) else one, variables.tiles, is_leaf=is_chips)
    found = weights_of(made, nn.Variables(params=variables.params, tiles=tiles))
    # the logical weights follow from the rest
    return [{name: array for name, array in layer.items() if "." in name} for layer in found]


def _reading(chips: Tile | TileArray) -> Tile | TileArray:
    return replace(chips, tiles=_bare(chips.tiles)) if isinstance(chips, TileArray) else _bare(chips)


def _bare(chips: Tile) -> Tile:
    config = replace(chips.config, device=devices.Ideal())
    return replace(chips, config=config, cells={}, state=State(w=chips.state.w))
