r"""The noisy matrix-vector product of a crossbar with its converters, as pure functions.

One vector `x` `[I]` through the weights `W` `[O, I]`; a batch `[B, I]` is treated vector by vector:

    alpha = noise management of x                                   (dynamic input scale, `input_scale`)
    u     = clip(q(x / (alpha rho), r_in), +-inp_bound) + inp_noise xi       (DAC, `readout`)
    v     = W u + wires, offsets, weight noise(W, u) xi                      (`crossbar`)
    y     = clip(q(v + s xi, r_out), +-out_bound) * out_scale * alpha rho    (ADC, `readout`)

`rho = 1, 2, 4, ...` is bound management: a vector whose output reached the ADC bound is read again, all noise drawn
afresh, with its input halved, until it fits or the input would drop below `max_bm_res` of the DAC resolution. `q(v, r)`
rounds to the grid `r` (half to even, or stochastically). Letters: `B` batch, `O` rows (outputs), `I` columns (inputs),
`xi` a standard normal for each element.

Two passes (`mv_type`) read the negative and the positive inputs one after the other, so that a device may answer
differently to the two polarities: `v = V(W o a, min(u, 0)) + V(W, max(u, 0))`, `a = 1 + w_read_asymmetry_dtod xi` for
each device of the chip. They are summed before the ADC (PosNegSeparate) or after it (PosNegSeparateDigitalSum).

`torch_semantics` is for comparison with aihwkit's torch tile: the whole batch is read again if one of its vectors does
not fit, from half the input whatever the kind of bound management; silence is exactly 0 only where all of the batch is
silent; and a converter whose bound is negative, which makes its range infinite, keeps the step of that bound.

Products can be differentiated, straight through the converters, except where each vector has bound management of its
own: there the reads are a loop of unknown length, which has no reverse mode.

Reference: Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494; Rasch et al. 2023, doi:10.1038/s41467-023-40770-4;
Gokmen, Onen & Haensch 2017, doi:10.3389/fnins.2017.00538 (noise and bound management).
"""

from dataclasses import replace
from enum import StrEnum

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax._varying import varying_like
from analogjax.errors import ConfigError
from analogjax.physics.checks import as_choice, check, check_number
from analogjax.physics.converters import clip as clip
from analogjax.physics.converters import quantise as quantise
from analogjax.physics.converters import step_of as step_of
from analogjax.physics.crossbar import Frozen as Frozen
from analogjax.physics.crossbar import WeightNoise as WeightNoise
from analogjax.physics.crossbar import column_outputs, product
from analogjax.physics.input_scale import NoiseManagement as NoiseManagement
from analogjax.physics.input_scale import average_abs_max as average_abs_max
from analogjax.physics.input_scale import input_scale as input_scale
from analogjax.physics.input_scale import worst_case_scale
from analogjax.physics.readout import adc, dac
from analogjax.random import normal, uniform


class BoundManagement(StrEnum):
    """What happens when an output reaches the ADC bound."""

    NONE = "None"
    ITERATIVE = "Iterative"
    ITERATIVE_WORST_CASE = "IterativeWorstCase"


class MVType(StrEnum):
    """How one product is read."""

    IDEAL = "Ideal"  # the exact product times out_scale, like is_perfect
    ONE_PASS = "OnePass"
    POS_NEG_SEPARATE = "PosNegSeparate"  # two passes, summed before the ADC
    POS_NEG_SEPARATE_DIGITAL_SUM = "PosNegSeparateDigitalSum"  # two passes, summed after it
    SPLIT_MODE = "SplitMode"  # low and high bits of the input one after the other, only with `PeripheryIRDropT`
    BIT_WISE = "BitWise"  # bit by bit, likewise


_TWO_PASSES = (MVType.POS_NEG_SEPARATE, MVType.POS_NEG_SEPARATE_DIGITAL_SUM)


@pytree
class Periphery:
    """Converters and analog noise around a crossbar, for one direction (forward or backward).

    Resolutions are steps relative to the full range; a value above 1 is the number of steps; 0 or less is "ideal".
    Bounds of 0 or less are infinite. Units: [x] normalised input, [y] normalised output, [w] weight, [1] relative.
    """

    is_perfect: bool = False  # the exact product times out_scale; everything else is off
    mv_type: MVType = MVType.ONE_PASS
    inp_bound: Scalar = 1.0  # DAC range [x]; must be 1 with noise management
    inp_noise: Scalar = 0.0  # std of the noise after the DAC [x]
    inp_res: Scalar = 1 / (2**7 - 2)  # DAC step relative to 2 inp_bound [1]
    inp_sto_round: bool = False  # stochastic rounding in the DAC
    inp_asymmetry: Scalar = 0.0  # gain loss of negative inputs [1]
    out_bound: Scalar = 12.0  # ADC range [y]
    out_noise: Scalar = 0.06  # std of the output noise [y]
    out_noise_std: Scalar = 0.0  # relative spread of that std from output to output, frozen per chip [1]
    out_res: Scalar = 1 / (2**9 - 2)  # ADC step relative to 2 out_bound [1]
    out_sto_round: bool = False  # stochastic rounding in the ADC
    out_scale: Scalar = 1.0  # fixed digital gain [1]
    out_asymmetry: Scalar = 0.0  # gain loss of negative outputs [1]
    w_noise: Scalar = 0.0  # magnitude of the weight read noise [w]
    w_noise_type: WeightNoise = WeightNoise.NONE
    w_read_asymmetry_dtod: Scalar = 0.0  # spread of the devices' gain for negative inputs, two passes only [1]
    ir_drop: Scalar = 0.0  # voltage lost along the columns, 1: physical [1]
    ir_drop_g_ratio: Scalar = 1 / 0.35 / 5e-6  # conductance of a wire segment over that of the largest weight [1]
    out_nonlinearity: Scalar = 0.0  # S-shaped saturation at the bound [1]
    out_nonlinearity_std: Scalar = 0.0  # its relative spread from output to output, frozen per chip [1]
    slope_calibration: Scalar = 0.0  # fraction of the mean slope lost that is given back digitally [1]
    v_offset_std: Scalar = 0.0  # std of the voltage offset that half of the outputs have, frozen per chip [1]
    v_offset_w_min: Scalar = -1.0  # weight of the lowest conductance, 0: differential read without reference [w]
    r_series: Scalar = 0.0  # loss behind each output in proportion to its current [1/y]
    r_series_max_total: Scalar = 0.0  # the largest such loss; 0 or less: no limit [1]
    noise_management: NoiseManagement = NoiseManagement.ABS_MAX
    nm_thres: Scalar = 0.0  # cap of the input scale, or its value for CONSTANT [x]
    nm_decay: Scalar = 1e-3  # forgetting rate of AVERAGE_ABS_MAX, per vector [1]
    bound_management: BoundManagement = BoundManagement.ITERATIVE
    max_bm_factor: Scalar = 1000  # largest input reduction [1]
    max_bm_res: Scalar = 0.25  # coarsest effective DAC step that bound management may cause [1]
    bm_test_negative_bound: bool = True  # also watch the negative ADC bound
    torch_semantics: bool = False  # habits of aihwkit's torch tile, see above

    def __post_init__(self) -> None:
        for name, kind in (
            ("mv_type", MVType),
            ("noise_management", NoiseManagement),
            ("bound_management", BoundManagement),
            ("w_noise_type", WeightNoise),
        ):
            as_choice(self, name, kind)
        check_number(self, "inp_noise", "out_noise", "out_noise_std", "w_noise", "nm_decay", "max_bm_factor", low=0)
        check_number(self, "w_read_asymmetry_dtod", "ir_drop", "v_offset_std", "r_series", low=0)
        check_number(self, "out_nonlinearity", "out_nonlinearity_std", "slope_calibration", low=0)
        check_number(self, "inp_bound", "inp_res", "out_bound", "out_res", "out_scale", "nm_thres", "max_bm_res")
        check_number(self, "inp_asymmetry", "out_asymmetry", "v_offset_w_min", "r_series_max_total", "ir_drop_g_ratio")
        good = not is_static(self.ir_drop_g_ratio) or bool(self.ir_drop_g_ratio > 0)
        check(self, good, "ir_drop_g_ratio", "needs a ratio of conductances above 0.")
        managed = self.noise_management is not NoiseManagement.NONE
        check(
            self,
            not (managed and is_static(self.inp_bound) and self.inp_bound != 1),
            "inp_bound",
            "noise management scales every input into [-1, 1], so inp_bound must be 1; set it to 1, or set "
            "noise_management='None'.",
        )
        self._check_mv_type()

    def _check_mv_type(self) -> None:
        good = self.mv_type not in (MVType.SPLIT_MODE, MVType.BIT_WISE)
        check(self, good, "mv_type", "only PeripheryIRDropT reads bits one after the other; use it, or 'OnePass'.")

    @property
    def is_exact(self) -> bool:
        """Whether the product is the mathematical one."""
        return self.is_perfect or self.mv_type is MVType.IDEAL

    @property
    def ignores_silent_inputs(self) -> bool:
        """Whether an input of 0 adds nothing to any output: columns that are not read need not be computed."""
        return self.is_exact or (is_off(self.inp_noise) and is_off(self.ir_drop))

    def unmanaged(self) -> "Periphery":
        """The same converters and crossbar without noise and bound management: inputs are read once, as they are."""
        return replace(self, noise_management=NoiseManagement.NONE, bound_management=BoundManagement.NONE)

    def fabricate(self, outputs: int, dtype: DType, key: Key, *, inputs: int | None = None) -> Frozen:
        """What is fixed when the chip `[outputs, inputs]` is made, by name. Consumes `key`.

        out_noise         `[outputs]`          |out_noise (1 + out_noise_std xi)|, the std of the noise of each output
        out_nonlinearity  `[outputs]`          |1 + out_nonlinearity_std xi|, factor of the saturation of each output
        v_offset          `[outputs]`          v_offset_std xi for half of the outputs by chance, 0 for the others
        read_asymmetry    `[outputs, inputs]`  1 + w_read_asymmetry_dtod xi, gain of each device for negative inputs

        Only what is switched on is drawn. Raises `ConfigError` where `inputs` is needed and not given.
        """
        if self.is_exact:
            return {}
        frozen = {}
        if not is_off(self.out_noise_std):
            spread = 1 + self.out_noise_std * normal(key, (outputs,), dtype)
            frozen["out_noise"] = jnp.abs(self.out_noise * spread)
        # the noise keeps the key itself, so that switching on anything else makes the same chip with something added
        k_slope, k_offset, k_device = (jax.random.fold_in(key, n) for n in range(3))
        if not (is_off(self.out_nonlinearity_std) or is_off(self.out_nonlinearity)):
            frozen["out_nonlinearity"] = jnp.abs(1 + self.out_nonlinearity_std * normal(k_slope, (outputs,), dtype))
        if not is_off(self.v_offset_std):
            # aihwkit means max(std xi, 0), but its macro draws xi once to compare it and once more to return it
            k_which, k_size = jax.random.split(k_offset)
            offset = self.v_offset_std * normal(k_size, (outputs,), dtype)
            frozen["v_offset"] = jnp.where(uniform(k_which, (outputs,)) < 0.5, offset, 0.0)
        if not is_off(self.w_read_asymmetry_dtod) and self.mv_type in _TWO_PASSES:
            if inputs is None:
                raise ConfigError("fabricate(inputs=None): w_read_asymmetry_dtod is of each device; give both sizes.")
            gain = 1 + self.w_read_asymmetry_dtod * normal(k_device, (outputs, inputs), dtype)
            frozen["read_asymmetry"] = gain
        return frozen

    def read(self, w: Array, u: Array, frozen: Frozen, key: Key) -> tuple[Array, Array]:
        """One read of `u` `[B, I]`, scaled: the ADC's `[B, O]` and which vectors fitted `[B, 1]`. Consumes `key`."""
        k_inp, k_dac, k_w, k_out, k_adc = jax.random.split(key, 5)
        u = dac(self, u, k_dac, k_inp)
        if self.mv_type not in _TWO_PASSES:
            return adc(self, column_outputs(self, w, u, frozen, k_w), frozen, k_out, k_adc)
        k_w, k_out, k_adc = (jax.random.split(k) for k in (k_w, k_out, k_adc))
        negative = column_outputs(self, w * frozen.get("read_asymmetry", 1.0), jnp.minimum(u, 0), frozen, k_w[0])
        positive = column_outputs(self, w, jnp.maximum(u, 0), frozen, k_w[1])
        if self.mv_type is MVType.POS_NEG_SEPARATE:
            return adc(self, negative + positive, frozen, k_out[0], k_adc[0])
        parts = [adc(self, y, frozen, k_out[n], k_adc[n]) for n, y in enumerate((negative, positive))]
        return parts[0][0] + parts[1][0], parts[0][1] & parts[1][1]


def mvm(p: Periphery, w: Array, x: Array, frozen: Frozen, key: Key, average: Array | None = None) -> Array:
    """Noisy product `[B, I] -> [B, O]` of `w` `[O, I]`. Consumes `key`.

    `average` is the running input scale before this batch, for AVERAGE_ABS_MAX (0: not yet seen any vector).
    """
    if p.is_exact:
        return product(w, x) * p.out_scale
    alpha = input_scale(p, x, average)
    managed = p.noise_management is not NoiseManagement.NONE
    nothing = jnp.all(alpha == 0) if p.torch_semantics else alpha <= 0
    silent = nothing & managed & (jnp.asarray(p.inp_noise) <= 0)
    alpha = jnp.where(alpha > 0, alpha, 1.0)
    if p.bound_management is BoundManagement.NONE:
        y, _ = _scaled_read(p, w, x, alpha, frozen, key)
    else:
        read = _jointly_managed_read if p.torch_semantics else _managed_read
        # the reads fold what they are given: of a split key, JAX can tell that it is used again
        y = read(p, w, x, alpha, frozen, jax.random.split(key, 1)[0])
    return jnp.where(silent, 0.0, y * p.out_scale)


def _scaled_read(p: Periphery, w: Array, x: Array, scale: Array, frozen: Frozen, key: Key) -> tuple[Array, Array]:
    """One read with the input divided by `scale` `[B, 1]`: the output `[B, O]` and which vectors fitted `[B, 1]`."""
    y, fits = p.read(w, x / scale, frozen, key)
    return y * scale, fits


def _managed_read(p: Periphery, w: Array, x: Array, alpha: Array, frozen: Frozen, key: Key) -> Array:
    return _reads(p, w, x, alpha, frozen, key)[0]


@jax.custom_jvp
def _jointly_managed_read(p: Periphery, w: Array, x: Array, alpha: Array, frozen: Frozen, key: Key) -> Array:
    return _reads(p, w, x, alpha, frozen, key)[0]


@_jointly_managed_read.defjvp
def _last_read_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """Of all reads only the last one, which is that of the whole batch, has a derivative."""
    p, w, x, alpha, frozen, key = primals
    _, rho, trials = _reads(p, w, x, alpha, frozen, key)
    last = jax.random.fold_in(key, trials - 1)

    def read(p: Periphery, w: Array, x: Array, alpha: Array, frozen: Frozen) -> Array:
        return _scaled_read(p, w, x, alpha * (rho / 2), frozen, last)[0]

    return jax.jvp(read, tuple(primals[:-1]), tuple(tangents[:-1]))


def _reads(p: Periphery, w: Array, x: Array, alpha: Array, frozen: Frozen, key: Key) -> tuple[Array, Array, Array]:
    """Bound management: read again, with a smaller input, the vectors that did not fit; read `n` folds `n` into `key`.

    Also twice the last factor `rho` `[B, 1]` and how many reads it took.
    """
    worst_case = p.bound_management is BoundManagement.ITERATIVE_WORST_CASE
    worst_case = worst_case and p.noise_management is not NoiseManagement.ABS_MAX_NP_SUM and not p.torch_semantics
    fallback = worst_case_scale(p, x) if worst_case else alpha
    step = jnp.asarray(step_of(p.inp_res, p.inp_bound))
    limit = jnp.where(step > 0, p.max_bm_res / jnp.where(step > 0, step, 1.0), jnp.inf)

    def again(carry: tuple) -> Array:
        return ~jnp.all(carry[1])

    def read(carry: tuple) -> tuple:
        y, done, rho, base, trial = carry
        new, fits = _scaled_read(p, w, x, base * rho, frozen, jax.random.fold_in(key, trial))
        fits = jnp.broadcast_to(jnp.all(fits), fits.shape) if p.torch_semantics else fits
        y = jnp.where(done, y, new)
        done = done | fits | (jnp.floor(rho) > p.max_bm_factor) | (rho > limit)
        restart = (trial == 0) & worst_case
        return y, done, jnp.where(restart, 1.0, 2 * rho), jnp.where(restart, fallback, base), trial + 1

    y = jnp.zeros((x.shape[0], w.shape[0]), x.dtype)
    done, rho = jnp.zeros(alpha.shape, bool), jnp.ones_like(alpha)
    start = varying_like((y, done, rho, alpha), (p, w, x, alpha, frozen, key))
    y, _, rho, _, trials = lax.while_loop(again, read, (*start, jnp.int32(0)))
    return y, rho, trials
