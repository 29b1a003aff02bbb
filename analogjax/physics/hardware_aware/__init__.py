"""Hardware-aware training: weights are disturbed, clipped and remapped while they are trained, inputs have a range."""

from analogjax.physics.hardware_aware.bias_column import ExceptLastColumn as ExceptLastColumn
from analogjax.physics.hardware_aware.clipping import ChannelMaxClip as ChannelMaxClip
from analogjax.physics.hardware_aware.clipping import FixedClip as FixedClip
from analogjax.physics.hardware_aware.clipping import GaussianClip as GaussianClip
from analogjax.physics.hardware_aware.clipping import WeightClip as WeightClip
from analogjax.physics.hardware_aware.discretize import Discretize as Discretize
from analogjax.physics.hardware_aware.discretize_add_normal import DiscretizeAddNormal as DiscretizeAddNormal
from analogjax.physics.hardware_aware.dorefa import Dorefa as Dorefa
from analogjax.physics.hardware_aware.drop_connect import DropConnect as DropConnect
from analogjax.physics.hardware_aware.input_range import InputRange as InputRange
from analogjax.physics.hardware_aware.modifier import WeightModifier as WeightModifier
from analogjax.physics.hardware_aware.normal import AddNormal as AddNormal
from analogjax.physics.hardware_aware.normal import MultNormal as MultNormal
from analogjax.physics.hardware_aware.pcm_noise import PCMNoise as PCMNoise
from analogjax.physics.hardware_aware.poly import Poly as Poly
from analogjax.physics.hardware_aware.prog_noise import ProgNoise as ProgNoise
from analogjax.physics.hardware_aware.range_calibration import MaxRange as MaxRange
from analogjax.physics.hardware_aware.range_calibration import MovingQuantileRange as MovingQuantileRange
from analogjax.physics.hardware_aware.range_calibration import MovingStdRange as MovingStdRange
from analogjax.physics.hardware_aware.range_calibration import QuantileRange as QuantileRange
from analogjax.physics.hardware_aware.range_calibration import RangeEstimator as RangeEstimator
from analogjax.physics.hardware_aware.remapping import ColumnwiseRemap as ColumnwiseRemap
from analogjax.physics.hardware_aware.remapping import LayerwiseRemap as LayerwiseRemap
from analogjax.physics.hardware_aware.remapping import WeightRemap as WeightRemap
