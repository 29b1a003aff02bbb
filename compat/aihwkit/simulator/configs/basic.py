"""Tile configurations for training."""

import dataclasses
from typing import Any

from analogjax.physics import Periphery
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.configs.compounds import DigitalRankUpdateCell, UnitCell
from compat.aihwkit.simulator.configs.devices import ConstantStepDevice, FloatingPointDevice
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.mapping import MappableRPU
from compat.aihwkit.simulator.parameters.pre_post import PrePostProcessingRPU
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.floating_point import FloatingPointTile
from compat.aihwkit.simulator.tiles.simulator import AnalogTile as AnalogSimulator
from compat.aihwkit.simulator.tiles.simulator import exact, made
from compat.parameters import View, parameters


@parameters()
class FloatingPointRPUConfig(MappableRPU, PrePostProcessingRPU):
    """Exact arithmetic."""

    tile_class: type = FloatingPointTile
    tile_array_class: type = TileModuleArray
    device: FloatingPointDevice = dataclasses.field(default_factory=FloatingPointDevice)

    def _parts(self, inputs: int) -> dict[str, Any]:
        made = exact(self.device.to_native())
        return {name: getattr(made, name) for name in ("device", "forward", "backward", "update")}


@parameters()
class IOManagedRPUConfig(MappableRPU, PrePostProcessingRPU):
    """A tile with converters and pulses."""

    tile_class: type = AnalogTile
    tile_array_class: type = TileModuleArray
    forward: IOParameters = dataclasses.field(default_factory=IOParameters)
    backward: IOParameters = dataclasses.field(default_factory=IOParameters)
    update: UpdateParameters = dataclasses.field(default_factory=UpdateParameters)

    def _parts(self, inputs: int) -> dict[str, Any]:
        rest = {name: getattr(self, name).to_native() for name in ("backward", "update", "device")}
        return {"forward": self._reading(inputs)} | rest

    @classmethod
    def simulator(cls, x_size: int, d_size: int, device: Any = None, bindings: Any = None) -> Any:
        """A simulator tile with what `bindings` hold, and a device."""
        if device is None:
            raise ConfigError(
                "create_array: needs the parameters of a device, such as rpu_config.device.as_bindings()."
            )
        told = bindings.view()
        config = SingleRPUConfig(device=device, forward=told.forward, backward=told.backward, update=told.update)
        return made(AnalogSimulator, config.to_native(int(x_size)), x_size, d_size, bindings, config.population_seed)

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
