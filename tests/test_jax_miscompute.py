"""JAX 0.10.2 miscomputes a jitted, vmapped matrix-vector product on CPU in silence (jax-ml/jax#39103)."""

import jax
import jax.numpy as jnp
import numpy as np


def test_jitted_vmapped_product_equals_eager():
    n = 32769  # the smallest batch that went wrong
    rows = jnp.zeros((n, 3), jnp.float32).at[:, 0].set(jnp.arange(n, dtype=jnp.float32))
    energy = jax.vmap(lambda r: jnp.sum((jnp.eye(3) @ r) ** 2))
    expected = np.arange(n, dtype=np.float32) ** 2
    np.testing.assert_array_equal(energy(rows), expected)
    np.testing.assert_array_equal(jax.jit(energy)(rows), expected)


def test_installed_jax_is_not_the_broken_release():
    assert jax.__version__ != "0.10.2"
