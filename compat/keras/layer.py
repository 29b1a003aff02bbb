"""What the analog layers of Keras have in common: their arguments, the noise, and how a layer gets its matrices."""

import math
import random as python_random
from typing import Any

import jax
import jax.numpy as jnp
import keras

from analogjax import random
from analogjax._typing import Array, Key
from analogjax.errors import ConfigError
from analogjax.tile import Signal, TileConfig, aware_mvm, mvm, observed, slot_for
from analogjax.tile.tile import across
from compat.keras.aware_matrix import AwareMatrix
from compat.keras.configuration import as_config, as_json
from compat.keras.pulsed import trained
from compat.keras.pulsed_matrix import PulsedMatrix

Matrix = PulsedMatrix | AwareMatrix


class AnalogLayer(keras.layers.Layer):
    """Common part of the analog layers. Abstract: they differ in the vectors that they give to the crossbar.

    Args:
        config: What the chips are made of: with a `TileConfig` pulses train them, with a `HardwareAware` gradients do.
        activation: Function of the outputs, as for Keras's layers.
        use_bias: Add a bias: digital, or one more column of devices (`Mapping(digital_bias=False)`).
        kernel_initializer: Weights at first, in Keras's layout, as far as the devices can hold them.
        bias_initializer: Bias at first.
        kernel_regularizer: Penalty on the weights; of hardware-aware layers alone.
        bias_regularizer: Penalty on a digital bias.
        bias_constraint: Constraint of a digital bias.
        activity_regularizer: Penalty on the outputs.
        seed: Seed of the chips and of their noise; None: `keras.utils.set_random_seed` decides.
        options: Those of every Keras layer, such as `name`.

    Raises:
        ConfigError: For options that have no meaning on chips, and values that do not fit together.
    """

    def __init__(
        self,
        config: Any,
        *,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        activity_regularizer: Any,
        seed: int | None,
        options: dict[str, Any],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.config = as_config(config, type(self).__name__)
        self.activation = keras.activations.get(activation)
        self.use_bias, self.seed = use_bias, seed
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.programmed: tuple | None = None  # chips, where `program` has put them
        self._first_seed = python_random.randint(1, 10**9) if seed is None else seed
        self._check_options()

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices of the layer, once it is built."""
        raise NotImplementedError

    def read_programmed(self, n: int, x: Array, key: Key) -> Array:
        """The product of programmed chips, those of matrix number `n`, with vectors. Consumes `key`."""
        assert self.programmed is not None
        x, unit = self.matrices[n].limited(x)
        return mvm(self.programmed[n], x, key=key) * unit

    def check_trainable(self, training: bool) -> None:
        """Raise `ConfigError` where programmed chips are to be trained."""
        if training and self.programmed is not None:
            raise ConfigError(f"{self.name}: its chips are programmed, and can't be trained; train the model itself.")

    @property
    def is_pulsed(self) -> bool:
        """Whether pulses train the layer, and not gradients."""
        return isinstance(self.config, TileConfig)

    def _check_options(self) -> None:
        name = type(self).__name__
        if not isinstance(self._first_seed, int) or not 0 <= self._first_seed < 2**32:
            raise ConfigError(f"{name}(seed={self.seed!r}): needs a whole number from 0 to 2^32 - 1, or None.")
        if self.is_pulsed and self.kernel_regularizer is not None:
            raise ConfigError(
                f"{name}(kernel_regularizer=...): pulses of x and d move the devices, and a penalty on the weights has "
                "neither; give a HardwareAware configuration, or leave it out."
            )
        if self.is_pulsed and self.compute_dtype == "float16":
            raise ConfigError(
                f"{name}: with float16 Keras scales the loss, and pulses would be made of the scaled errors; use "
                "float32 or mixed_bfloat16."
            )
        analog = self.use_bias and not self.config.mapping.digital_bias
        if analog and (self.bias_regularizer is not None or self.bias_constraint is not None):
            raise ConfigError(
                f"{name}: with Mapping(digital_bias=False) the bias is a column of devices, which has no "
                "bias_regularizer or bias_constraint."
            )

    @property
    def analog_bias(self) -> bool:
        """Whether the bias is a column of devices."""
        return self.use_bias and not self.config.mapping.digital_bias

    def add_noise(self) -> Key:
        """Add the variable that counts the reads, and return a key for the chips."""
        first = jnp.array([self._first_seed, 0], jnp.uint32)
        self._noise = self.add_weight(
            shape=(2,), dtype="uint32", initializer=lambda shape, dtype=None: first, trainable=False, name="noise"
        )
        return jax.random.split(random.key(self._first_seed))[0]

    def next_key(self) -> Key:
        """A new key for the noise of a call; the count is a weight of the layer, so a saved model goes on from it."""
        state = self._noise.value
        self._noise.assign(state + jnp.array([0, 1], jnp.uint32))
        return jax.random.fold_in(jax.random.split(random.key(state[0]))[1], state[1])

    def add_matrix(self, name: str, shape: tuple[int, ...], initializer: Any, bias: Any, key: Key) -> Matrix:
        """Add a matrix for a kernel of Keras's shape `[..., I, O]`, with an initializer of a bias if that is analog.

        Consumes `key`.
        """
        dtype = self.variable_dtype
        kernel = jnp.asarray(initializer(shape, dtype=dtype))
        values = [kernel] if bias is None else [kernel, jnp.asarray(bias(shape[-1:], dtype=dtype))]
        w = joined(values)
        if isinstance(self.config, TileConfig):
            return PulsedMatrix(self, name, self.config, w, key)
        weights = [self._add_weights(own, value) for own, value in zip((name, f"{name}_bias"), values, strict=False)]
        weights[0].regularizer = self.kernel_regularizer
        return AwareMatrix(self, name, self.config, weights, joined, lambda w: parted(w, shape), w, key)

    def _add_weights(self, name: str, value: Array) -> Any:
        return self.add_weight(
            shape=value.shape, dtype=str(value.dtype), initializer=lambda shape, dtype=None: value.copy(),
            autocast=False, name=name,
        )  # fmt: skip

    def add_out_scale(self, name: str, outputs: int) -> Any:
        """Add a trained digital scale of the outputs, if the mapping has one."""
        mapping = self.config.mapping
        if not mapping.learn_out_scaling:
            return None
        shape = (outputs,) if mapping.out_scaling_columnwise else ()
        return self.add_weight(shape=shape, initializer="ones", autocast=False, name=f"{name}_out_scale")

    def add_bias(self, outputs: int, initializer: Any) -> Any:
        """Add a digital bias `[O]`, if there is one."""
        if not self.use_bias or self.analog_bias:
            return None
        return self.add_weight(
            shape=(outputs,), initializer=initializer, autocast=False, name="bias",
            regularizer=self.bias_regularizer, constraint=self.bias_constraint,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values. Raises `ConfigError` for programmed chips."""
        if self.programmed is not None:
            raise ConfigError(
                f"{self.name}: its chips are programmed, and a Keras model holds trained ones; save the trained model, "
                "and program it again with the same key."
            )
        own = {
            "config": as_json(self.config, type(self).__name__), "use_bias": self.use_bias, "seed": self.seed,
            "activation": keras.activations.serialize(self.activation),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
        }  # fmt: skip
        for name in ("kernel_initializer", "bias_initializer"):
            own[name] = keras.initializers.serialize(getattr(self, name))
        for name in ("kernel_regularizer", "bias_regularizer"):
            own[name] = keras.regularizers.serialize(getattr(self, name))
        own["bias_constraint"] = keras.constraints.serialize(self.bias_constraint)
        return {**super().get_config(), **own}


class OneMatrix(AnalogLayer):
    """Common part of the layers of one matrix. Abstract: they make vectors of their inputs."""

    def add_vectors(self, shape: tuple[int, ...]) -> None:
        """Make the chips for a kernel of Keras's shape `[..., I, O]`."""
        self.vectors = Vectors(self, shape)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The one matrix."""
        return (self.vectors.matrix,)

    @property
    def kernel(self) -> Array:
        """The logical weights, in the layout of Keras."""
        return self.vectors.kernel()

    @property
    def bias(self) -> Any:
        """The digital bias `[O]`, a variable; None: there is none."""
        return self.vectors.bias


class Vectors:
    """A matrix that vectors are given to once in a call of its layer, with what is done digitally to the result.

    Args:
        layer: The layer.
        shape: The shape of the kernel, `[..., I, O]`.
    """

    def __init__(self, layer: AnalogLayer, shape: tuple[int, ...]) -> None:
        with jax.ensure_compile_time_eval():  # Keras may build a layer while it only looks for shapes
            k_chips = layer.add_noise()
            analog = layer.bias_initializer if layer.analog_bias else None
            self.matrix = layer.add_matrix("kernel", shape, layer.kernel_initializer, analog, k_chips)
        self.out_scale = layer.add_out_scale("kernel", shape[-1])
        self.bias = layer.add_bias(shape[-1], layer.bias_initializer)
        self._layer, self._shape = layer, shape

    def kernel(self) -> Array:
        """The logical weights, in the layout of Keras."""
        matrix = self.matrix
        w = matrix.chips().read() if isinstance(matrix, PulsedMatrix) else matrix.weights()
        return parted(w, self._shape)[0]

    def product(self, x: Array, training: bool) -> Array:
        """Outputs `[..., O]` of the layer for vectors `[..., I]`, before the activation."""
        self._layer.check_trainable(training)
        x = with_bias(x, self._layer.analog_bias)
        key = self._layer.next_key()
        y = self._read(x, key, training)
        y = y if self.out_scale is None else y * across(self.out_scale.value, y)
        y = y if self.bias is None else y + across(self.bias.value, y)
        return y.astype(self._layer.compute_dtype)

    def _read(self, x: Array, key: Key, training: bool) -> Array:
        matrix = self.matrix
        if self._layer.programmed is not None:
            return self._layer.read_programmed(0, x, key)
        if isinstance(matrix, PulsedMatrix):
            if not training:
                return mvm(matrix.chips(), x, key=key)
            return trained(_once, (matrix,), (slot_for(matrix.chips(), x),), x, key)
        tile = matrix.tile()
        if training:
            tile = observed(tile, x)
            matrix.store(tile)
        return aware_mvm(tile, matrix.weights(), x, matrix.learned_range(tile), key=key, training=training)


def _once(chips: tuple, slots: tuple[Signal] | None, x: Array, key: Key) -> Array:
    return mvm(chips[0], x, None if slots is None else slots[0], key=key)


def with_bias(x: Array, analog_bias: bool) -> Array:
    """Vectors `[..., I]`, with a 1 for the column of an analog bias."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], -1) if analog_bias else x


def joined(values: list[Array]) -> Array:
    """The matrix `[O, I]` of a kernel `[..., C, O]`, and of a bias `[O]` in its last column.

    The columns are in the order of `nn.conv.patches`: channels first.
    """
    kernel, *bias = values
    w = jnp.moveaxis(kernel, -2, 0).reshape(-1, kernel.shape[-1]).T
    return jnp.concatenate([w, *(column[:, None] for column in bias)], axis=1)


def parted(w: Array, shape: tuple[int, ...]) -> list[Array]:
    """The kernel of a given shape in a matrix, and the bias, if there is a column more."""
    *places, channels, outputs = shape
    inputs = w.shape[1] - (w.shape[1] != channels * math.prod(places))
    kernel = jnp.moveaxis(w[:, :inputs].T.reshape(channels, *places, outputs), 0, -2)
    return [kernel] if inputs == w.shape[1] else [kernel, w[:, inputs]]
