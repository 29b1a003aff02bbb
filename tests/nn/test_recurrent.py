"""Recurrent layers: torch's mathematics on exact tiles, one scan over time, the order of pulses, both trainings."""

from dataclasses import replace
from functools import partial

import flax.linen as linen
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

from analogjax import BasicTraining, LocalRunner, nn, optim, random
from analogjax.data import Split
from analogjax.errors import ConfigError, ShapeError
from analogjax.experiments import Arrays
from analogjax.nn.hardware_aware import HARDWARE
from analogjax.physics import ConstantStep, FloatingPoint, GlobalCompensation, PCMLike, Periphery
from analogjax.physics.hardware_aware import AddNormal, FixedClip, InputRange, MaxRange
from analogjax.testing.layers import PROMISES, About
from analogjax.tile import HardwareAware, Mapping, TileConfig, mvm, update
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
EXACT = TileConfig(device=FloatingPoint(), forward=PERFECT, backward=PERFECT)
AWARE = HardwareAware(forward=PERFECT)
ITEMS, STEPS, INPUTS, UNITS = 3, 5, 4, 2
X = random.normal(random.key(1), (ITEMS, STEPS, INPUTS))
BOTH = {"num_layers": 2, "bidirectional": True}
KINDS = {
    "plain": (nn.AnalogRNNCell, "RNN", {}),
    "relu": (partial(nn.AnalogRNNCell, activation=jax.nn.relu), "RNN", {"nonlinearity": "relu"}),
    "LSTM": (nn.AnalogLSTMCell, "LSTM", {}),
    "GRU": (nn.AnalogGRUCell, "GRU", {}),
}


def given_of(variables):
    return {"params": variables.params, "tiles": variables.tiles, **variables.collections}


def pair(kind, more, config=EXACT):
    """A recurrent layer with its variables, and torch's own with the same weights."""
    torch = pytest.importorskip("torch")
    cell, name, options = KINDS[kind]
    layer = nn.AnalogRNN(cell(UNITS, config), return_state=True, **more)
    variables = nn.init(layer, X, random.key(2))
    theirs = getattr(torch.nn, name)(
        INPUTS, UNITS, more.get("num_layers", 1), bidirectional=more.get("bidirectional", False), batch_first=True,
        **options,
    )  # fmt: skip
    for path, own in variables.params.items():
        place = path.replace("layer_", "l")
        for which in ("ih", "hh"):
            params = own[f"weight_{which}"]
            w = params.get("weight")
            w = variables.tiles[path][f"weight_{which}"]["tile"].read() if w is None else w
            getattr(theirs, f"weight_{which}_{place}").data = torch.tensor(np.array(w))
            getattr(theirs, f"bias_{which}_{place}").data = torch.tensor(np.array(params["bias"]))
    return layer, variables, theirs


@pytest.mark.parametrize("more", [{}, BOTH], ids=["one layer", "two layers, both directions"])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_states_are_torchs(kind, more):
    torch = pytest.importorskip("torch")
    layer, variables, theirs = pair(kind, more)
    layers = 4 if more else 1
    start = random.normal(random.key(3), (layers, ITEMS, UNITS))
    start = (start, 2 * start) if kind == "LSTM" else start
    x = torch.tensor(np.array(X))
    for state in (None, start):
        given = None if state is None else jax.tree.map(lambda leaf: torch.tensor(np.array(leaf)), state)
        y, last = layer.apply(given_of(variables), X, state, rngs={"analog": random.key(0)})
        expected, expected_last = theirs(x, given)
        assert_close(y, expected.detach().numpy(), factor=4)
        jax.tree.map(lambda a, b: assert_close(a, b.detach().numpy(), factor=4), last, expected_last)


@pytest.mark.parametrize("kind", ["plain", "LSTM", "GRU"])
def test_gradients_of_hardware_aware_weights_are_torchs(kind):
    torch = pytest.importorskip("torch")
    layer, variables, theirs = pair(kind, BOTH, AWARE)

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def gradient(params, x):
        (y, _), _ = nn.apply_training(layer, variables.replace(params=params), x, key=random.key(0))
        return jnp.sum(jnp.sin(y))

    x = torch.tensor(np.array(X), requires_grad=True)
    theirs(x)[0].sin().sum().backward()
    found, slope = gradient(variables.params, X)
    assert_close(slope, x.grad.numpy(), factor=8)
    for path, own in found.items():
        for which in ("ih", "hh"):
            place = f"{which}_{path.replace('layer_', 'l')}"
            assert_close(own[f"weight_{which}"]["weight"], getattr(theirs, f"weight_{place}").grad.numpy(), factor=8)
            assert_close(own[f"weight_{which}"]["bias"], getattr(theirs, f"bias_{place}").grad.numpy(), factor=8)


def combined(weights, params, x):
    """A plain LSTM with one matrix, as a loop."""
    h = c = jnp.zeros((len(x), UNITS))
    outputs = []
    for t in range(x.shape[1]):
        sums = jnp.concatenate([x[:, t], h], 1) @ weights["layer_0"]["weight"]["tile"].T
        i, f, g, o = jnp.split(sums + params["layer_0"]["weight"]["bias"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        outputs.append(h)
    return jnp.stack(outputs, 1)


@pytest.mark.parametrize("promise", PROMISES)
def test_the_promises_of_every_layer(promise):
    promise(About(nn.AnalogRNN(nn.AnalogLSTMCell(UNITS, EXACT, combined=True)), X, combined))


def signals_of(layer, variables, key, x=X):
    slots = nn.slots(layer, variables, x)
    return jax.jit(
        jax.grad(lambda s: jnp.sum(jnp.sin(nn.apply(layer, variables, x, key=key, slots=s, training=False))))
    )(slots)


@pytest.mark.parametrize("backwards", [False, True])
def test_pulses_come_as_the_errors_do_the_last_computed_step_first(key, backwards):
    config = TileConfig(device=ConstantStep(dw_min=0.01), forward=PERFECT, backward=PERFECT)
    layer = nn.AnalogRNN(nn.AnalogRNNCell(UNITS, config), bidirectional=backwards)
    name = "layer_0_reverse" if backwards else "layer_0"
    variables = nn.init(layer, X, key)
    signals = signals_of(layer, variables, key)
    tiles, params = variables.tiles[name], variables.params[name]

    def loop(shifts):  # the gradient with respect to shifts of the sums is d
        h, outputs, before = jnp.zeros((ITEMS, UNITS)), [], []
        for n, t in enumerate(reversed(range(STEPS)) if backwards else range(STEPS)):
            before.append(h)
            a = mvm(tiles["weight_ih"]["tile"], X[:, t], key=key) + params["weight_ih"]["bias"]
            b = mvm(tiles["weight_hh"]["tile"], h, key=key) + params["weight_hh"]["bias"]
            h = jnp.tanh(a + b + shifts[n])
            outputs.append(h)
        return jnp.sum(jnp.sin(jnp.stack(outputs))), jnp.stack(before)

    errors, before = jax.jit(jax.grad(loop, has_aux=True))(jnp.zeros((STEPS, ITEMS, UNITS)))
    (own,) = signals[name]["weight_hh"]["tile"]
    assert_close(own.x, before[::-1], factor=4)
    assert_close(own.d, errors[::-1], factor=8)
    (own,) = signals[name]["weight_ih"]["tile"]
    steps = jnp.swapaxes(X, 0, 1)
    assert_same_bits(own.x, steps if backwards else steps[::-1])
    # and the tile is pulsed vector by vector in this order
    pulsed = optim.PulsedSGD(0.1)
    new, _ = pulsed.update({"t": own}, pulsed.init({}), {"t": tiles["weight_ih"]["tile"]}, key=key)
    flat = jax.tree.map(lambda leaf: leaf.reshape(STEPS * ITEMS, -1), own)
    k_pulse, _ = jax.random.split(jax.random.fold_in(key, 0))
    expected = update(tiles["weight_ih"]["tile"], flat, 0.1, key=k_pulse)
    assert_same_bits(new["t"].read(), expected.read())


def test_the_program_does_not_grow_with_time(key):
    layer = nn.AnalogRNN(nn.AnalogGRUCell(UNITS), **BOTH)
    variables = nn.init(layer, X, key)

    def size(steps):
        x = jnp.zeros((ITEMS, steps, INPUTS))
        slots = nn.slots(layer, variables, x)
        trace = jax.make_jaxpr(jax.grad(lambda s: nn.apply(layer, variables, x, key=key, slots=s).sum()))(slots)
        return str(trace).count("=")

    assert size(3) == size(40)


def test_the_same_key_is_the_same_bits_and_every_step_has_noise_of_its_own(key):
    layer = nn.AnalogRNN(nn.AnalogRNNCell(16, TileConfig(device=FloatingPoint()), activation=lambda s: 1e-20 * s))
    x = jnp.ones((ITEMS, STEPS, INPUTS))  # the state has next to no effect, so that steps differ by noise alone
    variables = nn.init(layer, x, key)
    read = jax.jit(lambda key: nn.apply(layer, variables, x, key=key))
    y = read(random.key(5))
    assert_same_bits(y, read(random.key(5)))
    assert len(np.unique(np.asarray(y)[0], axis=0)) == STEPS
    assert jnp.any(y != read(random.key(6)))


def test_weights_start_within_one_over_the_root_of_the_units(key):
    for config in (EXACT, AWARE):
        layer = nn.AnalogRNN(nn.AnalogLSTMCell(16, config))
        variables = nn.init(layer, X, key)
        own = variables.params["layer_0"]["weight_ih"]
        w = own.get("weight", None)
        w = variables.tiles["layer_0"]["weight_ih"]["tile"].read() if w is None else w
        for values in (w, own["bias"]):
            assert 0.2 < jnp.abs(values).max() <= 0.25 and values.shape[0] == 64


@pytest.mark.parametrize("cell", [nn.AnalogRNNCell, nn.AnalogLSTMCell, nn.AnalogGRUCell])
def test_dtypes(cell, key):
    half = nn.AnalogRNN(cell(UNITS, EXACT, dtype=jnp.bfloat16), return_state=True)
    variables = nn.init(half, X, key)
    y, state = nn.apply(half, variables, X, key=key)
    assert {leaf.dtype for leaf in jax.tree.leaves((y, state))} == {jnp.dtype(jnp.bfloat16)}
    assert variables.tiles["layer_0"]["weight_ih"]["tile"].dtype == jnp.float32
    small = nn.AnalogRNN(cell(UNITS, EXACT, param_dtype=jnp.bfloat16))
    variables = nn.init(small, X, key)
    assert variables.tiles["layer_0"]["weight_ih"]["tile"].dtype == jnp.bfloat16
    assert nn.apply(small, variables, X, key=key).dtype == jnp.float32
    whole = jnp.ones((ITEMS, STEPS, INPUTS), jnp.int32)
    assert nn.apply(small, variables, whole, key=key).dtype == jnp.bfloat16


def test_dropout_is_between_layers_and_in_training_only(key):
    layer = nn.AnalogRNN(nn.AnalogRNNCell(64, EXACT), num_layers=2, dropout=0.5)
    variables = nn.init(layer, X, key)
    signal = jax.grad(lambda s: nn.apply(layer, variables, X, key=key, slots=s).sum())(nn.slots(layer, variables, X))
    dropped = signal["layer_1"]["weight_ih"]["tile"][0].x == 0
    assert 0.4 < dropped.mean() < 0.6  # 960 coins
    read = partial(nn.apply, layer, variables, X)
    assert_same_bits(read(key=random.key(1)), read(key=random.key(2)))
    assert jnp.any(read(key=random.key(1), training=True) != read(key=random.key(2), training=True))


class Leaky(linen.RNNCellBase):
    """A cell of one's own."""

    num_feature_axes = 1

    @linen.compact
    def __call__(self, state, x):
        h = 0.5 * state + 0.5 * jnp.tanh(nn.AnalogLinear(UNITS, EXACT)(jnp.concatenate([x, state], -1)))
        return h, h

    def initialize_carry(self, rng, input_shape):
        return jnp.zeros((*input_shape[:-1], UNITS))


def leaky(weights, params, x):
    h, outputs = jnp.zeros((len(x), UNITS)), []
    w, p = (tree["layer_0_reverse"]["AnalogLinear_0"] for tree in (weights, params))
    for t in reversed(range(x.shape[1])):
        h = 0.5 * h + 0.5 * jnp.tanh(jnp.concatenate([x[:, t], h], 1) @ w["tile"].T + p["bias"])
        outputs.insert(0, h)
    return jnp.stack(outputs, 1)


def test_a_cell_of_ones_own_in_both_directions(key):
    layer = nn.AnalogRNN(Leaky(), bidirectional=True)
    variables = nn.init(layer, X, key)
    w = jax.tree.map(lambda t: t.read(), variables.tiles, is_leaf=lambda node: hasattr(node, "read"))
    assert_close(nn.apply(layer, variables, X, key=key)[..., UNITS:], leaky(w, variables.params, X), factor=4)


def classifier(config):
    return nn.Sequential(nn.AnalogRNN(nn.AnalogGRUCell(8, config)), lambda y: y[:, -1], nn.AnalogLinear(1, config))


def task():
    x = random.normal(random.key(7), (64, 6, 1))
    return x, jnp.tanh(x.sum(1))


@pytest.mark.slow
def test_a_network_learns_by_pulses(key):
    x, y = task()
    model = classifier(TileConfig(device=ConstantStep(dw_min=0.001)))
    variables, pulsed = nn.init(model, x, key), optim.PulsedSGD(0.2)

    @jax.jit
    def step(variables, state, key):
        def loss(params, slots):
            return jnp.mean((nn.apply(model, variables.replace(params=params), x, key=key, slots=slots) - y) ** 2)

        slots = nn.slots(model, variables, x)
        value, (gradients, signals) = jax.value_and_grad(loss, argnums=(0, 1))(variables.params, slots)
        tiles, state = pulsed.update(signals, state, variables.tiles, key=key)
        params = jax.tree.map(lambda p, g: p - 0.2 * g, variables.params, gradients)
        return variables.replace(params=params, tiles=tiles), state, value

    state, losses = pulsed.init(variables.tiles), []
    for n in range(120):
        variables, state, value = step(variables, state, random.key(n))
        losses.append(float(value))
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])


@pytest.mark.slow
def test_hardware_aware_training_clips_observes_every_step_and_is_programmed(key):
    given = InputRange(init_from_data=100, init_std_alpha=3.0)
    config = HardwareAware(modifier=AddNormal(std_dev=0.05), clip=FixedClip(fixed_value=0.1), input_range=given)
    model = classifier(config)
    x, _ = task()
    variables = nn.init(model, x, key)
    optimizer = optax.sgd(0.1)

    @jax.jit
    def step(variables, key):
        def loss(params):
            out, collections = nn.apply_training(model, variables.replace(params=params), x, key=key)
            return jnp.mean(out**2), collections

        gradients, collections = jax.grad(loss, has_aux=True)(variables.params)
        updates, _ = optimizer.update(gradients, optimizer.init(variables.params))
        params = optax.apply_updates(variables.params, updates)
        return variables.replace(
            **dict(zip(("params", "collections"), nn.after_step(params, collections), strict=True))
        )

    variables = step(variables, key)
    own = variables.params["layers_0"]["layer_0"]["weight_hh"]
    assert jnp.abs(own["weight"]).max() <= 0.1 + 1e-6
    seen = variables.collections[HARDWARE]["layers_0"]["layer_0"]["weight_ih"]["tile"]
    assert seen.range_seen == x.shape[1]  # each step is a batch of its own
    calibrated = nn.calibrate_input_ranges(model, variables, [x], MaxRange(), key=key)
    found = calibrated.params["layers_0"]["layer_0"]["weight_ih"]["input_range"]
    assert_close(found, jnp.abs(x).max())
    programmed = nn.program(calibrated, PCMLike(), GlobalCompensation(), key=key)
    soon, late = (programmed.drift(t, key=random.key(3)) for t in (1.0, 1e7))
    y_soon, y_late = (nn.apply(model, at, x, key=random.key(4)) for at in (soon, late))
    assert jnp.any(y_soon != y_late) and jnp.all(jnp.isfinite(y_late))


def test_pulsed_layers_are_programmed_too(key):
    layer = nn.AnalogRNN(nn.AnalogLSTMCell(UNITS, EXACT), **BOTH)
    variables = nn.init(layer, X, key)
    quiet = PCMLike(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    read = nn.program(variables, quiet, key=key).drift(0.0, key=key)
    np.testing.assert_allclose(
        nn.apply(layer, read, X, key=key), nn.apply(layer, variables, X, key=key), rtol=1e-4, atol=1e-4
    )


def test_variables_are_stored_and_restored(key):
    layer = nn.AnalogRNN(nn.AnalogLSTMCell(UNITS), **BOTH)
    variables = nn.init(layer, X, key)
    stored = flax.serialization.to_bytes(variables)
    other = nn.init(layer, X, random.key(9))
    again = flax.serialization.from_bytes(other, stored)
    assert_same_bits(nn.apply(layer, again, X, key=key), nn.apply(layer, variables, X, key=key))


def test_a_batch_may_be_split_over_devices(key):
    layer = nn.AnalogRNN(nn.AnalogLSTMCell(UNITS, EXACT))
    x = X[:2]
    variables = nn.init(layer, x, key)

    def signals(variables, x):
        slots = nn.slots(layer, variables, x)
        found = jax.grad(lambda s: nn.apply(layer, variables, x, key=random.key(3), slots=s).sum())(slots)
        return found["layer_0"]["weight_hh"]["tile"][0]

    mesh, items = Mesh(np.array(jax.devices()[:2]), ("items",)), PartitionSpec(None, "items")
    split = jax.shard_map(signals, mesh=mesh, in_specs=(PartitionSpec(), PartitionSpec("items")), out_specs=items)
    found, whole = jax.jit(split)(variables, x), jax.jit(signals)(variables, x)
    jax.tree.map(lambda a, b: assert_close(a, b, factor=4), found, whole)


@pytest.mark.parametrize(
    "switch", ["rank promotion", "keys", *(pytest.param(one, marks=pytest.mark.slow) for one in ("leaks", "x64"))]
)
@pytest.mark.parametrize("config", [TileConfig(), HardwareAware()], ids=["pulsed", "aware"])
def test_a_training_under(config, switch):
    data = np.random.default_rng(0).random((12, STEPS, INPUTS), np.float32)
    split = Split(images=data, labels=(data.sum((1, 2)) > 10).astype(np.int32))
    rnn = nn.AnalogRNN(nn.AnalogLSTMCell(UNITS, config), num_layers=2, dropout=0.2)
    model = nn.Sequential(rnn, lambda y: y[:, -1], nn.AnalogLinear(2, config), jax.nn.log_softmax)
    switches = {
        "rank promotion": lambda: jax.numpy_rank_promotion("raise"),
        "leaks": jax.checking_leaks,
        "keys": lambda: jax.debug_key_reuse(True),
        "x64": lambda: jax.enable_x64(True),
    }
    with switches[switch]():
        results = LocalRunner().run(BasicTraining(Arrays(split, split), model, batch_size=4, epochs=1), stdout=False)
    assert np.isfinite(results[0]["train_loss"])


def test_matrices_larger_than_a_chip(key):
    config = replace(EXACT, mapping=Mapping(max_input_size=3, max_output_size=5))
    layer = nn.AnalogRNN(nn.AnalogLSTMCell(4, config))
    variables = nn.init(layer, X, key)
    signals = signals_of(layer, variables, key)
    pulsed = optim.PulsedSGD(0.1)
    tiles, _ = pulsed.update(signals, pulsed.init({}), variables.tiles, key=key)
    before, after = (t["layer_0"]["weight_hh"]["tile"].read() for t in (variables.tiles, tiles))
    (own,) = signals["layer_0"]["weight_hh"]["tile"]
    assert_close(after, before - 0.1 * jnp.einsum("tbo,tbi->oi", own.d, own.x, precision="highest"), factor=4)


def test_what_does_not_fit_is_told(key):
    layer = nn.AnalogRNN(nn.AnalogLSTMCell(UNITS, EXACT))
    for x in (X[0], X[:, :0]):
        with pytest.raises(ShapeError, match=r"AnalogRNN at the top: got x of shape .* sequences \[B, T, I\]"):
            nn.init(layer, x, key)
    variables = nn.init(layer, X, key)
    for state in (jnp.zeros((1, ITEMS, UNITS)), (jnp.zeros((ITEMS, UNITS)), jnp.zeros((ITEMS, UNITS)))):
        with pytest.raises(ShapeError, match=r"it must be \(\(1, 3, 2\), \(1, 3, 2\)\), with an entry for each layer"):
            layer.apply(given_of(variables), X, state, rngs={"analog": key})
    for wrong in ({"num_layers": 0}, {"dropout": 1.0}):
        with pytest.raises(ConfigError, match=f"AnalogRNN.{next(iter(wrong))}="):
            nn.init(nn.AnalogRNN(nn.AnalogGRUCell(UNITS), **wrong), X, key)
    with pytest.raises(ConfigError, match="needs a cell, such as"):
        nn.init(nn.AnalogRNN(nn.AnalogLinear(3)), X, key)
    with pytest.raises(ConfigError, match=r"AnalogGRUCell\(features=0\)"):
        nn.init(nn.AnalogRNN(nn.AnalogGRUCell(0)), X, key)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nn.AnalogRNN(nn.AnalogGRUCell(4), num_layers=True), "num_layers=True"),
        (lambda: nn.AnalogRNN(nn.AnalogGRUCell(4), bidirectional=2), "bidirectional=2.*True or False"),
        (lambda: nn.AnalogRNN(nn.AnalogGRUCell(4), dropout="much"), "dropout='much'"),
        (lambda: nn.AnalogRNN(nn.AnalogGRUCell(TileConfig())), "AnalogGRUCell.features=TileConfig"),
        (lambda: nn.AnalogLinear(4, initial_bound=-1.0), "initial_bound=-1.0.*above 0"),
        (lambda: nn.AnalogLinear(4, initial_bound=float("nan")), "initial_bound=nan"),
    ],
)
def test_values_of_another_kind_are_named(make, says):
    with pytest.raises(ConfigError, match=says):
        nn.init(make(), jnp.ones((2, 3, 5)), random.key(0))
