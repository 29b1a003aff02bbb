"""A standard cell over a sequence as few compiled calls, instead of several calls for each matrix and time step.

What is computed, and what is drawn, is what the modules would one by one: use `n` of a tile draws from the same key.
Only modules as they come are run like this; one with a hook, a method of a program's own, an input range, torch's own
weights or a matrix on several chips is called step by step. Sequences are run in pieces of `_PIECE` steps, the last one
filled up with steps that change nothing, so that one program serves all lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._typing import Array, Key
from analogjax.nn.recurrent_cells import gru_step, lstm_step
from analogjax.tile import Signal, mvm
from compat import torch_bridge as bridge
from compat.aihwkit.nn.modules import linear_mapped
from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.aihwkit.nn.modules.rnn import cells
from compat.aihwkit.optim.context import rests_with
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.floating_point import FloatingPointTile
from compat.aihwkit.simulator.tiles.inference import InferenceTile
from compat.aihwkit.simulator.tiles.protocol import refuse_patches
from compat.kept_programs import kept
from compat.torch_package import torch

_PIECE, _LEAST = 16, 4  # steps of a call; shorter sequences are not worth it
_LAYERS = (AnalogLinear, *(vars(linear_mapped)[name] for name in linear_mapped.__all__))
_TILES = (AnalogTile, FloatingPointTile, InferenceTile)
Product = Callable[[int, Array], Array]  # of the n-th matrix of a cell
States = tuple[Array, ...]


def _vanilla(product: Product, x: Array, state: States) -> States:
    return (jnp.tanh(product(0, x) + product(1, state[0])),)


def _lstm(product: Product, x: Array, state: States) -> States:
    return lstm_step(product(0, x) + product(1, state[0]), state[1])


def _combined_lstm(product: Product, x: Array, state: States) -> States:
    return lstm_step(product(0, jnp.concatenate([x, state[0]], axis=1)), state[1])


def _gru(product: Product, x: Array, state: States) -> States:
    return (gru_step(product(0, x), product(1, state[0]), state[0]),)


# class of a cell -> its matrices, and what it does
_LAWS: dict[type, tuple[tuple[str, ...], Any]] = {
    cells.AnalogVanillaRNNCell: (("weight_ih", "weight_hh"), _vanilla),
    cells.AnalogLSTMCell: (("weight_ih", "weight_hh"), _lstm),
    cells.AnalogLSTMCellCombinedWeight: (("weight",), _combined_lstm),
    cells.AnalogGRUCell: (("weight_ih", "weight_hh"), _gru),
}


_FORWARD = {kind: kind.forward for kind in (*_LAWS, *_LAYERS, *_TILES)}
_HOOKED = import_module("torch.nn.modules.module")._has_any_global_hook


def can_run(cell: Any, inputs: Any, state: Any) -> bool:
    """Whether `run` gives what the modules would, step by step."""
    if type(cell) not in _LAWS or _HOOKED() or _is_changed(cell):
        return False
    layers = [getattr(cell, name) for name in _LAWS[type(cell)][0]]
    if any(type(layer) not in _LAYERS or _is_changed(layer) for layer in layers):
        return False
    tiles = [layer.analog_module for layer in layers]
    if any(type(tile) not in _TILES or _is_changed(tile) or tile.input_range is not None for tile in tiles):
        return False
    for tile in tiles:
        refuse_patches(tile)
    return _fits(cell, inputs, state)


def _fits(cell: Any, inputs: Any, state: Any) -> bool:
    """Whether inputs and state are what the cell takes; if not, its own error says so."""
    pair = _LAWS[type(cell)][1] in (_lstm, _combined_lstm)
    if isinstance(state, torch.Tensor) is pair or inputs.ndim != 3 or len(inputs) < _LEAST:
        return False
    parts, size = _parts(state), (inputs.shape[1], cell.hidden_size)
    if len(parts) != 1 + pair or any(not isinstance(one, torch.Tensor) or tuple(one.shape) != size for one in parts):
        return False
    plain = all(one.dtype == torch.float32 and one.device.type == "cpu" for one in (inputs, *parts))
    return plain and inputs.shape[1] > 0 and inputs.shape[2] == cell.input_size


def _is_changed(module: Any) -> bool:
    """Whether a module has hooks, or another `forward` than it came with."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    own = "forward" in vars(module) or type(module).forward is not _FORWARD[type(module)]
    return own or any(len(getattr(module, name)) > 0 for name in hooks)


def _parts(state: Any) -> tuple[Any, ...]:
    return (state,) if isinstance(state, torch.Tensor) else tuple(state)


def run(cell: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
    """Outputs `[T, B, H]` of a cell for inputs `[T, B, I]`, and its last state."""
    names, law = _LAWS[type(cell)]
    tiles = [_Tile(getattr(cell, name).analog_module) for name in names]
    program = _program(law, tuple(tile.structure for tile in tiles), tuple(tile.module.analog_bias for tile in tiles))
    parts, outputs = _parts(state), []
    for piece in inputs.split(_PIECE):
        y, *parts = _Piece.apply(_Call(program, tiles, torch.is_grad_enabled()), piece, *parts, *_around(tiles))
        outputs.append(y)
    return torch.cat(outputs), parts[0] if isinstance(state, torch.Tensor) else tuple(parts)


class _Tile:
    """A tile module, and the arrays of the chips that answer for all of a sequence."""

    def __init__(self, module: Any) -> None:
        self.module, self.reading = module, module.reading
        self.structure, self.leaves, self.trained = self.reading.structure, self.reading.leaves, None
        if isinstance(module, InferenceTile):
            self.trained = module.chips
            held = module._held_disturbed() if self.reading is self.trained else None
            self.leaves = self.leaves if held is None else self.trained.holding(held)
            if module.training:
                rests_with(module.shared_weights, module)

    def uses(self, steps: int) -> np.ndarray:
        """The numbers of the next draws, for the steps of a piece."""
        numbers = np.zeros(_PIECE, np.int32)
        numbers[:steps] = [self.reading.next_use() for _ in range(steps)]
        return numbers


def _around(tiles: list[_Tile]) -> list[Any]:
    """What torch differentiates of each tile: learned scale, digital bias, and what stands for the weights."""
    return [
        part
        for tile in tiles
        for part in (
            tile.module.out_scaling_alpha,
            tile.module.bias,
            tile.module.analog_ctx if tile.trained is None else tile.module.shared_weights,
        )
    ]


@dataclass(frozen=True, eq=False)
class _Call:
    program: "_Program"
    tiles: list[_Tile]
    with_gradient: bool


class _Piece(torch.autograd.Function):
    """`_PIECE` steps or fewer; going back, they leave x and d with the contexts of the tiles, the last step first."""

    @staticmethod
    def forward(ctx: Any, call: _Call, x: Any, *rest: Any) -> Any:
        count = len(rest) - 3 * len(call.tiles)
        states, around = rest[:count], rest[count:]
        # copies: what the way back needs must stay as it is now
        given = [None if one is None else _array(one) for one in (*around[0::3], *around[1::3])]
        filled = np.zeros((_PIECE, *x.shape[1:]), np.float32)
        filled[: len(x)] = x.detach().numpy()
        fixed = (
            [tile.leaves for tile in call.tiles], [tile.reading.root for tile in call.tiles],
            np.stack([tile.uses(len(x)) for tile in call.tiles], axis=1), np.arange(_PIECE) < len(x),
        )  # fmt: skip
        moving = (filled, tuple(_array(one) for one in states), given[: len(call.tiles)], given[len(call.tiles) :])
        ctx.call, ctx.steps, ctx.states = call, len(x), count
        if call.with_gradient and any(ctx.needs_input_grad):
            (y, last), ctx.back = call.program.derive(fixed, moving)
            ctx.inputs = (fixed, moving)
        else:
            y, last = call.program.read(fixed, moving)
        return (bridge.copied(y)[: len(x)], *(bridge.copied(one) for one in last))

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, dy: Any, *d_states: Any) -> Any:
        call, filled = ctx.call, np.zeros((_PIECE, *dy.shape[1:]), np.float32)
        filled[: ctx.steps] = dy.numpy()
        moved, signals = call.program.back(ctx.back, ctx.inputs, (filled, tuple(_array(one) for one in d_states)))
        x, states, alphas, biases = moved
        weights = [
            _left(tile, signal, ctx.steps) if ctx.needs_input_grad[4 + ctx.states + 3 * n] else None
            for n, (tile, signal) in enumerate(zip(call.tiles, signals, strict=True))
        ]
        around = [
            part
            for alpha, bias, weight in zip(alphas, biases, weights, strict=True)
            for part in (_gradient(alpha), _gradient(bias), weight)
        ]
        return (None, bridge.copied(x)[: ctx.steps], *(bridge.copied(one) for one in states), *around)


def _array(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().numpy())


def _gradient(array: Array | None) -> Any:
    return None if array is None else bridge.copied(array)


def _left(tile: _Tile, signal: Signal, steps: int) -> Any:
    """The gradient of weights that torch trains; or `None`, and x and d are with the context of the tile."""
    x, d = (part.reshape(-1, part.shape[-1]) for part in signal)
    if tile.trained is not None:
        return bridge.copied(tile.trained.dense(x, d))
    first = len(x) - steps * (len(x) // _PIECE)  # steps that were filled up came back first
    tile.module.analog_ctx.record(bridge.copied(x)[first:], bridge.copied(d)[first:])
    return None


class _Program:
    """One piece, compiled, for all cells of one kind with tiles of the same structures."""

    def __init__(self, law: Any, structures: Sequence[Any], analog_biases: Sequence[bool]) -> None:
        self.law, self.structures, self.analog_biases = law, structures, analog_biases
        self.read, self.derive, self.back = jax.jit(self._read), jax.jit(self._derive), jax.jit(_back)

    def _read(self, fixed: Any, moving: Any) -> Any:
        return self._steps(fixed, moving, None)

    def _derive(self, fixed: Any, moving: Any) -> Any:
        x = moving[0]
        slots = [
            Signal(x=jnp.zeros((*x.shape[:2], tile.shape[1])), d=jnp.zeros((*x.shape[:2], tile.shape[0])))
            for tile in self._tiles(fixed[0])
        ]
        out, back = jax.vjp(lambda moving, slots: self._steps(fixed, moving, slots), moving, slots)
        # JAX would copy arrays of the chips that are inputs, and needed on the way back
        kept, structure = jax.tree.flatten(back)
        place = {id(leaf): n for n, leaf in enumerate(jax.tree.leaves((fixed, moving)))}
        places = tuple(place.get(id(leaf)) for leaf in kept)
        new = [leaf for leaf, n in zip(kept, places, strict=True) if n is None]
        return out, jax.tree_util.Partial(_WayBack(structure, places), new)

    def _tiles(self, leaves: Any) -> list[Any]:
        return [jax.tree.unflatten(*both) for both in zip(self.structures, leaves, strict=True)]

    def _steps(self, fixed: Any, moving: Any, slots: list[Signal] | None) -> Any:
        (leaves, roots, uses, counts), (x, states, alphas, biases) = fixed, moving
        tiles = self._tiles(leaves)

        def step(state: States, given: Any) -> tuple[States, Array]:
            x, uses, counts, slots = given

            def product(n: int, v: Array) -> Array:
                key: Key = jax.random.fold_in(roots[n], uses[n])
                v = jnp.concatenate([v, jnp.ones((len(v), 1))], axis=1) if self.analog_biases[n] else v
                y = mvm(tiles[n], v, None if slots is None else slots[n], key=key)
                y = y if alphas[n] is None else y * alphas[n]
                return y if biases[n] is None else y + biases[n]

            new = self.law(product, x, state)
            return tuple(jnp.where(counts, after, before) for after, before in zip(new, state, strict=True)), new[0]

        last, y = jax.lax.scan(step, states, (x, uses, counts, slots))
        return y, last


@dataclass(frozen=True)
class _WayBack:
    """The derivative of a piece, whose arrays are those of the inputs at `places`, or (`None`) new ones, in order."""

    structure: Any
    places: tuple[int | None, ...]

    def __call__(self, new: Sequence[Array], inputs: Any) -> Any:
        given, others = jax.tree.leaves(inputs), iter(new)
        return jax.tree.unflatten(self.structure, [next(others) if n is None else given[n] for n in self.places])


def _back(back: Any, inputs: Any, errors: Any) -> Any:
    """Gradients of what moves, and the signals of the tiles with the last step first."""
    moved, slots = back(inputs)(errors)
    return moved, jax.tree.map(lambda leaf: leaf[::-1], slots)


@kept
def _program(law: Any, structures: tuple[Any, ...], analog_biases: tuple[bool, ...]) -> _Program:
    return _Program(law, structures, analog_biases)
