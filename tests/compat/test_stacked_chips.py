"""Matrices on several chips in programs that are compiled as a whole: one native array, and then each chip again."""

import copy
import pickle

import jax
import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError
from aihwkit.nn import AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from torch.nn import functional

import compat
from analogjax.tile import TileArray
from compat.aihwkit.experiments import convert
from compat.stacked_chips import StackedChips
from tests.compat.test_whole_step import exact, layer_by_layer, optimizer_of, pair


def cut(made, inputs=2, outputs=2):
    made.mapping.max_input_size, made.mapping.max_output_size = inputs, outputs
    return made


def transfer():
    parts = [c.SoftBoundsDevice(w_max=0.4, w_min=-0.4) for _ in range(2)]
    return c.UnitCellRPUConfig(device=c.TransferCompound(unit_cell_devices=parts, transfer_every=1.0))


def rows():
    """5 inputs and 3 outputs on 3 x 2 chips of unequal sizes."""
    return AnalogSequential(AnalogLinear(5, 3, rpu_config=cut(exact())), torch.nn.Tanh(), torch.nn.Linear(3, 2))


def images():
    """A convolution cut between its kernels, and a layer whose bias is digital on its only chip."""
    plain = exact()
    plain.mapping.digital_bias = False
    return AnalogSequential(
        AnalogConv2dMapped(2, 3, 2, rpu_config=cut(exact(), 4)), torch.nn.ReLU(), torch.nn.Flatten(),
        AnalogLinearMapped(12, 2, rpu_config=plain),
    )  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), [(rows, (7, 5)), (images, (7, 2, 3, 3))])
def test_a_compiled_step_does_what_the_chips_do_one_by_one(make, shape):
    (plain, first), (whole, second) = pair(make, lr=0.1)
    x, y = torch.randn(shape), torch.randn(7, 2)
    expected = layer_by_layer(plain, functional.mse_loss, first, x, y, 4)
    step = compat.compile(whole, functional.mse_loss, second)
    np.testing.assert_allclose([step(x, y).item() for _ in range(4)], expected, rtol=2e-4)
    assert expected[-1] < expected[0]
    for ours, theirs in zip(whole.analog_tiles(), plain.analog_tiles(), strict=True):
        np.testing.assert_allclose(ours.get_weights()[0], theirs.get_weights()[0], rtol=1e-3, atol=1e-4)


def test_chips_are_stacked_and_come_back_as_they_were():
    model = AnalogSequential(AnalogLinear(5, 3, rpu_config=cut(c.SingleRPUConfig(device=c.SoftBoundsDevice()))))
    come_back(model)


def come_back(model):
    chips = StackedChips(model[0].analog_module.array)
    array, before = chips.tile, [tile.chips.tile for tile in model.analog_tiles()]
    assert isinstance(array, TileArray) and array.grid == (2, 3) and array.shape == (3, 5)
    np.testing.assert_array_equal(array.read(), model[0].get_weights()[0])
    for state in jax.tree.leaves(array.tiles.state):
        if state.ndim == 4:  # in the last chip a row and a column are padding
            assert not state[1, 2, 1:].any() and not state[1, 2, :, 1:].any()
    chips.moved(chips.leaves, chips.program.moving_of(array))
    assert chips.tile is chips.tile  # nothing is stacked anew
    for old, new in zip(before, (tile.chips.tile for tile in model.analog_tiles()), strict=True):
        assert jax.tree.structure(old) == jax.tree.structure(new)
        for one, other in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_chips_are_given_between_steps_is_trained_on():
    (whole, second), (plain, first) = pair(rows, lr=0.1)
    x, y = torch.randn(7, 5), torch.randn(7, 2)
    step = compat.compile(whole, functional.mse_loss, second)

    def change(model):
        """One chip of the six is written to, and another one has a new lot of arrays."""
        tiles = list(model.analog_tiles())
        tiles[1].set_weights(torch.full((1, 2), 0.3))
        tiles[4].load_state_dict(tiles[4].state_dict())

    for change_now in (False, True, True):
        for model in (whole, plain) if change_now else ():
            change(model)
        expected = layer_by_layer(plain, functional.mse_loss, first, x, y, 2)
        np.testing.assert_allclose([step(x, y).item() for _ in range(2)], expected, rtol=2e-4)
    copies = copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))
    for model in (whole, *copies):
        np.testing.assert_allclose(model[0].get_weights()[0], plain[0].get_weights()[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(model(x).detach(), plain(x).detach(), rtol=1e-3, atol=1e-4)


def test_pulsed_chips_of_unequal_sizes_learn_in_compiled_steps():
    model = AnalogSequential(AnalogLinear(5, 3, rpu_config=cut(transfer())))
    step = compat.compile(model, functional.mse_loss, optimizer_of(model, lr=0.2))
    x = torch.randn(20, 5)
    y = x @ (0.2 * torch.ones(5, 3))
    losses = [step(x, y).item() for _ in range(40)]
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    for tile in model.analog_tiles():
        state = tile.chips.tile.state
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state)) and (state.pointer < tile.in_size).all()
    come_back(model)


def uneven():
    return AnalogSequential(AnalogConv2dMapped(3, 2, 2, rpu_config=cut(exact(), 8)), torch.nn.Flatten())


def learned():
    made = cut(exact())
    made.mapping.learn_out_scaling = True
    return AnalogSequential(AnalogLinear(5, 3, rpu_config=made))


def unlike():
    model = AnalogSequential(AnalogLinear(5, 3, rpu_config=cut(exact())))
    deaf = cut(exact())
    deaf.forward = c.IOParameters()
    next(model.analog_tiles()).to(deaf)
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [(uneven, r"unequal sizes \[8, 4\]"), (learned, "a learned scale of each chip"), (unlike, "differ in more than")],
)
def test_what_is_no_native_array_is_told(make, says):
    model = make()
    with pytest.raises(convert.Obstacle, match=says):
        list(convert.layers_of(model))
    with pytest.raises(ConfigError, match=says):
        compat.compile(model, functional.mse_loss, optimizer_of(model, lr=0.1))


def test_chips_of_one_matrix_have_one_rate():
    model = rows()
    contexts = [tile.analog_ctx for tile in model.analog_tiles()]
    rest = [one for one in model.parameters() if all(one is not context for context in contexts)]
    groups = [{"params": contexts[:1], "lr": 0.1}, {"params": contexts[1:], "lr": 0.2}, {"params": rest}]
    with pytest.raises(ConfigError, match="different learning rates"):
        compat.compile(model, functional.mse_loss, AnalogSGD(groups, lr=0.1))
