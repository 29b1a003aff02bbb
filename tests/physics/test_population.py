"""Drawn constants, and what happens between updates, against the equations of `devices/pulsed.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analogjax import random
from analogjax.physics import ConstantStep, FloatingPoint, Ideal, LinearStep, SoftBounds, SoftBoundsReference
from analogjax.physics.devices.soft_bounds_reference import symmetry_point
from tests.tolerance import assert_close, assert_count, assert_ks, assert_mean, assert_same_bits, assert_std

SHAPE, N = (128, 128), 128 * 128
fabricate = jax.jit(lambda device, key: device.fabricate(SHAPE, jnp.float32, key))


def cells_of(device, seed=0):
    return {name: np.asarray(cell, np.float64) for name, cell in fabricate(device, random.key(seed)).items()}


def flat(cell):
    return np.asarray(cell).ravel()


def state_of(device, cells, w=0.0):
    return device.write(cells, jnp.full(SHAPE, w), random.key(9))


def test_bounds_n_16k():
    cells = cells_of(ConstantStep(w_max=0.6, w_max_dtod=0.1, w_min=-0.4, w_min_dtod=0.2))
    assert_mean(flat(cells["max_bound"]), 0.6)
    assert_std(flat(cells["max_bound"]), 0.06)
    assert_mean(flat(cells["min_bound"]), -0.4)
    assert_std(flat(cells["min_bound"]), 0.08)
    assert_ks(flat(cells["max_bound"]), stats.norm(0.6, 0.06).cdf)


@pytest.mark.parametrize("up_down", [0.0, 0.2, -0.2])
def test_steps_n_16k(up_down):
    cells = cells_of(ConstantStep(dw_min=1.0, dw_min_dtod=0.1, up_down=up_down, up_down_dtod=0.05))
    up, down = flat(cells["dwmin_up"]), flat(cells["dwmin_down"])
    assert_mean(up, 1 + min(up_down, 0))
    assert_mean(down, 1 - max(up_down, 0))
    for step in (up, down):
        assert_std(step, np.hypot(0.1, 0.05))
    assert_std(up - down, 2 * 0.05)  # the gain is shared, the imbalance has opposite signs
    assert_std(up + down, 2 * 0.1)


def test_log_normal_steps_n_16k():
    device = ConstantStep(dw_min=1.0, dw_min_dtod=0.5, dw_min_dtod_log_normal=True, up_down_dtod=0.0)
    step = flat(cells_of(device)["dwmin_up"])
    assert_ks(np.log(step), stats.norm(0, 0.5).cdf)
    assert_mean(step, np.exp(0.5**2 / 2))


def test_constants_are_independent_n_16k():
    cells = cells_of(ConstantStep())
    parts = [cells["max_bound"], cells["min_bound"], cells["dwmin_up"] + cells["dwmin_down"]]
    parts.append(cells["dwmin_up"] - cells["dwmin_down"])
    corr = np.corrcoef([flat(part) for part in parts])
    assert np.max(np.abs(corr - np.eye(4))) * np.sqrt(N) < 4


def test_consistency_folds_n_16k():
    wild = {"w_max_dtod": 2.0, "w_min_dtod": 2.0, "dw_min_dtod": 2.0}
    cells = cells_of(ConstantStep(**wild))
    assert cells["dwmin_up"].min() >= 0 and cells["dwmin_down"].min() >= 0
    assert cells["max_bound"].min() >= 0 and cells["min_bound"].max() <= 0
    loose = cells_of(ConstantStep(**wild, enforce_consistency=False))
    assert loose["dwmin_up"].min() < 0 and loose["max_bound"].min() < 0
    assert np.all(loose["max_bound"] >= loose["min_bound"])
    collapsed = np.mean(loose["max_bound"] == loose["min_bound"])
    # crossed where 0.6 (1 + 2 a) < -0.6 (1 + 2 b): a + b < -1
    assert_count(collapsed * N, N, stats.norm.cdf(-1 / np.sqrt(2)))


def test_corrupt_devices_are_stuck_n_16k():
    device = ConstantStep(corrupt_devices_prob=0.2, corrupt_devices_range=0.1, w_max_dtod=0.0, w_min_dtod=0.0)
    cells = cells_of(device)
    stuck = cells["max_bound"] == cells["min_bound"]
    assert_count(stuck.sum(), N, 0.2)
    assert not cells["dwmin_up"][stuck].any() and cells["dwmin_up"][~stuck].all()
    assert_ks(cells["max_bound"][stuck], stats.uniform(-0.1, 0.2).cdf)
    state = state_of(device, {k: jnp.asarray(v, jnp.float32) for k, v in cells.items()}, 0.5)
    np.testing.assert_array_equal(np.asarray(state.w)[stuck], cells["max_bound"][stuck].astype(np.float32))


def test_perfect_bias_is_the_last_column():
    cells = cells_of(ConstantStep(perfect_bias=True, corrupt_devices_prob=0.5, dw_min=0.01))
    for name, value in {"dwmin_up": 0.01, "dwmin_down": 0.01, "max_bound": 60.0, "min_bound": -60.0}.items():
        assert_close(cells[name][:, -1].astype(np.float32), np.full(128, value))
        assert np.ptp(cells[name][:, 0]) > 0


def test_slopes_of_linear_steps_n_16k():
    device = LinearStep(dw_min_dtod=0.0, up_down_dtod=0.0, gamma_up=0.5, gamma_up_dtod=0.1, gamma_down=0.0)
    cells = cells_of(device)
    gamma = -cells["slope_up"] * 0.6 / cells["dwmin_up"]
    assert_mean(flat(gamma), 0.5)
    assert_std(flat(gamma), 0.1)
    gamma = -cells["slope_down"] * -0.6 / cells["dwmin_down"]
    assert gamma.min() >= 0  # magnitude of N(0, 0.05)
    assert_ks(flat(gamma), stats.halfnorm(0, 0.05).cdf)
    growing = cells_of(LinearStep(gamma_down=0.0, allow_increasing=True))
    assert growing["slope_down"].min() < 0 < growing["slope_down"].max()
    own = cells_of(LinearStep(gamma_up=0.5, gamma_up_dtod=0.0, mean_bound_reference=False))
    assert_close((own["slope_up"] * own["max_bound"]).astype(np.float32), -0.5 * own["dwmin_up"])


def test_soft_bounds_stop_at_their_bounds():
    cells = cells_of(SoftBounds())
    for side, bound in (("up", "max_bound"), ("down", "min_bound")):
        end = cells[f"dwmin_{side}"] + cells[f"slope_{side}"] * cells[bound]
        assert np.max(np.abs(end)) < 1e-9
    turned = cells_of(SoftBounds(reverse_up=True, reverse_down=True, reverse_offset=0.02))
    end = turned["dwmin_up"] + turned["slope_up"] * (turned["min_bound"] - 0.02)
    assert np.max(np.abs(end)) < 1e-9
    end = turned["dwmin_down"] + turned["slope_down"] * (turned["max_bound"] + 0.02)
    assert np.max(np.abs(end)) < 1e-9


def test_reference_is_drawn_n_16k():
    device = SoftBoundsReference(reference_mean=0.1, reference_std=0.05)
    assert_ks(flat(cells_of(device)["reference"]), stats.norm(0.1, 0.05).cdf)


def test_subtracted_symmetry_point_balances_up_and_down():
    device = SoftBoundsReference(subtract_symmetry_point=True, up_down=0.3)
    cells = cells_of(device)
    reference = cells["reference"]
    up = cells["dwmin_up"] * (1 - reference / cells["max_bound"])
    down = cells["dwmin_down"] * (1 - reference / cells["min_bound"])
    proper = (cells["max_bound"] > 0.02) & (cells["min_bound"] < -0.02)
    np.testing.assert_allclose(up[proper], down[proper], rtol=1e-4, atol=1e-8)  # up and down cancel in `slope`
    assert_close(cells["reset_bias"].astype(np.float32), reference)
    point = symmetry_point({"dwmin_up": 2.0, "dwmin_down": 1.0, "max_bound": 0.5, "min_bound": -1.0})
    assert_close(point, 0.2)


# ---- rest and reset ----


def test_diffusion_spreads_n_16k():
    device = ConstantStep(diffusion=0.01, diffusion_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0)
    cells = fabricate(device, random.key(0))
    walked = device.rest(cells, state_of(device, cells, 0.1), random.key(1)).w
    assert_ks(flat(walked), stats.norm(0.1, 0.01).cdf)
    spread = cells_of(ConstantStep(diffusion=0.01, diffusion_dtod=0.2))["diffusion_rates"]
    assert_mean(flat(spread), 0.01)
    assert_std(flat(spread), 0.002)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_decay_leads_to_the_reset_value(alpha):
    device = ConstantStep(lifetime=20.0, lifetime_dtod=0.1, reset=0.05, reset_dtod=0.01)
    cells = fabricate(device, random.key(0))
    tau = 1 / (1 - np.asarray(cells["decay_scales"], np.float64))
    np.testing.assert_allclose(tau.mean(), 20.0, atol=4 * 2 / 128)
    state = state_of(device, cells, 0.1)
    b = np.asarray(cells["reset_bias"], np.float64)
    expected = (np.asarray(state.w) - b) * (1 - alpha / tau) + b
    expected = np.clip(expected, cells["min_bound"], cells["max_bound"])
    assert_close(device.rest(cells, state, random.key(1), alpha).w, expected)


@pytest.mark.parametrize("device", [Ideal, FloatingPoint])
def test_exact_weights_decay_and_diffuse_n_16k(device):
    state = device().write({}, jnp.full(SHAPE, 0.3), random.key(0))
    assert_close(device(lifetime=10.0).rest({}, state, random.key(1), 0.5).w, np.full(SHAPE, 0.3 * 0.95))
    assert_ks(flat(device(diffusion=0.01).rest({}, state, random.key(1)).w), stats.norm(0.3, 0.01).cdf)
    assert_same_bits(device(lifetime=1.0).rest({}, state, random.key(1)), state)  # tau <= 1: no decay
    assert not device().needs_rest and device(lifetime=10.0).needs_rest


def test_nothing_to_rest_from():
    device = ConstantStep()
    cells = fabricate(device, random.key(0))
    state = state_of(device, cells, 0.1)
    assert not device.needs_rest and device.rest(cells, state, random.key(1)) is state


def test_reset_draws_around_the_reset_value_n_16k():
    device = ConstantStep(reset=0.05, reset_dtod=0.02, reset_std=0.01, w_max_dtod=0.0, w_min_dtod=0.0)
    cells = fabricate(device, random.key(0))
    chosen = jnp.zeros(SHAPE, bool).at[:, ::2].set(True)
    state = state_of(device, cells, 0.4)
    after = device.reset_cells(cells, state, chosen, random.key(1))
    np.testing.assert_array_equal(after.w[:, 1::2], state.w[:, 1::2])
    assert_ks(flat((after.w - cells["reset_bias"])[:, ::2]), stats.norm(0, 0.01).cdf)
    assert_ks(flat(cells["reset_bias"]), stats.norm(0.05, 0.02).cdf)


def test_reset_of_an_ideal_device_n_16k():
    state = Ideal(reset_std=0.02).write({}, jnp.ones(SHAPE), random.key(0))
    after = Ideal(reset_std=0.02).reset_cells({}, state, jnp.ones(SHAPE, bool), random.key(1))
    assert_ks(flat(after.w), stats.norm(0, 0.02).cdf)
    assert not FloatingPoint().reset_cells({}, state, jnp.ones(SHAPE, bool), random.key(1)).w.any()


def test_write_noise_is_seen_but_not_kept_n_16k():
    device = SoftBounds(write_noise_std=3.0, dw_min=0.01, w_max_dtod=0.0, w_min_dtod=0.0)
    cells = fabricate(device, random.key(0))
    state = state_of(device, cells, 0.1)
    np.testing.assert_array_equal(state.persistent, np.full(SHAPE, np.float32(0.1)))
    assert_ks(flat(state.w - state.persistent), stats.norm(0, 0.03).cdf)
    silent = SoftBounds(write_noise_std=3.0, dw_min=0.01, apply_write_noise_on_set=False)
    quiet = silent.write(cells, jnp.full(SHAPE, 0.1), random.key(1))
    np.testing.assert_array_equal(quiet.w, quiet.persistent)
