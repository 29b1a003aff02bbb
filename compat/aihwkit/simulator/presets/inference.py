"""Presets of chips that are programmed once; not simulated for torch layers."""

from typing import Any

from compat.aihwkit.simulator.configs.absent import TorchInferenceRPUConfig, refuse
from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig
from compat.parameters import parameters


@parameters()
class StandardHWATrainingPreset(InferenceRPUConfig):
    """Hardware-aware training; not simulated."""

    def to_native(self) -> Any:
        """Raises `ConfigError`."""
        refuse(self)


@parameters()
class FloatingPointPreset(TorchInferenceRPUConfig):
    """A perfect tile; not simulated (`FloatingPointRPUConfig` is)."""
