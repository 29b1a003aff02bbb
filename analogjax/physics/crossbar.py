r"""The crossbar between the converters: passes, wires, offsets, series resistance, weight noise.

Signals `u` `[B, I]` after the DAC, weights `W` `[O, I]`; `xi` is a standard normal of each element, drawn at each read.

    y_i  = sum_j w_ij u_j
    y_i -= ir_drop c_i sum_j w_ij u_j (1 - (1 - j/I)^2),    a_i = I / ir_drop_g_ratio sum_j |w_ij| |u_j|,
           c = a (a (0.05 a - 0.2) + 0.5)                                    (column-wise IR drop, j = 0 .. I-1)
    y_i <- (1 - v_i) L(y_i + g) - (1 + v_i) L(g),    g = -v_offset_w_min sum_j u_j,    L(z) = z / (1 + min(rho |z|, M))
                                           (offsets v_i of the integrators, rho = r_series, M = r_series_max_total)
    y_i += w_noise |u| xi                  (AdditiveConstant)     or     w_noise sqrt(sum_j |w_ij| u_j^2) xi   (PCMRead)

Two passes (`mv_type`) apply the negative and the positive signals one after the other, so that a device may respond
differently to the two polarities: `y = Y(W o a, min(u, 0)) + Y(W, max(u, 0))`, `a = 1 + w_read_asymmetry_dtod xi` for
each device of the chip. They are summed before the ADC (PosNegSeparate) or after it (PosNegSeparateDigitalSum).

Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4 (the crossbar model of these terms); Joshi et al. 2020,
doi:10.1038/s41467-020-16108-9 (read noise of phase change memory).
"""

from enum import StrEnum
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import as_choice, check, check_number
from analogjax.physics.dac import DAC
from analogjax.random import normal, uniform

Frozen = dict[str, Array]  # what is drawn once per chip, by name
Conversions = list[tuple[int, Array]]  # what the ADCs convert one after the other, [B, O], and its factor in the sum


class WeightNoise(StrEnum):
    """Read noise of the weights, referred to the output."""

    NONE = "None"
    ADDITIVE_CONSTANT = "AdditiveConstant"
    PCM_READ = "PCMRead"


class MVType(StrEnum):
    """How the inputs of a product are applied: in one pass, or separately by sign."""

    ONE_PASS = "OnePass"
    POS_NEG_SEPARATE = "PosNegSeparate"  # two passes, summed before the ADC
    POS_NEG_SEPARATE_DIGITAL_SUM = "PosNegSeparateDigitalSum"  # two passes, summed after it
    SPLIT_MODE = "SplitMode"  # low and high bits of the input one after the other, only of a `TimedCrossbar`
    BIT_WISE = "BitWise"  # bit by bit, likewise


@runtime_checkable
class Circuit(Protocol):
    """Protocol: everything between the DACs and the ADCs; a pytree of its own parameters."""

    @property
    def ir_drop(self) -> Scalar:
        """Voltage drop along the wires [1]; if it is the number 0, a column with signal 0 changes no output."""

    @property
    def series_loss(self) -> Scalar:
        """Relative loss per output by series resistance, which slope calibration restores [1/y]."""

    def check(self, dac: DAC) -> None:
        """Raise `ConfigError` if the circuit can't be driven by such a converter."""

    def fabricate(self, outputs: int, inputs: int | None, dtype: DType, key: Key) -> Frozen:
        """Draw the constants of a chip. Consumes children 1 and 2 of `key`."""

    def columns(self, dac: DAC, w: Array, u: Array, frozen: Frozen, key: Key) -> Conversions:
        """Analog outputs for weights `w` `[O, I]` and DAC outputs `u` `[B, I]`. Consumes `key`."""


def product(w: Array, u: Array) -> Array:
    """The exact product `[B, O]`."""
    # full float32: tensor-core shortcuts would be a second, undeclared noise source
    return jnp.einsum("bi,oi->bo", u, w, precision=lax.Precision.HIGHEST)


@pytree
class Crossbar:
    """Crossbar with voltages as inputs; every effect is a separate term, referred to the output.

    Raises:
        ConfigError: If a value is unknown, not a finite number, or negative where it must not be.
    """

    mv_type: MVType = MVType.ONE_PASS
    """'OnePass', 'PosNegSeparate' or 'PosNegSeparateDigitalSum'."""
    w_noise: Scalar = 0.0
    """Magnitude of the weight read noise [w]."""
    w_noise_type: WeightNoise = WeightNoise.NONE
    """How it grows with the inputs; 'None': there is none."""
    w_read_asymmetry_dtod: Scalar = 0.0
    """Device-to-device spread of the gain for negative inputs, two passes only [1]."""
    ir_drop: Scalar = 0.0
    """Voltage lost along the columns; 1: physical [1]."""
    ir_drop_g_ratio: Scalar = 1 / 0.35 / 5e-6
    """Conductance of a wire segment over that of the largest weight [1]."""
    v_offset_std: Scalar = 0.0
    """Deviation of the voltage offset that half of the outputs have, frozen per chip [1]."""
    v_offset_w_min: Scalar = -1.0
    """Weight of the lowest conductance; 0: differential read without reference [w]."""
    r_series: Scalar = 0.0
    """Loss behind each output in proportion to its current [1/y]."""
    r_series_max_total: Scalar = 0.0
    """The largest such loss; 0 or less: no limit [1]."""

    def __post_init__(self) -> None:
        as_choice(self, "mv_type", MVType)
        as_choice(self, "w_noise_type", WeightNoise)
        good = self.mv_type not in (MVType.SPLIT_MODE, MVType.BIT_WISE)
        check(self, good, "mv_type", "only a TimedCrossbar reads bits one after the other; use it, or 'OnePass'.")
        check_number(self, "w_noise", "w_read_asymmetry_dtod", "ir_drop", "v_offset_std", "r_series", low=0)
        check_number(self, "v_offset_w_min", "r_series_max_total", "ir_drop_g_ratio")
        silent = self.w_noise_type is WeightNoise.NONE and is_static(self.w_noise) and self.w_noise > 0
        check(self, not silent, "w_noise", "needs a w_noise_type: 'AdditiveConstant' or 'PCMRead'.")
        good = not is_static(self.ir_drop_g_ratio) or bool(self.ir_drop_g_ratio > 0)
        check(self, good, "ir_drop_g_ratio", "needs a ratio of conductances above 0.")

    @property
    def series_loss(self) -> Scalar:
        """Relative loss per output by series resistance [1/y]."""
        return self.r_series

    def check(self, dac: DAC) -> None:
        """Accept any converter."""

    def fabricate(self, outputs: int, inputs: int | None, dtype: DType, key: Key) -> Frozen:
        """Draw the constants of the devices and outputs of a chip, for the effects that are enabled. Consumes children
        of `key`.

        v_offset        `[outputs]`          v_offset_std xi for a random half of the outputs, 0 for the others [1]
        read_asymmetry  `[outputs, inputs]`  1 + w_read_asymmetry_dtod xi, gain of each device for negative inputs [1]

        Raises `ConfigError` if `inputs` is needed and not given.
        """
        frozen = {}
        if not is_off(self.v_offset_std):
            # aihwkit means max(std xi, 0), but its macro draws xi once to compare it and once more to return it
            k_which, k_size = jax.random.split(jax.random.fold_in(key, 1))
            offset = self.v_offset_std * normal(k_size, (outputs,), dtype)
            frozen["v_offset"] = jnp.where(uniform(k_which, (outputs,)) < 0.5, offset, 0.0)
        if not is_off(self.w_read_asymmetry_dtod) and self.mv_type is not MVType.ONE_PASS:
            if inputs is None:
                raise ConfigError("fabricate(inputs=None): w_read_asymmetry_dtod is of each device; give both sizes.")
            xi = normal(jax.random.fold_in(key, 2), (outputs, inputs), dtype)
            frozen["read_asymmetry"] = 1 + self.w_read_asymmetry_dtod * xi
        return frozen

    def columns(self, dac: DAC, w: Array, u: Array, frozen: Frozen, key: Key) -> Conversions:
        """Analog outputs for weights `w` `[O, I]` and DAC outputs `u` `[B, I]`. Consumes `key`."""
        if self.mv_type is MVType.ONE_PASS:
            return [(1, self._one_pass(w, u, frozen, key))]
        k_negative, k_positive = jax.random.split(key)
        negative = self._one_pass(w * frozen.get("read_asymmetry", 1.0), jnp.minimum(u, 0), frozen, k_negative)
        positive = self._one_pass(w, jnp.maximum(u, 0), frozen, k_positive)
        if self.mv_type is MVType.POS_NEG_SEPARATE:
            return [(1, negative + positive)]
        return [(1, negative), (1, positive)]

    def _one_pass(self, w: Array, u: Array, frozen: Frozen, key: Key) -> Array:
        y = product(w, u)
        if not is_off(self.ir_drop):
            y = y - self.ir_drop * self._voltage_lost(w, u)
        if not (is_off(self.v_offset_std) and is_off(self.r_series)):
            y = self._with_offset(y, u, frozen.get("v_offset", 0.0))
        return y + self._weight_noise(w, u, key)

    def _voltage_lost(self, w: Array, u: Array) -> Array:
        """Voltage loss along the wires of an average column `[B, O]`: a cubic fit, in its load, of the circuit."""
        n = w.shape[1]
        load = (n / self.ir_drop_g_ratio) * product(jnp.abs(w), jnp.abs(u))
        depth = 1 - (1 - jnp.arange(n, dtype=u.dtype) / n) ** 2  # how much of the wire the current of input j shares
        return load * (load * (0.05 * load - 0.2) + 0.5) * product(w, u * depth)

    def _with_offset(self, y: Array, u: Array, v: Array | float) -> Array:
        if is_static(self.v_offset_w_min) and self.v_offset_w_min == 0:
            return (1 - v) * self._loaded(y)
        g = -self.v_offset_w_min * jnp.sum(u, -1, keepdims=True)
        if is_off(self.r_series):
            return (1 - v) * y - 2 * v * g  # the same, without taking a small difference of large numbers
        return (1 - v) * self._loaded(y + g) - (1 + v) * self._loaded(g)

    def _loaded(self, y: Array) -> Array:
        """`y` after the series resistance of the peripheral circuit."""
        if is_off(self.r_series):
            return y
        loss = self.r_series * jnp.abs(y)
        if not (is_static(self.r_series_max_total) and self.r_series_max_total <= 0):
            most = jnp.asarray(self.r_series_max_total)
            loss = jnp.minimum(loss, jnp.where(most > 0, most, jnp.inf))
        return y / (1 + loss)

    def _weight_noise(self, w: Array, u: Array, key: Key) -> Array | float:
        if self.w_noise_type is WeightNoise.NONE or is_off(self.w_noise):
            return 0.0
        if self.w_noise_type is WeightNoise.ADDITIVE_CONSTANT:
            power = jnp.sum(u * u, -1, keepdims=True)
        else:
            power = product(jnp.abs(w), u * u)
        return self.w_noise * jnp.sqrt(power) * normal(key, (u.shape[0], w.shape[0]), u.dtype)
