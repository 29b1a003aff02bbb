"""What aihwkit's torch tile can do, which is less than the tile of `InferenceRPUConfig` can."""

from collections.abc import Iterator
from typing import Any

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
    """The kind of chip that `TorchInferenceRPUConfig` names: it is trained through its converters."""

    mv_types: tuple[AnalogMVType, ...] = (AnalogMVType.ONE_PASS,)
    absent: tuple[str, ...] = (*_OFF, "ir_drop")  # of `forward`: must not be above 0

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
