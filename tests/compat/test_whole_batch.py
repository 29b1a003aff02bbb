"""The habits of aihwkit's torch tile as a read policy: whole batches, silence, negative bounds, derivatives."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.physics import ADC, DAC, BoundManagement, NoiseManagement, Periphery
from analogjax.physics.periphery import mvm
from compat.whole_batch import WholeBatch, as_torch_tile
from tests.physics import parts
from tests.physics.parts import off, run
from tests.tolerance import assert_close, assert_same_bits


@pytest.fixture
def w():
    return parts.weights()


@pytest.fixture
def x():
    return parts.inputs()


def test_the_whole_batch_is_read_again(key):
    p = Periphery(dac=DAC(res=1 / 8, max_res=1.0), adc=ADC(noise=0.0, res=0.0, bound=1.0), noise_management=None)
    # 0.9 fits when it is divided by 4; 0.26 is a step of 0.25, but the fourth part of it is lost in the DAC
    w, x = 3 * jnp.eye(1), jnp.array([[0.9], [0.26]])
    fine, coarse = (run(one, w, x, {}, key) for one in (p, as_torch_tile(p)))
    assert_close(fine, [[3.0], [0.75]])
    assert_close(coarse, [[3.0], [0.0]])
    worst = as_torch_tile(replace(p, bound_management=BoundManagement(worst_case=True)))
    assert_same_bits(run(worst, w, x, {}, key), coarse)  # from half the input, whatever the kind


@pytest.mark.parametrize(("limit", "factor"), [(3, 4), (4, 8), (8, 16), (1000, 32)])
def test_the_last_read_is_the_first_beyond_the_largest_factor(limit, factor, key):
    p = Periphery(
        dac=DAC(res=0.0),
        adc=ADC(res=0.0, noise=0.0, bound=1.0),
        bound_management=BoundManagement(max_factor=limit),
    )
    assert_close(run(as_torch_tile(p), 30 * jnp.eye(1), jnp.ones((1, 1)), {}, key), [[min(30.0, factor)]])


@pytest.mark.parametrize("bounds", [None, BoundManagement()], ids=["one read", "several"])
def test_silence_is_that_of_all_vectors(bounds, w, key):
    p = as_torch_tile(Periphery(bound_management=bounds))
    assert not run(p, w, jnp.zeros((3, 6)), {}, key).any()
    assert run(p, w, jnp.zeros((3, 6)).at[1].set(1.0), {}, key)[0].any()
    largest = replace(p, noise_management=NoiseManagement(kind="Max"))
    assert run(largest, w, -jnp.ones((3, 6)), {}, key).any()  # a negative scale is none, and no silence


def test_a_converter_keeps_the_step_of_a_negative_bound(w, x, key):
    plain = off(adc={"res": 0.05, "bound": -1.0})
    y = run(as_torch_tile(plain), w, 100 * x, {}, key)
    assert_close(y, np.round(np.asarray(100 * x, float) @ np.asarray(w, float).T / 0.1) * 0.1)
    assert_close(run(plain, w, x, {}, key), np.asarray(x, float) @ np.asarray(w, float).T)
    counted = as_torch_tile(off(dac={"res": 20, "bound": -1.0}))
    expected = np.round(np.asarray(x, float) / 0.1) * 0.1 @ np.asarray(w, float).T
    assert_close(run(counted, w, x, {}, key), expected)


def test_a_perfect_product_has_no_scale_and_noise_is_spread_by_all_of_it():
    p = as_torch_tile(Periphery(adc=ADC(scale=2.0, noise_std=0.02), is_perfect=True))
    assert (p.adc.scale, p.adc.noise_std) == (1.0, 1.0)
    assert as_torch_tile(Periphery(adc=ADC(scale=2.0))).adc.scale == 2.0


@pytest.mark.parametrize("managed", [False, True], ids=["one read", "several"])
def test_such_a_product_can_be_differentiated(managed, w, x, key):
    # fine converters: the derivative is that of the product where no output clips
    p = Periphery(
        dac=DAC(res=1e-5, max_res=1e4),
        adc=ADC(res=1e-6, bound=0.5 if managed else 5.0, noise=0.0),
        bound_management=WholeBatch(managed=managed),
    )
    y, pull = jax.vjp(lambda w, x: mvm(p, w, x, {}, key), w, x)
    assert not managed or np.abs(y / np.abs(x).max(1, keepdims=True)).max() > 0.5  # one read would clip
    d = random.normal(random.key(3), (3, 4))
    dw, dx = pull(d)
    w, x, d = (np.asarray(a, np.float64) for a in (w, x, d))
    # the input scale has a derivative too: noise and rounding, times d, go to the largest input
    keep = np.ones_like(x, bool)
    keep[np.arange(3), np.abs(x).argmax(1)] = False
    assert_close(np.asarray(dx)[keep], (d @ w)[keep])
    assert_close(dw, d.T @ x, factor=100)  # inputs are rounded to 2e-5
