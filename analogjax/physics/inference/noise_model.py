r"""The `NoiseModel` protocol: weights are programmed once, then drift, and can be read at any later time.

    programmed = model.program(w, key)          once, when the chip is written
    w_t        = model.drift(programmed, t, key)    at each time, always from the same `programmed`

Drift is not a trajectory: each time is computed from the programmed state, with the exponents drawn then and with new
read noise. Weights `[O, I]` in units of the tile, [w]; time `t` after programming, [s].
"""

from typing import Protocol, runtime_checkable

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar


@pytree
class Programmed:
    """State of a chip right after programming."""

    w: Array
    """Programmed weights, without read noise `[O, I]` [w]."""
    nu: Array
    """Drift exponent of each conductance `[slices, O, I]` [1]."""


@runtime_checkable
class NoiseModel(Protocol):
    """Protocol of a material. Every model is a `@pytree`: plain numbers are compiled in, arrays are traced and can be
    swept.
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
