"""`tile_record`: histograms of the weights of a run."""

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import AnalogLinear, Sequential, nn
from analogjax.experiments.tile_record import tile_record


def test_weights_that_differ_by_a_rounding_have_a_histogram():
    variables = nn.init(Sequential(AnalogLinear(2)), jnp.zeros((1, 3)), jax.random.key(0))
    one, next_one = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    variables = variables.replace(params={"scale": jnp.asarray([[one, one, next_one]])})
    found = [entry for entry in tile_record(None, variables) if entry["kind"] == "parameters"]
    assert sum(found[0]["weights"]["counts"]) == 3
    assert (found[0]["weights"]["counts"][0], found[0]["weights"]["counts"][-1]) == (2, 1)
