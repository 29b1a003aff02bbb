r"""A learned range of inputs: what is beyond it is clipped, and the gradient of the loss moves it.

    u = clip(x, +-r) / r,    y = r V(u)
    dr = sum min([x >= r] dx, 0) - sum max([x <= -r] dx, 0)           dx: gradient at the input
         times r gradient_scale                                       if gradient_relative
         minus (1 - f_out) r    where f_out < output_min_percentage   if manage_output_clipping
         plus decay r           where f_in > input_min_percentage

`f_in` is the fraction of inputs within `+-r`, `f_out` that of outputs that the ADC did not clip. Only a clipped input
that would rather be larger counts, so the range grows where that helps, and decays where little is clipped. During the
first `init_from_data` batches the range follows the data instead:

    r <- (r n + init_std_alpha std(x)) / (n + 1),    n = 0, 1, ...; batches of equal inputs are left out

Letters: `B` batch, `I` inputs. Units: [x] input, [1] relative.

Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4 (learned input ranges); Esser et al. 2020,
arXiv:1902.08153 (learned steps of quantisers).
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_number


@pytree
class InputRange:
    """How the range of inputs starts, and how it is learned (aihwkit's `InputRangeParameter`). The range itself, `[]`,
    is a parameter of the layer.

    Raises:
        ConfigError: If a value is not a finite number, or is out of its range.

    Example:
        >>> x = InputRange().limit(x, r)
    """

    init_value: Scalar = 3.0
    """The range at first [x]."""
    learn: bool = True
    """Whether the range has a gradient."""
    init_from_data: int = 100
    """Batches from which the range is taken, before it is learned; 0: none."""
    init_std_alpha: Scalar = 3.0
    """The range in standard deviations of such a batch [1]."""
    decay: Scalar = 0.001
    """Rate at which the range shrinks where little is clipped [1]."""
    input_min_percentage: Scalar = 0.95
    """It shrinks where a larger fraction of inputs is within the range [1]."""
    gradient_scale: Scalar = 1.0
    """Factor of the gradient, if relative [1]."""
    gradient_relative: bool = True
    """Whether the gradient is multiplied by the range."""
    manage_output_clipping: bool = False
    """Whether clipped outputs make the range larger."""
    output_min_percentage: Scalar = 0.95
    """They do where a smaller fraction of outputs was not clipped [1]."""

    def __post_init__(self) -> None:
        check_number(self, "init_value", "gradient_scale")
        check(self, not is_static(self.init_value) or bool(self.init_value > 0), "init_value", "needs a range above 0.")
        check_number(self, "init_from_data", "init_std_alpha", "decay", low=0)
        check(self, not isinstance(self.init_from_data, float), "init_from_data", "needs a whole number of batches.")
        check_number(self, "input_min_percentage", "output_min_percentage", low=0, high=1)

    def limit(self, x: Array, r: Array) -> Array:
        """Inputs within the range.

        Args:
            x: Inputs `[..., I]` [x].
            r: The range `[]` [x].

        Returns:
            `clip(x, +-r)` `[..., I]`. Its gradient passes to `x` as it is, also where it was clipped, and `r` gets
            `gradient`, without what clipped outputs add.
        """
        return _limited(self, x, r)

    def gradient(self, x: Array, d: Array, r: Array, unclipped: Array | float | None = None) -> Array:
        """The gradient of the range `[]`; 0 if it is not learned.

        Args:
            x: Inputs `[..., I]` [x], before or after they are clipped.
            d: Gradient of the loss at these inputs `[..., I]`.
            r: The range `[]` [x].
            unclipped: Fraction of the outputs that were not clipped; None: all, or it is not known.
        """
        if not self.learn:
            return jnp.zeros_like(r)
        above, below = jnp.where(x >= r, d, 0.0), jnp.where(x <= -r, d, 0.0)
        dr = jnp.sum(jnp.minimum(above, 0.0)) - jnp.sum(jnp.maximum(below, 0.0))
        if self.gradient_relative:
            dr = dr * r * self.gradient_scale
        if self.manage_output_clipping and unclipped is not None:
            dr = dr - jnp.where(unclipped < self.output_min_percentage, (1.0 - unclipped) * r, 0.0)
        within = jnp.mean((jnp.abs(x) < r).astype(d.dtype))
        return (dr + jnp.where(within > self.input_min_percentage, self.decay * r, 0.0)).astype(r.dtype)

    def from_data(self, x: Array, r: Array, seen: Array) -> tuple[Array, Array]:
        """The range after one more training batch, as long as it is taken from the data.

        Args:
            x: Inputs `[..., I]` [x].
            r: The range `[]` [x].
            seen: Batches that it was taken from so far `[]`.

        Returns:
            The range, and the number of batches, which stays where this one tells nothing (its inputs are equal).
        """
        std = jnp.std(x, ddof=1)
        usable = (seen < self.init_from_data) & (std > 0)  # a single input has no deviation: NaN
        new = jnp.abs((r * seen + self.init_std_alpha * std) / (seen + 1))
        return jnp.where(usable, new, r).astype(r.dtype), jnp.where(usable, seen + 1, seen)


@jax.custom_vjp
def _limited(p: InputRange, x: Array, r: Array) -> Array:
    return jnp.clip(x, -r, r)


def _limited_fwd(p: InputRange, x: Array, r: Array) -> tuple[Array, tuple]:
    return _limited(p, x, r), (p, x, r)


def _limited_bwd(kept: tuple, d: Array) -> tuple:
    p, x, r = kept
    return None, d, p.gradient(x, d, r)


_limited.defvjp(_limited_fwd, _limited_bwd)
