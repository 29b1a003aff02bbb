"""Where a logical matrix lies: scales and grids."""

import jax.numpy as jnp
import pytest

from analogjax.errors import ConfigError
from analogjax.tile import Mapping
from tests.tolerance import assert_close

W = jnp.array([[1.0, -4.0], [0.5, 0.25], [0.0, 0.0]])


def test_no_scaling_by_default():
    assert Mapping().scale_for(W) == 1 and Mapping().scale_for(W).shape == ()


def test_scale_maps_the_largest_weight_to_omega():
    assert_close(Mapping(weight_scaling_omega=0.5).scale_for(W), 8.0)
    rows = Mapping(weight_scaling_omega=0.5, weight_scaling_columnwise=True).scale_for(W)
    assert_close(rows, [8.0, 1.0, 1.0])  # a row of zeros keeps 1
    assert_close(Mapping(weight_scaling_omega=0.5).scale_for(0 * W), 1.0)


def test_traced_omega_of_zero_is_no_scaling():
    assert_close(Mapping(weight_scaling_omega=jnp.float32(0)).scale_for(W), 1.0)


def test_rate_scale():
    scale = jnp.array([8.0, 1.0, 1.0])
    assert Mapping().rate_scale(scale) == 1.0
    assert_close(Mapping(weight_scaling_lr_compensation=True).rate_scale(scale), 0.3)


@pytest.mark.parametrize(
    ("shape", "limits", "grid"),
    [
        ((10, 784), (512, 512), (1, 2)),
        ((512, 512), (512, 512), (1, 1)),
        ((513, 1025), (512, 512), (2, 3)),
        ((10, 7), (4, 3), (3, 3)),
        ((10, 7), (0, 0), (1, 1)),
    ],
)
def test_grid(shape, limits, grid):
    assert Mapping(max_output_size=limits[0], max_input_size=limits[1]).grid(*shape) == grid


@pytest.mark.parametrize("bad", [{"max_input_size": -1}, {"max_output_size": 2.5}, {"weight_scaling_omega": -1.0}])
def test_nonsense_is_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Mapping(**bad)
