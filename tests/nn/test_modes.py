"""Training and evaluation: dropout, batch statistics, and models of one's own that want to know."""

import functools

import flax.linen as linen
import jax
import jax.numpy as jnp
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError
from analogjax.physics import Ideal, Periphery
from analogjax.tile import TileConfig
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)
X = random.normal(random.key(1), (64, 8))


def test_dropout_drops_in_training_only(key):
    model = nn.Sequential(linen.Dropout(0.5), nn.AnalogLinear(3, IDEAL, use_bias=False))
    variables = nn.init(model, X, key)
    w = variables.tiles["layers_1"]["tile"].read()
    assert_close(nn.apply(model, variables, X, key=key), X @ w.T)
    slots = nn.slots(model, variables, X)
    signal = jax.grad(lambda s: nn.apply(model, variables, X, key=key, slots=s).sum())(slots)["layers_1"]["tile"][0]
    dropped = signal.x == 0
    assert 0.3 < dropped.mean() < 0.7  # 512 coins
    assert_close(jnp.where(dropped, 0, 2 * X), signal.x)
    other = nn.apply(model, variables, X, key=random.key(9), training=True)
    assert jnp.any(other != nn.apply(model, variables, X, key=key, training=True))


def test_batch_statistics_are_those_of_flax(key):
    model = nn.Sequential(nn.AnalogLinear(4, IDEAL), linen.BatchNorm(momentum=0.9), jnp.tanh, nn.AnalogLinear(2, IDEAL))
    variables = nn.init(model, X, key)
    h = X @ variables.tiles["layers_0"]["tile"].read().T + variables.params["layers_0"]["bias"]
    y, collections = nn.apply_training(model, variables, X, key=key, slots=nn.slots(model, variables, X))
    found = collections["batch_stats"]["layers_1"]
    assert_close(found["mean"], 0.1 * h.mean(0))
    assert_close(found["var"], 0.9 + 0.1 * h.var(0))
    evaluated = nn.apply(model, variables.replace(collections=collections), X, key=key)
    w, b = variables.tiles["layers_3"]["tile"].read(), variables.params["layers_3"]["bias"]
    normed = (h - found["mean"]) / jnp.sqrt(found["var"] + 1e-5)
    assert_close(evaluated, jnp.tanh(normed) @ w.T + b)
    assert jnp.any(evaluated != y)


def test_changed_collections_are_never_dropped_in_silence(key):
    model = nn.Sequential(nn.AnalogLinear(4, IDEAL), linen.BatchNorm())
    variables = nn.init(model, X, key)
    with pytest.raises(ConfigError, match=r"batch_stats.*apply_training"):
        nn.apply(model, variables, X, key=key, slots=nn.slots(model, variables, X))
    assert nn.apply(model, variables, X, key=key).shape == (64, 4)


class Own(linen.Module):
    """A model that is told the mode in words of its own, and has an rng of its own."""

    @linen.compact
    def __call__(self, x, train):
        x = nn.AnalogLinear(4, IDEAL)(x)
        return x + random.normal(self.make_rng("jitter"), x.shape) if train else x


def test_a_model_of_ones_own_is_told_the_mode(key):
    variables = nn.init(Own(), X, key)
    plain = nn.apply(Own(), variables, X, key=key)
    noisy = nn.apply(Own(), variables, X, key=key, training=True)
    assert 0.9 < jnp.std(noisy - plain) < 1.1  # 256 values of std 1: 2.3 standard errors
    assert_same_bits(nn.apply(Own(), variables, X, key=key), plain)


def test_a_layer_that_has_made_up_its_mind_is_left_alone(key):
    model = nn.Sequential(linen.Dropout(0.5, deterministic=True), linen.BatchNorm(use_running_average=True))
    variables = nn.init(model, X, key)
    y, collections = nn.apply_training(model, variables, X, key=key)
    assert_close(y, X / jnp.sqrt(1 + 1e-5))
    assert_same_bits(collections, variables.collections)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_layers_in_half_precision(dtype, key):
    model = nn.Sequential(
        linen.Dense(6, dtype=dtype), nn.AnalogLinear(4, IDEAL, dtype=dtype), nn.AnalogLinear(3, param_dtype=dtype)
    )
    variables = nn.init(model, X, key)
    assert variables.tiles["layers_1"]["tile"].dtype == jnp.float32
    assert variables.tiles["layers_2"]["tile"].dtype == variables.params["layers_2"]["bias"].dtype == dtype
    assert nn.apply(model, variables, X, key=key).dtype == dtype


def test_integer_inputs(key):
    model = nn.Sequential(nn.AnalogLinear(3, IDEAL))
    x = jnp.arange(12).reshape(3, 4)
    variables = nn.init(model, x, key)
    assert_same_bits(nn.apply(model, variables, x, key=key), nn.apply(model, variables, x.astype(float), key=key))


def test_sequential_refuses_what_cannot_be_called():
    with pytest.raises(ConfigError, match="neither a module"):
        nn.Sequential(nn.AnalogLinear(3), 4)
    with pytest.raises(ConfigError, match="at least one"):
        nn.Sequential()


def test_a_bound_argument_is_left_alone(key):
    def shift(x, training):
        return x + 1 if training else x

    model = nn.Sequential(functools.partial(shift, training=True), shift)
    assert_close(nn.apply(model, nn.init(model, X, key), X, key=key), X + 1)
