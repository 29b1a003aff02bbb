"""The old place of `aihwkit.inference`."""

import warnings

from compat.aihwkit.inference import BaseDriftCompensation as BaseDriftCompensation
from compat.aihwkit.inference import BaseNoiseModel as BaseNoiseModel
from compat.aihwkit.inference import GlobalDriftCompensation as GlobalDriftCompensation
from compat.aihwkit.inference import PCMLikeNoiseModel as PCMLikeNoiseModel
from compat.aihwkit.inference import SinglePairConductanceConverter as SinglePairConductanceConverter
from compat.aihwkit.inference import StateIndependentNoiseModel as StateIndependentNoiseModel
from compat.aihwkit.inference import drift_analog_weights as drift_analog_weights
from compat.aihwkit.inference import program_analog_weights as program_analog_weights

warnings.warn(
    "aihwkit.simulator.noise_models is the old place of aihwkit.inference: import from there.",
    FutureWarning,
    stacklevel=4,  # the line that imports it: this file, importlib and the alias lie between
)
