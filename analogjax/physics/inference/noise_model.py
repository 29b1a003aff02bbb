r"""The `NoiseModel` protocol: weights are programmed once, then drift, and can be read at any later time.

    programmed = model.program(w, key)          once, when the chip is written
    w_t        = model.drift(programmed, t, key)    at each time, always from the same `programmed`

Drift is not a trajectory: each time is computed from the programmed state, with what was drawn then and with new read
noise. Weights `[O, I]` in units of the tile, [w]; time `t` after programming, [s]. Materials that are described device
by device need only three methods: see `material`.
"""

import math
from typing import Any, Protocol, runtime_checkable

import jax

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.errors import ConfigError


@pytree
class Programmed:
    """State of a chip right after programming."""

    w: Array
    """Programmed weights, without read noise `[O, I]` [w]."""
    memory: PyTree = None
    """What the material needs later: drift exponents of each conductance `[slices, O, I]`, targets, or nothing."""
    kept: PyTree = None
    """Programmed conductances `[slices, O, I]` and what converts them back; None if drift starts from the weights."""


@runtime_checkable
class NoiseModel(Protocol):
    """Protocol of a material. Every model is a `@pytree`: plain numbers are compiled in, arrays are traced and can be
    swept.

    A model that knows only certain times lists them in an attribute `known_times` [s]; others are refused.
    """

    def program(self, w: Array, key: Key) -> Programmed:
        """Program weights.

        Args:
            w: Target weights `[O, I]` [w].
            key: Consumed. Random are the programming noise and the drift exponents of this chip.

        Returns:
            The programmed state, to be given to `drift`.
        """
        ...

    def drift(self, programmed: Programmed, t: Scalar, key: Key) -> Array:
        """Return the weights as one read sees them at a later time.

        Args:
            programmed: The state right after programming.
            t: Time since programming [s].
            key: Consumed. Random is the read noise.

        Returns:
            The weights `[O, I]` [w].
        """
        ...


def check_time(model: Any, t: Scalar, where: str) -> None:
    """Raise `ConfigError` if a plain time is negative, or none of those that the model knows."""
    if not isinstance(t, jax.core.Tracer) and getattr(t, "ndim", 0) > 0:
        raise ConfigError(f"{where}(t={t!r}): needs one time; use jax.vmap, or evaluate(times=...), for several.")
    if isinstance(t, jax.core.Tracer) or not (is_static(t) or getattr(t, "ndim", 1) == 0):
        return
    if not (isinstance(t, (int, float)) or hasattr(t, "dtype")) or isinstance(t, bool) or not 0 <= t < math.inf:
        raise ConfigError(f"{where}(t={t!r}): needs a finite time in seconds after programming, 0 or more.")
    known = getattr(model, "known_times", None)
    if known is not None and not any(abs(t - one) <= TIME_TOLERANCE * one for one in known):
        listed = ", ".join(f"{one:g}" for one in known)
        raise ConfigError(f"{where}(t={t!r}): {type(model).__name__} is known at {listed} s only; give one of these.")


TIME_TOLERANCE = 1e-6
"""Relative difference of two times that are the same: rounding of float32."""
