"""Compounds: devices made of devices, and the parts that transfers are made of."""

from analogjax.physics.compounds.e_rider import e_rider, rider
from analogjax.physics.compounds.mixed_precision import MixedPrecision
from analogjax.physics.compounds.one_sided import OneSided
from analogjax.physics.compounds.parts.buffer import StepBuffer, WeightBuffer
from analogjax.physics.compounds.parts.chopper import Chopper, PeriodicChopper
from analogjax.physics.compounds.parts.rates import SINGLE_PULSES, FastRate, Writer
from analogjax.physics.compounds.parts.reader import Reader
from analogjax.physics.compounds.parts.reference import RunningMean
from analogjax.physics.compounds.parts.schedule import Schedule
from analogjax.physics.compounds.parts.transfer import Transfer
from analogjax.physics.compounds.parts.warm_start import WarmStart
from analogjax.physics.compounds.residual import next_array, residual
from analogjax.physics.compounds.tiki_taka import agad, c_ttv2, tiki_taka, ttv2
from analogjax.physics.compounds.vector import UpdatePolicy, Vector

__all__ = [
    "SINGLE_PULSES",
    "Chopper",
    "FastRate",
    "MixedPrecision",
    "OneSided",
    "PeriodicChopper",
    "Reader",
    "RunningMean",
    "Schedule",
    "StepBuffer",
    "Transfer",
    "UpdatePolicy",
    "Vector",
    "WarmStart",
    "WeightBuffer",
    "Writer",
    "agad",
    "c_ttv2",
    "e_rider",
    "next_array",
    "residual",
    "rider",
    "tiki_taka",
    "ttv2",
]
