"""Compounds: devices made of devices, and the parts that transfers are made of."""

from analogjax.physics.compounds.e_rider import e_rider as e_rider
from analogjax.physics.compounds.e_rider import rider as rider
from analogjax.physics.compounds.mixed_precision import MixedPrecision as MixedPrecision
from analogjax.physics.compounds.one_sided import OneSided as OneSided
from analogjax.physics.compounds.parts.buffer import StepBuffer as StepBuffer
from analogjax.physics.compounds.parts.buffer import WeightBuffer as WeightBuffer
from analogjax.physics.compounds.parts.chopper import Chopper as Chopper
from analogjax.physics.compounds.parts.chopper import PeriodicChopper as PeriodicChopper
from analogjax.physics.compounds.parts.rates import SINGLE_PULSES as SINGLE_PULSES
from analogjax.physics.compounds.parts.rates import FastRate as FastRate
from analogjax.physics.compounds.parts.rates import Writer as Writer
from analogjax.physics.compounds.parts.reader import Reader as Reader
from analogjax.physics.compounds.parts.reference import RunningMean as RunningMean
from analogjax.physics.compounds.parts.schedule import Schedule as Schedule
from analogjax.physics.compounds.parts.transfer import Transfer as Transfer
from analogjax.physics.compounds.parts.warm_start import WarmStart as WarmStart
from analogjax.physics.compounds.residual import next_array as next_array
from analogjax.physics.compounds.residual import residual as residual
from analogjax.physics.compounds.tiki_taka import agad as agad
from analogjax.physics.compounds.tiki_taka import c_ttv2 as c_ttv2
from analogjax.physics.compounds.tiki_taka import tiki_taka as tiki_taka
from analogjax.physics.compounds.tiki_taka import ttv2 as ttv2
from analogjax.physics.compounds.vector import UpdatePolicy as UpdatePolicy
from analogjax.physics.compounds.vector import Vector as Vector
