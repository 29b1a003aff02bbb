r"""How an update is pulsed: the settings.

Stochastic compressed pulsing: every input line `j` and every output line `i` fires at random in each of `BL` time slots
(`trains`); the device at `(i, j)` is pulsed where both fire (`counting`), DOWN if `x_j d_i > 0`, else UP. So the weight
follows `-eta d x^T` on average.

Other pulse types: STOCHASTIC draws the pulses of positive and negative x separately, which does not change the
statistics and is simulated as above; MEAN_COUNT and DETERMINISTIC_IMPLICIT compute the number of coincidences (see
`counting.computed_pulses`); NONE adds the outer product in floating point, and NONE_WITH_DEVICE clips to the bounds
after that of each sample.

Reference: Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333; Gokmen, Onen & Haensch 2017,
doi:10.3389/fnins.2017.00538 (managements).
"""

from enum import StrEnum

import jax.numpy as jnp
from jax import lax

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import as_choice, check, check_flags, check_number, is_whole


class PulseType(StrEnum):
    """How the outer product of x and d is applied to the devices."""

    NONE = "None"
    STOCHASTIC_COMPRESSED = "StochasticCompressed"
    STOCHASTIC = "Stochastic"
    NONE_WITH_DEVICE = "NoneWithDevice"
    MEAN_COUNT = "MeanCount"
    DETERMINISTIC_IMPLICIT = "DeterministicImplicit"

    @property
    def pulsed(self) -> bool:
        """Whether devices receive pulses; otherwise their weights are set."""
        return self not in (PulseType.NONE, PulseType.NONE_WITH_DEVICE)

    @property
    def counted(self) -> bool:
        """Whether the number of coincidences is computed rather than drawn."""
        return self in (PulseType.MEAN_COUNT, PulseType.DETERMINISTIC_IMPLICIT)


@pytree
class Pulses:
    """Settings of a pulsed update (aihwkit's `UpdateParameters`).

    Raises:
        ConfigError: If the pulse type is unknown, the length is not a whole number above 0, or a value is not a finite
            number.
    """

    desired_bl: int = 31
    """Length of the pulse trains [slots]; the longest one under update-bl management."""
    fixed_bl: bool = True
    """Keep that length; otherwise it grows with the learning rate where that is above desired_bl dw_min."""
    pulse_type: PulseType = PulseType.STOCHASTIC_COMPRESSED
    """How the outer product of x and d reaches the devices."""
    res: Scalar = 0.0
    """Resolution of the pulse probabilities [1]; 0: ideal."""
    sto_round: bool = False
    """Round the probabilities stochastically."""
    update_bl_management: bool = True
    """Shorten the trains of small updates; implies `update_management`."""
    update_management: bool = True
    """Balance the pulse probabilities of rows and columns."""
    um_grad_scale: Scalar = 1.0
    """Factor of max|d| inside update management [1]."""
    x_res_implicit: Scalar = 0.0
    """Resolution of x for DETERMINISTIC_IMPLICIT [1]; 0: ideal."""
    d_res_implicit: Scalar = 0.0
    """Resolution of d for DETERMINISTIC_IMPLICIT [1]; 0: ideal."""
    sequential: bool = False
    """Apply every pulse in order; otherwise pulses are counted, except for devices of few states."""

    @property
    def longest(self) -> int | None:
        """Length of the longest possible train [slots]; None: it depends on the learning rate."""
        return self.desired_bl if self.fixed_bl or self.update_bl_management else None

    def __post_init__(self) -> None:
        as_choice(self, "pulse_type", PulseType)
        check(self, is_whole(self.desired_bl, 1), "desired_bl", "needs a whole number > 0.")
        check_flags(self)
        check_number(self, "um_grad_scale", low=1e-30)
        check_number(self, "res", "x_res_implicit", "d_res_implicit")


def outer_product(x: Array, d: Array, learning_rate: Scalar) -> Array:
    """`eta sum_b d_b x_b^T` `[O, I]`, in full float32."""
    return learning_rate * jnp.einsum("bo,bi->oi", d, x, precision=lax.Precision.HIGHEST)
