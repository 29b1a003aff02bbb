"""Noise of chips that are programmed once and drift, and its compensation."""

from compat.aihwkit.inference.compensation.base import BaseDriftCompensation as BaseDriftCompensation
from compat.aihwkit.inference.compensation.drift import GlobalDriftCompensation as GlobalDriftCompensation
from compat.aihwkit.inference.converter.base import BaseConductanceConverter as BaseConductanceConverter
from compat.aihwkit.inference.converter.conductance import (
    CustomPairConductanceConverter as CustomPairConductanceConverter,
)
from compat.aihwkit.inference.converter.conductance import DualPairConductanceConverter as DualPairConductanceConverter
from compat.aihwkit.inference.converter.conductance import NPairConductanceConverter as NPairConductanceConverter
from compat.aihwkit.inference.converter.conductance import (
    SingleDeviceConductanceConverter as SingleDeviceConductanceConverter,
)
from compat.aihwkit.inference.converter.conductance import (
    SinglePairConductanceConverter as SinglePairConductanceConverter,
)
from compat.aihwkit.inference.noise.base import BaseNoiseModel as BaseNoiseModel
from compat.aihwkit.inference.noise.custom import StateIndependentNoiseModel as StateIndependentNoiseModel
from compat.aihwkit.inference.noise.hermes import HermesNoiseModel as HermesNoiseModel
from compat.aihwkit.inference.noise.pcm import CustomDriftPCMLikeNoiseModel as CustomDriftPCMLikeNoiseModel
from compat.aihwkit.inference.noise.pcm import PCMLikeNoiseModel as PCMLikeNoiseModel
from compat.aihwkit.inference.noise.reram import ReRamCMONoiseModel as ReRamCMONoiseModel
from compat.aihwkit.inference.noise.reram import ReRamWan2022NoiseModel as ReRamWan2022NoiseModel
from compat.aihwkit.inference.utils import drift_analog_weights as drift_analog_weights
from compat.aihwkit.inference.utils import program_analog_weights as program_analog_weights
