"""Devices: one file per family."""

from analogjax.physics.devices.constant_step import ConstantStep
from analogjax.physics.devices.exp_step import ExpStep
from analogjax.physics.devices.ideal import FloatingPoint, Ideal
from analogjax.physics.devices.linear_step import LinearStep, SoftBounds, SoftBoundsPmax
from analogjax.physics.devices.piecewise_step import PiecewiseStep
from analogjax.physics.devices.pow_step import PowStep, PowStepReference
from analogjax.physics.devices.soft_bounds_reference import SoftBoundsReference

__all__ = [
    "ConstantStep",
    "ExpStep",
    "FloatingPoint",
    "Ideal",
    "LinearStep",
    "PiecewiseStep",
    "PowStep",
    "PowStepReference",
    "SoftBounds",
    "SoftBoundsPmax",
    "SoftBoundsReference",
]
