"""Departures from aihwkit, and quirks kept, that no other test shows: rows of docs/differences.md."""

import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import nn, physics, random
from analogjax.errors import ConfigError
from analogjax.physics import presets
from analogjax.physics.compounds import MixedPrecision, OneSided, agad, c_ttv2, tiki_taka
from analogjax.tile import Mapping, TileConfig

GROUPS = ("compounds", "inference", "mvm", "periphery", "pulse_response", "update_statistics")
ROOT = Path(__file__).parents[2]
STEP = physics.ConstantStep(dw_min=0.01, dw_min_std=0.0)
O, I = 3, 5  # noqa: E741 - the letters of the library


def made(device, w=0.0):
    k_cells, k_write = jax.random.split(random.key(0))
    cells = device.fabricate((O, I), jnp.float32, k_cells)
    return cells, device.write(cells, jnp.full((O, I), w), k_write)


def updated(device, p, lr, batch=2, key=3):
    cells, state = made(device)
    x, d = jnp.linspace(-1, 0.7, batch * I).reshape(batch, I), jnp.linspace(0.3, 1, batch * O).reshape(batch, O)
    return state, device.update(p, cells, state, x, d, jnp.float32(lr), random.key(key))


@pytest.mark.parametrize("kind", ["StochasticCompressed", "MeanCount", "DeterministicImplicit"])
def test_a_negative_learning_rate_fires_no_pulse(kind):
    before, after = updated(STEP, physics.Pulses(pulse_type=kind), -0.1)
    np.testing.assert_array_equal(after.w, before.w)
    assert np.any(updated(STEP, physics.Pulses(pulse_type=kind), 0.1)[1].w != before.w)


def test_a_negative_learning_rate_turns_a_digital_update_round():
    up, down = (updated(STEP, physics.Pulses(pulse_type="None"), lr)[1].w for lr in (0.1, -0.1))
    np.testing.assert_allclose(up, -down, atol=1e-7)


@pytest.mark.parametrize(("columnwise", "shape"), [(False, ()), (True, (O,))])
def test_a_layer_on_several_chips_has_one_learned_scale(columnwise, shape):
    mapping = Mapping(max_input_size=3, max_output_size=2, learn_out_scaling=True, out_scaling_columnwise=columnwise)
    layer = nn.AnalogLinear(features=O, config=TileConfig(mapping=mapping))
    variables = layer.init(random.key(0), jnp.ones((1, I)))
    assert variables["tiles"]["tile"].grid == (2, 2)
    assert variables["params"]["out_scale"].shape == shape


@pytest.mark.parametrize("bins", [{"n_x_bins": 4}, {"n_d_bins": 4}])
def test_one_side_alone_is_quantised(bins):
    device = MixedPrecision(device=STEP, transfer_every=0, stoc_round_x=False, stoc_round_d=False)
    plain, binned = (updated(one, physics.Pulses(), 1.0, 1)[1].chi for one in (device, replace(device, **bins)))
    chi = np.asarray(binned)
    x, d = np.linspace(-1, 0.7, I), np.linspace(0.3, 1, O)
    x, d = (np.round(2 * x) / 2, d) if "n_x_bins" in bins else (x, np.round(2 * d) / 2)
    np.testing.assert_allclose(np.abs(chi), np.abs(np.outer(d, x)), atol=1e-6)
    assert np.any(chi != np.asarray(plain))


@pytest.mark.parametrize("columns", [True, False])
def test_a_chopped_cell_of_any_shape_is_dechopped_crosspoint_by_crosspoint(columns):
    device = c_ttv2((STEP, STEP), gamma=0.5, transfer_columns=columns)
    _, state = made(device)
    lines, others = (I, O) if columns else (O, I)
    inside, outside = jnp.asarray([-1, 1] * 3, jnp.int8)[:lines], jnp.asarray([1, -1, -1, 1, 1], jnp.int8)[:others]
    fast = replace(state.parts[0], w=jnp.arange(15.0).reshape(O, I) / 100)
    choppers = replace(state.chopper, inside=inside, outside=outside)
    seen = device.summed(replace(state, parts=(fast, state.parts[1]), chopper=choppers))
    c_in, c_out = np.asarray(inside, float), np.asarray(outside, float)
    signs = np.outer(c_out, c_in) if columns else np.outer(c_in, c_out)
    np.testing.assert_allclose(seen.w, 0.5 * signs * np.asarray(fast.w) + np.asarray(state.parts[1].w), atol=1e-7)


def test_mixed_precision_manages_its_writes_whatever_is_said():
    device = MixedPrecision(device=STEP)
    one, other = (
        updated(device, physics.Pulses(update_management=on, update_bl_management=on), 0.1)[1].w for on in (True, False)
    )
    np.testing.assert_array_equal(one, other)


def test_a_transfer_reads_without_management_whatever_is_said():
    managed = physics.Periphery()
    assert managed.noise_management is not None and managed.bound_management is not None
    reading = tiki_taka((STEP, STEP), transfer_forward=managed).reader.transfer_forward.unmanaged()
    assert reading.noise_management is None and reading.bound_management is None


def test_a_pair_has_one_set_of_parameters_and_no_refresh_with_write_noise():
    pair = OneSided(device=STEP)
    assert pair.devices == (STEP, STEP)
    noisy = physics.SoftBounds(write_noise_std=1.0)
    with pytest.raises(ConfigError, match="write noise"):
        OneSided(device=noisy, refresh_every=1)
    assert OneSided(device=noisy).refresh_every == 0


def test_an_inverted_copy_mirrors_its_own_draws_and_the_first_ones_law():
    spread = {"gamma_up": 0.5, "gamma_down": 0.2, "gamma_up_dtod": 0.3, "gamma_down_dtod": 0.3, "up_down": 0.2}
    for device in (physics.LinearStep(**spread), physics.PowStepReference(reference_std=0.1, pow_up_down=0.4)):
        plain, mirrored = (made(OneSided(device=device, copy_inverted=copy))[0] for copy in (False, True))
        for k, name, j, of, sign in (
            (1, "dwmin_up", 1, "dwmin_down", 1), (1, "dwmin_down", 1, "dwmin_up", 1),
            (1, "max_bound", 1, "min_bound", -1), (1, "min_bound", 1, "max_bound", -1),
            (1, "reference", 1, "reference", -1), (1, "slope_up", 0, "slope_down", -1),
            (1, "slope_down", 0, "slope_up", -1), (1, "gamma_up", 0, "gamma_down", 1),
            (1, "gamma_down", 0, "gamma_up", 1),
        ):  # fmt: skip
            if of in plain[j]:
                np.testing.assert_array_equal(mirrored[k][name], sign * plain[j][of])
        assert all(np.array_equal(mirrored[0][name], plain[0][name]) for name in plain[0])


def test_agad_refuses_choppers_of_the_other_lines_and_heeds_no_buffer():
    pair = (STEP, STEP)
    with pytest.raises(ConfigError, match="out_chop_prob"):
        agad(devices=pair, out_chop_prob=0.1)
    exact = physics.Periphery(is_perfect=True)
    for no_buffer in (False, True):  # one read is never a whole step: only a buffer collects them
        cell = agad(
            devices=pair, transfer_forward=exact, in_chop_prob=0.5, buffer_granularity=400.0, no_buffer=no_buffer
        )
        after = updated(cell, physics.Pulses(), 1.0, batch=80)[1]
        assert np.any(after.parts[1].w) != no_buffer


def test_other_constants_of_a_crosspoint_leave_the_device_as_it_is():
    cells, state = made(STEP)
    twice = cells | {"dwmin_up": 2 * cells["dwmin_up"]}
    assert STEP.granularity == 0.01
    up = jnp.ones((O, I), jnp.int8)
    once, double = (STEP.pulse(c, state, up, random.key(1)).w for c in (cells, twice))
    np.testing.assert_allclose(double, 2 * once, rtol=1e-6)


def test_every_chip_has_its_own_seed_and_repeats():
    one, again, other = (presets.CAPACITOR.fabricate((O, I), jnp.float32, random.key(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one["max_bound"], again["max_bound"])
    assert np.any(one["max_bound"] != other["max_bound"])


def test_every_test_that_the_document_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)(?:\[([^\]`]+)\])?`", (ROOT / "docs" / "differences.md").read_text())
    assert len(named) > 25
    for path, test, case in named:
        text = (ROOT / path).read_text()
        assert f"def {test}(" in text or f"class {test}:" in text, (path, test)
        if path.startswith("tests/golden"):
            from tests.golden.catalog import cases

            assert any(case in cases(group) for group in GROUPS), case
