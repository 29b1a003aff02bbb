r"""`AnalogLSTM`: `keras.layers.LSTM` with its matrices on analog chips.

    z = W x + U h + b,    c' = r(f) c + r(i) a(g),    h' = r(o) a(c')        gates i, f, g, o: the rows of z

`a` is the activation, `r` the recurrent one. Both matrices are read once per time step. As in `nn.AnalogRNN` the
devices receive the pulses of the last computed step first, because its error comes back first.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras

from analogjax._typing import Array, Key, PyTree
from analogjax.errors import ConfigError
from analogjax.tile import HardwareAware, Signal, TileConfig, aware_mvm, mvm, observed
from analogjax.tile.tile import across
from compat.keras.aware_matrix import AwareMatrix
from compat.keras.configuration import refuse
from compat.keras.layer import AnalogLayer, Matrix, parted, with_bias
from compat.keras.pulsed import trained
from compat.keras.pulsed_matrix import PulsedMatrix

_INPUTS, _STATES = "kernel", "recurrent_kernel"
# what passes from step to step, slots of the step, number of the matrix, vectors, key -> the former, products
_Read = Callable[[PyTree, Any, int, Array, Key], tuple[PyTree, Array]]


@keras.saving.register_keras_serializable(package="analogjax")
class AnalogLSTM(AnalogLayer):
    """Long short-term memory `[B, T, I] -> [B, units]` on analog chips; `keras.layers.LSTM` with a configuration.

    Args:
        units: Number of units.
        config: What the chips are made of: a `TileConfig` (trained by pulses) or a `HardwareAware` (by gradients).
        activation: Function of the new values and of the outputs.
        recurrent_activation: Function of the gates.
        use_bias: Add a bias.
        kernel_initializer: Weights of the inputs at first `[I, 4 units]`, as far as the devices can hold them.
        recurrent_initializer: Weights of the states at first `[units, 4 units]`, likewise.
        bias_initializer: Bias at first.
        unit_forget_bias: Start the bias of the forget gate at 1.
        kernel_regularizer: Penalty on the weights of both matrices; of hardware-aware layers alone.
        bias_regularizer: Penalty on a digital bias.
        bias_constraint: Constraint of a digital bias.
        activity_regularizer: Penalty on the outputs.
        return_sequences: Return the outputs of all steps `[B, T, units]`.
        return_state: Return the last state too: outputs, h, c.
        go_backwards: Go from the end to the start, and return the outputs in that order.
        seed: Seed of the chips and of their noise; None: `keras.utils.set_random_seed` decides.
        options: Those of every Keras layer; what only digital layers have is refused.

    Raises:
        ConfigError: For options that have no meaning on chips.

    Example:
        >>> layer = AnalogLSTM(32, config=TileConfig(device=SoftBounds()), return_sequences=True)

    References:
        Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; on resistive devices Gokmen et al. 2018,
        doi:10.3389/fnins.2018.00745.
    """

    def __init__(
        self,
        units: int,
        config: TileConfig | HardwareAware = TileConfig(),  # noqa: B008 - frozen
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        activity_regularizer: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(units, int) or isinstance(units, bool) or units < 1:
            raise ConfigError(f"AnalogLSTM(units={units!r}): needs a whole number above 0.")
        super().__init__(
            config, activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer, seed=seed, options=refuse("AnalogLSTM", options),
        )  # fmt: skip
        self.units, self.unit_forget_bias = units, unit_forget_bias
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards = go_backwards
        self.stateful = False  # which Keras's Bidirectional asks for
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True

    def build(self, inputs_shape: Any, initial_state_shape: Any = None) -> None:
        """Make the chips, for sequences of a shape."""
        gates, self._inputs = 4 * self.units, inputs_shape[-1]
        with jax.ensure_compile_time_eval():  # Keras may build a layer while it only looks for shapes
            k_inputs, k_states = jax.random.split(self.add_noise())
            analog = self._first_bias if self.analog_bias else None
            self._matrices: tuple[Matrix, Matrix] = (
                self.add_matrix(_INPUTS, (self._inputs, gates), self.kernel_initializer, analog, k_inputs),
                self.add_matrix(_STATES, (self.units, gates), self.recurrent_initializer, None, k_states),
            )
        self._out_scales = tuple(self.add_out_scale(name, gates) for name in (_INPUTS, _STATES))
        self.bias = self.add_bias(gates, self._first_bias)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: self._inputs})

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """That of the inputs, and that of the states."""
        return self._matrices

    @property
    def kernel(self) -> Array:
        """The logical weights of the inputs `[I, 4 units]`."""
        return parted(_weights(self._matrices[0]), (self._inputs, 4 * self.units))[0]

    @property
    def recurrent_kernel(self) -> Array:
        """The logical weights of the states `[units, 4 units]`."""
        return _weights(self._matrices[1]).T

    def call(self, inputs: Array, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Outputs, and with `return_state` the last state. Steps that `mask` `[B, T]` leaves out change nothing."""
        x = inputs if self.go_backwards else jnp.flip(inputs, 1)
        if mask is not None:
            mask = jnp.asarray(mask, bool) if self.go_backwards else jnp.flip(jnp.asarray(mask, bool), 1)
        h, c = self._start(x) if initial_state is None else (jnp.asarray(part, x.dtype) for part in initial_state)
        scales = [None if scale is None else scale.value for scale in self._out_scales]
        bias = None if self.bias is None else self.bias.value
        digital = (with_bias(x, self.analog_bias), h, c, scales, bias)
        y, h, c = self._over_time(digital, mask, self.next_key(), training)
        y, h, c = (part.astype(self.compute_dtype) for part in (y, h, c))
        # the loop went over flipped sequences from their end: its last step is the first of them
        outputs = jnp.flip(y, 1) if self.return_sequences else y[:, 0]
        return [outputs, h, c] if self.return_state else outputs

    def _over_time(self, digital: PyTree, mask: Any, key: Key, training: bool) -> tuple[Array, Array, Array]:
        matrices: Any = self._matrices
        self.check_trainable(training)
        if self.programmed is not None:
            return self._scan(self._read_programmed, (), None, digital, mask, key)[1]
        if isinstance(matrices[0], AwareMatrix):
            return self._aware(matrices, digital, mask, key, training)

        def act(chips: tuple, slots: tuple | None, digital: PyTree, key: Key) -> tuple:
            def read(carried: PyTree, slots: Any, n: int, x: Array, key: Key) -> tuple[PyTree, Array]:
                return carried, mvm(chips[n], x, None if slots is None else slots[n], key=key)

            return self._scan(read, (), slots, digital, mask, key)[1]

        if not training:
            return act(tuple(matrix.chips() for matrix in matrices), None, digital, key)
        return trained(act, matrices, self._slots(matrices, digital), digital, key)

    def _read_programmed(self, carried: PyTree, slots: Any, n: int, x: Array, key: Key) -> tuple[PyTree, Array]:
        return carried, self.read_programmed(n, x, key)

    def _aware(self, matrices: Any, digital: PyTree, mask: Any, key: Key, training: bool) -> Any:
        weights = [matrix.weights() for matrix in matrices]

        def read(tiles: tuple, slots: Any, n: int, x: Array, key: Key) -> tuple[tuple, Array]:
            tile = observed(tiles[n], x) if training else tiles[n]
            r = matrices[n].learned_range(tile)
            y = aware_mvm(tile, weights[n], x, r, key=key, training=training)
            return (*tiles[:n], tile, *tiles[n + 1 :]), y

        tiles, found = self._scan(read, tuple(one.tile() for one in matrices), None, digital, mask, key)
        if training:
            for matrix, tile in zip(matrices, tiles, strict=True):
                matrix.store(tile)
        return found

    def _slots(self, matrices: Any, digital: PyTree) -> tuple[Signal, Signal]:
        """Zeros for the signals of all steps `[T, B, ...]`."""
        x, h = digital[0], digital[1]
        dtypes = [jnp.promote_types(x.dtype, matrix.chips().dtype) for matrix in matrices]
        shape = (x.shape[1], x.shape[0])
        sizes = (x.shape[-1], h.shape[-1])
        return tuple(  # type: ignore[return-value]
            Signal(x=jnp.zeros((*shape, size), dtype), d=jnp.zeros((*shape, 4 * self.units), dtype))
            for size, dtype in zip(sizes, dtypes, strict=True)
        )

    def _scan(
        self, read: _Read, carried: PyTree, slots: Any, digital: PyTree, mask: Any, key: Key
    ) -> tuple[PyTree, tuple[Array, Array, Array]]:
        """The loop over time, from the end: what passed through it, and outputs `[B, T, units]` with the last h, c."""
        x, h, c, scales, bias = digital
        keys = jax.random.split(key, (x.shape[1], 2))
        seen = None if mask is None else jnp.moveaxis(mask[..., None], 1, 0)

        def step(state: tuple, given: tuple) -> tuple[tuple, Array]:
            (carried, h, c), (x, slots, keys, seen) = state, given
            carried, z = read(carried, slots, 0, x, keys[0])
            carried, more = read(carried, slots, 1, h, keys[1])
            z, more = (_scaled(part, scale) for part, scale in zip((z, more), scales, strict=True))
            new_h, new_c = self._gates(z + more if bias is None else z + more + bias, c)
            if seen is not None:
                new_h, new_c = jnp.where(seen, new_h, h), jnp.where(seen, new_c, c)
            new_h, new_c = new_h.astype(h.dtype), new_c.astype(c.dtype)
            return (carried, new_h, new_c), new_h

        steps = (jnp.moveaxis(x, 1, 0), slots, keys, seen)
        (carried, h, c), y = jax.lax.scan(step, (carried, h, c), steps, reverse=True)
        return carried, (jnp.moveaxis(y, 0, 1), h, c)

    def _gates(self, z: Array, c: Array) -> tuple[Array, Array]:
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        return self.recurrent_activation(o) * self.activation(c), c

    def _start(self, x: Array) -> tuple[Array, Array]:
        zeros = jnp.zeros((x.shape[0], self.units), jnp.promote_types(x.dtype, self.variable_dtype))
        return zeros, zeros

    def _first_bias(self, shape: Any, dtype: Any = None) -> Array:
        bias = jnp.asarray(self.bias_initializer(shape, dtype=dtype))
        return bias.at[self.units : 2 * self.units].set(1.0) if self.unit_forget_bias else bias

    def compute_output_shape(self, inputs_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape of the outputs, and with `return_state` those of the states."""
        state = (inputs_shape[0], self.units)
        outputs = (*inputs_shape[:2], self.units) if self.return_sequences else state
        return [outputs, state, state] if self.return_state else outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs, if they are sequences."""
        kept = mask if self.return_sequences else None
        return [kept, None, None] if self.return_state else kept

    def get_config(self) -> dict[str, Any]:
        """All arguments, as plain values."""
        names = ("units", "unit_forget_bias", "return_sequences", "return_state", "go_backwards")
        own = {name: getattr(self, name) for name in names}
        own["recurrent_activation"] = keras.activations.serialize(self.recurrent_activation)
        own["recurrent_initializer"] = keras.initializers.serialize(self.recurrent_initializer)
        return {**super().get_config(), **own}


def _scaled(y: Array, scale: Array | None) -> Array:
    return y if scale is None else y * across(scale, y)


def _weights(matrix: Matrix) -> Array:
    return matrix.chips().read() if isinstance(matrix, PulsedMatrix) else matrix.weights()
