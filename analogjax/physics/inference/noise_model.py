r"""What a noise model of inference is: weights are programmed once, then drift, and are read at any later time.

    programmed = model.program(w, key)          once, when the chip is written
    w_t        = model.drift(programmed, t, key)    at each time, always from the same `programmed`

Drift is no trajectory: each time is computed afresh from what was programmed, with the exponents drawn then, and with
read noise of its own. Weights `[O, I]` in units of the tile, [w]; time `t` after programming, [s].
"""

from typing import Protocol, runtime_checkable

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar


@pytree
class Programmed:
    """What is on a chip after programming."""

    w: Array
    """Programmed weights, without read noise `[O, I]` [w]."""
    nu: Array
    """Drift exponent of each conductance `[slices, O, I]` [1]."""


@runtime_checkable
class NoiseModel(Protocol):
    """A material. Every model is a `@pytree`: plain numbers are compiled in, arrays are traced and may be swept."""

    def program(self, w: Array, key: Key) -> Programmed:
        """Write `w` `[O, I]`: programming noise, and the drift exponents of this chip. Consumes `key`."""
        ...

    def drift(self, programmed: Programmed, t: Scalar, key: Key) -> Array:
        """The weights `[O, I]` as one read sees them `t` seconds after programming. Consumes `key`."""
        ...
