r"""Cells of recurrent layers, whose matrices are stored on analog chips: what happens at one time step.

With `a = W_ih x + b_ih` and `b = W_hh h + b_hh`, for the gates in the order of the rows of the matrices:

    plain         h' = tanh(a + b)
    LSTM (ifgo)   c' = s(f) c + s(i) tanh(g),  h' = s(o) tanh(c'),  of the gates a + b
    GRU  (rzn)    n = tanh(a_n + s(r) b_n),    h' = n + s(z) (h - n),  with r and z of a + b

`s` is the logistic function. The matrices are two analog layers, `weight_ih` `[G H, I]` and `weight_hh` `[G H, H]` for
`G` gates and `H` units, whose products are added digitally, or one layer `weight` `[G H, I + H]` for the vectors
`[x, h]`. Every time step is one read of each.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax._typing import Array, DType, Key, Shape
from analogjax.errors import ConfigError
from analogjax.nn.linear import AnalogLinear, document_layer
from analogjax.tile import HardwareAware, TileConfig


def lstm_step(gates: Array, c: Array) -> tuple[Array, Array]:
    """New `h` and `c` `[B, H]` of an LSTM for the sums of its gates `[B, 4 H]`."""
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru_step(a: Array, b: Array, h: Array) -> Array:
    """New `h` `[B, H]` of a GRU for the products `[B, 3 H]` with its inputs and its state."""
    (a_r, a_z, a_n), (b_r, b_z, b_n) = jnp.split(a, 3, axis=-1), jnp.split(b, 3, axis=-1)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + b_r) * b_n)
    return n + jax.nn.sigmoid(a_z + b_z) * (h - n)


class AnalogCell(linen.RNNCellBase):
    """Common part of the cells below. Abstract: they differ in what they make of the products."""

    gates: ClassVar[int]
    num_feature_axes: ClassVar[int] = 1  # of inputs, which flax's own RNN asks for
    features: int
    """Number of units `H`."""
    config: TileConfig | HardwareAware = TileConfig()
    """Configuration of the tiles, as for `AnalogLinear`."""
    use_bias: bool = True
    """Add the biases `b_ih` and `b_hh`."""
    dtype: DType | None = None
    """Dtype of outputs and state; None: that of x and the tiles, promoted."""
    param_dtype: DType = jnp.float32
    """Dtype of tiles, biases and output scales."""

    def products(self, x: Array, h: Array) -> tuple[Array, Array]:
        """`W_ih x + b_ih` and `W_hh h + b_hh`, `[..., G H]` each."""
        return self.matrix("weight_ih")(x), self.matrix("weight_hh")(h)

    def matrix(self, name: str) -> AnalogLinear:
        """An analog layer for all gates, which starts uniformly in +-1/sqrt(H)."""
        self._check_features()
        return AnalogLinear(
            self.gates * self.features, self.config, self.use_bias, dtype=self.dtype, param_dtype=self.param_dtype,
            initial_bound=1 / self.features**0.5, name=name,
        )  # fmt: skip

    def _check_features(self) -> None:
        if not isinstance(self.features, int) or self.features < 1:
            raise ConfigError(f"{type(self).__name__}(features={self.features!r}): needs a whole number above 0.")

    def zeros(self, input_shape: Shape) -> Array:
        """`h` or `c` at the start, `[..., H]` for inputs `[..., I]`."""
        self._check_features()
        return jnp.zeros((*input_shape[:-1], self.features), self.param_dtype if self.dtype is None else self.dtype)


@document_layer
class AnalogRNNCell(AnalogCell):
    """Plain cell: `h' = activation(W_ih x + b_ih + W_hh h + b_hh)`; the state is `h` `[B, H]`, and so is the output.

    Example:
        >>> layer = nn.AnalogRNN(nn.AnalogRNNCell(32, config, activation=jax.nn.relu))

    References:
        Elman 1990, doi:10.1207/s15516709cog1402_1.
    """

    gates: ClassVar[int] = 1
    activation: Callable[[Array], Array] = jnp.tanh
    """Function of the sum, such as `jnp.tanh` or `jax.nn.relu`."""

    @linen.compact
    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        """The new state and the output, for the state before and inputs `[B, I]`."""
        a, b = self.products(x, state)
        h = self.activation(a + b).astype(state.dtype)
        return h, h

    def initialize_carry(self, rng: Key, input_shape: Shape) -> Array:
        """The state at the start for inputs of a shape: zeros. `rng` is not used."""
        return self.zeros(input_shape)


@document_layer
class AnalogLSTMCell(AnalogCell):
    """Long short-term memory; the state is `(h, c)`, `[B, H]` each, and the output `h`.

    Example:
        >>> layer = nn.AnalogRNN(nn.AnalogLSTMCell(64, config, combined=True), num_layers=2)

    References:
        Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; on resistive devices Gokmen et al. 2018,
        doi:10.3389/fnins.2018.00745.
    """

    gates: ClassVar[int] = 4
    combined: bool = False
    """One matrix for `[x, h]`, with one bias, instead of two."""

    @linen.compact
    def __call__(self, state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        """The new state and the output, for the state before and inputs `[B, I]`."""
        h, c = state
        if self.combined:
            sums = self.matrix("weight")(jnp.concatenate([x.astype(h.dtype), h], axis=-1))
        else:
            a, b = self.products(x, h)
            sums = a + b
        new_h, new_c = lstm_step(sums, c)
        new_h, new_c = new_h.astype(h.dtype), new_c.astype(c.dtype)
        return (new_h, new_c), new_h

    def initialize_carry(self, rng: Key, input_shape: Shape) -> tuple[Array, Array]:
        """The state at the start for inputs of a shape: zeros. `rng` is not used."""
        return self.zeros(input_shape), self.zeros(input_shape)


@document_layer
class AnalogGRUCell(AnalogCell):
    """Gated recurrent unit; the state is `h` `[B, H]`, and so is the output.

    The reset gate acts on the product `W_hh h + b_hh`, as in torch and aihwkit, so that one matrix serves all gates.

    Example:
        >>> layer = nn.AnalogRNN(nn.AnalogGRUCell(32, config), bidirectional=True)

    References:
        Cho et al. 2014, arXiv:1406.1078.
    """

    gates: ClassVar[int] = 3

    @linen.compact
    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        """The new state and the output, for the state before and inputs `[B, I]`."""
        h = gru_step(*self.products(x, state), state).astype(state.dtype)
        return h, h

    def initialize_carry(self, rng: Key, input_shape: Shape) -> Array:
        """The state at the start for inputs of a shape: zeros. `rng` is not used."""
        return self.zeros(input_shape)


State = Any  # of a cell: a pytree of arrays `[B, H]`
