"""Layers called several times, stacked and looped over: each call has a slot, each chip its own update."""

from functools import partial

import flax.linen as linen
import jax
import jax.numpy as jnp
import pytest

from analogjax import nn, optim, random
from analogjax.errors import ConfigError, SlotError
from analogjax.physics import FloatingPoint, Periphery
from analogjax.tile import Tile, TileConfig
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
Layer = partial(nn.AnalogLinear, config=TileConfig(device=FloatingPoint(), forward=PERFECT, backward=PERFECT))
X = random.normal(random.key(1), (6, 5, 3))  # [B, T, I]
RATE = 0.1


class Tied(linen.Module):
    """One layer, called as often as asked."""

    calls: int = 2

    @linen.compact
    def __call__(self, x):
        layer = Layer(3)
        for _ in range(self.calls):
            x = jnp.tanh(layer(x))
        return x


class Cell(linen.RNNCellBase):
    """A plain recurrent cell."""

    @linen.compact
    def __call__(self, carry, x):
        carry = jnp.tanh(Layer(3)(jnp.concatenate([carry, x], -1)))
        return carry, carry

    def initialize_carry(self, rng, input_shape):
        return jnp.zeros((*input_shape[:-1], 3))

    @property
    def num_feature_axes(self):
        return 1


LIFT = {
    "variable_broadcast": ("params", "tiles"),
    "variable_axes": {"signals": 0},
    "split_rngs": {"params": False, "analog": True},
}
STACK = {
    "variable_axes": {"params": 0, "tiles": 0, "signals": 0},
    "split_rngs": {"params": True, "analog": True},
}


class TwoPasses(linen.Module):
    """A recurrent layer that runs over its own outputs."""

    @linen.compact
    def __call__(self, x):
        rnn = linen.RNN(Cell(), **LIFT)
        return rnn(rnn(x))


class Block(linen.Module):
    @linen.compact
    def __call__(self, x, _):
        return jnp.tanh(Layer(3)(x)), None


class Deep(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.scan(Block, length=4, **STACK)()(x, None)[0]


def affine(w, p, x):
    return x @ w.T + p["bias"]


def rnn(w, p, x):
    carry, out = jnp.zeros((x.shape[0], 3)), []
    for t in range(x.shape[1]):
        carry = jnp.tanh(affine(w, p, jnp.concatenate([carry, x[:, t]], -1)))
        out.append(carry)
    return jnp.stack(out, 1)


def repeated(f, times):
    def run(w, p, x):
        for _ in range(times):
            x = f(w, p, x)
        return x

    return run


def deep(w, p, x):
    for k in range(4):
        x = jnp.tanh(x @ w[k].T + p["bias"][k])
    return x


def ensemble(w, p, x):
    return jnp.einsum("bti,eoi->ebto", x, w) + p["bias"][:, None, None]


def vmapped(features):
    made = linen.vmap(nn.AnalogLinear, in_axes=None, out_axes=0, axis_size=4, **STACK)
    return made(features, config=Layer.keywords["config"])


shared = Layer(3)
CASES = {
    "tied": (Tied(), repeated(lambda w, p, x: jnp.tanh(affine(w, p, x)), 2)),
    "five calls": (Tied(5), repeated(lambda w, p, x: jnp.tanh(affine(w, p, x)), 5)),
    "in a row": (nn.Sequential(shared, jnp.tanh, shared), lambda w, p, x: affine(w, p, jnp.tanh(affine(w, p, x)))),
    "recurrent": (linen.RNN(Cell(), **LIFT), rnn),
    "recurrent twice": (TwoPasses(), repeated(rnn, 2)),
    "scan over layers": (Deep(), deep),
    "as many chips as outputs": (vmapped(4), ensemble),
    "more chips than outputs": (vmapped(2), ensemble),
    "remat": (linen.remat(nn.AnalogLinear)(2, config=Layer.keywords["config"]), affine),
}


def only(tree, leaf):
    """The one leaf, or the one dict of leaves, in nested dicts."""
    while isinstance(tree, dict) and leaf not in tree:
        (tree,) = tree.values()
    return tree


@pytest.mark.parametrize("name", CASES)
def test_the_update_is_the_gradient_step_of_the_digital_model(name, key):
    model, dense = CASES[name]
    variables = nn.init(model, X, key)

    def loss(params, slots):
        return jnp.sum(jnp.sin(nn.apply(model, variables.replace(params=params), X, key=key, slots=slots)))

    slots = nn.slots(model, variables, X)
    gradients, signals = jax.jit(jax.grad(loss, argnums=(0, 1)))(variables.params, slots)
    pulsed = optim.PulsedSGD(RATE)
    tiles, _ = pulsed.update(signals, pulsed.init(variables.tiles), variables.tiles, key=key)
    before, after = (only(t, "tile")["tile"].read() for t in (variables.tiles, tiles))
    assert isinstance(only(tiles, "tile")["tile"], Tile)
    params = only(variables.params, "bias")
    by_weight, by_bias = jax.grad(lambda w, p: jnp.sum(jnp.sin(dense(w, p, X))), argnums=(0, 1))(before, params)
    assert_close(after, before - RATE * by_weight)
    assert_close(only(gradients, "bias")["bias"], by_bias["bias"])


def test_each_call_reads_with_noise_of_its_own(key):
    class Same(linen.Module):
        @linen.compact
        def __call__(self, x):
            layer = nn.AnalogLinear(3)
            return layer(x) - layer(x)

    variables = nn.init(Same(), X, key)
    assert jnp.any(nn.apply(Same(), variables, X, key=key) != 0)


def test_slots_of_another_number_of_calls_are_refused(key):
    variables = nn.init(Tied(2), X, key)
    slots = nn.slots(Tied(2), variables, X)
    with pytest.raises(SlotError, match="called 3 times in one pass, with slots for 2"):
        nn.apply(Tied(3), variables, X, key=key, slots=slots)
    with pytest.raises(SlotError, match=r"AnalogLinear_0 were not used"):
        nn.apply(Tied(1), variables, X, key=key, slots=slots)


def test_slots_in_a_collection_that_cannot_change_are_refused(key):
    variables = nn.init(Tied(), X, key)
    given = {"params": variables.params, "tiles": variables.tiles, "signals": nn.slots(Tied(), variables, X)}
    with pytest.raises(SlotError, match="mutable"):
        Tied().apply(given, X, rngs={"analog": key})
    y, _ = Tied().apply(given, X, rngs={"analog": key}, mutable=["signals"])
    assert y.shape == X.shape


def test_one_slot_for_all_steps_of_a_loop_is_refused(key):
    model = linen.RNN(Cell(), **{**LIFT, "variable_broadcast": ("params", "tiles", "signals"), "variable_axes": {}})
    variables = nn.init(model, X, key)
    with pytest.raises(ValueError, match="data dependency"):
        nn.slots(model, variables, X)


def test_a_layer_whose_signals_are_not_lifted_is_named(key):
    model = linen.RNN(Cell(), **{**LIFT, "variable_axes": {}})
    variables = nn.init(model, X, key)
    pulsed = optim.PulsedSGD(RATE)
    with pytest.raises(ConfigError, match=r"tiles without signals: \['cell'\].*lift the collection 'signals'"):
        pulsed.update(nn.slots(model, variables, X), pulsed.init({}), variables.tiles, key=key)


def test_a_tile_with_no_signals_on_purpose_stays(key):
    variables = nn.init(Tied(), X, key)
    pulsed = optim.PulsedSGD(RATE)
    tiles, state = pulsed.update({"AnalogLinear_0": {"tile": ()}}, pulsed.init({}), variables.tiles, key=key)
    assert_same_bits(tiles, variables.tiles)
    assert state.step == 1


def test_microbatches_are_joined_not_added(key):
    variables = nn.init(Tied(), X, key)

    def signals(x):
        slots = nn.slots(Tied(), variables, x)
        return jax.grad(lambda s: jnp.sum(nn.apply(Tied(), variables, x, key=key, slots=s)))(slots)

    pulsed = optim.PulsedSGD(RATE)

    def update(signals):
        return pulsed.update(signals, pulsed.init({}), variables.tiles, key=key)[0]

    whole, parts = update(signals(X)), update(optim.joined(signals(X[:2]), signals(X[2:])))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        assert_close(b, a)


class Looped(linen.Module):
    """A layer inside a transformation of plain JAX."""

    how: str

    @linen.compact
    def __call__(self, x):
        layer = Layer(3)
        if self.is_initializing():
            return layer(x)
        if self.how == "vmap":
            return jax.vmap(layer)(x)
        if self.how == "scan":
            return jax.lax.scan(lambda h, _: (layer(h), None), x, None, length=3)[0]
        return jax.lax.fori_loop(0, 3, lambda _, h: layer(h), x)


@pytest.mark.parametrize("how", ["vmap", "scan", "loop"])
def test_plain_transformations_within_a_model_are_refused(how, key):
    variables = nn.init(Looped(how), X, key)
    nn.apply(Looped(how), variables, X, key=key)  # reading alone is right
    with pytest.raises(SlotError, match=r"AnalogLinear_0: is called inside a transformation of plain JAX"):
        nn.slots(Looped(how), variables, X)


def test_signals_along_another_axis_are_refused(key):
    lifted = {**STACK, "variable_axes": {"params": 0, "tiles": 0, "signals": 1}}
    layer = linen.vmap(nn.AnalogLinear, in_axes=1, out_axes=1, **lifted)(2, config=Layer.keywords["config"])
    x = random.normal(key, (3, 3, 4))  # as many chips as items: a wrong axis would fit
    variables = nn.init(layer, x, key)
    with pytest.raises(ValueError, match=r"axis|axes"):
        nn.slots(layer, variables, x)


def test_prefixes_of_variables_are_written_by_hand(key):
    model = Tied()
    many = jax.vmap(lambda k: nn.init(model, X, k))(jax.random.split(key, 2))
    one = many.replace(params=jax.tree.map(lambda leaf: leaf[0], many.params))
    axes = (nn.Variables(None, 0),)
    assert jax.vmap(lambda v: nn.apply(model, v, X, key=key), in_axes=axes)(one).shape == (2, *X.shape)
