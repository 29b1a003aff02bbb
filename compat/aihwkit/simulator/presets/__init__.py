"""Presets: devices, parameters and whole configurations with measured values."""

from compat.aihwkit.simulator.presets.compounds import PCMPresetUnitCell as PCMPresetUnitCell
from compat.aihwkit.simulator.presets.configs import *  # noqa: F403
from compat.aihwkit.simulator.presets.devices import *  # noqa: F403
from compat.aihwkit.simulator.presets.inference import FloatingPointPreset as FloatingPointPreset
from compat.aihwkit.simulator.presets.inference import StandardHWATrainingPreset as StandardHWATrainingPreset
from compat.aihwkit.simulator.presets.utils import PresetIOParameters as PresetIOParameters
from compat.aihwkit.simulator.presets.utils import PresetUpdateParameters as PresetUpdateParameters
from compat.aihwkit.simulator.presets.utils import StandardIOParameters as StandardIOParameters
