"""Promises of every analog layer, of the library or custom, with one matrix or several."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax import nn, random
from analogjax._field_docs import document_fields
from analogjax.errors import GradientError
from analogjax.testing.closeness import assert_close
from analogjax.tile import Signal, Tile, TileArray, create_array


@document_fields
@dataclass(frozen=True)
class About:
    """A layer with exact tiles (`FloatingPoint` devices, `Periphery(is_perfect=True)`), and its expected result."""

    layer: Any
    """The flax module under test."""
    x: jax.Array
    """A batch that it accepts."""
    digital: Callable[[Any, Any, jax.Array], jax.Array]
    """Reference: (logical matrices as in `tiles`, params, x) -> y."""

    def variables(self) -> nn.Variables:
        """Tiles and parameters of the layer."""
        return nn.init(self.layer, self.x, random.key(2))


def _each(function: Callable[[Any], Any], tiles: Any) -> Any:
    return jax.tree.map(function, tiles, is_leaf=lambda node: isinstance(node, (Tile, TileArray)))


def _summed(w: jax.Array, calls: tuple[Signal, ...]) -> jax.Array:
    """The gradient `[O, I]` that the signals of a tile hold."""
    flat = [(one.d.reshape(-1, len(w)), one.x.reshape(-1, w.shape[1])) for one in calls]
    return sum((jnp.einsum("no,ni->oi", d, x, precision="highest") for d, x in flat), jnp.zeros_like(w))


def it_computes_what_the_digital_layer_does(about: About) -> None:
    """The signals add up to the gradient of the weights; gradients of parameters and inputs are those of the digital
    layer.
    """
    variables = about.variables()
    slots, weights = nn.slots(about.layer, variables, about.x), _each(lambda chips: chips.read(), variables.tiles)

    def analog(slots: Any, params: Any, x: jax.Array) -> Any:
        y = nn.apply(about.layer, variables.replace(params=params), x, key=random.key(5), slots=slots)
        return jnp.sum(jnp.sin(y)), y

    def digital(weights: Any, params: Any, x: jax.Array) -> Any:
        y = about.digital(weights, params, x)
        return jnp.sum(jnp.sin(y)), y

    ours, theirs = (jax.jit(jax.grad(one, argnums=(0, 1, 2), has_aux=True)) for one in (analog, digital))
    (signals, *others), y = ours(slots, variables.params, about.x)
    (by_weight, *expected), expected_y = theirs(weights, variables.params, about.x)
    assert_close(y, expected_y, factor=8)  # sums in another order
    # the gradient of a bias that changes nothing, as of keys before a softmax, is what is left of terms that cancel,
    # which are as large as the gradients around it
    found, wanted = (jax.tree.map(_summed, weights, signals), *others), (by_weight, *expected)
    terms = max(float(jnp.max(jnp.abs(leaf), initial=0.0)) for leaf in jax.tree.leaves(wanted))
    jax.tree.map(lambda a, b: assert_close(a, b, factor=8, terms=terms), found, wanted)


class Twice(linen.Module):
    """A layer that is called twice in one pass."""

    layer: Any

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.layer(x) + self.layer(2 * x)


def each_call_has_a_slot_of_its_own(about: About) -> None:
    """In a layer called twice, the slots contain the signals of each call."""
    variables = about.variables()
    both = {name: {"layer": tree} if tree else {} for name, tree in zip(("params", "tiles"), variables, strict=True)}

    def signals(module: Any, given: nn.Variables, x: jax.Array) -> Any:
        slots = nn.slots(module, given, x)
        return jax.grad(lambda s: nn.apply(module, given, x, key=random.key(3), slots=s).sum())(slots)

    def same(calls: Any, first: Any, second: Any) -> None:
        wanted = len(first) + len(second)
        assert len(calls) == wanted, f"two calls left {len(calls)} signals in the slots; needs {wanted}"
        jax.tree.map(assert_close, calls, (*first, *second))

    twice = signals(Twice(about.layer), variables.replace(**both), about.x)["layer"]
    alone = [signals(about.layer, variables, n * about.x) for n in (1, 2)]
    jax.tree.map(same, twice, *alone, is_leaf=lambda node: type(node) is tuple)


def the_chips_have_no_gradient(about: About) -> None:
    """Tiles are moved by pulses; differentiating with respect to them raises an error."""
    variables = about.variables()

    def loss(tiles: Any) -> jax.Array:
        return nn.apply(about.layer, variables.replace(tiles=tiles), about.x, key=random.key(0)).sum()

    try:
        jax.grad(loss)(variables.tiles)
    except GradientError:
        return
    raise AssertionError("the chips were differentiated like parameters")


def a_batch_of_layers_is_a_loop_over_layers(about: About) -> None:
    """`jax.vmap` over chips and keys; compiled or not."""
    keys = jax.random.split(random.key(7), 2)
    chips = jax.jit(jax.vmap(lambda key: nn.init(about.layer, about.x, key)))(keys)

    def run(variables: nn.Variables, key: jax.Array) -> jax.Array:
        return nn.apply(about.layer, variables, about.x, key=key)

    many = jax.jit(jax.vmap(run))(chips, keys)
    for n, key in enumerate(keys):
        alone = run(jax.tree.map(lambda leaf, n=n: leaf[n], chips), key)
        assert_close(many[n], alone, factor=4)  # products of batches are summed in another order


def weights_are_read_as_they_were_written(about: About) -> None:
    """For new weights of the size of its own, on tiles of the same configuration."""

    def again(chips: Any) -> None:
        w = random.normal(random.key(3), chips.read().shape)
        assert_close(create_array(chips.config, w.shape, random.key(4), weights=w).read(), w)

    _each(again, about.variables().tiles)


PROMISES = (
    it_computes_what_the_digital_layer_does,
    each_call_has_a_slot_of_its_own,
    the_chips_have_no_gradient,
    a_batch_of_layers_is_a_loop_over_layers,
    weights_are_read_as_they_were_written,
)
