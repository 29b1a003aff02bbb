"""Devices of a few states and much noise, drawn at random: the default evaluation is that of single pulses.

A chip has 120 crosspoints; the mean and the spread of its weights after each batch are one observation, so that the
crosspoints of a chip, which share their lines, need not be independent. Bound: 4.5 standard errors of 96 chips.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import physics, random
from analogjax.tile.presets import DEVICES
from tests.tolerance import assert_close, assert_same_bits

SHAPE, BATCH, BATCHES, CHIPS = (10, 12), 40, 3, 96  # 40 samples: more than small arrays take one after the other
BOUND = 4.5  # standard errors: 1 in 150 000 for each of some hundred statistics, at keys that are fixed
DEFAULT = physics.Pulses()
TRACED = ("dw_min", "dw_min_dtod", "dw_min_std", "w_max", "w_min")


def drawn(number):
    """Parameters of a device of 2 to 20 states."""
    chance = np.random.default_rng([12, number])
    high, low = chance.uniform(0.3, 1.2, 2)
    return {
        "dw_min": float((high + low) / chance.uniform(2, 20)),
        "dw_min_dtod": float(chance.uniform(0, 0.7)),
        "dw_min_dtod_log_normal": True,
        "dw_min_std": float(chance.uniform(0, 1)),
        "w_max": float(high),
        "w_min": float(-low),
        "w_max_dtod": float(chance.uniform(0, 0.5)),
        "w_min_dtod": float(chance.uniform(0, 0.5)),
    }


def single(kind, **fields):
    return lambda number: kind(**drawn(number), **fields)


KINDS = {
    "constant": single(physics.ConstantStep),
    "linear": single(physics.LinearStep, gamma_up=0.5, gamma_down=0.3, write_noise_std=0.3),
    "linear-additive": single(physics.LinearStep, gamma_up=0.2, gamma_down=0.9, mult_noise=False),
    "soft": single(physics.SoftBounds),
    "reference": single(physics.SoftBoundsReference, subtract_symmetry_point=True, reference_std=0.05),
    "reference-mult": single(physics.SoftBoundsReference, mult_noise=True, write_noise_std=0.6, slope_up_dtod=0.1),
    "exp": single(physics.ExpStep, A_up=-1.2, A_down=-0.3, gamma_up=2.0, gamma_down=2.0, a=-0.5),
    "pow": single(physics.PowStep, pow_gamma=1.7, pow_gamma_dtod=0.2),
    "pow-reference": single(physics.PowStepReference, pow_gamma=1.3, subtract_symmetry_point=True),
    "piecewise": single(physics.PiecewiseStep, piecewise_up=(1.4, 1.0, 0.6), piecewise_down=(0.4, 0.8, 1.6)),
    "vector": lambda number: physics.Vector(devices=(single(physics.SoftBounds)(number), physics.ConstantStep())),
    "one-sided": lambda number: physics.OneSided(device=physics.SoftBoundsReference(**drawn(number))),
}
FAST = ("constant", "reference", "exp", "one-sided")
every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in FAST else pytest.mark.slow) for kind in KINDS]
)


def observed(device, p, key):
    """Mean and spread of the weights of one chip after each batch, `[BATCHES, 2]`."""
    k_cells, k_write, k_run = jax.random.split(key, 3)
    cells = device.fabricate(SHAPE, jnp.dtype("float32"), k_cells)
    state = device.write(cells, jnp.zeros(SHAPE), k_write)

    def batch(state, n):
        k_x, k_d, k_update = jax.random.split(jax.random.fold_in(k_run, n), 3)
        x = random.uniform(k_x, (BATCH, SHAPE[1]))
        d = random.normal(k_d, (BATCH, SHAPE[0])) + jnp.where(n % 2 == 0, 0.5, -0.5)  # up and down, one more than other
        state = device.update(p, cells, state, x, d, 2 * device.granularity, k_update)
        return state, jnp.array([jnp.mean(state.w), jnp.std(state.w)])

    return jax.lax.scan(batch, state, jnp.arange(BATCHES))[1]


def worst(device, seed):
    """The largest deviation of the default from single pulses, in standard errors of `CHIPS` chips."""
    runs = []
    for n, p in enumerate((DEFAULT, replace(DEFAULT, sequential=True))):
        keys = jax.random.split(random.key(2 * seed + n), CHIPS)
        runs.append(np.asarray(jax.jit(jax.vmap(lambda key, p=p: observed(device, p, key)))(keys), np.float64))
    difference = runs[0].mean(0) - runs[1].mean(0)
    return np.max(np.abs(difference) / np.sqrt((runs[0].var(0, ddof=1) + runs[1].var(0, ddof=1)) / CHIPS))


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))])
@every_kind
def test_the_default_agrees_with_single_pulses_n_96(kind, number):
    assert worst(KINDS[kind](number), number) < BOUND


@pytest.mark.parametrize("kind", ["constant", *(pytest.param(k, marks=pytest.mark.slow) for k in ("soft", "pow"))])
def test_swept_devices_agree_with_single_pulses_n_32(kind):
    # parameters that are traced leave it to run time which devices are coarse: here all but the last
    swept = {name: jnp.array([drawn(n)[name] for n in (0, 1, 2, 0)], jnp.float32) for name in TRACED}
    swept["dw_min"] = swept["dw_min"].at[-1].set(0.002)

    def run(p, fields, key):
        return observed(replace(KINDS[kind](0), **fields), p, key)

    runs = []
    for n, p in enumerate((DEFAULT, replace(DEFAULT, sequential=True))):
        many = jax.jit(jax.vmap(jax.vmap(lambda fields, key, p=p: run(p, fields, key), (0, None)), (None, 0)))
        runs.append(np.asarray(many(swept, jax.random.split(random.key(20 + n), 32)), np.float64))
    difference = runs[0].mean(0) - runs[1].mean(0)
    errors = np.sqrt((runs[0].var(0, ddof=1) + runs[1].var(0, ddof=1)) / 32)
    assert np.all(np.abs(difference) < BOUND * errors), difference / errors


def test_a_traced_parameter_takes_the_way_of_a_plain_one():
    cells_key, key, w = random.key(1), random.key(2), jnp.zeros(SHAPE)
    x, d = jnp.ones((3, SHAPE[1])), jnp.linspace(-1, 1, 3 * SHAPE[0]).reshape(3, SHAPE[0])
    for dw_min in (0.2, 0.001):  # coarse, and fine
        ends = []
        for value in (dw_min, jnp.float32(dw_min)):
            device = physics.SoftBounds(dw_min=value)

            @jax.jit
            def run(device):
                cells = device.fabricate(SHAPE, w.dtype, cells_key)
                return device.update(DEFAULT, cells, device.write(cells, w, key), x, d, 2 * device.granularity, key).w

            ends.append(run(device))
        assert_close(ends[1], ends[0], factor=4)  # constants fold in double precision, tracers do not


def test_which_devices_are_coarse():
    coarse = {name: device.coarse() for name, device in DEVICES.items() if name != "PCM"}
    assert {name for name, found in coarse.items() if found} == {"ReRamArrayOM", "ReRamArrayHfO2"}
    # its step is 28 times dw_min at the bottom; as one of a pair it only goes up, and no order can matter
    assert DEVICES["PCM"].coarse() and not DEVICES["PCM"].coarse(one_way=True)
    for kind in (physics.ConstantStep, physics.SoftBounds, physics.ExpStep, physics.PowStep, physics.PiecewiseStep):
        assert not kind().coarse()
        assert kind(dw_min=0.1).coarse()
    assert not physics.SoftBoundsPmax().coarse()
    assert physics.SoftBoundsPmax(p_max=10, alpha=0.05).coarse()
    # far from a near bound, soft bounds make steps of many times dw_min
    for kind in (physics.SoftBounds, physics.SoftBoundsReference, physics.LinearStep):
        near = {"gamma_down": 1.0} if kind is physics.LinearStep else {}
        assert kind(dw_min=0.005, w_max=1.0, w_min=-0.02, **near).coarse()
        assert not kind(dw_min=0.001, w_max=0.6, w_min=0.0, **near).coarse()  # no slope without a bound
    # noise counts where it is clipped at the end of a batch; leaps follow it
    assert physics.SoftBounds(dw_min_std=20.0).coarse() and not physics.PowStep(dw_min_std=20.0).coarse()


def test_a_coarse_device_sees_each_pulse_as_sequential_ones_do():
    device = physics.SoftBoundsReference(**drawn(3))
    k_chip, k_update = jax.random.split(random.key(7))
    w, (x, d) = jnp.zeros((4, 5)), (jnp.full((6, 5), 0.7), jnp.linspace(-1, 1, 24).reshape(6, 4))
    cells = device.fabricate(w.shape, w.dtype, k_chip)
    state = device.write(cells, w, k_chip)
    ends = [
        jax.jit(device.update)(p, cells, state, x, d, 3 * device.granularity, k_update)
        for p in (DEFAULT, replace(DEFAULT, sequential=True))
    ]
    assert_same_bits(*ends)
    assert np.any(ends[0].w != state.w)


@pytest.mark.parametrize("dw_min", [0.1, 0.001], ids=["coarse", "fine"])
def test_a_traced_parameter_can_be_differentiated_in_both_modes(dw_min):
    x, d = jnp.ones((34, 3)), jnp.where(jnp.arange(34) % 2 == 0, 1.0, -0.5)[:, None] * jnp.ones((34, 2))

    def ends(dw_min):
        k_chip, k_update = jax.random.split(random.key(5))
        device, w = physics.SoftBounds(dw_min=dw_min), jnp.zeros((2, 3))
        cells = device.fabricate(w.shape, w.dtype, k_chip)
        state = device.write(cells, w, jax.random.fold_in(k_chip, 1))
        return jnp.sum(device.update(DEFAULT, cells, state, x, d, 0.1, k_update).w)

    at = jnp.float32(dw_min)
    backward, (_, forward) = (
        jax.jit(jax.grad(ends))(at),
        jax.jit(lambda v: jax.jvp(ends, (v,), (jnp.ones_like(v),)))(at),
    )
    assert abs(backward) > 1e-3
    assert_close(backward, forward, factor=20)  # sums in another order


def test_a_traced_parameter_uses_each_key_once():
    w, device = jnp.zeros((2, 3)), physics.SoftBounds(dw_min=jnp.float32(0.1))
    cells = device.fabricate(w.shape, w.dtype, random.key(0))
    state = device.write(cells, w, random.key(1))
    with jax.debug_key_reuse(True):
        jax.jit(device.update)(DEFAULT, cells, state, jnp.ones((3, 3)), jnp.ones((3, 2)), 0.1, random.key(2))
