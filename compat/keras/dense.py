"""`AnalogDense`: `keras.layers.Dense` with its matrix on analog chips."""

from typing import Any

import keras

from analogjax._typing import Array
from analogjax.errors import ConfigError
from analogjax.tile import HardwareAware, TileConfig
from compat.keras.configuration import refuse
from compat.keras.layer import OneMatrix


@keras.saving.register_keras_serializable(package="analogjax")
class AnalogDense(OneMatrix):
    """Dense layer `[..., I] -> [..., units]` on analog chips; `keras.layers.Dense` with a configuration.

    Args:
        units: Number of outputs.
        config: What the chips are made of: a `TileConfig` (trained by pulses) or a `HardwareAware` (by gradients).
        activation: Function of the outputs.
        use_bias: Add a bias.
        kernel_initializer: Weights at first `[I, units]`, as far as the devices can hold them.
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
        >>> layer = AnalogDense(10, config=HardwareAware(modifier=AddNormal(std_dev=0.05)), activation="softmax")
    """

    def __init__(
        self,
        units: int,
        config: TileConfig | HardwareAware = TileConfig(),  # noqa: B008 - frozen
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
        if not isinstance(units, int) or isinstance(units, bool) or units < 1:
            raise ConfigError(f"AnalogDense(units={units!r}): needs a whole number above 0.")
        super().__init__(
            config, activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer, seed=seed, options=refuse("AnalogDense", options),
        )  # fmt: skip
        self.units = units
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the chips, for inputs of a shape."""
        self.add_vectors((input_shape[-1], self.units))
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Outputs `[..., units]`."""
        return self.activation(self.vectors.product(inputs, training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the outputs."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values."""
        return {**super().get_config(), "units": self.units}
