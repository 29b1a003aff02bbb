"""Phase change memory."""

from typing import Any

from analogjax.physics.inference import PCMLike, SinglePair
from compat.aihwkit.inference.noise.power_law import PowerLaw
from compat.overrides import watched
from compat.parameters import NATIVE, parameters

_COEFFICIENTS = [0.26348, 1.9650, -1.1731]  # of devices of 25 uS, as in analogjax.physics.PCMLike
_REFERENCE = 25.0
_LEAST = 1e-7  # of g / g_max, before its logarithm


@watched
@parameters(native=PCMLike)
class PCMLikeNoiseModel(PowerLaw):
    """Programming noise, drift and read noise of PCM; see `analogjax.physics.PCMLike`. `None` is the native default."""

    prog_coeff: Any = NATIVE
    g_converter: Any = NATIVE
    g_max: Any = NATIVE
    t_read: float = NATIVE
    t_0: float = NATIVE
    prog_noise_scale: float = NATIVE
    read_noise_scale: float = NATIVE
    drift_scale: float = NATIVE
    prog_coeff_g_max_reference: Any = NATIVE

    def __post_init__(self) -> None:
        self._complete()
        if self.prog_coeff_g_max_reference is None:
            self.prog_coeff_g_max_reference = _REFERENCE if self.prog_coeff is None else self.g_max
        self.prog_coeff = [*_COEFFICIENTS] if self.prog_coeff is None else self.prog_coeff

    def _given(self) -> dict[str, Any]:
        usual = list(self.prog_coeff) == _COEFFICIENTS
        reference = self.prog_coeff_g_max_reference
        as_usual = reference == (_REFERENCE if usual else self.g_max)
        return self._conductances(SinglePair()) | {
            "prog_coeff": None if usual else tuple(self.prog_coeff),
            # that of other coefficients is g_max, unless said otherwise
            "prog_coeff_g_max_reference": None if as_usual else reference,
        }

    def _spread(self, g: Any) -> Any:
        return self.prog_noise_scale * (self.g_max / self.prog_coeff_g_max_reference) * self._polynomial(g)

    def _exponents(self, g: Any) -> tuple[Any, Any]:
        log = (g.abs() / self.g_max).clamp(min=_LEAST).log()
        mean, std = (0.0244 - 0.0155 * log).clamp(0.049, 0.1), (-0.0059 - 0.0125 * log).clamp(0.008, 0.045)
        return self.drift_scale * mean, self.drift_scale * std

    def _read_noise(self, g_prog: Any, g_now: Any) -> Any:
        q = (0.0088 / ((g_prog.abs() / self.g_max) ** 0.65).clamp(min=1e-3)).clamp(max=0.2)
        return self.read_noise_scale * g_now.abs() * q
