"""Networks of linear layers from a file of matrices: NumPy's `.npz`, or `.safetensors`."""

import os
import re
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
        return _in_order(path, load_file(os.fspath(path)))
    except MissingPackage:
        raise
    except Exception as error:  # both readers raise many kinds
        raise ConfigError(f"{os.fspath(path)}: can't be read ({type(error).__name__}: {error}).") from None


def _in_order(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays in the order of the numbers in their names: safetensors sorts names, and keeps no other order."""
    numbers = {name: tuple(int(part) for part in re.findall(r"\d+", name.rpartition(".")[0])) for name in arrays}
    layers = [number for name, number in numbers.items() if name.rpartition(".")[2] in ("weight", "kernel")]
    if len(layers) > 1 and (len(set(layers)) < len(layers) or () in layers):
        raise ConfigError(
            f"{os.fspath(path)}: {', '.join(sorted(arrays)[:4])}: a .safetensors file sorts its names, so these do "
            "not say which layer comes first. Number them (0.weight, 1.weight), or save as .npz, which keeps the order."
        )
    return {name: arrays[name] for name in sorted(arrays, key=lambda name: numbers[name])}


def _matrices(
    path: str | os.PathLike[str], arrays: dict[str, np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Weights `[O, I]` and bias of each layer."""
    found: list[tuple[np.ndarray, np.ndarray | None]] = []
    left = {name for name in arrays if name.rpartition(".")[2] not in ("weight", "kernel")}
    for name, array in arrays.items():
        stem, _, kind = name.rpartition(".")
        if kind not in ("weight", "kernel"):
            continue
        left.discard(f"{stem}.bias" if stem else "bias")
        if array.ndim != 2:
            raise ConfigError(
                f"{os.fspath(path)}: {name} has the shape {list(array.shape)}; only linear layers can be read from a "
                "file, since nothing says how others are connected. Use analogjax.experiments.evaluate for them."
            )
        w, bias = (
            _real(path, name, array.T if kind == "kernel" else array),
            arrays.get(f"{stem}.bias" if stem else "bias"),
        )
        if bias is not None and bias.shape != (len(w),):
            raise ConfigError(
                f"{os.fspath(path)}: the bias of {name} has the shape {list(bias.shape)}; it must be [{len(w)}], "
                "one number for each output."
            )
        found.append((w, None if bias is None else _real(path, f"{stem}.bias", bias)))
    if not found:
        raise ConfigError(
            f"{os.fspath(path)}: holds {', '.join(list(arrays)[:5]) or 'nothing'}; it needs arrays named NAME.weight."
        )
    if left:
        raise ConfigError(
            f"{os.fspath(path)}: {', '.join(sorted(left)[:3])} belongs to no linear layer, and would be left out; only "
            "networks of linear layers can be read. Use analogjax.experiments.evaluate for others."
        )
    for (first, _), (second, _) in pairwise(found):
        if len(first) != second.shape[1]:
            raise ConfigError(
                f"{os.fspath(path)}: a matrix of {first.shape[0]} outputs is followed by one of {second.shape[1]} "
                "inputs; the layers must be in order."
            )
    return found


def _real(path: str | os.PathLike[str], name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise ConfigError(f"{os.fspath(path)}: {name} is of {array.dtype}; weights are real numbers.")
    return np.asarray(array, np.float32)
