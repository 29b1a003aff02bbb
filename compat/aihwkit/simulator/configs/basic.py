"""Tile configurations for training."""

import dataclasses
from typing import Any

from analogjax.physics import ADC, Periphery, Pulses
from compat.aihwkit.simulator.configs.compounds import DigitalRankUpdateCell, UnitCell
from compat.aihwkit.simulator.configs.devices import ConstantStepDevice, FloatingPointDevice
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.floating_point import FloatingPointTile
from compat.parameters import View, parameters


@parameters()
class FloatingPointRPUConfig(RPUConfigBase):
    """Exact arithmetic."""

    tile_class: type = FloatingPointTile
    tile_array_class: type = TileModuleArray
    device: FloatingPointDevice = dataclasses.field(default_factory=FloatingPointDevice)

    def _parts(self, inputs: int) -> dict[str, Any]:
        exact = Periphery(is_perfect=True, adc=ADC(bound=0.0))  # no ADC: no output ever counts as clipped
        return {"device": self.device.to_native(), "forward": exact, "backward": exact, "update": Pulses()}


@parameters()
class IOManagedRPUConfig(RPUConfigBase):
    """A tile with converters and pulses."""

    tile_class: type = AnalogTile
    tile_array_class: type = TileModuleArray
    forward: IOParameters = dataclasses.field(default_factory=IOParameters)
    backward: IOParameters = dataclasses.field(default_factory=IOParameters)
    update: UpdateParameters = dataclasses.field(default_factory=UpdateParameters)

    def _parts(self, inputs: int) -> dict[str, Any]:
        rest = {name: getattr(self, name).to_native() for name in ("backward", "update", "device")}
        return {"forward": self._reading(inputs)} | rest

    def _reading(self, inputs: int) -> Periphery:
        """How a layer with so many inputs is read."""
        return self.forward.to_native()


@parameters()
class SingleRPUConfig(IOManagedRPUConfig):
    """One device at each crosspoint."""

    device: View = dataclasses.field(default_factory=ConstantStepDevice)


@parameters()
class UnitCellRPUConfig(IOManagedRPUConfig):
    """A unit cell of devices at each crosspoint."""

    device: View = dataclasses.field(default_factory=UnitCell)


@parameters()
class DigitalRankUpdateRPUConfig(IOManagedRPUConfig):
    """A device at each crosspoint whose updates are computed digitally."""

    device: View = dataclasses.field(default_factory=DigitalRankUpdateCell)
