"""Recurrent layers of the NNX door: what the linen door computes, its signals, and rngs of every step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import analogjax.nnx as door
from analogjax import nn, optim, random
from analogjax.errors import ConfigError, ShapeError
from analogjax.physics import FloatingPoint, PCMLike, Periphery
from analogjax.physics.hardware_aware import AddNormal, FixedClip, InputRange
from analogjax.tile import HardwareAware, TileConfig
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
EXACT = TileConfig(device=FloatingPoint(), forward=PERFECT, backward=PERFECT)
INPUTS, UNITS = 3, 2
X = random.normal(random.key(1), (2, 4, INPUTS))
CELLS = {
    "plain": (door.AnalogRNNCell, nn.AnalogRNNCell),
    "LSTM": (door.AnalogLSTMCell, nn.AnalogLSTMCell),
    "GRU": (door.AnalogGRUCell, nn.AnalogGRUCell),
}


def rngs():
    return nnx.Rngs(0, analog=1)


def pair(kind, config=EXACT):
    """The layer of this door, and that of linen with the same variables."""
    ours, theirs = CELLS[kind]
    layer = door.AnalogRNN(ours, INPUTS, UNITS, num_layers=2, bidirectional=True, config=config, rngs=rngs())
    same = nn.AnalogRNN(theirs(UNITS, config), num_layers=2, bidirectional=True, return_state=True)
    variables = nn.init(same, X, random.key(0))
    params, tiles = {}, {}
    for n, cell in enumerate(layer.cells):
        name = f"layer_{n // 2}{'_reverse' if n % 2 else ''}"
        both = {"weight_ih": cell.weight_ih, "weight_hh": cell.weight_hh}
        params[name] = {which: {"bias": one.bias[...]} for which, one in both.items()}
        tiles[name] = {which: {"tile": one.tile.get_value()} for which, one in both.items()}
    return layer, same, variables.replace(params=params, tiles=tiles)


def loss(layer, x):
    return jnp.sum(jnp.sin(layer(x)[0]))


@pytest.mark.parametrize("kind", CELLS)
def test_outputs_states_signals_and_gradients_are_those_of_linen(kind):
    layer, same, variables = pair(kind)
    expected, expected_state = nn.apply(same, variables, X, key=random.key(0))
    y, state = layer(X)
    assert_close(y, expected, factor=4)
    jax.tree.map(lambda a, b: assert_close(a, b, factor=4), state, expected_state)
    _, gradients, signals = door.value_and_grad(loss)(layer, X)

    def theirs(params, slots):
        return jnp.sum(jnp.sin(nn.apply(same, variables.replace(params=params), X, key=random.key(0), slots=slots)[0]))

    slots = nn.slots(same, variables, X)
    by_params, by_slots = jax.jit(jax.grad(theirs, argnums=(0, 1)))(variables.params, slots)
    for n in range(4):
        name = f"layer_{n // 2}{'_reverse' if n % 2 else ''}"
        for which in ("weight_ih", "weight_hh"):
            found = signals[f"cells/{n}/{which}"]
            jax.tree.map(lambda a, b: assert_close(a, b, factor=8), found, by_slots[name][which]["tile"])
            assert_close(gradients["cells"][n][which]["bias"][...], by_params[name][which]["bias"], factor=8)


def test_one_matrix_for_inputs_and_state():
    layer = door.AnalogRNN(door.AnalogLSTMCell, INPUTS, UNITS, combined=True, config=EXACT, rngs=rngs())
    weight = layer.cells[0].weight
    same = nn.AnalogRNN(nn.AnalogLSTMCell(UNITS, EXACT, combined=True))
    params = {"layer_0": {"weight": {"bias": weight.bias[...]}}}
    variables = nn.Variables(params, {"layer_0": {"weight": {"tile": weight.tile.get_value()}}})
    assert_close(layer(X)[0], nn.apply(same, variables, X, key=random.key(0)), factor=4)


@pytest.mark.slow
def test_a_state_is_given_and_returned():
    layer, *_ = pair("LSTM")
    y, state = layer(X[:, :2])
    again, _ = layer(X[:, 2:], state)
    forward = layer(X)[0]
    assert again.shape == (2, 2, 2 * UNITS)
    one = door.AnalogRNN(door.AnalogLSTMCell, INPUTS, UNITS, config=EXACT, rngs=rngs())
    first, between = one(X[:, :2])
    assert_close(jnp.concatenate([first, one(X[:, 2:], between)[0]], axis=1), one(X)[0])
    assert forward.shape == (2, 4, 2 * UNITS) and y.shape == (2, 2, 2 * UNITS)


def test_noise_is_of_each_step_and_follows_the_rngs():
    def made():
        noisy = TileConfig(device=FloatingPoint())
        return door.AnalogRNN(door.AnalogRNNCell, INPUTS, 16, activation=lambda s: 1e-20 * s, config=noisy, rngs=rngs())

    layer, x = made(), jnp.ones((2, 5, INPUTS))
    y = layer(x)[0]
    assert len(np.unique(np.asarray(y)[0], axis=0)) == 5
    assert jnp.any(layer(x)[0] != y)  # the count of the stream has gone on
    assert_same_bits(made()(x)[0], y)


def test_a_step_by_pulses():
    layer, *_ = pair("GRU")
    _, _, signals = door.value_and_grad(loss)(layer, X)
    pulsed = optim.PulsedSGD(0.1)
    before = door.tiles(layer)
    new, _ = pulsed.update(signals, pulsed.init({}), before, key=random.key(0))
    door.set_tiles(layer, new)
    for name, (own,) in signals.items():
        step = jnp.einsum("tbo,tbi->oi", own.d, own.x, precision="highest")
        assert_close(door.tiles(layer)[name].read(), before[name].read() - 0.1 * step, factor=4)


@pytest.mark.slow
def test_hardware_aware_training_and_programming():
    config = HardwareAware(
        modifier=AddNormal(std_dev=0.05), clip=FixedClip(fixed_value=0.2), input_range=InputRange(init_from_data=100)
    )
    layer = door.AnalogRNN(door.AnalogGRUCell, INPUTS, UNITS, num_layers=2, dropout=0.2, config=config, rngs=rngs())
    optimizer = nnx.Optimizer(layer, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(layer, optimizer):
        optimizer.update(layer, nnx.grad(loss)(layer, X))
        door.after_step(layer)

    before = layer.cells[0].weight_hh.weight[...]
    step(layer, optimizer)
    after = layer.cells[0].weight_hh.weight[...]
    assert jnp.any(after != before) and jnp.abs(after).max() <= 0.2 + 1e-6
    assert layer.cells[0].weight_ih.hardware.get_value().range_seen == X.shape[1]
    layer.eval()
    programmed = door.program(layer, PCMLike(), key=random.key(0))
    soon, late = (programmed.drift(t, key=random.key(1))(X)[0] for t in (1.0, 1e7))
    assert jnp.all(jnp.isfinite(late)) and jnp.abs(late).sum() < jnp.abs(soon).sum()


def test_what_does_not_fit_is_told():
    layer = door.AnalogRNN(door.AnalogGRUCell, INPUTS, UNITS, config=EXACT, rngs=rngs())
    with pytest.raises(ShapeError, match=r"got x of shape .* sequences \[B, T, 3\]"):
        layer(X[..., :2])
    with pytest.raises(ShapeError, match=r"it must be \(1, 2, 2\)"):
        layer(X, jnp.zeros((2, UNITS)))
    for wrong in ({"num_layers": 0}, {"dropout": -1.0}):
        with pytest.raises(ConfigError, match=f"AnalogRNN.{next(iter(wrong))}="):
            door.AnalogRNN(door.AnalogGRUCell, INPUTS, UNITS, rngs=rngs(), **wrong)
    with pytest.raises(ConfigError, match=r"cell=AnalogGRUCell\(...\)\): needs the class"):
        door.AnalogRNN(door.AnalogGRUCell(INPUTS, UNITS, rngs=rngs()), INPUTS, UNITS, rngs=rngs())
    for bound in (-0.5, float("inf"), "xavier"):
        with pytest.raises(ConfigError, match=f"initial_bound={bound!r}"):
            door.AnalogLinear(INPUTS, UNITS, initial_bound=bound, rngs=rngs())
    with pytest.raises(ConfigError, match="hidden_features=0"):
        door.AnalogRNN(door.AnalogGRUCell, INPUTS, 0, rngs=rngs())
    with pytest.raises(ConfigError, match=r"AnalogGRUCell.combined=True.: only an LSTM"):
        door.AnalogGRUCell(INPUTS, UNITS, combined=True, rngs=rngs())
