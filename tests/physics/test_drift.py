"""The power law of drift against its equation."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import ConstantStep, Drift, FloatingPoint, SoftBounds
from tests.tolerance import assert_close, assert_ks, assert_same_bits

W = jnp.linspace(0.05, 0.5, 12).reshape(3, 4)


def aged(law, times, w=W, nu=None):
    state, nu = None, jnp.full(w.shape, law.nu) if nu is None else nu
    for dt in times:
        w, state = law.apply(nu, w, state, dt, random.key(1))
    return w, state


def test_power_law_of_the_total_time():
    law = Drift(nu=0.1, t_0=2.0)
    assert_close(aged(law, [200.0])[0], np.asarray(W, np.float64) * 100**-0.1)
    steps, state = aged(law, [50.0, 30.0, 120.0])
    assert_close(steps, np.asarray(W, np.float64) * 100**-0.1)
    assert_close(state.now, 100.0)


def test_nothing_drifts_before_t_0():
    assert_close(aged(Drift(nu=0.1, t_0=20.0), [10.0])[0], W)


def test_no_exponent_no_drift():
    assert_same_bits(aged(Drift(), [1e6])[0], W)


def test_offsets_move_the_point_that_does_not_drift():
    law = Drift(nu=0.2, g_offset=0.5, wg_ratio=2.0, w_offset=0.1)
    decay = 10.0**-0.2
    a = 0.5 * 2.0 + 0.1
    assert_close(aged(law, [10.0])[0], np.asarray(W, np.float64) * decay + a * (decay - 1))


def test_exponent_depends_on_the_conductance():
    law = Drift(nu=0.1, nu_k=0.05, log_g0=0.3, w_offset=-0.2, wg_ratio=0.5)
    w = np.asarray(W, np.float64)
    nu = 0.1 + 0.05 * (0.3 - np.log((w + 0.2) / 0.5))
    a = -0.2
    decay = 10.0**-nu
    assert_close(aged(law, [10.0])[0], w * decay + a * (decay - 1))


def test_a_written_cell_starts_anew():
    law = Drift(nu=0.1)
    w, state = aged(law, [10.0])
    w = w.at[0, 0].set(0.3)
    held, state = law.apply(jnp.full(W.shape, 0.1), w, state, 5.0, random.key(2))
    assert held[0, 0] == w[0, 0]  # freshly written at this call
    assert_close(held[1], np.asarray(W[1], np.float64) * 15**-0.1)
    later, _ = law.apply(jnp.full(W.shape, 0.1), held, state, 10.0, random.key(3))
    assert_close(later[0, 0], 0.3 * 10**-0.1)
    assert_close(later[1], np.asarray(W[1], np.float64) * 25**-0.1)


def test_spread_and_noise_of_the_exponent_n_16k():
    shape = (128, 128)
    law = Drift(nu=0.1, nu_dtod=0.2)
    assert_ks(law.exponents(shape, jnp.float32, random.key(0)), stats.norm(0.1, 0.02).cdf)
    noisy = Drift(nu=0.1, nu_std=0.3)
    w, _ = aged(noisy, [10.0], jnp.full(shape, 0.4))
    assert_ks(-np.log10(np.asarray(w, np.float64) / 0.4), stats.norm(0.1, 0.03).cdf)


def test_read_noise_of_a_call_n_16k():
    w, _ = aged(Drift(w_noise_std=0.01), [10.0], jnp.full((128, 128), 0.4))
    assert_ks(w, stats.norm(0.4, 0.01).cdf)


@pytest.mark.parametrize("device", [ConstantStep, SoftBounds, FloatingPoint])
def test_devices_drift_by_the_law(device):
    device = device(drift=Drift(nu=0.1))
    cells = device.fabricate(W.shape, jnp.float32, random.key(0))
    state = device.write(cells, 0.2 * W, random.key(1))
    once = device.age(cells, device.age(cells, state, 4.0, random.key(2)), 6.0, random.key(3))
    assert_close(once.w, np.asarray(state.w, np.float64) * 10**-0.1)
    assert_same_bits(replace(device, drift=None).age(cells, state, 4.0, random.key(2)), state)


def test_ageing_can_be_scanned():
    # a carry must keep its structure: so the memory of drift has to be there before the first call
    device = ConstantStep(drift=Drift(nu=0.1))
    cells = device.fabricate(W.shape, jnp.float32, random.key(0))
    state = device.write(cells, 0.2 * W, random.key(1))
    keys = jax.random.split(random.key(2), 3)
    final, _ = jax.lax.scan(lambda s, k: (device.age(cells, s, 10.0, k), None), state, keys)
    assert_close(final.w, np.asarray(state.w, np.float64) * 30**-0.1)


def test_drift_and_write_noise_keep_apart():
    device = SoftBounds(drift=Drift(nu=0.1), write_noise_std=2.0, dw_min=0.01)
    cells = device.fabricate(W.shape, jnp.float32, random.key(0))
    state = device.write(cells, 0.2 * W, random.key(1))
    for _ in range(2):  # the redrawn noise must not look like a write
        state = device.age(cells, state, 5.0, random.key(2))
    assert_close(state.persistent, 0.2 * np.asarray(W, np.float64) * 10**-0.1)


@pytest.mark.parametrize("bad", [{"nu": float("inf")}, {"t_0": 0.0}, {"wg_ratio": 0.0}, {"w_noise_std": -1.0}])
def test_nonsense_is_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Drift(**bad)
