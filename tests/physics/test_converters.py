"""Derivatives of converters, and of products through them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.physics import ADC, DAC, Periphery
from analogjax.physics.converters import clip, quantise
from analogjax.physics.periphery import mvm
from tests.tolerance import assert_close

V = jnp.array([-1.5, -1.0, -0.3, 0.0, 0.26, 0.5, 1.0, 1.2])


@pytest.mark.parametrize("stochastic", [False, True])
def test_rounding_has_the_derivative_of_the_identity(stochastic, key):
    rounded, pull = jax.vjp(lambda v, step: quantise(v, step, key if stochastic else None), V, jnp.float32(0.25))
    dv, dstep = pull(jnp.ones_like(V))
    np.testing.assert_array_equal(dv, 1.0)
    assert_close(dstep, np.sum((np.asarray(rounded) - np.asarray(V)) / 0.25))


def test_a_bound_lets_pass_what_it_holds():
    held, pull = jax.vjp(clip, V, jnp.float32(1.0))
    dv, dbound = pull(jnp.ones_like(V))
    np.testing.assert_array_equal(held, np.clip(V, -1, 1))
    np.testing.assert_array_equal(dv, [0, 1, 1, 1, 1, 1, 1, 0])
    assert dbound == 0.0  # -1 below, 1 above
    np.testing.assert_array_equal(jax.grad(lambda v: clip(v, 0.0).sum())(V), 1.0)


def test_a_product_can_be_differentiated(key):
    # fine converters: the derivative is that of the product where no output clips
    p = Periphery(dac=DAC(res=1e-5), adc=ADC(res=1e-6), bound_management=None)
    w, x = 0.3 * random.normal(random.key(1), (4, 6)), random.normal(random.key(2), (3, 6))
    _, pull = jax.vjp(lambda w, x: mvm(p, w, x, {}, key), w, x)
    d = random.normal(random.key(3), (3, 4))
    dw, dx = pull(d)
    w, x, d = (np.asarray(a, np.float64) for a in (w, x, d))
    # the input scale has a derivative too: noise and rounding, times d, go to the largest input
    largest = np.abs(x).argmax(1)
    keep = np.ones_like(x, bool)
    keep[np.arange(3), largest] = False
    assert_close(np.asarray(dx)[keep], (d @ w)[keep])
    assert_close(dw, d.T @ x, factor=100)  # inputs are rounded to 2e-5


def test_reads_of_one_vector_at_a_time_have_no_reverse_mode(key):
    with pytest.raises(ValueError, match="while_loop"):
        jax.grad(lambda x: mvm(Periphery(), jnp.eye(2), x, {}, key).sum())(jnp.ones((1, 2)))


def test_a_bound_that_is_a_whole_number_has_a_derivative():
    grads = [jax.grad(lambda v: clip(v, bound).sum())(jnp.asarray([0.5, 3.0])) for bound in (2, 2.0)]  # noqa: B023
    assert jnp.array_equal(*grads)
