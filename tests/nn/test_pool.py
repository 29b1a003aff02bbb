"""Pooling has torch's semantics, its ceil mode and its gradient included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ShapeError
from analogjax.nn import max_pool

CASES = [
    {"window": (2, 2)},
    {"window": (3, 2), "strides": (2, 2), "padding": (1, 1)},
    {"window": (3, 3), "strides": (2, 2), "ceil_mode": True},
    {"window": (2, 2), "strides": (2, 2), "padding": (1, 1), "ceil_mode": True},
    {"window": (2, 2), "strides": (3, 3), "ceil_mode": True},
    {"window": (5, 4), "strides": (2, 1), "padding": (2, 1), "ceil_mode": True},  # more places than are compared
]
DILATED = [{"window": (2, 2), "strides": (2, 2), "padding": (1, 1), "dilation": (2, 1), "ceil_mode": True}]


def torched(x, given):
    torch = pytest.importorskip("torch")
    image = torch.tensor(np.array(x), requires_grad=True)
    y = torch.nn.functional.max_pool2d(
        image, given["window"], given.get("strides"), given.get("padding", 0), given.get("dilation", 1),
        given.get("ceil_mode", False),
    )  # fmt: skip
    y.sin().sum().backward()
    return y.detach().numpy(), image.grad.numpy()


@pytest.mark.parametrize("given", CASES + DILATED)
@pytest.mark.parametrize("size", [7, 8, 9])
def test_values_are_torchs_in_both_layouts(key, given, size):
    x = jax.random.normal(key, (2, 3, size, size + 1))
    expected, _ = torched(x, given)
    assert np.array_equal(max_pool(x, channels_first=True, **given), expected)
    last = max_pool(x.transpose(0, 2, 3, 1), **given).transpose(0, 3, 1, 2)
    assert np.array_equal(last, expected)


@pytest.mark.parametrize("given", CASES + DILATED)
def test_gradients_are_torchs(key, given):
    x = jax.random.normal(key, (2, 3, 8, 9))
    _, expected = torched(x, given)
    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(max_pool(x, channels_first=True, **given))))(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_whole_numbers_stay_whole_numbers(key):
    x = jax.random.randint(key, (1, 4, 4, 1), -9, 9)
    assert max_pool(x, (2, 2)).dtype == x.dtype and max_pool(x, (4, 4)).item() == x.max()


@pytest.mark.parametrize("given", CASES)
def test_ties_and_nans_are_torchs(given):
    """Equal values are common after a ReLU: the first one has the gradient. A NaN is not lost."""
    x = np.random.default_rng(0).integers(0, 2, (2, 3, 8, 9)).astype(np.float32)
    x[0, 0, 3, 3] = np.nan
    values, expected = torched(x, given)
    assert np.array_equal(max_pool(jnp.asarray(x), channels_first=True, **given), values, equal_nan=True)
    clean = np.nan_to_num(x)
    expected = torched(clean, given)[1]
    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(max_pool(x, channels_first=True, **given))))(jnp.asarray(clean))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [(3, 3), (5, 5)])
def test_a_window_that_does_not_fit_is_refused(window):
    with pytest.raises(ShapeError, match=r"\(\d, \d\) .* does not fit into images of 9x2"):
        max_pool(jnp.ones((1, 9, 2, 1)), window)
