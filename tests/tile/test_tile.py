"""One tile: creation, forward, backward, update, reset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError, ShapeError
from analogjax.physics import ADC, DAC, ConstantStep, Drift, Ideal, NoiseManagement, Periphery, Pulses, SoftBounds
from analogjax.tile import Mapping, Tile, TileConfig, create, initial_weights, mvm, slot_for, update
from tests.tolerance import assert_close, assert_mean, assert_same_bits, assert_std

O, I, B = 4, 6, 3  # noqa: E741 - the letters of the library
PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)


@pytest.fixture
def w():
    return random.normal(random.key(1), (O, I)) * 0.1


@pytest.fixture
def x():
    return random.normal(random.key(2), (B, I))


@pytest.fixture
def d():
    return random.normal(random.key(3), (B, O))


def test_a_perfect_tile_is_a_matrix(w, x, d, key):
    tile = create(IDEAL, (O, I), key, w)
    y, _ = tile.forward(x, key)
    assert_close(y, x @ w.T)
    assert_close(tile.backward(d, None, key), d @ w)
    assert_close(tile.update(x, d, 0.1, key).read(), w - 0.1 * d.T @ x)
    assert_same_bits(tile.read(), w)
    assert tile.shape == (O, I)


def test_weights_are_clipped_to_the_devices(key):
    tile = create(TileConfig(device=ConstantStep(w_max_dtod=0.0, w_min_dtod=0.0)), (2, 2), key, 10 * jnp.eye(2) - 5)
    assert_close(tile.read(), [[0.6, -0.6], [-0.6, 0.6]])


def test_initial_weights_are_uniform(key):
    w = initial_weights((100, 16), key)
    assert np.max(np.abs(w)) < 0.25 and np.max(np.abs(w)) > 0.24
    assert abs(np.mean(w)) < 4 * 0.25 / np.sqrt(3 * 1600)
    assert_same_bits(create(IDEAL, (O, I), key), create(IDEAL, (O, I), key))


def test_creation_refuses_what_does_not_fit(key):
    for shape in ((3,), (0, 2), (2.0, 3), (2, 3, 4)):
        with pytest.raises(ConfigError, match="outputs, inputs"):
            create(IDEAL, shape, key)
    with pytest.raises(ShapeError, match="must be equal"):
        create(IDEAL, (2, 3), key, jnp.zeros((3, 2)))


@pytest.mark.parametrize("lr_compensation", [False, True])
@pytest.mark.parametrize("columnwise", [False, True])
def test_scaled_weights_are_the_same_matrix(columnwise, lr_compensation, w, x, d, key):
    mapping = Mapping(
        weight_scaling_omega=0.5,
        weight_scaling_columnwise=columnwise,
        weight_scaling_lr_compensation=lr_compensation,
    )
    config = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT, mapping=mapping)
    tile = create(config, (O, I), key, 7 * w)
    assert tile.scale.shape == ((O,) if columnwise else ())
    assert_close(np.max(np.abs(tile.state.w)), 0.5)
    assert_close(tile.read(), 7 * w)
    assert_close(tile.forward(x, key)[0], 7 * x @ w.T)
    assert_close(tile.backward(d, None, key), 7 * d @ w)
    # the logical weights move along the gradient, whatever the scale
    assert_close(tile.update(x, d, 0.1, key).read(), 7 * w - 0.1 * d.T @ x)
    assert_close(tile.write(0.1 * w, key).read(), 0.1 * w)


def test_backward_uses_its_own_converters_n_9216(w, x, d, key):
    config = TileConfig(
        device=Ideal(), forward=PERFECT, backward=Periphery(dac=DAC(res=0.0), adc=ADC(noise=0.1, res=0.0))
    )
    tile = create(config, (O, I), key, w)
    assert_close(tile.forward(x, key)[0], x @ w.T)
    off = jax.jit(jax.vmap(lambda key: tile.backward(d, None, key) - d @ w))(jax.random.split(key, 512))
    noise = np.ravel(off / jnp.abs(d).max(-1, keepdims=True))  # errors are scaled to 1 and back
    assert_mean(noise, 0.0)
    assert_std(noise, 0.1)


def test_clipped_outputs_pass_no_gradient(key):
    forward = Periphery(dac=DAC(res=0.0), adc=ADC(noise=0.0, res=0.0, bound=1.0), bound_management=None)
    tile = create(TileConfig(device=Ideal(), forward=forward, backward=PERFECT), (2, 2), key, 2 * jnp.eye(2))
    x, d = jnp.array([[1.0, 0.1], [0.2, 1.0]]), jnp.ones((2, 2))
    y, passes = tile.forward(x, key)
    assert_close(y, [[1.0, 0.2], [0.4, 1.0]])
    assert passes.tolist() == [[False, True], [True, False]]
    assert_close(tile.backward(d, passes, key), [[0.0, 2.0], [2.0, 0.0]])
    slot = slot_for(tile, x)
    dx, signal = jax.grad(lambda x, slot: mvm(tile, x, slot, key=key).sum(), argnums=(0, 1))(x, slot)
    assert_close(dx, [[0.0, 2.0], [2.0, 0.0]])
    assert_close(signal.d, np.ones((2, 2)))  # the devices still hear of it, as in aihwkit
    unlimited = create(
        TileConfig(device=Ideal(), forward=Periphery(adc=ADC(bound=0.0), bound_management=None)), (2, 2), key
    )
    assert unlimited.forward(x, key)[1] is None


def test_a_traced_infinite_adc_range_passes_every_gradient(key):
    forward = Periphery(dac=DAC(res=0.0), adc=ADC(noise=0.0, res=0.0, bound=jnp.float32(0)), bound_management=None)
    tile = create(TileConfig(device=Ideal(), forward=forward, backward=PERFECT), (2, 2), key, jnp.eye(2))
    x = jnp.ones((1, 2))
    assert_close(jax.grad(lambda x: mvm(tile, x, key=key).sum())(x), np.ones((1, 2)))


def test_update_moves_against_the_gradient_n_256(key):
    device = ConstantStep(dw_min_dtod=0.0, dw_min_std=0.0, up_down_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0)
    tile = create(TileConfig(device=device), (2, 3), key, jnp.zeros((2, 3)))
    x, d = jnp.array([[1.0, -0.5, 0.2]]), jnp.array([[0.6, -1.0]])
    step = jax.jit(jax.vmap(lambda k: tile.update(x, d, 0.01, k).read()))
    moved = np.asarray(step(jax.random.split(key, 256)))
    se = moved.std(0, ddof=1) / 16
    assert np.all(np.abs(moved.mean(0) + 0.01 * np.asarray(d.T @ x)) <= 4 * se + 1e-7)


def test_running_input_scale_follows_the_updates(x, d, key):
    forward = Periphery(noise_management=NoiseManagement(kind="AverageAbsMax", decay=0.5))
    tile = create(TileConfig(device=Ideal(), forward=forward), (O, I), key)
    assert tile.average.shape == () and tile.average == 0
    peaks = np.abs(x).max(-1)
    mean = 0.5 * (0.5 * peaks[0] + 0.5 * peaks[1]) + 0.5 * peaks[2]
    assert_close(tile.update(x, d, 0.1, key).average, mean)


def test_reset_of_some_columns(key):
    config = TileConfig(device=ConstantStep(reset_std=0.0))
    tile = create(config, (O, I), key, jnp.full((O, I), 0.1))
    after = tile.reset(key, 1.0, jnp.array([1, 3]))
    assert not after.read()[:, jnp.array([1, 3])].any()
    kept = jnp.array([0, 2, 4, 5])
    assert_same_bits(after.read()[:, kept], tile.read()[:, kept])
    assert_same_bits(tile.reset(key, 0.0).read(), tile.read())
    assert not tile.reset(key, 1.0, slice(0, 2)).read()[:, :2].any()


def test_rest_and_age(key):
    tile = create(TileConfig(device=Ideal(lifetime=10.0)), (O, I), key)
    assert_close(tile.rest(key, 0.5).read(), 0.95 * np.asarray(tile.read()))
    drifting = TileConfig(device=ConstantStep(drift=Drift(nu=0.1)))
    tile = create(drifting, (O, I), key, jnp.full((O, I), 0.1))
    assert_close(tile.age(10.0, key).read(), np.asarray(tile.read(), np.float64) * 10**-0.1)


def test_jit_vmap_and_donation(x, d, key):
    config = TileConfig(device=SoftBounds(), update=Pulses(desired_bl=5))
    keys = jax.random.split(key, 3)
    chips = jax.vmap(lambda k: create(config, (O, I), k))(keys)
    together = jax.jit(jax.vmap(lambda t, k: mvm(t, x, key=k)))(chips, keys)
    for n in range(3):
        one = jax.tree.map(lambda leaf: leaf[n], chips)  # noqa: B023
        assert one.shape == (O, I)
        assert_close(together[n], mvm(one, x, key=keys[n]))
    moved = jax.vmap(lambda t, k: update(t, slot_for(t, x)._replace(x=x, d=d), 0.1, key=k))(chips, keys)
    assert isinstance(moved, Tile) and np.any(moved.state.w != chips.state.w)
    assert jax.tree.structure(moved) == jax.tree.structure(chips)


def test_the_same_key_makes_the_same_chip(key):
    one, same, other = (create(TileConfig(), (O, I), k) for k in (key, random.key(0), random.key(1)))
    assert_same_bits(one, same)
    assert np.any(one.cells["max_bound"] != other.cells["max_bound"])
