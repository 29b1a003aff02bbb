"""The layers that an experiment may be described with, under torch's and aihwkit's names and arguments.

One table serves everything that is done with a layer: checking its arguments, computing shapes (in plain Python, so
that a submission is checked without compiling anything), building the flax layer, and naming what is known.
Shapes are those of one item, `(C, H, W)` or `(F,)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax import nn
from analogjax.cloud.configuration import config_from_json, is_number
from analogjax.cloud.errors import DescriptionError

Shape = tuple[int, ...]
Arguments = dict[str, Any]
_REQUIRED = object()
_LARGEST = 1 << 20  # of any one size: what a person means is smaller, what is larger is a mistake or an attack


@dataclass(frozen=True)
class LayerKind:
    """How a kind of layer is checked, shaped and built."""

    arguments: dict[str, tuple[str, Any]]  # name -> (kind, default)
    shape: Callable[[Arguments, Shape], Shape]  # raises `_Misfit`
    build: Callable[[Arguments, bool], Callable]  # (arguments, channels first) -> flax module or function
    weights: Callable[[Arguments], int] = lambda arguments: 0


class _Misfit(Exception):
    """Why a layer does not take what comes in."""


def check_layer(value: Any, where: str) -> tuple[str, Arguments]:
    """Type and complete arguments of a described layer. Raises `DescriptionError` listing what is known."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in LAYERS:
        why = NOT_SIMULATED.get(kind, "is unknown") if isinstance(kind, str) else "is no layer"
        raise DescriptionError(f"{where}: layer {str(kind)[:60]!r} {why}; known are {', '.join(sorted(LAYERS))}.")
    known, given = LAYERS[kind].arguments, {name: item for name, item in value.items() if name != "type"}
    for name in given:
        if name not in known:
            has = ", ".join(known) or "none"
            raise DescriptionError(f"{where}: {kind} has no argument {str(name)[:60]!r}; it has: {has}.")
    done = {}
    for name, (expected, default) in known.items():
        if name not in given and default is _REQUIRED:
            raise DescriptionError(f"{where}: {kind} needs {name}.")
        item = given.get(name, default)
        done[name] = item if item is None and default is None else _checked(item, expected, f"{where}: {kind}.{name}")
    return kind, done


def shape_after(kind: str, arguments: Arguments, shape: Shape, where: str) -> Shape:
    """The shape of an item after the layer. Raises `DescriptionError` where it does not fit."""
    try:
        after = LAYERS[kind].shape(arguments, shape)
    except _Misfit as error:
        raise DescriptionError(f"{where}: {kind} gets items of shape {shape}, but {error}.") from None
    if any(size <= 0 for size in after):
        raise DescriptionError(f"{where}: {kind} leaves nothing of items of shape {shape}.")
    return after


def _checked(value: Any, expected: str, where: str) -> Any:
    if expected == "config":
        config_from_json(value, where)
        return value
    if expected == "flag" and isinstance(value, bool):
        return value
    if expected == "number" and is_number(value):
        return float(value)
    if expected in ("size", "whole", "axis") and isinstance(value, int) and not isinstance(value, bool):
        low = {"size": 1, "whole": 0, "axis": -4}[expected]
        if low <= value <= _LARGEST:
            return value
    if expected in ("pair", "pair0"):
        return _pair(value, 1 if expected == "pair" else 0, where)
    raise DescriptionError(f"{where}: {str(value)[:60]!r} is not {_MEANT[expected]}.")


def _pair(value: Any, low: int, where: str) -> tuple[int, int]:
    both = [value, value] if isinstance(value, int) else value
    good = isinstance(both, (list, tuple)) and len(both) == 2
    if not good or not all(isinstance(n, int) and not isinstance(n, bool) and low <= n <= _LARGEST for n in both):
        raise DescriptionError(f"{where}: {str(value)[:60]!r} is not two whole numbers of {low} or more.")
    return both[0], both[1]


_MEANT = {
    "flag": "true or false",
    "number": "a finite number",
    "size": f"a whole number from 1 to {_LARGEST}",
    "whole": f"a whole number from 0 to {_LARGEST}",
    "axis": "the number of an axis",
}


def _same(arguments: Arguments, shape: Shape) -> Shape:
    return shape


def _flat(arguments: Arguments, shape: Shape) -> Shape:
    return (math.prod(shape),)


def _along_classes(arguments: Arguments, shape: Shape) -> Shape:
    if arguments["dim"] not in (1, -1) or len(shape) != 1:
        raise _Misfit("it is known along the classes of flat items only (dim=1)")
    return shape


def _linear(arguments: Arguments, shape: Shape) -> Shape:
    wanted = arguments["in_features"]
    if len(shape) != 1:
        raise _Misfit("it needs flat ones: put Flatten before it")
    if wanted not in (None, shape[0]):
        raise _Misfit(f"in_features={wanted}")
    return (arguments["out_features"],)


def _window(arguments: Arguments, shape: Shape, wanted: int | None, channels: int) -> Shape:
    if len(shape) != 3:
        raise _Misfit("it needs images (channels, height, width)")
    if wanted not in (None, shape[0]):
        raise _Misfit(f"in_channels={wanted}")
    sizes = zip(
        shape[1:], arguments["kernel_size"], arguments["stride"] or arguments["kernel_size"], arguments["padding"],
        arguments["dilation"], strict=True,
    )  # fmt: skip
    return (channels, *(_places(*values, arguments.get("ceil_mode", False)) for values in sizes))


def _places(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        return 0
    places = (-(-room // stride) if ceil_mode else room // stride) + 1
    # a window that would begin in the padding on the far side is left out
    return places - 1 if ceil_mode and (places - 1) * stride >= size + padding else places


def _conv(arguments: Arguments, shape: Shape) -> Shape:
    return _window(arguments, shape, arguments["in_channels"], arguments["out_channels"])


def _pool(arguments: Arguments, shape: Shape) -> Shape:
    if any(2 * pad > kernel for pad, kernel in zip(arguments["padding"], arguments["kernel_size"], strict=True)):
        raise _Misfit("its padding is more than half of its window")
    if tuple(arguments["dilation"]) != (1, 1):
        raise _Misfit("a dilation other than 1 can't be trained")
    return _window(arguments, shape, None, shape[0])


def _build_analog(arguments: Arguments, channels_first: bool) -> Callable:
    return nn.AnalogLinear(
        features=arguments["out_features"], in_features=arguments["in_features"], use_bias=arguments["bias"],
        config=config_from_json(arguments["config"]),
    )  # fmt: skip


def _build_analog_conv(arguments: Arguments, channels_first: bool) -> Callable:
    return nn.AnalogConv2d(
        features=arguments["out_channels"], in_channels=arguments["in_channels"], use_bias=arguments["bias"],
        kernel_size=arguments["kernel_size"], strides=arguments["stride"], padding=arguments["padding"],
        dilation=arguments["dilation"], channels_first=channels_first, config=config_from_json(arguments["config"]),
    )  # fmt: skip


def _build_linear(arguments: Arguments, channels_first: bool) -> Callable:
    # starts as torch's layer does: uniform in +-1/sqrt(in)
    uniform = linen.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    return linen.Dense(
        arguments["out_features"], use_bias=arguments["bias"], kernel_init=uniform,
        bias_init=partial(_uniform, bound=1 / math.sqrt(arguments["in_features"] or arguments["out_features"])),
    )  # fmt: skip


def _uniform(key: jax.Array, shape: Shape, dtype: Any = jnp.float32, *, bound: float) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def _build_pool(arguments: Arguments, channels_first: bool) -> Callable:
    return partial(
        nn.max_pool, window=arguments["kernel_size"], strides=arguments["stride"], padding=arguments["padding"],
        dilation=arguments["dilation"], ceil_mode=arguments["ceil_mode"], channels_first=channels_first,
    )  # fmt: skip


def _function(function: Callable, shape: Callable[[Arguments, Shape], Shape] = _same) -> LayerKind:
    return LayerKind({}, shape, lambda arguments, channels_first: function)


def _along(function: Callable) -> LayerKind:
    def build(arguments: Arguments, channels_first: bool) -> Callable:
        return function  # along the last axis, which is the only one that a flat item has

    return LayerKind({"dim": ("axis", -1)}, _along_classes, build)


def _identity(x: jax.Array) -> jax.Array:
    return x


_DENSE = {"in_features": ("size", None), "out_features": ("size", _REQUIRED), "bias": ("flag", True)}
_CONV = {
    "in_channels": ("size", None), "out_channels": ("size", _REQUIRED), "kernel_size": ("pair", _REQUIRED),
    "stride": ("pair", (1, 1)), "padding": ("pair0", (0, 0)), "dilation": ("pair", (1, 1)), "bias": ("flag", True),
}  # fmt: skip
_POOL = {
    "kernel_size": ("pair", _REQUIRED), "stride": ("pair", None), "padding": ("pair0", (0, 0)),
    "dilation": ("pair", (1, 1)), "ceil_mode": ("flag", False),
}  # fmt: skip
_CONFIG: dict[str, tuple[str, Any]] = {"config": ("config", {"class": "TileConfig"})}

LAYERS: dict[str, LayerKind] = {
    "AnalogLinear": LayerKind(
        _DENSE | _CONFIG, _linear, _build_analog, lambda a: (a["in_features"] or 1) * a["out_features"]
    ),
    "AnalogConv2d": LayerKind(
        _CONV | _CONFIG, _conv, _build_analog_conv,
        lambda a: (a["in_channels"] or 1) * a["out_channels"] * math.prod(a["kernel_size"]),
    ),
    "Linear": LayerKind(_DENSE, _linear, _build_linear, lambda a: (a["in_features"] or 1) * a["out_features"]),
    "MaxPool2d": LayerKind(_POOL, _pool, _build_pool),
    "Flatten": _function(nn.flatten, _flat),
    "Identity": _function(_identity),
    "Sigmoid": _function(jax.nn.sigmoid),
    "Tanh": _function(jnp.tanh),
    "ReLU": _function(jax.nn.relu),
    "LogSigmoid": _function(jax.nn.log_sigmoid),
    "GELU": _function(jax.nn.gelu),
    "SiLU": _function(jax.nn.silu),
    "ELU": _function(jax.nn.elu),
    "LeakyReLU": LayerKind(
        {"negative_slope": ("number", 0.01)}, _same,
        lambda arguments, channels_first: partial(jax.nn.leaky_relu, negative_slope=arguments["negative_slope"]),
    ),
    "Softmax": _along(jax.nn.softmax),
    "LogSoftmax": _along(jax.nn.log_softmax),
}  # fmt: skip

_LATER = "is part of the protocol but not simulated by this version"
NOT_SIMULATED = dict.fromkeys(("BatchNorm2d", "Conv2d", "ConvTranspose2d"), _LATER)
