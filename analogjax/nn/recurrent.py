r"""Recurrent layers: a cell over the time steps of a sequence, in one direction or both, layer upon layer.

Each tile is read once per time step, and has the signals of all of them as one, `[T, B, I]`. Its devices receive the
pulses of the last computed time step first, because its error comes back first, as in aihwkit; in the direction from
the end to the start that is the first one of the sequence. The loop is one `scan`, so that compiling takes as long as
for a single step.
"""

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax._typing import Array
from analogjax._varying import varying_like
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.hardware_aware import INPUTS, NOISE, TILES
from analogjax.nn.linear import SIGNALS, document_layer
from analogjax.nn.recurrent_cells import State

_SHARED, _EACH_STEP = ("params", TILES), (SIGNALS, INPUTS)  # collections; others pass from step to step if they change


@document_layer
class AnalogRNN(linen.Module):
    """Recurrent layers over sequences: `[B, T, I] -> [B, T, H]`, or `[B, T, 2 H]` in both directions.

    The second argument of the call is the state before the first step, by default that of the cell, zeros. States have
    the layers (and directions, forward first) as a new first axis, as in torch: `[L D, B, H]`, for an LSTM a pair of
    such.

    Raises:
        ShapeError: If x is not a batch of sequences, or a state does not fit.
        ConfigError: If `cell` is no cell, or a field has another value than described.

    Example:
        >>> model = nn.Sequential(
        ...     nn.AnalogRNN(nn.AnalogLSTMCell(64, config), num_layers=2, dropout=0.2), nn.AnalogLinear(10, config)
        ... )
    """

    cell: linen.RNNCellBase
    """What is done at a time step: `AnalogRNNCell`, `AnalogLSTMCell`, `AnalogGRUCell`, or a cell of one's own."""
    num_layers: int = 1
    """Layers upon each other, each with tiles of its own."""
    bidirectional: bool = False
    """A second cell, with tiles of its own, goes from the end to the start; outputs are concatenated, forward first."""
    dropout: float = 0.0
    """Part of the outputs of each layer but the last that is set to 0 in training."""
    return_state: bool = False
    """Return the pair of outputs and last state instead of outputs alone."""

    @linen.compact
    def __call__(self, x: Array, state: State | None = None, *, training: bool = False) -> Any:
        self._check(x)
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for backwards in (False, True)[: 1 + self.bidirectional]:
                cell = self.cell.copy(parent=self, name=f"layer_{layer}{'_reverse' if backwards else ''}")
                y, after = self._over_time(cell, x, self._start(cell, x, state, len(last)), backwards)
                outputs.append(y)
                last.append(after)
            x = jnp.concatenate(outputs, axis=-1)
            if self.dropout and layer < self.num_layers - 1:
                x = linen.Dropout(self.dropout)(x, deterministic=not training)
        return (x, jax.tree.map(lambda *each: jnp.stack(each), *last)) if self.return_state else x

    def _over_time(self, cell: Any, x: Array, state: State, backwards: bool) -> tuple[Array, State]:
        """Outputs `[B, T, H]` and the last state."""
        if self.is_initializing():  # shapes are those of one step
            state, y = cell(state, x[:, 0])
            return jnp.broadcast_to(y[:, None], (*x.shape[:2], *y.shape[1:])), state
        fixed = (*_SHARED, *_EACH_STEP)
        carried = [name for name in self.variables if name not in fixed and self.is_mutable_collection(name)]
        steps = linen.scan(
            lambda cell, state, x: cell(state, x), in_axes=1, out_axes=1, reverse=True, variable_carry=carried,
            variable_broadcast=linen.DenyList((*_EACH_STEP, *carried)), variable_axes=dict.fromkeys(_EACH_STEP, 0),
            split_rngs={NOISE: True, "dropout": True},
        )  # fmt: skip
        state = varying_like(state, (x, self.variables))
        # the scan goes from the end, so that signals are in the order of the errors
        state, y = steps(cell, state, x if backwards else jnp.flip(x, axis=1))
        return (y if backwards else jnp.flip(y, axis=1)), state

    def _start(self, cell: Any, x: Array, given: State | None, number: int) -> State:
        """The state of one cell before its first step, of the dtype that it will have after it."""
        zeros = cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
        if getattr(cell, "dtype", None) is None:
            zeros = jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, x.dtype)), zeros)
        if given is None:
            return zeros
        layers = self.num_layers * (1 + self.bidirectional)
        wanted = jax.tree.map(lambda leaf: (layers, *leaf.shape), zeros)
        found = jax.tree.map(jnp.shape, given)
        if wanted != found:
            raise ShapeError(
                f"{self._where()}: got a state of shape {found} for x of shape {x.shape}; it must be {wanted}, with an "
                "entry for each layer and direction."
            )
        return jax.tree.map(lambda leaf, zero: leaf[number].astype(zero.dtype), given, zeros)

    def _where(self) -> str:
        return f"AnalogRNN at {'/'.join(self.path) or 'the top'}"

    def _check(self, x: Array) -> None:
        if not isinstance(self.cell, linen.RNNCellBase):
            raise ConfigError(f"AnalogRNN(cell={self.cell!r}): needs a cell, such as nn.AnalogLSTMCell(64).")
        if not isinstance(self.num_layers, int) or isinstance(self.num_layers, bool) or self.num_layers < 1:
            raise ConfigError(f"AnalogRNN(num_layers={self.num_layers!r}): needs a whole number above 0.")
        if not isinstance(self.bidirectional, bool):
            raise ConfigError(f"AnalogRNN(bidirectional={self.bidirectional!r}): needs True or False.")
        if not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise ConfigError(f"AnalogRNN(dropout={self.dropout!r}): needs a number from 0 to below 1.")
        if x.ndim != 3 or x.shape[1] == 0:
            raise ShapeError(
                f"{self._where()}: got x of shape {x.shape}; give a batch of sequences [B, T, I] of at least one step."
            )
