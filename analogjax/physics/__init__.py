"""Analog physics: devices, pulses, converters, as pure functions on pytrees."""

from analogjax.physics.adc import ADC as ADC
from analogjax.physics.bound_management import BoundManagement as BoundManagement
from analogjax.physics.bound_management import ReadPolicy as ReadPolicy
from analogjax.physics.calibration import calibrate as calibrate
from analogjax.physics.compounds import *  # noqa: F403 - all that it exports
from analogjax.physics.crossbar import Circuit as Circuit
from analogjax.physics.crossbar import Crossbar as Crossbar
from analogjax.physics.crossbar import MVType as MVType
from analogjax.physics.crossbar import WeightNoise as WeightNoise
from analogjax.physics.dac import DAC as DAC
from analogjax.physics.device import Cells as Cells
from analogjax.physics.device import Device as Device
from analogjax.physics.device import PulsedDevice as PulsedDevice
from analogjax.physics.device import State as State
from analogjax.physics.devices import *  # noqa: F403 - all that it exports
from analogjax.physics.devices.nonlinear import Nonlinear as Nonlinear
from analogjax.physics.devices.nonlinear import width as width
from analogjax.physics.drift import Drift as Drift
from analogjax.physics.inference import GlobalCompensation as GlobalCompensation
from analogjax.physics.inference import NoiseModel as NoiseModel
from analogjax.physics.inference import PCMLike as PCMLike
from analogjax.physics.inference import Programmed as Programmed
from analogjax.physics.inference import SinglePair as SinglePair
from analogjax.physics.inference import StateIndependent as StateIndependent
from analogjax.physics.noise_management import InputScale as InputScale
from analogjax.physics.noise_management import NoiseManagement as NoiseManagement
from analogjax.physics.periphery import Periphery as Periphery
from analogjax.physics.pulses import Pulses as Pulses
from analogjax.physics.pulses import PulseType as PulseType
from analogjax.physics.timed_crossbar import TimedCrossbar as TimedCrossbar
