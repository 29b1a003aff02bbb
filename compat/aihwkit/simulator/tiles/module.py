"""The tile module around one compiled chip, with its digital bias and output scale."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from analogjax import random
from analogjax.physics import FloatingPoint
from compat import bindings, tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileError, TileModuleError
from compat.aihwkit.optim.context import AnalogContext
from compat.aihwkit.simulator.tiles import aihwkit_state
from compat.aihwkit.simulator.tiles.chip_periphery import ChipsWithPeriphery
from compat.aihwkit.simulator.tiles.functions import AnalogFunction
from compat.aihwkit.simulator.tiles.protocol import refuse_own_methods, refuse_patches
from compat.aihwkit.simulator.tiles.pulsed_programming import written_by_pulses
from compat.aihwkit.simulator.tiles.saved import restored, saved
from compat.aihwkit.simulator.tiles.simulator import AnalogTile, FloatingPointTile
from compat.aihwkit.simulator.tiles.steps import steps_of
from compat.aihwkit.simulator.tiles.tile_module import STATE, TileModule
from compat.torch_package import torch
from compat.whole_tensors import tensor_of

_STEP = frozenset(("update", "post_update_step"))  # what may be set on a tile module itself


class CompiledTile(ChipsWithPeriphery, TileModule):
    """The chip, bias and scales of an `[out_size, in_size]` matrix, whatever the limits of the mapping.

    All randomness of a tile comes from one key, drawn from torch's global generator when the module is made, and the
    number of its uses so far; so `torch.manual_seed` makes a program repeat bit for bit. A non-zero `construction_seed`
    in the configuration decides the device population instead.
    """

    _reference: Any = None  # what was to be programmed
    bias: Any
    out_scaling_alpha: Any

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False, in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:  # fmt: skip
        TileModule.__init__(self)
        refuse_own_methods(self)
        if in_trans or out_trans:
            raise ConfigError("tiles with transposed inputs or outputs are not supported by this version of analogjax.")
        self.rpu_config = rpu_config = copy.deepcopy(rpu_config)
        self.out_size, self.in_size, self.use_bias = out_size, in_size, bool(bias)
        config = rpu_config.to_native(in_size)
        self.digital_bias = self.use_bias and config.mapping.digital_bias
        self.analog_bias = self.use_bias and not self.digital_bias
        self.chips = self._made(config, rpu_config.population_seed)
        self.configured_steps = steps_of(config.device)
        self.analog_ctx = AnalogContext(self)
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(out_size)) if self.digital_bias else None)
        columns = out_size if config.mapping.out_scaling_columnwise else 1
        learned = torch.nn.Parameter(torch.ones(columns)) if config.mapping.learn_out_scaling else None
        self.out_scaling_alpha = learned  # a plain attribute where none is learned, which may be set
        self.shared_weights = None  # the weights are on the chips alone
        self.init_input_processing()
        self._learning_rate = 0.1
        kind = FloatingPointTile if isinstance(config.device, FloatingPoint) else AnalogTile
        self._simulator = kind.held_by(self)

    def _made(self, config: Any, seed: int) -> bridge.Chips:
        root = bridge.draw_key()
        made_with, own = jax.random.split(root)
        blank = np.zeros((self.out_size, self.in_size + self.analog_bias), np.float32)
        return bridge.Chips(bridge.make(config, blank, random.key(seed) if seed else made_with), own)

    @property
    def tile(self) -> Any:
        """The simulator tile, which looks at the chips; the native `analogjax` tile is `chips.tile`."""
        return self._simulator

    @property
    def reading(self) -> bridge.Chips:
        """The chips that answer to an input."""
        return self.chips

    @property
    def device(self) -> Any:
        """Where torch sees the tile."""
        return torch.device("cpu")

    @property
    def is_cuda(self) -> bool:
        """Whether torch sees the tile on a GPU."""
        return False

    def get_dtype(self) -> Any:
        """The number type of inputs and outputs."""
        return torch.float32

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]` with the noise of the chips, and bias and learned scale."""
        refuse_patches(self)
        if self.analog_ctx.use_indexed:
            return self._of_images(x_input)
        if x_input.ndim == 0 or x_input.shape[-1] != self.in_size:
            raise TileError(
                f"an input of shape {tuple(x_input.shape)} for a tile of {self.in_size} inputs and {self.out_size} "
                f"outputs; the last axis must be {self.in_size}."
            )
        y = self.biased(self.scaled(self.within_range(x_input.reshape(-1, self.in_size))))
        return y.reshape(*x_input.shape[:-1], self.out_size)

    def _of_images(self, x: Any) -> Any:
        """Images `[N, C, ...] -> [N, O, ...]`, whose patches the simulator tile gathers."""
        y = AnalogFunction.apply(self.analog_ctx, self, x, None, not self.training)
        view = self.get_tensor_view(y.dim(), 1)
        y = self.apply_out_scaling(y, view)
        return y if self.bias is None else y + self.bias.view(view)

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, in logical units."""
        recorded, self._unclipped = self._unclipped, None
        return bridge.AnalogFunction.apply(self.analog_ctx, self.reading, x, recorded)

    def scaled(self, y: Any) -> Any:
        """`[B, O]` times the learned scale."""
        return y if self.out_scaling_alpha is None else y * self.out_scaling_alpha

    def biased(self, y: Any) -> Any:
        """`[B, O]` and the digital bias."""
        return y if self.bias is None else y + self.bias

    @torch.no_grad()
    def set_weights(
        self, weight: Any, bias: Any = None, apply_weight_scaling: bool = True, realistic: bool = False,
        weight_scaling_omega: float | None = None,
    ) -> None:  # fmt: skip
        """Write logical weights, as far as the devices can hold them, and the bias; `realistic`: program them."""
        weight, self._reference = tensor_of(weight), None
        if weight.numel() != self.out_size * self.in_size:
            raise TileError(f"weights of shape {tuple(weight.shape)} for a tile of {self.out_size} x {self.in_size}.")
        weight = weight.reshape(self.out_size, self.in_size)  # aihwkit asks for the number alone
        if self.analog_bias:
            column = torch.zeros(self.out_size) if bias is None else tensor_of(bias)
            weight = torch.cat([weight, column[:, None]], dim=1)
        elif self.bias is not None and bias is not None:
            self.bias.copy_(tensor_of(bias))
        self._write(weight, apply_weight_scaling, weight_scaling_omega)
        if self.out_scaling_alpha is not None:
            self.out_scaling_alpha.fill_(1.0)
        if realistic:
            self.program_weights()

    def _write(self, weight: Any, apply_weight_scaling: bool, omega: float | None) -> None:
        chips, w = self.chips, bridge.lent(weight, "the weight")
        mapping = chips.tile.config.mapping
        scaled = omega if apply_weight_scaling else 0.0
        if scaled is None or scaled == mapping.weight_scaling_omega:
            written = chips.program.write(chips.leaves, chips.root, chips.next_use(), w)
        else:
            written = _written(chips, w, replace(mapping, weight_scaling_omega=float(scaled)))
        if not apply_weight_scaling:  # the scales stay as they are
            written = replace(written, scale=chips.tile.scale)
        chips.tile = jax.block_until_ready(written)

    @torch.no_grad()
    def get_weights(self, apply_weight_scaling: bool = True, realistic: bool = False) -> tuple[Any, Any]:
        """The logical weights and bias (copies); `realistic` estimates them from noisy products."""
        if realistic:
            return self.read_weights(apply_weight_scaling)
        reading = self.reading
        if apply_weight_scaling and reading is self.chips:
            return self._parted(bridge.copied(reading.program.read(reading.leaves)), apply_weight_scaling)
        weight = bridge.copied(reading.program.raw(reading.leaves))
        if apply_weight_scaling:  # by the mapping; the factor of drift compensation is no part of the weights
            weight = weight * bridge.copied(tile_weights.scales(self.chips.tile))
        return self._parted(weight, apply_weight_scaling)

    def _parted(self, weight: Any, apply_weight_scaling: bool) -> tuple[Any, Any]:
        bias = self.bias.detach().clone() if self.bias is not None else None
        weight = weight.to(self.get_dtype())
        if apply_weight_scaling and self.out_scaling_alpha is not None:
            weight = weight * self.out_scaling_alpha.detach()[:, None]
        if self.analog_bias:
            weight, bias = weight[:, :-1].clone(), weight[:, -1].clone()
        return weight, bias

    @torch.no_grad()
    def read_weights(
        self, apply_weight_scaling: bool = False, x_values: Any = None, over_sampling: int = 10
    ) -> tuple[Any, Any]:
        """The weights as least squares finds them from the chips' noisy answers to random (or given) inputs."""
        x = torch.randn(self.in_size * over_sampling, self.in_size) if x_values is None else x_values
        x = x.to(self.get_dtype())
        trains, self.training = self.training, False
        y = self.within_range(x)
        self.training = trains
        weight = torch.linalg.lstsq(self.with_bias(x).float(), y.float()).solution.T.contiguous()
        if not apply_weight_scaling:
            weight = weight / bridge.copied(tile_weights.scales(self.chips.tile))
        return self._parted(weight, apply_weight_scaling)

    def get_learning_rate(self) -> float:
        """The rate of the last update, or that of the next one by hand."""
        return self._learning_rate

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of updates."""
        if learning_rate is not None:
            self._learning_rate = float(learning_rate)

    @torch.no_grad()
    def update(self, x_input: Any, d_input: Any) -> None:
        """Pulse the devices for inputs `[B, I]` (with the bias column, if analog) and errors `[B, O]`.

        The input range, if there is one, is applied as it is now.
        """
        if x_input.shape[0] > 0 and self._learning_rate != 0.0:
            x, d = x_input.reshape(-1, x_input.shape[-1]), d_input.reshape(-1, self.out_size)
            self.chips.step(self._learning_rate, [self.entered(x)], [d], rest=False)

    def update_and_rest(self, x: list, d: list) -> None:
        """`update` with everything collected, then `post_update_step`; in one go, unless a subclass has its own."""
        if self.analog_ctx.use_indexed:
            self.update_indexed(torch.cat(x), torch.cat(d))
            self.post_update_step()
        elif self._has_own_update():
            self.update(torch.cat(x), torch.cat(d))
            self.post_update_step()
        else:
            self.chips.step(self._learning_rate, [self.entered(part) for part in x], d)

    def _has_own_update(self) -> bool:
        kind = type(self)
        own = kind.update is not CompiledTile.update or kind.post_update_step is not CompiledTile.post_update_step
        return own or not _STEP.isdisjoint(vars(self))

    def post_update_step(self) -> None:
        """Diffusion and decay of one mini-batch."""
        self.chips.rest()

    def reset(self, reset_prob: float = 1.0) -> None:
        """Reset each device with a probability."""
        self.tile.reset_columns(0, -1, reset_prob)

    def reset_columns(self, start_column_idx: int = 0, num_columns: int = 1, reset_prob: float = 1.0) -> None:
        """Reset each device of some columns (from the first to the last and on, in a circle) with a probability."""
        self.tile.reset_columns(start_column_idx, num_columns, reset_prob)

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Let the devices decay for `alpha` mini-batches."""
        self.tile.decay_weights(alpha)

    def diffuse_weights(self) -> None:
        """Let the devices diffuse for one mini-batch."""
        self.tile.diffuse_weights()

    @torch.no_grad()
    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let seconds pass."""
        chips = self.chips
        chips.tile = chips.program.age(chips.leaves, chips.root, chips.next_use(), float(delta_t))

    @property
    def reference_combined_weights(self) -> Any:
        """What was to be programmed, `[O, I]` in units of the device; `None` before anything was."""
        return self._reference

    @torch.no_grad()
    def program_weights(
        self, from_reference: bool = True, x_values: Any = None, learning_rate: float = 0.1, max_iter: int = 10000,
        tolerance: float | None = 0.01, w_init: Any = 0.01,
    ) -> None:  # fmt: skip
        """Write the weights again by pulses, until the chip answers as it should; see `pulsed_programming`."""
        kept = self._reference if from_reference else None
        target = self.tile.get_weights() if kept is None else kept
        self._reference = target
        written_by_pulses(self.tile, target, x_values, learning_rate, max_iter, tolerance, w_init)

    @torch.no_grad()
    def remap_weights(self, weight_scaling_omega: float | None = 1.0) -> None:
        """Write the weights again, the largest of each output (or of the matrix) as `weight_scaling_omega`."""
        weight, bias = self.get_weights()
        self.set_weights(weight, bias, weight_scaling_omega=weight_scaling_omega)

    def get_hidden_parameters(self) -> "OrderedDict[str, Any]":
        """The constants and hidden weights of each crosspoint, by aihwkit's names (copies)."""
        return OrderedDict(self._simulator.named_hidden_parameters())

    def set_hidden_parameters(self, ordered_parameters: Any) -> None:
        """Set what `get_hidden_parameters` gave, all of it and in its order; an empty dictionary sets nothing.

        Weights are held within the bounds, and those that are sums follow from their parts. If the mean step of devices
        is another one afterwards, the pulses of updates are counted with it, with a warning. Raises `TileError` naming
        what does not fit, and then nothing has changed.
        """
        self._simulator.set_named_hidden_parameters(ordered_parameters)

    def get_hidden_update_index(self) -> int:
        """The device of a unit cell that is pulsed and written, where that is a fixed one; else 0."""
        return self._simulator.get_hidden_update_index()

    def set_hidden_update_index(self, index: int) -> None:
        """Choose it; other devices have none to choose."""
        self._simulator.set_hidden_update_index(index)

    def dump_extra(self) -> dict[str, list[float]]:
        """All that is neither weight nor constant of a crosspoint, by names that start as aihwkit's do."""
        return self._simulator.dump_extra()

    def load_extra(self, extra: Any, strict: bool = False) -> None:
        """Set what `dump_extra` gave; `strict`: all of it. Raises `RuntimeError` for what does not fit."""
        self._simulator.load_extra(extra, strict)

    def set_verbosity_level(self, verbose: int) -> None:
        """Nothing: there is nothing to print."""

    def tile_rate(self) -> float:
        """The learning rate of the simulator tile, which makes up for the scale of the mapping where that is asked."""
        return self.get_learning_rate() * self.mapping_lr_scale

    def set_tile_rate(self, rate: float) -> None:
        """Set it."""
        self.set_learning_rate(rate / self.mapping_lr_scale)

    def tile_bindings(self) -> Any:
        """The parameters that the chips have, as bindings."""
        if isinstance(self.chips.tile.config.device, FloatingPoint):
            return bindings.of(self.rpu_config.device)
        return bindings.of(self.rpu_config)

    @torch.no_grad()
    def replacing(self, rpu_config: Any) -> Callable[[], None]:
        """What does `replace_with`, when it is called; what is wrong is said now."""
        fits, why = self.compatible_with(rpu_config)
        if not fits:
            raise TileModuleError(f"replace_rpu_config: {why}")
        rpu_config = copy.deepcopy(rpu_config)
        config, old = rpu_config.to_native(self.in_size), self.chips
        new = self._made(config, rpu_config.population_seed).tile
        tile = _with_devices_of(new, old.tile)
        had_range = self.rpu_config.pre_post.input_range.enable

        def act() -> None:
            self.rpu_config, self.configured_steps = rpu_config, steps_of(config.device)
            self.chips = bridge.Chips(tile, old.root, old.uses)
            if had_range != rpu_config.pre_post.input_range.enable:
                self.init_input_processing()

        return act

    def get_analog_ctx(self) -> AnalogContext:
        """The parameter that stands for the weights in an optimizer."""
        return self.analog_ctx

    def get_analog_state(self) -> dict[str, Any]:
        """What a state dict holds of the chips."""
        return saved(self)

    def get_brief_info(self) -> str:
        """The class, sizes and device."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """Size and device."""
        return f"{self.out_size}, {self.in_size}, {type(getattr(self.rpu_config, 'device', None)).__name__}"

    def found_in(self, state_dict: Any, prefix: str) -> tuple[set[str], Callable[[], None] | None]:
        """The names in a state dict that stand for the chips, and what takes them from it; `None`: nothing does."""
        theirs = aihwkit_state.with_state(state_dict, prefix)
        if theirs is not None:
            return aihwkit_state.names_in(prefix), lambda: aihwkit_state.take(self, theirs)
        if prefix + STATE not in state_dict:
            return set(), None
        return set(), lambda: restored(self, state_dict[prefix + STATE])


def _written(chips: bridge.Chips, w: Any, mapping: Any) -> Any:
    """The tile with logical weights `w` `[O, I]` written as another mapping scales them."""
    tile = chips.tile
    config = tile.config
    other = replace(tile, config=replace(config, mapping=mapping))
    return replace(other.write(w, jax.random.fold_in(chips.root, chips.next_use())), config=config)


def _with_devices_of(new: Any, old: Any) -> Any:
    """The tile `new` with the devices, weights and scales of `old`. Raises `TileModuleError` where these differ."""
    parts = [getattr(tile, name) for tile in (new, old) for name in ("cells", "state")]
    shapes = [jax.tree.map(lambda leaf: leaf.shape, part) for part in parts]
    if shapes[:2] != shapes[2:]:
        raise TileModuleError(
            f"replace_rpu_config: {type(new.config.device).__name__} is another device, or has other constants, than "
            f"the {type(old.config.device).__name__} on the chips. Make a new model, and set its weights."
        )
    return replace(new, cells=old.cells, state=old.state, scale=old.scale)
