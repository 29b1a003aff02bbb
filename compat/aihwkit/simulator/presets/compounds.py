"""Unit cells with measured values."""

from compat.aihwkit.simulator.configs.absent import AbsentDevice
from compat.parameters import parameters


@parameters()
class PCMPresetUnitCell(AbsentDevice):
    """A one-sided pair of phase-change devices; not simulated."""
