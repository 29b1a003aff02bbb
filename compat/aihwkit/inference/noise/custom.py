"""Noise that does not depend on the state."""

from typing import Any

from analogjax.physics.inference import SinglePair, StateIndependent
from compat.aihwkit.inference.noise.law import Law
from compat.overrides import watched
from compat.parameters import NATIVE, parameters


@watched
@parameters(native=StateIndependent)
class StateIndependentNoiseModel(Law):
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
