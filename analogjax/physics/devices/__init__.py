"""Devices: one file per family."""

from analogjax.physics.devices.constant_step import ConstantStep as ConstantStep
from analogjax.physics.devices.exp_step import ExpStep as ExpStep
from analogjax.physics.devices.ideal import FloatingPoint as FloatingPoint
from analogjax.physics.devices.ideal import Ideal as Ideal
from analogjax.physics.devices.linear_step import LinearStep as LinearStep
from analogjax.physics.devices.linear_step import SoftBounds as SoftBounds
from analogjax.physics.devices.linear_step import SoftBoundsPmax as SoftBoundsPmax
from analogjax.physics.devices.nonlinear import Nonlinear as Nonlinear
from analogjax.physics.devices.nonlinear import width as width
from analogjax.physics.devices.piecewise_step import PiecewiseStep as PiecewiseStep
from analogjax.physics.devices.pow_step import PowStep as PowStep
from analogjax.physics.devices.pow_step import PowStepReference as PowStepReference
from analogjax.physics.devices.soft_bounds_reference import SoftBoundsReference as SoftBoundsReference
