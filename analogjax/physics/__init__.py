"""Analog physics: devices, pulses, converters, as pure functions on pytrees."""

from analogjax.physics.compounds import UpdatePolicy as UpdatePolicy
from analogjax.physics.compounds import Vector as Vector
from analogjax.physics.device import Cells as Cells
from analogjax.physics.device import Device as Device
from analogjax.physics.device import PulsedDevice as PulsedDevice
from analogjax.physics.device import State as State
from analogjax.physics.devices import ConstantStep as ConstantStep
from analogjax.physics.devices import FloatingPoint as FloatingPoint
from analogjax.physics.devices import Ideal as Ideal
from analogjax.physics.devices import LinearStep as LinearStep
from analogjax.physics.devices import SoftBounds as SoftBounds
from analogjax.physics.devices import SoftBoundsReference as SoftBoundsReference
from analogjax.physics.drift import Drift as Drift
from analogjax.physics.inference import GlobalCompensation as GlobalCompensation
from analogjax.physics.inference import NoiseModel as NoiseModel
from analogjax.physics.inference import PCMLike as PCMLike
from analogjax.physics.inference import Programmed as Programmed
from analogjax.physics.inference import SinglePair as SinglePair
from analogjax.physics.inference import StateIndependent as StateIndependent
from analogjax.physics.periphery import BoundManagement as BoundManagement
from analogjax.physics.periphery import NoiseManagement as NoiseManagement
from analogjax.physics.periphery import Periphery as Periphery
from analogjax.physics.periphery import WeightNoise as WeightNoise
from analogjax.physics.pulses import Pulses as Pulses
from analogjax.physics.pulses import PulseType as PulseType
