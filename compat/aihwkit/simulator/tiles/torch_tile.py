"""aihwkit's torch tile: what it can do, which is less than the tile of `InferenceRPUConfig` can, and how it is seen."""

from collections.abc import Iterator
from typing import Any

import jax

from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TorchTileConfigError
from compat.aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
)
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


class TorchSimulatorTile:
    """The kind of chip that `TorchInferenceRPUConfig` names: it is trained through its converters.

    The `tile` of a tile module is one, and only looks at the module; what it has not itself is that of the native tile.
    Subclasses may have a `modify_weight`, `clip_weights` or `remap_weights` of their own, which are called.
    """

    _module: Any

    mv_types: tuple[AnalogMVType, ...] = (AnalogMVType.ONE_PASS,)
    absent: tuple[str, ...] = (*_OFF, "ir_drop")  # of `forward`: must not be above 0

    @classmethod
    def seen(cls, module: Any) -> Any:
        """The simulator tile of a tile module."""
        tile = object.__new__(cls)
        tile.__dict__["_module"] = module
        return tile

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return getattr(self._module.chips.tile, name)

    @property
    def weight(self) -> Any:
        """The trained weights `[O, I]`, in units of the device: a parameter."""
        return self._module.shared_weights

    @property
    def x_size(self) -> int:
        """Columns."""
        return int(self.weight.shape[1])

    @property
    def d_size(self) -> int:
        """Rows."""
        return int(self.weight.shape[0])

    def get_x_size(self) -> int:
        """Columns."""
        return self.x_size

    def get_d_size(self) -> int:
        """Rows."""
        return self.d_size

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
        """The sizes."""
        return f"{self.d_size}, {self.x_size}, cpu"

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

    def clip_weights(self, clip: Any) -> None:
        """Clip the weights as a `WeightClipParameter` says."""
        self._module.settle(clip.to_native(), None)

    @torch.no_grad()
    def remap_weights(self, remap: Any, scales: Any) -> Any:
        """Remap the weights as a `WeightRemapParameter` says, for given output scales; the new scales."""
        w, scale = remap.to_native(one_scale=True).remap(
            bridge.to_jax(self.weight, "the weight"), bridge.to_jax(scales.reshape(-1).expand(self.d_size), "the scale")
        )
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
