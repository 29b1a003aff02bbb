"""The simulator tiles of aihwkit's compiled core, by their names and methods, on native chips.

They know nothing of scales, input ranges and digital biases: weights, inputs and outputs are in units of the chip. The
`tile` of a tile module is one, and looks at the chips of the module; one that is made alone has chips of its own.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax.physics import ADC, Ideal, Periphery, Pulses
from analogjax.physics import FloatingPoint as NativeFloatingPoint
from analogjax.tile import Signal, TileConfig
from analogjax.tile import update as native_update
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileError
from compat.aihwkit.simulator.tiles import extra, patches
from compat.aihwkit.simulator.tiles.acts import decayed, diffused, put_weights, selected, selecting
from compat.aihwkit.simulator.tiles.hidden import hidden_parameters
from compat.aihwkit.simulator.tiles.setting import checked, with_given
from compat.kept_programs import kept
from compat.torch_package import torch

_EXACT = Periphery(is_perfect=True, adc=ADC(bound=0.0))  # no ADC: no output ever counts as clipped


def exact(device: Any) -> TileConfig:
    """Tiles of exact arithmetic, with a native device."""
    return TileConfig(device=device, forward=_EXACT, backward=_EXACT, update=Pulses())


@dataclass(eq=False)
class OwnChips:
    """Chips that belong to no module."""

    chips: bridge.Chips
    bindings: Any = None
    rate: float = 0.1

    @classmethod
    def made(cls, config: TileConfig, x_size: int, d_size: int, bindings: Any, seed: int = 0) -> "OwnChips":
        """Chips of a configuration; what is drawn comes from torch's generator."""
        made_with, own = jax.random.split(bridge.draw_key())
        made_with = bridge.random.key(seed) if seed else made_with
        blank = np.zeros((d_size, x_size), np.float32)
        return cls(bridge.Chips(bridge.make(config, blank, made_with), own), bindings)

    @property
    def reading(self) -> bridge.Chips:
        """The chips that answer."""
        return self.chips

    def tile_rate(self) -> float:
        """The learning rate."""
        return self.rate

    def set_tile_rate(self, rate: float) -> None:
        """Set it."""
        self.rate = rate

    def tile_bindings(self) -> Any:
        """The parameters that the chips were made with."""
        if self.bindings is None:
            raise TileError("this tile was made without parameters; make it with create_array() of its parameters.")
        return self.bindings


class FloatingPointTile:
    """A crossbar `[d_size, x_size]` of exact weights; `held_by` something else, or with chips of its own."""

    _kind = "RPUSimple<float>"
    _config = exact(NativeFloatingPoint())
    _holder: Any
    _patches: patches.Patches | None = None
    _delta: Any = None

    def __init__(self, x_size: int, d_size: int) -> None:
        self._holder = OwnChips.made(self._config, int(x_size), int(d_size), None)

    @classmethod
    def held_by(cls, holder: Any) -> Any:
        """The simulator tile of what has chips."""
        tile = cls.__new__(cls)
        tile._holder = holder
        return tile

    # what it is

    def get_x_size(self) -> int:
        """Columns, with that of a bias on the chip."""
        return int(self._holder.chips.tile.shape[1])

    def get_d_size(self) -> int:
        """Rows."""
        return int(self._holder.chips.tile.shape[0])

    def get_brief_info(self) -> str:
        """The kind of tile and device, rows and columns."""
        device = type(self._holder.chips.tile.config.device).__name__
        shown = "" if device == "FloatingPoint" else f"[{device}]"
        return f"{self._kind}{shown}({self.get_d_size()},{self.get_x_size()})"

    def get_info(self) -> str:
        """The same, and what it was configured with."""
        return f"{self.get_brief_info()}\n{self._holder.chips.tile.config}"

    def __repr__(self) -> str:
        return self.get_brief_info()

    def get_meta_parameters(self) -> Any:
        """What it was configured with, as bindings."""
        return self._holder.tile_bindings()

    def get_learning_rate(self) -> float:
        """The rate of updates."""
        return self._holder.tile_rate()

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of updates."""
        if learning_rate is not None:
            self._holder.set_tile_rate(float(learning_rate))

    def set_verbosity_level(self, verbose: int) -> None:
        """Nothing: there is nothing to print."""

    # weights and constants

    def get_weights(self) -> Any:
        """The weights `[d, x]` (a copy)."""
        reading = self._holder.reading
        return bridge.copied(reading.program.raw(reading.leaves))

    @torch.no_grad()
    def set_weights(self, weights: Any) -> None:
        """Write weights `[d, x]`, as far as the devices can hold them."""
        given = torch.as_tensor(weights).detach().float().cpu()
        if tuple(given.shape) != (self.get_d_size(), self.get_x_size()):
            raise TileError(f"weights of shape {tuple(given.shape)} for {self.get_brief_info()}.")
        chips = self._holder.chips
        key = jax.random.fold_in(chips.root, chips.next_use())
        chips.tile = put_weights(chips.tile, bridge.to_jax(given, "the weights"), key)

    def set_weights_uniform_random(self, bmin: float, bmax: float) -> None:
        """Write weights that are uniform between two values."""
        if not bmin < bmax:
            raise TileError(f"set_weights_uniform_random({bmin}, {bmax}): the first must be the smaller.")
        self.set_weights(torch.rand(self.get_d_size(), self.get_x_size()) * (bmax - bmin) + bmin)

    def named_hidden_parameters(self) -> dict[str, Any]:
        """Constants and hidden weights of each crosspoint, `[d, x]` each."""
        tile = self._holder.chips.tile
        chip = tile
        return {name: bridge.copied(v) for name, v in hidden_parameters(tile.config.device, chip.cells, chip.state)}

    def get_hidden_parameter_names(self) -> list[str]:
        """Names of what `get_hidden_parameters` gives."""
        return list(self.named_hidden_parameters())

    def get_hidden_parameters(self) -> Any:
        """Constants and hidden weights of each crosspoint, `[N, d, x]`; `[0]` where there are none."""
        found = list(self.named_hidden_parameters().values())
        return torch.stack(found) if found else torch.zeros(0)

    @torch.no_grad()
    def set_named_hidden_parameters(self, ordered_parameters: Any) -> None:
        """Set all of them, by their names and in their order; an empty dictionary sets nothing."""
        if len(ordered_parameters) == 0:
            return
        chips, shown = self._holder.chips, self.named_hidden_parameters()
        given = checked(ordered_parameters, shown)
        chips.tile = with_given(chips.tile, given, jax.random.fold_in(chips.root, chips.uses + 1))
        seen = "persistent_weights"
        if seen in given and not np.array_equal(given[seen], shown[seen].numpy()):
            chips.next_use()  # write noise was drawn

    def set_hidden_parameters(self, params: Any) -> None:
        """Set what `get_hidden_parameters` gave."""
        names = self.get_hidden_parameter_names()
        if params.numel() == 0 and not names:
            return
        if params.ndim != 3 or len(params) != len(names):
            raise TileError(f"hidden parameters of shape {tuple(params.shape)}; needs one matrix for each of {names}.")
        self.set_named_hidden_parameters(dict(zip(names, params, strict=True)))

    def get_hidden_update_index(self) -> int:
        """The device of a unit cell that is pulsed and written, where that is a fixed one; else 0."""
        return selected(self._holder.chips.tile)

    def set_hidden_update_index(self, index: int) -> None:
        """Choose it; other devices have none to choose."""
        chips = self._holder.chips
        chips.tile = selecting(chips.tile, int(index))

    def get_pulse_counters(self) -> Any:
        """Pulses of each device: none are counted, so `[0]`."""
        return torch.zeros(0)

    def dump_extra(self) -> dict[str, list[float]]:
        """All that is neither weight nor constant of a crosspoint, by names that start as aihwkit's do."""
        return extra.dumped(self._holder.chips.tile, self.get_learning_rate())

    def load_extra(self, extra_: Any, strict: bool = False) -> None:
        """Set what `dump_extra` gave; `strict`: all of it. Raises `RuntimeError` for what does not fit."""
        chips = self._holder.chips
        tile, rate = extra.loaded(chips.tile, extra_, strict)
        chips.tile = tile
        if rate is not None:
            self.set_learning_rate(rate)

    # passes

    @torch.no_grad()
    def forward(
        self, x_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False, is_test: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., x] -> [..., d]`; with `bias` the chip has one more column, which sees ones."""
        x, shape = _rows(x_input, in_trans)
        x = torch.cat([x, x.new_ones(len(x), 1)], 1) if bias else x
        self._check(x, self.get_x_size(), "inputs")
        reading = self._holder.reading
        y, _ = reading.program.forward(_unscaled(reading), reading.root, reading.next_use(), bridge.to_jax(x))
        return _as_given(bridge.to_torch(y), shape, out_trans)

    @torch.no_grad()
    def backward(
        self, d_input: Any, bias: bool = False, d_trans: bool = False, x_trans: bool = False, non_blocking: bool = False
    ) -> Any:
        """`[..., d] -> [..., x]`, without the column of a bias."""
        d, shape = _rows(d_input, d_trans)
        self._check(d, self.get_d_size(), "errors")
        reading = self._holder.reading
        given = (_unscaled(reading), reading.root, reading.next_use(), None, bridge.to_jax(d, "the error"))
        x = bridge.to_torch(reading.program.backward(*given))
        return _as_given(x[:, :-1] if bias else x, shape, x_trans)

    @torch.no_grad()
    def update(
        self, x_input: Any, d_input: Any, bias: bool = False, x_trans: bool = False, d_trans: bool = False,
        non_blocking: bool = False,
    ) -> None:  # fmt: skip
        """Pulse the devices; where delta weights are set, these get the exact gradient `d^T x` instead."""
        (x, _), (d, _) = _rows(x_input, x_trans), _rows(d_input, d_trans)
        x = torch.cat([x, x.new_ones(len(x), 1)], 1) if bias else x
        self._check(x, self.get_x_size(), "inputs")
        self._check(d, self.get_d_size(), "errors")
        if self._delta is not None:
            self._delta.copy_((d.T @ x).reshape(self._delta.shape))
            return
        if len(x) == 0 or self.get_learning_rate() == 0.0:
            return
        chips = self._holder.chips
        given = (chips.root, chips.next_use(), self.get_learning_rate(), bridge.to_jax(x), bridge.to_jax(d))
        moved = jax.block_until_ready(chips.program.pulse(_unscaled(chips), *given))
        chips.moved(chips.leaves, moved)  # the scale stays

    @staticmethod
    def _check(rows: Any, size: int, what: str) -> None:
        if rows.shape[1] != size:
            raise TileError(f"{what} of size {rows.shape[1]}; the chip has {size}.")

    @torch.no_grad()
    def pulse_towards(self, x: Any, wanted: Any, learning_rate: float, max_iter: int, tolerance: float | None) -> None:
        """Read `x` `[N, x]` and pulse with the error, until it is below `tolerance` on average (`None`: never)."""
        chips = self._holder.chips
        limit = -1.0 if tolerance is None else tolerance
        given = (chips.root, chips.next_use(), bridge.to_jax(x), bridge.to_jax(wanted), learning_rate, limit, max_iter)
        old = chips.tile.scale
        leaves = jax.block_until_ready(pulsing(chips.structure)(_unscaled(chips), *given))
        chips.tile = replace(jax.tree.unflatten(chips.structure, leaves), scale=old)

    # passes that gather the patches of a convolution

    def has_matrix_indices(self) -> bool:
        """Whether indices are set."""
        return self._patches is not None

    def set_matrix_indices(self, indices: Any) -> None:
        """Say which elements of an image each column sees: 0 is a zero, 1 a one, element `n` has the number `n + 2`."""
        self._patches = patches.Patches.of(indices, self.get_x_size())

    def _gathering(self) -> patches.Patches:
        if self._patches is None:
            raise TileError("no indices are set; set them with set_matrix_indices().")
        return self._patches

    def forward_indexed(self, x_input: Any, d_tensor: Any, is_test: bool = False, non_blocking: bool = False) -> Any:
        """Images `[N, ...]` `->` `[N, d, ...]`, written to `d_tensor` as well."""
        rows = self._gathering().gathered(x_input)
        d_tensor.copy_(patches.as_images(self.forward(rows, is_test=is_test), d_tensor.shape))
        return d_tensor

    def backward_indexed(self, d_input: Any, x_tensor: Any, non_blocking: bool = False) -> Any:
        """Errors `[N, d, ...]` `->` those of the images `[N, ...]`, written to `x_tensor` as well."""
        x_tensor.copy_(self._gathering().scattered(self.backward(patches.as_rows(d_input)), x_tensor.shape))
        return x_tensor

    def update_indexed(self, x_input: Any, d_input: Any, non_blocking: bool = False) -> None:
        """Pulse the devices for images and errors."""
        self.update(self._gathering().gathered(x_input), patches.as_rows(d_input))

    # what else happens to the weights

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Let the devices decay for `alpha` mini-batches."""
        self._act(lambda tile, key: decayed(tile, float(alpha), key))

    def diffuse_weights(self) -> None:
        """Let the devices diffuse for one mini-batch."""
        self._act(diffused)

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let seconds pass."""
        self._act(lambda tile, key: tile.age(float(delta_t), key))

    def reset_columns(self, start_column_idx: int = 0, num_columns: int = 1, reset_prob: float = 1.0) -> None:
        """Reset each device of some columns (in a circle; -1: all) with a probability."""
        size = self.get_x_size()
        columns = (jnp.arange(size if num_columns < 0 else num_columns) + start_column_idx) % size
        self._act(lambda tile, key: tile.reset(key, float(reset_prob), columns))

    @torch.no_grad()
    def _act(self, act: Any) -> None:
        chips = self._holder.chips
        chips.tile = jax.block_until_ready(act(chips.tile, jax.random.fold_in(chips.root, chips.next_use())))

    def clip_weights(self, parameter: Any) -> None:
        """Clip the weights as a `WeightClipParameter` (or its bindings) says."""
        law = _native(parameter)
        if law is not None:
            self._act(lambda tile, key: _clipped(tile, law))

    def remap_weights(self, parameter: Any, scales: Any) -> Any:
        """Remap the weights as a `WeightRemapParameter` (or its bindings) says, for output scales; the new scales."""
        law = _native(parameter)
        if law is None:
            return scales
        d, given = self.get_d_size(), torch.as_tensor(scales).detach().float().reshape(-1)
        w, scale = law.remap(bridge.to_jax(self.get_weights()), bridge.to_jax(given.expand(d).contiguous()))
        chips = self._holder.chips
        chips.tile = tile_weights.put_in(chips.tile, w)
        return bridge.copied(jnp.broadcast_to(scale, (d,)))

    def modify_weights(self, parameter: Any) -> None:
        """Disturb the weights as a `WeightModifierParameter` (or its bindings) says, for good."""
        law = _native(parameter)
        if law is not None:
            self._act(lambda tile, key: tile_weights.put_in(tile, law.modify(tile.state.w, key)))

    # weights in torch

    def set_delta_weights(self, delta_weights: Any) -> None:
        """Let updates leave their gradient in a tensor `[d, x]`, and the weights as they are."""
        self._delta = delta_weights

    def reset_delta_weights(self) -> None:
        """Let updates change the weights again."""
        self._delta = None

    def get_shared_weights_if(self) -> bool:
        """Whether a tensor of torch is what the devices hold."""
        return self._holder.chips.weight is not None

    def set_shared_weights(self, weights: Any) -> None:
        """Let a tensor `[d, x]` of torch be what the devices hold: it gets their weights, and is read each time."""
        if tuple(weights.shape) != (self.get_d_size(), self.get_x_size()):
            raise TileError(f"shared weights of shape {tuple(weights.shape)} for {self.get_brief_info()}.")
        weights.detach().copy_(self.get_weights())
        self._holder.chips.weight = weights


class AnalogTile(FloatingPointTile):
    """A crossbar `[d_size, x_size]` of devices with their converters."""

    _kind = "RPUPulsed<float>"
    _config = TileConfig(device=Ideal())


@kept
def pulsing(structure: Any) -> Any:
    """Compiled, for all tiles of one structure: reads and pulses with the error, again and again."""

    def act(leaves: Any, root: Any, n: Any, x: Any, wanted: Any, rate: Any, limit: Any, times: Any) -> bridge.Leaves:
        key = jax.random.fold_in(root, n)

        def again(carry: tuple) -> tuple:
            held, k, _ = carry
            tile = jax.tree.unflatten(structure, held)
            k_read, k_pulse = jax.random.split(jax.random.fold_in(key, k))
            error = tile.forward(x, k_read)[0] - wanted
            done = jnp.mean(jnp.abs(error)) < limit
            pulsed = jax.tree.leaves(native_update(tile, Signal(x=x, d=error), rate, key=k_pulse))
            return [jnp.where(done, a, b) for a, b in zip(held, pulsed, strict=True)], k + 1, done

        def unfinished(carry: tuple) -> Any:
            return (carry[1] < times) & ~carry[2]

        return jax.lax.while_loop(unfinished, again, (leaves, 0, jnp.asarray(False)))[0]

    return jax.jit(act)


def made(kind: type, config: TileConfig, x_size: int, d_size: int, bindings: Any, seed: int = 0) -> Any:
    """A simulator tile of a class, with chips of its own."""
    return kind.held_by(OwnChips.made(config, int(x_size), int(d_size), bindings, seed))  # type: ignore[attr-defined]


def _rows(values: Any, transposed: bool) -> tuple[Any, tuple[int, ...]]:
    """Vectors `[..., n]` (or `[n, ...]`, transposed) as rows `[B, n]`, and their leading (or trailing) axes."""
    values = values.detach()
    if transposed:
        return values.reshape(len(values), -1).T.contiguous(), tuple(values.shape[1:])
    return values.reshape(-1, values.shape[-1]).contiguous(), tuple(values.shape[:-1])


def _as_given(rows: Any, shape: tuple[int, ...], transposed: bool) -> Any:
    return rows.T.reshape(-1, *shape) if transposed else rows.reshape(*shape, -1)


def _unscaled(chips: bridge.Chips) -> bridge.Leaves:
    """The arrays of the tile with scales of 1."""
    tile = chips.tile
    return jax.tree.leaves(replace(tile, scale=jnp.ones_like(tile.scale)))


def _native(parameter: Any) -> Any:
    return (parameter.view() if hasattr(parameter, "view") else parameter).to_native()


def _clipped(tile: Any, law: Any) -> Any:
    return tile_weights.holding(tile, law.clip(tile.state.w, jnp.ones_like(tile.state.w)))
