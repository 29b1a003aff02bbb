"""Unit cells with measured values; see `analogjax.physics.presets` for the values and the papers."""

import dataclasses

from analogjax.physics.compounds import OneSided
from analogjax.physics.presets import PCM_CELL
from compat.aihwkit.simulator.configs.compounds import OneSidedUnitCell
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.presets.devices import DEVICES
from compat.aihwkit.simulator.presets.utils import PresetIOParameters, PresetUpdateParameters, viewing
from compat.parameters import parameters


@parameters(native=OneSided, harmless=["construction_seed", "unit_cell_devices"])
class PCMPresetUnitCell(OneSidedUnitCell):
    """A pair of phase-change memory cells, refreshed after every mini-batch."""

    unit_cell_devices: list = dataclasses.field(default_factory=lambda: [DEVICES["PCM"](), DEVICES["PCM"]()])
    refresh_every: int = PCM_CELL.refresh_every
    refresh_forward: IOParameters = dataclasses.field(
        default_factory=lambda: viewing(PresetIOParameters, PCM_CELL.refresh_forward)
    )
    refresh_update: UpdateParameters = dataclasses.field(
        default_factory=lambda: viewing(PresetUpdateParameters, PCM_CELL.refresh_update)
    )
