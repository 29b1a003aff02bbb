r"""A tile: one crossbar of devices with its converters, as a plain pytree and pure functions.

    forward    y = scale * mvm(forward, W, x)                     `[B, I] -> [B, O]`
    backward  dx = mvm(backward, W^T, mask * scale * d)           `[B, O] -> [B, I]`
    update     W <- device.update(W, x, d / scale, lr)            the devices move along -lr d x^T

`scale` is the digital output scale from the range of the devices to the logical weights: `W_logical = scale * W`.
`mask` is the gradient mask: 0 where `|y|`, after rescaling by noise and bound management, is at least 0.999 of the ADC
range. Such an output passes no gradient, even if bound management kept it from clipping (a convention of aihwkit). Each
function is compiled on its own and traced once per configuration and shape, however often a larger program calls it.
Letters: `O` rows, `I` columns, `B` batch. Weights inside a tile are in units of the device, [w].
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from analogjax._field_docs import document_fields
from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError, ShapeError
from analogjax.physics.checks import is_whole
from analogjax.physics.crossbar import Frozen
from analogjax.physics.device import Cells, Device, State
from analogjax.physics.devices import ConstantStep
from analogjax.physics.periphery import Periphery, mvm
from analogjax.physics.pulses import Pulses
from analogjax.random import check_key
from analogjax.tile.mapping import Mapping

_CLIPPED = 0.999  # fraction of the ADC range beyond which an output counts as clipped


@pytree
class TileConfig:
    """What a tile is made of. Every part is a parameter class of `analogjax.physics`.

    Example:
        >>> TileConfig(device=SoftBounds(dw_min=0.002), forward=Periphery(is_perfect=True))
    """

    device: Device = ConstantStep()
    """Device or compound at each crosspoint."""
    forward: Periphery = Periphery()
    """Periphery of the forward read."""
    backward: Periphery = Periphery()
    """Periphery of the backward read, of the transposed matrix."""
    update: Pulses = Pulses()
    """Pulses of an update."""
    mapping: Mapping = Mapping()
    """How logical weights are mapped to chips."""


@pytree
class Tile:
    """One crossbar `[O, I]`: its configuration, the constants of its devices, and their state."""

    config: TileConfig
    """What the tile is made of."""
    cells: Cells
    """Constants of each crosspoint, drawn when the chip was made."""
    state: State
    """Weights, and everything else that changes at the crosspoints."""
    scale: Array
    """Logical weight per device weight, `[]` or `[O]`."""
    frozen_forward: Frozen
    """Constants of the periphery of each output, `[O]`."""
    frozen_backward: Frozen
    """Constants of the periphery of each input when read backwards, `[I]`."""
    average: Array | None = None
    """Running input scale of AVERAGE_ABS_MAX, `[]`; None under other noise managements."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.state.w.shape[-2], self.state.w.shape[-1]

    @property
    def stack(self) -> tuple[int, ...]:
        """Leading axes of a stack of chips (made under `vmap`); `()` for one chip."""
        return self.state.w.shape[:-2]

    @property
    def dtype(self) -> DType:
        """Dtype of the weights."""
        return self.state.w.dtype

    def read(self) -> Array:
        """Return the logical weights `[O, I]`, without read noise; `[*stack, O, I]` for a stack of chips."""
        return self.state.w * beside(self.scale, self.state.w)

    def write(self, w: Array, key: Key) -> "Tile":
        """Write logical weights `w` `[O, I]`, as far as the devices can hold them. Consumes `key`.

        Raises `ShapeError` if `w` has another shape, or if this is a stack of chips.
        """
        if jnp.shape(w) != self.state.w.shape or self.stack:
            raise ShapeError(
                f"write: weights of shape {jnp.shape(w)} for a tile of shape {self.state.w.shape}; they must be equal"
                f"{', and a stack of chips is written under jax.vmap' if self.stack else ''}."
            )
        return self._written(jnp.asarray(w, self.dtype), key)

    @jax.jit
    def _written(self, w: Array, key: Key) -> "Tile":
        scale = self.config.mapping.scale_for(w)
        return replace(self, scale=scale, state=self.config.device.write(self.cells, w / beside(scale, w), key))

    @jax.jit
    def forward(self, x: Array, key: Key) -> tuple[Array, Array | None]:
        """Forward read `[B, I] -> [B, O]`, and the gradient mask `[B, O]` (`None`: all pass). Consumes `key`."""
        p, dtype = self.config.forward, jnp.promote_types(x.dtype, self.dtype)
        y = mvm(p, _wide(self.state.w), _wide(x, dtype), self.frozen_forward, key, self.average)
        unlimited = is_static(p.adc.bound) and p.adc.bound <= 0
        limit = _CLIPPED * p.adc.bound * p.adc.scale
        passes = None if unlimited else (jnp.abs(y) < limit) | (jnp.asarray(p.adc.bound) <= 0)
        return (y * across(self.scale, y)).astype(dtype), passes

    @jax.jit
    def backward(self, d: Array, passes: Array | None, key: Key) -> Array:
        """Backward read `[B, O] -> [B, I]` with the gradient mask `passes`. Consumes `key`."""
        dtype = jnp.promote_types(d.dtype, self.dtype)
        d = _wide(d, dtype) * across(self.scale, d)
        d = d if passes is None else jnp.where(passes, d, 0.0)
        p = replace(self.config.backward, bound_management=None)
        return mvm(p, _wide(self.state.w).T, d, self.frozen_backward, key, self.average).astype(dtype)

    @jax.jit
    def update(self, x: Array, d: Array, lr: Scalar, key: Key) -> "Tile":
        """Pulse the devices by `x` `[B, I]` and `d` `[B, O]`. Consumes `key`."""
        rate = self.config.mapping.rate_scale(self.scale)
        x, d = _wide(x, self.dtype), _wide(d, self.dtype)
        d = d / across(self.scale * rate, d)
        state = self.config.device.update(self.config.update, self.cells, self.state, x, d, lr * rate, key)
        state = jax.tree.map(lambda new, old: new.astype(old.dtype), state, self.state)
        management = self.config.forward.noise_management
        if self.average is None or management is None:
            return replace(self, state=state)
        average = management.average(x, self.average)[-1]
        return replace(self, state=state, average=average.astype(self.average.dtype))

    @jax.jit
    def rest(self, key: Key, alpha: Scalar = 1.0) -> "Tile":
        """Let the devices diffuse and decay for one mini-batch. Consumes `key`."""
        return replace(self, state=self.config.device.rest(self.cells, self.state, key, alpha))

    def reset(self, key: Key, probability: Scalar = 1.0, columns: Array | slice = slice(None)) -> "Tile":
        """Reset each device of the given columns with `probability`. Consumes `key`."""
        return self.reset_where(jnp.zeros(self.shape[1], bool).at[columns].set(True), key, probability)

    def reset_where(self, columns: Array, key: Key, probability: Scalar = 1.0) -> "Tile":
        """Reset each device of the columns where `columns` (`[I]` bool) holds, with `probability`. Consumes `key`."""
        k_which, k_reset = jax.random.split(key)
        chosen = jax.random.bernoulli(k_which, probability, self.shape) & columns[None, :]
        return replace(self, state=self.config.device.reset_cells(self.cells, self.state, chosen, k_reset))

    def age(self, dt: Scalar, key: Key) -> "Tile":
        """Let the devices drift for `dt` seconds. Consumes `key`."""
        return replace(self, state=self.config.device.age(self.cells, self.state, dt, key))


@document_fields
class Signal(NamedTuple):
    """Inputs and errors of one call of a tile, from which the pulses of its update are made."""

    x: Array
    """Input of the columns, `[..., I]`."""
    d: Array
    """Error that came back through the rows, `[..., O]`."""


def create(
    config: TileConfig, shape: tuple[int, int], key: Key, weights: Array | None = None, dtype: DType = jnp.float32
) -> Tile:
    """Make a chip: sample its devices and write its weights.

    Args:
        config: What the tile is made of.
        shape: Rows and columns `(O, I)`.
        key: Consumed. Random are the device-to-device variation, the default weights and their writing.
        weights: Logical weights `[O, I]`; by default uniform in +-1/sqrt(I).
        dtype: Dtype of the tile.

    Returns:
        The tile, which holds the weights as far as its devices can.

    Raises:
        ShapeError: If the weights are not `[O, I]`.
        ConfigError: If the shape is not two whole numbers above 0.

    Example:
        >>> chip = create(TileConfig(device=SoftBounds()), (3, 6), random.key(0))
    """
    check_key(key, "create")
    if len(shape) != 2 or not all(is_whole(n, 1) for n in shape):
        raise ConfigError(f"create(shape={shape!r}): needs (outputs, inputs), two whole numbers above 0.")
    k_cells, k_forward, k_backward, k_weights, k_write = jax.random.split(key, 5)
    if weights is None:
        weights = initial_weights(shape, k_weights, dtype)
    if weights.shape != shape:
        raise ShapeError(f"create: weights of shape {weights.shape} for a tile of shape {shape}; they must be equal.")
    weights = jnp.asarray(weights, dtype)
    return _make(config, weights, (k_cells, k_forward, k_backward, k_write))


@jax.jit
def _make(config: TileConfig, weights: Array, keys: tuple[Key, Key, Key, Key]) -> Tile:
    k_cells, k_forward, k_backward, k_write = keys
    (outputs, inputs), dtype = weights.shape, weights.dtype
    cells = config.device.fabricate((outputs, inputs), dtype, k_cells)
    scale = config.mapping.scale_for(weights)
    return Tile(
        config=config,
        cells=cells,
        state=config.device.write(cells, weights / beside(scale, weights), k_write),
        scale=scale,
        frozen_forward=config.forward.fabricate(outputs, dtype, k_forward, inputs=inputs),
        frozen_backward=config.backward.fabricate(inputs, dtype, k_backward, inputs=outputs),
        average=jnp.zeros((), dtype) if config.forward.averages_inputs else None,
    )


def beside(scale: Array, w: Array) -> Array:
    """An output scale `[*stack]` or `[*stack, O]`, shaped to broadcast to weights `[*stack, O, I]`."""
    return scale.reshape(*scale.shape, *(1,) * (w.ndim - scale.ndim))


def across(scale: Array, y: Array) -> Array:
    """A value of each output, `[]` or `[O]` (a scale, a bias), with leading axes of 1 as in `y` `[..., O]`."""
    return scale.reshape(*(1,) * (y.ndim - scale.ndim), *scale.shape)


def _wide(v: Array, dtype: DType | None = None) -> Array:
    """`v` in the dtype of the arithmetic of converters and pulses: `dtype` (by default its own), but at least float32.

    An ADC has more levels than bfloat16 has digits; what is stored and returned keeps its own dtype.
    """
    return v.astype(jnp.promote_types(v.dtype if dtype is None else dtype, jnp.float32))


def initial_weights(shape: tuple[int, int], key: Key, dtype: DType = jnp.float32, bound: float | None = None) -> Array:
    """Uniform in +-bound, by default 1/sqrt(I), `[O, I]`. Consumes `key`."""
    bound = 1 / shape[1] ** 0.5 if bound is None else bound
    return jax.random.uniform(key, shape, dtype, -bound, bound)
