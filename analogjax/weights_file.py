"""Networks of linear layers from a file of matrices: NumPy's `.npz`, or `.safetensors`."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import nn, random
from analogjax.errors import ConfigError, MissingPackage
from analogjax.nn.hardware_aware import WEIGHT
from analogjax.tile import HardwareAware, Mapping


def read_network(path: str | os.PathLike[str], activation: str) -> tuple[Any, nn.Variables, tuple[int, int]]:
    """Read a network of linear layers with an activation between them.

    Args:
        path: File with `NAME.weight` `[O, I]` (or `NAME.kernel` `[I, O]`) and `NAME.bias` `[O]` of each
            layer, in order.
        activation: Name of a function of `jax.nn`, such as "relu"; after the last layer there is `log_softmax`.

    Returns:
        The model, of hardware-aware layers; its variables; and its numbers of outputs and inputs.

    Raises:
        ConfigError: If the file can't be read, or its matrices do not follow each other.
        MissingPackage: If the package for its format is not installed.
    """
    matrices = _matrices(path, _arrays(path))
    config = HardwareAware(mapping=Mapping(weight_scaling_omega=1.0))
    layers: list[Any] = [nn.flatten]
    for w, bias in matrices:
        layers += [nn.AnalogLinear(len(w), config, use_bias=bias is not None), getattr(jax.nn, activation)]
    model = nn.Sequential(*layers[:-1], jax.nn.log_softmax)
    blank = nn.init(model, jnp.zeros((1, matrices[0][0].shape[1])), random.key(0))
    return model, _filled(blank, matrices), (len(matrices[-1][0]), matrices[0][0].shape[1])


def _filled(blank: nn.Variables, matrices: list[tuple[np.ndarray, np.ndarray | None]]) -> nn.Variables:
    """Variables with the given matrices, and the output scales that these need."""
    params, collections = blank.params, blank.collections
    for name, (w, bias) in zip(sorted(params, key=lambda name: int(name.split("_")[-1])), matrices, strict=True):
        params = {**params, name: {WEIGHT: jnp.asarray(w)} | ({} if bias is None else {"bias": jnp.asarray(bias)})}
        collections = nn.with_weights(collections, (name,), params[name][WEIGHT])
    return blank.replace(params=params, collections=collections)


def _arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        if Path(path).suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: np.asarray(file[name]) for name in file.files}
        try:
            from safetensors.numpy import load_file
        except ImportError:
            raise MissingPackage('.safetensors files need safetensors: pip install "analogjax[safetensors]"') from None
        return dict(load_file(os.fspath(path)))
    except MissingPackage:
        raise
    except Exception as error:  # both readers raise many kinds
        raise ConfigError(f"{os.fspath(path)}: can't be read ({type(error).__name__}: {error}).") from None


def _matrices(
    path: str | os.PathLike[str], arrays: dict[str, np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Weights `[O, I]` and bias of each layer."""
    found = []
    for name, array in arrays.items():
        stem, _, kind = name.rpartition(".")
        if kind not in ("weight", "kernel"):
            continue
        if array.ndim != 2:
            raise ConfigError(
                f"{os.fspath(path)}: {name} has the shape {list(array.shape)}; only linear layers can be read from a "
                "file, since nothing says how others are connected. Use analogjax.experiments.evaluate for them."
            )
        w = np.asarray(array.T if kind == "kernel" else array, np.float32)
        bias = arrays.get(f"{stem}.bias" if stem else "bias")
        found.append((w, None if bias is None else np.asarray(bias, np.float32)))
    if not found:
        raise ConfigError(
            f"{os.fspath(path)}: holds {', '.join(list(arrays)[:5]) or 'nothing'}; it needs arrays named NAME.weight."
        )
    for (first, _), (second, _) in pairwise(found):
        if len(first) != second.shape[1]:
            raise ConfigError(
                f"{os.fspath(path)}: a matrix of {first.shape[0]} outputs is followed by one of {second.shape[1]} "
                "inputs; the layers must be in order."
            )
    return found
