"""Configurations of chips that are programmed once."""

import dataclasses
from typing import Any

from compat.aihwkit.inference.compensation.base import BaseDriftCompensation
from compat.aihwkit.inference.compensation.drift import GlobalDriftCompensation
from compat.aihwkit.inference.noise.base import BaseNoiseModel
from compat.aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from compat.aihwkit.simulator.configs.basic import IOManagedRPUConfig
from compat.aihwkit.simulator.configs.devices import IdealDevice
from compat.aihwkit.simulator.parameters.enums import PulseType, WeightModifierType
from compat.aihwkit.simulator.parameters.inference import (
    WeightClipParameter,
    WeightModifierParameter,
    WeightRemapParameter,
)
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.inference import InferenceTile
from compat.overrides import is_plain
from compat.parameters import parameters


def _perfect() -> IOParameters:
    return IOParameters(is_perfect=True)


def _exact() -> UpdateParameters:
    return UpdateParameters(pulse_type=PulseType.NONE)


@parameters()
class InferenceRPUConfig(IOManagedRPUConfig):
    """Trained exactly, then programmed, and read with noise and drift.

    With `modifier`, `clip`, `remap` or an input range it is trained to bear the noise; see
    `analogjax.physics.hardware_aware`.
    """

    tile_class: type = InferenceTile
    tile_array_class: type = TileModuleArray
    noise_model: BaseNoiseModel = dataclasses.field(default_factory=PCMLikeNoiseModel)
    drift_compensation: BaseDriftCompensation | None = dataclasses.field(default_factory=GlobalDriftCompensation)
    clip: WeightClipParameter = dataclasses.field(default_factory=WeightClipParameter)
    remap: WeightRemapParameter = dataclasses.field(default_factory=WeightRemapParameter)
    modifier: WeightModifierParameter = dataclasses.field(default_factory=WeightModifierParameter)
    device: IdealDevice = dataclasses.field(default_factory=IdealDevice, init=False)
    backward: IOParameters = dataclasses.field(default_factory=_perfect, init=False)
    update: UpdateParameters = dataclasses.field(default_factory=_exact, init=False)

    @property
    def steps_aware(self) -> bool:
        """Whether a step does something to the weights beyond what the optimizer does."""
        kind, idle = self.modifier.type, self.modifier.pdrop <= 0
        disturbs = kind is not WeightModifierType.NONE and not (kind is WeightModifierType.COPY and idle)
        return disturbs or any(part.type.value != "None" for part in (self.clip, self.remap))

    @property
    def trains_aware(self) -> bool:
        """Whether training is more than gradient steps of the weights."""
        return self.steps_aware or super().trains_aware

    def _parts(self, inputs: int) -> dict[str, Any]:
        for part in (self.noise_model, self.drift_compensation):
            if part is not None and is_plain(part) and is_plain(getattr(part, "g_converter", part)):
                part.to_native()  # what is wrong with it is said when the tile is made
        return super()._parts(inputs)
