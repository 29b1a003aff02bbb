"""One digital factor for each chip."""

from typing import Any

from analogjax.physics.inference import GlobalCompensation
from compat.aihwkit.inference.compensation.base import BaseDriftCompensation
from compat.overrides import watched
from compat.parameters import parameters
from compat.torch_package import torch


@watched
@parameters(native=GlobalCompensation)
class GlobalDriftCompensation(BaseDriftCompensation):
    """The mean answer of a chip, read again, brings its outputs back."""

    @torch.no_grad()
    def get_readout_tensor(self, in_size: int) -> Any:
        """The unit vectors."""
        return torch.eye(in_size)

    @torch.no_grad()
    def readout(self, out_tensor: Any) -> Any:
        """The mean magnitude of all answers."""
        return out_tensor.abs().mean().clamp(min=GlobalCompensation().least)
