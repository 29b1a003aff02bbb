"""Digital factors for each chip, or for each of its outputs."""

from typing import Any

from analogjax.physics.inference import ExactReference, GlobalCompensation, PerColumnCompensation
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


@watched
@parameters(native=ExactReference)
class GlobalDriftCompensationWithExactReference(GlobalDriftCompensation):
    """The same, against what a chip without noise would answer."""

    @torch.no_grad()
    def init_baseline(self, tile: Any) -> Any:
        """The mean magnitude of the exact answers."""
        return self.readout(tile._forward_drift_readout_tensor(True, exact_reference=True))


@watched
@parameters(native=PerColumnCompensation)
class PerColumnDriftCompensation(BaseDriftCompensation):
    """One factor for each output of a chip."""

    @torch.no_grad()
    def get_readout_tensor(self, in_size: int) -> Any:
        """The unit vectors."""
        return torch.eye(in_size)

    @torch.no_grad()
    def readout(self, out_tensor: Any) -> Any:
        """The mean magnitude of the answers of each output."""
        return out_tensor.abs().mean(dim=0).clamp(min=PerColumnCompensation().least)
