r"""Zero-shifting: finding the symmetry point of each device, the weight at which up and down steps are equal.

    w <- one pulse UP or DOWN, alternately or by chance,  N times:  E[w_{n+1} - w_n] = -dw_min G(w_n),  G(w*) = 0

with `q_up`, `q_down` the steps in units of `dw_min` and `G = (q_down - q_up) / 2`. Pulses pull a device towards its
symmetry point `w*` in proportion to its distance from it, so an error of 1 % takes a number of pulses proportional to
`1 / dw_min`. For pulses of random direction, on devices whose steps have slopes of at least `mu` and sizes of at most
`q`,

    E[(w_N - w*)^2] <= (1 - 2 dw_min mu)^N (w_0 - w*)^2 + dw_min q^2 / mu

Reference: Kim et al. 2019, arXiv:1907.10228 (zero-shifting); Xiao, Li, Wu, Gokmen & Chen 2026, arXiv:2602.21321,
theorem C.2 (the bound).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import is_whole
from analogjax.physics.device import Cells, PulsedDevice


def calibrate(
    device: PulsedDevice, pulses: Scalar, cells: Cells, state: Any, key: Key, alternating: bool = True
) -> Array:
    """Estimate the symmetry points of devices by pulsing them up and down.

    Args:
        device: A pulsed device.
        pulses: Number of pulses at each crosspoint.
        cells: Constants of the devices, from `device.fabricate`.
        state: State before the pulses, from `device.write`.
        key: Consumed. Random are the noise of the pulses, and their directions unless they alternate.
        alternating: Alternate UP and DOWN pulses; otherwise draw each direction at each crosspoint.

    Returns:
        An estimate of the symmetry points `[O, I]` [w]: the mean of the weights after the last two pulses, as a
        read sees them: with their write noise, if any.

    Raises:
        ConfigError: If the device is not pulsed.
    """
    if not isinstance(device, PulsedDevice):
        raise ConfigError(f"calibrate({type(device).__name__}): has no single pulses; give a pulsed device.")
    check_pulses(pulses)
    k_sign, k_pulse = jax.random.split(key)

    def one(n: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
        state, shape = carry[0], carry[0].w.shape
        if alternating:
            sign = jnp.full(shape, jnp.where(n % 2 == 0, 1, -1), jnp.int8)
        else:
            sign = jnp.where(jax.random.bernoulli(jax.random.fold_in(k_sign, n), 0.5, shape), 1, -1).astype(jnp.int8)
        return device.pulse(cells, state, sign, jax.random.fold_in(k_pulse, n)), state.w

    last, before = lax.fori_loop(0, jnp.asarray(pulses, jnp.int32), one, (state, state.w))
    return (last.w + before) / 2


def check_pulses(pulses: Scalar) -> None:
    """Raise `ConfigError` for a plain value that is no number of pulses; arrays and tracers pass."""
    if is_static(pulses) and not is_whole(pulses, 1):
        raise ConfigError(f"calibrate(pulses={pulses!r}): needs a whole number of 1 or more.")


def shifted(device: PulsedDevice, cells: Cells, point: Array) -> Cells:
    """The constants with the reference moved by `point` `[O, I]` [w], so that symmetry points at `point` move to 0.

    Raises `ConfigError` if the device has no reference.
    """
    if "reference" not in cells:
        raise ConfigError(
            f"{type(device).__name__}: is not read against a reference that could be moved; use SoftBoundsReference or "
            "PowStepReference."
        )
    return cells | {"reference": cells["reference"] + point}
