"""Materials for inference: their laws, deterministic and statistical, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import GlobalCompensation, NoiseModel, PCMLike, SinglePair, StateIndependent
from tests.tolerance import assert_close, assert_mean, assert_same_bits, assert_std

QUIET = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0}
TARGETS = jnp.array([1.0, -0.6, 0.3, 0.1])
MODELS = [PCMLike(), StateIndependent(), PCMLike(g_max=40.0), StateIndependent(prog_coeff=(0.1, 1.0))]


def matrix(columns=20000):
    """`[4, columns]`: each row holds one target, the largest is 1."""
    return jnp.repeat(TARGETS[:, None], columns, axis=1)


@pytest.mark.parametrize("converter", [SinglePair(), SinglePair(g_max=30.0, g_min=3.0)])
def test_a_pair_holds_one_sign_each_and_leads_back(key, converter):
    w = jax.random.normal(key, (5, 7))
    g, ratio = converter.conductances(w)
    assert g.shape == (2, 5, 7) and jnp.all((g >= converter.g_min) & (g <= converter.g_max + converter.g_min))
    assert jnp.all(jnp.minimum(g[0], g[1]) == converter.g_min)
    assert_close(ratio, (converter.g_max - converter.g_min) / jnp.max(jnp.abs(w)))
    assert_close(converter.weights(g, ratio), w)


@pytest.mark.parametrize("model", MODELS)
def test_a_matrix_of_zeros_stays_finite(key, model):
    programmed = model.program(jnp.zeros((3, 4)), key)
    w = model.drift(programmed, 1e5, jax.random.key(1))
    assert jnp.all(jnp.isfinite(programmed.w)) and jnp.all(jnp.isfinite(w))


@pytest.mark.parametrize("model", MODELS)
def test_models_keep_the_contract(key, model, strict_jax):
    assert isinstance(model, NoiseModel)
    k_program, k_drift = jax.random.split(key)
    w = matrix(5)
    programmed = jax.jit(lambda model, w, key: model.program(w, key))(model, w, k_program)
    assert programmed.w.shape == w.shape and programmed.memory.shape == (2, *w.shape)
    assert programmed.w.dtype == w.dtype == programmed.memory.dtype
    seen = jax.jit(lambda model, p, t, key: model.drift(p, t, key))(model, programmed, jnp.float32(60.0), k_drift)
    assert seen.shape == w.shape and seen.dtype == w.dtype


@pytest.mark.parametrize("model", [PCMLike(**QUIET), StateIndependent(**QUIET)])
def test_without_noise_the_weights_are_written_exactly_and_still_there_at_once(key, model):
    programmed = model.program(matrix(5), key)
    assert_close(programmed.w, matrix(5))
    assert_close(model.drift(programmed, 0.0, jax.random.key(1)), matrix(5))


@pytest.mark.parametrize("t", [1.0, 3600.0, 1e7])
def test_the_drift_is_a_power_law(key, t):
    model = StateIndependent(**QUIET, drift_nu_mean=0.06, drift_nu_std=0.0, drift_scale=0.5, t_0=30.0)
    w = model.drift(model.program(matrix(5), key), t, jax.random.key(1))
    assert_close(w, matrix(5) * ((t + 30.0) / 30.0) ** -0.03)


def test_programming_noise_of_pcm_is_a_polynomial_of_the_conductance(key):
    programmed = PCMLike(prog_noise_scale=0.5).program(matrix(), key)
    h = np.abs(TARGETS)
    std = 0.5 * (0.26348 + 1.9650 * h - 1.1731 * h**2) / 25.0
    # far from 0 the device that carries the weight is normal; the other one adds max(0.5 * 0.26348 xi, 0) / 25
    other = 0.5 * 0.26348 / 25.0
    std = np.sqrt(std**2 + other**2 * (0.5 - 0.5 / np.pi))
    error = np.sign(TARGETS)[:, None] * (programmed.w - matrix())
    assert_std(error.T, std)
    assert_mean(error.T, np.full(4, -other / np.sqrt(2 * np.pi)))


def test_coefficients_of_another_device_are_scaled_by_the_range():
    written = [
        PCMLike(g_max=50.0, prog_coeff=(1.0,), prog_coeff_g_max_reference=25.0),
        PCMLike(g_max=50.0, prog_coeff=(2.0,)),
        PCMLike(g_converter=SinglePair(g_max=50.0), prog_coeff=jnp.array([2.0])),
    ]
    first, *others = (model.program(matrix(5), jax.random.key(1)).w for model in written)
    for other in others:
        assert_close(other, first)
    by_default = PCMLike(g_max=50.0).program(matrix(5), jax.random.key(1)).w
    assert_close(by_default, PCMLike().program(matrix(5), jax.random.key(1)).w)


def test_exponents_of_pcm_depend_on_the_target(key):
    nu = PCMLike(drift_scale=2.0).program(matrix(), key).memory
    h = np.array([1.0, 0.6, 0.3, 0.1])
    mean, std = np.clip(-0.0155 * np.log(h) + 0.0244, 0.049, 0.1), np.clip(-0.0125 * np.log(h) - 0.0059, 0.008, 0.045)
    carrying = np.where(TARGETS[:, None] > 0, nu[0], nu[1])
    slack = 2 * std * 1e-2  # |.| folds what lies below 0; from 2.6 standard deviations on less than this
    assert_mean(carrying.T, 2 * mean, slack=slack)
    assert_std(carrying.T, 2 * std, slack=slack)
    empty = np.where(TARGETS[:, None] > 0, nu[1], nu[0])
    assert np.all(nu >= 0) and np.all(np.abs(empty.mean(1) - 0.2) < 0.01)  # of a device that is reset: the largest


@pytest.mark.parametrize("t", [0.0, 86400.0])
def test_read_noise_grows_with_the_logarithm_of_time(key, t):
    model = PCMLike(prog_noise_scale=0.0, drift_scale=0.0, read_noise_scale=0.25)
    w = model.drift(model.program(matrix(), key), t, jax.random.key(1))
    h = np.abs(TARGETS)
    std = 0.25 * h * np.minimum(0.0088 / h**0.65, 0.2) * np.sqrt(np.log((t + 20 + 250e-9) / 500e-9))
    assert_mean(w.T, TARGETS)
    assert_std(w.T, std)


def test_every_time_starts_from_what_was_programmed(key):
    model = PCMLike()
    programmed = model.program(matrix(5), key)
    once = model.drift(programmed, 1e6, jax.random.key(1))
    model.drift(programmed, 10.0, jax.random.key(2))
    assert_same_bits(model.drift(programmed, 1e6, jax.random.key(1)), once)


def test_a_material_can_be_swept(key):
    scales = jnp.array([0.0, 1.0, 2.0])
    programmed = jax.vmap(lambda s: PCMLike(prog_noise_scale=s).program(matrix(50), key).w)(scales)
    errors = jnp.std(programmed[:, 0] - 1.0, axis=-1)
    assert errors[0] == 0 and 1.8 < errors[2] / errors[1] < 2.2  # the same draws, twice as large

    def loss(scale):
        model = StateIndependent(**QUIET, drift_scale=scale, drift_nu_std=0.0)
        return jnp.sum(model.drift(model.program(matrix(1), key), 1e4, jax.random.key(1)))

    assert_close(jax.grad(loss)(1.0), -0.1 * jnp.log(501.0) * loss(1.0))


def test_the_compensation_is_the_ratio_of_readouts_of_what_is_used():
    y, used = jnp.array([[1.0, -3.0], [100.0, 2.0]]), jnp.array([[1.0, 1.0], [0.0, 1.0]])
    compensation = GlobalCompensation()
    assert compensation.readout(y, used) == 2.0
    assert compensation.factor(jnp.float32(3.0), y, used) == 1.5
    assert compensation.readout(0 * y, used) == jnp.float32(1e-4)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: PCMLike(t_0=0.0), "t_0=0.0.*above 0"),
        (lambda: StateIndependent(t_read=-1.0), "t_read"),
        (lambda: PCMLike(prog_noise_scale=-1.0), "prog_noise_scale"),
        (lambda: PCMLike(prog_coeff=0.2), "prog_coeff=0.2.*tuple"),
        (lambda: PCMLike(prog_coeff=()), "prog_coeff"),
        (lambda: StateIndependent(prog_coeff=None), "prog_coeff=None"),
        (lambda: StateIndependent(drift_nu_std=-0.1), "drift_nu_std"),
        (lambda: PCMLike(prog_coeff_g_max_reference=0.0), "prog_coeff_g_max_reference"),
        (lambda: PCMLike(g_max=40.0, g_converter=SinglePair()), "g_max=40.0 with a converter of g_max=25.0"),
        (lambda: PCMLike(g_max=-1.0), "g_max=-1.0"),
        (lambda: SinglePair(g_min=30.0), "more than g_min"),
        (lambda: SinglePair(g_min=-1.0), "g_min"),
        (lambda: GlobalCompensation(least=0.0), "least"),
    ],
)
def test_values_without_sense_are_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()
