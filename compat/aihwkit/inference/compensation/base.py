"""What compensations have in common."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.overrides import is_plain, watched, what_is_own
from compat.parameters import View
from compat.torch_package import torch


@watched
class BaseDriftCompensation(View):
    """A digital factor against drift; a subclass has `readout()` and `get_readout_tensor()`, called with tensors."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    @torch.no_grad()
    def init_baseline(self, tile: Any) -> Any:
        """What is read right after programming."""
        return self.readout(tile._forward_drift_readout_tensor(True, exact_reference=False))

    def get_readout_tensor(self, in_size: int) -> Any:
        """The inputs `[N, in_size]` that a chip is asked with."""
        raise NotImplementedError(f"{type(self).__name__} must define get_readout_tensor().")

    def readout(self, out_tensor: Any) -> Any:
        """One number, or one for each output, of the answers `[N, O]`."""
        raise NotImplementedError(f"{type(self).__name__} must define readout().")

    @torch.no_grad()
    def apply(self, forward_output: Any, ref_value: Any) -> Any:
        """The factor of the outputs, for the answers `[N, O]` of today and the baseline."""
        return ref_value / self.readout(forward_output)

    def to_native(self) -> Any:
        """One of `analogjax.physics.inference`. Raises `ConfigError` where a method of its own has no such form."""
        if not is_plain(self):
            raise ConfigError(f"{what_is_own(self)}, which can't be compiled: it works with torch tensors only.")
        return super().to_native()
