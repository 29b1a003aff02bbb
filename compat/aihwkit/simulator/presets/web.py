"""Configurations of the web composer; not simulated for torch layers."""

from compat.aihwkit.simulator.configs.absent import InferenceRPUConfig
from compat.parameters import parameters


@parameters()
class WebComposerInferenceRPUConfig(InferenceRPUConfig):
    """What the composer makes; not simulated."""


@parameters()
class OldWebComposerInferenceRPUConfig(WebComposerInferenceRPUConfig):
    """What the composer made before; not simulated."""
