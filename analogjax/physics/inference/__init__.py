"""Inference on chips: weights are programmed once, then drift, and are read with noise."""

from analogjax.physics.inference.compensations import Compensation as Compensation
from analogjax.physics.inference.compensations import ExactReference as ExactReference
from analogjax.physics.inference.compensations import GlobalCompensation as GlobalCompensation
from analogjax.physics.inference.compensations import PerColumnCompensation as PerColumnCompensation
from analogjax.physics.inference.converters import Converter as Converter
from analogjax.physics.inference.converters import CustomPairs as CustomPairs
from analogjax.physics.inference.converters import Fusion as Fusion
from analogjax.physics.inference.converters import Levels as Levels
from analogjax.physics.inference.converters import NPairs as NPairs
from analogjax.physics.inference.converters import SingleDevice as SingleDevice
from analogjax.physics.inference.converters import SinglePair as SinglePair
from analogjax.physics.inference.drift_table import DriftTable as DriftTable
from analogjax.physics.inference.fresh_chip import FreshChip as FreshChip
from analogjax.physics.inference.hermes import Hermes as Hermes
from analogjax.physics.inference.material import Material as Material
from analogjax.physics.inference.noise_model import NoiseModel as NoiseModel
from analogjax.physics.inference.noise_model import Programmed as Programmed
from analogjax.physics.inference.optimise import TableSearch as TableSearch
from analogjax.physics.inference.optimise import optimise_programming as optimise_programming
from analogjax.physics.inference.pcm import PCMLike as PCMLike
from analogjax.physics.inference.reram_cmo import ReRAMCMO as ReRAMCMO
from analogjax.physics.inference.reram_wan import ReRAMWan2022 as ReRAMWan2022
from analogjax.physics.inference.state_independent import StateIndependent as StateIndependent
from analogjax.physics.inference.write_verify import WriteVerify as WriteVerify
