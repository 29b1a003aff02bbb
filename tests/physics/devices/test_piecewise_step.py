"""Steps from a table against linear interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import PiecewiseStep
from tests.physics.devices.nonlinear_samples import SMALL, alike, assert_step, made, pulsed_once
from tests.tolerance import assert_close

UP, DOWN = (1.4, 1.0, 0.6, 0.3), (0.4, 0.8, 1.0, 1.6)
LAW = {"dw_min": 0.004, "w_max": 0.7, "w_min": -0.5, "piecewise_up": UP, "piecewise_down": DOWN}


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_one_step_n_1e6(up):
    nodes = np.linspace(-0.5, 0.7, 4)
    mean = 0.004 * (np.interp(0.25, nodes, UP) if up else -np.interp(0.25, nodes, DOWN))
    assert_step(pulsed_once(alike(PiecewiseStep, **LAW), 0.25, up), mean, 0.3 * abs(mean))


def test_the_whole_table():
    device = alike(PiecewiseStep, **LAW)
    w = jnp.linspace(-0.5, 0.7, 24).reshape(SMALL)
    cells, state = made(device, SMALL, w)
    for up, table in ((True, UP), (False, DOWN)):
        expected = 0.004 * np.interp(np.asarray(w), np.linspace(-0.5, 0.7, 4), table)
        assert_close(device.step(cells, state.w, jnp.asarray(up)), expected)


def test_one_node_is_a_constant_step():
    device = alike(PiecewiseStep, dw_min=0.004, dw_min_std=0.0, piecewise_up=(0.5,), piecewise_down=(2.0,))
    cells, state = made(device, SMALL, 0.1)
    for sign, move in ((1, 0.002), (-1, -0.008)):
        moved = device.pulse(cells, state, jnp.full(SMALL, sign, jnp.int8), random.key(0))
        assert_close(moved.w, np.full(SMALL, 0.1 + move))


def test_up_and_down_steps_cancel_where_the_tables_cross():
    device = alike(PiecewiseStep, dw_min_std=0.0, piecewise_up=(1.5, 0.5), piecewise_down=(0.5, 1.5))
    cells, state = made(device, SMALL, 0.0)  # half-way, where both are 1
    for sign in (1, -1):
        moved = device.pulse(cells, state, jnp.full(SMALL, sign, jnp.int8), random.key(0))
        assert_close(moved.w, np.full(SMALL, sign * 0.001))


def test_granularity_is_that_of_the_middle_node():
    assert PiecewiseStep(dw_min=0.01, piecewise_up=UP, piecewise_down=DOWN).granularity == pytest.approx(0.006)
    assert PiecewiseStep(dw_min=0.01, piecewise_up=(0.0,), piecewise_down=(1.0,)).granularity == 0.01


def test_a_table_may_be_an_array_and_swept():
    tables = jnp.asarray([UP, DOWN])
    device = alike(PiecewiseStep, **(LAW | {"dw_min_std": 0.0}))
    cells, state = made(device, SMALL, 0.1)
    sign = jnp.ones(SMALL, jnp.int8)

    def moved(table):
        swept = alike(PiecewiseStep, **(LAW | {"dw_min_std": 0.0, "piecewise_up": table}))
        return swept.pulse(cells, state, sign, random.key(0)).w

    both = jax.jit(jax.vmap(moved))(tables)
    assert_close(both[0], device.pulse(cells, state, sign, random.key(0)).w)
    assert_close(both[1], moved(DOWN))


def test_a_list_becomes_a_tuple():
    device = PiecewiseStep(piecewise_up=[1.0, 0.5], piecewise_down=[0.5, 1.0])
    assert device.piecewise_up == (1.0, 0.5) and not jax.tree.leaves(device)


def test_what_is_wrong_is_refused():
    with pytest.raises(ConfigError, match=r"PiecewiseStep\(piecewise_up=\(\)\): needs a tuple of one or more"):
        PiecewiseStep(piecewise_up=())
    with pytest.raises(ConfigError, match=r"PiecewiseStep\(piecewise_down=\(nan,\)\): needs a tuple"):
        PiecewiseStep(piecewise_down=(float("nan"),))
    with pytest.raises(ConfigError, match=r"PiecewiseStep\(piecewise_up=1.0\): needs a tuple"):
        PiecewiseStep(piecewise_up=1.0)
    with pytest.raises(ConfigError, match=r"PiecewiseStep\(piecewise_down=\(1.0,\)\): needs as many nodes .* 2"):
        PiecewiseStep(piecewise_up=(1.0, 0.5))
