"""What a crossbar and its amplifiers do to a product: each field against its equation, with the others off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics.periphery import MVType, Periphery, mvm
from tests.tolerance import assert_close, assert_count, assert_mean, assert_same_bits, assert_std

B, I, O = 3, 6, 4  # noqa: E741 - the letters of the library
N = 4096
OFF = {
    "inp_res": 0.0,
    "out_res": 0.0,
    "out_noise": 0.0,
    "inp_bound": 0.0,
    "out_bound": 0.0,
    "noise_management": "None",
    "bound_management": "None",
}
run = jax.jit(mvm)
reads = jax.jit(jax.vmap(mvm, in_axes=(None, None, None, None, 0)))
TWO = ["PosNegSeparate", "PosNegSeparateDigitalSum"]


def off(**changes):
    """A perfect periphery with single stages switched on."""
    return Periphery(**(OFF | changes))


@pytest.fixture
def w():
    return random.normal(random.key(1), (O, I)) * 0.3


@pytest.fixture
def x():
    return random.normal(random.key(2), (B, I)) * 0.4


def exact(array):
    return np.asarray(array, np.float64)


def product(w, x):
    return exact(x) @ exact(w).T


# ---- wires ----


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_ir_drop_is_the_cubic_fit(strength, w, x, key):
    load = I / 20.0 * np.abs(exact(x)) @ np.abs(exact(w)).T
    depth = 1 - (1 - np.arange(I) / I) ** 2
    drop = load * (load * (0.05 * load - 0.2) + 0.5) * product(w, exact(x) * depth)
    y = run(off(ir_drop=strength, ir_drop_g_ratio=20.0), w, x, {}, key)
    assert_close(y, product(w, x) - strength * drop, factor=4)


def test_ir_drop_of_thick_wires_is_small_and_spares_the_first_input(w, key):
    p = off(ir_drop=1.0, ir_drop_g_ratio=20.0)
    first = jnp.eye(I)[:1]
    assert_close(run(p, w, first, {}, key), product(w, first))
    last = jnp.eye(I)[-1:]
    assert np.all(np.abs(run(p, w, last, {}, key)) < np.abs(product(w, last)))
    assert_close(run(off(ir_drop=1.0), w, last, {}, key), product(w, last), factor=10)  # the default ratio is 6e5


# ---- series resistance and offsets ----


def loaded(y, rho, most=np.inf):
    return y / (1 + np.minimum(rho * np.abs(y), most))


@pytest.mark.parametrize("most", [0.0, 0.02])
def test_series_resistance_of_a_differential_read(most, w, x, key):
    y = run(off(r_series=0.1, v_offset_w_min=0.0, r_series_max_total=most), w, x, {}, key)
    assert_close(y, loaded(product(w, x), 0.1, most or np.inf))


@pytest.mark.parametrize("w_min", [-1.0, -0.3])
def test_series_resistance_beside_a_reference(w_min, w, x, key):
    g = -w_min * exact(x).sum(-1, keepdims=True)
    y = run(off(r_series=0.1, v_offset_w_min=w_min), w, x, {}, key)
    # a difference of two numbers of the size of g
    assert_close(y, loaded(product(w, x) + g, 0.1) - loaded(g, 0.1), factor=20)


@pytest.mark.parametrize("w_min", [0.0, -1.0])
@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_offsets_shift_the_two_sides_of_a_read(w_min, rho, w, x, key):
    p = off(v_offset_std=0.1, v_offset_w_min=w_min, r_series=rho)
    v = exact(jnp.array([0.0, 0.1, -0.2, 0.05]))
    g = -w_min * exact(x).sum(-1, keepdims=True)
    y = run(p, w, x, {"v_offset": jnp.asarray(v, jnp.float32)}, key)
    assert_close(y, (1 - v) * loaded(product(w, x) + g, rho) - (1 + v) * loaded(g, rho), factor=20)


def test_half_of_the_outputs_have_an_offset_n_4096(key):
    v = np.asarray(off(v_offset_std=0.1).fabricate(N, jnp.float32, key)["v_offset"])
    some = v[v != 0]
    assert_count(some.size, N, 0.5)
    assert_mean(some, 0.0)
    assert_std(some, 0.1)
    assert_std(v, 0.1 / np.sqrt(2))


# ---- saturation ----


def test_saturation_halves_at_the_bound_for_strength_one(w, x, key):
    y = product(w, x)
    assert_close(run(off(out_nonlinearity=0.5, out_bound=2.0), w, x, {}, key), y / (1 + 0.25 * np.abs(y)))
    assert_close(run(off(out_nonlinearity=0.5), w, x, {}, key), y / (1 + 0.5 * np.abs(y)))  # infinite bound: 1
    assert_close(run(off(out_nonlinearity=1.0, out_bound=2.0), jnp.eye(1), jnp.full((1, 1), 2.0), {}, key), [[1.0]])


def test_saturation_differs_from_output_to_output_n_4096(w, x, key):
    p = off(out_nonlinearity=0.5, out_nonlinearity_std=0.3, out_bound=2.0)
    frozen = p.fabricate(N, jnp.float32, key)
    assert_mean(frozen["out_nonlinearity"], 1.0)  # 1 + 0.3 xi is negative in 4 of 10000
    assert_std(frozen["out_nonlinearity"], 0.3)
    few = {"out_nonlinearity": frozen["out_nonlinearity"][:O]}
    y = product(w, x)
    assert_close(run(p, w, x, few, key), y / (1 + 0.25 * exact(few["out_nonlinearity"]) * np.abs(y)))
    assert off(out_nonlinearity_std=0.3).fabricate(O, jnp.float32, key) == {}


def test_slope_calibration_gives_the_mean_slope_back(w, x, key):
    y, n = product(w, x), 0.25
    p = off(out_nonlinearity=0.5, slope_calibration=0.8, out_bound=2.0)
    assert_close(run(p, w, x, {}, key), (1 + n * 0.8 * 2.0) ** 2 * y / (1 + n * np.abs(y)))
    spread = jnp.array([0.5, 1.0, 1.5, 2.0])
    one = run(p, w, x, {"out_nonlinearity": spread}, key)
    each = n * exact(spread)
    assert_close(one, (1 + each.mean() * 0.8 * 2.0) ** 2 * y / (1 + each * np.abs(y)))
    p = off(r_series=0.1, slope_calibration=0.8, v_offset_w_min=0.0)
    assert_close(run(p, w, x, {}, key), (1 + 0.1 * 0.8) ** 2 * loaded(y, 0.1))


# ---- two passes ----


@pytest.mark.parametrize("kind", TWO)
def test_two_perfect_passes_make_the_product(kind, w, x, key):
    assert_close(run(off(mv_type=kind), w, x, {}, key), product(w, x))


@pytest.mark.parametrize("kind", TWO)
def test_devices_answer_differently_to_negative_inputs_n_4096(kind, w, x, key):
    p = off(mv_type=kind, w_read_asymmetry_dtod=0.2)
    gain = p.fabricate(64, jnp.float32, key, inputs=64)["read_asymmetry"]
    assert gain.shape == (64, 64)
    assert_mean(gain.ravel(), 1.0)
    assert_std(gain.ravel(), 0.2)
    few = gain[:O, :I]
    y = product(exact(w) * exact(few), np.minimum(exact(x), 0)) + product(w, np.maximum(exact(x), 0))
    assert_close(run(p, w, x, {"read_asymmetry": few}, key), y)


def test_one_pass_has_no_read_asymmetry(w, x, key):
    p = off(w_read_asymmetry_dtod=0.2)
    assert p.fabricate(O, jnp.float32, key, inputs=I) == {}
    with pytest.raises(ConfigError, match=r"fabricate\(inputs=None\)"):
        off(w_read_asymmetry_dtod=0.2, mv_type="PosNegSeparate").fabricate(O, jnp.float32, key)


@pytest.mark.parametrize(("kind", "adcs"), [(TWO[0], 1), (TWO[1], 2)])
def test_adcs_add_noise_once_or_twice_n_4096(kind, adcs, w, x, key):
    y = reads(off(mv_type=kind, out_noise=0.06), w, x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, x))
    assert_std(y, np.full((B, O), 0.06 * np.sqrt(adcs)))


@pytest.mark.parametrize("kind", TWO)
def test_weight_noise_of_two_passes_adds_up_to_that_of_one_n_4096(kind, w, x, key):
    y = reads(off(mv_type=kind, w_noise=0.05, w_noise_type="AdditiveConstant"), w, x, {}, jax.random.split(key, N))
    assert_mean(y, product(w, x))
    assert_std(y, np.broadcast_to(0.05 * np.linalg.norm(exact(x), axis=1)[:, None], (B, O)))


def test_a_digital_sum_converts_each_pass(key):
    w, x = jnp.ones((1, 2)), jnp.array([[0.9, -0.34]])
    assert_close(run(off(mv_type=TWO[0], out_bound=0.5, out_res=0.1), w, x, {}, key), [[0.5]])  # 0.56
    assert_close(run(off(mv_type=TWO[1], out_bound=0.5, out_res=0.1), w, x, {}, key), [[0.2]])  # 0.5 - 0.3
    asymmetric = off(mv_type=TWO[1], out_asymmetry=0.5)
    assert_close(run(asymmetric, w, x, {}, key), [[0.9 - 0.17]])


def test_bound_management_needs_both_passes_to_fit(key):
    loud = {"bound_management": "Iterative", "out_bound": 0.5, "inp_bound": 0.0}
    w, x = jnp.ones((1, 2)), jnp.array([[0.9, -0.8]])  # the sum fits, its parts do not
    assert_close(run(off(mv_type=TWO[0], **loud), w, x, {}, key), [[0.1]])
    assert_close(run(off(mv_type=TWO[1], **loud), w, x, {}, key), [[0.1]], factor=4)
    assert_close(run(off(mv_type=TWO[1], out_bound=0.5), w, x, {}, key), [[0.0]])


def test_an_ideal_product_is_a_perfect_one(w, x, key):
    p = Periphery(mv_type="Ideal", out_scale=2.0, out_noise_std=0.3)
    assert p.is_exact and p.fabricate(O, jnp.float32, key) == {}
    assert_close(run(p, w, x, {}, key), 2 * product(w, x))


# ---- habits of the torch tile ----


def test_the_torch_tile_reads_the_whole_batch_again(key):
    p = {"out_noise": 0.0, "out_res": 0.0, "inp_res": 1 / 8, "out_bound": 1.0, "max_bm_res": 1.0}
    p |= {"noise_management": "None"}
    # 0.9 fits when it is divided by 4; 0.26 is a step of 0.25, but the fourth part of it is lost in the DAC
    w, x = 3 * jnp.eye(1), jnp.array([[0.9], [0.26]])
    fine, coarse = (run(Periphery(**p, torch_semantics=torch), w, x, {}, key) for torch in (False, True))
    assert_close(fine, [[3.0], [0.75]])
    assert_close(coarse, [[3.0], [0.0]])


def test_the_torch_tile_is_silent_only_as_a_whole(w, key):
    p = Periphery(torch_semantics=True)
    assert not run(p, w, jnp.zeros((B, I)), {}, key).any()
    assert run(p, w, jnp.zeros((B, I)).at[1].set(1.0), {}, key)[0].any()


def test_the_torch_tile_keeps_the_step_of_a_negative_bound(w, x, key):
    y = run(off(out_res=0.05, out_bound=-1.0, torch_semantics=True), w, x, {}, key)
    assert_close(y, np.round(product(w, x) / 0.1) * 0.1, factor=4)
    assert_close(run(off(out_res=0.05, out_bound=-1.0), w, x, {}, key), product(w, x))


# ---- off, traced, refused ----

FIELDS = {
    "ir_drop": 0.5,
    "ir_drop_g_ratio": 20.0,
    "out_nonlinearity": 0.5,
    "out_nonlinearity_std": 0.3,
    "slope_calibration": 0.5,
    "v_offset_std": 0.1,
    "v_offset_w_min": -0.5,
    "r_series": 0.05,
    "r_series_max_total": 0.01,
    "w_read_asymmetry_dtod": 0.2,
}
ON = FIELDS | {"mv_type": "PosNegSeparate"}


def chip_and_read(p, w, x, key):
    k_make, k_read = jax.random.split(key)
    return mvm(p, w, x, p.fabricate(w.shape[0], w.dtype, k_make, inputs=w.shape[1]), k_read)


@pytest.mark.parametrize("field", FIELDS)
def test_a_swept_field_means_the_same_as_a_plain_one(field, w, x, key):
    values = [0.0, FIELDS[field]] if field not in ("ir_drop_g_ratio", "v_offset_w_min") else [FIELDS[field], 40.0]
    sweep = jax.vmap(lambda value: chip_and_read(Periphery(**(ON | {field: value})), w, x, key))
    swept = sweep(jnp.array(values, jnp.float32))
    for value, ours in zip(values, swept, strict=True):
        # constants fold in double precision, tracers do not; offsets take differences
        assert_close(ours, jax.jit(chip_and_read)(Periphery(**(ON | {field: value})), w, x, key), factor=50)


@pytest.mark.parametrize("field", [*FIELDS, "mv_type"])
def test_a_field_at_its_default_changes_no_bit(field, w, x, key):
    default = Periphery()
    one = run(Periphery(**{field: getattr(default, field)}), w, x, {}, key)
    assert_same_bits(one, run(default, w, x, {}, key))


def test_what_is_added_to_a_chip_leaves_its_noise_as_it_was(key):
    alone = Periphery(out_noise_std=0.3).fabricate(O, jnp.float32, key)
    more = Periphery(out_noise_std=0.3, v_offset_std=0.1, out_nonlinearity=0.1, out_nonlinearity_std=0.2)
    made = more.fabricate(O, jnp.float32, key)
    assert set(made) == {"out_noise", "v_offset", "out_nonlinearity"}
    assert_same_bits(alone["out_noise"], made["out_noise"])


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"ir_drop": -1.0}, r"ir_drop=-1.0\): needs a finite number, at least 0"),
        ({"ir_drop_g_ratio": 0.0}, r"ir_drop_g_ratio=0.0\): needs a ratio of conductances above 0"),
        ({"out_nonlinearity": float("nan")}, r"out_nonlinearity=nan\): needs a finite number"),
        ({"out_nonlinearity_std": -0.1}, r"out_nonlinearity_std=-0.1"),
        ({"slope_calibration": -0.1}, r"slope_calibration=-0.1"),
        ({"v_offset_std": -0.1}, r"v_offset_std=-0.1"),
        ({"v_offset_w_min": float("inf")}, r"v_offset_w_min=inf"),
        ({"r_series": -0.1}, r"r_series=-0.1"),
        ({"w_read_asymmetry_dtod": -0.1}, r"w_read_asymmetry_dtod=-0.1"),
        ({"mv_type": "TwoPass"}, r"mv_type='TwoPass'\): unknown; choose one of .*'PosNegSeparate'"),
        ({"mv_type": "SplitMode"}, r"mv_type=.*only PeripheryIRDropT .* or 'OnePass'"),
        ({"mv_type": MVType.BIT_WISE}, r"mv_type=.*only PeripheryIRDropT"),
    ],
)
def test_nonsense_about_the_crossbar_is_refused(bad, named):
    with pytest.raises(ConfigError, match=named):
        Periphery(**bad)
