"""Converters and noise: each stage against its equation, with the other stages off."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import ADC, DAC, BoundManagement, NoiseManagement, Periphery
from analogjax.physics.converters import quantise, step_of
from analogjax.physics.noise_management import Limits, worst_case
from analogjax.physics.periphery import mvm
from tests.physics.parts import B, I, O, off, product, reads, run, with_field
from tests.tolerance import assert_close, assert_mean, assert_std

N = 4096
NO_LIMITS = Limits(out_bound=12.0, reduction=jnp.float32(jnp.inf))


def test_everything_off_is_the_product(w, x, key):
    assert_close(run(off(), w, x, {}, key), product(w, x))
    assert_close(run(Periphery(adc=ADC(scale=2.0), is_perfect=True), w, x, {}, key), 2 * product(w, x))


def test_out_scale_multiplies_at_the_end(w, x, key):
    assert_close(run(off(adc={"scale": 3.0}), w, x, {}, key), 3 * product(w, x))


def test_dac_rounds_half_to_even_and_clips(key):
    p, w = off(dac={"res": 0.25, "bound": 1.0}), jnp.eye(6)  # step 0.25 * 2 * 1 = 0.5
    x = jnp.array([[0.25, 0.75, 0.3, -0.25, 5.0, -1.3]])
    np.testing.assert_array_equal(run(p, w, x, {}, key), [[0.0, 1.0, 0.5, 0.0, 1.0, -1.0]])


def test_adc_rounds_half_to_even_and_clips(key):
    p, w = off(adc={"res": 0.25, "bound": 2.0}), jnp.eye(6)  # step 0.25 * 2 * 2 = 1
    x = jnp.array([[0.5, 1.5, 0.6, -0.5, 5.0, -2.3]])
    np.testing.assert_array_equal(run(p, w, x, {}, key), [[0.0, 2.0, 1.0, 0.0, 2.0, -2.0]])


def test_resolution_above_one_counts_steps(w, x, key):
    for name, bound in (("dac", 1.0), ("adc", 2.0)):
        few, same = (run(off(**{name: {"res": res, "bound": bound}}), w, x, {}, key) for res in (16, 1 / 16))
        np.testing.assert_array_equal(few, same)
    assert step_of(126, 1.0) == step_of(1 / 126, 1.0) == 2 / 126 and step_of(0, 1.0) == step_of(-1, 1.0) == 0
    assert_close(step_of(jnp.float32(126), 1.0), 2 / 126)


def test_stochastic_rounding_is_right_on_average_n_4096(key):
    v = jnp.array([0.1, 0.5, -0.3, 1.0, 0.77])
    rounded = jax.vmap(lambda k: quantise(v, 0.5, k))(jax.random.split(key, N))
    assert set(np.unique(np.asarray(rounded))) <= {-0.5, 0.0, 0.5, 1.0}
    assert_mean(rounded, np.asarray(v))
    np.testing.assert_array_equal(rounded[:, 3], 1.0)  # on the grid: certain


@pytest.mark.parametrize("stage", ["dac", "adc"])
def test_stochastic_converters_are_right_on_average_n_4096(stage, w, x, key):
    p = off(**{stage: {"res": 0.05, "sto_round": True, "bound": 3.0}})
    assert_mean(reads(p, w, x, {}, jax.random.split(key, N)), product(w, x))


def test_input_noise_n_4096(w, x, key):
    y = reads(off(dac={"noise": 0.1}), w, x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, x))
    assert_std(y, np.broadcast_to(0.1 * np.linalg.norm(w, axis=1), (B, O)))


def test_output_noise_n_4096(w, x, key):
    y = reads(off(adc={"noise": 0.06}), w, x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, x))
    assert_std(y, np.full((B, O), 0.06))


def test_output_noise_differs_from_output_to_output_n_4096(w, x, key):
    p = off(adc={"noise": 0.06, "noise_std": 0.3})
    frozen = p.fabricate(4096, jnp.float32, key)["out_noise"]
    assert_mean(frozen, 0.06)
    assert_std(frozen, 0.3 * 0.06)
    few = {"out_noise": frozen[:O]}
    assert_std(reads(p, w, x, few, jax.random.split(key, N)), np.broadcast_to(few["out_noise"], (B, O)))
    assert off(adc={"noise": 0.06}).fabricate(O, jnp.float32, key) == {}


@pytest.mark.parametrize("kind", ["AdditiveConstant", "PCMRead"])
def test_weight_noise_n_4096(kind, w, x, key):
    y = reads(off(crossbar={"w_noise": 0.05, "w_noise_type": kind}), w, x, {}, jax.random.split(key, N))
    u2 = np.asarray(x, np.float64) ** 2
    power = u2 @ np.abs(w).T if kind == "PCMRead" else np.broadcast_to(u2.sum(-1, keepdims=True), (B, O))
    assert_mean(y, product(w, x))
    assert_std(y, 0.05 * np.sqrt(power))


def test_adc_noise_is_scaled_by_the_input_scale_n_4096(w, x, key):
    p = off(dac={"bound": 1.0}, adc={"noise": 0.06}, noise_management=NoiseManagement(kind="AbsMax"))
    y = reads(p, w, 10 * x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, 10 * x))
    assert_std(y, np.broadcast_to(0.06 * np.abs(10 * x).max(-1, keepdims=True), (B, O)))


def test_asymmetry_of_inputs_and_outputs(w, x, key):
    u = np.where(x < 0, 0.8 * np.asarray(x, np.float64), x)
    assert_close(run(off(dac={"asymmetry": 0.2}), w, x, {}, key), product(w, u))
    y = product(w, x)
    for gain, asymmetry in ((0.8, 0.2), (1.2, -0.2)):
        assert_close(run(off(adc={"asymmetry": asymmetry}), w, x, {}, key), np.where(y < 0, gain * y, y))


READS, IDS = (BoundManagement(), BoundManagement(worst_case=True)), ("Iterative", "IterativeWorstCase")

# ---- noise management ----


def test_input_scales():
    x = jnp.array([[0.5, -2.0, 0.25], [-0.5, -1.0, -0.25], [0.0, 0.0, 0.0]])
    scales = {
        "AbsMax": [2, 1, 0],
        "Max": [0.5, -0.25, 0],
        "Constant": [1, 1, 1],
        "AbsMaxNPSum": [2, 1, 0],
    }
    for kind, expected in scales.items():
        assert_close(NoiseManagement(kind=kind).scale(x, NO_LIMITS)[:, 0], expected)
    capped = {"AbsMax": [1.5, 1, 0], "Max": [0.5, -0.25, 0], "Constant": [1.5, 1.5, 1.5]}
    for kind, expected in capped.items():
        assert_close(NoiseManagement(kind=kind, thres=1.5).scale(x, NO_LIMITS)[:, 0], expected)


def test_np_sum_scale_is_the_worst_case():
    x = jnp.ones((1, 100)) * jnp.where(jnp.arange(100) < 60, 1.0, -1.0)
    p = NoiseManagement(kind="AbsMaxNPSum")
    assert_close(p.scale(x, NO_LIMITS)[:, 0], [60 * 0.6 / 12])
    coarse = DAC(res=1 / 10, max_res=0.25)  # capped at 1 / 0.2 * 0.25
    assert_close(p.scale(x, Limits(12.0, coarse.reduction))[:, 0], [1.25])
    for nowhere in (0.0, -1.0):
        assert_close(p.scale(x, NO_LIMITS._replace(out_bound=nowhere))[:, 0], [60 * 0.6])


def test_the_threshold_belongs_to_noise_management_also_in_the_worst_case_scale():
    x = jnp.array([[0.5, -2.0]])
    assert_close(worst_case(x, NO_LIMITS)[:, 0], [2.0])
    assert_close(NoiseManagement(kind="AbsMax", thres=0.3).worst_case(x, NO_LIMITS)[:, 0], [0.3])
    assert NoiseManagement(kind="AbsMaxNPSum").worst_case(x, NO_LIMITS) is None  # it is the scale already


def test_running_scale_is_a_leaky_mean():
    p = NoiseManagement(kind="AverageAbsMax", decay=0.1)
    x = jnp.array([[1.0, -2.0], [4.0, 0.0], [0.5, 0.5]])
    assert_close(p.average(x, None), [2.0, 2.2, 2.03])
    assert_close(p.average(x, jnp.float32(1.0)), [1.1, 1.39, 1.301])


def test_scaled_inputs_fit_the_dac(w, x, key):
    p = Periphery(dac=DAC(res=0.0), adc=ADC(res=0.0, noise=0.0))
    for scale in (1e-6, 1.0, 1e6):
        assert_close(run(p, w, scale * x, {}, key), product(w, scale * x))
    clipped = Periphery(dac=DAC(res=0.0), adc=ADC(res=0.0, noise=0.0), noise_management=NoiseManagement(thres=0.1))
    assert_close(run(clipped, w, x, {}, key), product(w, np.clip(x, -0.1, 0.1)))


@pytest.mark.parametrize("bounds", [None, *READS], ids=["None", *IDS])
@pytest.mark.parametrize("kind", ["AbsMax", "Max", "AbsMaxNPSum"])
def test_a_silent_input_gives_exactly_zero(kind, bounds, w, key):
    p = Periphery(noise_management=NoiseManagement(kind=kind), bound_management=bounds)
    y = run(p, w, jnp.zeros((B, I)).at[1].set(1.0), {}, key)
    assert not y[0].any() and not y[2].any() and y[1].all()
    noisy = Periphery(dac=DAC(noise=0.1), noise_management=NoiseManagement(kind=kind), bound_management=bounds)
    assert run(noisy, w, jnp.zeros((B, I)), {}, key).any()


@pytest.mark.parametrize("bounds", [None, *READS], ids=["None", *IDS])
@pytest.mark.parametrize("kind", [None, "AbsMax", "AbsMaxNPSum", "Max", "Constant"])
def test_nan_comes_out_as_nan(kind, bounds, w, x, key):
    managing = None if kind is None else NoiseManagement(kind=kind)
    p = Periphery(noise_management=managing, bound_management=bounds)
    y = np.asarray(run(p, w, x.at[1, 2].set(jnp.nan), {}, key))
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2]]).all()


# ---- bound management ----

LOUD = Periphery(dac=DAC(res=0.0), adc=ADC(res=0.0, noise=0.0, bound=1.0))


def test_without_bound_management_outputs_clip(key):
    p = replace(LOUD, bound_management=None)
    assert_close(run(p, 3 * jnp.eye(2), jnp.array([[0.5, -0.1]]), {}, key), [[0.5, -0.3]])


@pytest.mark.parametrize("bounds", READS, ids=IDS)
def test_bound_management_reads_until_it_fits(bounds, key):
    p = replace(LOUD, bound_management=bounds)
    w = 30 * jnp.eye(2)
    assert_close(run(p, w, jnp.array([[0.5, -0.1], [0.001, 0.0]]), {}, key), [[15.0, -3.0], [0.03, 0.0]])


def test_bound_management_stops_at_the_largest_factor(key):
    w, x = 30 * jnp.eye(1), jnp.ones((1, 1))
    for limit, factor in ((3, 4), (4, 8), (8, 16), (1000, 32)):
        # tried: 1, 2, 4, ... until int(factor) > max_factor; the output is the bound times the last factor
        p = replace(LOUD, bound_management=BoundManagement(max_factor=limit))
        assert_close(run(p, w, x, {}, key), [[min(30.0, factor)]])


def test_bound_management_stops_at_the_resolution(key):
    # step 2 / 126, max_res 0.25: 16 is the first factor above 0.25 * 63 = 15.75, so it is the last one tried
    p = replace(LOUD, dac=DAC(res=1 / 126))
    assert_close(run(p, 30 * jnp.eye(1), jnp.ones((1, 1)), {}, key), [[16.0]])


def test_the_negative_bound_can_be_left_unwatched(key):
    w, x = jnp.array([[-3.0]]), jnp.ones((1, 1))
    assert_close(run(LOUD, w, x, {}, key), [[-3.0]])
    assert_close(run(with_field(LOUD, "adc.flags_negative", False), w, x, {}, key), [[-1.0]])


@pytest.mark.parametrize("bounds", READS, ids=IDS)
def test_a_vector_that_fits_is_untouched_by_one_that_does_not(bounds, w, x, key):
    p = Periphery(adc=ADC(bound=0.9), bound_management=bounds)
    both_fit = run(p, 0.1 * w, x, {}, key)
    one_bursts = run(p, 0.1 * w, x.at[1].set(jnp.sign(w[0])), {}, key)
    np.testing.assert_array_equal(both_fit[jnp.array([0, 2])], one_bursts[jnp.array([0, 2])])
    loud = run(Periphery(adc=ADC(bound=0.1), bound_management=bounds), w, x.at[0].set(0.0).at[0, 0].set(1e-3), {}, key)
    assert np.isfinite(loud).all()


def test_the_noise_of_the_last_read_grows_with_its_factor_n_4096(key):
    # the signal alone decides: 3 and 1.5 are clipped, 0.75 fits, so it is noise times 4
    p = Periphery(dac=DAC(res=0.0), adc=ADC(res=0.0, noise=0.001, bound=1.0))
    y = reads(p, 3 * jnp.eye(1), jnp.ones((1, 1)), {}, jax.random.split(key, N))
    assert_mean(y, np.array([[3.0]]))
    assert_std(y, np.array([[0.004]]))


def test_each_read_draws_fresh_noise_n_4096(key):
    # noise decides here: 0.8 + 0.5 xi is clipped in a third of all reads, and half of it is read again and again. The
    # expected moments are those of a plain loop of n = 1e6, whose own errors are 16 times smaller
    chance, y, rho = np.random.default_rng(0), np.full(10**6, np.inf), np.ones(10**6)
    while np.any(again := np.isinf(y)):
        read = 0.8 / rho + 0.5 * chance.standard_normal(y.size)
        y = np.where(again & (np.abs(read) < 1), read * rho, y)
        rho *= 2
    p = Periphery(dac=DAC(res=0.0), adc=ADC(res=0.0, noise=0.5, bound=1.0))
    found = reads(p, 0.8 * jnp.eye(1), jnp.ones((1, 1)), {}, jax.random.split(key, N))
    assert_mean(found, np.array([[y.mean()]]), n_se=4.1)
    assert_std(found, np.array([[y.std()]]), n_se=4.1)


def test_a_key_that_was_used_for_a_read_is_used_up(w, x, key):
    def twice(key):
        return mvm(Periphery(), w, x, {}, key) + mvm(Periphery(), w, x, {}, key)

    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        jax.jit(twice)(key)


# ---- sweeps and validation ----

NUMBERS = [
    ("dac.res", 0.0),
    ("adc.res", 0.0),
    ("dac.res", 0.05),
    ("adc.res", 0.05),
    ("adc.bound", 0.0),
    ("adc.bound", 0.5),
    ("dac.noise", 0.0),
    ("dac.noise", 0.1),
    ("adc.noise", 0.0),
    ("noise_management.thres", 0.0),
    ("noise_management.thres", 0.3),
    ("crossbar.w_noise", 0.0),
    ("bound_management.max_factor", 2.0),
    ("adc.scale", 2.0),
    ("dac.asymmetry", 0.0),
]


@pytest.mark.parametrize(("field", "value"), NUMBERS)
def test_a_traced_number_means_the_same_as_a_plain_one(field, value, w, x, key):
    plain, traced = (run(with_field(Periphery(), field, v), w, x, {}, key) for v in (value, jnp.float32(value)))
    assert_close(traced, plain)


def test_a_traced_infinite_dac_range_is_infinite(w, x, key):
    plain, traced = (run(off(dac={"bound": v}), w, x, {}, key) for v in (0.0, jnp.float32(0)))
    assert_close(traced, plain)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Periphery(dac=DAC(bound=2.0)), r"DAC\(bound=2.0\): .* noise_management=None"),
        (lambda: DAC(noise=-0.1), r"DAC\(noise=-0.1\): needs a finite number, at least 0"),
        (lambda: ADC(noise=float("nan")), r"ADC\(noise=nan\)"),
        (lambda: NoiseManagement(kind="absmax"), "'AbsMax'"),
        (lambda: BoundManagement(max_factor=-1), r"max_factor=-1\): needs"),
        (lambda: Periphery(noise_management="AbsMax"), r"such as NoiseManagement\(kind='AbsMax'\), or None"),
        (lambda: Periphery(bound_management="Iterative"), r"such as BoundManagement\(\), or None"),
        (lambda: Periphery(dac=0.1), r"Periphery\(dac=0.1\): needs a DAC"),
        (lambda: Periphery(crossbar=ADC()), r"crossbar=ADC\(\)\): needs a Circuit"),
    ],
)
def test_nonsense_is_refused(make, named):
    with pytest.raises(ConfigError, match=named):
        make()
