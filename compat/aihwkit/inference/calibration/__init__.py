"""Ranges that are found after training, from the data that a model sees."""

from compat.aihwkit.inference.calibration.calibration import InputRangeCalibrationType as InputRangeCalibrationType
from compat.aihwkit.inference.calibration.calibration import calibrate_input_ranges as calibrate_input_ranges
from compat.aihwkit.inference.calibration.calibration import (
    calibrate_quantization_ranges as calibrate_quantization_ranges,
)
