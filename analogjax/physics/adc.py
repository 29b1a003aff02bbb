r"""The amplifier and the analog-to-digital converter (ADC) at each output of a crossbar.

    y <- f y / (1 + n_i |y|),     n_i = |nonlinearity / b (1 + nonlinearity_std xi_i)|            (amplifier)
         f = (1 + (mean n + rho) slope_calibration b)^2
    y <- y (1 - asymmetry) where negative,     y <- clip(q(y + s_i xi, r), +-bound),   r = 2 res bound       (ADC)
         s_i = |noise (1 + noise_std xi_i)|

`b` is the bound, or 1 where that is infinite; `rho` is the loss by series resistance in the crossbar, which calibration
compensates as well; `xi_i` is drawn once for each output of a chip, `xi` for each element at each read. Letters: `B`
batch, `O` outputs. Units: [y] normalised output, [1] relative.

Reference: Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494; Rasch et al. 2023, doi:10.1038/s41467-023-40770-4
(S-shaped saturation and its calibration).
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check_flags, check_number
from analogjax.physics.converters import clip, quantise, step_of
from analogjax.physics.crossbar import Frozen
from analogjax.random import normal


@pytree
class ADC:
    """Analog-to-digital converter, with the noise and the amplifier in front of it.

    Raises:
        ConfigError: If a value is not a finite number, or is negative where it must not be.
    """

    bound: Scalar = 12.0
    """The output is clipped to +-bound [y]; 0 or less: not at all."""
    res: Scalar = 1 / (2**9 - 2)
    """Step relative to the full range 2 bound [1]; above 1: number of steps; 0 or less: ideal."""
    sto_round: bool = False
    """Round stochastically instead of half to even."""
    noise: Scalar = 0.06
    """Standard deviation of the output noise [y]."""
    noise_std: Scalar = 0.0
    """Relative spread of that deviation from output to output, frozen per chip [1]."""
    scale: Scalar = 1.0
    """Digital gain behind the converter [1]."""
    asymmetry: Scalar = 0.0
    """Gain that negative outputs lose [1]."""
    nonlinearity: Scalar = 0.0
    """S-shaped saturation at the bound [1]."""
    nonlinearity_std: Scalar = 0.0
    """Its relative spread from output to output, frozen per chip [1]."""
    slope_calibration: Scalar = 0.0
    """Fraction of the mean slope lost that is given back digitally [1]."""
    flags_negative: bool = True
    """Whether an output that reaches the negative bound counts as clipped, and is read again."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "noise", "noise_std", "nonlinearity", "nonlinearity_std", "slope_calibration", low=0)
        check_number(self, "bound", "res", "scale", "asymmetry")

    def fabricate(self, outputs: int, dtype: DType, key: Key) -> Frozen:
        """Draw the constants of each output of a chip, for the effects that are enabled. Consumes `key` and its child
        0.

        out_noise         `[outputs]`  |noise (1 + noise_std xi)|, standard deviation of the noise [y]
        out_nonlinearity  `[outputs]`  |1 + nonlinearity_std xi|, factor of the saturation [1]
        """
        frozen = {}
        if not is_off(self.noise_std):
            spread = 1 + self.noise_std * normal(key, (outputs,), dtype)
            frozen["out_noise"] = jnp.abs(self.noise * spread)
        if not (is_off(self.nonlinearity_std) or is_off(self.nonlinearity)):
            xi = normal(jax.random.fold_in(key, 0), (outputs,), dtype)
            frozen["out_nonlinearity"] = jnp.abs(1 + self.nonlinearity_std * xi)
        return frozen

    def convert(
        self, y: Array, frozen: Frozen, k_noise: Key, k_round: Key, series_loss: Scalar = 0.0
    ) -> tuple[Array, Array]:
        """Digital outputs before the gain `[B, O]` of analog outputs `y` `[B, O]`, and which vectors were in range `[B,
        1]`.

        `series_loss` is the loss by series resistance in the crossbar [1/y]. Consumes the keys.
        """
        y = self._amplified(y, frozen, series_loss)
        if not is_off(self.asymmetry):
            y = jnp.where(y < 0, y * (1 - self.asymmetry), y)
        if not is_off(self.noise):
            y = y + frozen.get("out_noise", self.noise) * normal(k_noise, y.shape, y.dtype)
        y = quantise(y, step_of(self.res, self.bound), k_round if self.sto_round else None)
        if is_static(self.bound) and self.bound <= 0:
            return y, jnp.ones((y.shape[0], 1), bool)
        held = clip(y, self.bound)
        over = held != y if self.flags_negative else held < y
        over = over & ~jnp.isnan(y)  # reading again would not help
        return held, ~jnp.any(over, -1, keepdims=True)

    def _amplified(self, y: Array, frozen: Frozen, series_loss: Scalar) -> Array:
        """`y` after the S-shaped saturation, with its mean slope restored by calibration."""
        if is_off(self.nonlinearity) and is_off(self.slope_calibration):
            return y
        full = self._full_range
        n = jnp.abs(self.nonlinearity / full) * frozen.get("out_nonlinearity", 1.0)
        y = y / (1 + jnp.abs(n * y))
        if is_off(self.slope_calibration):
            return y
        return y * (1 + (jnp.mean(n) + series_loss) * self.slope_calibration * full) ** 2

    @property
    def _full_range(self) -> Scalar:
        if is_static(self.bound):
            return self.bound if self.bound > 0 else 1.0
        return jnp.where(self.bound > 0, self.bound, 1.0)
