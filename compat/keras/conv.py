"""`AnalogConv2D`: `keras.layers.Conv2D` with its matrix on analog chips."""

from typing import Any

import jax.numpy as jnp
import keras

from analogjax._typing import Array
from analogjax.errors import ConfigError
from analogjax.nn.conv import patches
from analogjax.tile import HardwareAware, TileConfig
from compat.keras.configuration import refuse
from compat.keras.layer import OneMatrix

_LAST, _FIRST = "channels_last", "channels_first"


@keras.saving.register_keras_serializable(package="analogjax")
class AnalogConv2D(OneMatrix):
    """Convolution over images on analog chips; `keras.layers.Conv2D` with a configuration. A patch is one vector.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the kernel, a number or a pair.
        config: What the chips are made of: a `TileConfig` (trained by pulses) or a `HardwareAware` (by gradients).
        strides: Step of the kernel, a number or a pair.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None: `keras.config.image_data_format()`.
        dilation_rate: Distance between the elements of the kernel, a number or a pair.
        activation: Function of the outputs.
        use_bias: Add a bias.
        kernel_initializer: Weights at first `[h, w, channels, filters]`, as far as the devices can hold them.
        bias_initializer: Bias at first.
        kernel_regularizer: Penalty on the weights; of hardware-aware layers alone.
        bias_regularizer: Penalty on a digital bias.
        bias_constraint: Constraint of a digital bias.
        activity_regularizer: Penalty on the outputs.
        seed: Seed of the chips and of their noise; None: `keras.utils.set_random_seed` decides.
        options: Those of every Keras layer; what only digital layers have is refused.

    Raises:
        ConfigError: For options that have no meaning on chips.

    Example:
        >>> layer = AnalogConv2D(16, 3, config=TileConfig(device=SoftBounds()), padding="same", activation="relu")
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        config: TileConfig | HardwareAware = TileConfig(),  # noqa: B008 - frozen
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        activity_regularizer: Any = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            config, activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer, seed=seed, options=refuse("AnalogConv2D", options),
        )  # fmt: skip
        self.filters = _whole("filters", filters)
        self.kernel_size, self.strides = _pair("kernel_size", kernel_size), _pair("strides", strides)
        self.dilation_rate = _pair("dilation_rate", dilation_rate)
        self.padding = _choice("padding", padding, ("valid", "same"))
        data_format = keras.config.image_data_format() if data_format is None else data_format
        self.data_format = _choice("data_format", data_format, (_LAST, _FIRST))
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        """Make the chips, for images of a shape."""
        axis = -1 if self.data_format == _LAST else 1
        self.add_vectors((*self.kernel_size, input_shape[axis], self.filters))
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={axis: input_shape[axis]})

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Outputs `[B, H', W', filters]`, or channels second."""
        first = self.data_format == _FIRST
        x = jnp.moveaxis(inputs, 1, -1) if first else inputs
        x = jnp.pad(x, ((0, 0), *self._sides(x.shape[1:3]), (0, 0)))
        found = patches(x, self.kernel_size, self.strides, (0, 0), self.dilation_rate)
        y = self.activation(self.vectors.product(found, training))
        return jnp.moveaxis(y, -1, 1) if first else y

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the outputs."""
        batch, *axes = input_shape
        axes = axes[:-1] if self.data_format == _LAST else axes[1:]
        sizes = [None if size is None else self._places(n, size) for n, size in enumerate(axes)]
        return (batch, *sizes, self.filters) if self.data_format == _LAST else (batch, self.filters, *sizes)

    def _reach(self, axis: int) -> int:
        """How many values a kernel spans along an axis."""
        return (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1

    def _places(self, axis: int, size: int) -> int:
        step = self.strides[axis]
        places = -(-size // step) if self.padding == "same" else (size - self._reach(axis)) // step + 1
        if places < 1:
            raise ConfigError(
                f"AnalogConv2D(kernel_size={self.kernel_size}): does not fit into an image of {size} along axis {axis}."
            )
        return places

    def _sides(self, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
        """Zeros before and after each axis: those of `same` depend on the size, and an odd one is at the end."""
        if self.padding == "valid":
            return [(0, 0), (0, 0)]
        more = [
            max((self._places(n, size) - 1) * self.strides[n] + self._reach(n) - size, 0)
            for n, size in enumerate(sizes)
        ]
        return [(both // 2, both - both // 2) for both in more]

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values."""
        names = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"AnalogConv2D({name}={value!r}): needs a whole number above 0.")
    return value


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ConfigError(f"AnalogConv2D({name}={value!r}): needs a whole number above 0, or two.")
    return _whole(name, pair[0]), _whole(name, pair[1])


def _choice(name: str, value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value.lower() not in known:
        raise ConfigError(f"AnalogConv2D({name}={value!r}): choose one of {', '.join(known)}.")
    return value.lower()
