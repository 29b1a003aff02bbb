"""Batches by index."""

import jax
import numpy as np
import pytest

from analogjax.data import sequential_indices, shuffled_indices, steps_per_epoch
from analogjax.errors import ConfigError

SIZES = [(10, 5, 2), (11, 5, 3), (1, 5, 1), (5, 5, 1), (7, 1, 7), (0, 5, 0)]


@pytest.mark.parametrize(("n", "batch_size", "steps"), SIZES)
def test_every_item_once_and_padding_of_weight_zero(n, batch_size, steps):
    assert steps_per_epoch(n, batch_size) == steps
    for indices, weights in (shuffled_indices(jax.random.key(0), n, batch_size), sequential_indices(n, batch_size)):
        assert indices.shape == weights.shape == (steps, batch_size)
        assert indices.dtype == np.int32 and weights.dtype == np.float32
        flat, weight = np.ravel(indices), np.ravel(weights)
        assert weight.tolist() == [1.0] * n + [0.0] * (steps * batch_size - n)
        assert sorted(flat[:n]) == list(range(n)) and list(flat[n:]) == [flat[k % n] for k in range(len(flat) - n)]


def test_the_order_is_the_permutation_of_the_key():
    key = jax.random.key(3)
    indices, _ = shuffled_indices(key, 20, 5)
    np.testing.assert_array_equal(np.ravel(indices), jax.random.permutation(key, 20))
    again, _ = shuffled_indices(key, 20, 5)
    other, _ = shuffled_indices(jax.random.key(4), 20, 5)
    np.testing.assert_array_equal(indices, again)
    assert (indices != other).any()


def test_the_sequential_order():
    assert sequential_indices(5, 2)[0].tolist() == [[0, 1], [2, 3], [4, 0]]


def test_under_jit_and_with_64_bit_types():
    key = jax.random.key(0)
    jitted = jax.jit(shuffled_indices, static_argnums=(1, 2))
    for got, expected in zip(jitted(key, 11, 4), shuffled_indices(key, 11, 4), strict=True):
        np.testing.assert_array_equal(got, expected)
    with jax.enable_x64(True):
        indices, weights = shuffled_indices(key, 11, 4)
    assert indices.dtype == np.int32 and weights.dtype == np.float32


@pytest.mark.parametrize(("n", "batch_size", "problem"), [(-1, 5, "n=-1"), (5, 0, "batch_size=0"), (5, -2, "=-2")])
def test_impossible_sizes(n, batch_size, problem):
    for call in (lambda: steps_per_epoch(n, batch_size), lambda: sequential_indices(n, batch_size)):
        with pytest.raises(ConfigError, match=problem):
            call()
