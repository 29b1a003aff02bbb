"""Signals in, new tiles out; and a whole step that learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError
from analogjax.nn import AnalogLinear
from analogjax.optim import PulsedSGD, PulsedState
from analogjax.physics import ConstantStep, Ideal, Periphery, SoftBounds
from analogjax.tile import Mapping, Signal, TileConfig, create, create_array, update
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)


def signal_for(shape, seed=1):
    k_x, k_d = jax.random.split(random.key(seed))
    return Signal(x=random.normal(k_x, (3, shape[1])), d=random.normal(k_d, (3, shape[0])))


@pytest.fixture
def tiles(key):
    return {"a": {"tile": create(IDEAL, (2, 3), key)}, "b": {"tile": create(IDEAL, (4, 2), key)}}


@pytest.fixture
def signals():
    return {"a": {"tile": signal_for((2, 3))}, "b": {"tile": signal_for((4, 2))}}


def test_each_tile_moves_along_its_own_signal(tiles, signals, key):
    optimiser = PulsedSGD(0.1)
    new, state = optimiser.update(signals, optimiser.init(tiles), tiles, key=key)
    assert isinstance(state, PulsedState) and state.step == 1 and state.step.dtype == jnp.int32
    for name, tile in tiles.items():
        s = signals[name]["tile"]
        assert_close(new[name]["tile"].read(), tile["tile"].read() - 0.1 * s.d.T @ s.x)


def test_a_schedule_is_asked_for_the_step(tiles, signals, key):
    optimiser = PulsedSGD(optax.piecewise_constant_schedule(0.1, {1: 0.5}))
    state = optimiser.init(tiles)
    moves = []
    for _ in range(2):
        new, state = optimiser.update(signals, state, tiles, key=key)
        moves.append(np.asarray(new["a"]["tile"].read() - tiles["a"]["tile"].read()))
    assert_close(moves[1], 0.5 * moves[0], dtype=np.float32, factor=8)  # differences of weights


def test_each_tile_has_its_own_key(key):
    tile = create(TileConfig(device=ConstantStep(dw_min=0.01)), (2, 3), key)
    signal = signal_for((2, 3))
    new, _ = PulsedSGD(0.1).update(
        {"a": signal, "b": signal}, PulsedState(jnp.int32(0)), {"a": tile, "b": tile}, key=key
    )
    assert np.any(new["a"].read() != new["b"].read())
    k_pulse, _ = jax.random.split(jax.random.fold_in(key, 1))
    assert_same_bits(new["b"].read(), update(tile, signal, 0.1, key=k_pulse).read())


def test_tiles_rest_after_the_pulses(key):
    config = TileConfig(device=Ideal(lifetime=10.0))
    for mapping in (Mapping(), Mapping(max_input_size=2)):
        tile = create_array(TileConfig(device=config.device, mapping=mapping), (2, 3), key)
        still = Signal(x=jnp.zeros((3, 3)), d=jnp.zeros((3, 2)))
        new, _ = PulsedSGD(0.1).update({"a": still}, PulsedState(jnp.int32(0)), {"a": tile}, key=key)
        assert_close(new["a"].read(), 0.9 * np.asarray(tile.read()))


def test_missing_signals_are_refused(tiles, signals, key):
    with pytest.raises(ConfigError, match="1 signals for 2 tiles"):
        PulsedSGD(0.1).update({"a": signals["a"]}, PulsedState(jnp.int32(0)), tiles, key=key)


def test_signals_of_other_layers_are_refused(key):
    # as many signals as tiles, and of the right shape, but for a layer of another name
    tile, signal = create(IDEAL, (2, 3), key), signal_for((2, 3))
    with pytest.raises(ConfigError):
        PulsedSGD(0.1).update({"a": signal, "c": signal}, PulsedState(jnp.int32(0)), {"a": tile, "b": tile}, key=key)


# ---- a step that learns ----


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(ConstantStep(), id="constant"),
        pytest.param(SoftBounds(dw_min=0.002), id="soft", marks=pytest.mark.slow),
    ],
)
def test_one_jitted_step_learns_a_regression_over_three_seeds(device):
    config = TileConfig(device=device)
    model = nn.Sequential(AnalogLinear(8, config), jnp.tanh, AnalogLinear(2, config))
    x = random.normal(random.key(11), (32, 4))
    target = jnp.stack([jnp.tanh(x[:, 0] - x[:, 1]), 0.5 * x[:, 2]], 1) * 0.5
    pulsed, digital, traces = PulsedSGD(0.1), optax.sgd(0.1), []

    @jax.jit
    def step(variables, states, key):
        traces.append(1)
        k_forward, k_update = jax.random.split(key)

        def loss(params, slots):
            y = nn.apply(model, variables.replace(params=params), x, key=k_forward, slots=slots)
            return jnp.mean(jnp.sum((y - target) ** 2, -1))

        slots = nn.slots(model, variables, x)
        value, (grads, signals) = jax.value_and_grad(loss, argnums=(0, 1))(variables.params, slots)
        changes, digital_state = digital.update(grads, states[0], variables.params)
        tiles, pulsed_state = pulsed.update(signals, states[1], variables.tiles, key=k_update)
        new = nn.Variables(params=optax.apply_updates(variables.params, changes), tiles=tiles)
        return new, (digital_state, pulsed_state), value

    for seed in range(3):
        k_init, key = jax.random.split(random.key(seed))
        variables = nn.init(model, x, k_init)
        states = digital.init(variables.params), pulsed.init(variables.tiles)
        losses = []
        for n in range(150):
            variables, states, value = step(variables, states, jax.random.fold_in(key, n))
            losses.append(float(value))
        # predicting the mean leaves the variance of the target; a third of it needs both layers
        variance = float(jnp.sum(jnp.var(target, 0)))
        assert np.mean(losses[-10:]) < variance / 3, (seed, losses[0], losses[-1], variance)
        assert states[1].step == 150
    assert len(traces) == 1
