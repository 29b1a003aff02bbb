"""Presets of chips that are programmed once; not simulated for torch layers."""

from compat.aihwkit.simulator.configs.absent import InferenceRPUConfig, TorchInferenceRPUConfig
from compat.parameters import parameters


@parameters()
class StandardHWATrainingPreset(InferenceRPUConfig):
    """Hardware-aware training; not simulated."""


@parameters()
class FloatingPointPreset(TorchInferenceRPUConfig):
    """A perfect tile; not simulated (`FloatingPointRPUConfig` is)."""
