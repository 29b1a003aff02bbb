"""Presets: devices, parameters and whole configurations with measured values."""

from compat.aihwkit.simulator.presets import configs as _configs
from compat.aihwkit.simulator.presets.compounds import PCMPresetUnitCell as PCMPresetUnitCell
from compat.aihwkit.simulator.presets.configs import Capacitor2Preset as Capacitor2Preset
from compat.aihwkit.simulator.presets.configs import Capacitor4Preset as Capacitor4Preset
from compat.aihwkit.simulator.presets.configs import CapacitorPreset as CapacitorPreset
from compat.aihwkit.simulator.presets.configs import EcRam2Preset as EcRam2Preset
from compat.aihwkit.simulator.presets.configs import EcRam4Preset as EcRam4Preset
from compat.aihwkit.simulator.presets.configs import EcRamMO2Preset as EcRamMO2Preset
from compat.aihwkit.simulator.presets.configs import EcRamMO4Preset as EcRamMO4Preset
from compat.aihwkit.simulator.presets.configs import EcRamMOPreset as EcRamMOPreset
from compat.aihwkit.simulator.presets.configs import EcRamPreset as EcRamPreset
from compat.aihwkit.simulator.presets.configs import GokmenVlasovPreset as GokmenVlasovPreset
from compat.aihwkit.simulator.presets.configs import Idealized2Preset as Idealized2Preset
from compat.aihwkit.simulator.presets.configs import Idealized4Preset as Idealized4Preset
from compat.aihwkit.simulator.presets.configs import IdealizedPreset as IdealizedPreset
from compat.aihwkit.simulator.presets.configs import ReRamSB2Preset as ReRamSB2Preset
from compat.aihwkit.simulator.presets.configs import ReRamSB4Preset as ReRamSB4Preset
from compat.aihwkit.simulator.presets.configs import ReRamSBPreset as ReRamSBPreset
from compat.aihwkit.simulator.presets.devices import CapacitorPresetDevice as CapacitorPresetDevice
from compat.aihwkit.simulator.presets.devices import EcRamMOPresetDevice as EcRamMOPresetDevice
from compat.aihwkit.simulator.presets.devices import EcRamPresetDevice as EcRamPresetDevice
from compat.aihwkit.simulator.presets.devices import GokmenVlasovPresetDevice as GokmenVlasovPresetDevice
from compat.aihwkit.simulator.presets.devices import IdealizedPresetDevice as IdealizedPresetDevice
from compat.aihwkit.simulator.presets.devices import PCMPresetDevice as PCMPresetDevice
from compat.aihwkit.simulator.presets.devices import ReRamArrayHfO2PresetDevice as ReRamArrayHfO2PresetDevice
from compat.aihwkit.simulator.presets.devices import ReRamArrayOMPresetDevice as ReRamArrayOMPresetDevice
from compat.aihwkit.simulator.presets.devices import ReRamESPresetDevice as ReRamESPresetDevice
from compat.aihwkit.simulator.presets.devices import ReRamSBPresetDevice as ReRamSBPresetDevice
from compat.aihwkit.simulator.presets.inference import FloatingPointPreset as FloatingPointPreset
from compat.aihwkit.simulator.presets.inference import StandardHWATrainingPreset as StandardHWATrainingPreset
from compat.aihwkit.simulator.presets.utils import PresetIOParameters as PresetIOParameters
from compat.aihwkit.simulator.presets.utils import PresetUpdateParameters as PresetUpdateParameters
from compat.aihwkit.simulator.presets.utils import StandardIOParameters as StandardIOParameters

globals().update(_configs.NOT_SIMULATED)
