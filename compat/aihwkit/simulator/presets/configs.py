"""Whole configurations with measured devices; see `analogjax.tile.presets`."""

from compat.aihwkit.simulator.presets.plain import Capacitor2Preset as Capacitor2Preset
from compat.aihwkit.simulator.presets.plain import Capacitor4Preset as Capacitor4Preset
from compat.aihwkit.simulator.presets.plain import CapacitorPreset as CapacitorPreset
from compat.aihwkit.simulator.presets.plain import EcRam2Preset as EcRam2Preset
from compat.aihwkit.simulator.presets.plain import EcRam4Preset as EcRam4Preset
from compat.aihwkit.simulator.presets.plain import EcRamMO2Preset as EcRamMO2Preset
from compat.aihwkit.simulator.presets.plain import EcRamMO4Preset as EcRamMO4Preset
from compat.aihwkit.simulator.presets.plain import EcRamMOPreset as EcRamMOPreset
from compat.aihwkit.simulator.presets.plain import EcRamPreset as EcRamPreset
from compat.aihwkit.simulator.presets.plain import GokmenVlasovPreset as GokmenVlasovPreset
from compat.aihwkit.simulator.presets.plain import Idealized2Preset as Idealized2Preset
from compat.aihwkit.simulator.presets.plain import Idealized4Preset as Idealized4Preset
from compat.aihwkit.simulator.presets.plain import IdealizedPreset as IdealizedPreset
from compat.aihwkit.simulator.presets.plain import PCMPreset as PCMPreset
from compat.aihwkit.simulator.presets.plain import ReRamES2Preset as ReRamES2Preset
from compat.aihwkit.simulator.presets.plain import ReRamES4Preset as ReRamES4Preset
from compat.aihwkit.simulator.presets.plain import ReRamESPreset as ReRamESPreset
from compat.aihwkit.simulator.presets.plain import ReRamSB2Preset as ReRamSB2Preset
from compat.aihwkit.simulator.presets.plain import ReRamSB4Preset as ReRamSB4Preset
from compat.aihwkit.simulator.presets.plain import ReRamSBPreset as ReRamSBPreset
from compat.aihwkit.simulator.presets.transfers import AGADCapacitorPreset as AGADCapacitorPreset
from compat.aihwkit.simulator.presets.transfers import AGADEcRamMOPreset as AGADEcRamMOPreset
from compat.aihwkit.simulator.presets.transfers import AGADEcRamPreset as AGADEcRamPreset
from compat.aihwkit.simulator.presets.transfers import AGADIdealizedPreset as AGADIdealizedPreset
from compat.aihwkit.simulator.presets.transfers import AGADReRamESPreset as AGADReRamESPreset
from compat.aihwkit.simulator.presets.transfers import AGADReRamSBPreset as AGADReRamSBPreset
from compat.aihwkit.simulator.presets.transfers import ChoppedTTv2CapacitorPreset as ChoppedTTv2CapacitorPreset
from compat.aihwkit.simulator.presets.transfers import ChoppedTTv2EcRamMOPreset as ChoppedTTv2EcRamMOPreset
from compat.aihwkit.simulator.presets.transfers import ChoppedTTv2EcRamPreset as ChoppedTTv2EcRamPreset
from compat.aihwkit.simulator.presets.transfers import ChoppedTTv2IdealizedPreset as ChoppedTTv2IdealizedPreset
from compat.aihwkit.simulator.presets.transfers import ChoppedTTv2ReRamESPreset as ChoppedTTv2ReRamESPreset
from compat.aihwkit.simulator.presets.transfers import ChoppedTTv2ReRamSBPreset as ChoppedTTv2ReRamSBPreset
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionCapacitorPreset as MixedPrecisionCapacitorPreset
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionEcRamMOPreset as MixedPrecisionEcRamMOPreset
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionEcRamPreset as MixedPrecisionEcRamPreset
from compat.aihwkit.simulator.presets.transfers import (
    MixedPrecisionGokmenVlasovPreset as MixedPrecisionGokmenVlasovPreset,
)
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionIdealizedPreset as MixedPrecisionIdealizedPreset
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionPCMPreset as MixedPrecisionPCMPreset
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionReRamESPreset as MixedPrecisionReRamESPreset
from compat.aihwkit.simulator.presets.transfers import MixedPrecisionReRamSBPreset as MixedPrecisionReRamSBPreset
from compat.aihwkit.simulator.presets.transfers import TikiTakaCapacitorPreset as TikiTakaCapacitorPreset
from compat.aihwkit.simulator.presets.transfers import TikiTakaEcRamMOPreset as TikiTakaEcRamMOPreset
from compat.aihwkit.simulator.presets.transfers import TikiTakaEcRamPreset as TikiTakaEcRamPreset
from compat.aihwkit.simulator.presets.transfers import TikiTakaIdealizedPreset as TikiTakaIdealizedPreset
from compat.aihwkit.simulator.presets.transfers import TikiTakaReRamESPreset as TikiTakaReRamESPreset
from compat.aihwkit.simulator.presets.transfers import TikiTakaReRamSBPreset as TikiTakaReRamSBPreset
from compat.aihwkit.simulator.presets.transfers import TTv2CapacitorPreset as TTv2CapacitorPreset
from compat.aihwkit.simulator.presets.transfers import TTv2EcRamMOPreset as TTv2EcRamMOPreset
from compat.aihwkit.simulator.presets.transfers import TTv2EcRamPreset as TTv2EcRamPreset
from compat.aihwkit.simulator.presets.transfers import TTv2IdealizedPreset as TTv2IdealizedPreset
from compat.aihwkit.simulator.presets.transfers import TTv2ReRamESPreset as TTv2ReRamESPreset
from compat.aihwkit.simulator.presets.transfers import TTv2ReRamSBPreset as TTv2ReRamSBPreset
