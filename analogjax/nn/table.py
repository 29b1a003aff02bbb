"""The layers that models can be described with: one row each, under the names and arguments of torch and aihwkit.

Everything else is derived from the row of a layer: its description as JSON, its shape without compiling anything, its
place in aihwkit's protocol (`analogjax.cloud`), and the conversion of torch modules (`compat`). The rows are kept here,
next to the layers, because they define how native layers are called. Torch's names are plain strings, so neither torch
nor a service is needed. To add a layer, add its module and a row.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache, partial
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, Shape
from analogjax.nn.arguments import (
    Argument,
    Arguments,
    along_classes,
    axis,
    convolved,
    convolved_back,
    each,
    flag,
    flat,
    multiplied,
    number,
    only,
    pooled,
    same,
    sizes,
    tanh_form,
    undilated,
    unflattened,
    whole,
)
from analogjax.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from analogjax.nn.conv_transpose import AnalogConvTranspose1d, AnalogConvTranspose2d, AnalogConvTranspose3d
from analogjax.nn.linear import AnalogLinear
from analogjax.nn.model import flatten, unflatten
from analogjax.nn.pool import max_pool

# what `analogjax.nn` exports of the layers
__all__ = [
    "AnalogConv1d", "AnalogConv2d", "AnalogConv3d", "AnalogConvTranspose1d", "AnalogConvTranspose2d",
    "AnalogConvTranspose3d", "AnalogLinear", "flatten", "max_pool", "unflatten",
]  # fmt: skip


class Message(Enum):
    """How aihwkit's protocol carries a layer: the name of a field of the items of a network."""

    LAYER = "layer"
    ACTIVATION = "activation_function"


@dataclass(frozen=True)
class Matrix:
    """The weights of a layer as a matrix `[O, I]`, by the names of the arguments that determine its size."""

    kind: str  # layers of one kind and of equal sizes may stand for each other: an analog one for a digital one
    channels: str  # of the inputs; filled in where it is not given
    outputs: str
    kernel: str | None = None  # `I` is the channels times its sizes

    def sizes(self, arguments: Arguments) -> tuple[int, ...]:
        """Channels, outputs, and the sizes of a kernel; their product is the number of weights."""
        kernel = () if self.kernel is None else arguments[self.kernel]
        return (arguments[self.channels] or 1, arguments[self.outputs], *kernel)

    def inputs(self, arguments: Arguments) -> int:
        """`I`."""
        return math.prod(self.sizes(arguments)) // arguments[self.outputs]


@dataclass(frozen=True)
class Layer:
    """One row of the table. A layer without a `module` and a `function` is part of the protocol, but not simulated."""

    name: str  # of the class in torch, or in aihwkit
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    shape: Callable[[Arguments, Shape], Shape] = same  # of an item after the layer; raises `ShapeError`
    module: Callable[..., linen.Module] | None = None  # makes the flax module
    function: Callable[..., Array] | None = None  # for layers without variables: the layer itself
    also: tuple[Callable[..., Array], ...] = ()  # functions that are the same
    matrix: Matrix | None = None
    has_channels: bool = False  # the native form has an argument `channels_first`
    fixed: Mapping[str, Any] = field(default_factory=dict)  # torch's arguments that support only this value
    message: Message | None = None

    @property
    def simulated(self) -> bool:
        """Whether there is a native layer."""
        return self.module is not None or self.function is not None

    @property
    def analog(self) -> bool:
        """Whether it has tiles, and therefore a configuration."""
        return isinstance(self.module, type) and issubclass(self.module, AnalogLinear)

    def build(self, arguments: Arguments, *, channels_first: bool = False, **more: Any) -> Callable[..., Any]:
        """Make the flax module or function for complete arguments; `more` are native ones, such as `config`."""
        given = {one.native: arguments[name] for name, one in self.arguments.items() if one.native is not None}
        given |= {"channels_first": channels_first} if self.has_channels else {}
        if self.module is not None:
            return self.module(**given, **more)
        assert self.function is not None
        return _bound(self.function, tuple(given.items())) if given else self.function

    def described(self, layer: Any) -> dict[str, Any] | None:
        """The arguments with which `build` makes the given native layer; `None` if it is of another kind or layout."""
        words = {one.native: name for name, one in self.arguments.items() if one.native is not None}
        if self.module is not None:
            if type(layer) is not self.module or getattr(layer, "channels_first", False):
                return None
            return {name: getattr(layer, native) for native, name in words.items()}
        function, given = (layer.func, layer.keywords) if isinstance(layer, partial) else (layer, {})
        if not any(function is known for known in (self.function, *self.also)):
            return None
        if isinstance(layer, partial) and layer.args:  # which stand where the activations belong
            return None
        given = {name: value for name, value in given.items() if (name, value) != ("channels_first", False)}
        return {words[name]: value for name, value in given.items()} if set(given) <= set(words) else None


@lru_cache(256)
def _bound(function: Callable[..., Array], given: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    """A function with its arguments bound; the same object for equal arguments, so that models made alike are equal."""
    return partial(function, **dict(given))


@lru_cache(256)
def _up_to(bound: float) -> Callable[[Key, Shape, Any], Array]:
    def init(key: Key, shape: Shape, dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


_FAN_IN = linen.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # uniform in +-1/sqrt(in)


def digital_linear(in_features: int | None, features: int, use_bias: bool) -> linen.Module:
    """A digital layer `[..., I] -> [..., O]`, initialised as in torch."""
    bias = _up_to(1 / math.sqrt(in_features or features))
    return linen.Dense(features, use_bias=use_bias, kernel_init=_FAN_IN, bias_init=bias)


def identity(x: Array) -> Array:
    """`x`."""
    return x


def _dense() -> dict[str, Argument]:
    return {
        "in_features": Argument("in_features", whole(1), int, None),
        "out_features": Argument("features", whole(1), int),
        "bias": Argument("use_bias", flag, bool, True),
    }


def _conv(axes: int) -> dict[str, Argument]:
    return {
        "in_channels": Argument("in_channels", whole(1), int, None),
        "out_channels": Argument("features", whole(1), int),
        "kernel_size": Argument("kernel_size", each(axes, 1), [int]),
        "stride": Argument("strides", each(axes, 1), [int], (1,) * axes),
        "padding": Argument("padding", each(axes, 0), [int], (0,) * axes),
        "dilation": Argument("dilation", each(axes, 1), [int], (1,) * axes),
        "bias": Argument("use_bias", flag, bool, True),
    }


_POOL = {  # the protocol has one number for both axes
    "kernel_size": Argument("window", each(2, 1), int),
    "stride": Argument("strides", each(2, 1), int, None),
    "padding": Argument("padding", each(2, 0), int, (0, 0)),
    "dilation": Argument("dilation", undilated, int, (1, 1)),
    "ceil_mode": Argument("ceil_mode", flag, bool, False),
}
_DIM = {"dim": Argument("axis", axis, int, -1)}
_KERNELS = Matrix("convolution", "in_channels", "out_channels", "kernel_size")
_KERNELS_BACK = Matrix("transposed convolution", "in_channels", "out_channels", "kernel_size")
_ROWS = Matrix("linear", "in_features", "out_features")
_ONE_GROUP = {"groups": 1, "padding_mode": "zeros"}


def _analog_conv(module: type[AnalogLinear], axes: int) -> Layer:
    return Layer(
        module.__name__, _conv(axes), convolved, module, matrix=_KERNELS, has_channels=True, fixed=_ONE_GROUP,
        message=Message.LAYER,
    )  # fmt: skip


def _analog_conv_transpose(module: type[AnalogLinear], axes: int) -> Layer:
    more = {"output_padding": Argument("output_padding", each(axes, 0), default=(0,) * axes)}
    return Layer(
        module.__name__, _conv(axes) | more, convolved_back, module, matrix=_KERNELS_BACK, has_channels=True,
        fixed=_ONE_GROUP,
    )  # fmt: skip


def _activation(name: str, function: Callable[..., Array], **more: Any) -> Layer:
    return Layer(name, function=function, **({"message": Message.ACTIVATION} | more))


LAYERS = (
    Layer("AnalogLinear", _dense(), multiplied, AnalogLinear, matrix=_ROWS, message=Message.LAYER),
    _analog_conv(AnalogConv1d, 1),
    _analog_conv(AnalogConv2d, 2),
    _analog_conv(AnalogConv3d, 3),
    _analog_conv_transpose(AnalogConvTranspose1d, 1),
    _analog_conv_transpose(AnalogConvTranspose2d, 2),
    _analog_conv_transpose(AnalogConvTranspose3d, 3),
    Layer("Linear", _dense(), multiplied, digital_linear, matrix=_ROWS, message=Message.LAYER),
    Layer("MaxPool2d", _POOL, pooled, function=max_pool, has_channels=True, fixed={"return_indices": False},
          message=Message.LAYER),
    Layer("Flatten", shape=flat, function=flatten, fixed={"start_dim": 1, "end_dim": -1}, message=Message.LAYER),
    Layer("Unflatten", {"dim": Argument(None, only(1), int, 1), "unflattened_size": Argument("sizes", sizes, [int])},
          unflattened, function=unflatten, has_channels=True, message=Message.LAYER),
    Layer("Identity", function=identity),
    _activation("Sigmoid", jax.nn.sigmoid),
    _activation("Tanh", jnp.tanh, also=(jax.nn.tanh,)),
    _activation("ReLU", jax.nn.relu),
    _activation("LogSigmoid", jax.nn.log_sigmoid),
    _activation("LeakyReLU", jax.nn.leaky_relu,
                arguments={"negative_slope": Argument("negative_slope", number, float, 0.01)}),
    _activation("Softmax", jax.nn.softmax, arguments=_DIM, shape=along_classes),
    _activation("LogSoftmax", jax.nn.log_softmax, arguments=_DIM, shape=along_classes),
    _activation("SiLU", jax.nn.silu, message=None),
    _activation("ELU", jax.nn.elu, arguments={"alpha": Argument("alpha", number, default=1.0)}, message=None),
    _activation("GELU", jax.nn.gelu, arguments={"approximate": Argument("approximate", tanh_form, default=True)},
                message=None),
    Layer("BatchNorm2d", {"num_features": Argument(None, whole(1), int)},
          fixed={"eps": 1e-5, "momentum": 0.1, "affine": True}, message=Message.LAYER),
    Layer("Conv2d", _conv(2), fixed=_ONE_GROUP, message=Message.LAYER),
    Layer("ConvTranspose2d", _conv(2) | {"output_padding": Argument(None, each(2, 0), [int])}, fixed=_ONE_GROUP,
          message=Message.LAYER),
)  # fmt: skip
