"""Recurrent layers for flax NNX, with the mathematics of `analogjax.nn.recurrent`: one scan over the time steps.

Each analog layer of a cell has one slot for all time steps, `[T, B, I]`. Chips and parameters are the same at every
step; everything else (counts of the rngs, input ranges that follow the data) passes from step to step.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from analogjax._typing import Array, Shape
from analogjax._varying import varying_like
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.recurrent_cells import gru_step, lstm_step
from analogjax.nnx.calls import slots_of_steps, with_slots, without_pass
from analogjax.nnx.layers import AnalogLinear, Chips

State = Any  # of a cell: a pytree of arrays `[B, H]`


class AnalogCell(nnx.Module):
    """Common part of the cells below. Abstract; see `nn.AnalogRNNCell`.

    Args:
        in_features: Number of inputs `I`.
        hidden_features: Number of units `H`.
        combined: One matrix for `[x, h]`, with one bias, instead of two; of an LSTM.
        options: Those of `AnalogLinear`, including `config` and `rngs`.
    """

    gates: ClassVar[int]
    adds_products: ClassVar[bool] = False  # and does nothing else with them: one matrix will do

    def __init__(self, in_features: int, hidden_features: int, *, combined: bool = False, **options: Any) -> None:
        if not isinstance(hidden_features, int) or hidden_features < 1:
            raise ConfigError(f"{type(self).__name__}(hidden_features={hidden_features!r}): needs a number above 0.")
        if combined and not self.adds_products:
            raise ConfigError(f"{type(self).__name__}(combined=True): only an LSTM has this form.")
        self.hidden_features, self.dtype = hidden_features, options.get("dtype")
        self.param_dtype = options.get("param_dtype", jnp.float32)
        given = {"initial_bound": 1 / hidden_features**0.5} | options
        outputs = self.gates * hidden_features
        if combined:
            self.weight = AnalogLinear(in_features + hidden_features, outputs, **given)
        else:
            self.weight_ih = AnalogLinear(in_features, outputs, **given)
            self.weight_hh = AnalogLinear(hidden_features, outputs, **given)

    def zeros(self, input_shape: Shape) -> Array:
        """`h` or `c` at the start, `[..., H]` for inputs `[..., I]`."""
        return jnp.zeros((*input_shape[:-1], self.hidden_features), self.dtype or self.param_dtype)


class AnalogRNNCell(AnalogCell):
    """Plain cell: `h' = activation(W_ih x + b_ih + W_hh h + b_hh)`; the state is `h` `[B, H]`.

    Args:
        in_features: Number of inputs `I`.
        hidden_features: Number of units `H`.
        activation: Function of the sum, such as `jnp.tanh` or `jax.nn.relu`.
        options: Those of `AnalogLinear`, including `config` and `rngs`.
    """

    gates: ClassVar[int] = 1

    def __init__(
        self, in_features: int, hidden_features: int, *, activation: Callable[[Array], Array] = jnp.tanh, **options: Any
    ) -> None:
        super().__init__(in_features, hidden_features, **options)
        self.activation = activation

    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        h = self.activation(self.weight_ih(x) + self.weight_hh(state)).astype(state.dtype)
        return h, h

    def initial_state(self, input_shape: Shape) -> Array:
        """The state at the start for inputs of a shape: zeros."""
        return self.zeros(input_shape)


class AnalogLSTMCell(AnalogCell):
    """Long short-term memory; the state is `(h, c)`, `[B, H]` each. Arguments are those of `AnalogCell`."""

    gates: ClassVar[int] = 4
    adds_products: ClassVar[bool] = True

    def __call__(self, state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        if hasattr(self, "weight"):
            sums = self.weight(jnp.concatenate([x.astype(h.dtype), h], axis=-1))
        else:
            sums = self.weight_ih(x) + self.weight_hh(h)
        new_h, new_c = lstm_step(sums, c)
        new_h = new_h.astype(h.dtype)
        return (new_h, new_c.astype(c.dtype)), new_h

    def initial_state(self, input_shape: Shape) -> tuple[Array, Array]:
        """The state at the start for inputs of a shape: zeros."""
        return self.zeros(input_shape), self.zeros(input_shape)


class AnalogGRUCell(AnalogCell):
    """Gated recurrent unit; the state is `h` `[B, H]`. Arguments are those of `AnalogCell` but `combined`."""

    gates: ClassVar[int] = 3

    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        h = gru_step(self.weight_ih(x), self.weight_hh(state), state).astype(state.dtype)
        return h, h

    def initial_state(self, input_shape: Shape) -> Array:
        """The state at the start for inputs of a shape: zeros."""
        return self.zeros(input_shape)


class AnalogRNN(nnx.Module):
    """Recurrent layers over sequences: `[B, T, I] -> [B, T, H]`, or `[B, T, 2 H]` in both directions.

    The call `layer(x, state=None)` returns outputs and the last state, whose first axis is that of layers and
    directions, `[L D, B, H]`.

    Args:
        cell: Class of the cells, or a function of `(in_features, hidden_features, **options)` that makes one.
        in_features: Number of inputs `I`.
        hidden_features: Number of units `H`.
        num_layers: Layers upon each other.
        bidirectional: Add a second cell to each layer, which goes from the end to the start.
        dropout: Part of the outputs of each layer but the last that is set to 0 until `model.eval()` is called.
        options: Those of `AnalogLinear`, including `config` and `rngs` (with a stream `dropout`, or a default one).

    Raises:
        ConfigError: If an argument has another value than described.
        ShapeError: If x is not a batch of sequences, or a state does not fit.
    """

    def __init__(
        self,
        cell: Callable[..., Any],
        in_features: int,
        hidden_features: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
        **options: Any,
    ) -> None:
        if isinstance(cell, nnx.Module):
            raise ConfigError(
                f"AnalogRNN(cell={type(cell).__name__}(...)): needs the class, such as AnalogLSTMCell, of which it "
                "makes a cell for each layer and direction."
            )
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ConfigError(f"AnalogRNN(num_layers={num_layers!r}): needs a whole number above 0.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"AnalogRNN(dropout={dropout!r}): needs a number from 0 to below 1.")
        directions = 2 if bidirectional else 1
        sizes = [in_features] + [directions * hidden_features] * (num_layers - 1)
        self.bidirectional, self.in_features = bidirectional, in_features
        self.cells = nnx.List(
            cell(size, hidden_features, rngs=rngs, **options) for size in sizes for _ in range(directions)
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout and num_layers > 1 else None

    def __call__(self, x: Array, state: State | None = None) -> tuple[Array, State]:
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.in_features:
            raise ShapeError(
                f"AnalogRNN: got x of shape {x.shape}; give a batch of sequences [B, T, {self.in_features}] of at "
                "least one step."
            )
        directions, last = 1 + self.bidirectional, []
        for first in range(0, len(self.cells), directions):
            if first and self.dropout is not None:
                x = self.dropout(x)
            outputs = []
            for n in range(first, first + directions):
                start = self._start(self.cells[n], x, state, n)
                y, after = over_time(self.cells[n], x, start, backwards=n > first)
                outputs.append(y)
                last.append(after)
            x = jnp.concatenate(outputs, axis=-1)
        return x, jax.tree.map(lambda *each: jnp.stack(each), *last)

    def _start(self, cell: Any, x: Array, given: State | None, number: int) -> State:
        zeros = cell.initial_state(x[:, 0].shape)
        if getattr(cell, "dtype", None) is None:
            zeros = jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, x.dtype)), zeros)
        if given is None:
            return zeros
        wanted = jax.tree.map(lambda leaf: (len(self.cells), *leaf.shape), zeros)
        found = jax.tree.map(jnp.shape, given)
        if wanted != found:
            raise ShapeError(f"AnalogRNN: got a state of shape {found} for x of shape {x.shape}; it must be {wanted}.")
        return jax.tree.map(lambda leaf, zero: leaf[number].astype(zero.dtype), given, zeros)


def over_time(cell: Any, x: Array, state: State, *, backwards: bool = False) -> tuple[Array, State]:
    """Run a cell over the time steps of a sequence.

    Args:
        cell: An NNX module `(state, x [B, I]) -> (state, y [B, H])`, with analog layers or without.
        x: Sequences `[B, T, I]`.
        state: The state before the first step.
        backwards: Go from the end to the start.

    Returns:
        Outputs `[B, T, H]`, in the order of x, and the last state.
    """
    # the scan goes from the end, so that signals are in the order of the errors
    xs = jnp.moveaxis(x if backwards else jnp.flip(x, axis=1), 1, 0)
    slots = slots_of_steps(cell, len(xs), lambda copy: copy(state, xs[0]))
    graph, (fixed, changing) = _parted(cell)
    state = varying_like(state, (x, fixed))

    def step(carry: Any, given: Any) -> Any:
        (state, changing), (x, own) = carry, given
        copy = nnx.merge(graph, fixed, changing, copy=True)  # its variables belong to this trace
        with_slots(copy, own)
        state, y = copy(state, x)
        without_pass(copy)
        return (state, _parted(copy)[1][1]), y

    (state, changing), y = jax.lax.scan(step, (state, changing), (xs, slots), reverse=True)
    nnx.update(cell, changing)
    y = jnp.moveaxis(y, 0, 1)
    return (y if backwards else jnp.flip(y, axis=1)), state


def _parted(cell: Any) -> tuple[Any, list[Any]]:
    """The structure of a cell, and its variables: what no call changes, and all others."""
    graph, *states = nnx.split(cell, nnx.Any(nnx.Param, Chips), ...)
    return graph, states
