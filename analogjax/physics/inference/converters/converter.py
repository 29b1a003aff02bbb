r"""The `Converter` protocol: how weights are represented by conductances, and which converter a material uses.

    g, back = converter.conductances(w)        targets `[slices, O, I]` [uS], and what leads back
    w       = converter.weights(g, back)       of any conductances, such as programmed and drifted ones

A slice is one conductance of every weight: a pair has two. `back` is any pytree: a ratio of units, an offset, signs.
Weights `[O, I]` in units of the tile, [w].
"""

from typing import Any, Protocol

from analogjax._pytree import is_static
from analogjax._typing import Array, PyTree, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_number

LEAST = 1e-7  # of the largest weight, so that a matrix of zeros has a ratio [w]


class Converter(Protocol):
    """Protocol: how one weight is represented by conductances.

    A converter that gives different weights the same conductances has an attribute `rounds = True`: what was programmed
    can't be found again from the programmed weights, so drift starts from the conductances themselves.
    """

    @property
    def g_max(self) -> Scalar:
        """Largest programmed conductance [uS]."""
        ...

    def conductances(self, w: Array) -> tuple[Array, PyTree]:
        """Conductances `[slices, O, I]` of weights `w` `[O, I]` [uS], and whatever is needed to convert back."""
        ...

    def weights(self, g: Array, back: PyTree) -> Array:
        """The weights `[O, I]` of slices `g` `[slices, O, I]`."""
        ...


def check_range(converter: Any) -> None:
    """Check `0 <= g_min < g_max`. Raises `ConfigError`."""
    check_number(converter, "g_min", low=0)
    check_number(converter, "g_max")
    fits = not is_static((converter.g_max, converter.g_min)) or bool(converter.g_max > converter.g_min)
    check(converter, fits, "g_max", f"needs more than g_min={converter.g_min!r}.")


def check_same(g_converter: Converter | None, g_max: Scalar | None) -> None:
    """Raise `ConfigError` if a material has a converter and another largest conductance."""
    if g_converter is None or g_max is None:
        return
    if is_static((g_max, g_converter.g_max)) and g_max != g_converter.g_max:
        raise ConfigError(
            f"g_max={g_max!r} with a converter of g_max={g_converter.g_max!r}: give one of the two, or the same "
            "number to both."
        )
