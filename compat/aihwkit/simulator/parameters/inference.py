"""Drift of weights that are left alone."""

from analogjax.physics import Drift
from compat.parameters import NATIVE, View, parameters


@parameters(native=Drift)
class SimpleDriftParameter(View):
    """Power law with one exponent."""

    nu: float = NATIVE
    t_0: float = NATIVE
    reset_tol: float = NATIVE


@parameters(native=Drift)
class DriftParameter(SimpleDriftParameter):
    """Power law with spread, noise and conductance dependence; see `analogjax.physics.Drift`."""

    nu_dtod: float = NATIVE
    nu_std: float = NATIVE
    wg_ratio: float = NATIVE
    g_offset: float = NATIVE
    w_offset: float = NATIVE
    nu_k: float = NATIVE
    log_g0: float = NATIVE
    w_noise_std: float = NATIVE
