"""Noise that does not depend on the state."""

from typing import Any

from analogjax.physics.inference import StateIndependent
from compat.aihwkit.inference.noise.base import BaseNoiseModel
from compat.parameters import NATIVE, build, check_fields, parameters


@parameters(native=StateIndependent)
class StateIndependentNoiseModel(BaseNoiseModel):
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

    def to_native(self) -> StateIndependent:
        """The native noise model."""
        check_fields(self)
        given = {"prog_coeff": StateIndependent().prog_coeff} if self.prog_coeff is None else {}
        return build(self, StateIndependent, given)
