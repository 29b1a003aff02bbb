"""The error of a product on phase-change memory, a number that is published and that aihwkit gives."""

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import random
from analogjax.physics import Ideal, PCMLike, Periphery
from analogjax.tile import Mapping, TileConfig, create, drift, mvm, program

SIZE, CHIPS = 512, 12
CONFIG = TileConfig(device=Ideal(), forward=Periphery(), mapping=Mapping(max_input_size=0, max_output_size=0))
AIHWKIT = (0.13692, 0.00035)  # mean of 12 chips and its standard error, aihwkit 1.2.0, the same weights and inputs


@jax.jit
def relative_error(key):
    """Of 200 products, a second after programming; weights clipped Gaussian, half of the uniform inputs 0."""
    keys = jax.random.split(key, 7)
    w = jnp.clip(0.246 * random.normal(keys[0], (SIZE, SIZE)), -1, 1)
    x = jax.random.uniform(keys[1], (200, SIZE), minval=-1, maxval=1) * jax.random.bernoulli(keys[2], 0.5, (200, SIZE))
    tile = create(CONFIG, (SIZE, SIZE), keys[3], weights=w)
    y = mvm(drift(program(tile, PCMLike(), None, keys[4]), 1.0, keys[5]), x, key=keys[6])
    exact = x @ w.T
    return jnp.linalg.norm(y - exact) / jnp.linalg.norm(exact)


def test_the_error_of_a_512x512_product_is_that_of_aihwkit():
    """13.7 % (Le Gallo et al. 2023, doi:10.1063/5.0168089, show about 13 %); within 4 standard errors, n = 12 chips."""
    errors = np.array([relative_error(random.key(n)) for n in range(CHIPS)])
    bound = 4 * np.hypot(AIHWKIT[1], errors.std(ddof=1) / CHIPS**0.5)
    assert abs(errors.mean() - AIHWKIT[0]) < bound
