"""Noise that does not depend on the state."""

from typing import Any

from analogjax.physics.inference import SinglePair, StateIndependent
from compat.aihwkit.inference.noise.power_law import PowerLaw
from compat.overrides import watched
from compat.parameters import NATIVE, parameters
from compat.torch_package import torch


@watched
@parameters(native=StateIndependent)
class StateIndependentNoiseModel(PowerLaw):
    """The generic device; see `analogjax.physics.StateIndependent`. `None` is the native default."""

    g_converter: Any = NATIVE
    g_max: Any = NATIVE
    prog_coeff: Any = None
    prog_noise_scale: float = NATIVE
    drift_nu_mean: float = NATIVE
    drift_nu_std: float = NATIVE
    drift_scale: float = NATIVE
    t_0: float = NATIVE
    read_noise_scale: float = NATIVE
    t_read: float = NATIVE

    def __post_init__(self) -> None:
        self._complete()
        self.prog_coeff = list(StateIndependent().prog_coeff) if self.prog_coeff is None else self.prog_coeff

    def _given(self) -> dict[str, Any]:
        return self._conductances(SinglePair()) | {"prog_coeff": tuple(self.prog_coeff)}

    def _spread(self, g: Any) -> Any:
        return self.prog_noise_scale * self._polynomial(g)

    def _exponents(self, g: Any) -> tuple[Any, Any]:
        one = torch.ones_like(g)
        return self.drift_scale * self.drift_nu_mean * one, self.drift_scale * self.drift_nu_std * one

    def _read_noise(self, g_prog: Any, g_now: Any) -> Any:
        return self.read_noise_scale * (g_now / self.g_max).abs()
