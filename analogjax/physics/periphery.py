r"""The noisy matrix-vector product of a crossbar with its converters, as pure functions.

One vector `x` `[I]` through the weights `W` `[O, I]`; a batch `[B, I]` is treated vector by vector:

    alpha = noise management of x                                   (dynamic input scale)
    u     = clip(q(x / (alpha rho), r_in), +-inp_bound) + inp_noise xi       (DAC)
    v     = W u + weight noise(W, u) xi                                     (crossbar)
    y     = clip(q(v + s xi, r_out), +-out_bound) * out_scale * alpha rho     (ADC)

`rho = 1, 2, 4, ...` is bound management: a vector whose output reached the ADC bound is read again, all noise drawn
afresh, with its input halved, until it fits or the input would drop below `max_bm_res` of the DAC resolution. `q(v, r)`
rounds to the grid `r` (half to even, or stochastically). Letters: `B` batch, `O` rows (outputs), `I` columns (inputs),
`xi` a standard normal for each element.

Reference: Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494; Gokmen, Onen & Haensch 2017,
doi:10.3389/fnins.2017.00538 (noise and bound management).
"""

from enum import StrEnum

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import as_choice, check, check_number
from analogjax.random import normal, uniform


class NoiseManagement(StrEnum):
    """How the input of one vector is scaled into the DAC range."""

    NONE = "None"
    ABS_MAX = "AbsMax"
    ABS_MAX_NP_SUM = "AbsMaxNPSum"
    MAX = "Max"
    CONSTANT = "Constant"
    AVERAGE_ABS_MAX = "AverageAbsMax"


class BoundManagement(StrEnum):
    """What happens when an output reaches the ADC bound."""

    NONE = "None"
    ITERATIVE = "Iterative"
    ITERATIVE_WORST_CASE = "IterativeWorstCase"


class WeightNoise(StrEnum):
    """Read noise of the weights, referred to the output."""

    NONE = "None"
    ADDITIVE_CONSTANT = "AdditiveConstant"
    PCM_READ = "PCMRead"


Frozen = dict[str, Array]  # what differs from output to output and is drawn once per chip
_ASSUMED_WMAX = 0.6  # the weight bound assumed by the worst-case input scale


@pytree
class Periphery:
    """Converters and analog noise around a crossbar, for one direction (forward or backward).

    Resolutions are steps relative to the full range; a value above 1 is the number of steps; 0 or less is "ideal".
    Bounds of 0 or less are infinite. Units: [x] normalised input, [y] normalised output, [1] relative.
    """

    is_perfect: bool = False  # the exact product times out_scale; everything else is off
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
    noise_management: NoiseManagement = NoiseManagement.ABS_MAX
    nm_thres: Scalar = 0.0  # cap of the input scale, or its value for CONSTANT [x]
    nm_decay: Scalar = 1e-3  # forgetting rate of AVERAGE_ABS_MAX, per vector [1]
    bound_management: BoundManagement = BoundManagement.ITERATIVE
    max_bm_factor: Scalar = 1000  # largest input reduction [1]
    max_bm_res: Scalar = 0.25  # coarsest effective DAC step that bound management may cause [1]
    bm_test_negative_bound: bool = True  # also watch the negative ADC bound

    def __post_init__(self) -> None:
        as_choice(self, "noise_management", NoiseManagement)
        as_choice(self, "bound_management", BoundManagement)
        as_choice(self, "w_noise_type", WeightNoise)
        check_number(self, "inp_noise", "out_noise", "out_noise_std", "w_noise", "nm_decay", "max_bm_factor", low=0)
        check_number(self, "inp_bound", "inp_res", "out_bound", "out_res", "out_scale", "nm_thres", "max_bm_res")
        managed = self.noise_management is not NoiseManagement.NONE
        check(
            self,
            not (managed and is_static(self.inp_bound) and self.inp_bound != 1),
            "inp_bound",
            "noise management scales every input into [-1, 1], so inp_bound must be 1; set it to 1, or set "
            "noise_management='None'.",
        )

    def fabricate(self, outputs: int, dtype: DType, key: Key) -> Frozen:
        """What is fixed when the chip is made: the noise std of each output `[outputs]`. Consumes `key`."""
        if is_off(self.out_noise_std) or self.is_perfect:
            return {}
        spread = 1 + self.out_noise_std * normal(key, (outputs,), dtype)
        return {"out_noise": jnp.abs(self.out_noise * spread)}


def step_of(res: Scalar, bound: Scalar) -> Scalar:
    """The converter step in units of the signal; 0 means ideal. `res` above 1 counts steps."""
    if not (is_static(res) and is_static(bound)):
        relative = jnp.where(jnp.asarray(res) > 1, 1 / jnp.asarray(res), res)
        return jnp.where(jnp.asarray(res) > 0, relative * 2 * bound, 0.0)
    if res <= 0 or bound <= 0:
        # an infinite range has no full-scale step: aihwkit keeps the step of the bound as written
        return 0.0 if res <= 0 else (1 / res if res > 1 else res) * 2 * bound
    return (1 / res if res > 1 else res) * 2 * bound


def quantise(v: Array, step: Scalar, key: Key | None) -> Array:
    """Round to the grid `step`, half to even, or stochastically if a `key` is given (which is consumed)."""
    if is_static(step) and step <= 0:
        return v
    on = jnp.asarray(step) > 0  # a traced step may turn out to be off
    grid = jnp.where(on, step, 1.0)
    level = jnp.round(v / grid) if key is None else jnp.floor(v / grid + uniform(key, v.shape).astype(v.dtype))
    return level * grid if is_static(step) else jnp.where(on, level * grid, v)


def clip(v: Array, bound: Scalar) -> Array:
    """`v` within `+-bound`; a bound of 0 or less is infinite."""
    if is_static(bound) and bound <= 0:
        return v
    limit = bound if is_static(bound) else jnp.where(jnp.asarray(bound) > 0, bound, jnp.inf)
    return jnp.clip(v, -limit, limit)


def mvm(p: Periphery, w: Array, x: Array, frozen: Frozen, key: Key, average: Array | None = None) -> Array:
    """Noisy product `[B, I] -> [B, O]` of `w` `[O, I]`. Consumes `key`.

    `average` is the running input scale before this batch, for AVERAGE_ABS_MAX (0: not yet seen any vector).
    """
    if p.is_perfect:
        return _product(w, x) * p.out_scale
    alpha = input_scale(p, x, average)
    silent = (alpha <= 0) & _is_managed(p) & (jnp.asarray(p.inp_noise) <= 0)
    alpha = jnp.where(alpha > 0, alpha, 1.0)
    if p.bound_management is BoundManagement.NONE:
        y, _ = _read(p, w, x, alpha, frozen, key)
    else:
        y = _managed_read(p, w, x, alpha, frozen, key)
    return jnp.where(silent, 0.0, y * p.out_scale)


def _product(w: Array, u: Array) -> Array:
    # full float32: tensor-core shortcuts would be a second, undeclared noise source
    return jnp.einsum("bi,oi->bo", u, w, precision=lax.Precision.HIGHEST)


def _is_managed(p: Periphery) -> bool:
    return p.noise_management is not NoiseManagement.NONE


def input_scale(p: Periphery, x: Array, average: Array | None = None) -> Array:
    """Noise management: the scale `alpha` `[B, 1]` by which each vector of `x` `[B, I]` is divided."""
    kind = p.noise_management
    one = jnp.ones((x.shape[0], 1), x.dtype)
    if kind is NoiseManagement.NONE:
        return one
    if kind is NoiseManagement.CONSTANT:
        return one * jnp.where(jnp.asarray(p.nm_thres) > 0, p.nm_thres, 1.0)
    if kind is NoiseManagement.AVERAGE_ABS_MAX:
        return average_abs_max(p, x, average)[:, None]
    if kind is NoiseManagement.MAX:
        return _cap(p, jnp.max(x, -1, keepdims=True))
    scale = _cap(p, jnp.max(jnp.abs(x), -1, keepdims=True))
    return _np_sum_scale(p, x, scale) if kind is NoiseManagement.ABS_MAX_NP_SUM else scale


def _cap(p: Periphery, scale: Array) -> Array:
    return (
        scale if is_off(p.nm_thres) else jnp.where(jnp.asarray(p.nm_thres) > 0, jnp.minimum(scale, p.nm_thres), scale)
    )


def _np_sum_scale(p: Periphery, x: Array, scale: Array) -> Array:
    """At least the scale at which even the worst case, every weight at its bound, would not clip."""
    one_sided = jnp.maximum(jnp.maximum(x, 0).sum(-1, keepdims=True), jnp.maximum(-x, 0).sum(-1, keepdims=True))
    bound = jnp.asarray(p.out_bound)
    worst = one_sided * jnp.where(bound > 0, _ASSUMED_WMAX / jnp.where(bound > 0, bound, 1.0), 1.0)
    step = jnp.asarray(step_of(p.inp_res, p.inp_bound))
    coarsest = scale / jnp.where(step > 0, step, 1.0) * p.max_bm_res
    worst = jnp.where(step > 0, jnp.minimum(worst, coarsest), worst)
    return jnp.maximum(scale, worst)


def average_abs_max(p: Periphery, x: Array, average: Array | None) -> Array:
    """The running mean `[B]` of max|x| after each vector; the very first vector initialises it."""

    def step(mean: Array, peak: Array) -> tuple[Array, Array]:
        mean = jnp.where(mean > 0, (1 - p.nm_decay) * mean + p.nm_decay * peak, peak)
        return mean, mean

    start = jnp.zeros((), x.dtype) if average is None else average.astype(x.dtype)
    return lax.scan(step, start, jnp.max(jnp.abs(x), -1))[1]


def _read(p: Periphery, w: Array, x: Array, scale: Array, frozen: Frozen, key: Key) -> tuple[Array, Array]:
    """One read with the input divided by `scale` `[B, 1]`: the output `[B, O]` and which vectors fitted `[B, 1]`."""
    k_inp, k_dac, k_w, k_out, k_adc = jax.random.split(key, 5)
    u = _dac(p, x / scale, k_dac, k_inp)
    y = _product(w, u) + _weight_noise(p, w, u, k_w)
    y, fits = _adc(p, y, frozen, k_out, k_adc)
    return y * scale, fits


def _dac(p: Periphery, u: Array, k_round: Key, k_noise: Key) -> Array:
    u = quantise(u, step_of(p.inp_res, p.inp_bound), k_round if p.inp_sto_round else None)
    u = clip(u, p.inp_bound)
    if not is_off(p.inp_noise):
        u = u + p.inp_noise * normal(k_noise, u.shape, u.dtype)
    return u if is_off(p.inp_asymmetry) else jnp.where(u < 0, u * (1 - p.inp_asymmetry), u)


def _weight_noise(p: Periphery, w: Array, u: Array, key: Key) -> Array | float:
    if p.w_noise_type is WeightNoise.NONE or is_off(p.w_noise):
        return 0.0
    if p.w_noise_type is WeightNoise.ADDITIVE_CONSTANT:
        power = jnp.sum(u * u, -1, keepdims=True)
    else:
        power = _product(jnp.abs(w), u * u)
    return p.w_noise * jnp.sqrt(power) * normal(key, (u.shape[0], w.shape[0]), u.dtype)


def _adc(p: Periphery, y: Array, frozen: Frozen, k_noise: Key, k_round: Key) -> tuple[Array, Array]:
    if not is_off(p.out_asymmetry):
        y = jnp.where(y < 0, y * (1 - p.out_asymmetry), y)
    if not is_off(p.out_noise):
        y = y + frozen.get("out_noise", p.out_noise) * normal(k_noise, y.shape, y.dtype)
    y = quantise(y, step_of(p.out_res, p.out_bound), k_round if p.out_sto_round else None)
    if is_static(p.out_bound) and p.out_bound <= 0:
        return y, jnp.ones((y.shape[0], 1), bool)
    held = clip(y, p.out_bound)
    over = held != y if p.bm_test_negative_bound else held < y
    over = over & ~jnp.isnan(y)  # reading again would not mend it
    return held, ~jnp.any(over, -1, keepdims=True)


def _managed_read(p: Periphery, w: Array, x: Array, alpha: Array, frozen: Frozen, key: Key) -> Array:
    """Bound management: read again, with a smaller input, the vectors that did not fit."""
    worst_case = p.bound_management is BoundManagement.ITERATIVE_WORST_CASE
    worst_case = worst_case and p.noise_management is not NoiseManagement.ABS_MAX_NP_SUM
    fallback = alpha
    if worst_case:
        fallback = _np_sum_scale(p, x, _cap(p, jnp.max(jnp.abs(x), -1, keepdims=True)))
        fallback = jnp.where(fallback > 0, fallback, 1.0)
    step = jnp.asarray(step_of(p.inp_res, p.inp_bound))
    limit = jnp.where(step > 0, p.max_bm_res / jnp.where(step > 0, step, 1.0), jnp.inf)

    def again(carry: tuple) -> Array:
        return ~jnp.all(carry[1])

    def read(carry: tuple) -> tuple:
        y, done, rho, base, trial = carry
        new, fits = _read(p, w, x, base * rho, frozen, jax.random.fold_in(key, trial))
        y = jnp.where(done, y, new)
        done = done | fits | (jnp.floor(rho) > p.max_bm_factor) | (rho > limit)
        restart = (trial == 0) & worst_case
        return y, done, jnp.where(restart, 1.0, 2 * rho), jnp.where(restart, fallback, base), trial + 1

    y = jnp.zeros((x.shape[0], w.shape[0]), x.dtype)
    done, rho = jnp.zeros(alpha.shape, bool), jnp.ones_like(alpha)
    return lax.while_loop(again, read, (y, done, rho, alpha, 0))[0]
