"""Noise models for inference: weights are programmed once, then drift, and are read with noise."""

from analogjax.physics.inference.compensation import GlobalCompensation as GlobalCompensation
from analogjax.physics.inference.conductance import Converter as Converter
from analogjax.physics.inference.conductance import SinglePair as SinglePair
from analogjax.physics.inference.fresh_chip import FreshChip as FreshChip
from analogjax.physics.inference.noise_model import NoiseModel as NoiseModel
from analogjax.physics.inference.noise_model import Programmed as Programmed
from analogjax.physics.inference.pcm import PCMLike as PCMLike
from analogjax.physics.inference.state_independent import StateIndependent as StateIndependent
