"""aihwkit's torch tile: what it can do, which is less than the tile of `InferenceRPUConfig` can, and how it is seen."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import AnalogBiasConfigError, TorchTileConfigError
from compat.aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
)
from compat.aihwkit.simulator.tiles.analog_mvm import AnalogMVM
from compat.aihwkit.simulator.tiles.base import SimulatorTile
from compat.parameters import check_fields
from compat.torch_package import torch

Demand = tuple[Any, str, bool]  # parameters, the name of a field, and whether its value is one that the tile has
_OFF = (
    "w_noise", "out_nonlinearity", "slope_calibration", "v_offset_std", "v_offset_w_min", "r_series",
    "w_read_asymmetry_dtod",
)  # fmt: skip
_MODIFIERS = (
    WeightModifierType.NONE, WeightModifierType.DISCRETIZE, WeightModifierType.MULT_NORMAL,
    WeightModifierType.ADD_NORMAL, WeightModifierType.DROP_CONNECT, WeightModifierType.COPY,
)  # fmt: skip


class TorchSimulatorTile(SimulatorTile, torch.nn.Module):
    """A crossbar in torch, with converters: the kind of chip that `TorchInferenceRPUConfig` names.

    The `tile` of a tile module is one. Where its class is one of ours, or only has a `modify_weight`, `clip_weights` or
    `remap_weights` of its own, the module is compiled, and its `tile` looks at it. Where a user has more of its own,
    such as `forward`, the module asks it, in torch.
    """

    weight: Any
    out_noise_values: Any

    mv_types: tuple[AnalogMVType, ...] = (AnalogMVType.ONE_PASS,)
    absent: tuple[str, ...] = (*_OFF, "ir_drop")  # of `forward`: must not be above 0

    def __init__(
        self, x_size: int, d_size: int, rpu_config: Any, bias: bool = False, analog_mvm: type[AnalogMVM] = AnalogMVM
    ) -> None:
        torch.nn.Module.__init__(self)
        if bias:
            raise AnalogBiasConfigError(f"{type(self).__name__} holds no bias; set mapping.digital_bias=True.")
        self.check_rpu_config_support(rpu_config)
        self.x_size, self.d_size, self._analog_mvm = int(x_size), int(d_size), analog_mvm
        self._f_io, self._modifier = rpu_config.forward, rpu_config.modifier
        io = rpu_config.forward
        drawn = (io.out_noise * (1.0 + torch.randn(self.d_size))).abs() if io.out_noise_std > 0 else None
        self.register_buffer("out_noise_values", drawn)
        self.weight = torch.nn.Parameter(torch.zeros(self.d_size, self.x_size))

    @classmethod
    def seen(cls, module: Any) -> Any:
        """The simulator tile of a compiled tile module."""
        tile = cls.__new__(cls)
        torch.nn.Module.__init__(tile)
        weight = module.shared_weights
        tile.d_size, tile.x_size = (int(size) for size in weight.shape)
        tile.set_config(module.rpu_config)
        tile._analog_mvm = cls.product()
        drawn = module.get_forward_parameters().get("out_noise_values")
        tile.register_buffer("out_noise_values", drawn)
        tile.weight = weight
        return tile

    @classmethod
    def product(cls) -> type[AnalogMVM]:
        """The class of the product."""
        return AnalogMVM

    def forward(
        self, x_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False, is_test: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., x] -> [..., d]`; in training by weights that the modifier disturbs."""
        if bias or in_trans or out_trans:
            raise TorchTileConfigError(f"{type(self).__name__} has no bias, and takes vectors along the last axis.")
        weight = self.weight if is_test else self.modify_weight(self.weight, self._modifier, len(x_input))
        return self._analog_mvm.matmul(weight, x_input, self._f_io, False, is_test=is_test, **self._circuit())

    def _circuit(self) -> dict[str, Any]:
        """What the product needs to know besides."""
        return {"out_noise_values": self.out_noise_values}

    def set_config(self, rpu_config: Any) -> None:
        """Read by that configuration from now on."""
        self._f_io, self._modifier = rpu_config.forward, rpu_config.modifier

    def get_x_size(self) -> int:
        """Columns."""
        return self.x_size

    def get_d_size(self) -> int:
        """Rows."""
        return self.d_size

    def set_weights_uniform_random(self, bmin: float, bmax: float) -> None:
        """Set weights that are uniform between two values."""
        self.set_weights(torch.rand(self.d_size, self.x_size) * (bmax - bmin) + bmin)

    @torch.no_grad()
    def set_weights(self, weight: Any) -> None:
        """Set the weights `[O, I]`, in units of the device."""
        self.weight.copy_(weight)

    def get_weights(self, as_ref: bool = False) -> Any:
        """The weights `[O, I]`, in units of the device: a copy, or what is trained itself."""
        return self.weight.data if as_ref else self.weight.detach().clone()

    def get_brief_info(self) -> str:
        """The class and the sizes."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The sizes, and where torch sees it."""
        return f"{self.d_size}, {self.x_size}, {self.weight.device}"

    def register_weight_hook(self, hook: Any) -> Any:
        """Call `hook` with the gradient of the weights."""
        return self.weight.register_hook(hook)

    @staticmethod
    def modify_weight(inp_weight: Any, modifier: Any, batch_size: int) -> Any:
        """The weights `[O, I]` as `modifier` disturbs them in one pass, or `[B, O, I]` for each sample of a batch."""
        native = modifier.to_torch_tile()
        if native is None:
            return inp_weight
        w, key = bridge.to_jax(inp_weight, "the weight"), bridge.draw_key()
        if modifier.per_batch_sample:
            drawn = jax.vmap(lambda key: native.modify(w, key))(jax.random.split(key, batch_size))
        else:
            drawn = native.modify(w, key)
        return inp_weight + (bridge.copied(drawn) - inp_weight).detach()

    @torch.no_grad()
    def clip_weights(self, clip: Any) -> None:
        """Clip the weights as a `WeightClipParameter` says."""
        law = clip.to_native()
        if law is not None:
            w = bridge.to_jax(self.weight, "the weight")
            self.weight.copy_(bridge.copied(law.clip(w, jnp.ones_like(w))))

    @torch.no_grad()
    def remap_weights(self, remap: Any, scales: Any) -> Any:
        """Remap the weights as a `WeightRemapParameter` says, for given output scales; the new scales."""
        given = scales.reshape(-1).expand(self.d_size).contiguous()
        w = bridge.to_jax(self.weight, "the weight")
        w, scale = remap.to_native(one_scale=True).remap(w, bridge.to_jax(given, "the scale"))
        self.weight.copy_(bridge.copied(w))
        return bridge.copied(scale)

    @classmethod
    def check_rpu_config_support(cls, rpu_config: Any) -> None:
        """Raise `TorchTileConfigError` naming the first setting that such a chip does not have."""
        for part in (rpu_config.forward, rpu_config.modifier, rpu_config.clip, rpu_config.remap):
            check_fields(part)
        for view, name, fits in (*cls._reads(rpu_config.forward), *_trains(rpu_config)):
            if not fits:
                raise TorchTileConfigError(
                    f"{type(rpu_config).__name__}: {type(view).__name__}({name}={getattr(view, name)}) is not part of "
                    "aihwkit's torch tile; leave it at its default, or use an InferenceRPUConfig."
                )

    @classmethod
    def _reads(cls, io: Any) -> Iterator[Demand]:
        unmanaged = (NoiseManagementType.AVERAGE_ABS_MAX, NoiseManagementType.ABS_MAX_NP_SUM)
        yield io, "mv_type", io.mv_type in cls.mv_types
        yield io, "bound_management", io.bound_management is not BoundManagementType.SHIFT
        yield io, "noise_management", io.noise_management not in unmanaged
        yield io, "w_noise_type", io.w_noise_type is WeightNoiseType.NONE
        yield from ((io, name, getattr(io, name) <= 0) for name in cls.absent)


def _trains(rpu_config: Any) -> Iterator[Demand]:
    """The demands on hardware-aware training."""
    modifier, clip, remap = rpu_config.modifier, rpu_config.clip, rpu_config.remap
    yield modifier, "type", modifier.type in _MODIFIERS
    yield modifier, "enable_during_test", not modifier.enable_during_test
    yield modifier, "copy_last_column", not modifier.copy_last_column
    yield modifier, "pdrop", modifier.pdrop <= 0
    yield clip, "type", clip.type is not WeightClipType.AVERAGE_CHANNEL_MAX
    yield remap, "remapped_wmax", remap.remapped_wmax == 1
    yield remap, "max_scale_range", remap.max_scale_range == 0
    yield remap, "max_scale_ref", remap.max_scale_ref == 0
