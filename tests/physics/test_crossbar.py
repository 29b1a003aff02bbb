"""What a crossbar and its amplifiers do to a product: each field against its equation, with the others off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import ADC, BoundManagement, Crossbar, MVType, Periphery
from analogjax.physics.periphery import mvm
from tests.physics.parts import B, I, O, exact, off, product, reads, run, value_of, with_field
from tests.tolerance import assert_close, assert_count, assert_mean, assert_same_bits, assert_std

N = 4096
TWO = ["PosNegSeparate", "PosNegSeparateDigitalSum"]


# ---- wires ----


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_ir_drop_is_the_cubic_fit(strength, w, x, key):
    load = I / 20.0 * np.abs(exact(x)) @ np.abs(exact(w)).T
    depth = 1 - (1 - np.arange(I) / I) ** 2
    drop = load * (load * (0.05 * load - 0.2) + 0.5) * product(w, exact(x) * depth)
    y = run(off(crossbar={"ir_drop": strength, "ir_drop_g_ratio": 20.0}), w, x, {}, key)
    assert_close(y, product(w, x) - strength * drop)


def test_ir_drop_of_thick_wires_is_small_and_spares_the_first_input(w, key):
    p = off(crossbar={"ir_drop": 1.0, "ir_drop_g_ratio": 20.0})
    first = jnp.eye(I)[:1]
    assert_close(run(p, w, first, {}, key), product(w, first))
    last = jnp.eye(I)[-1:]
    assert np.all(np.abs(run(p, w, last, {}, key)) < np.abs(product(w, last)))
    usual = run(off(crossbar={"ir_drop": 1.0}), w, last, {}, key)
    assert_close(usual, product(w, last), factor=10)  # half a load of I / 570000 is lost


# ---- series resistance and offsets ----


def loaded(y, rho, most=np.inf):
    return y / (1 + np.minimum(rho * np.abs(y), most))


@pytest.mark.parametrize("most", [0.0, 0.02])
def test_series_resistance_of_a_differential_read(most, w, x, key):
    y = run(off(crossbar={"r_series": 0.1, "v_offset_w_min": 0.0, "r_series_max_total": most}), w, x, {}, key)
    assert_close(y, loaded(product(w, x), 0.1, most or np.inf))


@pytest.mark.parametrize("w_min", [-1.0, -0.3])
def test_series_resistance_beside_a_reference(w_min, w, x, key):
    g = -w_min * exact(x).sum(-1, keepdims=True)
    y = run(off(crossbar={"r_series": 0.1, "v_offset_w_min": w_min}), w, x, {}, key)
    # a difference of two numbers of the size of g
    assert_close(y, loaded(product(w, x) + g, 0.1) - loaded(g, 0.1))


@pytest.mark.parametrize("w_min", [0.0, -1.0])
@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_offsets_shift_the_two_sides_of_a_read(w_min, rho, w, x, key):
    p = off(crossbar={"v_offset_std": 0.1, "v_offset_w_min": w_min, "r_series": rho})
    v = exact(jnp.array([0.0, 0.1, -0.2, 0.05]))
    g = -w_min * exact(x).sum(-1, keepdims=True)
    y = run(p, w, x, {"v_offset": jnp.asarray(v, jnp.float32)}, key)
    assert_close(y, (1 - v) * loaded(product(w, x) + g, rho) - (1 + v) * loaded(g, rho))


def test_half_of_the_outputs_have_an_offset_n_4096(key):
    v = np.asarray(off(crossbar={"v_offset_std": 0.1}).fabricate(N, jnp.float32, key)["v_offset"])
    some = v[v != 0]
    assert_count(some.size, N, 0.5)
    assert_mean(some, 0.0)
    assert_std(some, 0.1)
    assert_std(v, 0.1 / np.sqrt(2))


# ---- saturation ----


def test_saturation_halves_at_the_bound_for_strength_one(w, x, key):
    y = product(w, x)
    assert_close(run(off(adc={"nonlinearity": 0.5, "bound": 2.0}), w, x, {}, key), y / (1 + 0.25 * np.abs(y)))
    assert_close(run(off(adc={"nonlinearity": 0.5}), w, x, {}, key), y / (1 + 0.5 * np.abs(y)))  # infinite bound: 1
    assert_close(run(off(adc={"nonlinearity": 1.0, "bound": 2.0}), jnp.eye(1), jnp.full((1, 1), 2.0), {}, key), [[1.0]])


def test_saturation_differs_from_output_to_output_n_4096(w, x, key):
    p = off(adc={"nonlinearity": 0.5, "nonlinearity_std": 0.3, "bound": 2.0})
    frozen = p.fabricate(N, jnp.float32, key)
    assert_mean(frozen["out_nonlinearity"], 1.0)  # 1 + 0.3 xi is negative in 4 of 10000
    assert_std(frozen["out_nonlinearity"], 0.3)
    few = {"out_nonlinearity": frozen["out_nonlinearity"][:O]}
    y = product(w, x)
    assert_close(run(p, w, x, few, key), y / (1 + 0.25 * exact(few["out_nonlinearity"]) * np.abs(y)))
    assert off(adc={"nonlinearity_std": 0.3}).fabricate(O, jnp.float32, key) == {}


def test_slope_calibration_gives_the_mean_slope_back(w, x, key):
    y, n = product(w, x), 0.25
    p = off(adc={"nonlinearity": 0.5, "slope_calibration": 0.8, "bound": 2.0})
    assert_close(run(p, w, x, {}, key), (1 + n * 0.8 * 2.0) ** 2 * y / (1 + n * np.abs(y)))
    spread = jnp.array([0.5, 1.0, 1.5, 2.0])
    one = run(p, w, x, {"out_nonlinearity": spread}, key)
    each = n * exact(spread)
    assert_close(one, (1 + each.mean() * 0.8 * 2.0) ** 2 * y / (1 + each * np.abs(y)))
    p = off(crossbar={"r_series": 0.1, "v_offset_w_min": 0.0}, adc={"slope_calibration": 0.8})
    assert_close(run(p, w, x, {}, key), (1 + 0.1 * 0.8) ** 2 * loaded(y, 0.1))


# ---- two passes ----


@pytest.mark.parametrize("kind", TWO)
def test_two_perfect_passes_make_the_product(kind, w, x, key):
    assert_close(run(off(crossbar={"mv_type": kind}), w, x, {}, key), product(w, x))


@pytest.mark.parametrize("kind", TWO)
def test_devices_answer_differently_to_negative_inputs_n_4096(kind, w, x, key):
    p = off(crossbar={"mv_type": kind, "w_read_asymmetry_dtod": 0.2})
    gain = p.fabricate(64, jnp.float32, key, inputs=64)["read_asymmetry"]
    assert gain.shape == (64, 64)
    assert_mean(gain.ravel(), 1.0)
    assert_std(gain.ravel(), 0.2)
    few = gain[:O, :I]
    y = product(exact(w) * exact(few), np.minimum(exact(x), 0)) + product(w, np.maximum(exact(x), 0))
    assert_close(run(p, w, x, {"read_asymmetry": few}, key), y)


def test_one_pass_has_no_read_asymmetry(w, x, key):
    p = off(crossbar={"w_read_asymmetry_dtod": 0.2})
    assert p.fabricate(O, jnp.float32, key, inputs=I) == {}
    with pytest.raises(ConfigError, match=r"fabricate\(inputs=None\)"):
        off(crossbar={"w_read_asymmetry_dtod": 0.2, "mv_type": "PosNegSeparate"}).fabricate(O, jnp.float32, key)


@pytest.mark.parametrize(("kind", "adcs"), [(TWO[0], 1), (TWO[1], 2)])
def test_adcs_add_noise_once_or_twice_n_4096(kind, adcs, w, x, key):
    y = reads(off(crossbar={"mv_type": kind}, adc={"noise": 0.06}), w, x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, x))
    assert_std(y, np.full((B, O), 0.06 * np.sqrt(adcs)))


@pytest.mark.parametrize("kind", TWO)
def test_weight_noise_of_two_passes_adds_up_to_that_of_one_n_4096(kind, w, x, key):
    p = off(crossbar={"mv_type": kind, "w_noise": 0.05, "w_noise_type": "AdditiveConstant"})
    y = reads(p, w, x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, x))
    assert_std(y, np.broadcast_to(0.05 * np.linalg.norm(exact(x), axis=1)[:, None], (B, O)))


def test_a_digital_sum_converts_each_pass(key):
    w, x = jnp.ones((1, 2)), jnp.array([[0.9, -0.34]])
    coarse = {"bound": 0.5, "res": 0.1}
    assert_close(run(off(crossbar={"mv_type": TWO[0]}, adc=coarse), w, x, {}, key), [[0.5]])  # 0.56
    assert_close(run(off(crossbar={"mv_type": TWO[1]}, adc=coarse), w, x, {}, key), [[0.2]])  # 0.5 - 0.3
    asymmetric = off(crossbar={"mv_type": TWO[1]}, adc={"asymmetry": 0.5})
    assert_close(run(asymmetric, w, x, {}, key), [[0.9 - 0.17]])


def test_bound_management_needs_both_passes_to_fit(key):
    w, x = jnp.ones((1, 2)), jnp.array([[0.9, -0.8]])  # the sum fits, its parts do not
    for kind in TWO:
        p = off(crossbar={"mv_type": kind}, adc={"bound": 0.5}, bound_management=BoundManagement())
        assert_close(run(p, w, x, {}, key), [[0.1]])
    assert_close(run(off(crossbar={"mv_type": TWO[1]}, adc={"bound": 0.5}), w, x, {}, key), [[0.0]])


def test_a_perfect_product_is_the_exact_one(w, x, key):
    p = Periphery(is_perfect=True, adc=ADC(scale=2.0, noise_std=0.3))
    assert p.fabricate(O, jnp.float32, key) == {}
    assert_close(run(p, w, x, {}, key), 2 * product(w, x))


# ---- off, traced, refused ----

FIELDS = {
    "crossbar.ir_drop": 0.5,
    "crossbar.ir_drop_g_ratio": 20.0,
    "adc.nonlinearity": 0.5,
    "adc.nonlinearity_std": 0.3,
    "adc.slope_calibration": 0.5,
    "crossbar.v_offset_std": 0.1,
    "crossbar.v_offset_w_min": -0.5,
    "crossbar.r_series": 0.05,
    "crossbar.r_series_max_total": 0.01,
    "crossbar.w_read_asymmetry_dtod": 0.2,
}
NEVER_OFF = ("crossbar.ir_drop_g_ratio", "crossbar.v_offset_w_min")
ON = Periphery(crossbar=Crossbar(mv_type="PosNegSeparate"))
for name, number in FIELDS.items():
    ON = with_field(ON, name, number)


def chip_and_read(p, w, x, key):
    k_make, k_read = jax.random.split(key)
    return mvm(p, w, x, p.fabricate(w.shape[0], w.dtype, k_make, inputs=w.shape[1]), k_read)


@pytest.mark.parametrize("field", FIELDS)
def test_a_swept_field_means_the_same_as_a_plain_one(field, w, x, key):
    values = [0.0, FIELDS[field]] if field not in NEVER_OFF else [FIELDS[field], 40.0]
    sweep = jax.vmap(lambda value: chip_and_read(with_field(ON, field, value), w, x, key))
    swept = sweep(jnp.array(values, jnp.float32))
    for value, ours in zip(values, swept, strict=True):
        # constants fold in double precision, tracers do not; offsets take differences
        assert_close(ours, jax.jit(chip_and_read)(with_field(ON, field, value), w, x, key))


@pytest.mark.parametrize("field", [*FIELDS, "crossbar.mv_type"])
def test_a_field_at_its_default_changes_no_bit(field, w, x, key):
    default = Periphery()
    one = run(with_field(default, field, value_of(default, field)), w, x, {}, key)
    assert_same_bits(one, run(default, w, x, {}, key))


def test_what_is_added_to_a_chip_leaves_its_noise_as_it_was(key):
    alone = Periphery(adc=ADC(noise_std=0.3)).fabricate(O, jnp.float32, key)
    more = Periphery(
        crossbar=Crossbar(v_offset_std=0.1), adc=ADC(noise_std=0.3, nonlinearity=0.1, nonlinearity_std=0.2)
    )
    made = more.fabricate(O, jnp.float32, key)
    assert set(made) == {"out_noise", "v_offset", "out_nonlinearity"}
    assert_same_bits(alone["out_noise"], made["out_noise"])


@pytest.mark.parametrize(
    ("part", "bad", "named"),
    [
        (Crossbar, {"ir_drop": -1.0}, r"ir_drop=-1.0\): needs a finite number, at least 0"),
        (Crossbar, {"ir_drop_g_ratio": 0.0}, r"ir_drop_g_ratio=0.0\): needs a ratio of conductances above 0"),
        (ADC, {"nonlinearity": float("nan")}, r"nonlinearity=nan\): needs a finite number"),
        (ADC, {"nonlinearity_std": -0.1}, r"nonlinearity_std=-0.1"),
        (ADC, {"slope_calibration": -0.1}, r"slope_calibration=-0.1"),
        (Crossbar, {"v_offset_std": -0.1}, r"v_offset_std=-0.1"),
        (Crossbar, {"v_offset_w_min": float("inf")}, r"v_offset_w_min=inf"),
        (Crossbar, {"r_series": -0.1}, r"r_series=-0.1"),
        (Crossbar, {"w_read_asymmetry_dtod": -0.1}, r"w_read_asymmetry_dtod=-0.1"),
        (Crossbar, {"w_noise_type": "PCM"}, "'PCMRead'"),
        (Crossbar, {"mv_type": "TwoPass"}, r"mv_type='TwoPass'\): unknown; choose one of .*'PosNegSeparate'"),
        (Crossbar, {"mv_type": "SplitMode"}, r"mv_type=.*only a TimedCrossbar .* or 'OnePass'"),
        (Crossbar, {"mv_type": MVType.BIT_WISE}, r"mv_type=.*only a TimedCrossbar"),
    ],
)
def test_nonsense_about_the_crossbar_is_refused(part, bad, named):
    with pytest.raises(ConfigError, match=rf"^{part.__name__}\(.*{named}"):
        part(**bad)
