"""Counted pulses of devices without a closed form against the same pulses one by one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.physics import ExpStep, PiecewiseStep, PowStep, PowStepReference
from analogjax.physics.devices.leap import FEW, WORTH
from analogjax.physics.devices.nonlinear import _places
from analogjax.physics.devices.pulsed import hidden
from analogjax.physics.presets import PCM, RERAM_ES
from tests.physics.devices.nonlinear_samples import SMALL, alike, made, one_by_one, pulse, pulses
from tests.tolerance import assert_close, assert_same_bits, assert_std

DEVICES = {
    "exp": ExpStep(dw_min=0.004),
    "ReRAM": RERAM_ES,
    "PCM": PCM,
    "pow": PowStep(dw_min=0.004, pow_gamma=1.7, write_noise_std=2.0),
    "pow-reference": PowStepReference(dw_min=0.004, pow_gamma=1.5, reference_std=0.05),
    "piecewise": PiecewiseStep(dw_min=0.004, piecewise_up=(1.4, 1.0, 0.6), piecewise_down=(0.4, 0.8, 1.6)),
}
every_device = pytest.mark.parametrize("name", DEVICES)
# compiling takes most of the time: one table and one power law with all there is, the others under `slow`
CORE = ("pow-reference", "piecewise")
most_devices_slowly = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in CORE else pytest.mark.slow) for name in DEVICES]
)
CHIPS = 2000


def counts(up, down, shape=SMALL):
    return jnp.full(shape, up, jnp.int32), jnp.full(shape, down, jnp.int32)


@most_devices_slowly
def test_pulses_of_one_direction(name):
    device = replace(DEVICES[name], dw_min_std=0.0)
    cells, state = made(device, SMALL, 0.1)
    for number in (WORTH - 1, FEW, 300):
        for way in (1, -1):
            fast = pulses(device, cells, state, *counts(number * (way > 0), number * (way < 0)), random.key(0))
            single = one_by_one(device, cells, state, jnp.full(number, way, jnp.int8), random.key(1))
            moved, ours = (np.asarray(hidden(s) - hidden(state)) for s in (single, fast))
            if number < WORTH:
                assert_close(ours, moved, factor=4)  # these are single pulses
            # a third of a percent, and for a table the 0.4 % that `leap.py` states where its slope jumps
            np.testing.assert_allclose(ours, moved, rtol=0.004 if name == "piecewise" else 0.0034, atol=1e-6)


@most_devices_slowly
def test_mixed_pulses_agree_with_a_random_order_n_2000(name):
    device, shape, (up, down) = DEVICES[name], (CHIPS, 24), (120, 80)
    cells, state = made(device, (1, 24), 0.1)
    # the same 24 devices on every chip; each chip has an order of its own
    cells, state = jax.tree.map(lambda leaf: jnp.tile(leaf, (CHIPS, 1)), (cells, state))
    orders = np.random.default_rng(0).permuted(np.tile([1] * up + [-1] * down, (CHIPS, 1)), axis=1)
    single = one_by_one(device, cells, state, jnp.asarray(orders.T[:, :, None], jnp.int8), random.key(1))
    a, b = (
        np.asarray(hidden(s), np.float64)
        for s in (pulses(device, cells, state, *counts(up, down, shape), random.key(0)), single)
    )
    error, se = np.abs(a.mean(0) - b.mean(0)), np.sqrt((a.var(0) + b.var(0)) / CHIPS)
    moved = (up + down) * np.asarray(jnp.maximum(cells["dwmin_up"], cells["dwmin_down"]))[0]
    assert np.all(error <= 4 * se + 0.014 * moved), error / se
    free = b.std(0) > 1e-6  # not stuck at a bound
    ratio = a.std(0)[free] / b.std(0)[free]
    assert np.all(np.abs(ratio - 1) < 5 / np.sqrt(CHIPS)), ratio


@pytest.mark.parametrize("w", [0.0, 0.1])
def test_noise_that_grows_with_the_weight_is_that_of_single_pulses_n_16k(w):
    # each pulse of it changes the noise of the next by a third: nothing may be leapt over
    device = alike(ExpStep, dw_min=0.01, dw_min_std=1.0, dw_min_std_slope=0.3, w_max=1.0, w_min=-1.0)
    cells, state = made(device, shape := (128, 128), w)
    signs = jnp.full(6, -1, jnp.int8)
    ends = (
        pulses(device, cells, state, *counts(0, 6, shape), random.key(0)),
        one_by_one(device, cells, state, signs, random.key(1)),
    )
    a, b = (np.asarray(hidden(end), np.float64).ravel() for end in ends)
    squares = [(x - x.mean()) ** 2 for x in (a, b)]
    se = np.sqrt(sum(square.var() for square in squares) / a.size)
    assert abs(squares[0].mean() - squares[1].mean()) < 4 * se
    assert abs(a.mean() - b.mean()) < 4 * np.sqrt((a.var() + b.var()) / a.size)


@most_devices_slowly
def test_in_a_large_array_the_last_crosspoints_are_picked_out(name):
    """Most devices leap; a few that are at a bound go pulse by pulse, and no other device gets what is theirs."""
    device, shape = replace(DEVICES[name], dw_min_std=0.0), (64, 128)
    cells, state = made(device, shape, 0.1)
    at_bound = (jnp.arange(64 * 128) % 37 == 5).reshape(shape)
    edge = cells["max_bound"] - 2 * cells["dwmin_up"] - cells.get("reference", 0.0)
    w = jnp.where(at_bound, edge, hidden(state))
    state = replace(state, w=w, persistent=None if state.persistent is None else w)
    fast = pulses(device, cells, state, *counts(20, 0, shape), random.key(0))
    single = one_by_one(device, cells, state, jnp.ones(20, jnp.int8), random.key(1))
    ends, found = (np.asarray(hidden(s)) for s in (single, fast))
    assert_close(found[at_bound], ends[at_bound], factor=20)  # many roundings of a weight, one after the other
    moved, ours = ends - np.asarray(w), found - np.asarray(w)
    # the tolerance is of leaps, as above; 2e-6 are twenty roundings of a weight
    np.testing.assert_allclose(ours, moved, rtol=0.004 if name == "piecewise" else 0.0034, atol=2e-6)


def test_the_spread_of_the_longest_leap_is_that_of_single_pulses_n_131k():
    # along a straight slope k the variance has a closed form, which the noise of the early pulses of a leap reaches
    # only if it shrinks with the slope: without that it is 4.5 % too large here
    device = alike(PowStep, pow_gamma=1.0, dw_min=0.0099, dw_min_std=0.3, w_max=1.0, w_min=-1.0)
    shape, n, k, c = (256, 512), 20, 0.0099 / 2, 0.3  # 20 pulses change the step by a tenth: the longest leap there is
    cells, state = made(device, shape, 0.0)
    moves = np.asarray(pulses(device, cells, state, *counts(n, 0, shape), random.key(8)).w, np.float64).ravel()
    expected = np.sqrt(((1 - k) ** 2 + (k * c) ** 2) ** n - (1 - k) ** (2 * n))  # (1 - w) begins at 1
    np.testing.assert_allclose(moves.mean(), 1 - (1 - k) ** n, atol=4 * expected / np.sqrt(moves.size))
    assert_std(moves, expected, slack=(n * k) ** 2 / 5 * expected)  # the leap is of second order in n k


def test_every_order_of_three_pulses_is_equally_likely_n_16k():
    # steps that differ tenfold between two halves of the range tell the orders apart
    device = PiecewiseStep(dw_min_std=0.0, piecewise_up=(1.0, 0.1), piecewise_down=(0.1, 1.0), dw_min=0.2)
    device = replace(device, dw_min_dtod=0.0, up_down_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0)
    cells, state = made(device, (128, 128), 0.0)
    ends = np.round(np.asarray(pulses(device, cells, state, *counts(2, 1, (128, 128)), random.key(0)).w), 5)
    few, state = made(device, SMALL, 0.0)
    expected = []
    for order in ((1, 1, -1), (1, -1, 1), (-1, 1, 1)):
        expected.append(float(one_by_one(device, few, state, jnp.array(order, jnp.int8), random.key(0)).w[0, 0]))
    number = [np.sum(np.abs(ends - end) < 1e-4) for end in expected]
    assert sum(number) == ends.size
    assert np.all(np.abs(np.array(number) - ends.size / 3) < 4 * np.sqrt(ends.size * 2 / 9)), number


@every_device
def test_pulses_read_their_arguments_only(name):
    device = DEVICES[name]
    cells, state = made(device, SMALL, 0.1)
    before = jax.tree.map(lambda leaf: np.array(leaf), (cells, state))
    first, second = (pulse(device, cells, state, jnp.ones(SMALL, jnp.int8), random.key(3)) for _ in range(2))
    assert_same_bits(first, second)
    assert_same_bits(jax.tree.map(np.asarray, (cells, state)), before)


def test_chips_under_vmap_are_those_of_a_loop():
    device, keys = DEVICES["pow"], jax.random.split(random.key(5), 3)
    cells, state = made(device, SMALL, 0.1)
    numbers = jnp.array([2, 70, 150])  # of which two leap

    def run(n, key):
        return device.pulses(cells, state, jnp.full(SMALL, n), jnp.full(SMALL, n // 2), key)

    together = jax.jit(jax.vmap(run))(numbers, keys)
    alone_on = jax.jit(run)
    for chip in range(3):
        alone = alone_on(numbers[chip], keys[chip])
        jax.tree.map(lambda a, b: assert_close(a[chip], b), together, alone)  # noqa: B023


@pytest.mark.parametrize("number", [1, 31, 32, 33, 1000])
@pytest.mark.parametrize("part", [0.0, 0.1, 1.0])
def test_the_first_of_those_chosen_are_found(number, part):
    chosen = np.random.default_rng(0).uniform(size=number) < part
    for wanted in (1, 5, 64):
        expected = np.full(wanted, number)
        expected[: min(wanted, chosen.sum())] = np.flatnonzero(chosen)[:wanted]
        assert np.array_equal(_places(jnp.asarray(chosen), wanted), expected)
