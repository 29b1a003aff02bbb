"""The rule of `analogjax._pytree`: plain values are compiled in, everything else is traced."""

import enum
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax._pytree import is_off, is_static, pytree
from analogjax.errors import ConfigError
from analogjax.physics import ConstantStep, LinearStep, NoiseManagement, Pulses, SoftBounds, State, Vector
from analogjax.tile import TileConfig
from tests.tolerance import assert_close, assert_same_bits

SHAPE = (3, 4)


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize("value", [0, 1.5, True, "text", b"x", None, Colour.RED, (), (1, (2.0, None))])
def test_plain_values_are_static(value):
    assert is_static(value)


@pytest.mark.parametrize(
    "value", [np.float64(1), np.float32(1), np.int32(1), np.ones(2), jnp.ones(()), (1, jnp.ones(())), [1], {"a": 1}]
)
def test_arrays_and_containers_are_traced(value):
    assert not is_static(value)


def test_only_a_plain_zero_is_off():
    assert is_off(0) and is_off(0.0) and is_off(None)
    assert not is_off(1e-30) and not is_off(jnp.zeros(())) and not is_off(np.float64(0))


def test_leaves_are_the_arrays():
    device = ConstantStep(dw_min=jnp.asarray(0.01), w_max=0.5)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(device)]
    assert paths == [".dw_min"]
    assert jax.tree.leaves(ConstantStep()) == []


def test_flatten_and_unflatten_agree():
    config = TileConfig(device=Vector(devices=(ConstantStep(dw_min=jnp.asarray(0.1)), SoftBounds())))
    leaves, treedef = jax.tree.flatten(config)
    again = treedef.unflatten(leaves)
    assert repr(again) == repr(config) and jax.tree.structure(again) == treedef
    assert [leaf for _, leaf in jax.tree_util.tree_leaves_with_path(config)] == leaves


def test_equal_configurations_share_one_trace():
    traces = []

    @jax.jit
    def width(device, x):
        traces.append(device)
        return x * device.dw_min

    for dw_min in (0.01, 0.01, jnp.asarray(0.02), jnp.asarray(0.03), 0.01):
        assert_close(width(ConstantStep(dw_min=dw_min), jnp.ones(2)), [float(dw_min)] * 2)
    assert len(traces) == 2  # the number, and any array
    width(ConstantStep(dw_min=0.04), jnp.ones(2))
    assert len(traces) == 3


def pulsed(device, key, dtype=jnp.float32):
    k_cells, k_write, k_pulses = jax.random.split(key, 3)
    cells = device.fabricate(SHAPE, dtype, k_cells)
    state = device.write(cells, jnp.full(SHAPE, 0.1, dtype), k_write)
    up, down = jnp.full(SHAPE, 3, jnp.int32), jnp.full(SHAPE, 1, jnp.int32)
    return device.pulses(cells, state, up, down, k_pulses).w


def test_vmap_over_an_array_field_is_a_loop(key):
    values = jnp.array([0.001, 0.01, 0.1])
    swept = jax.vmap(lambda device: pulsed(device, key))(SoftBounds(dw_min=values))
    looped = jnp.stack([pulsed(SoftBounds(dw_min=value), key) for value in values])
    assert_close(swept, looped)
    plain = jnp.stack([pulsed(SoftBounds(dw_min=float(value)), key) for value in values])
    assert_close(swept, plain)


@pytest.mark.parametrize(
    ("device", "field"),
    [
        (ConstantStep, "dw_min"),
        pytest.param(ConstantStep, "dw_min_std", marks=pytest.mark.slow),
        pytest.param(ConstantStep, "up_down", marks=pytest.mark.slow),
        pytest.param(SoftBounds, "dw_min", marks=pytest.mark.slow),
        pytest.param(SoftBounds, "w_max", marks=pytest.mark.slow),
        pytest.param(LinearStep, "gamma_up", marks=pytest.mark.slow),
    ],
)
def test_gradient_with_respect_to_a_field_is_a_finite_difference(device, field):
    with jax.enable_x64(True):  # so that the difference is good to 1e-8: h^2 truncation, eps / h rounding
        value, h = {"dw_min": 0.01, "up_down": 0.1}.get(field, 0.5), 1e-5
        base = device(dw_min=0.01)

        def loss(v):
            return jnp.sum(pulsed(replace(base, **{field: v}), random.key(3), jnp.float64) ** 2)

        loss = jax.jit(loss)
        v = jnp.asarray(value, jnp.float64)
        gradient = jax.grad(loss)(v)
        difference = (loss(v + h) - loss(v - h)) / (2 * h)
        assert np.isfinite(gradient) and abs(gradient) > 1e-6
        np.testing.assert_allclose(gradient, difference, rtol=1e-6)


def test_gradient_through_a_device_as_an_argument_is_a_device(key):
    device = ConstantStep(dw_min=jnp.asarray(0.01))
    gradient = jax.grad(lambda device: jnp.sum(pulsed(device, key)))(device)
    assert isinstance(gradient, ConstantStep) and np.isfinite(gradient.dw_min) and gradient.w_max == device.w_max


def test_unflatten_never_validates():
    calls = []

    @pytree
    class Checked:
        value: object = 1.0

        def __post_init__(self):
            calls.append(self.value)
            if not isinstance(self.value, float) and not hasattr(self.value, "dtype"):
                raise ConfigError("a number, please")

    node = Checked(value=jnp.ones(2))
    calls.clear()
    treedef = jax.tree.structure(node)
    leaf = object()
    assert treedef.unflatten([leaf]).value is leaf
    assert jax.tree.map(lambda leaf: None, node).value is None
    jax.jit(lambda node: node)(node)
    jax.eval_shape(lambda node: node, node)
    assert calls == []
    with pytest.raises(ConfigError):
        Checked(value="text")


def test_validation_sees_what_a_person_wrote():
    for make in (
        lambda: ConstantStep(dw_min=-1.0),
        lambda: ConstantStep(dw_min=float("nan")),
        lambda: ConstantStep(w_min=0.1),
        lambda: SoftBounds(write_noise_std=-1),
        lambda: NoiseManagement(kind="abs"),
        lambda: Pulses(desired_bl=0),
        lambda: Vector(devices=()),
        lambda: Vector(devices=(ConstantStep(),), gamma_vec=(1.0, 2.0)),
        lambda: Vector(devices=(ConstantStep(),), first_update_idx=1),
    ):
        with pytest.raises(ConfigError):
            make()


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(ConstantStep()) == "ConstantStep()"
    assert repr(ConstantStep(dw_min=0.01, perfect_bias=True)) == "ConstantStep(dw_min=0.01, perfect_bias=True)"
    assert repr(ConstantStep(dw_min=jnp.ones(3))) == "ConstantStep(dw_min=float32[3])"
    assert repr(State(w=jnp.ones((2, 3)))) == "State(w=float32[2, 3])"
    assert repr(NoiseManagement(kind="Max")) == "NoiseManagement(kind='Max')"
    assert repr(TileConfig(device=SoftBounds(dw_min=0.1))) == "TileConfig(device=SoftBounds(dw_min=0.1))"
    assert repr(TileConfig()) == "TileConfig()"


def test_frozen_and_keyword_only():
    with pytest.raises(AttributeError):
        ConstantStep().dw_min = 1.0
    with pytest.raises(TypeError):
        ConstantStep(0.1)


def test_static_fields_survive_scan_and_vmap(key):
    state = State(w=jnp.zeros((5, 2, 3)))
    assert_same_bits(jax.vmap(lambda s: s)(state), state)
    final, _ = jax.lax.scan(lambda s, _: (replace(s, w=s.w + 1), None), State(w=jnp.zeros(2)), None, length=3)
    assert_close(final.w, [3, 3])
