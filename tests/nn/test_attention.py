"""Attention with analog projections: with perfect chips it is flax's own, and pulses train it."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import analogjax.nnx as analog_nnx
from analogjax import nn, random
from analogjax.errors import ConfigError, ShapeError
from analogjax.optim import PulsedSGD
from analogjax.physics import Ideal, Periphery
from analogjax.tile import TileConfig
from tests.tolerance import assert_close

PERFECT = Periphery(is_perfect=True)
EXACT = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)
X = jax.random.normal(jax.random.key(0), (2, 5, 8))
OTHER = jax.random.normal(jax.random.key(1), (2, 3, 8))
MASK = jax.random.bernoulli(jax.random.key(2), 0.6, (2, 1, 5, 5)) | jnp.eye(5, dtype=bool)


def digital(variables, heads, features):
    """The parameters of flax's layer that equal those of ours."""
    names, params = ("query", "key", "value", "out"), {}
    for name in names:
        w, b = variables.tiles[name]["tile"].read().T, variables.params[name]["bias"]
        shape = (features, 8) if name == "out" else (8, features)
        kernel = w.reshape(heads, features // heads, 8) if name == "out" else w.reshape(8, heads, features // heads)
        assert w.shape == shape
        params[name] = {"kernel": kernel, "bias": b if name == "out" else b.reshape(heads, features // heads)}
    return {"params": params}


@pytest.mark.parametrize(("heads", "features"), [(2, 8), (3, 12)])
def test_with_perfect_chips_it_is_flaxs(heads, features):
    layer = nn.AnalogMultiHeadAttention(heads, EXACT, qkv_features=features)
    variables = nn.init(layer, X, random.key(3))
    own = linen.MultiHeadDotProductAttention(num_heads=heads, qkv_features=features)
    params = digital(variables, heads, features)
    assert_close(nn.apply(layer, variables, X, key=random.key(4)), own.apply(params, X, X))

    def masked(x, *more, **given):
        return layer.apply({"params": variables.params, "tiles": variables.tiles}, x, *more, **given,
                           rngs={"analog": random.key(4)})  # fmt: skip

    assert_close(masked(X, mask=MASK), own.apply(params, X, X, mask=MASK))
    assert_close(masked(X, OTHER), own.apply(params, X, OTHER))


def test_pulses_train_it_as_gradients_do():
    layer = nn.AnalogMultiHeadAttention(2, EXACT)
    variables = nn.init(layer, X, random.key(3))

    def loss(y):
        return jnp.sum(y**2)

    slots = nn.slots(layer, variables, X)
    signals = jax.grad(lambda slots: loss(nn.apply(layer, variables, X, key=random.key(5), slots=slots)))(slots)
    pulsed = PulsedSGD(0.01)
    tiles, _ = pulsed.update(signals, pulsed.init(variables.tiles), variables.tiles, key=random.key(6))
    own, params = linen.MultiHeadDotProductAttention(num_heads=2), digital(variables, 2, 8)
    slopes = jax.grad(lambda params: loss(own.apply(params, X, X)))(params)["params"]
    for name in ("query", "key", "value", "out"):
        before, after = (given[name]["tile"].read() for given in (variables.tiles, tiles))
        assert_close(after, before - 0.01 * slopes[name]["kernel"].reshape(8, 8).T)


def test_dropout_acts_in_training_alone():
    layer = nn.AnalogMultiHeadAttention(2, EXACT, dropout=0.5)
    variables = nn.init(layer, X, random.key(3))
    read = [nn.apply(layer, variables, X, key=random.key(n)) for n in (1, 2)]
    trained = [nn.apply(layer, variables, X, key=random.key(n), training=True) for n in (1, 2)]
    assert_close(read[0], read[1])
    assert not np.allclose(trained[0], trained[1]) and not np.allclose(trained[0], read[0])


def test_the_door_of_nnx_is_the_same_layer():
    module = analog_nnx.AnalogMultiHeadAttention(2, 8, config=EXACT, rngs=nnx.Rngs(0, analog=1))
    layer = nn.AnalogMultiHeadAttention(2, EXACT)
    names = ("query", "key", "value", "out")
    parts = {name: getattr(module, name) for name in names}
    tiles = {name: {"tile": part.tile.get_value()} for name, part in parts.items()}
    params = {name: {"bias": part.bias[...]} for name, part in parts.items()}
    variables = nn.Variables(params, tiles)
    assert_close(module(X), nn.apply(layer, variables, X, key=random.key(4)))
    dropping = analog_nnx.AnalogMultiHeadAttention(2, 8, config=EXACT, dropout=0.5, rngs=nnx.Rngs(0, analog=1))
    assert not np.allclose(dropping(X), dropping(X))
    dropping.eval()
    assert_close(dropping(X), dropping(X))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_heads": 3}, "do not divide the 8 features"),
        ({"num_heads": 0}, "num_heads=0"),
        ({"num_heads": 2, "qkv_features": 0}, "qkv_features=0"),
        ({"num_heads": 2, "out_features": True}, "out_features=True"),
        ({"num_heads": 2, "dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_what_is_wrong_is_named(given, words):
    with pytest.raises(ConfigError, match=words):
        nn.init(nn.AnalogMultiHeadAttention(**given), X, random.key(0))
    with pytest.raises(ConfigError, match=words):
        analog_nnx.AnalogMultiHeadAttention(**given, in_features=8, rngs=nnx.Rngs(0))


def test_sequences_that_do_not_belong_together_are_named():
    module = analog_nnx.AnalogMultiHeadAttention(2, 8, config=EXACT, rngs=nnx.Rngs(0))
    for queries, keys, values in ((X, OTHER, X), (X, OTHER[:1], OTHER[:1]), (X[0, 0], None, None)):
        with pytest.raises(ShapeError, match="attention: queries"):
            module(queries, keys, values)
