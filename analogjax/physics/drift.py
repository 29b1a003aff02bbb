r"""Power-law conductance drift of a weight that is not written.

    w(t) = w0 tau^-nu' + a (tau^-nu' - 1),   tau = max((t - t_written) / t_0, 1),   a = g_offset wg_ratio + w_offset
    nu'  = nu (1 + nu_std xi) - nu_k ln((w - w_offset) / wg_ratio + g_offset) + nu_k log_g0

`nu` varies from device to device by `nu_dtod`. A weight that changed by more than `reset_tol` since the last call
counts as written again: its drift starts over. Units: [s] time, [w] weight, [1] exponents. Reference: Karpov et al.
2007, doi:10.1063/1.2825650 (power law); Joshi et al. 2020, doi:10.1038/s41467-020-16108-9.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.random import normal


@pytree
class DriftState:
    """When and what was last programmed at each crosspoint."""

    now: Array
    """Time since the chip was made `[]`, in units of `t_0`."""
    written: Array
    """Time at which each device was last written `[O, I]`, in units of `t_0`."""
    w0: Array
    """Weight written then `[O, I]` [w]."""
    last: Array
    """Weight after the last call of drift `[O, I]` [w]."""


@pytree
class Drift:
    """Parameters of the drift law (aihwkit's `DriftParameter`). With `nu = 0` and no noise, weights do not drift."""

    nu: Scalar = 0.0
    """Mean drift exponent [1]."""
    nu_dtod: Scalar = 0.0
    """Device-to-device variation of the exponent, relative [1]."""
    nu_std: Scalar = 0.0
    """Variation of the exponent at each call, relative [1]."""
    t_0: Scalar = 1.0
    """Time after which drift is counted [s]."""
    reset_tol: Scalar = 1e-7
    """A change larger than this means that the device was written [w]."""
    wg_ratio: Scalar = 1.0
    """Weight per conductance."""
    g_offset: Scalar = 0.0
    """Offset of the conductance."""
    w_offset: Scalar = 0.0
    """Offset of the weight [w]."""
    nu_k: Scalar = 0.0
    """Dependence of the exponent on the logarithm of the conductance [1]."""
    log_g0: Scalar = 0.0
    """Logarithm of the conductance at which `nu` applies."""
    w_noise_std: Scalar = 0.0
    """Standard deviation of noise added to the weight at each call [w]."""

    def __post_init__(self) -> None:
        check_number(self, "nu", "nu_dtod", "nu_std", "g_offset", "w_offset", "nu_k", "log_g0")
        check_number(self, "reset_tol", "w_noise_std", low=0)
        check_number(self, "t_0", "wg_ratio", low=1e-30)

    def exponents(self, shape: tuple[int, int], dtype: DType, key: Key) -> Array:
        """The drift exponent of each device `[O, I]`. Consumes `key`."""
        return self.nu * (1 + self.nu_dtod * normal(key, shape, dtype))

    def begin(self, w: Array) -> DriftState:
        """The drift state of weights `w` `[O, I]` written at time 0."""
        return DriftState(now=jnp.zeros((), w.dtype), written=jnp.zeros_like(w), w0=w, last=w)

    def apply(self, nu: Array, w: Array, state: DriftState | None, dt: Scalar, key: Key) -> tuple[Array, DriftState]:
        """The weights `[O, I]` after another `dt` seconds, and the drift state for the next call. Consumes `key`."""
        k_nu, k_w = jax.random.split(key)
        state = self.begin(w) if state is None else state
        now = state.now + dt / self.t_0
        fresh = jnp.abs(state.last - w) > self.reset_tol
        drifted = self._law(nu, w, state.w0, jnp.maximum(now - state.written, 1.0), k_nu)
        new = jnp.where(fresh, w, drifted)
        if not is_off(self.w_noise_std):
            new = new + self.w_noise_std * normal(k_w, w.shape, w.dtype)
        written, w0 = jnp.where(fresh, now, state.written), jnp.where(fresh, w, state.w0)
        return new, DriftState(now=now, written=written, w0=w0, last=new)

    def _law(self, nu: Array, w: Array, w0: Array, tau: Array, key: Key) -> Array:
        if not is_off(self.nu_std):
            nu = nu * (1 + self.nu_std * normal(key, w.shape, w.dtype))
        if not is_off(self.nu_k):
            nu = nu + self.nu_k * (self.log_g0 - jnp.log((w - self.w_offset) / self.wg_ratio + self.g_offset))
        decay = tau**-nu
        a = jnp.asarray(self.g_offset * self.wg_ratio + self.w_offset)
        return w0 * decay + jnp.where(jnp.abs(a) < self.reset_tol, 0.0, a) * (decay - 1)
