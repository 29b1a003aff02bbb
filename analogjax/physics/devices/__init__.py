"""Devices: one file per family."""

from analogjax.physics.devices.constant_step import ConstantStep as ConstantStep
from analogjax.physics.devices.ideal import FloatingPoint as FloatingPoint
from analogjax.physics.devices.ideal import Ideal as Ideal
from analogjax.physics.devices.linear_step import LinearStep as LinearStep
from analogjax.physics.devices.linear_step import SoftBounds as SoftBounds
from analogjax.physics.devices.soft_bounds_reference import SoftBoundsReference as SoftBoundsReference
