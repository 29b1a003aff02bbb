r"""How a logical weight matrix is mapped to chips: output scales, and splitting into tiles of limited size.

`weight_scaling_omega > 0` maps the largest |weight| (of the matrix, or of each row) to that device weight:
`alpha = max|W| / omega`; the tile holds `W / alpha` and its output is multiplied by `alpha`. A matrix larger than
`max_output_size x max_input_size` is split into nearly equal parts (784 columns at 512: 392 + 392). Each part is a chip
with its own converters; the outputs of the chips of one row are added digitally.
"""

import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_flags, check_number, is_whole


@pytree
class Mapping:
    """How a logical matrix is mapped to chips (aihwkit's `MappingParameter`)."""

    digital_bias: bool = True
    """Add the bias digitally; otherwise it is one more column of devices, fed with 1."""
    weight_scaling_omega: Scalar = 0.0
    """Device weight to which the largest logical weight is mapped [w]; 0: no rescaling."""
    weight_scaling_columnwise: bool = False
    """Use one output scale per row instead of one per tile."""
    weight_scaling_lr_compensation: bool = False
    """Move the mean output scale from the error to the learning rate."""
    learn_out_scaling: bool = False
    """Train a digital output scale."""
    out_scaling_columnwise: bool = False
    """Train one output scale per output instead of one per layer."""
    max_input_size: int = 512
    """Largest number of columns of one chip; 0: unlimited."""
    max_output_size: int = 512
    """Largest number of rows of one chip; 0: unlimited."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "weight_scaling_omega", low=0)
        for name in ("max_input_size", "max_output_size"):
            check(self, is_whole(getattr(self, name), 0), name, "needs a whole number, 0 for no limit.")

    def scale_for(self, w: Array) -> Array:
        """The output scale `alpha` for logical weights `w` `[O, I]`: `[]`, or `[O]` if columnwise."""
        if is_off(self.weight_scaling_omega):
            return jnp.ones((), w.dtype)
        top = jnp.max(jnp.abs(w), -1) if self.weight_scaling_columnwise else jnp.max(jnp.abs(w))
        omega = jnp.asarray(self.weight_scaling_omega)
        return jnp.where((top > 0) & (omega > 0), top / jnp.where(omega > 0, omega, 1.0), 1.0)

    def rate_scale(self, scale: Array) -> Array | float:
        """Factor of the learning rate for an output scale; the error is divided by the same factor."""
        return 1 / jnp.mean(scale) if self.weight_scaling_lr_compensation else 1.0

    def grid(self, outputs: int, inputs: int) -> tuple[int, int]:
        """Chips along rows and columns."""
        return _parts(outputs, self.max_output_size), _parts(inputs, self.max_input_size)


def _parts(size: int, limit: int) -> int:
    return 1 if limit == 0 else -(-size // limit)
