"""Tile modules of chips that are trained through their converters: the forward product itself is differentiated.

Rounding is straight-through and a clipped signal passes no gradient, as in aihwkit's torch tile. Where the wires lose
voltage, they do so in evaluation mode only.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax import pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics import ADC, DAC, InputRange, Periphery, TimedCrossbar
from analogjax.physics.converters import clip as masked_clip
from analogjax.tile import Tile
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import AnalogBiasConfigError, InputTypeError, TorchTileConfigError
from compat.aihwkit.simulator.parameters.enums import RPUDataType, WeightClipType, WeightRemapType
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.inference import InferenceTileWithPeriphery
from compat.aihwkit.simulator.tiles.input_range import InputRangeForward
from compat.aihwkit.simulator.tiles.module import CompiledTile
from compat.aihwkit.simulator.tiles.protocol import is_asked, own_steps
from compat.aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile
from compat.kept_programs import kept
from compat.torch_package import torch

_TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytree
class EachSample:
    """A crossbar that holds other weights for each sample of a batch, as aihwkit's torch tile draws them."""

    w: Array
    """Weights `[N, O, I]` of each of N samples, whose vectors follow one another."""
    ir_drop: float = 0.0
    """No voltage is lost."""
    series_loss: float = 0.0
    """Nor is any by series resistance."""

    def check(self, dac: DAC) -> None:
        """Accept any converter."""

    def fabricate(self, outputs: int, inputs: int | None, dtype: DType, key: Key) -> dict[str, Array]:
        """Nothing is drawn."""
        return {}

    def columns(self, dac: DAC, w: Array, u: Array, frozen: Any, key: Key) -> list[tuple[int, Array]]:
        """Outputs `[B, O]` for inputs `[B, I]`; `w` is not used."""
        n, o, _ = self.w.shape
        y = jnp.einsum("npi,noi->npo", u.reshape(n, -1, u.shape[1]), self.w, precision=lax.Precision.HIGHEST)
        return [(1, y.reshape(-1, o))]


@dataclass(frozen=True)
class Asked:
    """What is asked of the chips of one structure, besides their answer: all that decides what is compiled."""

    training: bool  # wires lose voltage in evaluation mode only, weights are disturbed in training mode only
    modifier: Any = None
    samples: int = 0  # of which each has a disturbance of its own; 0: all have one
    law: InputRange | None = None  # of the range of the inputs, where there is one


@dataclass(frozen=True, eq=False)
class Product:
    """The product of all tiles of one structure and its derivatives, compiled; keys are those of `bridge.Program`."""

    structure: Any
    asked: Asked

    def __post_init__(self) -> None:
        for name in ("forward", "linear", "transposed"):
            object.__setattr__(self, name, jax.jit(getattr(self, "_" + name)))

    forward: Any = None
    linear: Any = None
    transposed: Any = None

    def _read(self, leaves: bridge.Leaves, root: Key, n: Scalar, w: Array, x: Array, r: Array | None) -> Array:
        """The answers to `x` for weights `w` `[O, I]` and the range `r` `[1]`."""
        k_read, k_disturb = jax.random.split(jax.random.fold_in(root, n))
        tile = tile_weights.put_in(jax.tree.unflatten(self.structure, leaves), w)
        tile = _without_drop(tile) if self.asked.training else tile
        if self.asked.modifier is not None and self.asked.training:
            tile = _disturbed(tile, self.asked, k_disturb)
        if r is None or self.asked.law is None:
            return tile.forward(x, k_read)[0]
        # clipped inputs pass no gradient; the range has that of the clip, of the division and of the product
        within = self.asked.law.limit(masked_clip(x, lax.stop_gradient(r[0])), r[0])
        return r[0] * tile.forward(within / r[0], k_read)[0]

    def _forward(self, leaves: bridge.Leaves, root: Key, n: Scalar, w: Array, x: Array, r: Array | None) -> Array:
        return self._read(leaves, root, n, w, x, r)

    def _linear(
        self, leaves: bridge.Leaves, root: Key, n: Scalar, w: Array, x: Array, r: Array | None
    ) -> tuple[Array, Any]:
        """The answers, and what leads back from them."""
        return jax.vjp(lambda w, x, r: self._read(leaves, root, n, w, x, r), w, x, r)

    def _transposed(self, leaves: bridge.Leaves, back: Any, d: Array) -> tuple[Array, Array, Array | None]:
        """What a gradient `d` of the answers is for weights `[O, I]` of the devices, inputs `[B, I]` and the range."""
        dw, dx, dr = back(d)
        # a step moves the logical weight, scale w, by the rate: as in aihwkit, its gradient is dw / scale
        return dw / tile_weights.scales(jax.tree.unflatten(self.structure, leaves)) ** 2, dx, dr


@kept
def product(structure: Any, asked: Asked) -> Product:
    """The compiled functions of all tiles of one structure."""
    return Product(structure, asked)


def _without_drop(tile: Any) -> Any:
    config, reading = tile.config, tile.config.forward
    if not isinstance(reading.crossbar, TimedCrossbar):
        return tile
    forward = replace(reading, crossbar=replace(reading.crossbar, ir_drop=0.0))
    return replace(tile, config=replace(config, forward=forward))


def _disturbed(tile: Tile, asked: Asked, key: Key) -> Tile:
    """The tile with weights that are disturbed; the gradient passes to those that are not (straight-through)."""
    w = tile.state.w
    if not asked.samples:
        return tile_weights.holding(tile, w + lax.stop_gradient(asked.modifier.modify(w, key) - w))
    noise = jax.vmap(lambda key: asked.modifier.modify(w, key) - w)(jax.random.split(key, asked.samples))
    return _reading_each(tile, w + lax.stop_gradient(noise))


def _reading_each(chip: Tile, w: Array) -> Tile:
    """The chip with weights `[N, O, I]` of each sample."""
    config, reading = chip.config, chip.config.forward
    if reading.is_perfect:  # the exact product, in the same words
        reading = Periphery(
            dac=DAC(bound=0.0, res=0.0), adc=ADC(bound=0.0, res=0.0, noise=0.0, scale=reading.adc.scale),
            noise_management=None, bound_management=None,
        )  # fmt: skip
    return replace(chip, config=replace(config, forward=replace(reading, crossbar=EachSample(w=w))))


class StraightThrough(torch.autograd.Function):
    """The product of chips; going back, the weights get the gradient of the product itself."""

    @staticmethod
    def forward(ctx: Any, chips: Any, compiled: Product, x: Any, weight: Any, r: Any) -> Any:
        w = bridge.lent(weight, "the weight")
        if chips.weight is None:  # chips that were programmed answer with what is on them
            w = chips.program.raw(chips.leaves)
        else:
            w = np.array(w)  # the weights may move before the gradient comes
        given = (chips.arrays, chips.root, chips.next_use(), w, bridge.lent(x), _range(r))
        if not any(ctx.needs_input_grad):
            return bridge.to_torch(compiled.forward(*given))
        y, ctx.back = compiled.linear(*given)
        ctx.compiled, ctx.leaves = compiled, chips.arrays
        # what leads back may be the memory of these
        ctx.save_for_backward(x, r)
        return bridge.to_torch(y)

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        _ = ctx.saved_tensors  # torch says so where they were changed since
        dw, dx, dr = ctx.compiled.transposed(ctx.leaves, ctx.back, bridge.lent(d, "the gradient"))
        grads = zip((dx, dw, dr), ctx.needs_input_grad[2:], strict=True)
        return None, None, *(bridge.to_torch(one) if wanted else None for one, wanted in grads)


def _range(r: Any) -> Any:
    return None if r is None else bridge.lent(r)


class Differentiated:
    """What is added to a tile module. Raises `AnalogBiasConfigError` where the bias would be on the chip.

    Weights, inputs and outputs may be of half precision (`runtime.data_type`, or `model.to(torch.bfloat16)`); what the
    chips do with them is computed in float32, and rounded.
    """

    supports_manage_output_clipping = False
    rpu_config: Any
    reading: Any
    training: bool
    in_size: int
    analog_bias: bool
    shared_weights: Any
    input_range: Any
    _samples: int = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rpu_config.modifier.to_torch_tile()  # what is wrong with it is said now
        self._ask_own_simulator()
        if self.analog_bias:
            raise AnalogBiasConfigError(
                f"{type(self).__name__}: its chips hold no bias; set mapping.digital_bias=True, or use no bias."
            )
        self.to(self.rpu_config.runtime.data_type.as_torch())  # type: ignore[attr-defined]

    def get_dtype(self) -> Any:
        """The number type of weights, inputs and outputs."""
        return self.shared_weights.dtype

    def get_data_type(self) -> RPUDataType:
        """The same, as the configuration names it."""
        return self.rpu_config.runtime.data_type

    @property
    def tile(self) -> Any:
        """The simulator tile, which shows the weights."""
        own = self._modules.get("tile")  # type: ignore[attr-defined]
        return self.rpu_config.simulator_tile_class.seen(self) if own is None else own

    def _ask_own_simulator(self) -> None:
        """Make a simulator tile of a class of a user's, whose weights are those of the module."""
        kind = self.rpu_config.simulator_tile_class
        if not is_asked(kind):
            return
        tile = kind(x_size=self.in_size, d_size=self.out_size, rpu_config=self.rpu_config)  # type: ignore[attr-defined]
        tile._parameters["weight"] = self.shared_weights
        self._modules["tile"] = tile  # type: ignore[attr-defined]

    @property
    def _own(self) -> set[str]:
        return own_steps(self.rpu_config.simulator_tile_class, TorchSimulatorTile)

    @torch.no_grad()
    def post_update_step(self) -> None:
        """Clip and remap."""
        if self._own.isdisjoint(("clip_weights", "remap_weights")):
            super().post_update_step()  # type: ignore[misc]
            return
        config, tile = self.rpu_config, self.tile
        if config.clip.type is not WeightClipType.NONE:
            tile.clip_weights(config.clip)
        if config.remap.type is not WeightRemapType.NONE:
            self.set_scales(tile.remap_weights(config.remap, self.get_scales()))  # type: ignore[attr-defined]

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """As any tile's."""
        self._samples = int(x_input.shape[0]) if x_input.ndim > 1 else 1
        return super().forward(x_input, tensor_view)  # type: ignore[misc]

    def within_range(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, to inputs of which the range takes what is beyond it."""
        if self.input_range is not None and self.training:
            self._follow(self._law, x)  # type: ignore[attr-defined]
        return self.product(x)

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, in logical units."""
        if not self.training:
            self.rpu_config.check_read(self.in_size)
        if "tile" in self._modules:  # type: ignore[attr-defined]
            return self._asked(x)
        chips, parameter = self.reading, self.rpu_config.modifier
        modifier, weight = parameter.to_torch_tile() if self.training else None, self.shared_weights
        if self.training and "modify_weight" in self._own:
            modifier, weight = None, self._modified_by_user(parameter)
        samples = self._samples if modifier is not None and parameter.per_batch_sample else 0
        law, r = None, self.input_range
        if r is not None:
            law, r = self._law, r.float()  # type: ignore[attr-defined]
        compiled = product(chips.structure, Asked(self.training, modifier, samples, law))
        return StraightThrough.apply(chips, compiled, self._of_its_type(x).float(), weight.float(), r).to(x.dtype)

    def _aware(self) -> tuple[Any, Any, Any]:
        """What a step does to the weights: clip and remap; they are disturbed anew in each pass instead."""
        config = self.rpu_config
        return config.clip.to_native(), config.remap.to_native(one_scale=True), None

    def _asked(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what a simulator tile of a user's answers, in logical units."""
        tile, chips, weight = self.tile, self.reading, self.shared_weights
        scale = bridge.copied(tile_weights.scales(chips.tile)[:, 0])
        if chips.weight is None:  # chips that were programmed answer with what is on them
            weight = bridge.copied(chips.program.raw(chips.leaves))
        elif weight.requires_grad and torch.is_grad_enabled():
            weight = weight.clone()
            # a step moves the logical weight by the rate: as in aihwkit, its gradient is divided by the scale
            weight.register_hook(lambda grad: grad / scale[:, None] ** 2)
        tile.set_config(self.rpu_config)
        r = self.input_range
        within = x
        if r is not None:
            edge = float(r.detach().abs())
            within = InputRangeForward.apply(x.clamp(-edge, edge), r, self.rpu_config.pre_post.input_range) / r
        given = (within, False, False, False, not self.training, False)
        y = torch.func.functional_call(tile, {"weight": weight}, given)
        return y * scale if r is None else y * (scale * r)

    def _of_its_type(self, x: Any) -> Any:
        mixed = torch.is_autocast_enabled(x.device.type)
        if x.dtype not in _TYPES or not (mixed or x.dtype == self.get_dtype()):
            raise InputTypeError(
                f"x is {x.dtype}, and the weights of this tile are {self.get_dtype()}; both must be one of "
                f"{', '.join(map(str, _TYPES))}. Convert x, or the model with .to()."
            )
        return x

    def _modified_by_user(self, parameter: Any) -> Any:
        kind = self.rpu_config.simulator_tile_class
        weight = kind.modify_weight(self.shared_weights, parameter, self._samples)
        if weight.shape != self.shared_weights.shape:
            raise TorchTileConfigError(
                f"{kind.__name__}.modify_weight() gave weights of shape {tuple(weight.shape)}; needs "
                f"{tuple(self.shared_weights.shape)}: only modifiers of our own differ from sample to sample."
            )
        return weight


class TorchInferenceTile(Differentiated, InferenceTileWithPeriphery, CompiledTile):  # type: ignore[misc]
    """A chip that is trained through its converters, then programmed."""


TorchInferenceTileArray = TileModuleArray  # its name in configurations that compat 0.1.0 saved
