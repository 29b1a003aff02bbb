"""Pulse trains: lengths, probabilities, packing, and the one law behind both evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics.counting import coincidences, each_pulse
from analogjax.physics.pulses import Pulses, outer_product
from analogjax.physics.trains import Trains, managed_length, trains
from tests.tolerance import assert_close, assert_mean, assert_same_bits

I, O = 5, 3  # noqa: E741 - the letters of the library
G = 0.001
count = jax.jit(coincidences)


@jax.jit
def count_one_by_one(t, key):
    """Ups and downs as the sequential evaluation visits them."""

    def visit(state, sign, key):
        return state[0] + (sign > 0), state[1] + (sign < 0)

    zero = jnp.zeros((t.p_d.shape[1], t.p_x.shape[1]), jnp.int32)
    return each_pulse(t, key, visit, (zero, zero), jax.random.key(0))


@jax.jit
def draw_counts(p, x, d, lr, keys):
    return jax.vmap(lambda k: coincidences(trains(p, x, d, lr, G, random.key(0)), k))(keys)


def batch(size, seed=0):
    k_x, k_d = jax.random.split(random.key(seed))
    return random.normal(k_x, (size, I)), random.normal(k_d, (size, O))


def expected_pulses(p, x, d, learning_rate, granularity):
    """Mean number of pulses `[B, O, I]` at each crosspoint, with probabilities above 1 saturating."""
    length, a, b = managed_length(p, x, d, learning_rate, granularity)
    p_x, p_d = jnp.minimum(jnp.abs(x) * b[:, None], 1.0), jnp.minimum(jnp.abs(d) * a[:, None], 1.0)
    return length[:, None, None] * p_d[:, :, None] * p_x[:, None, :]


# compiling each batch size takes seconds: one word, slots that fill it, more than one word; the others under `slow`
SIZES = [
    pytest.param(size, marks=() if size in (1, 10, 33) else pytest.mark.slow)
    for size in (1, 2, 3, 8, 10, 31, 32, 33, 64, 100)
]


@pytest.mark.parametrize("size", SIZES)
def test_packed_and_sequential_see_the_same_pulses(size):
    x, d = batch(size)
    t = trains(Pulses(), x, d, 0.02, G, random.key(1))
    assert len(set(np.asarray(t.length).tolist())) > 1 or size == 1  # trains of different lengths share a pass
    fast, single = count(t, random.key(2)), count_one_by_one(t, random.key(2))
    assert_same_bits(fast, single)
    assert fast[0].sum() > 0 and fast[1].sum() > 0


def test_a_sample_draws_the_same_bits_in_any_company():
    x, d = batch(10)
    t = trains(Pulses(), x, d, 0.02, G, random.key(1))
    whole = count(t, random.key(2))
    alone = [count(t.only(jnp.arange(10) == b), random.key(2)) for b in range(10)]
    for direction in range(2):
        np.testing.assert_array_equal(whole[direction], sum(a[direction] for a in alone))
    first = jax.tree.map(lambda leaf: leaf[:4], t)  # fewer lanes, other words
    np.testing.assert_array_equal(count(first, random.key(2))[0], sum(a[0] for a in alone[:4]))


def test_only_keeps_the_chosen_samples():
    t = trains(Pulses(), *batch(4), 0.02, G, random.key(1))
    chosen = jnp.array([True, False, True, False])
    np.testing.assert_array_equal(t.only(chosen).length, np.asarray(t.length) * np.asarray(chosen))
    assert_same_bits(t.only(jnp.ones(4, bool)), t)


CASES = {
    "managed": Pulses(),
    "um only": Pulses(update_bl_management=False),
    "plain": Pulses(update_bl_management=False, update_management=False, desired_bl=1000),
    "short": Pulses(desired_bl=5),
    "grad scale": Pulses(um_grad_scale=0.5),
    "free length": Pulses(update_bl_management=False, update_management=False, fixed_bl=False, desired_bl=10),
    "free length um": Pulses(update_bl_management=False, fixed_bl=False, desired_bl=10),
}


@pytest.mark.parametrize("case", CASES)
def test_mean_count_is_as_expected_n_2048(case):
    x, d = batch(2)
    up, down = draw_counts(CASES[case], x, d, 0.02, jax.random.split(random.key(3), 2048))
    each = expected_pulses(CASES[case], x, d, 0.02, G)
    opposite = (d[:, :, None] * x[:, None, :]) < 0
    assert_mean(np.asarray(up), np.where(opposite, each, 0).sum(0))
    assert_mean(np.asarray(down), np.where(opposite, 0, each).sum(0))


@pytest.mark.parametrize("case", ["managed", "um only", "plain"])
def test_expected_count_is_the_gradient_where_nothing_saturates(case):
    x, d = batch(3)
    rate = 0.002  # k = eta max|x| max|d| / g below desired_bl, and probabilities below 1
    each = expected_pulses(CASES[case], x, d, rate, G)
    assert_close(each, rate * np.abs(d[:, :, None] * x[:, None, :]) / G)


def test_variance_of_a_train_is_binomial_n_4096():
    x, d = jnp.array([[1.0, 0.5]]), jnp.array([[1.0, 0.7]])
    p = Pulses(update_bl_management=False, desired_bl=31)
    _, down = draw_counts(p, x, d, 0.01, jax.random.split(random.key(4), 4096))
    mean = np.asarray(expected_pulses(p, x, d, 0.01, G))[0]
    expected = mean * (1 - mean / 31)
    got = np.asarray(down, np.float64).var(0, ddof=1)
    m4 = np.mean((down - np.asarray(down).mean(0)) ** 4, 0)
    assert np.all(np.abs(got - expected) < 4 * np.sqrt((m4 - got**2) / 4096))


def test_lines_that_share_a_wire_are_correlated_and_others_are_not_n_4096():
    # one bit per line and slot: two devices of one row are pulsed together more often than independent ones
    x, d = jnp.ones((1, 2)), jnp.ones((1, 2))
    p = Pulses(update_bl_management=False, desired_bl=8)
    _, down = draw_counts(p, x, d, 0.002, jax.random.split(random.key(5), 4096))  # p_x = p_d = 1/2, 8 slots
    n = np.asarray(down, np.float64).reshape(-1, 4)
    corr = np.corrcoef(n.T)
    # cov of one slot: same line 1/8 - 1/16, no shared line 0; var 3/16
    se = 1 / np.sqrt(4096)
    assert abs(corr[0, 1] - 1 / 3) < 4 * se and abs(corr[0, 2] - 1 / 3) < 4 * se and abs(corr[0, 3]) < 4 * se


def test_length_follows_update_bl_management():
    x = jnp.array([[1.0, 0.2], [0.5, 0.1], [2.0, 0.0], [0.01, 0.0]])
    d = jnp.array([[0.5], [0.1], [3.0], [0.01]])
    length, _, _ = managed_length(Pulses(), x, d, 0.01, G)
    assert length.dtype == jnp.int32
    assert length.tolist() == [
        5,
        1,
        31,
        1,
    ]  # ceil(eta max|x| max|d| / g) = ceil(5), ceil(0.5), min(60, 31), ceil(0.001)


def test_update_management_balances_the_two_lines():
    x, d = batch(4)
    for p in (Pulses(), Pulses(update_bl_management=False)):
        t = trains(p, x, d, 0.005, G, random.key(0))
        assert_close(t.p_x.max(-1), t.p_d.max(-1))
        k = 0.005 * np.abs(x).max(-1) * np.abs(d).max(-1) / G
        assert_close(t.p_x.max(-1), np.minimum(np.sqrt(k / np.asarray(t.length)), 1))


def test_um_grad_scale_scales_the_assumed_error():
    x, d = batch(4)
    for scale in (0.25, 2.0):
        length, a, b = managed_length(Pulses(um_grad_scale=scale), x, d, 0.005, G)
        k = 0.005 * np.abs(x).max(-1) * scale * np.abs(d).max(-1) / G
        np.testing.assert_array_equal(length, np.minimum(np.ceil(k), 31))
        assert_close(a * b, 0.005 / (G * np.asarray(length)))  # unbiased whatever the scale


def test_free_length_grows_with_the_rate():
    p = Pulses(desired_bl=10, fixed_bl=False, update_bl_management=False, update_management=False)
    x, d = batch(2)
    for rate, length, ab in ((0.005, 10, 0.5), (0.05, 50, 1.0), (0.1005, 101, 1.0)):
        got, a, b = managed_length(p, x, d, rate, G)
        assert got.tolist() == [length] * 2
        assert_close(a * b, [ab] * 2)
    # 101 slots, all lines certain: exactly 101 pulses each
    t = trains(p, jnp.ones((1, I)), jnp.ones((1, O)), 0.1005, G, random.key(0))
    _, down = count(t, random.key(1))
    np.testing.assert_array_equal(down, np.full((O, I), 101))
    assert_same_bits(count(t, random.key(1)), count_one_by_one(t, random.key(1)))


def test_probabilities_above_one_always_fire():
    p = Pulses(update_bl_management=False, update_management=False, desired_bl=7)
    t = trains(p, 100 * jnp.ones((2, I)), 100 * jnp.ones((2, O)), 0.1, G, random.key(0))
    assert t.p_x.min() > 1
    up, down = count(t, random.key(1))
    assert not up.any()
    np.testing.assert_array_equal(down, np.full((O, I), 14))
    np.testing.assert_array_equal(expected_pulses(p, 100 * jnp.ones((2, I)), 100 * jnp.ones((2, O)), 0.1, G).sum(0), 14)


@pytest.mark.parametrize(("sx", "sd"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_the_pulse_goes_against_the_gradient(sx, sd):
    t = trains(Pulses(), sx * jnp.ones((1, I)), sd * jnp.ones((1, O)), 0.01, G, random.key(0))
    up, down = count(t, random.key(1))
    moved, still = (down, up) if sx * sd > 0 else (up, down)
    assert moved.min() > 0 and not still.any()
    assert_same_bits(count_one_by_one(t, random.key(1)), (up, down))


@pytest.mark.parametrize("case", CASES)
def test_no_input_no_error_or_no_rate_means_no_pulse(case):
    x, d = batch(3)
    for x_, d_, lr in ((0 * x, d, 0.1), (x, 0 * d, 0.1), (x, d, 0.0), (x, d, -0.1)):
        t = trains(CASES[case], x_, d_, lr, G, random.key(0))
        assert t.length.dtype == jnp.int32
        assert not np.any(t.length)
        assert lr < 0 or (np.isfinite(t.p_x).all() and np.isfinite(t.p_d).all())
        up, down = count(t, random.key(1))
        assert not up.any() and not down.any()


def test_a_zero_line_is_never_pulsed():
    x, d = batch(6)
    t = trains(Pulses(), x.at[:, 2].set(0), d.at[:, 1].set(0), 0.1, G, random.key(0))
    total = sum(count(t, random.key(1)))
    assert not total[:, 2].any() and not total[1].any() and total[0, 0] > 0


def test_resolution_rounds_the_probabilities():
    x, d = batch(2)
    t = trains(Pulses(res=0.1), x, d, 0.002, G, random.key(0))
    exact = trains(Pulses(), x, d, 0.002, G, random.key(0))
    assert_close(t.p_x, np.round(np.asarray(exact.p_x) / np.float32(0.1)) * np.float32(0.1))
    keys = jax.random.split(random.key(1), 2048)
    rounded = jax.vmap(lambda k: trains(Pulses(res=0.1, sto_round=True), x, d, 0.002, G, k).p_x)(keys)
    assert_mean(rounded, np.asarray(exact.p_x))
    assert np.all(np.abs(np.asarray(rounded) / 0.1 - np.round(np.asarray(rounded) / 0.1)) < 1e-4)


def test_a_traced_resolution_of_zero_is_ideal():
    x, d = batch(2)
    exact = trains(Pulses(), x, d, 0.002, G, random.key(0))
    traced = trains(Pulses(res=jnp.float32(0)), x, d, 0.002, G, random.key(0))
    assert_close(traced.p_x, exact.p_x)


def test_outer_product_is_exact():
    x, d = batch(7)
    expected = 0.1 * np.einsum("bo,bi->oi", np.asarray(d, np.float64), np.asarray(x, np.float64))
    assert_close(outer_product(x, d, 0.1), expected)


@pytest.mark.parametrize("bad", [{"desired_bl": 0}, {"desired_bl": 1.5}, {"pulse_type": "x"}, {"um_grad_scale": -1}])
def test_nonsense_is_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Pulses(**bad)


def test_trains_is_a_pytree():
    t = trains(Pulses(), *batch(2), 0.1, G, random.key(0))
    assert isinstance(jax.tree.map(lambda leaf: leaf, t), Trains) and len(jax.tree.leaves(t)) == 5
